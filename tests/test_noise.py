"""Where the spread of a profile comes from, and a profile against itself: the commands, on drifting machines."""

import csv
import io
import json
import math
import random
from pathlib import Path

import pytest
from test_cli import run
from test_estimate import drifting, first_half

from costmodel.profiles import compare, estimate
from costmodel.profiles.records import Host, Profile, Run


def written(path: Path, processes: int, probed: bool = True) -> str:
    runs = drifting(first_half, seed=1, processes=processes, probed=probed)
    Profile(host=Host(cpu="c"), runs=runs).save(path)
    return str(path)


def test_the_noise_of_a_profile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Samples scatter by 1 % and probes by 2 %, so the rest by sqrt(1.4 ** 2 + (0.84 * 2) ** 2) = 2.2 %; most of the
    spread is the drift, which the probes explain."""
    name = written(tmp_path / "mine.json", 5)
    record = json.loads(run(capsys, "profiles", name, "--noise", "--format", "json")[1])
    depth, standard = record["rows"]
    assert (depth["of"], standard["of"], depth["processes"], depth["rounds"]) == ("ratio", "seconds", 5, 6)
    assert depth["within"] == pytest.approx(0.022, abs=0.005)
    assert depth["between"] < 0.01
    assert depth["explained"] > 0.8
    assert depth["slope_copy"] == pytest.approx(0.87, abs=0.1)
    assert (depth["verdict"], depth["missing_processes"]) == ("stable", 0)
    assert 2e10 < record["at"]["cpu"]["bandwidth"] < 3e10
    out = " ".join(run(capsys, "profiles", name, "--noise")[1].split())
    assert "copy 0.8" in out
    assert "missing: processes of each subject until the verdict is stable" in out
    rows = list(csv.DictReader(io.StringIO(run(capsys, "profiles", name, "--noise", "--format", "csv")[1])))
    assert [row["subject"] for row in rows] == [depth["subject"], standard["subject"]]


def test_times_at_another_bandwidth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At 25 GB/s the depth cell takes 20 ms + 80 ms * 40 / 25 = 148 ms, at 20 GB/s 180 ms."""
    name = written(tmp_path / "mine.json", 5)
    for bandwidth, expected in ((25, 0.148), (20, 0.180)):
        out = run(capsys, "profiles", name, "--at", str(bandwidth), "--format", "json")[1]
        depth, standard = json.loads(out)["runs"]
        assert depth["median_s"] == pytest.approx(expected, rel=0.03)
        assert depth["pct"] == pytest.approx(100 * expected / 0.4, rel=0.03)
        assert standard["median_s"] == pytest.approx(0.4, rel=0.03)
        assert depth["at"]["bandwidth"] == 1e9 * bandwidth
    changed = json.loads(run(capsys, "diff", name, name, "--at", "22", "--format", "json")[1])["rows"]
    assert [row["ratio"] for row in changed] == [pytest.approx(1.0), pytest.approx(1.0)]


def test_a_profile_without_probes_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = written(tmp_path / "mine.json", 5, probed=False)
    out = " ".join(run(capsys, "profiles", name, "--noise")[1].split())
    assert "this profile has no probes" in out
    depth, _ = json.loads(run(capsys, "profiles", name, "--noise", "--format", "json")[1])["rows"]
    assert (depth["explained"], depth["verdict"] == "stable") == (0.0, False)
    assert depth["missing_processes"] > 1


def ordered(effect: float) -> list[Run]:
    """Runs whose times grow by the effect with each place later in a round."""
    rng = random.Random(3)
    result = []
    for run_ in drifting(lambda process, number: 30e9, seed=2, processes=6):
        processes = []
        for process in run_.processes:
            positions = tuple(rng.choice((0, 1, 2, 3)) for _ in process.seconds)
            seconds = tuple(s * math.exp(effect * p) for s, p in zip(process.seconds, positions, strict=True))
            processes.append(process.model_copy(update={"positions": positions, "seconds": seconds}))
        result.append(run_.model_copy(update={"processes": tuple(processes)}))
    return result


@pytest.mark.parametrize("effect", [0.0, 0.02])
def test_the_effect_of_the_order(effect: float) -> None:
    seen, error = estimate.order_effect(ordered(effect)) or (0, 0)
    assert seen == pytest.approx(effect, abs=0.005)
    assert error < 0.005
    assert estimate.order_effect(drifting(first_half, seed=1, processes=3)) is None  # positions were not recorded


def test_a_profile_against_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing changed, so verdicts of slower or faster are false alarms; times drift, ratios to the standard do not."""
    name = written(tmp_path / "mine.json", 8)
    record = json.loads(run(capsys, "diff", name, "--self", "--format", "json")[1])
    assert (record["threshold"], record["comparisons"], len(record["rows"])) == (0.05, 2 * compare.SPLITS, 2)
    assert record["false_alarms"] == sum(row["false_alarms"] for row in record["rows"])
    assert record["false_alarm_rate"] <= 0.05
    assert 0 < record["smallest_change"] < 0.05
    out = " ".join(run(capsys, "diff", name, "--self", "--relative", "--fail-over", "3%")[1].split())
    assert "of 20 comparisons" in out  # the standard cell relative to itself is none
    assert "by a threshold of 3 %, though nothing changed" in out


def test_a_machine_that_jumps_is_found_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without probes, and with processes in two modes 30 % apart, halves differ: false alarms or no verdict at all."""
    depth, standard = drifting(lambda process, number: 20e9 if process % 2 else 40e9, 4, processes=8, probed=False)
    Profile(host=Host(cpu="c"), runs=(depth, standard)).save(tmp_path / "mine.json")
    first, _ = json.loads(run(capsys, "diff", str(tmp_path / "mine.json"), "--self", "--format", "json")[1])["rows"]
    assert first["false_alarms"] + first["undecided"] > 15
    assert first["smallest_change"] > 0.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["diff", "mine.json"], "diff takes two profiles, A and B, or A with --self"),
        (["diff", "mine.json", "mine.json", "--self"], "diff takes two profiles, A and B, or A with --self"),
        (
            ["diff", "mine.json", "--self"],
            "no run has 6 processes, 3 for each half: costmodel profile ... --processes 6",
        ),
        (["diff", "paper", "--self"], "no run has 6 processes"),
        (["profiles", "--noise"], "--noise needs the name of a profile"),
        (["profiles", "mine.json", "--noise", "--layers"], "--noise or --layers, not both"),
        (["profiles", "paper", "--at", "30"], "no probes were recorded, so its times cannot be stated at a bandwidth"),
        (["profiles", "mine.json", "--at", "0"], "--at '0': expected GB/s above 0, such as 30"),
        (["profiles", "--at", "30"], "--at needs the name of a profile"),
        (["profiles", "paper", "--noise"], "paper: no measured runs, so there is no noise to show"),
    ],
)
def test_bad_input(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    written(Path("mine.json"), 3)
    code, out, err = run(capsys, *arguments)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert message in err
