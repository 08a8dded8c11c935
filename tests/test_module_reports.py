"""Modules of a stranger in figures, reports, checks and comparisons of profiles; real commands on tiny networks."""

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import pytest
import torch
from test_cli import process, run
from test_figures import points
from test_render import compiled

import costmodel
from costmodel.building import check as checking
from costmodel.errors import InvalidInput
from costmodel.measure.modules import module
from costmodel.measure.profile import settings_grid
from costmodel.profiles.records import Host, Process, Profile, Run
from costmodel.report import figures
from costmodel.report.figures import style as drawing

CLIP = "1x2x3x8x8"
NAMES = ["segnet.py:standard", "segnet.py:separable"]
MODELS = ["--model", ",".join(NAMES), "--input", CLIP]
# As in test_modules: the FLOPs of the two networks, two a multiply-accumulate.
PROMISED = (2 * (1728 + 2 * 18432) + 320) / (2 * (1728 + 2 * 3200) + 320)
SLOW = {"segnet.py:standard": 0.003, "segnet.py:separable": 0.002}  # a speed-up of 1.5


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the stranger's file."""
    shutil.copy(Path(__file__).parent / "data" / "segnet.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def recorded(path: str, seconds: dict[str, float], processes: int = 5, **structures: str) -> Profile:
    """A profile of modules, each as slow as told in every process; ``structures``: others than theirs, by factory."""
    runs = []
    for name, each in seconds.items():
        subject = module(name, CLIP).subject
        if other := structures.get(name.partition(":")[2]):
            subject = subject.model_copy(update={"structure": other})
        (how,) = settings_grid(threads=1)
        timed = tuple(Process(seconds=(each,) * 3) for _ in range(processes))
        runs.append(Run(subject=subject, how=how, clock="wall", processes=timed))
    profile = Profile(host=Host(cpu="Cpu 100 %", date="2026-11-28T00:00:00Z"), runs=tuple(runs))
    profile.save(Path(path))
    return profile


# ---- figures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["overview", "time", "promise", "layers"])
def test_plot_draws_modules(here: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    recorded("profiles/mine.json", SLOW)
    given = MODELS if kind != "layers" else ["--model", NAMES[0], "--input", CLIP]
    profile = ["--profile", "mine"] if kind != "layers" else []
    assert run(capsys, "plot", kind, *given, *profile) == (0, f"{kind}.svg\n", "")
    assert "one call with 1x2x3x8x8" in " ".join(texts(Path(f"{kind}.svg")).split())


def texts(svg: Path) -> str:
    """The texts of a figure; matplotlib writes each as a comment beside its outlines."""
    return " ".join(part.partition("-->")[0] for part in svg.read_text().split("<!--")[1:])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["quality", *MODELS], "no paper has printed its quality; overview, time, layers, flame, promise are"),
        (["kernels", *MODELS], "it has no kernel to vary"),
        (["promise", *MODELS], "to record the times: costmodel profile --model segnet.py:standard,segnet.py:separable"),
        (["promise", "--model", "v6"], "--model is for overview, time, quality, layers, flame: not for promise"),
        (["promise", *MODELS, "--channels", "8"], "--channels is for single cells"),
        (["layers", *MODELS], "layers are of one network"),
        (["overview", *MODELS, "--size", "8x8"], "--size: for described networks"),
        (["overview", *MODELS, "--base", "v6"], "base 'v6': one of segnet.py:standard, segnet.py:separable"),
        (["time", *MODELS], "none of these rows has a time; to record the times: costmodel profile --model segnet.py"),
    ],
    ids=lambda each: each if isinstance(each, str) else " ".join(each),
)
def test_what_cannot_be_drawn_is_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], given: list[str], told: str
) -> None:
    code, out, err = run(capsys, "plot", *given)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert told in err


def compared(seconds: dict[str, float] | None = None) -> "costmodel.Comparison":
    found = costmodel.compare([module(name, CLIP) for name in NAMES])
    return found.timed("mine", recorded("mine.json", seconds)) if seconds else found


def test_promised_and_measured_speed_up(here: Path) -> None:
    figure = drawing.drawn(partial(figures.compared, compared(SLOW)))
    (ax,) = figure.axes
    (point,) = {point for marker in drawing.MARKERS for point in points(figure, marker)}
    assert point == pytest.approx((PROMISED, 1.5))
    told = " ".join(" ".join([ax.get_xlabel(), *(text.get_text() for text in ax.texts)]).split())
    for part in (
        "promise kept",
        "speed-up over segnet.py:standard",
        "Cpu 100 %",
        "2026-11-28",
        CLIP,
        "convention torch",
    ):
        assert part in told
    alone = costmodel.compare({"one": costmodel.count(torch.nn.Linear(8, 4), "2x8")})
    with pytest.raises(InvalidInput, match="no row was timed together with one, the base"):
        drawing.drawn(partial(figures.compared, alone))


def test_costs_are_relative_to_the_base(here: Path) -> None:
    figure = drawing.drawn(partial(figures.costs, compared()))
    first, second = compared().rows
    at = {marker: {y: x for x, y in points(figure, marker)} for marker in drawing.MARKERS[:4]}
    assert [places[1] for places in at.values()] == [1, 1, 1, 1]
    assert [places[0] for places in at.values()] == pytest.approx(
        [getattr(second, each) / getattr(first, each) for each in ("params", "flops", "bytes", "peak_memory")]
    )


def test_compare_plots(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded("profiles/mine.json", SLOW)
    given = ["compare", *NAMES, "--input", CLIP]
    assert run(capsys, *given, "--plot", "costs.svg")[::2] == (0, "")
    assert run(capsys, *given, "--plot", "speed.svg", "--profile", "mine")[::2] == (0, "")
    assert ("peak memory" in texts(Path("costs.svg")), "promise kept" in texts(Path("speed.svg"))) == (True, True)
    assert run(capsys, *given, "--plot", "costs.gif")[0] == 2


LONG = {
    f"a_package_of_mine.models.{'deeper.' * 4}nets:a_network_with_a_long_name_{n}(width={n})": n for n in (4, 8, 16)
}


@pytest.mark.parametrize("draw", [figures.costs, figures.overview, figures.layers, figures.time, figures.compared])
def test_long_names_stay_inside(here: Path, draw: Any) -> None:
    """Names of 80 characters, of modules and of layers, in a figure of one column."""
    nets = {
        name: costmodel.count(torch.nn.Sequential(*[torch.nn.Linear(n, n)] * 2), f"2x{n}") for name, n in LONG.items()
    }
    given: Any = costmodel.table(nets) if draw is figures.overview else costmodel.compare(nets)
    if draw in (figures.time, figures.compared):
        profile = recorded("mine.json", SLOW)
        given = [module(name, CLIP) for name in NAMES]
        makers = {figures.time: costmodel.table, figures.compared: costmodel.compare}
        given = makers[draw](dict(zip(LONG, given, strict=False))).timed("mine", profile)
    if draw is figures.layers:
        deep = torch.nn.Sequential()
        for name in LONG:
            deep.add_module(name.partition(":")[2].partition("(")[0] * 2, torch.nn.Linear(4, 4))
        given = costmodel.table({next(iter(LONG)): costmodel.count(deep, "2x4")}).rows[0].entry
    figure = drawing.drawn(partial(draw, given))
    with matplotlib.rc_context(figures.STYLE):
        figure.canvas.draw()
    drawn = figure.get_tightbbox()
    assert -0.01 <= drawn.x0 <= drawn.x1 <= figure.get_figwidth() + 0.01
    assert -0.01 <= drawn.y0 <= drawn.y1 <= figure.get_figheight() + 0.01
    (ax,) = figure.axes
    assert ax.get_window_extent().width > figure.bbox.width / 3


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["nets.py:sep", "nets.py:full"], ["sep", "full"]),
        (["a.py:net", "b.py:net"], ["a.py:net", "b.py:net"]),
        (["a:net(path=x:y)"], ["net(path=x:y)"]),
        ([f"{'x' * 40}{n}{'x' * 40}" for n in (1, 2)], [f"{n}: {'x' * 11}...{'x' * 9}" for n in (1, 2)]),
    ],
    ids=str,
)
def test_short_names_still_differ(names: list[str], short: list[str]) -> None:
    assert drawing.shortened(names) == short


# ---- reports ---------------------------------------------------------------------------------------------------------


def test_a_report_of_modules(here: Path) -> None:
    recorded("profiles/mine.json", SLOW)
    done = process("report", *MODELS, "--profile", "mine")
    assert (done.returncode, done.stdout, done.stderr) == (0, "report/index.html\n", "")
    layers = ["layers-segnet-py-standard", "layers-segnet-py-separable"]
    tables = {
        f"{name}.{form}" for name in ("table", "compare", *layers) for form in ("md", "tex", "csv", "json", "html")
    }
    assert {path.name for path in Path("report").iterdir()} == tables | {"index.html", "report.json", "figures"}
    way = "mine-float32-contiguous-eager-1-thread"
    assert {path.stem for path in Path("report/figures").iterdir()} == {
        *("costs", *layers, f"time-{way}", f"overview-{way}", f"speed-up-{way}")
    }
    page = Path("report/index.html").read_text()
    for heading in (
        "Costs side by side",
        "Promised and measured speed-up",
        "Layers of segnet.py:standard",
        "Time on Cpu",
    ):
        assert heading in page
    for foreign in ("of the paper", "Table IV", "frame", "single cells", "training heads", "published"):
        assert foreign not in page, foreign
    rows = json.loads(Path("report/compare.json").read_text())["rows"]
    assert (rows[1]["promised"], rows[1]["measured"]) == pytest.approx((PROMISED, 1.5))
    assert json.loads(Path("report/table.json").read_text())["rows"][1]["timings"][0]["pct"] == pytest.approx(200 / 3)
    log = compiled(Path("report"), "table.tex", "compare.tex", *(f"{name}.tex" for name in layers))
    assert "Overfull" not in log
    assert "multiply defined" not in log


def test_latex_takes_names_with_signs(here: Path) -> None:
    """Of a module that is named 100%_of_#1&co, in all tables."""
    name = "100%_of_#1&co.py:net$"
    found = costmodel.compare({name: costmodel.count(torch.nn.Linear(8, 4), "2x8")})
    Path("compare.tex").write_text(found.text("latex"))
    Path("table.tex").write_text(costmodel.table({name: costmodel.count(torch.nn.Linear(8, 4), "2x8")}).text("latex"))
    compiled(here, "compare.tex", "table.tex")


def test_a_report_of_modules_beside_networks_has_both(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--model", "icnet,segnet.py:separable", "--input", "1x2x3x97x97", "--kernel", "3"]
    code, _, err = run(capsys, "report", *given)
    assert (code, err) == (0, "")
    assert {"sweep.md", "table_iv.md", "compare.md", "layers-segnet-py-separable.md"} <= {
        path.name for path in Path("report").iterdir()
    }
    page = Path("report/index.html").read_text()
    for part in ("of single cells", "of the networks and modules", "Costs side by side", "Frames of 97x97 pixels"):
        assert part in page


def test_a_report_refuses_what_has_no_meaning(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for option, value in (("--kernel", "3"), ("--channels", "8"), ("--size", "8x8"), ("--cell", "sep")):
        code, out, err = run(capsys, "report", *MODELS, option, value)
        assert (code, out, f"{option}: for described networks" in err) == (2, "", True)
    assert not Path("report").exists()


# ---- checks ----------------------------------------------------------------------------------------------------------


def test_check_holds_a_count_against_the_module(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "check", *MODELS, "--format", "json")
    assert (code, err) == (0, "")
    for each in json.loads(out)["checks"]:
        found = {f["what"]: (f["described"], f["seen"]) for f in each["findings"]}
        assert set(found) == {"unknown ops", "parameters", "FlopCounterMode", "fvcore", "peak memory"}
        assert all(a == b for what, (a, b) in found.items() if what != "peak memory")
    _, out, _ = run(capsys, "check", "--model", f"icnet,{NAMES[0]}", "--input", CLIP, "--size", "97x97")
    assert "Counts against running torch modules" in out
    assert "Description against running torch modules" in out


def test_differences_of_tools_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """5 steps of 2 x (8 + 8) x 32 weights, which neither tool sees; FlopCounterMode: on a CPU."""
    given = ["--model", "torch.nn:LSTM", "--make", "input_size=8", "--make", "hidden_size=8", "--input", "5x2x8"]
    code, out, _ = run(capsys, "check", *given)
    text = " ".join(out.split())
    assert code == 0
    assert "FlopCounterMode prints 0, its convention counts 10,240: FlopCounterMode has no formula on a CPU for" in text
    assert (
        "fvcore prints 0, its convention counts 5,120: fvcore does not see, or prices otherwise: lstm +5,120." in text
    )


def test_an_unexplained_difference_is_a_mismatch(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = checking.fvcore_count
    monkeypatch.setattr(checking, "fvcore_count", lambda *args: real(*args) + 1)
    code, out, _ = run(capsys, "check", "--model", NAMES[0], "--input", CLIP)
    assert (code, "(+1)" in out, "0 of 1 agree, 1 MISMATCH" in out) == (1, True, True)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--model", NAMES[0]], "no inputs: --input with a shape"),
        ([*MODELS, "--cell", "sep"], "--cell: your module has no recurrent cells"),
        ([*MODELS, "--classes", "3"], "--classes: for described networks"),
        (["--model", "segnet.py:standard", "--input", "1x2x4x8x8"], "refuses the inputs"),
    ],
    ids=str,
)
def test_bad_input_of_check(here: Path, capsys: pytest.CaptureFixture[str], given: list[str], told: str) -> None:
    code, out, err = run(capsys, "check", *given)
    assert (code, out, err.count("\n"), told in err) == (2, "", 1, True), err


# ---- profiles --------------------------------------------------------------------------------------------------------


def test_a_profile_of_modules_has_no_percentages(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No file says what they would refer to; a table knows its base."""
    recorded("profiles/mine.json", SLOW)
    code, out, _ = run(capsys, "profiles", "mine")
    assert (code, "Time per call on Cpu 100 % (profile mine)" in out, "%: of" in out) == (0, True, False)
    runs = json.loads(run(capsys, "profiles", "mine", "--format", "json")[1])["runs"]
    assert [each["pct"] for each in runs] == [None, None]
    rows = json.loads(run(capsys, "table", *MODELS, "--profile", "mine", "--format", "json")[1])["rows"]
    assert [row["timings"][0]["pct"] for row in rows] == pytest.approx([100, 200 / 3])


@pytest.mark.parametrize(("factor", "code", "verdict"), [(1.2, 1, "slower"), (1.0, 0, "same"), (0.8, 0, "faster")])
def test_diff_names_a_changed_structure(
    here: Path, capsys: pytest.CaptureFixture[str], factor: float, code: int, verdict: str
) -> None:
    recorded("a.json", SLOW)
    recorded("b.json", SLOW | {NAMES[0]: factor * SLOW[NAMES[0]]}, standard="changed")
    seen, out, err = run(capsys, "diff", "a.json", "b.json", "--fail-over", "5%")
    assert (seen, err) == (code, "")
    assert f"{verdict}, structure changed" in out
    assert "0 runs only in the first, 0 only in the second" in " ".join(out.split())
    assert "Time per call: float32" in out
    rows = json.loads(run(capsys, "diff", "a.json", "b.json", "--format", "json")[1])["rows"]
    assert [(row["structure_changed"], row["verdict"]) for row in rows] == [(True, verdict), (False, "same")]


def test_diff_relative_does_not_pass_modules(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded("a.json", SLOW)
    code, _, err = run(capsys, "diff", "a.json", "a.json", "--fail-over", "5%", "--relative")
    assert (code, "leave --relative out, as for modules of your own" in err) == (3, True)
