"""The roofline: the least time that a cost takes on a machine, bound by arithmetic or by memory.

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
    """The limits of a machine, from a data sheet or measured."""

    peak: float  # FLOP/s, two per multiply-accumulate
    bandwidth: float  # of the memory, in bytes/s

    def __post_init__(self) -> None:
        for name in ("peak", "bandwidth"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or value <= 0:
                raise InvalidInput(f"the {name} of a machine must be positive, not {value!r}")

    @property
    def ridge(self) -> float:
        """The FLOP/byte from which arithmetic is the bound.

        >>> Machine(peak=120e9, bandwidth=20e9).ridge
        6.0
        """
        return self.peak / self.bandwidth

    def seconds(self, cost: Cost) -> float:
        """The time of the slower of arithmetic and memory: the least time of one operation whose data are in no cache.
        Only multiply-accumulates take arithmetic time."""
        return max(self._computing(cost), self._moving(cost))

    def bound(self, costs: Iterable[Cost]) -> tuple[float, Bound | None]:
        """The seconds of operations in sequence, and the bound of most of that time (None: the operations cost 0)."""
        by: dict[Bound, float] = {"compute": 0.0, "memory": 0.0}
        for cost in costs:
            by["compute" if self._computing(cost) > self._moving(cost) else "memory"] += self.seconds(cost)
        total = sum(by.values())
        return total, ("compute" if by["compute"] > by["memory"] else "memory") if total else None

    def _computing(self, cost: Cost) -> float:
        return float(TORCH.flops(cost.work) / self.peak)

    def _moving(self, cost: Cost) -> float:
        return float((cost.reads + cost.writes) / self.bandwidth)
