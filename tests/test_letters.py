"""Closed forms in letters: exact, simplified, with the sizes for which they hold."""

from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from costmodel import count
from costmodel.errors import InvalidInput
from costmodel.price.domain import Domain
from costmodel.price.forms import Fit, Form, Rounded
from costmodel.price.symbols import _seen, latex_in_column
from costmodel.report import count as report

LINE = nn.Linear(8, 8)


class Same(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.conv(F.pad(x, (0, 1, 0, 1)))
        return out


class Scaled(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.linear(x) * self.gamma
        return out


class Constant(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.linear(x) * torch.tensor(2.0, device=x.device)
        return out


class Steps(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.zeros_like(x[:, 0])
        for t in range(x.shape[1]):
            h = torch.tanh(self.cell(h + x[:, t]))
        return h


def windows(x: torch.Tensor) -> torch.Tensor:
    n, h, w, c = x.shape
    return x.view(n, h // 4, 4, w // 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, c) @ torch.ones(c, 2)


@pytest.mark.parametrize(
    ("net", "inputs", "macs"),
    [
        # 3*8*3*3 products at every second position.
        (Same(), ("1x3xHxW",), "216*floor(H/2)*floor(W/2)"),
        (nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(3, 4, 3)), ("1x3xHxW",), "108*H*W"),
        (nn.Sequential(nn.ConstantPad1d((2, 0), 0.0), nn.Conv1d(3, 8, 3)), ("1x3xT",), "72*T"),
        (nn.Conv2d(3, 4, 4, padding="same"), ("Nx3xHxW",), "192*H*N*W"),
        (lambda x: [LINE(part) for part in x.split(3, 1)], ("Nx9x8",), "576*N"),
        (lambda x: F.unfold(x, 3).mT @ torch.ones(18, 2), ("1x2xHx9",), "252*(-2 + H)"),  # 18 * 2 * (H - 2) * (9 - 2)
        (lambda x: LINE(F.fold(x, (8, 8), 3)), ("Nx18x36",), "1024*N"),  # 2*8 rows of 8 by 8
        (Scaled(192), ("Nx5x192",), "184320*N"),
        (Constant(), ("Nx3x4",), "48*N"),
        (lambda a, b: a @ b, ("MxK", "KxN"), "K*M*N"),
        # A form is of more than products: a token beside (H/4)*(W/4) others, 8*8 each.
        (
            lambda x: LINE(torch.cat([F.avg_pool2d(x, 4).flatten(2).mT, torch.ones(1, 1, 8)], 1)),
            ("1x8xHxW",),
            "64*(1 + floor(H/4)*floor(W/4))",
        ),
    ],
)
def test_closed_forms(net: Any, inputs: tuple[str, ...], macs: str) -> None:
    assert count(net, *inputs).formula()["MACs"] == macs


@pytest.mark.parametrize(
    ("net", "inputs", "condition"),
    [
        (Same(), ("1x3xHxW",), "H >= 2 and W >= 2"),
        (nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(3, 16, 3, padding=1)), ("Nx3xHxW",), "H >= 2 and W >= 2"),
        (nn.Conv2d(1, 1, 33), ("1x1xHxW",), "H >= 33 and W >= 33"),
        (nn.PixelUnshuffle(2), ("1x4xHxW",), "H and W multiples of 2"),
        (nn.AdaptiveAvgPool2d(2), ("1x4xHxW",), "H and W multiples of 2"),  # elsewhere windows overlap
        (windows, ("NxHxWx8",), "H and W multiples of 4 and W >= 8"),  # of one window a row nothing is copied
        (lambda x: LINE(LINE(x)) if x.shape[1] > 1000 else LINE(x), ("1xTx8",), "T <= 1000"),
        (lambda x: LINE(x[:, -512:]), ("1xTx8",), "T >= 512"),
        (lambda x: LINE(x) if x.shape[0] == 1 else LINE(LINE(x)), ("Nx8",), "N >= 2"),
        (lambda x: LINE(x) if x.shape[0] <= x.shape[1] else LINE(x) + 1, ("HxWx8",), "H <= W"),
        (lambda a, b: a + b, ("1xT", "1xS"), "T = S"),
        (lambda x: x + torch.zeros(224, 224), ("Nx3xHxW",), "H = 224 and W = 224"),
        (lambda x: x.reshape(-1, 7) * 2, ("N",), "N a multiple of 7"),
        (nn.Linear(8, 4), ("Nx8",), ""),
    ],
)
def test_the_sizes_for_which_forms_hold(net: Any, inputs: tuple[str, ...], condition: str) -> None:
    assert count(net, *inputs).condition == condition


def test_a_loop_over_a_letter_is_refused_by_its_name() -> None:
    with pytest.raises(InvalidInput, match="a loop over T runs"):
        count(Steps(), "NxTx4")
    assert count(Steps(), "Nx5x4").formula()["MACs"] == "80*N"  # 5 * 4 * 4


def test_a_count_in_letters_at_numbers_is_that_in_numbers() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 4, 3))
    form = count(net, "Nx3xHxW")
    at, exact = form.at(N=2, H=30, W=41), count(net, "2x3x30x41")
    assert (at.inputs, at.letters, at.macs, at.work) == (exact.inputs, (), exact.macs, exact.work)
    assert (at.cost, at.peak_memory, at.held) == (exact.cost, exact.peak_memory, exact.held)
    assert [each.output for each in at.operations] == [each.output for each in exact.operations]
    assert "cpu_peak" in report.document(at).text("json")
    half = form.at(N=2)
    assert (half.letters, half.inputs) == (("H", "W"), ("2x3xHxW",))
    assert half.at(H=30, W=41).cost == exact.cost
    with pytest.raises(InvalidInput, match="no letter 'T'"):
        form.at(T=3)
    with pytest.raises(InvalidInput, match=r"hold for H >= 11 and W >= 11, not at H = 3"):  # 10 -> 5 -> 2 is too small
        form.at(H=3)


def test_the_backward_pass_has_a_form() -> None:
    """Forward 8*4 products a row; backward as many for the weights and, as no input wants a gradient, no more."""
    form = count(nn.Linear(8, 4), "Nx8", backward=True)
    assert (str(form.forward.macs), str(form.backward.macs)) == ("32*N", "32*N")


def test_peak_memory_in_letters() -> None:
    """Input 32*N bytes, weights 4*(32 + 4), output 16*N."""
    assert count(nn.Linear(8, 4), "Nx8").formula()["peak memory"] == "48*(3 + N)"


def test_latex_fits_a_column() -> None:
    net = nn.Sequential(*[nn.Conv2d(4, 4, 3, 2, 1) for _ in range(6)])
    form = count(net, "Nx4xHxW")
    lines = form.formula(latex=True)["MACs"].split("\n")
    assert lines[0] == r"\begin{aligned}"
    assert len(lines) == 4
    assert r"\left\lceil{\frac{H}{64}}\right\rceil" in form.formula(latex=True)["MACs"]
    assert all(_seen(line.removesuffix(r"\\")) < 70 for line in lines)
    assert latex_in_column(count(nn.Linear(8, 4), "Nx8").macs) == r"32 \cdot N"
    assert latex_in_column(7) == "7"


def test_forms_are_found_from_values() -> None:
    points = [
        {"H": h, "W": w}
        for h, w in [(832, 1088), (3520, 1088), (832, 3776), *((500 + 37 * n, 700 + 41 * n) for n in range(9))]
    ]
    fit = Fit(points, {"H": 1, "W": 1})
    strided = tuple(-(-point["H"] // 4) for point in points)
    padded = tuple(-(-point["W"] // 7) * 7 for point in points)
    both = tuple(a * b + 1 for a, b in zip(strided, padded, strict=True))
    found = fit.sides([strided, padded, both])
    four, seven = Rounded("H", 1, 3, 4), Rounded("W", 1, 6, 7)
    assert dict(found[padded].terms) == {(seven,): 7}
    assert dict(found[both].terms) == {(four, seven): 7, (): 1}


def test_a_form_exceeds_another_one_only_where_that_is_sure() -> None:
    half, quarter = (Form({(Rounded("H", 1, n - 1, n),): Fraction(1)}) for n in (2, 4))
    assert half.exceeds(quarter)
    assert not quarter.exceeds(half)
    assert quarter.times(2).exceeds(half)  # ceil(ceil(H/2)/2) is at least a half of ceil(H/2)
    assert (half + Form.number(1)).exceeds(half)
    assert half.exceeds(Form.number(1))


def test_a_domain_in_words() -> None:
    domain = Domain(
        fixed={"C": 3}, steps={"H": 32, "W": 32}, least={"H": 64, "T": 2}, most={"T": 512}, either={"H": 96, "W": 128}
    )
    assert str(domain) == ("C = 3 and H and W multiples of 32 and H >= 64 and 2 <= T <= 512 and (H >= 96 or W >= 128)")
    assert domain.holds({"C": 3, "H": 96, "W": 32, "T": 2})
    assert not domain.holds({"C": 3, "H": 64, "W": 32, "T": 2})
    assert not domain.holds({"H": 65})
