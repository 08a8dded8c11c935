"""A calibrated machine with known rates, so that what is made of a prediction can be tested in whole numbers.

An operation takes ``LAUNCH`` plus the slower of its arithmetic, at the rate of its kind, and its bytes, at the
bandwidth of the moment. A kind comes from the call where there is one, else from the work and the shapes of the
operation. Kinds without a rate (softmax, attention, ...) are not calibrated.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import exp, prod

from costmodel.price.latency import CalibratedMachine, Limit, Predicted, Prediction
from costmodel.price.moment import CACHED, LARGE, SIDE, Moment
from costmodel.work.cost import Operation
from costmodel.work.events import Event

LAUNCH = 5e-6  # seconds
BANDWIDTH = 20e9  # bytes/s, of the median moment
PEAK, CEILING = 250e9, 100e9  # FLOP/s and bytes/s of the floor
SD, QUANTILE = 0.05, 1.645  # of the logarithm, the same for all operations and fully correlated; of 90 %
RATES = {  # FLOP/s, two per multiply-accumulate
    "dense convolution": 200e9,
    "1xK convolution": 100e9,
    "1x1 convolution": 160e9,
    "depthwise convolution": 20e9,
    "grouped convolution": 50e9,
    "matrix product": 160e9,
}
KINDS = {  # bound by memory alone
    Event.NORM: "norm",
    Event.MAX_POOL: "pool",
    Event.AVERAGE_POOL: "pool",
    Event.RESIZE: "resize",
    Event.SIGMOID: "activation",
    Event.TANH: "activation",
    Event.RELU: "activation",
    Event.ADDITION: "pointwise",
    Event.PRODUCT: "pointwise",
    Event.MOVE: "copy",
}


class FakeMachine(CalibratedMachine):
    """``rates``: other rates than `RATES`, in FLOP/s by kind; None takes the rate of a kind away."""

    def __init__(self, name: str = "fake", bandwidth: float = BANDWIDTH, **rates: float | None) -> None:
        self.name = name
        self.conditions = "cpu, float32, contiguous, 2 threads, torch 2.13.0"
        self.moment = Moment(copy=2 * LARGE / bandwidth, cached=2 * CACHED / 80e9, product=2 * SIDE**3 / 200e9)
        given = {kind.replace("_", " "): rate for kind, rate in rates.items()}
        self.rates = {kind: rate for kind, rate in {**RATES, **given}.items() if rate is not None}

    def predict(
        self,
        operations: Sequence[Operation],
        at: Moment | None = None,
        replayed: "Mapping[object, float] | None" = None,
    ) -> Prediction:
        moment = at or self.moment
        assert moment
        rows = tuple(self._row(each, moment, replayed or {}) for each in operations)
        seconds = sum(row.seconds or 0.0 for row in rows)
        return Prediction(
            rows,
            seconds,
            seconds * exp(-QUANTILE * SD),
            seconds * exp(QUANTILE * SD),
            sum(row.floor for row in rows),
            Counter(row.kind for row in rows if row.seconds is None),
            moment,
        )

    def _row(self, operation: Operation, moment: Moment, replayed: Mapping[object, float]) -> Predicted:
        kind, cost = kind_of(operation), operation.cost
        flops, moved = 2 * int(cost.work[Event.MAC]), int(cost.reads) + int(cost.writes)  # TypeError for letters
        floor = max(flops / PEAK, moved / CEILING)
        if operation.call is not None and operation.call in replayed:
            return Predicted(operation, kind, replayed[operation.call], floor, None, SD, replayed=True)
        if kind not in self.rates and kind not in KINDS.values():
            return Predicted(operation, kind, None, floor, None)
        computing = flops / self.rates[kind] if kind in self.rates else 0.0
        moving = moved / moment.bandwidth
        parts: list[tuple[float, Limit]] = [(computing, "compute"), (moving, "memory"), (LAUNCH, "launch")]
        return Predicted(operation, kind, LAUNCH + max(computing, moving), floor, max(parts)[1], SD)


def kind_of(operation: Operation) -> str:
    """The kind of an operation; its own name where no kind is known."""
    if operation.cost.work[Event.MAC]:
        products = ("addmm", "bmm", "mm", "matmul", "linear")
        return _convolution(operation) or ("matrix product" if _name(operation) in products else operation.op)
    return next((kind for event, kind in KINDS.items() if operation.cost.work[event]), operation.op)


def _name(operation: Operation) -> str:
    name = operation.op if operation.call is None else operation.call.name
    return name.removeprefix("aten.").split(".")[0]


def _convolution(operation: Operation) -> str | None:
    """The kind of a convolution by its weight; None of any other operation."""
    if "conv" not in _name(operation):
        return None
    shapes = operation.inputs if operation.call is None else tuple(each.shape for each in operation.call.tensors)
    channels = int(shapes[0][1])
    if len(shapes) > 1 and operation.op != "conv":  # of torch, with its weight
        _, group, *sides = map(int, shapes[1])
        area, flat = float(prod(sides)), min(sides) == 1
    else:  # of a description: a group has one channel, or all
        weights = int(operation.cost.conv_weights) / int(operation.output[1])
        group = channels if weights >= channels else 1
        area = weights / group
        flat = area in (2, 3, 5, 7)  # kernels are squares or have one side
    if group == 1 < channels:
        return "depthwise convolution"
    if group < channels:
        return "grouped convolution"
    return "1x1 convolution" if area == 1 else "1xK convolution" if flat else "dense convolution"
