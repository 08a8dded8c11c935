"""The command ``check``: descriptions against running modules."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from costmodel.cli import parsers as arguments
from costmodel.cli.timing import progress
from costmodel.describe.catalogue import NETWORKS, find_networks
from costmodel.describe.cells import CELLS
from costmodel.errors import InvalidInput
from costmodel.published import lstm_icnet as published

if TYPE_CHECKING:
    from costmodel.describe.program import Program

from costmodel.cli.app import app, examples
from costmodel.cli.options import (
    FRAME,
    MODELS,
    Cells,
    Classes,
    Format,
    Kernel,
    Recurrence,
    Sites,
    eighth,
)


@app.command(
    epilog=examples(
        "check",
        "check --cell sep --kernel 5",
        "check --model v6 --size 512x1024 --cell depth",
    )
)
def check(
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar=MODELS, help="Networks to check, with the chosen cells; erfnet: all of them."),
    ] = None,
    cell: Cells = None,
    size: Annotated[
        arguments.Sides | None,
        typer.Option(
            parser=arguments.at_door(arguments.rectangle),
            metavar="ROWSxCOLUMNS",
            help="Size of a frame; with --cell alone, of the feature map.  [default: what the networks were published "
            f"with; an eighth of {FRAME} for cells]",
        ),
    ] = None,
    kernel: Kernel = "3",
    channels: Annotated[
        str | None, typer.Option(metavar="C|IxO", help="Channels of the single cells.  [default: 128]")
    ] = None,
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
    models = arguments.models(model, "--model")
    cells = arguments.cells(cell, "--cell")
    sides, frame = arguments.square(kernel, "--kernel"), size
    sites = arguments.pairs(site, "--site")
    alone = models is None and cells is not None
    if alone and (sites or heads is not None or classes is not None):
        raise InvalidInput("--site, --no-heads and --classes are for networks: add --model")
    if models is not None and channels is not None:
        raise InvalidInput("--channels is for single cells: a cell in a network has those of the layer before it")
    from costmodel.describe.cells import CONV_LSTM, FAMILIES, RECURRENCES, describe_cell
    from costmodel.describe.selection import approach, entries

    programs: dict[str, Program] = {}
    if models is None:
        area = frame if alone and frame else eighth(frame or published.SIZE)
        widths = arguments.square(channels or "128", "--channels")
        kinds = [(name, recurrence) for name in cells or CELLS]
        if cells is None and recurrence == CONV_LSTM.name:
            kinds += [(each.replace("-G", "-4").replace("-R", "-32"), recurrence) for each in FAMILIES]
            kinds += [("standard", other) for other in RECURRENCES if other != recurrence]
        for name, around in kinds:
            program = describe_cell(name, kernel=sides, channels=widths, size=area, recurrence=around)
            programs[approach(None, name, around)] = program
    if not alone:
        settings: dict[str, Any] = {"size": frame, "kernel": sides, "heads": heads}
        settings["classes"] = classes
        wanted = list(NETWORKS) if models is None else find_networks(models)
        found = entries(wanted, cells, sites=sites, recurrence=recurrence, **settings)
        programs |= {name: entry.program for name, entry in found.items() if entry.model in wanted}

    from costmodel.building.check import check as compare
    from costmodel.report import check as report

    checks = []
    with progress(len(programs), "checking") as bar:
        for name, program in programs.items():
            checks.append(compare(program, name))
            bar.update()
    print(report.document(checks).text(form))
    if not all(c.ok for c in checks):
        raise typer.Exit(1)
