"""Shapes as users write them: ``1x3x224x224``, ``1x16:int64``, ``1x3xHxW``; and inputs that hold several,
``(1x8, [1x8, 1x4])`` and ``{image: 1x3x64x64}``."""

import keyword
import math
import re
from collections import deque
from collections.abc import Mapping
from typing import Any

import torch
from torch.utils._pytree import tree_leaves, tree_map_only

from costmodel.errors import InvalidInput, in_words

_SIDE = r"(\d+|(?!x)[A-Za-wyz_][A-Za-wyz_0-9]*)"  # x stands between sides
SHAPE = re.compile(rf"{_SIDE}(x{_SIDE})*(:\w+)?|scalar(:\w+)?")
_CAPITALS = r"(\d+|[A-WYZ][A-Za-wyz_0-9]*)"  # words in small letters are no shapes where any text may stand
_SURELY = re.compile(rf"({_CAPITALS}(x{_CAPITALS})+|\d+|scalar)(:\w+)?")
_TOKEN = re.compile(r"\"[^\"]*\"|'[^']*'|[()\[\]{},:]|[^()\[\]{},:\s]+")
_PAIRS = {"(": ")", "[": "]", "{": "}"}
_CONSTANTS = {"None": None, "null": None, "True": True, "true": True, "False": False, "false": False}
MOST_ELEMENTS = 1 << 60
BATCH = ("N", "B")  # letters of a batch; all others are sides


def usual(letter: str) -> int:
    """The size of a letter that nobody chose: a batch of 1, a side of 224."""
    return 1 if letter in BATCH else 224


TYPES = (
    *("float32", "float64", "float16", "bfloat16", "complex64", "complex128", "complex32", "bool"),
    *("int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64"),
    *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"),
)


class Shape(str):
    """The text of a shape among the inputs of a call, where a plain string is just that."""


def parse(text: str) -> list[Any]:
    """The inputs in a text, between commas: each a `Shape`, or a tuple, list or dictionary of them, such as
    ``(1x8, 1x8)``, ``[1x8, 1x4:int64]``, ``{image: 1x3x64x64, mask: None}``."""
    tokens = deque([*_TOKEN.findall(text), ""])
    try:
        found = [_parse_one(tokens)]
        while tokens[0] == ",":
            tokens.popleft()
            found.append(_parse_one(tokens))
        if tokens.popleft():
            raise ValueError
    except (ValueError, IndexError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(
            f"input {text!r}: expected a shape, such as 1x3x224x224 or 1x16:int64, or several of them, as in "
            "(1x8, 1x8), [1x8, 1x8] or {image: 1x3x64x64}"
        ) from None
    return found


def _parse_one(tokens: "deque[str]") -> Any:
    first = tokens.popleft()
    if first in _PAIRS:
        items: list[Any] = []
        while tokens[0] != _PAIRS[first]:
            key = _word(tokens) if first == "{" else ""
            if first == "{" and tokens.popleft() != ":":
                raise ValueError
            items.append((key, _parse_one(tokens)))
            if tokens[0] != _PAIRS[first] and tokens.popleft() != ",":
                raise ValueError
        tokens.popleft()
        values = [value for _, value in items]
        return dict(items) if first == "{" else values if first == "[" else tuple(values)
    tokens.appendleft(first)
    word = _word(tokens)
    if word in _CONSTANTS:
        return _CONSTANTS[word]
    if tokens[0] == ":":
        word += tokens.popleft() + _word(tokens)
    if not SHAPE.fullmatch(word):
        raise ValueError
    return Shape(word)


def _word(tokens: "deque[str]") -> str:
    word = tokens.popleft()
    if not word or word in ",:()[]{}":
        raise ValueError
    return word[1:-1] if word[0] in "\"'" and word[-1] == word[0] else word


def given(value: Any) -> Any:
    """An input as a call takes it: a text is parsed, and so are the texts in it that can only be shapes."""
    if isinstance(value, str):
        if len(found := parse(value)) > 1:
            raise InvalidInput(f"input {value!r}: one input here; several of them in a tuple are ({value})")
        return found[0]
    return with_shapes(value)


def with_shapes(value: Any) -> Any:
    """A value in which the texts that can only be shapes are `Shape`: ``1x3``, ``NxC``, but not ``nearest``."""
    if not any(isinstance(leaf, str) and _is_shape(leaf) for leaf in tree_leaves(value)):
        return value
    return tree_map_only(str, lambda text: given(text) if _is_shape(text) else text, value)


def _is_shape(text: str) -> bool:
    if text[:1] in _PAIRS and text[-1:] == _PAIRS[text[:1]]:
        try:
            return all(isinstance(leaf, Shape) and _is_shape(leaf) for leaf in tree_leaves(parse(text)))
        except InvalidInput:
            return False
    side, _, kind = text.partition(":")
    named = re.fullmatch(_CAPITALS, side) and isinstance(getattr(torch, kind or "-", None), torch.dtype)
    return bool(_SURELY.fullmatch(text) or named)


def shapes_in(*trees: Any) -> list[Shape]:
    return [leaf for leaf in tree_leaves(trees) if isinstance(leaf, Shape)]


def without_letters(tree: Any) -> Any:
    """Inputs with meta tensors in the place of shapes."""
    return tree_map_only(Shape, meta_tensor, tree) if shapes_in(tree) else tree


def typed(tree: Any, kind: str) -> Any:
    """Inputs whose shapes have a type: ``kind`` where they have none."""
    return tree_map_only(Shape, lambda text: text if ":" in text else Shape(f"{text}:{kind}"), tree)


def meta_tensor(text: str) -> torch.Tensor:
    """``"1x3x224x224"`` or ``"1x16:int64"`` as a meta tensor."""
    shape, _, kind = text.partition(":")
    if not SHAPE.fullmatch(text):
        raise InvalidInput(f"input {text!r}: expected a shape, such as 1x3x224x224 or 1x16:int64")
    dtype = getattr(torch, kind or "float32", None)
    if dtype not in [getattr(torch, each) for each in TYPES]:
        known = "has no tensors for inputs" if isinstance(dtype, torch.dtype) else "is no type of torch"
        raise InvalidInput(f"input {text!r}: {kind!r} {known}: one of {', '.join(TYPES)}")
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
    """As users write it, such as ``1x16:int64`` or ``(1x8, 1x8)``; of what else a call can take, its class."""
    if isinstance(value, torch.Tensor):
        kind = "" if value.dtype == torch.float32 else f":{str(value.dtype).removeprefix('torch.')}"
        sides = [f"({side})" if " " in str(side) else str(side) for side in value.shape]  # of letters, H - 2
        return ("x".join(sides) or "scalar") + kind
    if isinstance(value, Shape):
        return str(value)
    if type(value) is tuple:
        return f"({', '.join(map(shape_of, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return f"{type(value).__name__}({', '.join(map(shape_of, value))})"
    if isinstance(value, list):
        return f"[{', '.join(map(shape_of, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {shape_of(each)}' for key, each in value.items())}}}"
    if value is None or isinstance(value, bool | int | float | complex | str):
        return in_words(value)
    return type(value).__name__


def inputs_in_words(inputs: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[str, ...]:
    """The inputs of a call as users write them, by position and by name."""
    return (*map(shape_of, inputs), *(f"{name}={shape_of(each)}" for name, each in kwargs.items()))
