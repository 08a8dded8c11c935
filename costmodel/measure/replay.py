"""Calls of operators made again, from data alone."""

from collections.abc import Callable
from itertools import count, cycle
from typing import Any

import torch

from costmodel.errors import InvalidInput
from costmodel.work.call import Argument, Call, Tensor

MOST_COPIES = 200


def make(call: Call, seed: int = 0, device: str = "cpu") -> Callable[[], Any]:
    """The call with random arguments; `InvalidInput` where torch has no such operator."""
    namespace, name, overload = call.name.split(".")
    try:
        operator = getattr(getattr(getattr(torch.ops, namespace), name), overload)
    except (AttributeError, ValueError):
        raise InvalidInput(f"torch {torch.__version__} has no operator {call.name}") from None
    random = torch.Generator(device).manual_seed(seed)
    arguments = [_value(each, random) for each in call.arguments]
    keywords = {key: _value(each, random) for key, each in call.keywords}
    return lambda: operator(*arguments, **keywords)


def hot(call: Call, device: str = "cpu") -> Callable[[], Any]:
    """The call with the same arguments again and again."""
    return make(call, 0, device)


def cold(call: Call, footprint: int, device: str = "cpu") -> Callable[[], Any]:
    """The call with arguments in turn that take ``footprint`` bytes together."""
    bytes_of_one = sum(each.elements * getattr(torch, each.dtype).itemsize for each in (*call.tensors, *call.outputs))
    copies = min(MOST_COPIES, max(2, -(-footprint // max(1, bytes_of_one))))
    steps = cycle([make(call, n, device) for n in range(copies)])
    kept: list[Any] = [None] * copies
    place = count()

    def step() -> None:
        kept[next(place) % copies] = next(steps)()

    return step


def _value(value: Argument, random: torch.Generator) -> Any:
    if isinstance(value, tuple):
        return [_value(each, random) for each in value]
    if isinstance(value, str) and isinstance(getattr(torch, value, None), torch.dtype):
        return getattr(torch, value)
    if not isinstance(value, Tensor):
        return value
    kind: torch.dtype = getattr(torch, value.dtype)
    if value.strides:
        made = torch.empty_strided(value.shape, value.strides, dtype=kind, device=random.device)
    else:
        last = value.layout == "channels_last"
        layout = torch.channels_last if last else torch.contiguous_format
        made = torch.empty(value.shape, dtype=kind, device=random.device, memory_format=layout)
    return made.normal_(generator=random) if kind.is_floating_point else made.fill_(1)
