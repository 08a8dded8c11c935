"""The command line. Each command opens what it needs inside its body, so that a table never waits for torch."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from costmodel import __version__, arguments, published
from costmodel.describe.cells import CELLS, RECURRENCES
from costmodel.describe.errors import InvalidInput, MeasuringFailed
from costmodel.describe.networks import NETWORKS
from costmodel.price.conventions import CONVENTIONS
from costmodel.report.render import FORMATS, find_format, render_json
from costmodel.timing_options import (
    DEVICES,
    DTYPES,
    IMPLEMENTATIONS,
    MEMORY_FORMATS,
    Times,
    effort,
    progress,
    time_jobs,
    ways,
)

if TYPE_CHECKING:
    from costmodel.describe.program import Program
    from costmodel.measure.runner import Job
    from costmodel.profiles import How

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
    list[str] | None,
    typer.Option("--cell", "--cells", metavar=listed(CELLS), help="Cells; repeat or separate by commas."),
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
    profile: Profiles = None,
    measure: Measure = None,
    save: Save = None,
    processes: Processes = None,
    rounds: Rounds = None,
    budget: Budget = None,
    dtype: Dtype = None,
    memory_format: MemoryFormat = None,
    implementation: Implementation = None,
    threads: Threads = None,
) -> None:
    """Parameters and FLOPs of ICNet and LSTM-ICNet: Table IV, for any size, kernel, class count and cell."""
    from costmodel.report import table as tables

    find_format(form)
    times = Times(profile, measure, save, processes, rounds, budget, dtype, memory_format, implementation, threads)
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
    if times.wanted:
        from costmodel.measure.profile import choose

        def jobs(hows: list["How"]) -> list["Job"]:
            asked = {key: value for key, value in chosen.items() if key != "kernel"}
            asked |= {"kernels": [chosen["kernel"]], "models": list({row.entry.model: 0 for row in result.rows})}
            # What % refers to is timed even if it is not shown.
            return [*choose(hows, **asked), *choose(hows, **asked | {"cells": ["standard"], "sites": None})]

        times.gather(jobs)
        for name, found in times.found.items():
            result = result.timed(name, found, times.keep)
        times.miss([result.subject(row) for row in result.rows])
    print(result.text(form))
    if times.code:
        raise typer.Exit(times.code)


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
    profile: Profiles = None,
    measure: Measure = None,
    save: Save = None,
    processes: Processes = None,
    rounds: Rounds = None,
    budget: Budget = None,
    dtype: Dtype = None,
    memory_format: MemoryFormat = None,
    implementation: Implementation = None,
    threads: Threads = None,
) -> None:
    """Cost of the cells at every combination of kernels and channels, beside the paper's approximation."""
    find_format(form)
    kernels = arguments.sizes(",".join(["3,5,7"] if kernel is None else kernel), "--kernel")
    widths = arguments.sizes(",".join(["128"] if channels is None else channels), "--channels")
    area = arguments.rectangle(size, "--size")
    cells = arguments.names(cell, "--cell", list(CELLS))
    times = Times(profile, measure, save, processes, rounds, budget, dtype, memory_format, implementation, threads)
    from costmodel.price.sweep import sweep as grid
    from costmodel.report import sweep as report

    result = grid(kernels, widths, [area], cells, convention=convention, recurrence=recurrence)
    if result.left_out:
        print(f"costmodel: left out: {result.left_out}", file=sys.stderr)
    if times.wanted:
        from costmodel.measure.profile import choose

        points = dict.fromkeys((row.kernel, row.channels, row.cell) for row in result.rows())

        def jobs(hows: list["How"]) -> list["Job"]:
            return [
                job
                for sides, width, name in points
                for job in choose(hows, None, ["standard", name], kernels=[sides], channels=[width], **around)
            ]

        around: dict[str, Any] = {"size": area, "recurrence": recurrence}
        times.gather(jobs)
        times.miss([report.subject(result, row) for row in result.rows()])
    print(report.text(result, form, times.found, times.keep))
    if times.code:
        raise typer.Exit(times.code)


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
    from costmodel.describe.catalogue import entries
    from costmodel.describe.cells import describe_cell

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
        found = entries(models, cells, sites=sites, recurrence=recurrence, **settings)
        programs |= {name: entry.program for name, entry in found.items() if models is None or entry.model in models}

    from costmodel.measure.check import check as compare
    from costmodel.report import check as report

    checks = []
    with progress(len(programs), "checking") as bar:
        for name, program in programs.items():
            checks.append(compare(program, name))
            bar.update()
    print(report.text(checks, form))
    if not all(c.ok for c in checks):
        raise typer.Exit(1)


@app.command(
    epilog=examples(
        "profile --model icnet,v2,v5,v6 --out mine",
        "profile --cells standard,sep --kernel 3,5,7 --memory-format contiguous,channels_last",
        "profile --model v6 --cell depth --implementation eager,compiled --budget 5m",
        "profile --model v6 --device cuda --cuda-graph --out mine --resume",
        "profile --model v5 --frames 4",
    )
)
def profile(
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar=listed(NETWORKS), help="Networks to time, with the chosen cells."),
    ] = None,
    cell: Cells = None,
    kernel: Annotated[
        list[str] | None, typer.Option(metavar="K,KxK,...", help="Kernels.  [default: 3]", show_default=False)
    ] = None,
    channels: Annotated[
        list[str] | None,
        typer.Option(metavar="C,IxO,...", help="Channels of single cells.  [default: 128]", show_default=False),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="ROWSxCOLUMNS",
            help=f"Size of a frame; with --cell alone, of the feature map.  [default: {FRAME}, 128x256 for cells]",
        ),
    ] = None,
    classes: Classes = str(published.CLASSES),
    site: Sites = None,
    recurrence: Recurrence = "convlstm",
    device: Annotated[str, typer.Option(metavar="cpu|cuda", help="Where to run.")] = "cpu",
    dtype: Dtype = None,
    memory_format: MemoryFormat = None,
    implementation: Implementation = None,
    threads: Threads = None,
    batch: Annotated[str, typer.Option(metavar="N", help="Frames of different streams at once.")] = "1",
    frames: Annotated[
        str, typer.Option(metavar="T", help="1: the state is carried; T: a window of T frames is recomputed.")
    ] = "1",
    tf32: Annotated[bool, typer.Option("--tf32", help="cuda: multiply float32 as TF32.")] = False,
    cuda_graph: Annotated[bool, typer.Option("--cuda-graph", help="cuda: replay a captured graph.")] = False,
    flush: Annotated[bool, typer.Option(help="cuda: empty the L2 cache before every call.")] = True,
    processes: Processes = None,
    rounds: Rounds = None,
    budget: Budget = None,
    out: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="Record to profiles/NAME.json, saved as it grows.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Add to --out what its runs lack.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Measure runs anew that --out has.")] = False,
    form: Format = "text",
) -> None:
    """Time cells and networks: fresh processes, in turns, with intervals. With --cell alone: single cells.

    Percentages are of the standard cell, within the rounds that both were timed in. Networks are timed without their
    training heads. A time that does not repeat is called unstable, or shown with both its modes.
    """
    find_format(form)
    if out is None and (resume or replace):
        raise InvalidInput(f"--{'resume' if resume else 'replace'} needs --out")
    if resume and replace:
        raise InvalidInput("--resume or --replace, not both")
    models = arguments.names(model, "--model", list(NETWORKS))
    cells = arguments.names(cell, "--cell", list(CELLS))
    single = models is None and cells is not None
    if single and (site or classes != str(published.CLASSES)):
        raise InvalidInput("--site and --classes are for networks: add --model")
    if not single and channels is not None:
        raise InvalidInput("--channels is for single cells: a cell in a network has those of the layer before it")
    chosen: dict[str, Any] = {
        "kernels": arguments.sizes(",".join(kernel or ["3"]), "--kernel"),
        "channels": arguments.sizes(",".join(channels or ["128"]), "--channels"),
        "size": None if size is None else arguments.rectangle(size, "--size"),
        "classes": arguments.whole(classes, "--classes"),
        "sites": arguments.pairs(site, "--site"),
        "recurrence": recurrence,
    }
    run: dict[str, Any] = dict(ways(dtype, memory_format, implementation, threads))
    run |= {"batch": arguments.whole(batch, "--batch"), "frames": arguments.whole(frames, "--frames")}
    if device not in DEVICES:
        raise InvalidInput(f"--device {device!r}: one of {', '.join(DEVICES)}")
    measure = effort(processes, rounds, budget)
    from costmodel import profiles
    from costmodel.measure.profile import choose
    from costmodel.measure.profile import ways as every
    from costmodel.report import profile as report

    path = None if out is None else profiles.destination(out)
    jobs = choose(every(device, **run, tf32=tf32, cuda_graph=cuda_graph, flush=flush), models, cells, **chosen)
    found, code = time_jobs(jobs, path, measure, resume=resume, replace=replace)
    if found and found.runs:
        print(report.text(found, path.stem if path else "not saved", {job.key for job in jobs}, form))
    if code:
        raise typer.Exit(code)


@app.command("profiles", epilog=examples("profiles", "profiles paper", "profiles --format json"))
def list_profiles(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME|FILE]", help="Show the runs of this one.", show_default=False)
    ] = None,
    form: Format = "text",
) -> None:
    """List the recorded profiles, those in profiles/ here and those that come with costmodel; or the runs of one."""
    find_format(form)
    from costmodel import profiles
    from costmodel.report import profile as report

    if name is None:
        print(report.listing(profiles.available(), form))
    else:
        found = profiles.read(name)
        print(report.text(found, name, found.by_key, form))


@app.command(epilog=examples("diff before after", "diff main.json branch.json --fail-over 5% --relative"))
def diff(
    before: Annotated[str, typer.Argument(metavar="A", help="A profile: its name or file.", show_default=False)],
    after: Annotated[str, typer.Argument(metavar="B", help="Another one.", show_default=False)],
    fail_over: Annotated[
        str | None,
        typer.Option(metavar="PERCENT", help="Exit with 1 where B is significantly slower by more than that."),
    ] = None,
    relative: Annotated[
        bool, typer.Option("--relative", help="Compare times relative to the standard cell: free of a machine's drift.")
    ] = False,
    form: Format = "text",
) -> None:
    """Compare two profiles run by run: ratio of the times, its interval, whether it is significant.

    An interval says how far the processes of each profile spread, not how far the machine drifted in between: where
    that matters, --relative compares percentages of the standard cell.
    """
    limit = None if fail_over is None else arguments.percentage(fail_over, "--fail-over")
    from costmodel import profiles
    from costmodel.report import profile as report

    first, second = ((name, profiles.load(profiles.locate(name))) for name in (before, after))
    shown, slower = report.diff(first, second, limit, relative, form)
    print(shown)
    if slower:
        raise typer.Exit(1)


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
    except MeasuringFailed as error:
        return fail(str(error), 1)
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
