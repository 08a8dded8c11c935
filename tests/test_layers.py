"""Layers: with a clock of our own, whose reads cost time, rows come out to the nanosecond; and with real processes."""

import csv
import io
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_cuda import Gpu
from hypothesis import given
from hypothesis import strategies as st
from test_cli import process, run
from torch import nn

import costmodel
from costmodel.building.module import build
from costmodel.cli.timing import Effort, time_jobs
from costmodel.errors import InvalidInput
from costmodel.measure import layers as measuring
from costmodel.measure.clock import CudaClock, WallClock
from costmodel.measure.jobs import Job
from costmodel.measure.layers import Measured, check_settings, joined, of_profile
from costmodel.measure.marks import CudaStamps, Turn, WallStamps, layered, middle
from costmodel.measure.profile import choose, settings_grid
from costmodel.measure.timed import Timed, timed
from costmodel.profiles.files import load
from costmodel.profiles.layers import Layers, trace
from costmodel.profiles.records import Host, LayerProcess, LayerRun, LayerTurn, Level, Process, Profile, Subject
from costmodel.report.layers import document
from costmodel.report.numbers import apportioned
from costmodel.work.cost import Cost, Operation
from costmodel.work.events import Event, Work

HOW = settings_grid(threads=1)[0]
ME = Subject(module="nets.py:net", inputs=("1",), structure="0")
HOST = Host(cpu="a CPU")
CELL = choose([HOW], None, ["depth"], channels=[(4, 4)], size=(5, 6))
NETS = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.act = nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()

    def forward(self, x):
        return x + self.act(self.conv(x))

def net():
    return nn.Sequential(nn.Conv2d(3, 4, 1), Block(), Block())

def one():
    return nn.Linear(3, 2)
"""


@dataclass
class World:
    """A clock in nanoseconds; a read of it costs ``read``."""

    read: int = 7
    now: int = 0

    def stamp(self) -> int:
        self.now += self.read
        return self.now

    def seconds(self) -> float:
        return self.now / 1e9


WORLD = World()


@pytest.fixture(autouse=True)
def world() -> Iterator[None]:
    WORLD.read, WORLD.now = 7, 0
    yield
    if "torch._dynamo" in sys.modules:  # a subject that is placed keeps modules from compiling parts of themselves
        torch.compiler.set_stance("default")


class Busy(nn.Module):
    """A module whose own code takes so many nanoseconds, around those of the modules in it."""

    def __init__(self, own: int, **inside: nn.Module) -> None:
        super().__init__()
        self.own = own
        for name, module in inside.items():
            self.add_module(name, module)

    def forward(self, x: int) -> int:
        WORLD.now += self.own
        for module in self.children():
            for each in module if isinstance(module, nn.ModuleList) else [module]:
                x = each(x)
        return x


class Plain(Timed):
    """A subject whose step takes 11 ns outside of its module."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__(HOW, module, module)

    def call(self) -> None:
        WORLD.now += 11
        self.output = self.run(1)


def clock() -> WallClock:
    return WallClock(WORLD.seconds)


def measured(subject: Timed, depth: int | None = None, turns: int = 2, calls: int = 1) -> LayerRun:
    """The layers of a subject, as a process measures them, by the clock of the world."""
    facts, turn = layered(subject, clock(), calls, depth, WallStamps(WORLD.stamp))
    kept, seconds = Measured(), []
    rest = kept.ready(facts)
    for _ in range(turns):
        whole, levels = turn()
        seconds.append(whole)
        kept.turn(levels)
    found = kept.beside(Process(seconds=tuple(seconds), **rest))
    return LayerRun(
        subject=ME, how=HOW, clock="wall", levels=kept.levels, containers=kept.containers, processes=(found,)
    )


def times(layers: Layers) -> dict[tuple[str, str], int]:
    return {(row.path, row.kind): row.ns for row in layers.rows}


def test_rows_are_what_the_modules_take() -> None:
    net = Busy(5000, stem=Busy(30_000), body=Busy(200, one=Busy(10_000), two=Busy(20_000, deep=Busy(4000))))
    run = measured(Plain(net))
    assert [level.paths for level in run.levels] == [("", "stem", "body"), ("body.one", "body.two"), ("body.two.deep",)]
    # One read for each stay: at level 1 in the whole thrice (before stem, between stem and body, after body).
    assert [level.reads for level in run.levels] == [(3, 1, 1), (1, 1), (1,)]
    assert {process.read for process in run.processes} == {7}
    layers = Layers(run)
    # 11 outside of the module, and 5000 + 30000 + 200 + 10000 + 20000 + 4000 in it.
    assert layers.total_ns == 69_211
    assert times(layers) == {
        ("", "rest"): 5000,
        ("stem", "part"): 30_000,
        ("body", "rest"): 200,
        ("body.one", "part"): 10_000,
        ("body.two", "rest"): 20_000,
        ("body.two.deep", "part"): 4000,
        ("", "remainder"): 11,
    }
    coarse = Layers(run, depth=1)
    assert times(coarse) == {
        ("", "rest"): 5000,
        ("stem", "part"): 30_000,
        ("body", "part"): 34_200,
        ("", "remainder"): 11,
    }


def test_lists_of_modules_have_no_code_of_their_own_and_shared_modules_add_up() -> None:
    shared = Busy(1000)
    net = Busy(10, blocks=nn.ModuleList([Busy(20_000, part=Busy(300)), Busy(40_000), shared]), last=shared)
    run = measured(Plain(net))
    assert run.containers == ("blocks",)
    assert times(Layers(run)) == {
        ("", "rest"): 10,
        ("blocks.0", "rest"): 20_000,
        ("blocks.0.part", "part"): 300,
        ("blocks.1", "part"): 40_000,
        ("blocks.2", "part"): 2000,  # its second call is that of last, which is the same module
        ("", "remainder"): 11,
    }
    assert times(Layers(run, depth=1))["blocks", "part"] == 62_300


def test_a_part_that_another_part_calls_keeps_its_time() -> None:
    class Caller(Busy):
        def forward(self, x: int) -> int:
            return super().forward(self.other[0].inner(x))

    called, caller = Busy(500, inner=Busy(3000)), Caller(40_000)
    caller.other = [called]  # not registered: its path is that of the sibling
    run = measured(Plain(Busy(100, called=called, caller=caller)))
    assert times(Layers(run)) == {
        ("", "rest"): 100,
        ("called", "rest"): 500,
        ("called.inner", "part"): 6000,
        ("caller", "part"): 40_000,
        ("", "remainder"): 11,
    }


def test_what_is_not_called_as_a_module_is_in_the_rest() -> None:
    class Forward(Busy):
        def forward(self, x: int) -> int:
            WORLD.now += self.own
            return int(self.inside.forward(x))

    run = measured(Plain(Busy(100, outer=Forward(2000, inside=Busy(3000)))))
    assert times(Layers(run)) == {("", "rest"): 100, ("outer", "part"): 5000, ("", "remainder"): 11}


def test_a_module_without_modules_is_one_row() -> None:
    assert times(Layers(measured(Plain(Busy(10_000))))) == {("", "rest"): 10_000, ("", "remainder"): 11}


def test_marks_leave_nothing_behind() -> None:
    net = Busy(1, part=Busy(2))
    subject = Plain(net)
    measured(subject)
    assert subject.run is net
    assert all("_compiled_call_impl" not in vars(module) for module in net.modules())


def test_hooks_and_their_time_stay() -> None:
    def hook(*_: Any) -> None:
        WORLD.now += 50

    net = Busy(100, part=Busy(2000))
    net.part.register_forward_hook(hook)
    assert times(Layers(measured(Plain(net))))["part", "part"] == 2050


def test_calls_that_differ_are_refused() -> None:
    class Moody(Busy):
        def forward(self, x: int) -> int:
            self.own += 1
            return int(self.inside(x)) if self.own % 2 else x

    subject = Plain(Busy(1, moody=Moody(0, inside=Busy(2))))
    with pytest.raises(InvalidInput, match="differ from call to call"):
        measured(subject)


@pytest.mark.parametrize(("read", "shown"), [(7, 2), (300, 1), (3000, 0)])
def test_levels_whose_marks_distort_are_not_shown(read: int, shown: int) -> None:
    """Of 100,011 ns, 4 and 18 reads: of 300 ns 1.2 and 5.4 %, of 3000 ns 12 and 54 %."""
    WORLD.read = read
    inside = {f"part{n}": Busy(10_000) for n in range(9)}
    run = measured(Plain(Busy(10_000, body=Busy(0, **inside))))
    layers = Layers(run)
    # Level 1: into the whole, into the body and out of both; level 2: into each part and out.
    assert layers.distortions == pytest.approx([4 * read / 100_011, 18 * read / 100_011], abs=1e-6)
    assert layers.shown == shown
    assert sum(row.ns for row in layers.rows) == layers.total_ns == 100_011
    assert len(layers.rows) == {2: 12, 1: 3, 0: 1}[shown]
    text = document([layers], HOST).text()
    assert ("NOT SHOWN: level 1 and those below" in text) == (shown == 0)
    assert ("NOT SHOWN: level 2, whose marks" in text) == (shown == 1)


def test_the_middle_half_of_a_turn_is_kept() -> None:
    assert middle([5, 1, 9, 3, 7, 2, 8, 4]) == [3, 7, 0, 4]  # 3, 4, 5, 7; not 1, 2 and 8, 9
    assert [len(middle([0] * n)) for n in (1, 2, 3, 4, 5)] == [1, 2, 3, 2, 3]
    seconds, wholes = iter([99.0, 1.0, 9.0, 2.0, 3.0]), iter([(40, 1), (10, 2), (20, 4), (30, 8)])
    turn = Turn(lambda: next(seconds), [lambda: next(wholes)], 4)
    assert turn.kept == 2
    assert turn() == ((2.0 + 3.0) / 2, [(20 + 30, 4 + 8)])


def test_layers_of_a_gpu_are_device_times() -> None:
    gpu = Gpu(launch=10e-9)

    class Kernel(nn.Module):
        def __init__(self, ns: int) -> None:
            super().__init__()
            self.ns = ns

        def forward(self, x: int) -> int:
            gpu.kernel(self.ns / 1e9)
            return x

    net = nn.Sequential(Kernel(40_000), nn.Sequential(Kernel(30_000), Kernel(20_000)))
    facts, turn = layered(Plain(net), CudaClock(gpu.cuda, None, gpu.clock), 2, None, CudaStamps(gpu.cuda))
    # The GPU waits for the first launch, 10 ns, which is in the first part; then it is busy.
    assert turn() == (
        pytest.approx(90_010e-9),
        [(2 * 90_010, 0, 2 * 40_010, 2 * 50_000), (2 * 90_010, 2 * 30_000, 2 * 20_000)],
    )
    assert [paths for paths, _ in facts["levels"]] == [("", "0", "1"), ("1.0", "1.1")]
    assert facts["read"] == 0


def test_every_step_of_a_description_belongs_to_a_row() -> None:
    (job,) = choose([HOW], ["erfnet-D*"], size=(16, 32), kernels=[(3, 3)])
    subject = timed(job.workload, HOW)
    subject.place()
    before = [tensor.clone() for tensor in subject.results()] or (subject.step(), subject.results())[1]
    facts, turn = layered(subject, WallClock(), 1, None)
    _, levels = turn()
    names = [step.name for step in job.workload.program.steps]  # type: ignore[attr-defined]
    (layers, _), (steps, reads) = facts["levels"]
    assert list(steps) == names
    assert set(reads) == {1}
    assert layers == ("", *dict.fromkeys(name.split(".")[0] for name in names))
    assert facts["containers"] == layers[1:]
    for whole, *parts in levels:
        assert all(part > 0 for part in parts)
        assert sum(parts) <= whole
    assert all(torch.equal(a, b) for a, b in zip(before, subject.results(), strict=True))  # marks compute nothing


def test_operations_stand_beside_times_and_add_up() -> None:
    run = measured(Plain(Busy(5000, stem=Busy(30_000), body=Busy(200, one=Busy(10_000)))))

    def operation(path: str, macs: int) -> Operation:
        return Operation("mm", Cost(Work({Event.MAC: macs}), reads=8 * macs, writes=macs, launches=1), path=path)

    work = {"": 1, "stem": 300, "stem.made while running": 60, "body": 20, "body.one": 4000, "unknown": 5}
    layers = Layers(run, [operation(path, macs) for path, macs in work.items()], {"stem": "Conv2d"})
    macs = {(row.path, row.kind): row.cost.work[Event.MAC] for row in layers.rows}
    # What belongs to no row is in the module around it; the remainder is outside of all modules.
    assert macs == {
        ("", "rest"): 1 + 5,
        ("stem", "part"): 300 + 60,
        ("body", "rest"): 20,
        ("body.one", "part"): 4000,
        ("", "remainder"): 0,
    }
    frame = layers.frame()
    assert (frame.ns.sum(), frame.flops.sum()) == (layers.total_ns, 2 * 4386)
    assert frame.attrs["total_ns"] == layers.total_ns
    stem = frame[frame.module == "stem"].iloc[0]
    assert (stem["class"], stem.ns, stem.flops, stem.bytes, stem.launches) == ("Conv2d", 30_000, 720, 9 * 360, 2)
    assert (stem.gflops_per_s, stem.gbytes_per_s) == (720 / 30_000, 3240 / 30_000)  # GFLOP/s are FLOP/ns


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_operations_of_descriptions_are_those_of_the_batch_and_the_dtype(dtype: str) -> None:
    (job,) = choose(settings_grid(threads=1, batch=3, dtype=dtype), None, ["depth"], channels=[(4, 4)], size=(5, 6))
    run = LayerRun(subject=job.subject, how=job.how, clock="wall", levels=(), processes=(_process(()),))
    ours = joined(run, job).cost
    net = build(job.workload.program)  # type: ignore[attr-defined]
    frame = f"3x4x5x6:{dtype}"
    theirs = costmodel.count(net.to(getattr(torch, dtype)), frame, (frame, frame)).cost
    assert (ours.work, ours.launches) == (theirs.work, theirs.launches)
    assert ours.reads + ours.writes == theirs.reads + theirs.writes


def _process(turns: Sequence[Sequence[LayerTurn]], seconds: tuple[float, ...] = (1e-6,), read: int = 0) -> LayerProcess:
    return LayerProcess(undisturbed=Process(seconds=seconds), read=read, turns=tuple(tuple(level) for level in turns))


def _several(*parts: Sequence[int], whole: int = 100_000) -> LayerRun:
    """A run of one level of two parts, with the times of a process each."""
    level = Level(paths=("", "a", "b"), reads=(1, 1, 1))
    processes = [_process([[LayerTurn(whole=whole, parts=(own, a, b))]], (whole / 1e9,)) for own, a, b in parts]
    return LayerRun(subject=ME, how=HOW, clock="wall", levels=(level,), processes=tuple(processes))


def test_large_rows_that_do_not_repeat_are_named() -> None:
    layers = Layers(_several((1000, 60_000, 39_000), (1000, 70_000, 29_000), (1000, 65_000, 34_000)))
    row = {row.path: row for row in layers.rows}["a"]
    assert (row.ns, row.low, row.high) == (65_000, 60_000, 70_000)
    assert [row.path for row in layers.unsteady] == ["a", "b"]  # 5000 of 65,000 and of 34,000: 7.7 % and 14.7 %
    assert "and not within 5 % over processes: a, b." in " ".join(document([layers], HOST).text().split())
    steady = Layers(_several((0, 60_000, 40_000), (0, 61_000, 39_000)))
    assert steady.unsteady == ()


def test_a_negative_remainder_is_told_as_it_is() -> None:
    layers = Layers(_several((1000, 60_000, 40_000)))
    assert times(layers)["", "remainder"] == -1000
    assert "(remainder)  -0.00100" in document([layers], HOST).text()
    assert sum(times(layers).values()) == 100_000


@given(st.lists(st.integers(-(10**12), 10**12)), st.integers(1, 10**7))
def test_rounded_numbers_add_up_to_the_rounded_sum(values: list[int], unit: int) -> None:
    rounded = apportioned(values, unit)
    assert sum(rounded) == (2 * sum(values) + unit) // (2 * unit)
    assert all(abs(cell * unit - value) <= unit for cell, value in zip(rounded, values, strict=True))


@pytest.mark.parametrize("top", [None, 1, 2])
def test_what_is_printed_adds_up(top: int | None) -> None:
    layers = Layers(_several((333_333, 33_333_333, 66_249_999), whole=99_999_999))
    lines = document([layers], HOST, top=top).text().splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("---"))
    cells = [line.split() for line in itertools.takewhile(bool, lines[first + 1 :])]
    shown = [round(1e6 * float(row[-2])) for row in cells]
    assert sum(shown[:-1]) == shown[-1]
    assert sum(round(100 * float(row[-1])) for row in cells[:-1]) == 10_000


def test_formats_have_the_same_numbers() -> None:
    net = Busy(5000, stem=Busy(30_000), body=Busy(200, one=Busy(10_000)))
    made = document([Layers(measured(Plain(net)), [Operation("mm", Cost(Work({Event.MAC: 7})), path="stem")])], HOST)
    (record,) = json.loads(made.text("json"))["layers"]
    assert sum(row["ns"] for row in record["rows"]) == record["total_ns"] == 45_211
    assert sum(row["flops"] for row in record["rows"]) == record["total_flops"] == 14
    rows = list(csv.DictReader(io.StringIO(made.text("csv"))))
    assert [int(row["ns"]) for row in rows] == [row["ns"] for row in record["rows"]]
    for form in ("text", "markdown", "latex", "html"):
        assert "(remainder)" in made.text(form)


def test_an_order_that_nobody_knows_is_refused() -> None:
    with pytest.raises(InvalidInput, match="unknown order 'params': with times one of order, flops"):
        document([Layers(_several((0, 1, 2)))], HOST, sort="params")


def spans(events: Sequence[dict[str, Any]]) -> list[tuple[float, float]]:
    return [(event["ts"], event["ts"] + event["dur"]) for event in events]


@pytest.mark.parametrize("parts", [(1000, 60_000, 39_000), (1000, 70_000, 39_000)])
def test_a_trace_is_in_the_chrome_format(parts: tuple[int, int, int], tmp_path: Path) -> None:
    layers = Layers(_several(parts))
    layers.save_trace(tmp_path / "trace.json")
    data = json.loads((tmp_path / "trace.json").read_text())
    assert data == trace(layers)
    assert data["displayTimeUnit"] == "ms"
    names, events = ([each for each in data["traceEvents"] if each["ph"] == kind] for kind in "MX")
    assert [each["name"] for each in names] == ["process_name", "thread_name"]
    assert {(each["pid"], each["tid"]) for each in data["traceEvents"]} == {(1, 1)}
    assert [each["name"] for each in events] == [ME.name, "a", "b"]
    assert [each["args"]["ns"] for each in events] == [100_000, *parts[1:]]
    assert [each["dur"] for each in events[1:]] == [parts[1] / 1000, parts[2] / 1000]  # microseconds
    assert spans(events) == sorted(spans(events), key=lambda span: (span[0], -span[1]))
    for (start, end), (other, last) in itertools.combinations(spans(events), 2):  # apart, or one in the other
        assert end <= other or last <= end
        assert start <= other


class Fake:
    """A process of layers that answers at once; at its turn ``interrupt`` of all comes Ctrl-C."""

    turns = 0
    interrupt = 10**9
    paths: tuple[str, ...] = ("", "a")

    def __init__(self, job: Job, depth: int | None, reference: Path | None) -> None:
        self.job, self.depth, self.measured = job, depth, Measured()
        self.compared: dict[str, Any] = {} if reference is None else {"deviation": 0.0}

    def started(self, seconds: float | None) -> None: ...

    def ready(self, seconds: float | None) -> dict[str, Any]:
        return self.measured.ready({"levels": [(self.paths, (1, 1))], "containers": (), "read": 3} | self.compared)

    def turn(self) -> float:
        type(self).turns += 1
        if self.turns == self.interrupt:
            raise KeyboardInterrupt
        self.measured.turn([(1000, 100, 900)])
        return 1e-6

    def finish(self) -> dict[str, Any]:
        return {"minor_faults": 1}

    def kill(self) -> None: ...


def record(path: Path, start: type[Fake] = Fake, **settings: Any) -> Profile:
    options = {"processes": 2, "rounds": 3} | settings
    return measuring.record(CELL, path, start=start, probe=None, **options)


def test_layers_are_kept_resumed_and_replaced(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    (first,) = record(file).layers
    assert [len(process.turns[0]) for process in first.processes] == [3, 3]
    assert [process.undisturbed.deviation for process in first.processes] == [0.0, None]
    assert load(file).layers == (first,)
    assert load(file).text() == file.read_text()
    with pytest.raises(InvalidInput, match="already has 1 of these layers, such as depth cell 3x3 4 5x6: resume=True"):
        record(file)
    (more,) = record(file, resume=True, processes=3).layers
    assert more.processes[:2] == first.processes
    assert len(more.processes) == 3
    (again,) = record(file, replace=True, rounds=1, processes=3).layers
    assert [len(process.turns[0]) for process in again.processes] == [1, 1, 1]

    class Other(Fake):
        paths = ("", "b")

    with pytest.raises(InvalidInput, match="other parts or another depth than the processes before; replace=True"):
        record(file, Other, resume=True, processes=4)


def test_whole_runs_and_layers_share_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    record(file)
    (job,) = CELL
    whole = load(file)
    run = costmodel.read_profile("paper").runs[0]
    both = whole.with_run(run.model_copy(update={"subject": job.subject, "how": HOW, "clock": "wall"}))
    assert (len(both.runs), len(both.layers)) == (1, 1)
    assert ", 1 run of 1 subject, layers of 1" in repr(both)
    assert both.only(lambda how: how.threads == 2).layers == ()
    assert both.without(job.subject).layers == ()
    both.save(file)
    assert load(file).layers == whole.layers
    assert '"layers"' not in both.without(job.subject).text()


def test_ctrl_c_keeps_whole_turns(tmp_path: Path) -> None:
    class Interrupted(Fake):
        turns, interrupt = 0, 6  # the third turn of the second process

    with pytest.raises(KeyboardInterrupt):
        record(tmp_path / "mine.json", Interrupted)
    (kept,) = load(tmp_path / "mine.json").layers
    assert [len(process.turns[0]) for process in kept.processes] == [3, 2]


def test_a_budget_that_ends_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, code = time_jobs(CELL, None, Effort(budget=1e-6), layers=measuring.record)
    assert code == 1
    assert "the budget ended before depth cell 3x3 4 5x6" in capsys.readouterr().err
    assert found is None


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"levels": [{"paths": ["", "a"], "reads": [1]}]}, "a level needs reads"),
        ({"levels": []}, "a process has 1 levels, the run 0"),
        ({"levels": [{"paths": [""], "reads": [1]}]}, "a turn needs a time for each part"),
    ],
)
def test_damaged_layers_are_refused(tmp_path: Path, damage: dict[str, Any], message: str) -> None:
    file = tmp_path / "mine.json"
    record(file)
    data = json.loads(file.read_text())
    data["layers"][0] |= damage
    file.write_text(json.dumps(data))
    with pytest.raises(InvalidInput, match=message):
        load(file)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["profile", "--depth", "1"], "--depth needs --layers"),
        (["profile", "--trace", "x.json"], "--trace needs --layers"),
        (["profile", "--machine", "1,1"], "--machine needs --layers"),
        (["profile", "--layers", "--model", "v6", "--base", "icnet"], "--base is for percentages"),
        (["profile", "--layers", "--model", "icnet", "--trace", "no/folder/x.json"], "cannot be written"),
        (["profile", "--layers", "--model", "icnet,v2", "--trace", "x.json"], "--trace shows one run, not 5"),
        (["profile", "--layers", "--model", "icnet", "--depth", "0"], "expected a whole number from 1"),
        (["count", "nets.py:net", "--input", "1x3x8x8", "--trace", "x.json"], "--trace needs --measure"),
        (["count", "nets.py:net", "--input", "1x3x8x8", "--rounds", "2"], "--rounds needs --measure"),
        (["count", "nets.py:net", "--input", "1x3xHxW", "--measure", "cpu"], "needs numbers in --input, not H, W"),
        (["count", "nets.py:net", "--input", "1x3x8x8", "--measure", "cpu", "--train"], "without --train"),
        (["count", "nets.py:net", "--input", "1x3x8x8", "--measure", "cpu", "--backward"], "without --backward"),
        (["count", "nets.py:net", "--input", "1x3x8x8,2x3x8x8", "--measure", "cpu"], "times one call, not 2"),
        (["count", "nets.py:net", "--input", "1x3x8x8", "--measure", "cpu", "--trace", "."], "cannot be written"),
        (["count", "nets.py:net", "--input", "1x3x8x8", "--measure", "cpu", "--sort", "params"], "order 'params'"),
        (["profiles", "--layers"], "--layers needs the name of a profile"),
        (["profiles", "paper", "--depth", "1"], "--depth needs --layers"),
        (["profiles", "paper", "--layers"], "paper: no layers to show"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_measured(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nets.py").write_text(NETS)
    monkeypatch.setattr(measuring, "Runner", None)
    code, out, error = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.glob("*.json")) == []


def test_captured_graphs_are_refused() -> None:
    job = Job(ME, settings_grid("cuda", cuda_graph=True)[0], CELL[0].workload)
    with pytest.raises(InvalidInput, match="a captured graph runs as a whole"):
        check_settings([job])


def test_real_processes_time_a_module(tmp_path: Path) -> None:
    """All modules have rows, the rows add up, and the trace is there."""
    (tmp_path / "nets.py").write_text(NETS)
    arguments = ["count", "nets.py:net", "--input", "1x3x16x16", "--measure", "cpu", "--processes", "1", "--rounds"]
    done = process(*arguments, "2", "--trace", "t.json", "--machine", "100,10", "--format", "json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    (record,) = json.loads(done.stdout)["layers"]
    assert sum(row["ns"] for row in record["rows"]) == record["total_ns"]
    counted = costmodel.count(nn.Sequential(nn.Conv2d(3, 4, 1)), "1x3x16x16").flops()
    # Two blocks of a convolution of 4 channels, 3x3, on 16x16: 2 * 9 * 4 * 4 * 256 each.
    assert record["total_flops"] == counted + 2 * 2 * 9 * 4 * 4 * 256
    levels = [level["parts"] for level in record["levels"]]
    assert levels == [1 + 3, 4]
    assert all(row["bound"] in ("compute", "memory", None) for row in record["rows"])
    if record["levels"][1]["shown"] and record["levels"][0]["shown"]:
        paths = [(row["module"], row["kind"]) for row in record["rows"]]
        block = [("conv", "part"), ("act", "part")]
        assert paths == [
            ("", "rest"),
            ("0", "part"),
            *itertools.chain.from_iterable(
                [(n, "rest"), *((f"{n}.{name}", kind) for name, kind in block)] for n in ("1", "2")
            ),
            ("", "remainder"),
        ]
    events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    assert events[2]["args"]["ns"] == record["total_ns"]


def test_real_processes_time_a_cell_into_a_profile(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(tmp_path / "mine.json")
    layers = costmodel.layers(cell="sep", channels=(4, 4), size=(5, 6), threads=1, processes=1, rounds=2, out=file)
    assert sum(row.ns for row in layers.rows) == layers.total_ns
    assert repr(layers).startswith("<Layers of sep cell 3x3 4 5x6: ")
    saved = load(Path(file))
    assert saved.layers == (layers.run,)
    assert saved.layers[0].processes[0].undisturbed.probes is not None
    assert of_profile(layers.run).rows == layers.rows
    assert "ms" in layers._repr_html_() or "ns" in layers._repr_html_()
    code, out, _ = run(capsys, "profiles", file)
    assert code == 0
    assert out.startswith("Layers of sep cell 3x3 4 5x6, time per step on ")


def test_one_subject_is_wanted() -> None:
    with pytest.raises(InvalidInput, match="layers takes one subject and one value of each setting, not 2 runs"):
        costmodel.layers(cell=["sep", "depth"])  # type: ignore[arg-type]


def test_what_interrupts_a_turn_is_in_no_row() -> None:
    """Three turns of 100 us, of which other work stretches all but one of each kind, each in another part."""
    level = Level(paths=("", "a", "b"), reads=(1, 1, 1))
    parts = [(1000, 99_000, 39_000), (1000, 60_000, 39_000), (1000, 60_000, 89_000)]
    turns = [LayerTurn(whole=sum(each), parts=each) for each in parts]
    process = _process([turns], (100e-6, 170e-6, 130e-6))
    layers = Layers(LayerRun(subject=ME, how=HOW, clock="wall", levels=(level,), processes=(process,)))
    assert layers.total_ns == 130_000  # the median
    assert layers.distortions == (0.0,)
    assert times(layers) == {("", "rest"): 1300, ("a", "part"): 78_000, ("b", "part"): 50_700, ("", "remainder"): 0}
