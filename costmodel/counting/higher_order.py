"""Operations of torch that take functions: flex_attention, and control flow, which runs here as plain Python."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch._ops import HigherOrderOperator
from torch.utils._pytree import tree_flatten, tree_unflatten

from costmodel.counting.attention import name_of
from costmodel.counting.products import has_values
from costmodel.errors import InvalidInput


def handle(func: Any, args: Any, kwargs: Mapping[str, Any], run: Callable[..., Any]) -> Any:
    """The result of an operation that takes functions; `InvalidInput` for those that are not known.

    ``run(function, *arguments)`` calls a function whose operations are to be recorded. The two of flex_attention are
    one kernel each: they get results of the right shapes, and their rule is that of fused attention. What the functions
    of scores and masks compute is not counted. The other operations have no work besides that of their functions.
    """
    name = name_of(func)
    if name in _KERNELS:
        return func(*args, **kwargs) if has_values(args[0]) else _KERNELS[name](*args, **kwargs)
    if name not in _CONTROL:
        raise InvalidInput(f"no rule for {name}, which takes functions: {', '.join(_KNOWN)} have one")
    return run(_CONTROL[name], *args, **kwargs)


@contextmanager
def plain_control_flow() -> Iterator[None]:
    """Run control flow as plain Python above autograd, so that gradients need no trace of both branches."""
    original: Any = HigherOrderOperator.__call__

    def call(self: HigherOrderOperator, /, *args: Any, **kwargs: Any) -> Any:
        plain = _CONTROL.get(name_of(self))
        return plain(*args, **kwargs) if plain else original(self, *args, **kwargs)

    def uncompiled(function: Any = None, **options: Any) -> Any:
        return function or (lambda function: function)

    # torch.cond and its siblings compile themselves, which does not go while operations are recorded.
    with patch.object(HigherOrderOperator, "__call__", call), patch.object(torch, "compile", uncompiled):
        yield


@contextmanager
def plain_flex_attention() -> Iterator[None]:
    """Let flex_attention run without a compiler, which does not start while operations are recorded, and with gradients
    on a CPU, whose kernel has none."""
    flex: Any = sys.modules.get("torch.nn.attention.flex_attention")
    if flex is None:
        yield
        return
    uncompiled = patch.object(flex, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)
    with uncompiled, patch.object(flex, "_validate_device", lambda *tensors: None):
        yield


def _flex(query: Any, key: Any, value: Any, *rest: Any) -> Any:
    """The output, the log-sum-exp and the largest score."""
    width = value.shape[-1]
    out = torch.empty_like(query) if width == query.shape[-1] else query.new_empty(*query.shape[:-1], width)
    return (out, *(query.new_empty(query.shape[:-1], dtype=torch.float32) for _ in range(2)))


def _flex_backward(query: Any, key: Any, value: Any, *rest: Any) -> Any:
    """Gradients of queries, keys and values, and of what the function of the scores looks up."""
    looked_up = rest[9] if len(rest) > 9 else ()
    gradients = (torch.empty_like(each) if isinstance(each, torch.Tensor) else None for each in looked_up)
    return (*(torch.empty_like(each) for each in (query, key, value)), tuple(gradients))


def _known(condition: Any, name: str) -> bool:
    """The value of a condition; `InvalidInput` where it has none."""
    if isinstance(condition, torch.Tensor) and not has_values(condition):
        raise InvalidInput(f"torch.{name} depends on a value that is not known without values: count it with real=True")
    return bool(condition)


def _cond(condition: Any, true: Callable[..., Any], false: Callable[..., Any], operands: Sequence[Any]) -> Any:
    return (true if _known(condition, "cond") else false)(*operands)


def _while_loop(
    condition: Callable[..., Any], body: Callable[..., Any], carried: Sequence[Any], more: Sequence[Any], *rest: Any
) -> tuple[Any, ...]:
    values = tuple(carried)
    while _known(condition(*values, *more), "while_loop"):
        values = tuple(body(*values, *more))
    return values


def _scan(
    combine: Callable[..., Any], first: Sequence[Any], rows: Sequence[Any], more: Sequence[Any]
) -> tuple[Any, ...]:
    """Row by row, each with the state that the one before left: the last state, and all outputs as rows."""
    state, outputs = list(first), []
    for place in range(rows[0].shape[0]):
        found = combine(*state, *(each.select(0, place) for each in rows), *more)
        state, output = list(found[: len(state)]), list(found[len(state) :])
        outputs.append(output)
    return (*state, *(_stacked(column) for column in zip(*outputs, strict=True)))


def _associative_scan(combine: Callable[..., Any], rows: Sequence[Any], more: Sequence[Any] = ()) -> tuple[Any, ...]:
    """Row by row: a result of each, and the next row. (A kernel that works in parallel combines more often.)"""
    results = [[each.select(0, 0) for each in rows]]
    for place in range(1, rows[0].shape[0]):
        results.append(list(combine(*results[-1], *(each.select(0, place) for each in rows), *more)))
    return tuple(_stacked(column) for column in zip(*results, strict=True))


def _map(function: Callable[..., Any], rows: Sequence[Any], more: Sequence[Any]) -> Any:
    """The results of a function for each row, as rows."""
    results = [function(*(each.select(0, place) for each in rows), *more) for place in range(rows[0].shape[0])]
    flat = [tree_flatten(each) for each in results]
    return tree_unflatten([_stacked(column) for column in zip(*(each for each, _ in flat), strict=True)], flat[0][1])


def _stacked(column: Sequence[Any]) -> Any:
    return torch.stack(list(column)) if isinstance(column[0], torch.Tensor) else column[0]


_KERNELS: dict[str, Callable[..., Any]] = {"flex_attention": _flex, "flex_attention_backward": _flex_backward}
_CONTROL: dict[str, Callable[..., Any]] = {
    "cond": _cond,
    "while_loop": _while_loop,
    "scan": _scan,
    "associative_scan": _associative_scan,
    "map_impl": _map,
}
_KNOWN = (*_KERNELS, *(each.removesuffix("_impl") for each in _CONTROL))
