"""What samples say: intervals, modes and verdicts, on numbers whose answer is known."""

import random
import statistics
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmodel.profiles import estimate as module
from costmodel.profiles.estimate import RATIO_TOLERANCE, TIME_TOLERANCE, estimate
from costmodel.profiles.records import Process, Run, Settings, Subject

START = datetime(2026, 1, 1, tzinfo=UTC)
HOW = Settings(device="cpu", dtype="float32", memory_format="contiguous", implementation="eager", threads=1)


def run(*processes: list[float], cell: str = "sep", first: int = 0) -> Run:
    """A run whose n-th process is interleaved with the n-th of every other run made here."""
    subject = Subject(cell=cell, kernel=(3, 3), channels=(4, 4), size=(5, 6))
    each = tuple(
        Process(started=START + timedelta(minutes=n), seconds=tuple(seconds))
        for n, seconds in enumerate(processes, first)
    )
    return Run(subject=subject, how=HOW, clock="wall", processes=each)


@given(st.lists(st.floats(0.5, 2.0), min_size=2, max_size=12))
def test_the_median_lies_in_its_interval_and_that_in_the_range(values: list[float]) -> None:
    seen = estimate(values, TIME_TOLERANCE)
    assert seen.interval is not None
    low, high = seen.interval
    assert min(values) <= low <= seen.value <= high <= max(values)
    assert seen.value == statistics.median(values)
    assert estimate(values, TIME_TOLERANCE) == seen  # the same samples, the same interval
    if seen.verdict == "stable":
        assert len(values) >= 5
        assert max(high / seen.value, 2 - low / seen.value) <= 1 + TIME_TOLERANCE + 1e-9


def test_the_interval_covers_the_true_median_about_as_often_as_it_says() -> None:
    """95 % in the limit; of the median of 9 a percentile bootstrap gets a little less."""
    rng = random.Random(1)
    covered = 0
    for _ in range(200):
        low, high = estimate([rng.gauss(1, 0.05) for _ in range(9)], TIME_TOLERANCE).interval or (0, 0)
        covered += low <= 1 <= high
    assert 170 <= covered <= 199


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([1.0, 1.001, 0.999, 1.002, 1.0], "stable"),
        ([1.0, 1.001, 0.999, 1.002], "unstable"),  # too few to say 95 %
        ([1.0], "unstable"),
        ([1.0] * 19 + [1.05], "stable"),  # one outlier does not move the median of twenty
        ([24, 24, 24.1, 31, 31, 31.1, 60], "unstable"),  # three groups are no two
        ([1.0, 1.2], "unstable"),  # two values are no two groups
        ([0.90, 0.94, 0.98, 1.02, 1.06, 1.10], "unstable"),  # evenly spread, no gap
        # Fresh processes of one depthwise cell, twice (ms): the modes are 24 and 31.
        ([23.7, 30.0, 30.3, 30.5, 31.4, 30.6], "two modes"),
        ([23.8, 24.8, 31.5, 25.9, 26.0, 24.9], "two modes"),
    ],
)
def test_verdicts(values: list[float], verdict: str) -> None:
    seen = estimate(values, RATIO_TOLERANCE)
    assert seen.verdict == verdict
    assert (seen.modes is not None) == (verdict == "two modes")


def test_both_modes_are_told_with_their_number_of_processes() -> None:
    assert estimate([23.7, 30.0, 30.3, 30.5, 31.4, 30.6], RATIO_TOLERANCE).modes == ((23.7, 1), (30.5, 5))


def test_ratios_are_taken_within_rounds() -> None:
    """The machine becomes twice as slow from round to round; the ratio does not care."""
    standard = run([1.0, 2.0, 4.0], [3.0, 6.0], cell="standard")
    half = run([0.5, 1.0, 2.0], [1.5, 3.0])
    seen = module.ratio(half, standard)
    assert (seen.value, seen.interval, seen.interleaved) == (0.5, (0.5, 0.5), True)


def test_only_processes_that_took_turns_are_paired() -> None:
    standard = run([1.0], [2.0], [2.0], cell="standard")
    later = run([1.0], [1.5], first=2)  # the first of them ran with the last one of the other
    assert module.ratio(later, standard).value == 0.5


def test_without_turns_the_medians_are_compared_with_both_spreads() -> None:
    standard, other = run([2.0], [2.2], [2.4], cell="standard"), run([1.0], [1.1], [1.2], first=9)
    seen = module.ratio(other, standard)
    assert seen.value == 0.5
    assert seen.interval == pytest.approx((1.0 / 2.4, 1.2 / 2.0), rel=0.1)
    assert not seen.interleaved


def test_changes_between_two_profiles() -> None:
    """The second machine is 1.5 times as slow for all, and the sep cell 1.2 times more."""
    before = run(*[[1.0]] * 5), run(*[[2.0]] * 5, cell="standard")
    after = run(*[[1.8]] * 5), run(*[[3.0]] * 5, cell="standard")
    assert module.change(after[0], before[0]).value == pytest.approx(1.8)
    seen = module.relative_change(after, before)
    assert (seen.value, seen.verdict) == (pytest.approx(1.2), "stable")


def test_the_standard_cell_is_itself() -> None:
    assert module.ratio(run([1.0]), run([1.0])).interval == (1.0, 1.0)
