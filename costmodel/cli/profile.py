"""The command ``profile``: time networks and cells."""

from typing import Annotated, Any

import typer

from costmodel.cli import parsers as arguments
from costmodel.cli.app import app, examples
from costmodel.cli.options import (
    MODELS,
    Budget,
    Cells,
    Classes,
    Dtype,
    Format,
    Implementation,
    MemoryFormat,
    Processes,
    Recurrence,
    Rounds,
    Sites,
    Threads,
)
from costmodel.cli.timing import DEVICES, effort, time_jobs, ways
from costmodel.errors import InvalidInput


@app.command(
    epilog=examples(
        "profile --model icnet,v2,v5,v6 --out mine",
        "profile --cells standard,sep --kernel 3,5,7 --memory-format contiguous,channels_last",
        "profile --model v6 --cell depth --implementation eager,compiled --budget 5m",
        "profile --model v6 --device cuda --cuda-graph --out mine --resume",
        "profile --model v5 --frames 4",
    )
)
def profile(
    model: Annotated[
        list[str] | None,
        typer.Option("--model", metavar=MODELS, help="Networks to time, with the chosen cells; erfnet: all of them."),
    ] = None,
    cell: Cells = None,
    kernel: Annotated[
        list[str] | None, typer.Option(metavar="K,KxK,...", help="Kernels.  [default: 3]", show_default=False)
    ] = None,
    channels: Annotated[
        list[str] | None,
        typer.Option(metavar="C,IxO,...", help="Channels of single cells.  [default: 128]", show_default=False),
    ] = None,
    size: Annotated[
        arguments.Sides | None,
        typer.Option(
            parser=arguments.at_door(arguments.rectangle),
            metavar="ROWSxCOLUMNS",
            help="Size of a frame; with --cell alone, of the feature map.  [default: what the networks were published "
            "with; 128x256 for cells]",
        ),
    ] = None,
    classes: Classes = None,
    site: Sites = None,
    recurrence: Recurrence = "convlstm",
    device: Annotated[str, typer.Option(metavar="cpu|cuda", help="Where to run.")] = "cpu",
    dtype: Dtype = None,
    memory_format: MemoryFormat = None,
    implementation: Implementation = None,
    threads: Threads = None,
    batch: Annotated[str, typer.Option(metavar="N", help="Frames of different streams at once.")] = "1",
    frames: Annotated[
        str, typer.Option(metavar="T", help="1: the state is carried; T: a window of T frames is recomputed.")
    ] = "1",
    tf32: Annotated[bool, typer.Option("--tf32", help="cuda: multiply float32 as TF32.")] = False,
    cuda_graph: Annotated[bool, typer.Option("--cuda-graph", help="cuda: replay a captured graph.")] = False,
    flush: Annotated[bool, typer.Option(help="cuda: empty the L2 cache before every call.")] = True,
    processes: Processes = None,
    rounds: Rounds = None,
    budget: Budget = None,
    out: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="Record to profiles/NAME.json, saved as it grows.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Add to --out what its runs lack.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Measure runs anew that --out has.")] = False,
    form: Format = "text",
) -> None:
    """Time cells and networks: fresh processes, in turns, with intervals. With --cell alone: single cells.

    Percentages are of the standard cell, within the rounds that both were timed in. Networks are timed without their
    training heads. A time that does not repeat is called unstable, or shown with both its modes.
    """
    if out is None and (resume or replace):
        raise InvalidInput(f"--{'resume' if resume else 'replace'} needs --out")
    if resume and replace:
        raise InvalidInput("--resume or --replace, not both")
    models = arguments.models(model, "--model")
    cells = arguments.cells(cell, "--cell")
    single = models is None and cells is not None
    if single and (site or classes is not None):
        raise InvalidInput("--site and --classes are for networks: add --model")
    if not single and channels is not None:
        raise InvalidInput("--channels is for single cells: a cell in a network has those of the layer before it")
    chosen: dict[str, Any] = {
        "kernels": arguments.sizes(",".join(kernel or ["3"]), "--kernel"),
        "channels": arguments.sizes(",".join(channels or ["128"]), "--channels"),
        "size": size,
        "classes": classes,
        "sites": arguments.pairs(site, "--site"),
        "recurrence": recurrence,
    }
    run: dict[str, Any] = dict(ways(dtype, memory_format, implementation, threads))
    run |= {"batch": arguments.whole(batch, "--batch"), "frames": arguments.whole(frames, "--frames")}
    if device not in DEVICES:
        raise InvalidInput(f"--device {device!r}: one of {', '.join(DEVICES)}")
    measure = effort(processes, rounds, budget)
    from costmodel.measure.profile import choose
    from costmodel.measure.profile import settings_grid as every
    from costmodel.profiles import files as profiles
    from costmodel.report import profile as report

    path = None if out is None else profiles.destination(out)
    jobs = choose(every(device, **run, tf32=tf32, cuda_graph=cuda_graph, flush=flush), models, cells, **chosen)
    found, code = time_jobs(jobs, path, measure, resume=resume, replace=replace)
    if found and found.runs:
        print(report.document(found, path.stem if path else "not saved", {job.key for job in jobs}).text(form))
    if code:
        raise typer.Exit(code)
