"""A module is left as it was: its attributes, and its lists and dictionaries at any depth."""

import functools
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType, MethodType, ModuleType
from typing import Any

import torch

from costmodel.counting.shadow import Shadow

SIMPLE = frozenset({bool, int, float, str, type(None), torch.Tensor, torch.nn.Parameter, torch.Size, torch.dtype})
OF_ALL = frozenset(torch.nn.Module().__dict__)  # attributes that every module has
HOOKS = tuple(name for name in OF_ALL if name.endswith("_hooks"))
PLAIN = (str, bytes, int, float, complex, bool, type(None), torch.Tensor, torch.dtype, torch.device, type, ModuleType)


@contextmanager
def unchanged(root: Any) -> Iterator[None]:
    """Give everything that ``root`` owns back what it had: some modules keep tensors of a call, which here have no
    values. A function owns what its closure holds."""
    seen: dict[int, Any] = {}
    hooks: list[Any] = []
    before = _remembered([root], seen, hooks)
    # Hooks are the user's, not the module's: what they note stays, unless it is a tensor of the call.
    noted = _remembered(hooks, seen, [])
    try:
        yield
    finally:
        for owner, content in before:
            _give_back(owner, content)
        for owner, content in noted:
            if any(isinstance(each, Shadow) for each in _values(_content(owner))):
                _give_back(owner, content)


def _remembered(waiting: list[Any], seen: dict[int, Any], hooks: list[Any]) -> list[tuple[Any, Any]]:
    """Everything that can be reached, and copies of what it holds now; ``hooks`` learns the hooks of modules."""
    before: list[tuple[Any, Any]] = []
    while waiting:
        owner = waiting.pop()
        if type(owner) in SIMPLE or isinstance(owner, PLAIN) or id(owner) in seen:
            continue
        seen[id(owner)] = owner  # alive, so that its number stays its own
        content = _content(owner)
        if content is None:
            continue
        before.append((owner, content))
        if isinstance(owner, torch.nn.Module):
            for name in HOOKS:
                if table := content.get(name):
                    hooks += table.values()
            before += [(table, dict(table)) for name in OF_ALL if isinstance(table := content.get(name), dict)]
            waiting += content["_modules"].values()
            waiting += [value for name, value in content.items() if name not in OF_ALL and type(value) not in SIMPLE]
        else:
            waiting += _values(content)
    return before


def _content(owner: Any) -> Any:
    """A copy of the container, or of the attributes of an object."""
    if isinstance(owner, dict):
        return dict(owner)
    if isinstance(owner, list | tuple | set | frozenset | deque):
        return list(owner)
    if isinstance(owner, MethodType):
        return [owner.__self__]
    if isinstance(owner, functools.partial):
        return [owner.func, *owner.args, *owner.keywords.values()]
    if isinstance(owner, FunctionType):
        cells = [cell.cell_contents for cell in owner.__closure__ or () if _filled(cell)]
        used = [owner.__globals__[name] for name in owner.__code__.co_names if name in owner.__globals__]
        return [*cells, *used]
    try:
        attributes = object.__getattribute__(owner, "__dict__")
    except AttributeError:
        return None
    return dict(attributes) if isinstance(attributes, dict) else None


def _values(content: Any) -> Any:
    return content.values() if isinstance(content, dict) else content


def _filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018  (an empty cell raises)
    except ValueError:
        return False
    return True


def _give_back(owner: Any, content: Any) -> None:
    if isinstance(owner, dict | torch.nn.Module):
        table = owner if isinstance(owner, dict) else owner.__dict__
        table.clear()
        table.update(content)
    elif isinstance(owner, list):
        if len(owner) != len(content) or any(a is not b for a, b in zip(owner, content, strict=True)):
            owner[:] = content
    elif isinstance(owner, set | deque):
        if list(owner) != content:
            owner.clear()
            (owner.update if isinstance(owner, set) else owner.extend)(content)
    elif not isinstance(owner, tuple | frozenset | MethodType | functools.partial | FunctionType):
        attributes = object.__getattribute__(owner, "__dict__")
        attributes.clear()
        attributes.update(content)
