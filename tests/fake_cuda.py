"""A GPU of our own: `Gpu.cuda` stands for ``torch.cuda`` and `Nvml` for ``pynvml``, in time that is counted, not waited
for. Both take the calls that the real ones take, and refuse what the real ones refuse; `test_fake_cuda.py` holds the
signatures against the installed packages. A name that is missing here is missing on purpose: add it with its refusals.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pynvml
import pytest
import torch


class Gpu:
    """A host that launches kernels, and a GPU that runs the kernels of each stream one after another.

    ``now`` is the host's time in seconds; ``launch`` is what a launch takes of it, and ``create`` what the first record
    of an event does; ``peak`` are the bytes that torch reports as its peak. ``log`` names what the host asked for.
    """

    def __init__(self, *, launch: float = 0.001, create: float = 0.0, peak: int = 0) -> None:
        self.now, self.launch, self.create, self.peak = 0.0, launch, create, peak
        self.log: list[str] = []
        self.default = Stream(self)
        self.streams = [self.default]
        self.current = self.default
        self.captured: list[float] | None = None  # kernels of the graph that is being captured
        self.cuda = Cuda(self)

    def clock(self) -> float:
        """The wall clock of the host."""
        return self.now

    def kernel(self, seconds: float, name: str = "kernel") -> None:
        """Launch a kernel on the current stream."""
        self.log.append(name)
        self.now += self.launch
        if self.captured is None:
            self.current.done = max(self.current.done, self.now) + seconds
        else:
            self.captured.append(seconds)

    def wait(self, until: float) -> None:
        if self.captured is not None:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")
        self.now = max(self.now, until)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put every function and class of this fake in the place of the real one."""
        for name in vars(Cuda):
            if not name.startswith("_"):
                monkeypatch.setattr(torch.cuda, name, getattr(self.cuda, name))


class Event:
    def __init__(self, gpu: Gpu, enable_timing: bool) -> None:
        self._gpu, self._timing = gpu, enable_timing
        self._when: float | None = None  # None: not recorded
        self._captured = False

    def record(self, stream: "Stream | None" = None) -> None:
        if self._when is None:
            self._gpu.now += self._gpu.create
        self._when = max((stream or self._gpu.current).done, self._gpu.now)
        self._captured = self._gpu.captured is not None

    def wait(self, stream: "Stream | None" = None) -> None:
        stream = stream or self._gpu.current
        stream.done = max(stream.done, self._when or 0.0)

    def query(self) -> bool:
        if self._captured:
            raise RuntimeError("CUDA error: invalid argument")
        return self._when is None or self._when <= self._gpu.now

    def synchronize(self) -> None:
        self.query()
        if self._when is not None:
            self._gpu.wait(self._when)

    def elapsed_time(self, end_event: "Event") -> float:
        if not (self._timing and end_event._timing):
            raise ValueError("Both events must be created with argument 'enable_timing=True'.")
        if self._when is None or end_event._when is None:
            raise ValueError("Both events must be recorded before calculating elapsed time.")
        if not (self.query() and end_event.query()):
            raise RuntimeError("Both events must be completed before calculating elapsed time.")
        return 1e3 * (end_event._when - self._when)


class Stream:
    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self.done = 0.0  # when the last kernel will have finished

    def wait_event(self, event: Event) -> None:
        event.wait(self)

    def wait_stream(self, stream: "Stream") -> None:
        self.wait_event(stream.record_event())

    def record_event(self, event: Event | None = None) -> Event:
        event = event or Event(self._gpu, enable_timing=False)
        event.record(self)
        return event

    def query(self) -> bool:
        return self.done <= self._gpu.now

    def synchronize(self) -> None:
        self._gpu.wait(self.done)


class CUDAGraph:
    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self._kernels: list[float] | None = None

    def replay(self) -> None:
        if self._kernels is None:
            raise RuntimeError("Called CUDAGraph::replay without a preceding successful capture.")
        if self._gpu.captured is not None:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")
        self._gpu.kernel(sum(self._kernels), "replay")


class Uuid:
    """Not a string: torch has a type of its own, which prints as the UUID."""

    def __str__(self) -> str:
        return "1234"


@dataclass(frozen=True)
class Properties:
    name: str = "NVIDIA H100 80GB HBM3"
    major: int = 9
    minor: int = 0
    multi_processor_count: int = 132
    total_memory: int = 85_000_000_000
    L2_cache_size: int = 52_428_800
    uuid: Uuid = field(default_factory=Uuid)


Device = torch.device | str | int | None


class Cuda:
    """``torch.cuda`` on a machine with one GPU."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu

    def is_available(self) -> bool:
        return True

    def get_device_properties(self, device: Device = None) -> Properties:
        _check(device)
        return Properties()

    def max_memory_allocated(self, device: Device = None) -> int:
        _check(device)
        return self._gpu.peak

    def synchronize(self, device: Device = None) -> None:
        _check(device)
        self._gpu.wait(max(stream.done for stream in self._gpu.streams))
        self._gpu.log.append("wait")

    def current_stream(self, device: Device = None) -> Stream:
        _check(device)
        return self._gpu.current

    @contextmanager
    def stream(self, stream: Stream | None) -> Iterator[None]:
        before = self._gpu.current
        self._gpu.current = stream or before
        try:
            yield
        finally:
            self._gpu.current = before

    @contextmanager
    def graph(
        self,
        cuda_graph: CUDAGraph,
        pool: Any = None,
        stream: Stream | None = None,
        capture_error_mode: str = "global",
    ) -> Iterator[None]:
        gpu = self._gpu
        self.synchronize()  # refuses a capture within a capture
        if cuda_graph._kernels is not None:
            raise RuntimeError("This CUDAGraph instance already owns a captured graph")
        if stream is gpu.default:
            raise RuntimeError("CUDA graphs must be captured on a non-default stream.")
        with self.stream(stream or self.Stream()):
            gpu.captured = []
            try:
                yield
                cuda_graph._kernels = gpu.captured
            finally:
                gpu.captured = None

    def Event(  # noqa: N802  (torch's names)
        self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False, external: bool = False
    ) -> Event:
        return Event(self._gpu, enable_timing)

    def Stream(self, device: Device = None, priority: int = 0) -> Stream:  # noqa: N802
        _check(device)
        self._gpu.streams.append(Stream(self._gpu))
        return self._gpu.streams[-1]

    def CUDAGraph(self, keep_graph: bool = False) -> CUDAGraph:  # noqa: N802
        return CUDAGraph(self._gpu)


def _check(device: Device) -> None:
    if device is None or device in ("cuda", "cuda:0", torch.device("cuda"), torch.device("cuda", 0)):
        return
    if not isinstance(device, int) and torch.device(device).type != "cuda":
        raise ValueError(f"Expected a cuda device, but got: {device}")
    if isinstance(device, bool) or device != 0:
        raise AssertionError("Invalid device id")


class Nvml:
    """``pynvml`` with one GPU, which is throttled by its power cap and its heat. ``missing``: functions that the driver
    does not have."""

    NVMLError = pynvml.NVMLError
    NVML_CLOCK_SM = pynvml.NVML_CLOCK_SM
    NVML_CLOCK_MEM = pynvml.NVML_CLOCK_MEM
    NVML_TEMPERATURE_GPU = pynvml.NVML_TEMPERATURE_GPU

    def __init__(self, *missing: str) -> None:
        self._missing, self._initialised, self._gpu = missing, False, object()

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("nvml") and name in self._missing:
            return _refusal(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)
        if name.startswith("nvml") and name != "nvmlInit" and not self._initialised:
            return _refusal(pynvml.NVML_ERROR_UNINITIALIZED)
        return super().__getattribute__(name)

    def nvmlInit(self) -> None:  # noqa: N802  (NVML's names)
        self._initialised = True

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "580.159.04"

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> object:  # noqa: N802
        if not isinstance(uuid, str | bytes):
            raise TypeError("bytes or integer address expected")  # as ctypes says
        _expect(uuid, "GPU-1234")
        return self._gpu

    def nvmlDeviceGetHandleByIndex(self, index: int) -> object:  # noqa: N802
        _expect(index, 0)
        return self._gpu

    def nvmlDeviceGetClockInfo(self, handle: object, type: int) -> int:  # noqa: N802
        _expect(handle, self._gpu)
        return {self.NVML_CLOCK_SM: 1980, self.NVML_CLOCK_MEM: 2619}[type]

    def nvmlDeviceGetPowerUsage(self, handle: object) -> int:  # noqa: N802
        _expect(handle, self._gpu)
        return 123_456

    def nvmlDeviceGetTemperatureV(  # noqa: N802
        self, handle: object, sensor: int, version: int = 0x100000C
    ) -> int:
        _expect((handle, sensor), (self._gpu, self.NVML_TEMPERATURE_GPU))
        return 41

    def nvmlDeviceGetTemperature(self, handle: object, sensor: int) -> int:  # noqa: N802
        _expect((handle, sensor), (self._gpu, self.NVML_TEMPERATURE_GPU))
        return 41

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: object) -> int:  # noqa: N802
        _expect(handle, self._gpu)
        return 0x4 | 0x40 | 0x1  # and idle, which is no reason

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: object) -> int:  # noqa: N802
        _expect(handle, self._gpu)
        return 0x4 | 0x40 | 0x1


def _expect(given: object, known: object) -> None:
    if given != known:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)


def _refusal(code: int) -> Callable[..., Any]:
    def refuse(*details: Any) -> Any:
        raise pynvml.NVMLError(code)

    return refuse
