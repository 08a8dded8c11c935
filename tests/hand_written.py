"""The second witness: the paper's four cells by hand in plain torch, eqs. (1), (3), (6), (9). Imports nothing of ours.

Each transition is written out with its own convolution calls and explicit kernel shapes, so that a wrong description of
a cell disagrees with it.
"""

import torch
from torch.nn import functional as F


def kernel_shapes(kind: str, inputs: int, outputs: int, kx: int, ky: int) -> list[tuple[int, int, int, int]]:
    """Weight shapes of one transition W * y, as the equations say."""
    return {
        "standard": [(outputs, inputs, kx, ky)],
        "spatial": [(outputs, inputs, kx, 1), (outputs, outputs, 1, ky)],
        "depth": [(inputs, 1, kx, ky)],
        "sep": [(inputs, 1, kx, ky), (outputs, inputs, 1, 1)],
    }[kind]


def same(y: torch.Tensor, w: torch.Tensor, groups: int = 1) -> torch.Tensor:
    """Convolution that keeps the size; an even kernel has its larger margin after the map."""
    kx, ky = w.shape[2:]
    return F.conv2d(F.pad(y, ((ky - 1) // 2, ky // 2, (kx - 1) // 2, kx // 2)), w, groups=groups)


def transition(kind: str, w: list[torch.Tensor], y: torch.Tensor) -> torch.Tensor:
    if kind == "standard":  # W * Y
        return same(y, w[0])
    if kind == "spatial":  # W^w * (W^h * Y)
        return same(same(y, w[0]), w[1])
    if kind == "depth":  # W (*) Y
        return same(y, w[0], groups=y.shape[1])
    return same(same(y, w[0], groups=y.shape[1]), w[1])  # W^1x1 * (W (*) Y)


class Cell:
    """Random weights of one cell and its step; ``peepholes`` are W_ci, W_cf, W_co if given a shape."""

    def __init__(self, kind: str, inputs: int, outputs: int, kx: int, ky: int, peephole: tuple[int, ...] | None = None):
        self.kind = kind
        self.w = {
            f"{source}{gate}": [torch.randn(s) * 0.1 for s in kernel_shapes(kind, channels, outputs, kx, ky)]
            for source, channels in (("x", inputs), ("h", outputs))
            for gate in "ifco"
        }
        self.b = {gate: torch.randn(outputs) for gate in "ifco"}
        self.p = {gate: torch.randn(peephole) for gate in "ifo"} if peephole else {}

    def gate(self, gate: str, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        bias = self.b[gate][:, None, None]
        return transition(self.kind, self.w[f"x{gate}"], x) + transition(self.kind, self.w[f"h{gate}"], h) + bias

    def step(self, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        zero = torch.zeros(())
        i = torch.sigmoid(self.gate("i", x, h) + self.p.get("i", zero) * c)
        f = torch.sigmoid(self.gate("f", x, h) + self.p.get("f", zero) * c)
        j = torch.tanh(self.gate("c", x, h))
        new_c = f * c + i * j
        o = torch.sigmoid(self.gate("o", x, h) + self.p.get("o", zero) * new_c)
        return o * torch.tanh(new_c), new_c

    def parameters(self) -> int:
        tensors = [t for ws in self.w.values() for t in ws] + list(self.b.values()) + list(self.p.values())
        return sum(t.numel() for t in tensors)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The weights under the names that our modules give them."""
        named = {}
        for name, ws in self.w.items():
            for part, w in enumerate(ws, 1):
                named[f"{name}.weight" if len(ws) == 1 else f"{name}_{part}.weight"] = w
            if name[0] == "x":
                named[f"{name}.bias" if len(ws) == 1 else f"{name}_{len(ws)}.bias"] = self.b[name[1]]
        return named | {f"c{gate}": w for gate, w in self.p.items()}
