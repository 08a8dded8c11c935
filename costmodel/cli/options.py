"""Options that several commands have, and what they mean."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from costmodel.cli.parsers import Sides, at_door, known_format, rectangle, whole
from costmodel.cli.timing import DTYPES, IMPLEMENTATIONS, MEMORY_FORMATS, Times
from costmodel.describe.catalogue import NETWORKS
from costmodel.describe.cells import RECURRENCES, cell_names
from costmodel.errors import InvalidInput
from costmodel.price.conventions import CONVENTIONS
from costmodel.published import lstm_icnet as published
from costmodel.report.layout.render import FORMATS


def listed(names: Any) -> str:
    return "|".join(names)


MODELS = "|".join([*(name for name, network in NETWORKS.items() if not network.family), "erfnet-VARIANT"])
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar=MODELS,
        help="Networks; repeat or separate by commas. What they extend is always shown; erfnet is ERFNet with all its "
        "variants, single ones are erfnet-D*, erfnet-DG2S, erfnet-D*-proposed, ...  [default: those of Table IV]",
        show_default=False,
    ),
]
Cells = Annotated[
    list[str] | None,
    typer.Option("--cell", "--cells", metavar=listed(cell_names()), help="Cells; repeat or separate by commas."),
]
Kernel = Annotated[str, typer.Option(metavar="K|KxK", help="Kernel of the cells, rows x columns.")]
Classes = Annotated[
    int | None,
    typer.Option(
        parser=at_door(whole),
        metavar="N",
        help="Classes of the segmentation.  [default: 19; 20 for erfnet]",
        show_default=False,
    ),
]
DecoderBlocks = Annotated[
    int | None,
    typer.Option(
        parser=at_door(whole),
        metavar="1|2",
        help="Of erfnet: 1 as its paper counts (by default under its convention), 2 as it describes the network.",
        show_default=False,
    ),
]
NetworkConvention = Annotated[
    str | None,
    typer.Option(
        "--convention",
        metavar=listed(CONVENTIONS),
        help="What counts as a FLOP.  [default: that of the networks' paper: tf-profiler, or erfnet]",
        show_default=False,
    ),
]
ConventionName = Annotated[
    str, typer.Option("--convention", metavar=listed(CONVENTIONS), help="What counts as a FLOP.")
]
Format = Annotated[str, typer.Option("--format", parser=known_format, metavar=listed(FORMATS), help="Output format.")]
Recurrence = Annotated[
    str, typer.Option(metavar=listed(RECURRENCES), help="The recurrence around the cells' convolutions.")
]
Profiles = Annotated[
    list[str] | None,
    typer.Option("--profile", metavar="NAME|FILE", help="Show recorded times; repeat for several machines."),
]
Measure = Annotated[
    str | None, typer.Option(metavar="cpu|cuda", help="Time here what no profile has, in fresh processes.")
]
Save = Annotated[str | None, typer.Option(metavar="NAME|FILE", help="With --measure: keep it, as profiles/NAME.json.")]
Processes = Annotated[
    str | None,
    typer.Option(
        metavar="N",
        help="Fresh processes of each subject.  [default: 5, up to 12 where it is not stable]",
        show_default=False,
    ),
]
Rounds = Annotated[
    str | None, typer.Option(metavar="N", help="Timed rounds in each process.  [default: 5]", show_default=False)
]
Budget = Annotated[str | None, typer.Option(metavar="TIME", help="Measure for so long instead, such as 90s, 5m or 1h.")]
Dtype = Annotated[str | None, typer.Option(metavar=listed(DTYPES), help="Number formats timed.  [default: float32]")]
MemoryFormat = Annotated[
    str | None, typer.Option(metavar=listed(MEMORY_FORMATS), help="Memory formats timed.  [default: contiguous]")
]
Implementation = Annotated[
    str | None,
    typer.Option(metavar=listed(IMPLEMENTATIONS), help="Plain torch or torch.compile.  [default: eager]"),
]
Threads = Annotated[str | None, typer.Option(metavar="N,...", help="CPU threads timed.  [default: all cores]")]
OnlyDtype = Annotated[str | None, typer.Option("--dtype", metavar=listed(DTYPES), help="Only times in these.")]
OnlyMemoryFormat = Annotated[
    str | None, typer.Option("--memory-format", metavar=listed(MEMORY_FORMATS), help="Only times in these.")
]
OnlyImplementation = Annotated[
    str | None, typer.Option("--implementation", metavar=listed(IMPLEMENTATIONS), help="Only times of these.")
]
OnlyThreads = Annotated[str | None, typer.Option("--threads", metavar="N,...", help="Only times with so many.")]
Plot = Annotated[
    str | None, typer.Option("--plot", metavar="FILE", help="Draw it as well, into a file: .svg, .png or .pdf.")
]
Sites = Annotated[
    list[str] | None,
    typer.Option("--site", metavar="SITE=CELL", help="Another cell at one site (low, medium, high, final)."),
]
FrameSize = Annotated[
    Sides | None,
    typer.Option(
        parser=at_door(rectangle),
        metavar="ROWSxCOLUMNS",
        help="Size of a frame.  [default: 1024x2048; 512x1024 for erfnet]",
        show_default=False,
    ),
]
MapSize = Annotated[str, typer.Option(metavar="ROWSxCOLUMNS", help="Size of the feature map.")]
FRAME = "x".join(map(str, published.SIZE))


def eighth(frame: tuple[int, int]) -> tuple[int, int]:
    """The feature map where the paper's last cell stands has an eighth of the frame's rows and columns."""
    return -(-frame[0] // 8), -(-frame[1] // 8)


def plotted(file: str | None) -> Path | None:
    """Where --plot goes, checked before anything is measured."""
    if file is None:
        return None
    from costmodel.report.figures.style import destination

    return destination(file, "--plot")


def recorded_times(
    names: list[str] | None,
    dtype: str | None,
    memory_format: str | None,
    implementation: str | None,
    threads: str | None,
) -> Times:
    """Profiles that are read, in the ways that the options want; nothing is measured."""
    times = Times(names, None, None, None, None, None, dtype, memory_format, implementation, threads)
    times.gather(lambda hows: [])
    return times


def readable(path: Path) -> bool:
    """Whether a profile can be loaded; what is wrong with it goes to stderr."""
    from costmodel.profiles.files import load

    try:
        load(path)
    except InvalidInput as error:
        print(f"costmodel: left out: {error}", file=sys.stderr)
        return False
    return True
