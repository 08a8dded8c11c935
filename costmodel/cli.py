"""The command line. Each command opens what it needs inside its body, so that a table never waits for torch."""

import os
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core

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


class Interrupted(Exception):
    """Ctrl-C while a command ran, unless the command itself told what it kept."""


class Commands(typer.core.TyperGroup):
    """All commands. Left alone, typer would make a silent exit code of Ctrl-C."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted from None


app = typer.Typer(
    cls=Commands,
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
FrameSize = Annotated[str, typer.Option(metavar="ROWSxCOLUMNS", help="Size of a frame.")]
MapSize = Annotated[str, typer.Option(metavar="ROWSxCOLUMNS", help="Size of the feature map.")]
FRAME = "x".join(map(str, published.SIZE))


def eighth(frame: tuple[int, int]) -> tuple[int, int]:
    """The feature map where the paper's last cell stands has an eighth of the frame's rows and columns."""
    return -(-frame[0] // 8), -(-frame[1] // 8)


TIMED = ("overview", "time", "quality", "promise")  # of the following
# What `plot` draws: the functions of `costmodel.report.figures`, which opens too much for --help.
PLOTS = {
    "overview": "parameters, FLOPs, time of every network relative to the first: the paper's Fig. 1",
    "time": "time per frame against FLOPs",
    "quality": "published quality (Tables II and III) against cost, with the Pareto front",
    "layers": "FLOPs per layer of a network",
    "kernels": "what remains of the standard cell's cost, by kernel or channels; the approximation",
    "promise": "measured speed-up of the cells against the one that FLOPs promise",
}


def examples(*lines: str) -> str:
    # \b keeps the lines of the paragraph as they are.
    return "\n".join(["\b", "Examples:", *(f"  costmodel {line}" for line in lines)])


@app.command(
    epilog=examples(
        "table --model v6",
        "table --model v5,v6 --cell depth,sep --size 512x1024 --format markdown",
        "table --model v6 --cell sep --site final=standard",
        "table --convention fvcore --no-heads --format json",
        "table --profile amd-epyc-2-cores --plot time.svg",
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
    plot: Plot = None,
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
    """Parameters and FLOPs of ICNet and LSTM-ICNet: Table IV, for any size, kernel, class count and cell.

    --plot draws times against FLOPs where there are times, else parameters and FLOPs relative to ICNet.
    """
    from costmodel.report import table as tables

    find_format(form)
    picture = plotted(plot)
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
    if picture:
        from costmodel.report import drawing, figures

        kind = figures.time if result.times() else figures.overview
        drawing.save(partial(kind, result), picture)
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
    plot: Plot = None,
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
    """Cost of the cells at every combination of kernels and channels, beside the paper's approximation.

    --plot draws the measured speed-up against the promised one where there are times, else cost over kernels.
    """
    find_format(form)
    picture = plotted(plot)
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
    if picture:
        from costmodel.report import drawing, figures

        kept = [each.only(times.keep) for each in times.found.values()]
        timed = next((each for each in kept if figures.speedups(result, each)), None)
        drawing.save(partial(figures.promise, result, timed) if timed else partial(figures.kernels, result), picture)
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
        area = frame if alone and size else eighth(frame)
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


@app.command(
    epilog=examples(
        "report",
        "report --model v6 --profile amd-epyc-2-cores --out v6",
        "report --implementation compiled --out report --force",
        "report --size 512x1024 --cell standard,sep --kernel 3,5",
    )
)
def report(
    model: Models = None,
    cell: Cells = None,
    size: FrameSize = FRAME,
    kernel: Annotated[
        str, typer.Option(metavar="K,KxK,...", help="Kernels of the sweep; the networks have the first.")
    ] = "3,5,7",
    channels: Annotated[
        str, typer.Option(metavar="C,IxO,...", help="Channels of the sweep; IxO for different ones in and out.")
    ] = "128",
    classes: Classes = str(published.CLASSES),
    convention: Annotated[
        str,
        typer.Option(
            metavar=listed(CONVENTIONS),
            help="What counts as a FLOP.  [default: tf-profiler, and paper for single cells]",
            show_default=False,
        ),
    ] = published.CONVENTION,
    recurrence: Recurrence = "convlstm",
    profile: Annotated[
        list[str] | None,
        typer.Option(
            "--profile",
            metavar="NAME|FILE",
            help="Recorded times; repeat for several machines.  [default: all there are]",
            show_default=False,
        ),
    ] = None,
    dtype: OnlyDtype = None,
    memory_format: OnlyMemoryFormat = None,
    implementation: OnlyImplementation = None,
    threads: OnlyThreads = None,
    out: Annotated[str, typer.Option(metavar="FOLDER", help="Where to; it is written as a whole or not at all.")] = (
        "report"
    ),
    force: Annotated[bool, typer.Option("--force", help="Replace a report that is there.")] = False,
) -> None:
    """Write a folder with everything: Table IV and the sweep in all formats, figures, and one page, index.html.

    All from descriptions and recorded profiles; nothing is measured.
    """
    from costmodel.report.folder import refuse_to_replace

    refuse_to_replace(Path(out), force)
    from costmodel import profiles
    from costmodel.price.sweep import sweep as grid
    from costmodel.report import sweep as sweeps
    from costmodel.report.folder import Report, replacing
    from costmodel.report.table import table as networks

    cells, kernels = arguments.names(cell, "--cell", list(CELLS)), arguments.sizes(kernel, "--kernel")
    widths, frame = arguments.sizes(channels, "--channels"), arguments.rectangle(size, "--size")
    around: dict[str, Any] = {"recurrence": recurrence}
    own: dict[str, Any] = {"kernel": kernels[0], "classes": arguments.whole(classes, "--classes")}
    plain = networks(
        arguments.names(model, "--model", list(NETWORKS)), cells, size=frame, convention=convention, **own, **around
    )
    cells_only = "paper" if convention == published.CONVENTION else convention
    sweep = grid(kernels, widths, [eighth(frame)], cells, convention=cells_only, **around)
    if sweep.left_out:
        print(f"costmodel: left out: {sweep.left_out}", file=sys.stderr)
    recorded = [name for name, path in profiles.available().items() if readable(path)] if not profile else []
    times = recorded_times(profile or recorded, dtype, memory_format, implementation, threads)
    found = {name: each.only(times.keep) for name, each in times.found.items()}
    about = [plain.subject(row) for row in plain.rows] + [sweeps.subject(sweep, row) for row in sweep.rows()]
    if profile:
        times.miss(about, fatal=True)
    found = {name: each for name, each in found.items() if any(run.subject in about for run in each.runs)}
    command = ["costmodel", *sys.argv[1:], *([] if force else ["--force"])]
    command += [] if profile else [f"--profile={name}" for name in found]
    whole = Report(plain, sweep, found, shlex.join(command))
    with replacing(Path(out), force) as folder, progress(len(whole.drawings), "drawing") as bar:
        whole.write(folder, tick=lambda what: bar.update())
    print(f"{Path(out) / 'index.html'}")


@app.command(
    help="Draw one figure, as wide as a column in print (8.5 cm).\n\n\b\n"
    + "\n".join(f"{kind:<9} {what}" for kind, what in PLOTS.items()),
    epilog=examples(
        "plot overview",
        "plot time --profile amd-epyc-2-cores --implementation eager --out time.png",
        "plot promise --profile amd-epyc-2-cores --kernel 3,5,7",
        "plot quality --metric vkitti-mfp --cost time --profile amd-epyc-2-cores",
        "plot layers --model v6 --cell sep --size 512x1024",
        "plot kernels --kernel 3 --channels 32,64,128 --out channels.pdf",
    ),
)
def plot(
    kind: Annotated[str, typer.Argument(metavar=listed(PLOTS), help="What to draw, see below.", show_default=False)],
    model: Models = None,
    cell: Cells = None,
    size: FrameSize = FRAME,
    kernel: Annotated[
        str | None,
        typer.Option(metavar="K,KxK,...", help="Kernels.  [default: 3; 3,5,7 for cells]", show_default=False),
    ] = None,
    channels: Annotated[
        str | None, typer.Option(metavar="C,IxO,...", help="Channels of single cells.  [default: 128]")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(metavar="N", help=f"Classes of the segmentation.  [default: {published.CLASSES}]"),
    ] = None,
    convention: Annotated[
        str | None,
        typer.Option(
            metavar=listed(CONVENTIONS),
            help="What counts as a FLOP.  [default: tf-profiler; paper for single cells]",
            show_default=False,
        ),
    ] = None,
    recurrence: Recurrence = "convlstm",
    metric: Annotated[
        str | None,
        typer.Option(metavar=listed(published.QUALITY), help="Of quality.  [default: cityscapes-miou]"),
    ] = None,
    cost: Annotated[
        str | None, typer.Option(metavar="flops|params|time", help="Of quality, on the x axis.  [default: flops]")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="Recorded times.  [default: those published in the paper]")
    ] = None,
    dtype: OnlyDtype = None,
    memory_format: OnlyMemoryFormat = None,
    implementation: OnlyImplementation = None,
    threads: OnlyThreads = None,
    out: Annotated[str | None, typer.Option(metavar="FILE", help="An .svg, .png or .pdf.  [default: KIND.svg]")] = None,
) -> None:
    if kind not in PLOTS:
        raise InvalidInput(f"unknown figure {kind!r}: one of {', '.join(PLOTS)}")
    single = kind in ("kernels", "promise")
    ways = {"--profile": profile, "--dtype": dtype, "--memory-format": memory_format}
    ways |= {"--implementation": implementation, "--threads": threads}
    for option, value, kinds in (
        ("--channels", channels, ("kernels", "promise")),
        ("--model", model, ("overview", "time", "quality", "layers")),
        ("--metric", metric, ("quality",)),
        ("--cost", cost, ("quality",)),
        ("--classes", classes, ("overview", "time", "quality", "layers")),
        *((option, value, TIMED) for option, value in ways.items()),
    ):
        if value is not None and kind not in kinds:
            raise InvalidInput(f"{option} is for {', '.join(kinds)}: not for {kind}")
    if kind == "quality" and cost != "time" and profile is not None:
        raise InvalidInput("--profile is for --cost time: the other costs of quality need none")
    from costmodel.report import drawing, figures

    path = drawing.destination(f"{kind}.svg" if out is None else out, "--out")
    times = recorded_times(None if profile is None else [profile], dtype, memory_format, implementation, threads)
    found = {name: each.only(times.keep) for name, each in times.found.items()}
    models, cells = arguments.names(model, "--model", list(NETWORKS)), arguments.names(cell, "--cell", list(CELLS))
    frame, kernels = arguments.rectangle(size, "--size"), arguments.sizes(kernel or "3,5,7", "--kernel")
    if not single and kernel is not None:
        kernels = [arguments.square(kernel, "--kernel")]
    around: dict[str, Any] = {"recurrence": recurrence}
    draw: Callable[..., Any]
    if single:
        from costmodel.price.sweep import sweep as grid
        from costmodel.report.sweep import subject

        widths = arguments.sizes(channels or "128", "--channels")
        sweep = grid(kernels, widths, [eighth(frame)], cells, convention=convention or "paper", **around)
        if sweep.left_out:
            print(f"costmodel: left out: {sweep.left_out}", file=sys.stderr)
        if kind == "promise" and not found:
            from costmodel.profiles import available, load

            names = [name for name, path in available().items() if readable(path) and not load(path).host.source]
            raise InvalidInput(f"promise needs measured times: --profile with one of {', '.join(names) or 'none'}")
        times.miss([subject(sweep, row) for row in sweep.rows()], fatal=True)
        draw = partial(figures.kernels, sweep)
        if kind == "promise":
            draw = partial(figures.promise, sweep, *found.values())
    else:
        from costmodel.report.table import table as networks

        if kind == "layers":
            models, cells = models or ["v6"], cells or ["standard"]
            if len(models) > 1 or len(cells) > 1:
                raise InvalidInput("layers are of one network: one --model and one --cell")
        around |= {
            "size": frame,
            "kernel": kernels[0],
            "classes": arguments.whole(classes or str(published.CLASSES), "--classes"),
        }
        table = networks(models, cells, convention=convention or published.CONVENTION, **around)
        times.miss([table.subject(row) for row in table.rows], fatal=True)
        for name, each in found.items():
            table = table.timed(name, each)
        if kind == "layers":
            row = table.rows[-1]
            draw = partial(figures.layers, row.entry.program, table.convention, name=row.approach)
        elif kind == "quality":
            draw = partial(figures.quality, table, metric or "cityscapes-miou", cost or "flops")
        else:
            draw = partial(figures.time if kind == "time" else figures.overview, table)
    drawing.save(draw, path)
    print(path)


@app.command(
    epilog=examples(
        'count torch.nn:LSTM --make \'{"input_size": 8, "hidden_size": 16}\' --input 5x2x8 --convention paper',
        'count torch.nn:Conv2d --make \'{"in_channels": 3, "out_channels": 8, "kernel_size": 3}\' --input 1x3x64x64',
        "count mymodel:build --input 1x3x224x224 --depth 2 --sort flops",
        "count mymodel:build --input Nx3xHxW --format json",
        "count mymodel:build --input 1x16:int64 --kwargs '{\"return_dict\": false}' --strict",
    )
)
def count(
    module: Annotated[
        str,
        typer.Argument(
            metavar="PACKAGE.MODULE:FACTORY", help="A function or class that makes a module.", show_default=False
        ),
    ],
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input", metavar="SHAPE[:TYPE]", help="1x3x224x224, 1x16:int64, 1x3xHxW for formulas; repeat for several."
        ),
    ] = None,
    kwargs: Annotated[str | None, typer.Option(metavar="JSON", help="Keyword arguments of the call.")] = None,
    make: Annotated[str | None, typer.Option(metavar="JSON", help="Keyword arguments of the factory.")] = None,
    convention: Annotated[str, typer.Option(metavar=listed(CONVENTIONS), help="What counts as a FLOP.")] = "torch",
    depth: Annotated[
        str | None, typer.Option(metavar="N", help="Sum up parts that are deeper.  [default: all]", show_default=False)
    ] = None,
    sort: Annotated[str, typer.Option(metavar="order|flops|params|bytes", help="Order of the rows.")] = "order",
    train: Annotated[bool, typer.Option("--train", help="In training mode.")] = False,
    backward: Annotated[bool, typer.Option("--backward", help="With the backward pass.")] = False,
    frames: Annotated[
        str, typer.Option(metavar="T", help="A clip: T calls of a recurrent module, the state carried along.")
    ] = "1",
    real: Annotated[
        bool, typer.Option("--real", help="On real tensors, for modules whose path depends on values.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 where an operation has no rule.")] = False,
    form: Format = "text",
) -> None:
    """What any module costs: FLOPs under a convention, parameters, bytes, by module.

    Nothing is computed, no weights are needed; what has no rule is listed, never left out in silence.
    """
    find_format(form)
    deep = None if depth is None else arguments.whole(depth, "--depth")
    call, making = arguments.keywords(kwargs, "--kwargs"), arguments.keywords(make, "--make")
    if not inputs and not call:
        raise InvalidInput("no inputs: --input with a shape, such as --input 1x3x224x224")
    from costmodel.measure.count import count as counting
    from costmodel.measure.load import load
    from costmodel.report import count as report

    net = load(module, making).train(train)
    clip = arguments.whole(frames, "--frames")
    counted = counting(net, *(inputs or []), real=real, backward=backward, frames=clip, **call)
    print(report.text(counted, form, convention, deep, sort))
    for operation, number in counted.unpriced.items():
        print(f"costmodel: not counted, no rule: {number} x {operation}", file=sys.stderr)
    if strict and counted.unpriced:
        raise typer.Exit(1)


@app.command(
    epilog=examples(
        'explain torch.nn:Conv2d --make \'{"in_channels": 3, "out_channels": 8, "kernel_size": 3}\' --input 1x3x64x64',
        "explain mymodel:build --input 1x3x224x224 --format markdown",
    )
)
def explain(
    module: Annotated[
        str,
        typer.Argument(
            metavar="PACKAGE.MODULE:FACTORY", help="A function or class that makes a module.", show_default=False
        ),
    ],
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="SHAPE[:TYPE]", help="1x3x224x224, 1x16:int64; repeat for several."),
    ] = None,
    kwargs: Annotated[str | None, typer.Option(metavar="JSON", help="Keyword arguments of the call.")] = None,
    make: Annotated[str | None, typer.Option(metavar="JSON", help="Keyword arguments of the factory.")] = None,
    form: Format = "text",
) -> None:
    """Why tools disagree: what fvcore, FlopCounterMode, ptflops, thop, torchinfo, calflops and DeepSpeed print for a
    module, by kind of operation."""
    find_format(form)
    call, making = arguments.keywords(kwargs, "--kwargs"), arguments.keywords(make, "--make")
    if not inputs and not call:
        raise InvalidInput("no inputs: --input with a shape, such as --input 1x3x224x224")
    from costmodel.measure.count import count as counting
    from costmodel.measure.load import load
    from costmodel.report import explain as report

    print(report.text(counting(load(module, making).eval(), *(inputs or []), **call), form))


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


def plotted(file: str | None) -> Path | None:
    """Where --plot goes, checked before anything is measured."""
    if file is None:
        return None
    from costmodel.report.drawing import destination

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
    from costmodel.profiles import load

    try:
        load(path)
    except InvalidInput as error:
        print(f"costmodel: left out: {error}", file=sys.stderr)
        return False
    return True


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
        if sys.stdout is None:  # closed: what is printed goes nowhere
            sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  (for as long as the process lives)
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
    except (KeyboardInterrupt, Interrupted, typer.Abort):
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
