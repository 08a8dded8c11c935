"""Sizes and lists as people type them on a command line: ``3,5,7``, ``3x5``, ``64,96x128``, ``1024x2048``."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import typer

from costmodel.describe.catalogue import NETWORKS, network_names
from costmodel.describe.cells import CELLS, cell_names, is_cell
from costmodel.errors import InvalidInput
from costmodel.report.layout.render import find_format

Read = TypeVar("Read")
UNITS = {"s": 1, "m": 60, "h": 3600}


class BadOption(typer.BadParameter):
    """The value of an option is wrong. The message lacks the option."""

    def format_message(self) -> str:
        return f"{self.param.opts[0] if self.param else ''}{self.message}"


class BadFormat(typer.BadParameter):
    """No format has this name. The message is whole."""

    def format_message(self) -> str:
        return self.message


class Sides(tuple[int, int]):
    """Rows and columns. typer would want two arguments for an option of the type ``tuple[int, int]``."""


def at_door(read: Callable[..., Read], **how: Any) -> Callable[[Any], Read]:
    """``read`` as the parser of an option. A default that is not a text is a value already."""

    def parse(given: Any) -> Any:
        try:
            return read(given, "", **how) if isinstance(given, str) else given
        except InvalidInput as error:
            raise BadOption(str(error)) from None

    return parse


def known_format(name: str) -> str:
    """The name of a format of tables. The message about another name does not start with the option."""
    try:
        return find_format(name)
    except InvalidInput as error:
        raise BadFormat(str(error)) from None


def sizes(text: str, option: str) -> list[tuple[int, int]]:
    """``"3,5x7"`` is ``[(3, 3), (5, 7)]``. Whole numbers from 1."""
    return [_size(part, text, option) for part in text.split(",")]


def rectangle(text: str, option: str) -> Sides:
    """``"128x256"``: both sides must be there."""
    if len(text.split("x")) != 2:
        raise InvalidInput(f"{option} {text!r}: expected ROWSxCOLUMNS, such as 1024x2048")
    return Sides(_size(text, text, option))


def whole(text: str, option: str, least: int = 1) -> int:
    """One whole number from 1, or from another ``least`` one."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 18 and int(text) >= least):
        raise InvalidInput(f"{option} {text!r}: expected a whole number from {least}")
    return int(text)


def number(text: str, option: str) -> float:
    """A decimal number from 0."""
    if not text.isascii() or not re.fullmatch(r"\d{1,12}(\.\d{1,12})?", text):
        raise InvalidInput(f"{option} {text!r}: expected a number from 0, such as 61 or 0.5")
    return int(text) if text.isdecimal() else float(text)


def square(text: str, option: str) -> tuple[int, int]:
    """One size, ``"3"`` or ``"3x5"``."""
    if "," in text:
        raise InvalidInput(f"{option} {text!r}: one value here, such as 3 or 3x5")
    return _size(text, text, option)


def optional(read: Callable[[str, str], Read], text: str | None, option: str) -> Read | None:
    """What ``read`` makes of the text, if there is one."""
    return None if text is None else read(text, option)


def names(texts: list[str] | None, option: str, allowed: list[str]) -> list[str] | None:
    """Repeated and comma-separated names, in the order of ``allowed``, each once; nothing given is None."""
    if not texts:
        return None
    given = [part.strip() for text in texts for part in text.split(",")]
    for name in given:
        if name not in allowed:
            raise InvalidInput(f"{option} {name!r}: one of {', '.join(allowed)}")
    return [name for name in allowed if name in given]


def models(texts: list[str] | None, option: str) -> list[str] | None:
    """Repeated and comma-separated networks, in the order of the catalogue; nothing given is None."""
    for name in (part.strip() for text in texts or [] for part in text.split(",")):
        if name not in NETWORKS:
            raise InvalidInput(f"{option} {name!r}: one of {network_names(name)}")
    return names(texts, option, list(NETWORKS))


def cells(texts: list[str] | None, option: str) -> list[str] | None:
    """Repeated and comma-separated cells, the paper's first; nothing given is None."""
    given = [part.strip() for text in texts or [] for part in text.split(",")]
    for name in given:
        if not is_cell(name):
            raise InvalidInput(f"{option} {name!r}: one of {', '.join(cell_names())}")
    return names(texts, option, list(dict.fromkeys([*CELLS, *given])))


def listed_in(file: str, option: str) -> list[str]:
    """The words in a file, separated by spaces, commas or lines; at least one."""
    try:
        found = [word for word in re.split(r"[\s,]+", Path(file).read_text(encoding="utf-8")) if word]
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{option} {file!r}: {getattr(error, 'strerror', None) or 'not text'}") from None
    if not found:
        raise InvalidInput(f"{option} {file!r}: there is nothing in it")
    return found


def pairs(texts: list[str] | None, option: str) -> dict[str, str]:
    """``["final=standard"]`` is ``{"final": "standard"}``."""
    result = {}
    for text in (part for given in texts or [] for part in given.split(",")):
        key, equals, value = text.partition("=")
        if not (key and equals and value):
            raise InvalidInput(f"{option} {text!r}: expected NAME=VALUE, such as final=standard")
        if key in result:
            raise InvalidInput(f"{option} {text!r}: {key} is given twice")
        result[key] = value
    return result


def _size(part: str, text: str, option: str) -> tuple[int, int]:
    sides = part.strip().split("x")
    # isdecimal() alone also accepts digits of other scripts.
    if (
        len(sides) > 2
        or not all(side.isascii() and side.isdecimal() for side in sides)
        or any(len(side) > 18 for side in sides)
    ):
        where = f"{part!r} in {text!r}" if part != text else f"{text!r}"
        raise InvalidInput(
            f"{option} {where}: expected whole numbers from 1, as N or NxM (3 or 3x5), "
            "separated by commas where several are allowed"
        )
    first, last = int(sides[0]), int(sides[-1])
    if min(first, last) < 1:
        raise InvalidInput(f"{option} {part!r}: sizes start at 1")
    return first, last


def several(text: str | None, option: str, allowed: Sequence[str]) -> list[str]:
    """``"eager,compiled"``: some of ``allowed``, each once; nothing given is none of them."""
    return names([text], option, list(allowed)) or [] if text is not None else []


def duration(text: str, option: str) -> float:
    """``"90"``, ``"90s"``, ``"5m"``, ``"1h"`` as seconds."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in UNITS else (text, "s")
    if not number.isascii() or not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", number) or not float(number):
        raise InvalidInput(f"{option} {text!r}: expected a time, such as 90s, 5m or 1h")
    return float(number) * UNITS[unit]


def percentage(text: str, option: str) -> float:
    """``"5%"`` or ``"5"`` as 0.05."""
    number = text.removesuffix("%").strip()
    if not number.isascii() or not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", number):
        raise InvalidInput(f"{option} {text!r}: expected a percentage, such as 5%")
    return float(number) / 100


def keywords(text: str, option: str) -> dict[str, Any]:
    """A JSON object as keyword arguments."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"{option}: not JSON: {error}") from None
    if not isinstance(found, dict):
        raise InvalidInput(f"{option} {text!r}: expected an object, such as '{{\"classes\": 10}}'")
    return found
