"""Timing logic with clocks and a GPU of our own."""

from collections.abc import Callable

import pytest
from fake_cuda import Gpu

from costmodel.measure.clock import CudaClock, WallClock, settle


def test_the_wall_clock_takes_the_mean_of_calls_back_to_back() -> None:
    seconds, steps = [0.0], []

    def step() -> None:
        steps.append("step")
        seconds[0] += 0.25

    assert WallClock(lambda: seconds[0])(step, 4) == 0.25
    assert steps == ["step"] * 4


@pytest.mark.parametrize("flush", [True, False])
def test_cuda_events_time_each_call_alone(flush: bool) -> None:
    gpu = Gpu(launch=0.001)
    clock = CudaClock(gpu.cuda, (lambda: gpu.kernel(0.5, "flush")) if flush else None, gpu.clock)
    # The launch lies between the events: 0.001 + 0.2 a call; the flush does not.
    assert clock(lambda: gpu.kernel(0.2, "step"), 3) == pytest.approx(0.201)
    assert gpu.log == ([*["flush"] * flush, "wait", "step", "wait"]) * 3


def test_events_are_created_during_the_first_call_alone() -> None:
    gpu = Gpu(launch=0.001, create=0.01)
    clock = CudaClock(gpu.cuda, None, gpu.clock)
    # A kernel of 0 s does not hide the creation of the second event from the events.
    assert [clock(lambda: gpu.kernel(0.0), 1) for _ in range(3)] == [pytest.approx(s) for s in (0.011, 0.001, 0.001)]


def test_events_longer_than_the_wall_are_refused() -> None:
    gpu = Gpu(launch=0.001)
    # A wall clock that runs at a tenth of the GPU's pace: 0.0201 s for 0.201 s between the events.
    with pytest.raises(RuntimeError, match=r"CUDA events say 0.201000000 s .* encloses in 0.020100000 s"):
        CudaClock(gpu.cuda, None, lambda: gpu.now / 10)(lambda: gpu.kernel(0.2), 1)


def test_events_without_work_between_them_are_refused() -> None:
    gpu = Gpu()
    with pytest.raises(RuntimeError, match=r"CUDA events say 0\.0"):
        CudaClock(gpu.cuda, None, gpu.clock)(lambda: None, 1)


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
