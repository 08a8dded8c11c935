"""One call of somebody else's module, listened to: on tensors without values or with some, forward and backward, the
module left as it was."""

import logging
import random
import re
import sys
import threading
import weakref
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from unittest.mock import patch

import torch
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import _disable_current_modes, is_traceable_wrapper_subclass
from torch.utils._pytree import tree_leaves, tree_map_only

from costmodel.counting.calls import Calls
from costmodel.counting.clip import Inputs, clip
from costmodel.counting.higher_order import plain_control_flow, plain_flex_attention
from costmodel.counting.modules import is_sharded, module_in_words, name_of, packed_weights, unsharded
from costmodel.counting.observe import PLAIN_TENSORS, CountingMode
from costmodel.counting.outputs import tensors_in
from costmodel.counting.reasons import place, reason, running_module
from costmodel.counting.shadow import CPU, META, NeedsValues, Shadow, Shadows, meta_of, worth_knowing
from costmodel.counting.shapes import shape_of
from costmodel.counting.unchanged import unchanged
from costmodel.errors import InvalidInput
from costmodel.work.cost import Operation

_ONE_AT_A_TIME = threading.RLock()  # hooks and random numbers belong to all threads


@dataclass(frozen=True)
class Call:
    """One call ``net(*inputs, **kwargs)``, or several of a recurrent module, to be listened to.

    ``inputs`` and ``kwargs`` hold tensors, whose values are used only if ``real``. ``backward`` adds the backward pass.
    ``frames``: the number of calls.
    ``function`` is called instead of the module, such as a method of it. ``words``: the inputs as users write them.
    ``watch``: a context around the run, told the mode that counts. ``workspaces``: learn what kernels of a CPU need
    besides results. ``timed``: dtype (None: as they are) and memory format of what is timed, see `operations`.
    """

    net: Any
    inputs: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    real: bool = False
    backward: bool = False
    frames: int = 1
    function: Any = None
    words: tuple[str, ...] = ()
    watch: "Callable[[CountingMode], AbstractContextManager[None]] | None" = None
    workspaces: bool = True
    timed: "tuple[str | None, str] | None" = None

    @cached_property
    def modules(self) -> dict[str, torch.nn.Module]:
        """Every module by its path; a shared module by each of its paths."""
        return dict(self.net.named_modules(remove_duplicate=False)) if isinstance(self.net, torch.nn.Module) else {}

    @cached_property
    def state(self) -> dict[str, torch.Tensor]:
        """Parameters and buffers by path; a shared one by its first path."""
        named: dict[int, tuple[str, torch.Tensor]] = {}
        for path, module in self.modules.items():
            for table in (module._parameters, module._buffers):
                for name, tensor in table.items():
                    if tensor is not None and id(tensor) not in named:
                        named[id(tensor)] = f"{path}.{name}" if path else name, tensor
        return dict(named.values())

    @property
    def packed(self) -> list[torch.Tensor]:
        """The packed weights of quantised modules."""
        return [weight for module in dict.fromkeys(self.modules.values()) for weight in packed_weights(module)]

    def operations(self, dtype: str | None = None, memory_format: str = "contiguous") -> tuple[Operation, ...]:
        """The operations of the forward pass as it is timed, down to kernels: ``aten.convolution.default`` instead of
        ``aten.conv2d.default``. Each has its `costmodel.work.call.Call`, where its arguments are data. Parameters and
        inputs of floating-point numbers get the dtype (None: keep theirs), those of maps the memory format."""
        return tuple(replace(self, backward=False, workspaces=False, timed=(dtype, memory_format)).run()[0])

    def run(self) -> tuple[list[Operation], dict[str, int]]:
        """The operations of the call, and the bytes that autograd saves for the backward pass, by module; the module is
        left as it was. Without ``backward`` gradients are off, as in inference, unless the module takes some itself."""
        try:
            return _run(self, gradients=self.backward)
        except InvalidInput as error:
            if self.backward or not _WANTS_GRADIENTS.search(str(error.__cause__)):
                raise
            return _run(self, gradients=True)


def _run(call: Call, gradients: bool) -> tuple[list[Operation], dict[str, int]]:
    net, real = call.net, call.real
    shadows = Shadows()

    def attempt(code: Callable[[], Any]) -> Any:
        """Somebody else's code; what it raises, in words."""
        try:
            return code()
        except InvalidInput:
            raise
        except Exception as error:  # somebody else's code may raise anything
            if not real and needs_values(error):
                raise ReadsValues(call, error, listener.operations if listener else []) from error
            raise InvalidInput(_why(error, call)) from error

    listener: CountingMode | None = None
    places = _ModuleTracker({id(each): path for path, each in reversed(call.modules.items())})  # a shared one's first
    device = next((each.device for each in call.state.values()), torch.device("cpu"))
    state: dict[str, torch.Tensor] = {}
    saved: dict[str, int] = {}

    copies = Copies()

    def stand_in(tensor: torch.Tensor) -> torch.Tensor:
        made = _valued(tensor, device, copies) if real else _without_values(tensor, copies)
        return made if call.timed is None else _as_timed(made, *call.timed)

    with ExitStack() as stack:
        stack.enter_context(_ONE_AT_A_TIME)
        stack.enter_context(_quiet([device] if real and device.type == "cuda" else []))
        if not real:
            stack.enter_context(_one_thread())
        stack.enter_context(unchanged(call.function or net))
        stack.enter_context(unsharded(net))
        stack.callback(shadows.give_back)
        # What is written into the substitutes is not written into the module.
        state = attempt(lambda: {name: _substitute(name, each, stand_in) for name, each in call.state.items()})
        stack.enter_context(places.followed())
        stack.enter_context(plain_control_flow())
        stack.enter_context(plain_flex_attention())
        mode = torch.enable_grad if gradients else torch.no_grad if call.timed else torch.inference_mode
        stack.enter_context(mode())
        args, options = attempt(lambda: tree_map_only(torch.Tensor, stand_in, (call.inputs, dict(call.kwargs))))
        if call.backward:
            stack.enter_context(_saving(saved, places.now))
        given = [each for each in tree_leaves((args, options)) if isinstance(each, torch.Tensor)]
        shadows.own([*state.values(), *given])
        run, calls = shadows.run_real if real else shadows.run, Calls(state.values()) if call.timed else None
        listener = CountingMode(places.now, run, not call.timed, call.workspaces, calls)
        stack.enter_context(_threads_followed(listener, mode))
        stack.enter_context(listener)
        listener.hold([*state.values(), *given])
        if call.watch is not None:
            stack.enter_context(call.watch(listener))

        def whole_call() -> None:
            if listener is None:
                return
            out = _clip(call, Inputs(args, options), listener)
            if call.backward:
                _backward(out, listener)

        def whole() -> None:
            if isinstance(net, torch.nn.Module):
                named = {f"net.{name}": tensor for name, tensor in state.items()}
                torch.func.functional_call(_Whole(net, whole_call), named, (), tie_weights=True)
            else:
                whole_call()

        attempt(whole)
    return listener.operations, saved


class ReadsValues(InvalidInput):
    """A module reads the values of tensors that are counted without values. ``before``: the operations until then."""

    def __init__(self, call: Call, error: Exception, before: Sequence[Operation]) -> None:
        told = _told(error, call).removeprefix("NeedsValues: ")
        self.reason = f"{name_of(call.function or call.net)} reads tensor values ({told})"
        self.before = tuple(before)
        super().__init__(f"{self.reason}, which are not known: count it with real=True")


class _Whole(torch.nn.Module):
    """Forward and backward pass as one call: what the backward pass recomputes needs the substitutes, too."""

    def __init__(self, net: torch.nn.Module, calls: Callable[[], None]) -> None:
        super().__init__()
        self.net, self.calls = net, calls

    def forward(self) -> None:
        self.calls()


def _saving(saved: dict[str, int], path: Callable[[], str]) -> Any:
    """Learn what autograd keeps for the backward pass, by module; it lets go of that as without anybody listening."""
    seen: set[int] = set()

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if not isinstance(tensor, torch.nn.Parameter) and not _of_parameter(tensor) and id(storage) not in seen:
            seen.add(id(storage))
            weakref.finalize(storage, seen.discard, id(storage))  # another one may get its place
            saved[path()] = saved.get(path(), 0) + storage.nbytes()
        return tensor

    return torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)


def _of_parameter(tensor: torch.Tensor) -> bool:
    """True for the substitute of a parameter, or a view of a substitute."""
    base = tensor._base if tensor._base is not None else tensor
    return isinstance(base, torch.nn.Parameter) or getattr(base, "_for_parameter", False)


@contextmanager
def _threads_followed(listener: CountingMode, mode: Callable[[], Any]) -> Iterator[None]:
    """Listen to the threads that a module starts, too: what torch is told, it is told by thread."""
    here, start = threading.get_ident(), threading.Thread.start

    def followed(thread: threading.Thread) -> None:
        run = thread.run

        def listened() -> None:
            with mode(), listener:
                run()

        if threading.get_ident() == here:
            thread.run = listened  # type: ignore[method-assign]  # of this thread alone
        start(thread)

    with patch.object(threading.Thread, "start", followed):
        yield


@contextmanager
def _quiet(devices: Sequence[torch.device]) -> Iterator[None]:
    """torch logs what it raises while it traces; that is told in words. Random numbers are given back. The transformer
    layers do not run as one kernel, whose parts nobody sees."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    log = logging.getLogger("torch._subclasses.fake_tensor")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    dtype, numbers = torch.get_default_dtype(), random.getstate()
    numpy: Any = sys.modules.get("numpy")
    others = numpy.random.get_state() if numpy else None
    try:
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(0)  # the same numbers at every count
            random.seed(0)
            if numpy:
                numpy.random.seed(0)
            yield
    finally:
        torch.set_default_dtype(dtype)
        random.setstate(numbers)
        if numpy:
            numpy.random.set_state(others)
        log.setLevel(level)
        torch.backends.mha.set_fastpath_enabled(fused)


@contextmanager
def _one_thread() -> Iterator[None]:
    """The few values that are known are copied faster by one thread than by several that wait for each other."""
    number = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(number)


def _substitute(name: str, tensor: torch.Tensor, stand_in: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """A tensor that stands for a parameter or a buffer and knows its module."""
    made: Any = stand_in(tensor)
    made._owner, made._for_parameter = name.rpartition(".")[0], isinstance(tensor, torch.nn.Parameter)
    return made


class Copies:
    """Copies of tensors: what shares a storage shares a copy of it."""

    def __init__(self) -> None:
        self._storages: dict[tuple[int, torch.device], torch.UntypedStorage] = {}

    def of(self, tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
        """A copy with the layout of a tensor, on the meta device without values."""
        plain = type(tensor) in PLAIN_TENSORS and tensor.layout is torch.strided and not tensor.is_quantized
        if not plain or tensor.is_conj() or tensor.is_neg():
            return meta_of(tensor) if device == META else tensor.detach().to(device, copy=True)
        storage = tensor.untyped_storage()
        key = storage._cdata, device
        if key not in self._storages:
            whole = torch.empty(storage.nbytes(), dtype=torch.uint8, device=META)
            if device != META:
                whole = torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage).to(device, copy=True)
            self._storages[key] = whole.untyped_storage()
        made = torch.empty(0, dtype=tensor.dtype, device=device)
        return made.set_(self._storages[key], tensor.storage_offset(), tensor.shape, tensor.stride())


def _valued(tensor: torch.Tensor, device: torch.device, copies: Copies) -> torch.Tensor:
    """Random values in the place of none, where the module is."""
    if is_sharded(tensor):
        tensor = tensor.full_tensor()  # type: ignore[attr-defined]  # of a DTensor
    if tensor.device.type != "meta" and not isinstance(tensor, Shadow):
        return copies.of(tensor, tensor.device).requires_grad_(tensor.requires_grad)
    if tensor.dtype.is_floating_point or tensor.dtype.is_complex:
        return torch.randn(tensor.shape, dtype=tensor.dtype, device=device)
    return torch.zeros(tensor.shape, dtype=tensor.dtype, device=device)


def _without_values(tensor: torch.Tensor, copies: Copies) -> torch.Tensor:
    """A shadow of a tensor, or a copy where the values decide what runs: of integers and booleans. Those that are given
    without values are ones."""
    if is_traceable_wrapper_subclass(tensor) and not is_sharded(tensor):
        names, context = tensor.__tensor_flatten__()
        inner = {name: _without_values(getattr(tensor, name), copies) for name in names}
        return type(tensor).__tensor_unflatten__(inner, context, tensor.shape, tensor.stride())
    exact = not (tensor.dtype.is_floating_point or tensor.dtype.is_complex)
    if tensor.layout is not torch.strided:
        return tensor.detach().clone()
    if exact and worth_knowing(tensor):
        return torch.ones(tensor.shape, dtype=tensor.dtype) if tensor.is_meta else copies.of(tensor, CPU)
    return Shadow(copies.of(tensor, META)).requires_grad_(tensor.requires_grad)  # type: ignore[no-any-return]  # untyped


def _as_timed(tensor: torch.Tensor, dtype: str | None, memory_format: str) -> torch.Tensor:
    """A tensor of another type and memory format, if it is one of floating-point numbers or of maps."""
    last = memory_format == "channels_last" and tensor.dim() == 4 and tensor.layout is torch.strided
    kind = getattr(torch, dtype) if dtype and tensor.is_floating_point() else tensor.dtype
    if kind == tensor.dtype and not last:
        return tensor
    form = torch.channels_last if last else torch.preserve_format
    with torch.no_grad():
        made = tensor.to(kind, memory_format=form)
    return made.requires_grad_(tensor.requires_grad)


def _backward(out: list[Any], listener: CountingMode) -> None:
    tensors = tensors_in(out)
    if not tensors:
        raise InvalidInput(f"backward: no tensor found in an output of type {type(out[0]).__name__}")
    leaves = [each for each in tensors if each.requires_grad]
    if not leaves:
        raise InvalidInput("backward: no output depends on a parameter or an input that wants a gradient")
    with listener.paused():  # where a loss would be
        seeds = [torch.ones_like(each) for each in leaves]
    listener.backward = True
    torch.autograd.backward(leaves, seeds)


class _ModuleTracker:
    """Whose code runs: the module that was entered last, or in the backward pass the one whose forward pass made the
    node of autograd that runs now. Nodes are numbered as they are made, so it is enough to know the number at which
    each module was entered and left."""

    def __init__(self, paths: Mapping[int, str]) -> None:
        self._paths = paths
        self._entered = [""]
        self._marks: list[tuple[int, str]] = [(0, "")]

    @contextmanager
    def followed(self) -> Iterator[None]:
        before = register_module_forward_pre_hook(self._enter)
        after = register_module_forward_hook(self._leave, always_call=True)
        try:
            yield
        finally:
            before.remove()
            after.remove()

    def now(self) -> str:
        # A module that runs during the backward pass is one that checkpointing runs again.
        node = torch._C._current_autograd_node() if len(self._entered) == 1 else None
        if node is None:
            return self._entered[-1]
        variable = getattr(node, "variable", None)  # of the sum of gradients of one tensor
        if variable is not None:
            return getattr(variable, "_owner", "")
        return self._marks[bisect_right(self._marks, node._sequence_nr(), key=lambda mark: mark[0]) - 1][1]

    def _enter(self, module: torch.nn.Module, args: Any) -> None:
        if isinstance(module, _Whole):
            return
        path = self._paths.get(id(module))
        if path is None:  # made while running
            path = f"{self._entered[-1]}.{type(module).__name__}".lstrip(".")
        self._entered.append(path)
        self._mark()

    def _leave(self, module: torch.nn.Module, args: Any, output: Any) -> None:
        if isinstance(module, _Whole):
            return
        self._entered.pop()
        self._mark()

    def _mark(self) -> None:
        self._marks.append((torch._C._autograd._get_sequence_nr(), self._entered[-1]))


MOST_ELEMENTS = 1 << 22  # of a layer that runs once more with values, for the sake of its message
_WANTS_GRADIENTS = re.compile("does not require grad|[Ii]nference (tensor|mode)")
_NEEDS_VALUES = re.compile(
    r"meta tensor|no data|not allocated yet|Tensor\.item|data-dependent|should always be on CPU|\.numpy\(\)|"
    r"DynamicOutputShape|unbacked|not supported for meta|meta_nonzero|'Meta' backend|with arguments from the 'Meta'|"
    r"fake impl|necessary for torch.compile|should be a 1D CPU",
    re.IGNORECASE,
)


def needs_values(error: Exception) -> bool:
    """True for an error that comes from reading the values of a tensor without values."""
    return isinstance(error, NeedsValues) or bool(_NEEDS_VALUES.search(str(error)))


def _why(error: Exception, call: Call) -> str:
    """The message for an error of a module: the inputs, the reason, and where the error came from."""
    inputs = ", ".join(call.words) or "none"
    return f"{name_of(call.function or call.net)} refuses the inputs {inputs}: {_told(error, call)}"


def _told(error: Exception, call: Call) -> str:
    """The reason of an error, the module that was running, and the user's line."""
    running = running_module(error, {id(each): path for path, each in reversed(call.modules.items())})
    where, told = place(error), reason(error)
    if running:
        path, module, inputs = running
        told = reason(_with_values(error, module, inputs))
        if path:
            told += f"; in {path}, {module_in_words(module)}, given {', '.join(map(shape_of, inputs))}"
    return f"{told} ({where})" if where else told


def _with_values(error: Exception, module: torch.nn.Module, inputs: tuple[Any, ...]) -> Exception:
    """The error of a small layer of torch on tensors with values, whose message often has the numbers."""
    tensors = [*module.parameters(), *module.buffers(), *tensors_in(inputs)]
    sizes = [each.numel() for each in tensors]
    if not type(module).__module__.startswith("torch.nn.modules") or list(module.children()):
        return error
    if not all(isinstance(size, int) for size in sizes) or sum(sizes) > MOST_ELEMENTS:
        return error

    def zeros(tensor: torch.Tensor) -> torch.Tensor:
        return torch.zeros(tensor.shape, dtype=tensor.dtype)

    state = {name: zeros(each) for name, each in [*module.named_parameters(), *module.named_buffers()]}
    try:
        with _disable_current_modes():
            given = tree_map_only(torch.Tensor, zeros, inputs)
            torch.func.functional_call(module, state, given)
    except Exception as other:  # a layer of torch, run again for the sake of its message
        return other if type(other) is type(error) else error
    return error


def _clip(call: Call, inputs: Inputs, listener: CountingMode) -> list[Any]:
    made = clip(
        call.function or call.net, list(call.modules.values()), call.frames, inputs, listener.operations, needs_values
    )
    return made.outputs
