"""What any module costs: it runs once on tensors without values, and every operation of torch's dispatcher counts.

Nothing is computed and no memory is taken for activations or weights: parameters and inputs are meta tensors. Letters
in the place of sizes give closed forms: the same run on symbolic sizes, compared with numbers at several sizes.
"""

import keyword
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._pytree import tree_leaves

from costmodel.describe.errors import InvalidInput
from costmodel.describe.size import Size, as_size
from costmodel.describe.work import NOTHING, Cost, Event, Work
from costmodel.measure.call import run, shape_of
from costmodel.measure.observe import Observed
from costmodel.price.conventions import Convention, find_convention

if TYPE_CHECKING:
    import pandas as pd

    from costmodel.price.formula import Guard

_SIDE = r"(\d+|(?!x)[A-Za-wyz_][A-Za-wyz_0-9]*)"  # x stands between sides
SHAPE = re.compile(rf"{_SIDE}(x{_SIDE})*(:\w+)?|scalar(:\w+)?")
CONVOLUTIONS = (
    *(torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d),
    *(torch.nn.ConvTranspose1d, torch.nn.ConvTranspose2d, torch.nn.ConvTranspose3d),
)
MOST_ELEMENTS = 1 << 60


@dataclass(frozen=True)
class Count:
    """What one call of a module did, operation by operation.

    ``modules``: the class of every module by its path ("" is the whole), ``own_parameters`` those of it alone. With
    ``letters`` in the inputs all sizes are sympy expressions in them, true under ``condition`` (without it, always).
    ``held``: bytes of parameters, buffers and inputs (-1: not followed, of a real run). ``saved``: bytes that the
    forward pass keeps for the backward one, by module, parameters apart, what two of them keep once. ``frames``: how
    many calls are counted together. ``kernels``: the parameters that are weights of convolution modules.
    """

    name: str
    inputs: tuple[str, ...]
    operations: tuple[Observed, ...]
    modules: Mapping[str, str]
    own_parameters: Mapping[str, int]
    letters: tuple[str, ...] = ()
    condition: str = ""
    held: int = 0
    saved: Mapping[str, int] = field(default_factory=dict)
    frames: int = 1
    kernels: int = 0

    @cached_property
    def cost(self) -> Cost:
        """Events, parameters, bytes read and written, kernels started."""
        return sum((each.cost for each in self.operations), NOTHING) + Cost(Work(), self.params, kernels=self.kernels)

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
    def peak_memory(self) -> int:
        """Bytes that the call needs at once: parameters, buffers, inputs, and the results that are alive together at
        the fullest moment. Without workspaces of kernels and what an allocator rounds up."""
        return self._peak(lambda each: each.live)

    @property
    def cpu_peak_memory(self) -> int:
        """Bytes that the call needs at once on a CPU: `peak_memory` with the copies that oneDNN's convolutions make of
        contiguous maps, in blocks of 16 channels, as with AVX-512 and two threads or more; one thread makes fewer."""
        return self._peak(lambda each: each.live + each.workspace)

    def _peak(self, at: Callable[[Observed], int]) -> int:
        if self.letters or self.held < 0:
            raise InvalidInput("peak memory is followed without values and in numbers: neither with letters nor real")
        return self.held + max(map(at, self.operations), default=0)

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

    def flops(self, convention: "str | Convention" = "torch") -> Size:
        """The price of the work under a convention; its `unit` may be MACs."""
        return find_convention(convention).flops(self.work)

    @property
    def unpriced(self) -> Counter[str]:
        """Operations without a rule, with the shapes of their inputs, and how often each came: they are not counted."""
        return Counter(
            f"{each.op}({', '.join('x'.join(map(str, shape)) or 'scalar' for shape in each.inputs)})"
            for each in self.operations
            if not each.priced
        )

    def formula(self, convention: "str | Convention" = "torch") -> dict[str, str]:
        """Closed forms in Python syntax, in the letters of the inputs: of FLOPs (or the unit of the convention),
        multiply-accumulates, parameters, bytes read and written."""
        from costmodel.price.formula import tidy

        if not self.letters:
            raise InvalidInput("no letters in the inputs: a formula is in those, such as 1x3xHxW")
        price = find_convention(convention)
        sizes = {f"{price.unit}s": self.flops(price), "MACs": self.macs, "parameters": self.params}
        sizes |= {"bytes read": self.cost.reads, "bytes written": self.cost.writes}
        return {name: tidy(size) for name, size in sizes.items()}

    def of(self, path: str) -> tuple[Observed, ...]:
        """The operations of a module and of those in it; all for ""."""
        inside = f"{path}."
        return tuple(o for o in self.operations if not path or o.path == path or o.path.startswith(inside))

    def cut(self, depth: int | None = None) -> dict[str, tuple[Observed, ...]]:
        """Operations by the path of the module whose code called them, at most ``depth`` names deep, in order."""
        found: dict[str, list[Observed]] = {}
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
                "priced": each.priced,
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
            "priced",
        ]
        frame = pd.DataFrame(rows, columns=[*columns, "backward"])
        frame.attrs.update(convention=price.name, unit=price.unit, inputs=self.inputs)
        return frame


def count(
    module: Any, /, *inputs: Any, real: bool = False, backward: bool = False, frames: int = 1, **kwargs: Any
) -> Count:
    """What one call ``module(*inputs, **kwargs)`` costs, counted operation by operation; nothing is computed.

    ``inputs`` are tensors (values do not matter), or shapes: ``"1x3x224x224"``, ``"1x16:int64"``, with letters for
    closed forms: ``"1x3xHxW"``. ``real`` runs on real tensors, for modules whose path depends on values. ``backward``
    adds the backward pass from the sum of all outputs. ``frames`` calls a recurrent module so often, each call after
    the first with the state that the last one left: the last of its outputs, given after the inputs (all outputs of a
    cell such as `torch.nn.LSTMCell`). `InvalidInput` where the module refuses its inputs or needs values.

    >>> import costmodel, torch
    >>> counted = costmodel.count(torch.nn.Linear(8, 4), "2x8")
    >>> counted.params, counted.macs, counted.flops("torch"), counted.flops("paper")
    (36, 64, 128, 136)
    >>> costmodel.count(torch.nn.Linear(8, 4), "Nx8").formula()["FLOPs"]
    '64*N'
    """
    net = _callable(module)
    how: dict[str, Any] = {"backward": backward, "frames": as_size("frames", frames)}
    letters = [side for each in inputs if isinstance(each, str) for side in _letters(each)]
    if letters:
        if real:
            raise InvalidInput("letters have no values: give sizes for --real")
        return _symbolic(net, inputs, tuple(dict.fromkeys(letters)), kwargs, how)
    given = tuple(_tensor(each) if isinstance(each, str) else each for each in inputs)
    shapes = tuple(each if isinstance(each, str) else shape_of(each) for each in inputs)
    if not tree_leaves((given, kwargs)):
        raise InvalidInput("no inputs: give tensors, or shapes such as 1x3x224x224")
    names = dict(net.named_modules(remove_duplicate=False)) if isinstance(net, torch.nn.Module) else {}
    if real and isinstance(net, torch.nn.Module) and any(each.is_meta for each in [*net.parameters(), *net.buffers()]):
        raise InvalidInput(f"real: {type(net).__name__} is on the meta device, without values: make it on a device")
    paths = {id(each): path for path, each in reversed(names.items())}  # of a shared module, the first one
    saved: dict[str, int] = {}
    operations = run(net, given, kwargs, paths, real=real, saved=saved, **how)
    state = [*net.parameters(), *net.buffers()] if isinstance(net, torch.nn.Module) else []
    held = _stored([*state, *(each for each in tree_leaves((given, kwargs)) if isinstance(each, torch.Tensor))])
    held = -1 if real else held
    return replace(_counted(net, shapes, operations, names), held=held, saved=saved, frames=frames)


def _stored(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes of tensors, those that share a storage once."""
    storages = {id(storage): storage for storage in (tensor.untyped_storage() for tensor in tensors)}
    return sum(storage.nbytes() for storage in storages.values())


def _counted(net: Any, shapes: tuple[str, ...], operations: Sequence[Observed], names: Mapping[str, Any]) -> Count:
    seen: set[int] = set()
    own: dict[str, int] = {}
    for path, each in names.items():
        fresh = [p for p in each.parameters(recurse=False) if id(p) not in seen]
        seen |= {id(p) for p in fresh}
        own[path] = sum(p.numel() for p in fresh)
    convolutions = [each.weight for each in names.values() if isinstance(each, CONVOLUTIONS)]
    kernels = sum({id(weight): weight.numel() for weight in convolutions}.values())
    classes = {path: type(each).__name__ for path, each in names.items()}
    name = type(net).__name__ if isinstance(net, torch.nn.Module) else getattr(net, "__name__", "function")
    return Count(name, shapes, tuple(operations), classes, own, kernels=kernels)


def _callable(module: Any) -> Any:
    """What runs: a compiled module's original, an exported program's module."""
    if isinstance(module, torch.export.ExportedProgram):
        return module.module()
    original = getattr(module, "_orig_mod", module)
    if isinstance(original, torch.nn.DataParallel):
        original = original.module
    if isinstance(original, torch.nn.Module):
        if any(isinstance(p, torch.nn.parameter.UninitializedParameter) for p in original.parameters()):
            raise InvalidInput(
                f"{type(original).__name__} has lazy layers, whose sizes the first real call decides: run it once"
            )
        if isinstance(original, torch.jit.ScriptModule):
            raise InvalidInput("a scripted module hides its operations: give the module that it was made from")
    if not callable(original):
        raise InvalidInput(f"{type(module).__name__} {module!r:.60} cannot be called: give a module or a function")
    return original


def _tensor(text: str) -> torch.Tensor:
    """``"1x3x224x224"`` or ``"1x16:int64"`` as a meta tensor."""
    shape, _, kind = text.partition(":")
    if not SHAPE.fullmatch(text):
        raise InvalidInput(f"input {text!r}: expected a shape, such as 1x3x224x224 or 1x16:int64")
    dtype = getattr(torch, kind or "float32", None)
    if not isinstance(dtype, torch.dtype):
        raise InvalidInput(f"input {text!r}: {kind!r} is no type of torch, such as float32, bfloat16, int64 or bool")
    sides = [] if shape == "scalar" else shape.split("x")
    if math.prod(map(int, sides)) > MOST_ELEMENTS:
        raise InvalidInput(f"input {text!r}: more elements than a tensor can have")
    return torch.empty([int(side) for side in sides], dtype=dtype, device="meta")


def _letters(text: str) -> list[str]:
    """The sides of a shape that are no numbers."""
    if not SHAPE.fullmatch(text):
        return []  # told by whoever reads it
    sides = text.partition(":")[0].split("x")
    if words := [side for side in sides if keyword.iskeyword(side)]:
        raise InvalidInput(
            f"input {text!r}: expected a shape, such as 1x3xHxW; {words[0]!r} means something else in Python"
        )
    return [side for side in sides if not side.isdecimal() and side != "scalar"]


# Sizes that stand for letters while torch traces: some modules need sides that can be halved several times.
STEP = 64
PROBES = (1, 2, 3, 7, 30, 4099)  # where a formula is tried besides
LARGEST = 4099  # up to where it is asked whether guards hold
MOST_TURNS = 12
MOST_NAMED = 5
_UNTRACEABLE = re.compile("SymInt|concrete integers")


def _symbolic(
    net: Any, inputs: tuple[Any, ...], letters: tuple[str, ...], kwargs: Mapping[str, Any], how: Mapping[str, Any]
) -> Count:
    """Run on symbolic sizes, and compare with runs on numbers."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    from costmodel.price.formula import Guard, lettered

    hints = _usual(letters)
    sizes = ShapeEnv(duck_shape=False)
    mode = FakeTensorMode(shape_env=sizes, allow_non_fake_inputs=True)
    named: dict[str, str] = {}
    given = tuple(_symbols(mode, each, hints, named, place) for place, each in enumerate(inputs))
    names = dict(net.named_modules(remove_duplicate=False)) if isinstance(net, torch.nn.Module) else {}
    paths = {id(each): path for path, each in reversed(names.items())}
    try:
        operations = run(net, given, kwargs, paths, real=False, mode=mode, **how)
    except InvalidInput as error:
        if _UNTRACEABLE.search(str(error.__cause__)):
            reason = f"torch cannot trace {type(net).__name__} with letters for sizes"
            raise InvalidInput(f"no closed form: {reason}; give numbers") from error
        told = re.sub(r"\bs\d+\b", lambda found: named.get(found[0], found[0]), str(error))
        traced = ", ".join(f"{name} = {size}" for name, size in hints.items())
        raise InvalidInput(f"{told} (traced at {traced})") from error

    fixed = {str(symbol) for symbol, found in sizes.replacements.items() if found.is_number}
    if repeats := [name for symbol, name in named.items() if symbol in fixed]:
        raise InvalidInput(
            f"no closed form in {', '.join(dict.fromkeys(repeats))}: it decides what runs, such as how often a loop "
            "over time is repeated; give a number for it"
        )

    def plain(size: Any) -> Any:
        return lettered(size.node.expr if isinstance(size, torch.SymInt) else int(size), named)

    def shape(sizes: tuple[Any, ...]) -> Any:
        return tuple(plain(size) for size in sizes)

    found = [
        replace(
            each,
            cost=Cost(
                Work({event: plain(size) for event, size in each.cost.work.items()}),
                reads=plain(each.cost.reads),
                writes=plain(each.cost.writes),
                launches=each.cost.launches,
            ),
            inputs=tuple(map(shape, each.inputs)),
            output=shape(each.output),
        )
        for each in operations
    ]
    shapes = tuple(each if isinstance(each, str) else shape_of(each) for each in inputs)
    counted = replace(_counted(net, shapes, found, names), letters=letters)
    counted = replace(counted, frames=how["frames"])
    granted = {str(each.expr): each.expr for each in sizes.guards}
    guards = [Guard(expr, named) for expr in granted.values() if expr.free_symbols]
    return replace(counted, condition=_condition(counted, net, inputs, kwargs, how, guards))


def _usual(letters: Sequence[str]) -> dict[str, int]:
    """Sizes for the letters to trace with."""
    return {name: STEP * (3 + place) for place, name in enumerate(letters)}


def _symbols(mode: Any, given: Any, hints: Mapping[str, int], named: dict[str, str], place: int) -> Any:
    """A shape with letters as a tensor of symbolic sizes; ``named`` learns which of torch's symbols is which letter."""
    from torch._dynamo.source import ConstantSource
    from torch.fx.experimental.symbolic_shapes import DimDynamic, StatelessSymbolicContext

    if not isinstance(given, str):
        return given
    sides = given.partition(":")[0].split("x")
    tensor = _tensor(_at(given, hints))
    if not _letters(given):
        return tensor
    dynamic = [DimDynamic.DYNAMIC if side in hints else DimDynamic.STATIC for side in sides]
    context: Any = StatelessSymbolicContext(dynamic_sizes=dynamic)
    made = mode.from_tensor(tensor, symbolic_context=context, source=ConstantSource(f"input{place}"))
    for side, size in zip(sides, made.shape, strict=True):
        if side in hints:
            named[size.node.expr.name] = side
    return made


def _at(text: str, sizes: Mapping[str, int]) -> str:
    """A shape with numbers for letters."""
    shape, colon, kind = text.partition(":")
    return "x".join(str(sizes.get(side, side)) for side in shape.split("x")) + colon + kind


def _condition(
    counted: Count, net: Any, inputs: Any, kwargs: Mapping[str, Any], how: Mapping[str, Any], guards: "Sequence[Guard]"
) -> str:
    """Compare with integer counts at several sizes, odd, small and large ones, and on both sides of what torch took
    for granted; what has to hold for the sizes, or nothing."""
    from costmodel.price.formula import at

    letters = counted.letters

    def diagonal(first: int, step: int) -> dict[str, int]:
        return {name: first + step * place for place, name in enumerate(letters)}

    def agrees(sizes: Mapping[str, int]) -> bool:
        given = [_at(each, sizes) if isinstance(each, str) else each for each in inputs]
        try:
            exact = count(net, *given, **how, **kwargs)
        except InvalidInput:  # the module refuses such sizes
            return False
        return all(at(counted.work[event], sizes) == exact.work[event] for event in Event) and (
            at(counted.cost.reads, sizes),
            at(counted.cost.writes, sizes),
        ) == (exact.cost.reads, exact.cost.writes)

    usual = [diagonal(STEP * factor, STEP) for factor in (2, 3, 5)]
    others = [diagonal(2 * STEP + 13, 6), *(diagonal(size, 0) for size in PROBES), *_turns(letters, guards)]
    bad = [sizes for sizes in [*usual, *others] if not agrees(sizes)]
    if not bad:
        return ""
    good = [sizes for sizes in [*usual, *others] if sizes not in bad]
    needed = [guard for guard in guards if all(map(guard, good)) and not all(map(guard, bad))]
    single = all(len(guard.letters) == 1 for guard in needed)
    if single and good and all(any(not guard(sizes) for guard in needed) for sizes in bad):
        words = [_where(name, letters, needed) for name in letters if any(name in guard.letters for guard in needed)]
        if all(words):
            return "sizes with " + " and ".join(words)
    if wrong := [sizes for sizes in usual if sizes in bad]:
        told = ", ".join(f"{name} = {size}" for name, size in wrong[0].items())
        raise InvalidInput(f"no closed form: one traced at other sizes is wrong at {told}; give numbers")
    if others[0] in bad:
        return f"{' and '.join(letters)} multiples of {STEP}, as far as tried"
    told = "; ".join(", ".join(f"{name} = {size}" for name, size in sizes.items()) for sizes in bad[:MOST_NAMED])
    return f"some sizes alone, which are not known: it is wrong at {told}{'; ...' if bad[MOST_NAMED:] else ''}"


def _where(name: str, letters: Sequence[str], guards: "Sequence[Guard]") -> str:
    from costmodel.price.formula import where

    usual = _usual(letters)
    return where(name, [all(guard({**usual, name: size}) for guard in guards) for size in range(1, LARGEST + 1)])


def _turns(letters: Sequence[str], guards: "Sequence[Guard]") -> list[dict[str, int]]:
    """Sizes on both sides of where a guard begins or ceases to hold; of guards with few such places first."""
    usual, found = _usual(letters), []
    for name in letters:
        for guard in guards:
            if name in guard.letters:
                holds = [guard({**usual, name: size}) for size in range(1, LARGEST + 1)]
                turns = [size for size in range(1, LARGEST) if holds[size] != holds[size - 1]]
                found += [(len(turns), name, side) for turn in turns[:2] for side in (turn, turn + 1)]
    places = dict.fromkeys((name, size) for _, name, size in sorted(found))
    return [{**usual, name: size} for name, size in list(places)[:MOST_TURNS]]
