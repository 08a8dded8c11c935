"""The fresh process that times the points of a calibration, and the probes between them: one request, one answer.

The runner starts ``python -m costmodel.measure.point_child FD`` as it does `costmodel.measure.child`. All runs in one
process, so no threads of another one wait beside it.
"""

import math
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch

from costmodel.counting.count import count
from costmodel.counting.reasons import reason
from costmodel.errors import InvalidInput
from costmodel.measure import replay
from costmodel.measure.child import main
from costmodel.measure.clock import Clock, CudaClock, Step, WallClock
from costmodel.measure.host import cache_bytes
from costmodel.measure.operations import operations
from costmodel.measure.points import Composite, composites
from costmodel.measure.probes import Prober
from costmodel.measure.timed import Timed, multiply_float32
from costmodel.profiles.records import Settings
from costmodel.work.call import Call

SAMPLE_SECONDS = 0.01  # of the calls of a sample together, about
LONGER = 10  # times that for a composite: there are few, and each is new, with memory that was not used before
MOST_CALLS = 10_000  # of a sample
CACHES = 3  # as many times the bytes of the largest cache lie between two uses of a cold argument


class TimedComposite(Timed):
    """A composite on a random input."""

    def __init__(self, composite: Composite, how: Settings) -> None:
        torch.manual_seed(0)
        module = composite.module().eval()
        super().__init__(how, module, module)
        self.inputs = [torch.randn(composite.shape)]
        self.place()

    def call(self) -> None:
        self.output = self.run(*self.inputs)


def calls_of(composite: Composite, how: Settings) -> tuple[Call, ...]:
    """The calls of operators that a composite makes, in order."""
    counted = count(composite.module().eval(), torch.empty(composite.shape, device="meta"))
    made = operations(counted, how.dtype or "float32", how.memory_format or "contiguous")
    if lost := [each.op for each in made if each.call is None]:
        raise InvalidInput(f"{composite.name}: the arguments of {lost[0]} are no data")
    return tuple(each.call for each in made if each.call)


def sample(clock: Clock, step: Step, repeats: int | None, seconds: float = SAMPLE_SECONDS) -> tuple[int, float]:
    """One more sample: the number of calls back to back, and their mean seconds. Without ``repeats`` the calls of a
    sample are those that take ``seconds``. The first call is not timed: it fills caches, and may prepare."""
    step()
    if repeats is None:
        once = clock(step, 1)
        if once >= seconds:
            return 1, once
        once = min(once, clock(step, math.ceil(seconds / 10 / once)))  # the clock takes a part of a short call
        repeats = min(MOST_CALLS, max(1, round(seconds / once)))
    return repeats, clock(step, repeats)


class Points:
    """The points that this process can time with the settings ``how``."""

    def __init__(self, how: Settings, clock: Clock) -> None:
        self.how, self.clock = how, clock
        self.composites = {each.name: each for each in composites(how)}
        self.footprint = CACHES * cache_bytes(how.device)

    def time(self, point: "tuple[Call, str] | str", repeats: int | None) -> tuple[int, float, tuple[Call, ...]]:
        """A sample of a call in a state, or of the composite of a name; of a new composite also its calls."""
        if isinstance(point, str):
            composite = self.composites[point]
            calls = calls_of(composite, self.how) if repeats is None else ()
            step = TimedComposite(composite, self.how).step
            self.clock(step, 2)
            return *sample(self.clock, step, repeats, LONGER * SAMPLE_SECONDS), calls
        call, state = point
        with torch.inference_mode():
            return *sample(self.clock, self._step(call, state), repeats), ()

    def _step(self, call: Call, state: str) -> Callable[[], object]:
        if state == "hot":
            return replay.hot(call, self.how.device)
        return replay.cold(call, self.footprint, self.how.device)


def serve(pipe: Connection) -> None:
    """Serve the runner: ``"probe"`` is answered by the times of the probes, a point and its number of calls by a sample
    or, where torch refuses the call, by the reason."""
    pipe.send("here")
    _, how, cpus, _ = pipe.recv()
    if how.threads is not None:
        torch.set_num_threads(how.threads)
    clock: Clock = CudaClock(torch.cuda, None) if how.device == "cuda" else WallClock()
    probes, points = Prober(how.device, clock), Points(how, clock)
    pipe.send({"affinity": cpus})
    while True:
        request = pipe.recv()
        if how.device == "cuda":  # the probes are the same for all settings
            multiply_float32(tf32=bool(how.tf32) and request != "probe")
        answer: Any
        if request == "probe":
            answer = probes.turn()
        else:
            try:
                answer = points.time(*request)
            except Exception as error:  # whatever a call raises leaves the point out; the runner tells why
                answer = reason(error)
        pipe.send(answer)


if __name__ == "__main__":
    main(serve)
