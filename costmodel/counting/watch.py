"""The same call once more, seen as other counters see it: by hooks on modules, patches of functions, or a trace.

What a tool's way does not reach (a function that was imported before the patch, an operator, a module of a subclass) is
not there for the tool, and not here either.
"""

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import nn
from torch._ops import HigherOrderOperator
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass
from torch.utils._pytree import tree_leaves

from costmodel.counting.attention import name_of
from costmodel.counting.call import Call
from costmodel.counting.observe import CountingMode
from costmodel.price.conventions import FVCORE
from costmodel.work.cost import NOTHING, Operation

Price: TypeAlias = Callable[..., "int | float"]


class NotKnown(Exception):
    """A price that this model of a tool does not know."""


NOBODY = 0  # stands for a module's id where no module answers for the work

# Composite operations that torch's tracer does not record, only the operations in them, and those with another name.
_TRANSPARENT = {f"conv{way}{n}d" for way in ("", "_transpose") for n in (1, 2, 3)} | {
    *("convolution", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")
}
_TRACED_AS = {"convolution": "_convolution", "linalg_matmul": "matmul"}

_KINDS = (  # names in small letters without _
    ("conv", "convolution"),
    ("rnn|lstm|gru", "recurrent layer"),
    ("attention", "attention"),
    ("(upsampl|interpolate).*bilinear", "bilinear resizing"),
    ("upsampl|interpolate|gridsampl", "other resizing"),
    ("batchnorm", "normalisation"),
    ("norm", "normalisation with own statistics"),
    ("linear|matmul|mm$|einsum", "matrix product"),
    ("^relu6?$", "ReLU"),
    ("elu|silu", "other activation"),
    ("softmax", "softmax"),
    ("adaptive", "adaptive pooling"),
    ("maxpool", "max pooling"),
    ("avgpool", "average pooling"),
    ("embedding", "embedding"),
    ("^add$", "addition"),
    ("^mul$", "product"),
)


def kind(name: str) -> str:
    """The kind of an operation, for people, by the name of a class, a function or an operation."""
    plain = name.lower().replace("_", "")
    return next((words for pattern, words in _KINDS if re.search(pattern, plain)), "other")


@dataclass(frozen=True)
class Counter:
    """A tool, as a set of prices for what it sees of a call.

    ``module`` finds the price of a module that is called: of the module, its inputs and its output. ``functions`` are
    prices by the names of functions that the tool patches, ``operations`` by the names of operations in a trace, both
    of the arguments, the second of the result before them. ``dispatched`` is the price of an operation that was
    counted. ``places``: how often the sum of each module goes into the total, by ``id``. ``apart``: classes of modules
    on which the work of functions is not booked but on the module around (None: on no module). ``evaluates``: the tool
    sets the module to evaluation. ``refuses``: a reason for which the tool does not take a call at all.
    """

    name: str
    unit: str
    source: str
    module: Callable[[nn.Module], "Price | None"] = lambda module: None
    functions: Mapping[str, Price] = field(default_factory=dict)
    operations: Mapping[str, Price] = field(default_factory=dict)
    dispatched: Callable[[Operation], int] | None = None
    places: Callable[[nn.Module], Mapping[int, int]] = lambda root: {id(each): 1 for each in root.modules()}
    apart: frozenset[type] | None = None
    evaluates: bool = True
    per_sample: bool = False  # the sum of what modules count is divided by the size of the batch
    refuses: Callable[[Call], str] = lambda call: ""

    def __repr__(self) -> str:
        return f"<Counter {self.name}: {self.unit}s; {self.source}>"


@dataclass
class Tally:
    """What a tool has counted, by the module that the work is booked on and the kind of work. ``failures``: calls at
    which the tool itself fails. ``unseen``: what the convention ``fvcore`` has beside fvcore, by operation."""

    counter: Counter
    amounts: dict[tuple[int, str], "int | float"] = field(default_factory=dict)
    failures: dict[str, None] = field(default_factory=dict)
    unseen: dict[str, int] = field(default_factory=dict)

    def add(self, owner: int, name: str, price: Price, *args: Any, **kwargs: Any) -> "int | float":
        try:
            amount = price(*args, **kwargs)
        except NotKnown as error:
            self.failures[str(error)] = None
            return 0
        except Exception:  # as in the tool: its price does not fit what was called
            others = any(map(is_traceable_wrapper_subclass, tree_leaves((args, kwargs))))
            reason = f"{name} of tensors made of others" if others else f"the tool itself fails at {name}"
            self.failures[reason] = None
            return 0
        key = (owner, kind(name))
        self.amounts[key] = self.amounts.get(key, 0) + amount
        return amount


class Watch:
    """What some counters see of a call, which runs without being changed by it."""

    def __init__(self, call: Call, counters: list[Counter]) -> None:
        self.tallies: list[Tally] = []
        self._call = call
        self._counters = counters
        self._inside = 0  # operations that run: what torch itself calls in them is nobody's code
        self._owners: dict[frozenset[type], list[int]] = {}

    @contextmanager
    def over(self, listener: CountingMode) -> Iterator[None]:
        """Follow what runs until the end."""
        self.tallies = [Tally(counter) for counter in self._counters]
        net = self._call.net
        self._tree = {id(each) for each in net.modules()} if isinstance(net, nn.Module) else set()
        # A function stands for a module around all that it calls.
        start = [] if self._call.function is net and self._tree else [NOBODY]
        self._owners = {each.apart: list(start) for each in self._counters if each.apart is not None}
        with ExitStack() as stack:
            if self._tree and all(each.evaluates for each in self._counters):
                stack.enter_context(_evaluating(net))
            for label in dict.fromkeys(label for each in self._counters for label in each.functions):
                stack.enter_context(_patched(label, self._called))
            before = register_module_forward_pre_hook(self._enter)
            stack.callback(before.remove)
            after = register_module_forward_hook(self._leave)
            stack.callback(after.remove)
            stack.enter_context(_Trace(self, listener))
            yield

    def _enter(self, module: nn.Module, inputs: Any) -> None:
        for apart, owners in self._owners.items():
            if id(module) in self._tree and type(module) not in apart:
                owners.append(id(module))

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if id(module) not in self._tree:
            return
        if module is self._call.net and not _traceable(output):
            for tally in self.tallies:
                if tally.counter.operations:
                    tally.failures["the tool itself fails at outputs that are no tensors"] = None
        for apart, owners in self._owners.items():
            if type(module) not in apart:
                owners.pop()
        for tally in self.tallies:
            price = tally.counter.module(module)
            if price is not None:
                name = type(module).__name__ + (f" {module.mode}" if isinstance(module, nn.Upsample) else "")
                named = tally.counter.per_sample and module is self._call.net and by_keyword(self._call)
                tally.add(id(module), name, price, module, () if named else inputs, output)

    def _called(self, label: str, args: Any, kwargs: Any) -> None:
        if self._inside:
            return
        mode = kwargs.get("mode", args[3] if label in ("F.interpolate", "F.upsample") and len(args) > 3 else "")
        for tally in self.tallies:
            apart = tally.counter.apart
            owner = NOBODY if apart is None else next(reversed(self._owners[apart]), None)
            if label in tally.counter.functions and owner is not None:
                name = f"{label.partition('.')[2]} {mode}".strip()
                tally.add(owner, name, tally.counter.functions[label], *args, **kwargs)

    def dispatched(self, run: Callable[[], Any], func: Any, args: Any, kwargs: Any, listener: CountingMode) -> Any:
        """The result of an operation that a tracer records."""
        self._inside += 1
        first = len(listener.operations)
        try:
            out = run()
        finally:
            self._inside -= 1
        if self._inside:
            return out
        name = _TRACED_AS.get(name_of(func), name_of(func))
        for tally in self.tallies:
            if not tally.counter.operations:
                continue
            if not torch.is_inference_mode_enabled():
                tally.failures["the module takes gradients itself, which hides operations from this model"] = None
            if isinstance(func, HigherOrderOperator):
                tally.failures[f"{name}, which takes functions"] = None
            price = tally.counter.operations.get(name)
            amount = tally.add(NOBODY, name, price, out, *args, **kwargs) if price is not None else 0
            work = sum((each.cost for each in listener.operations[first:]), NOTHING).work
            if beside := FVCORE.flops(work) - amount:
                tally.unseen[name] = tally.unseen.get(name, 0) + int(beside)
        return out


class _Trace(TorchDispatchMode):
    """Operations as torch's tracer records them: in inference mode composite ones arrive whole."""

    supports_higher_order_operators = True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else the first operation imports torch's compiler

    def __init__(self, watch: Watch, listener: CountingMode) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in torch
        self._watch, self._listener = watch, listener

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if name_of(func) in _TRANSPARENT:
            with self:
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        return self._watch.dispatched(lambda: func(*args, **kwargs), func, args, kwargs, self._listener)


def _traceable(value: Any) -> bool:
    """True for what a trace gives: tensors, in tuples, lists and dictionaries."""
    if isinstance(value, dict | list | tuple):
        return all(map(_traceable, value.values() if isinstance(value, dict) else value))
    return value is None or isinstance(value, torch.Tensor | str)


@contextmanager
def _evaluating(net: nn.Module) -> Iterator[None]:
    before = [(each, each.training) for each in net.modules()]
    for each, _ in before:
        each.training = False  # the module of an exported program has no eval()
    try:
        yield
    finally:
        for each, training in before:
            each.training = training


@contextmanager
def _patched(label: str, called: Callable[[str, Any, Any], None]) -> Iterator[None]:
    """A function under a name such as ``F.relu`` or ``Tensor.add`` tells that it is called."""
    place, _, name = label.partition(".")
    holders = {"F": nn.functional, "torch": torch, "Tensor": torch.Tensor, "einops": sys.modules.get("einops")}
    holder: Any = holders[place]
    original = getattr(holder, name, None)
    if original is None:  # a package that is not in use
        yield
        return
    own = name in vars(holder)  # methods of tensors are inherited

    def telling(*args: Any, **kwargs: Any) -> Any:
        called(label, args, kwargs)
        return original(*args, **kwargs)

    setattr(holder, name, telling)
    try:
        yield
    finally:
        if own:
            setattr(holder, name, original)
        else:
            delattr(holder, name)


def by_keyword(call: Call) -> bool:
    """True where a tool that makes one input itself needs the inputs by their names."""
    return len(call.inputs) > 1 or bool(call.kwargs)


def batch(call: Call) -> int:
    """The size of the batch, by the only input; 1 where there are several."""
    return 1 if by_keyword(call) else len(call.inputs[0])
