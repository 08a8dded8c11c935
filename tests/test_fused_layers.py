"""Times of the kernels of a compiled module: which modules each covers, what belongs to none, and sums that close."""

import json
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from costmodel.describe.cells import describe_cell
from costmodel.measure import fused
from costmodel.measure.clock import WallClock
from costmodel.measure.fused import UNTOLD, Fused, watching
from costmodel.measure.marks import WallStamps
from costmodel.measure.timed import timed
from costmodel.measure.workload import Described
from costmodel.price.conventions import find_convention
from costmodel.price.machine import Machine
from costmodel.profiles.fused import FusedLayers
from costmodel.profiles.layers import trace
from costmodel.profiles.records import Host, LayerProcess, LayerRun, LayerTurn, Level, Process, Settings, Subject
from costmodel.report.layers import document
from costmodel.work.cost import Cost, Operation
from costmodel.work.events import Event, Work


@torch.compiler.disable  # type: ignore[untyped-decorator]  # torch has no type for it
def pause() -> None:
    time.sleep(0.01)


class Cell(nn.Module):
    def __init__(self, pause: bool) -> None:
        super().__init__()
        self.conv, self.act, self.pause = nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), pause

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        if self.pause:
            pause()
        z: torch.Tensor = self.act(y) + x
        return z


class Net(nn.Module):
    """Two cells one after the other, and code that belongs to no other module."""

    def __init__(self, pause: bool = False) -> None:
        super().__init__()
        self.one, self.two = Cell(pause), Cell(pause)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.two(self.one(x)))


def compiled(module: nn.Module, args: tuple[Any, ...]) -> tuple[Fused, Any]:
    """The kernels of a compiled module, and a function that gives its result."""
    torch.compiler.reset()
    torch.compiler.set_stance("default")  # eager subjects in this process have set another one
    run = torch.compile(module.eval())

    def step() -> Any:
        with torch.inference_mode():
            return run(*args)

    with watching(module) as watch:
        step()
    return Fused(watch, step, 1, WallClock(), WallStamps()), step


def levels(kernels: Fused) -> list[Level]:
    return [Level(**dict(zip(Level.model_fields, each, strict=True))) for each in kernels.levels]


def remainder(kernels: Fused, calls: int = 1) -> int:
    whole, *parts = kernels.sample(len(kernels.levels) - 1, calls)
    assert all(part > 0 for part in parts)
    return whole - sum(parts)


def test_kernels_name_the_modules_that_they_cover() -> None:
    """The activation and the sum of a cell are one loop; convolutions are oneDNN's, whose layouts Inductor makes."""
    module, x = Net(), torch.randn(1, 8, 16, 16)
    kernels, step = compiled(module, (x,))
    level = levels(kernels)[-1]
    by_modules = [covers for covers in level.covers if covers]
    assert by_modules == [("one.conv",), ("one.act", "one"), ("two.conv",), ("two.act", "two", "")]
    assert [
        path.split()[0] for path, covers in zip(level.paths, level.covers, strict=True) if "conv" in str(covers)
    ] == [
        "extern_kernels.convolution",
        "extern_kernels.convolution",
    ]
    assert all(
        "(layout of one.conv)" in path for path, covers in zip(level.paths, level.covers, strict=True) if not covers
    )
    assert set(level.reads) == {1}

    with torch.inference_mode():
        expected = module(x)
    torch.testing.assert_close(step(), expected)
    assert remainder(kernels, calls=3) > 0
    torch.testing.assert_close(step(), expected)  # and the code is undisturbed again
    assert all(each.function.__code__ is each.undisturbed for each in kernels._functions)


def test_code_between_graphs_is_in_the_remainder() -> None:
    """Two pauses of 10 ms outside of all graphs; the sum of a cell runs in a graph whose module torch does not tell."""
    kernels, _ = compiled(Net(pause=True), (torch.randn(1, 8, 16, 16),))
    level = levels(kernels)[-1]
    assert [covers for covers in level.covers if covers][:2] == [("one.conv",), ("one.act", UNTOLD)]
    assert remainder(kernels) >= 20_000_000


def test_steps_of_described_networks_are_named() -> None:
    """The child's subject: the steps of the tail are one loop, the convolutions of the gates are oneDNN's."""
    program = describe_cell("sep", kernel=3, channels=8, size=(4, 6))
    how = settings(implementation="compiled")
    subject = timed(Described(program), how)
    subject.place()
    facts, turn = fused.fused(subject, WallClock(), 1, None)
    first, last = (Level(**dict(zip(Level.model_fields, each, strict=True))) for each in facts["levels"])
    covers = [each for each in last.covers if each]
    steps = [step.name for step in program.steps]
    convolutions = [name for name in steps if name[0] in "xh"]
    assert sorted(covers[:-1]) == sorted((name,) for name in convolutions)
    assert covers[-1] == tuple(name for name in steps if name not in convolutions)
    assert sorted(name for each in first.covers for name in each) == sorted(steps)
    assert 2 <= len(first.paths) < len(covers)
    # depthwise: input, weights of 8 * 3 * 3 and output; pointwise: weights of 8 * 8, and a bias of 8 for x
    moved = {each[0]: size for each, size in zip(last.covers, last.moved, strict=True) if len(each) == 1}
    maps = 2 * 8 * 4 * 6
    assert [moved[name] for name in ("hi_1", "hi_2", "xi_2")] == [4 * (maps + n) for n in (72, 64, 64 + 8)]
    assert [len(each) for each in turn()[1]] == [1 + len(first.paths), 1 + len(last.paths)]
    assert facts["read"] > 0


# ---- without a compiler ----------------------------------------------------------------------------------------------

TRITON = """
class Runner:
    def call(self, args):
        a, b = args
        args.clear()
        assert_size_stride(a, (8, ), (1, ))
        with torch.cuda._DeviceGuard(0):
            torch.cuda.set_device(0)
            buf0 = empty_strided_cuda((8, ), (1, ), torch.float32)
            # Topologically Sorted Source Nodes: [y], Original ATen: [aten.relu]
            # [Provenance debug handles] triton_poi_fused_0:1
            stream0 = get_raw_stream(0)
            triton_poi_fused_0.run(a, buf0, 8, stream=stream0)
            del a
            # Topologically Sorted Source Nodes: [z], Original ATen: [aten.convolution]
            # [Provenance debug handles] extern_kernels.convolution:2
            buf1 = extern_kernels.convolution(buf0, b)
            assert_size_stride(buf1, (8, ), (1, ))
            buf2 = buf1; del buf1  # reuse
            # Topologically Sorted Source Nodes: [w], Original ATen: [aten.copy]
            buf2.copy_(buf0, False)
            # [Provenance debug handles] triton_poi_fused_0:3
            triton_poi_fused_0.run(buf2, buf0, 8, stream=stream0)
        return (buf2, )

call = Runner().call
"""


class Ticking:
    """A clock that only work moves; its stamps are numbers."""

    def __init__(self) -> None:
        self.time = 0

    def work(self, nanoseconds: int) -> Callable[..., Any]:
        def done(*args: Any, **kwargs: Any) -> Any:
            self.time += nanoseconds
            return self

        return done

    def __getattr__(self, name: str) -> Any:
        return self.work({"run": 100, "convolution": 1000, "copy_": 30}[name])

    def now(self) -> int:
        return self.time

    def called(self, step: Callable[[], object], calls: int) -> float:
        before = self.time
        for _ in range(calls):
            step()
        return (self.time - before) / 1e9 / calls

    def between(self, start: int, end: int) -> int:
        return end - start


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> tuple[Ticking, ModuleType]:
    """The code of a Triton graph, of which the functions take time by the fake clock."""
    machine, module = Ticking(), ModuleType("graph")
    guard: Any = type(
        "Guard", (), {"__init__": lambda *_: None, "__enter__": lambda *_: None, "__exit__": lambda *_: None}
    )
    cuda = type("Cuda", (), {"_DeviceGuard": guard, "set_device": machine.work(1)})
    names = {
        "torch": type("Torch", (), {"cuda": cuda, "float32": None}),
        "empty_strided_cuda": machine.work(2),
        "get_raw_stream": machine.work(4),
        "assert_size_stride": machine.work(8),
        "triton_poi_fused_0": machine,
        "extern_kernels": machine,
    }
    vars(module).update(names)
    exec(TRITON, vars(module))
    monkeypatch.setattr(fused, "_loaded", lambda code: module)
    return machine, module


def graph(paths: dict[str, str], **told: Any) -> fused._Graph:
    code = f"triton_poi_fused_0 = async_compile.triton('')\n{TRITON}"
    return fused._Graph(
        code,
        paths,
        **{
            "handles": {"triton_poi_fused_0:1": ["relu"]},
            "results": {},
            "sizes": dict.fromkeys(("a", "buf0", "buf1", "buf2"), 32),
            "ops": {},
            **told,
        },
    )


def test_each_kernel_has_the_time_of_its_buffers_and_checks(machine: tuple[Ticking, ModuleType]) -> None:
    """8 for the check of the inputs are of no kernel, as are the 500 of the step outside of the graph; the first kernel
    has device, buffer and stream, 1 + 2 + 4 + 100; the second has the check of its result, 1000 + 8."""
    clock, module = machine
    watch = fused.Watch(None, {})
    watch.graphs.append(graph({"relu": "act", "convolution": "conv"}, results={"buf1": ["convolution"]}))

    def step() -> None:
        clock.work(500)()
        module.call([machine, clock])

    kernels = Fused(watch, step, 1, clock.called, clock)
    (level,) = levels(kernels)
    assert level.paths == ("triton_poi_fused_0 #1", "extern_kernels.convolution", "buf2.copy_", "triton_poi_fused_0 #2")
    assert level.covers == (("act",), ("conv",), (UNTOLD,), (UNTOLD,))
    assert level.moved == (64, 64, 64, 64)
    assert kernels.sample(0, calls=2) == (
        2 * (500 + 8 + 107 + 1008 + 30 + 100),
        *(2 * ns for ns in (107, 1008, 30, 100)),
    )
    assert remainder(kernels, calls=2) == 2 * 508


def test_code_that_runs_for_several_modules_names_none(machine: tuple[Ticking, ModuleType]) -> None:
    clock, module = machine
    watch = fused.Watch(None, {})
    watch.graphs.append(graph({"relu": "one.act"}))

    def step() -> None:
        for _ in range(2):
            module.call([machine, clock])

    (level,) = levels(Fused(watch, step, 1, clock.called, clock))
    assert level.covers[0] == (UNTOLD,)
    assert level.reads == (2, 2, 2, 2)
    (twice,) = levels(Fused(watch, step, 2, clock.called, clock))  # a window of two frames
    assert twice.covers[0] == ("one.act",)


def test_a_library_computes_the_operation_of_its_name(machine: tuple[Ticking, ModuleType]) -> None:
    """Inductor names the activation before it, too, also for the copy of its result."""
    clock, module = machine
    watch = fused.Watch(None, {})
    both = ["relu", "conv_1"]
    told = {"triton_poi_fused_0:1": ["relu"], "extern_kernels.convolution:2": both, "triton_poi_fused_0:3": both}
    ops = {"relu": "relu", "conv_1": "convolution"}
    watch.graphs.append(graph({"relu": "act", "conv_1": "conv"}, handles=told, ops=ops))
    (level,) = levels(Fused(watch, lambda: module.call([machine, clock]), 1, clock.called, clock))
    assert level.covers == (("act",), ("conv",), (UNTOLD,), ())
    assert level.paths[3] == "triton_poi_fused_0 (layout of conv)"


def test_an_error_leaves_the_code_undisturbed(machine: tuple[Ticking, ModuleType]) -> None:
    clock, module = machine
    watch = fused.Watch(None, {})
    watch.graphs.append(graph({}))
    fail = [False]

    def step() -> None:
        module.call([machine, clock])
        if fail[0]:
            raise RuntimeError

    kernels, before = Fused(watch, step, 1, clock.called, clock), vars(module)["Runner"].call.__code__
    fail[0] = True
    with pytest.raises(RuntimeError):
        kernels.sample(0, calls=1)
    assert vars(module)["Runner"].call.__code__ is before


# ---- rows ------------------------------------------------------------------------------------------------------------


def settings(**more: Any) -> Settings:
    return Settings(
        device="cpu", dtype="float32", memory_format="contiguous", threads=1, **{"implementation": "compiled", **more}
    )


def run(fine: int, coarse: int = 1000) -> LayerRun:
    """A call of 1000 ns; with the marks of the levels it takes as long as given."""
    levels = (
        Level(paths=("both", "c"), reads=(1, 1), covers=(("conv", "act", ""), ("out",)), moved=(300, 30)),
        Level(
            paths=("a", "b (layout of out)", "c"),
            reads=(1, 1, 1),
            covers=(("conv", "act"), (), ("act", "out")),
            moved=(200, 100, 30),
        ),
    )
    turns = ((LayerTurn(whole=coarse, parts=(710, 210)),), (LayerTurn(whole=fine, parts=(610, 110, 210)),))
    process = LayerProcess(undisturbed=Process(seconds=(1e-6,)), read=10, turns=turns)
    subject = Subject(module="m.py:net", inputs=("1x8",), structure="0")
    return LayerRun(subject=subject, how=settings(), clock="wall", levels=levels, processes=(process,))


OPERATIONS = [
    Operation("op", Cost(Work({Event.MAC: macs})), path=path) for path, macs in (("conv", 40), ("act", 0), ("out", 8))
]


def test_rows_add_up_and_leave_out_what_nobody_knows() -> None:
    """Each part without its read of 10 ns. Two kernels compute the activation: neither has FLOPs."""
    layers = FusedLayers(run(fine=1020), OPERATIONS)
    assert [(row.kind, row.ns) for row in layers.rows] == [
        ("part", 600),
        ("part", 100),
        ("part", 200),
        ("remainder", 100),
    ]
    assert sum(row.ns for row in layers.rows) == layers.total_ns == 1000
    frame = layers.frame("torch")
    assert list(frame["module"]) == ["conv, act", "b (layout of out)", "act, out", ""]
    assert frame["flops"].isna().tolist() == [True, False, True, False]  # a layout has none
    assert list(frame["bytes"])[:3] == [200, 100, 30]
    assert list(frame["gbytes_per_s"])[:3] == [200 / 600, 1.0, 30 / 200]
    assert layers.notes(find_convention("torch")) == ["FLOPs left out: several kernels compute act."]


def test_the_table_leaves_out_what_nobody_knows() -> None:
    """A product of 8 MACs is 16 FLOPs; 330 bytes at 1 GB/s are 330 ns."""
    shown = document([FusedLayers(run(fine=1020), OPERATIONS)], Host(cpu="AMD EPYC"), machine=Machine(1e9, 1e9))
    text = " ".join(shown.text("text").split())
    assert "conv, act a 0.000600 60.00 200 0.333 b (layout of out) 0.000100 10.00 0 100 1.00 0.0001 memory" in text
    assert "total 0.001000 100.00 96 330 0.0960 0.330 ms:" in text  # no roofline without that of all parts
    assert "FLOPs left out: several kernels compute act." in text
    assert "B: bytes that kernels read and write." in text
    (layers,) = json.loads(shown.text("json"))["layers"]
    assert [row["flops"] for row in layers["rows"]] == [None, 0, None, 0]
    assert [row["roofline_ms"] for row in layers["rows"]] == [None, pytest.approx(1e-4), None, None]
    assert (layers["total_flops"], layers["total_bytes"]) == (96, 330)


def test_a_trace_has_the_kernels_with_their_modules() -> None:
    """One after the other from the start of the call; times in microseconds."""
    whole, *kernels = trace(FusedLayers(run(fine=1020), OPERATIONS))["traceEvents"][2:]
    assert (whole["name"], whole["ts"], whole["dur"]) == ("m.py:net", 0, 1)
    shown = [(each["name"], each["ts"], each["dur"]) for each in kernels]
    assert shown == [("conv, act", 0, 0.6), ("b (layout of out)", 0.6, 0.1), ("act, out", 0.7, 0.2)]
    assert kernels[0]["args"] == {"module": "a", "ns": 600, "class": "", "bytes": 200, "covers": ["conv", "act"]}


def test_marks_that_distort_give_way_to_coarser_ones() -> None:
    layers = FusedLayers(run(fine=1040), [*OPERATIONS, Operation("op", Cost(Work({Event.MAC: 1})))])
    assert [(row.path, row.ns) for row in layers.rows] == [("both", 700), ("c", 200), ("", 100)]
    assert list(layers.frame("torch")["flops"]) == [2 * (40 + 1), 2 * 8, 0]
    whole = FusedLayers(run(fine=1040, coarse=960), OPERATIONS)
    assert [(row.kind, row.ns) for row in whole.rows] == [("remainder", 1000)]


def test_bytes_that_nobody_knows_are_left_out() -> None:
    """Of a kernel in a branch, for one."""
    known = run(fine=1020)
    levels = (known.levels[0], known.levels[1].model_copy(update={"moved": (200, 0, 30)}))
    layers = FusedLayers(known.model_copy(update={"levels": levels}), OPERATIONS)
    assert layers.moved is None
    assert layers.frame("torch")["bytes"].isna().tolist() == [False, True, False, True]
    assert FusedLayers(known, OPERATIONS).moved == 200 + 100 + 30


def test_code_that_is_not_compiled_is_in_the_remainder() -> None:
    level = Level(paths=(), reads=())
    turns = ((LayerTurn(whole=1000, parts=()),),)
    process = LayerProcess(undisturbed=Process(seconds=(1e-6,)), read=10, turns=turns)
    layers = FusedLayers(run(1000).model_copy(update={"levels": (level,), "processes": (process,)}), OPERATIONS)
    assert [(row.kind, row.ns) for row in layers.rows] == [("remainder", 1000)]
    assert layers.notes(find_convention("torch")) == [
        "No kernel was found in what Inductor compiled: all of the call is in the remainder."
    ]


def test_modules_that_torch_does_not_tell_have_no_flops() -> None:
    level = Level(paths=("a",), reads=(1,), covers=(("conv", UNTOLD),), moved=(5,))
    turns = ((LayerTurn(whole=1000, parts=(510,)),),)
    process = LayerProcess(undisturbed=Process(seconds=(1e-6,)), read=10, turns=turns)
    layers = FusedLayers(run(1000).model_copy(update={"levels": (level,), "processes": (process,)}), OPERATIONS)
    assert layers.frame("torch")["flops"].isna().tolist() == [True, False]
    assert layers.notes(find_convention("torch")) == [
        "FLOPs left out: torch does not tell the modules of some kernels."
    ]
