"""The GPU of our own is as strict as the real one: it takes no call that torch and NVML refuse. And what measures on a
GPU, held against it."""

import inspect
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
import torch
from fake_cuda import CUDAGraph, Event, Gpu, Nvml, Properties, Stream

from costmodel.measure import child, host
from costmodel.measure.clock import CudaClock
from costmodel.measure.marks import CudaStamps, Marks
from costmodel.measure.profile import settings_grid
from costmodel.measure.timed import Timed, flush_buffer, multiply_float32
from costmodel.profiles.records import GpuState

REAL = {Event: torch.cuda.Event, Stream: torch.cuda.Stream, CUDAGraph: torch.cuda.CUDAGraph}


def functions() -> Iterator[Any]:
    """Every function and method of the fakes, beside the real one."""
    for fake, real in [(Gpu().cuda, torch.cuda), (Nvml(), pynvml), *REAL.items()]:
        for name, made in vars(fake if isinstance(fake, type) else type(fake)).items():
            if not name.startswith("_") and inspect.isfunction(made):
                bound = object.__getattribute__(fake, name) if fake not in REAL else made
                yield pytest.param(bound, getattr(real, name), id=f"{real.__name__}.{name}")


def taken_by_the_fake_alone(fake: Callable[..., Any], real: Callable[..., Any]) -> list[str]:
    """Reasons why the real function refuses a call that the fake takes."""
    mine, theirs = (dict(inspect.signature(each).parameters) for each in (fake, real))
    different = [
        name
        for name, each in mine.items()
        if name not in theirs or (each.kind, each.default) != (theirs[name].kind, theirs[name].default)
    ]
    needed = [
        name
        for name, each in theirs.items()
        if name not in mine and each.default is each.empty and each.kind is not each.VAR_KEYWORD
    ]
    return [*different, *needed, *([] if list(theirs)[: len(mine)] == list(mine) else ["the order"])]


@pytest.mark.parametrize(("fake", "real"), list(functions()))
def test_a_fake_takes_no_call_that_the_real_one_refuses(fake: Callable[..., Any], real: Callable[..., Any]) -> None:
    assert taken_by_the_fake_alone(fake, real) == []


def test_a_lenient_fake_is_found() -> None:
    def record(self: object, stream: object, extra: int = 0) -> None: ...

    assert taken_by_the_fake_alone(record, torch.cuda.Event.record) == ["stream", "extra", "the order"]
    assert taken_by_the_fake_alone(lambda self: None, torch.cuda.Event.elapsed_time) == ["end_event"]


def test_properties_have_the_names_of_torch() -> None:
    types = (Path(torch.__file__).parent / "_C" / "__init__.pyi").read_text()
    (known,) = re.findall(r"^class _CudaDeviceProperties:\n((?:    .*\n)+)", types, re.M)
    assert {field.name for field in fields(Properties)} <= set(re.findall(r"^    (\w+):", known, re.M))


class RealGpu:
    """The GPU of this machine, with the faces of `Gpu`; a second of a kernel lasts a millisecond or so here."""

    cuda = torch.cuda

    @property
    def default(self) -> torch.cuda.Stream:
        return torch.cuda.default_stream()

    def kernel(self, seconds: float) -> None:
        torch.cuda._sleep(int(seconds * 2e6))  # clock ticks


BOTH = pytest.mark.parametrize("kind", [Gpu, pytest.param(RealGpu, marks=pytest.mark.cuda)])


@BOTH
def test_events_refuse_what_cuda_refuses(kind: type[Any]) -> None:
    gpu = kind()
    start, end, mute = gpu.cuda.Event(enable_timing=True), gpu.cuda.Event(enable_timing=True), gpu.cuda.Event()
    assert start.query()  # nothing recorded, nothing to wait for
    start.synchronize()
    with pytest.raises(ValueError, match="recorded before"):
        start.elapsed_time(end)
    gpu.kernel(1000.0)
    start.record()
    gpu.kernel(2.0)
    end.record()
    with pytest.raises(RuntimeError, match="completed before"):
        start.elapsed_time(end)
    assert not end.query()
    end.synchronize()
    assert end.query()
    assert start.elapsed_time(end) > 0
    start.record()  # again: from now on
    end.record()
    mute.record()
    gpu.cuda.synchronize()
    for pair in ((start, mute), (mute, end)):
        with pytest.raises(ValueError, match="enable_timing=True"):
            pair[0].elapsed_time(pair[1])


def test_events_are_milliseconds_apart() -> None:
    gpu = Gpu(launch=0.001)
    start, end = gpu.cuda.Event(enable_timing=True), gpu.cuda.Event(enable_timing=True)
    start.record()
    gpu.kernel(2.0)
    end.record()
    gpu.cuda.synchronize()
    assert start.elapsed_time(end) == pytest.approx(2001)  # the launch lies between them


@BOTH
def test_graphs_refuse_what_cuda_refuses(kind: type[Any]) -> None:
    gpu = kind()
    graph = gpu.cuda.CUDAGraph()
    with pytest.raises(RuntimeError, match="without a preceding successful capture"):
        graph.replay()
    gpu.kernel(0.0)
    before, after = gpu.cuda.Event(enable_timing=True), gpu.cuda.Event(enable_timing=True)
    with gpu.cuda.graph(graph):
        gpu.kernel(1.0)
    gpu.cuda.synchronize()
    assert gpu.cuda.current_stream() == gpu.default
    before.record()
    graph.replay()
    graph.replay()
    after.record()
    gpu.cuda.synchronize()
    assert before.elapsed_time(after) > 0


def test_a_capture_runs_nothing_and_takes_no_waiting() -> None:
    """Not on a real GPU: a capture that fails leaves it in no state for other tests."""
    gpu = Gpu()
    graph, event = gpu.cuda.CUDAGraph(), gpu.cuda.Event(enable_timing=True)
    with pytest.raises(RuntimeError, match="non-default stream"), gpu.cuda.graph(graph, stream=gpu.default):
        pass
    with gpu.cuda.graph(graph):
        gpu.kernel(2.0)
        event.record()
        for refused in (gpu.cuda.synchronize, graph.replay, gpu.cuda.graph(gpu.cuda.CUDAGraph()).__enter__):
            with pytest.raises(RuntimeError):
                refused()
    with pytest.raises(RuntimeError, match="invalid argument"):
        event.query()  # it is a node of the graph, and was never on the stream
    before = gpu.now
    gpu.cuda.synchronize()
    assert gpu.now == before
    graph.replay()
    gpu.cuda.synchronize()
    assert gpu.now == pytest.approx(before + gpu.launch + 2.0)
    with pytest.raises(RuntimeError, match="already owns"), gpu.cuda.graph(graph):
        pass


@BOTH
def test_streams_wait_where_they_are_told(kind: type[Any]) -> None:
    gpu = kind()
    side = gpu.cuda.Stream()
    side.wait_stream(gpu.cuda.current_stream())
    with gpu.cuda.stream(side):
        assert gpu.cuda.current_stream() == side
        gpu.kernel(2.0)
    done = gpu.cuda.Event()
    gpu.cuda.current_stream().wait_stream(side)
    done.record()
    done.synchronize()
    assert side.query()


def test_streams_run_side_by_side() -> None:
    gpu = Gpu(launch=0)
    side = gpu.cuda.Stream()
    with gpu.cuda.stream(side):
        gpu.kernel(2.0)
    gpu.kernel(1.0)
    assert gpu.default.done == 1
    gpu.cuda.current_stream().wait_stream(side)
    gpu.kernel(1.0)
    gpu.cuda.synchronize()
    assert gpu.now == 3


@pytest.mark.parametrize(("device", "error"), [(1, AssertionError), ("cuda:1", AssertionError), ("cpu", ValueError)])
def test_there_is_one_gpu(device: int | str, error: type[Exception]) -> None:
    for known in (None, 0, "cuda", "cuda:0", torch.device("cuda")):
        assert Gpu().cuda.get_device_properties(known).L2_cache_size
    with pytest.raises(error):
        Gpu().cuda.get_device_properties(device)


# ---- what measures on a GPU ------------------------------------------------------------------------------------------


class Kernels(Timed):
    """A step of three kernels, a second each, with a state."""

    def __init__(self, gpu: Gpu, **settings: Any) -> None:
        super().__init__(settings_grid("cuda", **settings)[0], None, lambda: None)
        self.gpu = gpu

    def zeros(self) -> tuple[torch.Tensor, ...]:
        return (torch.zeros(2),)

    def call(self) -> None:
        for _ in range(3):
            self.gpu.kernel(1.0)
        self.state = (self.state[0] + 1,)
        self.output = self.state[0]


@pytest.mark.parametrize("graph", [False, True])
def test_a_step_is_launched_kernel_by_kernel_or_as_a_graph(monkeypatch: pytest.MonkeyPatch, graph: bool) -> None:
    gpu = Gpu(launch=0.25)
    gpu.install(monkeypatch)
    subject = Kernels(gpu, cuda_graph=graph)
    subject.place()
    gpu.log.clear()
    seconds = CudaClock(torch.cuda, None, gpu.clock)(subject.step, 2)
    # The GPU idles until the first launch is done; a graph is one launch, and later launches hide behind the kernels.
    assert seconds == pytest.approx(0.25 + 3 * 1.0)
    assert gpu.log == ["wait", *(["replay"] if graph else ["kernel"] * 3), "wait"] * 2


def test_a_captured_step_keeps_its_state_where_the_graph_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu()
    gpu.install(monkeypatch)
    subject = Kernels(gpu, cuda_graph=True)
    subject.place()
    (read,) = subject.state
    with torch.inference_mode():
        read.fill_(7)
    subject.restart()
    assert subject.state[0] is read
    assert read.tolist() == [0, 0]


@pytest.mark.parametrize(
    "before",
    [
        "",
        "backends.fp32_precision = 'tf32'",
        "backends.cudnn.fp32_precision = 'tf32'",
        "backends.cudnn.conv.fp32_precision = 'tf32'",
        "backends.cuda.matmul.fp32_precision = 'tf32'",
        "set_float32_matmul_precision('medium')",
        "backends.fp32_precision = 'ieee'",
    ],
)
def test_tf32_is_as_asked_whatever_a_module_has_set(before: str) -> None:
    """torch has two interfaces for it, and refuses to answer where they disagree."""
    kept = (torch.backends.fp32_precision, torch.backends.cudnn.fp32_precision)
    precision = torch._C._get_fp32_precision_getter
    try:
        for wanted in (True, False, True):
            exec(f"torch.{before}" if before else "")
            multiply_float32(tf32=wanted)
            assert torch.backends.cuda.matmul.allow_tf32 is torch.backends.cudnn.allow_tf32 is wanted
            used = {precision("cuda", kind) == "tf32" for kind in ("matmul", "conv", "rnn")}
            assert used == {wanted}
    finally:
        torch.set_float32_matmul_precision("highest")
        torch.backends.fp32_precision, torch.backends.cudnn.fp32_precision = kept
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = False, True


def test_the_buffer_that_flushes_has_twice_the_size_of_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    Gpu().install(monkeypatch)
    made: dict[str, Any] = {}
    monkeypatch.setattr(torch, "empty", lambda size, **where: made.update(where, size=size))
    flush_buffer("cuda")
    assert made == {"size": 2 * 52_428_800, "dtype": torch.int8, "device": "cuda"}


@pytest.mark.parametrize(
    "missing",
    [
        (),
        ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetTemperatureV"),  # an older driver
        ("nvmlDeviceGetCurrentClocksThrottleReasons", "nvmlDeviceGetTemperature"),  # CUDA 14
    ],
)
def test_the_state_of_a_gpu(missing: tuple[str, ...]) -> None:
    nvml = Nvml(*missing)
    nvml.nvmlInit()
    state = host.gpu_state(nvml, "1234")
    assert state is not None
    assert (state.sm_mhz, state.memory_mhz, state.power_w, state.temperature_c) == (1980, 2619, 123.456, 41)
    assert state.throttle == ("power cap", "thermal, hardware")
    assert host.gpu_state(nvml) == state  # the first one
    assert host.gpu_state(nvml, "another") is None


def test_what_a_card_does_not_report_stays_open() -> None:
    nvml = Nvml("nvmlDeviceGetPowerUsage", "nvmlDeviceGetClockInfo")
    nvml.nvmlInit()
    state = host.gpu_state(nvml, "1234")
    assert state is not None
    assert (state.sm_mhz, state.power_w, state.temperature_c) == (None, None, 41)


def test_marks_are_read_once_the_kernels_are_done() -> None:
    gpu = Gpu(launch=0)
    marks = Marks(CudaStamps(gpu.cuda))
    mark = marks.boundary()
    mark(1)
    gpu.kernel(2.0)
    mark(2)
    gpu.kernel(1.0)
    mark(0)
    with pytest.raises(RuntimeError, match="completed before"):
        marks.take()
    gpu.cuda.synchronize()
    times, stays = marks.take()
    assert (times, stays) == ({1: 2_000_000_000, 2: 1_000_000_000}, {1: 1, 2: 1})  # nanoseconds


class Pipe:
    """The child's end of a pipe, with the runner's messages at hand."""

    def __init__(self, *messages: object) -> None:
        self.messages, self.sent = list(messages), []

    def recv(self) -> object:
        return self.messages.pop(0)

    def send(self, message: Any) -> None:
        self.sent.append(message)


def test_a_child_times_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu(launch=0.001, peak=1000 + 64)
    gpu.install(monkeypatch)
    subject = Kernels(gpu)
    buffer = SimpleNamespace(zero_=lambda: gpu.kernel(0.5, "flush"), nbytes=64)
    monkeypatch.setattr(child, "timed", lambda workload, how: subject)
    monkeypatch.setattr(child, "flush_buffer", lambda device: buffer)
    monkeypatch.setattr(child, "CudaClock", partial(CudaClock, now=gpu.clock))
    monkeypatch.setitem(sys.modules, "pynvml", Nvml())
    pipe = Pipe(("the work", subject.how, (0,), None), "turn", "turn", "finish")
    child.serve(pipe)
    here, facts, first, second, result = pipe.sent
    assert (here, facts["calls"], len(facts["warmup_seconds"])) == ("here", 1, 4)
    assert [first, second] == [pytest.approx(0.001 + 3 * 1.0)] * 2  # the flush lies before the first event
    assert result["peak_gpu_memory"] == 1000  # without the buffer
    assert (
        facts["gpu_before"]
        == result["gpu_after"]
        == GpuState(
            sm_mhz=1980, memory_mhz=2619, power_w=123.456, temperature_c=41, throttle=("power cap", "thermal, hardware")
        )
    )


def test_throttle_reasons_are_those_of_nvml() -> None:
    names = {
        "power cap": "SwPowerCap",
        "hardware slowdown": "HwSlowdown",
        "sync boost": "SyncBoost",
        "thermal, software": "SwThermalSlowdown",
        "thermal, hardware": "HwThermalSlowdown",
        "power brake": "HwPowerBrakeSlowdown",
        "display clocks": "DisplayClockSetting",
    }
    bits = {word: bit for bit, word in host.THROTTLE.items()}
    for word, name in names.items():
        assert bits[word] == getattr(pynvml, f"nvmlClocksThrottleReason{name}")
    every = pynvml.nvmlClocksThrottleReasonAll & ~pynvml.nvmlClocksThrottleReasonGpuIdle
    assert sum(host.THROTTLE) & every == every


def test_the_driver_is_asked_once_nvml_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert host._driver() == "580.159.04"
    assert host.gpu_state(uuid="1234") is not None
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert (host._driver(), host.gpu_state(uuid="1234")) == (None, None)
