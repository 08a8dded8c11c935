"""Closed forms of what a module costs: one run on symbolic sizes, compared with counts in numbers at several sizes."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._pytree import tree_map_only

from costmodel.counting.call import Call
from costmodel.counting.shapes import Shape, letters_of, meta_tensor, with_sizes
from costmodel.errors import InvalidInput
from costmodel.work.cost import NOTHING, Cost, Operation
from costmodel.work.events import Event, Work

if TYPE_CHECKING:
    from costmodel.price.symbols import Guard


# Sizes that stand for letters while torch traces: some modules need sides that can be halved several times.
STEP = 64
PROBES = (1, 2, 3, 7, 30, 4099)  # where a formula is tried besides
LARGEST = 4099  # up to where it is asked whether guards hold
MOST_TURNS = 12
MOST_NAMED = 5
_UNTRACEABLE = re.compile("SymInt|concrete integers")


def closed_forms(call: Call, letters: tuple[str, ...], exact: Callable[..., Cost]) -> tuple[list[Operation], str]:
    """The operations of a call whose inputs are shapes with ``letters``, all sizes being expressions in them; and what
    has to hold for them, or nothing. ``exact``: the cost for inputs without letters, to compare with."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    from costmodel.price.symbols import Guard, in_user_symbols

    hints = _usual(letters)
    sizes = ShapeEnv(duck_shape=False)
    mode = FakeTensorMode(shape_env=sizes, allow_non_fake_inputs=True)
    named: dict[str, str] = {}
    places = count()

    def symbols(shape: Shape) -> Any:
        return _symbols(mode, shape, hints, named, next(places))

    inputs, kwargs = tree_map_only(Shape, symbols, (call.inputs, dict(call.kwargs)))
    try:
        traced, _ = replace(call, inputs=inputs, kwargs=kwargs, mode=mode).run()
    except InvalidInput as error:
        if _UNTRACEABLE.search(str(error.__cause__)):
            reason = f"torch cannot trace {type(call.net).__name__} with letters for sizes"
            raise InvalidInput(f"no closed form: {reason}; give numbers") from error
        told = re.sub(
            r"(?<![A-Za-wyz_0-9])s\d+(?![a-wyz_0-9])", lambda found: named.get(found[0], found[0]), str(error)
        )
        sides = ", ".join(f"{name} = {size}" for name, size in hints.items())
        raise InvalidInput(f"{told} (traced at {sides})") from error

    fixed = {str(symbol) for symbol, found in sizes.replacements.items() if found.is_number}
    if repeats := [name for symbol, name in named.items() if symbol in fixed]:
        raise InvalidInput(
            f"no closed form in {', '.join(dict.fromkeys(repeats))}: it decides what runs, such as how often a loop "
            "over time is repeated; give a number for it"
        )

    def plain(size: Any) -> Any:
        return in_user_symbols(size.node.expr if isinstance(size, torch.SymInt) else int(size), named)

    def shape(sizes: tuple[Any, ...]) -> Any:
        return tuple(plain(size) for size in sizes)

    def in_letters(work: Work) -> Work:
        return Work({event: plain(size) for event, size in work.items()})

    operations = [
        replace(
            each,
            cost=Cost(
                in_letters(each.cost.work),
                reads=plain(each.cost.reads),
                writes=plain(each.cost.writes),
                launches=each.cost.launches,
            ),
            inputs=tuple(map(shape, each.inputs)),
            output=shape(each.output),
            masked=None if each.masked is None else in_letters(each.masked),
        )
        for each in traced
    ]
    granted = {str(each.expr): each.expr for each in sizes.guards}
    guards = [Guard(expr, named) for expr in granted.values() if expr.free_symbols]
    cost = sum((each.cost for each in operations), NOTHING)
    return operations, _condition(letters, cost, (call.inputs, dict(call.kwargs)), exact, guards)


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
    tensor = meta_tensor(with_sizes(given, hints))
    if not letters_of(given):
        return tensor
    dynamic = [DimDynamic.DYNAMIC if side in hints else DimDynamic.STATIC for side in sides]
    context: Any = StatelessSymbolicContext(dynamic_sizes=dynamic)
    made = mode.from_tensor(tensor, symbolic_context=context, source=ConstantSource(f"input{place}"))
    with mode:  # the same sizes, on a CPU
        made = torch.empty(made.shape, dtype=made.dtype, device="cpu")
    for side, size in zip(sides, made.shape, strict=True):
        if isinstance(size, torch.SymInt):
            named[size.node.expr.name] = side
    return made


def _condition(
    letters: Sequence[str], cost: Cost, inputs: tuple[Any, ...], exact: Callable[..., Cost], guards: "Sequence[Guard]"
) -> str:
    """Compare a cost in letters with integer counts at several sizes, odd, small and large ones, and on both sides of
    what torch took for granted; what has to hold for the sizes, or nothing."""
    from costmodel.price.symbols import at

    def diagonal(first: int, step: int) -> dict[str, int]:
        return {name: first + step * place for place, name in enumerate(letters)}

    def agrees(sizes: Mapping[str, int]) -> bool:
        try:
            numbers = exact(*tree_map_only(Shape, lambda shape: Shape(with_sizes(shape, sizes)), inputs))
        except InvalidInput:  # the module refuses such sizes
            return False
        pairs = [(cost.work[event], numbers.work[event]) for event in Event]
        pairs += [(cost.reads, numbers.reads), (cost.writes, numbers.writes)]
        return all(at(symbolic, sizes) == number for symbolic, number in pairs)

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
    from costmodel.price.symbols import range_in_words

    usual = _usual(letters)
    holds = [all(guard({**usual, name: size}) for guard in guards) for size in range(1, LARGEST + 1)]
    return range_in_words(name, holds)


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
