"""The command ``plot``: one figure."""

import sys
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import typer

from costmodel.cli.app import app, examples, grouped
from costmodel.cli.layers import recorded_layers
from costmodel.cli.modules import Called, refuse_options
from costmodel.cli.options import (
    CHANNELS,
    KERNEL,
    SWEPT,
    Cells,
    Classes,
    FrameSize,
    Models,
    Recurrence,
    choice,
    eighth,
    listed,
    several_sides,
)
from costmodel.cli.parsers import Sides, is_module
from costmodel.cli.timing import ShownChoices, readable, recorded_times
from costmodel.errors import InvalidInput, among
from costmodel.price.conventions import CONVENTIONS
from costmodel.published import erfnet
from costmodel.published import lstm_icnet as published

TIMED = ("overview", "time", "quality", "layers", "flame", "promise")  # of the following
PARTS = ("layers", "flame")  # of one network or module
# What `plot` draws: the functions of `costmodel.report.figures.networks`, which opens too much for --help.
PLOTS = {
    "overview": "parameters, FLOPs, time of every network relative to the first: the paper's Fig. 1",
    "time": "time per frame against FLOPs",
    "quality": "published quality (Tables II and III) against cost, with the Pareto front",
    "layers": "FLOPs per layer of a network; with --profile their share beside that of the time",
    "flame": "time of a network, of its layers and of what is in them, as wide as it takes",
    "kernels": "cost relative to the standard cell, by kernel or channels; the approximation",
    "promise": "measured speed-up of the cells, or of modules, against the one that FLOPs promise",
}
OF_MODULES = ("overview", "time", "layers", "flame", "promise")


@app.command(
    help="Draw one figure, as wide as a column in print (8.5 cm).\n\n\b\n"
    + "\n".join(f"{kind:<9} {what}" for kind, what in PLOTS.items()),
    epilog=examples(
        "plot overview",
        "plot time --profile amd-epyc-2-cores --implementation eager --out time.png",
        "plot promise --profile amd-epyc-2-cores --kernel 3,5,7",
        "plot quality --metric vkitti-mfp --cost time --profile amd-epyc-2-cores",
        "plot layers --model v6 --cell sep --size 512x1024",
        "plot flame --model v6 --profile mine",
        "plot kernels --kernel 3 --channels 32,64,128 --out channels.pdf",
        "plot layers --model nets.py:separable --input 1x3x256x512",
        "plot time --model nets.py:standard,nets.py:separable --input 1x3x256x512 --profile mine",
    ),
)
@grouped
def plot(
    *,
    kind: Annotated[str, typer.Argument(metavar=listed(PLOTS), help="What to draw, see below.", show_default=False)],
    model: Models = None,
    cell: Cells = None,
    size: FrameSize = None,
    kernel: Annotated[list[Sides] | None, several_sides("K,KxK,...", "Kernels.  [default: 3; 3,5,7 for cells]")] = None,
    channels: Annotated[
        list[Sides] | None, several_sides("C,IxO,...", "Channels of single cells.  [default: 128]")
    ] = None,
    classes: Classes = None,
    convention: Annotated[
        str | None,
        choice(
            CONVENTIONS,
            "What counts as a FLOP.  [default: that of the networks' paper; paper for single cells]",
            default=False,
        ),
    ] = None,
    recurrence: Recurrence = "convlstm",
    metric: Annotated[
        str | None,
        choice(
            [*published.QUALITY, *erfnet.QUALITY],
            "Of quality.  [default: the first about these networks]",
            default=False,
        ),
    ] = None,
    cost: Annotated[
        str | None,
        choice(("flops", "params", "time"), "Of quality, on the x axis.  [default: flops]", default=False),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="Recorded times.  [default: those published in the paper]")
    ] = None,
    choices: ShownChoices,
    called: Called,
    out: Annotated[str | None, typer.Option(metavar="FILE", help="An .svg, .png or .pdf.  [default: KIND.svg]")] = None,
) -> None:
    if kind not in PLOTS:
        raise InvalidInput(f"unknown figure {kind!r}: {among(kind, PLOTS)}")
    own = any(map(is_module, model or ()))
    if own and kind not in OF_MODULES:
        reason = "no paper has printed its quality" if kind == "quality" else "it has no kernel to vary"
        raise InvalidInput(f"{kind} is not for a module of your own: {reason}; {', '.join(OF_MODULES)} are")
    single = kind in ("kernels", "promise") and not own
    for option, value, kinds in (
        ("--channels", channels, ("kernels", "promise") if not own else ()),
        ("--model", model, ("overview", "time", "quality", *PARTS, *(("promise",) if own else ()))),
        ("--metric", metric, ("quality",)),
        ("--cost", cost, ("quality",)),
        ("--classes", classes, ("overview", "time", "quality", *PARTS, *(("promise",) if own else ()))),
        ("--profile", profile, TIMED),
        *((f"--{name.replace('_', '-')}", values, TIMED) for name, values in vars(choices).items()),
    ):
        if value is not None and kind not in kinds:
            raise InvalidInput(f"{option} is for {', '.join(kinds) or 'single cells'}: not for {kind}")
    if kind == "quality" and cost != "time" and profile is not None:
        raise InvalidInput("--profile is for --cost time: the other costs of quality need none")
    if kind == "flame" and profile is None:
        raise InvalidInput("flame needs times of parts: --profile with one that `profile --layers` recorded")
    from costmodel.report import figures
    from costmodel.report.figures import style as drawing

    path = drawing.destination(f"{kind}.svg" if out is None else out, "--out")
    times = recorded_times(None if profile is None else [profile], choices)
    found = {name: each.only(times.keep) for name, each in times.found.items()}
    if not single and len(kernel or ()) > 1:
        raise InvalidInput(f"--kernel: one value for {kind}, such as 3 or 3x5")
    draw: Callable[..., Any]
    models = called.models(model, dtype=choices.dtype)
    if own:
        of_cells = {"--cell": cell, "--kernel": kernel, "--recurrence": recurrence != "convlstm"}
        refuse_options(model, of_cells, {"--size": size, "--classes": classes})
    size = size or called.frame(model)
    if own and kind == "promise":
        from costmodel.report.compare import compare

        comparison = compare(
            models or [],
            cell,
            size=size,
            kernel=(kernel or [KERNEL])[0],
            classes=classes,
            convention=convention or "torch",
            recurrence=recurrence,
            base=called.base,
        )
        times.miss([row.subject for row in comparison.rows if row.subject], fatal=True)
        for name, each in found.items():
            comparison = comparison.timed(name, each)
        draw = partial(figures.compared, comparison)
    elif single:
        from costmodel.price.sweep import sweep as grid
        from costmodel.report.sweep import subject

        sweep = grid(
            kernel or SWEPT,
            channels or [CHANNELS],
            [eighth(size or published.SIZE)],
            cell,
            convention=convention or "paper",
            recurrence=recurrence,
        )
        if sweep.left_out:
            print(f"costmodel: left out: {sweep.left_out}", file=sys.stderr)
        if kind == "promise" and not found:
            from costmodel.profiles.files import available, load

            names = [name for name, path in available().items() if readable(path) and not load(path).host.source]
            raise InvalidInput(f"promise needs measured times: --profile with one of {', '.join(names) or 'none'}")
        times.miss([subject(sweep, row) for row in sweep.rows()], fatal=True)
        draw = partial(figures.kernels, sweep)
        if kind == "promise":
            draw = partial(figures.promise, sweep, *found.values())
    else:
        from costmodel.report.table import table as networks

        if kind in PARTS:
            models, cell = models or ["v6"], cell or ["standard"]
            if len(models) > 1 or len(cell) > 1:
                verb = "are" if kind == "layers" else "is"
                raise InvalidInput(f"{kind} {verb} of one network: one --model and one --cell")
        table = networks(
            models,
            cell,
            convention=convention,
            recurrence=recurrence,
            size=size,
            kernel=(kernel or [KERNEL])[0],
            classes=classes,
            base=called.base,
        )
        if kind in PARTS:
            row = table.rows[-1]  # what it extends comes first
            about: dict[str, Any] = {}
            if found:
                ((name, each),) = found.items()
                own_module = next((model for model in models or () if not isinstance(model, str)), None)
                about["times"] = times_of = recorded_layers(name, each, table.subject(row), own_module)
                about["machine"] = each.host.name(times_of.run.how.device)
            if kind == "flame":
                draw = partial(figures.flame, about.pop("times"), table.convention, **about)
            else:
                draw = partial(figures.layers, row.entry, table.convention, name=row.approach, **about)
        else:
            times.miss([table.subject(row) for row in table.rows], fatal=True)
            for name, each in found.items():
                table = table.timed(name, each)
            if kind == "quality":
                draw = partial(figures.quality, table, metric, cost or "flops")
            else:
                draw = partial(figures.time if kind == "time" else figures.overview, table)
    drawing.save(draw, path)
    print(path)
