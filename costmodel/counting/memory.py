"""Bytes that convolutions on a CPU need besides their results, as oneDNN copies maps into blocks of channels."""

from typing import Any

import torch

BLOCK = 16  # channels of a block, in oneDNN's layout for AVX-512
FEWEST = 5  # channels below which the input stays as it is


def channels_last(x: Any) -> bool:
    """True for a map whose channels are next to each other."""
    return x.dim() == 4 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)


def workspace(result: Any, x: Any, weight: Any, *rest: Any) -> int:
    """Bytes that oneDNN's convolution on a CPU needs besides its result: it copies contiguous maps, the weights and the
    result into blocks of channels; the result comes back when the other copies are gone."""
    if x.dim() < 4 or not x.is_contiguous() or channels_last(weight) or x.shape[1] < FEWEST:
        return 0

    def blocked(each: Any) -> int:
        channels = int(each.shape[1])
        return int(each.numel()) // channels * -(-channels // BLOCK) * BLOCK * int(each.element_size())

    whole, out = blocked(result), int(result.numel() * result.element_size())
    return max(blocked(x) + int(weight.numel() * weight.element_size()) + whole - out, whole)
