"""The command ``table``: parameters and FLOPs of networks."""

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from costmodel.cli import parsers as arguments
from costmodel.cli.timing import Times
from costmodel.describe.catalogue import NETWORKS
from costmodel.errors import InvalidInput

if TYPE_CHECKING:
    from costmodel.measure.jobs import Job
    from costmodel.profiles.records import Settings

from costmodel.cli.app import app, examples
from costmodel.cli.options import (
    Budget,
    Cells,
    Classes,
    DecoderBlocks,
    Dtype,
    Format,
    FrameSize,
    Implementation,
    Kernel,
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

    picture = plotted(plot)
    times = Times(profile, measure, save, processes, rounds, budget, dtype, memory_format, implementation, threads)
    chosen: dict[str, Any] = {
        "models": arguments.models(model, "--model"),
        "cells": arguments.cells(cell, "--cell"),
        "sites": arguments.pairs(site, "--site"),
        "recurrence": recurrence,
        "size": size,
        "kernel": arguments.square(kernel, "--kernel"),
        "classes": classes,
    }
    _refuse_cells(
        chosen["models"], {"--cell": cell, "--kernel": kernel != "3", "--recurrence": recurrence != "convlstm"}
    )
    result = tables.table(**chosen, heads=heads, convention=convention, decoder_blocks=decoder_blocks)
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
