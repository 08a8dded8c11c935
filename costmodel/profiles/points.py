"""Points of a grid: a module of the user's at sizes for the letters of its inputs, and at arguments of its factory."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from costmodel.profiles.records import Subject
from costmodel.work.cost import Cost


@dataclass(frozen=True)
class Point:
    """One call of the module: sizes and arguments, the cost (memory in bytes), the subject of its times, and the
    ``workload`` that a child process gets. ``uncounted``: operations without a rule. ``call``: what was counted, which
    tells its operations as they are timed."""

    letters: Mapping[str, int]
    arguments: Mapping[str, Any]
    cost: Cost = field(repr=False)
    peak_memory: int
    subject: Subject = field(repr=False)
    workload: Any = field(repr=False)
    uncounted: Mapping[str, int] = field(default_factory=dict, repr=False)
    place: tuple[int, ...] = field(default=(), repr=False)  # in the order of the sizes and the arguments
    points: int = field(default=1, repr=False)
    call: Any = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Refusal:
    """Points that have no row, with the reason in words. Without ``letters`` the factory refuses the arguments, and all
    ``points`` with these arguments are left out."""

    letters: Mapping[str, int]
    arguments: Mapping[str, Any]
    reason: str
    points: int
    place: tuple[int, ...] = field(repr=False)  # in the order of the sizes and the arguments
    error: Exception = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        """The point in words: ``H=16, width=32``."""
        return point_name(self.letters, self.arguments)


def point_name(letters: Mapping[str, int], arguments: Mapping[str, Any]) -> str:
    """A point in words: ``H=16, width=32``."""
    return ", ".join(f"{name}={value_name(value)}" for name, value in [*letters.items(), *arguments.items()])


def is_number(value: Any) -> bool:
    """True for numbers, among which true and false do not count."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def value_name(value: Any) -> str:
    """The value of an argument as it stands on a command line."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


@dataclass(frozen=True, repr=False)
class Points:
    """The points of a grid that could be counted, and those that are ``left_out``; made by `points`. ``sizes`` and
    ``arguments`` are those that were asked for, by name."""

    module: str
    inputs: tuple[str, ...]
    sizes: Mapping[str, Sequence[int]]
    arguments: Mapping[str, Sequence[Any]]
    rows: tuple[Point, ...]
    left_out: tuple[Refusal, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        less = f", {sum(each.points for each in self.left_out)} left out" if self.left_out else ""
        about = f"{len(self)} points of {self.module:.200} with {', '.join(self.inputs):.100}{less}"
        return f"<Points: {about}; costmodel.grid(...) prices them>"
