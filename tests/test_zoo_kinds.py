"""Kinds of networks of timm, torchvision and transformers that were refused or counted wrongly, written by hand."""

import torch
from torch import nn

from costmodel import count
from costmodel.counting.shadow import Shadow, WithoutMemory


def test_truncated_normal_weights_are_made_without_memory():
    """Values are drawn again while any lies outside of the bounds."""
    draw = nn.init._no_grad_trunc_normal_
    with WithoutMemory():
        net = nn.Linear(200, 300)
        nn.init.trunc_normal_(net.weight, std=0.02)
        nn.init.trunc_normal_(net.weight, std=2.0, a=-1.0, b=1.0)
    assert isinstance(net.weight, Shadow)
    assert nn.init._no_grad_trunc_normal_ is draw
    assert count(net, "2x200").macs == 2 * 200 * 300
