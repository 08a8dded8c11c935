"""The predicted time of a network, a cell or a module, as a table of its parts, and as columns of other tables."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Any

from costmodel.errors import InvalidInput, among
from costmodel.price.conventions import Convention, find_convention
from costmodel.price.latency import CalibratedMachine, Predicted, Prediction
from costmodel.profiles.predict import Predictor, described, predictor
from costmodel.report.layout.document import Document
from costmodel.report.layout.sheet import Sheet
from costmodel.report.numbers import apportioned, milliseconds, scale, significant
from costmodel.work.cost import NOTHING

SORTS = ("order", "flops", "bytes", "launches", "ms")
QUANTILE = 1.645  # standard deviations from the middle of a 90 % interval to its ends
DIGITS = 5  # of the total, so of the last place of every row
COLUMNS = ("predicted_ms", "predicted_low_ms", "predicted_high_ms", "floor_ms", "bound", "not_calibrated")
EVERY_COLUMN = ("machine", *COLUMNS, "roofline_ms", "predicted_pct", "roofline_pct")  # in tables of alternatives


def part(whole: Prediction, rows: Sequence[Predicted]) -> Prediction:
    """Some rows of a prediction. Their errors are taken to be the same, so that the interval is rather too wide."""
    known = [row for row in rows if row.seconds is not None]
    seconds = sum(row.seconds or 0.0 for row in known)
    spread = sum((row.seconds or 0.0) * row.sd for row in known) / seconds if seconds else 0.0
    factor = exp(QUANTILE * spread)
    missing = Counter(row.kind for row in rows if row.seconds is None)
    floor = sum(row.floor for row in rows)
    return Prediction(tuple(rows), seconds, seconds / factor, seconds * factor, floor, missing, whole.moment)


def numbers(prediction: Prediction) -> dict[str, Any]:
    """The columns of a predicted time in every table, in milliseconds; ``not_calibrated``: operations that it lacks."""
    known = prediction.missing.total() < len(prediction.rows) or not prediction.rows
    times = (prediction.seconds, prediction.low, prediction.high)
    shown = [1e3 * each if known else None for each in times]
    values = (*shown, 1e3 * prediction.floor, prediction.bound, prediction.missing.total())
    return dict(zip(COLUMNS, values, strict=True))


def roofline(prediction: Prediction) -> dict[str, Any]:
    """The columns of a roofline time in every table, in milliseconds."""
    return {"roofline_ms": 1e3 * prediction.seconds, "bound": prediction.bound}


def columns(predictor: Predictor, prediction: Prediction) -> dict[str, Any]:
    """The columns of a machine in every table: of a prediction, or of a roofline."""
    return roofline(prediction) if predictor.is_roofline else numbers(prediction)


def without(missing: Mapping[str, int]) -> str:
    """The operations that a predicted time lacks, in words; "" for none."""
    named = [f"{number} operation{'s' if number > 1 else ''} of kind {kind}" for kind, number in missing.items()]
    return f"without {', '.join(named)}" if named else ""


def document(
    name: str,
    unit: str,
    predictor: Predictor,
    prediction: Prediction,
    classes: Mapping[str, str] | None = None,
    convention: str = "torch",
    depth: int | None = None,
    sort: str | None = None,
    top: int | None = None,
) -> Document:
    """The parts of a predicted time, ``depth`` names deep (by default all); ``sort``: in the order of execution, or the
    largest first; ``top``: that many parts, by default the slowest, and the sum of the others as one more. ``unit``:
    what takes the time, a frame, a step or a call; ``classes`` of the modules by their paths. `InvalidInput` for an
    unknown order."""
    if sort not in (None, *SORTS):
        raise InvalidInput(f"unknown order {sort!r}: {among(sort, SORTS)}")
    if top is not None and top < 1:
        raise InvalidInput(f"top {top}: expected a whole number from 1")
    price = find_convention(convention)
    known = classes or {}

    def line(path: str, of: Prediction, class_name: str = "") -> dict[str, Any]:
        return {"module": path, "class": class_name} | _numbers(predictor, of, prediction, price)

    parts = {path: part(prediction, rows) for path, rows in cut(prediction.rows, depth).items()}
    pairs = [(each, line(path, each, known.get(path, ""))) for path, each in parts.items()]
    key = sort or ("order" if top is None else "ms")
    if key != "order":
        pairs.sort(key=lambda pair: -((milliseconds_of(pair[1]) if key == "ms" else pair[1][key]) or 0))
    rest = pairs[top:] if top else []
    lines = [shown for _, shown in pairs[: len(pairs) - len(rest)]]
    if rest:
        others = part(prediction, [row for each, _ in rest for row in each.rows])
        lines.append(line(f"{len(rest)} other{'s' if rest[1:] else ''}", others))
    whole = line("total", prediction, known.get("", ""))
    of_all = {column: value for column, value in whole.items() if column not in ("module", "class", "kind")}
    about = {"name": name, "unit_of_work": unit, "machine": predictor.machine.name}
    about |= {"conditions": predictor.machine.conditions}
    priced = {"convention": price.name, "unit": price.unit}
    at = {"at": prediction.moment.record() if prediction.moment else None}
    missing = {"missing": dict(prediction.missing)}
    return Document(
        json=lambda: about | priced | at | of_all | missing | {"rows": lines},
        csv=lambda: [about | shown | priced for shown in lines],
        sheets=lambda: [_sheet(name, unit, predictor, prediction, lines, whole, price)],
    )


def cut(rows: Iterable[Predicted], depth: int | None = None) -> dict[str, list[Predicted]]:
    """Rows by the path of their operations, at most ``depth`` names deep, in order."""
    found: dict[str, list[Predicted]] = {}
    for row in rows:
        path = row.operation.path
        found.setdefault(path if depth is None else ".".join(path.split(".")[:depth]), []).append(row)
    return found


def _numbers(predictor: Predictor, of: Prediction, whole: Prediction, price: Convention) -> dict[str, Any]:
    cost = sum((row.operation.cost for row in of.rows), NOTHING)
    spent: dict[str, float] = {}
    for row in of.rows:
        spent[row.kind] = spent.get(row.kind, 0.0) + (row.seconds or 0.0)
    timed = columns(predictor, of)
    share = 100 * of.seconds / whole.seconds if whole.seconds and milliseconds_of(timed) is not None else None
    return {
        "kind": max(spent, key=lambda kind: spent[kind], default=""),
        **timed,
        "share_pct": share,
        "operations": len(of.rows),
        "replayed": sum(row.replayed for row in of.rows),
        "flops": price.flops(cost.work),
        "bytes": cost.reads + cost.writes,
        "launches": cost.launches,
    }


def milliseconds_of(line: Mapping[str, Any]) -> float | None:
    """The milliseconds of a line, predicted or of a roofline; None where nothing of it is calibrated."""
    ms: float | None = line["roofline_ms"] if "roofline_ms" in line else line["predicted_ms"]
    return ms


def _sheet(
    name: str,
    unit: str,
    predictor: Predictor,
    prediction: Prediction,
    lines: list[dict[str, Any]],
    whole: dict[str, Any],
    price: Convention,
) -> Sheet:
    (letter, by), (prefix, size) = scale(whole["flops"]), scale(whole["bytes"])
    total = round(1e9 * prediction.seconds)
    place = max(0, len(str(total)) - DIGITS)  # the power of ten of the last digit, in nanoseconds
    ns = [round(1e6 * (milliseconds_of(line) or 0)) for line in lines]
    spent = apportioned(ns, 10**place)
    shares = apportioned([10_000 * each for each in ns], sum(ns) or 1)
    body = []
    for line, each, share in zip([*lines, whole], [*spent, sum(spent)], [*shares, sum(shares)], strict=True):
        known = milliseconds_of(line) is not None
        body.append(
            [
                line["module"] or "(itself)",
                line["class"],
                line["kind"] if line is not whole else "",
                f"{each * 10**place / 1e6:.{max(0, 6 - place)}f}" if known else "",
                spread(line),
                f"{share / 100:.2f}" if known else "",
                significant(line["floor_ms"], 3) if "floor_ms" in line else "",
                line["bound"] or "",
                f"{line['flops'] / by:,.{3 if letter else 0}f}",
                f"{line['bytes'] / size:,.{2 if prefix else 0}f}",
                str(line["launches"]),
                remark(line),
            ]
        )
    counted = [f"{letter}{price.unit}s", f"{prefix}B", "launches"]
    head = ["module", "class", "kind", "ms", "+-%", "%", "floor ms", "bound", *counted, "remark"]
    spare = ["launches", f"{prefix}B", "class", f"{letter}{price.unit}s", "kind", "floor ms", "+-%"]
    rows = "A row is the sum of its operations; its interval takes their errors to be the same."
    notes = [
        *explained(predictor, [prediction]),
        *([] if predictor.is_roofline else [rows]),
        "kind: of the operations that take most of the time of a row.",
        f"{price.unit}s: convention {price.name}, {price.source}; B: bytes that each operation reads and writes.",
    ]
    verb = "Least" if predictor.is_roofline else "Predicted"
    title = f"{verb} time per {unit} of {name} on {predictor.title}"
    return Sheet(title, head, "lllrrrrlrrrl", body, notes, spare=spare).without(["class", "+-%", "floor ms", "remark"])


def spread(line: Mapping[str, Any]) -> str:
    """Half the width of the 90 % interval of a line, in per cent."""
    low, high = line.get("predicted_low_ms"), line.get("predicted_high_ms")
    return f"{50 * log(high / low):.1f}" if low and high else ""


def remark(line: Mapping[str, Any]) -> str:
    """The operations of a line that are not predicted, in words."""
    lacking, replayed = line.get("not_calibrated"), line.get("replayed")
    words = [] if not lacking else ["not calibrated" if line["predicted_ms"] is None else f"without {lacking}"]
    words += [] if not replayed else ["replayed" if replayed == line["operations"] else f"{replayed} replayed"]
    return ", ".join(words)


def explained(predictor: Predictor, predictions: Sequence[Prediction]) -> list[str]:
    """Notes on the times of a machine: the moment, the interval, the floor, what is missing and what was replayed."""
    if predictor.is_roofline:
        return [
            f"ms: roofline of {predictor.limits}, each operation at the slower of both, as if nothing stayed in a "
            "cache: not a prediction. bound: the limit of most of that time."
        ]
    missing = sum((each.missing for each in predictions), Counter[str]())
    replayed = Counter(row.kind for each in predictions for row in each.rows if row.replayed)
    moment = next((each.moment for each in predictions if each.moment), None)
    at = f", at {moment.words}{'' if moment.asked else ' (the median of its calibration)'}" if moment else ""
    lines = [
        f"ms: predicted, not measured{at}. +-%: half of the 90 % interval.",
        "floor ms: no run can be faster, by the highest rates that were measured. bound: the limit of most of the "
        "time.",
    ]
    if missing:
        all_of_them = "together " if predictions[1:] else ""
        lines.append(
            f"The times are {all_of_them}{without(missing)}: not calibrated; predict --replay times these alone."
        )
    if replayed:
        kinds = ", ".join(f"{number} of kind {kind}" for kind, number in replayed.items())
        lines.append(f"replayed: timed alone on this machine, now, and not predicted: {kinds}.")
    return lines


def headings(predictor: Predictor) -> list[str]:
    """The columns of `cells`."""
    return ["ms", "bound"] if predictor.is_roofline else ["ms", "+-%", "floor ms", "bound", "remark"]


def cells(line: Mapping[str, Any]) -> list[str]:
    """The columns of a machine in words: see `headings`."""
    ms = milliseconds_of(line)
    told = "" if ms is None else milliseconds(ms / 1e3)
    if "roofline_ms" in line:
        return [told, line["bound"] or ""]
    return [told, spread(line), significant(line["floor_ms"], 3), line["bound"] or "", remark(line)]


@dataclass(frozen=True)
class Beside:
    """The time of a row of alternatives on a machine, and that of the row or subject which percentages refer to."""

    predictor: Predictor
    prediction: Prediction
    base: Prediction

    @property
    def pct(self) -> float | None:
        """The time in per cent of the base; None where either lacks operations, and the other may not."""
        incomplete = (self.prediction.missing or self.base.missing) and self.prediction is not self.base
        return None if incomplete or not self.base.seconds else 100 * self.prediction.seconds / self.base.seconds

    def record(self) -> dict[str, Any]:
        """The columns of a row in JSON and CSV: the machine, those of `columns`, and the percentage."""
        share = "roofline_pct" if self.predictor.is_roofline else "predicted_pct"
        return {"machine": self.predictor.machine.name} | columns(self.predictor, self.prediction) | {share: self.pct}


class Alternatives:
    """The times of alternatives on a machine: of subjects, which are described, and of counted calls of modules."""

    def __init__(self, machine: str | CalibratedMachine | Predictor) -> None:
        self.predictor = machine if isinstance(machine, Predictor) else predictor(machine)
        self._known: dict[Any, Prediction] = {}

    def predict(self, of: Any) -> Prediction:
        """The time of an alternative, which is predicted once."""
        from costmodel.profiles.records import Subject

        key, of = (of, described(of)) if isinstance(of, Subject) else (id(of), of)
        if key not in self._known:
            self._known[key] = self.predictor.predict(of)
        return self._known[key]

    def beside(self, of: Any, base: Any) -> Beside:
        """The time of an alternative, and that of the subject or the call that percentages refer to."""
        return Beside(self.predictor, self.predict(of), self.predict(base))


def sheet(
    unit: str, names: Mapping[str, str], rows: Sequence[tuple[Sequence[str], Beside]], base: str, keys: int = 1
) -> Sheet:
    """A table of the times of alternatives on a machine; ``names``: the columns before the times, with their alignment;
    ``unit``: what takes the time; ``base``: of percentages, in words."""
    on = rows[0][1].predictor
    first, *others = headings(on)
    body = []
    for name, each in rows:
        ms, *rest = cells(columns(on, each.prediction))
        body.append([*name, ms, "" if each.pct is None else f"{each.pct:.2f}", *rest])
    lines = [*explained(on, [each.prediction for _, each in rows]), f"%: of {base}."]
    verb = "Least" if on.is_roofline else "Predicted"
    head, align = [*names, first, "%", *others], "".join(names.values()) + "rr" + "r" * len(others)
    labels = [*names, first, "time %", *others]
    spare = ["floor ms", "bound", "+-%"]
    found = Sheet(
        f"{verb} time per {unit} on {on.title}", head, align, body, lines, keys=keys, labels=labels, spare=spare
    )
    return found.without(["remark"])


def by_time(predicted: Iterable[Beside | None]) -> dict[str, list[float]]:
    """The predicted times of rows as a key of `costmodel.report.times.ranked`; none where rows have none."""
    times = [0.0 if each is None else each.prediction.seconds for each in predicted]
    return {"ms": times} if any(times) else {}
