"""Plans as tables: what fits into a budget of time and memory, what of that is predicted, known and printed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from costmodel.describe.catalogue import find_network
from costmodel.describe.cells import CONV_LSTM
from costmodel.errors import InvalidInput
from costmodel.price import plan as pricing
from costmodel.price.conventions import Convention, find_convention
from costmodel.price.latency import CalibratedMachine
from costmodel.price.plan import METRIC, Found, Limits, Row
from costmodel.profiles.points import Points, point_name, value_name
from costmodel.profiles.predict import Predictor, predictor
from costmodel.report.layout.document import Document
from costmodel.report.layout.sheet import Sheet
from costmodel.report.numbers import milliseconds, scale, significant
from costmodel.report.predict import numbers
from costmodel.report.times import left_out
from costmodel.work.call import ITEM_BYTES
from costmodel.work.size import int_pair

if TYPE_CHECKING:
    import pandas as pd

    from costmodel.describe.cells import Cell
    from costmodel.describe.ops import Pair

TOP = 20
WORDS = {"time": "time", "params": "parameters", "memory": "memory"}


@dataclass(frozen=True, repr=False)
class Plan:
    """What fits into a budget: the first rows of a front, and how much there is besides; made by `plan`. ``len()`` is
    the number of rows.

    ``found.number``: of all assignments, or points of a module; ``found.fitting``: of those within the limits;
    ``found.front``: of those that no other one that fits beats.
    """

    about: str
    settings: Mapping[str, Any]  # the JSON contract of what is planned
    kind: str  # of the rows: assignments, points
    predictor: Predictor
    convention: Convention
    limits: Limits
    by: tuple[str, ...]
    found: Found
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        about = f"{self.about:.150} on {self.predictor.machine.name}: {self.found.fitting:,} of {self.found.number:,}"
        return f"<Plan of {about} {self.kind} fit; .text() prints its rows, .frame() is a pandas frame>"

    def _repr_html_(self) -> str:
        """For notebooks: the frame, cut in the middle."""
        return str(self.frame().to_html(max_rows=60))

    @property
    def rows(self) -> tuple[Row, ...]:
        return self.found.rows

    def fits(self, row: Row) -> str:
        """``surely`` where the whole interval of the time is within the budget, else ``likely``; "" without one."""
        if self.limits.seconds is None:
            return ""
        return "surely" if row.prediction.high <= self.limits.seconds else "likely"

    def text(self, form: str = "text") -> str:
        """The plan as ``text``, ``markdown``, ``latex``, ``html``, ``csv`` or ``json``."""
        return Document(self.record, self._flat, lambda: [self.sheet()]).text(form)

    def frame(self) -> "pd.DataFrame":
        """A pandas frame with a row for each row; ``attrs`` carries the settings."""
        import pandas as pd

        frame = pd.DataFrame(self._flat())
        frame.attrs.update({name: value for name, value in self.record().items() if name != "rows"})
        return frame

    def record(self) -> dict[str, Any]:
        """The JSON contract. ``predicted``, ``known`` and ``printed`` name the columns of the rows that are so."""
        seconds, moment = self.limits.seconds, self.rows[0].prediction.moment if self.rows else None
        kind = "sites" if self.kind == "assignments" else "arguments"
        return {
            **self.settings,
            "machine": self.predictor.machine.name,
            "conditions": self.predictor.machine.conditions,
            "moment": moment and moment.record(),
            "convention": self.convention.name,
            "unit": self.convention.unit,
            "budget_ms": None if seconds is None else 1e3 * seconds,
            "budget_memory_bytes": self.limits.memory,
            "by": list(self.by),
            self.kind: self.found.number,
            "fitting": self.found.fitting,
            "front": self.found.front,
            "predicted": ["predicted_ms", "predicted_low_ms", "predicted_high_ms", "bound", "fits"],
            "known": ["params", "flops", "memory_bytes"],
            "printed": {"miou": f"{METRIC.label}, {METRIC.place}"},
            "rows": [{kind: dict(row.values), **self._numbers(row)} for row in self.rows],
            "notes": list(self.notes),
        }

    def _numbers(self, row: Row) -> dict[str, Any]:
        known = {"params": row.params, "flops": row.flops, "memory_bytes": row.memory}
        printed = {"approach": row.approach or None, "miou": row.quality}
        return {**numbers(row.prediction), "fits": self.fits(row) or None, **known, **printed}

    def _flat(self) -> list[dict[str, Any]]:
        about = {"machine": self.predictor.machine.name, "convention": self.convention.name}
        flat = []
        for row in self.rows:
            columns = {**self._numbers(row), **about}
            names = {f"make_{name}" if name in columns else name: value for name, value in row.names.items()}
            flat.append({**names, **columns})
        return flat

    def sheet(self) -> Sheet:
        """The table of the rows."""
        unit = self.convention.unit
        giga, flops = scale(max((row.flops for row in self.rows), default=0))
        mega, size = scale(max((row.memory for row in self.rows), default=0))
        names = list(self.rows[0].names) if self.rows else []
        columns = ["ms", "90 %", "fits", "params", f"{giga}{unit}s", f"{mega}B", "mIoU %"]
        body = [
            [
                *row.names.values(),
                milliseconds(row.prediction.seconds),
                f"{milliseconds(row.prediction.low, 3)}-{milliseconds(row.prediction.high, 3)}",
                self.fits(row),
                f"{row.params:,}",
                significant(row.flops / flops),
                significant(row.memory / size),
                "" if row.quality is None else f"{row.quality:.2f}",
            ]
            for row in self.rows
        ]
        limits = " and ".join(self.limits.words)
        title = f"{self.about} on {self.predictor.title}: {self.kind}{f' that fit into {limits}' if limits else ''}"
        whole = Sheet(
            title,
            [*names, *columns],
            "l" * len(names) + "rrlrrrr",
            body,
            self._explained(f"{giga}{unit}s", f"{mega}B"),
            keys=len(names),
            spare=[f"{giga}{unit}s", "params", "fits"],
        )
        return whole.without(["fits", "mIoU %"])

    def _explained(self, work: str, memory: str) -> list[str]:
        found = self.found
        ranked = self.kind == "assignments" or "design" not in self.by
        costs = ", ".join(word for name, word in WORDS.items() if name in self.by)
        rule = f"no other one that fits needs less of some and no more of any of {costs}"
        if "design" in self.by and self.kind == "assignments":
            rule += ", with cells at all of its sites and kernels as large"
        if "quality" in self.by and any(row.quality is not None for row in self.rows):
            rule += "; of those with a printed mIoU, no other one with an mIoU as high"
        moment = self.rows[0].prediction.moment if self.rows else None
        lines = [
            f"{found.number:,} {self.kind}, {found.fitting:,} fit"
            + (f", {found.front:,} of these are on the front: {rule}." if ranked else "."),
            f"predicted: ms{f', at {moment.words}' if moment else ''}, and the interval of 90 %"
            + ("; fits: surely where the whole interval does." if self.limits.seconds is not None else "."),
            f"known: parameters, {work} (convention {self.convention.name}, {self.convention.source}), and {memory}, "
            "the peak memory of inference without workspaces of kernels.",
        ]
        if any(row.quality is not None for row in self.rows):
            lines.append(
                f"printed: {METRIC.label}, {METRIC.place} of the paper, for rows with exactly these cells; the quality "
                "of other rows is not known."
            )
        elif self.kind == "assignments":
            lines.append("quality: the paper prints none for these rows.")
        return [*lines, *self.notes, *left_out(found.front - len(self.rows), "rows")]


def plan(
    model: "str | Points",
    machine: "str | CalibratedMachine | Predictor",
    budget: float | None = None,
    memory: "int | str | None" = None,
    *,
    cells: "str | Cell | Sequence[str | Cell] | None" = None,
    kernels: "int | Sequence[int | Pair]" = (3,),
    sites: "Mapping[str, str | Cell | Sequence[str | Cell]] | None" = None,
    recurrence: str | None = None,
    size: "Pair | None" = None,
    classes: int | None = None,
    convention: "str | Convention" = "torch",
    by: Sequence[str] | None = None,
    sort: str = "ms",
    top: int | None = TOP,
    device: str | None = None,
    dtype: str | None = None,
    memory_format: str | None = None,
    threads: int | None = None,
    bandwidth: float | None = None,
) -> Plan:
    """The assignments of cells and kernels to the sites of a network that fit into a ``budget`` in seconds and into
    ``memory``, bytes or a text such as ``"2GB"``, and that no other one beats.

    ``cells``: names, and ``"none"`` for an empty site, by default none and the paper's four; ``sites``: other cells at
    some sites. Each cell is tried with each of ``kernels``. One assignment beats another that needs no less time,
    parameters and memory, and that has no more cells and no larger kernels; ``by`` chooses among these criteria,
    ``time``, ``params``, ``memory``, ``quality`` and ``design``. A row whose quality is printed is beaten only by a row
    with a printed quality as high. ``sort``: the largest first, by ``ms``, ``params``, ``memory`` or ``quality``;
    ``top``: at most that many rows.

    ``model`` may be points of a module, counted by `costmodel.points` at several arguments: each that fits is a row.
    ``machine`` and the last five arguments are as for `costmodel.predict`. `InvalidInput` where nothing fits, with what
    is closest; for unknown names; and where the machine is not calibrated for an operation.
    """
    limits = Limits.of(budget, memory)
    chosen = pricing.criteria(by)
    pricing.check_order(sort, top)
    price = find_convention(convention)
    how: dict[str, Any] = {"device": device, "dtype": dtype, "memory_format": memory_format, "threads": threads}
    on = machine if isinstance(machine, Predictor) else predictor(machine, bandwidth=bandwidth, **how)
    if on.is_roofline:
        raise InvalidInput(f"{on.machine.name} gives least times alone: a plan needs a calibrated machine")
    if isinstance(model, Points):
        return _of_points(model, on, limits, price, chosen, sort, top)
    network = find_network(model)
    options = pricing.options_of(model, cells, [kernels] if isinstance(kernels, int) else kernels, sites, recurrence)
    sides = int_pair("size", network.size if size is None else size)
    number = network.classes if classes is None else classes
    found = pricing.plan_sites(
        model,
        options,
        on,
        limits,
        price,
        size=sides,
        classes=number,
        itemsize=ITEM_BYTES[on.dtype],
        by=chosen,
        sort=sort,
        top=top,
    )
    about = f"{network.approach}, one {'x'.join(map(str, sides))} frame"
    others = {each.cell.recurrence for several in options.values() for each in several if each.cell} - {CONV_LSTM}
    about += f", {' and '.join(each.title for each in others)} cells" if others else ""
    settings = {"model": model, "recurrence": recurrence, "size": list(sides), "classes": number}
    notes = (f"Without training heads, which no frame runs; {number} classes.",)
    return Plan(about, settings, "assignments", on, price, limits, chosen, found, notes)


def _of_points(
    points: Points, on: Predictor, limits: Limits, price: Convention, by: tuple[str, ...], sort: str, top: int | None
) -> Plan:
    rows = []
    for each in points.rows:
        values = {**each.letters, **each.arguments}
        name = point_name(each.letters, each.arguments)
        if uncounted := dict(each.uncounted):
            raise InvalidInput(f"{name}: no rule counts {', '.join(uncounted)}: a plan needs every cost")
        rows.append(
            Row(
                {argument: value_name(value) for argument, value in values.items()},
                values,
                pricing.predict(on, on.operations(each.call), name),
                int(price.params(each.cost)),
                int(price.flops(each.cost.work)),
                each.peak_memory,
            )
        )
    found = pricing.plan_rows(rows, limits, by=by, sort=sort, top=top)
    settings = {"model": points.module, "inputs": list(points.inputs)}
    about = f"{points.module}, one call with {', '.join(points.inputs)}"
    notes = tuple(f"left out: {each.name}: {each.reason}" for each in points.left_out)
    return Plan(about, settings, "points", on, price, limits, by, found, notes)
