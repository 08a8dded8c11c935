"""Figures of the parts of one subject: as long as the rows say, inside of a column of print, names where they fit."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import pytest

from costmodel.describe.catalogue import describe_network
from costmodel.profiles.fused import FusedLayers
from costmodel.profiles.layers import Layers
from costmodel.profiles.records import (
    Host,
    LayerProcess,
    LayerRun,
    LayerTurn,
    Level,
    Process,
    Profile,
    Settings,
    Subject,
)
from costmodel.report import figures
from costmodel.report.figures import style as drawing
from costmodel.report.figures.flame import Bar, bars
from costmodel.work.cost import Cost, Operation
from costmodel.work.events import Event, Work

NET = Subject(module="m.py:net", inputs=("1x8",), structure="0")
V6 = Subject(network="v6", cell="standard", kernel=(3, 3), classes=19, size=(97, 97))
CALL = 10_000_000  # nanoseconds


def run(*levels: Level, times: tuple[tuple[int, ...], ...], distortion: float = 0, **about: Any) -> LayerRun:
    """A call of 10 ms; ``times``: of each level the nanoseconds of its parts."""
    implementation = "compiled" if levels[0].covers else "eager"
    how = Settings(device="cpu", dtype="float32", memory_format="contiguous", implementation=implementation, threads=2)
    whole = round(CALL * (1 + distortion))
    turns = tuple((LayerTurn(whole=whole, parts=parts),) for parts in times)
    process = LayerProcess(undisturbed=Process(seconds=(CALL / 1e9,)), read=0, turns=turns)
    return LayerRun(**{"subject": NET, "how": how, "clock": "wall", "levels": levels, "processes": (process,), **about})


def level(*paths: str) -> Level:
    return Level(paths=paths, reads=(1,) * len(paths))


def operation(path: str, macs: int) -> Operation:
    return Operation("conv", Cost(Work({Event.MAC: macs})), path=path)


OPERATIONS = [operation("stem", 10_000_000), operation("body.conv", 200_000_000), operation("body.act", 0)]
TWO = run(
    level("", "stem", "body"),
    level("body.conv", "body.act"),
    times=((100_000, 2_000_000, 7_000_000), (5_000_000, 1_000_000)),
)
EAGER = Layers(TWO, OPERATIONS)
FUSED = FusedLayers(
    run(
        Level(
            paths=("extern_kernels.convolution", "cpp_fused_0 (layout of body.conv)", "cpp_fused_1"),
            reads=(1, 1, 1),
            covers=(("stem",), (), ("body.conv", "body.act")),
            moved=(8, 8, 8),
        ),
        times=((2_000_000, 500_000, 7_000_000),),
    ),
    OPERATIONS,
)
STEPS = [(step.name, step.name.split(".")[0]) for step in describe_network("v6", cell="standard", size=(97, 97)).steps]
FIRST = list(dict.fromkeys(layer for _, layer in STEPS))
MANY = Layers(
    run(
        level("", *FIRST),
        level(*(name for name, _ in STEPS)),
        times=((0, *(len(name) * 8_000 for name in FIRST)), tuple(26_000 * (n % 2) for n in range(len(STEPS)))),
        subject=V6,
        containers=tuple(FIRST),
    ),
    describe_network("v6", cell="standard", size=(97, 97)).operations,
)
DISTORTED = Layers(run(level("", "stem"), times=((0, 9_000_000),), distortion=0.1), OPERATIONS)
KINDS = {
    f"{name} of {what}": partial(draw, layers)
    for what, layers in {"a module": EAGER, "kernels": FUSED, "a network": MANY}.items()
    for name, draw in {
        "flame": partial(figures.flame, machine="AMD EPYC"),
        "layers": lambda layers, ax: figures.layers(None, "torch", times=layers, machine="AMD EPYC", ax=ax),
    }.items()
} | {"flame without parts": partial(figures.flame, DISTORTED, machine="AMD EPYC")}


@pytest.mark.parametrize("kind", KINDS)
def test_everything_is_inside_a_column_of_print(kind: str) -> None:
    figure = drawing.drawn(KINDS[kind])
    with matplotlib.rc_context(figures.STYLE):
        figure.canvas.draw()
    drawn = figure.get_tightbbox()
    assert -0.01 <= drawn.x0 <= drawn.x1 <= figure.get_figwidth() + 0.01
    assert -0.01 <= drawn.y0 <= drawn.y1 <= figure.get_figheight() + 0.01
    texts = [text for text in figure.findobj(matplotlib.text.Text) if text.get_text()]
    assert min(text.get_fontsize() for text in texts) >= 5.5
    told = " ".join(" ".join(text.get_text() for text in texts).split())
    assert re.search("AMD EPYC, float32, contiguous, (eager|compiled), 2 threads", told)
    assert "convention torch" in told


def test_parts_stand_inside_of_the_part_that_holds_them() -> None:
    """In the body 5 + 1 of its 7 ms, and 1 of its own code; 2 * 10e6 FLOPs in 2 ms are 10 GFLOP/s."""
    assert bars(EAGER) == [
        Bar("m.py:net", 0, 0, CALL, 420_000_000),
        Bar("stem", 1, 0, 2_000_000, 20_000_000),
        Bar("body", 1, 2_000_000, 7_000_000, 400_000_000),
        Bar("conv", 2, 2_000_000, 5_000_000, 400_000_000),
        Bar("act", 2, 7_000_000, 1_000_000, 0),
    ]
    assert [bar.rate for bar in bars(EAGER)] == [42, 10, pytest.approx(57.14, abs=0.01), 80, 0]


def test_kernels_are_named_by_the_modules_that_they_cover() -> None:
    shown = [(bar.name, bar.start, bar.flops) for bar in bars(FUSED)][1:]
    layout = "cpp_fused_0 (layout of body.conv)"
    assert shown == [("stem", 0, 20_000_000), (layout, 2_000_000, 0), ("body.conv, body.act", 2_500_000, 400_000_000)]


def test_names_in_bars_stand_where_they_fit() -> None:
    (ax,) = drawing.drawn(KINDS["flame of a network"]).axes
    bars_of = [bar.get_window_extent() for bar in ax.patches]
    names = [text for text in ax.texts if text.get_fontsize() == 5.5]
    assert "LSTM-ICNet v6" in [text.get_text() for text in names]
    assert len(names) < len(bars_of)
    for text in names:
        box = text.get_window_extent()
        assert any(
            bar.x0 <= box.x0 and box.x1 <= bar.x1 and bar.y0 <= box.y0 and box.y1 <= bar.y1 for bar in bars_of
        ), text.get_text()


def test_marks_that_distort_leave_the_whole_alone() -> None:
    (ax,) = drawing.drawn(KINDS["flame without parts"]).axes
    assert len(ax.patches) == 1
    assert "no parts: marks change the time by more than 3 %" in " ".join(ax.texts[-1].get_text().split()) + " ".join(
        " ".join(text.get_text() for text in ax.texts).split()
    )


def test_shares_of_time_stand_beside_those_of_flops() -> None:
    """Of 10 ms: the stem 20 %, the convolution 50 %; of 420 MFLOPs: 4.76 and 95.24 %. Layers of a network are whole."""
    (ax,) = drawing.drawn(KINDS["layers of a module"]).axes
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["body.conv", "stem", "body", "body.act", "(itself)", "(remainder)"]
    widths = [bar.get_width() for bar in ax.patches]
    assert widths[:4] == pytest.approx([50, 100 * 400 / 420, 20, 100 * 20 / 420])
    assert sum(widths[::2]) == pytest.approx(100)
    (ax,) = drawing.drawn(KINDS["layers of a network"]).axes
    assert {"final", "high"} < {label.get_text() for label in ax.get_yticklabels()}


def profile(path: Path) -> None:
    Profile(host=Host(cpu="AMD EPYC"), layers=(MANY.run,)).save(path)


@pytest.mark.parametrize("kind", ["flame", "layers"])
def test_the_command_draws_what_a_profile_holds(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from costmodel import cli

    profile(tmp_path / "mine.json")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", f"costmodel plot {kind} --model v6 --size 97x97 --profile mine.json".split())
    assert cli.main() == 0
    assert capsys.readouterr().out == f"{kind}.svg\n"
    assert "AMD EPYC" in (tmp_path / f"{kind}.svg").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("flame --model v6", "flame needs times of parts: --profile with one that `profile --layers` recorded"),
        ("flame --model v5,v6 --profile mine.json", "flame is of one network: one --model and one --cell"),
        (
            "layers --model v5 --size 97x97 --profile mine.json",
            "mine has no layers of LSTM-ICNet v5 3x3 97x97, or none with these settings; "
            "to record: costmodel profile --layers --model v5 --cell standard --size 97x97 --out mine",
        ),
        ("flame --model v6 --size 97x97 --profile mine.json --threads 1", "or none with these settings"),
        ("layers --dtype float32", "--dtype needs --measure or --profile"),
    ],
)
def test_missing_times_are_told(
    options: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from costmodel import cli

    profile(tmp_path / "mine.json")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", f"costmodel plot {options}".split())
    assert cli.main() == 2
    assert message in " ".join(capsys.readouterr().err.split())
