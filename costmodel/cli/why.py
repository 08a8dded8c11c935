"""The command ``why``: the bridge from the ratio of two times that FLOPs promise to the predicted and measured one."""

import sys
from functools import partial
from typing import Annotated

import typer

from costmodel.cli.app import app, examples, grouped
from costmodel.cli.machines import Calibrated
from costmodel.cli.modules import CalledAlone
from costmodel.cli.options import (
    CHANNELS,
    KERNEL,
    Cells,
    Classes,
    ConventionName,
    Format,
    Kernel,
    Recurrence,
    plotted,
    sides,
)
from costmodel.cli.parsers import Sides, at_door, is_module, one_to_compare, rectangle
from costmodel.describe.cells import is_cell
from costmodel.errors import InvalidInput


@app.command(
    epilog=examples(
        "why standard spatial --machine mine",
        "why v6 --cell standard,spatial --machine mine --plot why.svg --roofline roofline.svg",
        "why icnet v6 --machine mine --profile other",
        "why nets.py:standard nets.py:separable --input 1x3x256x512 --machine mine",
    )
)
@grouped
def why(
    *,
    model: Annotated[
        list[str],
        typer.Argument(
            parser=at_door(one_to_compare),
            metavar="A B",
            help="Modules, PACKAGE.MODULE:FACTORY or path/file.py:FACTORY; networks such as v6; cells such as sep. Or "
            "one network, of which --cell makes two.",
            show_default=False,
        ),
    ],
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Times of A and B.  [default: those in the profile of --machine, if there are any]",
        ),
    ] = None,
    calibrated: Calibrated,
    called: CalledAlone,
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
    plot: Annotated[
        str | None, typer.Option("--plot", metavar="FILE", help="Draw the steps as a waterfall: .svg, .png or .pdf.")
    ] = None,
    roofline: Annotated[
        str | None,
        typer.Option("--roofline", metavar="FILE", help="Draw every operation below the ceilings of the machine."),
    ] = None,
) -> None:
    """Say why the time of B relative to A is not what FLOPs promise: the steps from the promised ratio to the predicted
    and the measured one, which add up exactly, and the kernels that they come from.

    --machine predicts both; times of both are taken from --profile. Networks are without their training heads.
    """
    waterfall_file, roofline_file = plotted(plot), plotted(roofline, "--roofline")
    on = calibrated.predictor
    own = any(map(is_module, model))
    if cell and all(is_module(name) or is_cell(name) for name in model):
        raise InvalidInput("--cell is for described networks, such as v6")
    shape = called.map()
    named = called.models(model, dtype=[on.dtype]) if own or not shape else list(model)
    from costmodel.report.why import why as explaining

    result = explaining(
        *(named or []),
        machine=on,
        profile=profile,
        cells=cell or "standard",
        size=size or (Sides(shape[1:]) if shape else None),
        kernel=kernel,
        channels=channels or (Sides((shape[0], shape[0])) if shape else CHANNELS),
        classes=classes,
        convention=convention,
        recurrence=recurrence,
    )
    print(result.text(form))
    for sentence in filter(None, (result.lacking, result.incomplete)):
        print(f"costmodel: {sentence}", file=sys.stderr)
    for file, figure in ((waterfall_file, "waterfall"), (roofline_file, "roofline")):
        if file:
            from costmodel.report import figures
            from costmodel.report.figures import style

            style.save(partial(getattr(figures, figure), result), file)
