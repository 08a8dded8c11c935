"""Reasons why tools disagree about one call: the count of each tool, by kind of operation."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from costmodel.report.layout.document import Document
from costmodel.report.layout.sheet import Sheet
from costmodel.work.events import Event

if TYPE_CHECKING:
    from costmodel.counting.count import Count
    from costmodel.counting.explain import Reading

PRODUCTS = ("convolution", "matrix product", "attention", "recurrent layer")  # kinds that are multiply-accumulates


def document(count: "Count", readings: "Sequence[Reading]", kinds: Sequence[str]) -> Document:
    """A table with a row for each tool and a column for each kind of operation, in the unit of each tool."""
    records = [_record(each) for each in readings]
    exact = {"macs": count.macs, "params": count.params, "uncounted": dict(count.uncounted)}
    flat = [
        {key: value for key, value in each.items() if key not in ("items", "unknown", "unseen")} for each in records
    ]
    rows = [
        [
            each.counter.name,
            each.counter.unit,
            "not known" if each.total is None else f"{each.total:,}",
            *(f"{each.items[name]:,}" if name in each.items else "-" for name in kinds),
        ]
        for each in readings
    ]
    title = f"What tools print for {count.name}, one call with {', '.join(count.inputs)}"
    columns = ["tool", "unit", "total", *kinds]
    sheet = Sheet(title, columns, "ll" + "r" * (len(kinds) + 1), rows, _notes(count, readings))
    return Document(
        json=lambda: {"name": count.name, "inputs": list(count.inputs), **exact, "tools": records},
        csv=lambda: [row | each["items"] for row, each in zip(flat, records, strict=True)],
        sheets=lambda: [sheet],
    )


def _record(each: "Reading") -> dict[str, Any]:
    return {
        "tool": each.counter.name,
        "unit": each.counter.unit,
        "source": each.counter.source,
        "total": each.total,
        "items": dict(each.items),
        "unknown": list(each.unknown),
        "unseen": dict(each.unseen),
    }


def _unseen(count: "Count", reading: "Reading", total: int) -> str:
    name = reading.counter.name
    if name == "fvcore":
        differences = ", ".join(f"{operation} {amount:+,}" for operation, amount in reading.unseen.items())
        return (
            f"Not seen by fvcore, or priced otherwise, unlike convention fvcore ({count.flops(name):,}): {differences}."
        )
    rest = total - sum(reading.unseen.values())
    return f"{name} prints {rest:,} on a CPU: it has no formula for {', '.join(reading.unseen)}."


def _notes(count: "Count", readings: "Sequence[Reading]") -> list[str]:
    macs = count.macs
    notes = [
        f"Exact: {macs:,} multiply-accumulates, {count.work[Event.BIAS]:,} bias additions. A count of FLOPs is near "
        "twice the first number, a count of MACs near the first number; the row shows the rest.",
        "-: not counted, or not seen.",
    ]
    for each in readings:
        factor = 2 if each.counter.unit == "FLOP" else 1
        seen = sum(each.items.get(name, 0) for name in PRODUCTS) / factor
        if each.total is not None and macs and seen < 0.999 * macs:
            notes.append(f"{each.counter.name} misses {100 * (1 - seen / macs):.1f} % of the multiply-accumulates.")
        elif each.total is not None and macs and seen > 1.05 * macs:
            notes.append(f"{each.counter.name} counts {seen / macs:.2f} times the actual multiply-accumulates.")
        if each.unseen and each.total is not None:
            notes.append(_unseen(count, each, each.total))
    notes += [f"{each.counter.name}: not known: {', '.join(each.unknown)}." for each in readings if each.unknown]
    return notes + [f"{each.counter.name}: {each.counter.source}." for each in readings]
