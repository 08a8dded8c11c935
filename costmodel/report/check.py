"""The result of `check`, as a table with every difference in words."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from costmodel.report.layout.document import Document
from costmodel.report.layout.sheet import Sheet
from costmodel.work.events import Work

if TYPE_CHECKING:
    from costmodel.building.check import Check, Finding, ModuleCheck

COLUMNS = ("events", "unknown ops", "launches", "parameters", "FlopCounterMode", "fvcore", "outputs")


def document(
    described: "Sequence[Check]", unchecked: Sequence[str] = (), modules: "Sequence[ModuleCheck]" = ()
) -> Document:
    """The checks, with every difference in words; ``unchecked``: subjects that an interrupted command did not reach;
    ``modules``: checks of modules of the user's."""
    checks: list[Check | ModuleCheck] = [*described, *modules]
    flat = [{"subject": c.subject} | f for c in checks for f in _record(c)["findings"]]
    return Document(
        json=lambda: {
            "ok": all(c.ok for c in checks) and not unchecked,
            "checks": [_record(c) for c in checks],
            "unchecked": list(unchecked),
        },
        csv=lambda: [f | {key: json.dumps(f[key]) for key in ("described", "seen")} for f in flat],
        sheets=lambda: [
            *([_of_modules(modules, () if described else unchecked)] if modules else []),
            *([_comparisons(described, unchecked), _parts(described)] if described else []),
        ],
    )


def _comparisons(checks: "Sequence[Check]", unchecked: Sequence[str]) -> Sheet:
    rows, differences = [], []
    for c in checks:
        findings = {finding.what: finding for finding in c.findings}
        rows.append([c.subject, "ok" if c.ok else "MISMATCH", *(_cell(findings.get(what)) for what in COLUMNS)])
        differences += [f"{c.subject}, {f.what}: {f.difference}" for f in c.findings if not f.ok]
    bad = sum(not c.ok for c in checks)
    notes = [
        "events: the events of the description against the events that torch's dispatcher saw in the module.",
        "unknown ops: dispatched operations without a rule; there should be none.",
        "launches, parameters, FlopCounterMode (FLOPs), fvcore (MACs): as seen; as described unless marked.",
        "outputs: largest deviation from hand-written cells with the module's weights (float32); -: no cell.",
        "Training-graph events (tf-profiler only) are left out: a running module has none of them.",
        *differences,
        f"{len(checks) - bad} of {len(checks)} agree" + (f", {bad} MISMATCH" if bad else ""),
        *([f"not checked, interrupted: {', '.join(unchecked)}"] if unchecked else []),
    ]
    return Sheet(
        "Description against running torch modules and third-party counters",
        ["subject", "result", *COLUMNS],
        "lllrrrrrr",
        rows,
        notes,
        spare=["unknown ops", "parameters", "launches", "outputs", "fvcore", "FlopCounterMode"],
    )


def _of_modules(checks: "Sequence[ModuleCheck]", unchecked: Sequence[str]) -> Sheet:
    columns = ("unknown ops", "parameters", "FlopCounterMode", "fvcore", "peak memory")
    rows, notes = [], []
    for c in checks:
        findings = {finding.what: finding for finding in c.findings}
        rows.append([c.subject, "ok" if c.ok else "MISMATCH", *(_cell(findings.get(what)) for what in columns)])
        notes += [f"{c.subject}, {f.what}: {f.difference}" for f in c.findings if not f.ok]
        notes += [f"{c.subject}: {note}" for note in c.notes]
        notes += [f"{c.subject}: note: {note}." for note in c.count.notes]
    bad = sum(not c.ok for c in checks)
    about = [
        "As seen in the running module; as counted, or as the rules of the tool say, unless marked. -: not compared.",
        "FlopCounterMode (FLOPs), fvcore (MACs), each as it prints them on a CPU; peak memory: bytes in torch's CPU "
        "allocator with parameters and inputs, within 5 % and 16 kB of cpu_peak_memory.",
        *notes,
        f"{len(checks) - bad} of {len(checks)} agree" + (f", {bad} MISMATCH" if bad else ""),
        *([f"not checked, interrupted: {', '.join(unchecked)}"] if unchecked else []),
    ]
    title = "Counts against running torch modules and third-party counters"
    spare = ["unknown ops", "parameters", "peak memory"]
    return Sheet(title, ["subject", "result", *columns], "llrrrrr", rows, about, spare=spare)


def _parts(checks: "Sequence[Check]") -> Sheet:
    """The totals of fvcore, itemised."""
    columns = list(checks[0].fvcore_parts)
    rows = [
        [c.subject, *(f"{c.fvcore_parts[part]:,}" for part in columns), f"{sum(c.fvcore_parts.values()):,}"]
        for c in checks
    ]
    title = "fvcore's totals itemised (FlopCounterMode: 2 x multiply-accumulate, nothing else)"
    return Sheet(title, ["subject", *columns, "fvcore"], "l" + "r" * (len(columns) + 1), rows)


def _cell(finding: "Finding | None") -> str:
    if finding is None:
        return "-"
    if finding.seen is None:
        return "fails MISMATCH"
    if isinstance(finding.seen, Work):
        return "same" if finding.ok else "MISMATCH"
    if isinstance(finding.seen, dict):
        return str(sum(finding.seen.values()))
    seen = f"{finding.seen:,}" if isinstance(finding.seen, int) else f"{finding.seen:.1e}"
    return seen if finding.ok else f"{seen} MISMATCH"


def _record(c: "Check | ModuleCheck") -> dict[str, Any]:
    return {
        "subject": c.subject,
        "ok": c.ok,
        "findings": [
            {
                "what": f.what,
                "ok": f.ok,
                "described": _plain(f.described),
                "seen": _plain(f.seen),
                "difference": f.difference,
            }
            for f in c.findings
        ],
        "fvcore_parts": dict(c.fvcore_parts),
    } | ({"notes": list(c.notes)} if hasattr(c, "notes") else {})


def _plain(value: Any) -> Any:
    return {event.value: count for event, count in value.items()} if isinstance(value, Work) else value
