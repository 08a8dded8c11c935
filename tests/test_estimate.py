"""What samples say: means, intervals, modes and verdicts, on numbers whose answer is known."""

import math
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmodel.price.moment import LARGE, Moment
from costmodel.profiles import estimate as module
from costmodel.profiles.estimate import RATIO_TOLERANCE, TIME_TOLERANCE, estimate
from costmodel.profiles.records import Probes, Process, Run, Settings, Subject

START = datetime(2026, 1, 1, tzinfo=UTC)
HOW = Settings(device="cpu", dtype="float32", memory_format="contiguous", implementation="eager", threads=1)


def run(*processes: list[float], cell: str = "sep", first: int = 0, probes: list[Probes] | None = None) -> Run:
    """A run whose n-th process is interleaved with the n-th of every other run made here."""
    subject = Subject(cell=cell, kernel=(3, 3), channels=(4, 4), size=(5, 6))
    each = tuple(
        Process(
            started=START + timedelta(minutes=n),
            seconds=tuple(seconds),
            probes=probes[n - first] if probes else None,
        )
        for n, seconds in enumerate(processes, first)
    )
    return Run(subject=subject, how=HOW, clock="wall", processes=each)


@given(st.lists(st.floats(0.5, 2.0), min_size=2, max_size=12))
def test_the_mean_of_logarithms_lies_in_its_interval(values: list[float]) -> None:
    seen = estimate(values, TIME_TOLERANCE)
    assert seen.interval is not None
    low, high = seen.interval
    assert low <= seen.value * (1 + 1e-9)
    assert high >= seen.value * (1 - 1e-9)
    assert seen.value == pytest.approx(math.exp(sum(map(math.log, values)) / len(values)))
    assert estimate(values, TIME_TOLERANCE) == seen  # the same samples, the same interval
    if seen.verdict == "stable":
        assert len(values) >= 3
        assert max(high / seen.value, 2 - low / seen.value) <= 1 + TIME_TOLERANCE + 1e-9
    else:
        assert seen.missing >= 1


@pytest.mark.parametrize(("processes", "rounds"), [(3, 5), (5, 5), (9, 3)])
@pytest.mark.parametrize("between", [0.0, 0.02])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(processes: int, rounds: int, between: float) -> None:
    """95 %: of 200, 190 expected; 178 or fewer have a probability below 0.1 % if it is so."""
    rng = random.Random(1)
    covered = 0
    for _ in range(200):
        own = [rng.gauss(0, between) for _ in range(processes)]
        seen = run(*([math.exp(each + rng.gauss(0, 0.04)) for _ in range(rounds)] for each in own))
        low, high = module.time(seen).interval or (0, 0)
        covered += low <= 1 <= high
    assert 178 <= covered <= 200


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([1.0, 1.001, 0.999, 1.002, 1.0], "stable"),
        ([1.0, 1.001, 0.999], "stable"),
        ([1.0, 1.001], "undecided"),  # the spread of two is hardly known
        ([1.0], "undecided"),
        ([1.0] * 19 + [1.05], "stable"),  # one outlier hardly moves the mean of twenty
        ([24, 24, 24.1, 31, 31, 31.1, 60], "undecided"),  # three groups are no two
        ([1.0, 1.2], "undecided"),  # two values are no two groups
        ([0.90, 0.94, 0.98, 1.02, 1.06, 1.10], "undecided"),  # evenly spread, no gap
        # Fresh processes of one depthwise cell, twice (ms): the modes are 24 and 31.
        ([23.7, 30.0, 30.3, 30.5, 31.4, 30.6], "two modes"),
        ([23.8, 24.8, 31.5, 25.9, 26.0, 24.9], "two modes"),
    ],
)
def test_verdicts(values: list[float], verdict: str) -> None:
    seen = estimate(values, 0.03)
    assert seen.verdict == verdict
    assert (seen.modes is not None) == (verdict == "two modes")
    assert (seen.missing == 0) == (verdict == "stable")


def test_both_modes_are_told_with_their_number_of_processes() -> None:
    (low, few), (high, many) = estimate([23.7, 30.0, 30.3, 30.5, 31.4, 30.6], 0.03).modes or ((0, 0), (0, 0))
    assert (low, few, high, many) == (pytest.approx(23.7), 1, pytest.approx(30.5), 5)


def test_ratios_are_taken_within_rounds() -> None:
    """The machine becomes twice as slow from round to round; the ratio does not care."""
    standard = run([1.0, 2.0, 4.0], [3.0, 6.0], cell="standard")
    half = run([0.5, 1.0, 2.0], [1.5, 3.0])
    seen = module.ratio(half, standard)
    assert (seen.value, seen.interval, seen.interleaved) == (pytest.approx(0.5), pytest.approx((0.5, 0.5)), True)


def test_only_processes_that_took_turns_are_paired() -> None:
    standard = run([1.0], [2.0], [2.0], cell="standard")
    later = run([1.0], [1.5], first=2)  # the first of them ran with the last one of the other
    assert module.ratio(later, standard).value == pytest.approx(0.5)


def test_without_turns_the_means_are_compared_with_both_spreads() -> None:
    """Means of logarithms: (1.0 * 1.1 * 1.2) ** (1/3) = 1.097 and twice that."""
    standard, other = run([2.0], [2.2], [2.4], cell="standard"), run([1.0], [1.1], [1.2], first=9)
    seen = module.ratio(other, standard)
    assert seen.value == pytest.approx(0.5)
    assert seen.interval is not None
    assert seen.interval[0] < 1.0 / 2.4 * 1.1
    assert seen.interval[1] > 1.2 / 2.0 * 0.9
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


def test_a_burst_of_a_neighbour_hardly_moves_the_mean() -> None:
    """A sample of 15 is three times as long: the mean of logarithms would rise by ln(3) / 15 = 7 %."""
    rng = random.Random(2)
    rounds = [[math.exp(rng.gauss(0, 0.01)) for _ in range(5)] for _ in range(3)]
    rounds[1][2] *= 3
    seen = module.time(run(*rounds))
    assert seen.value == pytest.approx(1.0, abs=0.01)
    assert seen.verdict == "stable"


# A machine whose memory gives 20 to 40 GB/s, as its neighbours leave it: the depth cell's time is one fifth work and
# four fifths memory, the standard cell's is work alone.
WORK, MEMORY, FULL = 0.02, 0.08, 40e9


def drifting(
    bandwidths: Callable[[int, int], float], seed: int, processes: int, rounds: int = 6, probed: bool = True
) -> tuple[Run, Run]:
    """The runs of the depth and the standard cell while the bandwidth drifts; samples scatter by 1 %, probes by 2 %."""
    rng = random.Random(seed)
    depth, standard, probes = [], [], []
    for process in range(processes):
        given = [bandwidths(process, number) for number in range(rounds)]
        depth.append([(WORK + MEMORY * FULL / each) * math.exp(rng.gauss(0, 0.01)) for each in given])
        standard.append([0.4 * math.exp(rng.gauss(0, 0.01)) for _ in given])
        copies = tuple(2 * LARGE / each * math.exp(rng.gauss(0, 0.02)) for each in given)
        quiet = [tuple(base * math.exp(rng.gauss(0, 0.02)) for _ in given) for base in (5e-5, 5e-3)]
        probes.append(Probes(copy=copies, cached=quiet[0], product=quiet[1]))
    return tuple(
        run(*each, cell=cell, probes=probes if probed else None)
        for each, cell in ((depth, "depth"), (standard, "standard"))
    )


def first_half(process: int, round_: int) -> float:
    """From 20 to 30 GB/s, up and down in two processes."""
    return 20e9 + 10e9 * abs(process + round_ / 6 - 2 * round((process + round_ / 6) / 2))


def second_half(process: int, round_: int) -> float:
    """From 40 to 28 GB/s."""
    return 40e9 - 1.2 * (first_half(process, round_) - 20e9)


@pytest.mark.parametrize("seed", range(5))
def test_ratios_of_a_drifting_machine_agree_at_a_stated_bandwidth(seed: int) -> None:
    """Two measurements, while the bandwidth is 20 to 30 and 28 to 40 GB/s: at 30 GB/s both say
    (0.02 + 0.08 * 40 / 30) / 0.4 = 31.7 % within 3 %; without the probes they differ by more than 10 %."""
    at = Moment(2 * LARGE / 30e9, 5e-5, 5e-3)
    first, second = (
        module.ratio(*drifting(half, seed + n, processes=4), at=at) for n, half in ((0, first_half), (100, second_half))
    )
    assert first.value == pytest.approx(0.3167, rel=0.03)
    assert second.value == pytest.approx(first.value, rel=0.03)
    for seen in (first, second):
        assert seen.slopes["copy"] == pytest.approx(0.84, abs=0.12)  # 0.08 * 40 / 30 / (0.02 + 0.08 * 40 / 30)
        assert seen.interval is not None
        assert seen.interval[0] * 0.97 < 0.3167 < seen.interval[1] * 1.03
        assert seen.noise is not None
        assert seen.noise.explained > 0.8
    blind = [
        module.ratio(*drifting(half, seed + n, processes=4, probed=False)).value
        for n, half in ((0, first_half), (100, second_half))
    ]
    assert blind[0] / blind[1] > 1.10


def test_the_residual_spread_decides() -> None:
    """With the probes the ratio is decided, without them it is not; so says the fit itself."""
    seen = module.ratio(*drifting(first_half, 3, processes=5))
    blind = module.ratio(*drifting(first_half, 3, processes=5, probed=False))
    assert (seen.verdict, blind.verdict != "stable") == ("stable", True)


def test_a_slope_that_cannot_be_told_is_left_at_zero_and_doubted_elsewhere() -> None:
    """The bandwidth is the same in all rounds: at another bandwidth the ratio is not known."""
    runs = drifting(lambda process, number: 25e9, 4, processes=5)
    here, there = module.ratio(*runs), module.ratio(*runs, at=Moment(2 * LARGE / 40e9, 5e-5, 5e-3, asked=True))
    assert (here.slopes, here.verdict) == ({}, "stable")
    assert here.value == pytest.approx((WORK + MEMORY * 40 / 25) / 0.4, rel=0.02)
    assert there.verdict == "undecided"
    assert there.interval is not None
    assert there.interval[0] < 0.25  # (0.02 + 0.08) / 0.4 is possible


def test_a_change_of_the_bandwidth_is_no_change_of_the_code() -> None:
    """The same code while the bandwidth is 20 to 30 and 28 to 40 GB/s; the slopes are those of both files together."""
    before, after = drifting(first_half, 5, processes=5), drifting(second_half, 6, processes=5)
    seen = module.change(after[0], before[0])
    blind = module.change(*(drifting(half, 5, 5, probed=False)[0] for half in (second_half, first_half)))
    assert blind.value < 0.85
    assert seen.interval is not None
    assert seen.interval[0] < 1.01  # the noise of the probes flattens the slopes a little
    assert seen.interval[1] > 0.99
    assert seen.value == pytest.approx(1.0, rel=0.04)


@pytest.mark.parametrize(("freedom", "quantile"), [(2, 4.303), (4, 2.776), (10, 2.228), (1e9, 1.960)])
def test_quantiles_of_student(freedom: float, quantile: float) -> None:
    assert module._quantile(freedom) == pytest.approx(quantile, rel=0.01)


def test_what_it_would_take() -> None:
    """Between processes 2 %, within 0: 1.96 * 2 % / sqrt(n) <= 2.1 % from n = 4 on, by t from n = 6 (2.57 * 0.82 %)."""
    noise = module.Noise(within=0.0, between=0.02, explained=0.0, rounds=5)
    assert noise.processes(RATIO_TOLERANCE) == 6
    assert module.Noise(within=0.0, between=0.5, explained=0.0, rounds=5).processes(RATIO_TOLERANCE) == module.MOST
