"""The largest batch, or the largest sides, with which a module fits into a memory: a search over exact counts."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils._pytree import tree_map_only

from costmodel.counting.count import count
from costmodel.counting.modules import name_of
from costmodel.counting.shapes import (
    BATCH,
    Shape,
    given,
    inputs_in_words,
    letters_of,
    shapes_in,
    usual,
    with_shapes,
    with_sizes,
)
from costmodel.errors import InvalidInput
from costmodel.work.size import UNITS, bytes_of

Needed = Callable[[Mapping[str, int]], int]

DOUBLINGS = 31
MOST_REFUSED = 4096  # sides up to which a module may refuse all


@dataclass(frozen=True)
class Fit:
    """The largest ``sizes`` of some letters while others stay at ``at``; the memory that they need, and the next sizes
    with theirs, which is too much. Without ``sizes`` the ``following`` ones are the smallest that were tried."""

    letters: tuple[str, ...]
    at: Mapping[str, int]
    sizes: Mapping[str, int] | None
    needed: int | None
    following: Mapping[str, int]
    following_needed: int


@dataclass(frozen=True)
class Fits:
    """The answers to one question: a `Fit` for each group of letters that varies; ``refused``: why others have none;
    ``memory_notes``: what is not known of the memory; ``notes``: what was assumed."""

    name: str
    inputs: tuple[str, ...]
    memory: int
    backward: bool
    optimizer: str
    cpu: bool
    found: tuple[Fit, ...]
    refused: Mapping[str, str]
    memory_notes: tuple[str, ...]
    notes: tuple[str, ...]


def fits(
    module: Any,
    /,
    *inputs: Any,
    memory: int | str,
    backward: bool = False,
    optimizer: str | None = None,
    at: Mapping[str, int] | None = None,
    vary: Sequence[str] | None = None,
    step: int = 1,
    cpu: bool = False,
    tried: Callable[[Mapping[str, int]], None] = lambda sizes: None,
    **kwargs: Any,
) -> Fits:
    """The largest sizes in the place of letters, such as ``"Nx3xHxW"``, with which a call needs at most ``memory``:
    bytes, or a text such as ``"8GB"`` (10^9) or ``"8GiB"`` (2^30).

    N and B vary by themselves, all other letters together, in the ratio that they have in ``at``, as multiples of
    ``step``; ``vary`` chooses letters. What does not vary is as ``at`` says: a batch is 1 and a side 224 by default.
    ``backward`` and ``optimizer`` as in `costmodel.count`. ``cpu``: with what kernels of a CPU need besides results.
    ``tried`` hears of each count.

    >>> import torch
    >>> from costmodel.counting.fits import fits
    >>> fits(torch.nn.Linear(8, 4), "Nx8", memory="1kB").found[0].sizes  # 144 bytes of parameters, 48 of a row
    {'N': 17}
    """
    inputs, kwargs = tuple(map(given, inputs)), with_shapes(kwargs)
    letters = dict.fromkeys(side for each in shapes_in(inputs, kwargs) for side in letters_of(each))
    if not letters:
        raise InvalidInput("no letters in the inputs: give one for each size that may vary, such as Nx3xHxW")
    at = dict(at or {})
    if step < 1 or any(size < 1 for size in at.values()):
        raise InvalidInput("step and the sizes of letters start at 1")
    if wrong := [name for name in (*at, *(vary or ())) if name not in letters]:
        raise InvalidInput(f"{wrong[0]}: no such letter in the inputs, which have {', '.join(letters)}")
    sizes = {name: at.get(name, usual(name)) for name in letters}
    limit = bytes_of(memory)

    memory_notes: dict[str, None] = {}
    notes: dict[str, None] = {}

    def needed(sizes: Mapping[str, int]) -> int:
        args, options = tree_map_only(Shape, lambda text: Shape(with_sizes(text, sizes)), (inputs, kwargs))
        tried(sizes)
        counted = count(module, *args, backward=backward, optimizer=optimizer, **options)
        memory_notes.update(dict.fromkeys(counted.memory_notes))
        notes.update(dict.fromkeys(counted.notes))
        return int(counted.cpu_peak_memory if cpu else counted.peak_memory)

    found: list[Fit] = []
    refused: dict[str, InvalidInput] = {}
    for group in _groups(letters, vary):
        try:
            found.append(_fit(group, sizes, 1 if group[0] in BATCH else step, limit, needed))
        except InvalidInput as error:
            refused[" and ".join(group)] = error
    if not found:
        raise next(iter(refused.values()))
    if not any(each.sizes for each in found):
        least = min(found, key=lambda each: each.following_needed)
        raise InvalidInput(
            f"nothing fits into {in_bytes(limit)}: {in_words({**least.at, **least.following})} needs "
            f"{in_bytes(least.following_needed)}"
        )
    words, why = inputs_in_words(inputs, kwargs), {names: str(error) for names, error in refused.items()}
    about = name_of(module), words, limit, backward, optimizer or "", cpu
    return Fits(*about, tuple(found), why, tuple(memory_notes), tuple(notes))


def _groups(letters: Mapping[str, None], vary: Sequence[str] | None) -> list[tuple[str, ...]]:
    chosen = [name for name in letters if vary is None or name in vary]
    together = tuple(name for name in chosen if name not in BATCH)
    return [*((name,) for name in chosen if name in BATCH), *([together] if together else [])]


def _fit(letters: tuple[str, ...], usual: Mapping[str, int], step: int, limit: int, needed: Needed) -> Fit:
    """The largest multiple of the smallest sizes in the ratio of the usual ones."""
    divisor = math.gcd(*(usual[name] for name in letters))
    ratio = {name: usual[name] // divisor for name in letters}
    scale = math.lcm(*(step // math.gcd(step, part) for part in ratio.values()))
    rest = {name: size for name, size in usual.items() if name not in letters}
    known: dict[int, int] = {}
    refusals: list[InvalidInput] = []

    def sizes(factor: int) -> dict[str, int]:
        return {name: factor * scale * part for name, part in ratio.items()}

    def bytes_at(factor: int) -> int:
        if factor not in known:
            known[factor] = needed({**rest, **sizes(factor)})
        return known[factor]

    largest, above = 0, 0
    for factor in (1 << place for place in range(DOUBLINGS)):
        try:
            fit = bytes_at(factor) <= limit
        except InvalidInput as error:  # too small for the module, as long as nothing ran
            if known:
                raise _with_step(error, step) from error
            refusals.append(error)
            if factor * scale >= MOST_REFUSED:
                break
            continue
        if fit:
            largest, above = factor, 0
        elif above:  # twice too much: small maps may need more than somewhat larger ones
            break
        else:
            above = factor
    if not known:
        raise _with_step(refusals[-1], step)
    if not above:
        raise InvalidInput(f"{in_words(sizes(largest))} still fits: memory hardly grows with {' and '.join(letters)}")
    if not largest:
        first = min(known)
        return Fit(letters, rest, None, None, sizes(first), known[first])
    while above - largest > 1:
        middle = (largest + above) // 2
        try:
            fit = bytes_at(middle) <= limit
        except InvalidInput as error:
            raise _with_step(error, step) from error
        largest, above = (middle, above) if fit else (largest, middle)
    return Fit(letters, rest, sizes(largest), known[largest], sizes(above), known[above])


def _with_step(error: InvalidInput, step: int) -> InvalidInput:
    return InvalidInput(f"{error}; where sizes must be multiples, give step, such as {32 if step == 1 else 2 * step}")


def in_bytes(number: int) -> str:
    """Bytes for people, such as 7.98 GB."""
    for unit in ("TB", "GB", "MB", "kB"):
        if number >= UNITS[unit]:
            return f"{number / UNITS[unit]:,.4g} {unit}"
    return f"{number} B"


def in_words(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} = {size}" for name, size in sizes.items())
