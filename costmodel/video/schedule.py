"""Key-frame schedules in closed form: latency, work, staleness and throughput of networks that run one part on some
frames only.

A low part runs on every frame, a high part on key frames; other frames use the high result of the last key frame,
propagated. All times are milliseconds. Inputs are converted to exact decimals; results are rounded once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, isfinite
from typing import Any

from costmodel.errors import InvalidInput, among, in_words

MODES = {
    "every": "the whole network on every frame",
    "fixed": "the high part on every k-th frame, propagation on the others",
    "adaptive": "a scheduler on every frame decides between the two",
    "parallel": "every frame is propagated, the high part of key frames runs in the background",
}
# The formulas of `schedule` in Python syntax: p is the fraction of key frames, eps the contention, T the frame period.
_MAXIMUM = "max(c_high, c_prop)"  # c_high alone where every frame is a key frame
FORMULAS = {
    "every": {"average": "c_low + c_high", "maximum": "c_low + c_high"},
    "fixed": {
        "average": "c_low + p*c_high + (1 - p)*c_prop",
        "maximum": f"c_low + {_MAXIMUM}",
        "break-even p": "1",
    },
    "adaptive": {
        "average": "c_low + c_sel + p*c_high + (1 - p)*c_prop",
        "maximum": f"c_low + c_sel + {_MAXIMUM}",
        "break-even p": "(c_high - c_sel - c_prop)/(c_high - c_prop)",
    },
    "parallel": {
        "average": "(c_low + c_sel + c_prop)*(1 + eps)",
        "maximum": "(c_low + c_sel + c_prop)*(1 + eps)",
        "work per frame": "(c_low + c_sel + c_prop)*(1 + eps) + p*c_high",
        "break-even p": "(c_low + c_high - (c_low + c_sel + c_prop)*(1 + eps))/c_high",
        "background load U": "p*c_high/T",
    },
}
LEAST, MOST = Fraction(1, 10**6), 10**9  # times in ms: a nanosecond and 12 days
NANOSECONDS = 10**6  # in a millisecond
LONGEST = 10**6  # frames: an interval, and the sum of gaps


def exact(name: str, value: Any, *, zero: bool = False, unit: str = " ms") -> Fraction:
    """``value`` as the exact decimal that Python prints; `InvalidInput` unless it is positive (or 0 with ``zero``)."""
    allowed = f"{'0 or ' if zero else ''}from {float(LEAST):g} to {MOST:g}{unit}"
    try:
        if isinstance(value, bool | str):
            raise TypeError
        number = value if isinstance(value, int | Fraction) else float(value)
        if not isinstance(number, int | Fraction) and not isfinite(number):
            raise ValueError
        decimal = Fraction(number) if isinstance(number, int | Fraction) else Fraction(str(number))
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput(f"{name} must be a number {allowed}, not {value!r}") from None
    if not (LEAST <= decimal <= MOST or (zero and decimal == 0)):
        raise InvalidInput(f"{name} must be {allowed}, not {value}")
    return decimal


def whole(name: str, value: Any, most: int = LONGEST) -> int:
    """``value`` as an int; `InvalidInput` unless it is a whole number from 1 to ``most``."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or not 1 <= value.__index__() <= most:
        raise InvalidInput(f"{name} must be a whole number from 1 to {most:,}, not {value!r}")
    return int(value.__index__())


@dataclass(frozen=True)
class Stages:
    """Times of the parts of one frame, in ms."""

    low: float  # the part on every frame
    high: float  # the part on key frames
    propagate: float = 0  # moving the high result of the last key frame to this frame
    select: float = 0  # deciding about key frames

    def __post_init__(self) -> None:
        for name in ("low", "high", "propagate", "select"):
            exact(f"the time {name}", getattr(self, name), zero=name in ("propagate", "select"))

    def exact(self) -> tuple[Fraction, Fraction, Fraction, Fraction]:
        """The exact times low, high, propagate, select."""
        low, high = exact("low", self.low), exact("high", self.high)
        return low, high, exact("propagate", self.propagate, zero=True), exact("select", self.select, zero=True)


@dataclass(frozen=True)
class Schedule:
    """The costs of a schedule; see `schedule`. Latencies are without waiting and without the first frame."""

    stages: Stages
    mode: str
    gaps: tuple[int, ...]  # frames from key frame to key frame, repeated
    contention: float
    devices: int
    interval: float  # frames per key frame, on average
    key_fraction: float
    average_ms: float  # latency
    maximum_ms: float  # latency
    work_per_frame_ms: float  # of all devices together
    first_frame_ms: float  # latency of the first frame, which runs in full
    front_ms: float  # from a frame to its propagated result, or to its own result where no result is propagated
    frame_period_ms: float
    staleness_frames: tuple[int, int] | None  # age of the shown high features, least and most (None: none come)
    background_load: float | None  # U, of the mode parallel
    feasible: bool | None  # parallel: U <= 1 on a device of its own; on one device, the work per frame fits the period
    keeps_up: bool  # neither frames nor key features queue up at frame_period_ms
    throughput_fps: float  # the most frames per second without queues
    every_frame_ms: float  # latency and work of the mode every
    break_even_key_fraction: float | None  # below this fraction there is less work than every_frame_ms (None: never)
    speed_up: float  # every_frame_ms / average_ms

    def __repr__(self) -> str:
        every = f"{self.interval:g} frames" if self.interval != 1 else "frame"
        return (
            f"<Schedule {self.mode}, a key frame every {every}: average {self.average_ms:g} ms, maximum "
            f"{self.maximum_ms:g} ms, work {self.work_per_frame_ms:g} ms a frame>"
        )


def schedule(
    stages: Stages,
    mode: str = "parallel",
    interval: int | None = None,
    *,
    gaps: Sequence[int] | None = None,
    frame_period: float | None = None,
    contention: float = 0,
    devices: int | None = None,
) -> Schedule:
    """Latency, work, staleness and throughput of a key-frame schedule, in closed form (`FORMULAS`).

    ``mode``: one of `MODES`. ``interval`` k: a key frame every k frames; or ``gaps``, a cycle of distances between key
    frames. The mode ``every`` takes neither. ``frame_period`` T in ms; by default the maximum latency or, where one
    device does all the work, the work per frame if that is longer, rounded up to a nanosecond. ``contention`` and
    ``devices`` belong to the mode ``parallel``: on two devices (the default) the background has a device of its own; on
    one device (the default with contention) the background runs when no frame does, and ``contention`` eps makes every
    front (1 + eps) times as long. `InvalidInput` for values that are not allowed.

    >>> import costmodel
    >>> stages = costmodel.Stages(low=61, high=299, select=20, propagate=38)
    >>> parallel = costmodel.schedule(stages, "parallel", 5)
    >>> parallel.average_ms, parallel.work_per_frame_ms, round(parallel.background_load, 4), parallel.staleness_frames
    (119.0, 178.8, 0.5025, (3, 7))
    """
    if mode not in MODES:
        raise InvalidInput(f"unknown mode {in_words(mode)}: {among(mode, MODES)}")
    cycle = _cycle(mode, interval, gaps)
    low, high, propagate, select = stages.exact()
    eps = exact("contention", contention, zero=True, unit="")
    if devices is not None and (isinstance(devices, bool) or devices not in (1, 2)):
        raise InvalidInput(f"devices must be 1 or 2, not {devices!r}")
    if mode != "parallel" and (eps or devices is not None):
        raise InvalidInput(f"devices and contention need the mode parallel: in {mode} nothing runs beside a frame")
    if eps and devices == 2:
        raise InvalidInput("contention needs a shared device; with two devices there is none")
    chosen = devices or (1 if eps or mode != "parallel" else 2)

    p = Fraction(len(cycle), sum(cycle))
    every = low + high
    decided = Fraction(0) if mode == "fixed" else select
    front = low + decided + propagate
    if mode == "parallel":
        average = maximum = front = front * (1 + eps)
        work = front + p * high
        shortest = max(front, p * high) if chosen == 2 else work
        below = (every - front) / high
    elif mode == "every":
        front = average = maximum = work = shortest = every
        below = Fraction(0)
    else:
        average = work = shortest = low + decided + p * high + (1 - p) * propagate
        maximum = low + decided + (high if p == 1 else max(high, propagate))
        below = (high - decided - propagate) / (high - propagate) if high > propagate else Fraction(0)
    # Rounded up to a nanosecond, so that the shown number is the number of the computation.
    usual = Fraction(ceil((max(maximum, work) if chosen == 1 else maximum) * NANOSECONDS), NANOSECONDS)
    period = usual if frame_period is None else exact("the frame period", frame_period)
    return Schedule(
        stages=stages,
        mode=mode,
        gaps=cycle,
        contention=float(eps),
        devices=chosen,
        interval=_number(1 / p),
        key_fraction=float(p),
        average_ms=float(average),
        maximum_ms=float(maximum),
        work_per_frame_ms=float(work),
        first_frame_ms=float(every),
        front_ms=float(front),
        frame_period_ms=float(period),
        staleness_frames=_staleness(mode, high, period - (front if chosen == 1 else 0), max(cycle)),
        background_load=float(p * high / period) if mode == "parallel" else None,
        feasible=(p * high if chosen == 2 else work) <= period if mode == "parallel" else None,
        keeps_up=shortest <= period,
        throughput_fps=float(1000 / shortest),
        every_frame_ms=float(every),
        break_even_key_fraction=float(below) if below > 0 else None,
        speed_up=float(every / average),
    )


def _cycle(mode: str, interval: int | None, gaps: Sequence[int] | None) -> tuple[int, ...]:
    if mode == "every":
        if interval is not None or gaps is not None:
            raise InvalidInput("the mode every has no key frames: give neither interval nor gaps")
        return (1,)
    if (interval is None) == (gaps is None):
        raise InvalidInput(f"the mode {mode} needs an interval or gaps, not both")
    if gaps is None:
        return (whole("the interval", interval),)
    cycle = tuple(whole("a gap", gap) for gap in gaps)
    if not 1 <= sum(cycle) <= LONGEST:
        raise InvalidInput(f"the sum of gaps must be from 1 to {LONGEST:,} frames, not {sum(cycle):,}")
    return cycle


def _staleness(mode: str, high: Fraction, left: Fraction, longest: int) -> tuple[int, int] | None:
    """Staleness in frames, least and most; ``left``: the time of every period for the background."""
    if mode != "parallel":
        return 0, longest - 1
    # The high part starts when the key frame is propagated, and is needed when a later frame is propagated.
    return None if left <= 0 else (ceil(high / left), ceil(high / left) + longest - 1)


def _number(value: Fraction) -> float:
    """The value as an int if whole, else as a float."""
    return int(value) if value.denominator == 1 else float(value)


# ---- the same algebra for other methods ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Latency:
    """Latencies of frames, in the unit of the inputs."""

    average: float
    maximum: float


def clockwork(costs: Sequence[float], periods: Sequence[int]) -> Latency:
    """Clockwork: stage s takes ``costs[s]`` and runs on every ``periods[s]``-th frame.

    >>> clockwork([10, 20, 30], [1, 2, 4])   # 10 + 20/2 + 30/4; 10 + 20 + 30
    Latency(average=27.5, maximum=60.0)
    """
    if len(costs) != len(periods) or not costs:
        raise InvalidInput(f"clockwork needs a period for every stage: {len(costs)} costs, {len(periods)} periods")
    times = [exact("the cost of a stage", cost) for cost in costs]
    intervals = [whole("the period of a stage", period) for period in periods]
    average = sum((time / period for time, period in zip(times, intervals, strict=True)), Fraction(0))
    return Latency(float(average), float(sum(times)))


def dff(full: float, propagate: float, length: int) -> Latency:
    """Deep Feature Flow: of ``length`` frames the first takes ``full``, the others ``propagate``.

    >>> dff(271, 51, 10)   # (271 + 9*51)/10
    Latency(average=73.0, maximum=271.0)
    """
    whole_, part, frames = exact("full", full), exact("propagate", propagate, zero=True), whole("the length", length)
    return Latency(float((whole_ + (frames - 1) * part) / frames), float(whole_))


def dff_propagate(full: float, average: float, length: int) -> float:
    """The time of propagation that an average of Deep Feature Flow implies: `dff` solved for ``propagate``.

    >>> dff_propagate(0.271, 0.073, 10)   # (0.73 - 0.271)/9
    0.051
    """
    whole_, mean, frames = exact("full", full), exact("the average", average), whole("the length", length)
    if frames == 1 or frames * mean < whole_ * (1 - Fraction(1, 10**12)):  # an average may be rounded
        raise InvalidInput(f"an average of {average} over {length} frames leaves no time for propagation after {full}")
    return float(max(frames * mean - whole_, Fraction(0)) / (frames - 1))


def per_frame(full: float, warp: float = 0) -> Latency:
    """A method that does the same on every frame: the network, and optionally a warp or a branch.

    >>> per_frame(360, 40)
    Latency(average=400.0, maximum=400.0)
    """
    time = float(exact("full", full) + exact("warp", warp, zero=True))
    return Latency(time, time)
