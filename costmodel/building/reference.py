"""Hand-written recurrent cells in plain torch, on the convolutions of a built cell: eq. (1) and other recurrences.

The references know nothing of descriptions: a cell module that computes something else with the same convolutions
disagrees with its reference.
"""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import nn
from torch.nn import functional as F

Tensor: TypeAlias = torch.Tensor
Tensors: TypeAlias = tuple[torch.Tensor, ...]


def apply(cell: nn.Module, name: str, y: Tensor) -> Tensor:
    """W * y: the convolutions ``name`` or ``name_1``, ``name_2``, ... in turn, each keeping the size of the map, and
    the shuffles between them."""
    for part in (m for n, m in cell.named_children() if n == name or n.startswith(f"{name}_")):
        if isinstance(part, nn.Conv2d):
            rows, columns = (d * (k - 1) for d, k in zip(part.dilation, part.weight.shape[2:], strict=True))
            y = F.pad(y, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
            y = F.conv2d(y, part.weight, part.bias, dilation=part.dilation, groups=y.shape[1] // part.weight.shape[1])
        elif isinstance(part, nn.ChannelShuffle):
            y = torch.cat([y[:, first :: y.shape[1] // part.groups] for first in range(y.shape[1] // part.groups)], 1)
    return y


def gate(cell: nn.Module, name: str, x: Tensor, h: Tensor, factor: str = "") -> Tensor:
    """W_x * x + W_h * h + b; in a factorised cell V * (U_x * x + U_h * h) + b, ``factor`` being the number of U."""
    if hasattr(cell, f"v{name}"):
        return apply(cell, f"v{name}", apply(cell, f"xu{factor}", x) + apply(cell, f"hu{factor}", h))
    return apply(cell, f"x{name}", x) + apply(cell, f"h{name}", h)


def conv_lstm(cell: nn.Module, x: Tensor, h: Tensor, c: Tensor) -> Tensors:
    """The next H and C; with the peepholes ``ci``, ``cf``, ``co`` where the cell has them."""

    def peephole(name: str, c: Tensor) -> Tensor:
        return getattr(cell, name, torch.zeros(())) * c

    i = torch.sigmoid(gate(cell, "i", x, h) + peephole("ci", c))
    f = torch.sigmoid(gate(cell, "f", x, h) + peephole("cf", c))
    j = torch.tanh(gate(cell, "c", x, h))
    c = f * c + i * j
    o = torch.sigmoid(gate(cell, "o", x, h) + peephole("co", c))
    return o * torch.tanh(c), c


def conv_gru(cell: nn.Module, x: Tensor, h: Tensor) -> Tensors:
    """The next H, as a step from H towards the candidate."""
    z, r = torch.sigmoid(gate(cell, "z", x, h)), torch.sigmoid(gate(cell, "r", x, h))
    n = torch.tanh(gate(cell, "n", x, r * h, factor="2"))
    return (h + z * (n - h),)


def conv_rnn(cell: nn.Module, x: Tensor, h: Tensor) -> Tensors:
    """The next H."""
    return (torch.tanh(gate(cell, "h", x, h)),)


REFERENCES: dict[str, Callable[..., Tensors]] = {
    "convlstm": conv_lstm,
    "peephole": conv_lstm,
    "channel-peephole": conv_lstm,
    "convgru": conv_gru,
    "convrnn": conv_rnn,
}
