"""Tensors without values that behave as if they were on a CPU, beside tensors whose values are known.

Weights and activations are shadows: nothing is computed and no memory is taken. Masks, indices, lengths and small
constants are ordinary tensors with values, because such values decide which operations run. An operation on known
tensors alone runs as it is; an operation on a shadow gives shadows.
"""

import threading
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any
from weakref import WeakValueDictionary, finalize

import torch
from torch.nn import init
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map_only

from costmodel.counting import compiler
from costmodel.counting.attention import name_of
from costmodel.counting.memory import channels_last
from costmodel.counting.results import MADE
from costmodel.counting.rules import CONVOLUTIONS, KEEPS_DTYPE, SAME_TYPES
from costmodel.errors import InvalidInput

CPU, META = torch.device("cpu"), torch.device("meta")
MOST_WHOLE = 1 << 22  # elements of integers or booleans whose values are kept
MOST_FLOATS = 1 << 12  # elements of a floating-point constant whose values are kept

# Factories whose values do not depend on the values of their first argument, with the place of the value.
_LIKE = {"zeros_like": 0, "new_zeros": 0, "ones_like": 1, "new_ones": 1, "full_like": 1, "new_full": 2}
# Their results depend on values that a shadow lacks.
_READERS = frozenset({"_local_scalar_dense", "is_nonzero", "nonzero", "equal", "bincount"})
_READERS |= {"argwhere", "nonzero_numpy"}
_READERS |= {"unique_dim", "_unique2", "unique_consecutive", "unique_dim_consecutive"}


class NeedsValues(RuntimeError):
    """An operation reads a value that a shadow lacks."""


class _Here(threading.local):
    inside = False  # while a kernel for meta tensors runs, in this thread


_here = _Here()


class Shadow(torch.Tensor):
    """A meta tensor that says that it is on a CPU. ``Shadow(meta)`` shares the storage of ``meta``."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, meta: torch.Tensor) -> Any:
        return torch.Tensor._make_subclass(
            cls, meta, meta.requires_grad, dispatch_device=True, device_for_backend_keys=CPU
        )

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        if func is torch.ops.prim.device.default:
            return META if _here.inside else CPU
        return wrapped(in_kernel(func, args, kwargs or {}))

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return META if _here.inside else CPU

    @property
    def is_cpu(self) -> bool:  # type: ignore[override]
        return True

    @property
    def is_meta(self) -> bool:  # type: ignore[override]
        return _here.inside

    def _values(self, *args: Any, **kwargs: Any) -> Any:
        raise NeedsValues("the values of a tensor that is counted without values")

    numpy = tolist = __array__ = _values

    def __repr__(self, **_: Any) -> str:  # type: ignore[override]
        return f"<Shadow: {'x'.join(map(str, self.shape)) or 'scalar'} {self.dtype}>"

    def __deepcopy__(self, memo: Any) -> torch.Tensor:
        return self.clone()


def in_kernel(func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Call an operation's kernel for meta tensors; shadows count as meta tensors there."""
    before = _here.inside
    with compiler.not_imported(), torch._C._DisableTorchDispatch(), torch._C._PreserveDispatchKeyGuard():
        torch._C._set_meta_in_tls_dispatch_include(True)
        _here.inside = True
        try:
            return func(*args, **kwargs)
        finally:
            _here.inside = before


def wrapped(out: Any) -> Any:
    """Shadows in the place of plain tensors."""
    if type(out) is torch.Tensor:
        return Shadow(out)
    if isinstance(out, list | tuple):
        return type(out)(wrapped(each) for each in out)
    return out


def meta_of(tensor: torch.Tensor) -> torch.Tensor:
    """A meta tensor with the sizes, strides and type of a tensor, and a storage of its own."""
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=META)


def storage_of(tensor: torch.Tensor) -> Any:
    """The storage of a tensor; None for sparse and jagged ones, which consist of others."""
    if tensor.layout is not torch.strided:
        return None
    if tensor.is_nested:
        raise InvalidInput("nested tensors of layout strided have no sizes: make them with layout=torch.jagged")
    return tensor.untyped_storage()


def worth_knowing(tensor: torch.Tensor, most_floats: int = MOST_FLOATS) -> bool:
    """True for integers and booleans, and for small constants of another type."""
    inexact = tensor.dtype.is_floating_point or tensor.dtype.is_complex
    return tensor.numel() <= (most_floats if inexact else MOST_WHOLE)


class Shadows:
    """Runs operations on shadows and on known tensors, and gives back what others own."""

    def __init__(self) -> None:
        self._own: set[int] = set()  # storages with values that were made during the run
        self._lost: set[int] = set()  # storages whose values were overwritten by those of a shadow
        self._instead: WeakValueDictionary[int, torch.UntypedStorage] = WeakValueDictionary()  # storages of lost ones
        self._before: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}
        self._places_before: dict[int, tuple[torch.Tensor, Any, Any, Any, Any]] = {}
        self._gradients: dict[int, tuple[torch.Tensor, Any]] = {}
        self._made: dict[Any, Any] = {}  # the looks of results, by those of arguments

    def known(self, tensor: torch.Tensor) -> bool:
        """True for a tensor whose values are known."""
        if type(tensor) is Shadow:
            return False
        if tensor.device.type != "cpu" or (storage := storage_of(tensor)) is None:
            return tensor.device.type == "cpu"
        place = storage._cdata
        if place in self._lost:
            return False
        if place in self._own:
            return True
        if tensor.requires_grad and tensor.is_leaf:
            self._gradients.setdefault(id(tensor), (tensor, tensor.grad))
        return not tensor.requires_grad and worth_knowing(tensor)

    def own(self, tensors: Iterable[torch.Tensor]) -> None:
        """Tensors that were made for the run: nobody misses their values afterwards."""
        for each in tensors:
            if type(each) is not Shadow and (storage := storage_of(each)) is not None:
                _noted(self._own, storage)

    def run(self, func: Any, args: Any, kwargs: Any, tensors: list[torch.Tensor]) -> Any:
        """The result of an operation; ``tensors`` are those among its arguments."""
        if all(map(self.known, tensors)):
            return self._on_known(func, args, kwargs, tensors)
        return self._on_shadows(func, args, kwargs, tensors)

    def _on_known(self, func: Any, args: Any, kwargs: Any, tensors: list[torch.Tensor]) -> Any:
        if "device" in kwargs:
            kwargs = {**{name: value for name, value in kwargs.items() if name != "pin_memory"}, "device": CPU}
        if not tensors and (shadow := self._large(func, args, kwargs)) is not None:
            return shadow
        if _mutable(func):
            self._remember(_written(func, args, kwargs))
        with _disable_current_modes():
            out = func(*args, **kwargs)
        made = _tensors_of(out)
        # A view belongs to the tensor that it shows.
        fresh = [each for each in made if not any(_shared(each, other) for other in tensors)]
        self.own(fresh)
        if len(made) == 1 and fresh and tensors and not worth_knowing(made[0], 1 << 16):
            return Shadow(meta_of(made[0]))
        return out

    def _large(self, func: Any, args: Any, kwargs: Any) -> Any:
        """The result of a factory as a shadow, unless its values are worth knowing."""
        if not any(each.name == "device" for each in func._schema.arguments):
            return None
        with _disable_current_modes():
            out = func(*args, **{**kwargs, "device": META})
        if not isinstance(out, torch.Tensor):
            return None
        random = torch.Tag.nondeterministic_seeded in func.tags and out.dtype.is_floating_point
        if worth_knowing(out) and not random:
            return None
        return Shadow(out)

    def _on_shadows(self, func: Any, args: Any, kwargs: Any, tensors: list[torch.Tensor]) -> Any:
        name = name_of(func)
        if name in SAME_TYPES:
            _refuse_mixed_types(name, tensors)
        if name in FILLS and type(args[0]) is Shadow:
            return args[0]
        if not kwargs and (out := _as_it_came(func, name, args)) is not None:
            return out if out is args[0] else Shadow(out)
        if not kwargs and (plain := PLAIN.get(name)) and (out := plain(name, *args)) is not None:
            return wrapped(out)
        if name in _READERS or (name == "where" and len(args) == 1):
            raise NeedsValues(name)
        if make := _SIZED_BY_VALUES.get(name):
            return make(self, *args, **kwargs)
        if instead := MADE.get(name):
            return wrapped(instead(*args, **kwargs))
        alike = all(type(each) is Shadow for each in tensors)
        key = _looks(func, args, kwargs) if alike else None
        if key is not None and (looks := self._made.get(key)) is not None:
            return wrapped(_anew(looks))
        if name in ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put"):
            args = (args[0], self._places(args[1]), *args[2:])
        if any(each.layout is not torch.strided for each in tensors):
            args, kwargs = tree_map_only(torch.Tensor, _dense_shadow, (args, kwargs))
        back: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

        def without_values(tensor: torch.Tensor) -> torch.Tensor:
            if type(tensor) is Shadow or tensor.device.type == "meta":
                return tensor
            made = self._stand_in(tensor)
            back[id(made)] = tensor, made  # what is alive keeps its number
            return made

        given, named = args, kwargs
        if not alike:
            given, named = tree_map_only(torch.Tensor, without_values, (args, kwargs))
        if "device" in named:
            named = {**named, "device": META}
        out = _as_wanted(in_kernel(func, given, named), func, args, kwargs)
        if _mutable(func):
            for tensor, made in back.values():
                if made.shape != tensor.shape:  # an empty result that takes the size that it needs
                    self._remember([tensor])
                    with _disable_current_modes():
                        sized = torch.empty_strided(made.shape, made.stride(), dtype=tensor.dtype)
                        tensor.set_(sized.untyped_storage(), 0, made.shape, made.stride())
            self._lose(_written(func, args, kwargs))
            if isinstance(out, torch.Tensor) and id(out) in back:
                return back[id(out)][0]
        if name in _LIKE and worth_knowing(out):
            value = args[1] if name == "full_like" else args[2] if name == "new_full" else _LIKE[name]
            with _disable_current_modes():
                filled = torch.empty_strided(out.shape, out.stride(), dtype=out.dtype).fill_(value)
            self.own([filled])
            return filled
        out = _laid_out(out, args) if name in CONVOLUTIONS else out
        if key is not None and (looks := _result_looks(out, tensors)) is not None:
            self._made[key] = looks
        return wrapped(out)

    def _stand_in(self, tensor: torch.Tensor) -> torch.Tensor:
        """A meta tensor in the place of one with values: views of a tensor whose values are lost share a storage, which
        knows whose memory that is."""
        storage = storage_of(tensor)
        if storage is None or storage._cdata not in self._lost:
            return meta_of(tensor)
        instead = self._instead.get(storage._cdata)
        if instead is None:
            with _disable_current_modes():
                instead = torch.empty(storage.nbytes(), dtype=torch.uint8, device=META).untyped_storage()
            self._instead[storage._cdata] = instead
            instead._memory_of = storage  # type: ignore[attr-defined]  # alive as long as a view is
        with _disable_current_modes():
            made = torch.empty(0, dtype=tensor.dtype, device=META)
            return made.set_(instead, tensor.storage_offset(), tensor.shape, tensor.stride())

    def _places(self, indices: Any) -> list[Any]:
        """Boolean masks among indices as the places where they are true."""
        places: list[Any] = []
        for each in indices:
            if each is not None and each.dtype in (torch.bool, torch.uint8):
                if not self.known(each):
                    raise NeedsValues("index with a mask")
                with _disable_current_modes():
                    places += each.nonzero(as_tuple=True)
            else:
                places.append(each)
        return places

    def _lose(self, tensors: list[torch.Tensor]) -> None:
        for each in tensors:
            if type(each) is not Shadow and (storage := storage_of(each)) is not None:
                _noted(self._lost, storage)

    def _remember(self, tensors: list[torch.Tensor]) -> None:
        """Values and sizes of others, before the first write."""
        for each in tensors:
            storage = storage_of(each)
            if storage is None or storage._cdata in self._own:
                continue
            place = each, storage, each.storage_offset(), each.shape, each.stride()
            self._places_before.setdefault(id(each), place)
            if storage._cdata not in self._before:
                with _disable_current_modes():
                    self._before[storage._cdata] = storage, storage.clone()

    def run_real(self, func: Any, args: Any, kwargs: Any, tensors: list[torch.Tensor]) -> Any:
        """The result of an operation on tensors that all have values."""
        for each in tensors:
            if each.requires_grad and each.is_leaf and id(each) not in self._gradients and not self._owns(each):
                self._gradients[id(each)] = (each, each.grad)
        if func._schema.is_mutable:
            self._remember(_written(func, args, kwargs))
        out = func(*args, **kwargs)
        self.own(each for each in _tensors_of(out) if not any(_shared(each, other) for other in tensors))
        return out

    def _owns(self, tensor: torch.Tensor) -> bool:
        storage = storage_of(tensor)
        return storage is not None and storage._cdata in self._own

    def give_back(self) -> None:
        """The values and gradients that others had before the run."""
        with _disable_current_modes(), torch.no_grad():
            for storage, values in self._before.values():
                if storage.nbytes() != values.nbytes():
                    storage.resize_(values.nbytes())
                storage.copy_(values)
            for tensor, *place in self._places_before.values():
                if tensor.shape != place[2] or tensor.untyped_storage()._cdata != place[0]._cdata:
                    tensor.set_(*place)
            for tensor, gradient in self._gradients.values():
                tensor.grad = gradient


class WithoutMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]  # untyped in torch
    """Tensors that are made are shadows, unless their values are worth knowing."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in torch
        self._shadows = Shadows()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __enter__(self) -> Any:
        """Truncated normal values are drawn until all of them lie within bounds, which those of shadows never do."""
        self._truncated = draw = init._no_grad_trunc_normal_

        def drawn(tensor: torch.Tensor, *bounds: Any, **options: Any) -> torch.Tensor:
            return tensor if type(tensor) is Shadow else draw(tensor, *bounds, **options)

        init._no_grad_trunc_normal_ = drawn
        return super().__enter__()  # type: ignore[no-untyped-call]  # untyped in torch

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]  # untyped in torch
        init._no_grad_trunc_normal_ = self._truncated

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.prim.device.default:
            return args[0].device
        tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
        return self._shadows.run(func, args, kwargs or {}, tensors)


@cache
def _mutable(func: Any) -> bool:
    return bool(func._schema.is_mutable)


@cache
def _plain(func: Any) -> bool:
    """True for an operation of torch's own that neither writes into arguments nor gives views of them, as it says."""
    schema = func._schema
    return func.namespace == "aten" and all(each.alias_info is None for each in (*schema.arguments, *schema.returns))


def _looks(func: Any, args: Any, kwargs: Any) -> Any:
    """All that results of an operation on shadows depend on; None where that is not known."""
    if not _plain(func):
        return None
    found = [func, torch.get_default_dtype()]
    for value in (*args, *kwargs.items()):
        if isinstance(value, list | tuple):
            parts, found = value, [*found, len(value)]
        else:
            parts = (value,)
        for each in parts:
            if type(each) is Shadow:
                if each.layout is not torch.strided or each.dtype.is_complex:
                    return None
                found += each.shape, each.stride(), each.dtype
            elif type(each) in _LEAVES:  # with the type: 1 is equal to 1.0 and to True
                found += type(each), each
            else:
                return None
    return tuple(found)


_LEAVES = frozenset(
    {bool, int, float, str, type(None), torch.dtype, torch.device, torch.memory_format, torch.layout}
)  # fmt: skip


def _result_looks(out: Any, given: list[torch.Tensor]) -> Any:
    """Shapes, strides and types of results, if each has a memory of its own; else None."""
    several = isinstance(out, list | tuple)
    results = list(out) if several else [out]
    tensors = [each for each in results if each is not None]
    if not tensors or not all(type(each) is torch.Tensor and each.layout is torch.strided for each in tensors):
        return None
    storages = [each.untyped_storage() for each in tensors]
    places = {each._cdata for each in storages}
    if len(places) < len(tensors) or any(each.untyped_storage()._cdata in places for each in given):
        return None
    if any(
        each.nbytes() != meta_of(one).untyped_storage().nbytes() for each, one in zip(storages, tensors, strict=True)
    ):
        return None
    looks = [None if each is None else (each.shape, each.stride(), each.dtype) for each in results]
    return (type(out) if several else None), looks


def _anew(looks: Any) -> Any:
    """Results that look so."""
    kind, each = looks
    made = [None if one is None else torch.empty_strided(one[0], one[1], dtype=one[2], device=META) for one in each]
    return made[0] if kind is None else kind(made)


def _written(func: Any, args: Any, kwargs: Any) -> list[torch.Tensor]:
    """The arguments that an operation overwrites."""
    found: list[torch.Tensor] = []
    for place, each in enumerate(func._schema.arguments):
        if each.alias_info is not None and each.alias_info.is_write:
            value = kwargs.get(each.name) if each.kwarg_only or place >= len(args) else args[place]
            found += _tensors_of(value)
    return found


def _as_wanted(out: Any, func: Any, args: Any, kwargs: Any) -> Any:
    """The gradients that an operation is to give, and no statistics that it is given; kernels for meta tensors give all
    of them."""
    if func is torch.ops.aten.native_batch_norm.default and not args[5]:
        return (out[0], *(each.new_empty(0) for each in out[1:]))
    arguments = func._schema.arguments
    if not isinstance(out, tuple) or not arguments or arguments[-1].name != "output_mask":
        return out
    mask = kwargs["output_mask"] if "output_mask" in kwargs else args[len(arguments) - 1]
    if func._schema.name.startswith("aten::grid_sampler_"):  # that of the grid always comes
        mask = [mask[0], True]
    return tuple(each if wanted else None for each, wanted in zip(out, mask, strict=True))


def _tensors_of(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    return [each for each in value if isinstance(each, torch.Tensor)] if isinstance(value, list | tuple) else []


def _noted(places: set[int], storage: torch.UntypedStorage) -> None:
    """Note a storage for as long as it is there: another one may get its place."""
    if storage._cdata not in places:
        places.add(storage._cdata)
        finalize(storage, places.discard, storage._cdata).atexit = False


def _shared(a: torch.Tensor, b: torch.Tensor) -> bool:
    first, second = storage_of(a), storage_of(b)
    return a is b if first is None or second is None else bool(first._cdata == second._cdata)


# ---- results without a kernel ----------------------------------------------------------------------------------------


def _selected(shadows: Shadows, x: Any, mask: Any) -> Any:
    """masked_select."""
    if not shadows.known(mask):
        raise NeedsValues("masked_select")
    with _disable_current_modes():
        shape = torch.broadcast_shapes(x.shape, mask.shape)  # type: ignore[no-untyped-call]
        return Shadow(torch.empty(int(mask.expand(shape).sum()), dtype=x.dtype, device=META))


def _packed(shadows: Shadows, x: Any, lengths: Any, batch_first: bool) -> Any:
    """_pack_padded_sequence: the steps of all sequences, and the number of sequences at each step."""
    if not shadows.known(lengths):
        raise NeedsValues("pack_padded_sequence")
    with _disable_current_modes():
        steps = int(lengths.max())
        sizes = (lengths[None] > torch.arange(steps)[:, None]).sum(1)
        made = torch.empty(int(lengths.sum()), *x.shape[2:], dtype=x.dtype, device=META)
    shadows.own([sizes])
    return Shadow(made), sizes


def _unpacked(shadows: Shadows, grad: Any, sizes: Any, *rest: Any) -> Any:
    """_pack_padded_sequence_backward."""
    with _disable_current_modes():
        return Shadow(torch.empty(list(sizes), dtype=grad.dtype, device=META))


_SIZED_BY_VALUES: dict[str, Callable[..., Any]] = {
    "masked_select": _selected,
    "_pack_padded_sequence": _packed,
    "_pack_padded_sequence_backward": _unpacked,
}


def _dense_shadow(tensor: torch.Tensor) -> Any:
    """A shadow with the shape of a sparse matrix."""
    if tensor.layout is torch.strided:
        return tensor
    with _disable_current_modes():
        return Shadow(torch.empty(tensor.shape, dtype=tensor.dtype, device=META))


# Operations that fill a tensor with random numbers, as weights are initialised: nothing of a tensor without values
# changes. torch's own way imports its distributed tensors for that, which takes half as long as torch.
FILLS = ("uniform_", "normal_", "random_", "bernoulli_", "exponential_", "cauchy_", "log_normal_", "geometric_")


def _as_it_came(func: Any, name: str, args: Any) -> torch.Tensor | None:
    """The result of an operation where it is plain what it looks like: torch's own way to find that out takes most of a
    run."""
    first = args[0] if args else None
    if type(first) is not Shadow:
        return None
    if not first.is_contiguous() and not channels_last(first):  # strides of a part are not those of a result
        return None
    if name == "batch_norm" and not args[5] and first.dim() > 1 and args[3].shape[0] == first.shape[1]:
        return meta_of(first)
    if (out := _resized(func, args)) is not None:
        return out
    if name in CONVOLUTIONS and (out := _convolved(name, *args)) is not None:
        return out
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
    dense = first.is_contiguous() or channels_last(first)  # else the result is laid out anew
    return meta_of(first) if dense and name in KEEPS_DTYPE and first.dtype.is_floating_point else None


def _of_rows(name: str, x: Any, second: Any, weight: Any = None, bias: Any = None, *rest: Any) -> Any:
    """The results of a linear layer or a norm of whole rows, unless something is unusual."""
    usual = type(x) is Shadow and x.dim() > 1 and x.numel() and x.is_contiguous() and x.dtype == torch.float32
    if not usual:
        return None
    if name == "linear":
        fits = second.dim() == 2 and second.shape[1] == x.shape[-1] and second.dtype == x.dtype
        if not fits or (weight is not None and (weight.shape != second.shape[:1] or weight.dtype != x.dtype)):
            return None
        return torch.empty((*x.shape[:-1], second.shape[0]), dtype=x.dtype, device=META)
    rows, shape = x.shape[: x.dim() - len(second)], tuple(second)
    given = [each for each in (weight, bias) if each is not None]
    if x.shape[len(rows) :] != shape or any(each.shape != shape or each.dtype != x.dtype for each in given):
        return None
    statistics = (*rows, *(1 for _ in shape))
    return meta_of(x), *(torch.empty(statistics, dtype=x.dtype, device=META) for _ in range(2))


def _joined(name: str, parts: Any, dim: int = 0) -> torch.Tensor | None:
    """The result of ``cat``, unless something is unusual: maps or rows that lie one after the other in memory."""
    if not all(type(each) is Shadow and each.dim() > 1 and each.is_contiguous() for each in parts):
        return None
    first = parts[0]
    if not -first.dim() <= dim < first.dim():
        return None
    place = dim % first.dim()
    rests = {(each.dtype, *each.shape[:place], *each.shape[place + 1 :]) for each in parts}
    # A map of one channel or one place lies in memory both ways.
    plain = all(each.shape[1] > 1 and max(each.shape[2:], default=2) > 1 for each in parts)
    if len(rests) != 1 or not plain or any(each.dim() != first.dim() for each in parts):
        return None
    shape = list(first.shape)
    shape[place] = sum(each.shape[place] for each in parts)
    return torch.empty(shape, dtype=first.dtype, device=META)


def _resized(func: Any, args: Any) -> torch.Tensor | None:
    """The result of a resize, whose kernels for meta tensors want numbers for factors."""
    name = name_of(func)
    if not name.startswith("upsample_") or name.endswith("_backward"):
        return None
    if not (isinstance(args[1], list | tuple) or func._overloadname == "vec"):
        return None
    first = args[0]
    given = (
        args[1]
        if args[1] is not None
        else [int(side * factor) for side, factor in zip(first.shape[2:], args[-1], strict=True)]
    )
    layout = torch.channels_last if channels_last(first) else torch.contiguous_format
    return torch.empty((*first.shape[:2], *given), dtype=first.dtype, device=META, memory_format=layout)


def _averaged(name: str, x: Any, sides: Any) -> torch.Tensor | None:
    """The averages of a map in as many places as wanted."""
    if type(x) is not Shadow or x.dim() != 4 or not x.is_contiguous() or not x.numel() or min(sides) < 1:
        return None
    return torch.empty((*x.shape[:2], *sides), dtype=x.dtype, device=META)


def _pooled(
    name: str, x: Any, kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil: bool = False
) -> Any:
    """The largest numbers of windows, with indices also their places, unless something is unusual."""
    kernels, pads, gaps = (_of_all(each, 2) for each in (kernel, padding, dilation))
    steps = _of_all(stride, 2) if stride not in ((), []) else kernels
    plain = type(x) is Shadow and x.dim() == 4 and x.numel() and (x.is_contiguous() or channels_last(x))
    if not plain or ceil or max(gaps) > 1 or any(2 * pad > side for pad, side in zip(pads, kernels, strict=True)):
        return None
    windows = zip(x.shape[2:], kernels, steps, pads, strict=True)
    sides = [(side + 2 * pad - kernel) // step + 1 for side, kernel, step, pad in windows]
    if min(sides) < 1:
        return None  # torch says why
    layout = torch.channels_last if channels_last(x) else torch.contiguous_format
    largest, places = (
        torch.empty((*x.shape[:2], *sides), dtype=kind, device=META, memory_format=layout)
        for kind in (x.dtype, torch.int64)
    )
    return largest if name == "max_pool2d" else (largest, places)


def _shuffled(name: str, x: Any, groups: Any) -> torch.Tensor | None:
    """The result of a channel shuffle, which keeps channels last on every device but meta."""
    plain = type(x) is Shadow and x.dim() == 4 and (x.is_contiguous() or channels_last(x))
    return meta_of(x) if plain and groups > 0 and x.shape[1] % groups == 0 else None


def _convolved(
    name: str, x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, *rest: Any
) -> torch.Tensor | None:
    """The result of a convolution, unless something is unusual: a batch and channels, a side for each dimension."""
    count = weight.dim() - 2
    transposed = rest[0] if name == "convolution" else name.startswith("conv_transpose")
    groups = rest[-1] if rest else 1
    usual = x.dim() == weight.dim() and isinstance(groups, int) and x.shape[1] == weight.shape[1] * groups
    if transposed or not usual or isinstance(padding, str) or (bias is not None and bias.shape != weight.shape[:1]):
        return None
    steps, more, gaps = (_of_all(each, count) for each in (stride, padding, dilation))
    kernel = weight.shape[2:]
    sides = [
        (side + 2 * pad - gap * (size - 1) - 1) // step + 1
        for side, size, step, pad, gap in zip(x.shape[2:], kernel, steps, more, gaps, strict=True)
    ]
    if min(sides, default=0) < 1 or weight.shape[0] % groups:
        return None
    last = channels_last(x) or channels_last(weight)
    layout = torch.channels_last if last else torch.contiguous_format
    return torch.empty((x.shape[0], weight.shape[0], *sides), dtype=x.dtype, device=META, memory_format=layout)


def _of_all(sizes: Any, count: int) -> list[int]:
    """A size for each dimension."""
    each = [sizes] if isinstance(sizes, int) else list(sizes)
    return each * count if len(each) == 1 else each


def _laid_out(out: Any, args: Any) -> Any:
    """The result of a convolution of maps or weights with channels last is such a map, on every device but meta."""
    last = any(each.dim() == 4 and channels_last(each) for each in args[:2])
    return torch.empty_like(out, memory_format=torch.channels_last) if last else out


def _refuse_mixed_types(name: str, tensors: list[torch.Tensor]) -> None:
    """Factors of different types, which every device but meta refuses."""
    types = dict.fromkeys(tensor.dtype for tensor in tensors)
    if len(types) > 1:
        names = " and ".join(str(each).removeprefix("torch.") for each in types)
        raise TypeError(f"{name} of {names}: expected the same type")


# What the results of these look like is plain, unless something is unusual: then None.
PLAIN: dict[str, Callable[..., Any]] = {
    "linear": _of_rows,
    "native_layer_norm": _of_rows,
    "adaptive_avg_pool2d": _averaged,
    "_adaptive_avg_pool2d": _averaged,
    "max_pool2d": _pooled,
    "max_pool2d_with_indices": _pooled,
    "cat": _joined,
    "channel_shuffle": _shuffled,
}
