"""The work that a running module really does, as torch's dispatcher sees it.

The observer sees every operation below autograd, whoever called it: modules, functional code, raw parameters. It needs
no values, so meta and fake tensors do. An operation without a rule is listed in ``uncounted``; nothing is left out in
silence.
"""

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from textwrap import shorten
from typing import Any

import torch
from torch._ops import HigherOrderOperator
from torch._subclasses.fake_tensor import FakeTensor, is_fake
from torch.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass
from torch.utils._pytree import tree_map_only

from costmodel.counting import compiler
from costmodel.counting.attention import kept, name_of
from costmodel.counting.calls import Calls
from costmodel.counting.higher_order import handle
from costmodel.counting.memory import doubt, reserve, workspace
from costmodel.counting.rules import DROPOUTS, find
from costmodel.counting.shadow import Shadow, meta_of, storage_of
from costmodel.counting.traffic import tensors as _tensors
from costmodel.counting.traffic import traffic
from costmodel.work.cost import NOTHING, Cost, Operation
from costmodel.work.events import Event, Work


@dataclass(frozen=True)
class Observation:
    """The work of a call, operation by operation.

    Views, bare allocations and questions about a tensor (``prim``) are no operations: they compute and move nothing.
    """

    operations: tuple[Operation, ...]

    def __repr__(self) -> str:
        unknown = f", {self.uncounted.total()} of them uncounted" if self.uncounted else ""
        number = f"{len(self.operations)} operation{'s' if len(self.operations) != 1 else ''}"
        return f"<Observation: {in_short(self.cost.work[Event.MAC])} multiply-accumulates, {number}{unknown}>"

    @cached_property
    def cost(self) -> Cost:
        """Work, launches, and bytes read and written; parameters are a property of the module, not of a call."""
        return sum((o.cost for o in self.operations), NOTHING)

    @property
    def uncounted(self) -> Counter[str]:
        """Operations without a rule, and how often each was dispatched."""
        return Counter(o.op for o in self.operations if not o.counted)


def in_short(number: Any) -> str:
    """A number for people, such as 4.09G."""
    if not isinstance(number, int):  # symbols
        return shorten(str(number), 100, placeholder=" ...")
    scales = (("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3))
    return next((f"{number / scale:.3g}{letter}" for letter, scale in scales if number >= 0.9995 * scale), str(number))


def _wraps(tensor: torch.Tensor) -> bool:
    """True for a tensor that is made of others, which have the operations."""
    return type(tensor) not in PLAIN_TENSORS and is_traceable_wrapper_subclass(tensor)


PLAIN_TENSORS = (torch.Tensor, torch.nn.Parameter, Shadow, FakeTensor)


class CountingMode(TorchDispatchMode):  # type: ignore[no-untyped-call]  # untyped in torch
    """Records operations.

    ``path`` tells whose operations come. ``run`` calls an operation, given its arguments and the tensors among these.
    ``follow``: learn which results are alive together, and with ``workspaces`` what kernels need besides; else -1.
    """

    supports_higher_order_operators = True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else the first operation imports torch's compiler

    def __init__(
        self,
        path: Callable[[], str] = lambda: "",
        run: Callable[..., Any] | None = None,
        follow: bool = False,
        workspaces: bool = True,
        calls: Calls | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in torch
        self.operations: list[Operation] = []
        self._path = path
        self._run = run
        self._follow, self._workspaces, self._calls = follow, workspaces, calls
        self._live: dict[int, int] = {}  # bytes by storage
        self._there: list[torch.UntypedStorage] = []
        self._paused = False
        self.backward = False  # True while the backward pass runs

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.prim.device.default:
            return args[0].device
        tensors = _tensors(args) + _tensors(kwargs.values()) if kwargs else _tensors(args)
        if any(map(_wraps, tensors)):
            return NotImplemented  # the operations on the tensors inside come here
        if self._paused:
            return self._called(func, args, kwargs, tensors)
        kind, rule = find(func)
        if isinstance(func, HigherOrderOperator):
            out = handle(func, args, kwargs, self._recorded)
        elif kind == "unknown":
            if func.overloadpacket.__name__ in DROPOUTS and not args[2]:  # in evaluation: nothing happens
                return args[0]
            # In inference mode composite operations arrive whole: what they consist of has rules.
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
            out = self._called(func, args, kwargs, tensors)
        else:
            out = self._called(func, args, kwargs, tensors)
        if kind == "free":
            return out
        events = rule(out, *args, **kwargs) if rule else _of_its_parts(func, args, kwargs)
        written = _tensors((out,))
        work = NOTHING.work if events is None else Work(events)
        reads, writes = traffic(func, args, kwargs, tensors, written)
        masked = kept(func, args, kwargs)
        cost = Cost(work, reads=reads, writes=writes, launches=1)
        shapes = tuple(tuple(tensor.shape) for tensor in tensors)
        shape = tuple(written[0].shape) if written else ()
        live = self._alive(written, reserve(name_of(func), args)) if self._follow else 0
        space = 0 if not self._follow else workspace(name_of(func), out, args) if self._workspaces else -1
        self.operations.append(
            Operation(
                *(_name(func), cost, events is not None, self._path(), shapes, shape, self.backward, live, space),
                masked=None if masked is None else Work(masked),
                doubt=doubt(name_of(func), args) if self._follow else "",
                call=None if self._calls is None else self._calls.call(func, args, kwargs, out),
            )
        )
        return out

    def _called(self, func: Any, args: Any, kwargs: Any, tensors: list[torch.Tensor]) -> Any:
        return func(*args, **kwargs) if self._run is None else self._run(func, args, kwargs, tensors)

    def _recorded(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """A function's result; its operations are recorded."""
        with self:
            return function(*args, **kwargs)

    def hold(self, tensors: Iterable[torch.Tensor]) -> None:
        """Tensors that were there before: what is written into them is no new memory."""
        self._there = [storage for storage in map(storage_of, tensors) if storage is not None]
        self._live |= {id(storage): 0 for storage in self._there}

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Operations inside are not recorded."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    def _alive(self, written: list[torch.Tensor], last: int) -> int:
        """Bytes of all results that somebody still holds; ``last``: those of the last one, if it is empty."""
        for tensor in written:
            if (storage := storage_of(tensor)) is None:
                continue
            storage = getattr(storage, "_memory_of", storage)
            size, key = storage.nbytes() or (last if tensor is written[-1] else 0), id(storage)
            if key not in self._live and isinstance(size, int):  # symbolic sizes are not followed
                self._live[key] = size
                weakref.finalize(storage, self._live.pop, key, None)
        return sum(self._live.values())


@cache
def _name(func: Any) -> str:
    return f"higher_order.{func}" if isinstance(func, HigherOrderOperator) else str(func)


def _of_its_parts(func: Any, args: Any, kwargs: Any) -> Work | None:
    """The work of an operation without a rule, by torch's own decomposition, if each part has a rule. The operation
    is still one kernel, which reads its arguments and writes its results."""
    from torch._decomp import decomposition_table

    if func not in decomposition_table or func.namespace != "aten":
        return None
    given, named = tree_map_only(torch.Tensor, lambda t: t if is_fake(t) else meta_of(t), (args, kwargs))
    try:
        with compiler.not_imported(), CountingMode() as listener:
            decomposition_table[func](*given, **named)
    except (RuntimeError, TypeError):  # some want values, or do not know every use: then nothing is known
        return None
    seen = Observation(tuple(listener.operations))
    return None if seen.uncounted else seen.cost.work


def observe(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Observation:
    """The work of one call, without gradients. Meta or fake tensors make it free of arithmetic and memory.

    >>> import costmodel, torch
    >>> costmodel.observe(torch.sigmoid, torch.empty(2, 3, device="meta")).cost.work
    Work(SIGMOID=6)
    """
    with torch.no_grad(), CountingMode() as listener:
        function(*args, **kwargs)
    return Observation(tuple(listener.operations))
