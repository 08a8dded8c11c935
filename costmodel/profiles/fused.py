"""Where the time of a compiled subject goes: rows of what was fused, which add up to the undisturbed call."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from costmodel.price.conventions import Convention
from costmodel.profiles.layers import LARGE, MOST_DISTORTION, Layers, Row
from costmodel.work.cost import Cost, Operation

NAMED = 3  # modules of a row, in its name


@dataclass(frozen=True, repr=False)
class FusedLayers(Layers):
    """The kernels of a compiled run, as `Layers`: one level, the finest one whose marks do not distort the whole.

    A row has the FLOPs of the modules that it covers, if it computes these as a whole; otherwise, and where torch does
    not tell the modules, its FLOPs are left out. Its bytes are those that its kernels read and write.
    """

    moving = "kernels"

    @property
    def moved(self) -> int | None:
        """Bytes of the buffers that the kernels of one call read or write; None where those of one are not known."""
        every = self.run.levels[-1].moved if self.run.levels else ()
        return sum(every) if every and all(every) else None

    @property
    def launches(self) -> int | None:
        """Not known: a part may be several kernels."""
        return None

    def costs(self, row: Row) -> list[Cost] | None:
        """The cost of a part as if its kernels were one operation; None where nobody knows its work."""
        known = row.kind == "part" and self._moved.get(row.path) and self.split.isdisjoint(row.covers)
        return [Cost(row.cost.work, reads=self._moved[row.path])] if known else None

    def notes(self, price: Convention) -> list[str]:
        """The modules whose FLOPs no row has, and all modules of the large rows that have many."""
        shared = sorted(name or "(itself)" for name in self.split & self._operations.keys())
        if not any(level.paths for level in self.run.levels):
            return ["No kernel was found in what Inductor compiled: all of the call is in the remainder."]
        lines = [f"{price.unit}s left out: several kernels compute {', '.join(shared)}."] if shared else []
        if any(name not in self._operations for name in self.split) and self.operations:
            lines.append(f"{price.unit}s left out: torch does not tell the modules of some kernels.")
        large = [row for row in self.rows if len(row.covers) > NAMED and row.ns > LARGE * self.total_ns]
        return [*lines, *(f"{self.title(row)}: {', '.join(row.covers)}." for row in large)]

    @cached_property
    def shown(self) -> int:
        """The number of the level that is shown, from 1, or 0: of ``depth`` levels at most."""
        good = [n for n, each in enumerate(self.distortions, 1) if abs(each) <= MOST_DISTORTION]
        return max((n for n in good if self.depth is None or n <= self.depth), default=0)

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The parts in order of execution, the remainder last; their nanoseconds add up to the total."""
        rows, rest, spent = [], self.total_ns, np.zeros(len(self.run.processes))
        for path, covers in self._parts:
            time = self._times[path]
            operations = tuple(each for name in covers for each in self._operations.get(name, ()))
            whole = operations if self.split.isdisjoint(covers) else ()
            rows.append(Row(path, "part", time.ns, *self._range(time.shares), whole, covers))
            rest, spent = rest - time.ns, spent + time.shares
        return (*rows, Row("", "remainder", rest, *self._range(1 - spent)))

    @cached_property
    def split(self) -> frozenset[str]:
        """The modules that several parts compute, or that no counted operation belongs to: nobody knows the work of
        such a part."""
        held = Counter(name for _, covers in self._parts for name in covers)
        return frozenset(name for name, parts in held.items() if parts > 1 or name not in self._operations)

    @cached_property
    def inside(self) -> dict[str, list[str]]:
        """The parts of the whole, in order of execution."""
        return {"": [path for path, _ in self._parts]} if self.shown else {}

    def title(self, row: Row) -> str:
        """The modules that a row covers, of many the first and the last, or its kernel where it covers none."""
        names = [name or "(itself)" for name in row.covers]
        if len(names) > NAMED:
            return f"{names[0]} ... {names[-1]} ({len(names)} modules)"
        return ", ".join(names) or row.path

    def label(self, path: str) -> str:
        """The modules that a part covers, or its kernel."""
        return next((self.title(row) for row in self.rows if row.path == path), "")

    def class_of(self, row: Row) -> str:
        """The kernel of a row that covers modules."""
        return row.path if row.covers else ""

    def record(self, row: Row, price: Convention) -> dict[str, Any]:
        """The numbers of a row; those that nobody knows are None."""
        record = super().record(row, price) | {"module": self.title(row)}
        if (row.path not in self._moved and row.kind == "part") or not self.split.isdisjoint(row.covers):
            record |= dict.fromkeys(("flops", "gflops_per_s"))
        moved = self._moved.get(row.path) or None
        rate = moved / row.ns if moved and row.ns > 0 else None
        return record | {"reads": None, "writes": None, "launches": None, "bytes": moved, "gbytes_per_s": rate}

    @cached_property
    def _parts(self) -> list[tuple[str, tuple[str, ...]]]:
        """The parts of the level that is shown, and the modules that each covers."""
        level = self.run.levels[self.shown - 1] if self.shown else None
        return list(zip(level.paths, level.covers, strict=True)) if level else []

    @cached_property
    def _moved(self) -> dict[str, int]:
        level = self.run.levels[self.shown - 1] if self.shown else None
        return dict(zip(level.paths, level.moved, strict=False)) if level else {}

    @cached_property
    def _operations(self) -> dict[str, list[Operation]]:
        """The operations of each module, by its path."""
        found: dict[str, list[Operation]] = {}
        for operation in self.operations:
            found.setdefault(operation.path, []).append(operation)
        return found

    def _range(self, shares: Any) -> tuple[int, int]:
        return round(self.total_ns * float(shares.min())), round(self.total_ns * float(shares.max()))
