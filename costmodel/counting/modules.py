"""Modules of the user: the one that a function belongs to, its name, and weights that are no parameters."""

import inspect
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from textwrap import shorten
from types import MethodType
from typing import Any

import torch
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_leaves

from costmodel.errors import InvalidInput, meant


def owner(function: Any) -> torch.nn.Module | None:
    """The module that runs in a call: the module itself, or the one that a method or a `functools.partial` is of."""
    while isinstance(function, partial | MethodType):
        function = function.func if isinstance(function, partial) else function.__self__
    return function if isinstance(function, torch.nn.Module) else None


def name_of(function: Any) -> str:
    """The class of a module, with the name of another method than forward, or the name of a function."""
    net = owner(function)
    if net is None or net is function:
        return type(net).__name__ if net is not None else getattr(function, "__name__", type(function).__name__)
    method = getattr(getattr(function, "func", function), "__name__", "forward")
    whole = method in ("forward", "__call__", "_wrapped_call_impl")
    return type(net).__name__ if whole else f"{type(net).__name__}.{method}"


def refuse_unknown(function: Any, keywords: Iterable[str], ours: Iterable[str] = ()) -> None:
    """Refuse keywords that a call does not take, before anything runs; ``ours``: other names that may be meant."""
    try:
        taken = inspect.signature(getattr(function, "forward", function)).parameters.values()
    except (TypeError, ValueError):  # some of C have none
        return
    if any(each.kind is each.VAR_KEYWORD for each in taken) or getattr(function, "_forward_pre_hooks", None):
        return
    names = [each.name for each in taken if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    if unknown := [each for each in keywords if each not in names]:
        question = meant(unknown[0], [*ours, *names])
        allowed = f"{', '.join(names)} by name" if names else "none by name"
        raise InvalidInput(f"{name_of(function)} has no argument {unknown[0]!r}: it takes {allowed}{question}")


def packed_weights(module: torch.nn.Module) -> list[torch.Tensor]:
    """Weights and biases of a quantised module, which torch packs for its kernels: they are no parameters."""
    if not type(module).__module__.startswith("torch.ao.nn."):
        return []
    methods = [getattr(module, name, None) for name in ("weight", "bias", "get_weight", "get_bias")]
    found = [method() for method in methods if callable(method)]
    return [each for value in found for each in tree_leaves(value) if isinstance(each, torch.Tensor)]


def module_in_words(module: torch.nn.Module) -> str:
    """The class of a module, with what a torch module says of itself, such as ``Linear(in_features=8, ...)``."""
    try:
        with _disable_current_modes():
            more = " ".join(module.extra_repr().split())
    except Exception:  # somebody else's code, which need not work here
        more = ""
    return f"{type(module).__name__}({shorten(more, 100, placeholder=' ...')})" if more else type(module).__name__


def is_sharded(tensor: torch.Tensor) -> bool:
    """True for a tensor of which each process has a part: it is counted as the whole."""
    return hasattr(tensor, "full_tensor")


@contextmanager
def unsharded(net: Any) -> Iterator[None]:
    """Without the hooks in which `torch.distributed.fsdp.fully_shard` gathers weights: others stand in for those."""
    modules = net.modules() if isinstance(net, torch.nn.Module) else []
    tables = (hooks for each in modules for hooks in (each._forward_pre_hooks, each._forward_hooks) if hooks)
    before = [(hooks, dict(hooks)) for hooks in tables]
    for hooks, held in before:
        for key, hook in held.items():
            if type(getattr(hook, "__self__", None)).__module__.startswith("torch.distributed.fsdp."):
                del hooks[key]
    try:
        yield
    finally:
        for hooks, held in before:
            hooks.clear()
            hooks.update(held)
