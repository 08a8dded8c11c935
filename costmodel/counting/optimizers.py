"""Memory of optimizers: torch's own classes take two steps on parameters without values, and somebody listens."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from costmodel.counting import compiler
from costmodel.counting.observe import CountingMode
from costmodel.errors import InvalidInput, among

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "momentum": lambda parameters: torch.optim.SGD(parameters, momentum=0.9),
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "adamax": torch.optim.Adamax,
    "adagrad": torch.optim.Adagrad,
    "adadelta": torch.optim.Adadelta,
    "adafactor": torch.optim.Adafactor,
    "rmsprop": torch.optim.RMSprop,
    "rprop": torch.optim.Rprop,
}


@dataclass(frozen=True)
class Memory:
    """Bytes of an optimizer: its ``states``, which stay between steps, the ``gradients`` of all parameters, and what a
    ``step`` needs besides these."""

    states: int = 0
    gradients: int = 0
    step: int = 0


NO_MEMORY = Memory()


def memory(name: str, parameters: Iterable[torch.Tensor]) -> Memory:
    """The memory of one of torch's optimizers with its defaults, on a CPU, where it takes parameters one by one."""
    if name not in OPTIMIZERS:
        raise InvalidInput(f"unknown optimizer {name!r}: {among(name, OPTIMIZERS)}")
    trained = [_like(each) for each in parameters if each.requires_grad]
    if not trained:
        raise InvalidInput(f"optimizer {name}: no parameter wants a gradient")
    listener = CountingMode(run=_with_some_value, follow=True)
    listener.hold([*trained, *(each.grad for each in trained if each.grad is not None)])
    with compiler.not_imported(), listener:
        optimizer = OPTIMIZERS[name](trained)
        optimizer.step()
        first = len(listener.operations)
        optimizer.step()
    storages = {
        id(storage): storage.nbytes()
        for each in tree_leaves(list(optimizer.state.values()))
        if isinstance(each, torch.Tensor)
        for storage in (each.untyped_storage(),)
    }
    states = sum(storages.values())
    most = max((each.live for each in listener.operations[first:]), default=0)
    return Memory(states, sum(each.numel() * each.element_size() for each in trained), max(0, most - states))


def _like(parameter: torch.Tensor) -> torch.Tensor:
    """A parameter without values, and its gradient."""
    made = torch.nn.Parameter(torch.empty(parameter.shape, dtype=parameter.dtype, device="meta"))
    made.grad = torch.empty_like(made)
    return made


def _with_some_value(func: Any, args: Any, kwargs: Any, tensors: Any) -> Any:
    """Some optimizers read a norm, which decides nothing about memory."""
    read = func is torch.ops.aten._local_scalar_dense.default and args[0].is_meta
    return 1.0 if read else func(*args, **kwargs)
