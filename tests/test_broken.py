"""Modules that try to break a count: it says the same with and without values, and leaves the module as it was."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from costmodel import count
from costmodel.counting.count import Count


def _told(counted: Count) -> list[Any]:
    return [
        (each.op, each.inputs, each.output, dict(each.cost.work), each.cost.reads, each.cost.writes, each.live)
        for each in counted.operations
    ]


def _agree(module: Any, *inputs: Any, backward: bool = False) -> Count:
    """The count without values, which is that with values, operation by operation."""
    without = count(module, *inputs, backward=backward)
    assert not without.call or not without.call.real
    assert _told(without) == _told(count(module, *inputs, backward=backward, real=True))
    return without


@pytest.mark.parametrize(
    ("function", "peak"),
    [
        (lambda x: x[:1].expand(5, 4) + 1, 5 * 4 * 4),  # the result has memory for each of its elements
        (lambda x: x[:, ::2] + 1, 2 * 2 * 4),  # and for no others
    ],
)
def test_a_result_is_not_laid_out_as_a_part(function: Callable[[Any], Any], peak: int) -> None:
    counted = _agree(function, torch.randn(2, 4))
    assert counted.peak_memory - counted.held == peak


def _cache(x: Any) -> Any:
    rows = torch.zeros(4, 4)
    rows[1] = x[0]
    rows[2] += x[1]
    rows[3].copy_(x[0])
    return rows * 2


def test_a_constant_that_takes_activations_keeps_its_memory() -> None:
    counted = _agree(_cache, torch.randn(2, 4))
    assert counted.peak_memory - counted.held == 2 * 4 * 4 * 4  # the rows and the result


def _into_an_empty_one(x: Any) -> Any:
    out = torch.empty(0)
    torch.mul(x, 2, out=out)
    return out + 1


def test_an_empty_result_takes_its_size() -> None:
    counted = _agree(_into_an_empty_one, torch.randn(2, 4))
    assert counted.cost.writes == 2 * 2 * 4 * 4  # the products and the sums


class Resizing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.out, self.kept = torch.empty(0), torch.ones(4)

    def forward(self, x: Any) -> Any:
        with torch.no_grad():
            torch.mul(x, 2, out=self.out)
            self.kept.add_(1).resize_(2)
        return self.out.sum() + self.kept.sum()


def test_sizes_are_given_back() -> None:
    net = Resizing()
    _agree(net, torch.randn(2, 4))
    assert net.out.shape == (0,)
    assert net.kept.tolist() == [1, 1, 1, 1]
