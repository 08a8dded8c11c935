"""Predicted times: the command, its views, the columns in other tables, and the Python call."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fake_machine import BANDWIDTH, LAUNCH, QUANTILE, SD, FakeMachine
from test_cli import run

import costmodel
from costmodel.errors import InvalidInput
from costmodel.price.machine import Machine
from costmodel.profiles import calibration
from costmodel.profiles.records import Profile, Settings
from costmodel.work.cost import Cost, Operation
from costmodel.work.events import Work

CELL = ("--channels", "64", "--size", "32x64")
MAP = 4 * 64 * 32 * 64  # bytes of a map of 64 channels, 32x64
POINTWISE = LAUNCH + 3 * MAP / BANDWIDTH  # seconds of a sum of two maps


@pytest.fixture(autouse=True)
def machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machines: fake, which is calibrated for float32 with one thread; and sheet, a data sheet."""

    def look_up(name: str, given: Mapping[str, Any]) -> tuple[Any, Settings]:
        stem = Path(name).stem  # fake.json is fake, too
        if stem not in ("fake", "sheet"):
            raise InvalidInput(f"no machine {name!r}: machines are fake, sheet")
        usual = {"device": "cpu", "dtype": "float32", "memory_format": "contiguous", "threads": 1}
        if others := [value for key, value in given.items() if usual[key] != value]:
            raise InvalidInput(f"fake is calibrated for other settings than {others[0]}")
        how = Settings.model_validate(usual | {"implementation": "eager"})
        return (FakeMachine() if stem == "fake" else Machine(200e9, 50e9)), how

    monkeypatch.setattr(calibration, "look_up", look_up)


def record(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    code, out, _ = run(capsys, *arguments, "--format", "json")
    assert code == 0, out
    return json.loads(out)


def test_a_cell_is_predicted_step_by_step(capsys: pytest.CaptureFixture[str]) -> None:
    found = record(capsys, "predict", "standard", "--machine", "fake", *CELL)
    assert found["name"] == "standard cell 3x3 64 32x64"
    assert (found["machine"], found["unit_of_work"], found["bound"]) == ("fake", "step", "compute")
    assert found["at"]["bandwidth"] == BANDWIDTH
    rows = {row["module"]: row for row in found["rows"]}
    # 2 * 9 * 64 * 64 * 32 * 64 FLOPs at 200 GFLOP/s
    assert rows["xi"]["predicted_ms"] == pytest.approx(1e3 * (LAUNCH + 2 * 9 * 64 * 64 * 32 * 64 / 200e9))
    assert (rows["xi"]["kind"], rows["xi"]["bound"]) == ("dense convolution", "compute")
    assert rows["add"]["predicted_ms"] == pytest.approx(1e3 * POINTWISE)
    assert (rows["add"]["kind"], rows["add"]["bound"]) == ("pointwise", "memory")
    assert sum(row["predicted_ms"] for row in found["rows"]) == pytest.approx(found["predicted_ms"])
    assert sum(row["share_pct"] for row in found["rows"]) == pytest.approx(100)
    assert all(row["floor_ms"] < row["predicted_low_ms"] for row in [*found["rows"], found])
    factor = pytest.approx(2.718281828459045 ** (QUANTILE * SD))
    assert found["predicted_high_ms"] / found["predicted_ms"] == factor
    assert rows["add"]["predicted_ms"] / rows["add"]["predicted_low_ms"] == factor


def test_a_stated_bandwidth_changes_what_memory_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    usual, slow = (
        {
            row["module"]: row["predicted_ms"]
            for row in record(capsys, "predict", "standard", "--machine", "fake", *at)["rows"]
        }
        for at in ((), ("--at", "10"))
    )
    assert slow["add"] - 1e3 * LAUNCH == pytest.approx(2 * (usual["add"] - 1e3 * LAUNCH))  # 20 GB/s, now 10
    assert slow["xi"] == usual["xi"]  # bound by compute


SELF_ATTENTION = "aten._scaled_dot_product_flash_attention_for_cpu.default"
ENCODER = (
    "torch.nn:TransformerEncoderLayer",
    *("--make", '{"d_model": 16, "nhead": 2}', "--input", "5x2x16", "--machine", "fake"),
)


def test_what_is_not_calibrated_is_named_and_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    found = record(capsys, "predict", *ENCODER)
    assert found["missing"] == {SELF_ATTENTION: 1, "aten.native_layer_norm.default": 2}
    assert found["not_calibrated"] == 3
    rows = {row["module"]: row for row in found["rows"]}
    assert (rows["norm1"]["predicted_ms"], rows["norm1"]["share_pct"], rows["norm1"]["bound"]) == (None, None, None)
    assert (rows["norm1"]["class"], rows["norm1"]["not_calibrated"]) == ("LayerNorm", 1)
    assert sum(row["predicted_ms"] or 0 for row in found["rows"]) == pytest.approx(found["predicted_ms"])
    code, out, error = run(capsys, "predict", *ENCODER)
    assert code == 0
    assert "2 x aten.native_layer_norm.default" in error
    lines = out.splitlines()
    assert next(line for line in lines if line.startswith("norm1")).endswith("not calibrated")
    assert next(line for line in lines if line.startswith("self_attn")).endswith("without 1")
    assert next(line for line in lines if line.startswith("total")).endswith("without 3")
    assert f"without 1 operation of kind {SELF_ATTENTION}, 2 operations of kind aten.native_layer_norm" in " ".join(
        out.split()
    )


def test_rows_add_up_in_every_depth_and_order(capsys: pytest.CaptureFixture[str]) -> None:
    network = ("predict", "v6", "--size", "256x512", "--machine", "fake")
    whole = record(capsys, *network)
    layers = record(capsys, *network, "--depth", "1", "--top", "3")
    assert layers["predicted_ms"] == whole["predicted_ms"]
    *slowest, others = layers["rows"]
    assert [row["module"] for row in slowest] == ["high", "final", "medium"]
    assert slowest[0]["predicted_ms"] >= slowest[1]["predicted_ms"] >= slowest[2]["predicted_ms"]
    assert others["module"].endswith(" others")
    for column in ("predicted_ms", "floor_ms", "flops", "bytes", "operations", "launches", "share_pct"):
        assert sum(row[column] for row in layers["rows"]) == pytest.approx(whole[column])
    high = [row for row in whole["rows"] if row["module"].split(".")[0] == "high"]
    (row,) = (row for row in slowest if row["module"] == "high")
    assert row["predicted_ms"] == pytest.approx(sum(each["predicted_ms"] for each in high))
    code, out, _ = run(capsys, *network, "--depth", "1", "--top", "3")
    body = [line.split() for line in out.splitlines() if "conv" in line.split()[-7:-1] or line.startswith("total")]
    assert (code, body[-1][0]) == (0, "total")


def test_the_printed_milliseconds_add_up(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "predict", "sep", *CELL, "--machine", "fake", "--format", "markdown")
    lines = [line.split("|")[1:-1] for line in out.splitlines() if line.startswith("|")]
    place = [cell.strip() for cell in lines[0]].index("ms")
    times = [line[place].strip().replace(".", "") for line in lines[2:]]
    assert sum(map(int, times[:-1])) == int(times[-1])


@pytest.mark.parametrize("form", ["text", "markdown", "latex", "html", "csv", "json"])
def test_all_formats(capsys: pytest.CaptureFixture[str], form: str) -> None:
    code, out, error = run(capsys, "predict", "sep", "depth", *CELL, "--machine", "fake", "--format", form)
    assert (code, error) == (0, "")
    assert "depthwise convolution" in out


def test_csv_has_a_row_for_each_part_of_each_subject(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "predict", "sep", "depth", *CELL, "--machine", "fake", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert {row["name"] for row in rows} == {"sep cell 3x3 64 32x64", "depth cell 3x3 64 32x64"}
    assert {row["machine"] for row in rows} == {"fake"}
    add = next(row for row in rows if row["module"] == "add")
    assert float(add["predicted_ms"]) == pytest.approx(1e3 * POINTWISE)


def test_networks_have_cells_and_modules_stand_beside(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text("from torch import nn\n\ndef mine():\n    return nn.Conv2d(3, 8, 3)\n")
    own = f"{tmp_path / 'nets.py'}:mine"
    found = record(
        capsys,
        *("predict", "v2", own, "--cell", "depth,sep", "--size", "256x512", "--input", "1x3x32x32"),
        *("--machine", "fake"),
    )
    names = [each["name"] for each in found]
    assert names == [
        "depth-LSTM-ICNet v2 3x3 256x512",
        "sep-LSTM-ICNet v2 3x3 256x512",
        f"{own} 1x3x32x32",
    ]
    assert [each["unit_of_work"] for each in found] == ["frame", "frame", "call"]
    assert record(capsys, "predict", "--model", "depth", *CELL, "--machine", "fake") == record(
        capsys, "predict", "--cell", "depth", *CELL, "--machine", "fake"
    )


def test_a_data_sheet_gives_the_least_time(capsys: pytest.CaptureFixture[str]) -> None:
    found = record(capsys, "predict", "standard", "--machine", "sheet", *CELL)
    rows = {row["module"]: row for row in found["rows"]}
    assert rows["add"]["roofline_ms"] == pytest.approx(1e3 * 3 * MAP / 50e9)
    assert "predicted_ms" not in rows["add"]
    _, out, _ = run(capsys, "predict", "standard", "--machine", "sheet", *CELL)
    assert out.startswith("Least time per step of standard cell 3x3 64 32x64 on sheet: data sheet, cpu,")
    assert "not a prediction" in " ".join(out.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("predict v6", "--machine"),
        ("predict --machine fake", "nothing to predict"),
        ("predict v6 --machine mine", "no machine 'mine': machines are fake, sheet"),
        ("predict v6 --machine fake --dtype bfloat16", "fake is calibrated for other settings than bfloat16"),
        ("predict v6 --machine fake --threads 8", "other settings than 8"),
        ("predict v6 --machine sheet --at 30", "sheet has no probes: its times cannot be stated at a bandwidth"),
        ("predict v6 --machine fake --at 0", "--at '0': expected GB/s above 0"),
        ("predict v7 --machine fake", "'v7': neither a module"),
        ("predict depth --cell sep --machine fake", "--cell and --site are for described networks"),
        ("predict nets:mine --machine fake", "no inputs: --input with a shape"),
        ("predict torch.nn:ReLU --input Nx8 --machine fake", "inputs need numbers here, not N"),
        ("predict v6 --input 1x3x8x8 --machine fake", "--input is for modules of your own"),
        ("predict v6 --sort params --machine fake", "--sort 'params': one of order, flops, bytes, launches, ms"),
        ("predict v6 --top 0 --machine fake", "--top '0': expected a whole number from 1"),
    ],
)
def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str], arguments: str, message: str) -> None:
    code, out, error = run(capsys, *arguments.split())
    assert (code, out) == (2, "")
    assert message in error
    assert error.count("\n") == 1


def test_the_call_in_python() -> None:
    found = costmodel.predict("depth", FakeMachine(), channels=64, size=(32, 64))
    assert found.seconds == pytest.approx(
        costmodel.predict(costmodel.cell("depth", channels=64, size=(32, 64)), "fake").seconds
    )
    assert found.bound == "compute"
    assert found.floor < found.low < found.seconds < found.high
    linear = costmodel.module("torch.nn:Linear", "64x512", arguments={"in_features": 512, "out_features": 512})
    moved = 4 * (64 * 512 * 2 + 512 * 512 + 512)
    assert costmodel.predict(linear, "fake").seconds == pytest.approx(
        LAUNCH + max(2 * 64 * 512 * 512 / 160e9, moved / BANDWIDTH)
    )
    assert costmodel.predict(linear.count, "fake", bandwidth=1e9).seconds == pytest.approx(LAUNCH + moved / 1e9)


@pytest.mark.parametrize(
    ("subject", "message"),
    [
        ("v7", "unknown model 'v7'"),
        ("nets.py:mine", "names a module: give costmodel.module"),
        (3, "3 is no network, cell, module or count"),
    ],
)
def test_the_call_in_python_refuses(subject: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        costmodel.predict(subject, "fake")


def test_closed_forms_have_no_time() -> None:
    import torch

    counted = costmodel.count(torch.nn.Linear(8, 4), "Nx8")
    with pytest.raises(InvalidInput, match="counted in letters, N"):
        costmodel.predict(counted, "fake")
    with pytest.raises(InvalidInput, match="made of closed forms: count it with 16x8"):
        costmodel.predict(counted.at(N=16), "fake")


def test_a_module_of_another_type_is_refused() -> None:
    made = costmodel.module("torch.nn:Linear", "2x8", arguments={"in_features": 8, "out_features": 4}, dtype="float64")
    with pytest.raises(
        InvalidInput, match="Linear has parameters or buffers of float64, and would be predicted as float32"
    ):
        costmodel.predict(made, "fake")


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "predict", "--help")
    assert code == 0
    for line in ("predict v6 --machine mine", "predict --cell depth --kernel 5 --machine mine --at 30"):
        assert f"costmodel {line}" in out


def test_replay_times_what_is_not_calibrated(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from costmodel.measure.host import host

    here = tmp_path / "fake.json"
    Profile(host=host("cpu")).save(here)
    arguments = [str(here) if each == "fake" else each for each in ENCODER]
    found = record(capsys, "predict", *arguments, "--replay")
    assert found["missing"] == {}
    rows = {row["module"]: row for row in found["rows"]}
    assert [rows[name]["replayed"] for name in ("norm1", "self_attn", "linear1")] == [1, 1, 0]
    assert rows["norm1"]["predicted_ms"] > 0
    _, out, error = run(capsys, "predict", *arguments, "--replay")
    assert error == ""
    lines = out.splitlines()
    assert next(line for line in lines if line.startswith("norm1")).endswith("replayed")
    assert next(line for line in lines if line.startswith("self_attn")).endswith("1 replayed")
    assert "2 of kind aten.native_layer_norm.default" in " ".join(out.split())


def test_replay_is_of_the_machine_itself(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from costmodel.measure.host import host

    other = tmp_path / "fake.json"
    Profile(host=host("cpu").model_copy(update={"cpu": "Another CPU"})).save(other)
    code, _, error = run(capsys, "predict", *(str(other) if each == "fake" else each for each in ENCODER), "--replay")
    assert code == 2
    assert "replay times on this machine, which is not that of the prediction: cpu 'Another CPU', here" in error


def test_count_shows_the_predicted_time_of_each_module(capsys: pytest.CaptureFixture[str]) -> None:
    """The same as `predict` says, in the rows of `count`."""
    found = record(capsys, "predict", *ENCODER)
    counted = record(capsys, "count", *ENCODER)
    known = ("predicted_ms", "predicted_low_ms", "predicted_high_ms", "floor_ms", "bound", "not_calibrated")
    assert [counted[name] for name in known] == [found[name] for name in known]
    rows = {row["module"]: row for row in counted["modules"]}
    for row in found["rows"]:
        assert [rows[row["module"]][name] for name in known] == [row[name] for name in known]
    top = record(capsys, "count", *ENCODER, "--top", "1")["modules"]
    assert top[0]["module"] == "(itself)" or top[0]["predicted_ms"] == max(
        row["predicted_ms"] or 0 for row in rows.values()
    )
    assert sum(row["predicted_ms"] for row in top) == pytest.approx(counted["predicted_ms"])
    _, out, _ = run(capsys, "count", *ENCODER)
    assert next(line for line in out.splitlines() if line.startswith("total")).endswith("without 3")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--backward", "--machine fake predicts inference: without --backward"),
        ("--train", "--machine fake predicts inference: without --train"),
        ("--measure cpu", "--machine fake: beside --measure GFLOP/S,GB/S"),
        ("--dtype bfloat16", "fake is calibrated for other settings than bfloat16"),
    ],
)
def test_count_refuses(capsys: pytest.CaptureFixture[str], arguments: str, message: str) -> None:
    code, _, error = run(capsys, "count", "torch.nn:ReLU", "--input", "2x8", "--machine", "fake", *arguments.split())
    assert (code, message in error) == (2, True)


def milliseconds(*arguments: Any, **settings: Any) -> float:
    return 1e3 * costmodel.predict(*arguments, "fake", **settings).seconds


def test_tables_show_predicted_times_beside_the_standard_cell(capsys: pytest.CaptureFixture[str]) -> None:
    found = record(
        capsys, *("table", "--model", "v2", "--cell", "standard,spatial", "--size", "256x512"), "--machine", "fake"
    )
    rows = {row["approach"]: row for row in found["rows"]}
    standard, spatial = (milliseconds("v2", cell=cell, size=(256, 512)) for cell in ("standard", "spatial"))
    assert rows["LSTM-ICNet v2"]["predicted_ms"] == pytest.approx(standard)
    assert rows["spatial-LSTM-ICNet v2"]["predicted_pct"] == pytest.approx(100 * spatial / standard)
    assert rows["ICNet"]["predicted_pct"] == 100
    # The standard cell need not be shown.
    alone = record(capsys, *("table", "--model", "v2", "--cell", "spatial", "--size", "256x512"), "--machine", "fake")
    assert alone["rows"][1]["predicted_pct"] == rows["spatial-LSTM-ICNet v2"]["predicted_pct"]


def test_tables_are_sorted_by_predicted_times(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--kernel", "3,5", "--cell", "standard,depth", *CELL, "--machine", "fake", "--sort", "ms")
    rows = record(capsys, "sweep", *arguments)["rows"]
    assert [(row["cell"], row["kernel"][0]) for row in rows] == [
        *(("standard", 5), ("standard", 3), ("depth", 5), ("depth", 3))
    ]
    assert rows[2]["predicted_ms"] == pytest.approx(milliseconds("depth", kernel=5, channels=64, size=(32, 64)))
    whole = milliseconds("standard", kernel=5, channels=64, size=(32, 64))
    assert rows[2]["predicted_pct"] == pytest.approx(100 * rows[2]["predicted_ms"] / whole)


LINEAR = ("torch.nn:Linear", "--make", "in_features=512", "--make")


def test_modules_at_points_are_predicted(capsys: pytest.CaptureFixture[str]) -> None:
    grid = ("--input", "Nx512", "--grid", "N=64,128", "--machine", "fake")
    rows = record(capsys, "sweep", *LINEAR, "out_features=512", *grid)["rows"]
    moved = {n: 4 * (n * 512 * 2 + 512 * 512 + 512) for n in (64, 128)}  # bytes
    times = {n: 1e3 * (LAUNCH + max(2 * n * 512 * 512 / 160e9, moved[n] / BANDWIDTH)) for n in (64, 128)}
    assert [row["predicted_ms"] for row in rows] == pytest.approx(list(times.values()))
    assert rows[1]["predicted_pct"] == pytest.approx(100 * times[128] / times[64])


def test_compare_promises_and_predicts(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("compare", "standard", "spatial", *CELL, "--machine", "fake")
    standard, spatial = record(capsys, *arguments)["rows"]
    slow = record(capsys, *arguments, "--at", "1")["rows"][0]["predicted_ms"]
    assert slow == pytest.approx(milliseconds("standard", channels=64, size=(32, 64), bandwidth=1e9))
    assert spatial["promised"] == pytest.approx(1.5)
    assert spatial["predicted_pct"] == pytest.approx(100 * spatial["predicted_ms"] / standard["predicted_ms"])
    _, out, _ = run(capsys, *arguments)
    line = next(line for line in reversed(out.splitlines()) if line.startswith("spatial cell"))
    assert line.split()[2:4] == ["1.50x", f"{standard['predicted_ms'] / spatial['predicted_ms']:.2f}x"]


@pytest.mark.parametrize(
    "command",
    [
        "table --model v2 --cell sep --size 256x512",
        "compare standard sep --channels 64 --size 32x64",
        "sweep --kernel 3 --cell standard,sep --channels 64 --size 32x64",
    ],
)
def test_two_numbers_give_the_least_time(capsys: pytest.CaptureFixture[str], command: str) -> None:
    found = record(capsys, *command.split(), "--machine", "200,50")
    sheet = record(capsys, *command.split(), "--machine", "sheet")  # the same numbers
    assert [row["roofline_ms"] for row in found["rows"]] == [row["roofline_ms"] for row in sheet["rows"]]
    assert {row["bound"] for row in found["rows"]} <= {"compute", "memory"}
    assert "predicted_ms" not in found["rows"][0]
    plain = record(capsys, *command.split())
    new = {"machine", "roofline_ms", "roofline_pct", "bound"}
    assert [{key: row[key] for key in row.keys() - new} for row in found["rows"]] == plain["rows"]
    _, out, _ = run(capsys, *command.split(), "--machine", "200,50")
    assert "not a prediction" in " ".join(out.split())
    _, out, _ = run(capsys, *command.split(), "--machine", "200,50", "--format", "csv")
    assert "roofline_ms" in out.splitlines()[0]


def test_a_percentage_of_what_lacks_operations_is_none() -> None:
    gelu, relu = (costmodel.module(f"torch.nn:{name}", "2x8") for name in ("GELU", "ReLU"))
    first, second = costmodel.compare([gelu, relu]).on("fake").record()["rows"]
    assert (first["predicted_ms"], first["not_calibrated"], first["predicted_pct"]) == (None, 1, None)
    assert second["predicted_ms"] == pytest.approx(1e3 * (LAUNCH + 2 * 4 * 2 * 8 / BANDWIDTH))
    assert second["predicted_pct"] is None  # of what is not known


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("table --machine mine", "no machine 'mine'"),
        ("table --machine 1,x", "--machine 'x': expected a number"),
        ("compare sep --machine fake --implementation compiled", "--machine predicts eager code alone"),
        ("sweep --machine fake --dtype float32,bfloat16", "--dtype: one value with --machine, not float32, bfloat16"),
        ("table --at 30", "--at needs --machine NAME"),
        ("table --at 30 --machine 120,20", "--at needs --machine NAME"),
        ("sweep --machine fake --pages huge", "machines are calibrated with default pages"),
        ("sweep --kernel 3 --sort ms", "sort 'ms': there are no times"),
    ],
)
def test_machines_of_tables_are_checked(capsys: pytest.CaptureFixture[str], arguments: str, message: str) -> None:
    code, out, error = run(capsys, *arguments.split())
    assert (code, out) == (2, "")
    assert message in error


def test_a_call_that_cannot_be_made_again_is_told() -> None:
    from costmodel.measure.host import host
    from costmodel.measure.predict import replayed
    from costmodel.work.call import Call, Tensor

    calls = [
        Call(f"aten.{name}", (Tensor((8,)),), outputs=(Tensor((8,)),)) for name in ("frobnicate.default", "erf.default")
    ]
    operations = [Operation(each.name, Cost(Work(), launches=1), call=each) for each in calls]
    told: list[str] = []
    how = Settings(device="cpu", dtype="float32", memory_format="contiguous", implementation="eager", threads=1)
    found = replayed(FakeMachine().predict(operations), how, host("cpu"), tell=told.append)
    assert list(found) == calls[1:]
    assert told == ["not replayed: aten.frobnicate.default: torch has no operator 'aten.frobnicate.default'"]
    again = FakeMachine().predict(operations, replayed=found)
    assert (again.seconds, again.missing) == (found[calls[1]], {"aten.frobnicate.default": 1})


def test_a_described_network_is_predicted_without_torch() -> None:
    """In a process of its own: this one has opened torch."""
    script = (
        "import sys\n"
        "from fake_machine import FakeMachine\n"
        "import costmodel\n"
        "found = costmodel.predict('v6', FakeMachine())\n"
        "print(found.seconds > 0, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=Path(__file__).parent)
    assert (done.stdout, done.stderr) == ("True False\n", "")
