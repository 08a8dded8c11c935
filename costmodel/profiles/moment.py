"""A moment of a machine: how fast it copies and multiplies, by the probes that are timed in every round.

Neighbours share a machine's memory and its clock: within minutes the bandwidth changes by a factor of two, and with it
every time that memory bounds. So times are stated at a moment.
"""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from costmodel.profiles.records import Process

COPY_BYTES = 2 * 2**27  # read and written by a copy of 128 MiB, which no cache holds
CACHED_BYTES = 2 * 2**22  # of 4 MiB, which stay in the last cache
PRODUCT_FLOPS = 2 * 1024**3  # of two matrices of 1024x1024
PROBES = ("copy", "cached", "product")


@dataclass(frozen=True)
class Moment:
    """Seconds of each probe, in float32."""

    copy: float
    cached: float
    product: float

    @property
    def bandwidth(self) -> float:
        """Bytes per second of the large copy."""
        return COPY_BYTES / self.copy

    @property
    def cached_bandwidth(self) -> float:
        """Bytes per second of the copy that caches hold."""
        return CACHED_BYTES / self.cached

    @property
    def rate(self) -> float:
        """FLOP/s of the matrix product, two per multiply-accumulate."""
        return PRODUCT_FLOPS / self.product

    def with_bandwidth(self, bandwidth: float) -> "Moment":
        """This moment with another bandwidth of memory, in bytes per second."""
        return replace(self, copy=COPY_BYTES / bandwidth)

    @property
    def words(self) -> str:
        """The moment in words: ``29.4 GB/s, 190 GFLOP/s``."""
        return f"{self.bandwidth / 1e9:.3g} GB/s, {self.rate / 1e9:.3g} GFLOP/s"

    def record(self) -> dict[str, float]:
        """The JSON contract: bytes and FLOPs per second."""
        return {
            "bandwidth": round(self.bandwidth),
            "cached_bandwidth": round(self.cached_bandwidth),
            "rate": round(self.rate),
        }


def median_moment(processes: "Iterable[Process]") -> Moment | None:
    """The median of each probe of some processes; None without probes."""
    known = [process.probes for process in processes if process.probes]
    if not known:
        return None
    return Moment(*(statistics.median(s for probes in known for s in getattr(probes, name)) for name in PROBES))
