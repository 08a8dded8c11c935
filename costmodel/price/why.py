"""The bridge from the ratio of two times that FLOPs promise to the predicted and to the measured one, in items that
add up exactly.

FLOPs promise that B takes p = F(B) / F(A) times as long as A. Kernels of kind k take t_k(A) and t_k(B) seconds and have
F_k(A) and F_k(B) FLOPs. What the kind adds to the ratio is

    (t_k(B) - p t_k(A) - r (F_k(B) - p F_k(A))) / T(A),

its time beyond p times that in A, less the time, at r seconds per FLOP, of the FLOPs that came to it from other kinds.
As F(B) = p F(A), those FLOPs cancel in the sum over kinds whatever r is: the items add up to T(B) / T(A) - p. Here r is
that of all products (convolutions, matrix products) of A. With r_k, that of the kind's own products in A (r where A has
none), the item of a kind of products has two parts:

    rate: (t_k(B) - r_k F_k(B)) / T(A)               these FLOPs take longer in B than in A
    share: (r_k - r) (F_k(B) - p F_k(A)) / T(A)      B has more of its FLOPs in a kind that is slower than others

The item of other kernels has two parts, too: their bytes at the bandwidth of memory, at most their time, and the rest.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import exp, hypot, log

from costmodel.errors import InvalidInput
from costmodel.price.conventions import Convention
from costmodel.price.latency import Limit, Predicted, Prediction
from costmodel.price.moment import Moment
from costmodel.work.events import Event

NOT_RUN = "what is counted and not run"
LAUNCHES = "launches"
FAMILIES = {
    "pointwise": "pointwise operations",
    "norm": "normalisations",
    "pool": "pools",
    "resize": "resizes",
    "reduce": "reductions",
    "softmax": "softmax",
    "copy": "copies and padding",
}
NAMES = {"matrix products": "batches of matrix products", "recurrent": "recurrent layers"}


@dataclass(frozen=True)
class Group:
    """Kernels that a bridge has an item for: of one kind, or of a family of kinds without products, with one bound; or
    all that are bound by their launch. ``known``: False for kernels of a kind that was not calibrated."""

    name: str
    bound: Limit | None
    known: bool = True


@dataclass
class Sums:
    """The sums over the kernels of a group: their number, seconds, FLOPs under the convention, and bytes; and the
    seconds of each kind for its bytes, and beyond that."""

    kernels: int = 0
    seconds: Fraction = Fraction(0)
    flops: Fraction = Fraction(0)
    bytes: int = 0
    products: bool = False
    moving: dict[str, Fraction] = field(default_factory=dict)
    beyond: dict[str, Fraction] = field(default_factory=dict)

    def add(self, row: Predicted, convention: Convention, moment: Moment | None) -> None:
        cost = row.operation.cost
        seconds, moved = Fraction(row.seconds or 0), int(cost.reads + cost.writes)
        moving = seconds if row.bound == "memory" else Fraction(0)
        if moment:
            moving = min(seconds, moved / Fraction(moment.bandwidth))
        self.kernels += 1
        self.seconds += seconds
        self.flops += Fraction(convention.flops(cost.work))
        self.bytes += moved
        self.products |= bool(cost.work[Event.MAC])
        for sums, part in ((self.moving, moving), (self.beyond, seconds - moving)):
            sums[row.kind] = sums.get(row.kind, Fraction(0)) + part


@dataclass(frozen=True)
class Part:
    """A group of kernels in A and in B."""

    group: Group
    a: Sums
    b: Sums


@dataclass(frozen=True)
class Item:
    """A step of the bridge: ``name`` says in words what adds ``value``, in times of A."""

    name: str
    value: Fraction
    part: Part | None = None  # None: of FLOPs that are counted and not run


@dataclass(frozen=True)
class Bridge:
    """The bridge: ``promised`` plus ``items`` is ``predicted``, that plus ``remainder`` is the measured ratio; ratios
    are those of B to A. ``interval``: of the predicted ratio, 90 %. ``missing``: the kinds that were not calibrated, of
    A and of B; while there are any, the bridge is incomplete."""

    convention: Convention
    a: Prediction
    b: Prediction
    flops: tuple[int, int]
    parts: tuple[Part, ...]
    items: tuple[Item, ...]
    promised: Fraction
    predicted: Fraction
    interval: tuple[float, float]
    measured: Fraction | None = None

    @property
    def remainder(self) -> Fraction | None:
        """Measured - predicted: what the model does not explain; None without a measured ratio."""
        return None if self.measured is None else self.measured - self.predicted

    @property
    def missing(self) -> tuple[Counter[str], Counter[str]]:
        return self.a.missing, self.b.missing

    @property
    def complete(self) -> bool:
        return not any(self.missing)


def why(
    a: Prediction,
    b: Prediction,
    convention: Convention,
    *,
    flops: tuple[int, int] | None = None,
    measured: float | None = None,
) -> Bridge:
    """The bridge between the promised ratio of B to A and the predicted one, and the ``measured`` one if there is one.

    ``flops``: of A and B under the convention, where more is counted than runs, such as a training graph; by default
    those of the operations. `InvalidInput` where the convention gives either no FLOPs, or nothing of A or of B is
    predicted.
    """
    sums: dict[Group, tuple[Sums, Sums]] = {}
    run = []
    for side, prediction in enumerate((a, b)):
        for row in prediction.rows:
            sums.setdefault(_group(row), (Sums(), Sums()))[side].add(row, convention, prediction.moment)
        run.append(sum(pair[side].flops for pair in sums.values()))
    counted = [Fraction(each) for each in flops or run]
    seconds = [sum((pair[side].seconds for pair in sums.values()), Fraction(0)) for side in (0, 1)]
    for name, work, time in zip("AB", counted, seconds, strict=True):
        if not work:
            raise InvalidInput(f"convention {convention.name} gives {name} no {convention.unit}s: they promise nothing")
        if not time:
            raise InvalidInput(f"no kind of kernels in {name} is calibrated: the machine predicts nothing")
    parts = [
        Part(group, *pair)
        for group, pair in sums.items()
        if not group.known or any(each.seconds or each.flops for each in pair)
    ]
    promised, whole = counted[1] / counted[0], seconds[0]
    pace = _pace(a.rows, convention) or whole / counted[0]
    items = [
        Item(name, value / whole, part)
        for part in parts
        for name, value in _split(part, promised, pace, convention.unit)
        if value or not part.group.known
    ]
    if moved := counted[1] - run[1] - promised * (counted[0] - run[0]):
        items.append(Item(NOT_RUN, -pace * moved / whole))
    return Bridge(
        convention,
        a,
        b,
        (int(counted[0]), int(counted[1])),
        tuple(sorted(parts, key=lambda part: -(part.a.seconds + part.b.seconds))),
        tuple(sorted(items, key=lambda item: -abs(item.value))),
        promised,
        seconds[1] / whole,
        _interval(a, b, float(seconds[1] / whole)),
        None if measured is None else Fraction(measured),
    )


def _group(row: Predicted) -> Group:
    if row.seconds is None:
        return Group(row.kind, None, known=False)
    if row.bound == "launch":
        return Group(LAUNCHES, "launch")
    return Group(_plural(row.kind), row.bound)


def _plural(kind: str) -> str:
    """The kernels of a kind in words: ``1xK convolutions``, ``matrix products``; those of a family have its name."""
    first, _, rest = kind.partition(" ")
    if first in FAMILIES or kind in NAMES:
        return FAMILIES.get(first) or NAMES[kind]
    if first == "convolution":
        return f"convolutions {rest}" if rest.startswith("of ") else f"{rest} convolutions".strip()
    return kind if "." in kind else re.sub(r"(convolution|product)\b", r"\1s", kind)


def _pace(rows: Iterable[Predicted], convention: Convention) -> Fraction | None:
    """Seconds per FLOP of the products whose time is known; None where they have no FLOPs."""
    products = [row for row in rows if row.seconds is not None and row.operation.cost.work[Event.MAC]]
    flops = sum(Fraction(convention.flops(row.operation.cost.work)) for row in products)
    return sum((Fraction(row.seconds or 0) for row in products), Fraction(0)) / flops if flops else None


def _split(part: Part, promised: Fraction, pace: Fraction, unit: str) -> list[tuple[str, Fraction]]:
    """The item of a part in words, with seconds: of products its rate and its share, of others bytes and the rest."""
    a, b, group = part.a, part.b, part.group
    name = group.name
    moved = b.flops - promised * a.flops
    value = b.seconds - promised * a.seconds - pace * moved
    if not group.known:
        return [(f"not predicted: {name}", value)]
    if group.bound != "launch" and (a.products or b.products):
        share = ((a.seconds / a.flops if a.flops else pace) - pace) * moved
        rate = value - share
        bound = ", bound by memory" if group.bound == "memory" else ""
        return [
            (f"{'lower' if rate > 0 else 'higher'} rate of {name}{bound}", rate),
            (f"{'larger' if moved > 0 else 'smaller'} share of {unit}s in {name}{bound}", share),
        ]
    if name == FAMILIES["copy"] or name not in FAMILIES.values():
        return [(name, value)]
    moving = sum(b.moving.values()) - promised * sum(a.moving.values())
    if name != FAMILIES["pointwise"]:
        return [(f"bytes of {name}", moving), (f"{name} beyond bytes", value - moving)]
    return [
        (f"bytes of {name}{_which(a.moving, b.moving)}", moving),
        (f"pointwise tail beyond bytes{_which(a.beyond, b.beyond)}", value - moving),
    ]


def _which(a: Mapping[str, Fraction], b: Mapping[str, Fraction]) -> str:
    """The functions of pointwise kinds with most time in both, in brackets."""
    names = sorted({**a, **b}, key=lambda kind: -a.get(kind, 0) - b.get(kind, 0))
    functions = [kind.partition(" ")[2] for kind in names if a.get(kind) or b.get(kind)]
    more = ", ..." if functions[3:] else ""
    return f" ({', '.join(functions[:3])}{more})" if any(functions) else ""


def _interval(a: Prediction, b: Prediction, ratio: float) -> tuple[float, float]:
    """The interval of a ratio of predictions, as if their errors were independent: errors that both have in common
    cancel in part, so it is rather too wide."""
    if not (a.low and b.low):
        return 0.0, float("inf")
    below = hypot(log(b.seconds / b.low), log(a.high / a.seconds))
    above = hypot(log(b.high / b.seconds), log(a.seconds / a.low))
    return ratio * exp(-below), ratio * exp(above)
