"""The catalogue of networks: one line each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from costmodel.describe.cells import Cell, find_cell
from costmodel.describe.errors import InvalidInput
from costmodel.describe.networks.icnet import icnet_key, icnet_low
from costmodel.describe.networks.lstm_icnet import lstm_icnet
from costmodel.describe.ops import Map, Pair
from costmodel.describe.program import Program, Trace, Value
from costmodel.describe.size import Size, as_size, int_pair


@dataclass(frozen=True)
class Network:
    """What tables call it, its description, the sites of its recurrent cells (none: no choice of a cell), the
    network that it extends, which tables show first, and whether it is shown where no model is named."""

    approach: str
    describe: Callable[..., tuple[Value, ...]]
    sites: tuple[str, ...] = ()
    base: str | None = None
    listed: bool = True


NETWORKS = {
    "icnet": Network("ICNet", lstm_icnet),
    "v2": Network("LSTM-ICNet v2", lstm_icnet, ("final",), "icnet"),
    "v5": Network("LSTM-ICNet v5", lstm_icnet, ("low", "medium", "high"), "icnet"),
    "v6": Network("LSTM-ICNet v6", lstm_icnet, ("low", "medium", "high", "final"), "icnet"),
    "icnet-key": Network("ICNet, key frames only", icnet_key, base="icnet", listed=False),
    "icnet-low": Network("ICNet, every frame", icnet_low, base="icnet", listed=False),
}


def find_network(model: str) -> Network:
    if not isinstance(model, str) or model not in NETWORKS:
        raise InvalidInput(f"unknown model {model!r}: one of {', '.join(NETWORKS)}")
    return NETWORKS[model]


def describe_network(
    model: str = "v6",
    *,
    cell: "str | Cell | Mapping[str, str | Cell]" = "standard",
    size: Pair = (1024, 2048),
    kernel: "Size | Pair" = 3,
    classes: int = 19,
    heads: bool = True,
    recurrence: str | None = None,
    itemsize: int = 4,
) -> Program:
    """One frame (3 channels, ``size`` rows x columns) through a network of the catalogue, as a `Program`.

    ``cell`` is one kind for every site, or a mapping ``{site: kind}``. ``heads`` keeps the auxiliary training heads, as
    Table IV does; ``itemsize`` is the bytes per number.

    >>> import costmodel
    >>> costmodel.network("v6", cell="depth").parameters
    6746489
    >>> mixed = {"low": "sep", "medium": "sep", "high": "sep", "final": "standard"}
    >>> costmodel.network("v6", cell=mixed, size=(512, 1024)).parameters
    8310137
    """
    network = find_network(model)
    kinds = cell if isinstance(cell, Mapping) else dict.fromkeys(network.sites, find_cell(cell, recurrence))
    if set(kinds) != set(network.sites):
        raise InvalidInput(
            f"{network.approach} needs a cell for each of its sites ({', '.join(network.sites) or 'none'}), "
            f"not for {', '.join(kinds) or 'none'}"
        )
    cells = {site: find_cell(kind, recurrence) for site, kind in kinds.items()}
    shape = Map(3, *int_pair("size", size), itemsize)
    settings = {"kernel": int_pair("kernel", kernel), "classes": as_size("classes", classes), "heads": heads}

    trace = Trace()
    try:
        outputs = network.describe(trace.input("frame", shape), cells, **settings)
    except InvalidInput:
        smallest = minimum_size(network)
        if smallest is None or (shape.rows >= smallest[0] and shape.columns >= smallest[1]):
            raise  # it is not the size
        raise InvalidInput(
            f"a frame of {shape.rows}x{shape.columns} is too small for {network.approach}: "
            f"at least {smallest[0]}x{smallest[1]}"
        ) from None
    return trace.program(network.approach, *outputs)


@lru_cache
def minimum_size(network: Network) -> tuple[int, int] | None:
    """The smallest frame that the network accepts, by describing it at growing sizes; None if above 1023."""
    cells = dict.fromkeys(network.sites, find_cell("depth"))

    def accepts(rows: int, columns: int) -> bool:
        try:
            frame = Trace().input("frame", Map(3, rows, columns))
            network.describe(frame, cells, kernel=(1, 1), classes=1, heads=False)
        except InvalidInput:
            return False
        return True

    large = 1024
    rows = next((n for n in range(1, large) if accepts(n, large)), None)
    columns = next((n for n in range(1, large) if accepts(large, n)), None)
    return None if rows is None or columns is None else (rows, columns)
