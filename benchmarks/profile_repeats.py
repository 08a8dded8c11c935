"""Does a second measurement say the same? Two `costmodel profile` runs of the four cells, some time apart, against the
usual loop: 20 iterations in a fresh process, nothing pinned.

    python benchmarks/profile_repeats.py [--pause 600]

Prints each cell's percentage of the standard cell, twice, by both methods. Exit code 1 if ours differs by more than 3 %
(points of the ratio, relative) where it did not say so itself.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CELLS = ("standard", "spatial", "depth", "sep")
NAIVE = """
import time, torch, costmodel
cell = costmodel.build(costmodel.cell({!r}, kernel=3, channels=128, size=(128, 256)))
x, state = torch.randn(1, 128, 128, 256), None
with torch.no_grad():
    cell(x)
    start = time.time()
    for _ in range(20):
        y, state = cell(x, state)
    print((time.time() - start) / 20)
"""


def ours(folder: Path, number: int) -> dict[str, dict[str, object]]:
    command = [sys.executable, "-m", "costmodel", "profile", "--cells", ",".join(CELLS), "--format", "json"]
    out = ["--out", str(folder / f"run{number}.json")]
    done = subprocess.run([*command, *out], check=True, stdout=subprocess.PIPE, text=True)
    return {run["subject"]["cell"]: run for run in json.loads(done.stdout)["runs"]}


def naive() -> dict[str, float]:
    return {
        cell: float(
            subprocess.run([sys.executable, "-c", NAIVE.format(cell)], check=True, stdout=subprocess.PIPE).stdout
        )
        for cell in CELLS
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pause", type=float, default=600, help="seconds from start to start (default: 600)")
    pause = parser.parse_args().pause
    failed = False
    with tempfile.TemporaryDirectory() as temporary:
        begun = time.monotonic()
        first = ours(Path(temporary), 1), naive()
        print(f"first run: {time.monotonic() - begun:.0f} s", flush=True)
        time.sleep(max(0.0, pause - (time.monotonic() - begun)))
        second = ours(Path(temporary), 2), naive()
    print(f"% of the standard cell, twice, started {pause:.0f} s apart\n")
    print(f"{'cell':10} {'costmodel profile':>18} {'differ':>7}  {'it says':22} {'20 iterations':>16} {'differ':>7}")
    for cell in CELLS[1:]:
        mine = [run[0][cell]["pct"] for run in (first, second)]
        loop = [100 * run[1][cell] / run[1]["standard"] for run in (first, second)]
        says = [str(run[0][cell]["pct_verdict"]) for run in (first, second)]
        off, loop_off = (100 * abs(b / a - 1) for a, b in (mine, loop))
        failed |= off > 3 and set(says) == {"stable"}
        ours_shown, loop_shown = (f"{a:.2f} {b:.2f}" for a, b in (mine, loop))
        said = ", ".join(dict.fromkeys(says))
        print(f"{cell:10} {ours_shown:>18} {off:6.1f}%  {said:22} {loop_shown:>16} {loop_off:6.1f}%")
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
