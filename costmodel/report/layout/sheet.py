"""A table to read, before its layout."""

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Sheet:
    """A table to read: ``align`` has ``l`` or ``r`` per column; the first ``keys`` columns name a row; ``labels`` are
    longer names of the columns, clear outside the table; ``spare`` are labels of columns that a narrow terminal leaves
    out first, the least important first; ``prose``: the last column holds sentences, folded also in pipes and files."""

    title: str
    columns: Sequence[str]
    align: str
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    keys: int = 1
    labels: Sequence[str] = ()
    spare: Sequence[str] = ()
    prose: bool = False

    def without(self, names: Sequence[str]) -> "Sheet":
        """The sheet without those of the named columns that are empty in every row."""
        kept = [n for n, name in enumerate(self.columns) if name not in names or any(row[n] for row in self.rows)]
        return replace(
            self,
            columns=[self.columns[n] for n in kept],
            align="".join(self.align[n] for n in kept),
            rows=[[row[n] for n in kept] for row in self.rows],
            labels=[self.labels[n] for n in kept] if self.labels else (),
        )

    def by_importance(self) -> list[int]:
        """The columns that do not name a row, the least important first: ``spare``, then from right to left."""
        labels = list(self.labels or self.columns)
        first = [labels.index(label) for label in self.spare if label in labels]
        return first + [n for n in reversed(range(self.keys, len(labels))) if n not in first]
