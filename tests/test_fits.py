"""The largest batch, and the largest sides, that fit into a memory."""

import json
from math import isqrt
from typing import Any

import pytest
import torch
from test_cli import run
from torch import nn

from costmodel import count
from costmodel.counting.fits import bytes_of, fits
from costmodel.errors import InvalidInput

LINE = nn.Linear(8, 4)  # 4 * 36 = 144 bytes of parameters; a row takes 4 * (8 + 4) = 48


def test_the_largest_batch_is_that_of_the_arithmetic() -> None:
    answer = fits(LINE, "Nx8", memory=1000)
    (found,) = answer.found
    assert (found.sizes, found.needed) == ({"N": (1000 - 144) // 48}, 144 + 17 * 48)
    assert (found.following, found.following_needed) == ({"N": 18}, 144 + 18 * 48)
    assert fits(LINE, "Nx8", memory=144 + 17 * 48).found[0].sizes == {"N": 17}  # just so
    assert fits(LINE, "Nx8", memory=143 + 17 * 48).found[0].sizes == {"N": 16}


def test_sides_vary_together() -> None:
    """Pixels of 3 + 4 channels of 4 bytes, besides 4 * (4 * 27 + 4) bytes of parameters."""
    conv = nn.Conv2d(3, 4, 3, padding=1)
    batch, sides = fits(conv, "Nx3xHxW", memory="10MB").found
    pixels = (10_000_000 - 448) // 28
    assert (batch.sizes, batch.at) == ({"N": pixels // 224**2}, {"H": 224, "W": 224})
    assert (sides.sizes, sides.at) == ({"H": isqrt(pixels), "W": isqrt(pixels)}, {"N": 1})
    (ratio,) = fits(conv, "Nx3xHxW", memory="10MB", vary=["H", "W"], at={"N": 2, "H": 480, "W": 640}, step=32).found
    assert ratio.sizes == {"H": 96 * 3, "W": 128 * 3}  # 3 : 4, multiples of 32: 2 * 96 * 128 * 9 of 357,126 pixels
    assert ratio.following == {"H": 96 * 4, "W": 128 * 4}


@pytest.mark.parametrize("cpu", [False, True])
def test_the_answer_and_the_next_are_counts(cpu: bool) -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), LINE)
    how: dict[str, Any] = {"backward": True, "optimizer": "adam"}
    for found in fits(net, "Nx3xHxW", memory="20MB", cpu=cpu, **how).found:
        for sizes, needed in ((found.sizes, found.needed), (found.following, found.following_needed)):
            side = {**found.at, **(sizes or {})}
            counted = count(net, f"{side['N']}x3x{side['H']}x{side['W']}", **how)
            assert needed == (counted.cpu_peak_memory if cpu else counted.peak_memory)
        assert (found.needed or 0) <= 20_000_000 < found.following_needed


def test_what_a_module_refuses_is_said() -> None:
    fixed = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    answer = fits(fixed, "Nx3xHxW", memory="1MB", at={"H": 8, "W": 8})
    assert [each.letters for each in answer.found] == [("N",)]
    assert "H and W" in answer.refused
    with pytest.raises(InvalidInput, match="nothing fits into 100 B: N = 1 needs 192 B"):
        fits(LINE, "Nx8", memory=100)
    with pytest.raises(InvalidInput, match="no letters in the inputs"):
        fits(LINE, "1x8", memory=100)
    with pytest.raises(InvalidInput, match="Q: no such letter in the inputs, which have N"):
        fits(LINE, "Nx8", memory=100, at={"Q": 1})
    with pytest.raises(InvalidInput, match="where sizes must be multiples, give step, such as 32"):
        fits(lambda x: x.view(-1, 6), "T", memory=4 * 6 * 1000)


def test_memory_that_no_size_fills() -> None:
    with pytest.raises(InvalidInput, match="still fits: memory hardly grows with N"):
        fits(lambda x: x.sum(), "N", memory="1000TB")


@pytest.mark.parametrize(
    ("text", "number"),
    [("8GB", 8 * 10**9), ("1.5 GiB", 3 * 2**29), ("512mb", 512 * 10**6), ("100", 100), (7, 7), ("2kB", 2000)],
)
def test_memory_as_people_write_it(text: str | int, number: int) -> None:
    assert bytes_of(text) == number


@pytest.mark.parametrize("text", ["", "GB", "8 eggs", "-8GB", "0", "0.1B", -1, "1e9"])
def test_memory_that_is_none(text: str | int) -> None:
    with pytest.raises(InvalidInput, match="expected bytes, such as 8GB"):
        bytes_of(text)


def test_a_note_on_what_is_not_known() -> None:
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True).eval()
    assert "as one kernel" in fits(layer, "Nx5x16", memory="1MB").memory_notes[0]


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["fits", "torch.nn:Linear", "--make", '{"in_features": 8, "out_features": 4}', "--input", "Nx8"]
    code, out, _ = run(capsys, *line, "--memory", "1kB", "--format", "json")
    record = json.loads(out)
    assert (code, record["fits"][0]["largest"]) == (0, {"N": 17})
    assert (record["memory_bytes"], record["fits"][0]["next_needs_bytes"]) == (1000, 1008)
    code, out, _ = run(capsys, *line, "--memory", "10kB", "--backward", "--optimizer", "adam")
    assert (code, "states and step of adam" in " ".join(out.split())) == (0, True)
    assert run(capsys, *line, "--memory", "100B")[2] == "costmodel: nothing fits into 100 B: N = 1 needs 192 B\n"
    assert "takes its step after a backward pass" in run(capsys, *line, "--memory", "1kB", "--optimizer", "adam")[2]


def test_the_optimizer_of_count(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["count", "torch.nn:Linear", "--make", '{"in_features": 8, "out_features": 4}', "--input", "2x8"]
    code, out, _ = run(capsys, *line, "--backward", "--optimizer", "adam", "--format", "json")
    assert (code, json.loads(out)["optimizer_states_bytes"]) == (0, 2 * 36 * 4 + 2 * 4)  # counters of two tensors
    assert "states of adam" in " ".join(run(capsys, *line, "--backward", "--optimizer", "adam")[1].split())


def test_types_and_other_letters() -> None:
    """Rows of 4 halves more than the table and the 8 bytes of each place: 10 * 4 * 2 + T * (8 + 8)."""
    table = nn.Embedding(10, 4).to(torch.bfloat16)
    (found,) = fits(table, "1xT:int64", memory=1000).found
    assert found.sizes == {"T": (1000 - 80) // 16}


def test_a_module_that_reads_its_data_is_said() -> None:
    assert "reads tensor values" in fits(lambda x: x[x[:, 0] > 0], "Nx4", memory="1kB").notes[0]
