"""The command ``sweep``: cells at every combination of kernels and channels."""

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from costmodel.cli.app import app, examples, grouped
from costmodel.cli.options import (
    CHANNELS,
    MAP,
    SWEPT,
    Cells,
    ConventionName,
    Format,
    MapSize,
    Plot,
    Recurrence,
    Top,
    plotted,
    several_sides,
    sort,
)
from costmodel.cli.parsers import Sides
from costmodel.cli.timing import Choices, Effort, Measuring, Profiles, Times

if TYPE_CHECKING:
    from costmodel.measure.jobs import Job
    from costmodel.profiles.records import Settings


@app.command(
    epilog=examples(
        "sweep --kernel 3,5,7",
        "sweep --kernel 3,3x5 --channels 64,96x128 --cell standard,sep",
        "sweep --kernel 3 --size 32x64 --measure cpu --format csv",
    )
)
@grouped
def sweep(
    *,
    kernel: Annotated[
        list[Sides] | None, several_sides("K,KxK,...", "Kernels, rows x columns.  [default: 3,5,7]")
    ] = None,
    cell: Cells = None,
    channels: Annotated[
        list[Sides] | None,
        several_sides("C,IxO,...", "Channels; IxO for different ones in and out.  [default: 128]"),
    ] = None,
    size: MapSize = MAP,
    convention: ConventionName = "paper",
    recurrence: Recurrence = "convlstm",
    form: Format = "text",
    order: Annotated[str | None, sort("flops", "params", "cost")] = None,
    top: Top = None,
    plot: Plot = None,
    profile: Profiles = None,
    measuring: Measuring,
    effort: Effort,
    choices: Choices,
) -> None:
    """Cost of the cells at every combination of kernels and channels, beside the paper's approximation.

    --plot draws the measured speed-up against the promised one where there are times, else cost over kernels.
    """
    picture = plotted(plot)
    times = Times(profile, choices, measuring, effort)
    from costmodel.price.sweep import sweep as grid
    from costmodel.report import sweep as report

    result = grid(kernel or SWEPT, channels or [CHANNELS], [size], cell, convention=convention, recurrence=recurrence)
    if result.left_out:
        print(f"costmodel: left out: {result.left_out}", file=sys.stderr)
    if times.wanted:
        from costmodel.measure.profile import choose

        points = dict.fromkeys((row.kernel, row.channels, row.cell) for row in result.rows())

        def jobs(settings: list["Settings"]) -> list["Job"]:
            return [
                job
                for sides, widths, name in points
                for job in choose(
                    settings,
                    None,
                    ["standard", name],
                    kernels=[sides],
                    channels=[widths],
                    size=size,
                    recurrence=recurrence,
                )
            ]

        times.gather(jobs)
        times.miss([report.subject(result, row) for row in result.rows()])
    print(report.document(result, times.found, times.keep, order, top).text(form))
    if picture:
        from costmodel.report import figures
        from costmodel.report.figures import style as drawing

        kept = [each.only(times.keep) for each in times.found.values()]
        timed = next((each for each in kept if figures.cells.speedups(result, each)), None)
        drawing.save(partial(figures.promise, result, timed) if timed else partial(figures.kernels, result), picture)
    if times.code:
        raise typer.Exit(times.code)
