"""Calls of operators on tensors made for them: each alone, with its arguments in a cache (hot) or in none (cold).

Arguments are parts of a large memory with random numbers, which is written once: many calls are made in little time.
"""

import statistics
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import cycle
from typing import Any, Literal, TypeAlias

import torch

from costmodel.errors import InvalidInput
from costmodel.measure.clock import Clock, Step, WallClock, settle
from costmodel.work.call import ITEM_BYTES, Argument, Call, Tensor

State: TypeAlias = Literal["hot", "cold"]  # the arguments lie in a cache, or in none
FOOTPRINT = 96 << 20  # bytes of arguments that rotate, to be more than the last cache holds
MOST_COPIES = 200
MOST_BYTES = 2 << 30  # of the arguments of one call
LINE = 64  # bytes at which a tensor starts, as torch's do

# In place an operator finds its result where its argument was, and would go on to nothing or to infinity. So the
# argument starts where it stays or comes to rest: at this number (None: at random ones), with this one in others.
_AT_REST: Mapping[str, tuple[float | None, float | None]] = {
    **dict.fromkeys(("silu_", "gelu_", "hardswish_", "mish_", "selu_", "celu_"), (0.0, None)),
    **dict.fromkeys(("mul_", "div_", "pow_", "addcmul_", "addcdiv_"), (0.0, 1.0)),
    **dict.fromkeys(
        ("add_", "sub_", "addmm_", "addbmm_", "baddbmm_", "addmv_", "addr_", "index_add_", "scatter_add_",
         "index_put_", "_index_put_impl_"),
        (None, 0.0),
    ),
    **dict.fromkeys(
        ("relu_", "hardtanh_", "clamp_", "clamp_min_", "clamp_max_", "threshold_", "leaky_relu_", "elu_", "abs_",
         "neg_", "sigmoid_", "tanh_", "hardsigmoid_", "sqrt_", "reciprocal_", "round_", "floor_", "ceil_", "sign_",
         "sin_", "cos_", "erf_", "fill_", "zero_", "copy_", "masked_fill_", "index_copy_", "index_fill_", "scatter_",
         "uniform_", "normal_", "tril_", "triu_"),
        (None, None),
    ),
}  # fmt: skip

# The size whose places an argument of whole numbers names, by the operator and the position of the argument.
_PLACES: Mapping[tuple[str, int], Callable[[Any], int]] = {
    ("embedding", 1): lambda args: args[0].shape[0],
    ("take", 1): lambda args: args[0].elements,
    **{
        (name, 2): lambda args: args[0].shape[args[1]] if args[0].shape else 1
        for name in ("index_select", "gather", "index_add", "index_copy", "index_fill", "scatter", "scatter_add")
    },
}
# Whole numbers tell them how much there is to do.
_BY_VALUES = (
    *("_embedding_bag", "_embedding_bag_forward_only", "_pack_padded_sequence", "_pad_packed_sequence", "_grouped_mm"),
    *("_ctc_loss", "segment_reduce", "bincount", "nonzero", "masked_select", "repeat_interleave"),
)
_INDEXED = ("index", "index_put", "_index_put_impl", "_unsafe_index", "_unsafe_index_put")  # by a list


def make(call: Call, seed: int = 0, device: str = "cpu") -> Step:
    """A function that makes the call on tensors of its own, the same numbers for the same seed, in inference mode.
    `InvalidInput` for what cannot be called again."""
    replay = _Replay(call, device)
    replay.try_out(step := replay.copy(_Memory(device, seed)))
    return step


def hot(call: Call, device: str = "cpu") -> Step:
    """A function that makes the call on the same arguments again and again: caches hold them, where they fit."""
    replay, memory = _Replay(call, device), _shared(device)
    memory.reserve(replay, 1)
    replay.try_out(step := replay.copy(memory))
    return step


def cold(call: Call, footprint_bytes: int = FOOTPRINT, device: str = "cpu") -> Step:
    """A function that makes the call on other arguments from time to time, so that no cache holds them: they rotate
    through 2 to 200 copies of ``footprint_bytes`` together; 200 copies of few bytes stay in a cache all the same."""
    replay, memory = _Replay(call, device), _shared(device)
    size = max(1, sum(each.bytes for each in call.tensors))
    copies = min(MOST_COPIES, max(2, -(-footprint_bytes // size)))
    memory.reserve(replay, copies)
    steps = [replay.copy(memory) for _ in range(copies)]
    replay.try_out(steps[0])
    turn = cycle(steps)
    return lambda: next(turn)()


def seconds(call: Call, state: State, clock: Clock | None = None, least: float = 0.05, device: str = "cpu") -> float:
    """Seconds of the call alone: the median of five turns, which take about ``least`` seconds together."""
    step, clock = hot(call, device) if state == "hot" else cold(call, device=device), clock or WallClock()
    with torch.inference_mode():
        once = min(settle(clock, step, seconds=least)[1:])
        calls = max(1, round(least / 5 / max(once, 1e-7)))
        return statistics.median(clock(step, calls) for _ in range(5))


class _Memory:
    """Random numbers, of which tensors are parts one after the other."""

    def __init__(self, device: str, seed: int = 0) -> None:
        self.device = device
        self.random = torch.Generator(device).manual_seed(seed)
        self._numbers: dict[str, torch.Tensor] = {}  # by dtype
        self._used: dict[str, int] = {}

    def reserve(self, replay: "_Replay", copies: int) -> None:
        """Start again at the first number, with numbers for so many copies of the arguments."""
        self._used = {}
        for dtype, size in replay.sizes.items():
            if dtype not in self._numbers or self._numbers[dtype].numel() < size * copies:
                self._numbers.pop(dtype, None)  # first, for the sake of memory
                self._numbers[dtype] = self.numbers(1 << (size * copies).bit_length(), dtype)  # seldom again

    def part(self, size: int, dtype: str) -> torch.Tensor:
        """The next numbers, the first ones of them at the start of a cache line; new ones where none are reserved."""
        if dtype not in self._numbers:
            return self.numbers(size, dtype)
        start = self._used.get(dtype, 0)
        self._used[dtype] = start + _whole_lines(size, dtype)
        return self._numbers[dtype][start : start + size]

    def numbers(self, size: int, dtype: str) -> torch.Tensor:
        """New numbers from 0.1 to 1.1: roots and logarithms have values, and sums of products stay small."""
        made = torch.rand(size, dtype=getattr(torch, dtype), device=self.device, generator=self.random)
        return made.add_(0.1)

    def whole(self, below: int, size: int, dtype: str) -> torch.Tensor:
        """New whole numbers from 0."""
        made = torch.randint(0, max(1, below), (size,), device=self.device, generator=self.random)
        return made.to(getattr(torch, dtype))


@lru_cache(1)
def _shared(device: str) -> _Memory:
    """The memory that calls share, one after the other: none of them changes it."""
    with torch.inference_mode():
        return _Memory(device)


def _whole_lines(size: int, dtype: str) -> int:
    each = LINE // ITEM_BYTES[dtype]
    return -(-size // each) * each


class _Replay:
    """A call that can be made again: `InvalidInput` for others."""

    def __init__(self, call: Call, device: str) -> None:
        self.call, self.device = call, device
        self.function = _operator(call.name)
        self.name = self.function.overloadpacket.__name__
        self.schema = self.function._schema.arguments
        if len(call.arguments) > len(self.schema):
            raise InvalidInput(f"{call.name} takes {len(self.schema)} arguments, not {len(call.arguments)}")
        written = [place for place, each in enumerate(self.schema) if each.alias_info and each.alias_info.is_write]
        self.in_place = bool(written)
        if self.in_place and (written != [0] or self.name not in _AT_REST):
            raise InvalidInput(f"{call.name} changes its arguments: called again and again, it meets other numbers")
        if self.name in _BY_VALUES:
            raise InvalidInput(f"{call.name} takes as long as the numbers say that it is given: no time is typical")
        if sum(each.bytes for each in call.tensors) > MOST_BYTES:
            raise InvalidInput(f"{call.name} has more than {MOST_BYTES >> 30} GiB of arguments: too many to replay")

    @property
    def sizes(self) -> dict[str, int]:
        """Numbers of one copy of the arguments, by dtype."""
        sizes: dict[str, int] = {}
        for each in self.call.tensors:
            if not self.in_place and each.dtype in _FLOATS:
                sizes[each.dtype] = sizes.get(each.dtype, 0) + _whole_lines(_span(each), each.dtype)
        return sizes

    def try_out(self, step: Step) -> None:
        """See whether torch takes the arguments."""
        try:
            step()
        except (RuntimeError, TypeError, IndexError, ValueError, NotImplementedError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise InvalidInput(f"{self.call.name} cannot be replayed: {reason}") from error

    def copy(self, memory: _Memory) -> Step:
        """The call on the next numbers of the memory."""
        function = self.function
        with torch.inference_mode():
            args = [self._value(each, place, memory) for place, each in enumerate(self.call.arguments)]
            named = {name: self._named(name, value, memory) for name, value in self.call.keywords}
        inside = torch.is_inference_mode_enabled

        def step() -> object:
            if inside():
                return function(*args, **named)
            with torch.inference_mode():
                return function(*args, **named)

        return step

    def _named(self, name: str, value: Argument, memory: _Memory) -> Any:
        place = next((place for place, each in enumerate(self.schema) if each.name == name), None)
        if place is None:
            raise InvalidInput(f"{self.call.name} has no argument {name!r}")
        return self._value(value, place, memory)

    def _value(self, value: Argument, place: int, memory: _Memory) -> Any:
        if isinstance(value, Tensor):
            return self._tensor(value, place, memory, self._below(place))
        if isinstance(value, tuple):
            indexed = self.name.rstrip("_") in _INDEXED and place == 1
            return [
                self._tensor(each, place, memory, self._side(number)) if isinstance(each, Tensor) and indexed
                else self._value(each, place, memory)
                for number, each in enumerate(value)
            ]  # fmt: skip
        if isinstance(value, str):
            kind = str(self.schema[place].real_type)
            if "Device" in kind:
                return torch.device(self.device)
            return value if "str" in kind else getattr(torch, value)
        return value

    def _below(self, place: int) -> int:
        """The number that whole numbers of an argument are below: a size where they name places of it."""
        size = _PLACES.get((self.name.rstrip("_"), place))
        if size:
            return size(self.call.arguments)
        return 2 if torch.Tag.pointwise in self.function.tags else 1

    def _side(self, number: int) -> int:
        """The size whose places an index names; a mask before it goes through as many sizes as it has."""
        table: Any = self.call.arguments[0]
        indices: Any = self.call.arguments[1]
        used = sum(len(each.shape) if _mask(each) else 1 for each in indices[:number])
        return int(table.shape[used])

    def _tensor(self, tensor: Tensor, place: int, memory: _Memory, below: int) -> torch.Tensor:
        size = _span(tensor)
        if tensor.dtype not in _FLOATS:
            flat = memory.whole(2 if _mask(tensor) else below, size, tensor.dtype)
        elif self.in_place:
            flat = memory.numbers(size, tensor.dtype)
            rest = _AT_REST[self.name][1 if place else 0]
            if rest is not None:
                flat.fill_(rest)
        else:
            flat = memory.part(size, tensor.dtype)
        return flat.as_strided(tensor.shape, _strides(tensor))


_FLOATS = ("float64", "float32", "float16", "bfloat16", "complex64", "complex128")


def _mask(index: Argument) -> bool:
    return isinstance(index, Tensor) and index.dtype in ("bool", "uint8")


def _operator(name: str) -> Any:
    """The operator of a name such as ``aten.add.Tensor``."""
    namespace, _, rest = name.partition(".")
    packet, _, overload = rest.rpartition(".")
    try:
        return getattr(getattr(getattr(torch.ops, namespace), packet), overload)
    except AttributeError:
        raise InvalidInput(f"torch has no operator {name!r}") from None


def _strides(tensor: Tensor) -> tuple[int, ...]:
    """Elements from place to place; a strided tensor that does not tell has its last side before its other sides, as a
    transposed matrix."""
    if tensor.strides:
        return tensor.strides
    order = list(range(len(tensor.shape)))  # from the side whose places lie far apart
    if tensor.layout == "channels_last":
        order = [0, 2, 3, 1]
    elif tensor.layout == "strided" and len(order) > 1:
        order.insert(0 if len(order) == 2 else 1, order.pop())
    strides, step = [0] * len(order), 1
    for side in reversed(order):
        strides[side], step = step, step * tensor.shape[side]
    return tuple(strides)


def _span(tensor: Tensor) -> int:
    """Elements from the first to the last."""
    if not tensor.strides or not tensor.elements:
        return tensor.elements
    return 1 + sum((side - 1) * step for side, step in zip(tensor.shape, tensor.strides, strict=True))
