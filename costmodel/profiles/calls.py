"""Calls of operators as JSON: short, and exact.

A call is a list of its name, its arguments, its outputs and, if any, its keywords. Tensors are objects of one key: the
dtype, and what is unusual, with the shape as the value, such as ``{"float32 channels_last": [1, 3, 224, 224]}``, or
``{"float32 strided": [[8, 4], [1, 8]]}`` with strides. Numbers that JSON lacks are ``{"float": "-inf"}``.
"""

import math
from collections.abc import Mapping
from typing import Any

from costmodel.work.call import Argument, Call, Tensor

LAYOUTS = ("contiguous", "channels_last", "strided")
PARAMETER = "parameter"


def to_json(call: Call) -> list[Any]:
    """The call as what `json.dumps` takes."""
    parts: list[Any] = [call.name, _written(call.arguments), _written(call.outputs)]
    return [*parts, {name: _written(value) for name, value in call.keywords}] if call.keywords else parts


def from_json(value: Any) -> Call:
    """The call that `to_json` made a value of; `ValueError` for others."""
    if isinstance(value, Call):
        return value
    match value:
        case [str(name), [*arguments], [*outputs], *rest] if len(rest) < 2:
            keywords = rest[0] if rest else {}
            results = _several(outputs)
            if isinstance(keywords, Mapping) and all(isinstance(each, Tensor) for each in results):
                named = tuple((key, _read(each)) for key, each in keywords.items())
                return Call(name, _several(arguments), named, results)  # type: ignore[arg-type]  # tensors
    raise ValueError("a call is [name, arguments, outputs] or [name, arguments, outputs, keywords]")


def _several(values: list[Any]) -> tuple[Argument, ...]:
    return tuple(map(_read, values))


def _written(value: Argument) -> Any:
    if isinstance(value, Tensor):
        words = [value.dtype, *([value.layout] if value.layout != LAYOUTS[0] else []), *([PARAMETER] * value.parameter)]
        return {" ".join(words): [value.shape, value.strides] if value.strides else value.shape}
    if isinstance(value, tuple):
        return [_written(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    return value


def _read(value: Any) -> Argument:
    if isinstance(value, list):
        return _several(value)
    if not isinstance(value, Mapping):
        return value  # type: ignore[no-any-return]  # a number, a text or None
    match [*value.items()]:
        case [("float", str(number))]:
            return float(number)
        case [(str(words), [[*shape], [*strides]])]:
            return _tensor(words, shape, strides)
        case [(str(words), [*shape])]:
            return _tensor(words, shape, [])
    raise ValueError('a tensor is {"float32": [1, 3, 224, 224]}')


def _tensor(words: str, shape: list[Any], strides: list[Any]) -> Tensor:
    dtype, *rest = words.split(" ")
    parameter = rest[-1:] == [PARAMETER]
    layout = (rest[:-1] if parameter else rest) or [LAYOUTS[0]]
    whole = all(type(number) is int and number >= 0 for number in (*shape, *strides))
    if not whole or len(layout) > 1 or layout[0] not in LAYOUTS or len(strides) not in (0, len(shape)):
        raise ValueError(f"no tensor: {words!r} of {shape}")
    return Tensor(tuple(shape), dtype, layout[0], parameter, tuple(strides))  # type: ignore[arg-type]  # a known word
