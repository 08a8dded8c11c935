"""The arithmetic that costs need of sizes.

A size (a channel count, a kernel side, a map side) is a Python int, a numpy array of ints or a sympy expression. The
same description serves one network, a grid of a million points and a closed formula because it uses only ``+``, ``*``,
``%`` and the functions below. This module imports neither numpy nor sympy.
"""

import operator
import re
from fractions import Fraction
from typing import Any, TypeAlias

from costmodel.errors import InvalidInput, in_words

Size: TypeAlias = Any

UNITS = {"": 1, "B": 1} | {
    f"{prefix}{unit}": base ** (place + 1)
    for place, prefix in enumerate("kMGT")
    for unit, base in (("B", 1000), ("iB", 1024))
}


def same(a: Size, b: Size) -> bool:
    """True if two sizes are equal: at every point of a grid, or as expressions."""
    equal = a == b
    if equal is True or equal is False:
        return equal
    return bool(equal.all() if hasattr(equal, "all") else equal)


def quotient(a: Size, b: Size, what: str) -> Size:
    """``a / b``, which must be exact: `InvalidInput`, which names ``what``, unless ``a`` is a multiple of ``b``."""
    if same(a, b):
        return 1
    if isinstance(a, int) or hasattr(a, "dtype"):
        if not same(a % b, 0 * a):
            raise InvalidInput(f"{what}: {a} is not a multiple of {b}")
        return a // b
    return a / b  # symbols


def as_size(name: str, value: Any) -> Size:
    """``value`` as a size: a Python int (numpy's scalars become one), an array of 64-bit ints, or an expression.

    `InvalidInput` for sizes below 1, fractions, and narrower arrays, which would overflow in silence. Expressions are
    not checked: declare symbols as positive integers.
    """
    if type(value) is int and value >= 1:  # nearly always
        return value
    if getattr(value, "shape", ()):
        if value.dtype.kind != "i" or value.dtype.itemsize != 8:
            raise InvalidInput(f"{name} must be an array of 64-bit integers, not of {value.dtype}")
        if value.min() < 1:
            raise InvalidInput(f"{name} must be at least 1, not {value.min()}")
        return value
    if getattr(value, "free_symbols", ()):
        return value
    try:
        if isinstance(value, bool):
            raise TypeError
        whole = operator.index(value)
    except TypeError:
        raise InvalidInput(f"{name} must be a positive whole number, not {in_words(value)}") from None
    if whole < 1:
        raise InvalidInput(f"{name} must be at least 1, not {whole}")
    return whole


def pair(name: str, value: Any) -> tuple[Size, Size]:
    """A pair of sizes: ``3`` is ``(3, 3)``, a pair stays. `InvalidInput`, which names ``name``, for anything else."""
    if isinstance(value, tuple | list):
        if len(value) != 2:
            raise InvalidInput(f"{name} must be one size or two, not {in_words(value)}")
        return as_size(name, value[0]), as_size(name, value[1])
    return as_size(name, value), as_size(name, value)


def int_pair(name: str, value: Any) -> tuple[int, int]:
    """A pair of Python ints, as `pair`; arrays of one or two numbers become ints, others raise `InvalidInput`."""
    first, second = pair(name, value.tolist() if hasattr(value, "tolist") else value)
    if not (isinstance(first, int) and isinstance(second, int)):
        raise InvalidInput(f"{name} must be whole numbers here, not {in_words(value)}")
    return first, second


def bytes_of(memory: int | str) -> int:
    """``8000000000``, ``"8GB"``, ``"512 MiB"`` as bytes."""
    if isinstance(memory, int):
        found, unit = str(memory), ""
    else:
        match = re.fullmatch(r"(\d{1,18}(?:\.\d{1,9})?)\s*(\w*)", memory.strip(), re.ASCII)
        found, unit = match.groups() if match else ("", "?")
    by_name = {name.lower(): size for name, size in UNITS.items()}
    size = Fraction(found or "0") * by_name.get(unit.lower(), 0)
    if size < 1:
        raise InvalidInput(f"memory {memory!r}: expected bytes, such as 8GB, 512MB or 8GiB")
    return int(size)
