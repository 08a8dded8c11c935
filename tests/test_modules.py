"""Modules of a stranger as subjects: tables, comparisons, profiles; real processes on tiny networks."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from test_cli import process, run

import costmodel
from costmodel.errors import InvalidInput
from costmodel.measure import timed as steps
from costmodel.measure.modules import module, structure
from costmodel.measure.profile import choose, settings_grid
from costmodel.measure.workload import Named
from costmodel.profiles.files import load
from costmodel.profiles.recording import recording
from costmodel.profiles.records import Host, Process, Profile, Run, Settings, Subject

CLIP = "1x2x3x8x8"
# Width 4, two frames of 8x8, maps of 4x4: stem 16*4*27 MACs a frame, each of two cells 16*16*72, or separable
# 16*8*9 + 16*16*8; the head 16*5*4 once. Two FLOPs a MAC.
FLOPS = {"standard": 2 * (2 * (1728 + 2 * 18432) + 320), "separable": 2 * (2 * (1728 + 2 * 3200) + 320)}
# Stem 3*4*9 + 4, norm 8, cells 8*16*9 + 16 or (8*9 + 8) + (8*16 + 16), head 4*5 + 5.
PARAMS = {"standard": 112 + 8 + 2 * 1168 + 25, "separable": 112 + 8 + 2 * 224 + 25}
QUICK = ["--processes", "1", "--rounds", "2", "--threads", "1"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the stranger's file."""
    shutil.copy(Path(__file__).parent / "data" / "segnet.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def changed(here: Path) -> None:
    """The stranger makes the network wider."""
    file = here / "segnet.py"
    file.write_text(file.read_text().replace("def standard(width: int = 4)", "def standard(width: int = 6)"))


# ---- tables and comparisons ------------------------------------------------------------------------------------------


def test_a_table_has_modules_beside_networks(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = "segnet.py:standard,segnet.py:separable"
    found = json.loads(run(capsys, "table", "--model", names, "--input", CLIP, "--format", "json")[1])
    rows = {row["approach"]: row for row in found["rows"]}
    assert (found["convention"], found["size"], list(rows)) == ("torch", None, names.split(","))
    for name, flops in FLOPS.items():
        row = rows[f"segnet.py:{name}"]
        assert (row["flops"], row["params"], row["version"], row["paper"]) == (flops, PARAMS[name], None, None)
        assert row["flops_pct"] == round(100 * flops / FLOPS["standard"], 2)
    _, mixed, _ = run(capsys, "table", "--model", "icnet,segnet.py:separable", "--input", "1x2x3x128x160")
    assert "Cost of one 128x160 frame, 19 classes" in mixed
    assert "segnet.py:separable: one call with 1x2x3x128x160." in mixed


def test_compare_puts_modules_networks_and_cells_side_by_side(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["compare", "segnet.py:standard", "segnet.py:separable", "sep", "icnet", "--input", "1x2x3x128x160"]
    found = json.loads(run(capsys, *given, "--format", "json")[1])
    assert set(found) == {"convention", "unit", "inputs", "base", "rows"}
    assert [row["model"] for row in found["rows"]] == ["segnet.py:standard", "segnet.py:separable", "sep cell", "ICNet"]
    assert found["base"] == "segnet.py:standard"
    first, second, cell, network = found["rows"]
    assert second["promised"] == first["flops"] / second["flops"]
    assert second["bytes_pct"] == pytest.approx(100 * second["bytes"] / first["bytes"])
    assert (cell["inputs"], network["inputs"]) == (["1x3x128x160"], ["1x3x128x160"])
    assert network["params"] == costmodel.network("icnet", size=(128, 160), heads=False).parameters
    assert (first["timings"], first["measured"], first["kept_pct"]) == ([], None, None)


def test_compare_measures_and_keeps_and_shows_again(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["compare", "segnet.py:standard", "segnet.py:separable", "--input", CLIP]
    code, out, err = run(capsys, *given, "--measure", "cpu", "--save", "mine", *QUICK, "--format", "json")
    assert code == 0, err
    for row in json.loads(out)["rows"]:
        (timing,) = row["timings"]
        assert row["measured"] == timing["measured"] == pytest.approx(100 / timing["pct"])
        assert row["kept_pct"] == pytest.approx(100 * row["measured"] / row["promised"])
    one, two = load(here / "profiles" / "mine.json").runs
    assert one.processes[0].started == two.processes[0].started  # interleaved
    assert (one.subject.module, one.subject.inputs, one.subject.size) == ("segnet.py:standard", (CLIP,), None)
    assert one.processes[0].deviation == pytest.approx(0, abs=1e-5)
    code, out, err = run(capsys, *given, "--profile", "mine")
    assert "Speed-up on" in out
    assert (code, err) == (0, "")
    _, out, _ = run(capsys, *given, "--base", "segnet.py:separable", "--profile", "mine", "--format", "csv")
    assert "segnet.py:separable,593,100.0" in out  # PARAMS["separable"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["compare", "segnet.py:standard", "segnet.py:separable"], "no inputs: --input with a shape"),
        (["compare", "segnet.py:standard", "segnet.py:standard", "--input", CLIP], "segnet.py:standard is given twice"),
        (["compare", "segnet.py:standard", "--input", "Nx2x3x8x8"], "inputs need numbers here, not N"),
        (["compare", "segnet.py:standard", "--input", CLIP, "--base", "v6"], "base 'v6': one of segnet.py:standard"),
        (["compare", "segnet.py:standard", "--input", f"{CLIP},{CLIP}"], "one call here, not 2 alternatives"),
        (["compare", "segnet.py:standrd", "--input", CLIP], "did you mean 'standard'?"),
        (["compare", "seb"], "did you mean 'sep'?"),
        (["compare", "sep", "--cell", "sep"], "--cell is for described networks, such as v6"),
        (["compare", "segnet.py:standard", "--input", "1x2x4x8x8"], "SegNet refuses the inputs 1x2x4x8x8"),
        (["table", "--model", "icnet", "--input", CLIP], "--input is for modules of your own"),
        (["table", "--model", "segnet.py:standard", "--input", CLIP, "--cell", "sep"], "has no recurrent cells"),
        (["profile", "--model", "segnet.py:standard", "--input", CLIP, "--batch", "2"], "the batch of a module is in"),
        (["profile", "--model", "segnet.py:standard", "--input", CLIP, "--make", "wide=3"], "did you mean 'width'?"),
        (["promise", "--model", "segnet.py:standard"], "costmodel compare BASE segnet.py:standard"),
    ],
    ids=lambda each: each if isinstance(each, str) else " ".join(each[:3]),
)
def test_bad_input_is_one_line(here: Path, capsys: pytest.CaptureFixture[str], given: list[str], told: str) -> None:
    code, out, err = run(capsys, *given)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert told in err


def test_what_a_factory_prints_goes_to_stderr(here: Path) -> None:
    done = process("compare", "segnet.py:prints", "--input", CLIP, "--format", "json")
    assert json.loads(done.stdout)["rows"][0]["flops"] == FLOPS["separable"]
    assert "loading weights ..." in done.stderr


def test_counts_are_rows_too(here: Path) -> None:
    linear = torch.nn.Linear(8, 4)  # 2 * 8 * 4 MACs of a batch of two
    counted = costmodel.count(linear, "2x8")
    compared = costmodel.compare({"small": counted, "again": counted}, base="again")
    assert [(row.model, row.flops, compared.promised(row)) for row in compared.rows] == [
        ("small", 128, 1.0),
        ("again", 128, 1.0),
    ]
    assert repr(compared).startswith("<Comparison of small, again, convention torch")
    assert [row.flops for row in costmodel.table([counted]).rows] == [128]
    with pytest.raises(InvalidInput, match="no process can make it"):
        costmodel.profile([counted])
    with pytest.raises(InvalidInput, match=r"neither the name of a network nor a module: costmodel\.module"):
        costmodel.table([linear])
    with pytest.raises(InvalidInput, match=r"'segnet.py:standard' names a module: give costmodel\.module"):
        costmodel.compare(["segnet.py:standard", "v6"])


# ---- subjects --------------------------------------------------------------------------------------------------------


def test_a_subject_names_the_module_its_arguments_and_inputs(here: Path) -> None:
    found = module("segnet.py:standard", CLIP, arguments={"width": 2})
    assert found.name == "segnet.py:standard(width=2)"
    assert found.subject.title == f"segnet.py:standard(width=2) {CLIP}"
    assert Subject.model_validate_json(found.subject.model_dump_json(exclude_defaults=True)) == found.subject
    assert recording([found.subject], name="mine") == (
        f"costmodel profile --model segnet.py:standard --input {CLIP} --make '{{\"width\": 2}}' --out mine --resume"
    )


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"module": "a:b", "inputs": ("1x3",)}, "a module needs inputs and a structure"),
        ({"module": "a:b", "inputs": ("1x3",), "structure": "s", "size": (3, 3)}, "a module has no size"),
        ({"cell": "sep", "kernel": (3, 3), "channels": (4, 4)}, "a network or a cell needs a size"),
        ({"network": "icnet", "classes": 19, "size": (99, 99), "structure": "s"}, "are of modules alone"),
        ({}, "a subject needs a network, a cell or a module"),
    ],
    ids=str,
)
def test_a_subject_checks_itself(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Subject(**fields)


def test_a_structure_is_that_of_parts_and_shapes_and_not_of_values() -> None:
    def net(width: int, stride: int = 1) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Conv2d(3, width, 3, stride=stride), torch.nn.ReLU())

    assert structure(net(4)) == structure(net(4))
    assert len({structure(each) for each in (net(4), net(5), net(4, stride=2))}) == 3


# ---- what is timed ---------------------------------------------------------------------------------------------------


def deviations(name: str, *inputs: str, **settings: Any) -> "float | None":
    (how,) = settings_grid(threads=1, **settings)
    workload = Named(name, {}, module(name, *inputs).workload.inputs)
    reference = steps.expected(workload, how)
    subject = steps.timed(workload, how)
    subject.place()
    return steps.deviation(steps.first_results(subject), reference, subject.how)


@pytest.mark.parametrize(
    ("name", "shape", "settings"),
    [
        ("segnet.py:standard", CLIP, {}),
        ("segnet.py:separable", CLIP, {"dtype": "float64"}),
        ("segnet.py:separable", CLIP, {"memory_format": "channels_last"}),
        ("segnet.py:Counter", "2x4", {}),
        ("segnet.py:Stepwise", "2x4", {"frames": 3}),
    ],
    ids=str,
)
def test_results_are_those_of_the_reference(here: Path, name: str, shape: str, settings: dict[str, Any]) -> None:
    assert deviations(name, shape, **settings) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("name", ["Noisy", "Found"])
def test_results_that_cannot_be_compared_have_no_deviation(here: Path, name: str) -> None:
    if name == "Noisy":
        assert deviations("segnet.py:Noisy", "2x4") is None  # another seed, other results
    else:
        (how,) = settings_grid(threads=1)
        subject = steps.timed(Named("segnet.py:Found", {}, module("segnet.py:Noisy", "4x4").workload.inputs), how)
        subject.place()
        assert (
            steps.deviation(steps.first_results(subject), [torch.zeros(99)], subject.how) is None
        )  # as many as the values decide


def test_a_clip_carries_its_state(here: Path) -> None:
    three, one = (
        steps.timed(Named("segnet.py:Stepwise", {}, module("segnet.py:Stepwise", "2x4").workload.inputs), how)
        for how in (settings_grid(threads=1, frames=3)[0], settings_grid(threads=1)[0])
    )
    for subject in (three, one):
        subject.place()
        subject.step()
    (x,), _ = one.inputs
    net = one.module
    with torch.inference_mode():
        state = net(x, net(x, net(x)[1])[1])[1]
    assert torch.allclose(three.results()[0], state)
    assert not torch.allclose(one.results()[0], state)


# ---- profiles --------------------------------------------------------------------------------------------------------


def test_a_changed_module_is_not_taken_for_the_old_one(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["profile", "--model", "segnet.py:standard", "--input", CLIP, "--out", "mine", *QUICK]
    assert process(*given).returncode == 0
    file = here / "profiles" / "mine.json"
    before = file.read_text()
    changed(here)
    for more in (["--resume"], []):
        code, _, err = run(capsys, *given, *more)
        assert (code, err.count("\n")) == (2, 1)
        assert "segnet.py:standard has changed since profiles/mine.json recorded it" in err
        assert "--replace measures it again" in err
    code, out, err = run(capsys, "table", "--model", "segnet.py:standard", "--input", CLIP, "--profile", "mine")
    assert (code, out) == (2, "")
    assert "has changed since profile mine recorded it" in err
    assert file.read_text() == before
    assert run(capsys, *given, "--replace")[0] == 0
    (run_now,) = load(file).runs
    assert run_now.subject.structure == module("segnet.py:standard", CLIP, arguments={"width": 6}).subject.structure


def test_a_changed_forward_is_seen_where_its_work_changes(here: Path) -> None:
    before = module("segnet.py:standard", CLIP).subject
    file = here / "other.py"
    text = (here / "segnet.py").read_text()
    file.write_text(text.replace("in enumerate(self.cells):", "in list(enumerate(self.cells)) * 2:"))
    assert module("other.py:standard", CLIP).subject.structure != before.structure


def test_an_error_where_it_is_timed_is_one_line_and_exit_code_2(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = "segnet.py:in_child,segnet.py:Counter"
    code, _, err = run(capsys, "profile", "--model", models, "--input", "2x4", "--out", "mine", *QUICK)
    assert (code, err.count("\n")) == (2, 1), err
    assert "segnet.py:in_child raised RuntimeError: only where it is timed (segnet.py, line" in err
    assert [each.subject.module for each in load(here / "profiles" / "mine.json").runs] == ["segnet.py:Counter"]


def test_the_base_of_percentages_may_be_any_row(here: Path) -> None:
    names = ["segnet.py:Counter", "segnet.py:Noisy"]
    modules = [module(name, "2x4") for name in names]
    first = choose(settings_grid(threads=1), modules)
    assert [job.standard.module for job in first] == [names[0], names[0]]
    other = choose(settings_grid(threads=1), modules, base=names[1])
    assert [job.standard.module for job in other] == [names[1], names[1]]
    mixed = choose(settings_grid(threads=1), ["v6", modules[0]], ["sep"], size=(128, 160), base=names[0])
    assert {job.standard for job in mixed} == {modules[0].subject}
    with pytest.raises(InvalidInput, match="base 'v5': one of"):
        choose(settings_grid(threads=1), modules, base="v5")


def test_the_base_by_the_name_of_a_network_is_the_one_with_standard_cells() -> None:
    given: dict[str, Any] = {"models": ["v6"], "cells": ["depth", "standard"], "size": (128, 160), "base": "v6"}
    assert costmodel.compare(**given).base == "LSTM-ICNet v6"
    assert {row.base for row in costmodel.table(**given).rows} == {"LSTM-ICNet v6"}
    cells, size = given["cells"], given["size"]
    jobs = choose(settings_grid(threads=1), ["v6"], cells, size=size, base="v6")
    assert {job.standard.name for job in jobs} == {"LSTM-ICNet v6"}


def test_a_profile_file_of_before_still_loads_and_a_module_stands_beside_networks(tmp_path: Path) -> None:
    subject = Subject(module="a:b", inputs=("1x3",), structure="s")
    how = Settings(device="cpu", dtype="float32", memory_format="contiguous", implementation="eager", threads=1)
    profile = Profile(
        host=Host(cpu="c"), runs=(Run(subject=subject, how=how, clock="wall", processes=(Process(seconds=(1.0,)),)),)
    )
    profile.save(tmp_path / "one.json")
    assert load(tmp_path / "one.json") == profile
    assert profile.frame()[["subject", "module", "inputs"]].values.tolist() == [["a:b 1x3", "a:b", "1x3"]]
