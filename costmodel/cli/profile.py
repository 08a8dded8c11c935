"""The command ``profile``: time networks and cells."""

from typing import Annotated

import typer

from costmodel.cli.app import app, examples, grouped
from costmodel.cli.count import Limits
from costmodel.cli.layers import Depth, Trace, time_layers
from costmodel.cli.modules import Called
from costmodel.cli.options import (
    CHANNELS,
    KERNEL,
    Cells,
    Classes,
    Format,
    Recurrence,
    Sites,
    TimedModels,
    number,
    several_sides,
    sides,
)
from costmodel.cli.parsers import Sides, at_door, one_of, rectangle
from costmodel.cli.timing import DEVICES, Choices, Effort, settings_grid, time_jobs
from costmodel.errors import InvalidInput


@app.command(
    epilog=examples(
        "profile --model icnet,v2,v5,v6 --out mine",
        "profile --cells standard,sep --kernel 3,5,7 --memory-format contiguous,channels_last",
        "profile --model v6 --cell depth --implementation eager,compiled --budget 5m",
        "profile --model v6 --device cuda --cuda-graph --out mine --resume",
        "profile --model v5 --frames 4",
        "profile --model nets.py:standard,nets.py:separable --input 1x3x256x512 --out mine",
        "profile --model v6 --layers --depth 1 --trace v6.json",
    )
)
@grouped
def profile(
    *,
    model: TimedModels = None,
    cell: Cells = None,
    kernel: Annotated[list[Sides] | None, several_sides("K,KxK,...", "Kernels.  [default: 3]")] = None,
    channels: Annotated[
        list[Sides] | None, several_sides("C,IxO,...", "Channels of single cells.  [default: 128]")
    ] = None,
    size: Annotated[
        Sides | None,
        sides(
            "ROWSxCOLUMNS",
            "Size of a frame; with --cell alone, of the feature map.  [default: what the networks were published "
            "with; 128x256 for cells]",
            rectangle,
        ),
    ] = None,
    classes: Classes = None,
    site: Sites = None,
    recurrence: Recurrence = "convlstm",
    device: Annotated[
        str, typer.Option(parser=at_door(one_of(*DEVICES)), metavar="cpu|cuda", help="Where to run.")
    ] = "cpu",
    called: Called,
    choices: Choices,
    batch: Annotated[int, number("N", "Frames of different streams at once.  [default: 1]")] = 1,
    frames: Annotated[
        int, number("T", "1: the state is carried; T: a window of T frames is recomputed.  [default: 1]")
    ] = 1,
    tf32: Annotated[bool, typer.Option("--tf32", help="cuda: multiply float32 as TF32.")] = False,
    cuda_graph: Annotated[bool, typer.Option("--cuda-graph", help="cuda: replay a captured graph.")] = False,
    flush: Annotated[bool, typer.Option(help="cuda: empty the L2 cache before every call.")] = True,
    layers: Annotated[
        bool, typer.Option("--layers", help="The time of each module, or of each step, in rows that add up.")
    ] = False,
    depth: Depth = None,
    machine: Limits = None,
    trace: Trace = None,
    effort: Effort,
    out: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="Record to profiles/NAME.json, saved as it grows.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Add to --out what its runs lack.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Measure runs anew that --out has.")] = False,
    form: Format = "text",
) -> None:
    """Time cells, networks and modules of your own: fresh processes, in turns, with intervals. With --cell alone:
    single cells.

    Percentages are of the standard cell, or of --base, within the rounds that both were timed in. Networks are timed
    without their training heads; modules in evaluation mode, on random inputs, the same ones at every call. A time that
    does not repeat is called undecided, or shown with both its modes. With --layers: the time of each module beside its
    FLOPs and bytes, timed in place in turns with the undisturbed call; all rows add up to that call.
    """
    if out is None and (resume or replace):
        raise InvalidInput(f"--{'resume' if resume else 'replace'} needs --out")
    for option, given in (("depth", depth), ("trace", trace), ("machine", machine)):
        if given is not None and not layers:
            raise InvalidInput(f"--{option} needs --layers")
    if layers and called.base is not None:
        raise InvalidInput("--base is for percentages of whole runs: without --layers")
    if resume and replace:
        raise InvalidInput("--resume or --replace, not both")
    single = model is None and cell is not None
    if single and (site or classes is not None):
        raise InvalidInput("--site and --classes are for networks: add --model")
    if not single and channels is not None:
        raise InvalidInput("--channels is for single cells: a cell in a network has those of the layer before it")
    from costmodel.measure.profile import choose
    from costmodel.profiles import files as profiles
    from costmodel.report import profile as report

    path = None if out is None else profiles.destination(out)
    settings = settings_grid(device, choices, batch=batch, frames=frames, tf32=tf32, cuda_graph=cuda_graph, flush=flush)
    models = called.models(model, frames=frames, dtype=choices.dtype)
    size = size or called.frame(model)
    jobs = choose(
        settings,
        models,
        cell,
        kernels=kernel or [KERNEL],
        channels=channels or [CHANNELS],
        size=size,
        classes=classes,
        sites=dict(site or ()),
        recurrence=recurrence,
        base=called.base,
    )
    if layers:
        from costmodel.measure.layers import modules
        from costmodel.report.layers import document

        own = modules(models)
        if own and len({how.dtype for how in settings}) > 1:
            raise InvalidInput("--layers of modules of your own: one --dtype, in which they are counted")
        parts, host, code = time_layers(
            jobs, path, effort, depth=depth, trace=trace, modules=own, resume=resume, replace=replace
        )
        if parts and host:
            print(document(parts, host, machine=machine).text(form))
        if code:
            raise typer.Exit(code)
        return
    found, code = time_jobs(jobs, path, effort, resume=resume, replace=replace)
    if found and found.runs:
        bases = {job.key: job.standard for job in jobs}
        print(report.document(found, path.stem if path else "not saved", bases, bases).text(form))
    if code:
        raise typer.Exit(code)
