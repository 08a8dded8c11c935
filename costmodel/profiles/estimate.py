"""Estimates from samples: means of logarithms at a stated moment of the machine, their intervals, and a verdict.

A sample is a time, or a ratio of two times of one round. Its logarithm is ``a + slopes * (probes - moment) + process +
rest``: the probes of the round are covariates, a fresh process has an effect of its own, and the rest is what differs
from round to round. `docs/measuring.md` explains the method.
"""

import itertools
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from costmodel.price.moment import PROBES, Moment
from costmodel.profiles.records import Process, Run, median_moment

AGREE = 0.03  # two measurements of a ratio on one machine should agree this well,
RATIO_TOLERANCE = AGREE / math.sqrt(2)  # and both have an interval
TIME_TOLERANCE = 0.10  # seconds also contain what the probes do not see of the machine's drift
FEWEST = 3  # processes: the spread between two of them is hardly known
FEWEST_ROUNDS, MOST_ROUNDS = 3, 15  # of a process
FEWEST_OF_MODES = 5  # processes in which two modes can be told
MOST = 100  # processes that a remedy names
RESAMPLES = 2000
SIGNIFICANT = 3.0  # standard errors of a slope that is used; with few samples more, as by Student
FEWEST_FREE = 4  # degrees of freedom that the samples have beside the levels of processes and the slopes
TIMES, RATIOS = 0.0, -1.0  # the least slopes: no time falls where a probe takes longer
STEEPEST = 1.0  # slope of a time that is a probe's alone; a ratio's lies between -1 and 1
UNKNOWN = 0.5  # the standard error of a slope that the samples do not tell
FAR = 1.5  # standard deviations, from which on a sample counts less
PASSES = 3  # of the regression, each with the weights that the last one found
NORMAL = 1.959964  # the 97.5 % quantile
Floats = NDArray[np.float64]
Places = NDArray[np.intp]  # of each sample: the number of its set, or of its process


@dataclass(frozen=True)
class Noise:
    """Standard deviations of the logarithm of a sample (0.03: 3 %), within a process and ``between`` processes, and the
    share of the variance that the probes explain. ``rounds``: of a process, on average."""

    within: float
    between: float
    explained: float
    rounds: float

    def error(self, processes: int) -> float:
        """The standard error of a mean over so many processes."""
        return math.sqrt((self.between**2 + self.within**2 / self.rounds) / processes)

    def freedom(self, processes: int) -> float:
        """Degrees of freedom of that error, by Satterthwaite: from the number of processes to that of samples."""
        between, within = self.between**2, self.within**2 / self.rounds
        if not between + within:
            return math.inf
        few, many = processes - 1, max(1.0, processes * (self.rounds - 1))
        return (between + within) ** 2 / (between**2 / few + within**2 / many) if few else 0.0

    def processes(self, tolerance: float) -> int:
        """The processes that bring half an interval to ``tolerance``; at most `MOST`."""
        enough = (n for n in range(FEWEST, MOST) if _quantile(self.freedom(n)) * self.error(n) <= math.log1p(tolerance))
        return next(enough, MOST)

    def best_rounds(self, starting: float, turn: float) -> int:
        """The rounds of a process that narrow an interval fastest, if a process takes ``starting`` seconds before its
        first round and a round takes ``turn`` seconds (Kalibera and Jones, "Rigorous benchmarking in reasonable
        time"); from `FEWEST_ROUNDS` to `MOST_ROUNDS`."""
        if not self.between:
            return MOST_ROUNDS
        return min(MOST_ROUNDS, max(FEWEST_ROUNDS, round(math.sqrt(starting / turn) * self.within / self.between)))


@dataclass(frozen=True)
class Estimate:
    """A mean over processes, with an interval and a verdict.

    ``verdict``: ``stable``; ``undecided``, where the interval is wider than the tolerance on one side, or there are
    fewer than `FEWEST` processes; ``two modes``, where the processes of a wide interval fall into two groups.
    """

    value: float
    interval: tuple[float, float] | None  # the 95 % bootstrap interval; None: one process
    verdict: str
    processes: int
    modes: tuple[tuple[float, int], tuple[float, int]] | None = None  # value and number of processes of each group
    interleaved: bool = True  # of a ratio: whether the two were interleaved
    moment: Moment | None = None  # of the machine, at which the value is stated; None: without probes
    # By probe: the exponent with which the value follows the probe's time; only those that the samples tell.
    slopes: Mapping[str, float] = field(default_factory=dict, hash=False)
    noise: Noise | None = None  # None: one process
    missing: int = 0  # processes that are missing until the verdict is stable, as they spread now

    def inverse(self) -> "Estimate":
        """One divided by this: of a ratio of times, the speed-up."""
        interval = self.interval and (1 / self.interval[1], 1 / self.interval[0])
        modes = self.modes and ((1 / self.modes[1][0], self.modes[1][1]), (1 / self.modes[0][0], self.modes[0][1]))
        slopes = {probe: -slope for probe, slope in self.slopes.items()}
        return replace(self, value=1 / self.value, interval=interval, modes=modes, slopes=slopes)

    def scaled(self, factor: float) -> "Estimate":
        """This times a number that is known exactly."""
        interval = self.interval and (factor * self.interval[0], factor * self.interval[1])
        modes = self.modes and (
            (factor * self.modes[0][0], self.modes[0][1]),
            (factor * self.modes[1][0], self.modes[1][1]),
        )
        return replace(self, value=factor * self.value, interval=interval, modes=modes)


@dataclass(frozen=True)
class _Samples:
    """Logarithms of the samples of a process, a row a round, and of its probes (no columns: without probes)."""

    values: Floats
    probes: Floats


Set = Sequence[_Samples]  # of the processes of one profile


def estimate(values: Sequence[float], tolerance: float) -> Estimate:
    """The estimate from one value per process; ``tolerance``: relative, on each side of the value."""
    return _estimate([_Samples(np.log([value]), np.empty((1, 0))) for value in values], tolerance, None, TIMES)


def time(run: Run, at: Moment | None = None) -> Estimate:
    """Seconds per call of a run, at a moment of the machine: by default the median of its own probes."""
    if len(run.processes) == 1 == len(run.processes[0].seconds):  # as it is written, such as a published time
        return Estimate(run.processes[0].seconds[0], None, "undecided", 1, missing=FEWEST - 1)
    return _estimate(_all(run), TIME_TOLERANCE, at, TIMES)


def ratio(run: Run, base: Run, at: Moment | None = None) -> Estimate:
    """Time of one run relative to another run, within the rounds of interleaved processes, at a moment of the machine.

    Without interleaved processes: the quotient of the means, which contains what the probes do not see of the drift
    between the two runs.
    """
    if run == base:
        return Estimate(1.0, (1.0, 1.0), "stable", len(run.processes))
    if paired := _paired(run, base):
        return _estimate(paired, RATIO_TOLERANCE, at, RATIOS)
    if len(run.processes) == 1 == len(base.processes):
        value = statistics.median(run.processes[0].seconds) / statistics.median(base.processes[0].seconds)
        return Estimate(value, None, "undecided", 1, interleaved=False, missing=FEWEST - 1)
    at = at or median_moment([*run.processes, *base.processes])
    above, below = (_fit([_all(each)], at, TIMES) for each in (run, base))
    middle = float(above.means[0].mean() - below.means[0].mean())
    noisier = max((above, below), key=lambda fit: fit.noise.error(len(fit.means[0])))
    both = replace(noisier, slopes={}, doubt=math.hypot(above.doubt, below.doubt))
    processes = min(len(run.processes), len(base.processes))
    found = _judge(both, middle, _draws(above, 0) - _draws(below, 0, seed=1), processes, RATIO_TOLERANCE)
    return replace(found, interleaved=False)


def change(after: Run, before: Run, at: Moment | None = None) -> Estimate:
    """Time of a run relative to the same run in another profile."""
    return _quotient(_all(after), _all(before), at, TIMES)


def relative_change(after: tuple[Run, Run], before: tuple[Run, Run], at: Moment | None = None) -> Estimate:
    """Change of the time relative to the standard cell; each argument: a run, and the run of its standard cell."""
    above, below = (
        _paired(*pair) or [_Samples(np.log([ratio(*pair, at).value]), np.empty((1, 0)))] for pair in (after, before)
    )
    return _quotient(above, below, at, RATIOS)


def order_effect(runs: Iterable[Run]) -> tuple[float, float] | None:
    """The change of the logarithm of a time with each place later in a round, and its standard error; None where the
    order was not recorded, or was always the same."""
    places, values = [], []
    for process in (process for run in runs for process in run.processes):
        if len(set(process.positions)) > 1:
            place, value = np.array(process.positions, float), np.log(process.seconds)
            places.append(place - place.mean())
            values.append(value - np.median(value))
    if not places:
        return None
    x, y = np.concatenate(places), np.concatenate(values)
    weights = _huber(y, np.zeros(len(y), np.intp))
    slope = float(np.sum(weights * x * y) / np.sum(weights * x * x))
    free = max(1, len(x) - len(places) - 1)
    error = math.sqrt(float(np.sum(weights * (y - slope * x) ** 2)) / free / float(np.sum(weights * x * x)))
    return slope, error


def _all(run: Run) -> list[_Samples]:
    return [_samples(process) for process in run.processes]


def _samples(process: Process) -> _Samples:
    return _Samples(np.log(process.seconds), _probes(process, len(process.seconds)))


def _probes(process: Process, rounds: int) -> Floats:
    if process.probes is None:
        return np.empty((rounds, 0))
    return np.log([getattr(process.probes, name)[:rounds] for name in PROBES]).T


def _paired(run: Run, base: Run) -> list[_Samples]:
    """Ratios within rounds, for each pair of interleaved processes; the probes are the mean of both."""
    partners = {process.started: process for process in base.processes if process.started is not None}
    pairs = []
    for process in run.processes:
        other = partners.get(process.started) if process.started else None
        if other is None:
            continue
        rounds = min(len(process.seconds), len(other.seconds))
        values = np.log(process.seconds[:rounds]) - np.log(other.seconds[:rounds])
        probes = [_probes(each, rounds) for each in (process, other)]
        both = all(each.size for each in probes)
        pairs.append(_Samples(values, (probes[0] + probes[1]) / 2 if both else np.empty((rounds, 0))))
    return pairs


def _estimate(samples: Set, tolerance: float, at: Moment | None, least: float) -> Estimate:
    """The estimate from the samples of a run; ``tolerance``: relative, on each side of the value."""
    fit = _fit([samples], at, least)
    (means,) = fit.means
    return _judge(fit, float(means.mean()), _draws(fit, 0), len(means), tolerance, means)


def _quotient(above: Set, below: Set, at: Moment | None, least: float) -> Estimate:
    """The mean of some samples relative to the mean of other, independent samples, with the same slopes."""
    fit = _fit([above, below], at, least)
    middle = float(fit.means[0].mean() - fit.means[1].mean())
    return _judge(fit, middle, _draws(fit, 0) - _draws(fit, 1), min(map(len, fit.means)), RATIO_TOLERANCE)


def _judge(
    fit: "_Fit", middle: float, draws: Floats, processes: int, tolerance: float, means: Floats | None = None
) -> Estimate:
    """The estimate from the logarithm ``middle`` and those that resampling draws; ``means``: of each process."""
    value = math.exp(middle)
    found = Estimate(value, None, "undecided", processes, moment=fit.moment, slopes=fit.slopes, missing=FEWEST - 1)
    if processes == 1:
        return found
    wider = _quantile(fit.noise.freedom(processes)) / NORMAL
    draws = middle + wider * (draws - middle) + np.random.default_rng(3).normal(0, fit.doubt, RESAMPLES)
    low, high = (math.exp(float(q)) for q in np.quantile(draws, (0.025, 0.975)))
    wide = max(high - value, value - low) > tolerance * value
    modes = _two_modes(sorted(map(float, np.exp(means))), tolerance) if wide and means is not None else None
    stable = not wide and processes >= FEWEST
    missing = 0 if stable else max(1, fit.noise.processes(tolerance) - processes)
    verdict = "two modes" if modes else "stable" if stable else "undecided"
    return replace(found, interval=(low, high), verdict=verdict, modes=modes, noise=fit.noise, missing=missing)


@dataclass(frozen=True)
class _Fit:
    """The regression of one set of samples, or of two sets with the same slopes, on their probes.

    ``values`` and ``weights``: of each process of each set, the logarithms at the ``moment``; ``doubt``: the standard
    error of what was taken off, because samples of another moment tell the slopes.
    """

    values: list[list[Floats]]
    weights: list[list[Floats]]
    moment: Moment | None
    slopes: dict[str, float]
    doubt: float
    noise: Noise

    @cached_property
    def means(self) -> list[Floats]:
        """The mean of each process of each set."""
        return [
            np.array([np.average(v, weights=w) for v, w in zip(values, weights, strict=True)])
            for values, weights in zip(self.values, self.weights, strict=True)
        ]


def _fit(sets: Sequence[Set], at: Moment | None, least: float) -> _Fit:
    """The regression of sets with the same slopes, which are ``least`` at least: 0 for times, -1 for ratios."""
    samples = [each for one in sets for each in one]
    known = all(each.probes.size for each in samples)
    values = np.concatenate([each.values for each in samples])
    probes = np.concatenate([each.probes for each in samples]) if known else np.empty((len(values), 0))
    process = np.repeat(np.arange(len(samples)), [len(each.values) for each in samples])
    owner = np.repeat(np.arange(len(sets)), list(map(len, sets)))[process]
    if known:
        at = at or Moment(*np.exp(np.median(probes, axis=0)))
        probes = probes - np.log([getattr(at, name) for name in PROBES])
    weights = np.ones(len(values))
    for _ in range(PASSES):
        slopes, errors, noise = _line(values, probes, owner, process, weights, least)
        weights = _huber(values - probes @ slopes, process)
    level = values - probes @ slopes
    places = [np.average(probes[owner == n], axis=0, weights=weights[owner == n]) for n in range(len(sets))]
    away = places[0] - places[1] if len(places) > 1 else places[0]
    doubts = np.minimum(UNKNOWN, errors / np.maximum(_drift(probes, owner, process), 1e-9))
    if len(sets) == 1 and at is not None and not at.asked:
        doubts = np.where(slopes == 0, 0.0, doubts)  # what follows no probe is stated as it was measured
    return _Fit(
        values=[[level[process == n] for n in np.unique(process[owner == one])] for one in range(len(sets))],
        weights=[[weights[process == n] for n in np.unique(process[owner == one])] for one in range(len(sets))],
        moment=at if known else None,
        slopes={name: float(slope) for name, slope in zip(PROBES, slopes, strict=False) if slope},
        doubt=float(np.linalg.norm(away * doubts)),
        noise=noise,
    )


def _line(
    values: Floats, probes: Floats, owner: Places, process: Places, weights: Floats, least: float
) -> tuple[Floats, Floats, Noise]:
    """Slopes, 0 where the samples do not tell a slope, their standard errors, and the noise that is left.

    The probe that tells most comes first; another one is taken where it is significant beside the first.
    """
    slopes, errors = np.zeros(probes.shape[1]), np.full(probes.shape[1], UNKNOWN)
    taken: list[int] = []
    noise = whole = _noise(values, owner, process, weights)
    free = len(values) - process[-1] - 1  # less the level of each process
    while len(taken) < min(probes.shape[1], free - FEWEST_FREE):
        trials = []
        for column in sorted(set(range(probes.shape[1])) - set(taken)):
            found = _least_squares(values, probes[:, [*taken, column]], owner, process, weights, noise)
            if found is not None and min(found[0]) >= least:
                errors[column] = min(UNKNOWN, found[1][-1] * _quantile(free - len(taken) - 1) / NORMAL)
                trials.append((abs(found[0][-1] / found[1][-1]), column, *found))
        if not trials or max(trials)[0] < SIGNIFICANT * _quantile(free - len(taken) - 1) / NORMAL:
            break
        _, column, slope, error = max(trials)
        taken.append(column)
        slopes[taken], errors[taken] = slope, error
        noise = _noise(values - probes @ slopes, owner, process, weights)
    variances = [each.within**2 + each.between**2 for each in (noise, whole)]
    return slopes, errors, replace(noise, explained=max(0.0, 1 - variances[0] / variances[1]) if variances[1] else 0.0)


def _least_squares(
    values: Floats, probes: Floats, owner: Places, process: Places, weights: Floats, noise: Noise
) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Slopes and their standard errors, with a level for each set and random effects of processes: a part of the mean
    of each process is taken off everything (Swamy and Arora). None where the samples are too few."""
    sets = np.eye(owner[-1] + 1)[owner]
    rounds = np.bincount(process)[process]
    between, within = noise.between**2, noise.within**2
    part = 1 - np.sqrt(within / (within + rounds * between)) if within + between else np.zeros(len(values))
    columns = np.column_stack([values, sets, probes])
    means = np.column_stack([column - _centred(column, process, weights) for column in columns.T])
    y, *x = ((columns - part[:, None] * means) * np.sqrt(weights)[:, None]).T
    design = np.column_stack(x)
    free = len(y) - design.shape[1]
    gram = design.T @ design
    if free < 1 or np.linalg.cond(gram) > 1e12:
        return None
    solution = np.linalg.solve(gram, design.T @ y)
    variance = max(float(np.sum((y - design @ solution) ** 2)) / free, 1e-18)
    errors = np.sqrt(np.diag(np.linalg.inv(gram)) * variance)
    slopes = np.clip(solution[sets.shape[1] :], -STEEPEST, STEEPEST)
    return tuple(slopes.tolist()), tuple(errors[sets.shape[1] :].tolist())


def _drift(probes: Floats, owner: Places, process: Places) -> Floats:
    """The share of the variance of each probe that is drift, which outlasts a round: the rest may be the probe's own
    noise, which tells nothing about the effect of a drift."""
    whole = np.array([np.mean(_centred(column, owner, np.ones(len(owner))) ** 2) for column in probes.T])
    steps = np.diff(probes, axis=0)[np.diff(process) == 0]
    if not len(steps):
        return np.ones(probes.shape[1])
    return np.asarray(np.clip(1 - np.mean(steps**2, axis=0) / 2 / np.maximum(whole, 1e-300), 0, 1))


def _noise(values: Floats, owner: Places, process: Places, weights: Floats) -> Noise:
    """The variance components of values, around the mean of each set."""
    names, first = np.unique(process, return_index=True)
    inner, free = _centred(values, process, weights), len(values) - len(names)
    within = float(weights @ inner**2) / free if free else 0.0
    means = np.array([np.average(values[process == n], weights=weights[process == n]) for n in names])
    outer, sets = _centred(means, owner[first], np.ones(len(means))), owner[-1] + 1
    rounds = len(values) / len(names)
    between = float(outer @ outer) / (len(means) - sets) if len(means) > sets else 0.0
    return Noise(math.sqrt(within), math.sqrt(max(0.0, between - within / rounds)), 0.0, rounds)


def _huber(level: Floats, process: Places) -> Floats:
    """Weights that are less than 1 for samples far from the others of their process: a neighbour's burst of work."""
    middle = np.array([np.median(level[process == n]) for n in range(process[-1] + 1)])
    rest = np.abs(level - middle[process])
    scale = 1.4826 * float(np.median(rest))
    return np.minimum(1.0, FAR * scale / np.maximum(rest, 1e-300)) if scale else np.ones(len(level))


def _centred(values: Floats, group: Places, weights: Floats) -> Floats:
    """Values without the weighted mean of their group."""
    sums, counts = np.bincount(group, weights * values), np.bincount(group, weights)
    return np.asarray(values - (sums / counts)[group])


def _draws(fit: _Fit, place: int, seed: int | None = None) -> Floats:
    """Means of a set over resampled processes and, in each of these, resampled rounds; the same for equal samples."""
    rng = np.random.default_rng(place if seed is None else seed)
    values, weights = fit.values[place], fit.weights[place]
    rounds = np.array([len(each) for each in values])
    table, share = (np.zeros((len(values), rounds.max())) for _ in range(2))
    for row, (value, weight) in enumerate(zip(values, weights, strict=True)):
        table[row, : len(value)], share[row, : len(weight)] = value, weight
    chosen = rng.integers(len(values), size=(RESAMPLES, len(values)))
    which = (rng.random((RESAMPLES, len(values), rounds.max())) * rounds[chosen][..., None]).astype(np.intp)
    drawn = share[chosen[..., None], which] * (np.arange(rounds.max()) < rounds[chosen][..., None])
    means = (drawn * table[chosen[..., None], which]).sum(-1) / drawn.sum(-1)
    return np.asarray(means.mean(-1))


def _quantile(freedom: float) -> float:
    """The 97.5 % quantile of Student's t by the expansion of Cornish and Fisher: within 1 % from 2 degrees on."""
    z, f = NORMAL, max(freedom, 1e-3)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / f**power for power, term in enumerate(terms, 1))


def _two_modes(values: Sequence[float], tolerance: float) -> "tuple[tuple[float, int], tuple[float, int]] | None":
    """Median and size of two groups, each narrow beside a gap that is wider than the tolerance; None: no two groups."""
    if len(values) < FEWEST_OF_MODES:
        return None
    gap, cut = max((b - a, n) for n, (a, b) in enumerate(itertools.pairwise(values), 1))
    groups = [(statistics.median(group), len(group), group[-1] - group[0]) for group in (values[:cut], values[cut:])]
    narrow = all(spread <= min(gap / 2, 3 * tolerance * middle) for middle, _, spread in groups)
    if not narrow or gap <= tolerance * statistics.median(values):
        return None
    (low, few, _), (high, many, _) = groups
    return (low, few), (high, many)
