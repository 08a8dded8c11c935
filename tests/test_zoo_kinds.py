"""Kinds of networks of timm, torchvision and transformers that were refused or counted wrongly, written by hand."""

import pytest
import torch
from torch import nn
from torchvision_operators import _nms

from costmodel import count
from costmodel.counting.shadow import NeedsValues, Shadow, WithoutMemory


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


@pytest.mark.parametrize(
    "places", [torch.where, torch.argwhere, torch.nonzero, lambda x: torch.nonzero(x, as_tuple=True)]
)
def test_places_that_depend_on_values_are_refused_by_that_name(places):
    """Detectors ask where scores are high enough, and inference mode takes such a question as one operation."""
    with torch.inference_mode(), WithoutMemory():
        scores = torch.rand(5000)
        with pytest.raises(NeedsValues):
            places(scores > 0.5)


def test_boxes_that_overlap_a_better_one_are_suppressed():
    """Of the second box, the best, the first shares 9 x 9 of 10 x 10: 81 / (100 + 100 - 81) = 0.68."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30]])
    scores = torch.tensor([0.5, 0.9, 0.1])
    assert _nms(boxes, scores, 0.67).tolist() == [1, 2]
    assert _nms(boxes, scores, 0.69).tolist() == [1, 0, 2]
    assert _nms(boxes[:0], scores[:0], 0.5).tolist() == []
