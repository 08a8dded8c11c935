"""Values as people type them on a command line: ``3,5,7``, ``3x5``, ``64,96x128``, ``1024x2048``, ``90s``.

A parser takes the text of an option; its errors start with the text, and `at_door` puts the option before them.
"""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import typer

from costmodel.describe.catalogue import NETWORKS, network_names
from costmodel.describe.cells import cell_names, is_cell
from costmodel.errors import InvalidInput, among, meant
from costmodel.price.machine import Machine

Value = TypeVar("Value")
UNITS = {"ms": 1e-3, "s": 1, "m": 60, "h": 3600}


class BadOption(typer.BadParameter):
    """The value of an option is wrong. The message lacks the option, which click adds to the error."""

    def format_message(self) -> str:
        return f"{self.param.opts[0]} {self.message}" if self.param else self.message


class Sides(tuple[int, int]):
    """Rows and columns, or channels in and out. typer would want two arguments for the type ``tuple[int, int]``."""


class Pair(tuple[str, str]):
    """A key and a value."""


class Arguments(dict[str, Any]):
    """Keyword arguments. typer has no lists of plain dictionaries."""


def at_door(parse: Callable[[str], Value]) -> Callable[[Any], Value]:
    """``parse`` as the parser of an option. A default that is not a text is a value already."""

    def checked(given: Any) -> Any:
        try:
            return parse(given) if isinstance(given, str) else given
        except InvalidInput as error:
            raise BadOption(str(error)) from None

    return checked


def joined(order: Iterable[Any] = ()) -> Callable[[Any], Any]:
    """The callback of an option that may be repeated and holds several values each time: one list of its values, each
    once, those of ``order`` first; None where the option is not given."""

    def join(lists: Any) -> Any:
        values = list(dict.fromkeys(value for values in lists or () for value in values))
        first = [value for value in order if value in values]
        return [*first, *(value for value in values if value not in first)] or None

    return join


def one_of(*allowed: str) -> Callable[[str], str]:
    """One of some words."""

    def parse(text: str) -> str:
        if text not in allowed:
            raise InvalidInput(f"{text!r}: {among(text, allowed)}")
        return text

    return parse


def each(parse: Callable[[str], Value]) -> Callable[[str], list[Value]]:
    """Values separated by commas."""
    return lambda text: [parse(part.strip()) for part in text.split(",")]


def model(text: str) -> str:
    """A network, a family of networks, or a module of the user's by its name."""
    if text not in NETWORKS and not is_module(text):
        raise InvalidInput(
            f"{text!r}: one of {network_names(text)}{meant(text, NETWORKS)}; or a module of your own, "
            "PACKAGE.MODULE:FACTORY or path/file.py:FACTORY"
        )
    return text


def one_to_compare(text: str) -> str:
    """A network, a cell, or a module of the user's by its name."""
    if text not in NETWORKS and not is_cell(text) and not is_module(text):
        known = [*NETWORKS, *cell_names()]
        raise InvalidInput(
            f"{text!r}: neither a module, PACKAGE.MODULE:FACTORY or path/file.py:FACTORY, nor one of "
            f"{network_names()}, {', '.join(cell_names())}{meant(text, known)}"
        )
    return text


def is_module(text: str) -> bool:
    """True for the name of a module of the user's: ``package.module:factory``, ``path/file.py:factory``, a file."""
    return ":" in text or text.endswith((".pt2", ".onnx"))


def cell(text: str) -> str:
    """A cell, also one of a family with its number."""
    if not is_cell(text):
        raise InvalidInput(f"{text!r}: {among(text, cell_names())}")
    return text


def sizes(text: str) -> list[Sides]:
    """``"3,5x7"`` is ``[(3, 3), (5, 7)]``. Whole numbers from 1."""
    return [_size(part, text) for part in text.split(",")]


def square(text: str) -> Sides:
    """One size, ``"3"`` or ``"3x5"``."""
    if "," in text:
        raise InvalidInput(f"{text!r}: one value here, such as 3 or 3x5")
    return _size(text, text)


def rectangle(text: str) -> Sides:
    """``"128x256"``: both sides must be there."""
    if len(text.split("x")) != 2:
        raise InvalidInput(f"{text!r}: expected ROWSxCOLUMNS, such as 1024x2048")
    return _size(text, text)


def _size(part: str, text: str) -> Sides:
    sides = part.strip().split("x")
    # isdecimal() alone also accepts digits of other scripts.
    if (
        len(sides) > 2
        or not all(side.isascii() and side.isdecimal() for side in sides)
        or any(len(side) > 18 for side in sides)
    ):
        where = f"{part!r} in {text!r}" if part != text else f"{text!r}"
        raise InvalidInput(
            f"{where}: expected whole numbers from 1, as N or NxM (3 or 3x5), separated by commas where several are "
            "allowed"
        )
    if min(int(side) for side in sides) < 1:
        raise InvalidInput(f"{part!r}: sizes start at 1")
    return Sides((int(sides[0]), int(sides[-1])))


def whole_from(least: int) -> Callable[[str], int]:
    """One whole number from ``least``."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) <= 18 and int(text) >= least):
            raise InvalidInput(f"{text!r}: expected a whole number from {least}")
        return int(text)

    return parse


whole = whole_from(1)


def number(text: str) -> float:
    """A decimal number from 0."""
    if not text.isascii() or not re.fullmatch(r"\d{1,12}(\.\d{1,12})?", text):
        raise InvalidInput(f"{text!r}: expected a number from 0, such as 61 or 0.5")
    return int(text) if text.isdecimal() else float(text)


def bandwidth(text: str) -> float:
    """GB/s as bytes per second, more than 0."""
    if not (found := number(text)):
        raise InvalidInput(f"{text!r}: expected GB/s above 0, such as 30")
    return 1e9 * found


def limits(text: str) -> Machine:
    """``"120,20"``: GFLOP/s and GB/s."""
    parts = text.split(",")
    if len(parts) != 2:
        raise InvalidInput(f"{text!r}: expected GFLOP/s and GB/s, such as 120,20")
    peak, bandwidth = (number(part.strip()) for part in parts)
    try:
        return Machine(1e9 * peak, 1e9 * bandwidth)
    except InvalidInput as error:
        raise InvalidInput(f"{text!r}: {error}") from None


def machine(text: str) -> Machine | str:
    """GFLOP/s and GB/s, or the name or the file of a profile with a calibration."""
    is_file = text.endswith(".json") or "/" in text
    return limits(text) if not is_file and ("," in text or re.fullmatch(r"[\d.]+", text)) else text


def duration(text: str) -> float:
    """``"90"``, ``"90s"``, ``"300ms"``, ``"5m"``, ``"1h"`` as seconds."""
    unit = next((unit for unit in UNITS if text.endswith(unit)), "")
    number = text.removesuffix(unit)
    if not number.isascii() or not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", number) or not float(number):
        raise InvalidInput(f"{text!r}: expected a time, such as 90s, 5m or 1h")
    return float(number) * UNITS[unit or "s"]


def percentage(text: str) -> float:
    """``"5%"`` or ``"5"`` as 0.05."""
    number = text.removesuffix("%").strip()
    if not number.isascii() or not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", number):
        raise InvalidInput(f"{text!r}: expected a percentage, such as 5%")
    return float(number) / 100


def pair(text: str) -> Pair:
    """``"final=standard"`` is ``("final", "standard")``."""
    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise InvalidInput(f"{text!r}: expected NAME=VALUE, such as final=standard")
    return Pair((key, value))


def different_keys(lists: list[list[Pair]] | None) -> list[Pair] | None:
    """The callback of an option of pairs: one list, in which no key is twice."""
    pairs = [pair for pairs in lists or () for pair in pairs]
    for number, (key, value) in enumerate(pairs):
        if key in dict(pairs[:number]):
            raise BadOption(f"'{key}={value}': {key} is given twice")
    return pairs or None


PYTHON = {"True": True, "False": False, "None": None}  # as people write them who write Python


def arguments(text: str) -> Arguments:
    """``width=32``, whose value is JSON, a constant of Python or a text, or a JSON object of several."""
    if text.lstrip().startswith("{"):
        return Arguments(keywords(text))
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise InvalidInput(f"{text!r}: expected NAME=VALUE, such as width=32, or a JSON object")
    try:
        return Arguments({name: json.loads(value)})
    except ValueError:
        return Arguments({name: PYTHON.get(value, value)})


def merged(parts: list[Arguments] | None) -> dict[str, Any] | None:
    """The values of an option of arguments as one dictionary, in which no name is twice."""
    whole: dict[str, Any] = {}
    for part in parts or ():
        if twice := whole.keys() & part.keys():
            raise InvalidInput(f"--make: {min(twice)!r} is given twice")
        whole |= part
    return whole or None


def alternatives(text: str) -> dict[str, list[Any]]:
    """``width=32,64``: values between commas, each JSON or a text; a value that is JSON with commas of its own,
    ``sizes=[3,5]``, is one value. Values in a JSON object stay as they are."""
    if text.lstrip().startswith("{"):
        return {name: [value] for name, value in keywords(text).items()}
    name, whole = pair(text)
    try:
        return {name: json.loads(f"[{whole}]")}
    except ValueError:  # some are texts; commas in brackets separate nothing
        parts = re.split(r",(?![^\[{]*[\]}])", whole)
        if not all(map(str.strip, parts)):
            raise InvalidInput(f"{text!r}: a value is empty: expected NAME=VALUE,VALUE, such as width=32,64") from None
        return {name: [arguments(f"{name}={part.strip()}")[name] for part in parts]}


LETTER = re.compile(r"[^\W\d]\w*=.*")


def letter_sizes(text: str) -> tuple[str, list[int]]:
    """``"H=256,512"`` is ``("H", [256, 512])``."""
    letter, _, sizes = text.partition("=")
    if not (LETTER.fullmatch(text) and sizes):
        raise InvalidInput(f"--grid {text!r}: expected LETTER=SIZES, such as H=256,512")
    try:
        return letter, each(whole)(sizes)
    except InvalidInput as error:
        raise InvalidInput(f"--grid {text!r}: {error}; arguments of the factory are --make, once for each") from None


def keywords(text: str) -> dict[str, Any]:
    """A JSON object as keyword arguments."""
    try:
        arguments = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"{text!r}: not JSON: {error}") from None
    if not isinstance(arguments, dict):
        raise InvalidInput(f"{text!r}: expected an object, such as '{{\"classes\": 10}}'")
    return arguments


def numbers_in(parse: Callable[[str], Value]) -> Callable[[str], list[Value]]:
    """A file of numbers, separated by spaces, commas or lines; at least one."""

    def read(file: str) -> list[Value]:
        try:
            words = [word for word in re.split(r"[\s,]+", Path(file).read_text(encoding="utf-8")) if word]
            if not words:
                raise InvalidInput("there is nothing in it")
            return [parse(word) for word in words]
        except InvalidInput as error:
            raise InvalidInput(f"{file!r}: {error}") from None
        except (OSError, ValueError) as error:
            raise InvalidInput(f"{file!r}: {getattr(error, 'strerror', None) or 'not text'}") from None

    return read
