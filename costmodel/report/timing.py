"""Times as reports carry them: which machine, which clock, the median and how far it can be trusted."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Timing:
    """Seconds per frame. ``interval_s`` holds the quartiles of the samples (None: published without). ``pct`` is
    relative to the standard cell of the same network, or at the same point of a sweep (None: that was not timed)."""

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
    quartiles = statistics.quantiles(samples, n=4, method="inclusive") if len(samples) > 1 else [samples[0]] * 3
    pct = 100 * statistics.median(a / b for a, b in zip(samples, standard, strict=False)) if standard else None
    return Timing(machine, "cpu", "wall", quartiles[1], (quartiles[0], quartiles[2]), pct)
