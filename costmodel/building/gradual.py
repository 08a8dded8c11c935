"""Gradual grouping as torch modules: convolutions that become grouped during training."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from costmodel.errors import InvalidInput
from costmodel.work.size import as_size


class GradualConv2d(nn.Conv2d):
    """A convolution with the weight W o (M + alpha (1 - M)): dense at ``alpha`` 1, grouped at 0. M is 1 within
    ``target`` groups of channels and 0 between groups. ``grouped()`` gives the grouped convolution of alpha 0."""

    mask: torch.Tensor

    def __init__(self, conv: nn.Conv2d, target: int) -> None:
        """``conv``: an ungrouped convolution, whose weights are reused; ``target`` divides both its channel counts."""
        if not isinstance(conv.weight, nn.Parameter) or isinstance(conv.weight, nn.UninitializedParameter):
            raise InvalidInput("gradual grouping needs a plain weight, neither computed nor uninitialized")
        if isinstance(conv, GradualConv2d) or conv.groups != 1 or conv.padding_mode != "zeros":
            raise InvalidInput("gradual grouping needs an ungrouped convolution with zero padding")
        as_size("groups", target)
        if conv.in_channels % target or conv.out_channels % target:
            raise InvalidInput(f"{target} groups do not divide {conv.in_channels} and {conv.out_channels} channels")
        super().__init__(**_settings(conv), device="meta")
        self.weight, self.bias = conv.weight, conv.bias
        self.target, self.alpha = target, 1.0
        groups = torch.arange(target, device=conv.weight.device)
        outputs = groups.repeat_interleave(conv.out_channels // target)
        inputs = groups.repeat_interleave(conv.in_channels // target)
        within = (outputs[:, None] == inputs)[..., None, None]
        self.register_buffer("mask", within.to(conv.weight.dtype), persistent=False)
        self.train(conv.training)

    def get_extra_state(self) -> float:
        """Alpha, as kept in state dicts."""
        return self.alpha

    def set_extra_state(self, state: float) -> None:
        self.alpha = float(state)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight * (self.mask + self.alpha * (1 - self.mask))
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation)

    def grouped(self) -> nn.Conv2d:
        """A convolution of ``target`` groups with the unmasked weights."""
        made = nn.Conv2d(**_settings(self), groups=self.target, device=self.weight.device, dtype=self.weight.dtype)
        rows = self.weight.detach().chunk(self.target)
        blocks = torch.cat([row.chunk(self.target, dim=1)[g] for g, row in enumerate(rows)])
        last = not self.weight.is_contiguous() and self.weight.is_contiguous(memory_format=torch.channels_last)
        blocks = blocks.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
        made.weight = nn.Parameter(blocks, requires_grad=self.weight.requires_grad)
        if self.bias is not None:
            made.bias = nn.Parameter(self.bias.detach().clone(), requires_grad=self.bias.requires_grad)
        return made.train(self.training)


def _settings(conv: nn.Conv2d) -> dict[str, Any]:
    """The arguments of a convolution except ``groups``."""
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation")
    return {name: getattr(conv, name) for name in names} | {"bias": conv.bias is not None}


def make_gradual(module: nn.Module, groups: int, names: Iterable[str]) -> list[GradualConv2d]:
    """Replace each named convolution of a module, wherever the convolution is used, by a `GradualConv2d`; returns the
    new convolutions."""
    made: dict[int, GradualConv2d] = {}
    for name in names:
        conv = dict(module.named_modules(remove_duplicate=False)).get(name)
        if conv is None:
            raise InvalidInput(f"there is no module {name!r} in the {type(module).__name__}")
        if not isinstance(conv, nn.Conv2d):
            raise InvalidInput(f"{name} is a {type(conv).__name__}, not a convolution")
        if id(conv) not in made:
            made[id(conv)] = GradualConv2d(conv, groups)
    _replace(module, made)
    return list(made.values())


def set_alpha(module: nn.Module, alpha: float) -> None:
    """Set alpha, from 1 (dense) to 0 (grouped), in all gradual convolutions of a module."""
    if not 0 <= alpha <= 1:
        raise InvalidInput(f"alpha must be from 0 (grouped) to 1 (dense), not {alpha!r}")
    for each in module.modules():
        if isinstance(each, GradualConv2d):
            each.alpha = float(alpha)


def switch(module: nn.Module) -> None:
    """Replace all gradual convolutions of a module by grouped convolutions; each alpha must be 0."""
    gradual = {name: each for name, each in module.named_modules() if isinstance(each, GradualConv2d)}
    if unfinished := [name or "the module itself" for name, each in gradual.items() if each.alpha]:
        raise InvalidInput(f"alpha is not 0 yet, so grouping would change the results: {', '.join(unfinished)}")
    _replace(module, {id(each): each.grouped() for each in gradual.values()})


def _replace(module: nn.Module, new: Mapping[int, nn.Module]) -> None:
    """Replace modules, given by ``id``, in every place where a module is shared."""
    if id(module) in new:
        raise InvalidInput("a convolution cannot replace itself: use GradualConv2d(conv, groups), or grouped()")
    for name, each in list(module.named_modules(remove_duplicate=False)):
        if id(each) in new:
            module.set_submodule(name, new[id(each)])
