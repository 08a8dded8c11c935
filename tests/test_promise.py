"""The speed-up that FLOPs promise, the measured one, and the share that is kept."""

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from costmodel import cli
from costmodel.profiles.estimate import Estimate

EAGER = ["--implementation", "eager", "--memory-format", "contiguous", "--threads", "2"]
EPYC = ["--profile", "amd-epyc-2-cores", *EAGER]


@pytest.fixture
def promise(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["costmodel", "promise", *arguments])
        code = cli.main()
        return (code, *capsys.readouterr())

    return run


def rows(printed: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(printed)["rows"]
    return listed


def test_the_inverse_of_a_ratio_turns_its_interval_and_modes_around() -> None:
    ratio = Estimate(0.4, (0.25, 0.5), "two modes", 5, ((0.25, 2), (0.5, 3)))
    assert ratio.inverse() == Estimate(2.5, (2.0, 4.0), "two modes", 5, ((2.0, 3), (4.0, 2)))
    assert ratio.scaled(2) == Estimate(0.8, (0.5, 1.0), "two modes", 5, ((0.5, 2), (1.0, 3)))


@pytest.mark.parametrize(
    ("cell", "kernel", "element"),  # FLOPs per output element at I = O = 128, Table I
    [
        ("spatial", 3, 32 * 3 * 128 + 37),
        ("depth", 5, 16 * 25 + 37),
        ("sep", 7, 16 * 49 + 16 * 128 + 37),
    ],
)
def test_a_promise_is_the_cost_of_the_standard_cell_over_its_own(
    promise: Any, cell: str, kernel: int, element: int
) -> None:
    (row,) = rows(promise("--cell", f"standard,{cell}", "--kernel", str(kernel), *EPYC, "--format", "json")[1])
    assert (row["cell"], row["kernel"], row["channels"], row["size"]) == (cell, [kernel] * 2, [128, 128], [128, 256])
    assert row["promised"] == pytest.approx((16 * kernel * kernel * 128 + 37) / element)
    assert row["kept_pct"] == pytest.approx(100 * row["measured"] / row["promised"])
    assert row["measured_low"] <= row["measured"] <= row["measured_high"]
    assert row["kept_pct_low"] == pytest.approx(100 * row["measured_low"] / row["promised"])


def test_measured_is_what_the_sweep_and_the_figure_show(promise: Any) -> None:
    import costmodel
    from costmodel.profiles.timing import timings
    from costmodel.report import promise as report

    sweep = costmodel.sweep([3])
    epyc = costmodel.read_profile("amd-epyc-2-cores")
    spatial = next(row for row in report.of_cells(sweep) if row.keys["cell"] == "spatial")
    timing = next(t for t in timings(epyc, "", spatial.subject) if t.how and t.how.title.startswith("float32, contig"))
    assert timing.pct is not None
    (row,) = rows(promise("--cell", "spatial", "--kernel", "3", *EPYC, "--format", "json")[1])
    assert row["measured"] == pytest.approx(100 / timing.pct)
    axes = costmodel.figures.promise(costmodel.sweep([3], cells=["spatial"]), epyc, how=timing.how)
    drawn = [list(point) for line in axes.lines for point in line.get_xydata()]
    assert pytest.approx([row["promised"], row["measured"]]) in drawn


def test_the_table_shows_verdicts_instead_of_undecided_numbers(promise: Any) -> None:
    code, out, err = promise("--kernel", "3", *EPYC)
    lines = [line.split() for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert ["3x3", "spatial", "1.50x", "1.20x", "1.18-1.21", "80"] in lines
    assert ["3x3", "sep", "8.29x", "two", "modes", "2.33", "/", "2.66", "28", "/", "32"] in lines
    assert "AMD EPYC (profile amd-epyc-2-cores)" in out
    assert max(map(len, out.splitlines())) <= 80


def test_without_a_profile_all_that_have_these_rows_are_shown(promise: Any) -> None:
    cells, networks = (
        {row["profile"] for row in rows(promise(*of, "--format", "json")[1])} for of in ([], ["--model", "v6"])
    )
    assert (cells, networks) == ({"amd-epyc-2-cores"}, {"amd-epyc-2-cores", "paper"})


def test_rows_without_times_say_what_records_them(promise: Any) -> None:
    code, out, err = promise("--kernel", "3", "--channels", "16", "--cell", "sep")
    assert (code, "measured" in out) == (0, False)
    assert err == (
        "costmodel: no profile has these rows; to record them: costmodel profile --cell sep,standard --channels 16 "
        "--out NAME\n"
    )
    (row,) = rows(promise("--kernel", "3", "--channels", "16", "--cell", "sep", "--format", "json")[1])
    # (16*9*16 + 37) / (16*9 + 16*16 + 37)
    assert (row["promised"], row["measured"], row["kept_pct"], row["how"]) == (2341 / 437, None, None, None)
    code, out, err = promise("--kernel", "3,9", "--cell", "sep", *EPYC)
    assert (code, out.count("not timed\n")) == (0, 1)
    assert "no sep cell 9x9 128 128x256, no standard cell 9x9 128 128x256; to record them: costmodel profile" in err


def test_the_printed_times_of_networks(promise: Any) -> None:
    out = promise("--model", "v6", "--profile", "paper", "--format", "csv")[1]
    cpu = next(row for row in csv.DictReader(io.StringIO(out)) if row["network"] == "sep-LSTM-ICNet v6")
    assert float(cpu["promised"]) == pytest.approx(251.343772492 / 81.44, rel=1e-4)  # Table IV: 251.34 and 81.44
    assert float(cpu["measured"]) == pytest.approx(4125 / 2127)
    assert float(cpu["kept_pct"]) == pytest.approx(100 * (4125 / 2127) / (251.343772492 / 81.44), rel=1e-4)
    assert (cpu["measured_low"], cpu["measured_verdict"]) == ("", "as published")
    text = promise("--model", "v6", "--profile", "paper")[1]
    # On the GPU the spatial cell is slower: 80.16 / 88.08 = 0.91 of 251.34 / 187.07 = 1.34.
    assert "spatial-LSTM-ICNet v6     1.34x     0.91x      68\n" in text


def test_variants_are_against_their_network(promise: Any) -> None:
    (row,) = rows(promise("--model", "erfnet-D*", *EPYC, "--format", "json")[1])
    assert (row["network"], row["kernel"], row["cell"]) == ("D*", None, None)
    assert row["promised"] == pytest.approx(27_705_475_072 / 10_596_909_056)
    assert "MACs of ERFNet / of this one" in promise("--model", "erfnet-D*", *EPYC)[1].replace("\n  ", " ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cell", "standard"], "a speed-up needs a cell other than the standard cell"),
        (["--model", "icnet"], "a speed-up needs a cell other than the standard cell"),
        (["--model", "v6", "--channels", "64"], "--channels is for single cells"),
        (["--classes", "3"], "--classes is for networks"),
        (["--profile", "nobody"], "no profile 'nobody'"),
        (["--cell", "sepp"], "sepp"),
    ],
)
def test_bad_input_is_one_line(promise: Any, arguments: list[str], message: str) -> None:
    code, out, err = promise(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


@pytest.mark.parametrize("form", ["markdown", "latex", "html"])
def test_every_format(promise: Any, form: str, tmp_path: Path) -> None:
    code, out, _ = promise("--kernel", "3", *EPYC, "--format", form)
    assert (code, "1.50x" in out) == (0, True)
