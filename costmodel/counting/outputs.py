"""Outputs of any kind: the tensors in them, and the parts that have a name or a place."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from types import FunctionType, MethodType, ModuleType
from typing import Any

import torch

_PLAIN = (str, bytes, int, float, complex, type(None), type, torch.dtype, torch.device, torch.Size)
_CODE = (torch.nn.Module, FunctionType, MethodType, ModuleType, Iterator)
_SEQUENCES = (list, tuple, set, frozenset, deque)


def tensors_in(value: Any) -> list[torch.Tensor]:
    """The tensors at any depth of containers and objects, each once. Of an object whose attributes hold none, those of
    its properties."""
    found: dict[int, torch.Tensor] = {}
    seen: dict[int, Any] = {}  # kept, so that no other object gets the same id

    def look(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            found.setdefault(id(value), value)
        elif not isinstance(value, _PLAIN + _CODE) and id(value) not in seen:
            seen[id(value)] = value
            number = len(found)
            for _, child in parts(value):
                look(child)
            if len(found) == number and not isinstance(value, (Mapping, *_SEQUENCES)):
                for child in _properties(value):
                    look(child)

    look(value)
    return list(found.values())


def parts(value: Any) -> list[tuple[Any, Any]]:
    """What a container or an object holds, with the key, the index or the name of each."""
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return list(zip(value._fields, value, strict=True))
    if isinstance(value, _SEQUENCES):
        return list(enumerate(value))
    if isinstance(value, (torch.Tensor, *_PLAIN, *_CODE)):
        return []
    names = [each.name for each in fields(value)] if is_dataclass(value) else []
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        names += [slots] if isinstance(slots, str) else list(slots)
    names += list(getattr(value, "__dict__", {}))
    return [(name, getattr(value, name)) for name in dict.fromkeys(names) if hasattr(value, name)]


def _properties(value: Any) -> Iterator[Any]:
    for kind in type(value).__mro__:
        for name, each in kind.__dict__.items():
            if isinstance(each, property) and not name.startswith("_"):
                try:
                    yield getattr(value, name)
                except Exception:  # somebody else's code, which need not work here
                    continue
