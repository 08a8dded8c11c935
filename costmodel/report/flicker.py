"""mFIP and mFP of a video, as a table of its frame pairs."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from costmodel.report.layout.document import Document
from costmodel.report.layout.sheet import Sheet

if TYPE_CHECKING:
    from costmodel.video.flicker import Flicker, Flickering

READING = (
    "reading: a pixel flickers where two frames differ (inequality). Eqs. (12) to (14) print NAND: then a perfect, "
    "static segmentation would flicker everywhere."
)
LITERAL = (
    "mFP does not see pixels wrongly labelled class 0: by eq. (13) their difference is 0, as for right labels "
    "(the option class zero tells both apart)."
)
CLASS_ZERO = "mFP sees pixels wrongly labelled class 0, unlike eq. (13), where their difference is 0."


def document(flicker: "Flicker", names: Sequence[str]) -> Document:
    """The flicker of frames with these names: mFIP, and mFP where there are truths."""
    flickerings = [flicker.mfip, *([flicker.mfp] if flicker.truths else [])]
    return Document(
        json=lambda: _record(flicker, flickerings, names),
        csv=lambda: _rows(flickerings, names),
        sheets=lambda: [_sheet(flicker, flickerings, names)],
    )


def _record(flicker: "Flicker", flickerings: "list[Flickering]", names: Sequence[str]) -> dict[str, Any]:
    metrics = {
        each.metric.lower(): {
            "mean_per_mille": each.mean_per_mille,
            "literal_sum": each.literal_sum,
            "per_pair_per_mille": [_per_mille(pair) for pair in each.pairs],
        }
        for each in flickerings
    }
    return {
        "frames": flickerings[0].frames,
        "pairs": len(flickerings[0].pairs),
        "size": list(flickerings[0].size),
        "mfip": metrics["mfip"],
        "mfp": metrics.get("mfp"),
        "ignore": flicker.ignore,
        "class_zero": flicker.class_zero,
        "reading": "inequality",
        "names": list(names),
    }


def _rows(flickerings: "list[Flickering]", names: Sequence[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{"frame": one, "next": other} for one, other in pairwise(names)]
    for each in flickerings:
        counts = zip(rows, each.pairs, each.changed[0], each.compared[0], strict=True)
        for row, pair, changed, compared in counts:
            name = each.metric.lower()
            row |= {f"{name}_per_mille": _per_mille(pair), f"{name}_changed": changed, f"{name}_compared": compared}
    return rows


def _sheet(flicker: "Flicker", flickerings: "list[Flickering]", names: Sequence[str]) -> Sheet:
    body = [
        [one, other, *("-" if pair is None else f"{1000 * pair:.2f}" for pair in values)]
        for (one, other), *values in zip(pairwise(names), *(each.pairs for each in flickerings), strict=True)
    ]
    body.append(["mean per pair", "", *(f"{each.mean_per_mille:.2f}" for each in flickerings)])
    size = "x".join(map(str, flickerings[0].size))
    notes = [
        "per mille of the pixels of a frame pair, as in Tables II and III. mFIP: of label maps"
        + ("; mFP: of their differences to the truth." if flicker.truths else "."),
        "literal sum, eqs. (12) and (14) as printed, of fractions over all pairs, without 1/T: "
        + ", ".join(f"{each.metric} {each.literal_sum:.6g}" for each in flickerings)
        + ".",
        READING,
    ]
    if flicker.truths:
        notes.append(CLASS_ZERO if flicker.class_zero else LITERAL)
    if flicker.ignore is not None:
        shares = (f"{100 * _compared(each):.2f} % of the pixels ({each.metric})" for each in flickerings)
        notes.append(f"without label {flicker.ignore} in either frame: {', '.join(shares)} are compared.")
    if any(pair is None for each in flickerings for pair in each.pairs):
        notes.append("-: a pair without pixels to compare, left out of the mean.")
    title = f"Flicker of {flickerings[0].frames} frames of {size}"
    columns = ["frame", "next", *(each.metric for each in flickerings)]
    return Sheet(title, columns, "ll" + "r" * len(flickerings), body, notes, keys=2)


def _per_mille(pair: float | None) -> float | None:
    return None if pair is None else 1000 * pair


def _compared(metric: "Flickering") -> float:
    """The fraction of pixels of all pairs that were compared."""
    rows, columns = metric.size
    return sum(map(sum, metric.compared)) / (rows * columns * sum(map(len, metric.compared)))
