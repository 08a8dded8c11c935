"""Networks, cells and modules of the user's side by side: what each costs, the speed-up that fewer FLOPs promise, and
the measured one."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from costmodel.describe.catalogue import find_networks
from costmodel.describe.cells import Cell, describe_cell, is_cell
from costmodel.describe.ops import Pair
from costmodel.describe.selection import ModuleEntry, approach, calls_in_words, entries, find_base
from costmodel.errors import InvalidInput
from costmodel.price.conventions import Convention, find_convention
from costmodel.price.latency import CalibratedMachine
from costmodel.price.table import Given, apart
from costmodel.profiles.predict import Predictor, called
from costmodel.profiles.timing import Timing, flat, of_way, timings, ways
from costmodel.report.layout.document import Document
from costmodel.report.layout.sheet import Sheet
from costmodel.report.numbers import scale
from costmodel.report.predict import Alternatives, Beside, sheet
from costmodel.report.times import not_timed, notes, speedup_cells, time_cells
from costmodel.work.cost import Cost
from costmodel.work.size import Size, int_pair

if TYPE_CHECKING:
    import pandas as pd

    from costmodel.profiles.records import Profile, Settings, Subject

QUANTITIES = ("params", "flops", "bytes", "peak_memory")


@dataclass(frozen=True)
class ComparedRow:
    """One call of a module, one frame of a network without its training heads, or one step of a cell; bytes are those
    that each operation reads and writes, memory in bytes."""

    model: str
    inputs: tuple[str, ...]
    cost: Cost = field(repr=False)
    params: int
    flops: int
    peak_memory: int
    subject: "Subject | None" = None  # of its times; None: a count alone, which has none
    timings: tuple[Timing, ...] = ()
    count: Any = field(default=None, repr=False, compare=False)  # of a module
    predicted: Beside | None = None

    @property
    def bytes(self) -> int:
        return int(self.cost.reads + self.cost.writes)


@dataclass(frozen=True, repr=False)
class Comparison:
    """Rows, and the row that percentages and speed-ups refer to; made by `compare`. ``len()`` is the number of rows."""

    convention: Convention
    rows: tuple[ComparedRow, ...]
    base: str
    profiles: "Mapping[str, Profile]" = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        about = f"{', '.join(row.model for row in self.rows):.300}, convention {self.convention.name}"
        return f"<Comparison of {about}; .text() prints it, .frame() is a pandas frame>"

    def _repr_html_(self) -> str:
        """For notebooks: the frame."""
        return str(self.frame().to_html())

    @property
    def whole(self) -> ComparedRow:
        """The row of 100 %."""
        return next(row for row in self.rows if row.model == self.base)

    def promised(self, row: ComparedRow) -> float | None:
        """The speed-up that fewer FLOPs promise: FLOPs of the base / FLOPs of the row; None where a row has none."""
        return self.whole.flops / row.flops if row.flops and self.whole.flops else None

    def pct(self, row: ComparedRow, quantity: str) -> float | None:
        """A quantity in per cent of the base; None where the base has none."""
        whole = getattr(self.whole, quantity)
        return 100 * getattr(row, quantity) / whole if whole else None

    def timed(
        self, name: str, profile: "Profile", keep: "Callable[[Settings], bool]" = lambda how: True
    ) -> "Comparison":
        """The comparison with the times that a profile has for its rows, for settings that ``keep`` accepts."""

        def known(row: ComparedRow) -> tuple[Timing, ...]:
            if row.subject is None:
                return row.timings
            found = timings(profile, name, row.subject, self.whole.subject)
            return (*row.timings, *(each for each in found if each.how and keep(each.how)))

        rows = tuple(replace(row, timings=known(row)) for row in self.rows)
        return replace(self, rows=rows, profiles={**self.profiles, name: profile})

    def on(self, machine: str | CalibratedMachine | Predictor) -> "Comparison":
        """The comparison with the time that each row is predicted to take on a calibrated machine, given by the name of
        its profile. `InvalidInput` for unknown machines."""
        machines = Alternatives(machine)
        timed = {row.model: row.subject if row.count is None else called(row.count) for row in self.rows}
        rows = (replace(row, predicted=machines.beside(timed[row.model], timed[self.base])) for row in self.rows)
        return replace(self, rows=tuple(rows))

    def speedups(self, way: "tuple[str, Settings] | None" = None) -> list[tuple[ComparedRow, Timing]]:
        """The rows that were timed together with the base, without the base, and their times; ``way``: the profile and
        settings, by default all."""
        return [
            (row, timing)
            for row in self.rows
            if row is not self.whole and self.promised(row)
            for timing in row.timings
            if timing.speedup() and way in (None, (timing.profile, timing.how))
        ]

    def frame(self) -> "pd.DataFrame":
        """A pandas frame with a row for each row of the comparison; ``attrs`` carries convention and base."""
        import pandas as pd

        frame = pd.DataFrame(self._flat())
        frame.attrs.update(convention=self.convention.name, unit=self.convention.unit, base=self.base)
        return frame

    def record(self) -> dict[str, Any]:
        """The JSON contract."""
        return {
            "convention": self.convention.name,
            "unit": self.convention.unit,
            "inputs": list(dict.fromkeys(each for row in self.rows for each in row.inputs)),
            "base": self.base,
            "rows": [
                self._numbers(row)
                | {"inputs": list(row.inputs), "timings": [self._timing(row, each) for each in row.timings]}
                | self._measured(row, row.timings[0] if row.timings else None)
                for row in self.rows
            ],
        }

    def _numbers(self, row: ComparedRow) -> dict[str, Any]:
        numbers: dict[str, Any] = {"model": row.model}
        for quantity in QUANTITIES:
            numbers |= {quantity: getattr(row, quantity), f"{quantity}_pct": self.pct(row, quantity)}
        return numbers | {"promised": self.promised(row)} | (row.predicted.record() if row.predicted else {})

    def _timing(self, row: ComparedRow, timing: Timing) -> dict[str, Any]:
        return timing.record() | self._measured(row, timing)

    def _measured(self, row: ComparedRow, timing: Timing | None) -> dict[str, Any]:
        """The measured speed-up and the per cent of the promise that it keeps; None without times."""
        measured, promised = timing.speedup() if timing else None, self.promised(row)
        kept = timing.kept(promised) if timing and promised else None
        return {
            "measured": measured and measured.value,
            "measured_interval": measured and measured.interval and list(measured.interval),
            "measured_verdict": measured and measured.verdict,
            "kept_pct": kept and 100 * kept.value,
        }

    def _flat(self) -> list[dict[str, Any]]:
        about = {"convention": self.convention.name, "unit": self.convention.unit, "base": self.base}
        times = flat([row.timings for row in self.rows])
        return [
            self._numbers(row)
            | self._measured(row, row.timings[0] if row.timings else None)
            | {"inputs": ", ".join(row.inputs)}
            | about
            | columns
            for row, columns in zip(self.rows, times, strict=True)
        ]

    def text(self, form: str = "text") -> str:
        """The comparison as ``text``, ``markdown``, ``latex``, ``html``, ``csv`` or ``json``."""
        return Document(self.record, self._flat, self.sheets).text(form)

    def sheets(self) -> list[Sheet]:
        """A table of costs, one of predicted times on a machine, and one of speed-ups for each profile and its
        settings."""
        return [self.costs(), *self.predictions(), *self.speeds().values()]

    def predictions(self) -> list[Sheet]:
        """A table of the times that were asked for with `on`."""
        rows = []
        for row in self.rows:
            if row.predicted is not None:
                promised, pct = self.promised(row), row.predicted.pct
                speedup = "" if not pct else f"{100 / pct:.2f}x"
                rows.append(([row.model, "" if promised is None else f"{promised:.2f}x", speedup], row.predicted))
        if not rows:
            return []
        found = sheet("call", {"model": "l", "promised": "r", "predicted": "r"}, rows, self.base)
        lines = [
            f"promised: {self.convention.unit}s of {self.base} / of this one; predicted: time of {self.base} / of this "
            "one."
        ]
        return [replace(found, notes=[*found.notes, *lines])]

    def speeds(self) -> "dict[tuple[str, Settings], Sheet]":
        """A table of speed-ups for each profile and its settings."""
        found = ways(row.timings for row in self.rows)
        return {way: self._speed(*way, machine) for way, machine in found.items()}

    def costs(self) -> Sheet:
        """Parameters, FLOPs, bytes and peak memory, and the promised speed-up."""
        unit = self.convention.unit
        (giga, flops), (mega, moved), (prefix, memory) = (
            scale(max(getattr(row, quantity) for row in self.rows)) for quantity in QUANTITIES[1:]
        )
        body = []
        for row in self.rows:
            promised = self.promised(row)
            body.append(
                [
                    row.model,
                    f"{row.params:,}",
                    _pct(self.pct(row, "params")),
                    f"{row.flops / flops:,.{3 if giga else 0}f}",
                    _pct(self.pct(row, "flops")),
                    f"{row.bytes / moved:,.{1 if mega else 0}f}",
                    _pct(self.pct(row, "bytes")),
                    f"{row.peak_memory / memory:,.{1 if prefix else 0}f}",
                    _pct(self.pct(row, "peak_memory")),
                    "" if promised is None else f"{promised:.2f}x",
                ]
            )
        columns = ["model", "params", "%", f"{giga}{unit}s", "%", f"{mega}B", "%", f"{prefix}B peak", "%", "promised"]
        labels = list(columns)
        labels[2::2] = [f"{name} %" for name in columns[1:-1:2]] + labels[10:]
        lines = [
            f"{giga}{unit}s: convention {self.convention.name}, {self.convention.source}.",
            f"%: of {self.base}. promised: {unit}s of {self.base} / of this one.",
            f"{mega}B: bytes that each operation reads and writes, as if nothing stayed in a cache; {prefix}B peak: "
            "parameters, inputs, and the results that are alive together at the fullest moment.",
            *self.calls(),
        ]
        spare = [f"{prefix}B peak %", f"{mega}B %", "params %", f"{prefix}B peak", f"{mega}B"]
        return Sheet("Costs side by side", columns, "l" + "r" * 9, body, lines, labels=labels, spare=spare)

    def calls(self) -> list[str]:
        """Notes on what is counted of each row."""
        return calls_in_words((row.model, row.inputs) for row in self.rows)

    def _speed(self, profile: str, how: "Settings", machine: str) -> Sheet:
        rows, times = [], []
        for row in self.rows:
            timing = of_way(row.timings, (profile, how))
            if timing is None:
                continue
            times.append(timing)
            promised = self.promised(row)
            measured = speedup_cells(timing, promised)
            told = "" if promised is None else f"{promised:.2f}x"
            rows.append([row.model, *time_cells(timing)[:2], told, *measured])
        columns = ["model", "ms", "95 %", "promised", "measured", "95 %", "kept %"]
        labels = ["model", "ms", "ms 95 %", "promised", "measured", "measured 95 %", "kept %"]
        lines = [
            *notes(times, self.base),
            f"promised: {self.convention.unit}s of {self.base} / of this one; measured: time of {self.base} / of this "
            "one, within rounds; kept %: measured / promised.",
        ]
        lines += not_timed(len(self.rows) - len(rows), "rows", how)
        title = f"Speed-up on {machine} (profile {profile}): {how.title}"
        return Sheet(title, columns, "lrrrrrr", rows, lines, labels=labels, spare=["ms 95 %"]).without(["95 %"])


def _pct(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def compare(
    models: "Given",
    cells: "str | Cell | Iterable[str | Cell] | None" = None,
    *,
    size: "Pair | None" = None,
    kernel: "Size | Pair" = 3,
    channels: "Size | Pair" = 128,
    classes: int | None = None,
    convention: "str | Convention" = "torch",
    recurrence: str | None = None,
    base: str | None = None,
) -> Comparison:
    """Networks, cells and modules side by side: parameters, FLOPs, bytes, peak memory, and the promised speed-up.

    ``models``: names of described networks (``"v6"``, with every one of ``cells``) and of cells (``"sep"``, with
    ``kernel`` and ``channels``); modules of the user's, which `costmodel.module` makes; counts by `costmodel.count`.
    A dictionary gives names to the latter two. ``size`` (rows x columns) is that of frames, or of the cells' maps.
    ``base``: the row that all others are compared with, by default the first. `Comparison.timed` adds times.
    `InvalidInput` for unknown names.

    >>> import costmodel
    >>> for row in (compared := costmodel.compare(["standard", "sep"], size=(32, 64))).rows:
    ...     print(row.model, row.params, row.flops, round(compared.promised(row), 2))
    standard cell 1180160 4831838208 1.0
    sep cell 140800 574619648 8.41
    """
    price = find_convention(convention)
    names, modules = apart(models)
    rows: list[ComparedRow] = []

    def add(
        model: str, inputs: tuple[str, ...], cost: Cost, memory: int, subject: "Subject | None", count: Any = None
    ) -> None:
        if any(row.model == model and row.inputs == inputs for row in rows):
            raise InvalidInput(f"{model} is given twice")
        params, flops = int(price.params(cost)), int(price.flops(cost.work))
        rows.append(ComparedRow(model, inputs, cost, params, flops, memory, subject, count=count))

    from costmodel.profiles.records import Subject, by_short_name

    sides = int_pair("kernel", kernel)
    for each in _in_order(models, names or [], modules):
        if isinstance(each, ModuleEntry):
            add(each.approach, each.inputs, each.cost, each.peak_memory, each.subject, each.count)
        elif is_cell(each):
            area: dict[str, Any] = {"kernel": sides, "channels": int_pair("channels", channels)}
            area["size"] = int_pair("size", (128, 256) if size is None else size)
            program = describe_cell(each, recurrence=recurrence, **area)
            found = Subject(cell=each, recurrence=recurrence or "convlstm", **area)
            shape = "x".join(map(str, (1, area["channels"][0], *area["size"])))
            add(approach(None, each, found.recurrence), (shape,), program.cost, program.memory, found)
        else:
            wanted = find_networks([each])
            networks = entries(
                [each], cells, recurrence=recurrence, size=size, kernel=sides, classes=classes, heads=False
            )
            for entry in networks.values():
                if entry.model not in wanted:
                    continue  # what the network extends
                shape = "x".join(map(str, (1, 3, *entry.size)))
                found = Subject.of_network(entry, sides)
                add(entry.approach, (shape,), entry.cost, entry.program.memory, found)
    if not rows:
        raise InvalidInput("nothing to compare: give networks, cells or modules")
    subjects = {row.subject: row.model for row in reversed(rows) if row.subject}
    short = {name: subjects[subject] for name, subject in by_short_name(reversed(subjects)).items()}
    whole = rows[0].model if base is None else find_base(base, [row.model for row in rows], short)
    return Comparison(price, tuple(rows), whole)


def _in_order(models: "Given", names: list[str], modules: list[Any]) -> "list[str | ModuleEntry]":
    """Names and modules as they were given."""
    if isinstance(models, str) or not isinstance(models, Iterable):
        return [*names, *(module.entry for module in modules)]
    left = iter(modules)
    return [each if isinstance(each, str) and not isinstance(models, Mapping) else next(left).entry for each in models]
