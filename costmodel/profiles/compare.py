"""Two profiles compared run by run."""

from dataclasses import dataclass
from typing import Any

from costmodel.profiles import estimate
from costmodel.profiles.estimate import FEWEST, Estimate
from costmodel.profiles.records import Profile, Run


@dataclass(frozen=True)
class Change:
    """A run that two profiles have. ``ratio``: the time in the second profile relative to the first; ``relative``: the
    same for times relative to the standard cell (None: no standard cell)."""

    run: Run
    before: Estimate
    after: Estimate
    ratio: Estimate
    relative: Estimate | None

    def record(self) -> dict[str, Any]:
        return {
            "subject": self.run.subject.title,
            "how": self.run.how.title,
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


def changes(first: Profile, second: Profile) -> list[Change]:
    """Changes of every run that both profiles have, in the order of the second profile."""
    result = []
    for run in second.runs:
        if (old := first.by_key.get(run.key)) is None:
            continue
        standard = (run.subject.standard, run.how, run.clock)
        relative = None
        if standard != run.key and standard in first.by_key and standard in second.by_key:
            relative = estimate.relative_change((run, second.by_key[standard]), (old, first.by_key[standard]))
        result.append(Change(run, estimate.time(old), estimate.time(run), estimate.change(run, old), relative))
    return result
