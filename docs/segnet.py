"""The example of the README: a network for clips with dense or separable recurrent cells."""

import torch
from torch import Tensor, nn


class Cell(nn.Module):
    """A convolutional LSTM cell; with ``separable`` its convolution is depthwise, then 1x1."""

    def __init__(self, width: int, separable: bool) -> None:
        super().__init__()
        self.conv: nn.Module = nn.Conv2d(2 * width, 4 * width, 3, padding=1)
        if separable:
            depthwise = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
            self.conv = nn.Sequential(depthwise, nn.Conv2d(2 * width, 4 * width, 1))

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        h, c = state
        i, f, o, g = self.conv(torch.cat([x, h], 1)).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c


class SegNet(nn.Module):
    """Scores of the last frame of a clip (batch x frames x 3 x rows x columns)."""

    def __init__(self, width: int = 32, separable: bool = False, classes: int = 19) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, stride=4, padding=1), nn.GroupNorm(4, width), nn.SiLU())
        self.cells = nn.ModuleList(Cell(width, separable) for _ in range(2))
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, clip: Tensor) -> dict[str, Tensor]:
        states = [None] * len(self.cells)
        for frame in clip.unbind(1):
            x = self.stem(frame)
            for place, cell in enumerate(self.cells):
                state = states[place] or (torch.zeros_like(x), torch.zeros_like(x))
                states[place] = cell(x, state)
                x = states[place][0]
        return {"scores": self.head(x)}


def standard(width: int = 32) -> SegNet:
    return SegNet(width)


def separable(width: int = 32) -> SegNet:
    return SegNet(width, separable=True)
