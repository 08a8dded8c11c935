"""Modules that tools are held against, each with its inputs, all small; and the tools, run for real on a CPU."""

import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.functional import relu as imported_relu
from torch.utils._pytree import tree_map_only
from torch.utils.checkpoint import checkpoint

Case = Callable[[], tuple[Any, ...]]
r = torch.randn


class Does(nn.Module):
    """A function as a module; the parameter is there since calflops wants one."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, a: Any, b: Any = None, c: Any = None, d: Any = None) -> Any:
        return self.function(*(each for each in (a, b, c, d) if each is not None))


class Two(nn.Module):
    """A convolution under two names and in a Sequential, called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(4, 4, 3, padding=1)
        self.b = self.a
        self.l = nn.Sequential(self.a, nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.l(x))


class Three(nn.Module):
    """A convolution in two Sequentials and by itself, called three times."""

    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Conv2d(4, 4, 3, padding=1)
        self.a = nn.Sequential(self.c, nn.ReLU())
        self.b = nn.Sequential(self.c)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c(self.b(self.a(x)))


class Raw(nn.Module):
    """Raw parameters and functions."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(r(4, 3, 3, 3))
        self.table = nn.Parameter(r(4, 5))
        self.conv = nn.Conv2d(4, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.conv(F.conv2d(x, self.weight))).mean((2, 3))
        return F.linear(y, self.table.t()) + (y @ self.table)


class Loop(nn.Module):
    """A ModuleList, one of whose modules is called twice, one never."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in (self.layers[0], self.layers[1], self.layers[1], self.layers[2]):
            x = torch.tanh(layer(x))
        return x


class Hidden(nn.Module):
    """A module in a list of Python, which no tool finds in the tree."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(6, 6).requires_grad_(False), nn.LSTM(6, 4).requires_grad_(False)]
        self.last = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.layers[1](self.layers[0](x))[0])


class Standardised(nn.Conv2d):
    """A subclass of a convolution."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(input, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class Narrow(nn.Linear):
    """A subclass of a linear layer that changes nothing."""


class Conv2d(nn.Module):
    """Somebody else's class of a known name."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(r(6, 4, 1, 1))
        self.bias = nn.Parameter(r(6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, self.weight, self.bias)


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(r(5, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight.t()


class Attention(nn.Module):
    """Attention as most people write it."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        self.qkv, self.out, self.fused = nn.Linear(16, 48), nn.Linear(16, 16), fused

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, 4, 4)).permute(2, 0, 3, 1, 4)
        if self.fused:
            y = F.scaled_dot_product_attention(q, k, v)
        else:
            y = F.softmax(q @ k.transpose(-2, -1) / 2, dim=-1).matmul(v)
        return self.out(y.transpose(1, 2).flatten(2))


class Patches(nn.Module):
    """A small ViT with torch's encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 4, 4)
        self.token = nn.Parameter(r(1, 1, 16))
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(16, 4, 32, activation="gelu", batch_first=True, norm_first=True),
            2,
            enable_nested_tensor=False,
        )
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.embed(x).flatten(2).transpose(1, 2)
        y = self.encoder(torch.cat([self.token.expand(len(y), -1, -1), y], 1))
        return self.head(self.norm(y)[:, 0])


class Own(nn.Module):
    """Self-attention of torch's class, with or without weights as a second output."""

    def __init__(self, weights: bool, **options: Any) -> None:
        super().__init__()
        self.attention, self.weights = nn.MultiheadAttention(16, 4, batch_first=True, **options), weights

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> Any:
        return self.attention(x, x, x, need_weights=self.weights, attn_mask=mask)[0]


class Residual(nn.Module):
    """Sums and products as operators, as functions and as methods."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.scale = nn.Parameter(r(4, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x + self.conv(x)
        y = torch.add(y, x).mul(self.scale) * 2
        return torch.mul(y, self.scale[0]).add(1)


class ConvLSTM(nn.Module):
    """A ConvLSTM over three frames."""

    def __init__(self) -> None:
        super().__init__()
        self.gates = nn.Conv2d(3 + 4, 16, 3, padding=1)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        h = c = frames.new_zeros(frames.shape[1], 4, *frames.shape[3:])
        for x in frames:
            i, f, o, g = self.gates(torch.cat([x, h], 1)).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        return h


def _unet() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, 2, 1), nn.InstanceNorm2d(8, affine=True), nn.LeakyReLU()),
        *(nn.ConvTranspose2d(8, 4, 4, 2, 1, groups=2), nn.SiLU(), nn.Upsample(scale_factor=2, mode="bilinear")),
    )


def _does(function: Callable[..., Any], *shapes: tuple[int, ...]) -> Case:
    return lambda: (Does(function), *(r(shape) for shape in shapes))


def _of(make: Callable[[], nn.Module], *shapes: tuple[int, ...]) -> Case:
    return lambda: (make(), *(r(shape) for shape in shapes))


_P = partial
_CONVOLUTIONS = {
    "1d": _of(_P(nn.Conv1d, 4, 6, 3), (2, 4, 9)),
    "2d": _of(_P(nn.Conv2d, 4, 6, 3, bias=False), (2, 4, 9, 8)),
    "3d": _of(_P(nn.Conv3d, 4, 6, 3, padding=1), (1, 4, 5, 6, 7)),
    "grouped": _of(_P(nn.Conv2d, 4, 6, 3, groups=2, stride=2), (2, 4, 9, 8)),
    "depthwise": _of(_P(nn.Conv2d, 4, 4, 3, groups=4, dilation=2), (1, 4, 9, 8)),
    "even": _of(_P(nn.Conv2d, 4, 6, 4, padding="same"), (1, 4, 9, 8)),
    "even 1d": _of(_P(nn.Conv1d, 4, 6, 2, padding="same"), (1, 4, 9)),
    "valid": _of(_P(nn.Conv2d, 4, 6, (2, 3), padding="valid"), (1, 4, 9, 8)),
    "reflected": _of(_P(nn.Conv2d, 4, 6, 3, padding=1, padding_mode="reflect"), (1, 4, 9, 8)),
    "without a batch": _of(_P(nn.Conv2d, 4, 6, 3), (4, 9, 8)),
    "transposed 1d": _of(_P(nn.ConvTranspose1d, 4, 6, 3, stride=2), (2, 4, 9)),
    "transposed 2d": _of(_P(nn.ConvTranspose2d, 4, 6, 3, stride=2), (2, 4, 9, 8)),
    "transposed 3d": _of(_P(nn.ConvTranspose3d, 4, 6, 2, stride=2), (1, 4, 3, 4, 5)),
    "transposed grouped": _of(_P(nn.ConvTranspose2d, 4, 6, 3, 2, 1, 1, groups=2), (2, 4, 9, 8)),
    "transposed depthwise": _of(_P(nn.ConvTranspose2d, 4, 4, 3, groups=4, dilation=2), (1, 4, 9, 8)),
    "functional": _does(lambda x, w: F.conv2d(x, w, stride=2), (1, 4, 9, 8), (6, 4, 3, 3)),
    "weight norm": _of(lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 6, 3)), (1, 4, 9, 8)),
}
_RECURRENT = {
    "LSTM": _of(_P(nn.LSTM, 10, 20), (5, 3, 10)),
    "GRU": _of(_P(nn.GRU, 10, 20), (5, 3, 10)),
    "RNN": _of(_P(nn.RNN, 10, 20), (5, 3, 10)),
    "LSTM of two layers, both ways": _of(
        _P(nn.LSTM, 10, 20, num_layers=2, bidirectional=True, batch_first=True), (3, 5, 10)
    ),
    "GRU of three layers": _of(_P(nn.GRU, 6, 8, num_layers=3, bias=False, batch_first=True), (3, 5, 6)),
    "RNN both ways": _of(_P(nn.RNN, 6, 8, bidirectional=True, nonlinearity="relu"), (5, 3, 6)),
    "LSTM projected": _of(_P(nn.LSTM, 10, 20, proj_size=4), (5, 3, 10)),
    "LSTM without a batch": _of(_P(nn.LSTM, 10, 20), (5, 10)),
    "LSTM with a state": lambda: (nn.LSTM(10, 20), r(5, 3, 10), (r(1, 3, 20), r(1, 3, 20))),
    "LSTMCell": _of(_P(nn.LSTMCell, 10, 20), (3, 10)),
    "GRUCell": _of(_P(nn.GRUCell, 10, 20), (3, 10)),
    "RNNCell": _of(_P(nn.RNNCell, 10, 20, bias=False), (3, 10)),
    "LSTM in a network": _of(
        lambda: nn.Sequential(nn.Linear(4, 6), nn.LSTM(6, 5), Does(lambda pair: pair[0]), nn.Linear(5, 2)), (7, 3, 4)
    ),
    "ConvLSTM": _of(ConvLSTM, (3, 1, 3, 6, 5)),
}
_ATTENTION = {
    "SDPA": _does(F.scaled_dot_product_attention, *[(1, 2, 5, 8)] * 3),
    "SDPA by its name": _does(
        lambda *qkv: torch.nn.functional.scaled_dot_product_attention(*qkv), *[(1, 2, 5, 8)] * 3
    ),
    "SDPA causal": _does(lambda *qkv: F.scaled_dot_product_attention(*qkv, is_causal=True), *[(2, 2, 5, 8)] * 3),
    "SDPA masked": _does(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, attn_mask=q.new_zeros(5, 7)),
        *((1, 2, 5, 8), (1, 2, 7, 8), (1, 2, 7, 6)),
    ),
    "attention fused": _of(_P(Attention, True), (2, 5, 16)),
    "attention by products": _of(_P(Attention, False), (2, 5, 16)),
    "MultiheadAttention": _of(_P(nn.MultiheadAttention, 16, 4, batch_first=True), *[(2, 5, 16)] * 3),
    "MultiheadAttention sequence first": _of(_P(nn.MultiheadAttention, 16, 4), (5, 2, 16), (6, 2, 16), (6, 2, 16)),
    "MultiheadAttention of other widths": _of(
        _P(nn.MultiheadAttention, 16, 4, kdim=8, vdim=12, batch_first=True), (2, 5, 16), (2, 6, 8), (2, 6, 12)
    ),
    "self-attention with weights": _of(_P(Own, True), (2, 5, 16)),
    "self-attention without weights": _of(_P(Own, False, bias=False), (2, 5, 16)),
    "self-attention masked": lambda: (Own(True), r(2, 5, 16), torch.zeros(5, 5)),
    "TransformerEncoderLayer": _of(_P(nn.TransformerEncoderLayer, 16, 4, 32, batch_first=True), (2, 5, 16)),
    "TransformerEncoderLayer sequence first": _of(
        _P(nn.TransformerEncoderLayer, 16, 4, 32, norm_first=True, activation="gelu"), (5, 2, 16)
    ),
    "TransformerDecoderLayer": _of(
        _P(nn.TransformerDecoderLayer, 16, 4, 32, batch_first=True), (2, 5, 16), (2, 6, 16)
    ),
    "Transformer": _of(
        _P(nn.Transformer, 16, 4, 1, 1, 32, batch_first=True), (2, 5, 16), (2, 6, 16)
    ),
    "patches": _of(Patches, (1, 3, 16, 16)),
}  # fmt: skip
_NORMS = {
    "BatchNorm1d": _of(_P(nn.BatchNorm1d, 6), (4, 6)),
    "BatchNorm2d": _of(_P(nn.BatchNorm2d, 6), (2, 6, 5, 4)),
    "BatchNorm3d not affine": _of(_P(nn.BatchNorm3d, 6, affine=False), (2, 6, 2, 3, 4)),
    "BatchNorm2d without statistics": _of(_P(nn.BatchNorm2d, 6, track_running_stats=False), (2, 6, 5, 4)),
    "LayerNorm": _of(_P(nn.LayerNorm, (5, 4)), (2, 6, 5, 4)),
    "LayerNorm not affine": _of(_P(nn.LayerNorm, 4, elementwise_affine=False), (2, 4)),
    "GroupNorm": _of(_P(nn.GroupNorm, 2, 6), (2, 6, 5, 4)),
    "GroupNorm not affine": _of(_P(nn.GroupNorm, 2, 6, affine=False), (2, 6, 5)),
    "InstanceNorm1d": _of(_P(nn.InstanceNorm1d, 6), (2, 6, 5)),
    "InstanceNorm2d affine": _of(_P(nn.InstanceNorm2d, 6, affine=True), (2, 6, 5, 4)),
    "InstanceNorm3d": _of(_P(nn.InstanceNorm3d, 6, affine=True, track_running_stats=True), (2, 6, 3, 5, 4)),
    "RMSNorm": _of(_P(nn.RMSNorm, 4), (2, 6, 4)),
    "LocalResponseNorm": _of(_P(nn.LocalResponseNorm, 3), (2, 6, 5, 4)),
    "SyncBatchNorm": _of(_P(nn.SyncBatchNorm, 6), (2, 6, 5, 4)),
    "norms as functions": _does(
        lambda x: F.layer_norm(F.group_norm(F.instance_norm(x), 2), (5, 4)), (2, 6, 5, 4)
    ),
}  # fmt: skip
_POOLS = {
    **{f"AvgPool{n}d": _of(_P(getattr(nn, f"AvgPool{n}d"), 2), (2, 3, *(8, 6, 4)[:n])) for n in (1, 2, 3)},
    **{f"MaxPool{n}d": _of(_P(getattr(nn, f"MaxPool{n}d"), 2), (2, 3, *(8, 6, 4)[:n])) for n in (1, 2, 3)},
    **{
        f"Adaptive{which}Pool{n}d": _of(_P(getattr(nn, f"Adaptive{which}Pool{n}d"), 3), (2, 3, *(8, 7, 6)[:n]))
        for which in ("Avg", "Max")
        for n in (1, 2, 3)
    },
    "AdaptiveAvgPool2d to one": _of(_P(nn.AdaptiveAvgPool2d, 1), (2, 3, 7, 5)),
    "AdaptiveAvgPool2d without a batch": _of(_P(nn.AdaptiveAvgPool2d, (3, 2)), (3, 7, 5)),
    "LPPool2d": _of(_P(nn.LPPool2d, 2, 2), (2, 3, 8, 6)),
    "mean": _does(lambda x: x.mean((2, 3)), (2, 3, 8, 6)),
}
_SIZES = {3: (2, 3, 6), 4: (2, 3, 6, 5), 5: (2, 3, 6, 5, 4)}
_RESIZES = {
    **{
        f"Upsample {mode} {rank - 2}d": _of(_P(nn.Upsample, scale_factor=2, mode=mode), _SIZES[rank])
        for mode, ranks in {
            "nearest": (3, 4, 5),
            "linear": (3,),
            "bilinear": (4,),
            "bicubic": (4,),
            "trilinear": (5,),
            "nearest-exact": (4,),
        }.items()
        for rank in ranks
    },
    "Upsample to a size": _of(_P(nn.Upsample, size=(9, 8), mode="bilinear", align_corners=True), _SIZES[4]),
    "Upsample by two factors": _of(_P(nn.Upsample, scale_factor=(2.0, 1.5)), _SIZES[4]),
    "UpsamplingBilinear2d": _of(_P(nn.UpsamplingBilinear2d, scale_factor=2), _SIZES[4]),
    "UpsamplingNearest2d": _of(_P(nn.UpsamplingNearest2d, size=(9, 8)), _SIZES[4]),
    "interpolate by area": _does(lambda x: F.interpolate(x, size=(3, 2), mode="area"), _SIZES[4]),
    "interpolate by a factor": _does(lambda x: F.interpolate(x, scale_factor=1.5, mode="bicubic"), _SIZES[4]),
    "interpolate antialiased": _does(
        lambda x: F.interpolate(x, size=(3, 2), mode="bilinear", antialias=True), _SIZES[4]
    ),
    "grid_sample": _does(F.grid_sample, (2, 3, 6, 5), (2, 4, 3, 2)),
    "PixelShuffle": _of(_P(nn.PixelShuffle, 2), (2, 8, 4, 3)),
}
_PRODUCTS = {
    "Linear": _of(_P(nn.Linear, 6, 4), (3, 5, 6)),
    "Linear without a batch": _of(_P(nn.Linear, 6, 4, bias=False), (6,)),
    "Bilinear": _of(_P(nn.Bilinear, 3, 4, 5), (2, 3), (2, 4)),
    "Embedding": lambda: (nn.Embedding(10, 6), torch.zeros(2, 3, dtype=torch.long)),
    "EmbeddingBag": lambda: (nn.EmbeddingBag(10, 6), torch.zeros(2, 3, dtype=torch.long)),
    "mm": _does(torch.mm, (3, 4), (4, 5)),
    "mm as a method": _does(lambda a, b: a.mm(b), (3, 4), (4, 5)),
    "bmm": _does(torch.bmm, (2, 3, 4), (2, 4, 5)),
    "addmm": _does(torch.addmm, (3, 5), (3, 4), (4, 5)),
    "addmm as a method": _does(lambda a, b, c: a.addmm(b, c, beta=0), (3, 5), (3, 4), (4, 5)),
    "baddbmm": _does(torch.baddbmm, (2, 3, 5), (2, 3, 4), (2, 4, 5)),
    "mv": _does(torch.mv, (3, 4), (4,)),
    "dot": _does(torch.dot, (4,), (4,)),
    "outer": _does(torch.outer, (4,), (3,)),
    "matmul": _does(torch.matmul, (2, 3, 4), (4, 5)),
    "matmul of a vector": _does(torch.matmul, (2, 3, 4), (4,)),
    "matmul of a row": _does(torch.matmul, (4,), (4, 5)),
    "matmul broadcast": _does(lambda a, b: a.matmul(b), (3, 4), (2, 4, 5)),
    "matmul as an operator": _does(lambda a, b: a @ b, (2, 3, 4), (2, 4, 5)),
    "linalg.matmul": _does(lambda a, b: torch.linalg.matmul(a, b), (3, 4), (4, 5)),
    "tensordot": _does(lambda a, b: torch.tensordot(a, b, 1), (3, 4), (4, 5)),
    "einsum of batches": _does(lambda a, b: torch.einsum("bij,bjk->bik", a, b), (2, 3, 4), (2, 4, 5)),
    "einsum of rows": _does(lambda a, b: torch.einsum("bij,bkj->bki", a, b), (2, 3, 4), (2, 5, 4)),
    "einsum outer": _does(lambda a, b: torch.einsum("i,j->ij", a, b), (3,), (4,)),
    "einsum of three": _does(lambda a, b, c: torch.einsum("ij,jk,kl->il", a, b, c), (3, 4), (4, 5), (5, 2)),
    "einsum of large sides": _does(lambda a, b: torch.einsum("nhd,mhd->hnm", a, b), (13, 7, 17), (11, 7, 17)),
    "chain": _does(lambda a, b, c: torch.linalg.multi_dot([a, b, c]), (3, 4), (4, 5), (5, 2)),
    "cdist": _does(torch.cdist, (2, 3, 4), (2, 5, 4)),
}
_ACTIVATIONS = {
    **{
        name: _of(getattr(nn, name), (2, 3, 4))
        for name in (
            *("ReLU", "ReLU6", "LeakyReLU", "PReLU", "ELU", "GELU", "SiLU", "Sigmoid", "Tanh", "Hardswish", "Mish"),
            *("Softplus", "Softmax2d", "Dropout", "Flatten", "Identity"),
        )
    },
    "GELU by tanh": _does(lambda x: F.gelu(x, approximate="tanh"), (2, 3)),
    "Softmax": _of(_P(nn.Softmax, -1), (2, 3, 4)),
    "LogSoftmax": _of(_P(nn.LogSoftmax, 1), (2, 3)),
    "Softmax in a network": _of(lambda: nn.Sequential(nn.Linear(4, 3), nn.Softmax(1)), (2, 4)),
    "relu as it was imported": _does(imported_relu, (2, 3)),
    "relu of torch": _does(lambda x: torch.relu(x) + x.relu(), (2, 3)),
    "sums": _does(lambda a, b: torch.add(a, b) + a.add(b), (2, 3, 4), (4,)),
    "products of other ranks": _does(lambda a, b: torch.mul(a, b), (2, 3, 4), (3, 1)),
    "product with a number": _does(lambda a: torch.mul(a, 2).mul(3.0), (2, 3)),
}
_NETWORKS = {
    "Two": _of(Two, (1, 4, 8, 8)),
    "Three": _of(Three, (1, 4, 8, 8)),
    "raw parameters": _of(Raw, (2, 3, 8, 8)),
    "ModuleList": _of(Loop, (3, 6)),
    "hidden modules": _of(Hidden, (5, 3, 6)),
    "subclass of Conv2d": _of(lambda: nn.Sequential(Standardised(4, 6, 3), nn.ReLU()), (2, 4, 8, 8)),
    "subclass of Linear": _of(lambda: nn.Sequential(Narrow(4, 6), nn.Linear(6, 2)), (2, 4)),
    "somebody's Conv2d": _of(lambda: nn.Sequential(Conv2d(), nn.Conv2d(6, 2, 1)), (2, 4, 8, 8)),
    "somebody's Linear": _of(lambda: nn.Sequential(Linear(), nn.Linear(5, 2)), (3, 4)),
    "residual": _of(Residual, (2, 4, 6, 5)),
    "frozen": _of(lambda: nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)).requires_grad_(False), (2, 4)),
    "U-Net": _of(_unet, (1, 3, 8, 8)),
    "shared weights": _of(lambda: _tied(nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))), (2, 4)),
}


class Itself(nn.Module):
    """A module that calls itself."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(r(4, 4))

    def forward(self, x: torch.Tensor, again: bool = True) -> torch.Tensor:
        return F.linear(self(x, False) if again else x, self.weight)


class Gives(nn.Module):
    """A module whose output is something else than a tensor."""

    def __init__(self, output: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.output = output
        self.weight = nn.Parameter(r(4))

    def forward(self, x: torch.Tensor) -> Any:
        return self.output(torch.mul(x, self.weight))


class Block(nn.Sequential):
    """A subclass of Sequential."""


class Forwards(nn.Module):
    """A method of a module is called, and a module by keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Sequential()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c(self.b(self.a.forward(x)))


class Named(nn.Module):
    """A module is called by keyword, at which hooks of tools find no input."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a(input=x)


class Cast(nn.Module):
    """A part under autocast."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.conv = nn.Linear(8, 4), nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return self.a(self.conv(x))


class Checkpointed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return checkpoint(self.a, x, use_reentrant=False)


class Frames(nn.Module):
    """Packed sequences inside a module."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(8, 6, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([5, 4, 2]), batch_first=True)
        return self.gru(packed)[0].data


_SIBLINGS = {
    "calls itself": _of(Itself, (3, 4)),
    "gives a dictionary": _of(_P(Gives, lambda y: {"a": y, "b": [y, y]}), (3, 4)),
    "gives a list": _of(_P(Gives, lambda y: [[y], y]), (3, 4)),
    "gives a number": _of(_P(Gives, torch.sum), (3, 4)),
    "gives an object": _of(_P(Gives, lambda y: SimpleNamespace(y=y)), (3, 4)),
    "gives a number of Python": _of(_P(Gives, lambda y: (y, 3)), (3, 4)),
    "gives nothing": _of(_P(Gives, lambda y: (y, None)), (3, 4)),
    "takes a number": lambda: (Does(lambda x, number: x * number), r(2, 3), 2),
    "takes a dictionary": lambda: (Does(lambda given: torch.mm(given["a"], given["b"])), {"a": r(2, 3), "b": r(3, 4)}),
    "takes a single number": lambda: (Does(lambda x: torch.mul(x, 2)), r(())),
    "subclass of Sequential": _of(lambda: nn.Sequential(Block(nn.Linear(4, 3)), nn.ReLU()), (3, 4)),
    "forward called": _of(Forwards, (3, 4)),
    "called by keyword": _of(Named, (3, 4)),
    "autocast": _of(Cast, (1, 3, 5, 10)),
    "checkpoint": _of(Checkpointed, (3, 4)),
    "double precision": lambda: (nn.Linear(4, 3).double(), r(2, 4).double()),
    "packed sequences": _of(Frames, (3, 5, 8)),
    "softmax as a method": _does(lambda x: x.softmax(-1) + torch.softmax(x, 0) + F.softmax(x, dim=1), (2, 3)),
    "softmax without a dimension": _of(lambda: nn.Sequential(nn.Linear(4, 3), nn.Softmax()), (2, 4)),
    "relu in place": _does(lambda x: F.relu(F.relu_(x + 1), inplace=True), (2, 3)),
    "matmul by keyword": _does(lambda a, b: torch.matmul(a, other=b), (2, 3), (3, 4)),
    "adaptive pooling by keyword": _does(lambda x: F.adaptive_avg_pool2d(x, output_size=2), (1, 2, 5, 4)),
    "adaptive pooling of a side": _of(_P(nn.AdaptiveAvgPool2d, (None, 3)), (1, 2, 5, 4)),
    "max pooling with indices": _does(lambda x: F.max_pool2d(x, 2, return_indices=True)[0], (1, 2, 6, 4)),
    "interpolate by keyword": _does(lambda x: F.interpolate(input=x, scale_factor=2), (1, 2, 5, 4)),
    "interpolate by a list": _does(lambda x: F.interpolate(x, scale_factor=[2.0, 3.0]), (1, 2, 5, 4)),
    "interpolate by a side": _does(lambda x: F.interpolate(x, 7, None, "bilinear"), (1, 2, 5, 4)),
    "upsample": _does(lambda x: F.upsample(x, scale_factor=2, mode="bilinear"), (1, 2, 5, 4)),
    "convolution of torch": _does(lambda x, w: torch.conv2d(x, w) + torch.conv2d(x, w), (1, 2, 5, 4), (3, 2, 2, 2)),
    "operation of torch": _does(lambda x, w: torch.ops.aten.linear(x, w), (2, 3), (4, 3)),
    "vmap": _does(lambda x, w: torch.vmap(lambda y: F.linear(y, w))(x), (2, 5, 3), (4, 3)),
    "transposed to a size": _does(
        lambda x, w: F.conv_transpose2d(x, w, stride=2, output_padding=(1, 0)), (1, 4, 5, 4), (4, 3, 3, 3)
    ),
    "sides of strides": _of(_P(nn.Conv2d, 4, 6, (3, 2), (2, 1), (1, 0), (1, 2)), (2, 4, 9, 8)),
    "LayerNorm without bias": _of(_P(nn.LayerNorm, 4, bias=False), (2, 4)),
    "attention by keyword": _of(
        lambda: Does(lambda *qkv: F.scaled_dot_product_attention(*qkv[:2], value=qkv[2])), *[(1, 2, 5, 8)] * 3
    ),
    "attention of grouped queries": _does(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True),
        *((1, 4, 5, 8), (1, 2, 5, 8), (1, 2, 5, 8)),
    ),
    "dropout and padding": _of(
        lambda: nn.Sequential(nn.ZeroPad2d(1), nn.Dropout2d(), nn.Conv2d(3, 2, 2)), (1, 3, 5, 4)
    ),
    "unfold": _does(lambda x: F.fold(F.unfold(x, 2), (5, 4), 2), (1, 2, 5, 4)),
    "Fourier": _does(lambda x: torch.fft.rfft2(x).abs(), (1, 2, 4, 4)),
    "losses": _does(lambda a, b: F.mse_loss(a, b) + F.cosine_similarity(a, b).sum(), (3, 4), (3, 4)),
    "normalised": _does(lambda x: F.normalize(x) * x.norm(), (3, 4)),
    "inner": _does(lambda a, b: torch.inner(a, b) + torch.kron(a, b).sum(), (3, 4), (5, 4)),
    "complex": lambda: (Does(torch.mm), torch.randn(3, 4, dtype=torch.cfloat), torch.randn(4, 5, dtype=torch.cfloat)),
}


def _tied(net: nn.Sequential) -> nn.Sequential:
    net[2].weight = net[0].weight  # type: ignore[union-attr, assignment]
    return net


CASES: Mapping[str, Case] = {
    f"{group}: {name}": case
    for group, cases in {
        "convolution": _CONVOLUTIONS,
        "recurrent": _RECURRENT,
        "attention": _ATTENTION,
        "norm": _NORMS,
        "pool": _POOLS,
        "resize": _RESIZES,
        "product": _PRODUCTS,
        "activation": _ACTIVATIONS,
        "network": _NETWORKS,
        "sibling": _SIBLINGS,
    }.items()
    for name, case in cases.items()
}


# ---- the tools -------------------------------------------------------------------------------------------------------


def _fvcore(net: nn.Module, *args: Any) -> Any:
    from fvcore.nn import FlopCountAnalysis

    analysis = FlopCountAnalysis(net, args).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return analysis.tracer_warnings("none").total()


def _flop_counter(net: nn.Module, *args: Any) -> Any:
    from torch.utils.flop_counter import FlopCounterMode

    for each in vars(net).get("layers", []):  # not in the tree
        each.to("meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        net.to("meta")(*tree_map_only(torch.Tensor, lambda each: each.to("meta"), args))
    return counter.get_total_flops()


def _ptflops(net: nn.Module, *args: Any) -> Any:
    import ptflops

    def inputs(_: Any) -> Any:
        return args[0] if len(args) == 1 else dict(zip(_names(net), args, strict=False))

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        return ptflops.get_model_complexity_info(
            *(net, (1,), False, False), input_constructor=inputs, verbose=False, backend="pytorch"
        )[0]


def _names(net: nn.Module) -> list[str]:
    import inspect

    return list(inspect.signature(net.forward).parameters)


def _thop(net: nn.Module, *args: Any) -> Any:
    import thop

    return thop.profile(net, inputs=args, verbose=False)[0]


def _torchinfo(net: nn.Module, *args: Any) -> Any:
    import torchinfo

    return torchinfo.summary(net, input_data=list(args), verbose=0).total_mult_adds


def _calflops(net: nn.Module, *args: Any) -> Any:
    from calflops import calculate_flops

    return calculate_flops(net, args=list(args), print_results=False, output_as_string=False)[0]


def _deepspeed(net: nn.Module, *args: Any) -> Any:
    from deepspeed.profiling.flops_profiler import get_model_profile

    return get_model_profile(net, args=list(args), print_profile=False, as_string=False)[0]


TOOLS: Mapping[str, Callable[..., Any]] = {
    "FlopCounterMode": _flop_counter,
    "fvcore": _fvcore,
    "ptflops": _ptflops,
    "thop": _thop,
    "torchinfo": _torchinfo,
    "calflops": _calflops,
    "deepspeed": _deepspeed,
}


APART = ("calflops", "deepspeed")  # leave torch changed, so each call has a process of its own
PACKAGES = {
    "FlopCounterMode": "torch.utils.flop_counter",
    "fvcore": "fvcore.nn",
    "deepspeed": "deepspeed.profiling.flops_profiler",
}


def printed(tool: str, case: str) -> float | None:
    """The total of a tool; None where the tool fails."""
    net, *args = CASES[case]()
    try:
        found = TOOLS[tool](net.eval(), *args)
    except Exception:  # whatever a tool raises
        return None
    return None if found is None else float(found)


def totals(tool: str) -> Mapping[str, float | None]:
    """The totals of a tool for all cases, each in a process of its own."""
    code = f"import explained; explained.forked({tool!r})"
    where = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, env=where)
    return json.loads(done.stdout.splitlines()[-1])


def forked(tool: str) -> None:
    torch.set_num_threads(1)
    with contextlib.redirect_stdout(io.StringIO()):
        importlib.import_module(PACKAGES.get(tool, tool))
    found = {}
    for case in CASES:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            with contextlib.redirect_stdout(io.StringIO()):
                text = json.dumps(printed(tool, case))
            os.write(writer, text.encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            found[case] = json.loads(pipe.read())
        os.waitpid(child, 0)
    print(json.dumps(found))
