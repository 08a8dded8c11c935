"""The command ``check``: descriptions against running modules."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from costmodel.cli.app import app, examples
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
    )
)
def check(
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
) -> None:
    """Compare descriptions with running torch modules, fvcore and FlopCounterMode; exit code 1 on any mismatch.

    With --cell alone: the single cells. With --model: networks. With neither: cells of every kind and recurrence, and
    all networks.
    """
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
        wanted = list(NETWORKS) if model is None else find_networks(model)
        rows = entries(
            wanted,
            cell,
            sites=dict(site or ()),
            recurrence=recurrence,
            size=size,
            kernel=kernel,
            heads=heads,
            classes=classes,
        )
        programs |= {name: entry.program for name, entry in rows.items() if entry.model in wanted}

    from costmodel.building.check import check as compare
    from costmodel.report import check as report

    checks = []
    try:
        with progress(len(programs), "checking") as bar:
            for name, program in programs.items():
                checks.append(compare(program, name))
                bar.update()
    except KeyboardInterrupt:
        if not checks:
            raise
        print(report.document(checks, list(programs)[len(checks) :]).text(form))
        print(f"costmodel: interrupted; {len(checks)} of {len(programs)} were checked", file=sys.stderr)
        raise typer.Exit(130) from None
    print(report.document(checks).text(form))
    if not all(c.ok for c in checks):
        raise typer.Exit(1)
