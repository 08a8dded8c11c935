"""The calibrations of a profile: the operators that were timed, and how well their samples repeat."""

import math
import statistics
from collections.abc import Sequence
from typing import Any

from costmodel.errors import InvalidInput
from costmodel.profiles.records import Calibration, Profile, Samples
from costmodel.report.layout.document import Document
from costmodel.report.layout.sheet import Sheet

COLUMNS = ["operator", "state", "points", "samples", "spread %"]


def document(profile: Profile, name: str, calibrations: Sequence[Calibration]) -> Document:
    """Calibrations of a profile, with a row for each operator and state. `InvalidInput` without calibrations."""

    def shown() -> Sequence[Calibration]:
        if not calibrations:
            raise InvalidInput(f"{name}: no calibrations to show; costmodel calibrate --out NAME records one")
        return calibrations

    def json() -> dict[str, Any]:
        host = profile.host.model_dump(mode="json", exclude_none=True)
        return {"profile": name, "host": host, "calibrations": [_record(each) for each in shown()]}

    def sheet(found: Calibration) -> Sheet:
        rows = [
            [
                *(str(row[key] or "") for key in ("operator", "state", "points", "samples")),
                "" if row["spread"] is None else f"{100 * row['spread']:.1f}",
            ]
            for row in _rows(found)
        ]
        notes = [
            f"Probes: {len(found.probes.copy)} turns, of which the median is {found.moment.words}.",
            "spread: standard deviation of a point's logarithm from round to round; the median over points.",
        ]
        machine = profile.host.name(found.how.device)
        return Sheet(f"Calibration of {machine} (profile {name}): {found.title}", COLUMNS, "llrrr", rows, notes, keys=2)

    def flat() -> list[dict[str, Any]]:
        return [{"settings": each.title, **row} for each in shown() for row in _rows(each)]

    return Document(json, flat, lambda: [sheet(each) for each in shown()])


def _record(found: Calibration) -> dict[str, Any]:
    how = found.how.model_dump(exclude_none=True)
    return {"how": how, "at": found.moment.record(), "turns": len(found.probes.copy), "rows": _rows(found)}


def _rows(found: Calibration) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str | None], list[Samples]] = {}
    for point in found.points:
        for state, samples in point.states.items():
            groups.setdefault((point.call.name, state), []).append(samples)
    rows = [_row(*key, each) for key, each in sorted(groups.items())]
    composites = [each.samples for each in found.composites]
    return [*rows, *([_row("composites", None, composites)] if composites else [])]


def _row(operator: str, state: str | None, points: Sequence[Samples]) -> dict[str, Any]:
    spreads = [statistics.stdev(map(math.log, each.seconds)) for each in points if len(each.seconds) > 1]
    return {
        "operator": operator,
        "state": state,
        "points": len(points),
        "samples": sum(len(each.seconds) for each in points),
        "spread": statistics.median(spreads) if spreads else None,
    }
