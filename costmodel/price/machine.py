"""The roofline: what a machine's arithmetic and its memory make of a cost, and which of the two bounds it.

S. Williams, A. Waterman, D. Patterson: Roofline, Communications of the ACM 2009.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite
from typing import Literal, TypeAlias

from costmodel.errors import InvalidInput
from costmodel.price.conventions import TORCH
from costmodel.work.cost import Cost

Bound: TypeAlias = Literal["compute", "memory"]


@dataclass(frozen=True)
class Machine:
    """The most that a machine does: ``peak`` in FLOP/s, two per multiply-accumulate, and ``bandwidth`` of its memory in
    bytes/s; of a data sheet, or measured."""

    peak: float
    bandwidth: float

    def __post_init__(self) -> None:
        for name in ("peak", "bandwidth"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or value <= 0:
                raise InvalidInput(f"the {name} of a machine must be positive, not {value!r}")

    @property
    def ridge(self) -> float:
        """FLOP/byte from which arithmetic is the bound.

        >>> Machine(peak=120e9, bandwidth=20e9).ridge
        6.0
        """
        return self.peak / self.bandwidth

    def seconds(self, cost: Cost) -> float:
        """What the slower of the two takes: the time below which one operation cannot be, if no byte of it is in a
        cache. Other events than multiply-accumulates take no time of their own."""
        return max(self._computing(cost), self._moving(cost))

    def bound(self, costs: Iterable[Cost]) -> tuple[float, Bound | None]:
        """The seconds of operations one after the other, and what bounds most of them (None: nothing happens)."""
        by: dict[Bound, float] = {"compute": 0.0, "memory": 0.0}
        for cost in costs:
            by["compute" if self._computing(cost) > self._moving(cost) else "memory"] += self.seconds(cost)
        total = sum(by.values())
        return total, ("compute" if by["compute"] > by["memory"] else "memory") if total else None

    def _computing(self, cost: Cost) -> float:
        return float(TORCH.flops(cost.work) / self.peak)

    def _moving(self, cost: Cost) -> float:
        return float((cost.reads + cost.writes) / self.bandwidth)
