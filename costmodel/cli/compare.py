"""The command ``compare``: networks, cells and modules of one's own side by side."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from costmodel.cli.app import app, examples, grouped
from costmodel.cli.machines import OnMachine
from costmodel.cli.modules import Called
from costmodel.cli.options import (
    CHANNELS,
    KERNEL,
    Cells,
    Classes,
    ConventionName,
    Format,
    Kernel,
    Plot,
    Recurrence,
    plotted,
    sides,
)
from costmodel.cli.parsers import Sides, at_door, is_module, one_to_compare, rectangle
from costmodel.cli.timing import Choices, Effort, Measuring, Profiles, Times
from costmodel.describe.cells import is_cell
from costmodel.errors import InvalidInput

if TYPE_CHECKING:
    from costmodel.measure.jobs import Job
    from costmodel.profiles.records import Settings


@app.command(
    epilog=examples(
        "compare nets.py:standard nets.py:separable --input 1x3x256x512",
        "compare nets.py:standard nets.py:separable --input 1x3x256x512 --measure cpu --save mine --format latex",
        "compare nets.py:standard nets.py:separable --input 1x3x256x512 --profile mine --plot speedups.svg",
        "compare torchvision.models:resnet18 torchvision.models:mobilenet_v3_large --input 1x3x224x224",
        "compare v6 nets:mine --cell standard,sep --input 1x3x512x1024 --base v6 --convention paper",
        "compare standard sep depth --kernel 3 --channels 64 --size 64x128 --profile mine",
        "compare standard spatial depth --kernel 5 --machine mine",
    )
)
@grouped
def compare(
    *,
    model: Annotated[
        list[str],
        typer.Argument(
            parser=at_door(one_to_compare),
            metavar="A B ...",
            help="Modules, PACKAGE.MODULE:FACTORY or path/file.py:FACTORY; networks such as v6; cells such as sep.",
            show_default=False,
        ),
    ],
    called: Called,
    cell: Cells = None,
    kernel: Kernel = KERNEL,
    channels: Annotated[
        Sides | None, sides("C|IxO", "Channels of single cells.  [default: those of --input, or 128]")
    ] = None,
    size: Annotated[
        Sides | None,
        sides("ROWSxCOLUMNS", "Frames of networks, maps of cells.  [default: those of --input]", rectangle),
    ] = None,
    classes: Classes = None,
    convention: ConventionName = "torch",
    recurrence: Recurrence = "convlstm",
    form: Format = "text",
    plot: Plot = None,
    machine: OnMachine,
    profile: Profiles = None,
    measuring: Measuring,
    effort: Effort,
    choices: Choices,
) -> None:
    """Compare modules, networks and cells: parameters, FLOPs, bytes, peak memory, and the speed-up that FLOPs promise;
    with --measure or --profile the measured speed-up, and how much of the promise it keeps; with --machine the time
    that each is predicted to take.

    All are compared with --base, by default the first. Networks are counted and timed without their training heads.
    --plot draws the promised and the measured speed-up where there are times, else the costs relative to the base.
    """
    picture = plotted(plot)
    own = any(map(is_module, model))
    if cell and all(is_module(name) or is_cell(name) for name in model):
        raise InvalidInput("--cell is for described networks, such as v6")
    times = Times(profile, choices, measuring, effort, predicted=machine.machine is not None)
    on = machine.predictor(choices)
    shape = called.map()
    named = called.models(model, dtype=choices.dtype) if own or not shape else list(model)
    size = size or (Sides(shape[1:]) if shape else None)
    channels = channels or (Sides((shape[0], shape[0])) if shape else CHANNELS)
    from costmodel.report.compare import compare as comparing

    result = comparing(
        named or [],
        cell,
        size=size,
        kernel=kernel,
        channels=channels,
        classes=classes,
        convention=convention,
        recurrence=recurrence,
        base=called.base,
    )
    if on is not None:
        result = result.on(on)
    if times.wanted:
        from costmodel.measure.profile import choose

        def jobs(settings: list["Settings"]) -> list["Job"]:
            found: list[Job] = []
            for each in named or ():
                if isinstance(each, str) and is_cell(each):
                    found += choose(
                        settings,
                        None,
                        [each],
                        kernels=[kernel],
                        channels=[channels],
                        size=size,
                        recurrence=recurrence,
                    )
                else:
                    found += choose(
                        settings,
                        [each],
                        cell,
                        kernels=[kernel],
                        size=size,
                        classes=classes,
                        recurrence=recurrence,
                    )
            whole = result.whole.subject
            return [job if whole is None else job.against(whole) for job in found]

        times.gather(jobs)
        for name, found in times.found.items():
            result = result.timed(name, found, times.keep)
        times.miss([row.subject for row in result.rows if row.subject])
    print(result.text(form))
    if picture:
        from costmodel.report import figures
        from costmodel.report.figures import style as drawing

        timed = any(row.timings for row in result.rows)
        drawing.save(partial(figures.compared if timed else figures.costs, result), picture)
    if times.code:
        raise typer.Exit(times.code)
