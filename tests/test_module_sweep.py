"""A module of the user's over a grid: arithmetic at the points, what is refused and left out, times, figures."""

import csv
import io
import json
import re
import shlex
import sys
from pathlib import Path

import pytest

import costmodel
from costmodel import cli
from costmodel.cli.parsers import alternatives, letter_sizes
from costmodel.errors import InvalidInput
from costmodel.measure.modules import Factory
from costmodel.report import figures

CODE = """
from torch import nn

calls = []


def build(width=8, act="relu", kernels=(3,)):
    calls.append(width)
    if width % 2:
        raise ValueError("width must be even")
    kinds = {"relu": nn.ReLU, "gelu": nn.GELU}
    return nn.Sequential(*(nn.Conv2d(3, width, k) for k in kernels[:1]), kinds[act]())
"""


@pytest.fixture(autouse=True)
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "swept_nets.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "swept_nets", raising=False)


def run(capsys: pytest.CaptureFixture[str], command: str) -> tuple[int, str, str]:
    sys.argv = ["costmodel", *shlex.split(command)]
    code = cli.main()
    out, err = capsys.readouterr()
    return code, out, err


def conv(n: int, side: int, width: int, kernel: int = 3) -> int:
    """FLOPs of the convention torch: two for each weight of a filter, at every place and output channel."""
    return 2 * n * (side - kernel + 1) ** 2 * width * 3 * kernel**2


GRID = "sweep swept_nets:build --input Nx3xHxH --grid H=8,16 N=1,4 --make width=4,8"


# ---- arithmetic ------------------------------------------------------------------------------------------------------


def test_every_point_is_a_row_in_the_order_of_the_columns(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, f"{GRID} --format json")
    found = json.loads(out)
    assert (code, found["convention"], found["unit"], found["module"]) == (0, "torch", "FLOP", "swept_nets:build")
    assert (found["inputs"], found["left_out"], found["base"]) == (["Nx3xHxH"], [], {"H": 8, "N": 1, "width": 4})
    points = [(side, n, width) for side in (8, 16) for n in (1, 4) for width in (4, 8)]
    assert [(row["H"], row["N"], row["width"]) for row in found["rows"]] == points
    assert [row["flops"] for row in found["rows"]] == [conv(n, side, width) for side, n, width in points]
    assert [row["params"] for row in found["rows"]] == [28 * width for *_, width in points]  # 3 * 3 * 3 weights, a bias
    first = found["rows"][0]
    # Read: 1x3x8x8 and 112 parameters; written and read, then written by ReLU: 1x4x6x6.
    assert first["bytes"] == 4 * (192 + 112 + 3 * 144)
    # Parameters, inputs, and the input and the output of ReLU.
    assert first["peak_memory"] == 4 * (112 + 192 + 2 * 144)
    assert first["timings"] == []


def test_the_factory_is_called_once_for_its_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, GRID)[0] == 0
    import swept_nets

    assert swept_nets.calls == [4, 8]


def test_a_csv_has_a_line_a_point(capsys: pytest.CaptureFixture[str]) -> None:
    command = (
        "sweep --input 1x3xHxH swept_nets:build --grid H=8 --make act=relu,gelu --make kernels=[3,5] --convention paper"
    )
    code, out, _ = run(capsys, f"{command} --format csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert [(row["H"], row["act"], row["kernels"]) for row in rows] == [
        ("8", "relu", "[3, 5]"),
        ("8", "gelu", "[3, 5]"),
    ]
    assert {row["convention"] for row in rows} == {"paper"}
    assert {row["params"] for row in rows} == {str(28 * 8)}


def test_columns_are_what_varies(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "sweep swept_nets:build --input Nx3xHxH --grid H=8,16 --grid N=2 --make '{\"width\": 4}'")
    title, _, head, *_ = out.splitlines()
    assert title == "Cost of one call of swept_nets:build with Nx3xHxH, N=2, width=4"
    assert head.split() == ["H", "params", "kFLOPs", "kB", "kB", "peak"]


def test_rows_are_sorted_and_cut(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, f"{GRID} --sort flops --top 2 --format json")
    assert [row["flops"] for row in json.loads(out)["rows"]] == [conv(4, 16, 8), conv(4, 16, 4)]
    assert "6 more rows are left out: top." in run(capsys, f"{GRID} --sort bytes --top 2")[1]


def test_an_argument_named_like_a_column_keeps_its_value(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "swept_names.py").write_text("from torch import nn\ndef f(flops, N): return nn.Linear(flops, N)\n")
    command = "sweep swept_names:f --input Nx4 --grid N=1,2 --make flops=4 --make N=3 --format json"
    rows = json.loads(run(capsys, command)[1])["rows"]
    assert [(row["N"], row["make_N"], row["make_flops"], row["flops"]) for row in rows] == [
        (1, 3, 4, 24),
        (2, 3, 4, 48),
    ]


# ---- left out and refused --------------------------------------------------------------------------------------------


def test_refused_points_are_told_and_the_others_are_rows(capsys: pytest.CaptureFixture[str]) -> None:
    command = "sweep swept_nets:build --input Nx3xHxH --grid H=2,8,16 N=1,2 --make width=4,5"
    code, out, _ = run(capsys, command)
    told = " ".join(out.split())
    assert code == 0
    assert told.count("left out: H=2: Sequential refuses the inputs 1x3x2x2: RuntimeError:") == 1
    assert "left out: width=5: swept_nets:build raised ValueError: width must be even" in told
    found = json.loads(run(capsys, f"{command} --format json")[1])
    assert [(row["H"], row["N"], row["width"]) for row in found["rows"]] == [
        (8, 1, 4),
        (8, 2, 4),
        (16, 1, 4),
        (16, 2, 4),
    ]
    named = [{name: each for name, each in left.items() if name != "reason"} for left in found["left_out"]]
    assert named == [{"width": 5}, {"H": 2, "N": 1, "width": 4}, {"H": 2, "N": 2, "width": 4}]
    code, out, err = run(capsys, f"{command} --format csv")
    assert (code, len(out.splitlines()), "left out: H=2" in err) == (0, 5, True)


def test_letters_without_sizes_have_usual_ones(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "sweep swept_nets:build --input Nx3xHxW --grid H=8,16")
    assert (code, err) == (0, "")
    assert "N=1, W=224" in " ".join(out.split())


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            "swept_nets:build --input Nx3xHxH --grid h=8 N=1",
            "'h' is no letter of the inputs: one of N, H; did you mean 'H'",
        ),
        ("swept_nets:build --input 1x3x8x8 --grid H=8", "'H' is no letter of the inputs: there are none"),
        ("swept_nets:build --input 1x3x8x8", "nothing varies"),
        ("swept_nets:build --grid H=8", "no inputs: --input"),
        ("swept_nets:build --input 1x3xHxH,2x3xHxH --grid H=8", "one call here, not 2 alternatives"),
        ("swept_nets:build --input 1x3xHxH --grid H=8 H=9", "H is given twice"),
        ("swept_nets:build --input 1x3xHxH --grid H=0", "--grid 'H=0': '0': expected a whole number from 1"),
        ("swept_nets:build --input 1x3xHxH --grid H", "--grid 'H': expected LETTER=SIZES, such as H=256,512"),
        ("swept_nets:build --input 1x3xHxH --grid H=", "--grid 'H=': expected LETTER=SIZES"),
        ("swept_nets:build --input 1x3xHxH --grid H=8,,9", "--grid 'H=8,,9': '': expected a whole number"),
        ("swept_nets:build 8 --input 1x3xHxH --grid H=8", "'8': expected PACKAGE.MODULE:FACTORY .*LETTER=SIZES"),
        ("swept_nets:build a:b --input 1x3xHxH --grid H=8", "one module at a time"),
        ("swept_nets:build --input 1x3xHxH --grid H=8 --make width=4,,8", "--make 'width=4,,8': a value is empty"),
        ("swept_nets:build --input 1x3xHxH --grid H=8 --make width=4 --make width=8", "'width' is given twice"),
        ("swept_nets:build --input 1x3xHxH --grid H=8 --make wdith=4", "did you mean 'width'"),
        ("swept_nets:build --input 1x3xHxH --grid H=1,2", "no point can be counted; H=1: Sequential refuses"),
        (
            "swept_nets:build --input 1x3xHxH --grid H=8 --make width=3",
            "^costmodel: swept_nets:build raised ValueError",
        ),
        ("swept_nets:build --input 1x3xHxH --grid H=8 --base H=9", "base 'H=9': no row is at this point"),
        ("swept_nets:build --input 1x3xHxH --grid H=8 --kernel 3", "--kernel is for cells"),
        ("swept_nets:build --input 1x3xHxH --grid H=8 --recurrence convgru", "--recurrence is for cells"),
        ("swept_nets:build --input 1x3xHxH --grid H=8 --sort cost", "--sort cost is for cells"),
        ("swept_nets:build --input 1x3xHxH --grid H=8 --sort ms", "--sort ms needs times"),
        ("swept_nets:build --input 1x3xflopsxflops --grid flops=8", "'flops' is the name of a column"),
        ("swept_nets:build --input 1x3xHxH --grid H=8 --plot there.txt", "--plot 'there.txt'"),
        ("swept:build --input 1x3xHxH --grid H=8,9", "^costmodel: 'swept:build': there is no module 'swept'"),
        ("v6 --grid H=8", "'v6' is a described network: costmodel table --model v6"),
        ("sep", "'sep' is a cell: costmodel sweep --cell sep"),
        ("--grid H=8", "--grid is for a module of your own: costmodel sweep PACKAGE"),
        ("H=8", "--grid is for a module of your own"),
        ("--make width=8", "--make is for a module of your own"),
        ("--input 1x3x8x8", "--input is for a module of your own"),
        ("--sort bytes", "sort 'bytes': one of order, flops, params, cost"),
    ],
)
def test_what_cannot_be_meant_is_one_line(command: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, f"sweep {command}")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert re.search(message, err), err


def test_what_is_interrupted_keeps_what_was_counted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, calls = Factory.called, []

    def interrupted(*given: object, **more: object) -> object:
        calls.append(given)
        if len(calls) > 3:
            raise KeyboardInterrupt
        return whole(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Factory, "called", interrupted)
    code, out, err = run(capsys, f"{GRID} --format json")
    assert (code, len(json.loads(out)["rows"])) == (130, 3)
    assert "interrupted; 3 of 8 points" in err


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("width=32,64", [32, 64]),
        ("act=relu,gelu", ["relu", "gelu"]),
        ("sizes=[3,5]", [[3, 5]]),
        ("sizes=[3,5],[7,9]", [[3, 5], [7, 9]]),
        ("kind=small,[3,5],null", ["small", [3, 5], None]),
        ('text="a,b"', ["a,b"]),
        ("flag=true,false", [True, False]),
        ('options={"a": 1, "b": 2}', [{"a": 1, "b": 2}]),
    ],
)
def test_alternatives_stand_between_commas(text: str, values: list[object]) -> None:
    assert alternatives(text) == {text.partition("=")[0]: values}


def test_a_json_object_has_no_alternatives() -> None:
    assert alternatives('{"sizes": [3, 5], "act": "a,b"}') == {"sizes": [[3, 5]], "act": ["a,b"]}
    assert letter_sizes("H=256, 512") == ("H", [256, 512])


# ---- times and figures -----------------------------------------------------------------------------------------------


def test_points_are_timed_against_the_base(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = "sweep swept_nets.py:build --input Nx3xHxH --grid H=8,16 N=1 --make width=4"
    measured = f"{command} --measure cpu --threads 1 --processes 1 --rounds 1 --save ./kept.json"
    code, out, _ = run(capsys, f"{measured} --base H=16 --plot time.svg --format json")
    first, second = json.loads(out)["rows"]
    assert (code, json.loads(out)["base"]) == (0, {"H": 16, "N": 1, "width": 4})
    assert [len(row["timings"]) for row in (first, second)] == [1, 1]
    (timing,) = first["timings"]
    assert timing["flops_per_second"] == conv(1, 8, 4) / timing["median_s"]
    assert (timing["verdict"], second["timings"][0]["pct"]) == ("undecided", 100)
    assert timing["pct"] > 0
    picture = (tmp_path / "time.svg").read_text()
    assert all(word in picture for word in ("ms per call", "hollow: not stable", "swept_nets.py:build"))
    # The profile has them, now; of one more point it has not.
    code, out, err = run(capsys, f"{command.replace('8,16', '8,16,32')} --profile ./kept.json")
    assert code == 0
    assert "no times of 1 of 3 points; to record them: the same command with --measure cpu --save ./kept.json" in err
    head = next(line for line in out.splitlines() if "GFLOP/s" in line)
    assert head.split() == ["H", "ms", "95", "%", "GFLOP/s", "FLOP", "%", "time", "%", "95", "%"]
    code, out, _ = run(capsys, f"{command} --profile ./kept.json --sort ms --format csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert float(rows[0]["wall_cpu_s"]) >= float(rows[1]["wall_cpu_s"])
    for row in rows:
        assert float(row["wall_cpu_flops_per_s"]) == int(row["flops"]) / float(row["wall_cpu_s"])


@pytest.mark.parametrize("over", [None, "act", "width"])
def test_flops_are_drawn_over_the_axis_with_the_most_values(over: str | None) -> None:
    from matplotlib.figure import Figure

    made = {"width": [4, 8], "act": ["relu", "gelu"], "kernels": [[3]]}
    priced = costmodel.grid(costmodel.points("swept_nets:build", "1x3xHxH", sizes={"H": [8, 16, 32]}, arguments=made))
    ax = figures.grid(priced, over=over, ax=Figure().subplots())
    assert ax.get_xlabel() == (over or "H")
    assert ax.get_ylabel() == "kFLOPs per call"
    lines = [line for line in ax.get_lines() if len(line.get_xdata()) > 1]
    assert len(lines) == 12 // len(priced.axes[over or "H"])
    if over is None:
        assert list(lines[0].get_ydata()) == [conv(1, side, 4) / 1e3 for side in (8, 16, 32)]


# ---- from Python -----------------------------------------------------------------------------------------------------


def test_points_and_grids_in_a_repl() -> None:
    found = costmodel.points("swept_nets:build", "Nx3x8x8", sizes={"N": [1, 2, 1]}, arguments={"width": [4, 5]})
    assert repr(found) == (
        "<Points: 2 points of swept_nets:build with Nx3x8x8, 2 left out; costmodel.grid(...) prices them>"
    )
    priced = costmodel.grid(found, convention="paper", base="N=2")
    assert "2 points of N, width, convention paper" in repr(priced)
    assert max(len(repr(found)), len(repr(priced))) < 400
    frame = priced.frame()
    assert list(frame["flops"]) == [row.flops for row in priced.rows]
    assert frame.attrs["base"] == {"N": 2, "width": 4}
    assert "<table" in priced._repr_html_()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: costmodel.points("a:b", "Nx3", sizes={"N": [0]}), "N must be at least 1, not 0"),
        (lambda: costmodel.points("a:b", "Nx3", sizes={"N": []}), "no value for N"),
        (lambda: costmodel.points("a:b", "Nx3", sizes={"N": 1.5}), "N must be a positive whole number, not 1.5"),
        (lambda: costmodel.points("a:b", "Nx3", sizes={"N": 1}, arguments={"f": print}), "no module 'a'"),
        (lambda: costmodel.grid("a:b"), "grid takes points"),  # type: ignore[arg-type]
    ],
)
def test_mistakes_are_told_in_words(call: object, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        call()  # type: ignore[operator]
