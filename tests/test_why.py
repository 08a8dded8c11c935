"""The command ``why``: the bridge from promised to predicted and measured ratios closes, and each item says why."""

from collections import Counter
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmodel.errors import InvalidInput
from costmodel.price.conventions import PAPER, TORCH
from costmodel.price.latency import Predicted, Prediction
from costmodel.price.why import NOT_RUN, Why, why
from costmodel.work.cost import Cost, Operation
from costmodel.work.events import Event, Work

# ---- hand-made predictions -------------------------------------------------------------------------------------------


def kernel(
    kind: str, seconds: float | None, macs: int = 0, bound: Any = "compute", tanh: int = 0, bytes: int = 0
) -> Predicted:
    work = Work({event: number for event, number in ((Event.MAC, macs), (Event.TANH, tanh)) if number})
    operation = Operation(kind, Cost(work, reads=bytes, launches=1))
    return Predicted(operation, kind, seconds, 0.0, None if seconds is None else bound)


def prediction(*rows: Predicted) -> Prediction:
    seconds = sum(row.seconds or 0.0 for row in rows)
    missing = Counter(row.kind for row in rows if row.seconds is None)
    return Prediction(rows, seconds, 0.9 * seconds, 1.1 * seconds, 0.0, missing, None)


def values(bridge: Why) -> dict[str, float]:
    return {item.name: round(float(item.value), 9) for item in bridge.items}


def closes(bridge: Why) -> bool:
    return bridge.promised + sum(item.value for item in bridge.items) == bridge.predicted


# A: 90 MACs in 9 s, 1 s of tanh.
STANDARD = prediction(kernel("dense convolution", 9, 90), kernel("pointwise tanh", 1, bound="memory"))


def test_what_does_not_shrink_with_flops_is_an_item_of_its_own() -> None:
    """B has 60 of 90 MACs, p = 2/3, at the rate of A in 6 s; the tail stays 1 s and adds (1 - 2/3 * 1) / 10."""
    bridge = why(
        STANDARD, prediction(kernel("dense convolution", 6, 60), kernel("pointwise tanh", 1, bound="memory")), TORCH
    )
    assert values(bridge) == {"bytes of pointwise operations (tanh)": round(1 / 30, 9)}
    assert (bridge.promised, bridge.predicted) == (Fraction(2, 3), Fraction(7, 10))
    assert closes(bridge)


def test_another_kind_at_a_lower_rate() -> None:
    """60 MACs in 1xK take 8 s where A's rate promises 6: (8 - 60 * 9 / 90) / 10. A's dense convolutions add nothing."""
    bridge = why(
        STANDARD, prediction(kernel("convolution 1xK", 8, 60), kernel("pointwise tanh", 2 / 3, bound="memory")), TORCH
    )
    assert values(bridge)["lower rate of 1xK convolutions"] == 0.2
    assert closes(bridge)


def test_rate_and_share_of_kinds_that_both_have() -> None:
    """A: 80 MACs of 3x3 in 4 s (0.05 s each) and 20 of 1x1 in 6 s (0.3); mean 0.1. B: 40 in 2 s and 40 in 10 s; p 0.8.
    3x3: same rate; share (0.05 - 0.1) * (40 - 0.8 * 80) = 1.2 s. 1x1: rate 10 - 0.3 * 40 = -2, share (0.3 - 0.1) *
    (40 - 0.8 * 20) = 4.8. Sum 4 = 12 - 0.8 * 10."""
    a = prediction(kernel("dense convolution", 4, 80), kernel("convolution 1x1", 6, 20, "memory"))
    b = prediction(kernel("dense convolution", 2, 40), kernel("convolution 1x1", 10, 40, "memory"))
    bridge = why(a, b, TORCH)
    assert values(bridge) == {
        "larger share of FLOPs in 1x1 convolutions, bound by memory": 0.48,
        "higher rate of 1x1 convolutions, bound by memory": -0.2,
        "smaller share of FLOPs in dense convolutions": 0.12,
    }
    assert closes(bridge)
    assert bridge.predicted - bridge.promised == Fraction(4, 10)


def test_launches_are_one_item_whatever_was_launched() -> None:
    """Two launches of 1 s in B, none in A: 2 / 10."""
    b = prediction(
        kernel("dense convolution", 0.9, 9), kernel("pool max", 1, bound="launch"), kernel("norm", 1, bound="launch")
    )
    bridge = why(STANDARD, b, TORCH)
    assert values(bridge)["launches"] == 0.2
    (launches,) = [item for item in bridge.items if item.name == "launches"]
    assert launches.part
    assert (launches.part.a.kernels, launches.part.b.kernels) == (0, 2)


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (kernel("pointwise tanh", 1), "pointwise tail (tanh)"),
        (kernel("pointwise mul", 1, bound="memory"), "bytes of pointwise operations (mul)"),
        (kernel("norm batch", 1, bound="memory"), "bytes of normalisations"),
        (kernel("resize bilinear", 1), "arithmetic of resizes"),
        (kernel("copy pad", 1, bound="memory"), "copies and padding"),
        (kernel("softmax", 1, bound="memory"), "bytes of softmax"),
        (kernel("aten.sort.default", 1, bound=None), "aten.sort.default"),  # timed alone
        (kernel("attention", 1, 1), "lower rate of attention"),
        (kernel("matrix product", 0.01, 1), "higher rate of matrix products"),
    ],
)
def test_names_of_items(row: Predicted, name: str) -> None:
    bridge = why(prediction(kernel("dense convolution", 10, 100)), prediction(row, kernel("copy", 1e-3, 1)), TORCH)
    assert name in values(bridge)


def test_kinds_that_are_not_calibrated_are_named_and_the_bridge_is_incomplete() -> None:
    """B's 30 MACs of an unknown kind were promised to take 30 * 0.1 s, and no time of theirs is known."""
    b = prediction(kernel("dense convolution", 3, 30), kernel("aten.odd.default", None, 30), kernel("aten.sort", None))
    bridge = why(STANDARD, b, TORCH)
    assert not bridge.complete
    assert bridge.missing[1] == {"aten.odd.default": 1, "aten.sort": 1}
    assert values(bridge)["not predicted: aten.odd.default"] == -0.3
    assert values(bridge)["not predicted: aten.sort"] == 0
    assert closes(bridge)


def test_what_only_a_training_graph_has_is_an_item() -> None:
    """A is counted with 10 more than the 180 FLOPs that run: p = 180 / 190; B as A takes 1 of A. r = 9 s / 180."""
    bridge = why(STANDARD, STANDARD, TORCH, flops=(190, 180))
    assert (bridge.promised, bridge.predicted) == (Fraction(18, 19), 1)
    moved = 0 - Fraction(18, 19) * 10
    assert {item.name: item.value for item in bridge.items}[NOT_RUN] == -moved * Fraction(9, 180) / 10
    assert closes(bridge)


def test_the_measured_ratio_leaves_a_remainder() -> None:
    bridge = why(STANDARD, prediction(kernel("dense convolution", 6, 60)), TORCH, measured=0.75)
    assert (bridge.predicted, bridge.remainder) == (Fraction(3, 5), Fraction(3, 20))


def test_the_interval_joins_both_as_if_their_errors_were_independent() -> None:
    """Both 0.9 to 1.1 of their middle: log below sqrt(log(1/0.9)^2 + log(1.1)^2) = sqrt(0.011101 + 0.009084) = 0.14207;
    the same above."""
    bridge = why(STANDARD, STANDARD, TORCH)
    assert bridge.interval == pytest.approx((0.86756, 1.15266), rel=1e-4)


def test_equal_predictions_have_no_items() -> None:
    assert why(STANDARD, STANDARD, PAPER).items == ()


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (prediction(kernel("pool", 1)), STANDARD, "convention torch gives A no FLOPs"),
        (STANDARD, prediction(kernel("pool", 1)), "convention torch gives B no FLOPs"),
        (STANDARD, prediction(kernel("odd", None, 1)), "no kind of kernels in B is calibrated"),
    ],
)
def test_what_cannot_be_bridged(a: Prediction, b: Prediction, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        why(a, b, TORCH)


KINDS = ("dense convolution", "convolution 1xK", "convolution 1x1", "pointwise tanh", "pointwise mul", "copy", "odd")
ROWS = st.builds(
    kernel,
    st.sampled_from(KINDS),
    st.none() | st.floats(0, 1e3) | st.floats(1e-9, 1e-3),
    st.integers(0, 10**12),
    st.sampled_from(["compute", "memory", "launch", None]),
    st.integers(0, 10**9),
)
PREDICTIONS = st.lists(ROWS, max_size=12).map(lambda rows: prediction(kernel("dense convolution", 1e-3, 1000), *rows))


@given(PREDICTIONS, PREDICTIONS, st.sampled_from([PAPER, TORCH]), st.none() | st.floats(1e-6, 1e6), st.integers(0, 99))
def test_every_bridge_closes(a: Prediction, b: Prediction, convention: Any, measured: float | None, more: int) -> None:
    plain = why(a, b, convention, measured=measured)
    counted = why(a, b, convention, measured=measured, flops=(plain.flops[0] + more, plain.flops[1]))
    for bridge in (plain, counted):
        assert closes(bridge)
        assert measured is None or bridge.predicted + (bridge.remainder or 0) == Fraction(measured)
        assert sum((part.b.seconds for part in bridge.parts), Fraction(0)) == sum(
            (Fraction(row.seconds or 0) for row in b.rows), Fraction(0)
        )
