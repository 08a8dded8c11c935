"""What each operation of torch's dispatcher does, as events.

A rule takes the result and the operation's own arguments and returns the events; None where it does not know this
use. Operations are found by their name in ``aten``, in place or not; what torch calls pointwise and has no rule of its
own is counted as such. What no rule knows is listed by whoever observes, never left out in silence.
"""

import math
from typing import Any, TypeAlias

import torch
from torch._ops import HigherOrderOperator

from costmodel.counting.attention import kernel_of, rule_of
from costmodel.counting.products import PRODUCTS, Events, Rule, has_values, named
from costmodel.counting.updates import OPTIMIZERS, for_each, into_places, table_gradient
from costmodel.work.events import Event

# ---- elements --------------------------------------------------------------------------------------------------------


def _size(result: Any) -> Any:
    return (result[0] if isinstance(result, tuple | list) else result).numel()


def _each(*events: Event) -> Rule:
    """Events per element of the result; an event that is named twice happens twice."""

    def rule(result: Any, /, *args: Any, **options: Any) -> Events:
        return {event: events.count(event) * _size(result) for event in events}

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


def _inputs(*events: Event) -> Rule:
    """Events per element of the first argument; an event that is named twice happens twice."""

    def rule(result: Any, x: Any, /, *args: Any, **options: Any) -> Events:
        return {event: events.count(event) * x.numel() for event in events}

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


def _weighted_bags_backward(result: Any, grad: Any, table: Any, indices: Any, *rest: Any) -> Events:
    return {Event.MAC: indices.numel() * grad.shape[1]}


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


def _distances_backward(result: Any, grad: Any, a: Any, *rest: Any) -> Events:
    """The gradient over the distance for each pair of rows, times their difference, summed up."""
    count = grad.numel() * a.shape[-1]
    return {
        Event.DIVISION: grad.numel(),
        Event.ADDITION: count,
        Event.PRODUCT: count,
        Event.REDUCTION: count,
    }


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


def _margins(result: Any, *args: Any) -> Events:
    """The margin of each class, a comparison, and where it is missed, a gradient for the class and its label."""
    count = result.numel()
    return {Event.ADDITION: 3 * count, Event.COMPARISON: count, Event.PRODUCT: count}


# ---- sorting, searching, sequences -----------------------------------------------------------------------------------


def _bisected(values: int) -> Rule:
    """A binary search in a sorted row, for each element of argument number ``values``."""

    def rule(result: Any, /, *args: Any, **options: Any) -> Events | None:
        side = args[1 - values].shape[-1]
        return {Event.COMPARISON: _size(result) * side.bit_length()} if isinstance(side, int) else None

    return rule


def _packed(result: Any, *args: Any) -> Events:
    return {Event.MOVE: result[0].numel()}


def _alignments(backward: bool) -> Rule:
    """The lattice of connectionist temporal classification: a state for each step, sample, label and gap. Each adds the
    probabilities of three others: a maximum, three exponentials, a logarithm. Backward the same, then what each state
    adds to the gradient of its label, and two exponentials for each label."""

    def rule(result: Any, /, *args: Any, **options: Any) -> Events:
        states = (args[6] if backward else result[1]).numel()
        if not backward:
            return {Event.TRANSCENDENTAL: 4 * states, Event.ADDITION: 7 * states, Event.COMPARISON: 2 * states}
        labels = result.numel()
        return {
            Event.TRANSCENDENTAL: 7 * states + 2 * labels,
            Event.ADDITION: 11 * states + 3 * labels,
            Event.COMPARISON: 3 * states,
            Event.PRODUCT: labels,
        }

    return rule


# ---- boxes of detectors ----------------------------------------------------------------------------------------------


def _suppressed(result: Any, boxes: Any, *rest: Any) -> Events:
    """Every pair of boxes, as the kernel of GPUs compares them: a CPU leaves out those that fell before. Four corners,
    two sides (not below 0), their product, the sum of areas less it, a quotient and a comparison."""
    count = boxes.shape[0]
    pairs = count * (count - 1) // 2
    return {
        Event.COMPARISON: 7 * pairs,
        Event.ADDITION: 4 * pairs + 2 * count,
        Event.PRODUCT: pairs + count,
        Event.DIVISION: pairs,
        Event.REDUCTION: count,  # sorted by score
    }


def _aligned(result: Any, x: Any, boxes: Any, scale: float, height: Any, width: Any, *rest: Any) -> Events | None:
    """Samples of each part of a box; their number depends on the box where none is given."""
    *_, samples, _ = rest
    if samples > 0:
        taps = boxes.shape[0] * height * width * samples * samples
    elif has_values(boxes):
        sides = ((boxes[:, 3:] - boxes[:, 1:3]) * scale / torch.tensor([width, height], device=boxes.device)).ceil()
        taps = height * width * int(sides.prod(1).sum())
    else:
        return None
    return {Event.INTERPOLATION: taps * x.shape[1], Event.REDUCTION: taps * x.shape[1]}


def _aligned_backward(
    result: Any, grad: Any, boxes: Any, scale: float, height: Any, width: Any, *rest: Any
) -> Events | None:
    *_, samples, _ = rest
    return {Event.ADDITION: 4 * samples * samples * grad.numel()} if samples > 0 else None


RULES: dict[str, Rule] = (
    PRODUCTS
    | named(_bags, "_embedding_bag _embedding_bag_forward_only")
    | named(_bags_backward, "_embedding_bag_backward _embedding_bag_dense_backward")
    | named(_weighted_bags_backward, "_embedding_bag_per_sample_weights_backward")
    | named(table_gradient, "embedding_dense_backward")
    | OPTIMIZERS
    | named(_distances, "_cdist_forward _pdist_forward")
    | named(_weight_norm_backward, "_weight_norm_interface_backward")
    # elements
    | named(_sum, "add sub rsub")
    | named(_each(Event.PRODUCT), "mul square")
    | named(_multiply_add(Event.PRODUCT), "addcmul")
    | named(_multiply_add(Event.DIVISION), "addcdiv")
    | named(_interpolate, "lerp")
    | named(_each(Event.PRODUCT, Event.PRODUCT, Event.ADDITION), "linalg_cross")
    | named(_each(Event.DIVISION), "div reciprocal floor_divide remainder fmod true_divide")
    | named(_each(Event.SIGMOID), "sigmoid")
    | named(_each(Event.TANH), "tanh")
    | named(_each(Event.RELU), "relu")
    | named(
        _each(Event.TRANSCENDENTAL),
        "exp exp2 expm1 log log2 log10 log1p sqrt rsqrt pow sin cos tan asin acos atan atan2 sinh cosh asinh acosh "
        "atanh erf erfc erfinv lgamma digamma logaddexp logaddexp2 hypot sinc xlogy",
    )
    | named(
        _each(Event.ACTIVATION),
        "gelu silu mish elu celu selu leaky_relu hardtanh hardswish hardsigmoid softplus log_sigmoid_forward "
        "_prelu_kernel rrelu_with_noise glu threshold softshrink hardshrink",
    )
    | named(
        _each(Event.COMPARISON),
        "eq ne lt le gt ge where clamp clamp_min clamp_max maximum minimum fmax fmin masked_fill isnan isinf isfinite "
        "logical_and logical_or logical_not logical_xor bitwise_and bitwise_or bitwise_not bitwise_xor sign sgn "
        "signbit heaviside isposinf isneginf tril triu",
    )
    | named(_each(Event.SOFTMAX), "_softmax _log_softmax _safe_softmax")
    | named(
        _inputs(Event.REDUCTION),
        "sum amax amin max min argmax argmin prod any all norm linalg_vector_norm logsumexp cumsum cumprod cummax "
        "cummin topk sort aminmax nansum logcumsumexp median mode kthvalue count_nonzero nanmedian native_norm "
        "_is_all_true _is_any_true _cummax_helper _cummin_helper _logcumsumexp trace",
    )
    | named(_mean, "mean")
    | named(_variance, "var var_mean std std_mean")
    # data that moves
    | named(
        _each(Event.MOVE),
        "clone copy _to_copy cat stack index index_select gather embedding constant_pad_nd roll flip repeat "
        "reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d "
        "slice_scatter select_scatter masked_select im2col take pixel_shuffle pixel_unshuffle "
        "upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d _upsample_nearest_exact2d "
        "_upsample_nearest_exact3d channel_shuffle native_channel_shuffle unfold_copy permute_copy _pad_circular "
        "diag_embed repeat_interleave _reshape_alias_copy expand_copy _to_dense "
        "lift_fresh_copy detach_copy select_copy slice_copy values_copy view_as_real_copy view_as_complex_copy "
        "_conj_copy _neg_view_copy _lazy_clone",
    )
    | named(_inputs(Event.ADDITION), "col2im bincount segment_reduce")
    | named(_inputs(Event.ADDITION, Event.ADDITION, Event.DIVISION, Event.COMPARISON, Event.COMPARISON), "histc")
    | named(_bisected(1), "searchsorted")
    | named(_bisected(0), "bucketize")
    | named(_inputs(Event.COMPARISON), "nonzero nonzero_static unique_consecutive equal _to_sparse")
    | named(_inputs(Event.ADDITION, Event.COMPARISON, Event.COMPARISON, Event.PRODUCT), "allclose")
    | named(_inputs(Event.REDUCTION, Event.COMPARISON), "_unique _unique2 unique_dim unique_dim_consecutive")
    | named(_packed, "_pack_padded_sequence")
    | named(_alignments(False), "_ctc_loss")
    | named(_alignments(True), "_ctc_loss_backward")
    | named(_suppressed, "torchvision::nms")
    | named(_aligned, "torchvision::roi_align")
    | named(_aligned_backward, "torchvision::_roi_align_backward")
    # norms, pooling, resizing
    | named(
        _batch_norm(5), "batch_norm native_batch_norm cudnn_batch_norm _native_batch_norm_legit _batch_norm_with_update"
    )
    | named(_batch_norm(-1), "_native_batch_norm_legit_no_training _batch_norm_no_update")
    | named(_each(Event.OWN_NORM), "native_layer_norm native_group_norm _fused_rms_norm")
    | {f"max_pool{n}d{way}": _pool(Event.MAX_POOL, n) for n in (1, 2, 3) for way in ("", "_with_indices")}
    | {f"fractional_max_pool{n}d": _pool(Event.MAX_POOL, n) for n in (2, 3)}
    | {f"avg_pool{n}d": _pool(Event.AVERAGE_POOL, n) for n in (1, 2, 3)}
    | named(
        _adaptive(Event.ADAPTIVE_POOL),
        "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d",
    )
    | named(_adaptive(Event.MAX_POOL), "adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d")
    | named(_each(Event.RESIZE), "upsample_bilinear2d")
    | named(
        _each(Event.INTERPOLATION),
        "upsample_bicubic2d upsample_trilinear3d upsample_linear1d _upsample_bilinear2d_aa _upsample_bicubic2d_aa "
        "_upsample_lanczos2d_aa grid_sampler_2d grid_sampler_3d _grid_sampler_2d_cpu_fallback cudnn_grid_sampler",
    )
    # gradients: of a function of one element, its derivative times the gradient
    | named(_each(Event.COMPARISON), "threshold_backward hardtanh_backward softshrink_backward hardshrink_backward")
    | named(_derivative, "sigmoid_backward tanh_backward")
    | named(_margins, "multi_margin_loss_backward")
    | named(
        _each(Event.ACTIVATION),
        "gelu_backward silu_backward elu_backward leaky_relu_backward hardswish_backward hardsigmoid_backward "
        "softplus_backward mish_backward log_sigmoid_backward _prelu_kernel_backward glu_backward",
    )
    | named(_each(Event.SOFTMAX), "_softmax_backward_data _log_softmax_backward_data")
    | named(
        _inputs(Event.OWN_NORM),
        "native_layer_norm_backward native_group_norm_backward _fused_rms_norm_backward",
    )
    | named(_batch_norm_backward, "native_batch_norm_backward cudnn_batch_norm_backward")
    | named(_inputs(Event.ADDITION), "max_pool2d_with_indices_backward max_pool3d_with_indices_backward")
    | named(_inputs(Event.ADDITION), "adaptive_max_pool2d_backward adaptive_max_pool3d_backward")
    | named(
        _inputs(Event.ADDITION),
        "upsample_nearest1d_backward upsample_nearest2d_backward "
        "upsample_nearest3d_backward _upsample_nearest_exact1d_backward _upsample_nearest_exact2d_backward "
        "_upsample_nearest_exact3d_backward fractional_max_pool2d_backward fractional_max_pool3d_backward "
        "max_pool2d_backward unfold_backward reflection_pad1d_backward reflection_pad2d_backward "
        "replication_pad1d_backward replication_pad2d_backward replication_pad3d_backward",
    )
    | named(
        _each(Event.ADAPTIVE_POOL),
        "_adaptive_avg_pool2d_backward _adaptive_avg_pool3d_backward adaptive_avg_pool3d_backward",
    )
    | named(_pool_backward(2), "avg_pool2d_backward")
    | named(_pool_backward(3), "avg_pool3d_backward")
    | named(_inputs(Event.RESIZE), "upsample_bilinear2d_backward")
    | named(
        _inputs(Event.INTERPOLATION),
        "upsample_bicubic2d_backward upsample_trilinear3d_backward upsample_linear1d_backward "
        "_upsample_bilinear2d_aa_backward _upsample_bicubic2d_aa_backward _upsample_lanczos2d_aa_backward "
        "grid_sampler_2d_backward grid_sampler_3d_backward _grid_sampler_2d_cpu_fallback_backward",
    )
    | named(_each(Event.PRODUCT), "native_dropout_backward")
    | named(
        _inputs(Event.MOVE),
        "select_backward slice_backward diagonal_backward value_selecting_reduction_backward masked_scatter_backward",
    )
    | named(_distances_backward, "_cdist_backward _pdist_backward")
    | named(_each(Event.SOFTMAX), "_masked_softmax _masked_softmax_backward")
    | named(_each(Event.PRODUCT), "_masked_scale")
    # numbers of few bits
    | named(
        _inputs(Event.POINTWISE),
        "quantize_per_tensor quantize_per_channel dequantize fake_quantize_per_tensor_affine_cachemask "
        "fake_quantize_per_channel_affine_cachemask _fake_quantize_per_tensor_affine_cachemask_tensor_qparams "
        "_fake_quantize_learnable_per_tensor_affine _fake_quantize_learnable_per_channel_affine",
    )
    | named(
        _inputs(Event.POINTWISE, Event.REDUCTION),
        "quantize_per_tensor_dynamic _fused_moving_avg_obs_fq_helper _fused_moving_avg_obs_fq_helper_functional",
    )
    | named(_each(Event.MOVE), "int_repr quantized::cat quantized::embedding_byte quantized::embedding_4bit")
    | named(_each(Event.ADDITION), "quantized::add quantized::add_scalar")
    | named(_each(Event.ADDITION, Event.RELU), "quantized::add_relu quantized::add_scalar_relu")
    | named(_each(Event.PRODUCT), "quantized::mul quantized::mul_scalar")
    | named(_each(Event.PRODUCT, Event.RELU), "quantized::mul_relu quantized::mul_scalar_relu")
    | named(_each(Event.NORM), "quantized::batch_norm quantized::batch_norm1d quantized::batch_norm2d")
    | named(_each(Event.OWN_NORM), "quantized::layer_norm quantized::group_norm quantized::instance_norm")
    | named(_each(Event.ACTIVATION), "quantized::hardswish quantized::elu quantized::leaky_relu quantized::relu6")
    | named(_each(Event.SIGMOID), "quantized::sigmoid")
    | named(_each(Event.SOFTMAX), "quantized::softmax")
    | named(_pool(Event.MAX_POOL, 2), "quantized_max_pool2d quantized::max_pool2d")
    | named(_pool(Event.MAX_POOL, 1), "quantized_max_pool1d quantized::max_pool1d")
    | named(_pool(Event.MAX_POOL, 3), "quantized_max_pool3d")
    # random numbers, memory without arithmetic
    | named(_dropout, "native_dropout")
    | named(
        _each(Event.RANDOM),
        "bernoulli rand randn randint rand_like randn_like randint_like normal uniform randperm multinomial random "
        "poisson binomial _standard_gamma exponential geometric",
    )
    | named(
        _nothing,
        "zeros ones full zeros_like ones_like full_like new_zeros new_ones new_full arange linspace fill zero "
        "scalar_tensor eye set_ range fft_fftfreq fft_rfftfreq",
    )
)

# Products whose arguments must have the same type.
SAME_TYPES = frozenset({"mm", "bmm", "addmm", "baddbmm", "linear", "matmul", "mv", "addmv", "dot"})
SAME_TYPES |= {"convolution", "conv1d", "conv2d", "conv3d"}
CONVOLUTIONS = frozenset(f"conv{way}{n}d" for way in ("", "_transpose") for n in (1, 2, 3))
CONVOLUTIONS |= {"convolution", "_convolution"}


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
        "resize_as_",
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
        "empty_permuted",
        "q_scale",
        "q_zero_point",
        "qscheme",
        "record_stream",
        "is_nonzero",
        "_nnz",
        "sparse_dim",
        "dense_dim",
        "is_coalesced",
        "_coalesced_",
        "_sparse_coo_tensor_with_dims_and_tensors",
        "item",
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
KEEPS_DTYPE = frozenset(
    {"add", "sub", "mul", "div", "rsub", "maximum", "minimum", "fmod", "remainder", "atan2", "neg", "abs", "square",
     "reciprocal", "pow", "exp", "exp2", "expm1", "log", "log2", "log1p", "log10", "sqrt", "rsqrt", "sin", "cos", "tan",
     "asin", "acos", "atan", "sinh", "cosh", "erf", "erfc", "sigmoid", "tanh", "relu", "gelu", "silu", "mish", "elu",
     "celu", "selu", "leaky_relu", "hardtanh", "hardswish", "hardsigmoid", "softplus", "threshold", "clamp",
     "clamp_min", "clamp_max", "floor", "ceil", "trunc", "sign", "sgn", "threshold_backward", "sigmoid_backward",
     "tanh_backward", "gelu_backward", "silu_backward", "leaky_relu_backward"}
)  # fmt: skip
DROPOUTS = frozenset({"dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"})
# Of torch's primitives, the names of the same operations in aten.
PRIMITIVES = {
    **dict.fromkeys(("convert_element_type", "copy_to", "copy_strided", "device_put", "reshape", "collapse"), "copy"),
    "rev": "flip",
    "iota": "arange",
    "erf_inv": "erfinv",
    "maximum_value": "fill",
    "minimum_value": "fill",
    "as_strided_scatter": "select_scatter",
}
# Where oneself is, how many there are, and marks for a profiler.
QUESTIONS = frozenset({"prim", "profiler"})
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
    if isinstance(func, HigherOrderOperator):  # others consist of operations that are seen themselves
        return ("rule", rule_of(func)) if kernel_of(func) else ("free", None)
    name = func.overloadpacket.__name__
    # A reshape is a view or a copy: only its parts tell.
    view = func.is_view and not func._can_decompose()
    if func.namespace in QUESTIONS or view or (func.namespace in ("aten", "prims") and name in FREE):
        return "free", None
    rule = rule_of(func) if kernel_of(func) else _rule(func, name)
    return ("rule", rule) if rule else ("unknown", None)


def _rule(func: Any, name: str) -> Rule | None:
    bare = name[:-1] if name.endswith("_") and not name.startswith("__") else name
    if func.namespace == "prims":
        rule = RULES.get(PRIMITIVES.get(name, name))
        sides = {each.name for each in func._schema.arguments}
        return rule or (_POINTWISE if sides in ({"self"}, {"self", "other"}) else None)
    if func.namespace != "aten":
        return RULES.get(f"{func.namespace}::{name}")
    if name in ("max", "min") and func._overloadname == "other":  # of two tensors
        return RULES["maximum"]
    if bare.startswith("_foreach_"):
        single = getattr(torch.ops.aten, bare.removeprefix("_foreach_"), None)
        part = _rule(getattr(single, single.overloads()[0]), single.__name__) if single else None
        return for_each(part) if part else None
    rule = into_places(name) or RULES.get(name) or RULES.get(bare)
    return rule or (_POINTWISE if torch.Tag.pointwise in func.tags else None)
