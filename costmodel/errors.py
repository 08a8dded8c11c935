"""The errors of this package. Their messages are sentences for the user."""

from collections.abc import Iterable, Sequence
from typing import Any

MOST_CHARACTERS = 60


def in_words(value: Any) -> str:
    """The repr of a value for a message: one line, cut after `MOST_CHARACTERS`."""
    text = " ".join(repr(value).split())
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}..."


def meant(name: Any, known: Iterable[str]) -> str:
    """The known names that are nearly ``name``, as a question at the end of a message; "" if there are none."""
    from difflib import get_close_matches

    if not isinstance(name, str):
        return ""
    known = list(known)
    return question(get_close_matches(name, known) or [each for each in known if each.lower() == name.lower()])


def question(close: Sequence[str]) -> str:
    """Names that may be meant, as a question at the end of a message; "" without names."""
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""


def among(name: Any, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the known names, and those that are nearly the same."""
    known = list(known)
    return f"one of {', '.join(known)}{meant(name, known)}"


class InvalidInput(ValueError):
    """Bad input. The message names the error and what is allowed; the command line prints it and exits 2."""


class MeasuringFailed(Exception):
    """The timing failed: the process died or ran out of memory, or its results differ from those of the reference.

    ``code``: the exit code of the command line, 2 where the user's own code is the reason.
    """

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


class CodeFailed(InvalidInput):
    """The user's own code raised an error in the process that times it."""
