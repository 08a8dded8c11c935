"""The errata: computed again from prices and equations, and the same wherever they are shown."""

import dataclasses
import json
import re
import shlex
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import costmodel
from costmodel import cli
from costmodel.price.symbols import parse
from costmodel.published import erfnet, lstm_icnet
from costmodel.published.errata import ERFNET, ERRATA, LSTM_ICNET

ROOT = Path(__file__).parent.parent
CHECKS = list(dict.fromkeys(each.check for each in ERRATA))


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", shlex.split(command))
    return cli.main(), capsys.readouterr().out


def arithmetic(number: int) -> str:
    (erratum,) = [each for each in ERRATA if each.number == number]
    return f"{erratum.printed} {erratum.right} {erratum.arithmetic}"


def row(approach: str, **how: object) -> "costmodel.report.table.TableRow":  # type: ignore[name-defined]
    return next(row for row in costmodel.table(**how).rows if row.approach == approach)  # type: ignore[arg-type]


def test_they_are_numbered_without_gaps() -> None:
    assert [each.number for each in ERRATA] == list(range(1, len(ERRATA) + 1))
    assert {each.paper for each in ERRATA} == {LSTM_ICNET, ERFNET}
    assert all(each.arithmetic.endswith(".") and not each.printed.endswith(".") for each in ERRATA)


# ---- each, computed again --------------------------------------------------------------------------------------------


def test_1_a_digit_is_lost() -> None:
    flops = row("spatial-LSTM-ICNet v5").flops
    low, high = 0.77865 * 173.98, 0.77875 * 173.98
    assert low < flops / 1e9 < high
    for shown in (f"{low:.2f} to {high:.2f}", f"{flops / 1e9:.2f}"):
        assert shown in arithmetic(1)
    assert f'"{lstm_icnet.TABLE_IV["spatial-LSTM-ICNet v5"].gflops}"' in arithmetic(1)


def test_2_and_3_the_ratio_of_the_spatial_cell() -> None:
    ratio = costmodel.equation("spatial").at(3, 128).exact
    assert ratio == Fraction(12325, 18469)
    assert f"12325/(18469*128) = {float(ratio / 128):.4f}" in arithmetic(2)
    assert f"12325/18469 = {float(ratio):.4f}" in arithmetic(2)
    assert f"1 - 12325/18469 = {100 * float(1 - ratio):.2f} %" in arithmetic(3)


def test_4_the_general_standard_cell() -> None:
    formula = "(8*Kx*Ky*(I + O) + 37)*O*Dx*Dy"
    assert (costmodel.equation("standard").general - parse(formula)).expand() == 0
    assert formula in arithmetic(4)


def test_5_thousands_are_truncated() -> None:
    standard, spatial = row("LSTM-ICNet v2"), row("spatial-LSTM-ICNet v2")
    assert f"{standard.params:,} prints as {lstm_icnet.TABLE_IV['LSTM-ICNet v2'].params_k}k" in arithmetic(5)
    assert f"{round(standard.params / 1000)}k" in arithmetic(5)
    assert f"{spatial.params_k}/{standard.params_k} = {spatial.params_pct} %" in arithmetic(5)
    assert round(100 * spatial.params / standard.params, 2) != spatial.params_pct


def test_6_heads_are_counted() -> None:
    whole, plain = row("ICNet").params, row("ICNet", heads=False).params
    for number in (whole, plain, whole - plain):
        assert f"{number:,}" in arithmetic(6)


def test_7_the_approximation_of_the_depth_cell() -> None:
    wide = costmodel.equation("depth").at(3, 10**9).exact * 10**9
    assert f"(144 + 37)/144 = {float(wide):.2f} times" in arithmetic(7)
    value = costmodel.equation("depth").at(3, 128)
    assert f"1/128 = {100 / 128:.2f} % stands for {100 * float(value.exact):.2f} %" in arithmetic(7)
    formula = "(16*Kx*Ky + 37)/(16*Kx*Ky*I)"
    assert (costmodel.equation("depth").ratio.leading - parse(formula)).expand() == 0
    assert formula in arithmetic(7)


def test_8_and_9_numbers_of_the_tables() -> None:
    miou = lstm_icnet.QUALITY["cityscapes-miou"].values["ICNet"]
    assert f"{miou} %, which rounds to {miou:.1f} %" in arithmetic(8)
    plain, recurrent = (lstm_icnet.TABLE_IV[name].gpu_ms for name in ("ICNet", "LSTM-ICNet v2"))
    more = recurrent - plain
    assert f"{recurrent} - {plain} = {more:.2f} ms, which is {100 * more / plain:.1f} % more" in arithmetic(9)


def test_10_and_11_what_stands_still_does_not_flicker() -> None:
    still = np.ones((4, 2, 3), dtype=np.uint8)
    assert costmodel.mfp(still, still).mean_per_mille == 0  # D = 0; not (0 and 0) = 1
    moving = np.arange(2)[np.arange(5) % 2][:, None, None] * np.ones((1, 2, 2), dtype=np.uint8)
    short, long = costmodel.mfip(moving[:3]), costmodel.mfip(moving)
    assert short.mean_per_mille == long.mean_per_mille
    assert (short.literal_sum, long.literal_sum) == (2, 4)


def test_12_the_row_d() -> None:
    d, dg2 = row("D", models="erfnet"), row("DG2", models="erfnet")
    printed = [erfnet.TABLE.rows[name] for name in ("D", "DG2")]
    weights = 2 * 2 * 64**2 + 4 * 2 * 128**2
    assert d.params - dg2.params == weights // 2
    for shown in (
        f"{weights:,} weights",
        f"{weights // 2:,} parameters and {(d.flops - dg2.flops) / 1e9:.3f} GFLOPs less",
        f"differ by {printed[0].params - printed[1].params:,} and {printed[0].gflops - printed[1].gflops:.3f}",
        f"{d.params:,} and {d.flops / 1e9:.3f}",
    ):
        assert shown in arithmetic(12)


# ---- where they are shown --------------------------------------------------------------------------------------------


def test_the_command_prints_all(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out = run(capsys, monkeypatch, "costmodel errata")
    words = " ".join(out.split())
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    for each in ERRATA:
        assert (
            f" {each.number} {each.place} {each.printed}. Right: {each.right}. {each.arithmetic} [{each.check}]"
            in words
        )
    code, out = run(capsys, monkeypatch, "costmodel errata --format json")
    assert json.loads(out) == [dataclasses.asdict(each) for each in ERRATA]


@pytest.mark.parametrize("check", CHECKS)
def test_the_checks_run(
    check: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # one draws
    assert run(capsys, monkeypatch, check)[0] == 0


def test_the_conventions_page_lists_those_of_the_paper() -> None:
    page = (ROOT / "docs" / "conventions.md").read_text().replace("·", "*")
    (shown,) = re.findall(r"^## Errata.*?\n\n.*?\n\n(.*?)\n\n##", page, re.S | re.M)
    listed = [f"{e.number}. {e.place} {e.text} `{e.check}`" for e in ERRATA if e.paper == LSTM_ICNET]
    assert " ".join(shown.split()) == " ".join(listed)


def test_an_equation_names_its_errata_once_and_wrapped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = run(capsys, monkeypatch, "costmodel equation")[1]
    assert out.count("see erratum                  4\n") == 3
    assert out.count("write I for all eight convolutions") == 1
    assert max(map(len, out.splitlines())) <= 80
    out = run(capsys, monkeypatch, "costmodel equation spatial --ratio")[1]
    assert "see erratum                  2 and 3\n" in out
    assert re.findall(r"^  erratum (\d+), ", out, re.M) == ["2", "3"]
    assert "erratum" not in run(capsys, monkeypatch, "costmodel equation depth")[1]


@pytest.mark.parametrize(("model", "numbers"), [("v5", range(1, 12)), ("erfnet-D", [12])])
def test_the_report_has_those_of_its_papers(model: str, numbers: list[int]) -> None:
    from costmodel.report.folder import Report

    report = Report(costmodel.table(model), costmodel.sweep([3]), {}, "")
    drawn = {each.name: "" for each in report.drawings}
    page = report.page(drawn)
    assert "<h2>Errata</h2>" in re.sub(r"<h2[^>]*>", "<h2>", page)
    for each in ERRATA:
        assert (f"[{each.check}]" in page) is any(e.check == each.check for e in ERRATA if e.number in numbers)
