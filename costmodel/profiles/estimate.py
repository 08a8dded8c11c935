"""Estimates from samples: medians over processes, their intervals, and a verdict on how far to trust them."""

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from costmodel.profiles.records import Run

RATIO_TOLERANCE = 0.03  # two measurements of a ratio on one machine should agree this well
TIME_TOLERANCE = 0.10  # seconds also contain the drift of the whole machine
FEWEST = 5  # processes: the range of 5 misses the median in 2 * 0.5 ** 5 = 6 % of cases, the range of 4 in 12 %
RESAMPLES = 5000


@dataclass(frozen=True)
class Estimate:
    """A median over processes, with an interval and a verdict.

    ``verdict``: ``stable``; ``unstable``, where the interval is wider than the tolerance on one side, or there are
    fewer than `FEWEST` processes; ``two modes``, where the processes of a wide interval fall into two groups.
    """

    value: float
    interval: tuple[float, float] | None  # the 95 % bootstrap interval; None: one process
    verdict: str
    processes: int
    modes: tuple[tuple[float, int], tuple[float, int]] | None = None  # median and number of processes of each group
    interleaved: bool = True  # of a ratio: whether the two were interleaved

    def inverse(self) -> "Estimate":
        """One divided by this: of a ratio of times, the speed-up."""
        interval = self.interval and (1 / self.interval[1], 1 / self.interval[0])
        modes = self.modes and ((1 / self.modes[1][0], self.modes[1][1]), (1 / self.modes[0][0], self.modes[0][1]))
        return replace(self, value=1 / self.value, interval=interval, modes=modes)

    def scaled(self, factor: float) -> "Estimate":
        """This times a number that is known exactly."""
        interval = self.interval and (factor * self.interval[0], factor * self.interval[1])
        modes = self.modes and (
            (factor * self.modes[0][0], self.modes[0][1]),
            (factor * self.modes[1][0], self.modes[1][1]),
        )
        return replace(self, value=factor * self.value, interval=interval, modes=modes)


def estimate(values: Sequence[float], tolerance: float) -> Estimate:
    """The estimate from one value per process; ``tolerance``: relative, on each side of the median."""
    return _judge(statistics.median(values), _resampled(values), len(values), tolerance, values)


def _resampled(values: Sequence[float], seed: int = 0) -> NDArray[np.float64]:
    """Medians of resampled values, the same for equal values and seeds."""
    draws = np.random.default_rng(seed).choice(np.asarray(values), (RESAMPLES, len(values)))
    return np.asarray(np.median(draws, axis=1))


def _judge(
    value: float, draws: NDArray[np.float64], processes: int, tolerance: float, values: Sequence[float] = ()
) -> Estimate:
    if processes == 1:
        return Estimate(value, None, "unstable", processes)
    low, high = (float(q) for q in np.quantile(draws, (0.025, 0.975)))
    wide = max(high - value, value - low) > tolerance * value
    modes = _two_modes(sorted(values), tolerance) if wide else None
    verdict = "two modes" if modes else "unstable" if wide or processes < FEWEST else "stable"
    return Estimate(value, (low, high), verdict, processes, modes)


def _two_modes(values: Sequence[float], tolerance: float) -> "tuple[tuple[float, int], tuple[float, int]] | None":
    """Median and size of two groups, each narrow beside a gap that is wider than the tolerance; None: no two groups."""
    if len(values) < 3:
        return None
    gap, cut = max((b - a, n) for n, (a, b) in enumerate(itertools.pairwise(values), 1))
    groups = [(statistics.median(group), len(group), group[-1] - group[0]) for group in (values[:cut], values[cut:])]
    narrow = all(spread <= min(gap / 2, 3 * tolerance * middle) for middle, _, spread in groups)
    if not narrow or gap <= tolerance * statistics.median(values):
        return None
    (low, few, _), (high, many, _) = groups
    return (low, few), (high, many)


def time(run: Run) -> Estimate:
    """Seconds per call of a run."""
    return estimate(_medians(run), TIME_TOLERANCE)


def ratio(run: Run, base: Run) -> Estimate:
    """Time of one run relative to another run, within the rounds of interleaved processes.

    Without interleaved processes: the quotient of the medians, which contains the drift between the two runs.
    """
    if run == base:
        return Estimate(1.0, (1.0, 1.0), "stable", len(run.processes))
    paired = _paired(run, base)
    if paired:
        return estimate(paired, RATIO_TOLERANCE)
    return replace(quotient(_medians(run), _medians(base)), interleaved=False)


def change(after: Run, before: Run) -> Estimate:
    """Time of a run relative to the same run in another profile."""
    return quotient(_medians(after), _medians(before))


def relative_change(after: tuple[Run, Run], before: tuple[Run, Run]) -> Estimate:
    """Change of the time relative to the standard cell; each argument: a run, and the run of its standard cell."""
    shares = [_paired(*pair) or [ratio(*pair).value] for pair in (after, before)]
    return quotient(*shares)


def quotient(above: Sequence[float], below: Sequence[float]) -> Estimate:
    """The median of some values divided by the median of other, independent values."""
    value = statistics.median(above) / statistics.median(below)
    return _judge(value, _resampled(above, 1) / _resampled(below, 2), min(len(above), len(below)), RATIO_TOLERANCE)


def _medians(run: Run) -> list[float]:
    return [statistics.median(process.seconds) for process in run.processes]


def _paired(run: Run, base: Run) -> list[float]:
    """Ratios within rounds, a median for each pair of interleaved processes."""
    partners = {process.started: process for process in base.processes if process.started is not None}
    return [
        statistics.median(a / b for a, b in zip(process.seconds, partners[process.started].seconds, strict=False))
        for process in run.processes
        if process.started in partners
    ]
