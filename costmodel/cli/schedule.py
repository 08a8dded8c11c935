"""The command ``schedule``: key-frame schedules."""

from functools import partial
from typing import Annotated, Any

import typer

from costmodel.cli import parsers as arguments
from costmodel.cli.app import app, examples
from costmodel.cli.options import Format, Plot, listed, plotted
from costmodel.describe.catalogue import NETWORKS, key_frame_parts
from costmodel.errors import InvalidInput
from costmodel.video.schedule import MODES, Stages
from costmodel.video.schedule import schedule as priced

PARTS = list(filter(key_frame_parts, NETWORKS))


def _time(what: str) -> Any:
    return typer.Option(metavar="MS", help=what, show_default=False)


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
        str | None,
        typer.Option(metavar="K,...", help="A key frame every K frames.  [default: 5]", show_default=False),
    ] = None,
    gaps: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Frames from key frame to key frame instead: whole numbers, repeated."),
    ] = None,
    mode: Annotated[
        list[str] | None,
        typer.Option(metavar=listed(MODES), help="Repeat or separate by commas.  [default: all]", show_default=False),
    ] = None,
    low: Annotated[str | None, _time("Time of the low part, which every frame has.")] = None,
    high: Annotated[str | None, _time("Time of the high part, which key frames have.")] = None,
    select: Annotated[str, _time("Time to decide whether it is a key frame.  [default: 0]")] = "0",
    propagate: Annotated[str, _time("Time to bring the high result to another frame.  [default: 0]")] = "0",
    profile: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="--low and --high from recorded times of a network's two parts."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar=listed(PARTS), help="With --profile: the network.  [default: icnet]", show_default=False),
    ] = None,
    frame_period: Annotated[
        str | None,
        typer.Option(metavar="MS", help="A frame comes every MS.  [default: as nothing waits]", show_default=False),
    ] = None,
    devices: Annotated[
        str | None,
        typer.Option(metavar="1|2", help="Of parallel.  [default: 2; 1 with --contention]", show_default=False),
    ] = None,
    contention: Annotated[
        str | None,
        typer.Option(metavar="EPS", help="Of parallel on one device: frames take 1 + EPS times as long."),
    ] = None,
    simulate: Annotated[
        str | None,
        typer.Option(metavar="N", help="Frames simulated.  [default: whole cycles, at least 100]", show_default=False),
    ] = None,
    buffer: Annotated[
        str | None,
        typer.Option(metavar="N", help="Simulated: so many frames may wait, more are dropped.  [default: all wait]"),
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
    modes = arguments.names(mode, "--mode", list(MODES)) or list(MODES)
    if modes == ["every"] and (gaps is not None or interval is not None):
        raise InvalidInput("--mode every has no key frames: neither --interval nor --gaps")
    if gaps is not None and interval is not None:
        raise InvalidInput("--gaps or --interval, not both")
    keys: list[dict[str, Any]] = [{"gaps": _gaps(gaps)}] if gaps is not None else []
    for each in dict.fromkeys((interval or "5").split(",")) if gaps is None else ():
        keys.append({"interval": arguments.whole(each.strip(), "--interval")})
    for option, value in (("--devices", devices), ("--contention", contention)):
        if value is not None and "parallel" not in modes:
            raise InvalidInput(f"{option} is for --mode parallel: in the others nothing runs beside a frame")
    if devices not in (None, "1", "2"):
        raise InvalidInput(f"--devices {devices!r}: 1 or 2")
    around: dict[str, Any] = {
        "frame_period": None if frame_period is None else arguments.number(frame_period, "--frame-period")
    }
    beside: dict[str, Any] = {"devices": None if devices is None else int(devices)}
    beside["contention"] = 0 if contention is None else arguments.number(contention, "--contention")
    frames = None if simulate is None else arguments.whole(simulate, "--simulate")
    waiting = None if buffer is None else 0 if buffer == "0" else arguments.whole(buffer, "--buffer")

    stages, notes = _stages(low, high, select, propagate, profile, model)
    schedules = [
        priced(stages, name, **key, **around, **(beside if name == "parallel" else {}))
        for name in modes
        for key in (keys if name != "every" else [{}])
    ]
    if picture and len(schedules) > 1:
        raise InvalidInput("--plot draws one schedule: choose one --mode and one --interval")
    from costmodel.report import schedule as report
    from costmodel.video.simulation import simulate as simulated
    from costmodel.video.simulation import usual_frames

    rows = [
        report.Row(each, simulated(each, frames, buffer=waiting) if frames or usual_frames(each) else None)
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
    low: str | None, high: str | None, select: str, propagate: str, profile: str | None, model: str | None
) -> tuple[Stages, list[str]]:
    """The times, and where they are from."""
    rest = {"select": arguments.number(select, "--select"), "propagate": arguments.number(propagate, "--propagate")}
    notes = [f"{name}: 0 ms, as --{name} is not given." for name, time in rest.items() if not time]
    if profile is None:
        if model is not None:
            raise InvalidInput("--model is for --profile: whose parts' times to take")
        if low is None or high is None:
            raise InvalidInput("no times: --low and --high, or --profile with those of a network's parts")
        return Stages(arguments.number(low, "--low"), arguments.number(high, "--high"), **rest), notes
    if low is not None or high is not None:
        raise InvalidInput("--low and --high, or --profile, not both")
    chosen = model or "icnet"
    if chosen not in PARTS:
        raise InvalidInput(f"--model {chosen!r}: one of {', '.join(PARTS)}")
    from costmodel.profiles import files as profiles
    from costmodel.report.schedule import stages_from

    stages, where = stages_from(profiles.read(profile), profile, chosen, **rest)
    return stages, [*where, *notes]


def _gaps(file: str) -> list[int]:
    return [arguments.whole(each, f"--gaps {file!r}:") for each in arguments.listed_in(file, "--gaps")]
