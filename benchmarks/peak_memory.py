"""`Count.cpu_peak_memory` of random networks against torch's CPU allocator: how many are within 5 %, how many of the
others have a note; those that have none are printed.

Groups of networks have processes of their own: some kernels of torch end the process on unusual maps, and such a group
is told as lost. Run: .venv/bin/python benchmarks/peak_memory.py [networks] [seed]
"""

import json
import random
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path

import torch
from torch import nn

import costmodel

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from test_memory import measured

GROUP, CLOSE = 20, 0.05
SIDES = {1: (64, 200, 1000), 2: (8, 16, 24, 32, 56), 3: (6, 8, 12)}
MODES = {1: ("nearest", "linear"), 2: ("nearest", "bilinear", "bicubic"), 3: ("nearest", "trilinear")}
DTYPES = (*[torch.float32] * 4, torch.float64, torch.bfloat16)


class First(nn.Module):
    """The outputs of a recurrent module, without its state."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.module(x)[0]  # type: ignore[no-any-return]  # untyped in torch


def convolutional(draw: random.Random) -> tuple[nn.Module, torch.Tensor]:
    """One to four layers on maps of one to three dimensions, perhaps with channels last."""
    n = draw.choice((1, 2, 2, 2, 2, 3))
    side, channels, layers = draw.choice(SIDES[n]), draw.choice((1, 3, 4, 5, 8, 16, 24, 32)), []
    x = torch.randn(draw.choice((1, 2, 4)), channels, *(side,) * n)

    def kind(name: str) -> type[nn.Module]:
        found: type[nn.Module] = getattr(nn, f"{name}{n}d")
        return found

    for _ in range(draw.randint(1, 4)):
        match draw.choice(("conv", "conv", "conv", "transposed", "norm", "groups", "active", "pool", "resize")):
            case "conv":
                size, gap = draw.choice((1, 3, 3, 5)), draw.choice((1, 1, 2))
                out, groups = draw.choice((4, 8, 12, 16, 32, 64)), draw.choice((1, 1, 2, channels))
                groups = groups if channels % groups == out % groups == 0 else 1
                stride = draw.choice((1, 1, 2))
                layers.append(kind("Conv")(channels, out, size, stride, size // 2 * gap, gap, groups))
                side, channels = (side - 1) // stride + 1, out
            case "transposed" if side <= 30:
                out = draw.choice((4, 8, 16, 24))
                layers.append(kind("ConvTranspose")(channels, out, size := draw.choice((2, 3, 4)), 2))
                side, channels = (side - 1) * 2 + size, out
            case "norm":
                layers.append(kind("BatchNorm")(channels))
            case "groups" if channels % 2 == 0:
                layers.append(nn.GroupNorm(2, channels))
            case "active":
                layers.append(draw.choice((nn.ReLU(), nn.GELU(), nn.SiLU())))
            case "pool" if side > 3:
                layers.append(kind(draw.choice(("MaxPool", "AvgPool")))(2))
                side //= 2
            case "resize" if side <= 30:
                layers.append(nn.Upsample(scale_factor=2, mode=draw.choice(MODES[n])))
                side *= 2
    net = nn.Sequential(*(layers or [kind("BatchNorm")(channels)]))
    if n == 2 and draw.random() < 0.35:
        return net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's types lack it
    return net, x


def sequential(draw: random.Random) -> tuple[nn.Module, torch.Tensor]:
    """One to four layers on rows of numbers."""
    wide = draw.choice((32, 64, 96))
    kinds = {
        "linear": lambda: nn.Linear(wide, wide),
        "norm": lambda: nn.LayerNorm(wide),
        "encoder": lambda: nn.TransformerEncoderLayer(wide, 4, 2 * wide, batch_first=True, dropout=0),
        "lstm": lambda: First(nn.LSTM(wide, wide, draw.choice((1, 2)))),
        "gru": lambda: First(nn.GRU(wide, wide)),
        "rnn": lambda: First(nn.RNN(wide, wide)),
    }
    layers = [kinds[draw.choice(list(kinds))]() for _ in range(draw.randint(1, 4))]
    return nn.Sequential(*layers), torch.randn(draw.choice((1, 2, 4)), draw.choice((16, 50, 128)), wide)


def judge(seed: int) -> tuple[str, str]:
    """The verdict on one random network, and a line about it."""
    draw = random.Random(seed)
    torch.manual_seed(seed)
    net, x = (convolutional if draw.random() < 0.75 else sequential)(draw)
    dtype, backward = draw.choice(DTYPES), draw.random() < 0.5
    net, x = net.to(dtype).train(backward), x.to(dtype)
    backward = backward and any(True for _ in net.parameters())
    counted = costmodel.count(net, x, backward=backward)
    seen, said = measured(net, x, backward), counted.cpu_peak_memory - counted.held
    close = abs(said - seen) <= CLOSE * seen
    verdict = f"{'within' if close else 'off by more than'} 5 %, {'with' if counted.memory_notes else 'without'} a note"
    layers = " ".join(str(net).split())[:300]
    how = "training" if backward else "inference"
    return verdict, f"{said / max(seen, 1):.3f} {how} {dtype} {tuple(x.shape)} {layers}"


def group(first: int) -> None:
    warnings.filterwarnings("ignore")
    print(json.dumps([judge(seed) for seed in range(first, first + GROUP)]))


def main() -> None:
    number, seed = (int(each) for each in (*sys.argv[1:], "100", "0")[:2])
    tally: Counter[str] = Counter()
    for first in range(seed, seed + number, GROUP):
        command = [sys.executable, __file__, "--group", str(first)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            tally["lost with its group"] += GROUP
            print(f"networks {first} to {first + GROUP - 1} are lost: {done.stderr.strip().splitlines()[-1:]}")
            continue
        for verdict, line in json.loads(done.stdout):
            tally[verdict] += 1
            if verdict == "off by more than 5 %, without a note":
                print(line)
    for verdict, times in sorted(tally.items()):
        print(f"{times:4} {verdict}")


if __name__ == "__main__":
    group(int(sys.argv[2])) if sys.argv[1:2] == ["--group"] else main()
