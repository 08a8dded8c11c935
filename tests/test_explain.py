"""What other counters print, predicted: against totals measured with them, and against those that are installed."""

import contextlib
import io
import json

import ptflops
import pytest
import thop
import torch
import torchinfo
from hand_written_resnet import ResNet50
from test_cli import run
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from costmodel.building.check import fvcore_count
from costmodel.counting.count import count
from costmodel.counting.explain import COUNTERS, reading

# Measured once with each tool on a hand-written ResNet-50 at 224x224; eleven tools, twelve totals.
PRINTED = {
    "FlopCounterMode": 8_178_368_512,
    "fvcore": 4_111_512_576,
    "ptflops": 4_132_436_968,
    "thop": 4_133_742_592,
    "torchinfo": 4_089_238_376,
    "calflops": 8_211_108_352,
    "deepspeed": 8_211_108_352,
}


@pytest.mark.parametrize("name", COUNTERS)
def test_resnet_50_as_each_tool_prints_it(name: str) -> None:
    assert reading(count(ResNet50().eval(), "1x3x224x224"), COUNTERS[name]).total == PRINTED[name]


class Functional(nn.Module):
    """A convolution by function with a raw parameter beside one by module."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(4, 3, 3, 3))
        self.conv = nn.Conv2d(4, 8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.conv(F.conv2d(x, self.w)))


NETS = {
    "functional": (Functional, (2, 3, 16, 16)),
    "transposed": (
        lambda: nn.Sequential(
            nn.ConvTranspose2d(8, 8, 4, stride=2, groups=8), nn.BatchNorm2d(8), nn.AvgPool2d(2), nn.Flatten(),
            nn.Linear(8 * 17 * 17, 5),
        ),
        (1, 8, 16, 16),
    ),
    "mixed": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.ReLU(), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(3), nn.Flatten(),
            nn.Linear(72, 5), nn.LayerNorm(5),
        ),
        (1, 3, 16, 16),
    ),
    "depthwise": (lambda: nn.Sequential(nn.Conv2d(6, 6, 3, groups=6, bias=False), nn.ReLU6()), (1, 6, 9, 9)),
    "resnet": (ResNet50, (1, 3, 65, 97)),
}  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_predictions_are_what_installed_tools_print(name: str) -> None:
    make, shape = NETS[name]
    net, x = make().eval(), torch.randn(shape)
    ours = {tool: reading(count(net, x), COUNTERS[tool]).total for tool in COUNTERS}
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net(x)
    theirs = {"FlopCounterMode": counter.get_total_flops(), "fvcore": fvcore_count(net, x)}
    with contextlib.redirect_stdout(io.StringIO()):
        theirs["torchinfo"] = torchinfo.summary(make().eval(), input_data=x, verbose=0).total_mult_adds
        theirs["thop"] = thop.profile(make().eval(), inputs=(x,), verbose=False)[0]
        if shape[0] == 1:  # it makes its own input
            theirs["ptflops"], _ = ptflops.get_model_complexity_info(
                make().eval(), shape[1:], as_strings=False, print_per_layer_stat=False, verbose=False, backend="pytorch"
            )
    known = {tool: total for tool, total in theirs.items() if ours[tool] is not None}
    assert {tool: ours[tool] for tool in known} == known
    assert len(known) >= 3


def test_what_is_not_known_is_said() -> None:
    counted = count(nn.LSTM(8, 6), "5x3x8")
    assert reading(counted, COUNTERS["thop"]).total is None
    assert reading(counted, COUNTERS["thop"]).unknown
    assert reading(counted, COUNTERS["FlopCounterMode"]).total == 2 * counted.macs


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["explain", "hand_written_resnet:ResNet50", "--input", "1x3x224x224"]
    code, out, _ = run(capsys, *arguments)
    assert code == 0
    for name, total in PRINTED.items():
        assert f"{total:,}" in out, name
    record = json.loads(run(capsys, *arguments, "--format", "json")[1])
    thops = next(each for each in record["tools"] if each["tool"] == "thop")
    assert thops["items"]["adaptive pooling"] == 2048 * 50  # 49 sums and a division
    assert sum(thops["items"].values()) == thops["total"]
    code, _, err = run(capsys, *arguments[:2], "--input", "1x3xHxW")
    assert (code, "give sizes, not letters" in err) == (2, True)
    lines = run(capsys, "explain", "torch.nn:ConvTranspose2d", "--input", "1x8x9x9", "--make",
                '{"in_channels": 8, "out_channels": 8, "kernel_size": 4, "stride": 2, "groups": 8}')[1]  # fmt: skip
    # 20 x 20 outputs for 9 x 9 inputs.
    assert "thop counts 4.94 times the actual multiply-accumulates" in " ".join(lines.split())
