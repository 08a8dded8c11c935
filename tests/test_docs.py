"""The README and docs say what happens: their commands are run and their line of code is used."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from costmodel import cli
from costmodel.describe.cells import CELLS
from costmodel.describe.ops import Conv

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
CONSOLE = re.findall(r"```console\n\$ costmodel (.*?)\n(.*?)```", README, re.DOTALL)
sys.path.insert(0, str(ROOT / "docs"))  # what `make docs` runs
import regenerate  # noqa: E402  (needs the line above)

FIGURES = list(regenerate.figures())


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


def test_the_readme_shows_commands_and_two_figures() -> None:
    """First any module, then the paper."""
    shown = ["count", "compare", "count", "table", "equation", "check"]
    shown += ["predict", "predict", "why", "plan"]
    assert [command.split()[0] for command, _ in CONSOLE] == shown
    assert [command.split()[1] for command, _ in FIGURES] == ["time", "promise"]


@pytest.mark.parametrize(("command", "file"), FIGURES, ids=[file.name for _, file in FIGURES])
def test_the_figures_of_the_readme_are_fresh(command: str, file: Path, tmp_path: Path) -> None:
    regenerate.run(f"{command} --out {tmp_path / file.name}")
    assert (tmp_path / file.name).read_text() == file.read_text(), "stale: make docs"


def texts(notebook: nbformat.NotebookNode) -> list[list[str]]:
    """What each cell prints, and then its other outputs, without pictures: a kernel under load may split what a cell
    prints, or send a figure before it."""
    return [
        [
            "".join(output["text"] for output in outputs if "text" in output),
            *(output["data"].get("text/plain", "") for output in outputs if "text" not in output),
        ]
        for outputs in (cell.get("outputs", []) for cell in notebook.cells)
    ]


@pytest.mark.parametrize("path", regenerate.NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run_and_show_what_they_print(path: Path) -> None:
    kept = nbformat.read(path, as_version=4)
    nbformat.validate(kept)
    assert texts(regenerate.executed(path)) == texts(kept), "stale: make docs"
    checks = "".join(texts(kept)[-1])
    assert checks.count("match: True") >= 4
    assert "match: False" not in checks
    pictures = [out for cell in kept.cells for out in cell.get("outputs", []) if "image/png" in out.get("data", {})]
    assert pictures
    assert path.stat().st_size < 300_000


@pytest.mark.parametrize("path", regenerate.NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_use_the_public_face_alone(path: Path) -> None:
    import costmodel

    code = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
    assert set(re.findall(r"costmodel\.(\w+)", code)) <= set(costmodel.__all__)
    imported = set(re.findall(r"^(?:from|import) (\S+)", code, re.M))
    own = {"sys", "segnet"} if path.stem == "own_module" else set()
    assert imported <= {"costmodel", "matplotlib.pyplot", "numpy", "pandas"} | own


def test_there_are_five_notebooks_which_say_what_one_learns() -> None:
    names = ["flops_versus_time", "other_systems", "own_module", "sweep_kernels", "table_iv"]
    assert [path.stem for path in regenerate.NOTEBOOKS] == names
    for path in regenerate.NOTEBOOKS:
        assert "What you learn here" in nbformat.read(path, as_version=4).cells[0].source


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


def shares(network: str, cell: str) -> dict[str, Any]:
    """What the profile says about v6 with a cell, by way to run."""
    import costmodel

    times = costmodel.estimates(costmodel.read_profile("amd-epyc-2-cores"))
    times = times[(times.network == network) & (times.cell == cell)]
    return {f"{row.memory_format} {row.implementation}": row for row in times.itertuples()}


def test_the_findings_of_the_readme_are_those_of_the_profile() -> None:
    from costmodel.profiles.files import read
    from costmodel.report.table import table

    words = " ".join(README.split())
    standard, spatial, depth, sep = (shares("v6", cell) for cell in ("standard", "spatial", "depth", "sep"))
    ways = {
        "In plain PyTorch they take": "contiguous eager",
        "compiled": "contiguous compiled",
        "with channels_last": "channels_last eager",
        "with both": "channels_last compiled",
    }
    for said, way in ways.items():
        ends = [end for each in (depth[way], sep[way]) for end in (each.pct_low, each.pct_high)]
        assert "{} {:.0f} to {:.0f} and {:.0f} to {:.0f} %".format(said, *ends) in words
    assert set(depth) == set(ways.values())
    ends = [end for each in spatial.values() for end in (each.pct_low, each.pct_high)]
    assert f"{min(ends):.0f} to {max(ends):.0f} % of the time in these four ways" in words
    assert f"for {table(['v6']).rows[2].flops_pct:.0f} % of the FLOPs" in words
    seconds = [each.median_s for each in standard.values()]
    assert f"from {1e3 * max(seconds):.0f} to {1e3 * min(seconds):.0f} ms" in words
    flops = [row.flops_pct for row in table(["v6"]).rows]
    assert f"FLOPs promise {flops[3]:.0f} and {flops[4]:.0f} %" in words
    timed = table(["v6"]).timed("recorded", read("amd-epyc-2-cores"))
    verdicts = [claim["result"] for claim in timed.record()["claims"] if "halves" in claim["claim"]]
    assert verdicts == ["holds"] * 8


def test_the_findings_about_single_cells_are_those_of_the_profile() -> None:
    import costmodel

    times = costmodel.estimates(costmodel.read_profile("amd-epyc-2-cores"))
    times = times[(times.memory_format == "contiguous") & (times.implementation == "eager") & (times.threads == 2)]
    both = times.merge(costmodel.sweep().frame(), on=["cell", "kernel_x", "in_channels"])
    both = both.set_index(["cell", "kernel_x"])
    promised, given, verdict = 1 / both.cost_ratio, 100 / both.pct, both.pct_verdict
    kept = given / promised
    words = " ".join(README.split())
    for kernel in (3, 7):
        assert f"{given['spatial', kernel]:.2f}x of {promised['spatial', kernel]:.2f}x at K = {kernel}" in words
        share, how = f"{100 * kept['depth', kernel]:.0f} %", f"about {given['depth', kernel]:.0f}x"
        assert f"{share} at K = {kernel} ({how} of {promised['depth', kernel]:.0f}x)" in words
    assert all(0.78 < kept["spatial", kernel] < 0.82 for kernel in (3, 5, 7))
    assert all(kept["sep", kernel] < 1 / 3 for kernel in (3, 5, 7))
    assert "stable" not in {verdict["sep", 3], verdict["depth", 3], verdict["depth", 7]}
    assert (given < promised)[both.index.get_level_values("cell") != "standard"].all()


def test_the_findings_about_other_systems_are_those_of_the_profile() -> None:
    import costmodel

    profile = costmodel.read_profile("amd-epyc-2-cores")
    times = costmodel.estimates(profile).set_index("network")
    costs = costmodel.table("erfnet", convention="torch").frame().set_index("approach").flops_pct
    words = " ".join(README.split())
    for name, what in (("D*", "of ERFNet's multiply-accumulates and takes"), ("DG8*", "and takes")):
        row = times.loc[f"erfnet-{name}"]
        assert f"{name} has {costs[name]:.0f} % {what} {row.pct_low:.0f} to {row.pct_high:.0f} %" in words
    low, high = (1000 * times.loc[f"icnet-{part}"].median_s for part in ("low", "key"))
    average = costmodel.schedule(costmodel.Stages(low, high), "fixed", 5).average_ms
    assert 0.75 < high / (low + high) < 0.8
    assert f"{high:.0f} of {low + high:.0f} ms" in words
    assert f"a frame takes {average:.0f} ms" in words


def test_the_finding_about_quality_is_that_of_the_tables() -> None:
    from costmodel.published import lstm_icnet as published
    from costmodel.report.figures.networks import pareto
    from costmodel.report.table import table

    flops = {row.approach: row.flops for row in table().rows}
    gains = []
    for metric in ("cityscapes-miou", "vkitti-miou"):
        values = published.QUALITY[metric].values
        points = {name: (flops[name], values[name]) for name in flops}
        assert points["depth-LSTM-ICNet v2"] in pareto(list(points.values()), more_is_better=True)
        gains.append(values["depth-LSTM-ICNet v2"] - values["ICNet"])
    more = 100 * (flops["depth-LSTM-ICNet v2"] / flops["ICNet"] - 1)
    words = " ".join(README.split())
    assert f"{more:.1f} % more FLOPs than ICNet and {gains[0]:.2f} and {gains[1]:.2f} points more mIoU" in words


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)# ]+)\)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_the_conventions_page_fits_two_screens_and_its_prices_are_the_lists() -> None:
    from costmodel.price.conventions import CONVENTIONS
    from costmodel.work.events import Event

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
