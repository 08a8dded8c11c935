"""Clocks: seconds per call of a step, by the wall or by CUDA events.

What a clock needs of the world (the time, the CUDA runtime) is handed in, so that its logic is tested with fakes.
"""

import time
from collections.abc import Callable
from typing import Any, Protocol

Step = Callable[[], object]


class Clock(Protocol):
    """``clock(step, calls)`` runs a step that often, back to back, and gives the mean seconds of a call."""

    def __call__(self, step: Step, calls: int) -> float: ...


class WallClock:
    """Wall-clock seconds, for what is finished when it returns."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self.now = now

    def __call__(self, step: Step, calls: int) -> float:
        start = self.now()
        for _ in range(calls):
            step()
        return (self.now() - start) / calls


class CudaClock:
    """Seconds between two CUDA events on the current stream around each call, each call on an idle GPU.

    ``flush`` empties the L2 cache before every call; the events are read after synchronising. ``cuda`` is
    ``torch.cuda`` or something that acts like it.
    """

    # Events tick in half microseconds, and the two clocks need not run at quite the same rate.
    TICK, RATE = 2e-6, 1e-3

    def __init__(
        self, cuda: Any, flush: Callable[[], object] | None, now: Callable[[], float] = time.perf_counter
    ) -> None:
        self.cuda, self.flush, self.now = cuda, flush, now

    def __call__(self, step: Step, calls: int) -> float:
        total = 0.0
        for _ in range(calls):
            if self.flush is not None:
                self.flush()
            start, end = (self.cuda.Event(enable_timing=True) for _ in range(2))
            self.cuda.synchronize()
            begun = self.now()
            start.record()
            step()
            end.record()
            self.cuda.synchronize()
            wall = self.now() - begun
            seconds = start.elapsed_time(end) / 1e3
            if not 0 < seconds <= wall * (1 + self.RATE) + self.TICK:
                raise RuntimeError(
                    f"CUDA events say {seconds:.9f} s for a call that the wall clock encloses in {wall:.9f} s"
                )
            total += seconds
        return total / calls


def settle(clock: Clock, step: Step, *, least: int = 3, most: int = 20, seconds: float = 10.0) -> list[float]:
    """Warm up: call until the last three times are within 5 %, at least ``least`` calls (the first one compiles), at
    most ``most``, and no more than about ``seconds`` after the first one; the seconds of each call."""
    times = [clock(step, 1)]
    while len(times) < least + 1 or (
        len(times) < most and sum(times[1:]) < seconds and max(times[-3:]) > 1.05 * min(times[-3:])
    ):
        times.append(clock(step, 1))
    return times
