"""The errors of this package, in words for the person who reads them."""

from typing import Any

MOST_CHARACTERS = 60


def in_words(value: Any) -> str:
    """A value as a message shows it: its repr on one line, cut where it is long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}..."


class InvalidInput(ValueError):
    """Bad input. The message says what was wrong and what is allowed; the command line prints it and exits 2."""


class MeasuringFailed(Exception):
    """A subject cannot be timed: its process died, ran out of memory, or computes something else than its reference."""
