"""Key-frame schedules against the published times and the arithmetic by hand; the command as a user meets it."""

import csv
import io
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_cli import run as command

import costmodel
from costmodel.describe.ops import Map
from costmodel.errors import InvalidInput
from costmodel.profiles.records import Host, Process, Profile, Run, Settings, Subject
from costmodel.published import low_latency as published
from costmodel.report.low_latency import comparisons
from costmodel.video import key_frames
from costmodel.video.schedule import (
    FORMULAS,
    MODES,
    Latency,
    Schedule,
    Stages,
    clockwork,
    dff,
    dff_propagate,
    per_frame,
    schedule,
)
from costmodel.work.events import Event

PAPER = Stages(low=61, high=299, select=20, propagate=38)
GIVEN = ("--low", "61", "--high", "299", "--select", "20", "--propagate", "38")
KEYS = [mode for mode in MODES if mode != "every"]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    return command(capsys, "schedule", *arguments)


# ---- closed forms ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("k", "fixed", "adaptive", "work", "load"),
    [
        (1, 360, 380, 418, 2.5126),  # 61 + 299; 61 + 20 + 299; 119 + 299; 299/119
        (2, 229.5, 249.5, 268.5, 1.2563),  # 61 + 299/2 + 38/2; 20 more; 119 + 299/2; 299/238
        (5, 151.2, 171.2, 178.8, 0.5025),
        (10, 125.1, 145.1, 148.9, 0.2513),
    ],
)
def test_the_published_network(k: int, fixed: float, adaptive: float, work: float, load: float) -> None:
    every = schedule(PAPER, "every")
    assert (every.average_ms, every.maximum_ms) == (360, 360)
    one, two, three = (schedule(PAPER, mode, k) for mode in KEYS)
    assert (one.average_ms, one.maximum_ms) == (fixed, 360)
    assert (two.average_ms, two.maximum_ms) == (adaptive, 380)
    assert (three.average_ms, three.maximum_ms, three.work_per_frame_ms) == (119, 119, work)
    assert (three.frame_period_ms, three.first_frame_ms) == (119, 360)
    assert round(three.background_load, 4) == load
    assert three.feasible == (load <= 1)
    assert (one.background_load, one.feasible) == (None, None)
    # By work: 61 + 20 + p*299 + (1 - p)*38 < 360; 119 + p*299 < 360.
    assert two.break_even_key_fraction == pytest.approx(241 / 261) == pytest.approx(0.923372, abs=5e-7)
    assert three.break_even_key_fraction == 241 / 299
    assert one.break_even_key_fraction == 1
    assert two.speed_up == pytest.approx(360 / adaptive)


def test_what_is_derived_from_the_published_times() -> None:
    assert (PAPER.low, PAPER.select) == (published.LOW, published.SELECT)
    assert schedule(PAPER, "adaptive", published.INTERVAL).average_ms // 1 == published.SEQUENTIAL_AVERAGE
    assert schedule(PAPER, "parallel", published.INTERVAL).average_ms == published.PARALLEL_LATENCY == published.FRONT


def test_staleness_is_the_wait_for_features_and_then_the_interval() -> None:
    """At T = 40: ceil(299/40) = 8 frames, then up to 4 more; on one device the fronts take 119 of every 150 ms."""
    assert schedule(PAPER, "parallel", 5, frame_period=40).staleness_frames == (8, 12)
    assert schedule(PAPER, "parallel", 5, frame_period=299).staleness_frames == (1, 5)
    assert schedule(PAPER, "parallel", 20, frame_period=150, devices=1).staleness_frames == (10, 29)  # ceil(299/31)
    assert schedule(PAPER, "parallel", 5, frame_period=119, devices=1).staleness_frames is None  # nothing is left
    assert schedule(PAPER, "fixed", 5).staleness_frames == (0, 4)
    assert schedule(PAPER, "adaptive", gaps=[1, 7, 4]).staleness_frames == (0, 6)


def test_gaps_that_vary() -> None:
    """3 key frames in 12 frames: p = 1/4."""
    seen = schedule(PAPER, "adaptive", gaps=[1, 7, 4])
    assert (seen.key_fraction, seen.interval) == (0.25, 4)
    assert seen.average_ms == 61 + 20 + 299 / 4 + 38 * 3 / 4
    assert schedule(PAPER, gaps=[3, 4]).interval == 3.5


def test_throughput_and_contention() -> None:
    assert schedule(PAPER, "parallel", 5).throughput_fps == 1000 / 119
    assert schedule(PAPER, "parallel", 2).throughput_fps == 1000 / 149.5  # the background has more to do
    assert schedule(PAPER, "parallel", 5, devices=1).throughput_fps == 1000 / 178.8
    assert schedule(PAPER, "adaptive", 5).throughput_fps == 1000 / 171.2
    slow = schedule(PAPER, "parallel", 5, contention=0.1)
    assert (slow.devices, slow.average_ms, slow.work_per_frame_ms) == (1, 130.9, 190.7)  # 1.1*119; and 299/5
    assert (slow.keeps_up, slow.frame_period_ms) == (True, 190.7)
    assert not schedule(PAPER, "parallel", 5, devices=1, frame_period=178).feasible
    assert not schedule(PAPER, "fixed", 5, frame_period=151).keeps_up


def test_key_frames_can_cost_more_than_they_save() -> None:
    assert schedule(Stages(10, 20, propagate=30), "fixed", 4).break_even_key_fraction is None
    assert schedule(Stages(10, 20, select=20), "adaptive", 4).break_even_key_fraction is None
    assert schedule(Stages(10, 20, propagate=30), "fixed", 1).maximum_ms == 30  # nothing is propagated
    assert schedule(Stages(10, 20, propagate=30), "fixed", 2).maximum_ms == 40


TIMES = st.integers(1, 1000)
SOME = st.builds(Stages, TIMES, TIMES, propagate=st.integers(0, 1000), select=st.integers(0, 1000))
GAPS = st.lists(st.integers(1, 12), min_size=1, max_size=4)


@given(SOME, st.sampled_from(KEYS), GAPS, TIMES, st.sampled_from([0, 0.25]))
def test_what_is_printed_as_formula_is_what_is_computed(
    stages: Stages, mode: str, gaps: list[int], period: int, eps: float
) -> None:
    beside = {"contention": eps} if mode == "parallel" else {}
    seen = schedule(stages, mode, gaps=gaps, frame_period=period, **beside)
    letters = {"c_low": stages.low, "c_high": stages.high, "c_prop": stages.propagate, "c_sel": stages.select}
    letters |= {"T": period, "p": Fraction(len(gaps), sum(gaps)), "eps": Fraction(eps), "max": max}
    if stages.high > stages.propagate:
        computed = {name: float(eval(formula, {}, letters)) for name, formula in FORMULAS[mode].items()}
        limit = computed.pop("break-even p")
        assert seen.break_even_key_fraction == (pytest.approx(limit) if limit > 0 else None)
        shown = [seen.average_ms, seen.maximum_ms]
        shown += [seen.work_per_frame_ms, seen.background_load] if mode == "parallel" else []
        assert list(computed.values()) == pytest.approx(shown)


@given(SOME, st.sampled_from(KEYS), st.integers(1, 50), TIMES)
def test_what_holds_for_all_times(stages: Stages, mode: str, k: int, period: int) -> None:
    less, more = (schedule(stages, mode, interval, frame_period=period) for interval in (k + 1, k))
    every = schedule(stages, "every")
    assert less.average_ms <= less.maximum_ms
    if stages.high >= stages.propagate:
        assert less.average_ms <= more.average_ms  # fewer key frames
        assert less.work_per_frame_ms <= more.work_per_frame_ms
    limit = more.break_even_key_fraction
    if limit is not None and abs(more.key_fraction - limit) > 1e-9:
        assert (more.work_per_frame_ms < every.average_ms) == (more.key_fraction < limit)
    if mode == "parallel" and less.feasible:
        assert less.staleness_frames[0] <= k + 1  # a key frame's features come before the next one's
    shortest = 1000 / more.throughput_fps
    assert (shortest <= period) == more.keeps_up or shortest == pytest.approx(period, rel=1e-12)


@pytest.mark.parametrize("mode", ["fixed", "adaptive"])
@pytest.mark.parametrize("beside", [{"contention": 0.5}, {"devices": 1}])
def test_what_only_runs_in_parallel(mode: str, beside: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match="need the mode parallel"):
        schedule(PAPER, mode, 5, **beside)


def test_decimals_are_decimals() -> None:
    """0.1 + 0.2 = 0.3, and a tenth of a numpy number is one, too."""
    assert schedule(Stages(0.1, 0.2), "every").average_ms == 0.3
    assert schedule(Stages(np.float64(0.1), np.int64(2)), "every").average_ms == 2.1
    assert schedule(Stages(Fraction(1, 3), Fraction(2, 3)), "every").average_ms == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Stages(0, 299), "the time low must be from 1e-06 to 1e+09 ms, not 0"),
        (lambda: Stages(61, -1), "the time high must be from 1e-06"),
        (lambda: Stages(61, 299, propagate=-1), "the time propagate must be 0 or from 1e-06"),
        (lambda: Stages(61, 299, select=float("nan")), "the time select must be a number 0 or from"),
        (lambda: Stages(61, float("inf")), "the time high must be a number from"),
        (lambda: Stages("61", 299), "the time low must be a number from 1e-06 to 1e+09 ms, not '61'"),
        (lambda: Stages(True, 299), "the time low must be a number"),
        (lambda: Stages(1e10, 299), "the time low must be from"),
        (
            lambda: schedule(PAPER, "sequential", 5),
            "unknown mode 'sequential': one of every, fixed, adaptive, parallel",
        ),
        (lambda: schedule(PAPER, "fixed"), "the mode fixed needs an interval or gaps, not both"),
        (lambda: schedule(PAPER, "fixed", 5, gaps=[5]), "or gaps, not both"),
        (lambda: schedule(PAPER, "every", 5), "the mode every has no key frames"),
        (lambda: schedule(PAPER, "fixed", 0), "the interval must be a whole number from 1 to 1,000,000, not 0"),
        (lambda: schedule(PAPER, "fixed", 2.5), "the interval must be a whole number"),
        (lambda: schedule(PAPER, "fixed", gaps=[]), "the sum of gaps must be from 1 to 1,000,000 frames, not 0"),
        (lambda: schedule(PAPER, "fixed", gaps=[10**6, 1]), "not 1,000,001"),
        (lambda: schedule(PAPER, "fixed", gaps=[3, 0]), "a gap must be a whole number"),
        (lambda: schedule(PAPER, "fixed", 5, frame_period=0), "the frame period must be from 1e-06"),
        (lambda: schedule(PAPER, "parallel", 5, devices=3), "devices must be 1 or 2, not 3"),
        (lambda: schedule(PAPER, "parallel", 5, contention=-0.1), "contention must be 0 or from 1e-06"),
        (lambda: schedule(PAPER, "parallel", 5, contention=0.1, devices=2), "with two devices there is none"),
        (lambda: clockwork([1, 2], [1]), "a period for every stage: 2 costs, 1 periods"),
        (lambda: clockwork([1, 2], [1, 0]), "the period of a stage must be a whole number"),
        (lambda: dff(271, 51, 0), "the length must be a whole number"),
        (lambda: dff_propagate(271, 20, 10), "an average of 20 over 10 frames leaves no time"),
        (lambda: dff_propagate(271, 271, 1), "leaves no time for propagation after 271"),
        (lambda: per_frame(0), "full must be from"),
    ],
)
def test_refusals(call: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        call()
    assert message in str(caught.value)


# ---- other methods, components ---------------------------------------------------------------------------------------


def test_the_same_algebra_for_other_methods() -> None:
    assert clockwork([100, 60, 90], [1, 2, 3]) == Latency(100 + 30 + 30, 250)
    assert dff_propagate(0.271, 0.073, 10) == 0.051  # (10*0.073 - 0.271)/9
    assert dff_propagate(0.133, 0.034, 10) == 0.023
    assert dff(0.271, 0.051, 10) == Latency(0.073, 0.271)
    assert per_frame(360) == Latency(360, 360)
    assert per_frame(360, 38.5) == Latency(398.5, 398.5)


@given(TIMES, st.integers(0, 1000), st.integers(2, 100))
def test_a_published_average_gives_back_the_propagation(full: int, propagate: int, length: int) -> None:
    """Clockwork with two stages is a fixed interval without propagation; DFF is one whose low part propagates."""
    seen = dff(full, propagate, length)
    assert dff_propagate(full, seen.average, length) == pytest.approx(propagate, abs=1e-9)
    fixed = schedule(Stages(full, full), "fixed", length)
    assert clockwork([full, full], [1, length]) == Latency(fixed.average_ms, fixed.maximum_ms)


LOW, HIGH = Map(1024, 128, 256), Map(2048, 128, 256)  # 1024x2048 at stride 8: Pf = 32,768


@pytest.mark.parametrize("cached", [True, False])
def test_the_components_by_hand(cached: bool) -> None:
    """Pf positions, C channels, k = 9; the reduction runs on both frames unless the key frame's is kept."""
    Pf, C, k, R = 32_768, 1024, 9, 1 if cached else 2
    scheduler, predictor = key_frames.scheduler(LOW, cached), key_frames.kernel_predictor(LOW, cached=cached)
    assert scheduler.work[Event.MAC] == (R * 9 * C * 256 + 9 * 256 * 256) * Pf + 256
    assert scheduler.parameters == 9 * C * 256 + 256 + 9 * 256 * 256 + 256 + 257 == 2_949_889
    assert predictor.work[Event.MAC] == (R * 9 * C * 256 + 9 * 512 * 256 + 256 * k**2) * Pf
    assert predictor.parameters == 9 * C * 256 + 256 + 9 * 512 * 256 + 256 + 256 * k**2 + k**2 == 3_560_273
    if cached:
        assert scheduler.work[Event.MAC] == 96_636_764_416
        assert predictor.work[Event.MAC] == 116_643_594_240


def test_the_spatially_variant_convolution() -> None:
    cost = key_frames.variant_conv(HIGH)
    assert (cost.work[Event.MAC], cost.parameters) == (5_435_817_984, 0)  # 2048 * 81 * 32768
    taps = key_frames.kernels(HIGH).elements
    assert taps == 81 * 32_768
    assert (cost.reads, cost.writes) == (4 * (2048 * 32_768 + taps), 4 * 2048 * 32_768)


def test_the_published_rows() -> None:
    sheets = {sheet.title: sheet for sheet in comparisons()}
    times = {tuple(row[:2]): row[2:] for row in sheets["Published times of a frame"].rows}
    assert times["adaptive, sequential", "average"] == ["171", "171.2", "stated", "adaptive"]
    assert times["adaptive, parallel", "latency"] == ["119", "119", "stated", "adaptive"]
    assert times["DFF, K40", "every frame"] == ["271", "", "stated", "dff"]
    assert times["DFF, K40", "propagation"] == ["", "51", "derived", "dff"]
    assert times["DFF, Titan X", "propagation"] == ["", "23", "derived", "dff"]
    assert times["adaptive, sequential", "maximum"][:2] == ["", "380"]
    assert not any("171" in row and "119" in row for row in times.values())
    assert [row[1] for row in sheets["Published quality"].rows] == ["56.53", "69.2", "58.73", "60.12", "68.41", "75.26"]
    for sheet in sheets.values():
        if "source" in sheet.columns:
            assert {row[-1] for row in sheet.rows} <= set(published.SOURCES)


# ---- the command -----------------------------------------------------------------------------------------------------


def test_json_is_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *GIVEN, "--interval", "5", "--mode", "parallel", "--format", "json")
    data = json.loads(out)
    assert (code, err) == (0, "")
    expected = {
        "mode": "parallel",
        "interval": 5,
        "key_fraction": 0.2,
        "average_ms": 119,
        "maximum_ms": 119,
        "first_frame_ms": 360,
        "work_per_frame_ms": 178.8,
        "feasible": True,
        "staleness_frames": [3, 7],
        "throughput_fps": 1000 / 119,
        "every_frame_ms": 360,
        "frame_period_ms": 119,
        "stages": {"low": 61, "high": 299, "select": 20, "propagate": 38},
    }
    assert {key: data[key] for key in expected} == expected
    assert data["background_load"] == pytest.approx(299 / 595)
    seen = data["simulated"]
    assert (seen["average_ms"], seen["maximum_ms"], seen["work_per_frame_ms"]) == (119, 119, 178.8)
    assert (seen["dropped"], seen["frames"], seen["staleness_frames"]) == (0, 100, [3, 7])


def test_several_schedules_are_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    several = ("--interval", "1,2,5,10", "--mode", "fixed", "--mode", "adaptive")
    data = json.loads(run(capsys, *GIVEN, *several, "--format", "json")[1])
    assert [row["average_ms"] for row in data] == [360, 229.5, 151.2, 125.1, 380, 249.5, 171.2, 145.1]
    table = list(csv.DictReader(io.StringIO(run(capsys, *GIVEN, *several, "--format", "csv")[1])))
    assert [float(row["average_ms"]) for row in table] == [row["average_ms"] for row in data]
    assert [row["simulated_average_ms"] for row in table] == [row["average_ms"] for row in table]
    assert {row["high_ms"] for row in table} == {"299"}


def test_the_text_is_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, *GIVEN, "--interval", "1,2,5,10", "--compare")
    assert code == 0
    lines = out.splitlines()
    assert lines[11].split()[:8] == ["adaptive", "5", "171.2", "380", "171.2", "2.10x", "5.84", "380"]
    assert lines[15].split() == ["parallel", "5", "119", "119", "178.8", "3.03x", "8.40", "119", "0.5025", "3-7"]
    assert out.isascii()
    assert max(map(len, lines)) <= 90  # formulas do not wrap
    said = " ".join(out.split())
    assert "adaptive: less work than every frame in full for p < 0.923372" in said
    assert "parallel, k = 2: the background falls behind" in said
    assert "CVPR 2018" in said
    assert not any("171" in line.split() and "119" in line.split() for line in lines)


def test_published_numbers_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    data = json.loads(run(capsys, *GIVEN, "--mode", "fixed", "--compare", "--format", "json")[1])
    assert [row["average_ms"] for row in data["schedules"]] == [151.2]
    by_name = {(row["method"], row["quantity"]): row for row in data["published"]["times"]}
    flow = by_name["DFF, Titan X", "average"]
    assert (flow["printed"], flow["computed"], flow["obtained"], flow["source"]) == (34, 34, "stated", "dff")
    assert all(row["source"] in data["published"]["sources"] for row in by_name.values())
    assert data["published"]["components"][0] == {"part": "scheduler", "macs": 96_636_764_416, "params": 2_949_889}
    assert max(row["miou"] for row in data["published"]["accuracies"]) == 75.26
    assert data["published"]["methods"][0]["average"] == "sum of c_s/n_s over stages s"


@pytest.mark.parametrize("form", ["markdown", "latex", "html"])
def test_other_formats(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *GIVEN, "--compare", "--format", form)
    assert (code, err) == (0, "")
    assert "171.2" in out


def test_short_periods_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    fast = (*GIVEN, "--mode", "fixed", "--frame-period", "100")
    said = " ".join(run(capsys, *fast)[1].split())
    assert "fixed, k = 5: frames every 100 ms arrive faster than they can be processed (151.2 ms each)." in said
    assert "the queue grows" in said
    said = " ".join(run(capsys, *fast, "--buffer", "0")[1].split())
    assert "of 100 frames are dropped" in said
    said = " ".join(run(capsys, "--low", "61", "--high", "299", "--mode", "fixed")[1].split())
    assert "select: 0 ms, as --select is not given" in said


def test_gaps_from_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "gaps.txt"
    file.write_text("1, 7\n4\n")
    data = json.loads(run(capsys, *GIVEN, "--gaps", str(file), "--mode", "adaptive", "--format", "json")[1])
    assert (data["gaps"], data["key_fraction"], data["average_ms"]) == ([1, 7, 4], 0.25, 61 + 20 + 299 / 4 + 38 * 3 / 4)
    assert data["simulated"]["average_ms"] == data["average_ms"]
    out = run(capsys, *GIVEN, "--gaps", str(file), "--mode", "parallel", "--frame-period", "119")[1]
    assert "some key frames come faster than their features" in " ".join(out.split())
    assert "--gaps or --interval, not both" in run(capsys, *GIVEN, "--gaps", str(file), "--interval", "5")[2]
    file.write_text("100001")  # a cycle that is too long to simulate as a whole
    parallel = (*GIVEN, "--gaps", str(file), "--mode", "parallel")
    assert json.loads(run(capsys, *parallel, "--format", "json")[1])["simulated"] is None
    assert "Simulated" not in run(capsys, *parallel)[1]
    code, _, err = run(capsys, *parallel, "--plot", str(tmp_path / "long.svg"))
    assert (code, "--plot needs a simulation" in err) == (2, True)
    for text, message in (("1 two", "'two': expected a whole number from 1"), ("", "there is nothing in it")):
        file.write_text(text)
        code, _, err = run(capsys, *GIVEN, "--gaps", str(file))
        assert (code, message in err) == (2, True)
    file.write_bytes(b"\xff\xfe1")
    assert "not text" in run(capsys, *GIVEN, "--gaps", str(file))[2]


def test_the_timeline_is_a_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture = tmp_path / "timeline.svg"
    assert run(capsys, *GIVEN, "--mode", "parallel", "--simulate", "12", "--plot", str(picture))[0] == 0
    assert picture.read_text().startswith("<?xml")


def profile_of(parts: dict[str, float], **how: Any) -> Profile:
    settings: dict[str, Any] = {"device": "cpu", "dtype": "float32", "memory_format": "contiguous", "threads": 2}
    way = Settings.model_validate(settings | {"implementation": "eager"} | how)
    runs = [
        Run(
            subject=Subject(network=name, classes=19, size=(1024, 2048)),
            how=way,
            clock="wall",
            processes=(Process(seconds=(seconds,)),) * 5,
        )
        for name, seconds in parts.items()
    ]
    return Profile(host=Host(cpu="A machine"), runs=tuple(runs))


def test_times_from_a_profile(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """ICNet's high part, 0.3 s, on every 4th frame, its low part, 0.05 s, on each: 50 + 300/4."""
    file = tmp_path / "parts.json"
    profile_of({"icnet": 0.35, "icnet-key": 0.3, "icnet-low": 0.05}).save(file)
    arguments = ("--profile", str(file), "--mode", "fixed", "--interval", "4")
    data = json.loads(run(capsys, *arguments, "--format", "json")[1])
    assert (data["average_ms"], data["maximum_ms"], data["every_frame_ms"]) == (125, 350, 350)
    assert any("ICNet, key frames only" in note and "A machine" in note for note in data["notes"])
    out = " ".join(run(capsys, *arguments, "--model", "icnet")[1].split())
    assert "low: ICNet, every frame 1024x2048" in out
    assert "undecided" not in out
    noisy = profile_of({"icnet-key": 0.3, "icnet-low": 0.05})
    runs = [run_.model_copy(update={"processes": run_.processes[:1]}) for run_ in noisy.runs]
    noisy.model_copy(update={"runs": tuple(runs)}).save(file)
    assert "A machine; undecided, see costmodel profiles" in " ".join(run(capsys, *arguments)[1].split())


def test_a_profile_without_the_parts_says_what_records_them(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = "costmodel profile --model icnet-key,icnet-low --out NAME"
    code, out, err = run(capsys, "--profile", "paper")
    assert (code, out) == (2, "")
    assert command in err
    file = tmp_path / "apart.json"
    profile_of({"icnet-key": 0.3}).with_run(profile_of({"icnet-low": 0.1}, threads=1).runs[0]).save(file)
    assert command in run(capsys, "--profile", str(file))[2]  # not timed in the same way


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "no times: --low and --high, or --profile"),
        ("--low 61", "no times: --low and --high"),
        ("--low 61 --high x", "--high 'x': expected a number from 0, such as 61 or 0.5"),
        ("--low -61 --high 299", "--low '-61': expected a number"),
        ("--low nan --high 299", "--low 'nan': expected a number"),
        ("--low 1e3 --high 299", "--low '1e3': expected a number"),
        ("--low 0 --high 299", "the time low must be from"),
        ("--low 99999999999 --high 299", "the time low must be from 1e-06 to 1e+09 ms"),
        ("GIVEN --mode sequential", "--mode 'sequential': one of every, fixed, adaptive, parallel"),
        ("GIVEN --interval 0", "--interval '0': expected a whole number from 1"),
        ("GIVEN --interval 2,", "--interval '': expected a whole number from 1"),
        ("GIVEN --interval 2.5", "--interval '2.5': expected a whole number from 1"),
        ("GIVEN --interval 9999999", "the interval must be a whole number from 1 to 1,000,000"),
        ("GIVEN --gaps missing.txt", "--gaps 'missing.txt': No such file"),
        ("GIVEN --frame-period 0", "the frame period must be from"),
        ("GIVEN --frame-period fast", "--frame-period 'fast': expected a number"),
        ("GIVEN --devices 3", "--devices '3': one of 1, 2"),
        ("GIVEN --mode fixed --devices 2", "--devices is for --mode parallel"),
        ("GIVEN --mode fixed --contention 0.1", "--contention is for --mode parallel"),
        ("GIVEN --devices 2 --contention 0.1", "with two devices there is none"),
        ("GIVEN --contention 10%", "--contention '10%': expected a number"),
        ("GIVEN --simulate 0", "--simulate '0': expected a whole number from 1"),
        ("GIVEN --simulate 100001", "the number of frames must be a whole number from 1 to 100,000"),
        ("GIVEN --buffer x", "--buffer 'x': expected a whole number from 0"),
        ("GIVEN --format pdf", "--format 'pdf': one of"),
        ("GIVEN --compare --format csv", "CSV has one table"),
        ("GIVEN --plot timeline.svg", "--plot draws one schedule"),
        ("GIVEN --mode fixed --plot timeline.txt", "--plot 'timeline.txt': expected a file that ends in"),
        ("GIVEN --model icnet", "--model is for --profile"),
        ("GIVEN --profile paper", "--low and --high, or --profile, not both"),
        ("--profile nowhere", "no profile 'nowhere': there are"),
        ("--profile paper --model v6", "--model 'v6': one of icnet"),
    ],
    ids=lambda text: text[:40],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, *arguments.replace("GIVEN", " ".join(GIVEN)).split())
    assert (code, out) == (2, "")
    assert err.startswith("costmodel: ")
    assert err.count("\n") == 1
    assert message in err


def test_a_network_without_parts_is_refused() -> None:
    from costmodel.report.schedule import stages_from

    with pytest.raises(InvalidInput, match="'v6' has no parts for key frames: one of icnet"):
        stages_from(profile_of({}), "empty", "v6")


def test_the_public_face() -> None:
    assert isinstance(costmodel.schedule(costmodel.Stages(61, 299), interval=3), Schedule)
