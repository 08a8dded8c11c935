"""Closed forms hold at every size of their domain, also where other operations run at some sizes between others."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import costmodel


class Windows(nn.Module):
    """Attention's windows: padded to multiples of 7, and copied where something was cut off."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        height, width = x.shape[1:3]
        x = F.pad(x, (0, 0, 0, -width % 7, 0, -height % 7)).relu()
        return x[:, :height, :width].contiguous().sigmoid()


class OneGrid(nn.Module):
    """Takes sides of which 4 x 4 patches, padded, are 8 in each direction."""

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1, 2, 8, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(x.relu(), 4, ceil_mode=True) + self.place


@pytest.mark.parametrize(
    ("net", "shape", "sizes"),
    [
        # Without padding of the width nothing is copied: rows of a batch of 1 lie together anyway.
        (Windows(), "1xHxWx2", [(H, W) for H in (14, 20, 600, 601) for W in (272, 280, 281, 287, 448, 672)]),
        (OneGrid(), "1x2xHxW", [(H, W) for H in range(28, 34) for W in range(28, 34)]),
    ],
)
def test_forms_hold_wherever_their_domain_says(net: nn.Module, shape: str, sizes: list[tuple[int, int]]) -> None:
    forms = costmodel.count(net, shape)
    inside = [(H, W) for H, W in sizes if forms.domain.holds({"H": H, "W": W})]
    assert inside
    for H, W in inside:
        counted = costmodel.count(net, shape.replace("H", str(H)).replace("W", str(W)))
        found = forms.at(H=H, W=W)
        assert (found.work, found.cost.reads, found.cost.writes) == (
            counted.work,
            counted.cost.reads,
            counted.cost.writes,
        )


def test_a_grid_of_one_size_has_all_sides_that_make_it() -> None:
    assert costmodel.count(OneGrid(), "1x2xHxW").condition == "29 <= H <= 32 and 29 <= W <= 32"


def test_windows_whose_padding_decides_are_counted_without() -> None:
    condition = costmodel.count(Windows(), "1xHxWx2").condition
    assert condition.startswith("W a multiple of 7")
