"""Calls of operators as data: the `costmodel.work.call.Call` of what torch's dispatcher sees."""

from collections.abc import Iterable
from functools import cache
from typing import Any

import torch
from torch._ops import OpOverload

from costmodel.counting.memory import channels_last
from costmodel.work.call import ITEM_BYTES, Argument, Call, Tensor


class NotData(Exception):
    """An argument that is no data: a symbol, a function, a tensor that is not plain memory."""


class Calls:
    """Makes the `Call` of what was called. ``state``: parameters and buffers, known by the memory they lie in."""

    def __init__(self, state: Iterable[torch.Tensor] = ()) -> None:
        self._state = [each.untyped_storage() for each in state if each.layout is torch.strided]
        self._places = {each._cdata for each in self._state}
        self._known: dict[Any, Tensor] = {}

    def call(self, func: Any, args: Any, kwargs: Any, out: Any) -> Call | None:
        """The call of an operator and its results; None where an argument is no data."""
        if not isinstance(func, OpOverload):
            return None
        try:
            arguments = tuple(map(self._argument, args))
            keywords = tuple((name, self._argument(value)) for name, value in kwargs.items())
            return Call(_name(func), arguments, keywords, tuple(map(self.tensor, filter(_holds, _results(out)))))
        except NotData:
            return None

    def _argument(self, value: Any) -> Argument:
        if isinstance(value, torch.Tensor):
            return self.tensor(value)
        if isinstance(value, list | tuple):
            return tuple(map(self._argument, value))
        if value is None or type(value) in (bool, int, float, str):
            return value  # type: ignore[no-any-return]  # of these types
        if isinstance(value, torch.dtype | torch.layout | torch.memory_format | torch.device):
            return _name(value)
        raise NotData(type(value).__name__)

    def tensor(self, tensor: torch.Tensor) -> Tensor:
        """A tensor as data; `NotData` for symbols, rare types, and what is not plain memory."""
        if tensor.layout is not torch.strided or tensor.is_quantized:
            raise NotData(str(tensor.layout))
        if not all(type(side) is int for side in (*tensor.shape, *tensor.stride())):
            raise NotData(str(tensor.shape))
        parameter = tensor.untyped_storage()._cdata in self._places
        key = tensor.shape, tensor.stride(), tensor.dtype, parameter
        found = self._known.get(key)
        if found is None:
            if _name(tensor.dtype) not in ITEM_BYTES:
                raise NotData(str(tensor.dtype))
            found = self._known[key] = _data(tensor, parameter)
        return found


def _results(out: Any) -> Any:
    return out if isinstance(out, list | tuple) else (out,)


def _holds(result: Any) -> bool:
    """True for a tensor with elements: kernels give empty ones in the place of results that nobody wants."""
    return isinstance(result, torch.Tensor) and result.numel() != 0


def _data(tensor: torch.Tensor, parameter: bool) -> Tensor:
    shape, kind = tuple(tensor.shape), _name(tensor.dtype)
    if tensor.is_contiguous():
        return Tensor(shape, kind, parameter=parameter)
    if channels_last(tensor):
        return Tensor(shape, kind, "channels_last", parameter)
    return Tensor(shape, kind, "strided", parameter, tensor.stride())


@cache
def _name(value: Any) -> str:
    return str(value).removeprefix("torch.")
