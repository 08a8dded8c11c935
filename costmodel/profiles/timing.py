"""Times as reports carry them: which machine, which clock, the median and how far it can be trusted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from costmodel.profiles.estimate import Estimate
    from costmodel.profiles.records import Process, Profile, Run, Settings, Subject

CLOCKS = {"wall": "wall clock", "cuda-events": "CUDA events", "published": "as published"}


@dataclass(frozen=True)
class Timing:
    """Seconds per call: of a frame or a step, of a batch of them, or of an output of a window (see ``how``).

    ``interval_s`` is the 95 % bootstrap interval of the median over processes (None: one process, or published).
    ``pct`` is relative to the standard cell of the same network, or at the same point of a sweep (None: not timed).
    ``seconds``, ``ratio``, ``how``, ``profile`` and ``dates`` (the days on which it was timed) belong to what was
    measured; published times have none.
    """

    machine: str
    device: str
    clock: str
    median_s: float
    interval_s: tuple[float, float] | None
    pct: float | None
    seconds: "Estimate | None" = None
    ratio: "Estimate | None" = None
    how: "Settings | None" = None
    profile: str = ""
    throttle: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """The JSON contract; the second half only for what was measured."""
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
        if self.ratio is not None:
            record["pct_interval"] = self.ratio.interval and [100 * side for side in self.ratio.interval]
            record |= _judged(self.ratio, "pct", 100)
        held = {"throttle": list(self.throttle)} if self.device == "cuda" else {}
        where = {"how": self.how.model_dump(exclude_none=True), "profile": self.profile, "dates": list(self.dates)}
        return record | held | where

    def columns(self, alone: bool) -> dict[str, Any]:
        """As columns of a flat row; named after profile and way where this is not the only one of the table."""
        prefix = f"{self.clock}_{self.device}"
        if not alone:
            way = f"{self.profile}_{self.how.title}" if self.how else self.machine
            prefix += "_" + way.replace(", ", "_").replace(" ", "-")
        found: dict[str, Any] = {f"{prefix}_machine": self.machine}
        found |= {f"{prefix}_date": " ".join(self.dates)} if self.seconds else {}
        found |= {f"{prefix}_s": self.median_s, f"{prefix}_pct": self.pct}
        for judged, unit, factor in ((self.seconds, "s", 1), (self.ratio, "pct", 100)):
            if judged:
                low, high = judged.interval or (None, None)
                found[f"{prefix}_{unit}_low"] = None if low is None else factor * low
                found[f"{prefix}_{unit}_high"] = None if high is None else factor * high
                found[f"{prefix}_{unit}_verdict"] = judged.verdict
        return found


def flat(rows: "Sequence[Sequence[Timing]]") -> list[dict[str, Any]]:
    """The times of each row as columns: named after clock and device, and after profile and way where there are several
    of those in the table."""
    ways: dict[tuple[str, str], set[tuple[Any, ...]]] = {}
    for timing in (timing for row in rows for timing in row):
        ways.setdefault((timing.clock, timing.device), set()).add((timing.machine, timing.profile, timing.how))
    columns = []
    for row in rows:
        record: dict[str, Any] = {}
        for timing in row:
            record |= timing.columns(alone=len(ways[timing.clock, timing.device]) == 1)
        columns.append(record)
    return columns


def _judged(estimate: "Estimate", unit: str, factor: float) -> dict[str, Any]:
    """A verdict, and both modes where there are two."""
    prefix = "" if unit == "s" else f"{unit}_"
    modes = estimate.modes and [{f"median_{unit}": factor * m, "processes": n} for m, n in estimate.modes]
    return {f"{prefix}verdict": estimate.verdict, f"{prefix}modes": modes}


def from_run(profile: "Profile", name: str, run: "Run") -> Timing:
    """The times of a run, and the percentage of the standard cell, if that was timed with the same settings."""
    from costmodel.profiles import estimate

    base = profile.by_key.get((run.subject.standard, run.how, run.clock))
    seconds, ratio = estimate.time(run), None if base is None else estimate.ratio(run, base)
    published = run.clock == "published"  # one number, no samples to judge it by
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
        throttle=tuple(dict.fromkeys(reason for p in run.processes for reason in _held(p))),
        dates=() if published else _dates(profile, run),
    )


def _dates(profile: "Profile", run: "Run") -> tuple[str, ...]:
    """The days on which its processes ran, or that of the profile."""
    moments = [process.started for process in run.processes if process.started]
    if not moments and profile.host.date:
        moments = [profile.host.date]
    return tuple(sorted({moment.date().isoformat() for moment in moments}))


def _held(process: "Process") -> list[str]:
    """Throttle reasons of the GPU when the process ended."""
    return list(process.gpu_after.throttle or ()) if process.gpu_after else []


def timings(profile: "Profile", name: str, subject: "Subject") -> list[Timing]:
    """Every way in which a profile has timed a subject."""
    return [from_run(profile, name, run) for run in profile.runs if run.subject == subject]


def estimates(profile: "Profile") -> "pd.DataFrame":
    """A pandas frame, a row a run: what was timed and how, the median in seconds, the percentage of the standard cell,
    the 95 % interval and the verdict of each. The names of sizes are those of ``sweep(...).frame()``, to merge with.

    >>> import costmodel
    >>> frame = costmodel.estimates(costmodel.read_profile("paper"))
    >>> frame[frame.device == "cuda"][["subject", "median_s", "pct"]].round(2).iloc[2]
    subject     spatial-LSTM-ICNet v2 3x3 1024x2048
    median_s                                   0.07
    pct                                      104.83
    Name: 15, dtype: object
    """
    import pandas as pd

    from costmodel.profiles.records import SIDES, Run

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
