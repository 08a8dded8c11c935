"""The command ``sweep``: cells at every combination of kernels and channels."""

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from costmodel.cli import parsers as arguments
from costmodel.cli.timing import Times

if TYPE_CHECKING:
    from costmodel.measure.jobs import Job
    from costmodel.profiles.records import Settings

from costmodel.cli.app import app, examples
from costmodel.cli.options import (
    Budget,
    Cells,
    ConventionName,
    Dtype,
    Format,
    Implementation,
    MapSize,
    Measure,
    MemoryFormat,
    Plot,
    Processes,
    Profiles,
    Recurrence,
    Rounds,
    Save,
    Threads,
    plotted,
)


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
    print(report.document(result, times.found, times.keep).text(form))
    if picture:
        from costmodel.report import figures
        from costmodel.report.figures import style as drawing

        kept = [each.only(times.keep) for each in times.found.values()]
        timed = next((each for each in kept if figures.cells.speedups(result, each)), None)
        drawing.save(partial(figures.promise, result, timed) if timed else partial(figures.kernels, result), picture)
    if times.code:
        raise typer.Exit(times.code)
