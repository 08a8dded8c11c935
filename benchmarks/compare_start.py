"""`costmodel compare` of one and of three networks of ResNet-50's size as a whole process, against `import torch`.

The three take turns, so that drift of the machine hits all; reported are medians of differences turn by turn.
Run: .venv/bin/python benchmarks/compare_start.py [rounds]
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

TESTS = Path(__file__).parent.parent / "tests"
# Three names of one network, each of which is made and counted.
NAMES = ("hand_written_resnet:ResNet50", "hand_written_resnet.py:ResNet50", "./hand_written_resnet.py:ResNet50")
INPUT = ("--input", "1x3x224x224")


def compare(number: int) -> list[str]:
    return [sys.executable, "-m", "costmodel", "compare", *NAMES[:number], *INPUT]


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=TESTS, env=os.environ | {"COLUMNS": "200"})
    return time.perf_counter() - start


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    commands = ([sys.executable, "-c", "import torch"], compare(1), compare(3))
    turns = [tuple(map(seconds, commands)) for _ in range(rounds)]
    torch, one, three = (statistics.median(side) for side in zip(*turns, strict=True))
    more = statistics.median((c - b) / 2 for _, b, c in turns)
    first = statistics.median(b - a for a, b, _ in turns)
    print(f"import torch {torch:.2f} s, compare of one network {one:.2f} s, of three {three:.2f} s ({rounds} rounds)")
    print(f"besides torch, with the first network: {first:.2f} s; each further one: {more:.2f} s (at most 0.2 wanted)")


if __name__ == "__main__":
    main()
