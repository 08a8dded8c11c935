"""What a running module really does: its work as seen by torch's dispatcher, and what foreign counters say.

The observer sees every operation below autograd, whoever called it: modules, functional code, raw parameters. It needs
no values, so meta and fake tensors do. An operation without a rule is listed in ``unpriced``; nothing is left out in
silence.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from costmodel.describe.work import NOTHING, Cost, Event, Work

aten = torch.ops.aten
Rule: TypeAlias = Callable[..., "dict[Event, int] | None"]


# A rule takes the result and the operation's own arguments; it returns the events, or None for what it does not know.


def _convolution(
    result: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, bias: Any, *rest: Any
) -> dict[Event, int]:
    transposed = rest[3]  # stride, padding, dilation, transposed, ...
    # Every output (of a transposed convolution: every input) meets the weights of one output (input) channel.
    positions = x if transposed else result
    biases = {Event.BIAS: result.numel()} if bias is not None else {}
    return {Event.MAC: positions.numel() * weight[0].numel()} | biases


def _batch_norm(training: int) -> Rule:
    """With fixed statistics; argument number ``training`` says whether it computes them, which has no rule yet."""

    def rule(result: Any, /, *args: Any, **options: Any) -> dict[Event, int] | None:
        return None if training >= 0 and args[training] else {Event.NORM: result[0].numel()}

    return rule


def _pool(event: Event) -> Rule:
    def rule(result: Any, x: torch.Tensor, window: list[int], /, *rest: Any, **options: Any) -> dict[Event, int]:
        pooled = result[0] if isinstance(result, tuple) else result
        return {event: math.prod(window) * pooled.numel()}

    return rule


def _each(event: Event) -> Rule:
    """One event per output element; a scaled sum (``alpha``) is more than that."""

    def rule(result: torch.Tensor, /, *args: Any, alpha: float = 1, **options: Any) -> dict[Event, int] | None:
        return {event: result.numel()} if alpha == 1 else None

    return rule


def _matmul(result: torch.Tensor, a: torch.Tensor, b: torch.Tensor, /, *rest: Any, **options: Any) -> dict[Event, int]:
    return {Event.MAC: result.numel() * a.shape[-1]}


def _addmm(
    result: torch.Tensor,
    bias: Any,
    a: torch.Tensor,
    b: Any,
    /,
    *rest: Any,
    alpha: float = 1,
    beta: float = 1,
    **options: Any,
) -> dict[Event, int] | None:
    return {Event.MAC: result.numel() * a.shape[-1], Event.BIAS: result.numel()} if alpha == beta == 1 else None


def _nothing(*args: Any, **options: Any) -> dict[Event, int]:
    return {}


RULES: dict[Any, Rule] = {
    aten.convolution: _convolution,
    aten.mm: _matmul,
    aten.bmm: _matmul,
    aten.addmm: _addmm,
    aten.native_batch_norm: _batch_norm(5),
    aten.cudnn_batch_norm: _batch_norm(5),
    aten._native_batch_norm_legit_no_training: _batch_norm(-1),
    aten.add: _each(Event.ADDITION),
    aten.add_: _each(Event.ADDITION),
    aten.mul: _each(Event.PRODUCT),
    aten.mul_: _each(Event.PRODUCT),
    aten.sigmoid: _each(Event.SIGMOID),
    aten.tanh: _each(Event.TANH),
    aten.relu: _each(Event.RELU),
    aten.relu_: _each(Event.RELU),
    aten.max_pool2d_with_indices: _pool(Event.MAX_POOL),
    aten.avg_pool2d: _pool(Event.AVERAGE_POOL),
    aten.upsample_bilinear2d: _each(Event.RESIZE),
    aten.constant_pad_nd: _each(Event.MOVE),
    aten.new_zeros: _nothing,  # writes memory, computes nothing
    aten.zeros: _nothing,
}

# No kernel runs: memory without values, and a view that torch does not mark as one.
FREE = {
    aten.empty,
    aten.empty_like,
    aten.empty_strided,
    aten.new_empty,
    aten.new_empty_strided,
    aten._unsafe_view,
}


@dataclass(frozen=True)
class Observed:
    """One dispatched operation; ``priced`` is False where no rule knows it (its work is then empty)."""

    op: str
    cost: Cost
    priced: bool


@dataclass(frozen=True)
class Observation:
    """What a call did, operation by operation.

    Views, bare allocations and questions about a tensor (``prim``) are no operations: they compute and move nothing.
    """

    operations: tuple[Observed, ...]

    @cached_property
    def cost(self) -> Cost:
        """Work, launches, and bytes read and written; parameters are a property of the module, not of a call."""
        return sum((o.cost for o in self.operations), NOTHING)

    @property
    def unpriced(self) -> Counter[str]:
        """Operations without a rule, and how often each was dispatched."""
        return Counter(o.op for o in self.operations if not o.priced)


class _Listener(TorchDispatchMode):  # type: ignore[no-untyped-call]  # untyped in torch
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in torch
        self.operations: list[Observed] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        rule = RULES.get(func.overloadpacket)
        if rule is None and func.namespace != "prim":
            # In inference mode composite operations arrive whole: what they consist of has rules.
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        out = func(*args, **kwargs)
        if not (func.is_view or func.namespace == "prim" or func.overloadpacket in FREE):
            events = rule(out, *args, **kwargs) if rule else None
            cost = Cost(Work(events), reads=_bytes((args, kwargs)), writes=_bytes(out), launches=1)
            self.operations.append(Observed(str(func), cost, events is not None))
        return out


def _bytes(tree: Any) -> int:
    leaves: Iterable[Any] = tree_leaves(tree)
    return sum(t.numel() * t.element_size() for t in leaves if isinstance(t, torch.Tensor))


def observe(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Observation:
    """The work of one call, without gradients. Meta or fake tensors make it free of arithmetic and memory.

    >>> import costmodel, torch
    >>> costmodel.observe(torch.sigmoid, torch.empty(2, 3, device="meta")).cost.work
    Work(SIGMOID=6)
    """
    with torch.no_grad(), _Listener() as listener:
        function(*args, **kwargs)
    return Observation(tuple(listener.operations))


def fvcore_count(module: torch.nn.Module, *args: Any) -> int:
    """What ``fvcore.nn.FlopCountAnalysis`` prints (MACs, called flops). It needs real tensors: meta ones fail there."""
    from fvcore.nn import FlopCountAnalysis

    with torch.no_grad():
        analysis = FlopCountAnalysis(module, args)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        return int(analysis.total())


def flop_counter_count(module: torch.nn.Module, *args: Any) -> int:
    """What ``torch.utils.flop_counter.FlopCounterMode`` prints (FLOPs, two per MAC)."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(*args)
    return int(counter.get_total_flops())
