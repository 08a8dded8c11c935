"""Times as reports carry them: which machine, which clock, the median and how far it can be trusted."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from costmodel.measure.estimate import Estimate
    from costmodel.profiles import How, Profile, Run, Subject

CLOCKS = {"wall": "wall clock", "cuda-events": "CUDA events", "published": "as published"}


@dataclass(frozen=True)
class Timing:
    """Seconds per frame.

    ``interval_s`` is the 95 % bootstrap interval of the median over processes (None: one process, or published).
    ``pct`` is relative to the standard cell of the same network, or at the same point of a sweep (None: not timed).
    ``seconds``, ``ratio``, ``how`` and ``profile`` belong to what was measured; published times have none.
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
        return record | {"how": self.how.model_dump(exclude_none=True), "profile": self.profile}

    def columns(self, alone: bool) -> dict[str, Any]:
        """As columns of a flat row; named after profile and way where this is not the only one of the table."""
        prefix = f"{self.clock}_{self.device}"
        if self.how and not alone:
            prefix += f"_{self.profile}_" + self.how.title.replace(", ", "_").replace(" ", "-")
        found: dict[str, Any] = {f"{prefix}_s": self.median_s, f"{prefix}_pct": self.pct}
        for estimate, unit, factor in ((self.seconds, "s", 1), (self.ratio, "pct", 100)):
            if estimate:
                low, high = estimate.interval or (None, None)
                found[f"{prefix}_{unit}_low"] = None if low is None else factor * low
                found[f"{prefix}_{unit}_high"] = None if high is None else factor * high
                found[f"{prefix}_{unit}_verdict"] = estimate.verdict or "stable"
        return found


def _judged(estimate: "Estimate", unit: str, factor: float) -> dict[str, Any]:
    """A verdict, ``stable`` where there is nothing to say, and both modes where there are two."""
    prefix = "" if unit == "s" else f"{unit}_"
    modes = estimate.modes and [{f"median_{unit}": factor * m, "processes": n} for m, n in estimate.modes]
    return {f"{prefix}verdict": estimate.verdict or "stable", f"{prefix}modes": modes}


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
    )


def timings(profile: "Profile", name: str, subject: "Subject") -> list[Timing]:
    """Every way in which a profile has timed a subject."""
    return [from_run(profile, name, run) for run in profile.runs if run.subject == subject]


def milliseconds(seconds: float) -> str:
    """Four significant digits, trailing zeros kept: ``68.60``, ``1388``."""
    return f"{1e3 * seconds:#.4g}".rstrip(".")


def cells(timing: "Timing | None") -> list[str]:
    """Milliseconds, their interval, the percentage of the standard cell and its interval, as cells of a table."""
    if timing is None:
        return [""] * 4
    if timing.seconds is None:  # published: no samples
        return [milliseconds(timing.median_s), "", "" if timing.pct is None else f"{timing.pct:.2f}", ""]
    return [*_shown(timing.seconds, "ms"), *_shown(timing.ratio, "%")]


def _shown(estimate: "Estimate | None", unit: str) -> list[str]:
    """A value and its interval, in ``ms`` or ``%``.

    What is not stable is not printed as if it were a result: the word and the range, or both modes.
    """

    def number(value: float) -> str:
        return milliseconds(value) if unit == "ms" else f"{100 * value:.2f}"

    if estimate is None:
        return ["", ""]
    if estimate.modes:
        return ["two modes", " | ".join(number(value) for value, _ in estimate.modes)]
    if estimate.interval is None:
        return ["unstable", number(estimate.value)]
    low, high = estimate.interval
    return ["unstable" if estimate.remedy else number(estimate.value), f"{number(low)}-{number(high)}"]


VERDICTS = {
    "two modes": "two modes: the processes fall into two groups; the median of each is given. More --processes tell "
    "how often each comes.",
    "unstable": "unstable: the interval is wider than 10 % (time) or 3 % (percentage) on a side, or there was only one "
    "process. Remedy: more --processes (--resume keeps those that are there), or a quieter machine.",
}


def verdicts(timings: "Iterable[Timing]") -> list[str]:
    """Notes for a table: the verdicts in it, with the remedy."""
    found = {e.verdict for timing in timings for e in (timing.seconds, timing.ratio) if e}
    return [note for verdict, note in VERDICTS.items() if verdict in found]


def notes(timings: "Sequence[Timing]", of: str) -> list[str]:
    """What the columns of measured times mean; ``of``: what percentages are relative to."""
    clock = CLOCKS[timings[0].clock] if timings else ""
    if all(timing.clock == "published" for timing in timings):
        return [f"ms: {clock}; %: of {of}."]
    return [
        f"ms: {clock}, median over processes; 95 %: its bootstrap interval; %: of {of}, within rounds.",
        *verdicts(timings),
    ]
