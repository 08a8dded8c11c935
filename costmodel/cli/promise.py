"""The command ``promise``: the speed-up that FLOPs promise, beside the measured one."""

import sys
from typing import Annotated

from costmodel.cli.app import app, examples, grouped
from costmodel.cli.options import (
    CHANNELS,
    KERNEL,
    MAP,
    SWEPT,
    Cells,
    Classes,
    Format,
    PromisedModels,
    Recurrence,
    choice,
    several_sides,
    sides,
)
from costmodel.cli.parsers import Sides, is_module, rectangle
from costmodel.cli.timing import Profiles, ShownChoices, recorded_for
from costmodel.errors import InvalidInput
from costmodel.price.conventions import CONVENTIONS


@app.command(
    epilog=examples(
        "promise --kernel 3,5,7",
        "promise --cell sep,depth --profile amd-epyc-2-cores --implementation eager --threads 2",
        "promise --model v6 --profile paper",
    )
)
@grouped
def promise(
    *,
    model: PromisedModels = None,
    cell: Cells = None,
    kernel: Annotated[
        list[Sides] | None, several_sides("K,KxK,...", "Kernels.  [default: 3,5,7; 3 for networks]")
    ] = None,
    channels: Annotated[
        list[Sides] | None, several_sides("C,IxO,...", "Channels of single cells.  [default: 128]")
    ] = None,
    size: Annotated[
        Sides | None,
        sides(
            "ROWSxCOLUMNS",
            "Size of the feature map, or of the frame of networks.  [default: 128x256; 1024x2048]",
            rectangle,
        ),
    ] = None,
    classes: Classes = None,
    convention: Annotated[
        str | None,
        choice(
            CONVENTIONS, "What counts as a FLOP.  [default: paper; for networks that of their paper]", default=False
        ),
    ] = None,
    recurrence: Recurrence = "convlstm",
    profile: Profiles = None,
    choices: ShownChoices,
    form: Format = "text",
) -> None:
    """Compare promised with measured speed-ups: of single cells over the standard cell, of networks with --model.

    kept % is measured / promised. Times are those of --profile, else of all profiles that have these rows.
    """
    from costmodel.report import promise as report

    if model:
        if channels is not None:
            raise InvalidInput("--channels is for single cells: not for --model")
        if own := [name for name in model if is_module(name)]:
            raise InvalidInput(
                f"--model {own[0]!r}: a module of your own has a promise in: costmodel compare BASE {own[0]}"
            )
        from costmodel.report.table import table

        tables = [
            table(model, cell, size=size, kernel=each, classes=classes, convention=convention, recurrence=recurrence)
            for each in kernel or [KERNEL]
        ]
        whole = tables[0]
        promises, priced = report.of_networks(tables), whole.convention
        kernels = "" if tables[1:] else f", kernel {'x'.join(map(str, whole.kernel))}"
        title = f"one {whole.unit_of_work}{kernels}, {whole.classes} classes"
        base, heads = whole.base, whole.heads_in_words
        notes = (
            [f"{priced.unit}s are those {heads}, which costmodel does not time."]
            if heads == "with training heads"
            else []
        )
    else:
        if classes is not None:
            raise InvalidInput("--classes is for networks: give --model")
        from costmodel.price.sweep import sweep

        grid = sweep(
            kernel or SWEPT,
            channels or [CHANNELS],
            [size or MAP],
            cell,
            convention=convention or "paper",
            recurrence=recurrence,
        )
        if grid.left_out:
            print(f"costmodel: left out: {grid.left_out}", file=sys.stderr)
        promises, priced, base, notes = report.of_cells(grid), grid.convention, "the standard cell", []
        title = f"one step on a {'x'.join(map(str, grid.sizes[0]))} feature map"
        title += "" if grid.channels[1:] else f", {'x'.join(map(str, dict.fromkeys(grid.channels[0])))} channels"
    if not promises:
        raise InvalidInput("a speed-up needs a cell other than the standard cell, or a network with such cells")
    wanted = [row.subject for row in promises]
    profiles = recorded_for(dict.fromkeys([*wanted, *(each.standard for each in wanted)]), profile, choices)
    print(report.document(promises, priced, profiles, title=title, base=base, notes=notes).text(form))
