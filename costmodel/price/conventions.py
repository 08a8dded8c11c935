"""Counting conventions: named price lists over events.

A convention has a price for every event; importing this module fails where a price is missing, so "not counted" is
always a written 0. To add an event, add a row; to add a convention, add a column.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from costmodel.errors import InvalidInput, among, in_words
from costmodel.work.cost import Cost
from costmodel.work.events import Event, Work
from costmodel.work.size import Size


@dataclass(frozen=True)
class Convention:
    """A price for every event; `InvalidInput` where one is missing, negative or no whole number, or where all are 0."""

    name: str
    unit: str  # of the prices
    source: str  # of the prices
    prices: Mapping[Event, int]
    parameters: Literal["all", "kernels"] = "all"  # kernels: weights of convolutions, without biases and norms

    def __post_init__(self) -> None:
        missing = [event.name for event in Event if event not in self.prices]
        if missing:
            raise InvalidInput(
                f"convention {self.name} has no price for {', '.join(missing)}: give 0 to events that are not counted"
            )
        if not any(self.prices.values()):
            raise InvalidInput(f"convention {self.name} prices nothing: every ratio would be 0 / 0")
        wrong = [event.name for event, price in self.prices.items() if type(price) is not int or price < 0]
        if wrong:
            raise InvalidInput(
                f"convention {self.name}: the price of {', '.join(wrong)} must be a whole number, 0 or more"
            )

    def __repr__(self) -> str:
        prices = ", ".join(f"{event.name} {self.prices[event]}" for event in self.priced)
        return f"<Convention {self.name}: {prices}; in {self.unit}s; {self.source}>"

    def params(self, cost: Cost) -> Size:
        """The parameters that the convention counts."""
        return cost.parameters if self.parameters == "all" else cost.conv_weights

    @property
    def priced(self) -> tuple[Event, ...]:
        """The events whose price is not 0."""
        return tuple(event for event in Event if self.prices[event])

    def share(self, part: Work, whole: Work) -> Fraction:
        """The price of ``part`` over the price of ``whole``, exact; `InvalidInput` where the whole costs 0."""
        if not (flops := self.flops(whole)):
            raise InvalidInput(
                f"convention {self.name} gives the whole a cost of 0, so the share of a part is undefined"
            )
        return Fraction(self.flops(part), flops)

    def flops(self, work: Work) -> Size:
        """The price of the work, in ``unit``; exact: ints stay ints, symbols stay symbols."""
        return sum(self.prices[event] * count for event, count in work.items() if self.prices[event])


# A row per event, a column per convention (tf: tf-profiler). A written 0 is "not counted".
# fmt: off
_PRICES: dict[Event, tuple[int, int, int, int, int]] = {
    #                         paper  tf  fvcore  torch  erfnet
    Event.MAC:               (    2,  2,      1,     2,      1),
    Event.BIAS:              (    1,  1,      0,     0,      0),
    Event.ADDITION:          (    1,  1,      0,     0,      0),
    Event.PRODUCT:           (    1,  1,      0,     0,      0),
    Event.SIGMOID:           (    5,  0,      0,     0,      0),
    Event.TANH:              (    5,  0,      0,     0,      0),
    Event.RELU:              (    0,  0,      0,     0,      0),
    Event.NORM:              (    0,  0,      2,     0,      0),  # fvcore's batchnorm_flop_jit in eval mode, affine
    Event.MAX_POOL:          (    0,  1,      0,     0,      0),
    Event.AVERAGE_POOL:      (    0,  1,      0,     0,      0),
    Event.RESIZE:            (    0,  0,      4,     0,      0),  # fvcore's elementwise_flop_counter(0, 4)
    Event.MOVE:              (    0,  0,      0,     0,      0),
    Event.DIVISION:          (    0,  1,      0,     0,      0),
    Event.TRANSCENDENTAL:    (    0,  0,      0,     0,      0),
    Event.ACTIVATION:        (    0,  0,      0,     0,      0),
    Event.COMPARISON:        (    0,  1,      0,     0,      0),
    Event.POINTWISE:         (    0,  1,      0,     0,      0),
    Event.REDUCTION:         (    0,  1,      0,     0,      0),
    Event.SOFTMAX:           (    0,  5,      0,     0,      0),
    Event.OWN_NORM:          (    0,  0,      5,     0,      0),  # fvcore's norm_flop_counter(2), affine
    Event.ADAPTIVE_POOL:     (    0,  0,      1,     0,      0),  # elementwise_flop_counter(1, 0): per input
    Event.INTERPOLATION:     (    0,  0,      0,     0,      0),
    Event.RANDOM:            (    0,  0,      0,     0,      0),
    Event.FFT:               (   10,  0,      0,     0,      0),  # a complex product (6) and two complex sums (4)
    Event.GRID_MAC:          (    0,  2,      0,     0,      0),
    Event.ZERO_MAC:          (    0,  0,      0,     0,      1),
    Event.INITIAL_ELEMENT:   (    0,  2,      0,     0,      0),
    Event.INITIAL_VARIABLE:  (    0,  1,      0,     0,      0),
    Event.AVERAGED_ELEMENT:  (    0,  3,      0,     0,      0),
    Event.AVERAGED_VARIABLE: (    0,  1,      0,     0,      0),
    Event.FORGET_BIAS:       (    0,  1,      0,     0,      0),
    Event.LOOP_SCALAR:       (    0,  1,      0,     0,      0),
}
# fmt: on


def _column(number: int) -> dict[Event, int]:
    return {event: prices[number] for event, prices in _PRICES.items()}


PAPER = Convention(
    name="paper",
    unit="FLOP",
    source="Table I and eqs. (2), (4), (7), (10) of the paper; it prices only what a cell contains",
    prices=_column(0),
)
TF_PROFILER = Convention(
    name="tf-profiler",
    unit="FLOP",
    source="float operations of the TensorFlow 1 profiler over the training graph, as in Table IV of the paper",
    prices=_column(1),
)
FVCORE = Convention(
    name="fvcore",
    unit="MAC",
    source="fvcore.nn.FlopCountAnalysis 0.1.5 with its default handles (one fused multiply-add is its one flop), "
    "for all work of their kinds, also where fvcore sees none (fused attention, recurrent layers, RMSNorm)",
    prices=_column(2),
)
TORCH = Convention(
    name="torch",
    unit="FLOP",
    source="torch.utils.flop_counter.FlopCounterMode: two per multiply-accumulate and nothing else",
    prices=_column(3),
)
ERFNET = Convention(
    name="erfnet",
    unit="MAC",
    source="the tables of Efficient Semantic Segmentation Using Gradual Grouping, inferred from their digits: multiply-"
    "accumulates, transposed 3x3 and 1x1 convolutions at every position of their output; weights of convolutions alone",
    prices=_column(4),
    parameters="kernels",
)

CONVENTIONS = {c.name: c for c in (PAPER, TF_PROFILER, FVCORE, TORCH, ERFNET)}


def find_convention(name: "str | Convention") -> Convention:
    """The convention of that name, or the given `Convention`; `InvalidInput` for others."""
    if isinstance(name, Convention):
        if CONVENTIONS.get(name.name, name) is not name:
            raise InvalidInput(f"{name.name!r} is the name of another convention: choose another name")
        return name
    if not isinstance(name, str) or name not in CONVENTIONS:
        raise InvalidInput(f"unknown convention {in_words(name)}: {among(name, CONVENTIONS)}")
    return CONVENTIONS[name]
