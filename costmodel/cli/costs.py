"""Commands about what is described: table, sweep, equation, check."""

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from costmodel.cli import parsers as arguments
from costmodel.cli.timing import Times, progress
from costmodel.describe.catalogue import NETWORKS, find_networks
from costmodel.describe.cells import CELLS, cell_names
from costmodel.errors import InvalidInput
from costmodel.published import lstm_icnet as published
from costmodel.report.layout.render import find_format, render_json

if TYPE_CHECKING:
    from costmodel.describe.program import Program
    from costmodel.measure.jobs import Job
    from costmodel.profiles.records import Settings

from costmodel.cli.app import app, examples
from costmodel.cli.options import (
    FRAME,
    MODELS,
    Budget,
    Cells,
    Classes,
    ConventionName,
    DecoderBlocks,
    Dtype,
    Format,
    FrameSize,
    Implementation,
    Kernel,
    MapSize,
    Measure,
    MemoryFormat,
    Models,
    NetworkConvention,
    Plot,
    Processes,
    Profiles,
    Recurrence,
    Rounds,
    Save,
    Sites,
    Threads,
    eighth,
    listed,
    plotted,
)


@app.command(
    epilog=examples(
        "table --model v6",
        "table --model v5,v6 --cell depth,sep --size 512x1024 --format markdown",
        "table --model v6 --cell sep --site final=standard",
        "table --convention fvcore --no-heads --format json",
        "table --model erfnet",
        "table --model erfnet --decoder-blocks 2 --convention torch",
        "table --profile amd-epyc-2-cores --plot time.svg",
    )
)
def table(
    model: Models = None,
    cell: Cells = None,
    size: FrameSize = None,
    kernel: Kernel = "3",
    classes: Classes = None,
    convention: NetworkConvention = None,
    site: Sites = None,
    recurrence: Recurrence = "convlstm",
    heads: Annotated[
        bool | None,
        typer.Option(
            "--heads/--no-heads",
            help="Count the auxiliary training heads, as Table IV does.  [default: as the networks' paper]",
            show_default=False,
        ),
    ] = None,
    decoder_blocks: DecoderBlocks = None,
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
    """Parameters and FLOPs of ICNet and LSTM-ICNet: Table IV, for any size, kernel, class count and cell; of ERFNet and
    its variants with --model erfnet.

    --plot draws times against FLOPs where there are times, else parameters and FLOPs relative to ICNet.
    """
    from costmodel.report import table as tables

    find_format(form)
    picture = plotted(plot)
    times = Times(profile, measure, save, processes, rounds, budget, dtype, memory_format, implementation, threads)
    chosen: dict[str, Any] = {
        "models": arguments.models(model, "--model"),
        "cells": arguments.cells(cell, "--cell"),
        "sites": arguments.pairs(site, "--site"),
        "recurrence": recurrence,
        "size": arguments.optional(arguments.rectangle, size, "--size"),
        "kernel": arguments.square(kernel, "--kernel"),
        "classes": arguments.optional(arguments.whole, classes, "--classes"),
    }
    _refuse_cells(
        chosen["models"], {"--cell": cell, "--kernel": kernel != "3", "--recurrence": recurrence != "convlstm"}
    )
    blocks = arguments.optional(arguments.whole, decoder_blocks, "--decoder-blocks")
    result = tables.table(**chosen, heads=heads, convention=convention, decoder_blocks=blocks)
    if times.wanted:
        from costmodel.measure.profile import choose

        def jobs(hows: list["Settings"]) -> list["Job"]:
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
        from costmodel.report import figures
        from costmodel.report.figures import style as drawing

        kind = figures.time if result.times() else figures.overview
        drawing.save(partial(kind, result), picture)
    if times.code:
        raise typer.Exit(times.code)


def _refuse_cells(models: list[str] | None, given: dict[str, Any]) -> None:
    """Options of cells where no network has any would be ignored in silence."""
    options = [option for option, value in given.items() if value]
    if options and models and not any(NETWORKS[name].sites for name in models):
        raise InvalidInput(f"{', '.join(options)}: {' and '.join(models)} has no recurrent cells")


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
    cells = arguments.cells(cell, "--cell")
    times = Times(profile, measure, save, processes, rounds, budget, dtype, memory_format, implementation, threads)
    from costmodel.price.sweep import sweep as grid
    from costmodel.report import sweep as report

    result = grid(kernels, widths, [area], cells, convention=convention, recurrence=recurrence)
    if result.left_out:
        print(f"costmodel: left out: {result.left_out}", file=sys.stderr)
    if times.wanted:
        from costmodel.measure.profile import choose

        points = dict.fromkeys((row.kernel, row.channels, row.cell) for row in result.rows())

        def jobs(hows: list["Settings"]) -> list["Job"]:
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
        from costmodel.report import figures
        from costmodel.report.figures import style as drawing

        kept = [each.only(times.keep) for each in times.found.values()]
        timed = next((each for each in kept if figures.cells.speedups(result, each)), None)
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
        str | None,
        typer.Argument(metavar=f"[{listed(cell_names())}]", help="The cell; all without it.", show_default=False),
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
    cells = arguments.cells(None if cell is None else [cell], "cell") or list(CELLS)
    if form not in ("text", "json") or (latex and form != "text"):
        raise InvalidInput(f"--format {form!r}: text or json; or --latex alone")
    if (kernel is not None or channels is not None) and (latex or not ratio) and form == "text":
        raise InvalidInput("--kernel and --channels are for --ratio without --latex: a formula holds for all")
    at = arguments.square(kernel or "3", "--kernel"), arguments.square(channels or "128", "--channels")
    from costmodel.price import equation as formula
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
        "gradual",
        "gradual --model erfnet-DG4S --images 2975 --epochs 100 --fine 50",
        "gradual --decoder-blocks 2 --convention torch --format json",
    )
)
def gradual(
    model: Annotated[
        str, typer.Option(metavar="erfnet-DGn...", help="The grouped variant that the training ends with.")
    ] = "erfnet-DG2*",
    images: Annotated[str, typer.Option(metavar="N", help="Images an epoch; Cityscapes has 2975.")] = "2975",
    epochs: Annotated[
        str | None,
        typer.Option(
            metavar="N", help="In which alpha falls from 1 to 0 in a line.  [default: 100]", show_default=False
        ),
    ] = None,
    fine: Annotated[
        str | None,
        typer.Option(metavar="N", help="At alpha 0 afterwards; may be 0.  [default: 50]", show_default=False),
    ] = None,
    alphas: Annotated[
        str | None, typer.Option(metavar="FILE", help="Another alpha: a number from 1 to 0 for each epoch.")
    ] = None,
    size: FrameSize = None,
    classes: Classes = None,
    convention: NetworkConvention = None,
    decoder_blocks: DecoderBlocks = None,
    form: Format = "text",
) -> None:
    """What training with gradual grouping costs: dense convolutions whose mask closes, then grouped ones."""
    from costmodel.price.gradual import linear
    from costmodel.report import gradual as report

    if alphas is not None and (epochs is not None or fine is not None):
        raise InvalidInput("--alphas says how many epochs there are: --epochs and --fine are for the line")
    values = (
        [arguments.number(each, f"--alphas {alphas!r}:") for each in arguments.listed_in(alphas, "--alphas")]
        if alphas is not None
        else linear(arguments.whole(epochs or "100", "--epochs"), arguments.whole(fine or "50", "--fine", least=0))
    )
    settings: dict[str, Any] = {
        "size": arguments.optional(arguments.rectangle, size, "--size"),
        "classes": arguments.optional(arguments.whole, classes, "--classes"),
        "decoder_blocks": arguments.optional(arguments.whole, decoder_blocks, "--decoder-blocks"),
    }
    print(report.text(model, values, arguments.whole(images, "--images"), form, convention=convention, **settings))


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
        typer.Option("--model", metavar=MODELS, help="Networks to check, with the chosen cells; erfnet: all of them."),
    ] = None,
    cell: Cells = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="ROWSxCOLUMNS",
            help="Size of a frame; with --cell alone, of the feature map.  [default: what the networks were published "
            f"with; an eighth of {FRAME} for cells]",
        ),
    ] = None,
    kernel: Kernel = "3",
    channels: Annotated[
        str | None, typer.Option(metavar="C|IxO", help="Channels of the single cells.  [default: 128]")
    ] = None,
    classes: Classes = None,
    site: Sites = None,
    recurrence: Recurrence = "convlstm",
    heads: Annotated[
        bool | None,
        typer.Option(
            "--heads/--no-heads",
            help="With the auxiliary training heads.  [default: as the networks' paper]",
            show_default=False,
        ),
    ] = None,
    form: Format = "text",
) -> None:
    """Compare descriptions with running torch modules, fvcore and FlopCounterMode; exit code 1 on any mismatch.

    With --cell alone: the single cells. With --model: networks. With neither: cells of every kind and recurrence, and
    all networks.
    """
    find_format(form)
    models = arguments.models(model, "--model")
    cells = arguments.cells(cell, "--cell")
    sides, frame = arguments.square(kernel, "--kernel"), arguments.optional(arguments.rectangle, size, "--size")
    sites = arguments.pairs(site, "--site")
    alone = models is None and cells is not None
    if alone and (sites or heads is not None or classes is not None):
        raise InvalidInput("--site, --no-heads and --classes are for networks: add --model")
    if models is not None and channels is not None:
        raise InvalidInput("--channels is for single cells: a cell in a network has those of the layer before it")
    from costmodel.describe.cells import CONV_LSTM, FAMILIES, RECURRENCES, describe_cell
    from costmodel.describe.selection import approach, entries

    programs: dict[str, Program] = {}
    if models is None:
        area = frame if alone and frame else eighth(frame or published.SIZE)
        widths = arguments.square(channels or "128", "--channels")
        kinds = [(name, recurrence) for name in cells or CELLS]
        if cells is None and recurrence == CONV_LSTM.name:
            kinds += [(each.replace("-G", "-4").replace("-R", "-32"), recurrence) for each in FAMILIES]
            kinds += [("standard", other) for other in RECURRENCES if other != recurrence]
        for name, around in kinds:
            program = describe_cell(name, kernel=sides, channels=widths, size=area, recurrence=around)
            programs[approach(None, name, around)] = program
    if not alone:
        settings: dict[str, Any] = {"size": frame, "kernel": sides, "heads": heads}
        settings["classes"] = arguments.optional(arguments.whole, classes, "--classes")
        wanted = list(NETWORKS) if models is None else find_networks(models)
        found = entries(wanted, cells, sites=sites, recurrence=recurrence, **settings)
        programs |= {name: entry.program for name, entry in found.items() if entry.model in wanted}

    from costmodel.building.check import check as compare
    from costmodel.report import check as report

    checks = []
    with progress(len(programs), "checking") as bar:
        for name, program in programs.items():
            checks.append(compare(program, name))
            bar.update()
    print(report.text(checks, form))
    if not all(c.ok for c in checks):
        raise typer.Exit(1)
