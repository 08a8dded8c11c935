"""Numbers as cells and notes of tables."""

from collections.abc import Iterable
from fractions import Fraction


def scale(most: int) -> tuple[str, float]:
    """The prefix for a column of numbers up to ``most``, and its factor; ``most`` keeps two digits before the point.

    >>> scale(251_000_000_000), scale(9_999)
    (('G', 1000000000.0), ('', 1))
    """
    return next(((letter, by) for letter, by in (("G", 1e9), ("M", 1e6), ("k", 1e3)) if most >= 10 * by), ("", 1))


def in_bytes(number: int) -> str:
    """Bytes in words, such as ``57.7 kB``."""
    letter, by = scale(number)
    return f"{number / by:,.{1 if letter else 0}f} {letter}B"


def significant(value: float, digits: int = 4) -> str:
    """A number with significant digits, trailing zeros kept, without a positive exponent.

    >>> significant(68.6), significant(1388), significant(123456)
    ('68.60', '1388', '123456')
    """
    text = f"{value:#.{digits}g}".rstrip(".")
    return f"{value:.0f}" if "e+" in text else text


def milliseconds(seconds: float, digits: int = 4) -> str:
    """Seconds in milliseconds, with significant digits: ``68.60``, ``1388``."""
    return significant(1e3 * seconds, digits)


def number(value: float, digits: int = 4) -> str:
    """A number without trailing zeros; significant digits where decimals would show 0."""
    text = f"{value:.{digits}f}".rstrip("0").rstrip(".")
    return f"{value:.{digits}g}" if value and float(text) == 0 else text


def apportioned(values: "Iterable[int | Fraction]", unit: int) -> list[int]:
    """Values in whole units, rounded so that they add up to their rounded sum; each is off by less than one unit.

    >>> apportioned([14, 14, 14], 10)
    [1, 2, 1]
    """
    result: list[int] = []
    whole: int | Fraction = 0
    before = 0
    for value in values:
        whole += value
        after = int((2 * whole + unit) // (2 * unit))
        result.append(after - before)
        before = after
    return result
