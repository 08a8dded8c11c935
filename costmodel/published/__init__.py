"""What papers print, a file a paper, to be compared with: nothing here is an input to a result."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Erratum:
    """``place`` in the paper, what is wrong, and the arithmetic that shows it."""

    place: str
    text: str


@dataclass(frozen=True)
class Metric:
    """A column of a table: the quality of the segmentation by approach, in ``unit``."""

    place: str
    label: str
    unit: str
    more_is_better: bool
    values: Mapping[str, float]


@dataclass(frozen=True)
class PrintedTable:
    """A table of parameters and FLOPs as printed, and the settings that it was counted on.

    ``rows`` by approach, with ``gflops`` to so many ``digits`` and ``params``, or ``params_k`` where they are in
    ``thousands``. ``errata`` by approach; ``remarks`` about all rows.
    """

    place: str
    size: tuple[int, int]
    kernel: tuple[int, int]
    classes: int
    heads: bool
    convention: str
    rows: Mapping[str, Any]
    digits: int
    thousands: bool
    errata: Mapping[str, Erratum]
    remarks: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    def params(self, approach: str) -> int:
        """As printed: thousands, or single ones."""
        row = self.rows[approach]
        return int(row.params_k if self.thousands else row.params)
