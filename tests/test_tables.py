"""What users do with tables: they sort and cut them, and read them at 80 columns, in a pipe and in a file."""

import csv
import fcntl
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_cli import run
from torch import nn

import costmodel
from costmodel import InvalidInput, count
from costmodel.price.machine import Machine
from costmodel.price.sweep import sweep
from costmodel.profiles.files import destination, locked, read
from costmodel.report import claims
from costmodel.report import count as counts
from costmodel.report import sweep as sweeps

SUMMED = ("params", "flops", "macs", "reads", "writes", "bytes", "launches", "forward_flops", "roofline_ms")


class Net(nn.Module):
    """Three layers, the largest in the middle: 1x1 kernels at 8x8; MACs 2*4*64 = 512, 4*8*64 = 2048, 8*1*64 = 512."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(2, 4, 1), nn.Conv2d(4, 8, 1), nn.Conv2d(8, 1, 1)

    def forward(self, x: Any) -> Any:
        return self.c(self.b(self.a(x)))


NET = count(Net(), "1x2x8x8")
MACHINE = Machine(1e9, 1e9)


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        (None, "abc"),
        ("order", "abc"),
        ("flops", "bac"),
        ("params", "bac"),  # 4*8 + 8 = 40, 2*4 + 4 = 12, 8 + 1 = 9
        ("bytes", "bca"),  # maps of 64 numbers: b 4 + 8, c 8 + 1, a 2 + 4
        ("launches", "abc"),
        ("ms", "bca"),  # at 1 FLOP/byte: b 4096 FLOPs (3232 bytes), c 64*(8 + 1)*4 + 9*4 = 2340 bytes, a 1584 bytes
    ],
)
def test_modules_are_sorted_the_largest_first(sort: str | None, order: str) -> None:
    shown = counts.document(NET, sort=sort, machine=MACHINE)
    assert [row["module"] for row in shown.json()["modules"]] == list(order)
    assert [row["module"] for row in shown.csv()] == list(order)
    assert [row[0] for row in shown.sheets()[0].rows] == [*order, "total"]


@pytest.mark.parametrize(("top", "names"), [(1, ["b", "2 others"]), (2, ["b", "a", "1 other"]), (3, ["b", "a", "c"])])
def test_the_rest_is_one_row_and_sums_stay_right(top: int, names: list[str]) -> None:
    whole = counts.document(NET, machine=MACHINE).json()
    shown = counts.document(NET, machine=MACHINE, sort="flops", top=top)
    rows = shown.json()["modules"]
    assert [row["module"] for row in rows] == names
    for key in SUMMED:
        assert sum(row[key] for row in rows) == pytest.approx(whole[key])
    assert shown.csv()[-1]["module"] == names[-1]
    assert [row[0] for row in shown.sheets()[0].rows] == [*names, "total"]


def test_top_alone_means_the_slowest_or_those_of_most_flops() -> None:
    assert [row["module"] for row in counts.document(NET, top=2).json()["modules"]] == ["b", "a", "1 other"]
    timed = counts.document(NET, top=2, machine=MACHINE).json()["modules"]
    assert [row["module"] for row in timed] == ["b", "c", "1 other"]


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"sort": "ms"}, "sort 'ms': needs a machine; without one order, flops, params, bytes, launches"),
        ({"sort": "size"}, "unknown order 'size': one of order, flops, params, bytes, launches, ms"),
        ({"top": 0}, "top 0: expected a whole number from 1"),
    ],
)
def test_orders_that_cannot_be_are_refused(how: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        counts.document(NET, **how)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ("count torch.nn:ReLU --input 2 --sort ms", "--sort 'ms': needs a machine"),
        ("count torch.nn:ReLU --input N --top 2", "so do depth, sort and top"),
        ("count torch.nn:ReLU --input 2 --top 0", "--top '0': expected a whole number from 1"),
        ("table --sort ms", "--sort 'ms': there are no times; without times: order, flops, params"),
        ("table --sort bytes", "--sort 'bytes': one of order, flops, params, ms"),
        ("table --profile paper --sort ms", "--sort 'ms': times of 2 kinds of run"),
        ("sweep --sort ms", "--sort 'ms': there are no times; without times: order, flops, params, cost"),
        ("sweep --top -1", "--top '-1': expected a whole number from 1"),
    ],
)
def test_orders_that_the_command_line_refuses(capsys: pytest.CaptureFixture[str], arguments: str, why: str) -> None:
    code, out, err = run(capsys, *arguments.split())
    assert (code, out) == (2, "")
    assert why in err


def test_networks_are_sorted_and_cut_in_every_format(capsys: pytest.CaptureFixture[str]) -> None:
    largest = ["LSTM-ICNet v6", "spatial-LSTM-ICNet v6"]  # 251.34 and 187.07 GFLOPs of Table IV
    _, out, _ = run(capsys, "table", "--sort", "flops", "--top", "2", "--format", "json")
    assert [row["approach"] for row in json.loads(out)["rows"]] == largest
    _, out, _ = run(capsys, "table", "--sort", "flops", "--top", "2", "--format", "csv")
    assert [row["approach"] for row in csv.DictReader(io.StringIO(out))] == largest
    _, out, _ = run(capsys, "table", "--sort", "flops", "--top", "2")
    assert "11 more networks are left out: top." in out


def test_networks_are_sorted_by_time() -> None:
    timed = costmodel.table().timed("paper", read("paper"), lambda how: how.device == "cpu").arranged("ms", 3)
    # 4125, 3403 and 2967 ms of Table IV
    assert [row.approach for row in timed.rows] == ["LSTM-ICNet v6", "spatial-LSTM-ICNet v6", "LSTM-ICNet v5"]


def test_points_of_a_sweep_are_sorted_and_cut() -> None:
    shown = sweeps.document(sweep([3, 5], 8, [(8, 8)]), sort="params", top=2)
    rows = [(row["kernel"], row["cell"]) for row in shown.json()["rows"]]
    assert rows == [([5, 5], "standard"), ([5, 5], "spatial")]  # Kx*Ky weights a pair of channels, then Kx + Ky
    assert "6 more rows are left out: top." in shown.sheets()[0].notes


def test_a_row_is_narrow_enough_for_a_terminal_with_its_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """A path of 44 characters, as transformers have: the name, the time and its bound stay."""
    monkeypatch.setenv("COLUMNS", "80")
    inner: nn.Module = nn.Conv2d(2, 4, 1)
    for name in reversed(["encoder", "layer", "11", "attention", "output", "LayerNorm1"]):
        inner = _Around(name, inner)
    counted = count(inner, "1x2x8x8", backward=True)
    lines = counts.document(counted, machine=MACHINE).text().splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[2].split()[0] == "module"
    assert lines[2].split()[-2:] == ["ms", "bound"]
    row = next(line for line in lines if line.startswith("encoder.layer.11.attention.output.LayerNorm1"))
    assert row.endswith(("compute", "memory"))
    assert "Left out for want of room: class, params, FLOPs backward, %" in " ".join(lines)


class _Around(nn.Module):
    def __init__(self, name: str, inner: nn.Module) -> None:
        super().__init__()
        self.add_module(name, inner)

    def forward(self, x: Any) -> Any:
        return next(self.children())(x)


def test_a_mean_that_is_whole_has_no_decimals() -> None:
    """Of 8*1 + 8*8 = 72 multiply-accumulates a step."""
    text = counts.document(count(nn.RNNCell(1, 8), "1x1", "1x8", frames=2)).text()
    assert "a frame of the clip, on average: 144 FLOPs, 72 multiply-accumulates." in text


def test_a_page_has_its_title_once() -> None:
    text = counts.document(NET).text("html")
    assert text.count(">Net, one call with 1x2x8x8<") == 2  # in the head of the file, and on the page


def test_interrupted_checks_are_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from costmodel.building import check as checking

    def interrupted(program: Any, name: str, check: Any = checking.check) -> Any:
        if "sep" in name:
            raise KeyboardInterrupt
        return check(program, name)

    monkeypatch.setattr(checking, "check", interrupted)
    words = ("check", "--cell", "depth,sep", "--channels", "4", "--size", "6x9")
    code, out, err = run(capsys, *words)
    assert code == 130
    assert "depth cell  ok" in out
    assert "not checked, interrupted: sep cell" in out
    assert "costmodel: interrupted; 1 of 2 were checked" in err
    record = json.loads(run(capsys, *words, "--format", "json")[1])
    assert (record["ok"], record["unchecked"], len(record["checks"])) == (False, ["sep cell"], 1)


def test_ctrl_c_while_the_command_line_is_imported() -> None:
    script = (
        "import sys, builtins\nfrom costmodel.__main__ import main\n"
        "def interrupted(*_, real=builtins.__import__):\n    raise KeyboardInterrupt\n"
        "builtins.__import__ = interrupted\nsys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "costmodel: interrupted\n")


def test_a_lock_leaves_no_file(tmp_path: Path) -> None:
    with locked(tmp_path / "mine.json"):
        assert [path.name for path in tmp_path.iterdir()] == [".mine.json.lock"]
    assert not list(tmp_path.iterdir())


def test_a_lock_of_a_file_that_its_holder_removed_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening and locking the file of another process, that process ends and removes the file."""
    path, flock, calls = tmp_path / "mine.json", fcntl.flock, []

    def late(descriptor: int, how: int) -> None:
        if not calls:
            (tmp_path / ".mine.json.lock").unlink()
        calls.append(descriptor)
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with locked(path):
        assert len(calls) == 2
        assert (tmp_path / ".mine.json.lock").exists()


def test_a_new_profile_hides_none_that_comes_with_costmodel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("paper", "profiles/paper.json", str(tmp_path / "profiles" / "paper.json")):
        with pytest.raises(InvalidInput, match="a profile that comes with costmodel, which it would hide"):
            destination(name)
    assert destination("other/paper.json") == Path("other/paper.json")
    assert destination("papers") == Path("profiles/papers.json")


def test_claims_say_what_differs_between_their_runs() -> None:
    profile = read("amd-epyc-2-cores")
    sheet = claims.sheet({"amd-epyc-2-cores": profile}, list({run.subject for run in profile.runs}))
    assert sheet is not None
    assert any(note.startswith("every run: float32, ") for note in sheet.notes)
    assert not any("float32" in row[2] for row in sheet.rows)
    assert len({row[2] for row in sheet.rows}) > 1
