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
USUAL_WIDTH = 80  # columns of notes where there is no terminal
WIDEST_FLOAT = 110  # characters of a table over both columns of a paper
NARROWEST = 30  # columns of a folded column
ROWS_A_PAGE = 45  # of a paper
# Columns about the column to their left, which stay beside that column.
ATTACHED = ("%", "95 %", "dev.", "error")


def render(sheets: Iterable[Sheet], form: str) -> str:
    """Sheets as ``text`` (no wider than the terminal or COLUMNS; in a pipe or a file as wide as needed), ``markdown``,
    ``latex`` or ``html``."""
    sheets = list(sheets)
    match form:
        case "html":
            from importlib.metadata import version

            from costmodel.report.layout.page import Section, page

            return page(sheets[0].title, [Section(sheets=sheets)], footer=[f"costmodel {version('costmodel')}"])
        case "latex":
            parts = map(_latex, sheets)
        case _:
            parts = map({"text": _text, "markdown": _markdown}[form], _explained_once(sheets))
    return "\n\n".join(parts)


def _explained_once(sheets: list[Sheet]) -> list[Sheet]:
    """The sheets, each without the notes that a later sheet has as well."""
    return [
        replace(sheet, notes=[note for note in sheet.notes if not any(note in later.notes for later in sheets[n:])])
        for n, sheet in enumerate(sheets, 1)
    ]


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
    width = shutil.get_terminal_size((0, 0)).columns  # 0: a pipe or a file
    if width or sheet.prose:
        sheet = _folded(sheet, width or USUAL_WIDTH)
    columns = _fitting(sheet, width) if width else list(range(len(sheet.columns)))
    names = [name for n, name in enumerate(sheet.labels or sheet.columns) if n not in columns]
    left_out = (
        [f"Left out for want of room: {', '.join(names)}; a pipe or --format csv has all columns."] if names else []
    )
    notes = [_wrap(note, width, indent="  ") for note in [*left_out, *sheet.notes]]
    return "\n".join([_wrap(sheet.title, width), "", _aligned(sheet, columns), *([""] if notes else []), *notes])


def _sizes(sheet: Sheet) -> list[int]:
    return [max(map(len, column)) for column in zip(sheet.columns, *sheet.rows, strict=True)]


def _folded(sheet: Sheet, width: int) -> Sheet:
    """The sheet whose last column, where it holds words or formulas, is folded into lines that fit the width."""
    *sizes, last = _sizes(sheet)
    room = width - sum(sizes) - 2 * len(sizes)
    if sheet.align[-1] != "l" or not NARROWEST <= room < last:
        return sheet
    rows: list[list[str]] = []
    for row in sheet.rows:
        lines = textwrap.wrap(row[-1], room, break_long_words=False, break_on_hyphens=False)
        rows += [[*(row[:-1] if n == 0 else [""] * len(sizes)), line] for n, line in enumerate(lines or [""])]
    return replace(sheet, rows=rows)


def _wrap(text: str, width: int, indent: str = "") -> str:
    return textwrap.fill(text, min(width or USUAL_WIDTH, WIDEST_NOTE), subsequent_indent=indent, break_long_words=False)


def wrapped(note: str, indent: str = "") -> str:
    """A note as text prints it: as wide as the terminal, at most `WIDEST_NOTE`; later lines are indented further."""
    width = min(shutil.get_terminal_size().columns, WIDEST_NOTE)
    return textwrap.fill(note, width, initial_indent=indent, subsequent_indent=indent + "  ", break_long_words=False)


def _fitting(sheet: Sheet, width: int) -> list[int]:
    """The columns that fit the width: those that name a row, and the most important of the others, at least one."""
    sizes = _sizes(sheet)
    kept = list(range(len(sizes)))

    def fits(columns: list[int]) -> bool:
        return sum(sizes[n] + 2 for n in columns) - 2 <= width

    left_out: list[int] = []
    for n in sheet.by_importance()[:-1]:
        if fits(kept):
            break
        kept.remove(n)
        left_out.append(n)
    for n in reversed(left_out):  # a wide column that went may have made room for narrow ones
        belongs = sheet.columns[n] not in ATTACHED or n - 1 in kept
        if belongs and fits([*kept, n]):
            kept.append(n)
    return sorted(kept)


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
