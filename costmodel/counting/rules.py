"""What each operation of torch's dispatcher does, as events.

A rule takes the result and the operation's own arguments and returns the events; None where it does not know this
use. Operations are found by their name in ``aten``, in place or not; what torch calls pointwise and has no rule of its
own is counted as such. What no rule knows is listed by whoever observes, never left out in silence.
"""

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import torch

from costmodel.work.events import Event

Events: TypeAlias = dict[Event, int]
Rule: TypeAlias = Callable[..., "Events | None"]

# ---- products of matrices, convolutions ------------------------------------------------------------------------------


def _convolution(
    result: Any, x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, *rest: Any
) -> Events:
    transposed = rest[0] if rest and isinstance(rest[0], bool) else False  # of aten.convolution
    # Every output (of a transposed convolution: every input) meets the weights of one output (input) channel.
    positions = x if transposed else result
    biases = {Event.BIAS: result.numel()} if bias is not None else {}
    return {Event.MAC: positions.numel() * weight[0].numel()} | biases


def _transposed(result: Any, x: Any, weight: Any, bias: Any = None, *rest: Any) -> Events:
    biases = {Event.BIAS: result.numel()} if bias is not None else {}
    return {Event.MAC: x.numel() * weight[0].numel()} | biases


def _convolution_backward(
    result: Any, grad: Any, x: Any, weight: Any, bias_sizes: Any, stride: Any, padding: Any, dilation: Any,
    transposed: bool, output_padding: Any, groups: int, mask: Any,
) -> Events:  # fmt: skip
    """Each product of the forward pass comes again for the gradient of the input and for that of the weights."""
    forward = (x if transposed else grad).numel() * weight[0].numel()
    sums = {Event.REDUCTION: grad.numel()} if mask[2] else {}
    return {Event.MAC: forward * (bool(mask[0]) + bool(mask[1]))} | sums


def _matmul(result: Any, a: Any, b: Any, /, *rest: Any, **options: Any) -> Events:
    return {Event.MAC: result.numel() * a.shape[-1]}


def _linear(result: Any, x: Any, weight: Any, bias: Any = None, /) -> Events:
    biases = {Event.BIAS: result.numel()} if bias is not None else {}
    return {Event.MAC: result.numel() * x.shape[-1]} | biases


def _scaled_product(
    result: Any, bias: Any, a: Any, b: Any, /, *, beta: float = 1, alpha: float = 1, **_: Any
) -> Events:
    """``beta * bias + alpha * (a @ b)``."""
    events = {Event.MAC: result.numel() * a.shape[-1]}
    if beta:
        events[Event.BIAS] = result.numel()
    scaled = (alpha != 1) + (beta not in (0, 1))
    return events | ({Event.PRODUCT: scaled * result.numel()} if scaled else {})


def _batches_summed(result: Any, bias: Any, a: Any, b: Any, /, *, beta: float = 1, alpha: float = 1) -> Events | None:
    return {Event.MAC: a.numel() * b.shape[-1], Event.BIAS: result.numel()} if alpha == beta == 1 else None


def _three(
    result: Any, a: Any, b: Any, c: Any, expand_a: Any, expand_b: Any, expand_c: Any, sums: Any, unroll: int = 1
) -> Events:
    """The sum of ``a * b * c`` over ``sums``, after new dimensions: of `torch.nn.Bilinear`."""
    sides = [list(each.shape) for each in (a, b, c)]
    for shape, places in zip(sides, (expand_a, expand_b, expand_c), strict=True):
        for place in sorted(places):
            shape.insert(place, 1)
    count = math.prod(max(same) for same in zip(*sides, strict=True))
    return {Event.PRODUCT: count, Event.MAC: count}


def _dot(result: Any, a: Any, b: Any) -> Events:
    return {Event.MAC: a.numel()}


def _outer_sum(result: Any, bias: Any, a: Any, b: Any, /, *, beta: float = 1, alpha: float = 1) -> Events | None:
    return {Event.MAC: result.numel()} if alpha == beta == 1 else None


# ---- elements --------------------------------------------------------------------------------------------------------


def _size(result: Any) -> Any:
    return (result[0] if isinstance(result, tuple | list) else result).numel()


def _each(*events: Event) -> Rule:
    """One event of each kind per element of the result."""

    def rule(result: Any, /, *args: Any, **options: Any) -> Events:
        count = _size(result)
        return dict.fromkeys(events, count)

    return rule


def _sum(result: Any, a: Any, b: Any, /, alpha: float = 1, *rest: Any, **options: Any) -> Events:
    """``a + alpha * b``."""
    count = result.numel()
    return {Event.ADDITION: count} | ({Event.PRODUCT: count} if alpha != 1 else {})


def _multiply_add(inner: Event) -> Rule:
    def rule(result: Any, a: Any, b: Any, c: Any, /, *, value: float = 1, **options: Any) -> Events:
        events = {Event.ADDITION: result.numel()}
        events[inner] = result.numel()
        if value != 1:
            events[Event.PRODUCT] = events.get(Event.PRODUCT, 0) + result.numel()
        return events

    return rule


def _interpolate(result: Any, /, *args: Any, **options: Any) -> Events:
    """``a + w * (b - a)``."""
    return {Event.ADDITION: 2 * result.numel(), Event.PRODUCT: result.numel()}


def _inputs(event: Event) -> Rule:
    """One event per element of the first argument."""

    def rule(result: Any, x: Any, /, *args: Any, **options: Any) -> Events:
        return {event: x.numel()}

    return rule


def _mean(result: Any, x: Any, /, *args: Any, **options: Any) -> Events:
    return {Event.REDUCTION: x.numel(), Event.DIVISION: result.numel()}


def _variance(result: Any, x: Any, /, *args: Any, **options: Any) -> Events:
    """Mean, differences, squares and their sum."""
    count = x.numel()
    return {Event.REDUCTION: 2 * count, Event.ADDITION: count, Event.PRODUCT: count, Event.DIVISION: 2 * _size(result)}


def _dropout(result: Any, x: Any, p: float, train: bool | None = None) -> Events:
    return {Event.RANDOM: x.numel(), Event.PRODUCT: 2 * x.numel()} if train is not False else {}


def _nothing(*args: Any, **options: Any) -> Events:
    """It writes memory, and computes nothing."""
    return {}


def _bags(
    result: Any, table: Any, indices: Any, offsets: Any, scaled: bool = False, mode: int = 0, sparse: bool = False,
    weights: Any = None, *rest: Any,
) -> Events:  # fmt: skip
    """Rows of a table, summed (mode 0), averaged (1) or the largest (2) by bag."""
    fetched = indices.numel() * table.shape[1]
    events = {Event.REDUCTION: fetched} | ({Event.PRODUCT: fetched} if weights is not None else {})
    return events | ({Event.DIVISION: result[0].numel()} if mode == 1 else {})


def _bags_backward(result: Any, grad: Any, indices: Any, *rest: Any) -> Events:
    return {Event.ADDITION: indices.numel() * grad.shape[1]}


def _distances(result: Any, a: Any, *rest: Any) -> Events | None:
    """Differences, powers of them, their sum, and a root, for each pair of rows."""
    power = next((each for each in rest if isinstance(each, int | float)), 2)
    if power in (0, math.inf):
        return None
    count = result.numel() * a.shape[-1]
    powers = {1.0: Event.ACTIVATION, 2.0: Event.PRODUCT}.get(power, Event.TRANSCENDENTAL)
    events = {Event.ADDITION: count, Event.REDUCTION: count, powers: count}
    if power != 1:
        events[Event.TRANSCENDENTAL] = events.get(Event.TRANSCENDENTAL, 0) + result.numel()
    return events


def _weight_norm_backward(result: Any, grad: Any, weight: Any, size: Any, *rest: Any) -> Events:
    """``g/n * (grad - v * sum(grad * v)/n^2)``."""
    count, norms = weight.numel(), size.numel()
    return {
        Event.PRODUCT: 3 * count + norms,
        Event.REDUCTION: count,
        Event.ADDITION: count,
        Event.DIVISION: 3 * norms,
    }


# ---- norms, pooling --------------------------------------------------------------------------------------------------


def _batch_norm(training: int) -> Rule:
    """Argument number ``training`` says whether it computes the statistics."""

    def rule(result: Any, /, *args: Any, **options: Any) -> Events:
        own = training >= 0 and args[training]
        return {Event.OWN_NORM if own else Event.NORM: _size(result)}

    return rule


def _pool(event: Event, dimensions: int) -> Rule:
    def rule(result: Any, x: Any, window: Any, /, *rest: Any, **options: Any) -> Events:
        return {event: _window(window, dimensions) * _size(result)}

    return rule


def _window(window: Any, dimensions: int) -> int:
    """Positions of a window; one side is that of all dimensions."""
    sides = [window] if isinstance(window, int) else list(window)
    return math.prod(sides * dimensions if len(sides) == 1 else sides)


def _adaptive(event: Event) -> Rule:
    """Windows that divide a map into a given number of parts; where they do not divide it evenly, they overlap."""

    def rule(result: Any, x: Any, sizes: Any, /, *rest: Any) -> Events:
        pooled = result[0] if isinstance(result, tuple) else result
        count = len(sizes) if isinstance(sizes, list | tuple) else 1
        taps = math.prod(pooled.shape[:-count])
        for side, parts in zip(x.shape[-count:], pooled.shape[-count:], strict=True):
            if side % parts == 0:
                taps *= side
            else:
                taps *= sum(-(-(n + 1) * side // parts) - n * side // parts for n in range(parts))
        return {event: taps}

    return rule


def _batch_norm_backward(result: Any, grad: Any, x: Any, *rest: Any) -> Events:
    training = rest[5]  # weight, two running and two saved statistics, training
    return {Event.OWN_NORM if training else Event.NORM: grad.numel()}


def _pool_backward(dimensions: int) -> Rule:
    def rule(result: Any, grad: Any, x: Any, window: Any, /, *rest: Any) -> Events:
        return {Event.AVERAGE_POOL: _window(window, dimensions) * grad.numel()}

    return rule


def _derivative(result: Any, *args: Any) -> Events:
    """``grad * (1 - y) * y`` or ``grad * (1 - y * y)``."""
    return {Event.PRODUCT: 2 * result.numel(), Event.ADDITION: result.numel()}


# ---- attention that arrives as one operation ------------------------------------------------------------------------


def _attention(result: Any, q: Any, k: Any, v: Any, /, *args: Any, **options: Any) -> Events:
    """A fused attention: queries by keys, scaled, softmax, by values. A causal mask saves nothing that is counted."""
    weights = math.prod(q.shape[:-1]) * k.shape[-2]
    return {
        Event.MAC: weights * (q.shape[-1] + v.shape[-1]),
        Event.PRODUCT: weights,
        Event.SOFTMAX: weights,
    }


def _attention_backward(result: Any, grad: Any, q: Any, k: Any, v: Any, /, *args: Any, **options: Any) -> Events:
    """The weights again, their gradient and that of the values, then those of queries and keys."""
    weights = math.prod(q.shape[:-1]) * k.shape[-2]
    return {
        Event.MAC: weights * (3 * q.shape[-1] + 2 * v.shape[-1]),
        Event.PRODUCT: 2 * weights,
        Event.SOFTMAX: 2 * weights,
    }


# ---- recurrence that arrives as one operation -----------------------------------------------------------------------


def _lstm_layer(
    result: Any, x: Any, weight: Any, recurrent: Any, bias: Any, other: Any, h: Any, c: Any, reverse: bool,
    batch_sizes: Any, mode: int, hidden: int, layers: int, biased: bool, *rest: Any,
) -> Events | None:  # fmt: skip
    """One layer and direction of `torch.nn.LSTM` as oneDNN runs it."""
    steps = x.shape[0] * x.shape[1]
    units = steps * hidden
    if mode != LSTM:
        return None
    return {
        Event.MAC: steps * (weight.numel() + recurrent.numel()),
        Event.BIAS: 8 * units if biased else 0,
        Event.ADDITION: 5 * units,
        Event.SIGMOID: 3 * units,
        Event.TANH: 2 * units,
        Event.PRODUCT: 3 * units,
    }


def _lstm_layer_backward(result: Any, x: Any, weight: Any, recurrent: Any, *rest: Any) -> Events | None:
    """Gradients of both products' arguments; of three sigmoids, two tanh (two products, one difference each) and three
    products; what the state and the output get from two sides."""
    mode, hidden = rest[11], rest[12]
    if mode != LSTM:
        return None
    steps = x.shape[0] * x.shape[1]
    units = steps * hidden
    return {
        Event.MAC: 2 * steps * (weight.numel() + recurrent.numel()),
        Event.REDUCTION: 8 * units,
        Event.PRODUCT: (5 * 2 + 3 * 2) * units,
        Event.ADDITION: (5 + 2) * units,
    }


LSTM = 2  # among torch's numbers of recurrences


def _named(rule: Rule, names: str) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


RULES: dict[str, Rule] = (
    _named(_convolution, "convolution _convolution cudnn_convolution mkldnn_convolution conv1d conv2d conv3d")
    | _named(_transposed, "conv_transpose1d conv_transpose2d conv_transpose3d")
    | _named(_convolution_backward, "convolution_backward")
    | _named(_matmul, "mm bmm mv matmul")
    | _named(_linear, "linear")
    | _named(_scaled_product, "addmm baddbmm addmv")
    | _named(_batches_summed, "addbmm")
    | _named(_dot, "dot vdot")
    | _named(_outer_sum, "addr")
    | _named(
        _attention,
        "_scaled_dot_product_flash_attention _scaled_dot_product_flash_attention_for_cpu "
        "_scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention",
    )
    | _named(
        _attention_backward,
        "_scaled_dot_product_flash_attention_backward _scaled_dot_product_flash_attention_for_cpu_backward "
        "_scaled_dot_product_cudnn_attention_backward",
    )
    | _named(_lstm_layer, "mkldnn_rnn_layer")
    | _named(_lstm_layer_backward, "mkldnn_rnn_layer_backward")
    | _named(_three, "_trilinear")
    | _named(_bags, "_embedding_bag _embedding_bag_forward_only")
    | _named(_bags_backward, "_embedding_bag_backward")
    | _named(_distances, "_cdist_forward _pdist_forward")
    | _named(_weight_norm_backward, "_weight_norm_interface_backward")
    # elements
    | _named(_sum, "add sub rsub")
    | _named(_each(Event.PRODUCT), "mul square")
    | _named(_multiply_add(Event.PRODUCT), "addcmul")
    | _named(_multiply_add(Event.DIVISION), "addcdiv")
    | _named(_interpolate, "lerp")
    | _named(_each(Event.DIVISION), "div reciprocal floor_divide remainder fmod true_divide")
    | _named(_each(Event.SIGMOID), "sigmoid")
    | _named(_each(Event.TANH), "tanh")
    | _named(_each(Event.RELU), "relu")
    | _named(
        _each(Event.TRANSCENDENTAL),
        "exp exp2 expm1 log log2 log10 log1p sqrt rsqrt pow sin cos tan asin acos atan atan2 sinh cosh asinh acosh "
        "atanh erf erfc erfinv lgamma digamma logaddexp logaddexp2 hypot sinc xlogy",
    )
    | _named(
        _each(Event.ACTIVATION),
        "gelu silu mish elu celu selu leaky_relu hardtanh hardswish hardsigmoid softplus log_sigmoid_forward "
        "_prelu_kernel rrelu_with_noise glu threshold softshrink hardshrink",
    )
    | _named(
        _each(Event.COMPARISON),
        "eq ne lt le gt ge where clamp clamp_min clamp_max maximum minimum fmax fmin masked_fill isnan isinf isfinite "
        "logical_and logical_or logical_not logical_xor bitwise_and bitwise_or bitwise_not bitwise_xor sign sgn "
        "signbit heaviside isposinf isneginf tril triu",
    )
    | _named(_each(Event.SOFTMAX), "_softmax _log_softmax _safe_softmax")
    | _named(
        _inputs(Event.REDUCTION),
        "sum amax amin max min argmax argmin prod any all norm linalg_vector_norm logsumexp cumsum cumprod cummax "
        "cummin topk sort aminmax nansum logcumsumexp median mode kthvalue count_nonzero",
    )
    | _named(_mean, "mean")
    | _named(_variance, "var var_mean std std_mean")
    # data that moves
    | _named(
        _each(Event.MOVE),
        "clone copy _to_copy cat stack index index_select gather embedding constant_pad_nd roll flip repeat "
        "reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d "
        "slice_scatter select_scatter scatter index_put masked_select im2col take pixel_shuffle pixel_unshuffle "
        "upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d "
        "_upsample_nearest_exact3d channel_shuffle native_channel_shuffle unfold_copy permute_copy _pad_circular "
        "masked_scatter index_copy diag_embed repeat_interleave new_tensor _reshape_alias_copy expand_copy",
    )
    | _named(_each(Event.ADDITION), "scatter_add index_add col2im embedding_dense_backward scatter_reduce index_reduce")
    # norms, pooling, resizing
    | _named(
        _batch_norm(5), "batch_norm native_batch_norm cudnn_batch_norm _native_batch_norm_legit _batch_norm_with_update"
    )
    | _named(_batch_norm(-1), "_native_batch_norm_legit_no_training _batch_norm_no_update")
    | _named(_each(Event.OWN_NORM), "native_layer_norm native_group_norm _fused_rms_norm")
    | {f"max_pool{n}d{way}": _pool(Event.MAX_POOL, n) for n in (1, 2, 3) for way in ("", "_with_indices")}
    | {f"avg_pool{n}d": _pool(Event.AVERAGE_POOL, n) for n in (1, 2, 3)}
    | _named(
        _adaptive(Event.ADAPTIVE_POOL),
        "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d",
    )
    | _named(_adaptive(Event.MAX_POOL), "adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d")
    | _named(_each(Event.RESIZE), "upsample_bilinear2d")
    | _named(
        _each(Event.INTERPOLATION),
        "upsample_bicubic2d upsample_trilinear3d upsample_linear1d _upsample_bilinear2d_aa _upsample_bicubic2d_aa "
        "grid_sampler_2d grid_sampler_3d",
    )
    # gradients: of a function of one element, its derivative times the gradient
    | _named(_each(Event.COMPARISON), "threshold_backward hardtanh_backward softshrink_backward hardshrink_backward")
    | _named(_derivative, "sigmoid_backward tanh_backward")
    | _named(
        _each(Event.ACTIVATION),
        "gelu_backward silu_backward elu_backward leaky_relu_backward hardswish_backward hardsigmoid_backward "
        "softplus_backward mish_backward log_sigmoid_backward _prelu_kernel_backward glu_backward",
    )
    | _named(_each(Event.SOFTMAX), "_softmax_backward_data _log_softmax_backward_data")
    | _named(
        _inputs(Event.OWN_NORM),
        "native_layer_norm_backward native_group_norm_backward _fused_rms_norm_backward",
    )
    | _named(_batch_norm_backward, "native_batch_norm_backward cudnn_batch_norm_backward")
    | _named(_inputs(Event.ADDITION), "max_pool2d_with_indices_backward max_pool3d_with_indices_backward")
    | _named(_inputs(Event.ADDITION), "adaptive_max_pool2d_backward adaptive_max_pool3d_backward")
    | _named(_inputs(Event.ADDITION), "upsample_nearest1d_backward upsample_nearest2d_backward")
    | _named(_each(Event.ADAPTIVE_POOL), "_adaptive_avg_pool2d_backward _adaptive_avg_pool3d_backward")
    | _named(_pool_backward(2), "avg_pool2d_backward")
    | _named(_pool_backward(3), "avg_pool3d_backward")
    | _named(_inputs(Event.RESIZE), "upsample_bilinear2d_backward")
    | _named(
        _inputs(Event.INTERPOLATION),
        "upsample_bicubic2d_backward upsample_trilinear3d_backward upsample_linear1d_backward "
        "grid_sampler_2d_backward grid_sampler_3d_backward",
    )
    | _named(_each(Event.PRODUCT), "native_dropout_backward")
    | _named(
        _each(Event.MOVE),
        "select_backward slice_backward diagonal_backward unfold_backward value_selecting_reduction_backward "
        "reflection_pad1d_backward reflection_pad2d_backward replication_pad2d_backward index_select_backward",
    )
    # random numbers, memory without arithmetic
    | _named(_dropout, "native_dropout")
    | _named(
        _each(Event.RANDOM), "bernoulli rand randn randint rand_like randn_like normal uniform randperm multinomial"
    )
    | _named(
        _nothing,
        "zeros ones full zeros_like ones_like full_like new_zeros new_ones new_full arange linspace fill zero "
        "scalar_tensor eye set_",
    )
)

# Products whose arguments must have the same type.
SAME_TYPES = frozenset({"mm", "bmm", "addmm", "baddbmm", "linear", "matmul", "mv", "addmv", "dot"})
SAME_TYPES |= {"convolution", "conv1d", "conv2d", "conv3d"}
CONVOLUTIONS = frozenset({"convolution", "_convolution", "conv1d", "conv2d", "conv3d"})


# No kernel runs: memory without values, and views that torch does not mark as ones.
FREE = frozenset(
    {
        "empty",
        "empty_like",
        "empty_strided",
        "new_empty",
        "new_empty_strided",
        "_unsafe_view",
        "detach",
        "alias",
        "lift_fresh",
        "_reshape_alias",
        "resize_",
        "sym_size",
        "sym_numel",
        "sym_stride",
        "sym_storage_offset",
        "is_same_size",
        "_assert_async",
        "_local_scalar_dense",
        "_has_same_storage_numel",
        "_linalg_check_errors",
        "_efficientzerotensor",
        "detach_",
        "unsafe_split",
        "unsafe_split_with_sizes",
        "unsafe_chunk",
        "transpose_",
        "t_",
        "squeeze_",
        "unsqueeze_",
        "as_strided_",
        "swapaxes_",
        "swapdims_",
    }
)
# Elementwise on floating-point tensors: the result is one of the same type.
KEEPS_DTYPE = frozenset({"add", "sub", "mul", "div", "relu", "sigmoid", "tanh", "gelu", "silu", "exp", "sqrt", "rsqrt"})
# They read what they fetch, and where it is, not all of their first argument.
FETCHES = frozenset({"embedding", "gather", "index_select", "index", "take"})
BAGS = frozenset({"_embedding_bag", "_embedding_bag_forward_only"})
DROPOUTS = frozenset({"dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"})
# What was in their first argument they overwrite unread.
OVERWRITES = frozenset({"copy_", "fill_", "zero_", "normal_", "uniform_", "exponential_", "bernoulli_", "random_"})
_POINTWISE = _each(Event.POINTWISE)
Known: TypeAlias = "tuple[str, Rule | None]"
_FOUND: dict[Any, Known] = {}


def find(func: Any) -> Known:
    """How to treat a dispatched operation: ``free``; ``rule`` and its rule; or ``unknown``."""
    known = _FOUND.get(func)
    if known is None:
        known = _FOUND[func] = _find(func)
    return known


def _find(func: Any) -> Known:
    name = func.overloadpacket.__name__
    # A reshape is a view or a copy: only its parts tell.
    view = func.is_view and not func._can_decompose()
    if func.namespace == "prim" or view or (func.namespace == "aten" and name in FREE):
        return "free", None
    if func.namespace != "aten":
        return "unknown", None
    bare = name[:-1] if name.endswith("_") and not name.startswith("__") else name
    if name in ("max", "min") and func._overloadname == "other":  # of two tensors
        return "rule", RULES["maximum"]
    rule = RULES.get(name) or RULES.get(bare)
    if rule is None and torch.Tag.pointwise in func.tags:
        rule = _POINTWISE
    return ("rule", rule) if rule else ("unknown", None)
