"""The errors of this package, in words for the person who reads them."""


class InvalidInput(ValueError):
    """Bad input. The message says what was wrong and what is allowed; the command line prints it and exits 2."""


class MeasuringFailed(Exception):
    """A subject cannot be timed: its process died, ran out of memory, or computes something else than its reference."""
