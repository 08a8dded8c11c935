"""A module is left as it was: its attributes, and its lists and dictionaries at any depth."""

import functools
import inspect
import operator
import sys
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import torch

from costmodel.counting.shadow import Shadow

SIMPLE = frozenset({bool, int, float, str, type(None), torch.Tensor, torch.nn.Parameter, torch.Size, torch.dtype})
_NOBODYS = sys.stdlib_module_names | {"torch", "builtins", "costmodel"}
OF_ALL = frozenset(torch.nn.Module().__dict__)  # attributes that every module has
TABLES = tuple(name for name, value in torch.nn.Module().__dict__.items() if isinstance(value, dict))
PLAIN = (str, bytes, int, float, complex, bool, type(None), torch.Tensor, torch.dtype, torch.device, type, ModuleType)


@contextmanager
def unchanged(root: Any) -> Iterator[None]:
    """Give everything that ``root`` owns back what it had: some modules keep tensors of a call, which here have no
    values. A function owns what its closure holds."""
    seen: dict[int, Any] = {}
    hooks: list[Any] = []
    empty: list[Any] = []
    before = _remembered([root], seen, hooks, empty)
    # Hooks are the user's, not the module's: what they note stays, unless it is a tensor of the call.
    noted = _remembered(hooks, seen, [], empty)
    shared = [_Shared(kind) for kind in dict.fromkeys(kind for each in seen.values() for kind in _classes(each))]
    before += [entry for each in shared for entry in _remembered(each.containers, seen, [], empty)]
    try:
        yield
    finally:
        for table in empty:
            if table:
                _plain_class(table).clear(table)
        for owner, content in before:
            _give_back(owner, content)
        for owner, content in noted:
            if any(isinstance(each, Shadow) for each in _values(_content(owner))):
                _give_back(owner, content)
        for each in shared:
            each.give_back()


class _Shared:
    """What all modules of a class share: attributes of the class, and globals and caches that its methods use."""

    def __init__(self, kind: type) -> None:
        self._kind = kind
        self._attributes = _own_attributes(kind)
        methods = [inspect.unwrap(getattr(each, "__func__", each)) for each in self._attributes.values()]
        functions = [each for each in [*methods, vars(kind).get("__init__")] if isinstance(each, FunctionType)]
        self._globals: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}
        for each in functions:
            if _somebodys(each.__globals__.get("__name__", "")):
                self._globals.setdefault(id(each.__globals__), (each.__globals__, {}))[1].update(_used(each))
        values = [*self._attributes.values(), *(value for _, used in self._globals.values() for value in used.values())]
        self.containers = [each for each in values if isinstance(each, dict | list | set | deque)]
        caches = [each for each in values if isinstance(each, functools._lru_cache_wrapper)]
        self._caches = [(each, each.cache_info().misses) for each in caches]

    def give_back(self) -> None:
        """Another value of before, and no new one."""
        for name, value in _own_attributes(self._kind).items():
            if name not in self._attributes:
                delattr(self._kind, name)
            elif value is not self._attributes[name]:
                setattr(self._kind, name, self._attributes[name])
        for table, used in self._globals.values():
            table.update((name, value) for name, value in used.items() if table.get(name) is not value)
            for name in [name for name, value in table.items() if name not in used and type(value) is Shadow]:
                del table[name]
        for cache, misses in self._caches:
            if cache.cache_info().misses != misses:
                cache.cache_clear()


def _classes(value: Any) -> list[type]:
    """The classes of a module or an object of somebody's own."""
    return [kind for kind in type(value).__mro__ if _somebodys(kind.__module__)]


def _somebodys(module: str) -> bool:
    return module == "__main__" or module.partition(".")[0] not in _NOBODYS


def _own_attributes(kind: type) -> dict[str, Any]:
    return {name: value for name, value in vars(kind).items() if not name.startswith("__") and name not in _slots(kind)}


def _slots(kind: type) -> tuple[str, ...]:
    slots = kind.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _used(function: FunctionType) -> dict[str, Any]:
    """The globals that a function uses, or a function in that."""
    waiting, names = [function.__code__], set()
    while waiting:
        code = waiting.pop()
        names |= set(code.co_names)
        waiting += [each for each in code.co_consts if isinstance(each, CodeType)]
    return {name: function.__globals__[name] for name in names if name in function.__globals__}


def _remembered(waiting: list[Any], seen: dict[int, Any], hooks: list[Any], empty: list[Any]) -> list[tuple[Any, Any]]:
    """Everything that can be reached, and copies of what it holds now; ``hooks`` learns the hooks of modules, ``empty``
    their tables without any entry, as most are."""
    before: list[tuple[Any, Any]] = []
    while waiting:
        owner = waiting.pop()
        if type(owner) in SIMPLE or isinstance(owner, PLAIN) or id(owner) in seen:
            continue
        seen[id(owner)] = owner  # alive, so that its number stays its own
        content = _content(owner)
        if content is None:
            continue
        if type(owner) not in (tuple, frozenset):
            before.append((owner, content))
        if isinstance(owner, torch.nn.Module):
            for name in TABLES:
                table = content.get(name)
                if not table:
                    empty += [table] if isinstance(table, dict) else []
                    continue
                if name.endswith("_hooks"):
                    hooks += table.values()
                before.append((table, dict(table)))
            waiting += content["_modules"].values()
            waiting += [value for name, value in content.items() if name not in OF_ALL and type(value) not in SIMPLE]
        else:
            waiting += [value for value in _values(content) if type(value) not in SIMPLE]
    return before


def _content(owner: Any) -> Any:
    """A copy of the container, or of the attributes of an object."""
    if isinstance(owner, dict):
        return dict(_plain_class(owner).items(owner))
    if isinstance(owner, list | tuple | set | frozenset | deque):
        return list(_plain_class(owner).__iter__(owner))
    if isinstance(owner, MethodType):
        return [owner.__self__]
    if isinstance(owner, functools.partial):
        return [owner.func, *owner.args, *owner.keywords.values()]
    if isinstance(owner, FunctionType):
        cells = enumerate(owner.__closure__ or ())
        return {place: cell.cell_contents for place, cell in cells if _filled(cell)} | _used(owner)
    slotted = _slotted(owner)
    try:
        attributes = object.__getattribute__(owner, "__dict__")
    except AttributeError:
        return slotted if _all_slots(owner) else None
    return attributes | slotted if isinstance(attributes, dict) else None


def _plain_class(owner: Any) -> Any:
    """The class of Python whose methods see a container as it is: a subclass may make what it gives, or note it."""
    kinds = OrderedDict, dict, list, tuple, set, frozenset, deque
    return type(owner) if type(owner) in kinds else next(each for each in kinds if isinstance(owner, each))


def _slotted(owner: Any) -> dict[str, Any]:
    """The values of an object's slots."""
    return {name: getattr(owner, name) for name in _all_slots(owner) if hasattr(owner, name)}


def _all_slots(owner: Any) -> set[str]:
    return {name for kind in _classes(owner) for name in _slots(kind) if not name.startswith("__")}


def _parts(content: Any) -> Any:
    """Everything in a copy of a container: of a dictionary keys and values."""
    return chain(content, content.values()) if isinstance(content, dict) else content


def _values(content: Any) -> Any:
    return content.values() if isinstance(content, dict) else content


def _filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018  (an empty cell raises)
    except ValueError:
        return False
    return True


def _give_back(owner: Any, content: Any) -> None:
    if type(owner) is dict or isinstance(owner, torch.nn.Module):
        table = owner if type(owner) is dict else owner.__dict__
        table.clear()
        table.update(content)
    elif isinstance(owner, dict | list | set | deque):
        now, kind = _content(owner), _plain_class(owner)
        if len(now) == len(content) and all(map(operator.is_, _parts(now), _parts(content))):
            return
        kind.clear(owner)
        if isinstance(owner, dict):
            for key, value in content.items():
                kind.__setitem__(owner, key, value)
        else:
            (kind.update if isinstance(owner, set) else kind.extend)(owner, content)
    elif isinstance(owner, FunctionType):
        for place, value in content.items():
            cell = owner.__closure__[place] if isinstance(place, int) and owner.__closure__ else None
            if cell is not None and (not _filled(cell) or cell.cell_contents is not value):
                cell.cell_contents = value
            elif cell is None and _somebodys(owner.__globals__.get("__name__", "")):
                owner.__globals__[place] = value
    elif not isinstance(owner, tuple | frozenset | MethodType | functools.partial):
        slotted = _slotted(owner)
        for name in slotted.keys() | (content.keys() & _all_slots(owner)):
            if name not in content:
                object.__delattr__(owner, name)
            elif slotted.get(name) is not content[name]:
                object.__setattr__(owner, name, content[name])
        if isinstance(attributes := getattr(owner, "__dict__", None), dict):
            attributes.clear()
            attributes.update((name, value) for name, value in content.items() if name not in _all_slots(owner))
