"""Eq. (1) by hand, in plain torch, with the convolutions of a cell.

It knows nothing of descriptions: the convolutions themselves say what each transition is. So a cell module that
computes something else than eq. (1) with them disagrees with it.
"""

import torch
from torch import nn
from torch.nn import functional as F


def conv_lstm(cell: nn.Module, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The next H and C. ``cell`` has the convolutions ``xi`` or ``xi_1, xi_2, ...`` (so for hi, xf, ...),
    a bias in the last one of each on x, and the peepholes ``ci``, ``cf``, ``co`` if there are any."""

    def star(name: str, y: torch.Tensor) -> torch.Tensor:
        """W * y: the convolutions of this transition in turn, each keeping the size of the map."""
        parts = [m for n, m in cell.named_children() if n == name or n.startswith(f"{name}_")]
        for conv in (m for m in parts if isinstance(m, nn.Conv2d)):
            rows, columns = (d * (k - 1) for d, k in zip(conv.dilation, conv.weight.shape[2:], strict=True))
            y = F.pad(y, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
            y = F.conv2d(y, conv.weight, conv.bias, dilation=conv.dilation, groups=y.shape[1] // conv.weight.shape[1])
        return y

    def peephole(name: str, c: torch.Tensor) -> torch.Tensor:
        return getattr(cell, name, torch.zeros(())) * c

    i = torch.sigmoid(star("xi", x) + star("hi", h) + peephole("ci", c))
    f = torch.sigmoid(star("xf", x) + star("hf", h) + peephole("cf", c))
    j = torch.tanh(star("xc", x) + star("hc", h))
    c = f * c + i * j
    o = torch.sigmoid(star("xo", x) + star("ho", h) + peephole("co", c))
    return o * torch.tanh(c), c
