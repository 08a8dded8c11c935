"""`Call`, a call of one of torch's operators as data: enough to recognise its kernel, and to make the call again."""

from dataclasses import dataclass
from math import prod
from typing import Literal, TypeAlias

ITEM_BYTES = {"bool": 1, "uint8": 1, "int8": 1, "int16": 2, "int32": 4, "int64": 8}
ITEM_BYTES |= {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8, "complex64": 8, "complex128": 16}


@dataclass(frozen=True)
class Tensor:
    """A tensor among arguments. ``layout``: of its memory; ``strided`` is any other than the first two."""

    shape: tuple[int, ...]
    dtype: str = "float32"
    layout: Literal["contiguous", "channels_last", "strided"] = "contiguous"
    parameter: bool = False  # a parameter or buffer of a module, the same at every call of it
    strides: tuple[int, ...] = ()  # elements from place to place, of a strided one

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes of the elements."""
        return self.elements * ITEM_BYTES[self.dtype]


Argument: TypeAlias = "Tensor | tuple[Argument, ...] | int | float | bool | str | None"


@dataclass(frozen=True)
class Call:
    """``name`` is the operator as torch prints it, such as ``aten.convolution.default``; arguments are in the order of
    its schema, lists as tuples, dtypes and other objects of torch as their names. ``outputs``: without empty ones."""

    name: str
    arguments: tuple[Argument, ...] = ()
    keywords: tuple[tuple[str, Argument], ...] = ()
    outputs: tuple[Tensor, ...] = ()

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors among the arguments, also those in lists."""
        return _tensors((*self.arguments, *(value for _, value in self.keywords)))


def _tensors(values: tuple[Argument, ...]) -> tuple[Tensor, ...]:
    found: tuple[Tensor, ...] = ()
    for value in values:
        if isinstance(value, Tensor):
            found += (value,)
        elif isinstance(value, tuple):
            found += _tensors(value)
    return found
