"""The second witness for networks: ICNet by hand in plain torch, layer by layer from the reference list.

Imports nothing of ours; only the names under which it finds the weights are shared.
"""

from collections.abc import Callable

import torch
from torch.nn import functional as F

Weights = dict[str, torch.Tensor]
Site = Callable[[str, torch.Tensor], torch.Tensor]


def icnet(w: Weights, frame: torch.Tensor, site: Site) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Scores and the two auxiliary heads; ``site(name, map)`` is called where a recurrent cell may stand."""

    def norm(name: str, y: torch.Tensor) -> torch.Tensor:
        mean, var, scale, shift = (w[f"{name}.norm.{s}"] for s in ("running_mean", "running_var", "weight", "bias"))
        column = (1, -1, 1, 1)
        scaled = scale.view(column) / torch.sqrt(var.view(column) + 1e-5)
        return (y - mean.view(column)) * scaled + shift.view(column)

    def conv(name: str, y: torch.Tensor, **how: int) -> torch.Tensor:
        return F.conv2d(y, w[f"{name}.conv.weight"], w.get(f"{name}.conv.bias"), **how)

    def half(name: str, y: torch.Tensor) -> torch.Tensor:
        """3x3, stride 2, SAME: one zero after an even side, one on both ends of an odd one."""
        rows, columns = (n % 2 for n in y.shape[2:])
        return norm(name, conv(name, F.pad(y, (columns, 1, rows, 1)), stride=2)).relu()

    def resize(y: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        return F.interpolate(y, (rows, columns), mode="bilinear", align_corners=True)

    def halve(y: torch.Tensor) -> torch.Tensor:
        return resize(y, *(int((n - 1) * 0.5 + 1) for n in y.shape[2:]))

    def upsample(y: torch.Tensor) -> torch.Tensor:
        return resize(y, *(2 * n - 1 for n in y.shape[2:]))

    def block(name: str, y: torch.Tensor, dilation: int = 1, stride: int = 1) -> torch.Tensor:
        inner = norm(f"{name}_1x1_reduce", conv(f"{name}_1x1_reduce", y, stride=stride)).relu()
        inner = norm(f"{name}_3x3", conv(f"{name}_3x3", inner, padding=dilation, dilation=dilation)).relu()
        inner = norm(f"{name}_1x1_increase", conv(f"{name}_1x1_increase", inner))
        if f"{name}_1x1_proj.conv.weight" in w:
            y = norm(f"{name}_1x1_proj", conv(f"{name}_1x1_proj", y, stride=stride))
        return (y + inner).relu()

    y = half("conv1_1_3x3_s2", halve(frame))
    for name in ("conv1_2_3x3", "conv1_3_3x3"):
        y = norm(name, conv(name, y, padding=1)).relu()
    y = F.max_pool2d(F.pad(y, (1, 1, 1, 1)), 3, 2)  # after a ReLU a zero is as good as minus infinity
    for name in ("conv2_1", "conv2_2", "conv2_3"):
        y = block(name, y)
    half_resolution = block("conv3_1", y, stride=2)

    y = halve(half_resolution)
    for name in ("conv3_2", "conv3_3", "conv3_4"):
        y = block(name, y)
    for n in range(1, 7):
        y = block(f"conv4_{n}", y, dilation=2)
    for n in range(1, 4):
        y = block(f"conv5_{n}", y, dilation=4)
    rows, columns = y.shape[2:]
    pooled = [F.avg_pool2d(y, (rows // n, columns // n), (rows // n, columns // n)) for n in (1, 2, 3, 4)]
    y = y + sum(resize(p, rows, columns) for p in pooled)
    low = upsample(norm("conv5_4_k1", conv("conv5_4_k1", y)).relu())

    quarter = norm("conv_sub4", site("low", conv("conv_sub4", low, padding=2, dilation=2)))
    medium = norm("conv3_1_sub2_proj", site("medium", conv("conv3_1_sub2_proj", half_resolution)))
    middle = upsample((resize(quarter, *medium.shape[2:]) + medium).relu())

    x = half("conv3_sub1", half("conv2_sub1", half("conv1_sub1", frame)))
    high = norm("conv3_sub1_proj", site("high", conv("conv3_sub1_proj", x)))
    sub2 = norm("conv_sub2", conv("conv_sub2", middle, padding=2, dilation=2))
    y = site("final", (resize(sub2, *high.shape[2:]) + high).relu())
    if "final_norm.norm.weight" in w:
        y = norm("final_norm", y).relu()
    return conv("conv6_cls", upsample(y)), conv("sub24_out", middle), conv("sub4_out", low)
