"""The command ``report``: a folder with tables, figures and a page."""

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from costmodel.cli.app import app, examples, grouped
from costmodel.cli.modules import Called, refuse_options
from costmodel.cli.options import (
    CHANNELS,
    SWEPT,
    Cells,
    Classes,
    FrameSize,
    Models,
    NetworkConvention,
    Recurrence,
    eighth,
    several_sides,
)
from costmodel.cli.parsers import Sides
from costmodel.cli.timing import ShownChoices, progress, readable, recorded_times
from costmodel.published import lstm_icnet as published


@app.command(
    epilog=examples(
        "report",
        "report --model v6 --profile amd-epyc-2-cores --out v6",
        "report --implementation compiled --out report --force",
        "report --size 512x1024 --cell standard,sep --kernel 3,5",
        "report --model nets.py:standard,nets.py:separable --input 1x3x256x512 --profile mine --out nets",
    )
)
@grouped
def report(
    *,
    model: Models = None,
    cell: Cells = None,
    size: FrameSize = None,
    kernel: Annotated[
        list[Sides] | None,
        several_sides("K,KxK,...", "Kernels of the sweep; the networks have the first.  [default: 3,5,7]"),
    ] = None,
    channels: Annotated[
        list[Sides] | None,
        several_sides("C,IxO,...", "Channels of the sweep; IxO for different ones in and out.  [default: 128]"),
    ] = None,
    classes: Classes = None,
    convention: NetworkConvention = None,
    recurrence: Recurrence = "convlstm",
    profile: Annotated[
        list[str] | None,
        typer.Option(
            "--profile",
            metavar="NAME|FILE",
            help="Recorded times; repeat for several machines.  [default: all there are]",
            show_default=False,
        ),
    ] = None,
    choices: ShownChoices,
    called: Called,
    out: Annotated[str, typer.Option(metavar="FOLDER", help="Where to; it is written as a whole or not at all.")] = (
        "report"
    ),
    force: Annotated[bool, typer.Option("--force", help="Replace a report that is there.")] = False,
) -> None:
    """Write a folder with everything: Table IV and the sweep in all formats, figures, and one page, index.html.

    All from descriptions and recorded profiles; nothing is measured. With modules of your own also: costs side by side,
    promised and measured speed-up, the layers of each; of modules alone, without Table IV and the sweep of cells.
    """
    from costmodel.report.folder import refuse_to_replace

    refuse_to_replace(Path(out), force)
    from costmodel.price.sweep import sweep as grid
    from costmodel.profiles import files as profiles
    from costmodel.report import sweep as sweeps
    from costmodel.report.compare import compare as comparing
    from costmodel.report.folder import Report, replacing
    from costmodel.report.table import table as networks

    models = called.models(model, dtype=choices.dtype)
    of_networks = {"--cell": cell, "--size": size, "--kernel": kernel, "--channels": channels, "--classes": classes}
    refuse_options(model, {}, of_networks | {"--recurrence": recurrence != "convlstm"})
    size = size or called.frame(model)
    plain = networks(
        models,
        cell,
        size=size,
        kernel=(kernel or SWEPT)[0],
        classes=classes,
        convention=convention,
        recurrence=recurrence,
        base=called.base,
    )
    widths, maps = channels or [CHANNELS], [eighth(plain.size or published.SIZE)]
    if channels is None and not plain.has_printed:  # the cells that the networks have
        cells = list(dict.fromkeys(cell for entry in plain.described for cell in entry.program.cells))
        widths = list(dict.fromkeys(Sides(width) for width, _ in cells)) or widths
        maps = list(dict.fromkeys(shape for _, shape in cells)) or maps
    cells_only = "paper" if convention in (None, published.CONVENTION) else convention
    sweep = None
    if plain.described:
        sweep = grid(kernel or SWEPT, widths, maps, cell, convention=cells_only, recurrence=recurrence)
    if sweep and sweep.left_out:
        print(f"costmodel: left out: {sweep.left_out}", file=sys.stderr)
    recorded = [name for name, path in profiles.available().items() if readable(path)] if not profile else []
    times = recorded_times(profile or recorded, choices)
    found = {name: each.only(times.keep) for name, each in times.found.items()}
    about = [plain.subject(row) for row in plain.rows]
    about += [sweeps.subject(sweep, row) for row in sweep.rows()] if sweep else []
    if profile:
        times.miss(about, fatal=True)
    found = {name: each for name, each in found.items() if any(run.subject in about for run in each.runs)}
    command = ["costmodel", *sys.argv[1:], *([] if force else ["--force"])]
    command += [] if profile else [f"--profile={name}" for name in found]
    own = [each for each in models or () if not isinstance(each, str)]
    side_by_side = None
    if own:
        side_by_side = comparing(
            models or [],
            cell,
            size=size,
            kernel=(kernel or SWEPT)[0],
            classes=classes,
            convention=plain.convention,
            recurrence=recurrence,
            base=called.base,
        )
    counts = {each.name: replace(each.count, name=each.name) for each in own}
    whole = Report(plain, sweep, found, shlex.join(command), side_by_side, counts)
    with replacing(Path(out), force) as folder, progress(len(whole.drawings), "drawing") as bar:
        whole.write(folder, tick=lambda what: bar.update())
    print(f"{Path(out) / 'index.html'}")
