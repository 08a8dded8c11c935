"""Plans of more than a million and of more than 10^8 assignments: pricing the options, counting what fits, the front.

Run: .venv/bin/python benchmarks/plan_speed.py
"""

import resource
import statistics
import time

import costmodel
from costmodel.price.plan import CRITERIA, Limits, Option, Space, options_of
from costmodel.profiles.predict import Predictor, Roofline, settings

CELLS = ("none", "standard", "spatial", "depth", "sep", "grouped-2", "grouped-4", "grouped-8", "low-rank-32")
MORE = (
    *CELLS,
    *(f"{kind}-{n}" for kind in ("shuffled", "low-rank") for n in (2, 4, 8, 16, 64)),
    "grouped-16",
    "grouped-32",
)
MACHINE = Predictor(Roofline("two numbers", costmodel.Machine(200e9, 20e9)), settings())


def described(chosen: dict[str, Option]) -> object:
    from costmodel.describe.catalogue import describe_network
    from costmodel.describe.cells import with_kernel

    cells = {site: each.cell and with_kernel(each.cell, each.kernel) for site, each in chosen.items()}
    return describe_network("v6", cell=cells, heads=False)


def main() -> None:
    for cells, kernels in ((CELLS, (3, 5, 7, 9)), (MORE, (3, 5, 7, 9, 11))):
        start = time.perf_counter()
        space = Space(described, options_of("v6", cells, kernels), MACHINE)
        priced = time.perf_counter() - start
        counting, joining = [], []
        limits = Limits(0.5, 300_000_000)
        for _ in range(3):
            start = time.perf_counter()
            fitting, _ = space.survey(limits)
            counting.append(time.perf_counter() - start)
            start = time.perf_counter()
            front = space.front(limits, CRITERIA)
            joining.append(time.perf_counter() - start)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        each = len(next(iter(space.sites.values())))
        print(f"{len(space):,} assignments: {each} options at each of {len(space.sites)} sites")
        print(f"  describe and price the options       {priced:.2f} s")
        print(f"  count the {fitting:>11,} that fit        {statistics.median(counting):.3f} s (a million at most 1 s)")
        print(f"  find the front, {len(front):,} assignments     {statistics.median(joining):.3f} s")
        print(f"  peak memory of the process           {peak / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
