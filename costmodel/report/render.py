"""One layout for every table: titles, cells that are already strings, notes; as text, Markdown, LaTeX or CSV."""

import csv
import io
import json
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from costmodel.describe.errors import InvalidInput

FORMATS = ("text", "markdown", "latex", "csv", "json")
WIDTH = 80  # columns that notes are wrapped to
_TABULATE = {"text": "simple", "markdown": "github", "latex": "latex_booktabs"}


@dataclass(frozen=True)
class Sheet:
    """A table to read: ``align`` has one of ``l``, ``r`` per column."""

    title: str
    columns: Sequence[str]
    align: str
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def render(sheets: Iterable[Sheet], form: str) -> str:
    """Sheets as ``text``, ``markdown`` or ``latex``."""
    import tabulate as module

    padding = module.MIN_PADDING
    module.MIN_PADDING = 0  # its columns would be two wider than they need, and 80 are soon full
    try:
        return "\n\n".join(_block(sheet, form, module.tabulate) for sheet in sheets)
    finally:
        module.MIN_PADDING = padding


def _block(sheet: Sheet, form: str, tabulate: Callable[..., str]) -> str:
    sides = ["left" if side == "l" else "right" for side in sheet.align]
    body = tabulate(
        sheet.rows,
        list(sheet.columns),
        tablefmt=_TABULATE[form],
        colalign=sides,
        headersalign=sides,
        disable_numparse=True,
    )
    if form == "latex":
        return "\n".join([*(f"% {line}" for line in (sheet.title, *sheet.notes)), body])
    if form == "markdown":
        parts = [f"**{sheet.title}**", body, "\n".join(f"- {note}" for note in sheet.notes)]
        return "\n\n".join(part for part in parts if part)
    notes = [textwrap.fill(note, WIDTH, subsequent_indent="  ", break_long_words=False) for note in sheet.notes]
    return "\n".join([sheet.title, "", body, *([""] if notes else []), *notes])


def render_csv(records: Sequence[dict[str, Any]]) -> str:
    """Records as CSV with a header: a column for every key that one of them has."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(key for record in records for key in record)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue().rstrip("\n")


def render_json(data: Any) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False)


def find_format(name: str) -> str:
    if name not in FORMATS:
        raise InvalidInput(f"unknown format {name!r}: one of {', '.join(FORMATS)}")
    return name
