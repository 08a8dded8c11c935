"""What users do with tables: they sort and cut them, and read them at 80 columns, in a pipe and in a file."""

import csv
import io
import json
from typing import Any

import pytest
from test_cli import run
from torch import nn

import costmodel
from costmodel import InvalidInput, count
from costmodel.price.machine import Machine
from costmodel.price.sweep import sweep
from costmodel.profiles.files import read
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
