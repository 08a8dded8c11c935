"""Two profiles compared run by run: ratios, verdicts, and the smallest change that two files could show."""

import math
from dataclasses import dataclass
from typing import Any

from costmodel.profiles import estimate
from costmodel.profiles.estimate import FEWEST, Estimate
from costmodel.profiles.records import Profile, Run

THRESHOLD = 0.05  # of verdicts where nobody names another one


@dataclass(frozen=True)
class Change:
    """A run that two profiles have. ``ratio``: the time in the second profile relative to the first; ``relative``: the
    same for times relative to the standard cell (None: no standard cell). ``old``: the run in the first profile, of a
    module of the user's perhaps with another structure."""

    run: Run
    old: Run
    before: Estimate
    after: Estimate
    ratio: Estimate
    relative: Estimate | None

    @property
    def structure_changed(self) -> bool:
        """True for a module that is made of other parts than in the first profile."""
        return self.run.subject != self.old.subject

    @property
    def structures(self) -> str:
        """The fingerprints of both structures, in words."""
        return f"from {self.old.subject.structure} to {self.run.subject.structure}"

    def judged(self, relative: bool) -> Estimate | None:
        """The ratio that a verdict is about; None of a standard cell relative to itself, or without a standard cell."""
        return self.relative if relative else self.ratio

    def record(self) -> dict[str, Any]:
        return {
            "subject": self.run.subject.title,
            "how": self.run.how.title,
            "structure_changed": self.structure_changed,
            "before_s": self.before.value,
            "before_verdict": self.before.verdict,
            "after_s": self.after.value,
            "after_verdict": self.after.verdict,
            **_ratio("ratio", self.ratio),
            **_ratio("relative", self.relative),
        }


def _ratio(name: str, ratio: Estimate | None) -> dict[str, Any]:
    return {
        name: ratio and ratio.value,
        f"{name}_interval": ratio and ratio.interval and list(ratio.interval),
        f"{name}_significant": significant(ratio),
    }


def significant(ratio: Estimate | None) -> bool | None:
    """True where the interval of a ratio excludes 1; None without a ratio, or with too few processes."""
    if ratio is None or ratio.interval is None or ratio.processes < FEWEST:
        return None
    return not ratio.interval[0] <= 1 <= ratio.interval[1]


def verdict(ratio: Estimate | None, threshold: float) -> str:
    """``same``: the whole interval is within the threshold (0.05: 5 %) on both sides of 1. ``slower``: the interval
    excludes 1, and the ratio is beyond the threshold. ``faster``: the interval excludes 1 on the other side.
    ``undecided``: all else, also fewer than `FEWEST` processes."""
    if ratio is None or ratio.interval is None or ratio.processes < FEWEST:
        return "undecided"
    low, high = ratio.interval
    if 1 - threshold <= low and high <= 1 + threshold:
        return "same"
    if low > 1 and ratio.value > 1 + threshold:
        return "slower"
    return "faster" if high < 1 else "undecided"


def smallest_change(ratio: Estimate | None) -> float | None:
    """The smallest change (0.05: 5 %) that samples with this spread show: with a larger one the interval excludes 1.
    None with fewer than `FEWEST` processes."""
    if ratio is None or ratio.interval is None or ratio.processes < FEWEST:
        return None
    low, high = ratio.interval
    return max(ratio.value / low, high / ratio.value) - 1


def enough_processes(ratio: Estimate | None, threshold: float) -> int | None:
    """The processes of each profile with which a change of the threshold would show, if they spread as they do now:
    an interval narrows with the root of their number. None for a threshold of 0, which no number shows."""
    smallest = smallest_change(ratio)
    if ratio is None or smallest is None:
        return FEWEST
    if not threshold:
        return None
    wider = math.log1p(smallest) / math.log1p(threshold)
    return max(FEWEST, ratio.processes + 1, math.ceil(ratio.processes * wider**2))


def changes(first: Profile, second: Profile) -> list[Change]:
    """Changes of every run that both profiles have, in the order of the second profile; a module of the user's is the
    same by its name, arguments and inputs, though its structure changed."""
    result = []
    for run in second.runs:
        alike = (each for each in first.runs if run.subject.is_later(each.subject) and each.key[1:] == run.key[1:])
        if (old := first.by_key.get(run.key) or next(alike, None)) is None:
            continue
        standard = (run.subject.standard, run.how, run.clock)
        relative = None
        if standard != run.key and standard in first.by_key and standard in second.by_key:
            relative = estimate.relative_change((run, second.by_key[standard]), (old, first.by_key[standard]))
        result.append(Change(run, old, estimate.time(old), estimate.time(run), estimate.change(run, old), relative))
    return result
