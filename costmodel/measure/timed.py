"""Work as the child process builds and steps it, and the reference for its results."""

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils._pytree import tree_leaves, tree_map_only

from costmodel.building.module import build
from costmodel.counting.call import needs_values
from costmodel.counting.clip import NOTHING, Inputs, clip
from costmodel.counting.load import load, prepared, with_floats
from costmodel.counting.modules import owner
from costmodel.counting.outputs import tensors_in
from costmodel.counting.shapes import without_letters
from costmodel.describe.program import Program
from costmodel.errors import InvalidInput
from costmodel.measure.workload import Described, Named, Workload
from costmodel.profiles.records import Settings

# Allowed deviation from the reference, relative to the largest reference value: a few hundred rounding errors.
TOLERANCE = {"float64": 1e-4, "float32": 1e-4, "tf32": 3e-2, "float16": 3e-2, "bfloat16": 1e-1}
PIECE = 1 << 20  # elements that are compared at a time

Tensors = tuple[torch.Tensor, ...]


class Timed:
    """Work that runs with the settings ``how``; the last output is kept. ``step()`` computes one more of it."""

    mode: Callable[[], Any] = torch.inference_mode

    def __init__(self, how: Settings, module: "torch.nn.Module | None", function: Callable[..., Any]) -> None:
        self.how, self.module, self.run = how, module, function
        self.inputs: Any = ()  # a tree of tensors
        self.state: Tensors = ()
        self.output: Any = None
        self.step: Callable[[], object] = self._step

    def zeros(self) -> Tensors:
        """The first state."""
        return ()

    def call(self) -> None:
        """One call of ``run``, or the calls of a window."""
        raise NotImplementedError

    def place(self) -> None:
        """Move module and inputs to the device, dtype and memory format; compile, and capture, as the settings say."""
        how = self.how
        kind = how.dtype or "float32"
        where: dict[str, Any] = {"device": how.device, "dtype": getattr(torch, kind)}
        if how.device == "cuda":
            multiply_float32(tf32=bool(how.tf32))
            torch.backends.cudnn.benchmark = False
        if self.module is not None:
            with_floats(self.module.to(how.device), kind)
            if how.memory_format == "channels_last":
                self.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's types lack it

        def placed(tensor: torch.Tensor) -> torch.Tensor:
            tensor = tensor.to(**where) if tensor.is_floating_point() else tensor.to(how.device)
            return self._laid_out(tensor)

        self.inputs = tree_map_only(torch.Tensor, placed, self.inputs)
        if "torch._dynamo" in sys.modules:  # a module may compile parts of itself
            torch.compiler.set_stance("default" if how.implementation == "compiled" else "force_eager")
        self.try_out()
        if how.implementation == "compiled":
            self.run = torch.compile(self.run)
        self.restart()
        if how.cuda_graph:
            self.capture()

    def try_out(self) -> None:
        """Find out what a call needs, before anything is compiled or captured."""

    def _laid_out(self, tensor: torch.Tensor) -> torch.Tensor:
        last = self.how.memory_format == "channels_last" and tensor.dim() == 4
        return tensor.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)

    def restart(self) -> None:
        """Reset the state, and random numbers."""
        torch.manual_seed(0)
        with torch.inference_mode():  # as later states: torch would compile again for another kind of tensor
            if self.step == self._step:
                self.state = tuple(map(self._laid_out, self.zeros()))
            else:
                for tensor in self.state:  # a graph reads its state at a fixed address
                    tensor.zero_()

    def _step(self) -> object:
        with self.mode():
            self.call()
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
        with torch.cuda.graph(graph), self.mode():
            self._step()
            for old, new in zip(before, self.state, strict=True):
                if new is not old:
                    old.copy_(new)
        self.state = before
        self.step = graph.replay

    def results(self) -> list[torch.Tensor]:
        """Floating-point and complex outputs and states as float32 on the CPU."""
        found = [torch.view_as_real(each.resolve_conj()) if each.is_complex() else each for each in self._outputs()]
        return [tensor.to("cpu", torch.float32) for tensor in found if tensor.is_floating_point()]

    def _outputs(self) -> Iterator[torch.Tensor]:
        for tensor in tensors_in([self.output, *self.state]):
            yield tensor if tensor.layout == torch.strided else tensor.to_dense()


class TimedNetwork(Timed):
    """A described network on random frames: a step carries the state (``how.frames`` 1), or computes a window of frames
    from zeros."""

    def __init__(self, program: Program, how: Settings) -> None:
        torch.manual_seed(0)
        self.network = build(program).eval()
        super().__init__(how, self.network, self.network)
        shape = (how.batch, *self.network.frame_shape)
        self.inputs = [torch.randn(shape) for _ in range(how.frames)]

    def zeros(self) -> Tensors:
        return self.network.zeros(self.inputs[0])

    def call(self) -> None:
        if self.how.frames == 1:
            self.output, self.state = self.run(self.inputs[0], self.state)
        else:
            state = self.state
            for frame in self.inputs:
                self.output, state = self.run(frame, state)


class TimedModule(Timed):
    """A module of the user's in evaluation mode, on random inputs, the same ones at every step; integers and booleans
    are ones, as they are counted. With ``how.frames`` a step is so many calls, the state carried from call to call. A
    module that changes its inputs in place gets a copy of them at every step, which takes part of the time; one that
    needs gradients runs outside of inference mode."""

    def __init__(self, named: Named, how: Settings) -> None:
        torch.manual_seed(0)
        function = prepared(load(named.name, named.arguments, meta=False), train=False, dtype=None)
        function = getattr(function, "_orig_mod", function)  # settings say if it is compiled
        super().__init__(how, owner(function), function)
        self.carry = NOTHING
        self.changes = False
        torch.manual_seed(0)
        self.inputs = tree_map_only(torch.Tensor, _valued, without_letters((named.inputs, dict(named.kwargs))))

    def try_out(self) -> None:
        tensors = [each for each in tree_leaves(self.inputs) if isinstance(each, torch.Tensor)]
        before = [each._version for each in tensors]
        try:
            self._first_call()
        except RuntimeError:
            self.mode = torch.no_grad
            self._first_call()
        self.changes = before != [each._version for each in tensors]

    def _first_call(self) -> None:
        with self.mode():
            if self.how.frames == 1:
                self._called(*self.inputs)
            else:
                modules = [] if self.module is None else list(self.module.modules())
                self.carry = clip(self.run, modules, 2, Inputs(*self.inputs), [], needs_values).carry

    def call(self) -> None:
        args, kwargs = tree_map_only(torch.Tensor, torch.clone, self.inputs) if self.changes else self.inputs
        self.output = self._called(args, kwargs)
        following = Inputs(args, kwargs)
        for _ in range(self.how.frames - 1):
            following = self.carry.onto(following, self.output)
            self.output = self._called(following.args, following.kwargs)

    def _called(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        output = self.run(*args, **kwargs)
        return list(output) if isinstance(output, Iterator) else output  # what it yields is work, too


def _valued(tensor: torch.Tensor) -> torch.Tensor:
    random = tensor.dtype.is_floating_point or tensor.dtype.is_complex
    return (torch.randn if random else torch.ones)(tensor.shape, dtype=tensor.dtype)


def timed(workload: Workload, how: Settings) -> Timed:
    """The work with random parameters and inputs, the same ones at every call."""
    if isinstance(workload, Described):
        return TimedNetwork(workload.program, how)
    if isinstance(workload, Named):
        return TimedModule(workload, how)
    raise TypeError(type(workload).__name__)


def expected(workload: Workload, how: Settings) -> "list[torch.Tensor] | None":
    """Results after two steps of the reference: float32, contiguous, eager, on the CPU, with torch's own kernels
    instead of oneDNN's. None for work whose results are random: they differ with the seed."""
    results = []
    for seed in range(1 if isinstance(workload, Described) else 2):
        subject = timed(workload, how.model_copy(update=_REFERENCE))
        with torch.backends.mkldnn.flags(enabled=False):
            subject.place()
            torch.manual_seed(seed)
            results.append(_two_steps(subject))
    return results[0] if all(_distance(each, results[0]) == 0 for each in results) else None


_REFERENCE: dict[str, Any] = {
    "device": "cpu",
    "dtype": "float32",
    "memory_format": "contiguous",
    "implementation": "eager",
    "cuda_graph": None,
}


def first_results(subject: Timed) -> list[torch.Tensor]:
    """Results after two steps from the first state. No step may come before: a module may keep a state in itself."""
    subject.restart()
    return _two_steps(subject)


def deviation(results: list[torch.Tensor], reference: "list[torch.Tensor] | None", how: Settings) -> "float | None":
    """Largest deviation of `first_results`, relative to the largest reference value; `InvalidInput` above `TOLERANCE`.
    None where nothing can be compared: random results, or results of other shapes, which depend on values."""
    if reference is None or [each.shape for each in results] != [each.shape for each in reference] or not results:
        return None
    worst = _distance(results, reference)
    tolerance = TOLERANCE["tf32" if how.tf32 else how.dtype or "float32"]
    if not worst <= tolerance:
        raise InvalidInput(f"the results deviate from the reference by {worst:.1e}, more than {tolerance:.0e}")
    return worst


def _two_steps(subject: Timed) -> list[torch.Tensor]:
    for _ in range(2):
        subject.step()
    return subject.results()


def _distance(results: list[torch.Tensor], reference: list[torch.Tensor]) -> float:
    worst = 0.0
    for result, wanted in zip(results, reference, strict=True):
        if result.shape != wanted.shape:
            return math.inf
        if not wanted.numel():
            continue
        pieces = list(zip(_pieces(result), _pieces(wanted), strict=True))
        partly = not all(bool(other.isfinite().all()) for _, other in pieces)
        scale = error = 0.0
        for one, other in pieces:
            if partly:  # logarithms and masks have infinite values: the others are compared
                finite = other.isfinite() & one.isfinite()
                one, other = one[finite], other[finite]
            if other.numel():
                scale = max(scale, float(torch.linalg.vector_norm(other, torch.inf)))
                most = float(torch.linalg.vector_norm(one - other, torch.inf))
                error = max(error, math.inf if math.isnan(most) else most)
        worst = max(worst, error / (scale or 1.0))
    return worst


def _pieces(tensor: torch.Tensor) -> Sequence[torch.Tensor]:
    """Views of about 4 MB, so that a comparison hardly takes memory: the subject is timed in the same process."""
    tensor = tensor.squeeze()
    if not tensor.dim():
        return [tensor]
    rows = max(1, PIECE * len(tensor) // tensor.numel())
    return [tensor[row : row + rows] for row in range(0, len(tensor), rows)]


def multiply_float32(*, tf32: bool) -> None:
    """Multiply float32 on a GPU as TF32, or exactly: products of matrices, convolutions and recurrences."""
    # The newer interface comes first: what a module has set there would overrule the older one, or contradict it, which
    # torch.compile refuses; and torch.compile asks the older one up to torch 2.13 at least.
    torch.backends.fp32_precision = torch.backends.cudnn.fp32_precision = "none"  # type: ignore[attr-defined]
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32


def flush_buffer(device: str) -> torch.Tensor:
    """A buffer of twice the size of the GPU's L2 cache; a write to the buffer empties the cache."""
    return torch.empty(2 * torch.cuda.get_device_properties(device).L2_cache_size, dtype=torch.int8, device=device)
