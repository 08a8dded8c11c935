"""`costmodel table --model v6` as a whole process, against the shortest fvcore script for the same five rows
and against `import torch`.

The three take turns, so that drift of the machine hits both; reported are medians and the ratio pair by pair.
Run: .venv/bin/python benchmarks/table_start.py [rounds]
"""

import statistics
import subprocess
import sys
import time

TABLE = [sys.executable, "-m", "costmodel", "table", "--model", "v6"]

# The networks come from the same package, so that both count the same rows.
FVCORE = """
import torch, costmodel
from fvcore.nn import FlopCountAnalysis
for model, cell in [("icnet", "standard"), *(("v6", c) for c in ("standard", "spatial", "depth", "sep"))]:
    net = costmodel.build(costmodel.network(model, cell=cell)).eval()
    with torch.no_grad():
        counted = FlopCountAnalysis(net, torch.zeros(1, 3, 1024, 2048)).unsupported_ops_warnings(False)
        print(model, cell, counted.uncalled_modules_warnings(False).total())
"""


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    seconds(TABLE)  # writes the byte code, which an installed package has
    commands = (TABLE, [sys.executable, "-c", FVCORE], [sys.executable, "-c", "import torch"])
    turns = [tuple(map(seconds, commands)) for _ in range(rounds)]
    table, fvcore, torch = (statistics.median(side) for side in zip(*turns, strict=True))
    ratio = statistics.median(b / a for a, b, _ in turns)
    part = statistics.median(a / c for a, _, c in turns)
    worst = max(a for a, _, _ in turns)
    print(f"costmodel table --model v6   median {table:.3f} s, worst {worst:.3f} s (whole process, {rounds} rounds)")
    print(f"shortest fvcore script       median {fvcore:.2f} s")
    print(f"import torch                 median {torch:.2f} s; the table takes {part:.3f} of it (at most 0.15 wanted)")
    print(f"ratio                        {ratio:.0f} times faster (at least 10 wanted; at most 0.25 s wanted)")


if __name__ == "__main__":
    main()
