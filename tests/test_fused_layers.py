"""Times of the kernels of a compiled module: which modules each covers, what belongs to none, and sums that close."""

import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from costmodel.building.module import build
from costmodel.describe.cells import describe_cell
from costmodel.measure import fused
from costmodel.measure.fused import UNTOLD, CudaStamps, Fused, variables, watching
from costmodel.profiles.records import LayerTurn


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


def compiled(module: nn.Module, args: tuple[Any, ...], steps: dict[str, str] | None = None) -> tuple[Fused, Any]:
    """The kernels of a compiled module, and a function that gives its result."""
    torch.compiler.reset()
    run = torch.compile(module.eval())

    def step() -> Any:
        with torch.inference_mode():
            return run(*args)

    with watching(module, steps) as watch:
        step()
    return Fused(watch, step), step


def remainder(turn: LayerTurn) -> int:
    return turn.whole - sum(turn.parts)


def test_kernels_name_the_modules_that_they_cover() -> None:
    """The activation and the sum of a cell are one loop; convolutions are oneDNN's, whose layouts Inductor makes."""
    module, x = Net(), torch.randn(1, 8, 16, 16)
    kernels, step = compiled(module, (x,))
    level = kernels.levels[-1]
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
    turn = kernels.turn(len(kernels.levels) - 1, calls=3)
    torch.testing.assert_close(step(), expected)  # and the code is undisturbed again
    assert all(each.function.__code__ is each.undisturbed for each in kernels._functions)
    assert all(part > 0 for part in turn.parts)
    assert remainder(turn) > 0


def test_code_between_graphs_is_in_the_remainder() -> None:
    """Two pauses of 10 ms outside of all graphs; the sum of a cell runs in a graph whose module torch does not tell."""
    kernels, _ = compiled(Net(pause=True), (torch.randn(1, 8, 16, 16),))
    level = kernels.levels[-1]
    assert [covers for covers in level.covers if covers][:2] == [("one.conv",), ("one.act", UNTOLD)]
    assert remainder(kernels.turn(len(kernels.levels) - 1, calls=1)) >= 20_000_000


def test_steps_of_described_networks_are_named() -> None:
    program = describe_cell("sep", kernel=3, channels=8, size=(4, 6))
    module = build(program)
    x = torch.randn(1, 8, 4, 6)
    kernels, _ = compiled(module, (x, module.zeros(x)), variables(program))
    covers = [each for each in kernels.levels[-1].covers if each]
    steps = [step.name for step in program.steps]
    assert sorted(name for each in covers for name in each) == sorted(steps)
    convolutions = [name for name in steps if name[0] in "xh"]
    assert sorted(covers[:-1]) == sorted((name,) for name in convolutions)
    assert covers[-1] == tuple(name for name in steps if name not in convolutions)  # the tail is one loop
    first = kernels.levels[0]
    assert 2 <= len(first.paths) < len(kernels.levels[-1].paths)
    assert sorted(name for each in first.covers for name in each) == sorted(steps)


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
            buf1 = extern_kernels.convolution(buf0, b)
            assert_size_stride(buf1, (8, ), (1, ))
            buf2 = buf1; del buf1  # reuse
            # Topologically Sorted Source Nodes: [w], Original ATen: [aten.copy]
            buf2.copy_(buf0, False)
        return (buf2, )

call = Runner().call
"""


class Machine:
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

    def wait(self) -> None:
        pass

    def between(self, start: int, end: int) -> int:
        return end - start


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> tuple[Machine, ModuleType]:
    """The code of a Triton graph, of which the functions take time by the fake clock."""
    machine, module = Machine(), ModuleType("graph")
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
    return fused._Graph(code, paths, **{"handles": {"triton_poi_fused_0:1": ["relu"]}, "results": {}, **told})


def test_each_kernel_has_the_time_of_its_buffers_and_checks(machine: tuple[Machine, ModuleType]) -> None:
    """8 for the check of the inputs are of no kernel, as are the 500 of the step outside of the graph; the first kernel
    has device, buffer and stream, 1 + 2 + 4 + 100; the second has the check of its result, 1000 + 8."""
    clock, module = machine
    watch = fused.Watch(None, {})
    watch.graphs.append(graph({"relu": "act", "convolution": "conv"}, results={"buf1": "convolution"}))

    def step() -> None:
        clock.work(500)()
        module.call([machine, clock])

    kernels = Fused(watch, step, clock=clock)
    (level,) = kernels.levels
    assert level.paths == ("triton_poi_fused_0", "extern_kernels.convolution", "buf2.copy_")
    assert level.covers == (("act",), ("conv",), (UNTOLD,))
    turn = kernels.turn(0, calls=2)
    assert turn == LayerTurn(whole=2 * (500 + 8 + 107 + 1008 + 30), parts=(2 * 107, 2 * 1008, 2 * 30))
    assert remainder(turn) == 2 * 508


def test_code_that_runs_for_several_modules_names_none(machine: tuple[Machine, ModuleType]) -> None:
    clock, module = machine
    watch = fused.Watch(None, {})
    watch.graphs.append(graph({"relu": "one.act"}))
    kernels = Fused(watch, lambda: [module.call([machine, clock]) for _ in range(2)], clock=clock)
    assert kernels.levels[0].covers[0] == (UNTOLD,)
    assert kernels.levels[0].reads == (2, 2, 2)
    twice = Fused(watch, lambda: [module.call([machine, clock]) for _ in range(2)], calls=2, clock=clock)
    assert twice.levels[0].covers[0] == ("one.act",)


def test_an_error_leaves_the_code_undisturbed(machine: tuple[Machine, ModuleType]) -> None:
    clock, module = machine
    watch = fused.Watch(None, {})
    watch.graphs.append(graph({}))
    fail = [False]

    def step() -> None:
        module.call([machine, clock])
        if fail[0]:
            raise RuntimeError

    kernels, before = Fused(watch, step, clock=clock), vars(module)["Runner"].call.__code__
    fail[0] = True
    with pytest.raises(RuntimeError):
        kernels.turn(0, calls=1)
    assert vars(module)["Runner"].call.__code__ is before


def test_stamps_of_a_gpu_are_events() -> None:
    class Event:
        def __init__(self, *, enable_timing: bool) -> None:
            self.at = 0.0

        def record(self) -> None:
            self.at = next(times)

        def elapsed_time(self, end: "Event") -> float:
            return end.at - self.at

    times = iter([1.0, 1.25])
    cuda: Any = type("Cuda", (), {"Event": Event, "synchronize": staticmethod(lambda: None)})
    stamps = CudaStamps(cuda)
    start, end = stamps.now(), stamps.now()
    stamps.wait()
    assert stamps.between(start, end) == 250_000
