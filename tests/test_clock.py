"""Timing logic with clocks and a CUDA of our own."""

from collections.abc import Callable

import pytest

from costmodel.measure.clock import CudaClock, WallClock, settle


class World:
    """A clock, and a GPU whose kernels take the time that they are told, after a delay of the host."""

    def __init__(self, kernel: float, launch: float = 0.001) -> None:
        self.now = 0.0
        self.gpu = 0.0  # when the GPU will have finished
        self.kernel, self.launch = kernel, launch
        self.log: list[str] = []

    def step(self) -> None:
        self.log.append("step")
        self.now += self.launch  # the host only launches
        self.gpu = max(self.gpu, self.now) + self.kernel

    def flush(self) -> None:
        self.log.append("flush")
        self.gpu = max(self.gpu, self.now) + 0.5

    def synchronize(self) -> None:
        self.log.append("wait")
        self.now = max(self.now, self.gpu)

    def Event(self, enable_timing: bool) -> "Event":  # noqa: N802  (torch's name)
        assert enable_timing
        return Event(self)


class Event:
    def __init__(self, world: World) -> None:
        self.world = world

    def record(self) -> None:
        self.when = max(self.world.gpu, self.world.now)

    def elapsed_time(self, end: "Event") -> float:
        return 1e3 * (end.when - self.when)


def test_the_wall_clock_takes_the_mean_of_calls_back_to_back() -> None:
    world = World(kernel=0, launch=0.25)
    assert WallClock(lambda: world.now)(world.step, 4) == 0.25
    assert world.log == ["step"] * 4


@pytest.mark.parametrize("flush", [True, False])
def test_cuda_events_time_each_call_alone(flush: bool) -> None:
    world = World(kernel=0.2)
    clock = CudaClock(world, world.flush if flush else None, lambda: world.now)
    # The launch lies between the events: 0.001 + 0.2 a call; the flush does not.
    assert clock(world.step, 3) == pytest.approx(0.201)
    assert world.log == ([*["flush"] * flush, "wait", "step", "wait"]) * 3


def test_events_longer_than_the_wall_are_refused() -> None:
    world = World(kernel=0.2)
    world.synchronize = lambda: None  # a clock that does not wait: the wall sees the launch alone
    with pytest.raises(RuntimeError, match="CUDA events say"):
        CudaClock(world, None, lambda: world.now)(world.step, 1)


def times(*seconds: float) -> Callable[..., float]:
    remaining = list(seconds)
    return lambda step, calls: remaining.pop(0)


@pytest.mark.parametrize(
    ("seconds", "taken"),
    [
        ((60, 1, 1.01, 1.02), 4),  # the first one compiles; the last three are within 5 %
        ((60, 2, 1.5, 1.2, 1.04, 1.01, 1.0), 7),  # 1.04 / 1.0 is within 5 %
        ((1, *[1, 2] * 20), 8),  # never settles: 1+2+1+2+1+2+1 = 10 s after the first call
        ((0.1, *[0.01, 0.02] * 20), 20),  # nor here: 20 calls
    ],
)
def test_warming_up_ends_when_times_settle_or_at_a_bound(seconds: tuple[float, ...], taken: int) -> None:
    seen = settle(times(*seconds), lambda: None)
    assert seen == list(seconds[:taken])
