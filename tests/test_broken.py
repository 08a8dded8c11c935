"""Modules that try to break a count: it says the same with and without values, and leaves the module as it was."""

import functools
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import numpy
import pytest
import torch
from torch import nn

from costmodel import count
from costmodel.counting.count import Count
from costmodel.errors import InvalidInput


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


def test_gradients_that_nobody_wants_are_not_written() -> None:
    """Of a normalisation whose input wants no gradient: those of 4 weights and 4 biases."""
    counted = _agree(nn.BatchNorm2d(4), torch.randn(3, 4, 5, 5), backward=True)
    assert counted.backward.operations[0].cost.writes == 2 * 4 * 4


class Meddling(nn.Module):
    """Changes what belongs to everybody, and its own hooks, and ends in an error."""

    def __init__(self, error: type[BaseException] | None = None) -> None:
        super().__init__()
        self.linear, self.error = nn.Linear(4, 4), error

    def forward(self, x: Any) -> Any:
        self.linear.register_forward_hook(lambda module, inputs, output: output * 2)
        y = self.linear(x)
        torch.set_default_dtype(torch.float64)
        random.seed(1)
        numpy.random.rand()
        if self.error is not None:
            raise self.error
        return y


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_what_belongs_to_all_is_as_before(error: type[BaseException] | None) -> None:
    net = Meddling(error)
    before = random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    if error is None:
        assert [each.op for each in _agree(net, "2x4").operations] == ["aten.linear.default", "aten.mul.Tensor"]
    else:
        with pytest.raises(InvalidInput if error is ValueError else error):
            count(net, "2x4")
    assert not net.linear._forward_hooks
    assert torch.get_default_dtype() is torch.float32
    assert (random.getstate(), numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before


@pytest.mark.parametrize("draw", [random.random, numpy.random.rand])
def test_a_layer_that_is_dropped_at_random_is_dropped_again(draw: Callable[[], float]) -> None:
    def some(x: Any) -> Any:
        for _ in range(20):
            x = x + 1 if draw() < 0.5 else x
        return x

    assert len({len(count(some, "2x4").operations) for _ in range(5)}) == 1


def test_counts_in_threads_do_not_see_each_other() -> None:
    nets = [nn.Sequential(*[nn.Linear(4, 4) for _ in range(10)]) for _ in range(8)]
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda net: count(net, "2x4"), nets))
    for each in counts:
        assert [one.path for one in each.operations] == [str(place) for place in range(10)]


TABLE: dict[str, Any] = {}
LAST: Any = None


class Slotted:
    __slots__ = ("last",)


class Keeping(nn.Module):
    """Keeps results at every place that outlives a call."""

    kept: Any = None
    all_kept: ClassVar[list[Any]] = []

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.slotted = nn.Linear(4, 4), Slotted()

    @functools.cache  # noqa: B019
    def noise(self) -> Any:
        return torch.randn(4)

    def forward(self, x: Any) -> Any:
        global LAST
        y = self.linear(x) + self.noise()
        if LAST is None:
            LAST = Keeping.kept = self.slotted.last = TABLE["y"] = y
            Keeping.all_kept.append(y)
        return y + LAST


def test_what_modules_share_is_as_before() -> None:
    net = Keeping()
    assert _told(_agree(net, torch.randn(2, 4))) == _told(count(net, torch.randn(2, 4)))
    assert (Keeping.kept, Keeping.all_kept, TABLE, LAST, hasattr(net.slotted, "last")) == (None, [], {}, None, False)
    assert type(net.noise()) is torch.Tensor


def test_what_a_closure_counts_is_as_before() -> None:
    calls = 0

    def counting(x: Any) -> Any:
        nonlocal calls
        calls += 1
        return x + calls

    _agree(counting, torch.randn(2, 4))
    assert calls == 0


class Pooled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Any) -> Any:
        with ThreadPoolExecutor(1) as pool:
            return sum(pool.map(self.linear, [x, x]))


@pytest.mark.parametrize("real", [False, True])
def test_threads_of_a_module_count(real: bool) -> None:
    assert count(Pooled(), torch.randn(2, 4), real=real).macs == 2 * 2 * 4 * 4


def test_a_normalisation_in_evaluation_makes_no_statistics() -> None:
    counted = _agree(nn.BatchNorm2d(4).eval(), torch.randn(2, 4, 5, 5), backward=True)
    assert counted.forward.cost.writes == 2 * 4 * 5 * 5 * 4


class Makes(dict[str, Any]):
    """A dictionary of classes that gives instances, as transformers has for activations."""

    def __getitem__(self, key: str) -> Any:
        return super().__getitem__(key)()


MAKERS = Makes(relu=nn.ReLU, tanh=nn.Tanh)


def test_a_dictionary_that_makes_what_it_gives_is_left_as_it_was() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.makers = MAKERS

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return MAKERS["relu"](x)  # type: ignore[no-any-return]

    for _ in range(2):
        count(Net(), "2x3")
    assert dict(dict.items(MAKERS)) == {"relu": nn.ReLU, "tanh": nn.Tanh}
