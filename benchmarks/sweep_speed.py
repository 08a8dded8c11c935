"""A library sweep over a million points, four cells, against FlopCounterMode on meta tensors, per point and cell.

Run: .venv/bin/python benchmarks/sweep_speed.py
"""

import random
import statistics
import time
import tracemalloc

import torch
from torch.utils.flop_counter import FlopCounterMode

import costmodel

KERNELS = range(1, 21, 2)
CHANNELS = range(1, 1001)
SIZES = [(n, 2 * n) for n in range(1, 101)]
CELLS = ("standard", "spatial", "depth", "sep")


def grid(kernels: range = KERNELS) -> float:
    start = time.perf_counter()
    rows = len(costmodel.sweep(kernels, CHANNELS, SIZES, CELLS, convention="torch"))
    assert rows == len(kernels) * 1000 * 100 * 4
    return time.perf_counter() - start


def counter(cell: str, kernel: int, channels: int, size: tuple[int, int]) -> tuple[float, int]:
    """Seconds for one count, building the meta module included: every point needs its own."""
    start = time.perf_counter()
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as flops:
        net = costmodel.build(costmodel.cell(cell, kernel=kernel, channels=channels, size=size))
        x = torch.empty(1, channels, *size)
        state = net.zeros(x)
        net(x, state)
    return time.perf_counter() - start, flops.get_total_flops()


def count_alone(cell: str, kernel: int, channels: int, size: tuple[int, int]) -> float:
    """Seconds of the counted call alone, the module given."""
    with torch.device("meta"), torch.no_grad():
        net = costmodel.build(costmodel.cell(cell, kernel=kernel, channels=channels, size=size))
        x = torch.empty(1, channels, *size)
        state = net.zeros(x)
        start = time.perf_counter()
        with FlopCounterMode(display=False):
            net(x, state)
        return time.perf_counter() - start


def main() -> None:
    grid()
    whole = [grid() for _ in range(5)]
    random.seed(0)
    points = [
        (random.choice(CELLS), random.choice(KERNELS), random.choice(CHANNELS), random.choice(SIZES)) for _ in range(40)
    ]
    counter(*points[0])  # warm
    counted = [counter(*point) for point in points]
    alone = [count_alone(*point) for point in points]
    for (cell, kernel, channels, size), (_, flops) in zip(points, counted, strict=True):
        (row,) = costmodel.sweep(kernel, channels, [size], [cell], convention="torch").rows()
        assert row.flops == flops, (cell, kernel, channels, size)

    each = statistics.median(whole) / 4_000_000
    theirs, call = statistics.median(seconds for seconds, _ in counted), statistics.median(alone)
    print(f"sweep, 1,000,000 points x 4 cells   median {statistics.median(whole):.2f} s, worst {max(whole):.2f} s")
    print(f"per point and cell                  {each * 1e9:.0f} ns")
    print(f"FlopCounterMode on meta tensors     {theirs * 1e3:.2f} ms with its module, {call * 1e3:.2f} ms without")
    print(f"ratio                               {theirs / each:,.0f}, {call / each:,.0f} without (10,000 wanted)")
    for kernels in (range(1, 6, 2), range(1, 21, 2), range(1, 81, 2)):
        tracemalloc.start()
        grid(kernels)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        count = len(kernels) * 100_000
        print(f"peak memory, {count:>9,} points        {peak / 1e6:.0f} MB, {peak / count:.0f} bytes a point")


if __name__ == "__main__":
    main()
