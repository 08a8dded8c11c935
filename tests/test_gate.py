"""The gates: a count beside a saved one, and two profiles beside each other. Neither passes what it cannot judge."""

import csv
import io
import json
import re
import shlex
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml  # which fvcore needs
from test_cli import process, run
from test_profile_command import profiled

import costmodel
from costmodel.counting import baseline
from costmodel.errors import InvalidInput
from costmodel.profiles import compare
from costmodel.profiles.estimate import Estimate

MODULE = """
import torch
from collections import OrderedDict

def build(width=8, extra=False):
    parts = [("stem", torch.nn.Conv2d(3, width, 3, padding=1)), ("act", torch.nn.ReLU())]
    parts += [("head", torch.nn.Conv2d(width, 4, 1))]
    parts += [("refine", torch.nn.Sequential(torch.nn.Conv2d(4, 4, 1), torch.nn.ReLU()))] if extra else []
    return torch.nn.Sequential(OrderedDict(parts))
"""


def net(width: int = 8, **more: torch.nn.Module) -> torch.nn.Module:
    """Convolutions of 3 x width x 3 x 3 and width x 4 weights; ``more`` comes after them, or in their place."""
    parts = {
        "stem": torch.nn.Conv2d(3, width, 3, padding=1),
        "act": torch.nn.ReLU(),
        "head": torch.nn.Conv2d(width, 4, 1),
    }
    return torch.nn.Sequential(OrderedDict(parts | more)).eval()


def saved(path: Path, module: torch.nn.Module, *inputs: str, **how: Any) -> str:
    costmodel.count(module, *(inputs or ["1x3x16x16"]), **how).save(path)
    return str(path)


def changed(path: Path, **entries: Any) -> str:
    """The file with other entries."""
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))
    return str(path)


def compared(path: Path, before: torch.nn.Module, after: torch.nn.Module) -> baseline.Comparison:
    return costmodel.count(after, "1x3x16x16").compare(saved(path, before))


def told(changes: "tuple[baseline.Change, ...]") -> list[tuple[str, str | None, Any, Any, str]]:
    return [(each.quantity, each.module, each.before, each.after, each.verdict) for each in changes]


def test_a_module_that_grew(tmp_path: Path) -> None:
    """width 8 -> 12. Parameters: stem (27 + 1) * width, head (width + 1) * 4. FLOPs: 2 * 256 places * weights."""
    found = compared(tmp_path / "cost.json", net(8), net(12))
    assert told(found.changes)[:2] == [
        ("parameters", None, 28 * 8 + 9 * 4, 28 * 12 + 13 * 4, "rose"),
        ("FLOPs", None, 512 * (27 * 8 + 8 * 4), 512 * (27 * 12 + 12 * 4), "rose"),
    ]
    assert told(found.modules)[:4] == [
        ("parameters", "stem", 28 * 8, 28 * 12, "rose"),
        ("parameters", "head", 9 * 4, 13 * 4, "rose"),
        ("FLOPs", "stem", 512 * 27 * 8, 512 * 27 * 12, "rose"),
        ("FLOPs", "head", 512 * 8 * 4, 512 * 12 * 4, "rose"),
    ]
    # The fullest moment: the ReLU reads and writes 256 * width floats beside 3 * 256 of the input and the parameters.
    peaks = [4 * (28 * width + (width + 1) * 4 + 3 * 256 + 2 * 256 * width) for width in (8, 12)]
    assert [each for each in told(found.modules) if each[0] == "peak memory"] == [
        ("peak memory", "act", *peaks, "rose")
    ]
    assert found.changes[1].pct == pytest.approx(50)  # all weights of convolutions grow by half
    assert [each.quantity for each in found.over(0.49)] == ["parameters", "FLOPs"]
    assert found.over(0.5) == [], "50 % is not more than 50 %; parameters rose by 128 of 260"
    assert (found.verdict(), found.verdict(0.02), found.verdict(0.5)) == ("passed", "failed", "passed")


def test_a_module_that_shrank_passes(tmp_path: Path) -> None:
    found = compared(tmp_path / "cost.json", net(8), net(4))
    assert {each.verdict for each in found.changes} == {"fell", "same"}
    assert found.verdict(0) == "passed"


@pytest.mark.parametrize("grown", [1, 3])
def test_limits_are_decimals(grown: int) -> None:
    """29 of 100 is not more than 29 %, though 0.29 * 100 is 28.999999999999996 in floating point."""
    change = baseline.Change("launches", 100, 129)
    assert (change.over(0.29), change.over(0.28), baseline.Change("launches", 100, 129 + grown).over(0.29)) == (
        *(False, True),
        True,
    )
    from_zero = baseline.Change("launches", 0, grown)
    assert (from_zero.pct, from_zero.over(9e9), baseline.Change("launches", 0, 0).pct) == (None, True, 0.0)


def test_modules_that_vanish_appear_and_change(tmp_path: Path) -> None:
    """A branch with two modules counts as one; classes are compared; what moved is told although the sums agree."""
    branch = torch.nn.Sequential(torch.nn.Conv2d(4, 4, 1), torch.nn.ReLU()).eval()
    before, after = net(8, last=branch), net(8, other=branch, act=torch.nn.SiLU())
    found = compared(tmp_path / "cost.json", before, after)
    assert found.structure == (
        "vanished: last (Sequential)",
        "appeared: other (Sequential)",
        "another class: act (ReLU before, SiLU now)",
    )
    assert {each.verdict for each in found.changes} == {"same"}
    assert [each for each in told(found.modules) if each[0] == "FLOPs"] == [
        ("FLOPs", "other", None, 512 * 16, "appeared"),
        ("FLOPs", "last", 512 * 16, None, "vanished"),
    ]
    assert found.verdict(0) == "passed"


def test_a_layer_that_became_several_counts_as_one(tmp_path: Path) -> None:
    """head: a convolution of 8 x 4 weights, then two of 8 x 2 and 2 x 4: 8 * 2 + 2 * 4 = 24 weights in its place."""
    low_rank = torch.nn.Sequential(torch.nn.Conv2d(8, 2, 1, bias=False), torch.nn.Conv2d(2, 4, 1))
    found = compared(tmp_path / "cost.json", net(8), net(8, head=low_rank))
    assert [each for each in told(found.modules) if each[0] in ("FLOPs", "launches")] == [
        ("FLOPs", "head", 512 * 32, 512 * 24, "fell"),
        ("launches", "head", 1, 2, "rose"),
    ]
    assert found.structure == ("another class: head (Conv2d before, Sequential now)",)
    assert [each.quantity for each in found.over(0.02)] == ["bytes", "launches"]
    rows = found.frame()
    assert list(rows.quantity[rows.module.isna()]) == ["parameters", "FLOPs", "bytes", "peak memory", "launches"]


def test_a_shared_layer_adds_up(tmp_path: Path) -> None:
    """Modules add up to the whole also where a module has two paths; a file with other sums is refused."""
    layer = torch.nn.Conv2d(4, 4, 1)
    path = tmp_path / "cost.json"
    kept = baseline.read(saved(path, net(8, one=layer, two=layer)))
    for key in baseline.SUMS:
        assert sum(each[key] for each in kept["modules"]) == kept[key], key
    with pytest.raises(InvalidInput, match="damaged: the FLOPs of the modules add up to"):
        baseline.read(changed(path, flops=kept["flops"] + 1))


def test_the_file_has_what_json_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What both name is equal; of a training step, too. Nothing in the file is about this machine."""
    arguments = ["count", "torch.nn:Linear", "--make", '{"in_features": 8, "out_features": 4}', "--input", "2x8"]
    arguments += ["--train", "--backward", "--optimizer", "adam", "--convention", "paper"]
    file = tmp_path / "cost.json"
    code, out, err = run(capsys, *arguments, "--format", "json", "--save", str(file))
    assert (code, err) == (0, "")
    shown, kept = json.loads(out), baseline.read(file)
    shared = {key: shown[key] for key in kept if key in shown and key != "modules"}
    assert shared == {key: kept[key] for key in shared}
    assert {"params", "flops", "macs", "bytes", "launches", "peak_memory_bytes", "events", "convention"} <= set(shared)
    (row,) = shown["modules"]
    (own,) = kept["modules"]
    assert {key: row[key] for key in own if key in row} == {key: own[key] for key in own if key in row}
    assert (kept["training"], kept["backward"], kept["optimizer"]) == (True, True, "adam")
    assert str(Path.cwd()) not in file.read_text()
    assert str(tmp_path) not in file.read_text()
    assert run(capsys, *arguments, "--baseline", str(file), "--fail-over", "0")[0] == 0


SETTINGS: list[tuple[dict[str, Any], tuple[str, ...], str]] = [
    ({}, ("1x3x8x8",), "inputs: 1x3x16x16 in the baseline, 1x3x8x8 now"),
    ({}, ("2x3x16x16",), "inputs: 1x3x16x16 in the baseline, 2x3x16x16 now"),
    ({"backward": True}, ("1x3x16x16",), "backward: no in the baseline, yes now"),
    ({"backward": True, "optimizer": "sgd"}, ("1x3x16x16",), "optimizer: none in the baseline, sgd now"),
    ({"frames": 2}, ("1x3x16x16",), "frames: 1 in the baseline, 2 now"),
]


@pytest.mark.parametrize(("how", "inputs", "reason"), SETTINGS, ids=[reason for *_, reason in SETTINGS])
def test_other_settings_are_not_judged(
    how: dict[str, Any], inputs: tuple[str, ...], reason: str, tmp_path: Path
) -> None:
    class Cell(torch.nn.Module):
        def forward(self, x: torch.Tensor, state: torch.Tensor | None = None) -> Any:
            x = x * self.weight
            return x, x if state is None else x + state

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

    path = saved(tmp_path / "cost.json", Cell())
    found = costmodel.count(Cell(), *inputs, **how).compare(path)
    assert any(each.startswith(reason) for each in found.other_settings)
    assert all("save a new one" in each for each in found.other_settings)
    assert {each.verdict for each in found.changes} == {"not judged"}
    assert (found.verdict(), found.verdict(9e9), found.modules) == ("undecided", "undecided", ())


def test_another_convention_mode_or_attention(tmp_path: Path) -> None:
    path = tmp_path / "cost.json"
    counted = costmodel.count(net(), "1x3x16x16")
    counted.save(path, convention="fvcore")
    assert counted.compare(path, convention="fvcore").verdict(0) == "passed"
    assert counted.compare(path).other_settings[0].startswith("convention: fvcore in the baseline, torch now")
    masked = counted.compare(path, "fvcore", attention="masked")
    assert masked.other_settings[0].startswith("attention: full in the baseline, masked now")
    trained = costmodel.count(net().train(), "1x3x16x16").compare(path, "fvcore")
    assert trained.other_settings[0].startswith("training: no in the baseline, yes now")


def test_what_is_not_known_is_not_judged(tmp_path: Path) -> None:
    """FLOPs with an operation that has no rule, now or then; a peak of memory that a file lacks."""

    class Singular(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.linalg.svdvals(x)

    path = tmp_path / "cost.json"
    known, unknown = torch.nn.ReLU().eval(), Singular().eval()
    for before, after, when in ((known, unknown, "now"), (unknown, known, "then"), (unknown, unknown, "then and now")):
        found = compared(path, before, after)
        (reason,) = found.unknown
        assert reason.startswith(f"FLOPs are not known {when}, no rule: aten._linalg_svd")
        assert [each.verdict for each in found.changes if each.quantity == "FLOPs"] == ["not judged"]
        assert (found.verdict(), found.verdict(9e9)) == ("passed", "undecided")
    saved(path, known)
    kept = json.loads(path.read_text())
    rows = [row | {"peak_memory_bytes": None} for row in kept["modules"]]
    found = costmodel.count(known, "1x3x16x16").compare(changed(path, peak_memory_bytes=None, modules=rows))
    assert (found.unknown[0].split(":")[0], found.verdict(1)) == (
        "peak memory is not known in the baseline",
        "undecided",
    )


def test_another_version_is_told(tmp_path: Path) -> None:
    path = tmp_path / "cost.json"
    saved(path, net())
    found = costmodel.count(net(), "1x3x16x16").compare(changed(path, torch="1.0", name="Old"))
    assert found.notes[0].startswith("torch 1.0 counted the baseline, and 2.")
    assert found.notes[1] == "the baseline is of Old, and this is Sequential"
    assert found.verdict(0) == "passed"


ROW = {"module": "", "class": "A", "params": 0, "flops": 0, "bytes": 0, "launches": 0, "peak_memory_bytes": None}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "damaged or cut short, not JSON"),
        ("[" * 100_000, "damaged or cut short, not JSON"),
        ("[]", "not a saved count; count with --save makes a new one"),
        ("{}", "not a saved count"),
        ('{"format": 1, "host": {"cpu": "c"}, "runs": []}', "a profile, not a saved count: costmodel diff"),
        ('{"name": "a", "flops": 1, "modules": []}', "the output of count --format json, not a saved count"),
        ("\udcff", "cannot be read: not text"),
        ({"format": 2}, "format 2, but this version of costmodel reads format 1: update costmodel"),
        ({"format": None}, "format None, but"),
        ({"flops": float("nan")}, "damaged or cut short, not JSON: NaN is no number"),
        ({"flops": float("inf")}, "damaged or cut short, not JSON: Infinity is no number"),
        ({"flops": -1}, "flops cannot be -1"),
        ({"flops": "1"}, "flops cannot be '1'"),
        ({"flops": True}, "flops cannot be True"),
        ({"params": 1.5}, "params cannot be 1.5"),
        ({"launches": None}, "launches cannot be None"),
        ({"inputs": "1x3"}, "inputs cannot be '1x3'"),
        ({"name": "\x1b[31m"}, "name cannot be"),
        ({"modules": {}}, "modules cannot be {}"),
        ({"modules": [{}]}, "modules cannot be [{}]"),
        ({"modules": []}, "damaged: the parameters of the modules add up to 0, not to 260"),
        ({"modules": [ROW, ROW]}, "module '' is there twice"),
        ({"peak_memory_bytes": 1}, "damaged: a module has a higher peak memory than the whole"),
    ],
)
def test_broken_files_are_refused(text: str | dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "cost.json"
    if isinstance(text, str):
        path.write_bytes(text.encode(errors="surrogateescape"))
    else:
        saved(path, net())
        changed(path, **text)
    with pytest.raises(InvalidInput) as caught:
        costmodel.count(net(), "1x3x16x16").compare(path)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cost.json"
    text = Path(saved(path, net())).read_text()
    for end in range(0, len(text.rstrip()), 7):
        path.write_text(text[:end])
        with pytest.raises(InvalidInput, match="damaged or cut short"):
            baseline.read(path)


def test_letters_have_no_baseline(tmp_path: Path) -> None:
    counted = costmodel.count(net(), "1x3xHxW")
    with pytest.raises(InvalidInput, match="a baseline is in numbers: give sizes instead of H, W"):
        counted.save(tmp_path / "cost.json")
    counted.at(H=16, W=16).save(tmp_path / "cost.json")
    assert costmodel.count(net(), "1x3x16x16").compare(tmp_path / "cost.json").verdict(0) == "passed"
    with pytest.raises(InvalidInput, match="expected a number from 0"):
        costmodel.count(net(), "1x3x16x16").compare(tmp_path / "cost.json").over(float("nan"))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a module and its cost."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "gated.py").write_text(MODULE)
    done = process("count", "gated:build", "--input", "1x3x16x16", "--save", "cost.json", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


@pytest.mark.parametrize(
    ("options", "code", "shown", "error"),
    [
        ("", 0, "same", ""),
        ("--fail-over 2%", 0, "nothing rose by more than 2 %.", ""),
        ('--make {"width":12} --fail-over 50%', 0, "nothing rose by more than 50 %.", ""),
        ('--make {"width":12} --fail-over 2%', 1, "rose by more than 2 %: parameters, FLOPs, bytes, peak memory.", ""),
        ('--make {"width":12}', 0, "+50.00 %", ""),
        ('--make {"extra":true} --fail-over 5', 1, "appeared: refine (Sequential).", ""),
        ('--make {"width":4} --fail-over 0', 0, "-50.00 %", ""),
        ("--convention paper", 3, "NOT JUDGED: convention", "not judged: convention: torch in the baseline, paper now"),
        (
            "--dtype bfloat16 --fail-over 9%",
            3,
            "not judged",
            "not judged: inputs: 1x3x16x16 in the baseline, 1x3x16x16:bf",
        ),
        ("--depth 1", 2, "", "without --depth, --sort, --top and --machine"),
        ("--save cost.json", 2, "", "name the same file"),
        ("--fail-over 2x", 2, "", "expected a percentage"),
        ("--baseline= --fail-over 2%", 2, "", "--save and --baseline need the name of a file"),  # of a variable not set
        ("--input 2x3x16x16,1x3x16x16", 2, "", "give --input without alternatives"),
    ],
)
def test_the_gate_of_count(
    project: Path,
    options: str,
    code: int,
    shown: str,
    error: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(project)
    more = options.split()
    inputs = [] if "--input" in more else ["--input", "1x3x16x16"]
    seen, out, err = run(capsys, "count", "gated:build", *inputs, "--baseline", "cost.json", *more)
    assert (seen, bool(err)) == (code, bool(error))
    assert shown in " ".join(out.split("\n")) or shown in " ".join(out.split())
    assert error in err


@pytest.mark.parametrize(
    ("options", "verdict", "rose"),
    [
        ('--make {"width":12} --fail-over 45%', "failed", ["parameters", "FLOPs"]),
        ('--make {"width":12}', None, []),
        ("--fail-over 0", "passed", []),
        ("--backward --fail-over 9%", "undecided", []),
    ],
)
def test_the_gate_as_json_and_csv(
    project: Path,
    options: str,
    verdict: str | None,
    rose: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Parameters rise by 128 of 260 = 49.2 %, FLOPs by half, bytes by 41 %, the peak of memory by 42 %."""
    monkeypatch.chdir(project)
    command = ["count", "gated:build", "--input", "1x3x16x16", "--baseline", "cost.json", *options.split()]
    record = json.loads(run(capsys, *command, "--format", "json")[1])
    assert (record["verdict"], record["rose"], record["baseline"]) == (verdict, rose, "cost.json")
    assert [each["quantity"] for each in record["changes"]] == list(baseline.QUANTITIES.values())
    rows = list(csv.DictReader(io.StringIO(run(capsys, *command, "--format", "csv")[1])))
    assert len(rows) == len(record["changes"]) + len(record["modules"])
    assert {row["convention"] for row in rows} == {"torch"}
    assert all(row["module"] for row in rows[5:])


# ---- two profiles ----------------------------------------------------------------------------------------------------

FLAT = [1.0] * 5


def judged(low: float, value: float, high: float, processes: int = 5) -> Estimate:
    return Estimate(value, (low, high), "stable", processes)


@pytest.mark.parametrize(
    ("ratio", "said", "smallest", "enough"),
    [
        (judged(1, 1, 1), "same", 0, 6),
        (judged(0.95, 1, 1.05), "same", 1 / 0.95 - 1, 6),  # to the threshold, on both sides
        (judged(0.96, 1.02, 1.04), "same", 1.02 / 0.96 - 1, 8),  # 5 * (ln 1.0625 / ln 1.05) ** 2 = 7.7
        (judged(1.04, 1.06, 1.08), "slower", 1.06 / 1.04 - 1, 6),
        (judged(1.01, 1.04, 1.07), "undecided", 1.04 / 1.01 - 1, 6),  # slower, but by how much?
        (judged(0.99, 1.3, 2), "undecided", 2 / 1.3 - 1, 390),  # 5 * (ln 1.538 / ln 1.05) ** 2 = 389.8
        (judged(0.8, 1, 1.25), "undecided", 0.25, 105),  # 5 * (ln 1.25 / ln 1.05) ** 2 = 104.6
        (judged(0.93, 0.96, 0.99), "faster", 0.96 / 0.93 - 1, 6),
        (judged(0.93, 0.97, 1.01), "undecided", 0.97 / 0.93 - 1, 6),
        (judged(9, 9, 9, processes=2), "undecided", None, 3),
        (Estimate(9, None, "undecided", 1), "undecided", None, 3),
        (None, "undecided", None, 3),
    ],
)
def test_verdicts_by_a_threshold_of_5(ratio: Estimate | None, said: str, smallest: float | None, enough: int) -> None:
    assert compare.verdict(ratio, 0.05) == said
    assert compare.smallest_change(ratio) == (smallest if smallest is None else pytest.approx(smallest))
    assert compare.enough_processes(ratio, 0.05) == enough


def test_a_change_that_is_larger_than_the_smallest_one_shows() -> None:
    """The interval moves with the ratio: a change just above the smallest one leaves 1 outside, one below does not."""
    low, value, high = 0.93, 1, 1.06
    smallest = compare.smallest_change(judged(low, value, high))
    assert smallest == pytest.approx(1 / 0.93 - 1)
    for change, shows in ((smallest + 0.001, True), (smallest - 0.001, False)):
        assert compare.significant(judged(*(each * (1 + change) for each in (low, value, high)))) is shows
    assert compare.enough_processes(judged(0.9, 1, 1.1), 0) is None  # no number of processes shows any change


GATES = {
    "same": ({"sep": FLAT}, {"sep": FLAT}, "5%", 0, "same", ""),
    "faster": ({"sep": FLAT}, {"sep": [0.5] * 5}, "5%", 0, "faster", ""),
    "slower": ({"sep": FLAT}, {"sep": [1.2] * 5}, "5%", 1, "slower", ""),
    "slower, but not by 30 %": ({"sep": FLAT}, {"sep": [1.2] * 5}, "30%", 0, "same", ""),
    "twice as slow, perhaps": (
        # The mean of logarithms is ln 1.54 with a standard error of 25 %; t with 4 degrees of freedom: 2.78 * 25 %.
        {"sep": FLAT},
        {"sep": [0.8, 0.9, 1.976, 2.4, 2.5]},
        "2%",
        3,
        "undecided",
        "these files can show changes above ",
    ),
    "so few processes": ({"sep": FLAT}, {"sep": [2.0] * 2}, "5%", 3, "undecided", "fewer than 3 processes: sep cell"),
    "a run that vanished": ({"sep": FLAT, "depth": FLAT}, {"sep": FLAT}, "5%", 3, "same", "only in a.json: depth cell"),
    "a run that appeared": ({"sep": FLAT}, {"sep": FLAT, "depth": FLAT}, "5%", 0, "same", ""),
    "slower and vanished": ({"sep": FLAT, "depth": FLAT}, {"sep": [1.2] * 5}, "5%", 1, "slower", "only in a.json"),
    "no threshold": ({"sep": FLAT, "depth": FLAT}, {"sep": [2.0] * 2}, None, 0, "undecided", ""),
    "no common run": ({"sep": FLAT}, {"depth": FLAT}, "5%", 2, "", "have no run in common"),
}


@pytest.mark.parametrize(("before", "after", "limit", "code", "said", "error"), GATES.values(), ids=GATES)
def test_the_gate_of_diff(
    before: dict[str, list[float]],
    after: dict[str, list[float]],
    limit: str | None,
    code: int,
    said: str,
    error: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    profiled(Path("a.json"), **before)
    profiled(Path("b.json"), **after)
    options = ["--fail-over", limit] if limit else []
    seen, out, err = run(capsys, "diff", "a.json", "b.json", *options, "--format", "json")
    assert (seen, bool(err), error in err) == (code, bool(error), True)
    if code == 2:
        return
    record = json.loads(out)
    assert record["rows"][0]["verdict"] == said
    assert record["threshold"] == (float(limit[:-1]) / 100 if limit else 0.05)
    assert [f"costmodel: not judged, {each}" for each in record["not_judged"]] == err.splitlines()
    assert all("costmodel profile ... --processes" in each for each in record["not_judged"])
    assert len(record["only_before"]) == len(before.keys() - after.keys())
    (first, *_) = csv.DictReader(io.StringIO(run(capsys, "diff", "a.json", "b.json", "--format", "csv")[1]))
    assert {"verdict", "smallest_change", "ratio_significant", "ratio_low"} <= set(first)


def test_diff_tells_what_it_could_show(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worst of the runs; the default threshold has a name."""
    monkeypatch.chdir(tmp_path)
    spread = [0.9, 0.95, 1.0, 1.05, 1.1]
    profiled(Path("a.json"), sep=FLAT, depth=FLAT)
    profiled(Path("b.json"), sep=spread, depth=FLAT)
    out = " ".join(run(capsys, "diff", "a.json", "b.json")[1].split())
    assert "by a threshold of 5 %, the default" in out
    # Logarithms spread by 7.9 % (spread.std() of ln 0.9, ..., ln 1.1): about 2.78 * 7.9 % / sqrt(5), less resampling.
    (seen,) = re.findall(r"these files can show changes above (\S+) %", out)
    assert 7 < float(seen) < 11
    record = json.loads(run(capsys, "diff", "a.json", "b.json", "--format", "json")[1])
    assert [each["smallest_change"] for each in record["rows"]] == [pytest.approx(float(seen) / 100, abs=6e-4), 0]
    assert record["smallest_change"] == record["rows"][0]["smallest_change"]


def test_another_machine_is_not_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    profiled(Path("a.json"), sep=FLAT)
    profiled(Path("b.json"), sep=FLAT)
    Path("b.json").write_text(Path("b.json").read_text().replace('"cpu":"c"', '"cpu":"d"'))
    assert run(capsys, "diff", "a.json", "b.json")[0] == 0
    code, _, err = run(capsys, "diff", "a.json", "b.json", "--fail-over", "5%")
    assert (code, "other machines, c and d. Record both profiles on one machine" in err) == (3, True)


def test_a_file_of_the_other_kind_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    profiled(Path("a.json"), sep=FLAT)
    saved(Path("cost.json"), net())
    code, _, err = run(capsys, "diff", "a.json", "cost.json")
    assert (code, err) == (
        2,
        "costmodel: cost.json: a saved count, not a profile: costmodel count --baseline compares counts\n",
    )
    with pytest.raises(InvalidInput, match="a profile, not a saved count"):
        baseline.read("a.json")


# ---- docs/ci.md ------------------------------------------------------------------------------------------------------

PAGE = (Path(__file__).parent.parent / "docs" / "ci.md").read_text()


def test_the_commands_of_the_page_gate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's module and commands in an empty folder: save, pass, fail as shown."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "mymodel", raising=False)
    Path("mymodel.py").write_text(re.findall(r"```python\n(from.*?)```", PAGE, re.DOTALL)[0])
    save, gate = re.findall(r"^    costmodel (count .*)$", PAGE, re.M)
    assert run(capsys, *shlex.split(save))[0] == 0
    assert run(capsys, *shlex.split(gate))[::2] == (0, "")
    ((command, shown),) = re.findall(r"```console\n\$ costmodel (.*?)\n(.*?)```", PAGE, re.DOTALL)
    assert run(capsys, *shlex.split(command)) == (1, shown, "")


def test_the_workflow_of_the_page_is_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two jobs whose steps are actions or commands; its gates are those of the page, with options that exist."""
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    workflow = yaml.safe_load(text)
    assert workflow[True] == "pull_request"  # YAML reads "on" as True; GitHub does not
    assert workflow["jobs"].keys() == {"count", "time"}
    commands: list[str] = []
    for job in workflow["jobs"].values():
        assert job["runs-on"]
        assert all(("uses" in step) != ("run" in step) for step in job["steps"])
        commands += [line for step in job["steps"] for line in step.get("run", "").splitlines()]
    gates = [line for line in commands if line.startswith("costmodel") and "--fail-over" in line]
    assert gates == re.findall(r"^    (costmodel .*--fail-over.*)$", PAGE, re.M)
    assert [line.split()[1] for line in commands if line.startswith("costmodel")] == [
        *("count", "count", "profile", "profile", "diff")
    ]
    monkeypatch.chdir(tmp_path)
    for name in ("before.json", "after.json"):
        profiled(Path(name), sep=FLAT)
    assert run(capsys, *shlex.split(gates[1])[1:])[0] == 0
