"""Kernels: what a machine runs for a call of one of torch's operators, by kind and sizes.

Operators that run the same code on a CPU have the same kind, whatever they are called (`relu` and `relu_`); sizes are
those that the time of a kind depends on.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod

from costmodel.work.call import Argument, Call, Tensor
from costmodel.work.cost import Operation


@dataclass(frozen=True)
class Kernel:
    """A kernel by its ``kind``, such as ``depthwise convolution``, and its ``sizes``: the same number for all kernels
    of a kind, each at least 1.

    ``flops``: two per multiply-accumulate, 0 for kernels that have none; ``blocks``: as many times that are computed
    where channels are filled up to whole `BLOCK`s. ``reads`` and ``writes``: bytes, each argument and each result once;
    ``weights``: those of ``reads`` that are parameters, which no earlier operation has just written.
    """

    kind: str
    sizes: tuple[float, ...]
    flops: float
    reads: float
    writes: float
    weights: float = 0.0
    blocks: float = 1.0

    @property
    def bytes(self) -> float:
        return self.reads + self.writes


# Channels side by side in the layouts that convolutions of a CPU compute in (oneDNN: nChw16c).
BLOCK = 16

# Views, questions about tensors and bare allocations: no kernel runs.
FREE = frozenset(
    {"view", "_unsafe_view", "reshape", "expand", "permute", "transpose", "t", "squeeze", "unsqueeze", "slice",
     "select", "split", "split_with_sizes", "unbind", "chunk", "alias", "detach", "as_strided", "unfold", "narrow",
     "diagonal", "empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "lift_fresh", "view_as_real",
     "view_as_complex", "_reshape_alias", "is_same_size", "sym_size", "item", "_local_scalar_dense"}
)  # fmt: skip

# One function of each element of a tensor, by operator.
_FUNCTIONS = (
    "relu sigmoid tanh silu gelu hardswish hardsigmoid hardtanh leaky_relu elu softplus mish exp log sqrt rsqrt erf "
    "neg abs pow clamp sin cos reciprocal"
)
POINTWISE = {name: name for name in _FUNCTIONS.split()} | {"clamp_min": "clamp", "clamp_max": "clamp"}
# One function of the elements of two tensors, or of a tensor and a number, by operator.
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "bitwise_and", "bitwise_or")
PAIRS = {"add": "add", "sub": "add", "rsub": "add", "mul": "mul", "div": "div", "maximum": "maximum"}
PAIRS |= {"minimum": "maximum", "masked_fill": "mask", "where": "mask"} | dict.fromkeys(_COMPARISONS, "comparison")
FILLS = frozenset(
    {
        "fill",
        "zero",
        "zeros",
        "ones",
        "full",
        "new_zeros",
        "new_ones",
        "new_full",
        "zeros_like",
        "ones_like",
        "full_like",
        "arange",
    }
)
REDUCTIONS = frozenset(
    {"mean", "sum", "amax", "amin", "max", "min", "argmax", "argmin", "var", "var_mean", "any", "all"}
)
ATTENTION = frozenset(
    {"_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention",
     "_scaled_dot_product_efficient_attention", "_scaled_dot_product_cudnn_attention"}
)  # fmt: skip


def kernel(call: Call) -> Kernel | None:
    """The kernel of a call; None for calls that run none, such as views. The kind of an operator that is not known
    here is the operator's own name: no machine is calibrated for it."""
    return _kernel(call)


def kernels(operations: Iterable[Operation]) -> list[Kernel | None]:
    """The kernels of operations; None for those that run none, and for those without a call."""
    return [None if operation.call is None else kernel(operation.call) for operation in operations]


@cache
def _kernel(call: Call) -> Kernel | None:
    name = call.name.removeprefix("aten.").partition(".")[0]
    if name in FREE:
        return None
    base = name.removesuffix("_") if not name.startswith("_") else name
    found = _KINDS.get(base) or _KINDS.get(name)
    kind, sizes, flops = found(call) if found else _by_table(base, call)
    reads = sum(each.bytes for each in call.tensors)
    weights = sum(each.bytes for each in call.tensors if each.parameter)
    writes = sum(each.bytes for each in call.outputs)
    if base == "embedding":  # the rows that it fetches
        reads, weights = writes, writes
    return Kernel(
        kind, tuple(max(1.0, float(size)) for size in sizes), flops, reads, writes, weights, _blocks(kind, sizes)
    )


def _blocks(kind: str, sizes: Sequence[float]) -> float:
    """The whole blocks of the channels of a convolution, relative to its channels: of those that it reads and of those
    that it writes, which come first among its sizes."""
    if "convolution" not in kind or kind.startswith("grouped"):
        return 1.0
    if kind == "convolution of a few channels":  # they are not in blocks
        return _filled(sizes[1])
    if kind.startswith("depthwise"):
        return _filled(sizes[0])
    return _filled(sizes[0]) * _filled(sizes[1])


def _filled(channels: float) -> float:
    return -(-channels // BLOCK) * BLOCK / channels


Sizes = tuple[str, Sequence[float], float]  # the kind, its sizes, FLOPs


def _convolution(call: Call) -> Sizes:
    x, weight, out = _tensor(call, 0), _tensor(call, 1), call.outputs[0]
    stride, transposed, groups = call.arguments[3], call.arguments[6], call.arguments[8]
    dilation = call.arguments[5]
    assert isinstance(stride, tuple) and isinstance(groups, int) and isinstance(dilation, tuple)  # noqa: PT018
    area = prod(weight.shape[2:])
    positions = out.shape[0] * prod(out.shape[2:])
    step = prod(_numbers(stride)) ** 0.5
    if transposed:
        places = x.shape[0] * prod(x.shape[2:])
        sizes = (x.shape[1], weight.shape[1] * groups, places, area)
        return "transposed convolution", sizes, 2.0 * weight.elements * places
    flops = 2.0 * weight.elements * positions
    channels, filters = weight.shape[1], weight.shape[0] // groups
    if groups > 1 and channels == filters == 1:
        # The rows are the vectors of a depthwise kernel.
        sides = (*weight.shape[2:], 1)
        line = "" if sides[0] > 1 < sides[1] or area == 1 else " in one direction"
        return f"depthwise convolution{line}", (groups, positions, area, step, out.shape[-1]), flops
    if groups > 1:
        return "grouped convolution", (channels, filters, groups, positions, area, step), flops
    if area == 1:
        return "convolution 1x1", (channels, filters, positions, step), flops
    lines = {(True, False): "convolution 1xK", (False, True): "convolution Kx1"}
    ones = tuple(side == 1 for side in weight.shape[2:4])
    if max(_numbers(dilation)) > 1:
        return "dilated convolution", (channels, filters, positions, area, max(_numbers(dilation))), flops
    if len(ones) == 2 and ones in lines:
        return lines[ones], (channels, filters, positions, area, step), flops
    if channels < 8:
        return "convolution of a few channels", (channels, filters, positions, area, step), flops
    return "dense convolution", (channels, filters, positions, area, step, out.shape[-1]), flops


def _product(call: Call) -> Sizes:
    left, right = [each for each in call.tensors if len(each.shape) == 2][-2:]
    m, k, n = left.shape[0], left.shape[1], right.shape[1]
    return "matrix product", (m, k, n), 2.0 * m * k * n


def _products(call: Call) -> Sizes:
    left, right = call.tensors[-2:]
    batch, m, k, n = left.shape[0], left.shape[1], left.shape[2], right.shape[2]
    return "matrix products", (batch, m, k, n), 2.0 * batch * m * k * n


def _attention(call: Call) -> Sizes:
    q, k = call.tensors[:2]
    heads, length, width = prod(q.shape[:-2]), q.shape[-2], q.shape[-1]
    masked = any(len(each.shape) > 1 for each in call.tensors[3:])
    sizes = (heads, length, k.shape[-2], width, 1 + masked)
    return "attention", sizes, 4.0 * heads * length * k.shape[-2] * width


def _norm(call: Call) -> Sizes:
    x, scale = _tensor(call, 0), call.tensors[1:2]
    name = call.name.split(".")[1].removeprefix("native_").removesuffix("_legit_no_training").strip("_")
    last = prod(x.shape[2:]) if name == "batch_norm" else scale[0].elements if scale else x.shape[-1]
    return f"norm {name}", (x.elements / max(1, last), last), 0.0


def _pool(call: Call) -> Sizes:
    x, out = _tensor(call, 0), call.outputs[0]
    kind = "pool maximum" if "max" in call.name else "pool average"
    if call.name.startswith("aten._adaptive"):
        return f"{kind} adaptive", (out.elements, x.elements / max(1, out.elements)), 0.0
    window = prod(_numbers(call.arguments[1]))
    return kind, (out.elements, window, x.elements / max(1, out.elements)), 0.0


def _resize(call: Call) -> Sizes:
    x, out = _tensor(call, 0), call.outputs[0]
    mode = call.name.split(".")[1].removeprefix("upsample_").removeprefix("_upsample_")
    return f"resize {mode}", (out.elements, x.shape[1], x.elements), 0.0


def _softmax(call: Call) -> Sizes:
    x = _tensor(call, 0)
    return "softmax", (x.elements / x.shape[-1], x.shape[-1]), 0.0


def _reduction(call: Call) -> Sizes:
    x, out = _tensor(call, 0), call.outputs[0]
    name = call.name.split(".")[1]
    over = call.arguments[1] if len(call.arguments) > 1 else None
    dims = {d % len(x.shape) for d in _numbers(over)} if over is not None else set(range(len(x.shape)))
    inner = len(x.shape) - 1 in dims or not dims  # the elements that are reduced lie side by side
    name = {"max": "amax", "min": "amin"}.get(name, name)
    kind = f"reduce {name}" if inner else f"reduce {name} of rows"
    return kind, (out.elements, x.elements / max(1, out.elements)), 0.0


def _gather(call: Call) -> Sizes:
    out = call.outputs[0]
    return "copy embedding", (out.elements, out.shape[-1]), 0.0


def _cat(call: Call) -> Sizes:
    return "copy concatenation", (call.outputs[0].elements, len(call.tensors)), 0.0


def _copy(call: Call) -> Sizes:
    x, out = _tensor(call, 0), call.outputs[0]
    if x.layout == out.layout:
        return "copy", (out.elements,), 0.0
    return "copy reordered", (out.elements, out.shape[-1]), 0.0


def _moved(kind: str) -> Callable[[Call], Sizes]:
    return lambda call: (kind, (call.outputs[0].elements,), 0.0)


def _by_table(name: str, call: Call) -> Sizes:
    elements = call.outputs[0].elements if call.outputs else 0
    if name in POINTWISE:
        return f"pointwise {POINTWISE[name]}", (elements,), 0.0
    if name in FILLS:
        return "fill", (elements,), 0.0
    if name in PAIRS:
        whole = [each for each in call.tensors if each.elements == elements]
        how = (
            "" if len(whole) > 1 else " of a number" if all(t.elements == 1 for t in call.tensors[1:]) else " broadcast"
        )
        return f"pointwise {PAIRS[name]}{how}", (elements,), 0.0
    return call.name, (elements,), 0.0


def _numbers(value: Argument) -> list[int]:
    if isinstance(value, int):
        return [value]
    return [each for each in value if isinstance(each, int)] if isinstance(value, tuple) else []


def _tensor(call: Call, place: int) -> Tensor:
    found = call.arguments[place]
    assert isinstance(found, Tensor)
    return found


_KINDS: dict[str, Callable[[Call], Sizes]] = {
    "convolution": _convolution,
    "addmm": _product,
    "mm": _product,
    "bmm": _products,
    "baddbmm": _products,
    "native_batch_norm": _norm,
    "_native_batch_norm_legit_no_training": _norm,
    "native_layer_norm": _norm,
    "native_group_norm": _norm,
    "max_pool2d_with_indices": _pool,
    "avg_pool2d": _pool,
    "_adaptive_avg_pool2d": _pool,
    "_softmax": _softmax,
    "embedding": _gather,
    "cat": _cat,
    "stack": _cat,
    "clone": _copy,
    "_to_copy": _copy,
    "copy": _copy,
    "contiguous": _copy,
    "constant_pad_nd": _moved("copy padded"),
    "channel_shuffle": _moved("copy shuffled"),
    "native_channel_shuffle": _moved("copy shuffled"),
    "roll": _moved("copy rolled"),
    "index": _moved("copy indexed"),
    **dict.fromkeys(ATTENTION, _attention),
    **dict.fromkeys(REDUCTIONS, _reduction),
    **dict.fromkeys(("upsample_bilinear2d", "upsample_nearest2d", "upsample_bicubic2d"), _resize),
}
