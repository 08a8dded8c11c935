"""A moment of a machine: how fast it copies and multiplies, by the probes that are timed in every round.

Neighbours share a machine's memory and its clock: within minutes the bandwidth changes by a factor of two, and with it
every time that memory bounds. So times are stated at a moment.
"""

from dataclasses import dataclass, replace

PROBES = ("copy", "cached", "product")
LARGE = 128 << 20  # bytes of the source of the large copy, and of its destination: no cache holds them
CACHED = 4 << 20  # bytes of the source of the cached copy, and of its destination: the last cache holds them
SIDE = 1024  # rows and columns of the factors of the matrix product


@dataclass(frozen=True)
class Moment:
    """Seconds of each probe, in float32. ``asked``: not the median of what was measured, but asked for."""

    copy: float
    cached: float
    product: float
    asked: bool = False

    @property
    def bandwidth(self) -> float:
        """Bytes per second of the large copy, read and written."""
        return 2 * LARGE / self.copy

    @property
    def cached_bandwidth(self) -> float:
        """Bytes per second of the copy that caches hold."""
        return 2 * CACHED / self.cached

    @property
    def rate(self) -> float:
        """FLOP/s of the matrix product, two per multiply-accumulate."""
        return 2 * SIDE**3 / self.product

    def with_bandwidth(self, bandwidth: float) -> "Moment":
        """This moment with another bandwidth of memory, in bytes per second."""
        return replace(self, copy=2 * LARGE / bandwidth, asked=True)

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
