"""`costmodel report` from all recorded profiles, as a whole process, against one that draws as many plain figures.

The two take turns; reported are medians, the worst, and the ratio pair by pair.
Run: .venv/bin/python benchmarks/report_time.py [rounds]
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# As many figures in as many formats as the report has, with nothing in them.
PLAIN = """
import sys
from matplotlib.figure import Figure
for n in range(int(sys.argv[1])):
    figure = Figure((3.35, 2.6), layout="constrained")
    figure.subplots().plot([1, 2])
    for suffix in ("svg", "png"):
        figure.savefig(f"{sys.argv[2]}/{n}.{suffix}", dpi=300)
"""


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory() as folder:
        report = [sys.executable, "-m", "costmodel", "report", "--out", f"{folder}/report", "--force"]
        seconds(report)  # writes the byte code, which an installed package has
        figures = len(list(Path(folder, "report", "figures").glob("*.svg")))
        plain = [sys.executable, "-c", PLAIN, str(figures), folder]
        pairs = [(seconds(report), seconds(plain)) for _ in range(rounds)]
    whole, drawing = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    print(
        f"costmodel report             median {whole:.1f} s, worst {max(a for a, _ in pairs):.1f} s (at most 10 wanted)"
    )
    print(f"{figures} plain figures             median {drawing:.1f} s")
    print(f"ratio                        {ratio:.1f}")


if __name__ == "__main__":
    main()
