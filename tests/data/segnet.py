"""Networks of a stranger: a ConvLSTM with a list of states and a loop over time; outputs are a dictionary."""

import sys

import torch
from torch import nn


class Cell(nn.Module):
    def __init__(self, width: int, separable: bool) -> None:
        super().__init__()
        wide = 2 * width
        dense = nn.Conv2d(wide, 2 * wide, 3, padding=1)
        apart = nn.Sequential(nn.Conv2d(wide, wide, 3, padding=1, groups=wide), nn.Conv2d(wide, 2 * wide, 1))
        self.conv = apart if separable else dense

    def forward(self, x, state):
        h, c = state
        i, f, o, g = self.conv(torch.cat([x, h], 1)).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c


class SegNet(nn.Module):
    def __init__(self, width: int, separable: bool = False, classes: int = 5) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, stride=2, padding=1), nn.GroupNorm(2, width), nn.SiLU())
        self.cells = nn.ModuleList(Cell(width, separable) for _ in range(2))
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, clip):
        batch, frames, _, rows, columns = clip.shape
        zeros = clip.new_zeros(batch, self.head.in_channels, (rows + 1) // 2, (columns + 1) // 2)
        states = [(zeros, zeros) for _ in self.cells]
        for number in range(frames):
            x = self.stem(clip[:, number])
            for place, cell in enumerate(self.cells):
                states[place] = cell(x, states[place])
                x = states[place][0]
        return {"scores": self.head(x), "states": states}


def standard(width: int = 4) -> nn.Module:
    return SegNet(width)


def separable(width: int = 4) -> nn.Module:
    return SegNet(width, separable=True)


class Noisy(nn.Module):
    def forward(self, x):
        return x + torch.rand_like(x)


class Found(nn.Module):
    """As many results as there are large values."""

    def forward(self, x):
        return x[x > 0.5]


class Stepwise(nn.Module):
    """A step of a recurrent module, which takes and gives its state."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 4)

    def forward(self, x, state=None):
        state = x.new_zeros(x.shape) if state is None else state
        state = self.linear(torch.cat([x, state], 1)).tanh()
        return state, state


class Counter(nn.Module):
    """A module that keeps what it saw in itself."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = torch.zeros(())

    def forward(self, x):
        self.seen = self.seen + x.mean()
        return x + self.seen


def in_child() -> nn.Module:
    if "costmodel.measure.child" in sys.orig_argv:
        raise RuntimeError("only where it is timed")
    return Noisy()


def prints() -> nn.Module:
    print("loading weights ...")
    return separable()
