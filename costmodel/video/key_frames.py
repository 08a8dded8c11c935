"""The additions of an adaptive key-frame network to its backbone: a scheduler, a kernel predictor, and a convolution
with another kernel at every position.

Inferred from the description of the method, see `costmodel.published.low_latency`; only convolutions are counted, not
the cheap elementwise work between them. ``low`` is the map of low features; with ``cached`` the reduced map of the key
frame was kept, else both frames are reduced with the same weights.
"""

from dataclasses import replace

from costmodel.describe.ops import Conv, Map
from costmodel.work.cost import Cost
from costmodel.work.events import Event, Work
from costmodel.work.size import Size

REDUCED = 256  # channels
KERNEL = 9  # side of the propagating kernels


def _reduced(low: Map, cached: bool) -> tuple[Map, Cost]:
    conv = Conv(REDUCED, (3, 3), bias=True)
    once = conv.cost(low)
    return conv.output(low), once if cached else once + replace(once, parameters=0, conv_weights=0)


def scheduler(low: Map, cached: bool = True) -> Cost:
    """The cost of predicting the deviation from the key frame: reduced maps, 3x3, mean over positions, one number.

    >>> cost = scheduler(Map(1024, 128, 256))
    >>> cost.work[Event.MAC], cost.parameters
    (96636764416, 2949889)
    """
    reduced, cost = _reduced(low, cached)
    deviation = Conv(REDUCED, (3, 3), bias=True).cost(reduced)
    return cost + deviation + Conv(1, (1, 1), bias=True).cost(reduced.like(rows=1, columns=1))


def kernel_predictor(low: Map, kernel: Size = KERNEL, cached: bool = True) -> Cost:
    """The cost of a ``kernel x kernel`` kernel per position, shared by the channels: both reduced maps, 3x3, 1x1.

    >>> cost = kernel_predictor(Map(1024, 128, 256))
    >>> cost.work[Event.MAC], cost.parameters
    (116643594240, 3560273)
    """
    reduced, cost = _reduced(low, cached)
    both = reduced.like(channels=2 * REDUCED)
    return cost + Conv(REDUCED, (3, 3), bias=True).cost(both) + Conv(kernel**2, (1, 1), bias=True).cost(reduced)


def kernels(high: Map, kernel: Size = KERNEL) -> Map:
    """The map of predicted kernels; an unfolded input would have ``high.channels`` times as many elements."""
    return high.like(channels=kernel**2)


def variant_conv(high: Map, kernel: Size = KERNEL) -> Cost:
    """The cost of convolving the high features of the key frame with another kernel at every position.

    >>> cost = variant_conv(Map(2048, 128, 256))
    >>> cost.work[Event.MAC], cost.parameters
    (5435817984, 0)
    """
    taps = kernels(high, kernel)
    return Cost(Work({Event.MAC: high.channels * taps.elements}), 0, high.bytes + taps.bytes, high.bytes, 1)
