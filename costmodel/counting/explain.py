"""What other counters print for the same call, item by item: their prices, and what they do not see.

Each was read and run on hand-written modules (versions in `COUNTERS`). Some look at operations, some at modules of
known classes: what is done by functions, raw parameters or operators in between is not there for them.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from costmodel.counting.count import Count
from costmodel.errors import InvalidInput
from costmodel.price.conventions import FVCORE
from costmodel.work.cost import Operation
from costmodel.work.events import Event

Shape: TypeAlias = tuple[int, ...]
Price: TypeAlias = Callable[[Operation, str], "int | None"]


@dataclass(frozen=True)
class Counter:
    """``price``: what it counts for an operation that code of a module of some class called; None where this model of
    the tool does not know. ``source``: version, and what it looks at."""

    name: str
    unit: str
    source: str
    price: Price


@dataclass(frozen=True)
class Reading:
    """The numbers that a tool would print: the total (None: it is not known for all operations) and its items."""

    counter: Counter
    total: int | None
    items: Mapping[str, int]
    unknown: tuple[str, ...]


def reading(count: Count, counter: Counter) -> Reading:
    """The total of a tool, by kind of operation."""
    items: dict[str, int] = {}
    unknown: list[str] = []
    for each in count.operations:
        amount = counter.price(each, count.modules.get(each.path, ""))
        if amount is None:
            unknown.append(f"{kind(each)} of {count.modules.get(each.path) or 'functions'}")
        elif amount:
            items[kind(each)] = items.get(kind(each), 0) + amount
    return Reading(counter, None if unknown else sum(items.values()), items, tuple(dict.fromkeys(unknown)))


def readings(count: Count) -> tuple[list[Reading], list[str]]:
    """What every counter would print, and the kinds of operation that one of them counts, in order of execution."""
    if count.letters:
        raise InvalidInput("tools count numbers: give sizes, not letters")
    found = [reading(count, counter) for counter in COUNTERS.values()]
    kinds = dict.fromkeys(map(kind, count.operations))
    return found, [name for name in kinds if any(each.items.get(name) for each in found)]


def bare(each: Operation) -> str:
    """The name of an operation: ``aten.relu_.default`` is ``relu``."""
    return each.op.split(".")[1].rstrip("_")


_KINDS = {
    "matrix product": Event.MAC,
    "normalisation": Event.NORM,
    "normalisation with own statistics": Event.OWN_NORM,
    "ReLU": Event.RELU,
    "other activation": Event.ACTIVATION,
    "sigmoid": Event.SIGMOID,
    "tanh": Event.TANH,
    "softmax": Event.SOFTMAX,
    "max pooling": Event.MAX_POOL,
    "average pooling": Event.AVERAGE_POOL,
    "adaptive pooling": Event.ADAPTIVE_POOL,
    "bilinear resizing": Event.RESIZE,
    "other resizing": Event.INTERPOLATION,
    "addition": Event.ADDITION,
    "product": Event.PRODUCT,
}


def kind(each: Operation) -> str:
    """The kind of an operation, for people."""
    if "conv" in bare(each):
        return "convolution"
    if "upsample" in bare(each) and Event.MOVE in each.cost.work:
        return "other resizing"
    return next((name for name, event in _KINDS.items() if each.cost.work[event]), "other")


# ---- parts of their prices -------------------------------------------------------------------------------------------


def _elements(shape: Shape) -> int:
    return math.prod(shape)


def _macs(each: Operation) -> int:
    return int(each.cost.work[Event.MAC])


def _biases(each: Operation) -> int:
    return int(each.cost.work[Event.BIAS])


def _transposed_as_plain(each: Operation) -> int:
    """A transposed convolution taken for a plain one: outputs, by input channels of a group, by kernel positions."""
    x, weight = each.inputs[:2]
    groups = each.output[1] // weight[1]
    return _elements((*each.output, x[1] // groups, *weight[2:]))


def _transposed(each: Operation, owner: str) -> bool:
    return "ConvTranspose" in owner or "conv_transpose" in each.op


_CONVOLUTIONS = {f"Conv{way}{n}d" for way in ("", "Transpose") for n in (1, 2, 3)}
_NORMS = {f"{which}Norm{n}d" for which in ("Batch", "Instance") for n in (1, 2, 3)} | {"LayerNorm"}
_RECURRENT = {"RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell"}
_AFFINE = {"batch_norm": 5, "native_layer_norm": 3, "native_group_norm": 3, "native_batch_norm": 5}


def _affine(each: Operation) -> bool:
    """Whether a norm has weights of its own, by the number of tensors that it gets."""
    tensors = _AFFINE.get(bare(each), 99)
    if bare(each) in ("batch_norm", "native_batch_norm") and each.cost.work[Event.OWN_NORM] and len(each.inputs) < 5:
        tensors = 3  # statistics are not kept
    return len(each.inputs) >= tensors


# ---- the tools -------------------------------------------------------------------------------------------------------


def _fvcore(each: Operation, owner: str) -> int | None:
    if "adaptive_avg_pool" in each.op:  # its inputs, also where windows overlap
        return _elements(each.inputs[0])
    if each.cost.work[Event.NORM] and not _affine(each):
        return int(each.cost.work[Event.NORM])
    return sum(FVCORE.prices[event] * int(number) for event, number in each.cost.work.items())


def _flop_counter(each: Operation, owner: str) -> int | None:
    return 2 * _macs(each)


def _thop(each: Operation, owner: str) -> int | None:
    name = bare(each)
    if owner in _CONVOLUTIONS and "conv" in name:
        return _transposed_as_plain(each) if _transposed(each, owner) else _macs(each)
    if owner == "Linear":
        return _macs(each)
    if owner in _NORMS and "norm" in name:
        return (4 if _affine(each) else 2) * _elements(each.inputs[0])
    if owner == "Softmax" and each.cost.work[Event.SOFTMAX]:
        return None  # it depends on the dimension
    if owner.startswith("AvgPool"):
        return _elements(each.output)
    if owner.startswith("AdaptiveAvgPool"):
        window = _elements(each.inputs[0][2:]) / _elements(each.output[2:])  # windows that overlap have no whole size
        return int(_elements(each.output) * (window + 1))
    if owner in {"Upsample", "UpsamplingBilinear2d"} and each.cost.work[Event.RESIZE]:
        return 11 * _elements(each.output)
    return None if owner in _RECURRENT | {"PReLU", "Upsample"} else 0


def _torchinfo(each: Operation, owner: str) -> int | None:
    """The parameters named weight and bias, at every position of a convolution, once per input elsewhere."""
    if not each.cost.work[Event.MAC] and "norm" not in bare(each) and "embedding" not in bare(each):
        return None if owner in _RECURRENT else 0
    if owner in _CONVOLUTIONS:
        positions = _elements((each.output[0], *each.output[2:]))
        bias = each.output[1] if _biases(each) else 0
        return positions * (_elements(each.inputs[1]) + bias)
    if owner == "Linear":
        return _elements((each.output[0], _elements(each.inputs[1]) + (each.output[-1] if _biases(each) else 0)))
    if owner in _NORMS | {"GroupNorm"}:
        return each.output[0] * 2 * _elements(each.inputs[1]) if _affine(each) else 0
    if owner == "Embedding":
        return _elements((each.output[0], *each.inputs[0]))
    return None if owner in _RECURRENT | {"MultiheadAttention", "PReLU"} else 0


def _ptflops(each: Operation, owner: str) -> int | None:
    """Modules by hooks, functions by patches: where a module calls a function that is patched, both count."""
    name, work = bare(each), each.cost.work
    if "conv" in name:
        return _macs(each) + _biases(each) if owner in _CONVOLUTIONS else 0
    if name == "linear":  # a function's bias counts once, whatever the batch
        return _macs(each) + (_biases(each) if owner == "Linear" or not _biases(each) else each.output[-1])
    if "norm" in name:
        known = owner in _NORMS | {"GroupNorm"}
        twice = _affine(each) and owner != "LayerNorm"  # it looks for an attribute that LayerNorm calls otherwise
        return (2 if twice else 1) * _elements(each.inputs[0]) if known else 0
    if work[Event.RELU]:
        return (2 if owner == "ReLU" else 1) * _elements(each.inputs[0])
    if "pool" in name:
        return (2 if "Pool" in owner else 1) * _elements(each.inputs[0])
    if owner in _RECURRENT | {"MultiheadAttention"} or work[Event.MAC] or work[Event.SOFTMAX] or work[Event.ACTIVATION]:
        return None  # functions count, methods and operators do not: the dispatcher shows both alike
    return None if work[Event.RESIZE] or work[Event.INTERPOLATION] else 0


def _patched(each: Operation, owner: str, sees_operators: bool) -> int | None:
    """calflops and DeepSpeed patch the functions of torch.nn.functional; FLOPs."""
    name, work = bare(each), each.cost.work
    if "conv" in name:
        if _transposed(each, owner) and not sees_operators:
            return 0  # calflops does not patch those
        return 2 * _macs(each) + _biases(each)
    if name == "linear":
        return 2 * _macs(each)
    if work[Event.MAC]:
        return 2 * _macs(each) if sees_operators and owner not in _RECURRENT else None
    if "norm" in name:
        if work[Event.NORM]:
            return (2 if _affine(each) else 1) * _elements(each.inputs[0])
        return (5 if _affine(each) else 4) * _elements(each.inputs[0])
    if work[Event.RELU] or "pool" in name:
        return _elements(each.inputs[0])
    return None if work[Event.ACTIVATION] or work[Event.SOFTMAX] or work[Event.RESIZE] else 0


def _calflops(each: Operation, owner: str) -> int | None:
    return _patched(each, owner, False)


def _deepspeed(each: Operation, owner: str) -> int | None:
    return _patched(each, owner, True)


COUNTERS = {
    counter.name: counter
    for counter in (
        Counter("FlopCounterMode", "FLOP", "torch; operations, on meta tensors", _flop_counter),
        Counter("fvcore", "MAC", "0.1.5; operations of a trace; calls them flops", _fvcore),
        Counter("ptflops", "MAC", "0.7.5, backend pytorch; modules and patched functions", _ptflops),
        Counter("thop", "MAC", "0.1.1; modules of known classes", _thop),
        Counter("torchinfo", "MAC", "1.8.0, mult-adds; weights and biases of modules", _torchinfo),
        Counter("calflops", "FLOP", "0.3.2; patched functions", _calflops),
        Counter("deepspeed", "FLOP", "flops profiler; patched functions and operators", _deepspeed),
    )
}
