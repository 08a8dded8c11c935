"""Probes: three pieces of work that are the same for every subject and profile. Their times tell what the machine gives
at a moment: a large copy tells the bandwidth of memory, a copy that stays in the cache the bandwidth of the cache, and
a matrix product the clock.
"""

from costmodel.measure.clock import Clock, Step, settle
from costmodel.price.moment import CACHED, LARGE, SIDE

SECONDS = 0.01  # that the calls of each probe take in a turn, about
MOST_CALLS = 100
BYTES = 2 * LARGE + 2 * CACHED + 3 * 4 * SIDE * SIDE  # of all buffers

Times = tuple[float, float, float]  # mean seconds per call: the large copy, the cached copy, the product


class Prober:
    """The probes on a device, with buffers of float32 that are allocated and written once; warms up."""

    def __init__(self, device: str, clock: Clock) -> None:
        import torch  # here: the runner, which needs the numbers above, goes without

        self.clock = clock
        if device == "cuda":
            from costmodel.measure.timed import multiply_float32

            multiply_float32(tf32=False)

        def buffers(number: int, *shape: int) -> "list[torch.Tensor]":
            return [torch.rand(*shape, dtype=torch.float32, device=device) for _ in range(number)]

        source, large = buffers(2, LARGE // 4)
        inside, cached = buffers(2, CACHED // 4)
        left, right, product = buffers(3, SIDE, SIDE)
        self.steps: tuple[Step, Step, Step] = (
            lambda: large.copy_(source),
            lambda: cached.copy_(inside),
            lambda: torch.mm(left, right, out=product),
        )
        self.calls = [self._calls(step) for step in self.steps]

    def _calls(self, step: Step) -> int:
        """The number of calls in a turn, after warming up."""
        once = min(settle(self.clock, step, seconds=1.0)[-3:])
        return min(MOST_CALLS, max(1, round(SECONDS / once)))

    def turn(self) -> Times:
        """Time every probe. A call that is not timed comes before the short probes: the cache holds other data, and
        threads sleep."""
        large, cached, product = self.steps
        cached()
        first = self.clock(large, self.calls[0])
        cached()
        return first, self.clock(cached, self.calls[1]), self.clock(product, self.calls[2])
