"""The observer against arithmetic by hand: any code, no values needed, nothing left out in silence."""

from collections.abc import Callable

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.nn import functional as F

from costmodel.building.module import build
from costmodel.counting.observe import CountingMode, in_short, observe
from costmodel.describe.catalogue import describe_network
from costmodel.describe.ops import Norm, Pool
from costmodel.work.events import Event, Work

MAX_POOL = Pool(Event.MAX_POOL, (3, 3), (2, 2), padding=1)


def meta(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device="meta")


@pytest.mark.parametrize(
    ("function", "arguments", "work"),
    [
        (F.conv2d, (meta(2, 3, 8, 8), meta(5, 3, 3, 3)), {Event.MAC: 2 * 5 * 6 * 6 * 27}),
        (
            lambda x, w, b: F.conv2d(x, w, b, stride=2, padding=1, groups=2),
            (meta(1, 4, 8, 8), meta(6, 2, 3, 3), meta(6)),
            {Event.MAC: 6 * 4 * 4 * 2 * 9, Event.BIAS: 6 * 4 * 4},
        ),
        (  # every input meets the weights of one input channel
            lambda x, w: F.conv_transpose2d(x, w, stride=2),
            (meta(1, 4, 5, 5), meta(4, 3, 2, 2)),
            {Event.MAC: 4 * 5 * 5 * 3 * 4},
        ),
        (F.conv1d, (meta(1, 2, 10), meta(3, 2, 4)), {Event.MAC: 3 * 7 * 2 * 4}),
        (lambda a, b: a @ b, (meta(3, 4), meta(4, 5)), {Event.MAC: 3 * 4 * 5}),
        (torch.bmm, (meta(2, 3, 4), meta(2, 4, 5)), {Event.MAC: 2 * 3 * 4 * 5}),
        (F.linear, (meta(3, 4), meta(5, 4), meta(5)), {Event.MAC: 60, Event.BIAS: 15}),
        (
            lambda a, b: a + b * torch.sigmoid(a),
            (meta(2, 3),) * 2,
            {Event.ADDITION: 6, Event.PRODUCT: 6, Event.SIGMOID: 6},
        ),
        (lambda a: F.relu(torch.tanh(a)), (meta(7),), {Event.TANH: 7, Event.RELU: 7}),
        (lambda a: F.max_pool2d(a, 3, 2, 1), (meta(1, 2, 8, 8),), {Event.MAX_POOL: 9 * 2 * 4 * 4}),
        (lambda a: F.avg_pool2d(a, (2, 4)), (meta(1, 2, 8, 8),), {Event.AVERAGE_POOL: 8 * 2 * 4 * 2}),
        (lambda a: F.pad(a, (0, 1, 0, 1)), (meta(1, 2, 3, 3),), {Event.MOVE: 2 * 4 * 4}),
        (lambda a: a.view(-1).unsqueeze(0).expand(3, -1), (meta(2, 3),), {}),
    ],
    ids=[
        "conv2d",
        "conv2d grouped, strided, biased",
        "conv_transpose2d",
        "conv1d",
        "@",
        "bmm",
        "linear",
        "functional arithmetic",
        "activations",
        "max_pool2d",
        "avg_pool2d",
        "pad",
        "views",
    ],
)
def test_rules(function: object, arguments: tuple[torch.Tensor, ...], work: dict[Event, int]) -> None:
    seen = observe(function, *arguments)
    assert seen.cost.work == Work(work)
    assert not seen.uncounted


def test_an_operation_without_a_rule_is_listed() -> None:
    seen = observe(lambda a: torch.linalg.svdvals(torch.linalg.eigvals(a)[None]) + 1, meta(4, 4))
    assert seen.uncounted == {"aten.linalg_eig.default": 1, "aten._linalg_svd.default": 1}
    assert seen.cost.work[Event.ADDITION] == 1


def test_batch_norm_that_computes_statistics_is_not_taken_for_a_fixed_one() -> None:
    norm = torch.nn.BatchNorm2d(3, device="meta")
    assert observe(norm.eval(), meta(1, 3, 4, 4)).cost.work == Work({Event.NORM: 48})
    training = observe(norm.train(), meta(1, 3, 4, 4))
    # And the number of batches, a sum of one element.
    assert training.cost.work == Work({Event.OWN_NORM: 48, Event.ADDITION: 1})


@pytest.mark.parametrize(
    ("function", "work"),
    [
        (lambda a: torch.add(a, a, alpha=2), {Event.ADDITION: 9, Event.PRODUCT: 9}),
        (lambda a: torch.addmm(a, a, a, beta=0), {Event.MAC: 27}),
        (lambda a: torch.addmm(a, a, a, alpha=3), {Event.MAC: 27, Event.BIAS: 9, Event.PRODUCT: 9}),
        (lambda a: torch.addmm(a, a, a, alpha=3, beta=2), {Event.MAC: 27, Event.BIAS: 9, Event.PRODUCT: 18}),
        (lambda a: torch.addcmul(a, a, a, value=2), {Event.ADDITION: 9, Event.PRODUCT: 18}),
        (lambda a: torch.addcdiv(a, a, a), {Event.ADDITION: 9, Event.DIVISION: 9}),
        (lambda a: torch.lerp(a, a, 0.5), {Event.ADDITION: 18, Event.PRODUCT: 9}),
    ],
)
def test_scaled_sums_are_more_than_sums(
    function: Callable[[torch.Tensor], torch.Tensor], work: dict[Event, int]
) -> None:
    assert observe(function, meta(3, 3)).cost.work == Work(work)


def test_results_may_be_given() -> None:
    a, out = torch.ones(3, 3), torch.empty(3, 3)
    assert observe(torch.mm, a, a, out=out).cost.work == Work({Event.MAC: 27})
    assert observe(torch.add, a, a, out=out).cost.work == Work({Event.ADDITION: 9})
    assert observe(torch.sigmoid, a, out=out).cost.work == Work({Event.SIGMOID: 9})


def test_a_linear_layer_over_a_sequence_is_one_launch() -> None:
    seen = observe(F.linear, meta(2, 3, 4), meta(5, 4))
    assert (seen.cost.work, seen.cost.launches, dict(seen.uncounted)) == (Work({Event.MAC: 2 * 3 * 4 * 5}), 1, {})


def test_bytes_of_a_product() -> None:
    cost = observe(torch.mul, meta(5, 6), meta(5, 6)).cost
    assert (cost.reads, cost.writes, cost.launches) == (2 * 30 * 4, 30 * 4, 1)
    half = observe(torch.mul, meta(5, 6).half(), meta(5, 6).half()).cost
    assert (half.reads, half.writes) == (2 * 30 * 2, 30 * 2)


@pytest.mark.parametrize("where", ["meta", "fake", "real"])
def test_needs_no_values(where: str) -> None:
    program = describe_network("v5", cell="sep", size=(101, 130))
    if where == "fake":
        with FakeTensorMode():
            module = build(program).eval()
            x = torch.empty(1, 3, 101, 130)
            seen = observe(module, x, module.zeros(x))
    else:
        with torch.device("meta" if where == "meta" else "cpu"):
            module = build(program).eval()
            x = torch.empty(1, 3, 101, 130)
            seen = observe(module, x, module.zeros(x))
    assert seen.cost.work == program.work.executed
    assert not seen.uncounted
    assert (seen.cost.launches, seen.cost.reads) == (program.cost.launches, program.cost.reads)
    # Besides its map torch writes the position of every maximum (64 bits each), and on meta tensors what a batch norm
    # would save for its backward pass: mean and deviation, a float32 each per channel.
    positions = sum(8 * step.output.map.elements for step in program.steps if step.op == MAX_POOL)
    saved = sum(8 * step.output.map.channels for step in program.steps if isinstance(step.op, Norm))
    assert seen.cost.writes - program.cost.writes == positions + (saved if where == "meta" else 0)


def test_counting_twice_counts_the_same_and_leaves_nothing_behind() -> None:
    module = build(describe_network("v2", size=(97, 97))).eval()
    x = torch.zeros(1, 3, 97, 97)
    first, second = observe(module, x), observe(module, x)
    assert first == second
    assert not module._forward_hooks


def test_a_pause_records_nothing_and_leaves_the_pass_as_it_was() -> None:
    with CountingMode() as mode:
        mode.backward = True
        with mode.paused():
            torch.sigmoid(meta(3))
        torch.tanh(meta(3))
    assert [(each.op, each.backward) for each in mode.operations] == [("aten.tanh.default", True)]


def test_the_repr_of_an_observation_has_its_totals() -> None:
    # 30 x 40 outputs, 50 multiply-accumulates each
    assert repr(observe(torch.mm, meta(30, 50), meta(50, 40))) == "<Observation: 60k multiply-accumulates, 1 operation>"
    seen = repr(observe(torch.linalg.eigvals, meta(3, 3)))
    assert seen == "<Observation: 0 multiply-accumulates, 1 operation, 1 of them uncounted>"


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (1_500, "1.5k"), (999_499, "999k"), (999_500, "1M"), (4_089_184_256, "4.09G")],
)
def test_large_numbers_are_shown_in_short(number: int, text: str) -> None:
    assert in_short(number) == text
