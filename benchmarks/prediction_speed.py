"""Seconds of a prediction of v6 after import, with the calibration of a profile, in a process of its own each.

    python benchmarks/prediction_speed.py [--machine amd-epyc-2-cores] [--processes 5]

``read``: the profile is read. ``fitted``: its samples become kernels, relative to the probes, and chains are learnt
from. ``first``: the first prediction, for which the curves of its kinds are made. ``next``: another one.
"""

import argparse
import statistics
import subprocess
import sys

SCRIPT = """
import sys, time
from costmodel.describe.calls import operations
from costmodel.describe.catalogue import describe_network
from costmodel.profiles.calibration import machine
from costmodel.profiles.files import read
name = sys.argv[1]
now = time.perf_counter
begun = now()
profile = read(name)
read_ = now()
found = machine(profile, name, profile.calibrations[0])
fitted = now()
times = []
for _ in range(2):
    start = now()
    found.predict(operations(describe_network("v6", heads=False)))
    times.append(now() - start)
print(read_ - begun, fitted - read_, *times)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--machine", default="amd-epyc-2-cores")
    parser.add_argument("--processes", type=int, default=5)
    given = parser.parse_args()
    runs = []
    for _ in range(given.processes):
        command = [sys.executable, "-c", SCRIPT, given.machine]
        runs.append([float(text) for text in subprocess.check_output(command, text=True).split()])
    for name, values in zip(("read", "fitted", "first", "next"), zip(*runs, strict=True), strict=True):
        middle, low, high = statistics.median(values), min(values), max(values)
        print(f"{name:7} {1e3 * middle:7.1f} ms ({1e3 * low:.1f} to {1e3 * high:.1f})")


if __name__ == "__main__":
    main()
