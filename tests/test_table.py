"""Table IV as printed, by its own rounding rules, misprint flagged."""

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from references import EXACT, PRINTED

from costmodel import cli
from costmodel.describe.catalogue import NETWORKS, Network, describe_network
from costmodel.describe.cells import CELLS, RECURRENCES, Cell
from costmodel.describe.networks.icnet import classify, conv_bn_relu
from costmodel.describe.ops import Conv
from costmodel.describe.program import Value
from costmodel.errors import InvalidInput
from costmodel.profiles.files import load, locate
from costmodel.profiles.records import Host, Process, Profile, Run, Settings, Subject
from costmodel.published import lstm_icnet as published
from costmodel.report.table import table

FULL = table()


def test_rows_stand_in_the_papers_order_under_its_names() -> None:
    assert [row.approach for row in FULL.rows] == [row["approach"] for row in PRINTED]
    assert len(FULL) == 13


@pytest.mark.parametrize("printed", PRINTED, ids=lambda row: row["approach"])
def test_every_printed_digit_but_the_lost_one(printed: dict[str, str]) -> None:
    (row,) = [row for row in FULL.rows if row.approach == printed["approach"]]
    assert str(row.params_k) == printed["params_k"]
    assert f"{row.params_pct:.2f}" == printed["params_pct"]
    assert f"{row.flops_pct:.2f}" == printed["gflops_pct"]
    if row.approach == "spatial-LSTM-ICNet v5":
        assert (f"{row.gflops:.2f}", printed["gflops"]) == ("135.47", "135.4")
    else:
        assert f"{row.gflops:.2f}" == printed["gflops"]


@pytest.mark.parametrize("printed", PRINTED, ids=lambda row: row["approach"])
def test_the_published_rows_are_typed_right(printed: dict[str, str]) -> None:
    row = published.TABLE_IV[printed["approach"]]
    ours = [row.params_k, row.params_pct, row.gflops, row.flops_pct, row.cpu_ms, row.cpu_pct, row.gpu_ms, row.gpu_pct]
    keys = ["params_k", "params_pct", "gflops", "gflops_pct", "cpu_ms", "cpu_pct", "gpu_ms", "gpu_pct"]
    assert ours == [float(printed[key]) for key in keys]


def test_the_text_flags_exactly_the_misprint() -> None:
    lines = FULL.text().splitlines()
    flagged = [line for line in lines if line.endswith("[1]")]
    assert len(flagged) == 1
    assert flagged[0].startswith("spatial-LSTM-ICNet v5")
    assert flagged[0].endswith("135.4  +0.07 [1]")
    assert sum(line.rstrip().endswith(" =") for line in lines) == 12
    assert any("a digit is lost" in line for line in lines)


def test_the_erratum_needs_what_its_note_says() -> None:
    """77.87 % of 173.98 to two decimals: [77.865, 77.875] % of it."""
    low, high = (0.01 * pct * 173.98 for pct in (77.865, 77.875))
    (row,) = [row for row in FULL.rows if row.approach == "spatial-LSTM-ICNet v5"]
    assert low <= row.flops / 1e9 <= high
    assert not low <= published.TABLE_IV[row.approach].gflops <= high


@pytest.mark.parametrize("convention", ["paper", "fvcore", "torch"])
def test_other_conventions_are_named_and_not_compared_silently(convention: str) -> None:
    text = table(["v2"], convention=convention).text()
    assert f"convention {convention}" in text
    assert "dev." not in text
    assert "not comparable with" in " ".join(text.split())


def test_icnet_is_always_the_base_and_percentages_are_of_the_standard_cell() -> None:
    rows = table(["v6"], ["sep"]).rows
    assert [row.approach for row in rows] == ["ICNet", "sep-LSTM-ICNet v6"]
    assert (rows[0].flops_pct, rows[1].flops_pct) == (100.0, 32.40)


def test_paper_values_only_for_the_papers_settings() -> None:
    assert all(row.paper for row in FULL.rows)
    for settings in (
        {"size": (512, 1024)},
        {"kernel": 5},
        {"classes": 11},
        {"heads": False},
        {"recurrence": "peephole"},
    ):
        assert not any(row.paper for row in table(["v6"], **settings).rows[1:]), settings


def test_mixed_cells_are_named_by_site() -> None:
    rows = table(["v2", "v6"], ["sep"], sites={"low": "depth"}).rows
    assert [row.approach for row in rows] == ["ICNet", "sep-LSTM-ICNet v2", "sep-LSTM-ICNet v6 (low depth)"]
    assert rows[2].params == 7_270_777 - (140_800 - 9_728)
    assert rows[2].paper is None
    with pytest.raises(InvalidInput, match="unknown site 'high': the chosen models have final"):
        table(["v2"], sites={"high": "sep"})


def test_a_cell_of_ones_own() -> None:
    grouped = Cell("grouped", lambda i, o, kx, ky: (Conv(o, (kx, ky), groups=4),))
    rows = table(["v2"], ["standard", grouped]).rows
    assert rows[-1].approach == "grouped-LSTM-ICNet v2"
    # A quarter of the weights: 8*9*128*128/4 instead of 8*9*128*128.
    assert rows[1].params - rows[2].params == 8 * 9 * 128 * 128 * 3 // 4


def test_names_are_not_confused() -> None:
    other = Cell("sep", lambda i, o, kx, ky: (Conv(o, (kx, ky), groups=2),))
    with pytest.raises(InvalidInput, match="'sep' is the name of another cell"):
        table(["v2"], [other])
    peephole = replace(Cell("sep", CELLS["sep"]), recurrence=RECURRENCES["peephole"])
    assert table(["v2"], [peephole]).rows[1].paper is None


@pytest.mark.parametrize(
    ("arguments", "same"),
    [
        ({"models": "v6"}, {"models": ["v6"]}),
        ({"models": (m for m in ["v6"])}, {"models": ["v6"]}),
        ({"models": "v6", "cells": "sep"}, {"models": ["v6"], "cells": ["sep"]}),
        ({"models": "v2", "size": (np.int32(1024), np.int32(2048))}, {"models": ["v2"]}),
        ({"models": "v2", "size": np.array([1024, 2048])}, {"models": ["v2"]}),
        ({"models": "v2", "size": [1024, 2048], "kernel": np.int64(3), "classes": np.int64(19)}, {"models": ["v2"]}),
        (
            {"models": "v2", "sites": {"final": "standard"}, "cells": "standard"},
            {"models": ["v2"], "cells": ["standard"]},
        ),
    ],
)
def test_what_looks_the_same_is_the_same(arguments: dict[str, object], same: dict[str, object]) -> None:
    assert table(**arguments).text("json") == table(**same).text("json")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"models": []}, "no model given"),
        ({"cells": []}, "no cell given"),
        ({"size": (1024.0, 2048)}, "whole number"),
        ({"classes": 0}, "classes must be at least 1"),
    ],
)
def test_refusals(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        table(**arguments)
    with pytest.raises(InvalidInput, match="unknown format"):
        FULL.text("xml")


def test_json_is_the_contract() -> None:
    data = json.loads(FULL.text("json"))
    assert list(data) == ["convention", "size", "kernel", "classes", "rows"]
    assert (data["convention"], data["size"], data["kernel"], data["classes"]) == (
        "tf-profiler",
        [1024, 2048],
        [3, 3],
        19,
    )
    keys = ["approach", "version", "cell", "params", "flops", "params_pct", "flops_pct", "paper", "timings"]
    assert all(list(row) == keys for row in data["rows"])
    for row, exact in zip(data["rows"], EXACT, strict=True):
        assert (row["params"], row["flops"]) == (int(exact["params"]), int(exact["flops_tf_profiler"]))
        assert (row["version"] or "", row["cell"] or "") == (exact["version"], exact["cell"])
    v6 = data["rows"][9]
    assert v6["paper"] == {"params_k": 11428, "gflops": 251.34}
    assert v6["timings"][0] == {
        "machine": "Intel Core i5-6300U",
        "device": "cpu",
        "clock": "published",
        "median_s": 4.125,
        "interval_s": None,
        "pct": 100.0,
    }
    assert json.loads(table(["v6"], size=(512, 1024)).text("json"))["rows"][1]["paper"] is None


def test_csv_has_one_flat_row_a_network() -> None:
    rows = list(csv.DictReader(io.StringIO(FULL.text("csv"))))
    assert [int(row["flops"]) for row in rows] == [int(row["flops_tf_profiler"]) for row in EXACT]
    assert {row["convention"] for row in rows} == {"tf-profiler"}
    assert rows[6]["paper_gflops"] == "135.4"


def test_markdown_and_latex() -> None:
    markdown = FULL.text("markdown").splitlines()
    assert markdown[2].count("|") == markdown[4].count("|") == 9
    latex = FULL.text("latex")
    assert latex.count(r" \\") == 14
    assert r"\toprule" in latex
    assert r"\%" in latex


def test_frame() -> None:
    frame = FULL.frame()
    assert frame.flops.tolist() == [int(row["flops_tf_profiler"]) for row in EXACT]
    assert frame.attrs == {"convention": "tf-profiler", "unit": "FLOP", "size": (1024, 2048)}


def profile(**seconds: list[list[float]]) -> Profile:
    """Times of v2 by cell, a list a process; processes of the same number are interleaved."""
    how = Settings(device="cpu", dtype="float32", memory_format="contiguous", implementation="eager", threads=2)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    runs = []
    for cell, lists in seconds.items():
        subject = Subject(network="v2", cell=cell, kernel=(3, 3), classes=19, size=(1024, 2048))
        processes = tuple(
            Process(started=start + timedelta(hours=n), seconds=tuple(times)) for n, times in enumerate(lists)
        )
        runs.append(Run(subject=subject, how=how, clock="wall", processes=processes))
    return Profile(host=Host(cpu="this machine"), runs=tuple(runs))


def test_measured_times_stand_beside_the_published_ones() -> None:
    # Within the rounds 0.5, 0.5 and 0.5, 0.25: a mean of logarithms of 42.0 %, in which what lies far counts less.
    measured = profile(standard=[[2.0, 4.0], [2.0, 2.0]], depth=[[1.0, 2.0], [1.0, 0.5]])
    timed = table(["v2"], ["standard", "depth"]).timed("mine", measured)
    wall = timed.rows[2].timings[-1]
    assert (wall.machine, wall.clock) == ("this machine", "wall")
    assert wall.median_s == pytest.approx(1.0)  # the mean of ln 1, ln 2, ln 1, ln 0.5
    assert 100 * (0.5 * 0.5 * 0.5 * 0.25) ** 0.25 <= wall.pct < 50
    assert len(timed.rows[0].timings) == 2  # ICNet was not timed
    text = timed.text()
    title = "Time per 1024x2048 frame on this machine (profile mine): float32, contiguous, eager, 2 threads"
    assert title in " ".join(text.split())
    lines = [line.split()[2:] for line in text.splitlines() if line.startswith("depth-LSTM-ICNet v2")]
    # FLOPs %, not a number where it is not stable, the ranges, the published time.
    ((flops, ms, _, pct, _, *published),) = lines[1:]
    assert (flops, ms, pct, published) == ("43.49", "undecided", "undecided", ["1616", "64.56"])
    assert "To decide all of these: " in text
    assert "Timed on 2026-01-01." in text
    frame = timed.frame()
    assert frame.wall_cpu_s.tolist()[2] == wall.median_s
    assert frame.wall_cpu_pct_verdict.tolist()[2] == "undecided"


def test_measured_times_in_json() -> None:
    measured = profile(standard=[[2.0]] * 5, depth=[*[[1.0]] * 3, *[[1.5]] * 2])
    record = json.loads(table(["v2"], ["depth"]).timed("mine", measured).text("json"))
    published_cpu, published_gpu, wall = record["rows"][1]["timings"]
    assert published_cpu == {
        "machine": "Intel Core i5-6300U",
        "device": "cpu",
        "clock": "published",
        "median_s": 1.616,
        "interval_s": None,
        "pct": 64.56,
    }
    assert (published_gpu["machine"], published_gpu["median_s"]) == ("NVIDIA TITAN X", 0.06062)
    mean = 1.5**0.4  # of the logarithms: three times 1.0, twice 1.5
    assert (wall["median_s"], wall["pct"]) == (pytest.approx(mean), pytest.approx(50 * mean))
    assert wall["verdict"] == "two modes"
    assert wall["dates"] == ["2026-01-01"]
    for key, values in (("modes", (1.0, 1.5)), ("pct_modes", (50.0, 75.0))):
        modes = [(next(iter(mode.values())), mode["processes"]) for mode in wall[key]]
        assert modes == [(pytest.approx(values[0]), 3), (pytest.approx(values[1]), 2)]
    assert (wall["profile"], wall["how"]["threads"]) == ("mine", 2)


@pytest.mark.parametrize(
    ("seconds", "word"),
    [
        ([[1.0]] * 5, "holds"),  # 50 % of the standard row
        ([[1.8]] * 5, "does not hold"),  # 90 %
        ([[1.2], [1.2], [1.2], [1.8], [1.8]], "undecided"),  # 60 or 90 %
        ([[1.0]] * 2, "undecided"),  # too few processes
    ],
)
def test_claims_of_the_paper_are_judged_by_the_whole_interval(seconds: list[list[float]], word: str) -> None:
    measured = profile(standard=[[2.0]] * len(seconds), depth=seconds)
    runs = [
        run.model_copy(update={"subject": run.subject.model_copy(update={"network": "v6"})}) for run in measured.runs
    ]
    timed = table(["v6"], ["depth"]).timed("mine", measured.model_copy(update={"runs": tuple(runs)}))
    (claim,) = timed.record()["claims"]
    assert (claim["claim"], claim["result"], claim["printed_pct"]) == (
        "depth about halves v6 (35 to 65 %)",
        word,
        45.55,
    )
    assert f"depth about halves v6 (35 to 65 %): {word} here, " in " ".join(timed.text().split())


def test_the_papers_own_profile_shows_its_times_once() -> None:
    timed = table(["v6"], ["sep"]).timed("paper", load(locate("paper")))
    assert [t.pct for t in timed.rows[1].timings] == [51.55, 90.66]  # as printed, not 2127 / 4125
    text = timed.text()
    assert "Time per 1024x2048 frame on NVIDIA TITAN X (profile paper): as published" in text
    assert timed.record()["claims"] == []


# ---- a network of one's own ------------------------------------------------------------------------------------------


def unet(
    frame: Value, cells: dict[str, Cell], *, kernel: tuple[int, int], classes: int, heads: bool
) -> tuple[Value, ...]:
    x = conv_bn_relu(frame, "stem", 4, 3, stride=2, same=True)
    with x.trace.scope("bottleneck"):
        x = cells["bottleneck"](x, 6, kernel)
    return (classify(x, "scores", classes),)


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        NETWORKS, "unet", Network("U-Net", unet, ("bottleneck",), size=(16, 24), classes=5, heads=False)
    )


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["costmodel", *arguments])
    return cli.main()


NOT_OF_IT = ("Table IV", "Fig. 1", "training heads", "1024x2048", "19 classes")


@pytest.mark.usefixtures("own")
def test_an_own_network_keeps_its_defaults() -> None:
    counted = table(["unet"], ["standard"])
    (row,) = counted.rows
    described = describe_network("unet")
    # stem 3*3*3*4 + 2*4 (norm), cell 4*(3*3*(4 + 6)*6 + 6), scores 6*5 + 5
    assert row.params == described.parameters == 116 + 2184 + 35
    assert row.flops == counted.convention.flops(described.work)
    assert (counted.size, counted.classes, counted.heads) == ((16, 24), 5, False)
    assert (counted.convention.name, row.paper) == ("tf-profiler", None)
    for form in ("text", "markdown", "latex", "html", "csv", "json"):
        assert not [word for word in NOT_OF_IT if word in counted.text(form)]


@pytest.mark.usefixtures("own")
def test_settings_that_are_given_still_count() -> None:
    counted = table(["unet"], ["standard"], size=(32, 48), classes=7)
    assert counted.rows[0].params == describe_network("unet", size=(32, 48), classes=7).parameters
    assert (counted.size, counted.classes) == ((32, 48), 7)


@pytest.mark.usefixtures("own")
def test_an_own_network_beside_a_published_one() -> None:
    with pytest.raises(InvalidInput, match="different values of size: give one"):
        table(["unet", "v6"])
    both = table(["unet", "v6"], ["standard"], size=(1024, 2048), classes=19, heads=True)
    paper = {row.approach: row.paper is not None for row in both.rows}
    assert paper == {"ICNet": True, "LSTM-ICNet v6": True, "U-Net": False}
    assert "with training heads" in both.text()


def test_a_variant_of_a_printed_network_with_other_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    smaller = replace(NETWORKS["v2"], approach="Smaller", size=(256, 512))
    monkeypatch.setitem(NETWORKS, "smaller", smaller)
    assert table(["smaller"]).size == (256, 512)
    assert [row.paper for row in table(["smaller"], ["standard"]).rows] == [None, None]


def test_own_heads_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def headed(frame: Value, cells: dict[str, Cell], *, heads: bool, **around: Any) -> tuple[Value, ...]:
        (scores,) = unet(frame, cells, heads=heads, **around)
        return (scores, classify(frame, "head", 5)) if heads else (scores,)

    for describe, told in ((headed, True), (unet, False)):
        monkeypatch.setitem(NETWORKS, "unet", Network("U-Net", describe, ("bottleneck",), size=(16, 24)))
        assert ("with training heads" in table(["unet"], ["standard"]).text()) is told


@pytest.mark.usefixtures("own")
def test_the_commands_about_an_own_network(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(monkeypatch, "table", "--model", "unet", "--cell", "standard") == 0
    out = capsys.readouterr().out
    assert out.startswith("Cost of one 16x24 frame, kernel 3x3, 5 classes\n")
    assert "2335" in out
    for kind in ("overview", "layers"):
        assert command(monkeypatch, "plot", kind, "--model", "unet", "--cell", "standard", "--out", f"{kind}.svg") == 0
    assert "16x24 frame" in Path("overview.svg").read_text()
    assert command(monkeypatch, "plot", "quality", "--model", "unet", "--cell", "standard") == 2
    assert "of these networks is not published; " in capsys.readouterr().err
    assert command(monkeypatch, "report", "--model", "unet", "--cell", "standard,sep", "--kernel", "3") == 0
    report = Path("report")
    written = {path.name for path in report.iterdir()}
    assert "table.csv" in written
    assert "table_iv.csv" not in written
    page = " ".join((report / "index.html").read_text().split())
    assert "Frames of 16x24 pixels, kernel 3x3, 5 classes. " in page
    assert not [word for word in NOT_OF_IT if word in page]
    assert json.loads((report / "table.json").read_text())["rows"][0]["params"] == 2335
    # The cells of the network: 4 channels in, 6 out, on maps of half the frame.
    assert {(row["in_channels"], row["out_channels"], row["rows"], row["columns"]) for row in sweep_rows(report)} == {
        ("4", "6", "8", "12")
    }


def sweep_rows(report: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((report / "sweep.csv").read_text().splitlines()))
