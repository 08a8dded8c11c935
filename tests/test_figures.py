"""Figures: what they show is what the tables say, nothing is cut off, and one column of print is enough."""

import re
import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from references import rows

import costmodel
from costmodel.describe.catalogue import describe_network
from costmodel.describe.cells import CELLS
from costmodel.describe.ops import Conv
from costmodel.errors import InvalidInput
from costmodel.profiles.files import read
from costmodel.profiles.recording import recording
from costmodel.profiles.records import Host, Process, Profile, Run, Settings, Subject
from costmodel.published import lstm_icnet as published
from costmodel.report import figures
from costmodel.report.figures import style as drawing
from costmodel.report.table import table
from costmodel.video.simulation import simulate

STAGES = costmodel.Stages(low=61, high=299, select=20, propagate=38)
RECORDED = read("amd-epyc-2-cores")
ONE_THREAD = next(run.how for run in RECORDED.runs if run.how.threads == 1)  # single cells alone
PLAIN = table()
TIMED = PLAIN.timed("amd-epyc-2-cores", RECORDED)
GRID = costmodel.sweep([3, 5], [128], (128, 256))
V6 = describe_network("v6", cell="standard", size=(1024, 2048))
KINDS: dict[str, Callable[..., Any]] = {
    "overview": partial(figures.overview, TIMED),
    "overview as published": partial(figures.overview, PLAIN),
    "overview without times": partial(figures.overview, table(size=(97, 97))),
    "time": partial(figures.time, TIMED),
    "time of one row": partial(figures.time, table(["icnet"]).timed("amd", RECORDED)),
    **{f"quality {metric}": partial(figures.quality, TIMED, metric) for metric in published.QUALITY},
    "quality by time": partial(figures.quality, TIMED, cost="time"),
    "time of peepholes": partial(figures.time, table(recurrence="peephole")),
    "overview of peepholes": partial(figures.overview, table(recurrence="channel-peephole")),
    "overview with a site": partial(
        figures.overview, table(["v6"], ["sep"], recurrence="peephole", sites={"final": "standard"})
    ),
    "time in MACs": partial(figures.time, table(convention="fvcore")),
    "layers": partial(figures.layers, V6),
    "layers of ICNet": partial(figures.layers, describe_network("icnet", size=(97, 97)), most=20),
    "kernels": partial(figures.kernels, GRID),
    "kernels, oblong": partial(figures.kernels, costmodel.sweep([(3, 5), (5, 3), (7, 1)], [64, (64, 96)])),
    "channels": partial(figures.kernels, costmodel.sweep(3, [8, 64, 512])),
    "kernels, many": partial(figures.kernels, costmodel.sweep(range(1, 17, 2), [8, 16, 32, 64, 128, 256])),
    "one kernel": partial(figures.kernels, costmodel.sweep(3, 128)),
    "the standard cell alone": partial(figures.kernels, costmodel.sweep(cells="standard")),
    "timeline": partial(figures.timeline, simulate(costmodel.schedule(STAGES, "parallel", 5))),
    "timeline of one device": partial(figures.timeline, simulate(costmodel.schedule(STAGES, devices=1, gaps=[2, 7]))),
    "timeline with drops": partial(
        figures.timeline, simulate(costmodel.schedule(STAGES, "fixed", 3, frame_period=40), buffer=0), most=40
    ),
    "promise": partial(figures.promise, GRID, RECORDED),
    "promise of depth": partial(figures.promise, costmodel.sweep(3, cells=["depth"]), RECORDED),
    "promise on one thread": partial(figures.promise, GRID, RECORDED.only(lambda how: how.threads == 1)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_everything_is_inside_a_column_of_print(kind: str) -> None:
    figure = drawing.drawn(KINDS[kind])
    assert figure.get_figwidth() == pytest.approx(8.5 / 2.54)
    with matplotlib.rc_context(figures.STYLE):
        figure.canvas.draw()
    drawn = figure.get_tightbbox()  # inches, of everything that is drawn
    assert -0.01 <= drawn.x0 <= drawn.x1 <= figure.get_figwidth() + 0.01
    assert -0.01 <= drawn.y0 <= drawn.y1 <= figure.get_figheight() + 0.01
    texts = [text for text in figure.findobj(matplotlib.text.Text) if text.get_text()]
    assert min(text.get_fontsize() for text in texts) >= 5.5


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_carry_units_and_where_they_are_from(kind: str) -> None:
    (ax,) = drawing.drawn(KINDS[kind]).axes
    told = " ".join(" ".join([ax.get_xlabel(), ax.get_ylabel(), *(text.get_text() for text in ax.texts)]).split())
    assert re.search("convention|promised by FLOPs|million parameters|ms per frame", told)
    if kind in ("time", "overview", "promise", "quality by time"):
        assert "time: AMD EPYC, float32, contiguous, eager, 2 threads, 2026-11-20" in told
    if kind == "overview as published":
        assert "time: NVIDIA TITAN X, as published" in told


def points(figure: Figure, marker: str) -> list[tuple[float, float]]:
    """The places of single markers; those of legends have none."""
    lines = [line for line in figure.axes[0].lines if line.get_marker() == marker]
    return [(float(x), float(y)) for line in lines for x, y in zip(*line.get_data(), strict=True)]


def test_the_overview_is_fig_1() -> None:
    """The introduction, of v2: 133 % more FLOPs, 18 % more parameters, and 65 ms instead of 48."""
    figure = drawing.drawn(KINDS["overview as published"])
    v2 = 13 - 2  # the second of 13 rows, counted from below
    at = {marker: {y: x for x, y in points(figure, marker)} for marker in "svD"}
    assert at["s"][v2] == pytest.approx(7887 / 6707, abs=1e-3)
    assert at["v"][v2] == pytest.approx(135.74 / 58.38, abs=1e-3)
    assert at["D"][v2] == pytest.approx(65.01 / 48.19)
    assert [len(places) for places in at.values()] == [13, 13, 13]


def test_time_stands_over_flops() -> None:
    figure = drawing.drawn(KINDS["time"])
    shown = sorted(point for marker in "*osvD" for point in points(figure, marker))
    for point, row in zip(shown, sorted(TIMED.rows, key=lambda row: row.flops), strict=True):
        (timing,) = [timing for timing in row.timings if timing.how == eager().runs[0].how]
        assert point == pytest.approx((row.flops / 1e9, 1e3 * timing.median_s))


def eager() -> Profile:
    return RECORDED.only(lambda how: how.implementation == "eager" and how.memory_format == "contiguous")


def test_a_promise_and_what_became_of_it() -> None:
    """depth at K = 3 promises 18469/181 = 102.04; measured: the medians of its processes' rounds."""
    figure = drawing.drawn(partial(figures.promise, GRID, eager()))
    depth = points(figure, "v")
    assert {round(x, 2) for x, _ in depth} == {102.04, 117.25}  # at K = 5: (16*25*128 + 37) / (16*25 + 37)
    subject = Subject(cell="spatial", kernel=(3, 3), channels=(128, 128), size=(128, 256))
    (timing,) = [t for t in costmodel.estimates(eager()).itertuples() if t.subject == subject.title and t.threads == 2]
    assert (12_325 / 18_469, 100 / timing.pct) == pytest.approx(
        (1 / points(figure, "s")[0][0], points(figure, "s")[0][1])
    )


def test_what_is_not_stable_is_hollow() -> None:
    figure = drawing.drawn(partial(figures.promise, GRID, eager()))
    faces = {
        str(line.get_markerfacecolor())
        for line in figure.axes[0].lines
        if line.get_marker() == "v" and len(line.get_xdata())
    }
    assert faces == {drawing.PAPER}
    spatial = [line for line in figure.axes[0].lines if line.get_marker() == "s" and len(line.get_xdata())]
    assert {str(line.get_markerfacecolor()) for line in spatial} == {drawing.COLOURS[0]}


def machine(name: str, seconds: float, **host: Any) -> Profile:
    """A profile of v6 and ICNet, every process the same."""
    how = Settings(device="cpu", dtype="float32", memory_format="contiguous", implementation="eager", threads=1)
    networks = [Subject(network="icnet", classes=19, size=(1024, 2048))]
    for cell in ("standard", "sep"):
        networks.append(Subject(network="v6", cell=cell, kernel=(3, 3), classes=19, size=(1024, 2048)))
    processes = (Process(seconds=(seconds,)),) * 5
    runs = tuple(Run(subject=each, how=how, clock="wall", processes=processes) for each in networks)
    return Profile(host=Host(cpu=name, **host), runs=runs)


@pytest.mark.parametrize("draw", [figures.time, figures.overview, partial(figures.quality, cost="time")])
def test_two_machines_are_not_mixed(draw: Callable[..., Any]) -> None:
    """Both run in the same way: each figure has the numbers, and the name, of its own."""
    both = table(["v6"], ["standard", "sep"]).timed("one", machine("First", 0.1)).timed("two", machine("Second", 0.7))
    for (profile, how), name, seconds in zip(both.times(), ("First", "Second"), (0.1, 0.7), strict=True):
        figure = drawing.drawn(partial(draw, both, way=(profile, how)))
        assert f"time: {name}, " in " ".join(text.get_text() for text in figure.axes[0].texts)
        if draw is figures.time:
            assert {round(y) for _, y in points(figure, "o") + points(figure, "D")} == {round(1e3 * seconds)}
    first = drawing.drawn(partial(draw, both))  # by default the first one
    assert "time: First, " in " ".join(text.get_text() for text in first.axes[0].texts)


def test_names_with_dollars_and_profiles_without_dates() -> None:
    odd = table(["v6"], ["standard"]).timed("odd", machine("Foo $\\bar$ X", 0.1))
    figure = drawing.drawn(partial(figures.time, odd))
    drawing.export(figure, "svg")
    assert "time: Foo $\\bar$ X, float32" in " ".join(text.get_text() for text in figure.axes[0].texts)


def test_times_of_batches_say_so() -> None:
    profile = machine("X", 0.1)
    runs = tuple(run.model_copy(update={"how": run.how.model_copy(update={"batch": 8})}) for run in profile.runs)
    timed = table(["v6"], ["standard"]).timed("x", profile.model_copy(update={"runs": runs}))
    assert drawing.drawn(partial(figures.time, timed)).axes[0].get_ylabel() == "ms per batch"


def test_a_timeline_shows_when_devices_work() -> None:
    """The first frame is run in full (61 + 299); then a frame every 119 ms; frame 5 is a key frame, whose high part
    starts on device 2 when its 61 + 20 ms are over: 360 + 4*119 + 81 = 917."""
    (ax,) = drawing.drawn(KINDS["timeline"]).axes
    bars = [path.get_extents() for bars in ax.collections for path in bars.get_paths()]
    device = {number: [(box.x0, box.x1) for box in bars if box.y0 < -number < box.y1] for number in (1, 2)}
    assert device[1][:5] == [(0, 61), (61, 360), (360, 421), (421, 441), (441, 479)]
    assert device[2][0] == (917, 917 + 299)
    assert [x for x, _ in points(ax.figure, "v")][:2] == [0, 360 + 4 * 119]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["device 1", "device 2"]


def test_layers_add_up_to_the_network() -> None:
    (ax,) = drawing.drawn(KINDS["layers"]).axes
    assert sum(bar.get_width() for bar in ax.patches) == pytest.approx(
        251.343772492
    )  # Table IV, exact: 251,343,772,492
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names[:4] == ["high (recurrent)", "final (recurrent)", "medium (recurrent)", "low (recurrent)"]
    assert names[-1] == "88 others"


def test_quality_is_typed_as_printed() -> None:
    columns = {name: f"{name.replace('-', '_')}_{'permille' if 'mf' in name else 'pct'}" for name in published.QUALITY}
    for row in rows("paper_quality.csv"):
        for name, column in columns.items():
            assert published.QUALITY[name].values[row["approach"]] == float(row[column])
    assert list(published.QUALITY["cityscapes-miou"].values) == list(published.TABLE_IV)


PLANE = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1)


@given(PLANE, st.booleans())
def test_the_pareto_front_is_what_nothing_beats(plane: list[tuple[int, int]], more: bool) -> None:
    def beats(a: tuple[int, int], b: tuple[int, int]) -> bool:
        good = a[1] >= b[1] if more else a[1] <= b[1]
        return a != b and a[0] <= b[0] and good

    front = figures.networks.pareto(plane, more)
    assert set(front) == {a for a in plane if not any(beats(b, a) for b in plane)}
    assert front == sorted(set(front))


def test_a_new_cell_gets_a_colour_and_marker_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    before = drawing.styles(CELLS)
    monkeypatch.setitem(CELLS, "grouped", lambda i, o, kx, ky: (Conv(o, (kx, ky), groups=4),))
    after = drawing.styles(CELLS)
    assert {name: after[name] for name in before} == before
    assert after["grouped"] not in before.values()
    many = drawing.styles([f"cell {n}" for n in range(30)])
    assert len(set(many.values())) == 30


def test_the_same_figure_gives_the_same_file() -> None:
    once, again = (drawing.export(drawing.drawn(KINDS["kernels"]), "svg") for _ in range(2))
    assert once == again


def test_a_users_settings_do_not_change_figures() -> None:
    ours = drawing.export(drawing.drawn(KINDS["kernels"]), "svg")
    with matplotlib.rc_context({"text.usetex": True, "font.family": "serif", "figure.figsize": (1, 1)}):
        assert drawing.export(drawing.drawn(KINDS["kernels"]), "svg") == ours


def test_axes_can_be_given_and_come_back() -> None:
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert figures.time(TIMED, ax=left) is left
    assert figures.promise(GRID, RECORDED, ax=right) is right
    figure.canvas.draw()


def test_inline_figures_share_no_names() -> None:
    svg = drawing.export(drawing.drawn(KINDS["kernels"]), "svg")
    one, two = (drawing.inline(svg, name, 'a "label"') for name in ("one", "two"))
    ids = [set(re.findall(r'\bid="(.*?)"', text)) for text in (one, two)]
    assert ids[0]
    assert not ids[0] & ids[1]
    for text, own in zip((one, two), ids, strict=True):
        assert set(re.findall(r'(?:xlink:href="|url\()#([^")]+)', text)) <= own
    assert 'aria-label="a &quot;label&quot;"' in one
    assert drawing.INK not in one


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (partial(figures.quality, PLAIN, "speed"), "unknown metric 'speed': one of cityscapes-acc"),
        (partial(figures.quality, PLAIN, cost="bytes"), "unknown cost 'bytes': one of flops, params, time"),
        (partial(figures.quality, table(size=(97, 97))), "not published"),
        (
            partial(figures.time, table(["v2"], ["sep"], size=(97, 97))),
            "costmodel profile --model icnet,v2 --cell sep --size 97x97 ",
        ),
        (partial(figures.promise, costmodel.sweep(9, 64), RECORDED), "--kernel 9 --channels 64 --out NAME"),
        (
            partial(figures.promise, costmodel.sweep(cells="standard"), RECORDED),
            "a cell other than the standard cell",
        ),
        (partial(figures.overview, TIMED, way=("amd-epyc-2-cores", ONE_THREAD)), "none of these rows has a time"),
    ],
)
def test_what_cannot_be_drawn_is_said(draw: Callable[..., Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(message)):
        drawing.drawn(draw)


SUBJECTS = st.one_of(
    st.builds(
        Subject,
        cell=st.sampled_from(["standard", "sep"]),
        kernel=st.sampled_from([(3, 3), (3, 5)]),
        channels=st.sampled_from([(128, 128), (64, 96)]),
        size=st.sampled_from([(128, 256), (8, 8)]),
        recurrence=st.sampled_from(["convlstm", "peephole"]),
    ),
    st.builds(
        Subject,
        network=st.sampled_from(["v2", "v6"]),
        cell=st.sampled_from(["standard", "depth"]),
        sites=st.sampled_from([(), (("final", "sep"),)]),
        kernel=st.sampled_from([(3, 3), (5, 5)]),
        classes=st.sampled_from([19, 4]),
        size=st.sampled_from([(1024, 2048), (97, 97)]),
    ),
    st.builds(Subject, network=st.just("icnet"), classes=st.sampled_from([19, 4]), size=st.just((1024, 2048))),
)


@given(
    st.lists(
        SUBJECTS.filter(lambda s: (s.cell, s.channels) != ("depth", (64, 96))), min_size=1, max_size=5, unique=True
    ),
    st.sampled_from([{}, {"implementation": ["compiled"], "threads": [1, 2], "batch": [4]}]),
)
def test_the_command_that_records_rows_records_them(subjects: list[Subject], ways: dict[str, list[Any]]) -> None:
    """What it says, read as the command line does, is what was asked for (and perhaps more)."""
    from costmodel import cli

    jobs: list[Run] = []

    def kept(found: Any, path: Path, effort: Any, **how: bool) -> tuple[None, int]:
        assert (str(path), how) == ("profiles/my own.json", {"resume": True, "replace": False})
        jobs.extend(found)
        return None, 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("costmodel.cli.profile.time_jobs", kept)
        for command in recording(subjects, ways, "my own").split(" && "):
            patch.setattr(sys, "argv", shlex.split(command))
            assert cli.main() == 0
    assert set(subjects) <= {job.subject for job in jobs}
    hows: set[Settings] = {job.how for job in jobs}
    assert {how.implementation for how in hows} == {"compiled" if ways else "eager"}
    if ways:
        assert {(how.threads, how.batch) for how in hows} == {(1, 4), (2, 4)}
