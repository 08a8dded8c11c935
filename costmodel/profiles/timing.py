"""Times as reports carry them: machine, clock, median, interval and verdict."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from costmodel.errors import InvalidInput, in_words

if TYPE_CHECKING:
    import pandas as pd

    from costmodel.price.moment import Moment
    from costmodel.profiles.estimate import Estimate
    from costmodel.profiles.records import Process, Profile, Run, Settings, Subject

CLOCKS = {"wall": "wall clock", "cuda-events": "CUDA events", "published": "as published"}


@dataclass(frozen=True)
class Timing:
    """Seconds per call: of a frame, a step, a batch, or an output of a window (see ``how``)."""

    machine: str
    device: str
    clock: str  # a key of CLOCKS
    median_s: float
    interval_s: tuple[float, float] | None  # 95 % bootstrap interval over processes; None: one process, or published
    pct: float | None  # of the standard cell in the same network or at the same point of a sweep; None: not timed
    seconds: "Estimate | None" = None  # seconds, ratio and dates: of measured times alone
    ratio: "Estimate | None" = None
    how: "Settings | None" = None
    profile: str = ""
    throttle: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()  # days on which the run was timed
    unchecked: bool = False  # results that no reference could be compared with

    def speedup(self) -> "Estimate | None":
        """The speed-up over the standard cell as measured; a published one has no interval. None without that cell."""
        if self.ratio is not None:
            return self.ratio.inverse()
        if self.pct is None:
            return None
        from costmodel.profiles.estimate import Estimate

        return Estimate(100 / self.pct, None, CLOCKS[self.clock], 1)

    def kept(self, promised: float) -> "Estimate | None":
        """The share of a promised speed-up that was measured: measured / promised; 1 where the promise is kept."""
        measured = self.speedup()
        return measured and measured.scaled(1 / promised)

    def record(self) -> dict[str, Any]:
        """The JSON contract; measured times have more keys."""
        record: dict[str, Any] = {
            "machine": self.machine,
            "device": self.device,
            "clock": self.clock,
            "median_s": self.median_s,
            "interval_s": None if self.interval_s is None else list(self.interval_s),
            "pct": self.pct,
        }
        if self.seconds is None or self.how is None:
            return record
        record |= _judged(self.seconds, "s", 1)
        record |= {"at": self.seconds.moment.record()} if self.seconds.moment else {}
        if self.ratio is not None:
            record["pct_interval"] = self.ratio.interval and [100 * side for side in self.ratio.interval]
            record |= _judged(self.ratio, "pct", 100)
        throttle = {"throttle": list(self.throttle)} if self.device == "cuda" else {}
        origin = {"how": self.how.model_dump(exclude_none=True), "profile": self.profile, "dates": list(self.dates)}
        return record | throttle | origin

    def columns(self, alone: bool) -> dict[str, Any]:
        """Columns of a flat row; their names have profile and settings unless this time is ``alone`` in the table."""
        prefix = f"{self.clock}_{self.device}"
        if not alone:
            settings = f"{self.profile}_{self.how.title}" if self.how else self.machine
            if self.how and self.how.dtype and self.how.frames == 1:
                settings += ", state carried"  # a name that files of users have, though titles leave it out
            prefix += "_" + settings.replace(", ", "_").replace(" ", "-")
        row: dict[str, Any] = {f"{prefix}_machine": self.machine}
        row |= {f"{prefix}_date": " ".join(self.dates)} if self.seconds else {}
        row |= {f"{prefix}_s": self.median_s, f"{prefix}_pct": self.pct}
        for estimate, unit, factor in ((self.seconds, "s", 1), (self.ratio, "pct", 100)):
            if estimate:
                low, high = estimate.interval or (None, None)
                row[f"{prefix}_{unit}_low"] = None if low is None else factor * low
                row[f"{prefix}_{unit}_high"] = None if high is None else factor * high
                row[f"{prefix}_{unit}_verdict"] = estimate.verdict
        return row


def ways(rows: "Iterable[Sequence[Timing]]") -> "dict[tuple[str, Settings], str]":
    """The profiles with their settings that have times of some rows, each with the name of the machine."""
    return {(t.profile, t.how): t.machine for row in rows for t in row if t.how}


def of_way(row: "Iterable[Timing]", way: "tuple[str, Settings] | None") -> "Timing | None":
    """The time of a row by a profile and its settings; None where the row has none."""
    return next((t for t in row if (t.profile, t.how) == way), None)


def flat(rows: "Sequence[Sequence[Timing]]") -> list[dict[str, Any]]:
    """The times of each row as columns, named after clock and device; also after profile and settings where the table
    has several."""
    runs: dict[tuple[str, str], set[tuple[Any, ...]]] = {}
    for timing in (timing for row in rows for timing in row):
        runs.setdefault((timing.clock, timing.device), set()).add((timing.machine, timing.profile, timing.how))
    columns = []
    for row in rows:
        record: dict[str, Any] = {}
        for timing in row:
            record |= timing.columns(alone=len(runs[timing.clock, timing.device]) == 1)
        columns.append(record)
    return columns


def _judged(estimate: "Estimate", unit: str, factor: float) -> dict[str, Any]:
    """A verdict, and both modes where there are two."""
    prefix = "" if unit == "s" else f"{unit}_"
    modes = estimate.modes and [{f"median_{unit}": factor * m, "processes": n} for m, n in estimate.modes]
    judged: dict[str, Any] = {f"{prefix}verdict": estimate.verdict, f"{prefix}modes": modes}
    judged |= {f"{prefix}slopes": dict(estimate.slopes)} if estimate.moment else {}
    return judged | ({f"{prefix}missing_processes": estimate.missing} if estimate.missing else {})


def from_run(
    profile: "Profile", name: str, run: "Run", base: "Subject | None" = None, at: "Moment | None" = None
) -> Timing:
    """The times of a run, with the percentage of its base where the profile has the same run of that subject: by
    default of the standard cell; a module of the user's has no base by default. ``at``: the moment of the machine at
    which times are stated, by default the median of the profile."""
    from costmodel.profiles import estimate

    base = base or (None if run.subject.module else run.subject.standard)
    whole = None if base is None else profile.by_key.get((base, run.how, run.clock))
    at = at or profile.moments.get(run.how.device)
    seconds, ratio = (
        estimate.time(run, at),
        None if whole is None else estimate.ratio(run, whole, at),
    )
    published = run.clock == "published"  # one number, without samples for a verdict
    return Timing(
        machine=profile.host.name(run.how.device),
        device=run.how.device,
        clock=run.clock,
        median_s=seconds.value,
        interval_s=None if published else seconds.interval,
        pct=None if ratio is None else 100 * ratio.value,
        seconds=None if published else seconds,
        ratio=None if published else ratio,
        how=run.how,
        profile=name,
        unchecked=bool(run.subject.module) and all(process.deviation is None for process in run.processes),
        throttle=tuple(dict.fromkeys(reason for p in run.processes for reason in _held(p))),
        dates=() if published else _dates(profile, run),
    )


def _dates(profile: "Profile", run: "Run") -> tuple[str, ...]:
    """The days on which the processes of a run ran, or the day of the profile."""
    moments = [process.started for process in run.processes if process.started]
    if not moments and profile.host.date:
        moments = [profile.host.date]
    return tuple(sorted({moment.date().isoformat() for moment in moments}))


def _held(process: "Process") -> list[str]:
    """Throttle reasons of the GPU when the process ended."""
    return list(process.gpu_after.throttle or ()) if process.gpu_after else []


def timings(profile: "Profile", name: str, subject: "Subject", base: "Subject | None" = None) -> list[Timing]:
    """All times that a profile has for a subject; ``base`` as for `from_run`."""
    return [from_run(profile, name, run, base) for run in profile.runs if run.subject == subject]


def estimates(profile: "Profile") -> "pd.DataFrame":
    """A pandas frame with a row for each run: subject, settings, median in seconds, percentage of the standard cell,
    and the 95 % interval and verdict of both. Sizes have the names of ``sweep(...).frame()``, for merging.

    >>> import costmodel
    >>> frame = costmodel.estimates(costmodel.read_profile("paper"))
    >>> frame[frame.device == "cuda"][["subject", "median_s", "pct"]].round(2).iloc[2]
    subject     spatial-LSTM-ICNet v2 3x3 1024x2048
    median_s                                   0.07
    pct                                      104.83
    Name: 15, dtype: object
    """
    import pandas as pd

    from costmodel.profiles.records import SIDES, Profile, Run

    if not isinstance(profile, Profile):
        raise InvalidInput(f"estimates takes a profile (costmodel.read_profile(...)), not {in_words(profile)}")
    rows = []
    for run in profile.runs:
        timing = from_run(profile, "", run)
        row = run.columns() | {"machine": timing.machine, "date": " ".join(timing.dates), "median_s": timing.median_s}
        row["pct"] = timing.pct
        for estimated, unit, factor in ((timing.seconds, "s", 1), (timing.ratio, "pct", 100)):
            low, high = (estimated.interval if estimated else None) or (None, None)
            row[f"{unit}_low"] = None if low is None else factor * low
            row[f"{unit}_high"] = None if high is None else factor * high
            row[f"{unit}_verdict"] = estimated.verdict if estimated else None
        rows.append(row)
    judged = [f"{unit}_{part}" for unit in ("s", "pct") for part in ("low", "high", "verdict")]
    frame = pd.DataFrame(rows, columns=[*Run.column_names(), "machine", "date", "median_s", "pct", *judged])
    sizes = [name for names in SIDES.values() for name in names]
    return frame.astype(dict.fromkeys(sizes, "Int64"))  # whole numbers, or missing
