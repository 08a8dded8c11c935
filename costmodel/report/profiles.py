"""The recorded profiles, with a row for each file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from costmodel.errors import InvalidInput
from costmodel.profiles.files import load
from costmodel.report.layout.document import Document
from costmodel.report.layout.sheet import Sheet


def document(paths: Mapping[str, Path]) -> Document:
    """Names, machines, dates and numbers of runs of profile files; problems of damaged files."""
    records = [_summary(name, path) for name, path in paths.items()]
    rows = [[str(r[key] or "") for key in ("name", "machine", "runs", "date", "torch")] for r in records]
    problems = [str(r["problem"]) for r in records if r["problem"]]
    problems += [f"{r['name']}: {'data sheet: ' * r['data_sheet']}{r['source']}" for r in records if r["source"]]
    problems += [f"{r['name']}: calibrated for {'; '.join(r['calibrations'])}" for r in records if r["calibrations"]]
    sheet = Sheet(
        "Profiles",
        ["name", "machine", "runs", "date", "torch"],
        "llrll",
        rows,
        problems,
        spare=["torch", "runs", "date"],
    )
    rows_of_csv = [{**r, "calibrations": "; ".join(r["calibrations"])} for r in records]
    return Document(lambda: records, lambda: rows_of_csv, lambda: [sheet])


def _summary(name: str, path: Path) -> dict[str, Any]:
    record: dict[str, Any] = dict.fromkeys(("name", "machine", "runs", "date", "torch", "source", "path", "problem"))
    record |= {"name": name, "path": str(path), "calibrations": [], "data_sheet": False}
    try:
        profile = load(path)
    except InvalidInput as error:
        return record | {"problem": str(error)}
    sheet = profile.data_sheet
    devices = dict.fromkeys(
        [run.how.device for run in profile.runs]
        + [each.how.device for each in profile.calibrations]
        + ([sheet.device] if sheet else [])
    )
    machines = ", ".join(profile.host.name(device) for device in devices) or profile.host.cpu
    host = profile.host
    date = host.date.date().isoformat() if host.date else None
    facts: dict[str, Any] = {"date": date, "torch": host.torch, "source": host.source}
    facts |= {"calibrations": [each.title for each in profile.calibrations], "data_sheet": bool(sheet)}
    return record | {"machine": machines, "runs": len(profile.runs)} | facts
