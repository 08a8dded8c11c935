"""What any module costs: it runs once on tensors without values, and every operation of torch's dispatcher counts.

Nothing is computed and no memory is taken for activations or weights: parameters and inputs are meta tensors. Letters
in the place of sizes give closed forms, found from such runs at several sizes.
"""

import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from html import escape
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.modules.lazy import LazyModuleMixin
from torch.utils._pytree import tree_leaves, tree_map_only

from costmodel.counting import baseline
from costmodel.counting.call import Call, ReadsValues
from costmodel.counting.memory import notes as memory_notes
from costmodel.counting.modules import name_of, owner, packed_weights, refuse_unknown
from costmodel.counting.observe import in_short
from costmodel.counting.optimizers import NO_MEMORY, Memory
from costmodel.counting.optimizers import memory as optimizer_memory
from costmodel.counting.outputs import tensors_in
from costmodel.counting.shadow import Shadow, storage_of
from costmodel.counting.shapes import (
    Shape,
    given,
    inputs_in_words,
    letters_of,
    shapes_in,
    with_shapes,
    with_sizes,
    without_letters,
)
from costmodel.counting.traffic import stored
from costmodel.errors import InvalidInput, among, in_words
from costmodel.price.conventions import Convention, find_convention
from costmodel.price.domain import Domain
from costmodel.work.cost import Cost, Operation
from costmodel.work.events import Event, Work
from costmodel.work.size import Size, as_size

if TYPE_CHECKING:
    import pandas as pd

MOST_BYTES, MOST_MACS = 2 << 30, 2 * 10**10  # up to where a module that reads values runs with values by itself
CONVOLUTIONS = (
    *(torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d),
    *(torch.nn.ConvTranspose1d, torch.nn.ConvTranspose2d, torch.nn.ConvTranspose3d),
)
ATTENTION = ("full", "masked")
KEYWORDS = ("real", "backward", "frames", "optimizer")  # of `count`


@dataclass(frozen=True)
class Count:
    """The cost of one call of a module, operation by operation.

    ``modules``: the class of every module by its path ("" is the whole), ``own_parameters`` those of it alone. With
    ``letters`` in the inputs all sizes are sympy expressions in them, true under ``condition`` (without it, always).
    ``peaks``: expressions of which the largest is the peak of memory. ``held``: bytes of parameters, buffers and inputs
    (-1: their form in letters is not found). ``notes``: what was assumed. ``saved``: bytes that the
    forward pass keeps for the backward one, by module, parameters apart, what two of them keep once. ``frames``: how
    many calls are counted together. ``kernels``: the parameters that are weights of convolution modules.
    ``call``: what was counted, for a second look.
    ``optimizer``: the one whose states and step are part of the memory, ``optimizer_memory`` their bytes.
    """

    name: str
    inputs: tuple[str, ...]
    operations: tuple[Operation, ...]
    modules: Mapping[str, str]
    own_parameters: Mapping[str, int]
    letters: tuple[str, ...] = ()
    domain: Domain = field(default_factory=Domain)
    held: int = 0
    saved: Mapping[str, int] = field(default_factory=dict)
    frames: int = 1
    kernels: int = 0
    notes: tuple[str, ...] = ()
    peaks: tuple[Size, ...] = ()
    call: "Call | None" = field(default=None, repr=False, compare=False)
    optimizer: str = ""
    optimizer_memory: Memory = NO_MEMORY

    @property
    def condition(self) -> str:
        """The sizes for which closed forms hold, in words; "" for all."""
        return str(self.domain)

    def __repr__(self) -> str:
        if self.letters:
            about, more = f"closed forms in {', '.join(self.letters)}", "formula() has them"
        else:
            about, more = f"{in_short(self.macs)} multiply-accumulates", "frame() lists the operations"
        inputs = shorten(", ".join(self.inputs), 200, placeholder=" ...")
        number = f"{len(self.operations)} operation{'s' if len(self.operations) != 1 else ''}"
        return f"<Count of {self.name:.200}: {inputs}, {in_short(self.params)} parameters, {about}, {number}; .{more}>"

    def _repr_html_(self) -> str:
        """For notebooks: the operations, cut in the middle, or the closed forms."""
        if self.letters:
            rows = [f"<tr><td>{name}</td><td>{escape(form)}</td></tr>" for name, form in self.formula().items()]
            return f"<table>{''.join(rows)}</table>"
        return str(self.frame().to_html(max_rows=60))

    @cached_property
    def cost(self) -> Cost:
        """Events, parameters, bytes read and written, kernels started."""
        return sum((each.cost for each in self.operations), Cost(Work(), self.params, conv_weights=self.kernels))

    @property
    def work(self) -> Work:
        return self.cost.work

    @property
    def params(self) -> int:
        """Parameters, shared ones once."""
        return sum(self.own_parameters.values())

    @property
    def macs(self) -> Size:
        """Multiply-accumulates."""
        return self.work[Event.MAC]

    @property
    def peak_memory(self) -> Size:
        """Bytes that the call needs at once: parameters, buffers, inputs, and the results that are alive together at
        the fullest moment; with an optimizer its states, and its step after the backward pass. Without workspaces of
        kernels and what an allocator rounds up."""
        if self.letters and self.held != -1:
            from costmodel.price.symbols import largest

            return largest(self.peaks)
        return self._peak(lambda each: each.live)

    @property
    def cpu_peak_memory(self) -> Size:
        """Bytes that the call needs at once on a CPU: `peak_memory` with what kernels need besides their results, such
        as the copies of convolutions, with AVX-512 and two threads or more; `memory_notes` tells what is not known."""
        if self.letters or any(each.workspace < 0 for each in self.operations):
            raise InvalidInput("what kernels on a CPU need besides results has no closed form: count with numbers")
        return self._peak(lambda each: each.live + each.workspace)

    def _peak(self, at: Callable[[Operation], Size]) -> Size:
        if self.held == -1:
            raise InvalidInput("peak memory has no closed form in these letters: give numbers")
        step = self.optimizer_memory.step + self.optimizer_memory.gradients
        return self.held + self.optimizer_memory.states + max([step, *map(at, self.operations)])

    @property
    def memory_notes(self) -> tuple[str, ...]:
        """Sentences on what `cpu_peak_memory` does not know of this call."""
        return tuple(memory_notes(self.operations, self.modules.values()))

    @property
    def forward(self) -> "Count":
        """The forward pass alone."""
        return self._only(backward=False)

    @property
    def backward(self) -> "Count":
        """The backward pass alone; without operations where none was asked for."""
        return self._only(backward=True)

    def _only(self, backward: bool) -> "Count":
        return replace(self, operations=tuple(each for each in self.operations if each.backward is backward))

    @property
    def masked(self) -> "Count":
        """The same count, but of fused attention only the pairs of a query and a key that a causal mask, a window or a
        mask with known values keeps."""

        def kept(each: Operation) -> Operation:
            return each if each.masked is None else replace(each, cost=replace(each.cost, work=each.masked))

        return replace(self, operations=tuple(map(kept, self.operations)))

    def flops(self, convention: "str | Convention" = "torch", attention: str = "full") -> Size:
        """The price of the work under a convention; its `unit` may be MACs. ``attention``: "full" prices every pair of
        a query and a key, as `FlopCounterMode` does, "masked" those that masks keep. With letters an expression of
        sympy: ``flops().subs({"H": 256})``, or ``at(H=256).flops()``."""
        return find_convention(convention).flops(self.seen(attention).work)

    def seen(self, attention: str) -> "Count":
        """This count with "full" attention, or `masked`; `InvalidInput` for other words."""
        if attention not in ATTENTION:
            raise InvalidInput(f"unknown attention {attention!r}: {among(attention, ATTENTION)}")
        return self.masked if attention == "masked" else self

    @property
    def uncounted(self) -> Counter[str]:
        """Operations without a rule, with the shapes of their inputs, and how often each came: they are not counted."""
        return Counter(
            f"{each.op}({', '.join('x'.join(map(str, shape)) or 'scalar' for shape in each.inputs)})"
            for each in self.operations
            if not each.counted
        )

    def formula(self, convention: "str | Convention" = "torch", latex: bool = False) -> dict[str, str]:
        """Closed forms in Python syntax, or as LaTeX in lines that fit a column, in the letters of the inputs: of FLOPs
        (or the unit of the convention), multiply-accumulates, parameters, bytes read and written, and peak memory."""
        from costmodel.price.symbols import latex_in_column, simplified_text

        if not self.letters:
            raise InvalidInput("no letters in the inputs: a formula is in those, such as 1x3xHxW")
        price = find_convention(convention)
        sizes = {f"{price.unit}s": self.flops(price), "MACs": self.macs, "parameters": self.params}
        sizes |= {"bytes read": self.cost.reads, "bytes written": self.cost.writes}
        sizes |= {"peak memory": self.peak_memory} if self.held != -1 else {}
        return {name: latex_in_column(size) if latex else simplified_text(size) for name, size in sizes.items()}

    def at(self, **sizes: int) -> "Count":
        """The count with numbers for letters, such as ``at(H=256, W=512)``; letters without a number stay.
        `InvalidInput` where the closed forms do not hold."""
        from costmodel.price.symbols import at

        if unknown := [name for name in sizes if name not in self.letters]:
            raise InvalidInput(f"no letter {unknown[0]!r} in the inputs: {', '.join(self.letters) or 'none'}")
        numbers = {name: as_size(name, size) for name, size in sizes.items()}
        if not self.domain.holds(numbers):
            told = ", ".join(f"{name} = {size}" for name, size in numbers.items())
            raise InvalidInput(f"the closed forms hold for {self.condition}, not at {told}: count with these sizes")
        known: dict[Size, Size] = {}

        def value(size: Any) -> Any:
            if isinstance(size, tuple):
                return tuple(map(value, size))
            if size not in known:
                known[size] = at(size, numbers)
            return known[size]

        def evaluated(each: Operation) -> Operation:
            work = Work({event: value(number) for event, number in each.cost.work.items()})
            cost = replace(each.cost, work=work, reads=value(each.cost.reads), writes=value(each.cost.writes))
            rest: Any = {name: value(getattr(each, name)) for name in ("inputs", "output", "live")}
            if each.masked is not None:
                rest["masked"] = Work({event: value(number) for event, number in each.masked.items()})
            return replace(each, cost=cost, **rest)

        letters = tuple(name for name in self.letters if name not in numbers)
        return replace(
            self,
            inputs=tuple(with_sizes(each, numbers) for each in self.inputs),
            operations=tuple(map(evaluated, self.operations)),
            letters=letters,
            domain=self.domain if letters else Domain(),
            held=value(self.held),
            saved={path: value(size) for path, size in self.saved.items()},
            peaks=value(self.peaks) if letters else (),
        )

    def save(
        self, path: "str | os.PathLike[str]", convention: "str | Convention" = "torch", attention: str = "full"
    ) -> None:
        """Keep this count in a file of JSON, for `compare`: the whole and every module. `InvalidInput` with letters."""
        baseline.save(baseline.record(self, convention, attention), path)

    def compare(
        self, path: "str | os.PathLike[str]", convention: "str | Convention" = "torch", attention: str = "full"
    ) -> "baseline.Comparison":
        """This count beside one that `save` has kept: what rose and what fell, and in which module."""
        return baseline.compare(baseline.read(path), baseline.record(self, convention, attention))

    def of(self, path: str) -> tuple[Operation, ...]:
        """The operations of a module and of those in it; all for ""."""
        inside = f"{path}."
        return tuple(o for o in self.operations if not path or o.path == path or o.path.startswith(inside))

    def cut(self, depth: int | None = None) -> dict[str, tuple[Operation, ...]]:
        """Operations by the path of the module whose code called them, at most ``depth`` names deep, in order."""
        found: dict[str, list[Operation]] = {}
        for each in self.operations:
            path = each.path if depth is None else ".".join(each.path.split(".")[:depth]) if each.path else ""
            found.setdefault(path if depth != 0 else "", []).append(each)
        return {path: tuple(operations) for path, operations in found.items()}

    def frame(self, convention: "str | Convention" = "torch") -> "pd.DataFrame":
        """A pandas frame, a row an operation, in order: module, operation, shapes, FLOPs, MACs, bytes."""
        import pandas as pd

        price = find_convention(convention)
        rows = [
            {
                "module": each.path,
                "class": self.modules.get(each.path, ""),
                "operation": each.op,
                "inputs": each.inputs,
                "output": each.output,
                "flops": price.flops(each.cost.work),
                "macs": each.cost.work[Event.MAC],
                "reads": each.cost.reads,
                "writes": each.cost.writes,
                "live": each.live,
                "counted": each.counted,
                "backward": each.backward,
            }
            for each in self.operations
        ]
        columns = [
            "module",
            "class",
            "operation",
            "inputs",
            "output",
            "flops",
            "macs",
            "reads",
            "writes",
            "live",
            "counted",
        ]
        frame = pd.DataFrame(rows, columns=[*columns, "backward"])
        frame.attrs.update(convention=price.name, unit=price.unit, inputs=self.inputs)
        return frame


def count(
    module: Any,
    /,
    *inputs: Any,
    real: bool = False,
    backward: bool = False,
    frames: int = 1,
    optimizer: str | None = None,
    **kwargs: Any,
) -> Count:
    """What one call ``module(*inputs, **kwargs)`` costs, counted operation by operation; nothing is computed.

    ``module``: also a method of a module, a `functools.partial`, a function. ``inputs`` are tensors (values do not
    matter), or shapes: ``"1x3x224x224"``, ``"1x16:int64"``, with letters for closed forms: ``"1x3xHxW"``; also inside
    tuples, lists and dictionaries, and by name. ``real`` runs on real tensors, for modules whose path depends on
    values. ``backward`` adds the backward pass from the sum of all outputs. ``frames`` calls a recurrent module
    ``frames`` times and passes the state on: the outputs that come back in the place of an input. ``optimizer``,
    the name of one of torch's such as ``"adam"``, adds its memory to that of a training step. `InvalidInput` where the
    module refuses its inputs or needs values.

    >>> import costmodel, torch
    >>> counted = costmodel.count(torch.nn.Linear(8, 4), "2x8")
    >>> counted.params, counted.macs, counted.flops("torch"), counted.flops("paper")
    (36, 64, 128, 136)
    >>> costmodel.count(torch.nn.Linear(8, 4), "Nx8").formula()["FLOPs"]
    '64*N'
    """
    while isinstance(module, partial):
        module, inputs, kwargs = module.func, (*module.args, *inputs), {**module.keywords, **kwargs}
    inputs, kwargs = tuple(map(given, inputs)), with_shapes(kwargs)
    if any(each.is_nested and each.layout is torch.strided for each in tensors_in((inputs, kwargs))):
        raise InvalidInput("nested tensors of layout strided have no sizes: make them with layout=torch.jagged")
    function, net = _callable(module, inputs, kwargs)
    refuse_unknown(function, kwargs, KEYWORDS)
    words = inputs_in_words(inputs, kwargs)
    call = Call(net, inputs, kwargs, real, backward, as_size("frames", frames), function=function, words=words)
    letters = tuple(dict.fromkeys(side for each in shapes_in(inputs, kwargs) for side in letters_of(each)))
    if optimizer and not backward:
        raise InvalidInput("an optimizer takes its step after a backward pass: backward=True")
    if optimizer and letters:
        raise InvalidInput("the memory of an optimizer is counted in numbers: give sizes instead of letters")
    if letters:
        if real:
            raise InvalidInput("letters have no values: give sizes with real=True")
        from costmodel.counting.symbolic import closed_forms

        def exact(sizes: Mapping[str, int]) -> Count:
            numbers, named = tree_map_only(Shape, lambda text: Shape(with_sizes(text, sizes)), (inputs, dict(kwargs)))
            told = inputs_in_words(numbers, named)
            sized = replace(call, inputs=numbers, kwargs=named, words=told, workspaces=False)
            return _in_numbers(sized, with_values=False)

        try:
            return replace(closed_forms(letters, exact), inputs=words)
        except ReadsValues as error:
            raise InvalidInput(
                f"{error.reason}, and data may decide what runs, so {' and '.join(letters)} give no closed form: give "
                "whole numbers for them; real=True runs on the values of your inputs"
            ) from error
    return _in_numbers(call, optimizer)


def _in_numbers(call: Call, optimizer: str | None = None, with_values: bool = True) -> Count:
    """The count of a call without letters. ``with_values``: where values are read, run with some if that is cheap."""
    words, net, function = call.words, call.net, call.function
    call = replace(call, inputs=without_letters(call.inputs), kwargs=without_letters(call.kwargs))
    tensors = [each for each in tree_leaves((call.inputs, call.kwargs)) if isinstance(each, torch.Tensor)]
    if not tree_leaves((call.inputs, call.kwargs)):
        raise InvalidInput("no inputs: give tensors, or shapes such as 1x3x224x224")
    if call.real and any(each.is_meta or isinstance(each, Shadow) for each in call.state.values()):
        raise InvalidInput(f"real=True needs weights, but {type(net).__name__} is on the meta device")
    held = _stored([*call.state.values(), *call.packed, *tensors])
    notes: list[str] = []
    try:
        operations, saved = call.run()
    except ReadsValues as error:
        if not (with_values and _cheap(error.before, held)):
            raise
        call = replace(call, real=True)
        operations, saved = call.run()
        notes.append(f"{error.reason}: it ran with values, random ones where only a shape is given")
    if not call.real and any(_ones(each) for each in tree_leaves((call.inputs, call.kwargs))):
        notes.append("integers and booleans that are given as shapes are ones")
    if not call.real and any(each.op.startswith("aten.linalg_matrix_exp") for each in operations):
        notes.append("linalg_matrix_exp of matrices without values has five products each: real=True reads their norms")
    return Count(
        name=name_of(function),
        inputs=words,
        operations=tuple(operations),
        modules={path: type(each).__name__ for path, each in call.modules.items()},
        own_parameters=_own_parameters(call.modules),
        held=held,
        saved=saved,
        frames=call.frames,
        notes=tuple(notes),
        kernels=_kernels(call.modules.values()),
        call=call,
        optimizer=optimizer or "",
        optimizer_memory=optimizer_memory(optimizer, call.state.values()) if optimizer else NO_MEMORY,
    )


def _cheap(before: Sequence[Operation], held: int) -> bool:
    """True where a run with values takes seconds: by the memory it needs, and the work until a value was read."""
    work = sum(each.cost.work[Event.MAC] for each in before)
    return held <= MOST_BYTES and max((each.live for each in before), default=0) <= MOST_BYTES and work <= MOST_MACS


def _ones(given: Any) -> bool:
    meta = isinstance(given, torch.Tensor) and given.is_meta
    return meta and not (given.dtype.is_floating_point or given.dtype.is_complex)


def _stored(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes of tensors, those that share a storage once."""
    storages: dict[int, Any] = {}
    apart: int = 0  # sparse ones
    for tensor in tensors:
        storage = storage_of(tensor)
        if storage is None:
            apart += stored([tensor])
        else:
            storages[id(storage)] = storage
    return apart + sum(int(storage.nbytes()) for storage in storages.values())


def _kernels(modules: Iterable[torch.nn.Module]) -> int:
    """Parameters that are weights of convolutions, shared ones once. A parametrized weight is not computed."""
    sizes: dict[int, int] = {}
    for each in modules:
        if isinstance(each, CONVOLUTIONS):
            weight = each._parameters.get("weight")
            known = each.in_channels // each.groups * each.out_channels * math.prod(each.kernel_size)
            sizes[id(each if weight is None else weight)] = known if weight is None else weight.numel()
    return sum(sizes.values())


def _own_parameters(modules: Mapping[str, torch.nn.Module]) -> dict[str, int]:
    """Parameters by the path of the module that holds them; a shared one counts at its first path."""
    seen: set[int] = set()
    quantised: set[int] = set()
    own: dict[str, int] = {}
    for path, module in modules.items():
        fresh = [p for p in module.parameters(recurse=False) if id(p) not in seen]
        seen |= {id(p) for p in fresh}
        own[path] = sum(p.numel() for p in fresh)
        if id(module) not in quantised and (packed := packed_weights(module)):
            quantised.add(id(module))
            own[path] += sum(weight.numel() for weight in packed)
    return own


def _callable(module: Any, inputs: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
    """What is called, and the module that runs in it: the original of a compiled or a distributed module, the module of
    an exported program or of a method, the modules that an object holds or that a function is given."""
    function = module.module() if isinstance(module, torch.export.ExportedProgram) else module
    while (original := _wrapped(function)) is not None:
        function = original
    if not callable(function):
        raise InvalidInput(f"count takes a module or a function, not {in_words(module)}")
    net = _owner(function, inputs, kwargs)
    if net is None:
        return function, function
    for path, part in net.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            told = f" ({path})" if path else ""
            raise InvalidInput(f"a scripted module{told} hides its operations: give the module that it was made from")
        if type(part).__name__ == "FullyShardedDataParallel":
            raise InvalidInput("FullyShardedDataParallel flattens the weights of a module: count the module before")
        if isinstance(part, LazyModuleMixin) and part.has_uninitialized_params():  # type: ignore[misc]  # a protocol's
            raise InvalidInput(
                f"{type(net).__name__} has lazy layers, whose sizes the first real call decides: run it once"
            )
    return function, net


def _wrapped(module: Any) -> Any:
    """The module in a compiled or a distributed one."""
    distributed = isinstance(module, torch.nn.DataParallel | torch.nn.parallel.DistributedDataParallel)
    return module.module if distributed else getattr(module, "_orig_mod", None)


def _owner(function: Any, inputs: tuple[Any, ...], kwargs: Mapping[str, Any]) -> torch.nn.Module | None:
    """The module that runs, or all that could: of the object of a method, and of the arguments."""
    if (net := owner(function)) is not None:
        return net
    held = getattr(getattr(function, "__self__", function), "__dict__", {})
    named = {name: each for name, each in [*held.items(), *kwargs.items()] if isinstance(each, torch.nn.Module)}
    named |= {f"input{place}": each for place, each in enumerate(inputs) if isinstance(each, torch.nn.Module)}
    return torch.nn.ModuleDict(named) if len(named) > 1 else next(iter(named.values()), None)
