"""A result in every format: JSON, CSV and tables, each made when asked for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from costmodel.report.layout.render import find_format, render, render_csv, render_json
from costmodel.report.layout.sheet import Sheet


@dataclass(frozen=True, repr=False)
class Document:
    """``json``: the record; ``csv``: flat rows; ``sheets``: the tables of all other formats; ``formulas``: cells of the
    tables that LaTeX sets as mathematics, with that."""

    json: Callable[[], Any]
    csv: Callable[[], Sequence[dict[str, Any]]]
    sheets: Callable[[], Sequence[Sheet]]
    formulas: Callable[[], Mapping[str, str]] = dict

    def text(self, form: str = "text") -> str:
        """The document as ``text``, ``markdown``, ``latex``, ``html``, ``csv`` or ``json``."""
        match find_format(form):
            case "json":
                return render_json(self.json())
            case "csv":
                return render_csv(self.csv())
            case "latex":
                return _mathematics(self.sheets(), self.formulas())
            case _:
                return render(self.sheets(), form)


def together(documents: Sequence[tuple[str, Document]]) -> Document:
    """Documents, each with its inputs, as one: a table each, a list of the records, rows that say their inputs (""
    where they tell themselves apart)."""
    if len(documents) == 1:
        return documents[0][1]
    return Document(
        json=lambda: [each.json() for _, each in documents],
        csv=lambda: [({"inputs": inputs} if inputs else {}) | row for inputs, each in documents for row in each.csv()],
        sheets=lambda: [sheet for _, each in documents for sheet in each.sheets()],
        formulas=lambda: {cell: formula for _, each in documents for cell, formula in each.formulas().items()},
    )


def _mathematics(sheets: Sequence[Sheet], formulas: Mapping[str, str]) -> str:
    """Tables as LaTeX, in which some cells are mathematics."""
    names = {cell: f"FORMULA{number:03}" for number, cell in enumerate(formulas)}
    named = [replace(sheet, rows=[[names.get(cell, cell) for cell in row] for row in sheet.rows]) for sheet in sheets]
    text = render(named, "latex")
    for cell, name in names.items():
        text = text.replace(name, f"${_without_packages(formulas[cell])}$")
    return text


def _without_packages(formula: str) -> str:
    """Mathematics in lines, without the environment of amsmath."""
    for wide, plain in (("\\begin{aligned}", "\\begin{array}{@{}l@{}}"), ("\\end{aligned}", "\\end{array}"), ("&", "")):
        formula = formula.replace(wide, plain)
    return formula
