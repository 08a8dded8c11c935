"""The largest inputs that fit into a memory, as a table: a row for each group of letters that varies."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from costmodel.report.layout.document import Document
from costmodel.report.layout.sheet import Sheet

if TYPE_CHECKING:
    from costmodel.counting.fits import Fit, Fits


def document(fits: "Fits") -> Document:
    """The answers of `costmodel.counting.fits.fits`."""
    return Document(
        json=lambda: _record(fits),
        csv=lambda: [{name: _cell(value) for name, value in _row(each).items()} for each in fits.found],
        sheets=lambda: [_sheet(fits)],
    )


def _record(fits: "Fits") -> dict[str, Any]:
    return {
        "name": fits.name,
        "inputs": list(fits.inputs),
        "memory_bytes": fits.memory,
        "backward": fits.backward,
        "optimizer": fits.optimizer or None,
        "cpu": fits.cpu,
        "fits": [_row(each) for each in fits.found],
        "refused": dict(fits.refused),
        "memory_notes": list(fits.memory_notes),
        "notes": list(fits.notes),
    }


def _row(fit: "Fit") -> dict[str, Any]:
    return {
        "varies": list(fit.letters),
        "at": dict(fit.at),
        "largest": None if fit.sizes is None else dict(fit.sizes),
        "needs_bytes": fit.needed,
        "next": dict(fit.following),
        "next_needs_bytes": fit.following_needed,
    }


def _cell(value: Any) -> Any:
    """A value of a row in CSV: letters as ``H,W``, sizes as ``H=224,W=224``, as --vary and --at take them."""
    if isinstance(value, dict):
        return ",".join(f"{name}={size}" for name, size in value.items())
    return ",".join(value) if isinstance(value, list) else value


def _sheet(fits: "Fits") -> Sheet:
    body = [
        [
            "nothing" if fit.sizes is None else _sizes(fit.sizes),
            _sizes(fit.at),
            "" if fit.needed is None else f"{fit.needed / 1e6:,.2f}",
            _sizes(fit.following),
            f"{fit.following_needed / 1e6:,.2f}",
        ]
        for fit in fits.found
    ]
    passes = "forward and backward pass" if fits.backward else "inference"
    step = f", states and step of {fits.optimizer}" if fits.optimizer else ""
    kernels = "with what kernels of a CPU need besides" if fits.cpu else "without workspaces of kernels"
    notes = [
        f"peak memory of one call, {passes}{step}: parameters, buffers, inputs and results that are alive together, "
        f"{kernels}. What a device or a framework takes by itself is not in it.",
        *(f"{letters}: {why}" for letters, why in fits.refused.items()),
        *(f"peak memory on a CPU: {note}." for note in fits.memory_notes),
        *(f"note: {note}." for note in fits.notes),
    ]
    title = f"{fits.name} with {', '.join(fits.inputs)}: the largest that fits into {fits.memory / 1e6:,.2f} MB"
    return Sheet(title, ["largest", "at", "needs MB", "next", "needs MB"], "llrlr", body, notes)


def _sizes(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} = {size:,}" for name, size in sizes.items())
