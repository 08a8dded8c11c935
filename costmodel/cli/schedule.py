"""The command ``schedule``: key-frame schedules."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import typer

from costmodel.cli import parsers
from costmodel.cli.app import app, examples
from costmodel.cli.options import Format, Plot, listed, plotted
from costmodel.cli.options import number as whole_number
from costmodel.cli.parsers import at_door, each, joined, one_of
from costmodel.describe.catalogue import NETWORKS, key_frame_parts
from costmodel.errors import InvalidInput
from costmodel.video.schedule import MODES, Stages
from costmodel.video.schedule import schedule as priced

PARTS = list(filter(key_frame_parts, NETWORKS))


def _number(metavar: str, help: str) -> Any:
    return typer.Option(parser=at_door(parsers.number), metavar=metavar, help=help, show_default=False)


@app.command(
    epilog=examples(
        "schedule --low 61 --high 299 --select 20 --propagate 38",
        "schedule --low 61 --high 299 --select 20 --propagate 38 --mode fixed,adaptive --interval 1,2,5,10",
        "schedule --low 61 --high 299 --select 20 --propagate 38 --mode parallel --frame-period 40 --format json",
        "schedule --low 61 --high 299 --mode fixed --frame-period 150 --buffer 1 --plot timeline.svg",
        "schedule --low 61 --high 299 --select 20 --propagate 38 --compare",
    )
)
def schedule(
    interval: Annotated[
        list[int] | None,
        typer.Option(
            parser=at_door(each(parsers.whole)),
            callback=joined(),
            metavar="K,...",
            help="A key frame every K frames.  [default: 5]",
            show_default=False,
        ),
    ] = None,
    gaps: Annotated[
        # A list would be an option that may be repeated.
        Sequence[int] | None,
        typer.Option(
            parser=at_door(parsers.numbers_in(parsers.whole)),
            metavar="FILE",
            help="Frames from key frame to key frame instead: whole numbers, repeated.",
        ),
    ] = None,
    mode: Annotated[
        list[str] | None,
        typer.Option(
            parser=at_door(each(one_of(*MODES))),
            callback=joined(MODES),
            metavar=listed(MODES),
            help="Repeat or separate by commas.  [default: all]",
            show_default=False,
        ),
    ] = None,
    low: Annotated[float | None, _number("MS", "Time of the low part, which runs on every frame.")] = None,
    high: Annotated[float | None, _number("MS", "Time of the high part, which runs on key frames.")] = None,
    select: Annotated[float, _number("MS", "Time to decide whether a frame is a key frame.  [default: 0]")] = 0,
    propagate: Annotated[float, _number("MS", "Time to bring the high result to another frame.  [default: 0]")] = 0,
    profile: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="--low and --high from recorded times of a network's two parts."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            parser=at_door(one_of(*PARTS)),
            metavar=listed(PARTS),
            help="With --profile: the network.  [default: icnet]",
            show_default=False,
        ),
    ] = None,
    frame_period: Annotated[
        float | None,
        _number("MS", "Time between two frames.  [default: just long enough that no frame waits]"),
    ] = None,
    devices: Annotated[
        str | None,
        typer.Option(
            parser=at_door(one_of("1", "2")),
            metavar="1|2",
            help="Of parallel.  [default: 2; 1 with --contention]",
            show_default=False,
        ),
    ] = None,
    contention: Annotated[
        float | None,
        _number("EPS", "Of parallel on one device: frames take 1 + EPS times as long."),
    ] = None,
    simulate: Annotated[
        int | None, whole_number("N", "Frames simulated.  [default: whole cycles, at least 100]")
    ] = None,
    buffer: Annotated[
        int | None,
        whole_number("N", "Simulated: N frames may wait, more are dropped.  [default: all wait]", least=0),
    ] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Beside what is published.")] = False,
    plot: Plot = None,
    form: Format = "text",
) -> None:
    """Latency, work and staleness of key-frame schedules: closed forms, checked by a simulation.

    A low part of a network runs on every frame, a high part on key frames; on the others, its last result is
    propagated. JSON: one schedule is an object, several are a list; with --compare, an object with both. --plot draws
    the timeline of one.
    """
    picture = plotted(plot)
    modes = mode or list(MODES)
    if modes == ["every"] and (gaps is not None or interval is not None):
        raise InvalidInput("--mode every has no key frames: neither --interval nor --gaps")
    if gaps is not None and interval is not None:
        raise InvalidInput("--gaps or --interval, not both")
    for option, value in (("--devices", devices), ("--contention", contention)):
        if value is not None and "parallel" not in modes:
            raise InvalidInput(f"{option} is for --mode parallel: in the others nothing runs beside a frame")
    stages, notes = _stages(low, high, select, propagate, profile, model)
    schedules = []
    for name in modes:
        intervals: Sequence[int | None] = [None] if gaps is not None or name == "every" else interval or [5]
        schedules += [
            priced(
                stages,
                name,
                interval=frames,
                gaps=None if name == "every" else gaps,
                frame_period=frame_period,
                devices=int(devices) if devices and name == "parallel" else None,
                contention=contention or 0 if name == "parallel" else 0,
            )
            for frames in intervals
        ]
    if picture and len(schedules) > 1:
        raise InvalidInput("--plot draws one schedule: choose one --mode and one --interval")
    from costmodel.report import schedule as report
    from costmodel.video.simulation import simulate as simulated
    from costmodel.video.simulation import usual_frames

    rows = [
        report.Row(each, simulated(each, simulate, buffer=buffer) if simulate or usual_frames(each) else None)
        for each in schedules
    ]
    if picture and rows[0].simulation is None:
        raise InvalidInput("--plot needs a simulation: choose how many frames with --simulate")
    print(report.document(rows, notes, compare).text(form))
    if picture and rows[0].simulation:
        from costmodel.report import figures
        from costmodel.report.figures import style as drawing

        drawing.save(partial(figures.timeline, rows[0].simulation), picture)


def _stages(
    low: float | None, high: float | None, select: float, propagate: float, profile: str | None, model: str | None
) -> tuple[Stages, list[str]]:
    """The times, and their sources."""
    rest = {"select": select, "propagate": propagate}
    notes = [f"{name}: 0 ms, as --{name} is not given." for name, time in rest.items() if not time]
    if profile is None:
        if model is not None:
            raise InvalidInput("--model is for --profile: whose parts' times to take")
        if low is None or high is None:
            raise InvalidInput("no times: --low and --high, or --profile with those of a network's parts")
        return Stages(low, high, select=select, propagate=propagate), notes
    if low is not None or high is not None:
        raise InvalidInput("--low and --high, or --profile, not both")
    from costmodel.profiles import files as profiles
    from costmodel.report.schedule import stages_from

    stages, sources = stages_from(profiles.read(profile), profile, model or "icnet", select=select, propagate=propagate)
    return stages, [*sources, *notes]
