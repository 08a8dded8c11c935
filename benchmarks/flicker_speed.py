"""mFIP and mFP of a 1024x2048 frame pair on one core, beside reading both maps once to count where they differ.

All take turns. Run: .venv/bin/python benchmarks/flicker_speed.py [rounds]
"""

import itertools
import os
import statistics
import sys
import time
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is first imported

import numpy as np
import torch

from costmodel import Flicker

ROWS, COLUMNS = 1024, 2048


def maps(kind: str, seed: int) -> np.ndarray:
    """Blocks of 19 classes with 3 % of noise: 60 per mille flicker, as in Tables II and III."""
    labels = np.kron(np.random.default_rng(0).integers(0, 19, (ROWS // 64, COLUMNS // 64)), np.ones((64, 64), int))
    random = np.random.default_rng(seed)
    noise = random.random(labels.shape) < 0.03
    labels[noise] = random.integers(0, 19, noise.sum())
    return labels.astype(kind)


class Read:
    """The least that a comparison does."""

    before: Any = None

    def update(self, frame: Any) -> None:
        if self.before is not None:
            different = frame != self.before
            np.count_nonzero(different) if isinstance(frame, np.ndarray) else int(different.sum())
        self.before = frame


def turns(metrics: list[tuple[Any, list[Any]]], frames: list[Any], rounds: int) -> list[float]:
    """Median milliseconds of the update of each, which gets the frame and what is listed."""
    times: list[list[float]] = [[] for _ in metrics]
    for frame in itertools.islice(itertools.cycle(frames), rounds + 4):
        for (metric, more), taken in zip(metrics, times, strict=True):
            start = time.perf_counter()
            metric.update(frame, *more)
            taken.append(1e3 * (time.perf_counter() - start))
    return [statistics.median(taken[4:]) for taken in times]  # the first ones have no pair, and warm up


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    print(f"a {ROWS}x{COLUMNS} pair on one core, medians of {rounds}, 3 ms wanted; times: of reading both once")
    print(f"{'labels':<13}{'read':>9}{'mFIP':>17}{'mFIP and mFP':>17}{'both, with ignore':>19}")
    for kind in ("uint8", "int16", "int32", "int64"):
        arrays = [maps(kind, seed) for seed in range(3)]
        for name, (one, other, truth) in (kind, arrays), (f"torch {kind}", [torch.from_numpy(each) for each in arrays]):
            metrics = [(Read(), []), (Flicker(), []), (Flicker(), [truth]), (Flicker(ignore=18), [truth])]
            read, *ours = turns(metrics, [one, other], rounds)
            shown = "".join(
                f"{ms:>{width}.2f} ms{ms / read:>5.1f}x" for ms, width in zip(ours, (8, 8, 10), strict=True)
            )
            print(f"{name:<13}{read:>6.2f} ms{shown}")


if __name__ == "__main__":
    main()
