"""Printed numbers, one file per paper, for comparison: nothing here is an input to a result."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from costmodel.published.errata import Erratum


@dataclass(frozen=True)
class Metric:
    """A column of a table: the quality of segmentations by approach, in ``unit``."""

    place: str
    label: str
    unit: str
    more_is_better: bool
    values: Mapping[str, float]


@dataclass(frozen=True)
class PrintedTable:
    """A printed table of parameters and FLOPs, and the settings of its count."""

    place: str
    size: tuple[int, int]
    kernel: tuple[int, int]
    classes: int
    heads: bool
    convention: str
    rows: Mapping[str, Any]  # by approach, with gflops, and params or params_k
    digits: int  # of gflops
    thousands: bool  # True: rows have params_k
    errata: Mapping[str, Erratum]  # by approach
    remarks: tuple[str, ...]  # about all rows
    options: Mapping[str, Any] = field(default_factory=dict)

    def params(self, approach: str) -> int:
        """The printed parameters: thousands, or ones."""
        row = self.rows[approach]
        return int(row.params_k if self.thousands else row.params)
