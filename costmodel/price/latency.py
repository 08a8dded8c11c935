"""The time of operations on a calibrated machine: kernel by kernel, with an interval and a bound."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from costmodel.price.moment import Moment
from costmodel.work.call import Call
from costmodel.work.cost import Operation

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


class CalibratedMachine:
    """A machine with measured rates. Made by `costmodel.profiles.calibration.machine(NAME, ...)`."""

    name: str  # of the profile
    conditions: str  # in words: cpu, float32, contiguous, 2 threads, torch 2.13
    moment: Moment | None  # the median moment of the calibration

    @classmethod
    def fit(
        cls, name: str, conditions: str, samples: Sequence[Sample], chains: Sequence[Chain] = ()
    ) -> "CalibratedMachine":
        """The machine whose rates explain the samples."""
        raise NotImplementedError

    def predict(
        self, operations: Sequence[Operation], at: Moment | None = None, replayed: "dict[object, float] | None" = None
    ) -> Prediction:
        """The time of operations that run one after another; ``at``: a moment, by default the calibration's.
        ``replayed``: seconds by `Call`, for operations that were timed alone."""
        raise NotImplementedError
