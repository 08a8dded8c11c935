"""The arithmetic of `benchmarks/prediction_accuracy.py` and `benchmarks/published_times.py`, on rows made by hand."""

import json
import math
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_machine import FakeMachine

import costmodel
from costmodel.measure.operations import operations
from costmodel.measure.profile import choose, settings_grid
from costmodel.price.machine import Machine
from costmodel.profiles.records import Host, Probes, Process, Profile, Run, Subject

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))
accuracy: Any = import_module("prediction_accuracy")
tables: Any = import_module("accuracy_tables")
subjects: Any = import_module("accuracy_subjects")
published: Any = import_module("published_times")

HOW = settings_grid(threads=1)[0]
COPY, CACHED, PRODUCT = 0.01, 1e-4, 0.01  # seconds of the probes


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The path of Python is afterwards as it was before."""
    monkeypatch.setattr(sys, "path", [*sys.path])


def row(measured: float, predicted: float, *, width: float = 0.1, **others: Any) -> Any:
    """A row with an interval of so much on each side, relative to the prediction."""
    others = {"title": "a subject", "family": "cells", "floor": 0.0, "flops": 1.0, "data_sheet": 1.0} | others
    low, high = predicted * (1 - width), predicted * (1 + width)
    return tables.Row(measured=measured, predicted=predicted, low=low, high=high, **others)


def test_errors() -> None:
    found = tables.figures([1.1, 1.6, 3.9], [1.0, 2.0, 3.0])  # + 10 %, - 20 %, + 30 %

    assert found.median == pytest.approx(0.2)
    assert found.largest == pytest.approx(0.3)
    assert found.above == 1  # 0.3 alone is above 0.2


@pytest.mark.parametrize(
    ("measured", "predicted", "pairs", "wrong"),
    [
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], 3, ()),
        ([1.0, 2.0, 3.0], [1.0, 3.0, 2.0], 3, ((2, 1),)),  # 3 is predicted below 2
        ([3.0, 2.0, 1.0], [1.0, 2.0, 3.0], 3, ((0, 1), (0, 2), (1, 2))),
        ([1.0, 1.09], [2.0, 1.0], 0, ()),  # they differ by 9 %: no pair
        ([1.11, 1.0], [1.0, 2.0], 1, ((0, 1),)),  # by 11 %
        ([1.0, 2.0], [1.5, 1.5], 1, ((1, 0),)),  # no order at all is no right order
    ],
)
def test_order_of_pairs(measured: list[float], predicted: list[float], pairs: int, wrong: Any) -> None:
    found = tables.figures(predicted, measured)

    assert (found.pairs, found.wrong) == (pairs, wrong)


def test_a_constant_for_flops_comes_from_all_other_subjects() -> None:
    # Seconds per FLOP are 1, 1, 2: the medians of the others are (1 + 2) / 2, (1 + 2) / 2 and 1.
    assert tables.proportional([1.0, 2.0, 3.0], [1.0, 2.0, 6.0]) == [1.5, 3.0, 3.0]


def test_intervals_and_floors() -> None:
    exact, off, below = row(1.0, 1.0), row(1.2, 1.0), row(1.0, 1.0, floor=1.01)

    assert [each.inside for each in (exact, off, below)] == [True, False, True]  # 0.9 to 1.1
    assert [each.violated for each in (exact, off, below)] == [False, False, True]
    assert exact.half_width == pytest.approx(0.1)


def test_goals_say_what_misses_them() -> None:
    rows = [row(1.0, 1.0, width=0.2)] * 3 + [
        row(1.0, 1.3, title="resnet", family="modules", parts=Counter({"pool": 0.9, "copy": 0.4})),
        row(2.0, 1.3, title="unet", family="modules", floor=2.1),
    ]
    median, largest, covered, width, pairs, floors = tables.goals(rows)

    assert median.met  # 0, 0, 0, 30 %, 35 %
    assert not largest.met
    assert largest.found == pytest.approx(0.35)
    assert largest.why == "unet -35 % (), resnet +30 % (pool 69 %)"  # 0.9 / 1.3
    assert (covered.found, covered.met) == (pytest.approx(0.6), False)  # 3 of 5
    assert (width.found, width.met) == (pytest.approx(0.2), False)  # of 0.2, 0.2, 0.2, 0.1, 0.1
    assert (pairs.found, pairs.why) == (1, "unet takes longer than resnet")  # both are predicted as 1.3
    assert (floors.found, floors.why) == (1, "unet")


def test_long_lists_are_cut() -> None:
    assert tables._named([str(n) for n in range(8)]) == "0, 1, 2, 3, 4, 5, and 2 more"


def recorded(subject: Subject, seconds: float) -> Run:
    probes = Probes(copy=(COPY,) * 3, cached=(CACHED,) * 3, product=(PRODUCT,) * 3)
    process = Process(seconds=(seconds,) * 3, probes=probes)
    return Run(subject=subject, how=HOW, clock="wall", processes=(process, process))


def test_predictions_are_stated_at_the_moment_of_the_measurement(capsys: pytest.CaptureFixture[str]) -> None:
    subject = choose([HOW], None, "depth", channels=[(8, 8)], size=(20, 30))[0].subject
    (found,) = accuracy.judged([recorded(subject, 0.002)], FakeMachine(), Machine(1e12, 1e9), {})
    every = subjects.operations_of(subject, HOW)
    cost = costmodel.cell("depth", channels=8, size=(20, 30)).cost

    assert found.measured == pytest.approx(0.002)
    assert found.bandwidth == pytest.approx(2 * (128 << 20) / COPY)
    assert found.predicted == FakeMachine(bandwidth=found.bandwidth).predict(every).seconds
    assert found.flops == 2 * 8 * 9 * 8 * 600  # of 8 depthwise convolutions over 8 channels, 20 x 30
    # Each byte takes 1 ns, far longer than its arithmetic.
    assert found.data_sheet == pytest.approx((cost.reads + cost.writes) * 1e-9)
    assert sum(found.parts.values()) == pytest.approx(found.predicted)
    assert json.loads(json.dumps(found.record()))["inside"] is found.inside


@pytest.mark.parametrize(
    "choice",
    [
        {"models": "v6", "cells": "sep", "kernels": [(5, 5)], "sites": {"low": "depth"}, "size": (256, 512)},
        {"models": "icnet", "size": (256, 512)},
        {"models": "erfnet-DG2", "size": (128, 256)},
        {"cells": "spatial", "kernels": [(3, 5)], "channels": [(8, 16)], "size": (20, 30)},
    ],
)
def test_a_recorded_subject_is_described_again(choice: dict[str, Any]) -> None:
    for job in choose([HOW], **choice):
        assert subjects.described(job.subject).cost == job.workload.program.cost  # type: ignore[attr-defined]


def test_modules_are_counted_again() -> None:
    made = costmodel.module("accuracy_subjects:unet", "1x3x32x32", arguments={"width": 4})

    assert subjects.operations_of(made.subject, HOW) == operations(made)
    assert subjects.short(made.subject) == "unet 4"
    later = made.subject.model_copy(update={"structure": "another"})
    with pytest.raises(costmodel.InvalidInput, match="has changed since"):
        subjects.operations_of(later, HOW)


@pytest.mark.parametrize("form", ["text", "markdown", "json"])
def test_tables(form: str) -> None:
    rows = [row(1.0, 1.05), row(2.0, 2.5, title="b", missing=Counter({"aten.foo": 2}), peer=3.0, peer_replay=2.5)]
    text = tables.document([*rows, row(4.0, 4.0, peer=2.0, peer_replay=4.0)], "machine x", "1 GFLOP/s").text(form)

    assert "aten.foo" in text
    if form == "json":
        assert '"median_error": 0.05' in text  # of 5 %, 25 %, 0
        assert '"subjects": 2' in text  # of neural-cost
    else:
        assert "+25.0 %" in text
        assert "missed" in text


def test_a_profile_is_judged_from_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = choose([HOW], None, ["depth", "sep"], channels=[(8, 8)], size=(20, 30))
    file = tmp_path / "x.json"
    Profile(host=Host(cpu="A CPU"), runs=tuple(recorded(job.subject, 0.001) for job in jobs)).save(file)
    monkeypatch.setattr(accuracy, "find_machine", lambda name, how: FakeMachine(name))
    options = ["--machine", "fake", "--judge", str(file), "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["prediction_accuracy.py", *options])

    assert accuracy.main() == 1  # equal times are not what the machine says
    assert "depth cell" in capsys.readouterr().out

    monkeypatch.setattr(sys, "argv", [*sys.argv, "--only", "resnet"])
    assert accuracy.main() == 2
    said = "has 0 of the subjects with float32, contiguous, eager, 1 thread: at least 2 are needed"
    assert said in capsys.readouterr().err


def test_the_peer_is_no_dependency(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert accuracy.by_peer(tmp_path, tmp_path / "x.json", []) == {}
    assert f"pip install --no-deps --target {tmp_path} neural-cost" in capsys.readouterr().err

    (tmp_path / "x-neural-cost.json").write_text('{"digest": [1.0, 2.0]}')  # of an earlier call
    assert accuracy.by_peer(tmp_path, tmp_path / "x.json", []) == {"digest": [1.0, 2.0]}


def test_subjects_are_chosen_by_family_and_by_title(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(subjects.FAMILIES, "modules")  # which may have to be installed
    cells = accuracy.chosen(HOW, ["cells"])

    assert len(cells) == 16  # four cells at K = 3, 5, 7, and again at another size
    assert {subjects.family(job.subject) for job in cells} == {"cells"}
    titles = [subjects.short(job.subject) for job in accuracy.chosen(HOW, ["ERFNet-D ", "sep cell 5x5"])]
    assert titles == ["ERFNet-D 512x1024", "sep cell 5x5 96 96x160"]
    with pytest.raises(costmodel.InvalidInput, match="no subject for nothing: a family"):
        accuracy.chosen(HOW, ["nothing"])


def test_what_was_measured_is_kept_when_the_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = choose([HOW], None, ["depth", "sep"], channels=[(8, 8)], size=(20, 30))

    def record(jobs: Any, path: Path, *, tick: Any, **_: Any) -> None:
        Profile(host=Host(cpu="A CPU"), runs=(recorded(jobs[0].subject, 0.001),)).save(path)
        tick(0.5, jobs[1].subject.title)
        pytest.fail("the time is over")

    monkeypatch.setattr(accuracy, "record", record)
    profile = accuracy.measured(jobs, tmp_path / "x.json", minutes=0.0, processes=2, rounds=3, verify=False)

    assert [run.subject for run in profile.runs] == [jobs[0].subject]
    assert "0 minutes are over" in capsys.readouterr().err


def test_usual_peak() -> None:
    peak, words = accuracy.usual_peak()
    number, clock, each = (float(part.split()[0]) for part in words.split(" x "))

    assert peak == pytest.approx(number * clock * 1e9 * each, rel=0.01)  # the clock is rounded in words


# ---- published times -------------------------------------------------------------------------------------------------

AMOUNTS = np.array([[58e9, 2e9, 226], [135e9, 3e9, 249], [109e9, 4e9, 257], [59e9, 3e9, 257], [67e9, 5e9, 300.0]])


@pytest.mark.parametrize("known", [[1e-13, 5e-12, 2e-4], [1e-13, 0.0, 2e-4], [0.0, 5e-12, 0.0]])
def test_known_constants_are_found(known: list[float]) -> None:
    seconds = AMOUNTS @ known

    assert published.constants(AMOUNTS, seconds) == pytest.approx(known, rel=1e-6, abs=1e-20)
    assert published.left_out(AMOUNTS, seconds) == pytest.approx(seconds)


def test_no_constant_is_negative() -> None:
    # Exact with 2 and -1; without the second column the best is the least squares of c / t * a - 1.
    amounts = np.array([[1.0, 1.0], [1.0, 0.5], [2.0, 0.5]])
    seconds = amounts @ [2.0, -1.0]  # 1, 1.5, 3.5
    ratios = amounts[:, 0] / seconds

    assert published.constants(amounts, seconds) == pytest.approx([ratios.sum() / (ratios @ ratios), 0.0])


def test_share_of_variance() -> None:
    seconds = np.exp([0.0, 1.0, 2.0])  # of logarithms: mean 1, squares 2

    assert published.explained(seconds, seconds) == 1
    assert published.explained(np.full(3, math.e), seconds) == 0  # as good as the mean
    assert published.explained(np.exp([0.0, 1.0, 1.0]), seconds) == pytest.approx(0.5)  # 1 of 2


def test_all_rows_of_table_iv(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["published_times.py"])
    published.main()
    out = capsys.readouterr().out

    assert out.count("sep-LSTM-ICNet v6") == 2  # a row for the GPU, a row for the CPU
    assert "1.048, 1.074, 1.099" in out  # in print, spatial / standard: 68.15 / 65.01, 74.82 / 69.64, 88.08 / 80.16
