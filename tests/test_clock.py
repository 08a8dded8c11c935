"""Timing logic with a clock of our own."""

import pytest
import torch

from costmodel.describe.cells import describe_cell
from costmodel.measure import clock
from costmodel.report.timing import from_samples, milliseconds


def test_subjects_take_turns_and_warm_up_is_not_counted() -> None:
    now = 0.0
    order: list[str] = []

    def subject(name: str, seconds: float):
        def step() -> None:
            nonlocal now
            order.append(name)
            now += seconds * len(order)  # every call is slower than the one before

        return step

    samples: dict[str, list[float]] = {}
    ticks: list[None] = []
    clock.rounds(
        {"a": subject("a", 1), "b": subject("b", 10)},
        samples,
        count=2,
        warmup=1,
        clock=lambda: now,
        tick=lambda: ticks.append(None),
    )
    assert order == ["a", "b"] * 3
    assert samples == {"a": [3, 5], "b": [40, 60]}
    assert len(ticks) == 6


def test_a_stream_carries_its_state() -> None:
    step = clock.stream(describe_cell("sep", channels=4, size=(5, 6)))
    first, second = step(), step()
    assert isinstance(first, torch.Tensor)
    assert not torch.equal(first, second)  # the same frame, another memory


def test_ratios_are_taken_within_rounds() -> None:
    timing = from_samples("m", [1.0, 4.0, 3.0], [2.0, 4.0, 12.0])
    assert (timing.median_s, timing.interval_s, timing.pct) == (3.0, (2.0, 3.5), 50.0)
    assert from_samples("m", [1.0], None).interval_s is None


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.0686, "68.60"), (1.388, "1388"), (0.00123456, "1.235"), (0.5, "500.0")]
)
def test_times_keep_their_digits(seconds: float, shown: str) -> None:
    assert milliseconds(seconds) == shown


def test_the_processor_has_a_name() -> None:
    assert "thread" in clock.cpu_name()
    assert len(clock.cpu_name().splitlines()) == 1
