"""The time of operations on a calibrated machine: kernel by kernel, with an interval and a bound."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from costmodel.price.kernels import Kernel, kernel, kernels
from costmodel.price.moment import Moment
from costmodel.work.call import Call
from costmodel.work.cost import NOTHING, Operation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

# numpy is imported where it computes: tables without a machine do without it.

Limit: TypeAlias = Literal["compute", "memory", "launch"]


@dataclass(frozen=True)
class Predicted:
    """The predicted time of one operation, in seconds; None where its kind was not calibrated.

    ``floor``: a lower bound, the roofline from measured ceilings. ``replayed``: timed alone, not predicted.
    """

    operation: Operation
    kind: str
    seconds: float | None
    floor: float
    bound: Limit | None
    sd: float = 0.0  # standard deviation of the logarithm
    replayed: bool = False


@dataclass(frozen=True)
class Prediction:
    """The predicted time of operations in sequence: ``seconds`` with the 90 % interval ``low`` to ``high``; operations
    of kinds that were not calibrated are left out of it, and named in ``missing`` with their number.

    ``floor``: seconds that no run can be below. ``moment``: of the machine, at which the times are stated.
    """

    rows: tuple[Predicted, ...]
    seconds: float
    low: float
    high: float
    floor: float
    missing: Counter[str]
    moment: Moment | None

    @property
    def bound(self) -> Limit | None:
        """The bound of most of the time."""
        by: Counter[Limit] = Counter()
        for row in self.rows:
            if row.bound and row.seconds:
                by[row.bound] += row.seconds  # type: ignore[assignment]  # a Counter of floats
        return by.most_common(1)[0][0] if by else None


@dataclass(frozen=True)
class Sample:
    """A call of an operator, timed alone: seconds per call in each round, and those of each probe (in the order of
    `costmodel.price.moment.PROBES`) around it. ``cold``: with arguments that no cache holds."""

    call: Call
    cold: bool
    seconds: tuple[float, ...]
    probes: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class Chain:
    """A small module, timed as a whole, with the calls that it makes in order; seconds and probes as of `Sample`."""

    name: str
    calls: tuple[Call, ...]
    seconds: tuple[float, ...]
    probes: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class Rates:
    """What bounds every kernel at a moment of a machine: seconds of the shortest call of an operator, FLOP/s of a
    matrix product, and bytes per second from caches (``hot``) and from memory (``cold``)."""

    launch: float
    rate: float
    hot: float
    cold: float

    def at(self, moment: Moment, reference: Moment) -> "Rates":
        """These rates, which are those of the moment ``reference``, at another moment."""
        return Rates(
            self.launch,
            self.rate * reference.product / moment.product,
            self.hot * reference.cached / moment.cached,
            self.cold * reference.copy / moment.copy,
        )

    def parts(self, kernel: Kernel, cold: float) -> tuple[float, float, float]:
        """Seconds of launching, arithmetic and moving; ``cold``: the share of the bytes that comes from memory."""
        moving = kernel.bytes * (cold / self.cold + (1 - cold) / self.hot)
        return self.launch, kernel.flops * kernel.blocks / self.rate, moving

    def seconds(self, kernel: Kernel, cold: float) -> float:
        """The sum of the parts: the scale of a kernel's time, which its curve corrects."""
        return sum(self.parts(kernel, cold))


LENGTH = 8.0  # doublings of a size over which a curve bends
STATE = 1 / 6  # as far as hot and cold are apart, in lengths
NOISES = (0.003, 0.01, 0.03, 0.1, 0.3)  # variances of a sample relative to the curve's
VAGUE = 25.0  # variance of the mean of a curve, relative to the curve's


class Curve:
    """The logarithm of a kind's time relative to the scale of `Rates`, over its sizes and the share that is cold: a
    Gaussian process with the covariance Matern 3/2 and an unknown mean.

    C. E. Rasmussen, C. K. I. Williams: Gaussian Processes for Machine Learning, 2006, eq. (2.25), (2.26), (4.17) and,
    for the choice of the noise, (5.8) with the scale taken out.
    """

    def __init__(self, places: "Floats", values: "Floats") -> None:
        import numpy as np

        self.places = places
        shared = _covariance(places, places) + VAGUE
        best = -math.inf
        for noise in NOISES:
            lower = np.linalg.cholesky(shared + noise * np.eye(len(values)))
            white = np.linalg.solve(lower, values)
            scale = max(float(white @ white) / len(values), 1e-6)
            likelihood = -len(values) / 2 * math.log(scale) - float(np.log(np.diag(lower)).sum())
            if likelihood > best:
                best, self.scale, self.noise, self.lower, self.white = likelihood, scale, noise, lower, white

    def at(self, places: "Floats") -> "tuple[Floats, Floats]":
        """Means and covariances at places. Beyond the sizes of the samples a curve goes on as at the last of them, with
        a doubt that grows with the distance."""
        import numpy as np

        inside = np.clip(places, self.places.min(axis=0), self.places.max(axis=0))
        outside = np.sqrt(((places - inside) ** 2).sum(-1))
        places = inside
        across = np.linalg.solve(self.lower, _covariance(self.places, places) + VAGUE)
        own = _covariance(places, places) + VAGUE
        return across.T @ self.white, self.scale * (own - across.T @ across + np.outer(outside, outside))


def _covariance(a: "Floats", b: "Floats") -> "Floats":
    import numpy as np

    distance = np.sqrt(3 * np.maximum(0, ((a[:, None, :] - b[None, :, :]) ** 2).sum(-1)))
    return np.asarray((1 + distance) * np.exp(-distance))


def _place(kernel: Kernel, cold: float) -> list[float]:
    return [math.log2(size) / LENGTH for size in kernel.sizes] + [cold * STATE]


class CalibratedMachine:
    """A machine with measured rates. Made by `costmodel.profiles.calibration.machine(NAME, ...)`.

    ``name``: of the profile. ``conditions``: in words, such as ``cpu, float32, contiguous, 2 threads, torch 2.13``.
    ``moment``: the median moment of the calibration. ``rates``: at that moment. ``factor`` and ``overhead``: the time
    of a module is the sum over its kernels times the factor, and the overhead in seconds for each of them; ``doubt``:
    the standard deviation of the logarithm of what chains of layers took relative to that.
    """

    moment: Moment | None

    def __init__(
        self,
        name: str,
        conditions: str,
        moment: Moment,
        rates: Rates,
        samples: Mapping[str, list[tuple[Kernel, bool, float]]],
        cache: int,
    ) -> None:
        self.name, self.conditions, self.moment, self.rates = name, conditions, moment, rates
        self.samples, self.cache = samples, cache
        self.curves: dict[str, Curve] = {}
        self.factor, self.overhead, self.doubt = 1.0, 0.0, 0.0

    @classmethod
    def fit(
        cls, name: str, conditions: str, samples: Sequence[Sample], chains: Sequence[Chain] = (), cache: int = 32 << 20
    ) -> "CalibratedMachine":
        """The machine whose rates explain the samples; ``cache``: bytes of its largest cache."""
        import numpy as np

        probes = np.array([turn for sample in samples for turn in sample.probes])
        moment = Moment(*np.median(probes, axis=0).tolist())
        launch = min(float(np.median(sample.seconds)) for sample in samples)
        rates = Rates(launch, moment.rate, moment.cached_bandwidth, moment.bandwidth)
        found: dict[str, list[tuple[Kernel, bool, float]]] = {}
        for sample in samples:
            known = kernel(sample.call)
            if known is None:
                continue
            # Other work on the machine only adds time, to samples of a hundredth of a second much.
            logs = [
                math.log(seconds / rates.at(Moment(*turn), moment).seconds(known, sample.cold))
                for seconds, turn in zip(sample.seconds, sample.probes, strict=True)
            ]
            found.setdefault(known.kind, []).append((known, sample.cold, float(np.quantile(logs, 0.25))))
        machine = cls(name, conditions, moment, rates, found, cache)
        if chains:
            machine._learn(chains)
        return machine

    def _learn(self, chains: Sequence[Chain]) -> None:
        """Factor, overhead and doubt, by chains of layers, whose kernels no sample timed together: least absolute
        relative errors. The doubt is of one measurement, what the doubts of the curves do not account for."""
        import numpy as np

        rows, variances = [], []
        for chain in chains:
            operations = [Operation(call.name, NOTHING, call=call) for call in chain.calls]
            for seconds, turn in zip(chain.seconds, chain.probes, strict=True):
                found = self.predict(operations, Moment(*turn))
                rows.append((found.seconds / seconds, len(operations) / seconds))
                variances.append((math.log(found.high / found.low) / 2 / NINETY) ** 2)
        relative, weights = np.array(rows), np.ones(len(rows))
        for _ in range(PASSES):
            root = np.sqrt(weights)
            solution, *_ = np.linalg.lstsq(relative * root[:, None], root, rcond=None)
            if solution[1] < 0:  # no overhead can be told
                solution = np.array([1 / np.median(relative[:, 0]), 0.0])
            weights = 1 / np.maximum(np.abs(relative @ solution - 1), 0.01)
        self.factor, self.overhead = map(float, solution)
        error = float(np.median(np.abs(np.log(relative @ solution)))) / MAD
        self.doubt = math.sqrt(max(0.0, error**2 - float(np.median(variances))))

    def curve(self, kind: str) -> Curve:
        """The curve of a kind; KeyError for one that was not calibrated."""
        import numpy as np

        if kind not in self.curves:
            samples = self.samples[kind]
            places = np.array([_place(known, cold) for known, cold, _ in samples])
            self.curves[kind] = Curve(places, np.array([value for *_, value in samples]))
        return self.curves[kind]

    def predict(
        self, operations: Sequence[Operation], at: Moment | None = None, replayed: "Mapping[Call, float] | None" = None
    ) -> Prediction:
        """The time of operations that run one after another; ``at``: a moment, by default the calibration's.
        ``replayed``: seconds by `Call`, for operations that were timed alone."""
        import numpy as np

        rates = self.rates if at is None or self.moment is None else self.rates.at(at, self.moment)
        found = kernels(operations)
        shares = _cold_shares(found, self.cache)
        variances = np.zeros(len(found))
        seconds: list[float | None] = [None] * len(found)
        by_kind: dict[str, list[int]] = {}
        for number, known in enumerate(found):
            if known is not None and known.kind in self.samples:
                by_kind.setdefault(known.kind, []).append(number)
        variance = 0.0
        for kind, numbers in by_kind.items():
            distinct: dict[tuple[float, ...], int] = {}
            places = [_place(found[n], shares[n]) for n in numbers]  # type: ignore[arg-type]  # those that are known
            index = [distinct.setdefault(tuple(place), len(distinct)) for place in places]
            means, covariance = self.curve(kind).at(np.array(list(distinct)))
            weights = np.zeros(len(distinct))
            for number, place in zip(numbers, index, strict=True):
                known = found[number]
                assert known is not None
                scale = rates.seconds(known, shares[number])
                own = self.factor * scale * math.exp(means[place]) + self.overhead
                seconds[number], variances[number] = own, covariance[place, place]
                weights[place] += own
            variance += float(weights @ covariance @ weights)
        rows, missing = [], Counter[str]()
        for number, (operation, known) in enumerate(zip(operations, found, strict=True)):
            if known is None:
                if operation.call is None:  # its kernel is not known: no silent 0
                    missing[operation.op] += 1
                    rows.append(Predicted(operation, operation.op, None, 0.0, None))
                continue
            timed = (replayed or {}).get(operation.call) if operation.call and seconds[number] is None else None
            time: float | None = seconds[number] if timed is None else timed
            if time is None:
                missing[known.kind] += 1
            parts = rates.parts(known, shares[number])
            limit: Limit = ("launch", "compute", "memory")[parts.index(max(parts))]
            floor = max(known.flops / rates.rate / BEST, known.bytes / rates.hot / BEST)
            rows.append(
                Predicted(
                    operation,
                    known.kind,
                    time,
                    floor,
                    limit if time is not None else None,
                    math.sqrt(max(0.0, variances[number])),
                    timed is not None,
                )
            )
        total = sum(row.seconds for row in rows if row.seconds is not None)
        relative = math.sqrt(max(0.0, variance) / total**2 + self.doubt**2) if total else 0.0
        wide = math.exp(NINETY * relative)
        return Prediction(
            tuple(rows), total, total / wide, total * wide, sum(row.floor for row in rows), missing, at or self.moment
        )


PASSES = 20  # of reweighting, for least absolute errors
MAD = 0.6745  # median absolute deviation of a normal distribution, in standard deviations
NINETY = 1.645  # standard deviations on each side that hold 90 % of a normal distribution
BEST = 1.5  # times the rates of the probes that no kernel exceeds


def _cold_shares(found: Sequence[Kernel | None], cache: int) -> list[float]:
    """The share of each kernel's bytes that no cache holds: its weights, where those of all operations are more than a
    cache keeps from one pass to the next, and what is more than a cache holds of its inputs and outputs."""
    many = sum(each.weights for each in found if each is not None) > KEPT * cache
    shares = []
    for each in found:
        if each is None or not each.bytes:
            shares.append(0.0)
            continue
        rest = each.bytes - each.weights
        cold = (each.weights if many else 0.0) + rest * min(1.0, rest / (PASSED * cache))
        shares.append(cold / each.bytes)
    return shares


KEPT = 1 / 4  # of a cache: weights that stay in it while others, and the maps, pass
PASSED = 4  # as many caches of maps, read and written, leave nothing in one
