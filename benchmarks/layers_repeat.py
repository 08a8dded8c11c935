"""Layers of two runs on this machine: how far their marks distort, what is left over, and how well large parts repeat.

    python benchmarks/layers_repeat.py [--minutes N]

Times a cell, a network and a module twice, ``--minutes`` apart (default 0), and compares the rows of more than 5 % of
the total: their shares, and their times.
"""

import argparse
import time
from collections.abc import Callable

import costmodel
from costmodel.profiles.layers import LARGE, Layers

SUBJECTS: dict[str, Callable[[], Layers]] = {
    "depth cell 128x256": lambda: costmodel.layers(cell="depth"),
    "v6 sep 512x1024, layers": lambda: costmodel.layers("v6", "sep", size=(512, 1024), depth=1),
    "ICNet 512x1024, steps": lambda: costmodel.layers("icnet", size=(512, 1024)),
    "encoder layer": lambda: costmodel.layers(
        costmodel.module(
            "torch.nn:TransformerEncoderLayer",
            "1x512x256",
            arguments={"d_model": 256, "nhead": 4, "batch_first": True, "norm_first": True},
        )
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=0.0)
    wait = 60 * parser.parse_args().minutes
    first = {name: measure() for name, measure in SUBJECTS.items()}
    time.sleep(wait)
    for name, measure in SUBJECTS.items():
        tell(name, first[name], measure())


def tell(name: str, one: Layers, two: Layers) -> None:
    """Print how two runs of a subject compare."""
    for run in (one, two):
        told = ", ".join(f"{100 * each:+.1f} %" for each in run.distortions)
        rest = 100 * run.rows[-1].ns / run.total_ns
        assert sum(row.ns for row in run.rows) == run.total_ns
        print(
            f"{name}: {run.total_ns / 1e6:.2f} ms in {len(run.rows)} rows that add up; distortion of the levels {told};"
        )
        print(f"    remainder {rest:+.1f} %; {len(run.unsteady)} large rows not within 5 % over processes")
    before = {(row.path, row.kind): row.ns for row in one.rows}
    large = [row for row in two.rows if row.kind != "remainder" and row.ns > LARGE * two.total_ns]
    pairs = [(before[row.path, row.kind], row.ns) for row in large if (row.path, row.kind) in before]
    if not pairs:
        print("    no large row in both runs")
        return
    shares = sorted(abs(after / two.total_ns / (ns / one.total_ns) - 1) for ns, after in pairs)
    times = sorted(abs(after / ns - 1) for ns, after in pairs)
    for what, changes in (("shares", shares), ("times", times)):
        within = sum(change <= 0.05 for change in changes)
        print(f"    {what} of {len(pairs)} large rows: {within} within 5 %, the worst {100 * changes[-1]:.1f} %")


if __name__ == "__main__":
    main()
