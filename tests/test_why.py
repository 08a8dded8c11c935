"""The command ``why``: the bridge from promised to predicted and measured ratios closes, and each item says why."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from fake_machine import FakeMachine
from hypothesis import given
from hypothesis import strategies as st
from test_cli import run
from torch import nn

import costmodel
from costmodel.counting.count import Count
from costmodel.errors import InvalidInput
from costmodel.price.conventions import PAPER, TORCH
from costmodel.price.latency import Predicted, Prediction
from costmodel.price.moment import LARGE, Moment
from costmodel.price.why import NOT_RUN, Bridge, why
from costmodel.profiles import calibration
from costmodel.profiles.records import Host, Probes, Process, Profile, Run, Settings, Subject
from costmodel.report import figures
from costmodel.report.figures import style as drawing
from costmodel.report.why import Why, steps
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


def values(bridge: Bridge) -> dict[str, float]:
    return {item.name: round(float(item.value), 9) for item in bridge.items}


def closes(bridge: Bridge) -> bool:
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


def test_bytes_are_told_from_the_rest_by_the_bandwidth() -> None:
    """B has one tanh more: 2 s, of which 10 bytes at 20 bytes/s are 0.5 s. T(A) is 10 s."""
    moment = Moment(copy=2 * LARGE / 20, cached=1, product=1)
    a = replace(prediction(kernel("dense convolution", 10, 100)), moment=moment)
    b = replace(prediction(*a.rows, kernel("pointwise tanh", 2, bytes=10)), moment=moment)
    assert values(why(a, b, TORCH)) == {
        "pointwise tail beyond bytes (tanh)": 0.15,
        "bytes of pointwise operations (tanh)": 0.05,
    }


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (kernel("pointwise tanh", 1), "pointwise tail beyond bytes (tanh)"),
        (kernel("pointwise mul", 1, bound="memory"), "bytes of pointwise operations (mul)"),
        (kernel("norm batch", 1, bound="memory"), "bytes of normalisations"),
        (kernel("resize bilinear", 1), "resizes beyond bytes"),
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


# ---- what users see --------------------------------------------------------------------------------------------------

MACHINE = FakeMachine()
CELLS = {"size": (32, 64), "machine": MACHINE}
HOW = Settings(device="cpu", dtype="float32", memory_format="contiguous", implementation="eager", threads=2)


def cell(name: str) -> Subject:
    return Subject(cell=name, kernel=(3, 3), channels=(128, 128), size=(32, 64))


def timed(seconds: dict[str, float], cpu: str = "AMD EPYC", probes: Probes | None = None, **how: Any) -> Profile:
    """A profile of three interleaved processes of each cell, three rounds each."""
    runs = [
        Run(
            subject=cell(name),
            how=HOW.model_copy(update=how),
            clock="wall",
            processes=tuple(
                Process(started=f"2026-11-20T1{hour}:00:00+00:00", seconds=(each, each, each), probes=probes)
                for hour in range(3)
            ),
        )
        for name, each in seconds.items()
    ]
    return Profile(host=Host(cpu=cpu), runs=tuple(runs))


BOTH = timed({"standard": 0.020, "spatial": 0.016})
PAIRS: dict[str, Callable[[], Why]] = {
    "cells": lambda: costmodel.why("standard", "spatial", **CELLS),
    "cells, measured": lambda: costmodel.why("standard", "spatial", profile=BOTH, **CELLS),
    "a cell without products of a kind": lambda: costmodel.why("standard", "depth", convention="paper", **CELLS),
    "networks": lambda: costmodel.why("icnet", "v6", machine=MACHINE, size=(97, 97)),
    "a network with two cells": lambda: costmodel.why(
        "v6", cells=["standard", "sep"], machine=MACHINE, size=(97, 97), convention="tf-profiler"
    ),
    "modules": lambda: costmodel.why({"wide": own(64), "narrow": own(16)}, machine=MACHINE),
    "not calibrated": lambda: costmodel.why(
        "standard", "spatial", size=(32, 64), machine=FakeMachine(**{"1xK_convolution": None})
    ),
}


def own(width: int) -> Count:
    net = nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU(), nn.Conv2d(width, 8, 1))
    return costmodel.count(net, "1x3x32x32")


@pytest.mark.parametrize("pair", PAIRS)
def test_every_format_closes_as_it_is_printed(pair: str) -> None:
    result = PAIRS[pair]()
    found = json.loads(result.text("json"), parse_float=Decimal, parse_int=Decimal)
    items = sum(item["ratio"] for item in found["items"])
    assert found["promised"] + items == found["predicted"]
    rows = list(csv.DictReader(io.StringIO(result.text("csv"))))
    values = {step: sum(Decimal(row["ratio"]) for row in rows if row["step"] == step) for step in KINDS_OF_STEPS}
    assert values["promised"] + values["item"] == values["predicted"] == found["predicted"]
    table = result.sheets()[0].rows
    shown = [Decimal(row[1]) for row in table]
    end = next(n for n, row in enumerate(table) if row[0] == "predicted")
    assert sum(shown[:end]) == shown[end]
    if "measured" in pair:
        assert found["predicted"] + found["remainder"] == found["measured"] == values["measured"]
        assert shown[end] + shown[end + 1] == shown[end + 2]
    for side in "ab":
        assert sum(part[side]["s"] for part in found["parts"]) == found[f"{side}_s"]
    times = result.sheets()[1].rows
    assert sum(Decimal(row[3] or 0) for row in times[:-1]) == Decimal(times[-1][3])


KINDS_OF_STEPS = ("promised", "item", "predicted", "remainder", "measured")


def test_small_items_are_summed_in_tables_alone() -> None:
    """20 items of 0.001 to 0.020 times A: a table of 3 has the three largest, and 17 others. One of 1e-9 is in none."""
    rows = [kernel(f"aten.k{n}", n / 1000, bound=None) for n in range(1, 21)]
    rows.append(kernel("aten.tiny", 1e-9))
    bridge = why(
        prediction(kernel("dense convolution", 1, 100)), prediction(kernel("dense convolution", 1, 100), *rows), TORCH
    )
    assert [step.name for step in steps(bridge, 4, 3)] == [
        "promised",
        "aten.k20",
        "aten.k19",
        "aten.k18",
        "18 smaller items",
        "predicted",
    ]
    assert len(steps(bridge, 6)) == 22


def test_the_measured_ratio_is_that_of_the_profile() -> None:
    """16 ms of 20 ms: 0.8, in three processes without spread."""
    result = costmodel.why("standard", "spatial", profile=BOTH, **CELLS)
    assert result.bridge.measured == pytest.approx(0.8)
    assert result.title == "spatial cell takes 80.0 % of the time of standard cell, where FLOPs promise 66.7 %"
    assert json.loads(result.text("json"))["measured_verdict"] == "stable"


def test_without_times_the_bridge_ends_at_the_prediction() -> None:
    result = costmodel.why("standard", "spatial", **CELLS)
    assert (result.timing, result.bridge.measured) == (None, None)
    assert "spatial cell would take" in result.title
    assert "there is no profile fake" in result.lacking
    assert "costmodel profile --cell standard,spatial --size 32x64" in result.lacking


def test_the_profile_of_the_machine_is_read_by_default() -> None:
    recorded = FakeMachine("amd-epyc-2-cores")
    result = costmodel.why("standard", "spatial", machine=recorded, threads=2)
    assert result.timing
    assert result.timing.profile == "amd-epyc-2-cores"
    with pytest.raises(InvalidInput, match=r"several settings, choose one: .*2 threads or .*1 thread$"):
        costmodel.why("standard", "spatial", machine=recorded)


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        (timed({"standard": 0.02}), "no times of both standard cell and spatial cell"),
        (timed({"standard": 0.02, "spatial": 0.02}, memory_format="channels_last"), "no times of both"),
        (timed({"standard": 0.02, "spatial": 0.02}, implementation="compiled"), "no times of both"),
        ("paper", "no times of both .*; to record them: costmodel profile --cell standard,spatial"),
        ("nowhere", "no profile 'nowhere'"),
    ],
)
def test_a_named_profile_needs_times_of_both(profile: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        costmodel.why("standard", "spatial", profile=profile, **CELLS)


@pytest.mark.parametrize(
    ("models", "cells", "message"),
    [
        (("sep",), "standard", "why is about two, A and B: sep cell is not two"),
        (("sep", "depth", "spatial"), "standard", "sep cell, depth cell, spatial cell are not two"),
        (("sep", "sep"), "standard", "sep cell is given twice"),
        (("v6",), "standard", "LSTM-ICNet v6 is not two"),
        (("v6",), ["sep", "depth", "standard"], "are not two"),
        (("mine:net", "sep"), "standard", "names a module"),
        (("standard", "septic"), "standard", "unknown"),
    ],
)
def test_two_things_are_needed(models: Any, cells: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        costmodel.why(*models, cells=cells, machine=MACHINE, size=(97, 97))


def test_times_are_stated_at_another_bandwidth() -> None:
    """At a tenth of the bandwidth what moves takes longer, and multiplying does not."""
    usual, slow = (costmodel.why("standard", "depth", bandwidth=bandwidth, **CELLS).bridge for bandwidth in (20e9, 2e9))
    assert slow.b.moment
    assert slow.b.moment.bandwidth == pytest.approx(2e9)
    assert slow.predicted > usual.predicted


@pytest.mark.parametrize(("cpu", "bandwidth"), [("AMD EPYC", 10e9), ("another", 20e9)])
def test_both_are_stated_at_the_moment_of_the_measured_ratio(cpu: str, bandwidth: float) -> None:
    """The probes of the profile copied 10 GB/s; the machine was calibrated at 20."""
    probes = Probes(copy=(2 * LARGE / 10e9,) * 3, cached=(1e-4,) * 3, product=(1e-2,) * 3)
    profile = timed({"standard": 0.020, "spatial": 0.016}, cpu, probes)
    recorded = FakeMachine("amd-epyc-2-cores")
    result = costmodel.why("standard", "spatial", size=(32, 64), machine=recorded, profile=profile)
    assert result.bridge.a.moment
    assert result.bridge.a.moment.bandwidth == pytest.approx(bandwidth)


def test_kinds_without_a_rate_are_named_in_every_format() -> None:
    result = PAIRS["not calibrated"]()
    assert "fake is not calibrated for 16 x 1xK convolution of spatial cell" in " ".join(result.text().split())
    assert json.loads(result.text("json"))["missing"] == {"a": {}, "b": {"1xK convolution": 16}}
    assert not json.loads(result.text("json"))["complete"]


def test_a_data_sheet_gives_a_roofline_without_a_range() -> None:
    """Convolutions are bound by arithmetic, and the rest does not change: no item of the former."""
    result = costmodel.why("standard", "spatial", machine="nvidia-h100-sxm")
    assert "the least time of each operation by the data sheet" in " ".join(result.text().split())
    assert list(result.sheets()[0].columns) == ["step", "%"]
    assert [step.name for step in steps(result.bridge, 6) if "convolution" in step.name] == []


def test_frames_and_notebooks() -> None:
    result = PAIRS["cells"]()
    frame = result.frame()
    assert frame.attrs["machine"] == "fake"
    assert next(iter(frame.step)) == "promised"
    assert "<table" in result._repr_html_()
    assert repr(result).startswith("<Why: spatial cell would take")


# ---- figures ---------------------------------------------------------------------------------------------------------

FIGURES = {"waterfall": figures.waterfall, "roofline": figures.roofline}


@pytest.mark.parametrize("pair", ["cells, measured", "a network with two cells"])
@pytest.mark.parametrize("kind", FIGURES)
def test_figures_fit_a_column_of_print(kind: str, pair: str) -> None:
    figure = drawing.drawn(partial(FIGURES[kind], PAIRS[pair]()))
    with matplotlib.rc_context(figures.STYLE):
        figure.canvas.draw()
    drawn = figure.get_tightbbox()  # inches, of everything that is drawn
    assert -0.01 <= drawn.x0 <= drawn.x1 <= figure.get_figwidth() + 0.01
    assert -0.01 <= drawn.y0 <= drawn.y1 <= figure.get_figheight() + 0.01
    told = " ".join(" ".join(text.get_text() for text in figure.axes[0].texts).split())
    assert "predicted: fake: cpu, float32, contiguous, 2 threads, torch 2.13.0, at 20 GB/s" in told


def test_bars_lead_from_the_promise_to_the_measured_ratio() -> None:
    result = PAIRS["cells, measured"]()
    ax = drawing.drawn(partial(figures.waterfall, result)).axes[0]
    bars = [patch for patch in ax.patches if isinstance(patch, matplotlib.patches.Rectangle)][::-1]  # from the top
    ends = [round(bar.get_x() + bar.get_width(), 6) for bar in bars]
    levels = [step.level / 100 for step in steps(result.bridge, 4, 8)]
    assert ends == pytest.approx(levels)
    assert bars[0].get_width() == 66.67
    assert bars[-1].get_width() == 80


def test_every_operation_with_flops_is_a_dot() -> None:
    """A standard cell has 8 convolutions with padding inside, 4 + 4 sums and products of gates, 5 activations."""
    result = PAIRS["cells"]()
    ax = drawing.drawn(partial(figures.roofline, result)).axes[0]
    dots = [line for line in ax.lines if line.get_marker() in ("o", "s") and len(line.get_xdata()) == 1]
    rows = [*result.bridge.a.rows, *result.bridge.b.rows]
    assert len(dots) == sum(bool(list(row.operation.cost.work)) for row in rows)


# ---- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(name: str, given: object) -> tuple[FakeMachine, Settings]:
        return FakeMachine(name), HOW

    monkeypatch.setattr(calibration, "look_up", look_up)


@pytest.mark.usefixtures("fake")
def test_the_command_prints_and_draws(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    BOTH.save(tmp_path / "both.json")
    plot, roof = tmp_path / "why.svg", tmp_path / "roof.svg"
    words = f"why standard spatial --size 32x64 --machine fake --profile {tmp_path}/both.json"
    code, out, err = run(capsys, *words.split(), "--plot", str(plot), "--roofline", str(roof))
    assert (code, err) == (0, "")
    assert re.search(r"^promised +66\.67", out, re.M)
    assert re.search(r"^measured +80\.00", out, re.M)
    assert plot.exists()
    assert roof.exists()


@pytest.mark.usefixtures("fake")
def test_modules_of_the_user(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Convolutions of 3 to 8 and of 3 to 2 channels: a quarter of the FLOPs."""
    nets = tmp_path / "nets.py"
    nets.write_text("from torch import nn\nwide = lambda: nn.Conv2d(3, 8, 3)\nnarrow = lambda: nn.Conv2d(3, 2, 3)\n")
    words = f"why {nets}:wide {nets}:narrow --input 1x3x64x64 --machine fake --format json"
    code, out, err = run(capsys, *words.split())
    assert code == 0
    assert json.loads(out)["promised"] == 0.25
    assert "there is no profile fake with times; to record them: costmodel profile --model" in err


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("why standard spatial", "--machine"),
        ("why standard --machine fake", "why is about two"),
        ("why standard spatial --cell sep --machine fake", "--cell is for described networks"),
        ("why standard spatial --machine fake --plot why.txt", "--plot 'why.txt': expected a file that ends in"),
        ("why standard spatial --machine fake --roofline x.txt", "--roofline 'x.txt': expected a file that ends in"),
        ("why standard spatial --machine fake --profile paper", "profile paper has no times of both"),
        ("why standard spatal --machine fake", "did you mean 'spatial'"),
    ],
)
def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str], words: str, message: str) -> None:
    code, out, err = run(capsys, *words.split())
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
