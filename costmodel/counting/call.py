"""One call of somebody else's module, listened to: on tensors without values or with some, forward and backward, the
module left as it was."""

import logging
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._pytree import tree_leaves, tree_map_only

from costmodel.counting.observe import CountingMode
from costmodel.counting.shapes import shape_of
from costmodel.errors import InvalidInput
from costmodel.work.cost import Operation

if TYPE_CHECKING:
    from torch._subclasses.fake_tensor import FakeTensorMode


@dataclass(frozen=True)
class Call:
    """One call ``net(*inputs, **kwargs)``, or several of a recurrent module, to be listened to.

    ``inputs`` and ``kwargs`` hold tensors, whose values are used only if ``real``. ``backward`` adds the backward pass.
    ``frames``: the number of calls. ``mode``: torch's mode of tensors with symbolic sizes, for closed forms.
    """

    net: Any
    inputs: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    real: bool = False
    backward: bool = False
    frames: int = 1
    mode: "FakeTensorMode | None" = None

    @cached_property
    def modules(self) -> dict[str, torch.nn.Module]:
        """Every module by its path; a shared module by each of its paths."""
        return dict(self.net.named_modules(remove_duplicate=False)) if isinstance(self.net, torch.nn.Module) else {}

    @property
    def state(self) -> list[torch.Tensor]:
        """Parameters and buffers."""
        return [*self.net.parameters(), *self.net.buffers()] if isinstance(self.net, torch.nn.Module) else []

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
    net, real, mode = call.net, call.real, call.mode

    def placed(tree: Any) -> Any:
        return tree_map_only(torch.Tensor, (lambda tensor: _valued(tensor, device)) if real else _meta, tree)

    def attempt(code: Callable[[], Any]) -> Any:
        """Somebody else's code; what it raises, in words."""
        try:
            return code()
        except InvalidInput:
            raise
        except Exception as error:
            raise InvalidInput(_why(error, net, call.inputs)) from error

    places = _ModuleTracker({id(each): path for path, each in reversed(call.modules.items())})  # a shared one's first
    device = next((each.device for each in call.state), torch.device("cpu"))
    state: dict[str, torch.Tensor] = {}
    saved: dict[str, int] = {}
    if isinstance(net, torch.nn.Module):
        own = {**dict(net.named_parameters()), **dict(net.named_buffers())}
        # What is written into the substitutes is not written into the module.
        state = attempt(lambda: {name: _substitute(name, each, real, mode) for name, each in own.items()})

    with ExitStack() as stack:
        stack.enter_context(_quiet([device] if real and device.type == "cuda" else []))
        stack.enter_context(_unchanged(net))
        stack.enter_context(places.followed())
        stack.enter_context(torch.enable_grad() if gradients else torch.inference_mode())
        if mode is not None:
            stack.enter_context(mode)
        args, options = attempt(lambda: (placed(call.inputs), placed(call.kwargs)))
        if call.backward and mode is None:
            stack.enter_context(_saving(saved, places.now))
        listener: CountingMode = stack.enter_context(CountingMode(places.now, meta=not real))
        if not real and mode is None:
            given = [each for each in tree_leaves((args, options)) if isinstance(each, torch.Tensor)]
            listener.hold([*state.values(), *given])

        def calls() -> None:
            out = _clip(net, isinstance(net, torch.nn.RNNCellBase), call.frames, args, options)
            if call.backward:
                _backward(out, listener)

        def whole() -> None:
            if isinstance(net, torch.nn.Module):
                named = {f"net.{name}": tensor for name, tensor in state.items()}
                torch.func.functional_call(_Whole(net, calls), named, (), tie_weights=True)
            else:
                calls()

        attempt(whole)
    return listener.operations, saved


class _Whole(torch.nn.Module):
    """Forward and backward pass as one call: what the backward pass recomputes needs the substitutes, too."""

    def __init__(self, net: torch.nn.Module, calls: Callable[[], None]) -> None:
        super().__init__()
        self.net, self.calls = net, calls

    def forward(self) -> None:
        self.calls()


def _saving(saved: dict[str, int], path: Callable[[], str]) -> Any:
    """Learn what autograd keeps for the backward pass, by module."""
    seen: dict[int, Any] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if not isinstance(tensor, torch.nn.Parameter) and not _of_parameter(tensor) and id(storage) not in seen:
            seen[id(storage)] = storage  # kept, so that no other one gets its place
            saved[path()] = saved.get(path(), 0) + storage.nbytes()
        return tensor

    return torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)


def _of_parameter(tensor: torch.Tensor) -> bool:
    """True for the substitute of a parameter, or a view of a substitute."""
    base = tensor._base if tensor._base is not None else tensor
    return isinstance(base, torch.nn.Parameter) or hasattr(base, "_owner")


@contextmanager
def _quiet(devices: Sequence[torch.device]) -> Iterator[None]:
    """torch logs what it raises while it traces; that is told in words. Random numbers are given back. The transformer
    layers do not run as one kernel, whose parts nobody sees."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    log = logging.getLogger("torch._subclasses.fake_tensor")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        log.setLevel(level)
        torch.backends.mha.set_fastpath_enabled(fused)


@contextmanager
def _unchanged(net: Any) -> Iterator[None]:
    """Give modules back what they had: some keep tensors of a call, which here have no values."""
    modules = list(net.modules()) if isinstance(net, torch.nn.Module) else []
    tables = ("_parameters", "_buffers", "_modules")
    before = [(each, dict(each.__dict__), {name: dict(each.__dict__[name]) for name in tables}) for each in modules]
    try:
        yield
    finally:
        for each, attributes, held in before:
            each.__dict__.clear()
            each.__dict__.update(attributes)
            for name, table in held.items():
                each.__dict__[name].clear()
                each.__dict__[name].update(table)


def _substitute(name: str, tensor: torch.Tensor, real: bool, mode: Any) -> Any:
    """What stands for a parameter or a buffer and knows its module: a copy, or a tensor like it without values, under
    ``mode`` one of that kind."""
    like = tensor.detach().clone() if real else _meta(tensor)
    made: Any = like.requires_grad_(tensor.requires_grad)
    made = made if mode is None else mode.from_tensor(made, static_shapes=True)
    made._owner = name.rpartition(".")[0]
    return made


def _valued(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Random values in the place of none, where the module is."""
    if tensor.device.type != "meta":
        return tensor.detach().clone().requires_grad_(tensor.requires_grad)
    if tensor.dtype.is_floating_point or tensor.dtype.is_complex:
        return torch.randn(tensor.shape, dtype=tensor.dtype, device=device)
    return torch.zeros(tensor.shape, dtype=tensor.dtype, device=device)


def _meta(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor like it without values; one with symbolic sizes stays as it is."""
    if tensor.device.type == "meta" and any(isinstance(side, torch.SymInt) for side in tensor.shape):
        return tensor
    made = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
    return made.requires_grad_(tensor.requires_grad)


def _backward(out: Any, listener: CountingMode) -> None:
    leaves = [each for each in tree_leaves(out) if isinstance(each, torch.Tensor) and each.requires_grad]
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


_WANTS_GRADIENTS = re.compile("does not require grad|[Ii]nference (tensor|mode)")
_NEEDS_VALUES = re.compile(
    r"meta tensor|no data|Tensor\.item|data-dependent|should always be on CPU|\.numpy\(\)|DynamicOutputShape|unbacked|"
    r"not supported for meta|meta_nonzero|'Meta' backend|with arguments from the 'Meta'",
    re.IGNORECASE,
)


def _why(error: Exception, net: Any, inputs: Any) -> str:
    """The message for an error of a module."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    line = shorten(lines[0], 200, placeholder=" ...") if lines else ""
    first = f"{type(error).__name__}: {line}".rstrip(": ")
    if _NEEDS_VALUES.search(str(error)):
        reads = f"{type(net).__name__} reads tensor values, which meta tensors do not have"
        return f"{reads} ({first}): count it with real=True"
    given = ", ".join(shape_of(each) for each in inputs) or "none"
    return f"{type(net).__name__} refuses the inputs {given}: {first}"


def _clip(call: Callable[..., Any], cell: bool, frames: int, inputs: Any, kwargs: Mapping[str, Any]) -> list[Any]:
    """The outputs of several calls, the state carried along."""
    outputs: list[Any] = []
    state: tuple[Any, ...] = ()
    for _ in range(frames):
        out = call(*inputs, *state, **kwargs)
        out = list(out) if isinstance(out, Iterator) else out  # what it yields is work, too
        outputs.append(out)
        if not cell and not (isinstance(out, tuple) and len(out) > 1) and frames > 1:
            raise InvalidInput("frames are for modules that give an output and a state, which the next call takes")
        state = (out,) if cell else (out[-1],) if frames > 1 else ()
    return outputs
