"""The speed-up that FLOPs promise beside the measured one, for single cells and for networks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from costmodel.price.conventions import Convention
from costmodel.price.sweep import Sweep
from costmodel.profiles.timing import Timing, of_way, timings, ways
from costmodel.report import sweep as sweeps
from costmodel.report.layout.document import Document
from costmodel.report.layout.sheet import Sheet
from costmodel.report.table import Table
from costmodel.report.times import days, speedup_cells, verdicts

if TYPE_CHECKING:
    from costmodel.profiles.estimate import Estimate
    from costmodel.profiles.records import Profile, Subject


@dataclass(frozen=True)
class Promise:
    """A cell or a network that costs less than its base, the standard cell: ``promised`` is the base's FLOPs / its own.

    ``names``: the columns that name the row in tables; ``keys``: the same in JSON.
    """

    names: Mapping[str, str]
    keys: Mapping[str, Any]
    subject: "Subject"
    promised: float


def of_cells(sweep: Sweep) -> list[Promise]:
    """The points of a sweep, without the standard cell."""
    rows = [row for row in sweep.rows() if row.cell != "standard"]
    return [
        Promise(
            {name: text for name, text in sweeps.point(sweep, row).items() if name != "channels" or sweep.channels[1:]},
            {"kernel": list(row.kernel), "channels": list(row.channels), "size": list(row.size), "cell": row.cell},
            sweeps.subject(sweep, row),
            row.promised,
        )
        for row in rows
    ]


def of_networks(tables: Sequence[Table]) -> list[Promise]:
    """The rows of tables, one table for each kernel, without the rows that are their own base."""
    promises = []
    for table in tables:
        for row, entry in zip(table.rows, table.described, strict=True):
            subject = table.subject(row)
            if subject == subject.standard:
                continue
            kernel = {"kernel": "x".join(map(str, table.kernel))} if len(tables) > 1 else {}
            keys: dict[str, Any] = {
                "kernel": list(table.kernel) if row.cell else None,
                "size": table.size and list(table.size),
            }
            keys |= {"network": row.approach, "model": entry.model, "cell": row.cell}
            promises.append(Promise(kernel | {"network": row.approach}, keys, subject, 1 / row.cost_ratio))
    return promises


def document(
    promises: Sequence[Promise],
    convention: Convention,
    profiles: "Mapping[str, Profile]",
    *,
    title: str,
    base: str,
    notes: Sequence[str] = (),
) -> Document:
    """Promised and measured speed-up, the share of the promise that is kept: a table for each profile and its settings;
    one without times where no profile has a speed-up of these rows. ``base``: the name of the base in notes."""
    times = [[t for name, each in profiles.items() for t in timings(each, name, row.subject)] for row in promises]
    known = ways([t for t in of_row if t.speedup()] for of_row in times)

    def sheets() -> list[Sheet]:
        lines = [
            f"promised: {convention.unit}s of {base} / of this one; convention {convention.name}, {convention.source}."
        ]
        if not known:
            return [_sheet(f"Promised speed-up: {title}", promises, [[] for _ in promises], [*lines, *notes])]
        shown = []
        for way, machine in known.items():
            timed = [of_way(of_row, way) for of_row in times]
            body = [speedup_cells(timing, row.promised) for row, timing in zip(promises, timed, strict=True)]
            about = f"Promised and measured speed-up on {machine} (profile {way[0]}), "
            about += f"{way[1].title}: {title}"
            shown.append(_sheet(about, promises, body, [*lines, *_explained(timed, base), *notes]))
        return shown

    def records() -> list[dict[str, Any]]:
        return [
            {**row.keys, "promised": row.promised, **_measured(row, of_way(of_row, way))}
            for way in known or [None]
            for row, of_row in zip(promises, times, strict=True)
        ]

    def flat() -> list[dict[str, Any]]:
        return [{"convention": convention.name, **_columns(record)} for record in records()]

    return Document(json=lambda: {"convention": convention.name, "rows": records()}, csv=flat, sheets=sheets)


def _explained(timed: "Sequence[Timing | None]", base: str) -> list[str]:
    """Notes about measured speed-ups."""
    known = [timing for timing in timed if timing and timing.speedup()]
    lines = ["kept %: measured / promised; 100: the promise is kept."]
    if all(timing.ratio is None for timing in known):
        lines = [f"measured: as published, the time of {base} / of this one.", *lines]
    else:
        how = f"measured: time of {base} / of this one, within rounds, mean over processes; 95 %: its "
        lines = [f"{how}bootstrap interval.", *lines, *verdicts([t.ratio for t in known if t.ratio])]
    if len(known) < len(timed):
        lines.append("not timed: the profile has no time of this row, or of its base, with these settings.")
    return [*lines, *days(known)]


def _sheet(title: str, promises: Sequence[Promise], body: list[list[str]], notes: list[str]) -> Sheet:
    columns = ["promised", *["measured", "95 %", "kept %"][: len(body[0])]]
    labels = ["promised", *["measured", "measured 95 %", "kept %"][: len(body[0])]]
    names = list(promises[0].names)
    rows = [[*row.names.values(), f"{row.promised:.2f}x", *cells] for row, cells in zip(promises, body, strict=True)]
    align = "".join("l" if name in ("cell", "network") else "r" for name in names) + "r" * len(columns)
    sheet = Sheet(title, [*names, *columns], align, rows, notes, keys=len(names), labels=[*names, *labels])
    return sheet.without(["95 %"])


def _measured(row: Promise, timing: Timing | None) -> dict[str, Any]:
    """The measured part of a JSON row; null without times."""
    measured, kept = (timing.speedup(), timing.kept(row.promised)) if timing else (None, None)
    return {
        "measured": measured and measured.value,
        **_interval("measured", measured),
        "measured_verdict": measured and measured.verdict,
        "kept_pct": kept and 100 * kept.value,
        **_interval("kept_pct", kept and kept.scaled(100)),
        "machine": timing and timing.machine,
        "profile": timing and timing.profile,
        "how": timing and timing.how and timing.how.model_dump(exclude_none=True),
        "dates": list(timing.dates) if timing else [],
    }


def _interval(name: str, estimate: "Estimate | None") -> dict[str, float | None]:
    low, high = (estimate.interval if estimate else None) or (None, None)
    return {f"{name}_low": low, f"{name}_high": high}


def _columns(record: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON row as a flat one: sizes in two columns, as in a sweep; settings and dates in words."""
    from costmodel.profiles.records import SIDES

    columns: dict[str, Any] = {}
    for name, value in record.items():
        if name in SIDES:
            columns |= dict(zip(SIDES[name], value or (None, None), strict=True))
        elif name == "how":
            columns |= {"how": " ".join(f"{field}={each}" for field, each in (value or {}).items())}
        else:
            columns |= {name: " ".join(value) if isinstance(value, list) else value}
    return columns
