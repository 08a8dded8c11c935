"""The simulation against the closed forms, where nothing queues, and by hand where something does."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmodel.errors import InvalidInput
from costmodel.video.schedule import MODES, Stages, schedule
from costmodel.video.simulation import MOST_FRAMES, simulate, usual_frames

PAPER = Stages(low=61, high=299, select=20, propagate=38)
TIMES = st.integers(1, 400)
SOME = st.builds(Stages, TIMES, TIMES, propagate=st.integers(0, 400), select=st.integers(0, 400))
GAPS = st.lists(st.integers(1, 8), min_size=1, max_size=3)


def priced(stages: Stages, mode: str, gaps: list[int], **around: object) -> object:
    return schedule(stages, mode, gaps=None if mode == "every" else gaps, **around)


@settings(deadline=None, max_examples=150)
@given(
    stages=SOME,
    mode=st.sampled_from(list(MODES)),
    gaps=GAPS,
    spare=st.integers(0, 500),
    devices=st.sampled_from([1, 2]),
    contention=st.sampled_from([0, 0.5]),
)
def test_where_nothing_queues_it_is_the_closed_form(
    stages: Stages, mode: str, gaps: list[int], spare: int, devices: int, contention: float
) -> None:
    alone = {"devices": devices, "contention": contention if devices == 1 else 0} if mode == "parallel" else {}
    least = priced(stages, mode, gaps, **alone)
    form = priced(stages, mode, gaps, frame_period=least.frame_period_ms + spare, **alone)
    seen = simulate(form)
    assert (seen.average_ms, seen.maximum_ms) == (form.average_ms, form.maximum_ms)
    assert seen.work_per_frame_ms == form.work_per_frame_ms
    assert seen.frames[0].latency == form.first_frame_ms
    assert (seen.dropped, seen.longest_queue) == (0, 0)
    assert sum(seen.utilisation) == pytest.approx(form.work_per_frame_ms / form.frame_period_ms)
    if form.background_load is not None and devices == 2:
        assert seen.utilisation[1] == form.background_load
    if form.feasible is not False and (len(set(gaps)) == 1 or mode != "parallel"):
        assert seen.staleness_frames == form.staleness_frames


@pytest.mark.parametrize("k", range(1, 12))
@pytest.mark.parametrize("high", [100, 299])
def test_the_usual_period_is_the_one_that_is_shown(k: int, high: int) -> None:
    """A sixth of 100 ms is no decimal number: the period is rounded up, and nothing queues."""
    form = schedule(Stages(61, high, select=20, propagate=38), "parallel", k, devices=1)
    assert form.feasible
    assert simulate(form).staleness_frames == form.staleness_frames == (k, 2 * k - 1)


@settings(deadline=None, max_examples=100)
@given(stages=SOME, mode=st.sampled_from(list(MODES)), k=st.integers(1, 8), devices=st.sampled_from([1, 2]))
def test_at_saturation_the_throughput_is_the_closed_form(stages: Stages, mode: str, k: int, devices: int) -> None:
    """All frames are there at once; on two devices, the background starts late, and may end after the last frame."""
    alone = {"devices": devices} if mode == "parallel" else {}
    form = priced(stages, mode, [k], frame_period=1e-3, **alone)
    frames = 20 * k
    seen = simulate(form, frames)
    spent = 1000 * frames / seen.throughput_fps
    if mode == "parallel" and devices == 2:
        assert frames * 1000 / form.throughput_fps <= spent * (1 + 1e-12)
        assert spent <= frames * 1000 / form.throughput_fps + k * form.front_ms + stages.high
    else:
        # Frames come within 1e-3 ms of each other; the background of one device has nothing to do before the first.
        assert spent == pytest.approx(frames * 1000 / form.throughput_fps)


@settings(deadline=None, max_examples=150)
@given(
    stages=SOME,
    mode=st.sampled_from(list(MODES)),
    gaps=GAPS,
    period=st.integers(1, 500),
    devices=st.sampled_from([1, 2]),
    buffer=st.sampled_from([None, 0, 1, 3]),
)
def test_what_no_machine_can_do_never_happens(
    stages: Stages, mode: str, gaps: list[int], period: int, devices: int, buffer: int | None
) -> None:
    alone = {"devices": devices} if mode == "parallel" else {}
    seen = simulate(priced(stages, mode, gaps, frame_period=period, **alone), 30, buffer=buffer)
    for device in (1, 2):
        own = [(busy.start, busy.end) for busy in seen.busy if busy.device == device]
        assert all(ends <= begins for (_, ends), (begins, _) in pairwise(own))  # one thing at a time
    taken = [frame for frame in seen.frames if not frame.dropped]
    assert all(frame.arrival <= frame.start and 0 <= frame.staleness <= frame.number for frame in taken)
    assert all(one.end <= other.start for one, other in pairwise(taken))  # in order
    for stage, number in (("low", len(taken)), ("high", sum(frame.key for frame in seen.frames))):
        done = sum(busy.end - busy.start for busy in seen.busy if busy.stage == stage)
        assert done == number * getattr(stages, stage)  # all of it is done, and nothing twice
    assert not seen.dropped or (buffer is not None and seen.longest_queue == buffer)


def test_dropped_frames_by_hand() -> None:
    """Fixed, k = 3: a key frame takes 30 ms, another one 15; a frame every 10 ms from 30 on (the first takes 30).

    1 at 30, to 45; 2 at 40 waits for it, to 60; 3, a key frame, at 50 waits for 2, to 90; 4 at 60 waits for 3, to 105;
    5 at 70 and 6, a key frame, at 80 find 4 waiting and are dropped; 7 at 90, when 4 begins, is a key frame in the
    place of 6, waits for 4, to 135; 8 at 100 is dropped.
    """
    form = schedule(Stages(10, 20, propagate=5), "fixed", 3, frame_period=10)
    seen = simulate(form, 8, buffer=1)
    assert [frame.arrival for frame in seen.frames] == [0, 30, 40, 50, 60, 70, 80, 90, 100]
    assert [frame.end for frame in seen.frames] == [30, 45, 60, 90, 105, None, None, 135, None]
    assert [frame.number for frame in seen.frames if frame.key] == [0, 3, 7]
    assert [frame.staleness for frame in seen.frames] == [0, 1, 2, 0, 1, None, None, 0, None]
    assert (seen.dropped, seen.longest_queue) == (3, 1)
    assert seen.average_ms == (15 + 20 + 40 + 45 + 45) / 5
    assert seen.maximum_ms == 45
    assert seen.throughput_fps == 1000 * 5 / (135 - 30)
    assert [(busy.stage, busy.start, busy.end) for busy in seen.busy if busy.frame in (3, 4)] == [
        ("low", 60, 70),
        ("high", 70, 90),
        ("low", 90, 100),
        ("propagate", 100, 105),
    ]


def test_no_buffer_takes_what_comes_when_it_is_idle() -> None:
    """15 ms a frame, one every 10: every second one; one every 15: all, since what ends at a moment ends first."""
    stages = Stages(10, 20, propagate=5)
    busy = simulate(schedule(stages, "fixed", 100, frame_period=10), 10, buffer=0)
    assert [frame.number for frame in busy.frames if frame.dropped] == [2, 4, 6, 8, 10]
    assert simulate(schedule(stages, "fixed", 100, frame_period=15), 10, buffer=0).dropped == 0
    assert simulate(schedule(stages, "fixed", 100, frame_period=10), 10).dropped == 0  # all wait


def test_queues_by_hand() -> None:
    """15 ms a frame, one every 10: each waits 5 ms longer than the one before."""
    seen = simulate(schedule(Stages(10, 20, propagate=5), "fixed", 100, frame_period=10), 5)
    assert [frame.latency for frame in seen.frames[1:]] == [15, 20, 25, 30, 35]
    assert seen.utilisation == (1.5,)
    assert seen.longest_queue == 2  # at 70 (frame 5), the device is at frame 3 until 75: 4 and 5 wait


def test_the_background_waits_for_frames_on_one_device() -> None:
    """Fronts of 10 ms every 15 from 40 on; frame 2 is a key frame: its 30 ms fit into six gaps of 5, and frame 8 is
    the first to show it."""
    form = schedule(Stages(10, 30), "parallel", 100, frame_period=15, devices=1)
    seen = simulate(schedule(Stages(10, 30), "parallel", gaps=[2, 100], frame_period=15, devices=1), 12)
    assert form.staleness_frames[0] == 6
    assert [(busy.start, busy.end) for busy in seen.busy if busy.stage == "high" and busy.frame == 2] == [
        (65 + 15 * n, 70 + 15 * n) for n in range(6)
    ]
    assert [frame.staleness for frame in seen.frames[6:10]] == [6, 7, 6, 7]
    assert [frame.latency for frame in seen.frames[1:]] == [10] * 12


def test_a_background_that_falls_behind_gets_staler() -> None:
    seen = simulate(schedule(PAPER, "parallel", 2, frame_period=119))
    longer = simulate(schedule(PAPER, "parallel", 2, frame_period=119), 400)
    assert seen.staleness_frames[1] < longer.staleness_frames[1]
    assert seen.maximum_ms == 119  # frames do not notice


@pytest.mark.parametrize(("k", "frames"), [(1, 100), (5, 100), (7, 105), (60, 180), (40_000, 80_000), (100_001, 0)])
def test_whole_cycles_are_simulated(k: int, frames: int) -> None:
    assert usual_frames(schedule(PAPER, "fixed", k)) == frames <= MOST_FRAMES


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"frames": 0}, "the number of frames must be a whole number from 1 to 100,000, not 0"),
        ({"frames": MOST_FRAMES + 1}, "from 1 to 100,000"),
        ({"buffer": -1}, "the buffer must be a whole number"),
        ({"buffer": 1.5}, "the buffer must be a whole number"),
    ],
)
def test_refusals(settings: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        simulate(schedule(PAPER, "fixed", 5), **settings)
