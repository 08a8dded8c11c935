"""Eq. (1) by hand, in plain torch, from the weights of a cell alone.

It knows nothing of descriptions: the shapes of the weights say what each convolution is. So a cell module that computes
something else than eq. (1) with its weights disagrees with it.
"""

from collections.abc import Mapping

import torch
from torch.nn import functional as F

Weights = Mapping[str, torch.Tensor]


def conv_lstm(weights: Weights, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The next H and C. ``weights`` is the cell's ``state_dict``: ``xi.weight`` or ``xi_1.weight, xi_2.weight, ...``,
    biases beside the last input-to-state weight, peepholes ``ci``, ``cf``, ``co`` if there are any."""

    def star(name: str, y: torch.Tensor) -> torch.Tensor:
        """W * y: the convolutions of this transition in turn, each keeping the size of the map."""
        for key in sorted(
            k for k in weights if k == f"{name}.weight" or (k.startswith(f"{name}_") and k.endswith(".weight"))
        ):
            w, b = weights[key], weights.get(key.replace(".weight", ".bias"))
            rows, columns = w.shape[2] - 1, w.shape[3] - 1
            y = F.pad(y, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
            y = F.conv2d(y, w, b, groups=y.shape[1] // w.shape[1])
        return y

    def peephole(name: str, c: torch.Tensor) -> torch.Tensor:
        return weights[name] * c if name in weights else torch.zeros_like(c)

    i = torch.sigmoid(star("xi", x) + star("hi", h) + peephole("ci", c))
    f = torch.sigmoid(star("xf", x) + star("hf", h) + peephole("cf", c))
    j = torch.tanh(star("xc", x) + star("hc", h))
    c = f * c + i * j
    o = torch.sigmoid(star("xo", x) + star("ho", h) + peephole("co", c))
    return o * torch.tanh(c), c
