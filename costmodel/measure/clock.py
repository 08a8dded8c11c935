"""Clocks: seconds per call of a step, by the wall clock or by CUDA events.

The time and the CUDA runtime are arguments, so that tests can pass fakes.
"""

import time
from collections.abc import Callable
from typing import Any, Protocol

Step = Callable[[], object]


class Clock(Protocol):
    """``clock(step, calls)`` runs a step ``calls`` times, back to back, and returns the mean seconds per call."""

    def __call__(self, step: Step, calls: int) -> float: ...


class WallClock:
    """Wall-clock seconds, for steps whose work is finished when the step returns."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self.now = now

    def __call__(self, step: Step, calls: int) -> float:
        start = self.now()
        for _ in range(calls):
            step()
        return (self.now() - start) / calls


class CudaClock:
    """Seconds between two CUDA events on the current stream around each call, each call on an idle GPU. The events are
    the same ones for all calls: CUDA creates an event where it is first recorded, which takes time.

    ``flush`` empties the L2 cache before every call; the events are read after synchronising. ``cuda``: ``torch.cuda``,
    or a fake. `RuntimeError` where the events contradict the wall clock.
    """

    # Events tick in half microseconds, and the two clocks need not run at quite the same rate.
    TICK, RATE = 2e-6, 1e-3

    def __init__(
        self, cuda: Any, flush: Callable[[], object] | None, now: Callable[[], float] = time.perf_counter
    ) -> None:
        self.cuda, self.flush, self.now = cuda, flush, now
        self.start, self.end = (cuda.Event(enable_timing=True) for _ in range(2))

    def __call__(self, step: Step, calls: int) -> float:
        total = 0.0
        for _ in range(calls):
            if self.flush is not None:
                self.flush()
            self.cuda.synchronize()
            begun = self.now()
            self.start.record()
            step()
            self.end.record()
            self.cuda.synchronize()
            wall = self.now() - begun
            seconds = self.start.elapsed_time(self.end) / 1e3
            if not 0 < seconds <= wall * (1 + self.RATE) + self.TICK:
                raise RuntimeError(
                    f"CUDA events say {seconds:.9f} s for a call that the wall clock encloses in {wall:.9f} s"
                )
            total += seconds
        return total / calls


def settle(clock: Clock, step: Step, *, least: int = 3, most: int = 20, seconds: float = 10.0) -> list[float]:
    """Warm up until the last three calls agree within 5 %; returns the seconds of each call. ``least`` calls follow the
    first call, which may compile; ``most`` calls in all, or about ``seconds`` seconds, end the warm-up."""
    times = [clock(step, 1)]
    while len(times) < least + 1 or (
        len(times) < most and sum(times[1:]) < seconds and max(times[-3:]) > 1.05 * min(times[-3:])
    ):
        times.append(clock(step, 1))
    return times
