"""Options that several commands have, and what they mean."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from costmodel.cli import parsers
from costmodel.cli.parsers import Pair, Sides, at_door, each, joined
from costmodel.describe.catalogue import NETWORKS
from costmodel.describe.cells import CELLS, RECURRENCES, cell_names
from costmodel.price.conventions import CONVENTIONS
from costmodel.published import lstm_icnet as published
from costmodel.report.layout.render import FORMATS


def listed(names: Iterable[str]) -> str:
    return "|".join(names)


def choice(allowed: Iterable[str], help: str, default: bool = True) -> Any:
    """An option of one of some words."""
    words = tuple(allowed)
    return typer.Option(parser=at_door(parsers.one_of(*words)), metavar=listed(words), help=help, show_default=default)


MODELS = "|".join(
    [*(name for name, network in NETWORKS.items() if not network.family), "erfnet-VARIANT", "MODULE:FACTORY"]
)


def _models(help: str) -> Any:
    return typer.Option(
        "--model",
        parser=at_door(each(parsers.model)),
        callback=joined(NETWORKS),
        metavar=MODELS,
        help=help,
        show_default=False,
    )


Models = Annotated[
    list[str] | None,
    _models(
        "Networks; repeat or separate by commas. What they extend is always shown; erfnet is ERFNet with all its "
        "variants, single ones are erfnet-D*, erfnet-DG2S, erfnet-D*-proposed, ...; or modules of your own, with "
        "--input: PACKAGE.MODULE:FACTORY, path/file.py:FACTORY.  [default: those of Table IV]"
    ),
]
CheckedModels = Annotated[
    list[str] | None,
    _models("Networks to check, with the chosen cells; erfnet: all of them; modules of your own, with --input."),
]
TimedModels = Annotated[
    list[str] | None,
    _models("Networks to time, with the chosen cells; erfnet: all of them; modules of your own, with --input."),
]
PromisedModels = Annotated[list[str] | None, _models("Networks, each against its base, instead of single cells.")]
Cells = Annotated[
    list[str] | None,
    typer.Option(
        "--cell",
        "--cells",
        parser=at_door(each(parsers.cell)),
        callback=joined(CELLS),
        metavar=listed(cell_names()),
        help="Cells; repeat or separate by commas.",
    ),
]


def sides(metavar: str, help: str, parse: Any = parsers.square) -> Any:
    """An option of one size."""
    return typer.Option(parser=at_door(parse), metavar=metavar, help=help, show_default=False)


def several_sides(metavar: str, help: str) -> Any:
    """An option of several sizes."""
    return typer.Option(
        parser=at_door(parsers.sizes), callback=joined(), metavar=metavar, help=help, show_default=False
    )


KERNEL = Sides(published.KERNEL)
Kernel = Annotated[Sides, sides("K|KxK", "Kernel of the cells, rows x columns.  [default: 3]")]
SWEPT = [Sides((n, n)) for n in (3, 5, 7)]
CHANNELS = Sides(published.CHANNELS)
MapSize = Annotated[Sides, sides("ROWSxCOLUMNS", "Size of the feature map.  [default: 128x256]", parsers.rectangle)]
MAP = Sides((128, 256))
FrameSize = Annotated[
    Sides | None,
    sides("ROWSxCOLUMNS", "Size of a frame.  [default: 1024x2048; 512x1024 for erfnet]", parsers.rectangle),
]
FRAME = "x".join(map(str, published.SIZE))


OPTIMIZERS = (
    *("sgd", "momentum", "adam", "adamw", "nadam", "radam", "adamax", "adagrad", "adadelta", "adafactor", "rmsprop"),
    "rprop",
)


def optimizer(help: str) -> Any:
    """An option of one of torch's optimizers."""
    return typer.Option(
        "--optimizer", parser=at_door(parsers.one_of(*OPTIMIZERS)), metavar="sgd|momentum|adam|adamw|...", help=help
    )


def number(metavar: str, help: str, least: int = 1) -> Any:
    """An option of a whole number."""
    return typer.Option(parser=at_door(parsers.whole_from(least)), metavar=metavar, help=help, show_default=False)


Classes = Annotated[int | None, number("N", "Classes of the segmentation.  [default: 19; 20 for erfnet]")]
DecoderBlocks = Annotated[
    int | None,
    number("1|2", "Of erfnet: 1 as its paper counts (by default under its convention), 2 as it describes the network."),
]
NetworkConvention = Annotated[
    str | None,
    choice(
        CONVENTIONS,
        "What counts as a FLOP.  [default: that of the networks' paper: tf-profiler, or erfnet]",
        default=False,
    ),
]
ConventionName = Annotated[str, choice(CONVENTIONS, "What counts as a FLOP.")]
Format = Annotated[
    str,
    typer.Option("--format", parser=at_door(parsers.one_of(*FORMATS)), metavar=listed(FORMATS), help="Output format."),
]
Recurrence = Annotated[str, choice(RECURRENCES, "The recurrence around the cells' convolutions.")]


def sort(*keys: str) -> Any:
    """An option of the order of rows that are alternatives."""
    allowed = ("order", *keys, "ms")
    return typer.Option(
        "--sort",
        parser=at_door(parsers.one_of(*allowed)),
        metavar=listed(allowed),
        help="The largest rows first, in every format; ms needs times of a single kind of run.  [default: order]",
        show_default=False,
    )


Top = Annotated[int | None, number("N", "At most N rows, in every format.  [default: all]")]
Plot = Annotated[
    str | None, typer.Option("--plot", metavar="FILE", help="Draw it as well, into a file: .svg, .png or .pdf.")
]
Sites = Annotated[
    list[Pair] | None,
    typer.Option(
        "--site",
        parser=at_door(each(parsers.pair)),
        callback=parsers.different_keys,
        metavar="SITE=CELL",
        help="Another cell at one site (low, medium, high, final).",
    ),
]


def eighth(frame: tuple[int, int]) -> tuple[int, int]:
    """The feature map where the paper's last cell stands has an eighth of the frame's rows and columns."""
    return -(-frame[0] // 8), -(-frame[1] // 8)


def plotted(file: str | None, option: str = "--plot") -> Path | None:
    """The path of --plot, or of another option, checked before anything is measured."""
    if file is None:
        return None
    from costmodel.report.figures.style import destination

    return destination(file, option)
