"""The README and docs say what happens: their commands are run and their line of code is used."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from costmodel import cli
from costmodel.describe.cells import CELLS
from costmodel.describe.ops import Conv

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
CONSOLE = re.findall(r"```console\n\$ costmodel (.*?)\n(.*?)```", README, re.DOTALL)


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["costmodel", *shlex.split(command)])
    return cli.main(), capsys.readouterr().out


@pytest.mark.parametrize(("command", "shown"), CONSOLE, ids=[command for command, _ in CONSOLE])
def test_commands_of_the_readme_print_what_it_shows(
    command: str, shown: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out = run(capsys, monkeypatch, command)
    assert code == 0
    # Rounding errors of outputs differ between machines; everything else is exact.
    out, shown = (re.sub(r"\d\.\de[+-]\d\d", "0.0e+00", text) for text in (out, shown))
    head, dots, _ = shown.partition("...\n")
    assert out.startswith(head) if dots else out == shown


def test_the_readme_shows_four_commands() -> None:
    assert [command.split()[0] for command, _ in CONSOLE] == ["table", "equation", "check", "table"]


def test_a_cell_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The line that docs/extending.md shows, put into CELLS: then every command knows the cell."""
    (block,) = re.findall(
        r"<!-- cell -->\n```python\n(.*?)```", (ROOT / "docs" / "extending.md").read_text(), re.DOTALL
    )
    (line,) = block.strip().splitlines()
    added = eval("{" + line + "}", {"Conv": Conv})
    for name, star in added.items():
        monkeypatch.setitem(CELLS, name, star)

    assert run(capsys, monkeypatch, "equation grouped")[1].count("(4*Kx*Ky*I + 37)*O*Dx*Dy") == 1
    code, out = run(capsys, monkeypatch, "equation grouped --ratio")
    assert (code, "convolutions alone           1/4" in out) == (0, True)
    code, out = run(capsys, monkeypatch, "sweep --kernel 3,5 --cell standard,grouped --format csv")
    assert (code, out.count(",grouped,")) == (0, 2)
    code, out = run(capsys, monkeypatch, "table --model v6 --cell standard,grouped --size 128x128")
    assert (code, "grouped-LSTM-ICNet v6" in out) == (0, True)
    code, out = run(capsys, monkeypatch, "check --cell grouped --channels 8 --size 6x9")
    assert (code, "1 of 1 agree" in out) == (0, True)
    code, out = run(capsys, monkeypatch, "check --model v2 --cell grouped --size 97x97")
    assert (code, "1 of 1 agree" in out) == (0, True)
    assert run(capsys, monkeypatch, "sweep --cell grouped --channels 126")[0] == 2  # 126 is not a multiple of 4


def test_the_findings_of_the_readme_are_those_of_the_profile() -> None:
    from costmodel.profiles import read
    from costmodel.report.table import table

    words = " ".join(README.split())
    timed = table(["v6"]).timed("recorded", read("amd-epyc-2-cores"))
    standard, depth, sep = ({t.how: t for t in timed.rows[row].timings if t.how} for row in (1, 3, 4))
    assert len(standard) == 4  # contiguous or channels_last, eager or compiled
    for how in standard:
        assert f"{depth[how].pct:.0f} and {sep[how].pct:.0f} %" in words
    seconds = [timing.median_s for timing in standard.values()]
    assert f"from {1e3 * max(seconds):.0f} to {1e3 * min(seconds):.0f} ms" in words
    assert f"{timed.rows[3].flops_pct:.0f} and {timed.rows[4].flops_pct:.0f} %" in words
    verdicts = [claim["result"] for claim in timed.record()["claims"] if "halves" in claim["claim"]]
    assert verdicts == ["holds"] * 8


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)# ]+)\)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_the_conventions_page_fits_two_screens_and_its_prices_are_the_lists() -> None:
    from costmodel.describe.work import Event
    from costmodel.price.conventions import CONVENTIONS

    page = (ROOT / "docs" / "conventions.md").read_text()
    assert len(page.splitlines()) <= 100
    shown = {
        "multiply-accumulate": [Event.MAC],
        "bias, sum": [Event.BIAS, Event.ADDITION, Event.PRODUCT],
        "sigmoid, tanh": [Event.SIGMOID, Event.TANH],
        "pooling": [Event.MAX_POOL, Event.AVERAGE_POOL],
        "batch norm": [Event.NORM],
        "bilinear": [Event.RESIZE],
    }
    for label, events in shown.items():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| {label}")]
        prices = [int(cell) for cell in row.split("|")[2:6]]
        for event in events:
            assert prices == [CONVENTIONS[name].prices[event] for name in ("paper", "tf-profiler", "fvcore", "torch")]


def test_make_table_is_up_to_date_on_the_second_run() -> None:
    """The environment that runs the tests was made by make, so a second `make table` only prints."""
    if not (ROOT / ".venv" / "ready").exists():
        pytest.skip("not the environment that make built")
    assert subprocess.run(["make", "--question", ".venv/ready"], cwd=ROOT).returncode == 0
    done = subprocess.run(["make", "--no-print-directory", "table"], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.startswith("Cost of one 1024x2048 frame")
