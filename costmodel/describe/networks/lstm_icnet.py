"""LSTM-ICNet: ICNet with ConvLSTM cells at some of its four sites. A version of the paper is a set of sites."""

from collections.abc import Mapping

from costmodel.describe.cells import Cell
from costmodel.describe.networks.icnet import SITES, icnet, normalise, rectify
from costmodel.describe.ops import Pair
from costmodel.describe.program import Value
from costmodel.errors import InvalidInput


def lstm_icnet(
    frame: Value, cells: Mapping[str, Cell], *, kernel: Pair, classes: int, heads: bool
) -> tuple[Value, ...]:
    """ICNet with ``cells`` by site, each with the channels of the layer before; `InvalidInput` for unknown sites."""
    if unknown := set(cells) - set(SITES):
        raise InvalidInput(f"ICNet has the sites {', '.join(SITES)}, not {', '.join(sorted(unknown))}")

    def recur(site: str, x: Value) -> Value:
        if site not in cells:
            return x
        with x.trace.scope(site):
            return cells[site](x, x.map.channels, kernel)

    def place(site: str, x: Value) -> Value:
        # A cell inside a branch comes before a batch norm; the last cell needs its own batch norm.
        y = recur(site, x)
        return rectify(normalise(y, "final_norm"), "final_norm") if site == "final" and y is not x else y

    return icnet(frame, classes, place, heads)
