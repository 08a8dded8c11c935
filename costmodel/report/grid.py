"""A module of the user's at every point of a grid: what each point costs, and how long it takes."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from costmodel.errors import InvalidInput
from costmodel.price.conventions import Convention, find_convention
from costmodel.price.latency import CalibratedMachine
from costmodel.profiles.points import Point, Points, is_number, value_name
from costmodel.profiles.predict import Predictor
from costmodel.profiles.timing import Timing, flat, of_way, timings, ways
from costmodel.report.compare import QUANTITIES
from costmodel.report.layout.document import Document
from costmodel.report.layout.sheet import Sheet
from costmodel.report.numbers import scale, significant
from costmodel.report.predict import EVERY_COLUMN, Alternatives, Beside, by_time, sheet
from costmodel.report.times import left_out, not_timed, notes, ranked, rate_cell, time_cells

if TYPE_CHECKING:
    import pandas as pd

    from costmodel.profiles.records import Profile, Settings

MOST_REASONS = 3
# Columns of every row: an argument of such a name is in a column make_NAME.
TAKEN = (*QUANTITIES, *EVERY_COLUMN, "timings", "uncounted", "reason", "convention", "unit", "module")


@dataclass(frozen=True)
class GridRow:
    """One call at one point; bytes are those that each operation reads and writes, memory in bytes. ``values``: sizes
    and arguments by the names of their columns."""

    values: Mapping[str, Any]
    params: int
    flops: int
    bytes: int
    peak_memory: int
    point: Point = field(repr=False)
    timings: tuple[Timing, ...] = ()
    predicted: Beside | None = None


@dataclass(frozen=True, repr=False)
class PricedGrid:
    """The points of a grid under a convention, and the ``base`` that percentages refer to; made by `grid`. ``axes``:
    the columns that name a row, of several values each. ``len()`` is the number of rows."""

    convention: Convention
    points: Points
    rows: tuple[GridRow, ...]
    base: GridRow
    axes: Mapping[str, Sequence[Any]]
    lacking: int = 0  # rows that `arranged` left out
    profiles: "Mapping[str, Profile]" = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        about = f"{self.points.module:.150}: {len(self)} points of {', '.join(self.axes):.80}"
        return f"<Grid of {about}, convention {self.convention.name}; .text() prints it, .frame() is a pandas frame>"

    def _repr_html_(self) -> str:
        """For notebooks: the frame, cut in the middle."""
        return str(self.frame().to_html(max_rows=60))

    def name(self, row: GridRow, without: str | None = None) -> str:
        """A point in words: ``H=256, width=32``, ``without`` one of the axes."""
        return ", ".join(_named(row.values, [axis for axis in self.axes if axis != without]))

    def timed(
        self, name: str, profile: "Profile", keep: "Callable[[Settings], bool]" = lambda how: True
    ) -> "PricedGrid":
        """The grid with the times that a profile has for its points, for settings that ``keep`` accepts."""

        def known(row: GridRow) -> tuple[Timing, ...]:
            found = timings(profile, name, row.point.subject, self.base.point.subject)
            return (*row.timings, *(each for each in found if each.how and keep(each.how)))

        rows = tuple(replace(row, timings=known(row)) for row in self.rows)
        return replace(self, rows=rows, profiles={**self.profiles, name: profile})

    def on(self, machine: str | CalibratedMachine | Predictor) -> "PricedGrid":
        """The grid with the time that each call is predicted to take on a calibrated machine, given by the name of its
        profile. `InvalidInput` for unknown machines."""
        machines, base = Alternatives(machine), self.base.point.call
        rows = (replace(row, predicted=machines.beside(row.point.call, base)) for row in self.rows)
        return replace(self, rows=tuple(rows))

    def arranged(self, sort: str | None = None, top: int | None = None) -> "PricedGrid":
        """The grid with the largest rows first, by ``flops``, ``params``, ``bytes``, ``memory`` or ``ms`` (which needs
        times of a single kind of run), and at most ``top`` rows. `InvalidInput` for other words."""
        names = {"flops": "flops", "params": "params", "bytes": "bytes", "memory": "peak_memory"}
        keys = {word: [float(getattr(row, name)) for row in self.rows] for word, name in names.items()}
        keys |= by_time(row.predicted for row in self.rows)
        places = ranked([row.timings for row in self.rows], keys, sort, top)
        rows = tuple(self.rows[n] for n in places)
        return replace(self, rows=rows, lacking=self.lacking + len(self) - len(rows))

    def frame(self) -> "pd.DataFrame":
        """A pandas frame with a row for each point; ``attrs`` carries module, inputs, convention and base."""
        import pandas as pd

        frame = pd.DataFrame(self._flat())
        for axis in self.axes:  # in CSV as on the command line, true and false; here as in Python
            frame[axis] = [row.values[axis] for row in self.rows]
        frame.attrs.update(self._about())
        return frame

    def _about(self) -> dict[str, Any]:
        return {
            "convention": self.convention.name,
            "unit": self.convention.unit,
            "module": self.points.module,
            "inputs": list(self.points.inputs),
            "base": dict(self.base.values),
        }

    def record(self) -> dict[str, Any]:
        """The JSON contract."""
        rows = [
            _numbers(row)
            | {"timings": [time.record() | {"flops_per_second": row.flops / time.median_s} for time in row.timings]}
            | ({"uncounted": dict(row.point.uncounted)} if row.point.uncounted else {})
            for row in self.rows
        ]
        refused = [_columns(each.letters, each.arguments) | {"reason": each.reason} for each in self.points.left_out]
        return self._about() | {"rows": rows, "left_out": refused}

    def _flat(self) -> list[dict[str, Any]]:
        about = {"convention": self.convention.name, "unit": self.convention.unit, "module": self.points.module}
        rows = []
        for row, times in zip(self.rows, flat([row.timings for row in self.rows]), strict=True):
            plain = {name: each if is_number(each) else value_name(each) for name, each in row.values.items()}
            rates = {f"{name[:-1]}flops_per_s": row.flops / each for name, each in times.items() if name.endswith("_s")}
            rows.append(_numbers(row) | plain | about | times | rates)
        return rows

    def text(self, form: str = "text") -> str:
        """The grid as ``text``, ``markdown``, ``latex``, ``html``, ``csv`` or ``json``."""
        return Document(self.record, self._flat, self.sheets).text(form)

    def sheets(self) -> list[Sheet]:
        """A table of costs, one of predicted times on a machine, and one of times for each profile and its settings."""
        found = ways(row.timings for row in self.rows)
        return [self._costs(), *self._predictions(), *(self._times(*way, machine) for way, machine in found.items())]

    def _sheet(
        self,
        title: str,
        rows: Sequence[GridRow],
        columns: Mapping[str, str],
        body: Sequence[Sequence[str]],
        **more: Any,
    ) -> Sheet:
        """A sheet whose rows are named by the axes; ``columns``: labels and what stands above the column."""
        names = [[value_name(row.values[axis]) for axis in self.axes] for row in rows]
        align = "".join("r" if all(map(is_number, axis)) else "l" for axis in self.axes.values())
        return Sheet(
            title,
            [*self.axes, *columns.values()],
            align + "r" * len(columns),
            [[*name, *cells] for name, cells in zip(names, body, strict=True)],
            keys=len(self.axes),
            labels=[*self.axes, *columns],
            **more,
        )

    def _predictions(self) -> list[Sheet]:
        rows = [
            ([value_name(row.values[axis]) for axis in self.axes], row.predicted) for row in self.rows if row.predicted
        ]
        names = {axis: "r" if all(map(is_number, values)) else "l" for axis, values in self.axes.items()}
        return [sheet("call", names, rows, self.name(self.base), keys=len(names))] if rows else []

    def _costs(self) -> Sheet:
        unit = self.convention.unit
        (giga, flops), (mega, moved), (prefix, memory) = (
            scale(max(getattr(row, quantity) for row in self.rows)) for quantity in QUANTITIES[1:]
        )
        body = [
            [
                f"{row.params:,}",
                _digits(row.flops / flops),
                _digits(row.bytes / moved),
                _digits(row.peak_memory / memory),
            ]
            for row in self.rows
        ]
        lines = [
            f"{giga}{unit}s: convention {self.convention.name}, {self.convention.source}.",
            f"{mega}B: bytes that each operation reads and writes, as if nothing stayed in a cache; {prefix}B peak: "
            "parameters, inputs, and the results that are alive together at the fullest moment.",
            *left_out(self.lacking, "rows"),
            *self.refusals(),
        ]
        if uncounted := dict.fromkeys(each for row in self.rows for each in row.point.uncounted):
            lines.append(f"not counted, no rule: {', '.join(uncounted)}.")
        columns = {name: name for name in ("params", f"{giga}{unit}s", f"{mega}B", f"{prefix}B peak")}
        spare = [f"{prefix}B peak", f"{mega}B", "params"]
        return self._sheet(f"Cost of {self.call}", self.rows, columns, body, notes=lines, spare=spare)

    def refusals(self) -> list[str]:
        """Notes on the points that are left out, those together that a value has in common which no row has: the first
        `MOST_REASONS` with the reason, the others by name."""
        known = [_named(_columns(each.letters, each.arguments), self.axes) for each in self.points.rows]
        counted = {value for names in known for value in names}
        reasons: dict[str, str] = {}
        for each in self.points.left_out:
            names = _named(_columns(each.letters, each.arguments), self.axes)
            alone = [name for name in names if name not in counted]
            reasons.setdefault(alone[0] if alone else ", ".join(names), each.reason)
        notes = [f"left out: {name}: {shorten(why, 240, placeholder=' ...')}" for name, why in reasons.items()]
        more = "; ".join(list(reasons)[MOST_REASONS:])
        others = f"left out, too (--format json has the reasons): {shorten(more, 400, placeholder=' ...')}"
        return [*notes[:MOST_REASONS], *([others] if more else [])]

    @property
    def call(self) -> str:
        """The call that is counted at every point: the module, with the arguments that are the same at every point."""
        same = {name: each for name, each in self.base.values.items() if name not in self.axes}
        fixed = ", ".join(f"{name}={value_name(each)}" for name, each in same.items())
        return f"one call of {self.points.module} with {', '.join(self.points.inputs)}{fixed and f', {fixed}'}"

    def _times(self, profile: str, how: "Settings", machine: str) -> Sheet:
        unit = self.convention.unit
        rows, times, body = [], [], []
        for row in self.rows:
            timing = of_way(row.timings, (profile, how))
            if timing is None:
                continue
            rows.append(row)
            times.append(timing)
            share = f"{100 * row.flops / self.base.flops:.2f}" if self.base.flops else ""
            ms, spread, *percentage = time_cells(timing)
            body.append([ms, spread, rate_cell(timing, row.flops), share, *percentage])
        lines = [
            *notes(times, self.name(self.base)),
            f"G{unit}/s: {unit}s of convention {self.convention.name} / time, in billions; {unit} %: of "
            f"{self.name(self.base)}.",
        ]
        lines += not_timed(len(self.rows) - len(rows), "rows", how)
        columns = {"ms": "ms", "ms 95 %": "95 %", f"G{unit}/s": f"G{unit}/s", f"{unit} %": f"{unit} %"}
        columns |= {"time %": "time %", "time % 95 %": "95 %"}
        title = f"Time per {how.unit_of('call')} on {machine} (profile {profile}): {how.title}"
        return self._sheet(title, rows, columns, body, notes=lines, spare=["time % 95 %", "ms 95 %"]).without(["95 %"])


def _numbers(row: GridRow) -> dict[str, Any]:
    numbers = {quantity: getattr(row, quantity) for quantity in QUANTITIES}
    return dict(row.values) | numbers | (row.predicted.record() if row.predicted else {})


def _named(values: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Values in words, as ``H=256``, of those names that have one."""
    return [f"{name}={value_name(values[name])}" for name in names if name in values]


def _columns(letters: Mapping[str, int], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes and arguments by the names of their columns."""
    taken = {*letters, *TAKEN}
    return dict(letters) | {f"make_{name}" if name in taken else name: each for name, each in arguments.items()}


def _digits(value: float) -> str:
    """A number with four significant digits, and without an exponent."""
    return significant(value) if value >= 1e-4 or not value else f"{value:.4g}"


def grid(points: Points, *, convention: "str | Convention" = "torch", base: str | None = None) -> PricedGrid:
    """The costs of the points of a grid: parameters, FLOPs, bytes, peak memory. `PricedGrid.timed` adds times.

    ``points`` are what `costmodel.points` counted. ``base``: the point that percentages refer to, such as ``"H=256"``,
    by default the first; of several such points the first. `InvalidInput` for unknown names.

    >>> import costmodel
    >>> made = {"in_features": 8, "out_features": [2, 4]}
    >>> found = costmodel.points("torch.nn:Linear", "Nx8", sizes={"N": [1, 4]}, arguments=made)
    >>> [(row.values["N"], row.values["out_features"], row.params, row.flops) for row in costmodel.grid(found).rows]
    [(1, 2, 18, 32), (1, 4, 36, 64), (4, 2, 18, 128), (4, 4, 36, 256)]
    """
    if not isinstance(points, Points):
        raise InvalidInput("grid takes points: costmodel.grid(costmodel.points(...))")
    if clash := [name for name in points.sizes if name in TAKEN]:
        raise InvalidInput(f"{clash[0]!r} is the name of a column: give that letter another name")
    price = find_convention(convention)
    rows = tuple(
        GridRow(
            _columns(each.letters, each.arguments),
            int(price.params(each.cost)),
            int(price.flops(each.cost.work)),
            int(each.cost.reads + each.cost.writes),
            each.peak_memory,
            each,
        )
        for each in points.rows
    )
    asked = dict(zip(rows[0].values, [*points.sizes.values(), *points.arguments.values()], strict=True))
    axes = {name: values for name, values in asked.items() if len(values) > 1} or asked
    return PricedGrid(price, points, rows, _base(base, rows), axes)


def _base(base: str | None, rows: Sequence[GridRow]) -> GridRow:
    """The first row at a point that ``base`` tells."""
    if base is None:
        return rows[0]
    for row in rows:
        if set(_named(row.values, row.values)).issuperset(re.split(r",?\s+|,(?=\w+=)", base.strip())):
            return row
    raise InvalidInput(
        f"base {base!r}: no row is at this point; the first is at {', '.join(_named(rows[0].values, rows[0].values))}"
    )
