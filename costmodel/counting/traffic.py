"""Bytes that each operation reads and writes: its arguments and results once, as if nothing stayed in a cache; of what
fetches from places or writes to places, those places alone."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch._ops import HigherOrderOperator

from costmodel.counting.attention import kernel_of, name_of
from costmodel.counting.products import number_of_true, smaller, unpacked

# They read what they fetch, and where it is, not all of their first argument.
FETCHES = frozenset({"embedding", "gather", "index_select", "index", "take", "_unsafe_index"})
BAGS = frozenset({"_embedding_bag", "_embedding_bag_forward_only"})
# What was in their first argument they overwrite unread.
OVERWRITES = frozenset(
    {"copy_", "fill_", "zero_", "normal_", "uniform_", "exponential_", "bernoulli_", "random_", "cauchy_", "geometric_",
     "log_normal_", "_foreach_copy_", "_foreach_zero_", "set_"}
)  # fmt: skip
# In place they write to some places of their first argument; the others add to what is there, so they read it, too.
PLACES = frozenset(
    {"index_copy_", "index_put_", "_index_put_impl_", "_unsafe_index_put_", "scatter_", "index_fill_", "put_",
     "masked_scatter_"}
)  # fmt: skip
ADDS = frozenset({"index_add_", "scatter_add_", "scatter_reduce_", "index_reduce_", "embedding_renorm_"})


def traffic(
    func: Any, args: Any, kwargs: Mapping[str, Any], given: list[torch.Tensor], results: list[torch.Tensor]
) -> tuple[Any, Any]:
    """Bytes read and bytes written; ``given`` and ``results`` are the tensors among arguments and results."""
    name = name_of(func)
    results = results or _mutated(func, args)
    if (found := kernel_of(func)) and not found[1]:
        if name == "flex_attention":  # besides what its functions look up
            given = [*args[:3], *tensors(args[7:])]
        return stored(given), stored(results[:2])  # the output and the log-sum-exp; then states of random numbers
    if name in PLACES or name in ADDS:
        return _of_places(name, args, kwargs)
    if name in BAGS:
        table, indices = given[:2]
        return indices.numel() * math.prod(table.shape[1:]) * table.element_size() + stored(given[1:]), stored(results)
    if name in FETCHES:
        return stored([*results[:1], *given[1:]]), stored(results)
    if name in OVERWRITES:
        return stored(given) - stored(tensors(args[:1])), stored(results)
    packed = [each for value in args if isinstance(value, torch.ScriptObject) for each in unpacked(value)]
    unread = stored(tensors((kwargs["out"],))) if kwargs.get("out") is not None else 0
    return stored([*given, *packed]) - unread, stored(results)


def tensors(values: Iterable[Any]) -> list[torch.Tensor]:
    """The tensors among arguments, and in lists of them."""
    found: list[torch.Tensor] = []
    for value in values:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += [each for each in value if isinstance(each, torch.Tensor)]
    return found


def stored(values: Iterable[torch.Tensor]) -> Any:
    """Bytes of tensors; of a sparse one those of its entries and of their places."""
    return sum(map(_stored, values))


def _stored(tensor: torch.Tensor) -> Any:
    if tensor.layout is torch.strided or tensor.layout is torch.jagged or tensor.is_mkldnn:
        return tensor.numel() * tensor.element_size()
    values = tensor._values() if tensor.layout is torch.sparse_coo else tensor.values()
    if tensor.layout is torch.sparse_coo:
        places = [tensor._indices()]
    elif tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        places = [tensor.crow_indices(), tensor.col_indices()]
    else:
        places = [tensor.ccol_indices(), tensor.row_indices()]
    return sum(each.numel() * each.element_size() for each in (values, *places))


def _mutated(func: Any, args: Any) -> list[torch.Tensor]:
    """What an operation without a result writes to. Fused optimizers may scale gradients, and here do not."""
    if isinstance(func, HigherOrderOperator):
        return []
    pairs = zip(func._schema.arguments, args, strict=False)
    return tensors(
        given
        for each, given in pairs
        if each.alias_info is not None and each.alias_info.is_write and each.name != "grads"
    )


def _of_places(name: str, args: Any, kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
    """Bytes of the positions and of what goes there; what is added to was read."""
    if isinstance(args[1], torch.Tensor | list | tuple):
        indices, rest = args[1], args[2:]
    else:
        indices, rest = args[2], args[3:]
    count, size = places(name, args), args[0].element_size()
    read = stored(tensors([indices]))
    if isinstance(rest[0], torch.Tensor):  # of a longer source, what goes to places
        read += smaller(rest[0].numel(), count) * rest[0].element_size()
    adds = name in ADDS or "reduce" in kwargs or (len(rest) > 1 and rest[1] is True)
    return read + (count * size if adds else 0), count * size


def places(name: str, args: Any) -> Any:
    """Elements of the first argument that an operation writes to, in place or in a copy."""
    table, bare = args[0], name.rstrip("_")
    if bare == "put":
        return args[1].numel()
    if bare == "masked_scatter":
        return number_of_true(args[1]) * (table.numel() // args[1].numel())
    if bare == "embedding_renorm":
        return args[1].numel() * table.shape[1]
    if "index_put" in bare:
        return _indexed(table, args[1])
    if bare.startswith("scatter"):
        return args[2].numel()
    side = args[1] % max(table.dim(), 1)  # of index_copy, index_fill, index_add, index_reduce
    return args[2].numel() * math.prod(size for each, size in enumerate(table.shape) if each != side)


def _indexed(table: Any, indices: Any) -> Any:
    """Elements of ``table[indices]``: the shape of the indices, and the dimensions without one. A mask whose values are
    not known keeps all."""
    shapes: list[Any] = []
    rest: list[Any] = []
    used = 0
    for index in indices:
        if index is None:
            rest.append(table.shape[used])
        elif index.dtype in (torch.bool, torch.uint8):
            shapes.append((number_of_true(index),))
        else:
            shapes.append(tuple(index.shape))
        used += index.dim() if index is not None and index.dtype in (torch.bool, torch.uint8) else 1
    together = torch.broadcast_shapes(*shapes)  # type: ignore[no-untyped-call]  # untyped in torch
    return math.prod(together) * math.prod([*rest, *table.shape[used:]])
