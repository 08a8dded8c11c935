"""Modules of the user as things to compare and to time: counted, and named so that a fresh process can make them."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from costmodel.counting.count import Count, count
from costmodel.counting.load import load, prepared
from costmodel.counting.modules import owner
from costmodel.counting.shapes import given, inputs_in_words, letters_of, shapes_in, typed, with_shapes, without_letters
from costmodel.describe.selection import ModuleEntry
from costmodel.errors import InvalidInput
from costmodel.measure.workload import Named
from costmodel.profiles.records import Subject
from costmodel.work.events import Work

NO_WORK = Work()


@dataclass(frozen=True)
class Module:
    """A module of the user's: what one call costs, the subject of its times, and what a child process builds."""

    count: Count
    subject: Subject
    workload: Named

    @property
    def name(self) -> str:
        """The name with the arguments of the factory, such as ``nets.py:small(width=8)``."""
        return self.subject.name

    @property
    def entry(self) -> ModuleEntry:
        """The row of a table that describes this module."""
        return ModuleEntry.of(self.count, self.name, self.subject)

    def made(self) -> tuple[Any, tuple[tuple[Any, ...], dict[str, Any]]]:
        """The module as it is timed, on the CPU, with random parameters and inputs: what to call, and the inputs."""
        from costmodel.measure.profile import settings_grid
        from costmodel.measure.timed import timed

        subject = timed(self.workload, settings_grid(threads=1)[0])
        return subject.run, subject.inputs

    def __repr__(self) -> str:
        return f"<Module {self.subject.title:.300}: {self.count!r:.400}>"


def module(
    name: str,
    /,
    *inputs: Any,
    arguments: Mapping[str, Any] | None = None,
    frames: int = 1,
    dtype: str | None = None,
    **kwargs: Any,
) -> Module:
    """A module of the user's by its name on a command line, ``package.module:factory`` or ``path/file.py:factory``,
    counted for a call with ``inputs`` and ``kwargs``: shapes, as for `costmodel.count`.

    `profile`, `table` and `compare` take it beside the names of described networks. ``arguments`` are those of the
    factory, as JSON knows them. ``dtype`` is the type of parameters and of the inputs that name none. `InvalidInput`
    where the module cannot be made or counted.

    >>> import costmodel
    >>> costmodel.module("torch.nn:Linear", "2x8", arguments={"in_features": 8, "out_features": 4}).count.macs
    64
    """
    args, named = tuple(map(given, inputs)), with_shapes(kwargs)
    if letters := dict.fromkeys(side for shape in shapes_in(args, named) for side in letters_of(shape)):
        raise InvalidInput(f"inputs need numbers here, not {', '.join(letters)}: letters are for count, fits and sweep")
    return Factory(name, dict(arguments or {}), dtype).called(args, named, frames)


@dataclass(frozen=True)
class Factory:
    """A module of the user's before a call: its name, the arguments of its factory, and the type of its parameters. The
    module is made once."""

    name: str
    arguments: Mapping[str, Any]
    dtype: str | None = None

    @cached_property
    def written(self) -> str:
        """The arguments as a subject has them."""
        try:
            return json.dumps(self.arguments, sort_keys=True) if self.arguments else ""
        except TypeError as error:
            raise InvalidInput(f"a fresh process gets the arguments as JSON: {error}") from None

    @cached_property
    def net(self) -> Any:
        return prepared(load(self.name, self.arguments), train=False, dtype=self.dtype)

    def called(self, args: tuple[Any, ...], named: Mapping[str, Any], frames: int = 1) -> Module:
        """The module with what a call costs, whose inputs hold shapes in numbers."""
        written, net = self.written, self.net
        own = (typed(args, self.dtype), typed(named, self.dtype)) if self.dtype else (args, named)
        counted = count(net, *own[0], frames=frames, **own[1])
        once = counted if frames == 1 else count(net, *own[0], **own[1])
        return Module(
            counted,
            Subject(
                module=self.name, arguments=written, inputs=_inputs(args, named), structure=structure(net, once.work)
            ),
            Named(self.name, self.arguments, args, named, int(counted.peak_memory), kinds(net, own)),
        )


def _inputs(args: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[str, ...]:
    """The inputs in words that are the same for the same call: ``8x08:float32`` is ``8x8``, names are sorted."""
    return inputs_in_words(*without_letters((args, dict(sorted(named.items())))))


def kinds(net: Any, inputs: Any) -> frozenset[str]:
    """The floating-point types of parameters, buffers and inputs."""
    whole = owner(net)
    held = [] if whole is None else [*whole.parameters(), *whole.buffers()]
    floats = (each.dtype for each in [*held, *tree_leaves(without_letters(inputs))] if torch.is_tensor(each))
    return frozenset(str(kind).removeprefix("torch.") for kind in floats if kind.is_floating_point)


def structure(net: Any, work: Work = NO_WORK) -> str:
    """A fingerprint of what a module is and does: its parts as torch prints them, the shapes of its parameters and
    buffers, the work that one call is counted to do; not of values."""
    done = sorted((event.value, number) for event, number in work.items() if number)
    whole = owner(net)
    if whole is None:
        return _digest(done)
    text = re.sub(r"\b0x[0-9a-f]+\b", "", repr(whole))  # addresses differ between processes, and the order of sets
    text = re.sub(r"{([^{}:]*)}", lambda found: str(sorted(found[1].split(", "))), text)
    shapes = [(name, tuple(each.shape)) for name, each in [*whole.named_parameters(), *whole.named_buffers()]]
    return _digest(text, shapes, done)


def _digest(*parts: Any) -> str:
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:12]
