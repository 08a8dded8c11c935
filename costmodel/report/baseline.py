"""A count beside a saved one, as a table."""

from typing import TYPE_CHECKING

from costmodel.report.layout.document import Document
from costmodel.report.layout.sheet import Sheet

if TYPE_CHECKING:
    from costmodel.counting.baseline import Change, Comparison

MOST_MODULES = 10  # of a quantity, in tables; JSON has all


def document(comparison: "Comparison", file: str, limit: float | None = None) -> Document:
    """Quantities that rose and fell, and their modules; ``limit``: the part by which one may rise (0.02: 2 %)."""
    after = comparison.after
    about = {key: after[key] for key in ("name", "inputs", "frames", "convention", "unit", "attention")}
    record = about | {
        "baseline": file,
        "fail_over": limit,
        "verdict": None if limit is None and not comparison.other_settings else comparison.verdict(limit),
        "rose": [each.quantity for each in (comparison.over(limit) if limit is not None else ())],
        "other_settings": list(comparison.other_settings),
        "unknown": list(comparison.unknown),
        "structure": list(comparison.structure),
        "notes": list(comparison.notes),
        "changes": [each.record() for each in comparison.changes],
        "modules": [each.record() for each in comparison.modules],
    }
    rows = [each.record() for each in (*comparison.changes, *comparison.modules)]
    return Document(
        json=lambda: record,
        csv=lambda: [row | {"convention": after["convention"], "unit": after["unit"]} for row in rows],
        sheets=lambda: [_sheet(comparison, file, limit)],
    )


def _sheet(comparison: "Comparison", file: str, limit: float | None) -> Sheet:
    after, rows, hidden = comparison.after, [], len(comparison.structure[MOST_MODULES:])
    for whole in comparison.changes:
        rows.append([whole.quantity, "(whole)", *_cells(whole)])
        inside = [each for each in comparison.modules if each.quantity == whole.quantity]
        rows += [["", each.module or "(itself)", *_cells(each)] for each in inside[:MOST_MODULES]]
        hidden += len(inside[MOST_MODULES:])
    moved = [
        each.quantity
        for each in comparison.changes
        if each.verdict == "same" and any(part.quantity == each.quantity for part in comparison.modules)
    ]
    unit = "" if after["unit"] == "FLOP" else f"in {after['unit']}s, "
    notes = [
        f"FLOPs: {unit}convention {after['convention']}. Modules: their own operations, and of those that appeared, "
        "vanished, or became several, all that is in them; of peak memory, the module that runs at the fullest moment.",
        *([f"{hidden} more rows and notes on modules: --format json."] if hidden else []),
        *([f"moved between modules, the same in sum: {', '.join(moved)}."] if moved else []),
        *(f"{each}." for each in (*comparison.structure[:MOST_MODULES], *comparison.notes)),
        *(f"NOT JUDGED: {each}." for each in (*comparison.other_settings, *comparison.unknown)),
        *([_outcome(comparison, limit)] if limit is not None else []),
    ]
    columns = ["quantity", "module", "before", "now", "change"]
    return Sheet(f"{after['name']} with {', '.join(after['inputs'])}, beside {file}", columns, "llrrr", rows, notes, 2)


def _cells(change: "Change") -> list[str]:
    numbers = ["-" if each is None else f"{each:,}" for each in (change.before, change.after)]
    pct = change.pct
    if not pct or change.verdict in ("appeared", "vanished"):
        return [*numbers, change.verdict if change.verdict != "rose" else "from 0"]
    return [*numbers, f"{pct:+,.{0 if abs(pct) >= 1000 else 2}f} %" if abs(pct) >= 0.005 else f"{pct:+.1g} %"]


def _outcome(comparison: "Comparison", limit: float) -> str:
    words = f"by more than {100 * limit:g} %"
    return {
        "failed": f"rose {words}: {', '.join(each.quantity for each in comparison.over(limit))}.",
        "undecided": f"nobody can tell that nothing rose {words}.",
        "passed": f"nothing rose {words}.",
    }[comparison.verdict(limit)]
