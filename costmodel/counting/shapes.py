"""Shapes as users write them: ``1x3x224x224``, ``1x16:int64``, ``1x3xHxW``."""

import keyword
import math
import re
from collections.abc import Mapping
from typing import Any

import torch

from costmodel.errors import InvalidInput

_SIDE = r"(\d+|(?!x)[A-Za-wyz_][A-Za-wyz_0-9]*)"  # x stands between sides
SHAPE = re.compile(rf"{_SIDE}(x{_SIDE})*(:\w+)?|scalar(:\w+)?")
MOST_ELEMENTS = 1 << 60


def meta_tensor(text: str) -> torch.Tensor:
    """``"1x3x224x224"`` or ``"1x16:int64"`` as a meta tensor."""
    shape, _, kind = text.partition(":")
    if not SHAPE.fullmatch(text):
        raise InvalidInput(f"input {text!r}: expected a shape, such as 1x3x224x224 or 1x16:int64")
    dtype = getattr(torch, kind or "float32", None)
    if not isinstance(dtype, torch.dtype):
        raise InvalidInput(f"input {text!r}: {kind!r} is no type of torch, such as float32, bfloat16, int64 or bool")
    sides = [] if shape == "scalar" else shape.split("x")
    if math.prod(map(int, sides)) > MOST_ELEMENTS:
        raise InvalidInput(f"input {text!r}: more elements than a tensor can have")
    return torch.empty([int(side) for side in sides], dtype=dtype, device="meta")


def letters_of(text: str) -> list[str]:
    """The sides of a shape that are no numbers."""
    if not SHAPE.fullmatch(text):
        return []  # told by whoever reads it
    sides = text.partition(":")[0].split("x")
    if words := [side for side in sides if keyword.iskeyword(side)]:
        raise InvalidInput(
            f"input {text!r}: expected a shape, such as 1x3xHxW; {words[0]!r} means something else in Python"
        )
    return [side for side in sides if not side.isdecimal() and side != "scalar"]


def with_sizes(text: str, sizes: Mapping[str, int]) -> str:
    """A shape with numbers for letters."""
    shape, colon, kind = text.partition(":")
    return "x".join(str(sizes.get(side, side)) for side in shape.split("x")) + colon + kind


def shape_of(value: Any) -> str:
    """As users write it, such as ``1x16:int64``; of what is no tensor, its class."""
    if isinstance(value, torch.Tensor):
        kind = "" if value.dtype == torch.float32 else f":{str(value.dtype).removeprefix('torch.')}"
        return ("x".join(map(str, value.shape)) or "scalar") + kind
    return type(value).__name__
