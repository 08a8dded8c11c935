"""Multiply-accumulates of torch's operations: convolutions, products of matrices, recurrence, linear algebra.

Counts of linear algebra are those of the textbook loops (G. Golub, C. Van Loan: Matrix Computations; LAPACK Working
Note 41, appendix C). What iterates until values converge (SVD, eigenvalues) has no rule.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import torch
from torch._subclasses.fake_tensor import unset_fake_temporarily

from costmodel.work.events import Event

Events: TypeAlias = dict[Event, int]
Rule: TypeAlias = Callable[..., "Events | None"]


def named(rule: Rule, names: str) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


def total(parts: Iterable["Events | None"]) -> Events | None:
    """The sum of events; None where a part is not known."""
    events: Events = {}
    for part in parts:
        if part is None:
            return None
        for event, count in part.items():
            events[event] = events.get(event, 0) + count
    return events


def has_values(tensor: torch.Tensor) -> bool:
    """True for a tensor whose values can be read: neither meta nor of a class of torch's or ours without values."""
    return type(tensor) in (torch.Tensor, torch.nn.Parameter) and not tensor.is_meta


def smaller(a: Any, b: Any) -> Any:
    """The smaller one of two sizes, which may be symbols."""
    return torch.sym_min(a, b)  # type: ignore[no-untyped-call]  # untyped in torch


def number_of_true(mask: torch.Tensor) -> Any:
    """The places that a mask keeps: true ones, of numbers those above the smallest; all, where values are not known."""
    if not has_values(mask):
        return mask.numel()
    with unset_fake_temporarily():
        kept = mask > torch.finfo(mask.dtype).min if mask.dtype.is_floating_point else mask
        return int(kept.count_nonzero())


# ---- convolutions ----------------------------------------------------------------------------------------------------


def _biased(macs: Any, result: Any, bias: Any) -> Events:
    return {Event.MAC: macs} | ({Event.BIAS: result.numel()} if bias is not None else {})


def _convolution(
    result: Any, x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, *rest: Any
) -> Events:
    transposed = rest[0] if rest and isinstance(rest[0], bool) else False  # of aten.convolution
    # Every output (of a transposed convolution: every input) meets the weights of one output (input) channel.
    positions = x if transposed else result
    return _biased(positions.numel() * math.prod(weight.shape[1:]), result, bias)


def _transposed(result: Any, x: Any, weight: Any, bias: Any = None, *rest: Any) -> Events:
    return _biased(x.numel() * math.prod(weight.shape[1:]), result, bias)


def _slow(result: Any, x: Any, weight: Any, sides: Any, bias: Any = None, *rest: Any) -> Events:
    """A convolution that is also told the sides of its kernel."""
    return _biased(
        (result[0] if isinstance(result, tuple) else result).numel() * math.prod(weight.shape[1:]), result, bias
    )


def _slow_transposed(result: Any, x: Any, weight: Any, sides: Any, bias: Any = None, *rest: Any) -> Events:
    return _biased(x.numel() * math.prod(weight.shape[1:]), result, bias)


def _over_time(result: Any, x: Any, weight: Any, bias: Any, padding: int = 0) -> Events:
    """A convolution of time x batch x channels, its weight kernel x input x output."""
    return _biased(result.numel() * math.prod(weight.shape[:2]), result, bias)


def _rectified(result: Any, x: Any, weight: Any, bias: Any, *rest: Any) -> Events:
    return _convolution(result, x, weight, bias) | {Event.RELU: result.numel()}


def _convolution_backward(
    result: Any, grad: Any, x: Any, weight: Any, bias_sizes: Any, stride: Any, padding: Any, dilation: Any,
    transposed: bool, output_padding: Any, groups: int, mask: Any,
) -> Events:  # fmt: skip
    """Each product of the forward pass comes again for the gradient of the input and for that of the weights."""
    forward = (x if transposed else grad).numel() * math.prod(weight.shape[1:])
    sums = {Event.REDUCTION: grad.numel()} if mask[2] else {}
    return {Event.MAC: forward * (bool(mask[0]) + bool(mask[1]))} | sums


def _deformed(result: Any, x: Any, weight: Any, offset: Any, mask: Any, bias: Any, *rest: Any) -> Events:
    """A convolution whose taps are interpolated (with a mask: and scaled) at places that an offset moves."""
    taps = result[:, :1].numel() * x.shape[1] * math.prod(weight.shape[2:])
    use_mask = rest[-1]
    return _biased(result.numel() * math.prod(weight.shape[1:]), result, bias) | (
        {Event.INTERPOLATION: taps} | ({Event.PRODUCT: taps} if use_mask else {})
    )


# ---- products of matrices --------------------------------------------------------------------------------------------


def _product(result: Any, a: Any, b: Any) -> Any:
    """Multiply-accumulates of ``a @ b``: of a sparse matrix those of its stored entries; None for two of them."""
    sparse = [each.layout is not torch.strided for each in (a, b)]
    if all(sparse):
        return None
    if sparse[0]:
        return a._nnz() * (b.shape[-1] if b.dim() > 1 else 1)
    if sparse[1]:
        return b._nnz() * (a.shape[-2] if a.dim() > 1 else 1)
    return result.numel() * a.shape[-1]


def _matmul(result: Any, a: Any, b: Any, /, *rest: Any, **options: Any) -> Events | None:
    macs = _product(result, a, b)
    return None if macs is None else {Event.MAC: macs}


def _linear(result: Any, x: Any, weight: Any, bias: Any = None, /, *rest: Any) -> Events:
    return _biased(result.numel() * x.shape[-1], result, bias)


def _linear_backward(result: Any, x: Any, grad: Any, weight: Any, mask: Any) -> Events:
    sums = {Event.REDUCTION: grad.numel()} if mask[2] else {}
    return {Event.MAC: grad.numel() * x.shape[-1] * (bool(mask[0]) + bool(mask[1]))} | sums


def _scaled_product(
    result: Any, bias: Any, a: Any, b: Any, /, *, beta: float = 1, alpha: float = 1, **_: Any
) -> Events | None:
    """``beta * bias + alpha * (a @ b)``."""
    macs = _product(result, a, b)
    if macs is None:
        return None
    events = {Event.MAC: macs}
    if beta:
        events[Event.BIAS] = result.numel()
    scaled = (alpha != 1) + (beta not in (0, 1))
    return events | ({Event.PRODUCT: scaled * result.numel()} if scaled else {})


def _batches_summed(result: Any, bias: Any, a: Any, b: Any, /, *, beta: float = 1, alpha: float = 1) -> Events | None:
    return {Event.MAC: a.numel() * b.shape[-1], Event.BIAS: result.numel()} if alpha == beta == 1 else None


def _narrow(result: Any, x: Any, weight: Any, *rest: Any, **options: Any) -> Events:
    """Weights of few bits or scaled numbers: every output is scaled once."""
    return {Event.MAC: result.numel() * x.shape[-1], Event.PRODUCT: result.numel()}


def _scaled_mm(result: Any, a: Any, b: Any, *rest: Any, bias: Any = None, **options: Any) -> Events:
    added = bias if bias is not None else rest[2] if len(rest) > 2 and isinstance(rest[2], torch.Tensor) else None
    return _biased(result.numel() * a.shape[-1], result, added) | {Event.PRODUCT: result.numel()}


def _grouped(result: Any, a: Any, b: Any, *rest: Any, **options: Any) -> Events:
    """Groups of rows, columns or summands, each multiplied by a matrix of its own (2D x 3D, 3D x 2D, 2D x 2D), or
    matrix by matrix. Every place counts, those past the last group, too."""
    columns = a.dim() == 3 and b.dim() == 2
    return {Event.MAC: b.numel() * a.shape[1] if columns else a.numel() * b.shape[-1]}


def _grouped_scaled(result: Any, a: Any, b: Any, *rest: Any, **options: Any) -> Events:
    return _grouped(result, a, b) | {Event.PRODUCT: result.numel()}


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


# ---- quantised weights -----------------------------------------------------------------------------------------------


def unpacked(value: Any) -> list[torch.Tensor]:
    """The weight and the bias inside what quantised modules hold; nothing for other things."""
    if not isinstance(value, torch.ScriptObject) or not hasattr(value, "unpack"):
        return []
    return [each for each in value.unpack() if isinstance(each, torch.Tensor)]


def _quantised(*after: Event, transposed: bool = False) -> Rule:
    """A linear layer or a convolution with packed weights, then what happens to each output."""

    def rule(result: Any, x: Any, packed: Any, *rest: Any, **options: Any) -> Events | None:
        tensors = unpacked(packed)
        if not tensors:
            return None
        weight, *bias = tensors
        events = _biased(
            (x if transposed else result).numel() * math.prod(weight.shape[1:]), result, bias[0] if bias else None
        )
        return events | dict.fromkeys(after, result.numel())

    return rule


# ---- recurrence that arrives as one operation -----------------------------------------------------------------------


def _lstm_layer(
    result: Any, x: Any, weight: Any, recurrent: Any, bias: Any, other: Any, h: Any, c: Any, reverse: bool,
    batch_sizes: Any, mode: int, hidden: int, layers: int, biased: bool, *rest: Any,
) -> Events | None:  # fmt: skip
    """One layer and direction of `torch.nn.LSTM` as oneDNN runs it."""
    steps = x.shape[0] * x.shape[1]
    if mode != LSTM:
        return None
    return {Event.MAC: steps * (weight.numel() + recurrent.numel())} | _lstm_gates(steps * hidden, biased)


def _lstm_gates(units: Any, biased: bool) -> Events:
    """All of a step of an LSTM but its products of matrices."""
    return {
        Event.BIAS: 8 * units if biased else 0,
        Event.ADDITION: 5 * units,
        Event.SIGMOID: 3 * units,
        Event.TANH: 2 * units,
        Event.PRODUCT: 3 * units,
    }


def _lstm_cell(result: Any, gates: Any, recurrent: Any, c: Any, bias: Any = None, *rest: Any) -> Events:
    return _lstm_gates(c.numel(), bias is not None)


def _gru_gates(units: Any, biased: bool) -> Events:
    """All of a step of a GRU but its products of matrices: two gates, ``n = tanh(a + r * b)``, ``n + z * (h - n)``."""
    return {
        Event.BIAS: 6 * units if biased else 0,
        Event.ADDITION: 5 * units,
        Event.SIGMOID: 2 * units,
        Event.TANH: units,
        Event.PRODUCT: 2 * units,
    }


def _gru_cell(result: Any, gates: Any, recurrent: Any, h: Any, bias: Any = None, *rest: Any) -> Events:
    return _gru_gates(h.numel(), bias is not None)


def _quantised_layers(gates: int) -> Rule:
    """An LSTM (4 gates) or a GRU (3), all of its layers, whose weights nobody unpacks: their sizes follow from the
    input, the state and the flags."""

    def rule(result: Any, x: Any, *rest: Any, **options: Any) -> Events:
        at = next(place for place, each in enumerate(rest) if _packed(each))  # after the state
        state = rest[at - 1][0] if isinstance(rest[at - 1], list | tuple) else rest[at - 1]
        biased, layers, _, _, both_ways = rest[at + 1 : at + 6]
        hidden, directions, steps = state.shape[-1], 1 + both_ways, x.numel() // x.shape[-1]
        widths = [x.shape[-1], *[directions * hidden] * (layers - 1)]
        weights = directions * gates * hidden * sum(width + hidden for width in widths)
        parts = _lstm_gates if gates == 4 else _gru_gates
        return {Event.MAC: steps * weights} | parts(steps * hidden * layers * directions, biased)

    return rule


def _quantised_cell(gates: int) -> Rule:
    """A step of an LSTM (4 gates), a GRU (3) or a plain recurrence with tanh or ReLU (1)."""

    def rule(result: Any, x: Any, state: Any, *rest: Any) -> Events:
        h = state[0] if isinstance(state, list | tuple) else state
        macs = {Event.MAC: x.shape[0] * gates * h.shape[-1] * (x.shape[-1] + h.shape[-1])}
        if gates == 1:
            return macs | {Event.BIAS: 2 * h.numel(), Event.ADDITION: h.numel()}
        return macs | (_lstm_gates if gates == 4 else _gru_gates)(h.numel(), True)

    return rule


def _activated(rule: Rule, event: Event) -> Rule:
    """A rule, and an event for each element of the result."""
    return lambda result, *args: total([rule(result, *args), {event: result.numel()}])


def _packed(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and isinstance(value[0], torch.ScriptObject)


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


# ---- linear algebra --------------------------------------------------------------------------------------------------


def _matrices(a: Any) -> tuple[Any, Any, Any]:
    """The number of matrices, their rows and columns."""
    return math.prod(a.shape[:-2]), a.shape[-2], a.shape[-1]


def _shrinking(m: Any, n: Any, steps: Any) -> Any:
    """The sum of ``(m - k) * (n - k)`` for k = 1 ... steps."""
    return steps * (6 * m * n - 3 * (m + n) * (steps + 1) + (steps + 1) * (2 * steps + 1)) // 6


def _lu(result: Any, a: Any, *rest: Any, **options: Any) -> Events:
    """Gaussian elimination: below each pivot a search, a division and an update of all that is right of it."""
    count, m, n = _matrices(a)
    p = smaller(m, n)
    below = p * m - p * (p + 1) // 2
    return {
        Event.MAC: count * _shrinking(m, n, p),
        Event.DIVISION: count * below,
        Event.REDUCTION: count * (below + p),
    }


def _triangles(n: Any, columns: Any, divided: int, triangles: int = 2) -> Events:
    """Systems of triangular matrices with ``columns`` right sides, in ``divided`` of them with divisions."""
    macs = {Event.MAC: triangles * columns * n * (n - 1) // 2}
    return macs | ({Event.DIVISION: divided * columns * n} if divided else {})


def _lu_solve(result: Any, lu: Any, pivots: Any, b: Any, **options: Any) -> Events:
    n = lu.shape[-1]
    return _triangles(n, result.numel() // n, 1)


def _solve(result: Any, a: Any, *rest: Any, **options: Any) -> Events | None:
    """An elimination, then two triangular systems: the inverse is the solution for the columns of the identity."""
    n = a.shape[-1]
    return total([_lu(result, a), _triangles(n, result[0].numel() // n, 1)])


def _determinant(logarithms: bool) -> Rule:
    def rule(result: Any, a: Any, **options: Any) -> Events | None:
        diagonal = a.numel() // a.shape[-1]
        logs = {Event.TRANSCENDENTAL: diagonal} if logarithms else {}
        return total([_lu(result, a), {Event.REDUCTION: diagonal} | logs])

    return rule


def _solve_triangular(result: Any, a: Any, b: Any, *rest: Any, unitriangular: bool = False, **options: Any) -> Events:
    n = a.shape[-1]
    return _triangles(n, result.numel() // n, int(not unitriangular), 1)


def _triangular_solve(
    result: Any, b: Any, a: Any, upper: bool = True, transpose: bool = False, unit: bool = False
) -> Events:
    return _solve_triangular(result[0], a, b, unitriangular=unit)


def _cholesky(result: Any, a: Any, *rest: Any, **options: Any) -> Events:
    """Half of an elimination: n^3/3 FLOPs, n roots."""
    count, n, _ = _matrices(a)
    return {
        Event.MAC: count * ((n * n * n - n) // 6),
        Event.DIVISION: count * (n * (n - 1) // 2),
        Event.TRANSCENDENTAL: count * n,
    }


def _cholesky_solve(result: Any, b: Any, factor: Any, *rest: Any) -> Events:
    n = factor.shape[-1]
    return _triangles(n, result.numel() // n, 2)


def _cholesky_inverse(result: Any, factor: Any, *rest: Any) -> Events:
    """LAPACK's POTRI."""
    count, n, _ = _matrices(factor)
    return {
        Event.MAC: count * (n * (n - 1) * (2 * n - 1) // 6),
        Event.PRODUCT: count * (n * (3 * n + 1) // 2 - n),
        Event.DIVISION: count * n,
    }


def _reflected(m: Any, columns: Any, steps: Any) -> Any:
    """Multiply-accumulates of reflections of length m, m - 1, ... of all columns right of them, two an element."""
    return 2 * (_shrinking(m, columns, steps) + steps * columns - steps * (steps + 1) // 2)


def _qr(result: Any, a: Any, mode: str = "reduced") -> Events:
    """Householder's reflections; for the matrix Q, they are applied to the columns of the identity."""
    count, m, n = _matrices(a)
    p = smaller(m, n)
    lengths = p * m - p * (p - 1) // 2
    columns = {"r": 0, "reduced": p, "complete": m}[mode]
    formed = _reflected(m, columns, p) if mode != "r" else 0
    return {
        Event.MAC: count * (_reflected(m, n, p) + lengths + formed),
        Event.DIVISION: count * (lengths - p),
        Event.TRANSCENDENTAL: count * p,
    }


def _householder(result: Any, a: Any, scales: Any) -> Events:
    count, m, n = _matrices(a)
    return {Event.MAC: count * _reflected(m, n, scales.shape[-1])}


def _reflections(result: Any, vectors: Any, scales: Any, other: Any, *rest: Any) -> Events:
    """Reflections of another matrix, as a whole: a product and a sum for each of its elements that they reach."""
    m, steps = vectors.shape[-2], scales.shape[-1]
    return {Event.MAC: other.numel() // m * 2 * (steps * m - steps * (steps - 1) // 2)}


def _unpacked_lu(result: Any, *args: Any, **options: Any) -> Events:
    return {Event.MOVE: sum(each.numel() for each in result)}


def _exponential(result: Any, a: Any) -> Events:
    """Taylor polynomials of degree 1 to 18, of 0 to 5 products, as the norm of each matrix needs, and squarings of
    larger ones (Bader, Blanes, Casas: Computing the Matrix Exponential, Mathematics 2019). Without values, the degree
    18 and no squaring."""
    count, n, _ = _matrices(a)
    products = 5 * count
    if has_values(a):
        norms = a.detach().abs().sum(-2).amax(-1).double().flatten().tolist() if a.numel() else []
        limits = _LIMITS_DOUBLE if a.dtype in (torch.float64, torch.complex128) else _LIMITS
        products = 0
        for norm in norms:
            degree = sum(norm > limit for limit in limits[:-1])
            products += degree + (max(0, math.ceil(math.log2(norm / limits[-1]))) if norm > limits[-1] else 0)
    return {Event.MAC: products * n * n * n}


# Norms up to which the polynomials of degree 1, 2, 4, 8, 12 and 18 are exact to the last digit, as torch has them.
_LIMITS = (1.192092800768788e-07, 5.978858893805233e-04, 5.116619363445086e-02, 5.800524627688768e-01,
           1.461661507209034e00, 3.010066362817634e00)  # fmt: skip
_LIMITS_DOUBLE = (2.220446049250313e-16, 2.580956802971767e-08, 3.397168839976962e-04, 4.991228871115323e-02,
                  2.996158913811580e-01, 1.090863719290036e00)  # fmt: skip


# ---- Fourier transforms ----------------------------------------------------------------------------------------------


def _fourier(halves: int, of_result: bool = False) -> Rule:
    """Butterflies: ``n / 2 * log2(n)`` for each transform of n points, half of that if one side is real; rounded up
    where n is no power of two. A scaling is part of the transform."""

    def rule(result: Any, x: Any, sides: Any, *rest: Any) -> Events | None:
        shape = (result if of_result else x).shape
        inside = {side % len(shape) for side in sides}
        n = math.prod(shape[side] for side in inside)
        if not isinstance(n, int):  # a letter
            return None
        transforms = math.prod(size for side, size in enumerate(shape) if side not in inside)
        return {Event.FFT: transforms * math.ceil(n * math.log2(n) / halves)} if n else {}

    return rule


PRODUCTS: dict[str, Rule] = (
    named(
        _convolution,
        "convolution _convolution cudnn_convolution mkldnn_convolution conv1d conv2d conv3d convolution_overrideable",
    )
    | named(_rectified, "cudnn_convolution_relu")
    | named(
        _slow,
        "_slow_conv2d_forward slow_conv3d_forward slow_conv_dilated2d slow_conv_dilated3d _conv_depthwise2d "
        "conv_depthwise3d",
    )
    | named(_slow_transposed, "slow_conv_transpose2d slow_conv_transpose3d")
    | named(_over_time, "conv_tbc")
    | named(_transposed, "conv_transpose1d conv_transpose2d conv_transpose3d")
    | named(_convolution_backward, "convolution_backward convolution_backward_overrideable")
    | named(_deformed, "torchvision::deform_conv2d")
    | named(_matmul, "mm bmm mv matmul _int_mm _sparse_mm")
    | named(_linear, "linear mkldnn_linear")
    | named(_linear_backward, "linear_backward")
    | named(_scaled_product, "addmm baddbmm addmv _sparse_addmm")
    | named(_batches_summed, "addbmm")
    | named(
        _narrow,
        "_weight_int8pack_mm _weight_int4pack_mm _weight_int4pack_mm_for_cpu _weight_int4pack_mm_with_scales_and_zeros "
        "_dyn_quant_matmul_4bit _mixed_dtypes_linear",
    )
    | named(_scaled_mm, "_scaled_mm")
    | named(_narrow, "_scaled_mm_v2")
    | named(_grouped, "_grouped_mm")
    | named(_grouped_scaled, "_scaled_grouped_mm _scaled_grouped_mm_v2")
    | named(_dot, "dot vdot")
    | named(_outer_sum, "addr")
    | named(_three, "_trilinear")
    | named(_quantised(), "quantized::linear quantized::linear_dynamic quantized::linear_dynamic_fp16")
    | named(_quantised(Event.RELU), "quantized::linear_relu quantized::linear_relu_dynamic")
    | named(_quantised(Event.ACTIVATION), "quantized::linear_leaky_relu")
    | named(_quantised(Event.TANH), "quantized::linear_tanh")
    | {
        f"quantized::conv{n}d{end}": _quantised(*after)
        for n in (1, 2, 3)
        for end, after in (("", ()), ("_dynamic", ()), ("_relu", (Event.RELU,)))
    }
    | {
        f"quantized::conv_transpose{n}d{end}": _quantised(transposed=True)
        for n in (1, 2, 3)
        for end in ("", "_dynamic")
    }
    | named(_matmul, "quantized::matmul")
    | named(_quantised_layers(4), "quantized_lstm")
    | named(_quantised_layers(3), "quantized_gru")
    | named(_quantised_cell(4), "quantized::quantized_lstm_cell_dynamic")
    | named(_quantised_cell(3), "quantized::quantized_gru_cell_dynamic")
    | named(_activated(_quantised_cell(1), Event.TANH), "quantized::quantized_rnn_tanh_cell_dynamic")
    | named(_activated(_quantised_cell(1), Event.RELU), "quantized::quantized_rnn_relu_cell_dynamic")
    | named(_lstm_layer, "mkldnn_rnn_layer")
    | named(_lstm_layer_backward, "mkldnn_rnn_layer_backward")
    | named(_lstm_cell, "_thnn_fused_lstm_cell")
    | named(_gru_cell, "_thnn_fused_gru_cell")
    | named(_lu, "linalg_lu linalg_lu_factor_ex")
    | named(_determinant(False), "_linalg_det")
    | named(_determinant(True), "_linalg_slogdet")
    | named(_solve, "_linalg_solve_ex linalg_inv_ex")
    | named(_lu_solve, "linalg_lu_solve")
    | named(_solve_triangular, "linalg_solve_triangular")
    | named(_triangular_solve, "triangular_solve")
    | named(_cholesky, "cholesky linalg_cholesky_ex")
    | named(_cholesky_solve, "cholesky_solve _cholesky_solve_helper")
    | named(_cholesky_inverse, "cholesky_inverse")
    | named(_qr, "linalg_qr")
    | named(lambda result, a: _qr(result, a, "r"), "geqrf")
    | named(_householder, "linalg_householder_product")
    | named(_reflections, "ormqr")
    | named(_unpacked_lu, "lu_unpack")
    | named(_exponential, "linalg_matrix_exp")
    | named(_fourier(2), "_fft_c2c")
    | named(_fourier(4), "_fft_r2c")
    | named(_fourier(4, of_result=True), "_fft_c2r")
)
