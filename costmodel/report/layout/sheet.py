"""A table to read, before anyone lays it out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Sheet:
    """A table to read: ``align`` has one of ``l``, ``r`` per column; the first ``keys`` columns name a row; ``labels``
    are names of the columns that can stand alone, where those are short."""

    title: str
    columns: Sequence[str]
    align: str
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    keys: int = 1
    labels: Sequence[str] = ()

    def without(self, names: Sequence[str]) -> "Sheet":
        """Without those of the named columns that are empty in every row."""
        kept = [n for n, name in enumerate(self.columns) if name not in names or any(row[n] for row in self.rows)]
        return replace(
            self,
            columns=[self.columns[n] for n in kept],
            align="".join(self.align[n] for n in kept),
            rows=[[row[n] for n in kept] for row in self.rows],
            labels=[self.labels[n] for n in kept] if self.labels else (),
        )
