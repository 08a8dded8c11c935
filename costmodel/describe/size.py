"""The arithmetic that a cost asks of a size.

A size (a channel count, a kernel side, a map side) is a Python int, a numpy array of ints or a sympy expression. The
same description answers one network, a grid of a million points and a closed formula because it asks of a size only
``+``, ``*``, ``%`` and the two questions below. Neither numpy nor sympy is imported for that.
"""

from typing import Any, TypeAlias

from costmodel.describe.errors import InvalidInput

Size: TypeAlias = Any


def same(a: Size, b: Size) -> bool:
    """Whether two sizes are equal: at every point of a grid, or as expressions."""
    equal = a == b
    return bool(equal.all() if hasattr(equal, "all") else equal)


def quotient(a: Size, b: Size, what: str) -> Size:
    """``a / b`` where only an exact division makes sense; ``what`` names it in the refusal."""
    if same(a, b):
        return 1
    if isinstance(a, int) or hasattr(a, "dtype"):
        if not same(a % b, 0 * a):
            raise InvalidInput(f"{what}: {a} is not a multiple of {b}")
        return a // b
    return a / b  # symbols


def need_positive(name: str, value: Size) -> None:
    """Refuse an int below 1, or an array that holds one. Symbols are declared positive by whoever makes them."""
    if isinstance(value, bool) or not (
        isinstance(value, int) or hasattr(value, "free_symbols") or hasattr(value, "dtype")
    ):
        raise InvalidInput(f"{name} must be a positive whole number, not {value!r}")
    low = value.min() if hasattr(value, "dtype") else value
    if not hasattr(low, "free_symbols") and low < 1:
        raise InvalidInput(f"{name} must be at least 1, not {low}")
