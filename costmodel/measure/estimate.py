"""What samples say: medians over processes, how far they can be trusted, and when they cannot."""

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from costmodel.profiles import Run

RATIO_TOLERANCE = 0.03  # two measurements of a ratio on one machine shall agree this well
TIME_TOLERANCE = 0.10  # seconds follow the drift of the whole machine
RESAMPLES = 5000


@dataclass(frozen=True)
class Estimate:
    """A median over processes, its 95 % bootstrap interval (None: one process), and a verdict.

    ``modes``: where the processes fall into two groups, the median and the number of processes of each. ``remedy``
    says in words what is wrong and what helps, "" if nothing is.
    """

    value: float
    interval: tuple[float, float] | None
    modes: tuple[tuple[float, int], tuple[float, int]] | None
    remedy: str

    @property
    def verdict(self) -> str:
        """``""``, ``two modes`` or ``unstable``."""
        return "two modes" if self.modes else "unstable" if self.remedy else ""


def estimate(values: Sequence[float], tolerance: float, seed: int = 0) -> Estimate:
    """From one value per process; the interval shall be within ``tolerance`` of the median on each side."""
    middle = statistics.median(values)
    if len(values) == 1:
        return Estimate(middle, None, None, "unstable: one process says nothing about the next; use --processes 5")
    draws = np.random.default_rng(seed).choice(np.asarray(values), (RESAMPLES, len(values)))
    low, high = (float(q) for q in np.quantile(np.median(draws, axis=1), (0.025, 0.975)))
    modes = _two_modes(sorted(values), tolerance)
    wide = max(high - middle, middle - low) / middle
    remedy = ""
    if modes:
        (fast, few), (slow, many) = modes
        remedy = (
            f"two modes: {few} of {few + many} processes at one value, {many} at {slow / fast:.2f} times it: "
            "both are shown; more --processes tell how often each comes"
        )
    elif wide > tolerance:
        remedy = (
            f"unstable: {len(values)} processes leave an interval of {100 * wide:.0f} %, more than "
            f"{100 * tolerance:.0f} %; use --processes {2 * len(values)} or a quieter machine"
        )
    return Estimate(middle, (low, high), modes, remedy)


def _two_modes(values: Sequence[float], tolerance: float) -> "tuple[tuple[float, int], tuple[float, int]] | None":
    """Two groups, each much narrower than the gap between them, and further apart than the tolerance."""
    if len(values) < 3:
        return None
    gap, cut = max((b - a, n) for n, (a, b) in enumerate(itertools.pairwise(values), 1))
    low, high = values[:cut], values[cut:]
    spread = max(low[-1] - low[0], high[-1] - high[0])
    if gap <= tolerance * statistics.median(values) or spread > gap / 2:
        return None
    return (statistics.median(low), len(low)), (statistics.median(high), len(high))


def time(run: Run) -> Estimate:
    """Seconds per call."""
    return estimate([statistics.median(process.seconds) for process in run.processes], TIME_TOLERANCE)


def ratio(run: Run, base: Run) -> Estimate:
    """Time of one run relative to another's: taken within rounds where their processes took turns.

    Otherwise of the medians, with the intervals of both; then the drift between the two is in it.
    """
    if run == base:
        return Estimate(1.0, (1.0, 1.0), None, "")
    turns = {process.started: process for process in base.processes if process.started is not None}
    pairs = [(process, turns[process.started]) for process in run.processes if process.started in turns]
    if pairs:
        return estimate(
            [
                statistics.median(a / b for a, b in zip(mine.seconds, theirs.seconds, strict=False))
                for mine, theirs in pairs
            ],
            RATIO_TOLERANCE,
        )
    return independent_ratio(run, base)


def independent_ratio(run: Run, base: Run) -> Estimate:
    """Time of one run relative to another's, of processes that did not take turns: bootstrapped on both sides."""
    rng = np.random.default_rng(0)
    medians, draws = [], []
    for each in (run, base):
        values = np.asarray([statistics.median(process.seconds) for process in each.processes])
        medians.append(float(np.median(values)))
        draws.append(np.median(rng.choice(values, (RESAMPLES, len(values))), axis=1))
    value = medians[0] / medians[1]
    if min(len(run.processes), len(base.processes)) == 1:
        return Estimate(value, None, None, "unstable: one process says nothing about the next; use --processes 5")
    low, high = (float(q) for q in np.quantile(draws[0] / draws[1], (0.025, 0.975)))
    wide = max(high - value, value - low) / value
    remedy = (
        ""
        if wide <= RATIO_TOLERANCE
        else (f"unstable: an interval of {100 * wide:.0f} %, and the two did not take turns; time them in one command")
    )
    return Estimate(value, (low, high), None, remedy)
