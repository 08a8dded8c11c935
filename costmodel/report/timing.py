"""Times as reports carry them: which machine, which clock, the median and how far it can be trusted."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Timing:
    """Seconds per frame.

    ``interval_s`` holds the quartiles of the samples (None: a single sample, or published without). ``pct`` is relative
    to the standard cell of the same network, or at the same point of a sweep (None: not timed).
    """

    machine: str
    device: str
    clock: str
    median_s: float
    interval_s: tuple[float, float] | None
    pct: float | None

    def record(self) -> dict[str, Any]:
        return {
            "machine": self.machine,
            "device": self.device,
            "clock": self.clock,
            "median_s": self.median_s,
            "interval_s": None if self.interval_s is None else list(self.interval_s),
            "pct": self.pct,
        }


def from_samples(machine: str, samples: Sequence[float], standard: Sequence[float] | None) -> Timing:
    """A wall-clock timing; its percentage is the median of the ratios taken within each round."""
    interval = None
    if len(samples) > 1:
        low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
        interval = (low, high)
    pct = 100 * statistics.median(a / b for a, b in zip(samples, standard, strict=False)) if standard else None
    return Timing(machine, "cpu", "wall", statistics.median(samples), interval, pct)


def milliseconds(seconds: float) -> str:
    """Four significant digits, trailing zeros kept: ``68.60``, ``1388``."""
    return f"{1e3 * seconds:#.4g}".rstrip(".")
