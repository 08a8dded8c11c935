"""Results without values, of operations for which torch has no kernel of meta tensors, or one that refuses types."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from costmodel.counting.products import has_values


def _like(place: int, *more: torch.dtype) -> Callable[..., Any]:
    """A tensor like argument number ``place``, and others of its shape of these types."""

    def make(*args: Any, **options: Any) -> Any:
        results = (torch.empty_like(args[place]), *(torch.empty_like(args[place], dtype=each) for each in more))
        return results if more else results[0]

    return make


def _grouped(a: Any, b: Any, offsets: Any = None, bias: Any = None, dtype: Any = None) -> torch.Tensor:
    """Of groups of rows or columns a matrix; of groups of summands, and of two stacks, a stack of matrices."""
    sides: tuple[Any, ...] = (a.shape[-2], b.shape[-1])
    if a.dim() == b.dim():
        sides = ((offsets if a.dim() == 2 else a).shape[0], *sides)
    made: torch.Tensor = a.new_empty(sides, dtype=dtype)
    return made


def _alignments(scores: Any, targets: Any, steps: Any, lengths: Any, *rest: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of each sample, and a state for each step, label and gap of the longest sample."""
    if isinstance(lengths, torch.Tensor):
        known = has_values(lengths)
        longest = int(lengths.max()) if known else targets.shape[-1]
    else:
        longest = max(lengths)
    samples = scores.shape[1]
    return scores.new_empty(samples), scores.new_empty(samples, scores.shape[0], 2 * longest + 1)


def _bags(
    weight: Any, indices: Any, offsets: Any, scaled: bool = False, mode: int = 0, sparse: bool = False,
    factors: Any = None, last: bool = False, padding: int = -1, *, keeps: bool = True,
) -> tuple[torch.Tensor, ...]:  # fmt: skip
    """The bags, the bag of each index, the size of each bag, and the places of largest elements (mode 2), with the
    buffers of torch's CPU kernel (``EmbeddingBag.cpp``): fast sums need no bag of each index. ``keeps``: for
    a backward pass."""
    kind = torch.promote_types(indices.dtype, offsets.dtype)
    bags, columns = offsets.shape[0] - last, weight.shape[1]
    fast = padding < 0 and weight.dtype in _FAST_BAGS and weight.stride(1) == 1
    fast = fast and (factors is None or (factors.dtype == weight.dtype and factors.stride(0) == 1))

    def numbers(*shape: int) -> torch.Tensor:
        return torch.empty(shape, dtype=kind, device="meta")

    bag_of_each = numbers(0) if mode == 0 and fast else numbers(indices.shape[0] + 1).resize_(indices.shape[0])
    sizes = numbers(offsets.shape[0])
    if keeps or mode > 0:
        sizes.resize_(bags)
    largest = numbers(*sizes.shape)
    if mode == 2:
        largest = numbers(bags, columns)
    return torch.empty(bags, columns, dtype=weight.dtype, device="meta"), bag_of_each, sizes, largest


_FAST_BAGS = (torch.float32, torch.float16, torch.bfloat16)


def _folded(x: Any, *rest: Any) -> torch.Tensor:
    """In memory that is as large as the windows were."""
    made: torch.Tensor = torch.ops.aten.col2im.default(torch.empty(x.shape, dtype=x.dtype, device="meta"), *rest)
    return torch.empty(max(x.numel(), made.numel()), dtype=x.dtype, device="meta").resize_(made.shape)


def _nothing(*args: Any, **options: Any) -> None:
    """Of an operation that only writes in place."""


MADE: dict[str, Callable[..., Any]] = {
    "_grouped_mm": _grouped,
    "col2im": _folded,
    "_embedding_bag": _bags,
    "_embedding_bag_forward_only": partial(_bags, keeps=False),
    "_ctc_loss": _alignments,
    **dict.fromkeys(
        ("_ctc_loss_backward", "multi_margin_loss_backward", "multilabel_margin_loss_backward",
         "adaptive_avg_pool3d_backward", "fractional_max_pool3d_backward"),
        _like(1),
    ),
    **dict.fromkeys(
        ("_masked_softmax", "_masked_softmax_backward", "_fake_quantize_learnable_per_tensor_affine",
         "_fake_quantize_learnable_per_channel_affine"),
        _like(0),
    ),
    **dict.fromkeys(
        ("fake_quantize_per_tensor_affine_cachemask", "fake_quantize_per_channel_affine_cachemask",
         "_fake_quantize_per_tensor_affine_cachemask_tensor_qparams"),
        _like(0, torch.bool),
    ),
    **dict.fromkeys(("_fused_adam_", "_fused_adamw_", "_fused_sgd_", "_fused_adagrad_"), _nothing),
}  # fmt: skip
