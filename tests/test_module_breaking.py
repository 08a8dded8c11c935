"""A stranger's modules that are unlike others: what is timed is what is counted, and what is compared is the same."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import costmodel
from costmodel.building.check import check_module
from costmodel.counting import rules
from costmodel.counting.load import load, prepared
from costmodel.errors import InvalidInput
from costmodel.measure.modules import Module, structure
from costmodel.measure.profile import choose, settings_grid
from costmodel.measure.timed import Timed, deviation, expected, first_results, timed
from costmodel.measure.workload import Named
from costmodel.work.events import Event

NETS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.l = nn.Linear(8, 8)
    def forward(self, x): return self.l(x)
    def __len__(self): return 0  # false where a truth value is asked for

class Changes(nn.Module):
    def forward(self, x): return x.mul_(0.5) @ x

class Gradient(Net):
    def forward(self, x):
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            return torch.autograd.grad(self.l(x).pow(2).sum(), x)[0]

class Complex(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(8, 8, dtype=torch.complex64))
    def forward(self, x): return x.to(torch.complex64) @ self.w

class Logarithm(Net):
    def forward(self, x): return self.l(x).log()

class Masked(Net):
    def forward(self, x): return self.l(x).masked_fill(torch.ones(8, 8).tril() == 0, float("-inf"))

class Sparse(nn.Module):
    def forward(self, x): return x.to_sparse()

class Sets(Net):
    def extra_repr(self): return str(set('abcdef')) + repr(torch.relu) + repr(lambda x: x)

class Yields(Net):
    def forward(self, x):
        for _ in range(3): yield self.l(x)

class Method(Net):
    def twice(self, x): return self.l(self.l(x))

def method(): return Method().twice
def compiled(): return torch.compile(Net())
def half(): return Net().half()
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("breaking_nets.py").write_text(NETS)
    monkeypatch.delitem(sys.modules, "breaking_nets", raising=False)


def a_module(name: str, *inputs: str, **kwargs: object) -> Module:
    return costmodel.module(f"breaking_nets.py:{name}", *(inputs or ["8x8"]), **kwargs)


def placed(name: str) -> Timed:
    subject = timed(a_module(name).workload, settings_grid(threads=1)[0])
    subject.place()
    return subject


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["Net", "Changes", "Gradient", "Complex", "Logarithm", "Masked", "Sparse"])
def test_results_are_compared_with_the_reference(name: str, dtype: str) -> None:
    workload, how = a_module(name).workload, settings_grid(threads=1, dtype=dtype)[0]
    reference = expected(workload, how)
    subject = timed(workload, how)
    subject.place()
    found = deviation(first_results(subject), reference, subject.how)
    assert found is not None
    assert found < 0.1


def test_values_that_are_not_finite_hide_no_wrong_ones() -> None:
    subject = placed("Masked")
    reference = expected(a_module("Masked").workload, subject.how)
    with torch.no_grad():
        subject.module.l.weight.mul_(2)  # type: ignore[union-attr]
    with pytest.raises(InvalidInput, match="deviate from the reference"):
        deviation(first_results(subject), reference, subject.how)


def test_inputs_that_a_module_changes_are_the_same_at_every_step() -> None:
    subject = placed("Changes")
    first = [subject.step(), subject.results()[0]][1]
    for _ in range(200):  # halved so often, all inputs would be 0
        subject.step()
    assert torch.equal(subject.results()[0], first)
    assert first.abs().max() > 0.1


def test_complex_parameters_stay_complex() -> None:
    assert placed("Complex").module.w.dtype == torch.complex64  # type: ignore[union-attr]
    net = prepared(load("breaking_nets.py:Complex"), False, "float64")
    assert net.w.dtype == torch.complex64


def test_a_module_that_is_false_is_in_evaluation_mode() -> None:
    assert not placed("Net").module.training  # type: ignore[union-attr]


def test_a_compiled_module_is_counted_and_eager_where_the_settings_say_so() -> None:
    assert a_module("compiled").count.macs == a_module("Net").count.macs == 8 * 8 * 8
    subject = placed("compiled")
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    subject.step()
    assert not torch._dynamo.utils.counters["stats"].get("unique_graphs")
    torch.compiler.set_stance("default")


def test_a_module_of_another_type_is_not_timed_as_float32_in_silence() -> None:
    half = a_module("half", "8x8:float16")
    with pytest.raises(InvalidInput, match="inputs of float16, and would be timed as float32: choose dtype float16"):
        choose(settings_grid(), [half])
    assert choose(settings_grid(dtype="float16"), [half])
    assert choose(settings_grid(), [a_module("half", dtype="float32")])
    assert choose(settings_grid(dtype=["float32", "bfloat16"]), [a_module("Net", dtype="bfloat16")])


def test_the_same_call_is_the_same_subject() -> None:
    subjects = {a_module("Net", each).subject for each in ("8x8", "8x08", "8x8:float32")}
    assert {each.inputs for each in subjects} == {("8x8",)}
    assert len(subjects) == 1


def test_a_structure_is_the_same_in_every_process() -> None:
    code = (
        "import costmodel; from costmodel.measure.modules import structure; from costmodel.counting.load import load;"
        "print(structure(load('breaking_nets.py:Sets')))"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
            timeout=100,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1
    assert structure(torch.nn.Conv2d(1, 1, 3, stride=(1, 2))) != structure(torch.nn.Conv2d(1, 1, 3, stride=(2, 1)))


@pytest.mark.parametrize("package", ["", "pack"])
def test_files_of_two_folders_have_their_own_neighbours(package: str) -> None:
    for folder, width in (("one", 4), ("two", 8)):
        place = Path(folder, package)
        place.mkdir(parents=True)
        if package:
            (place / "__init__.py").touch()
        (place / "breaking_sizes.py").write_text(f"WIDTH = {width}")
        dot = "." if package else ""
        code = f"from {dot}breaking_sizes import WIDTH\nimport torch\ndef build(): return torch.nn.Linear(WIDTH, 1)"
        (place / "breaking_file.py").write_text(code)
    Path("breaking_sizes.py").write_text("WIDTH = 16")
    sys.modules.pop("breaking_sizes", None)
    names = [str(Path(folder, package, "breaking_file.py:build")) for folder in ("one", "two", "one")]
    assert [load(name).in_features for name in names] == [4, 8, 4]
    paths = list(sys.path)
    assert timed(Named(names[1]), settings_grid(threads=1)[0]).module.in_features == 8  # type: ignore[union-attr]
    assert sys.path.count(paths[0]) == 1


@pytest.mark.parametrize("name", ["Net", "compiled", "Yields", "Method.twice", "Logarithm"])
def test_checks_agree_with_modules_and_find_a_wrong_rule(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def findings(inputs: str) -> dict[str, bool]:
        made = a_module("method" if "." in name else name, inputs)
        net, (args, kwargs) = made.made()
        return {each.what: each.ok for each in check_module(made.count, net, args, kwargs).findings}

    assert all(findings("8x8").values())
    monkeypatch.setattr(rules, "_FOUND", {})
    for rule in ("addmm", "linear"):
        monkeypatch.setitem(rules.RULES, rule, lambda result, *rest, **more: {Event.MAC: 7 * result.numel()})
    assert not findings("5x8")["FlopCounterMode"]
