"""The catalogue of networks: one line each."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from inspect import signature
from typing import Any

from costmodel.describe.cells import Cell, find_cell
from costmodel.describe.networks.erfnet import VARIANTS, erfnet
from costmodel.describe.networks.icnet import icnet_key, icnet_low
from costmodel.describe.networks.lstm_icnet import lstm_icnet
from costmodel.describe.ops import Map, Pair
from costmodel.describe.program import Program, Trace, Value
from costmodel.errors import InvalidInput, in_words, meant
from costmodel.work.size import Size, as_size, int_pair


@dataclass(frozen=True)
class Network:
    """One line of the catalogue; ``size``, ``classes`` and ``heads`` are the defaults of the network."""

    approach: str  # the name in tables
    describe: Callable[..., tuple[Value, ...]]
    sites: tuple[str, ...] = ()  # of recurrent cells; none: the network takes no cell
    base: str | None = None  # the network that this network extends; tables show the base first
    family: str | None = None  # a name that selects this network together with others
    listed: bool = True  # True: shown where no network is named
    size: tuple[int, int] = (1024, 2048)
    classes: int = 19
    heads: bool = True
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)  # further arguments of describe, with defaults
    optional: bool = False  # True: describe takes cells for some of the sites, too


ERFNET: dict[str, Any] = {"listed": False, "size": (512, 1024), "classes": 20, "heads": False}
ERFNET |= {"options": {"decoder_blocks": 2}}
NETWORKS = {
    "icnet": Network("ICNet", lstm_icnet),
    "v2": Network("LSTM-ICNet v2", lstm_icnet, ("final",), "icnet", optional=True),
    "v5": Network("LSTM-ICNet v5", lstm_icnet, ("low", "medium", "high"), "icnet", optional=True),
    "v6": Network("LSTM-ICNet v6", lstm_icnet, ("low", "medium", "high", "final"), "icnet", optional=True),
    "icnet-key": Network("ICNet, key frames only", icnet_key, base="icnet", listed=False),
    "icnet-low": Network("ICNet, every frame", icnet_low, base="icnet", listed=False),
    "erfnet": Network("ERFNet", erfnet, **ERFNET),
} | {
    f"erfnet-{name}": Network(name, partial(erfnet, variant=variant), base="erfnet", family="erfnet", **ERFNET)
    for name, variant in VARIANTS.items()
}


def find_network(model: str) -> Network:
    """The network of that name; `InvalidInput` for an unknown name."""
    if not isinstance(model, str) or model not in NETWORKS:
        raise InvalidInput(f"unknown model {in_words(model)}: one of {network_names(model)}{meant(model, NETWORKS)}")
    return NETWORKS[model]


def network_names(wanted: Any = "") -> str:
    """The names of networks for a message; names of a family only if ``wanted`` begins with its name."""
    of = {network.family for network in NETWORKS.values() if network.family and str(wanted).startswith(network.family)}
    return ", ".join(name for name, network in NETWORKS.items() if not network.family or network.family in of)


def key_frame_parts(model: str) -> tuple[str, str] | None:
    """The networks that describe the part for every frame and the part for key frames; None without such parts."""
    parts = f"{model}-low", f"{model}-key"
    return parts if set(parts) <= set(NETWORKS) else None


def find_networks(models: "str | Iterable[str] | None") -> list[str]:
    """Names in the order of the catalogue, each once; the name of a family selects the whole family. Without
    ``models``: the listed networks. `InvalidInput` for unknown names and for an empty list."""
    if models is None:
        return [name for name, network in NETWORKS.items() if network.listed]
    wanted = list(models) if isinstance(models, Iterable) and not isinstance(models, str) else [models]
    if not wanted:
        raise InvalidInput(f"no model given: at least one of {network_names()}")
    for model in wanted:
        find_network(model)
    return [name for name, network in NETWORKS.items() if name in wanted or network.family in wanted]


def describe_network(
    model: str = "v6",
    *,
    cell: "str | Cell | Mapping[str, str | Cell | None]" = "standard",
    size: "Pair | None" = None,
    kernel: "Size | Pair" = 3,
    classes: int | None = None,
    heads: bool | None = None,
    recurrence: str | None = None,
    itemsize: int = 4,
    decoder_blocks: int | None = None,
    **options: Any,
) -> Program:
    """One frame (3 channels, ``size`` rows x columns) through a network of the catalogue, as a `Program`.

    ``cell`` is one kind for every site, or a mapping ``{site: kind}``, in which None is no cell. ``heads`` keeps the
    auxiliary training heads, as Table IV does. The defaults of ``size``, ``classes``, ``heads`` are the published
    settings (1024x2048, 19, True for ICNet; 512x1024, 20, False for ERFNet). ``itemsize``: bytes per number.
    ``decoder_blocks``: of ERFNet and its variants; ``options``: of networks that were added to the catalogue.
    `InvalidInput` for unknown names and options, and for frames that are too small.

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
    cells = {site: find_cell(kind, recurrence) for site, kind in kinds.items() if kind is not None}
    if len(cells) < len(network.sites) and not network.optional:
        bare = ", ".join(site for site in network.sites if site not in cells)
        raise InvalidInput(f"{network.approach} needs a cell at each of its sites: {bare} cannot be without")
    options |= {} if decoder_blocks is None else {"decoder_blocks": decoder_blocks}
    if unknown := sorted(set(options) - set(network.options)):
        known = ", ".join(network.options) or "none"
        close = meant(unknown[0], {*signature(describe_network).parameters} - {"options", *unknown})
        raise InvalidInput(f"{network.approach} has no option {', '.join(unknown)}: it has {known}{close}")
    shape = Map(3, *int_pair("size", network.size if size is None else size), itemsize)
    settings = {
        "kernel": int_pair("kernel", kernel),
        "classes": as_size("classes", network.classes if classes is None else classes),
        "heads": network.heads if heads is None else heads,
        **network.options,
        **options,
    }

    trace = Trace()
    try:
        outputs = network.describe(trace.input("frame", shape), cells, **settings)
    except InvalidInput:
        smallest = minimum_size(network)
        if smallest is None or (shape.rows >= smallest[0] and shape.columns >= smallest[1]):
            raise  # the size is not the error
        raise InvalidInput(
            f"a frame of {shape.rows}x{shape.columns} is too small for {network.approach}: "
            f"at least {smallest[0]}x{smallest[1]}"
        ) from None
    return trace.program(network.approach, *outputs)


@lru_cache
def minimum_size(network: Network) -> tuple[int, int] | None:
    """The smallest frame that the network accepts, found by describing growing frames; None if above 1023."""
    cells = dict.fromkeys(network.sites, find_cell("depth"))

    def accepts(rows: int, columns: int) -> bool:
        try:
            frame = Trace().input("frame", Map(3, rows, columns))
            network.describe(frame, cells, kernel=(1, 1), classes=1, heads=False, **network.options)
        except InvalidInput:
            return False
        return True

    large = 1024
    rows = next((n for n in range(1, large) if accepts(n, large)), None)
    columns = next((n for n in range(1, large) if accepts(large, n)), None)
    return None if rows is None or columns is None else (rows, columns)
