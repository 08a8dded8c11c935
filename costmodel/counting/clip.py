"""Clips: several calls of a recurrent module, the state that a call gives carried into the next one.

The state is the part of the outputs that comes back in the place of an input: of the same name, or of the same
structure and shapes; where the first call leaves the state out, the part that the next call takes. A module that keeps
its state in itself needs nothing.
"""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from costmodel.counting.outputs import parts, tensors_in
from costmodel.counting.reasons import reason
from costmodel.counting.shapes import shape_of
from costmodel.errors import InvalidInput

Place: TypeAlias = int | str  # of an input: by position or by name
Path: TypeAlias = tuple[Any, ...]  # of a part of the outputs: keys, indices, slices
_STATE = re.compile(
    r"(^|_)(h|hx|hc|hs|c|cx|s|hiddens?|states?|carry|cell|mems?|memory|caches?|past|prev|previous|last)(\d|_|$)", re.I
)
_NO_STATE = re.compile(
    "^(use|return|output|is|with)_|mask|bias|label|target|weight|length|index|indices|(^|_)ids?(_|$)", re.I
)


@dataclass(frozen=True)
class Inputs:
    """The arguments of a call."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def having(self, values: Mapping[Place, Any]) -> "Inputs":
        """The same arguments, but for some."""
        args, kwargs = list(self.args), dict(self.kwargs)
        for place, value in values.items():
            if isinstance(place, str):
                kwargs[place] = value
            else:
                args[place : place + 1] = [value]
        return Inputs(tuple(args), kwargs)


@dataclass(frozen=True)
class Carry:
    """Parts of the outputs, by the input that they become; ``keys`` where that is an item of an input."""

    taken: Mapping[Place, Path]
    keys: Mapping[Place, Mapping[Any, Path]]

    def onto(self, inputs: Inputs, out: Any) -> Inputs:
        """The inputs of the next call."""
        values = {place: _part(out, path) for place, path in self.taken.items()}
        for place, items in self.keys.items():
            whole = inputs.kwargs[place] if isinstance(place, str) else inputs.args[place]
            values[place] = _with_items(whole, {key: _part(out, path) for key, path in items.items()})
        return inputs.having(values)


NOTHING = Carry({}, {})


@dataclass(frozen=True)
class Clip:
    """The outputs of several calls, and the parts of each that the next call got."""

    outputs: list[Any]
    carry: Carry = NOTHING


def clip(
    function: Callable[..., Any], modules: Sequence[torch.nn.Module], frames: int, inputs: Inputs,
    operations: list[Any], fatal: Callable[[Exception], bool],
) -> Clip:  # fmt: skip
    """A clip of ``frames`` calls. What a call that was tried in vain adds to ``operations`` is taken away again;
    an error that is ``fatal`` tells nothing about the state."""

    def called(inputs: Inputs) -> Any:
        out = function(*inputs.args, **inputs.kwargs)
        return list(out) if isinstance(out, Iterator) else out  # what it yields is work, too

    before = _Kept.of(modules) if frames > 1 else _Kept((), ())
    outputs = [called(inputs)]
    if frames == 1:
        return Clip(outputs)
    failed: Exception | None = None
    for carry in _carries(function, inputs, outputs[0], before, _Kept.of(modules)):
        number = len(operations)
        try:
            following = carry.onto(inputs, outputs[0])
            second = called(following)
            if not all(_alike(_part(outputs[0], path), _part(second, path)) for path in carry.taken.values()):
                raise ValueError("the state that the next call gives has another structure")
        except InvalidInput:
            raise
        except Exception as error:  # a module that is given a wrong state may raise anything: the next guess is tried
            if fatal(error):
                raise
            failed = failed or error
            del operations[number:]
            continue
        outputs.append(second)
        for _ in range(frames - 2):
            following = carry.onto(following, outputs[-1])
            outputs.append(called(following))
        return Clip(outputs, carry)
    tried = f" ({reason(failed)})" if failed else ""
    raise InvalidInput(
        "frames are for modules that give an output and a state, which the next call takes, or that keep the state in "
        f"themselves: no part of the output {shape_of(outputs[0])} is taken by the next call{tried}"
    ) from failed


@dataclass(frozen=True)
class _Kept:
    """What modules of the user hold besides parameters: tensors with the number of writes into them, and numbers."""

    tensors: tuple[tuple[torch.Tensor, int], ...]
    numbers: tuple[float, ...]

    @classmethod
    def of(cls, modules: Sequence[torch.nn.Module]) -> "_Kept":
        held = [
            value
            for module in modules
            if not type(module).__module__.startswith("torch.")  # statistics of a norm are no state
            for name, value in vars(module).items()
            if name not in ("_parameters", "_modules")
        ]
        tensors = tuple((each, 0 if each.is_inference() else each._version) for each in tensors_in(held))
        return cls(tensors, tuple(value for value in held if isinstance(value, int | float)))

    def differs(self, other: "_Kept") -> bool:
        """True if a tensor is another one, or was written into."""
        pairs = zip(self.tensors, other.tensors, strict=False)
        same = all(one is two and writes == more for (one, writes), (two, more) in pairs)
        return len(self.tensors) != len(other.tensors) or not same


def _carries(function: Any, inputs: Inputs, out: Any, before: _Kept, after: _Kept) -> Iterator[Carry]:
    """The ways in which a state may be carried, the surest first."""
    parameters = _parameters(function)
    arguments = _arguments(parameters, inputs)
    free = _left_out(parameters, arguments)
    likely = {name: place for name, place in free.items() if _STATE.search(name)}
    if named := _by_name(arguments, free, out):
        yield named
    same = _by_form(arguments, out)
    if same and (not likely or any(_STATE.search(each.name) for each in arguments if each.place in same.taken)):
        yield same
    yield from _guesses(likely, out)
    if before.differs(after):
        yield NOTHING
    yield from _guesses({name: place for name, place in free.items() if name not in likely}, out)
    if before.numbers != after.numbers:
        yield NOTHING


@dataclass(frozen=True)
class _Argument:
    """An argument that the first call is given, by the name of its parameter."""

    name: str
    place: Place
    value: Any


def _parameters(function: Any) -> dict[str, inspect.Parameter]:
    try:
        found = inspect.signature(function.forward if isinstance(function, torch.nn.Module) else function)
    except (TypeError, ValueError):  # some of C have none
        return {}
    return {name: each for name, each in found.parameters.items() if each.kind != each.VAR_KEYWORD}


def _arguments(parameters: Mapping[str, inspect.Parameter], inputs: Inputs) -> list[_Argument]:
    names = [name for name, each in parameters.items() if each.kind != each.VAR_POSITIONAL]
    names += map(str, range(len(names), len(inputs.args)))
    by_position = [
        _Argument(name, place, value) for place, (name, value) in enumerate(zip(names, inputs.args, strict=False))
    ]
    return by_position + [_Argument(name, name, value) for name, value in inputs.kwargs.items()]


def _left_out(parameters: Mapping[str, inspect.Parameter], arguments: Sequence[_Argument]) -> dict[str, Place]:
    """The parameters that have no value in the first call and could take a state, with their places."""
    given = {each.name: each for each in arguments}
    free: dict[str, Place] = {}
    for position, (name, each) in enumerate(parameters.items()):
        if name in given and given[name].value is None:
            free[name] = given[name].place
        elif name not in given and each.default in (None, each.empty) and not _NO_STATE.search(name):
            by_position = each.kind in (each.POSITIONAL_ONLY, each.VAR_POSITIONAL)
            free[name] = position if by_position else name
    return free


def _by_name(arguments: Sequence[_Argument], free: Mapping[str, Place], out: Any) -> Carry | None:
    """Outputs that have the name of an input, but for the first one; or of an item of an input that is a dictionary."""
    named = {key: part for key, part in parts(out) if isinstance(key, str) and tensors_in(part)}
    places = {each.name: each.place for each in arguments[1:]} | dict(free)
    taken: dict[Place, Path] = {place: (name,) for name, place in places.items() if name in named}
    keys: dict[Place, dict[Any, Path]] = {
        each.place: {key: (key,) for key, value in each.value.items() if key in named and _alike(value, named[key])}
        for each in arguments
        if isinstance(each.value, dict)
    }
    return Carry(taken, keys) if taken or any(keys.values()) else None


def _by_form(arguments: Sequence[_Argument], out: Any) -> Carry | None:
    """Outputs of the structure and the shapes of an input; the first input is a state only where no other one is."""
    inputs = [each for each in arguments if tensors_in(each.value) and not _NO_STATE.search(each.name)]
    taken: dict[Place, Path] = {}
    for each in [*reversed(inputs[1:]), *inputs[:1]]:
        if each is inputs[0] and (taken or len(inputs) == 1):
            break
        for path, part in reversed(list(_parts_at_any_depth(out))):
            apart = all(path[: len(other)] != other and other[: len(path)] != path for other in taken.values())
            if apart and _form(part) == _form(each.value):
                taken[each.place] = path
                break
    if not taken and len(inputs) == 1 and isinstance(inputs[0].value, tuple | list):  # all inputs in one
        items = [_Argument("", key, item) for key, item in enumerate(inputs[0].value)]
        inside = _by_form(items, out)
        return Carry({}, {inputs[0].place: inside.taken}) if inside else None
    return Carry(taken, {}) if taken else None


def _guesses(free: Mapping[str, Place], out: Any) -> Iterator[Carry]:
    """States for parameters that the first call leaves out: several parameters take an output each, or one takes one
    output, several of them, or all."""
    children = [(key, value) for key, value in parts(out) if tensors_in(value)]
    if len(children) >= len(free) > 1:
        for chosen in (children[-len(free) :], children[: len(free)]):
            yield Carry({place: (key,) for place, (key, _) in zip(free.values(), chosen, strict=True)}, {})
    named: list[Path] = [(key,) for key, _ in children if isinstance(key, str) and _STATE.search(key)]
    nested: list[Path] = [(key,) for key, value in reversed(children) if not isinstance(value, torch.Tensor)]
    whole: list[Path] = [()] if len(children) in (len(named), len(nested)) else []
    several = len(children) > 2 and isinstance(out, list | tuple)
    ends: list[Path] = [(slice(1, None),), (slice(None, -1),)] if several else []
    single: list[Path] = [(key,) for key, _ in (children[-1:] + children[:1])]
    for place in free.values():
        if isinstance(place, int) and children:  # maybe *state
            yield Carry({place + number: (key,) for number, (key, _) in enumerate(children)}, {})
        paths = [*whole, *named, *nested, (), *ends, *single]
        for number, path in enumerate(paths):
            if path not in paths[:number]:
                yield Carry({place: path}, {})


def _parts_at_any_depth(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    yield path, value
    if len(path) < 4:
        for key, part in parts(value):
            yield from _parts_at_any_depth(part, (*path, key))


def _part(out: Any, path: Path) -> Any:
    for key in path:
        named = isinstance(key, str) and not isinstance(out, Mapping)
        out = getattr(out, key) if named else out[key]
    return out


def _with_items(whole: Any, items: Mapping[Any, Any]) -> Any:
    """A container with other items at some keys."""
    if isinstance(whole, dict):
        return {**whole, **items}
    values = [items.get(key, item) for key, item in enumerate(whole)]
    return type(whole)(*values) if hasattr(whole, "_fields") else type(whole)(values)


def _form(value: Any) -> Any:
    """Structure and shapes."""
    if isinstance(value, torch.Tensor):
        return value.shape, value.is_floating_point()
    return [(key, _form(part)) for key, part in parts(value)]


def _alike(one: Any, other: Any) -> bool:
    """The same structure, and tensors of as many dimensions: a cache may grow."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.dim() == other.dim()
    if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
        return False
    pairs = list(zip(parts(one), parts(other), strict=False))
    return len(parts(one)) == len(parts(other)) and all(a == b and _alike(x, y) for (a, x), (b, y) in pairs)
