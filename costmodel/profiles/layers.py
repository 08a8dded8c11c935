"""Where the time of a subject goes, module by module: rows that add up to the undisturbed call, from raw samples.

The one total is the undisturbed call. The time of a part is its share of the undisturbed call, times the total; a share
is that of the fastest turns of a process, since other work on the machine only adds time. A part that is cut into the
parts of the next level leaves a rest, its own code; what no part holds is the remainder. So all rows add up to the
total, to the nanosecond; by noise a rest or the remainder may be negative.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from costmodel.price.conventions import TORCH, Convention, find_convention
from costmodel.profiles.records import LayerProcess, LayerRun
from costmodel.work.cost import NOTHING, Cost, Operation

if TYPE_CHECKING:
    import pandas as pd

MOST_DISTORTION = 0.03  # by which the marks of a level may change the time of the whole
LARGE, REPEATS = 0.05, 0.05  # parts of more than this share of the total should repeat this well
Kind: TypeAlias = Literal["part", "rest", "remainder"]
Shares: TypeAlias = NDArray[np.float64]  # of the undisturbed call, one for each process


@dataclass(frozen=True)
class Row:
    """A part, the rest of a part that is cut into others (with the path "" that of the whole), or the remainder: of one
    call, in nanoseconds. ``low`` and ``high``: the range over processes."""

    path: str
    kind: Kind
    ns: int
    low: int
    high: int
    operations: tuple[Operation, ...] = ()
    covers: tuple[str, ...] = ()  # of compiled code: the modules whose work was fused into this part

    @cached_property
    def cost(self) -> Cost:
        return sum((each.cost for each in self.operations), NOTHING)


@dataclass(frozen=True)
class _Time:
    """Nanoseconds, and the shares that they come from."""

    ns: int
    shares: Shares

    def __sub__(self, other: "_Time") -> "_Time":
        return _Time(self.ns - other.ns, self.shares - other.shares)


@dataclass(frozen=True)
class Layers:
    """The parts of a run with their times and ``operations``; ``classes``: the class of each module by its path.
    ``depth``: the most levels to show, by default all whose marks do not distort the whole by more than
    `MOST_DISTORTION`."""

    run: LayerRun
    operations: Sequence[Operation] = field(default=(), repr=False)
    classes: Mapping[str, str] = field(default_factory=dict, repr=False)
    depth: int | None = None

    def __repr__(self) -> str:
        about = f"{self.run.subject.title:.500}: {self.total_ns / 1e6:.4g} ms in {len(self.rows)} rows"
        return f"<Layers of {about}; .frame() has them>"

    def _repr_html_(self) -> str:
        """For notebooks: the rows."""
        return str(self.frame().to_html(max_rows=60))

    @cached_property
    def cost(self) -> Cost:
        """The cost of one call."""
        return sum((each.cost for each in self.operations), NOTHING)

    moving = "operations"  # what reads and writes the bytes

    @property
    def moved(self) -> int | None:
        """Bytes that the whole reads and writes; None: not known."""
        return int(self.cost.reads + self.cost.writes)

    @property
    def launches(self) -> int | None:
        """Kernels that one call starts; None: not known."""
        return int(self.cost.launches)

    def costs(self, row: Row) -> list[Cost] | None:
        """The costs of a row, one after the other; None: not known."""
        return [each.cost for each in row.operations]

    def notes(self, price: Convention) -> list[str]:
        """Sentences about rows without numbers."""
        return []

    @cached_property
    def total_ns(self) -> int:
        """Nanoseconds of the undisturbed call, the median over processes."""
        return round(float(np.median([np.median(_whole(process)) for process in self.run.processes])))

    @cached_property
    def total_range(self) -> tuple[int, int]:
        """The range of the undisturbed call over processes, in nanoseconds."""
        medians = [round(float(np.median(_whole(process)))) for process in self.run.processes]
        return min(medians), max(medians)

    @property
    def distortions(self) -> tuple[float, ...]:
        """Of each level the call with marks relative to the undisturbed call, minus 1: of each process the fastest turn
        of both, since other work on the machine only adds time; the median over processes."""
        return tuple(float(np.median(level)) for level in self.distorted)

    @cached_property
    def distorted(self) -> tuple[tuple[float, ...], ...]:
        """The distortion of each level in each process."""

        def changed(process: LayerProcess, level: int) -> float:
            wholes = np.array([turn.whole for turn in process.turns[level]]) / process.undisturbed.calls
            return float(wholes.min() / _whole(process).min()) - 1

        levels = range(len(self.run.levels))
        return tuple(tuple(changed(each, level) for each in self.run.processes) for level in levels)

    @cached_property
    def shown(self) -> int:
        """How many levels are shown."""
        good = [abs(each) <= MOST_DISTORTION for each in self.distortions]
        first_bad = good.index(False) if False in good else len(good)
        return first_bad if self.depth is None else min(first_bad, self.depth)

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The rows in order of execution, the remainder last. Their nanoseconds add up to the total, and their
        operations are those of the whole."""
        every = [*self._rows("")] if self.shown else []
        rest = _Time(self.total_ns, np.ones(len(self.run.processes)))
        for _, _, time in every:
            rest -= time
        every.append(("", "remainder", rest))
        places = {path: n for n, (path, _, _) in reversed([*enumerate(every)])}
        operations: list[list[Operation]] = [[] for _ in every]
        for operation in self.operations:
            operations[next(places[path] for path in _upwards(operation.path) if path in places)].append(operation)
        covers = {
            path: each for level in self.run.levels for path, each in zip(level.paths, level.covers, strict=False)
        }
        return tuple(
            Row(
                path,
                kind,
                time.ns,
                round(self.total_ns * float(time.shares.min())),
                round(self.total_ns * float(time.shares.max())),
                tuple(inside),
                covers.get(path, ()) if kind == "part" else (),
            )
            for (path, kind, time), inside in zip(every, operations, strict=True)
        )

    @cached_property
    def unsteady(self) -> tuple[Row, ...]:
        """The rows of more than `LARGE` of the total that do not repeat within `REPEATS` over processes."""
        large = [row for row in self.rows if row.kind != "remainder" and row.ns > LARGE * self.total_ns]
        return tuple(row for row in large if (row.high - row.low) / 2 > REPEATS * row.ns)

    @cached_property
    def _times(self) -> dict[str, _Time]:
        """Of every part that is timed; the first level has the own code of the whole as "", too."""
        times = {}
        for number, level in enumerate(self.run.levels):
            shares = np.array([_shares(process, number, level.reads) for process in self.run.processes])
            for path, column in zip(level.paths, shares.T, strict=True):
                times[path] = _Time(round(self.total_ns * float(np.median(column))), column)
        return times

    def ns_of(self, path: str) -> int:
        """Nanoseconds of a part with all that it holds."""
        return self._times[path].ns

    @cached_property
    def inside(self) -> dict[str, list[str]]:
        """The parts of the next shown level in each part, in order of execution."""
        found: dict[str, list[str]] = {}
        for level in self.run.levels[: self.shown]:
            for path in filter(None, level.paths):
                found.setdefault(path.rpartition(".")[0], []).append(path)
        return found

    def _rows(self, path: str) -> Iterator[tuple[str, Kind, _Time]]:
        parts = self.inside.get(path, ())
        if path == "":
            yield "", "rest", self._times[""]
        elif not parts:
            yield path, "part", self._times[path]
        elif path not in self.run.containers:
            rest = self._times[path]
            for each in self._covering(parts):
                rest -= each
            yield path, "rest", rest
        for part in parts:
            yield from self._rows(part)

    def _covering(self, parts: Sequence[str]) -> Iterator[_Time]:
        """The times of parts, of a container that is cut those of what it holds: they were taken at its level."""
        for part in parts:
            if part in self.run.containers and part in self.inside:
                yield from self._covering(self.inside[part])
            else:
                yield self._times[part]

    def label(self, path: str) -> str:
        """The name of a part inside of the part that holds it."""
        return path.rpartition(".")[2]

    def class_of(self, row: Row) -> str:
        """The class of the module of a row, or the operation of a step."""
        if row.kind == "remainder":
            return ""
        return self.classes.get(row.path, "")

    def frame(self, convention: "str | Convention" = "torch") -> "pd.DataFrame":
        """A pandas frame, a row a part: nanoseconds, share, range over processes, FLOPs, bytes, launches, GFLOP/s and
        GB/s. The rows add up to ``attrs["total_ns"]``."""
        import pandas as pd

        price = find_convention(convention)
        frame = pd.DataFrame([self.record(row, price) for row in self.rows])
        frame.attrs.update(total_ns=self.total_ns, convention=price.name, unit=price.unit)
        return frame

    def save_trace(self, path: "str | os.PathLike[str]") -> None:
        """Write the parts in the Chrome trace format, see `trace`."""
        Path(path).write_text(json.dumps(trace(self), indent=1) + "\n", encoding="utf-8")

    def record(self, row: Row, price: Convention) -> dict[str, Any]:
        """The numbers of a row; without operations, which a profile does not hold, its times alone."""
        covers = {"covers": list(row.covers)} if row.covers else {}
        return (
            {
                "module": row.path,
                "kind": row.kind,
                "class": self.class_of(row),
                "ns": row.ns,
                "low_ns": row.low,
                "high_ns": row.high,
                "share": row.ns / self.total_ns,
            }
            | (_work(row, price) if self.operations else {})
            | covers
        )


def _work(row: Row, price: Convention) -> dict[str, Any]:
    flops, moved = price.flops(row.cost.work), row.cost.reads + row.cost.writes
    return {
        "flops": flops,
        "reads": row.cost.reads,
        "writes": row.cost.writes,
        "bytes": moved,
        "launches": row.cost.launches,
        "gflops_per_s": flops / row.ns if flops and row.ns > 0 else None,
        "gbytes_per_s": moved / row.ns if moved and row.ns > 0 else None,
    }


def _whole(process: LayerProcess) -> Shares:
    """Nanoseconds of an undisturbed call in each turn."""
    return 1e9 * np.array(process.undisturbed.seconds)


def _shares(process: LayerProcess, level: int, reads: Sequence[int]) -> Shares:
    """The shares of the parts of a level in the undisturbed call, without the cost of reading the clock, in the fastest
    turns of both. Medians would not add up: what interrupts a call is in one part, and in the whole."""
    fastest = min(process.turns[level], key=lambda turn: turn.whole)
    own = np.array(fastest.parts) / process.undisturbed.calls - process.read * np.array(reads)
    return np.asarray(own / _whole(process).min())


def _upwards(path: str) -> Iterator[str]:
    """A path and those of the modules around it, up to ""."""
    while path:
        yield path
        path = path.rpartition(".")[0]
    yield ""


def trace(layers: Layers) -> dict[str, Any]:
    """The parts in the Chrome trace format, which Perfetto opens: one call, the mean of those that were measured.

    Each event has its nanoseconds as the table has them in ``args``; where the parts of a part took longer, in turns of
    their own, than itself, its bar is as long as they are together.
    """
    rows = {(row.path, row.kind): row for row in layers.rows}
    events: list[dict[str, Any]] = []

    def event(name: str, start: int, lasting: int, **args: Any) -> dict[str, Any]:
        return {"name": name, "ph": "X", "ts": start / 1e3, "dur": lasting / 1e3, "pid": 1, "tid": 1, "args": args}

    def put(path: str, start: int, name: str, ns: int) -> int:
        """Append a part and what it holds; the moment of its end."""
        here = event(name, start, 0, module=path, ns=ns, **{"class": layers.classes.get(path, "")})
        if row := rows.get((path, "part")):
            record = layers.record(row, TORCH)
            here["args"] |= {key: record[key] for key in ("launches", "bytes", "covers") if record.get(key) is not None}
        events.append(here)
        end = start
        for part in layers.inside.get(path, ()):
            end = put(part, end, layers.label(part), layers.ns_of(part))
        end = max(end, start + ns)
        here["dur"] = (end - start) / 1e3
        return end

    put("", 0, layers.run.subject.name, layers.total_ns)
    titles = {"process_name": layers.run.title, "thread_name": "one call"}
    about = [{"name": name, "ph": "M", "pid": 1, "tid": 1, "args": {"name": title}} for name, title in titles.items()]
    other = {"total_ns": layers.total_ns, "remainder_ns": rows["", "remainder"].ns}
    return {"traceEvents": [*about, *events], "displayTimeUnit": "ms", "otherData": other}
