"""The data sheet of a machine, as a table."""

from typing import Any

from costmodel.profiles.records import DataSheet, Profile
from costmodel.report.layout.document import Document
from costmodel.report.layout.sheet import Sheet
from costmodel.report.numbers import number


def document(profile: Profile, name: str, sheet: DataSheet) -> Document:
    """Peaks by number format, with the bandwidth and the source."""
    rows = [(dtype, peak, sheet.sparse.get(dtype)) for dtype, peak in sheet.dense.items()]

    def json() -> dict[str, Any]:
        host = profile.host.model_dump(mode="json", exclude_none=True)
        return {"profile": name, "host": host, "data_sheet": sheet.model_dump(exclude_none=True)}

    def table() -> Sheet:
        cells = [
            [dtype, number(dense / 1e12), "" if sparse is None else number(sparse / 1e12)]
            for dtype, dense, sparse in rows
        ]
        notes = [
            f"Bandwidth of memory: {number(sheet.bandwidth / 1e9)} GB/s. A roofline uses the dense peaks.",
            *([f"Source: {profile.host.source}"] if profile.host.source else []),
        ]
        title = f"Data sheet of {profile.host.name(sheet.device)} (profile {name})"
        labels = ["dtype", "dense TFLOP/s", "sparse TFLOP/s"]
        return Sheet(title, labels, "lrr", cells, notes).without(["sparse TFLOP/s"])

    def flat() -> list[dict[str, Any]]:
        columns = ("dtype", "dense", "sparse", "bandwidth")
        return [dict(zip(columns, (*row, sheet.bandwidth), strict=True)) for row in rows]

    return Document(json, flat, lambda: [table()])
