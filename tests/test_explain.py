"""What other counters print, predicted: against totals measured with them, and against those that are installed."""

import importlib.util
import json

import pytest
import torch
from explained import APART, CASES, TOOLS, printed, totals
from hand_written_resnet import ResNet50
from test_cli import run
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune
from torch.utils.flop_counter import FlopCounterMode

from costmodel.counting.count import count
from costmodel.counting.explain import COUNTERS, reading, readings

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


def test_resnet_50_as_each_tool_prints_it() -> None:
    found, _ = readings(count(ResNet50().eval(), "1x3x224x224"))
    assert {each.counter.name: each.total for each in found} == PRINTED


@pytest.mark.parametrize("case", CASES)
def test_readings_are_what_tools_print(case: str) -> None:
    """Whether kernels arrive as on the meta device or as on a CPU; where a tool fails, its total is not known."""
    theirs = {tool: printed(tool, case) for tool in TOOLS if tool not in APART}
    for real in (False, True):
        net, *inputs = CASES[case]()
        counted = count(net.eval(), *inputs, real=real)
        found, _ = readings(counted)
        ours = {each.counter.name: each for each in found}
        assert {tool: ours[tool].total for tool in theirs} == theirs
        if (seen := ours["fvcore"]).total is not None:
            assert seen.total + sum(seen.unseen.values()) == counted.flops("fvcore")
        for each in found:
            assert (each.total is None) == bool(each.unknown)
            assert each.total is None or each.total == sum(each.items.values())


@pytest.mark.parametrize("tool", APART)
def test_readings_are_what_tools_print_that_are_optional(tool: str) -> None:
    if importlib.util.find_spec(tool) is None:
        pytest.skip("pip install costmodel[tools]")
    ours = {}
    for case in CASES:
        net, *inputs = CASES[case]()
        ours[case] = reading(count(net.eval(), *inputs), COUNTERS[tool]).total
    assert ours == totals(tool)


@pytest.mark.parametrize(
    ("case", "tool", "total"),
    [
        ("attention: SDPA", "fvcore", 0),
        ("attention: TransformerEncoderLayer", "fvcore", 22_080),  # 10 x (16 x 64 + 2 x 16 x 32) + 2 x 5 x 160
        ("attention: TransformerDecoderLayer", "fvcore", 34_144),
        *(("recurrent: " + name, "fvcore", 0) for name in ("LSTM", "GRU", "RNN")),
        # 15 steps and samples, of the 600 weights of a gate two FLOPs less the sum, two biases, and what follows
        ("recurrent: LSTM", "calflops", 15 * (2 * 2400 - 160 + 160 + 200)),
        ("recurrent: GRU", "calflops", 15 * (2 * 1800 - 120 + 120 + 140)),
        ("recurrent: RNN", "deepspeed", 15 * (2 * 600 - 40 + 40 + 20)),
        ("network: Two", "thop", 2 * 2 * 2 * 9_216),  # two calls, two hooks, two places
        ("network: Two", "ptflops", 2 * 2 * (9_216 + 256) + 2 * 256),  # and a ReLU as a module and as a function
        ("network: Three", "calflops", 168_448),
        ("network: Three", "deepspeed", 3 * (2 * 9_216 + 256) + 256),
        ("convolution: transposed 2d", "calflops", 2 * (2 * 9 * 8 * 24 * 9 + 4 * 3 * 6)),
        ("product: baddbmm", "fvcore", 0),
        # by the names of parameters, whatever the class
        ("network: somebody's Conv2d", "torchinfo", 2 * 8 * 8 * (24 + 6) + 2 * 8 * 8 * (12 + 2)),
        ("network: somebody's Conv2d", "thop", 2 * 8 * 8 * 12),  # a class of torch alone
        ("network: subclass of Conv2d", "thop", 0),
        ("network: subclass of Conv2d", "fvcore", 2 * 6 * 6 * 6 * 36),
    ],
)
def test_totals_that_were_measured(case: str, tool: str, total: int) -> None:
    net, *inputs = CASES[case]()
    assert reading(count(net.eval(), *inputs), COUNTERS[tool]).total == total


def test_evaluation_is_what_most_tools_look_at_and_all_stays_as_it_was() -> None:
    """96 normalised elements: calflops 2 each in evaluation, fvcore 5 in training."""
    net, functions, methods = nn.BatchNorm2d(3).train(), dict(vars(F)), dict(vars(torch.Tensor))
    counted = count(net, "2x3x4x4")
    assert [reading(counted, COUNTERS[name]).total for name in ("calflops", "fvcore")] == [2 * 96, 5 * 96]
    assert net.training
    assert (dict(vars(F)), dict(vars(torch.Tensor))) == (functions, methods)  # nothing is left of the patches


def test_what_is_not_known_is_said() -> None:
    """ptflops asks for query, key and value by position, and gives several inputs by name."""
    counted = count(nn.MultiheadAttention(8, 2), *["5x3x8"] * 3)
    assert reading(counted, COUNTERS["ptflops"]).total is None
    assert reading(counted, COUNTERS["ptflops"]).unknown == ("the tool itself fails at MultiheadAttention",)
    assert reading(count(nn.ReLU(), "2x3"), COUNTERS["calflops"]).unknown == (
        "the tool itself fails at modules without parameters",
    )
    pruned = prune.l1_unstructured(nn.Linear(4, 3), "weight", 5)
    assert reading(count(pruned, "2x4"), COUNTERS["torchinfo"]).total is None


def test_what_fvcore_and_flop_counter_mode_do_not_see() -> None:
    """Attention of 2 heads, 5 x 5 by 8: 400 products of queries and keys, as many of weights and values."""
    net, *inputs = CASES["attention: SDPA"]()
    counted = count(net.eval(), *inputs)
    said = reading(counted, COUNTERS["fvcore"])
    assert (said.total, said.unseen) == (0, {"scaled_dot_product_attention": 800})
    net, *inputs = CASES["recurrent: LSTM"]()
    said = reading(count(net.eval(), *inputs, real=True), COUNTERS["FlopCounterMode"])
    assert (said.total, said.unseen) == (72_000, {"aten.mkldnn_rnn_layer": 72_000})  # 0 on a CPU


@pytest.mark.parametrize("backward", [False, True])
def test_flop_counter_mode_in_the_backward_pass(backward: bool) -> None:
    """Gradients of grouped weights are taken for those of a whole convolution."""
    net = nn.Sequential(
        nn.Conv2d(4, 6, 3, groups=2), nn.ConvTranspose2d(6, 4, 3, groups=2), nn.Flatten(), nn.Linear(256, 2)
    )
    with FlopCounterMode(display=False) as counter:
        out = net(torch.randn(1, 4, 8, 8))
        if backward:
            out.sum().backward()
    counted = count(net, "1x4x8x8", backward=backward)
    assert reading(counted, COUNTERS["FlopCounterMode"]).total == counter.get_total_flops()


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
