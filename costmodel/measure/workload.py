"""The work that a child process times, as data: `costmodel.measure.timed` builds and runs the work."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from costmodel.describe.program import Program
from costmodel.profiles.records import Settings

ITEM_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}


class Workload(Protocol):
    """The work that a child process builds and steps; its description travels as a pickle."""

    def memory(self, how: Settings) -> int:
        """Bytes that the work needs at least."""


@dataclass(frozen=True)
class Described:
    """A described network or cell."""

    program: Program

    def memory(self, how: Settings) -> int:
        window = (how.frames - 1) * sum(int(value.map.bytes) for value in self.program.inputs)
        return (self.program.memory + window) * ITEM_BYTES[how.dtype or "float32"] // 4 * how.batch


@dataclass(frozen=True)
class Named:
    """A module of the user's, by its name and the arguments of its factory, and the inputs of a call.

    ``inputs`` and ``kwargs`` hold shapes; ``peak_memory`` in bytes and ``kinds``, the floating-point types, are
    those with which the module was counted.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    peak_memory: int = 0
    kinds: frozenset[str] = frozenset()

    def memory(self, how: Settings) -> int:
        return self.peak_memory
