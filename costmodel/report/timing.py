"""Times as reports carry them: which machine, which clock, the median and how far it can be trusted."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from costmodel.describe.networks import NETWORKS

if TYPE_CHECKING:
    from costmodel.measure.estimate import Estimate
    from costmodel.profiles import How, Process, Profile, Run, Subject

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
    how: "How | None" = None
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
        for estimate, unit, factor in ((self.seconds, "s", 1), (self.ratio, "pct", 100)):
            if estimate:
                low, high = estimate.interval or (None, None)
                found[f"{prefix}_{unit}_low"] = None if low is None else factor * low
                found[f"{prefix}_{unit}_high"] = None if high is None else factor * high
                found[f"{prefix}_{unit}_verdict"] = estimate.verdict
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
    """What a run says, and its percentage of the standard cell, if that was run in the same way."""
    from costmodel.measure import estimate

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
    """Why the GPU held back when the process ended."""
    return list(process.gpu_after.throttle or ()) if process.gpu_after else []


def timings(profile: "Profile", name: str, subject: "Subject") -> list[Timing]:
    """Every way in which a profile has timed a subject."""
    return [from_run(profile, name, run) for run in profile.runs if run.subject == subject]


def recording(
    subjects: "Iterable[Subject]", ways: "Mapping[str, Sequence[Any]] | None" = None, name: str = "NAME"
) -> str:
    """The commands that time subjects (and perhaps some more) into a profile; ``ways``: values of fields of `How`."""
    groups: dict[tuple[Any, ...], list[Subject]] = {}
    for subject in subjects:
        about = subject.sites, subject.recurrence, subject.classes, subject.size
        # A network without cells has neither sites nor a recurrence: it joins those of its size that do.
        alike = next((key for key in groups if subject.cell is None and key[2:] == about[2:]), about)
        groups.setdefault(alike, []).append(subject)
    return " && ".join(_command(group, ways or {}, name) for group in groups.values())


_USUAL = {
    "kernel": "3",
    "channels": "128",
    "classes": "19",
    "recurrence": "convlstm",
    "device": "cpu",
    "dtype": "float32",
    "memory_format": "contiguous",
    "implementation": "eager",
    "batch": "1",
    "frames": "1",
}
_FLAGS = {"tf32": (True, "--tf32"), "cuda_graph": (True, "--cuda-graph"), "flush": (False, "--no-flush")}


def _command(subjects: "Sequence[Subject]", ways: "Mapping[str, Sequence[Any]]", name: str) -> str:
    first = next((subject for subject in subjects if subject.cell), subjects[0])
    fields = {"model": "network", "cell": "cell", "kernel": "kernel", "channels": "channels", "classes": "classes"}
    options = {
        option: ",".join(dict.fromkeys(_typed(getattr(s, field)) for s in subjects if getattr(s, field)))
        for option, field in fields.items()
    }
    options["size"] = "x".join(map(str, first.size))
    options["site"] = ",".join(f"{site}={cell}" for site, cell in first.sites)
    options["recurrence"] = first.recurrence
    options |= {field: ",".join(map(str, values)) for field, values in ways.items() if field not in _FLAGS}
    usual = _USUAL | {"size": "128x256"}
    if network := NETWORKS.get(first.network or ""):
        usual |= {"size": "x".join(map(str, network.size)), "classes": str(network.classes)}
    given = [
        f"--{field.replace('_', '-')} {shlex.quote(value)}"
        for field, value in options.items()
        if value and value != usual.get(field)
    ]
    given += [flag for field, (value, flag) in _FLAGS.items() if value in ways.get(field, ())]
    # Nothing is there to resume where the name is still to be chosen.
    into = f"--out {shlex.quote(name)}" + (" --resume" if name != "NAME" else "")
    return " ".join(["costmodel profile", *given, into])


def _typed(value: Any) -> str:
    """A size as it is typed: ``3``, ``3x5``."""
    return (
        "x".join(map(str, dict.fromkeys(value) if len(set(value)) == 1 else value))
        if isinstance(value, tuple)
        else str(value)
    )


def value(estimate: "Estimate", unit: str = "ms") -> str:
    """An estimate as one cell of a table: the value where it is stable, else the verdict."""
    return _shown(estimate, unit)[0]


def milliseconds(seconds: float, digits: int = 4) -> str:
    """Significant digits, trailing zeros kept: ``68.60``, ``1388``."""
    text = f"{1e3 * seconds:#.{digits}g}".rstrip(".")
    return f"{1e3 * seconds:.0f}" if "e+" in text else text


def cells(timing: "Timing | None") -> list[str]:
    """Milliseconds, their interval, the percentage of the standard cell and its interval, as cells of a table."""
    if timing is None:
        return [""] * 4
    if timing.seconds is None:  # published: no samples
        return [milliseconds(timing.median_s), "", "" if timing.pct is None else f"{timing.pct:.2f}", ""]
    return [*_shown(timing.seconds, "ms"), *percentage(timing.ratio)]


def percentage(ratio: "Estimate | None") -> list[str]:
    """A ratio in per cent and its interval, as cells of a table."""
    return _shown(ratio, "%")


def _shown(estimate: "Estimate | None", unit: str) -> list[str]:
    """A value and its interval, in ``ms`` or ``%``.

    What is not stable is not printed as if it were a result: the word and the range, or both modes.
    """
    if estimate is None:
        return ["", ""]

    def number(value: float, fewer: int = 1) -> str:
        return milliseconds(value, 4 - fewer) if unit == "ms" else f"{100 * value:.{2 - fewer}f}"

    if estimate.modes:
        return [estimate.verdict, " / ".join(number(value) for value, _ in estimate.modes)]
    low, high = estimate.interval or (estimate.value, estimate.value)
    value = number(estimate.value, fewer=0) if estimate.verdict == "stable" else estimate.verdict
    return [value, number(low) if low == high else f"{number(low)}-{number(high)}"]


VERDICTS = {
    "two modes": "two modes: the processes fall into two groups; the median of each is given. More --processes tell "
    "how often each comes.",
    "unstable": "unstable: the interval is wider than 10 % (time) or 3 % (percentage) on a side, or of fewer than 5 "
    "processes. Remedy: more --processes (--resume keeps those that are there), or a quieter machine.",
}


def verdicts(estimates: "Iterable[Estimate]") -> list[str]:
    """What the verdicts that occur mean."""
    occurring = {estimate.verdict for estimate in estimates}
    return [note for verdict, note in VERDICTS.items() if verdict in occurring]


def notes(timings: "Sequence[Timing]", of: str) -> list[str]:
    """What the columns of measured times mean; ``of``: what percentages are relative to."""
    clock = CLOCKS[timings[0].clock] if timings else ""
    if all(timing.clock == "published" for timing in timings):
        return [f"ms: {clock}; %: of {of}."]
    estimates = [e for timing in timings for e in (timing.seconds, timing.ratio) if e]
    lines = [f"ms: {clock}, median over processes; 95 %: its bootstrap interval; %: of {of}, within rounds."]
    lines += verdicts(estimates)
    if not all(e.turns for e in estimates):
        lines.append("Some percentages are of runs that did not take turns: the drift between the two is in them.")
    held = dict.fromkeys(reason for timing in timings for reason in timing.throttle)
    lines += [f"The GPU was held back by: {', '.join(held)}."] if held else []
    days = sorted({date for timing in timings for date in timing.dates})
    return [*lines, f"Timed on {days[0]}{f' to {days[-1]}' if days[1:] else ''}."] if days else lines
