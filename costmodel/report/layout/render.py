"""One layout for every table, in every format: title, cells as strings, notes."""

import csv
import io
import json
import re
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from costmodel.errors import InvalidInput, among, in_words
from costmodel.report.layout.sheet import Sheet

FORMATS = ("text", "markdown", "latex", "html", "csv", "json")
WIDEST_NOTE = 100  # columns; longer lines are hard to read
WIDEST_FLOAT = 110  # characters of a table over both columns of a paper
NARROWEST = 30  # columns of a folded column
ROWS_A_PAGE = 45  # of a paper
# Columns about the column to their left, which stay beside that column.
ATTACHED = ("%", "95 %", "dev.", "error")


def render(sheets: Iterable[Sheet], form: str) -> str:
    """Sheets as ``text`` (as wide as the terminal, 80 columns elsewhere), ``markdown``, ``latex`` or ``html``."""
    sheets = list(sheets)
    if form == "html":
        from importlib.metadata import version

        from costmodel.report.layout.page import Section, page

        return page(sheets[0].title, [Section(sheets=sheets)], footer=[f"costmodel {version('costmodel')}"])
    return "\n\n".join({"text": _text, "markdown": _markdown, "latex": _latex}[form](sheet) for sheet in sheets)


def _aligned(sheet: Sheet, columns: Sequence[int]) -> str:
    """Some columns of a table as text. Importing a library for this takes a fifth of the time of a command."""
    rows = [[row[n].strip() for n in columns] for row in [sheet.columns, *sheet.rows]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rows.insert(1, ["-" * width for width in widths])
    sides = [str.ljust if sheet.align[n] == "l" else str.rjust for n in columns]
    lines = [[pad(cell, width) for pad, cell, width in zip(sides, row, widths, strict=True)] for row in rows]
    return "\n".join("  ".join(line).rstrip() for line in lines)


def _tabulate(sheet: Sheet, form: str) -> str:
    """The body of a table."""
    import tabulate as module

    sides = ["left" if side == "l" else "right" for side in sheet.align]
    padding = module.MIN_PADDING
    module.MIN_PADDING = 0  # by default columns are two characters wider than needed
    try:
        body: str = module.tabulate(
            sheet.rows,
            sheet.columns,
            tablefmt=form,
            colalign=sides,
            headersalign=sides,
            disable_numparse=True,
        )
    finally:
        module.MIN_PADDING = padding
    return body


def _text(sheet: Sheet) -> str:
    width = shutil.get_terminal_size().columns
    notes = [_wrap(note, width, indent="  ") for note in sheet.notes]
    sheet = _folded(sheet, width)
    bodies = [_aligned(sheet, columns) for columns in _blocks(sheet, width)]
    return "\n".join([_wrap(sheet.title, width), "", "\n\n".join(bodies), *([""] if notes else []), *notes])


def _folded(sheet: Sheet, width: int) -> Sheet:
    """The sheet whose last column, where it holds words or formulas, is folded into lines that fit the width."""
    *sizes, last = [max(map(len, column)) for column in zip(sheet.columns, *sheet.rows, strict=True)]
    room = width - sum(sizes) - 2 * len(sizes)
    if sheet.align[-1] != "l" or not NARROWEST <= room < last:
        return sheet
    rows: list[list[str]] = []
    for row in sheet.rows:
        lines = textwrap.wrap(row[-1], room, break_long_words=False, break_on_hyphens=False)
        rows += [[*(row[:-1] if n == 0 else [""] * len(sizes)), line] for n, line in enumerate(lines or [""])]
    return replace(sheet, rows=rows)


def _wrap(text: str, width: int, indent: str = "") -> str:
    return textwrap.fill(text, min(width, WIDEST_NOTE), subsequent_indent=indent, break_long_words=False)


def wrapped(note: str, indent: str = "") -> str:
    """A note as text prints it: as wide as the terminal, at most `WIDEST_NOTE`; later lines are indented further."""
    width = min(shutil.get_terminal_size().columns, WIDEST_NOTE)
    return textwrap.fill(note, width, initial_indent=indent, subsequent_indent=indent + "  ", break_long_words=False)


def _blocks(sheet: Sheet, width: int) -> list[list[int]]:
    """The columns, in blocks that fit the width; each block begins with the keys."""
    sizes = [max(map(len, column)) for column in zip(sheet.columns, *sheet.rows, strict=True)]

    def fits(columns: list[int]) -> bool:
        return sum(sizes[n] + 2 for n in columns) - 2 <= width

    keys = list(range(sheet.keys))
    groups: list[list[int]] = []
    for n in range(sheet.keys, len(sizes)):
        if groups and sheet.columns[n] in ATTACHED and fits([*keys, *groups[-1], n]):
            groups[-1].append(n)
        else:
            groups.append([n])
    blocks = [keys]
    for group in groups:
        if blocks[-1] != keys and not fits([*blocks[-1], *group]):
            blocks.append(keys)
        blocks[-1] = [*blocks[-1], *group]
    return blocks


def _markdown(sheet: Sheet) -> str:
    rows = [[_md(cell) for cell in row] for row in [sheet.columns, *sheet.rows]]
    body = _tabulate(replace(sheet, columns=rows[0], rows=rows[1:]), "github")
    parts = [f"**{_md(sheet.title)}**", body, "\n".join(f"- {_md(note)}" for note in sheet.notes)]
    return "\n\n".join(part for part in parts if part)


def _md(text: str) -> str:
    """Plain text for Markdown; an underscore inside a word needs no escape."""
    return re.sub(r"([\\`*<|]|(?<!\w)_|_(?!\w))", r"\\\1", text)


def _latex(sheet: Sheet) -> str:
    """Floats over both columns of a paper, one for each `ROWS_A_PAGE` rows; they need the package booktabs."""
    sheet = _folded(sheet, WIDEST_FLOAT)
    parts = [sheet.rows[n : n + ROWS_A_PAGE] for n in range(0, len(sheet.rows), ROWS_A_PAGE)] or [[]]
    floats = [_float(replace(sheet, rows=rows), n, n == len(parts)) for n, rows in enumerate(parts, 1)]
    # Without further packages pdflatex knows latin-1 alone.
    return "\n\n".join(floats).encode("latin-1", "replace").decode("latin-1")


def _float(sheet: Sheet, number: int, last: bool) -> str:
    notes = [
        r"\par\smallskip\begin{minipage}{0.8\textwidth}\raggedright",
        *(f"{_tex(note)}\\par" for note in sheet.notes),
        r"\end{minipage}",
    ]
    more = "" if number == 1 else " (continued)"
    name = re.sub(r"[^a-z0-9]+", "-", sheet.title.lower()).strip("-")
    lines = [
        r"\begin{table*}",
        r"\centering\footnotesize",
        f"\\caption{{{_tex(sheet.title)}{more}.}}",
        f"\\label{{tab:{name}{'' if number == 1 else f'-{number}'}}}",
        r"\smallskip",
        _tabulate(sheet, "latex_booktabs"),
        *(notes if sheet.notes and last else []),
        r"\end{table*}",
    ]
    return "\n".join(lines)


def _tex(text: str) -> str:
    """Plain text for LaTeX."""
    from tabulate import LATEX_ESCAPE_RULES

    rules = LATEX_ESCAPE_RULES | {"|": r"\textbar{}"}
    escaped = "".join(rules.get(character, character) for character in text)
    escaped = escaped.replace(r"\ensuremath{>}=", r"$\geq$").replace(r"\ensuremath{<}=", r"$\leq$")
    escaped = escaped.replace("--", "-{}-")  # of an option, not a dash
    return re.sub(r'"([^"]*)"', r"``\1''", escaped)


def render_csv(records: Sequence[dict[str, Any]]) -> str:
    """Records as CSV with a header: a column for every key that a record has."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(key for record in records for key in record)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue().rstrip("\n")


def render_json(data: Any) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False)


def find_format(name: str) -> str:
    """A known format; `InvalidInput` for other names."""
    if name not in FORMATS:
        raise InvalidInput(f"unknown format {in_words(name)}: {among(name, FORMATS)}")
    return name
