"""The names that exist: of cells, networks and conventions, each with a line about it."""

from html import escape

from costmodel.describe.catalogue import NETWORKS
from costmodel.describe.cells import CELLS, FAMILIES, describe_cell
from costmodel.describe.ops import Conv
from costmodel.errors import InvalidInput
from costmodel.price.conventions import CONVENTIONS

_CELLS = {
    "standard": "a Kx x Ky convolution for every *, eq. (1)",
    "spatial": "a Kx x 1 and a 1 x Ky convolution, eq. (3)",
    "depth": "a depthwise convolution, eq. (6); needs I = O",
    "sep": "a depthwise and a 1x1 convolution, eq. (9)",
    "grouped-G": "a convolution in G groups, such as grouped-4",
    "shuffled-G": "a convolution in G groups, and the channels shuffled after it, such as shuffled-4",
    "low-rank-R": "convolutions to R channels, shared by the gates, and a 1x1 convolution for each gate: low-rank-32",
}


class Names(dict[str, str]):
    """Descriptions by name; it prints as a line for each."""

    def _repr_html_(self) -> str:
        """For notebooks."""
        rows = [f"<tr><td>{escape(name)}</td><td>{escape(what)}</td></tr>" for name, what in self.items()]
        return f"<table>{''.join(rows)}</table>"

    def __repr__(self) -> str:
        width = max(map(len, self), default=0)
        return "\n".join(f"{name:<{width}}  {what}" for name, what in self.items())


def cells() -> Names:
    """The names of cells, each with a line about it; those that were added to `CELLS`, too. G and R: whole numbers.

    >>> import costmodel
    >>> print(costmodel.cells()["sep"])
    a depthwise and a 1x1 convolution, eq. (9)
    """
    return Names({name: _CELLS.get(name) or _cell(name) for name in (*CELLS, *FAMILIES)})


def _cell(name: str) -> str:
    """A line about a cell that somebody added: its documentation, or the number of its convolutions."""
    star = CELLS.get(name)
    if star is None:
        return "a cell of a family"
    if star.__doc__:
        return " ".join(star.__doc__.split())
    try:
        steps = describe_cell(name, channels=128, size=(1, 1)).steps
    except InvalidInput as error:
        return f"an added cell; at 128 channels: {error}"
    return f"an added cell: {sum(isinstance(step.op, Conv) for step in steps)} convolutions a step"


def networks() -> Names:
    """The names of networks, each with a line about it; those that were added to `NETWORKS`, too.

    >>> import costmodel
    >>> print(costmodel.networks()["v2"])
    LSTM-ICNet v2: recurrent cells at final; frames of 1024x2048, 19 classes
    """
    names = {}
    for name, network in NETWORKS.items():
        variant = f", variant of {NETWORKS[network.base].approach}" if network.family and network.base else ""
        cells = f"recurrent cells at {', '.join(network.sites)}; " if network.sites else ""
        size = "x".join(map(str, network.size))
        names[name] = f"{network.approach}{variant}: {cells}frames of {size}, {network.classes} classes"
    return Names(names)


def conventions() -> Names:
    """The names of counting conventions, each with its unit and the source of its prices.

    >>> import costmodel
    >>> list(costmodel.conventions())
    ['paper', 'tf-profiler', 'fvcore', 'torch', 'erfnet']
    """
    return Names({name: f"{each.unit}s: {each.source}" for name, each in CONVENTIONS.items()})
