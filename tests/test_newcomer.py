"""Reports that a newcomer reads at 80 columns, and errors in the words of the command line."""

from collections.abc import Callable
from pathlib import Path

import pytest
import test_render
import torch
from test_cli import run
from torch import nn

from costmodel import count
from costmodel.report import count as report

CONV = '{"in_channels": 3, "out_channels": 8, "kernel_size": 3, "stride": 2}'


def test_memory_is_in_the_unit_of_its_size() -> None:
    # 8 x 4 weights, 4 biases, 8 inputs: 44 numbers of 4 bytes; 4 results more: 48.
    text = report.document(count(nn.Linear(8, 4), "1x8")).text()
    assert "peak memory: 192 B, 176 B of them parameters" in text
    # 1,000,000 weights, 1,000 inputs: 4,004,000 bytes; 1,000 results more.
    text = report.document(count(nn.Linear(1000, 1000, bias=False), "1x1000")).text()
    assert "peak memory: 4,008.0 kB, 4,004.0 kB of them parameters" in text


def test_long_formulas_are_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    net = nn.Sequential(*(nn.Conv2d(2, 2, 3, stride=2, padding=1) for _ in range(4)))
    counted = count(net, "1x2xHxW")
    formula = counted.formula()["bytes read"]
    assert len(formula) > 80
    text = report.document(counted).text()
    assert max(map(len, text.splitlines())) <= 80
    assert "".join(formula.split()) in "".join(text.split())
    assert formula in report.document(counted).text("csv")


def test_formulas_are_mathematics_in_latex_that_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Sequential(*(nn.Conv2d(2, 2, 3, stride=2) for _ in range(4)))
    text = report.document(count(net, "1x2xHxW")).text("latex")
    assert r"\lfloor" in text
    assert "floor(" not in text
    assert r"holds for H $\geq$ " in text
    (tmp_path / "formulas.tex").write_text(text)
    assert "Overfull" not in test_render.compiled(tmp_path, "formulas.tex")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--input 1x3x8y8", "--input '1x3x8y8': expected a shape, such as 1x3x224x224"),
        ("--input 1x3x8x8:int65", "--input '1x3x8x8:int65': 'int65' is no type of torch"),
        ("--input 1x3x8x8 --convention mine", "--convention 'mine': one of paper, tf-profiler, fvcore, torch"),
        ("--input 1x3x8x8 --sort size", "--sort 'size': one of order, flops, params, bytes"),
        ("--input 1x3x8x8 --attention half", "--attention 'half': one of full, masked"),
        ("--input 1x3x8x8 --dtype int8", "--dtype 'int8': one of float32, bfloat16, float16, float64"),
        ("--input 1x3x8x8 --machine 0,20", "--machine '0,20': the peak of a machine must be positive"),
        ("--input 1x3xHxW --depth 1", "so do depth, sort and top: give sizes instead of letters"),
        ("--input 1x3xHxW --sort flops", "so do depth, sort and top: give sizes instead of letters"),
    ],
)
def test_errors_name_the_option(capsys: pytest.CaptureFixture[str], line: str, message: str) -> None:
    code, out, error = run(capsys, "count", "torch.nn:Conv2d", "--make", CONV, *line.split())
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert message in error


@pytest.mark.parametrize("places", [lambda x: torch.where(x > 0)[0], lambda x: torch.argwhere(x > 0)])
def test_places_of_unknown_values_are_told_in_words(places: Callable[[torch.Tensor], torch.Tensor]) -> None:
    (note,) = count(places, "4").notes
    assert "NotImplementedError" not in note
    assert "ran with values" in note


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--memory much", "--memory 'much': expected bytes, such as 8GB"),
        ("--memory 1MB --at H=x", "--at 'H=x': expected LETTER=SIZE with a whole number from 1, such as H=480"),
        ("--memory 1MB --at H=0", "--at 'H=0': expected LETTER=SIZE"),
        ("--memory 1MB --at H", "--at 'H': expected LETTER=SIZE"),
    ],
)
def test_errors_of_fits_name_the_option(capsys: pytest.CaptureFixture[str], line: str, message: str) -> None:
    code, out, error = run(capsys, "fits", "torch.nn:ReLU", "--input", "NxHxW", *line.split())
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert message in error


def test_sizes_in_csv_are_those_of_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    # An input and a result of N x 4 x 4 numbers: 128 N bytes, so 7 of 1000. Of H x H: 8 H^2 bytes, so 11.
    line = "fits torch.nn:ReLU --input NxHxW --memory 1kB --at H=4,W=4 --format csv"
    _, out, _ = run(capsys, *line.split())
    assert out.splitlines()[1:] == [
        'N,"H=4,W=4",N=7,896,N=8,1024',
        '"H,W",N=1,"H=11,W=11",968,"H=12,W=12",1152',
    ]
