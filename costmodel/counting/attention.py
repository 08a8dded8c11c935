"""Attention that arrives as one operation: its work, and the part of it that a mask keeps.

A fused attention multiplies queries by keys, scales, takes a softmax, and multiplies by values. The full work has every
pair of a query and a key, as `FlopCounterMode` counts; the masked work those pairs alone that a causal mask, a window
or a mask with known values keeps, which is what kernels that skip the rest come to.
"""

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

from torch._ops import HigherOrderOperator

from costmodel.counting.products import Events, Rule, has_values, number_of_true, smaller
from costmodel.work.events import Event

# Batch x length x heads x width; others batch x heads x length x width, and several sequences length x heads x width.
_LENGTH_FIRST = frozenset({"_flash_attention", "_efficient_attention"})
# Their causal mask ends at the last query and the last key; that of others begins at the first ones.
_VARLEN = frozenset({"_flash_attention", "_varlen_attn", "_varlen_attn_out"})
BOTTOM_RIGHT = 2  # the same, among the numbers of masks of _efficient_attention
KERNELS = (
    _LENGTH_FIRST
    | _VARLEN
    | {
        "_scaled_dot_product_flash_attention",
        "_scaled_dot_product_flash_attention_for_cpu",
        "_scaled_dot_product_efficient_attention",
        "_scaled_dot_product_cudnn_attention",
        "_scaled_dot_product_fused_attention_overrideable",
        "_cudnn_attention",
        "flex_attention",
    }
)
_FLEX = ("query", "key", "value", "score_mod", "block_mask")
_FLEX_BACKWARD = ("query", "key", "value", "out", "logsumexp", "grad_out", "grad_logsumexp", "", "", "block_mask")
_ONE_BLOCK = 1 << 30  # the side of the only block where flex_attention has no mask


@cache
@cache
def name_of(func: Any) -> str:
    """The name of an operation without its namespace, with the _ of operations in place."""
    name = func._name if isinstance(func, HigherOrderOperator) else func._schema.name
    return str(name).rpartition("::")[2]


@cache
def kernel_of(func: Any) -> tuple[str, bool] | None:
    """The kernel of a fused attention, and True for its backward pass; None for all else."""
    name = name_of(func)
    kernel = name.removesuffix("_backward").removesuffix("_forward")
    return (kernel, name.endswith("_backward")) if kernel in KERNELS else None


def rule_of(func: Any) -> Rule:
    """The rule of a fused attention, forward or backward."""
    kernel, backward = kernel_of(func) or ("", False)

    def rule(result: Any, /, *args: Any, **kwargs: Any) -> Events:
        told = _named(func, args, kwargs)
        return _work(told, _pairs(kernel, told)[0], backward)

    return rule


def kept(func: Any, args: Any, kwargs: Any) -> Events | None:
    """The events of the pairs that the mask of a fused attention keeps; None for all else, and without a mask whose
    pairs are known."""
    found = kernel_of(func)
    if found is None:
        return None
    told = _named(func, args, kwargs)
    twice = _pairs(found[0], told)[1]
    if twice is None:
        return None
    # Twice the pairs until now: in letters a half is not seen to be whole.
    return {event: doubled // 2 for event, doubled in _work(told, twice, found[1]).items()}


def _named(func: Any, args: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by their names."""
    if isinstance(func, HigherOrderOperator):
        names = _FLEX_BACKWARD if name_of(func).endswith("_backward") else _FLEX
    else:
        names = tuple(each.name for each in func._schema.arguments)
    return {**dict(zip(names, args, strict=False)), **kwargs}


def _work(told: Mapping[str, Any], pairs: Any, backward: bool) -> Events:
    """Backward: the weights again, their gradient and that of the values, then those of queries and keys."""
    keys, values = told["key"].shape[-1], told["value"].shape[-1]
    if backward:
        return {Event.MAC: pairs * (3 * keys + 2 * values), Event.PRODUCT: 2 * pairs, Event.SOFTMAX: 2 * pairs}
    events = {Event.MAC: pairs * (keys + values), Event.PRODUCT: pairs, Event.SOFTMAX: pairs}
    if _mask(told) is not None:
        events[Event.ADDITION] = pairs
    if told.get("dropout_p"):
        events |= {Event.RANDOM: pairs, Event.PRODUCT: 3 * pairs}
    return events


def _mask(told: Mapping[str, Any]) -> Any:
    """A tensor that is added to the weights."""
    return _first(told, "attn_mask", "attn_bias", "bias")


def _first(told: Mapping[str, Any], *names: str) -> Any:
    """The first argument of these that is given."""
    return next((told[name] for name in names if told.get(name) is not None), None)


def _pairs(kernel: str, told: Mapping[str, Any]) -> tuple[Any, Any]:
    """Pairs of a query and a key, of all heads; and twice those that are kept, None where no mask says so."""
    query, key = told["query"], told["key"]
    starts = _first(told, "cum_seq_q", "cu_seqlens_q", "cu_seq_q")
    if starts is not None and (query.dim() == 3 or kernel in _LENGTH_FIRST):  # others give such places back
        ends = _first(told, "cum_seq_k", "cu_seqlens_k", "cu_seq_k")
        ends = starts if ends is None else ends
        queries = _lengths(starts, _first(told, "max_q", "max_seqlen_q"))
        used = _first(told, "seqused_k", "seqlen_k")  # of a cache, what is filled
        known = used is not None and has_values(used)
        keys = used.tolist() if known else _lengths(ends, _first(told, "max_k", "max_seqlen_k"))
        sequences = list(zip(queries, keys, strict=True))
        heads = query.shape[-2]
    elif kernel in _LENGTH_FIRST:
        sequences, heads = [(query.shape[1], key.shape[1])], query.shape[0] * query.shape[2]
    else:
        sequences, heads = [(query.shape[-2], key.shape[-2])], math.prod(query.shape[:-2])
    full = heads * sum(rows * columns for rows, columns in sequences)
    if kernel == "flex_attention":
        blocks = _of_blocks(told["block_mask"], query, key)
        return full, None if blocks is None else 2 * min(full, blocks)
    mask, (left, right) = _mask(told), _window(told)
    bottom_right = kernel in _VARLEN or told.get("custom_mask_type") == BOTTOM_RIGHT
    if mask is not None and has_values(mask):
        share = number_of_true(mask)
        return full, 2 * (full // mask.numel()) * share if share < mask.numel() else None
    if left is None and right is None:
        return full, None
    seen = [_seen(*sides, left, right, bottom_right) for sides in sequences]
    return full, None if None in seen else heads * sum(seen)


def _lengths(starts: Any, longest: Any) -> list[Any]:
    """Lengths of sequences that begin and end at known places; without values as long as the longest one."""
    return starts.diff().tolist() if has_values(starts) else [longest] * (starts.shape[0] - 1)


def _window(told: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """How many keys before and after its own place a query sees; None: all."""
    window = told.get("window_size")
    if isinstance(window, list | tuple):
        sides = tuple(window)
    elif window:  # of so many keys, the last one its own
        sides = (window - 1, None)
    else:
        sides = (told.get("window_size_left"), told.get("window_size_right"))
    left, right = (None if side is None or side < 0 else side for side in sides)
    return left, 0 if told.get("is_causal") or told.get("custom_mask_type") else right


def _seen(queries: Any, keys: Any, left: int | None, right: int | None, bottom_right: bool) -> Any:
    """Twice the pairs within the window around the diagonal that begins top left, or ends bottom right; None where they
    are not known in letters."""
    if left is None and right == 0:  # row i sees min(i + 1, keys); or, the other way round, the last row all
        both = smaller(queries, keys)
        if bottom_right:
            return both * (2 * keys - both + 1)
        return both * (both + 1) + 2 * (queries - both) * keys
    if not isinstance(queries, int) or not isinstance(keys, int):
        return None
    shift = keys - queries if bottom_right else 0
    first = (0 if left is None else max(0, row + shift - left) for row in range(queries))
    last = (keys if right is None else min(keys, row + shift + right + 1) for row in range(queries))
    return 2 * sum(max(0, end - begin) for begin, end in zip(first, last, strict=True))


def _of_blocks(block_mask: Any, query: Any, key: Any) -> Any:
    """Pairs in the blocks that the mask of a flex_attention keeps, whole blocks as its kernel computes them."""
    partial, full, rows, columns = block_mask[2], block_mask[4], block_mask[-3], block_mask[-2]
    if rows >= _ONE_BLOCK or not has_values(partial) or (full is not None and not has_values(full)):
        return None
    blocks = int(partial.sum()) + (0 if full is None else int(full.sum()))
    heads = math.prod(query.shape[:-2]) // math.prod(partial.shape[:-1])  # of one mask
    return heads * blocks * min(rows, query.shape[-2]) * min(columns, key.shape[-2])
