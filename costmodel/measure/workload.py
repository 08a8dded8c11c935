"""The module that the child process builds and steps, and the reference for its results."""

import math
from collections.abc import Callable
from typing import Any

import torch

from costmodel.building.module import build
from costmodel.describe.program import Program
from costmodel.errors import InvalidInput
from costmodel.profiles.records import Settings

# Allowed deviation from the reference, relative to the largest reference value: a few hundred rounding errors.
TOLERANCE = {"float64": 1e-4, "float32": 1e-4, "tf32": 3e-2, "float16": 3e-2, "bfloat16": 1e-1}

Tensors = tuple[torch.Tensor, ...]


class Timed:
    """A described network, run with the settings ``how`` on random input; the last output is kept.

    ``step()`` computes one more frame and carries the state (``how.frames`` 1), or a window of frames from zeros.
    """

    def __init__(self, program: Program, how: Settings) -> None:
        torch.manual_seed(0)
        self.how = how
        self.module = build(program).eval()
        self.run: Callable[..., Any] = self.module
        shape = (how.batch, *self.module.frame_shape)
        self.frames = [torch.randn(shape) for _ in range(how.frames)]
        self.state: Tensors = ()
        self.output: Any = None
        self.step: Callable[[], object] = self._step

    def place(self) -> None:
        """Move module and frames to the device, dtype and memory format; compile, and capture, as the settings say."""
        how = self.how
        layout = torch.channels_last if how.memory_format == "channels_last" else torch.contiguous_format
        where: dict[str, Any] = {"device": how.device, "dtype": getattr(torch, how.dtype or "float32")}
        if how.device == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = bool(how.tf32)
            torch.backends.cudnn.benchmark = False
        self.module.to(**where)
        self.module.to(memory_format=layout)  # type: ignore[call-overload]  # an overload that torch's types lack
        self.frames = [frame.to(memory_format=layout, **where) for frame in self.frames]
        if how.implementation == "compiled":
            self.run = torch.compile(self.module)
        self.restart()
        if how.cuda_graph:
            self.capture()

    def restart(self) -> None:
        """Reset the state to zeros."""
        layout = torch.channels_last if self.how.memory_format == "channels_last" else torch.contiguous_format
        with torch.inference_mode():  # as later states: torch would compile again for another kind of tensor
            if self.step == self._step:
                self.state = tuple(s.contiguous(memory_format=layout) for s in self.module.zeros(self.frames[0]))
            else:
                for tensor in self.state:  # a graph reads its state at a fixed address
                    tensor.zero_()

    def _step(self) -> object:
        with torch.inference_mode():
            if self.how.frames == 1:
                self.output, self.state = self.run(self.frames[0], self.state)
            else:
                state = self.state
                for frame in self.frames:
                    self.output, state = self.run(frame, state)
        return self.output

    def capture(self) -> None:
        """Capture a step as a CUDA graph, which later steps replay; the graph copies a carried state to its input."""
        self.restart()
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch has no type for it
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # lazy allocations must happen before the capture
            for _ in range(3):
                self._step()
        torch.cuda.current_stream().wait_stream(side)
        self.restart()
        graph, before = torch.cuda.CUDAGraph(), self.state
        with torch.cuda.graph(graph), torch.inference_mode():
            self._step()
            for old, new in zip(before, self.state, strict=True):
                if new is not old:
                    old.copy_(new)
        self.state = before
        self.step = graph.replay

    def results(self) -> list[torch.Tensor]:
        """Output and states as float32 on the CPU."""
        outputs = self.output if isinstance(self.output, tuple) else (self.output,)
        return [tensor.to("cpu", torch.float32) for tensor in (*outputs, *self.state)]


def expected(timed: Timed) -> list[torch.Tensor]:
    """Output and states after two steps of the reference: float32, contiguous, eager, on the CPU, with torch's own
    kernels instead of oneDNN's. Call this before `Timed.place`."""
    with torch.backends.mkldnn.flags(enabled=False):
        timed.restart()
        for _ in range(2):
            timed.step()
        return timed.results()


def deviation(timed: Timed, reference: list[torch.Tensor]) -> float:
    """Largest deviation after two steps, relative to the largest reference value; `InvalidInput` above `TOLERANCE`."""
    timed.restart()
    for _ in range(2):
        timed.step()
    worst = 0.0
    for result, wanted in zip(timed.results(), reference, strict=True):
        scale = float(torch.linalg.vector_norm(wanted, torch.inf)) or 1.0
        error = float(torch.linalg.vector_norm(result - wanted, torch.inf)) / scale
        worst = max(worst, error if not math.isnan(error) else math.inf)
    tolerance = TOLERANCE["tf32" if timed.how.tf32 else timed.how.dtype or "float32"]
    if not worst <= tolerance:
        raise InvalidInput(f"the results deviate from the reference by {worst:.1e}, more than {tolerance:.0e}")
    return worst


def flush_buffer(device: str) -> torch.Tensor:
    """A buffer of twice the size of the GPU's L2 cache; a write to the buffer empties the cache."""
    return torch.empty(2 * torch.cuda.get_device_properties(device).L2_cache_size, dtype=torch.int8, device=device)
