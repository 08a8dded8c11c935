"""Gradual grouping: what it costs, and the modules that are trained so."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_cli import run
from torch import nn

import costmodel
from costmodel.building.gradual import GradualConv2d, make_gradual, set_alpha, switch
from costmodel.describe.catalogue import describe_network
from costmodel.errors import InvalidInput
from costmodel.price.gradual import gradual, linear

Capture = pytest.CaptureFixture[str]


def test_the_worked_training() -> None:
    """D* to DG2*: 3 x 2975 x (100 x 10,596,909,056 + 50 x 8,852,078,592) if switched."""
    work = gradual(10_596_909_056, 8_852_078_592, linear(100, 50), images=2975)
    assert (work.epochs, work.fine) == (100, 50)
    assert work.kept == 3 * 2975 * 150 * 10_596_909_056 == 14_186_611_998_720_000
    assert work.switched == 3 * 2975 * (100 * 10_596_909_056 + 50 * 8_852_078_592) == 13_407_981_404_160_000
    assert work.grouped_only == 3 * 2975 * 150 * 8_852_078_592 == 11_850_720_215_040_000


@given(st.integers(1, 50), st.integers(0, 50), st.integers(1, 10**6), st.integers(1, 10**6))
def test_switching_lies_between(falling: int, fine: int, dense: int, less: int) -> None:
    alphas = linear(falling, fine)
    assert (alphas[0], len(alphas), list(alphas)) == (1, falling + fine, sorted(alphas, reverse=True))
    work = gradual(dense + less, dense, alphas, images=3)
    assert work.grouped_only < work.switched <= work.kept
    assert work.kept - work.switched == 3 * 3 * fine * less


@pytest.mark.parametrize(
    ("alphas", "message"),
    [
        ([], "alphas must have a value"),
        ([1, -0.5], "from 0"),
        ([1, 2], "from 0"),
        ([float("nan")], "from 0"),
        (["a"], "from 0"),
    ],
)
def test_alphas_are_checked(alphas: list[float], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        gradual(2, 1, alphas, images=1)


def test_the_command(capsys: Capture, tmp_path: Path) -> None:
    record = json.loads(run(capsys, "gradual", "--format", "json")[1])
    assert (record["switched"], record["convention"], record["dense"]) == (
        13_407_981_404_160_000,
        "erfnet",
        "erfnet-D*",
    )
    (tmp_path / "alphas.txt").write_text("1, 0.5\n0.25 0\n0")
    arguments = [
        "--model",
        "erfnet-DG4S",
        "--alphas",
        str(tmp_path / "alphas.txt"),
        "--images",
        "10",
        "--format",
        "json",
    ]
    record = json.loads(run(capsys, "gradual", *arguments)[1])
    assert (record["epochs"], record["fine"], record["dense"]) == (3, 2, "erfnet-D")
    assert record["switched"] == 30 * (3 * 19_803_406_336 + 2 * 18_595_446_784)
    assert "D*-proposed" in run(capsys, "gradual", "--model", "erfnet-DG2*-proposed", "--fine", "0")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "erfnet-D*"], "no grouped convolutions: one of erfnet-DG2*"),
        (["--model", "v6"], "no grouped convolutions"),
        (["--alphas", "nowhere.txt"], "No such file"),
        (["--alphas", __file__], "expected a number from 0"),
        (["--alphas", "{file}", "--fine", "3"], "--epochs and --fine are for the line"),
        (["--epochs", "0"], "whole number from 1"),
    ],
)
def test_refusals(capsys: Capture, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "alphas").write_text("1 0.5 0")
    code, out, error = run(capsys, "gradual", *(each.format(file=tmp_path / "alphas") for each in arguments))
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert message in error


@pytest.mark.parametrize(("groups", "kernel", "bias"), [(2, 1, True), (4, 1, False), (2, 3, True)])
def test_at_alpha_0_it_is_the_grouped_convolution(groups: int, kernel: int, bias: bool) -> None:
    """On whole numbers every order of sums gives the same: equal to the last bit."""
    torch.manual_seed(0)
    dense = nn.Conv2d(8, 12, kernel, padding=kernel // 2, bias=bias)
    with torch.no_grad():
        for parameter in dense.parameters():
            parameter.copy_(torch.randint(-9, 9, parameter.shape))
    x = torch.randint(-9, 9, (2, 8, 5, 6)).float()
    net = GradualConv2d(dense, groups)
    assert torch.equal(net(x), dense(x))  # alpha 1
    net.alpha = 0.0
    grouped = net.grouped()
    assert (grouped.groups, grouped.weight.shape[1]) == (groups, 8 // groups)
    assert torch.equal(net(x), grouped(x))
    net.alpha = 0.5
    assert torch.equal(2 * net(x), dense(x) + grouped(x))  # halfway


def test_the_mask_stops_gradients_between_groups() -> None:
    net = GradualConv2d(nn.Conv2d(4, 4, 1), 2)
    net.alpha = 0.0
    net(torch.randn(1, 4, 3, 3)).sum().backward()
    assert net.weight.grad is not None
    assert torch.equal(net.weight.grad[..., 0, 0] != 0, torch.block_diag(*[torch.ones(2, 2)] * 2).bool())


@torch.no_grad()
def test_a_network_ends_as_its_grouped_variant() -> None:
    """D* trained to DG2*: the weights fit the described variant, and it computes the same."""
    torch.manual_seed(0)
    size = (32, 64)
    net = costmodel.build(describe_network("erfnet-D*", size=size)).eval()
    pointwise = [name for name, _ in net.named_modules() if "pointwise" in name]
    made = make_gradual(net, 2, pointwise)
    assert len(made) == 13 * 2
    x = torch.randn(1, 3, *size)
    dense = net(x)[0]
    with pytest.raises(InvalidInput, match="alpha is not 0 yet"):
        switch(net)
    set_alpha(net, 0)
    ended = net(x)[0]
    assert not torch.equal(dense, ended)
    switch(net)
    assert not [each for each in net.modules() if isinstance(each, GradualConv2d)]
    variant = costmodel.build(describe_network("erfnet-DG2*", size=size)).eval()
    variant.load_state_dict(net.state_dict(), strict=True)
    assert torch.equal(variant(x)[0], net(x)[0])
    torch.testing.assert_close(variant(x)[0], ended, rtol=1e-5, atol=1e-5)


def test_alpha_is_in_the_state() -> None:
    one, other = (nn.Sequential(GradualConv2d(nn.Conv2d(4, 4, 1), 2)) for _ in range(2))
    set_alpha(one, 0.25)
    other.load_state_dict(one.state_dict())
    x = torch.randn(1, 4, 3, 3)
    assert torch.equal(one(x), other(x))


def test_a_failure_leaves_the_network_as_it_was() -> None:
    net = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 3, 1))
    with pytest.raises(InvalidInput, match="do not divide"):
        make_gradual(net, 2, ["0", "1"])
    assert type(net[0]) is nn.Conv2d


def closed() -> GradualConv2d:
    net = GradualConv2d(nn.Conv2d(4, 4, 1), 2)
    net.alpha = 0.0
    return net


def test_a_shared_convolution_is_replaced_everywhere() -> None:
    conv = nn.Conv2d(4, 4, 1).requires_grad_(False)
    net = nn.Sequential(conv, nn.ReLU(), conv)
    (made,) = make_gradual(net, 2, ["0"])
    assert net[0] is net[2] is made
    set_alpha(net, 0)
    switch(net)
    assert net[0] is net[2]
    assert (net[0].groups, net[0].weight.requires_grad, net[0].bias.requires_grad) == (2, False, False)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GradualConv2d(nn.Conv2d(4, 4, 1, groups=2), 2), "ungrouped"),
        (lambda: GradualConv2d(nn.Conv2d(4, 4, 1), 3), "3 groups do not divide"),
        (lambda: set_alpha(nn.ReLU(), 1.5), "from 0"),
        (lambda: make_gradual(nn.Sequential(nn.ReLU()), 2, ["0"]), "0 is a ReLU"),
        (lambda: GradualConv2d(GradualConv2d(nn.Conv2d(4, 4, 1), 2), 2), "needs an ungrouped convolution"),
        (lambda: switch(closed()), "a convolution cannot replace itself"),
        (lambda: GradualConv2d(nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 1)), 2), "a plain weight"),
        (lambda: GradualConv2d(nn.Conv2d(4, 4, 1), 2.0), "groups must be a positive whole number"),
        (lambda: make_gradual(nn.Sequential(), 2, ["x"]), "no module 'x'"),
        (lambda: linear(10**6, 1), "at most 1,000,000 epochs"),
    ],
)
def test_modules_refuse(make: object, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        make()
