"""Calls of operators as JSON: short, and exact.

A call is a list of its name, its arguments, its outputs and, if any, its keywords. Tensors are objects of one key: the
dtype, and what is unusual, with the shape as the value, such as ``{"float32 channels_last": [1, 3, 224, 224]}``, or
``{"float32 strided": [[8, 4], [1, 8]]}`` with strides. Numbers that JSON lacks are ``{"float": "-inf"}``.
"""

import math
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
    parts = [*value, {}] if type(value) is list and len(value) == 3 else value
    if type(parts) is list and [type(each) for each in parts] == [str, list, list, dict]:
        name, arguments, outputs, keywords = parts
        results = _several(outputs)
        if all(isinstance(each, Tensor) for each in results):
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
    if type(value) is list:
        return _several(value)
    if type(value) is not dict:
        return value  # type: ignore[no-any-return]  # a number, a text or None
    if len(value) == 1:
        ((words, shape),) = value.items()
        if words == "float" and type(shape) is str:
            return float(shape)
        if type(shape) is list:
            strided = len(shape) == 2 and type(shape[0]) is type(shape[1]) is list
            return _tensor(words, *(shape if strided else (shape, [])))
    raise ValueError('a tensor is {"float32": [1, 3, 224, 224]}')


def _tensor(words: str, shape: list[Any], strides: list[Any]) -> Tensor:
    dtype, *rest = words.split(" ")
    parameter = rest[-1:] == [PARAMETER]
    layout = (rest[:-1] if parameter else rest) or [LAYOUTS[0]]
    whole = all(type(number) is int and number >= 0 for number in (*shape, *strides))
    if not whole or len(layout) > 1 or layout[0] not in LAYOUTS or len(strides) not in (0, len(shape)):
        raise ValueError(f"no tensor: {words!r} of {shape}")
    return Tensor(tuple(shape), dtype, layout[0], parameter, tuple(strides))  # type: ignore[arg-type]  # a known word
