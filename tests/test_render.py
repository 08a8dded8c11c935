"""The layout of sheets: a row is a line that keeps its name, whatever the width; Markdown and LaTeX take any text."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmodel.price.sweep import sweep
from costmodel.profiles.files import read
from costmodel.report import sweep as sweeps
from costmodel.report.layout.render import ATTACHED, FORMATS, _fitting, render
from costmodel.report.layout.sheet import Sheet
from costmodel.report.table import table

RECORDED = read("amd-epyc-2-cores")
CELLS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)


@st.composite
def sheets(draw: st.DrawFn) -> Sheet:
    count = draw(st.integers(2, 12))
    keys = draw(st.integers(1, min(3, count - 1)))
    columns = draw(st.lists(st.one_of(CELLS, st.sampled_from(ATTACHED)), min_size=count, max_size=count))
    rows = draw(st.lists(st.lists(CELLS, min_size=count, max_size=count), min_size=1, max_size=4))
    return Sheet("title", columns, "l" * keys + "r" * (count - keys), rows, ["note"], keys)


@given(sheets(), st.integers(20, 200))
def test_columns_that_fit_keep_the_name_of_the_row_and_use_the_room(sheet: Sheet, width: int) -> None:
    columns = _fitting(sheet, width)
    keys = list(range(sheet.keys))
    assert columns[: sheet.keys] == keys
    assert columns == sorted(set(columns))
    sizes = [max(map(len, column)) for column in zip(sheet.columns, *sheet.rows, strict=True)]

    def wide(chosen: list[int]) -> int:
        return sum(sizes[n] + 2 for n in chosen) - 2

    assert wide(columns) <= width or len(columns) == sheet.keys + 1  # at least one value
    for n in set(range(len(sheet.columns))) - set(columns):
        assert wide([*columns, n]) > width or sheet.columns[n] in ATTACHED


def test_the_least_important_columns_go_first() -> None:
    """module 6, class 6, MACs 4, launches 8, ms 2 and two blanks between: 34 columns; without launches 24."""
    names = ["module", "class", "MACs", "launches", "ms"]
    sheet = Sheet("title", names, "llrrr", [["stem.0", "Conv2d", "1", "2", "3"]], spare=["launches", "class"])
    assert _fitting(sheet, 34) == [0, 1, 2, 3, 4]
    assert _fitting(sheet, 33) == _fitting(sheet, 24) == [0, 1, 2, 4]
    assert _fitting(sheet, 23) == [0, 2, 4]
    assert _fitting(sheet, 15) == [0, 2]  # then from right to left
    assert _fitting(sheet, 1) == [0, 2]


def test_a_wide_column_makes_room_for_narrow_ones_but_an_interval_needs_its_value() -> None:
    """name 4, a 1, ms 2, 95 % 4, wide 20 and two blanks between: 39 columns."""
    sheet = Sheet("title", ["name", "a", "ms", "95 %", "wide"], "lrrrr", [["n", "1", "2", "3", "4" * 20]])
    assert _fitting(replace(sheet, spare=["95 %", "ms", "wide"]), 28) == [0, 1, 2, 3]
    assert _fitting(replace(sheet, spare=["95 %", "ms", "a"]), 26) == [0, 4]


ROWS = [[f"block.{n}", "x" * 60, "7"] for n in range(190)]
WIDE = Sheet("title", ["module", "words", "number"], "llr", ROWS, ["a note"], spare=["words"])


def test_a_row_is_a_line_and_the_columns_that_are_left_out_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    lines = render([WIDE], "text").splitlines()
    assert len(lines) == 2 + 2 + 190 + 1 + 3  # title, head, rows, notes; blank lines
    assert lines[4] == "block.0         7"
    said = " ".join(" ".join(lines[-3:]).split())
    assert said == "Left out for want of room: words; a pipe or --format csv has all columns. a note"


def test_a_pipe_gets_every_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    lines = render([WIDE], "text").splitlines()
    assert len(lines) == 2 + 2 + 190 + 1 + 1
    assert lines[4] == f"block.0    {'x' * 60}       7"
    assert max(map(len, lines)) == 9 + 2 + 60 + 2 + 6


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_a_note_of_several_tables_appears_once(form: str) -> None:
    first, last = (Sheet(f"table {n}", ["x"], "l", [["y"]], [f"of {n}", "ms: wall clock"]) for n in range(2))
    text = render([first, last], form)
    assert text.count("ms: wall clock") == 1
    assert text.index("of 0") < text.index("table 1") < text.index("ms: wall clock")


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
@pytest.mark.parametrize("what", ["table", "sweep", "check"])
def test_text_fits_the_terminal_and_uses_it(what: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    if what == "check":
        from costmodel.building.check import check
        from costmodel.describe.cells import describe_cell
        from costmodel.report.check import document

        text = document([check(describe_cell("sep", kernel=3, channels=8, size=(6, 9)), "sep cell")]).text()
    elif what == "table":
        text = table().timed("amd-epyc-2-cores", RECORDED).text()
    else:
        text = sweeps.document(sweep(), {"amd-epyc-2-cores": RECORDED}).text()
    widest = max(map(len, text.splitlines()))
    assert widest <= columns
    assert text.isascii()
    if what == "table" and columns >= 120:  # 21 + 8 numbers of up to 11, two blanks between
        assert "95 %  paper" in text


def test_markdown_pastes_cleanly() -> None:
    """As many cells in every line of a table as in its head: two modes have no bar in them."""
    text = table().timed("amd-epyc-2-cores", RECORDED).text("markdown")
    assert "two modes" in text
    bars = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert bars == {9}  # 8 columns: costs, and measured times beside the published ones


def test_markdown_escapes_bars() -> None:
    sheet = Sheet("a|b", ["x", "y"], "lr", [["1|2", "<b> *c* _d_ e_f"]], ["n|m"])
    text = render([sheet], "markdown")
    assert "| 1\\|2 |" in text
    assert r"\<b> \*c\* \_d\_ e_f" in text


@pytest.mark.parametrize("form", [form for form in FORMATS if form not in ("csv", "json")])
def test_every_format_has_every_number(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    text = table(["v5"]).text(form)
    for number in ("10247", "173.98", "77.87", "135.4", "+0.07 [1]"):
        assert number in text


def test_several_map_sizes_are_told_apart() -> None:
    grid = sweep(3, 8, [(8, 8), (16, 16)], ["standard"])
    text = sweeps.document(grid).text("text")
    assert [line.split()[:4] for line in text.splitlines()[4:6]] == [
        ["8x8", "3x3", "8", "standard"],
        ["16x16", "3x3", "8", "standard"],
    ]
    assert [row["size"] for row in json.loads(sweeps.document(grid).text("json"))["rows"]] == [[8, 8], [16, 16]]


def test_html_is_escaped() -> None:
    sheet = Sheet("<b>", ["<script>", "&"], "lr", [["<img src=x>", '"']], ["<i>"])
    page = render([sheet], "html")
    assert "&lt;img src=x&gt;" in page
    assert not re.search("<b>|<img|<i>", page)


PAPER = r"""\documentclass[twocolumn]{article}
\usepackage{booktabs}
\begin{document}
%s
\end{document}
"""


def compiled(folder: Path, *files: str) -> str:
    """The log of a two-column paper that includes some files."""
    if not shutil.which("pdflatex"):
        pytest.skip("needs pdflatex (Debian: texlive-latex-recommended)")
    (folder / "paper.tex").write_text(PAPER % "\n".join(rf"\input{{{file}}}" for file in files))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    return (folder / "paper.log").read_text(errors="replace")


def test_latex_compiles_in_a_two_column_paper_and_fits(tmp_path: Path) -> None:
    timed = table().timed("amd-epyc-2-cores", RECORDED).timed("paper", read("paper"))
    (tmp_path / "table.tex").write_text(timed.text("latex"))
    (tmp_path / "sweep.tex").write_text(sweeps.document(sweep(), {"amd-epyc-2-cores": RECORDED}).text("latex"))
    log = compiled(tmp_path, "table.tex", "sweep.tex")
    assert "Overfull" not in log
    assert "Float too large" not in log


def test_long_tables_are_continued_in_latex(tmp_path: Path) -> None:
    grid = sweep(range(1, 14), [16, 32])  # 104 rows: 45 + 45 + 14
    text = sweeps.document(grid).text("latex")
    assert [text.count(r"\begin{table*}"), text.count("(continued)"), text.count("convention paper")] == [3, 2, 1]
    (tmp_path / "sweep.tex").write_text(text)
    log = compiled(tmp_path, "sweep.tex")
    assert "Float too large" not in log
    assert "multiply defined" not in log


def test_options_keep_their_dashes_in_latex() -> None:
    assert "-{}-resume" in render([Sheet("t", ["x"], "l", [["y"]], ["--resume"])], "latex")


def test_latex_takes_every_character(tmp_path: Path) -> None:
    every = "".join(map(chr, range(32, 127)))
    sheet = Sheet(every, [every, "y"], "lr", [[every, "1"]], [every, 'prints "135.4"'])
    text = render([sheet], "latex")
    assert "prints ``135.4''" in text
    (tmp_path / "sheet.tex").write_text(text)
    compiled(tmp_path, "sheet.tex")


def test_latex_of_names_outside_ascii_compiles(tmp_path: Path) -> None:
    sheet = Sheet("Gerät 机器", ["Prüfstand", "y"], "lr", [["机器 — 日", "1"]], ["é"])
    (tmp_path / "sheet.tex").write_text(render([sheet], "latex"))
    compiled(tmp_path, "sheet.tex")
