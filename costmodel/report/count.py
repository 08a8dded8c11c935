"""The cost of a module, as a table of its parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from costmodel.errors import InvalidInput, among
from costmodel.price.conventions import Convention, find_convention
from costmodel.price.latency import Predicted, Prediction
from costmodel.price.machine import Machine
from costmodel.profiles.predict import Predictor, called
from costmodel.report import predict
from costmodel.report.layout.document import Document
from costmodel.report.layout.sheet import Sheet
from costmodel.report.numbers import in_bytes, scale
from costmodel.work.cost import NOTHING, Cost
from costmodel.work.events import Event, Work

if TYPE_CHECKING:
    from costmodel.counting.count import Count
    from costmodel.work.cost import Operation

SORTS = ("order", "flops", "params", "bytes", "launches", "ms")
# Path, class, parameters of its own, operations; those that a calibrated machine predicts, which are kernels.
Part = tuple[str, str, int, "Sequence[Operation]", "Sequence[Predicted]"]


def document(
    count: "Count",
    convention: str = "torch",
    depth: int | None = None,
    sort: str | None = None,
    machine: Machine | Predictor | None = None,
    attention: str = "full",
    top: int | None = None,
) -> Document:
    """The modules of a count, ``depth`` names deep (by default all); ``sort``: in the order of execution, or the
    largest first; ``top``: that many modules, by default the slowest with a machine, else those of most FLOPs, and the
    sum of the others as one more; ``machine`` adds the time of each module, in ms, and its bound: the roofline time of
    two numbers, or the time that a calibrated machine is predicted to take; ``attention``: "full", or "masked" for the
    pairs alone that masks keep."""
    count = count.seen(attention)
    if sort not in (None, *SORTS):
        raise InvalidInput(f"unknown order {sort!r}: {among(sort, SORTS)}")
    if top is not None and top < 1:
        raise InvalidInput(f"top {top}: expected a whole number from 1")
    price = find_convention(convention)
    if count.letters:
        if machine is not None or depth is not None or top is not None or sort not in (None, "order"):
            raise InvalidInput("machine needs numbers, and so do depth, sort and top: give sizes instead of letters")
        return _formulas(count, price, attention)
    if sort == "ms" and machine is None:
        raise InvalidInput(f"sort 'ms': needs a machine; without one {', '.join(SORTS[:-1])}")
    key = sort or ("order" if top is None else "flops" if machine is None else "ms")
    times = MachineTimes(machine, machine.predict(called(count)) if isinstance(machine, Predictor) else None)
    whole = times.of(count.operations, times.prediction.rows if times.prediction else ())
    rows = _rows(_parts(count, depth, times), price, times, key, top)
    return Document(
        json=lambda: _record(count, price, attention) | whole | {"modules": rows},
        csv=lambda: [row | {"convention": price.name, "unit": price.unit} for row in rows],
        sheets=lambda: [_sheet(count, price, rows, whole, times, attention)],
    )


@dataclass(frozen=True)
class MachineTimes:
    """The time of parts on a machine: of two numbers, or calibrated, with the prediction of the whole."""

    machine: Machine | Predictor | None
    prediction: Prediction | None

    def of(self, operations: "Sequence[Operation]", rows: "Sequence[Predicted]") -> dict[str, Any]:
        """The columns of a part, times in ms; empty without a machine."""
        if self.machine is None:
            return {}
        if isinstance(self.machine, Machine):
            seconds, bound = self.machine.bound(each.cost for each in operations)
            return {"roofline_ms": 1000 * seconds, "bound": bound}
        assert self.prediction is not None
        whole = len(rows) == len(self.prediction.rows)
        return predict.columns(self.machine, self.prediction if whole else predict.part(self.prediction, rows))

    @property
    def headings(self) -> list[str]:
        if self.machine is None:
            return []
        return predict.headings(self.machine) if isinstance(self.machine, Predictor) else ["ms", "bound"]

    def notes(self) -> list[str]:
        if isinstance(self.machine, Machine):
            return [_roof(self.machine)]
        return predict.explained(self.machine, [self.prediction]) if self.machine and self.prediction else []


def _parts(count: "Count", depth: int | None, times: MachineTimes) -> list[Part]:
    parts = count.cut(depth)
    predicted = predict.cut(times.prediction.rows, depth) if times.prediction else {}
    params: dict[str, int] = {}
    for path, number in count.own_parameters.items():
        short = path if depth is None else ".".join(path.split(".")[:depth]) if path else ""
        params[short] = params.get(short, 0) + number
    # A module without operations of its own has a row only where the module has parameters of its own.
    idle = {path: () for path, number in params.items() if number and path not in parts}
    return [
        (
            path,
            count.modules.get(path, count.name if not path else ""),
            params.get(path, 0),
            operations,
            predicted.get(path, ()),
        )
        for path, operations in {**dict.fromkeys(predicted, ()), **parts, **idle}.items()
    ]


def _rows(parts: list[Part], price: Convention, times: MachineTimes, key: str, top: int | None) -> list[dict[str, Any]]:
    """A row for each part, the largest by ``key`` first; parts after the first ``top`` are summed in one row."""
    pairs = [(part, _row(part, price, times)) for part in parts]
    if key != "order":
        pairs.sort(key=lambda pair: -((predict.milliseconds_of(pair[1]) if key == "ms" else pair[1][key]) or 0))
    rest = [part for part, _ in pairs[top:]] if top else []
    rows = [row for _, row in pairs[: len(pairs) - len(rest)]]
    if rest:
        name = f"{len(rest)} other{'s' if rest[1:] else ''}"
        operations = [each for part in rest for each in part[3]]
        predicted = [each for part in rest for each in part[4]]
        rows.append(_row((name, "", sum(part[2] for part in rest), operations, predicted), price, times))
    return rows


def _row(part: Part, price: Convention, times: MachineTimes) -> dict[str, Any]:
    path, name, params, operations, predicted = part
    cost = sum((each.cost for each in operations), NOTHING)
    row = {"module": path, "class": name} | _numbers(cost, price, params) | _passes(operations, price)
    return row | times.of(operations, predicted) | {"uncounted": _uncounted(operations)}


def _passes(operations: "Sequence[Operation]", price: Convention) -> dict[str, Any]:
    """FLOPs of the forward pass and of the backward pass."""
    back = price.flops(sum((each.cost for each in operations if each.backward), NOTHING).work)
    ahead = price.flops(sum((each.cost for each in operations if not each.backward), NOTHING).work)
    return {"forward_flops": ahead, "backward_flops": back}


def _numbers(cost: Cost, price: Convention, params: int) -> dict[str, Any]:
    moved, flops = cost.reads + cost.writes, price.flops(cost.work)
    return {
        "params": params,
        "flops": flops,
        "macs": cost.work[Event.MAC],
        "reads": cost.reads,
        "writes": cost.writes,
        "bytes": moved,
        "intensity": flops / moved if moved else None,
        "launches": cost.launches,
    }


def _uncounted(operations: "Sequence[Operation]") -> int:
    return sum(not each.counted for each in operations)


def _record(count: "Count", price: Convention, attention: str) -> dict[str, Any]:
    return {
        "name": count.name,
        "inputs": list(count.inputs),
        "frames": count.frames,
        "convention": price.name,
        "unit": price.unit,
        "attention": attention,
        **_numbers(count.cost, price, count.params),
        **_passes(count.operations, price),
        "events": {event.value: number for event, number in count.work.items()},
        "uncounted": dict(count.uncounted),
        "notes": list(count.notes),
        "peak_memory_bytes": count.peak_memory if count.held >= 0 else None,
        "cpu_peak_memory_bytes": count.cpu_peak_memory if count.held >= 0 and _with_copies(count) else None,
        "memory_notes": list(count.memory_notes),
        "optimizer": count.optimizer or None,
        "optimizer_states_bytes": count.optimizer_memory.states if count.optimizer else None,
        "saved_for_backward_bytes": sum(count.saved.values()) if count.saved else None,
    }


def _sheet(
    count: "Count",
    price: Convention,
    rows: list[dict[str, Any]],
    timed: dict[str, Any],
    times: MachineTimes,
    attention: str,
) -> Sheet:
    whole = _numbers(count.cost, price, count.params) | {"module": "total", "class": count.name}
    whole |= _passes(count.operations, price) | timed
    (letter, by), (prefix, size) = scale(whole["flops"]), scale(whole["bytes"])
    unit = f"{letter}{price.unit}s"
    both = any(each.backward for each in count.operations)
    passes = {"forward_flops": f"{unit} forward", "backward_flops": f"{unit} backward"} if both else {"flops": unit}
    body = []
    for row in [*rows, whole]:
        share = 100 * row["flops"] / whole["flops"] if whole["flops"] else 0.0
        intensity = "" if row["intensity"] is None else f"{row['intensity']:.1f}"
        body.append(
            [
                row["module"] or "(itself)",
                row["class"],
                f"{row['params']:,}",
                *(f"{row[each] / by:,.{3 if letter else 0}f}" for each in passes),
                f"{share:.2f}",
                f"{row['bytes'] / size:,.{2 if prefix else 0}f}",
                intensity,
                str(row["launches"]),
                *_times(row),
            ]
        )
    notes = [
        f"{unit}: convention {price.name}, {price.source}. Total: {whole['flops']:,} {price.unit}s, "
        f"{whole['macs']:,} multiply-accumulates.",
        f"{prefix}B: bytes that each operation reads and writes, as if nothing stayed in a cache. "
        f"{price.unit}/byte: the arithmetic intensity.",
        *times.notes(),
        *_pairs(count, price, attention),
        *counted(count.work, price),
        *(_memory(count) if count.held >= 0 else []),
        *([_a_frame(count, price)] if count.frames > 1 else []),
        *([f"saved for backward: {in_bytes(sum(count.saved.values()))}."] if count.saved else []),
        *(f"note: {note}." for note in count.notes),
        *(f"NOT COUNTED, no rule: {number} x {operation}" for operation, number in count.uncounted.items()),
    ]
    title = _title(count)
    columns = ["module", "class", "params", *passes.values(), "%", f"{prefix}B", f"{price.unit}/byte", "launches"]
    columns += times.headings
    spare = [
        "launches",
        f"{price.unit}/byte",
        "class",
        "%",
        f"{prefix}B",
        "params",
        *reversed(passes.values()),
        "floor ms",
        "bound",
    ]
    return Sheet(title, columns, "ll" + "r" * (len(columns) - 2), body, notes, spare=spare).without(["remark"])


def _times(row: dict[str, Any]) -> list[str]:
    if isinstance(row.get("roofline_ms"), float):
        return [f"{row['roofline_ms']:.3g}", row["bound"] or ""]
    return predict.cells(row) if "predicted_ms" in row else []


def _pairs(count: "Count", price: Convention, attention: str) -> list[str]:
    """A note on attention whose mask leaves out pairs."""
    if all(each.masked is None for each in count.operations):
        return []
    if attention == "masked":
        return ["attention: only the pairs of a query and a key that a mask keeps."]
    masked = f"{count.masked.flops(price):,} {price.unit}s" if not count.letters else "less"
    return [f"attention: every pair of a query and a key; {masked} with those alone that a mask keeps."]


def _formulas(count: "Count", price: Convention, attention: str) -> Document:
    """Closed forms, with a row for each quantity."""
    formulas = count.formula(price)
    about = {"name": count.name, "inputs": list(count.inputs), "convention": price.name, "unit": price.unit}
    about |= {"attention": attention}
    rest = {"condition": count.condition or None, "uncounted": dict(count.uncounted), "notes": list(count.notes)}
    where = f"; holds for {count.condition}" if count.condition else ""
    notes = [
        f"{price.unit}s: convention {price.name}, {price.source}.",
        f"confirmed by counts in numbers at sizes that no form was made from{where}.",
        *_pairs(count, price, attention),
        *counted(count.work, price),
        *(f"note: {note}." for note in count.notes),
        *(f"NOT COUNTED, no rule: {number} x {operation}" for operation, number in count.uncounted.items()),
    ]
    sheet = Sheet(_title(count), ["quantity", "formula"], "ll", [list(pair) for pair in formulas.items()], notes)
    return Document(
        json=lambda: about | {"letters": list(count.letters), "formulas": formulas} | rest,
        csv=lambda: [{"quantity": name, "formula": formula} for name, formula in formulas.items()],
        sheets=lambda: [sheet],
        formulas=lambda: dict(zip(formulas.values(), count.formula(price, latex=True).values(), strict=True)),
    )


def _roof(machine: Machine) -> str:
    return (
        f"ms: roofline, each operation at the slower of {machine.peak / 1e9:g} GFLOP/s (two per multiply-accumulate) "
        f"and {machine.bandwidth / 1e9:g} GB/s, as if nothing stayed in a cache: not a prediction. "
        f"bound: the limit of most of that time. An operation below {machine.ridge:.3g} FLOP/byte is bound by memory; "
        "FLOP/byte of a row is that of its operations together."
    )


def _memory(count: "Count") -> list[str]:
    states = f", {in_bytes(count.optimizer_memory.states)} states of {count.optimizer}" if count.optimizer else ""
    held = f"{in_bytes(count.held)} of them parameters, buffers and inputs{states}"
    whole = f"peak memory: {in_bytes(count.peak_memory)}, {held}"
    if not _with_copies(count):
        return [f"{whole}."]
    return [
        f"{whole}; {in_bytes(count.cpu_peak_memory)} with what kernels of a CPU need besides results (AVX-512, two "
        "threads).",
        *(f"peak memory on a CPU: {note}." for note in count.memory_notes),
    ]


def _with_copies(count: "Count") -> bool:
    """False of a count in letters at numbers, which does not know what kernels need."""
    return all(each.workspace >= 0 for each in count.operations)


def _title(count: "Count") -> str:
    calls = "one call" if count.frames == 1 else f"a clip of {count.frames} frames, each"
    return f"{count.name}, {calls} with {', '.join(count.inputs)}"


def _a_frame(count: "Count", price: Convention) -> str:
    flops, macs = (f"{total / count.frames:,.1f}".removesuffix(".0") for total in (count.flops(price), count.macs))
    return f"a frame of the clip, on average: {flops} {price.unit}s, {macs} multiply-accumulates."


def counted(work: Work, price: Convention) -> list[str]:
    """Notes on the events that happened: those that the convention prices, and those that are priced 0."""
    known = [f"{price.prices[event]} x {event.value}" for event in work if price.prices[event] and work[event]]
    free = [event.value for event in work if not price.prices[event] and work[event]]
    lines = [f"counted: {', '.join(known)}."] if known else []
    return lines + ([f"priced 0 by {price.name}: {', '.join(free)}."] if free else [])
