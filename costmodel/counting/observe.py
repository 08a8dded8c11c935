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
from fractions import Fraction
from functools import cached_property
from textwrap import shorten
from typing import Any

import torch
from torch._subclasses.fake_tensor import is_fake
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from costmodel.counting.memory import channels_last, workspace
from costmodel.counting.rules import BAGS, CONVOLUTIONS, DROPOUTS, FETCHES, KEEPS_DTYPE, OVERWRITES, SAME_TYPES, find
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


class CountingMode(TorchDispatchMode):  # type: ignore[no-untyped-call]  # untyped in torch
    """Records operations; ``path`` tells where they come from. With ``meta``, tensors with values that meet those
    without are taken for such."""

    def __init__(self, path: Callable[[], str] = lambda: "", meta: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in torch
        self.operations: list[Operation] = []
        self._path = path
        self._meta = meta
        self._live: dict[int, int] = {}  # bytes by storage
        self._there: list[torch.UntypedStorage] = []
        self._paused = False
        self.backward = False  # whether what comes is of the backward pass

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._paused:
            return func(*args, **kwargs)
        kind, rule = find(func)
        if kind == "unknown":
            if func.overloadpacket.__name__ in DROPOUTS and not args[2]:  # in evaluation: nothing happens
                return args[0]
            # In inference mode composite operations arrive whole: what they consist of has rules.
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        if self._meta:
            args, kwargs = _without_values(args, kwargs)
            if func._schema.name.removeprefix("aten::") in SAME_TYPES:
                _refuse_mixed_types(func, _tensors(args))
            out = _as_it_came(func, args) if not kwargs else None
            out = _laid_out(func(*args, **kwargs), func, args) if out is None else out
        else:
            out = func(*args, **kwargs)
        if kind == "free":
            return out
        events = rule(out, *args, **kwargs) if rule else _of_its_parts(func, args, kwargs)
        read = _tensors(args) + _tensors(kwargs.values()) if kwargs else _tensors(args)
        written = _tensors((out,))
        work = NOTHING.work if events is None else Work(events)
        reads = _bytes_read(func, read, written, kwargs.get("out"))
        cost = Cost(work, reads=reads, writes=_bytes(written), launches=1)
        shapes = tuple(tuple(tensor.shape) for tensor in read)
        shape = tuple(written[0].shape) if written else ()
        live = self._alive(written) if self._meta else 0
        blocks = self._meta and func._schema.name.removeprefix("aten::") in CONVOLUTIONS and not _symbolic(written)
        space = workspace(out, *args) if blocks else 0
        self.operations.append(
            Operation(str(func), cost, events is not None, self._path(), shapes, shape, self.backward, live, space)
        )
        return out

    def hold(self, tensors: Iterable[torch.Tensor]) -> None:
        """Tensors that were there before: what is written into them is no new memory."""
        self._there = [tensor.untyped_storage() for tensor in tensors]
        self._live |= {id(storage): 0 for storage in self._there}

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Operations inside are not recorded."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    def _alive(self, written: list[torch.Tensor]) -> int:
        """Bytes of all results that somebody still holds."""
        for tensor in written:
            storage = tensor.untyped_storage()
            size, key = storage.nbytes(), id(storage)
            if key not in self._live and isinstance(size, int):  # symbolic sizes are not followed
                self._live[key] = size
                weakref.finalize(storage, self._live.pop, key, None)
        return sum(self._live.values())


def _of_its_parts(func: Any, args: Any, kwargs: Any) -> Work | None:
    """The work of an operation without a rule, by torch's own decomposition, if each part has a rule. The operation
    is still one kernel, which reads its arguments and writes its results."""
    from torch._decomp import decomposition_table

    if func not in decomposition_table or func.namespace != "aten":
        return None
    given, named = tree_map_only(torch.Tensor, lambda t: t if is_fake(t) else t.to("meta"), (args, kwargs))
    try:
        with CountingMode(meta=True) as listener:
            decomposition_table[func](*given, **named)
    except (RuntimeError, TypeError):  # some want values, or do not know every use: then nothing is known
        return None
    seen = Observation(tuple(listener.operations))
    return None if seen.uncounted else seen.cost.work


def _without_values(args: Any, kwargs: Any) -> Any:
    """Meta tensors in the place of all others, if there is a meta one."""
    tensors = _tensors(args) + _tensors(kwargs.values())
    kinds = {tensor.device.type for tensor in tensors}
    if "meta" not in kinds or len(kinds) == 1:
        return args, kwargs
    return tree_map_only(torch.Tensor, lambda t: t if t.device.type == "meta" else t.to("meta"), (args, kwargs))


def _as_it_came(func: Any, args: Any) -> torch.Tensor | None:
    """The result of an elementwise operation on meta tensors where it is plain what it looks like: torch's own way to
    find that out takes most of a run."""
    first, name = args[0] if args else None, func.overloadpacket.__name__
    if not isinstance(first, torch.Tensor) or torch.is_grad_enabled():
        return None
    if name == "batch_norm" and not args[5] and first.dim() > 1 and args[3].shape[0] == first.shape[1]:
        return torch.empty_like(first)
    resized = name.startswith("upsample_") and not name.endswith("_backward")
    if resized and (isinstance(args[1], list | tuple) or func._overloadname == "vec"):
        given = args[1] if args[1] is not None else _scaled(first.shape[2:], args[-1])
        sides = (*first.shape[:2], *given)
        shape = torch.channels_last if channels_last(first) else torch.contiguous_format
        return torch.empty(sides, dtype=first.dtype, device="meta", memory_format=shape)
    if torch.Tag.pointwise not in func.tags:
        return None
    others = [each for each in args[1:] if isinstance(each, torch.Tensor)]
    if not all(isinstance(each, torch.Tensor | bool | int | float | str) for each in args[1:]):
        return None
    alike = all(each.shape == first.shape and each.dtype == first.dtype for each in others)
    if not alike or any(each.stride() != first.stride() for each in others):
        return None
    if name.endswith("_") and first.dtype.is_floating_point:
        return first
    return torch.empty_like(first) if name in KEEPS_DTYPE and first.dtype.is_floating_point else None


def _symbolic(tensors: list[torch.Tensor]) -> bool:
    return any(isinstance(side, torch.SymInt) for each in tensors for side in each.shape)


def _refuse_mixed_types(func: Any, tensors: list[torch.Tensor]) -> None:
    """Integers with others: what every device but meta refuses. Floats of two types may be autocast's, which does
    nothing on meta tensors."""
    types = dict.fromkeys(tensor.dtype for tensor in tensors)
    if len({each.is_floating_point or each.is_complex for each in types}) > 1:
        names = " and ".join(str(each).removeprefix("torch.") for each in types)
        raise TypeError(f"{func._schema.name.removeprefix('aten::')} of {names}: expected the same type")


def _laid_out(out: Any, func: Any, args: Any) -> Any:
    """The result of a convolution of maps or weights with channels last is such a map, on every device but meta."""
    if func._schema.name.removeprefix("aten::") not in CONVOLUTIONS or _symbolic([out]):
        return out
    last = any(each.dim() == 4 and channels_last(each) for each in args[:2])
    return torch.empty_like(out, memory_format=torch.channels_last) if last else out


def _scaled(sides: Any, factors: Any) -> list[Any]:
    """Sides times factors, rounded down: numbers as torch does it, symbols by the fraction that a factor stands for."""

    def scaled(side: Any, factor: float) -> Any:
        exact = Fraction(factor).limit_denominator(4096)
        return int(side * factor) if isinstance(side, int) else side * exact.numerator // exact.denominator

    return [scaled(side, factor) for side, factor in zip(sides, factors, strict=True)]


def _tensors(values: Iterable[Any]) -> list[torch.Tensor]:
    """The tensors among arguments, and in lists of them."""
    found: list[torch.Tensor] = []
    for value in values:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += [each for each in value if isinstance(each, torch.Tensor)]
    return found


def _bytes(tensors: list[torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _bytes_read(func: Any, read: list[torch.Tensor], written: list[torch.Tensor], out: Any) -> int:
    """Bytes of the arguments; of a table, those of the rows that are fetched; none of what is only written to."""
    name = func._schema.name.removeprefix("aten::")
    if name in BAGS:
        table, indices = read[:2]
        return indices.numel() * table[0].numel() * table.element_size() + _bytes(read[1:])
    if name in FETCHES:
        return _bytes([*written, *read[1:]])
    if name in OVERWRITES:
        return _bytes(read[1:])
    return _bytes(read) - _bytes(_tensors((out,)) if out is not None else [])


def observe(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Observation:
    """The work of one call, without gradients. Meta or fake tensors make it free of arithmetic and memory.

    >>> import costmodel, torch
    >>> costmodel.observe(torch.sigmoid, torch.empty(2, 3, device="meta")).cost.work
    Work(SIGMOID=6)
    """
    with torch.no_grad(), CountingMode() as listener:
        function(*args, **kwargs)
    return Observation(tuple(listener.operations))
