"""The command ``table``: parameters and FLOPs of networks."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from costmodel.cli.app import app, examples, grouped
from costmodel.cli.machines import OnMachine
from costmodel.cli.modules import Called, refuse_options
from costmodel.cli.options import (
    KERNEL,
    Cells,
    Classes,
    DecoderBlocks,
    Format,
    FrameSize,
    Kernel,
    Models,
    NetworkConvention,
    Plot,
    Recurrence,
    Sites,
    Top,
    plotted,
    sort,
)
from costmodel.cli.timing import Choices, Effort, Measuring, Profiles, Times

if TYPE_CHECKING:
    from costmodel.measure.jobs import Job
    from costmodel.profiles.records import Settings


@app.command(
    epilog=examples(
        "table --model v6",
        "table --model v5,v6 --cell depth,sep --size 512x1024 --format markdown",
        "table --model v6 --cell sep --site final=standard",
        "table --convention fvcore --no-heads --format json",
        "table --model erfnet",
        "table --model erfnet --decoder-blocks 2 --convention torch",
        "table --model v6 --machine mine --sort ms",
        "table --profile amd-epyc-2-cores --plot time.svg",
        "table --model nets.py:standard,nets.py:separable --input 1x3x256x512 --measure cpu",
    )
)
@grouped
def table(
    *,
    model: Models = None,
    cell: Cells = None,
    size: FrameSize = None,
    kernel: Kernel = KERNEL,
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
    order: Annotated[str | None, sort("flops", "params")] = None,
    top: Top = None,
    plot: Plot = None,
    machine: OnMachine,
    profile: Profiles = None,
    measuring: Measuring,
    effort: Effort,
    choices: Choices,
    called: Called,
) -> None:
    """Parameters and FLOPs of ICNet and LSTM-ICNet: Table IV, for any size, kernel, class count and cell; of ERFNet and
    its variants with --model erfnet.

    --plot draws times against FLOPs where there are times, else parameters and FLOPs relative to ICNet.
    """
    picture = plotted(plot)
    times = Times(profile, choices, measuring, effort, predicted=machine.machine is not None)
    on = machine.predictor(choices)
    models = called.models(model, dtype=choices.dtype)
    of_cells = {"--cell": cell, "--kernel": kernel != KERNEL, "--recurrence": recurrence != "convlstm"}
    refuse_options(model, of_cells, {"--size": size, "--classes": classes})
    size = size or called.frame(model)
    from costmodel.report import table as tables

    sites = dict(site or ())
    result = tables.table(
        models,
        cell,
        size=size,
        kernel=kernel,
        classes=classes,
        convention=convention,
        heads=heads,
        recurrence=recurrence,
        sites=sites,
        decoder_blocks=decoder_blocks,
        base=called.base,
    )
    if on is not None:
        result = result.on(on)
    if times.wanted:
        from costmodel.measure.profile import choose

        def jobs(settings: list["Settings"]) -> list["Job"]:
            # What % refers to is timed even if it is not shown.
            described = list(dict.fromkeys(entry.model for entry in result.described))
            own = [each for each in models or () if not isinstance(each, str)]
            return [
                job
                for cells, at in ((cell, sites), (["standard"], None))
                for job in choose(
                    settings,
                    [*described, *own],
                    cells,
                    kernels=[kernel],
                    size=size,
                    classes=classes,
                    sites=at,
                    recurrence=recurrence,
                    base=called.base,
                )
            ]

        times.gather(jobs)
        for name, found in times.found.items():
            result = result.timed(name, found, times.keep)
        times.miss([result.subject(row) for row in result.rows])
    print(result.arranged(order, top).text(form))
    if picture:
        from costmodel.report import figures
        from costmodel.report.figures import style as drawing

        kind = figures.time if result.times() else figures.overview
        drawing.save(partial(kind, result), picture)
    if times.code:
        raise typer.Exit(times.code)
