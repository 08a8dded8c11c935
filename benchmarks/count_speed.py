"""`costmodel.count` against FlopCounterMode on meta tensors and fvcore on real ones: time, and memory besides torch.

Each pair takes turns in one process (time) or has a process of its own (memory). Run:
.venv/bin/python benchmarks/count_speed.py [rounds]
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

import costmodel

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from hand_written_resnet import ResNet50

MEMORY = """
import re, sys, torch, costmodel
from fvcore.nn import FlopCountAnalysis
heavy = sys.argv[1] == "fvcore"
with torch.device("cpu" if heavy else "meta"):
    net = costmodel.build(costmodel.network("v6", cell="sep")).eval()
x = torch.zeros(1, 3, 1024, 2048, device="cpu" if heavy else "meta")
most = lambda: int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])
before = most()
if heavy:
    with torch.no_grad():
        FlopCountAnalysis(net, x).unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()
else:
    costmodel.count(net, x)
print(most() - before)
"""


def paired(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> tuple[float, float, float]:
    """Median seconds of both, and of the ratio within rounds."""
    ours(), theirs()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        ours()
        middle = time.perf_counter()
        theirs()
        times.append((middle - start, time.perf_counter() - middle))
    first, second = (statistics.median(side) for side in zip(*times, strict=True))
    return first, second, statistics.median(b / a for a, b in times)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with torch.device("meta"):
        nets = {
            "ResNet-50, 224x224": (ResNet50().eval(), (1, 3, 224, 224)),
            "LSTM-ICNet v6, 1024x2048": (costmodel.build(costmodel.network("v6")).eval(), (1, 3, 1024, 2048)),
        }
    for name, (net, shape) in nets.items():
        x = torch.empty(shape, device="meta")

        def counter(net: torch.nn.Module = net, x: torch.Tensor = x) -> None:
            with torch.no_grad(), FlopCounterMode(display=False):
                net(x)

        ours, theirs, ratio = paired(lambda net=net, x=x: costmodel.count(net, x), counter, rounds)
        print(f"{name}: {1e3 * ours:.1f} ms, FlopCounterMode {1e3 * theirs:.1f} ms: {ratio:.1f} times faster")
    from fvcore.nn import FlopCountAnalysis

    real = costmodel.build(costmodel.network("v6", cell="sep")).eval()
    x = torch.zeros(1, 3, 1024, 2048)

    def fvcore() -> None:
        with torch.no_grad():
            FlopCountAnalysis(real, x).unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()

    ours, theirs, ratio = paired(lambda: costmodel.count(real, x), fvcore, 3)
    print(f"sep v6, 1024x2048, real module: {1e3 * ours:.1f} ms, fvcore {theirs:.2f} s: {ratio:.0f} times faster")
    runs = [
        int(subprocess.run([sys.executable, "-c", MEMORY, who], check=True, capture_output=True, text=True).stdout)
        for who in ("ours", "fvcore")
    ]
    print(f"memory besides torch and module: {runs[0] / 1e3:.0f} MB, fvcore {runs[1] / 1e3:.0f} MB")


if __name__ == "__main__":
    main()
