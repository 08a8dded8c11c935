"""The command line. Each command opens what it needs inside its body, so that a table never waits for torch."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from costmodel import __version__, arguments, published
from costmodel.describe.cells import CELLS, RECURRENCES
from costmodel.describe.errors import InvalidInput
from costmodel.describe.networks import NETWORKS
from costmodel.price.conventions import CONVENTIONS
from costmodel.report.render import FORMATS, find_format, render_json

if TYPE_CHECKING:
    from costmodel.describe.program import Program

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="What a recurrent vision network costs: derived from its description, checked against torch, timed.",
    epilog="Start with: costmodel table --model v6",
)


def listed(names: Any) -> str:
    return "|".join(names)


Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model", metavar=listed(NETWORKS), help="Networks; repeat or separate by commas. ICNet is always shown."
    ),
]
Cells = Annotated[
    list[str] | None, typer.Option("--cell", metavar=listed(CELLS), help="Cells; repeat or separate by commas.")
]
Kernel = Annotated[str, typer.Option(metavar="K|KxK", help="Kernel of the cells, rows x columns.")]
Classes = Annotated[str, typer.Option(metavar="N", help="Classes of the segmentation.")]
ConventionName = Annotated[
    str, typer.Option("--convention", metavar=listed(CONVENTIONS), help="What counts as a FLOP.")
]
Format = Annotated[str, typer.Option("--format", metavar=listed(FORMATS), help="Output format.")]
Recurrence = Annotated[
    str, typer.Option(metavar=listed(RECURRENCES), help="The recurrence around the cells' convolutions.")
]
Measure = Annotated[str | None, typer.Option(metavar="cpu", help="Also time it here: wall clock, float32, eager.")]
Rounds = Annotated[str | None, typer.Option(metavar="N", help="With --measure: timed rounds.  [default: 5]")]
Sites = Annotated[
    list[str] | None,
    typer.Option("--site", metavar="SITE=CELL", help="Another cell at one site (low, medium, high, final)."),
]
FrameSize = Annotated[str, typer.Option(metavar="ROWSxCOLUMNS", help="Size of a frame.")]
MapSize = Annotated[str, typer.Option(metavar="ROWSxCOLUMNS", help="Size of the feature map.")]
FRAME = "x".join(map(str, published.SIZE))


def examples(*lines: str) -> str:
    # \b keeps the lines of the paragraph as they are.
    return "\n".join(["\b", "Examples:", *(f"  costmodel {line}" for line in lines)])


@app.command(
    epilog=examples(
        "table --model v6",
        "table --model v5,v6 --cell depth,sep --size 512x1024 --format markdown",
        "table --model v6 --cell sep --site final=standard",
        "table --convention fvcore --no-heads --format json",
    )
)
def table(
    model: Models = None,
    cell: Cells = None,
    size: FrameSize = FRAME,
    kernel: Kernel = "3",
    classes: Classes = str(published.CLASSES),
    convention: ConventionName = published.CONVENTION,
    site: Sites = None,
    recurrence: Recurrence = "convlstm",
    heads: Annotated[bool, typer.Option(help="Count the auxiliary training heads, as Table IV does.")] = True,
    form: Format = "text",
    measure: Measure = None,
    rounds: Rounds = None,
) -> None:
    """Parameters and FLOPs of ICNet and LSTM-ICNet: Table IV, for any size, kernel, class count and cell."""
    from costmodel.report import table as tables

    find_format(form)
    count = timed_rounds(measure, rounds)
    chosen: dict[str, Any] = {
        "models": arguments.names(model, "--model", list(NETWORKS)),
        "cells": arguments.names(cell, "--cell", list(CELLS)),
        "sites": arguments.pairs(site, "--site"),
        "recurrence": recurrence,
        "size": arguments.rectangle(size, "--size"),
        "kernel": arguments.square(kernel, "--kernel"),
        "classes": arguments.whole(classes, "--classes"),
    }
    result = tables.table(**chosen, heads=heads, convention=convention)
    if measure is not None:
        timed = tables.entries(**chosen, heads=False)
        timed |= tables.entries(**chosen | {"cells": ["standard"], "sites": None}, heads=False)  # what % refers to
        machine, samples = time_here(measure, {approach: entry.program for approach, entry in timed.items()}, count)
        result = result.timed(machine, samples)
    print(result.text(form))


@app.command(
    epilog=examples(
        "sweep --kernel 3,5,7",
        "sweep --kernel 3,3x5 --channels 64,96x128 --cell standard,sep",
        "sweep --kernel 3 --size 32x64 --measure cpu --format csv",
    )
)
def sweep(
    kernel: Annotated[
        list[str] | None,
        typer.Option(metavar="K,KxK,...", help="Kernels, rows x columns.  [default: 3,5,7]", show_default=False),
    ] = None,
    cell: Cells = None,
    channels: Annotated[
        list[str] | None,
        typer.Option(
            metavar="C,IxO,...", help="Channels; IxO for different ones in and out.  [default: 128]", show_default=False
        ),
    ] = None,
    size: MapSize = "128x256",
    convention: ConventionName = "paper",
    recurrence: Recurrence = "convlstm",
    form: Format = "text",
    measure: Measure = None,
    rounds: Rounds = None,
) -> None:
    """Cost of the cells at every combination of kernels and channels, beside the paper's approximation."""
    find_format(form)
    kernels = arguments.sizes(",".join(["3,5,7"] if kernel is None else kernel), "--kernel")
    widths = arguments.sizes(",".join(["128"] if channels is None else channels), "--channels")
    area = arguments.rectangle(size, "--size")
    cells = arguments.names(cell, "--cell", list(CELLS))
    count = timed_rounds(measure, rounds)
    from costmodel.price.sweep import sweep as grid
    from costmodel.report import sweep as report

    result = grid(kernels, widths, [area], cells, convention=convention, recurrence=recurrence)
    if result.left_out:
        print(f"costmodel: left out: {result.left_out}", file=sys.stderr)
    machine, samples = "", None
    if measure is not None:
        from costmodel.describe.cells import describe_cell

        programs = {}
        for row in result.rows():
            for name in ("standard", row.cell):  # what the ratio refers to is timed even if it is not shown
                where: dict[str, Any] = {"kernel": row.kernel, "channels": row.channels, "size": row.size}
                programs[report.subject(name, **where)] = describe_cell(name, **where, recurrence=recurrence)
        machine, samples = time_here(measure, programs, count)
    print(report.text(result, form, machine, samples))


@app.command(
    epilog=examples(
        "equation",
        "equation sep --ratio",
        "equation depth --ratio --kernel 5 --channels 64",
        "equation standard --convention tf-profiler --latex",
        "equation --format json",
    )
)
def equation(
    cell: Annotated[
        str | None, typer.Argument(metavar=f"[{listed(CELLS)}]", help="The cell; all without it.", show_default=False)
    ] = None,
    convention: ConventionName = "paper",
    recurrence: Recurrence = "convlstm",
    ratio: Annotated[
        bool, typer.Option("--ratio", help="Relative to the standard cell, and the paper's approximation.")
    ] = False,
    latex: Annotated[bool, typer.Option("--latex", help="As LaTeX, one formula a line.")] = False,
    form: Annotated[str, typer.Option("--format", metavar="text|json", help="Output format.")] = "text",
    kernel: Annotated[
        str | None, typer.Option(metavar="K|KxK", help="With --ratio: the kernel to evaluate at.  [default: 3]")
    ] = None,
    channels: Annotated[
        str | None, typer.Option(metavar="C|IxO", help="With --ratio: the channels to evaluate at.  [default: 128]")
    ] = None,
) -> None:
    """The cost of a cell as a formula, derived from its description: Table I, eqs. (2), (4), (7), (10), and ratios."""
    cells = arguments.names(None if cell is None else [cell], "cell", list(CELLS)) or list(CELLS)
    if form not in ("text", "json") or (latex and form != "text"):
        raise InvalidInput(f"--format {form!r}: text or json; or --latex alone")
    if (kernel is not None or channels is not None) and (latex or not ratio) and form == "text":
        raise InvalidInput("--kernel and --channels are for --ratio without --latex: a formula holds for all")
    at = arguments.square(kernel or "3", "--kernel"), arguments.square(channels or "128", "--channels")
    from costmodel.price import formula
    from costmodel.report import equation as report

    derived = [formula.equation(name, convention, recurrence=recurrence) for name in cells]
    if form == "json":
        print(render_json([report.record(e, *at) for e in derived]))
    elif latex:
        print("\n".join(report.as_latex(e, ratio) for e in derived))
    else:
        print("\n\n".join(report.ratio(e, *at) if ratio else report.cost(e) for e in derived))


@app.command(
    epilog=examples(
        "check",
        "check --cell sep --kernel 5",
        "check --model v6 --size 512x1024 --cell depth",
    )
)
def check(
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar=listed(NETWORKS), help="Networks to check, with the chosen cells."),
    ] = None,
    cell: Cells = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="ROWSxCOLUMNS",
            help=f"Size of a frame; with --cell alone, of the feature map.  [default: {FRAME}, an eighth for cells]",
        ),
    ] = None,
    kernel: Kernel = "3",
    channels: Annotated[
        str | None, typer.Option(metavar="C|IxO", help="Channels of the single cells.  [default: 128]")
    ] = None,
    classes: Classes = str(published.CLASSES),
    site: Sites = None,
    recurrence: Recurrence = "convlstm",
    heads: Annotated[bool, typer.Option(help="With the auxiliary training heads.")] = True,
    form: Format = "text",
) -> None:
    """Compare descriptions with running torch modules, fvcore and FlopCounterMode; exit code 1 on any mismatch.

    With --cell alone: the single cells. With --model: networks. With neither: the cells and all networks.
    """
    find_format(form)
    models = arguments.names(model, "--model", list(NETWORKS))
    cells = arguments.names(cell, "--cell", list(CELLS))
    sides, frame = arguments.square(kernel, "--kernel"), arguments.rectangle(size or FRAME, "--size")
    count, sites = arguments.whole(classes, "--classes"), arguments.pairs(site, "--site")
    alone = models is None and cells is not None
    if alone and (sites or not heads or count != published.CLASSES):
        raise InvalidInput("--site, --no-heads and --classes are for networks: add --model")
    if models is not None and channels is not None:
        raise InvalidInput("--channels is for single cells: a cell in a network has those of the layer before it")
    from costmodel.describe.cells import describe_cell
    from costmodel.report import table as tables

    programs: dict[str, Program] = {}
    if models is None:
        # Where the paper's last cell stands, the map has an eighth of the frame's rows and columns.
        area = frame if alone and size else (-(-frame[0] // 8), -(-frame[1] // 8))
        widths = arguments.square(channels or "128", "--channels")
        aside = "" if recurrence == "convlstm" else f" ({recurrence})"
        for name in cells or CELLS:
            programs[f"{name} cell{aside}"] = describe_cell(
                name, kernel=sides, channels=widths, size=area, recurrence=recurrence
            )
    if not alone:
        settings: dict[str, Any] = {"size": frame, "kernel": sides, "classes": count, "heads": heads}
        found = tables.entries(models, cells, sites=sites, recurrence=recurrence, **settings)
        programs |= {name: entry.program for name, entry in found.items() if models is None or entry.model in models}

    from costmodel.measure.check import check as compare
    from costmodel.report import check as report

    checks = []
    with progress(len(programs), "checking") as tick:
        for name, program in programs.items():
            checks.append(compare(program, name))
            tick()
    print(report.text(checks, form))
    if not all(c.ok for c in checks):
        raise typer.Exit(1)


@contextmanager
def progress(total: int, what: str) -> Iterator[Callable[[], object]]:
    """A bar with an estimate on a terminal's stderr, silent elsewhere; calling what it gives moves it on."""
    from tqdm import tqdm

    with tqdm(total=total, desc=what, file=sys.stderr, disable=None, leave=False) as bar:
        yield bar.update


def timed_rounds(measure: str | None, rounds: str | None) -> int:
    if rounds is not None and measure is None:
        raise InvalidInput("--rounds needs --measure")
    return arguments.whole("5" if rounds is None else rounds, "--rounds")


def time_here(device: str, programs: Mapping[str, "Program"], count: int) -> tuple[str, dict[str, list[float]]]:
    """Wall-clock seconds of one streamed frame of each program, by rounds. Ctrl-C keeps what there is."""
    if device != "cpu":
        raise InvalidInput(f"--measure {device!r}: only cpu")
    from costmodel.measure import clock
    from costmodel.measure.module import refuse_too_large

    refuse_too_large(programs.values())
    warmup = 2
    samples: dict[str, list[float]] = {}
    with progress(len(programs) * (count + warmup), "timing") as tick:
        try:
            clock.rounds(
                {name: clock.stream(program) for name, program in programs.items()},
                samples,
                count=count,
                warmup=warmup,
                tick=tick,
            )
        except KeyboardInterrupt:
            least = min((len(samples.get(name, [])) for name in programs), default=0)
            print(f"costmodel: interrupted after {least} of {count} rounds; showing what was timed", file=sys.stderr)
    return clock.cpu_name(), samples


def version(asked: bool) -> None:
    if asked:
        print(f"costmodel {__version__}")
        raise typer.Exit()


@app.callback()
def common(
    show: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


# Newer versions of typer carry their own click, older ones use click's; both derive BadParameter from its UsageError.
UsageError: Any = typer.BadParameter.__bases__[0]


def main() -> int:
    """Run the command line; the exit code. Bad input is one line on stderr and 2."""
    try:
        code = app(standalone_mode=False) or 0
        sys.stdout.flush()
    except InvalidInput as error:
        return fail(str(error), 2)
    except UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # its message is the help
            print(error.format_message())
            return 0
        return fail(error.format_message(), 2)
    except (KeyboardInterrupt, typer.Abort):
        return fail("interrupted", 130)
    except BrokenPipeError:  # the reader has seen enough
        forget_output()
        return 1
    except OSError as error:
        forget_output()
        return fail(f"cannot write the output: {error.strerror}", 1)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):  # torch's way to say the same
            raise
        return fail("out of memory: use smaller sizes", 1)
    return int(code)


def forget_output() -> None:
    """Python would complain once more when it flushes at exit what could not be written."""
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def fail(message: str, code: int) -> int:
    print(f"costmodel: {message}", file=sys.stderr)
    return code
