"""The command ``check``: descriptions against running modules."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from costmodel.cli.app import app, examples, grouped
from costmodel.cli.count import user_code
from costmodel.cli.modules import Called, refuse_options, without_modules
from costmodel.cli.options import (
    CHANNELS,
    FRAME,
    KERNEL,
    Cells,
    CheckedModels,
    Classes,
    Format,
    Kernel,
    Recurrence,
    Sites,
    eighth,
    sides,
)
from costmodel.cli.parsers import Sides, rectangle
from costmodel.cli.timing import progress
from costmodel.describe.catalogue import NETWORKS, find_networks
from costmodel.describe.cells import CELLS
from costmodel.errors import InvalidInput
from costmodel.published import lstm_icnet as published

if TYPE_CHECKING:
    from costmodel.describe.program import Program


@app.command(
    epilog=examples(
        "check",
        "check --cell sep --kernel 5",
        "check --model v6 --size 512x1024 --cell depth",
        "check --model nets.py:standard,torchvision.models:resnet18 --input 1x3x224x224",
    )
)
@grouped
def check(
    *,
    model: CheckedModels = None,
    cell: Cells = None,
    size: Annotated[
        Sides | None,
        sides(
            "ROWSxCOLUMNS",
            "Size of a frame; with --cell alone, of the feature map.  [default: what the networks were published "
            f"with; an eighth of {FRAME} for cells]",
            rectangle,
        ),
    ] = None,
    kernel: Kernel = KERNEL,
    channels: Annotated[Sides | None, sides("C|IxO", "Channels of the single cells.  [default: 128]")] = None,
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
    called: Called,
) -> None:
    """Compare descriptions, or counts of your own modules, with running torch modules, fvcore and FlopCounterMode; exit
    code 1 on any mismatch.

    With --cell alone: the single cells. With --model: networks. With neither: cells of every kind and recurrence, and
    all networks. Of modules of your own the peak memory is compared with that of torch's allocator, too.
    """
    models = called.models(model)
    of_cells = {"--cell": cell, "--kernel": kernel != KERNEL, "--site": site, "--recurrence": recurrence != "convlstm"}
    of_networks = {"--size": size, "--classes": classes, "--heads": heads is not None}
    if without_modules(model) == []:
        refuse_options(model, of_cells, of_networks)
    own = [each for each in models or () if not isinstance(each, str)]
    size = size or called.frame(model)
    alone = model is None and cell is not None
    if alone and (site or heads is not None or classes is not None):
        raise InvalidInput("--site, --no-heads and --classes are for networks: add --model")
    if model is not None and channels is not None:
        raise InvalidInput("--channels is for single cells: a cell in a network has those of the layer before it")
    from costmodel.describe.cells import CONV_LSTM, FAMILIES, RECURRENCES, describe_cell
    from costmodel.describe.selection import approach, entries

    programs: dict[str, Program] = {}
    if model is None:
        area = size if alone and size else eighth(size or published.SIZE)
        kinds = [(name, recurrence) for name in cell or CELLS]
        if cell is None and recurrence == CONV_LSTM.name:
            kinds += [(f"{name[:-1]}{family.example}", recurrence) for name, family in FAMILIES.items()]
            kinds += [("standard", other) for other in RECURRENCES if other != recurrence]
        for name, around in kinds:
            program = describe_cell(name, kernel=kernel, channels=channels or CHANNELS, size=area, recurrence=around)
            programs[approach(None, name, around)] = program
    if not alone:
        described = without_modules(model)
        wanted = list(NETWORKS) if described is None else find_networks(described) if described else []
        rows = (
            {}
            if not wanted
            else entries(
                wanted,
                cell,
                sites=dict(site or ()),
                recurrence=recurrence,
                size=size,
                kernel=kernel,
                heads=heads,
                classes=classes,
            )
        )
        programs |= {name: entry.program for name, entry in rows.items() if entry.model in wanted}

    from costmodel.building.check import Check, ModuleCheck, check_module
    from costmodel.building.check import check as compare
    from costmodel.report import check as report

    checks: list[Check] = []
    of_modules: list[ModuleCheck] = []
    names = [*(each.name for each in own), *programs]
    try:
        with progress(len(names), "checking") as bar:
            for each in own:
                with user_code(called.traceback):
                    net, (args, kwargs) = each.made()
                    of_modules.append(check_module(each.count, net, args, kwargs, each.name))
                bar.update()
            for name, program in programs.items():
                checks.append(compare(program, name))
                bar.update()
    except KeyboardInterrupt:
        done = len(checks) + len(of_modules)
        if not done:
            raise
        print(report.document(checks, names[done:], of_modules).text(form))
        print(f"costmodel: interrupted; {done} of {len(names)} were checked", file=sys.stderr)
        raise typer.Exit(130) from None
    print(report.document(checks, modules=of_modules).text(form))
    if not (all(c.ok for c in checks) and all(c.ok for c in of_modules)):
        raise typer.Exit(1)
