"""Two profiles compared run by run: ratios, verdicts, and the smallest change that two files could show."""

import math
import random
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from costmodel.profiles import estimate
from costmodel.profiles.estimate import FEWEST, Estimate
from costmodel.profiles.records import Profile, Run

THRESHOLD = 0.05  # of verdicts where nobody names another one
SPLITS = 20  # of the processes of a run into two halves


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
        result.append(_change(run, old, first, second))
    return result


def _change(run: Run, old: Run, first: Profile, second: Profile) -> Change:
    """The change of a run, at the median moment of the first profile."""
    at = first.moments.get(run.how.device)
    standards = _standard(first, run), _standard(second, run)
    relative = None
    if standards[0] and standards[1] and run.subject != run.subject.standard:
        relative = estimate.relative_change((run, standards[1]), (old, standards[0]), at)
    return Change(run, old, estimate.time(old, at), estimate.time(run, at), estimate.change(run, old, at), relative)


@dataclass(frozen=True)
class SelfTest:
    """A run compared with itself: its processes split at random into two halves, `SPLITS` times.

    ``alarms``: splits whose verdict is slower or faster, though nothing changed; ``undecided``: splits without a
    verdict; ``smallest``: the change that half of the splits show.
    """

    run: Run
    alarms: int
    undecided: int
    smallest: float


def self_test(
    profile: Profile, threshold: float, relative: bool, tick: Callable[[], object] = lambda: None
) -> list[SelfTest]:
    """An A/A test of every measured run with `FEWEST` processes in a half; ``tick`` is called after each run."""
    results = []
    for run in profile.runs:
        tick()
        alone = relative and (run.subject == run.subject.standard or _standard(profile, run) is None)
        if run.clock == "published" or len(run.processes) < 2 * FEWEST or alone:
            continue
        ratios = [_change(one, other, *sides).judged(relative) for one, other, sides in _halves(profile, run)]
        judged = [verdict(ratio, threshold) for ratio in ratios]
        alarms = sum(each in ("slower", "faster") for each in judged)
        smallest = statistics.median(smallest_change(ratio) or 0.0 for ratio in ratios)
        results.append(SelfTest(run, alarms, judged.count("undecided"), smallest))
    return results


def _standard(profile: Profile, run: Run) -> Run | None:
    return profile.by_key.get((run.subject.standard, run.how, run.clock))


def _halves(profile: Profile, run: Run) -> Iterator[tuple[Run, Run, tuple[Profile, Profile]]]:
    """The run in two halves, each in a profile with its standard cell."""
    shuffle = random.Random(len(run.processes))
    standard = _standard(profile, run)
    numbers = list(range(len(run.processes)))
    for _ in range(SPLITS):
        shuffle.shuffle(numbers)
        half = len(numbers) // 2
        one, other = (
            run.model_copy(update={"processes": tuple(run.processes[n] for n in chosen)})
            for chosen in (numbers[:half], numbers[half:])
        )
        first, second = (
            Profile.model_construct(
                host=profile.host, runs=(part, *([standard] if standard and standard != run else []))
            )
            for part in (one, other)
        )
        yield one, other, (first, second)
