"""Does a second measurement say the same? Two runs of `costmodel profile`, at least ten minutes apart, of the four
cells (K = 3, 5, 7; contiguous and channels_last; eager and compiled) and of the 13 networks.

    python benchmarks/profile_repeats.py [--pause 600] [--minutes 10] [--small] [--keep FOLDER]

Prints every ratio to the standard cell of both runs, at the median moment of the first, and what each run says of it.
Exit code 1 where both runs decide and differ by more than 3 %. With ``--keep`` the two profiles stay in a folder, whose
profiles are read instead of measured where they are there.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from costmodel.profiles import estimate
from costmodel.profiles.files import load
from costmodel.profiles.records import Profile

CELLS = ["--cell", "standard,spatial,depth,sep", "--kernel", "3,5,7", "--memory-format", "contiguous,channels_last"]
SMALL = {1.0: ["--cell", "standard,spatial,depth,sep", "--memory-format", "contiguous,channels_last"]}
COMMANDS = {  # with the share of the time
    0.75: [*CELLS, "--implementation", "eager,compiled"],
    0.25: ["--model", "icnet,v2,v5,v6"],
}


def measured(path: Path, minutes: float, small: bool) -> Profile:
    if not path.exists():
        for share, options in (SMALL if small else COMMANDS).items():
            command = [sys.executable, "-m", "costmodel", "profile", *options, "--out", str(path), "--resume"]
            budget = ["--budget", f"{60 * minutes * share:.0f}s", "--format", "json"]
            subprocess.run([*command, *budget], check=True, stdout=subprocess.DEVNULL)
    return load(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pause", type=float, default=600, help="seconds from start to start, at least (default: 600)")
    parser.add_argument("--minutes", type=float, default=10, help="of each run (default: 10)")
    parser.add_argument("--small", action="store_true", help="the four cells at K = 3 in plain PyTorch alone")
    parser.add_argument("--keep", type=Path, help="the folder of the two profiles")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder: Path = chosen.keep or Path(temporary)
        begun = time.monotonic()
        there = (folder / "first.json").exists()
        first = measured(folder / "first.json", chosen.minutes, chosen.small)
        if not (there and (folder / "second.json").exists()):
            time.sleep(max(0.0, chosen.pause - (time.monotonic() - begun)))
        second = measured(folder / "second.json", chosen.minutes, chosen.small)
    return shown(first, second)


def shown(first: Profile, second: Profile) -> int:
    """Print both; the exit code."""
    at = first.moments["cpu"]
    print(f"median moments: {at.words}; {second.moments['cpu'].words}. All ratios are at the first one.\n")
    print(f"{'% of the standard cell':62} {'first':>7} {'second':>7} {'differ':>7}  verdict")
    differences: list[float] = []  # of ratios that both runs decide
    decided, number = [0, 0], 0
    for run in first.runs:
        pairs = [
            (each.by_key.get(run.key), each.by_key.get((run.subject.standard, *run.key[1:])))
            for each in (first, second)
        ]
        ratios = [estimate.ratio(one, base, at) for one, base in pairs if one and base and one != base]
        if len(ratios) < 2:
            continue
        number += 1
        difference = abs(ratios[1].value / ratios[0].value - 1)
        stable = [each.verdict == "stable" for each in ratios]
        decided = [n + yes for n, yes in zip(decided, stable, strict=True)]
        differences += [difference] if all(stable) else []
        says = dict.fromkeys(each.verdict + (f" ({each.missing} more)" if each.missing else "") for each in ratios)
        kernel = run.subject.kernel[0] if run.subject.kernel else ""
        title = f"{run.subject.name} {kernel}, {run.how.memory_format}, {run.how.implementation}"
        values = " ".join(f"{100 * each.value:7.2f}" for each in ratios)
        print(f"{title:62} {values} {100 * difference:6.1f}%  {' | '.join(says)}")
    apart = sum(difference > estimate.AGREE for difference in differences)
    print(
        f"\n{number} ratios; decided: {decided[0]} in the first run, {decided[1]} in the second, {len(differences)} in "
        f"both, of which {len(differences) - apart} agree within {100 * estimate.AGREE:g} %; the worst differs by "
        f"{100 * max(differences, default=0):.1f} %."
    )
    return int(apart > 0)


if __name__ == "__main__":
    raise SystemExit(main())
