"""The command ``sweep``: cells at every combination of kernels and channels; modules of the user's at every combination
of sizes and arguments."""

import sys
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from costmodel.cli.app import app, examples, grouped
from costmodel.cli.grid import Gridded, sweep_module
from costmodel.cli.machines import OnMachine
from costmodel.cli.options import (
    CHANNELS,
    MAP,
    SWEPT,
    Cells,
    Format,
    Plot,
    Top,
    choice,
    plotted,
    several_sides,
    sides,
    sort,
)
from costmodel.cli.parsers import Sides, rectangle
from costmodel.cli.timing import Choices, Effort, Measuring, Profiles, Times
from costmodel.describe.cells import RECURRENCES
from costmodel.errors import InvalidInput
from costmodel.price.conventions import CONVENTIONS

if TYPE_CHECKING:
    from costmodel.measure.jobs import Job
    from costmodel.profiles.records import Settings


@app.command(
    epilog=examples(
        "sweep --kernel 3,5,7",
        "sweep --kernel 3,3x5 --channels 64,96x128 --cell standard,sep",
        "sweep --kernel 3 --size 32x64 --measure cpu --format csv",
        "sweep --kernel 3,5 --cell standard,depth --machine mine --sort ms",
        "sweep mymodel:build --input Nx3xHxW --grid N=1,8 H=256,512 W=512",
        "sweep mymodel.py:build --input 1x3xHxH --grid H=64,128,256 --make width=16,32 --measure cpu --plot time.svg",
    )
)
@grouped
def sweep(
    *,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODULE] [LETTER=SIZES ...]",
            help="A module of your own, PACKAGE.MODULE:FACTORY or path/file.py:FACTORY, and more of --grid.  [default: "
            "cells]",
            show_default=False,
        ),
    ] = None,
    gridded: Gridded,
    kernel: Annotated[
        list[Sides] | None, several_sides("K,KxK,...", "Kernels, rows x columns.  [default: 3,5,7]")
    ] = None,
    cell: Cells = None,
    channels: Annotated[
        list[Sides] | None,
        several_sides("C,IxO,...", "Channels; IxO for different ones in and out.  [default: 128]"),
    ] = None,
    size: Annotated[
        Sides | None, sides("ROWSxCOLUMNS", "Size of the cells' feature map.  [default: 128x256]", rectangle)
    ] = None,
    convention: Annotated[
        str | None,
        choice(CONVENTIONS, "What counts as a FLOP.  [default: paper; of a module torch]", default=False),
    ] = None,
    recurrence: Annotated[
        str | None,
        choice(RECURRENCES, "The recurrence around the cells' convolutions.  [default: convlstm]", default=False),
    ] = None,
    form: Format = "text",
    order: Annotated[str | None, sort("flops", "params", "cost", "bytes", "memory")] = None,
    top: Top = None,
    plot: Plot = None,
    machine: OnMachine,
    profile: Profiles = None,
    measuring: Measuring,
    effort: Effort,
    choices: Choices,
) -> None:
    """The cost of a module of your own at every combination of sizes (--grid) and arguments (--make); or of cells at
    every combination of kernels and channels, beside the paper's approximation.

    --plot draws the measured speed-up of cells against the promised one where there are times, else cost over kernels;
    of a module, times or FLOPs over the letter or the argument with the most values.
    """
    module = gridded.module(words)
    picture = plotted(plot)
    times = Times(profile, choices, measuring, effort, predicted=machine.machine is not None)
    on = machine.predictor(choices)
    if module is not None:
        of_cells = {
            "--kernel": kernel,
            "--cell": cell,
            "--channels": channels,
            "--size": size,
            "--recurrence": recurrence,
        }
        if given := [option for option, value in of_cells.items() if value is not None]:
            raise InvalidInput(f"{given[0]} is for cells: {module} has --input with --grid, and --make")
        sweep_module(module, gridded, times, on, convention or "torch", form, order, top, picture)
        return
    size, recurrence = size or MAP, recurrence or "convlstm"
    from costmodel.price.sweep import sweep as grid
    from costmodel.report import sweep as report

    result = grid(
        kernel or SWEPT, channels or [CHANNELS], [size], cell, convention=convention or "paper", recurrence=recurrence
    )
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
    print(report.document(result, times.found, times.keep, order, top, on).text(form))
    if picture:
        from costmodel.report import figures
        from costmodel.report.figures import style as drawing

        kept = [each.only(times.keep) for each in times.found.values()]
        timed = next((each for each in kept if figures.cells.speedups(result, each)), None)
        drawing.save(partial(figures.promise, result, timed) if timed else partial(figures.kernels, result), picture)
    if times.code:
        raise typer.Exit(times.code)
