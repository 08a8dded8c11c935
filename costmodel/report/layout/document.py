"""A result in every format: JSON, CSV and tables, each made when asked for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from costmodel.report.layout.render import find_format, render, render_csv, render_json
from costmodel.report.layout.sheet import Sheet


@dataclass(frozen=True, repr=False)
class Document:
    """``json``: the record; ``csv``: flat rows; ``sheets``: the tables of all other formats."""

    json: Callable[[], Any]
    csv: Callable[[], Sequence[dict[str, Any]]]
    sheets: Callable[[], Sequence[Sheet]]

    def text(self, form: str = "text") -> str:
        """The document as ``text``, ``markdown``, ``latex``, ``html``, ``csv`` or ``json``."""
        match find_format(form):
            case "json":
                return render_json(self.json())
            case "csv":
                return render_csv(self.csv())
            case _:
                return render(self.sheets(), form)


def together(documents: Sequence[tuple[str, Document]]) -> Document:
    """Documents, each with its inputs, as one: a table each, a list of the records, rows that say their inputs."""
    if len(documents) == 1:
        return documents[0][1]
    return Document(
        json=lambda: [each.json() for _, each in documents],
        csv=lambda: [{"inputs": inputs, **row} for inputs, each in documents for row in each.csv()],
        sheets=lambda: [sheet for _, each in documents for sheet in each.sheets()],
    )
