"""What profiling costs: is a budget kept, how much memory does it take beside the network alone?

    python benchmarks/profile_overhead.py [--networks]

``--networks`` also times all 13 networks at the default settings (about ten minutes on two cores).
"""

import argparse
import json
import subprocess
import sys
import time

PROFILE = [sys.executable, "-m", "costmodel", "profile", "--format", "json"]
ALONE = """
import resource, torch, costmodel
net = costmodel.build(costmodel.network("v6", cell={!r}, heads=False)).eval()
frame, state = torch.randn(1, 3, 1024, 2048), None
with torch.inference_mode():
    for _ in range(8):
        scores, state = net(frame, state)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def measured(*arguments: str) -> tuple[float, list[dict[str, object]]]:
    begun = time.monotonic()
    done = subprocess.run([*PROFILE, *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return time.monotonic() - begun, json.loads(done.stdout)["runs"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", action="store_true", help="also time all 13 networks")
    networks = parser.parse_args().networks
    for budget, what in ((30, "--cells sep"), (60, "--cells standard,spatial,depth,sep"), (120, "--model v6")):
        seconds, runs = measured(*what.split(), "--budget", f"{budget}s")
        samples = sum(int(str(run["samples"])) for run in runs)
        print(f"{what:38} budget {budget:4} s: took {seconds:6.1f} s ({seconds / budget - 1:+.1%}), {samples} samples")
    for cell in ("standard", "depth"):
        alone = int(subprocess.run([sys.executable, "-c", ALONE.format(cell)], stdout=subprocess.PIPE).stdout)
        _, (run,) = measured("--model", "v6", "--cell", cell, "--processes", "1", "--rounds", "2")
        peak = int(str(run["peak_memory_bytes"]))
        print(f"{cell} v6 memory: alone {alone / 1e6:.0f} MB, profiled {peak / 1e6:.0f} MB: {peak / alone:.2f} times")
    if networks:
        seconds, runs = measured()
        print(f"{len(runs)} networks at the default settings: {seconds / 60:.1f} minutes")


if __name__ == "__main__":
    main()
