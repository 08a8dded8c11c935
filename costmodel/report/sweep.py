"""A sweep as a table: what each cell costs, what remains of the standard cell's cost, and the paper's approximation."""

from collections.abc import Mapping, Sequence
from typing import Any

from costmodel.describe.cells import CONV_LSTM
from costmodel.describe.errors import InvalidInput
from costmodel.describe.ops import Pair
from costmodel.price.sweep import Row, Sweep
from costmodel.report.render import Sheet, find_format, render, render_csv, render_json
from costmodel.report.timing import Timing, from_samples, milliseconds

MOST_ROWS = 1_000_000  # about a kilobyte of text and objects each

Samples = Mapping[str, Sequence[float]]


def subject(cell: str, kernel: Pair, channels: Pair, size: Pair) -> str:
    """A cell at a point, as timings name it."""
    return " ".join([cell, *("x".join(map(str, pair)) for pair in (kernel, channels, size))])


def text(sweep: Sweep, form: str, machine: str = "", samples: "Samples | None" = None) -> str:
    """The sweep as ``text``, ``markdown``, ``latex``, ``csv`` or ``json``, with timings by `subject` if any."""
    find_format(form)
    if len(sweep) > MOST_ROWS:
        raise InvalidInput(
            f"the grid has {len(sweep):,} rows; at most {MOST_ROWS:,} can be printed (the Python API takes more)"
        )
    rows = list(sweep.rows())
    times = _timings(rows, machine, samples or {})
    if form == "json":
        size = list(sweep.sizes[0])
        records = [_record(row, timing) for row, timing in zip(rows, times, strict=True)]
        named = {"recurrence": recurrences} if (recurrences := _recurrences(sweep)) else {}
        return render_json({"convention": sweep.convention.name, "size": size, **named, "rows": records})
    if form == "csv":
        return render_csv([_flat(sweep, row, timing) for row, timing in zip(rows, times, strict=True)])
    return render([_sheet(sweep, rows, times, machine)], form)


def _recurrences(sweep: Sweep) -> dict[str, str]:
    """The recurrence of each cell that is no plain ConvLSTM."""
    return {cell.name: cell.recurrence.name for cell in sweep.cells if cell.recurrence is not CONV_LSTM}


def _timings(rows: list[Row], machine: str, samples: Samples) -> list[Timing | None]:
    def timing(row: Row) -> Timing | None:
        own, standard = (
            samples.get(subject(cell, row.kernel, row.channels, row.size)) for cell in (row.cell, "standard")
        )
        return from_samples(machine, own, standard) if own else None

    return [timing(row) for row in rows]


def _record(row: Row, timing: Timing | None) -> dict[str, Any]:
    return {
        "kernel": list(row.kernel),
        "channels": list(row.channels),
        "cell": row.cell,
        "flops": row.flops,
        "params": row.params,
        "cost_ratio": row.cost_ratio,
        "approximation": row.approximation,
        "timings": [timing.record()] if timing else [],
    }


def _flat(sweep: Sweep, row: Row, timing: Timing | None) -> dict[str, Any]:
    record: dict[str, Any] = {
        "kernel_x": row.kernel[0],
        "kernel_y": row.kernel[1],
        "in_channels": row.channels[0],
        "out_channels": row.channels[1],
        "rows": row.size[0],
        "columns": row.size[1],
        "cell": row.cell,
        "recurrence": _recurrences(sweep).get(row.cell, CONV_LSTM.name),
        "convention": sweep.convention.name,
        "flops": row.flops,
        "params": row.params,
        "cost_ratio": row.cost_ratio,
        "approximation": row.approximation,
    }
    return record | ({"wall_cpu_s": timing.median_s, "wall_cpu_pct": timing.pct} if timing else {})


def _sheet(sweep: Sweep, rows: list[Row], times: list[Timing | None], machine: str) -> Sheet:
    unit = f"G{sweep.convention.unit}s"
    timed = any(times)
    columns = ["kernel", "channels", "cell", unit, "params", "cost %", "saves %", "approx. %", "error"]
    if timed:
        columns += ["ms", "time %"]
    body = []
    for row, timing in zip(rows, times, strict=True):
        cost, approximation = 100 * row.cost_ratio, 100 * row.approximation
        cells = [
            "x".join(map(str, row.kernel)),
            "x".join(map(str, dict.fromkeys(row.channels))),
            row.cell,
            f"{row.flops / 1e9:.5g}",
            f"{row.params}",
            f"{cost:.2f}",
            f"{100 - cost:.2f}",
            f"{approximation:.2f}",
            f"{approximation - cost:+.2f}",
        ]
        if timed:
            cells += [milliseconds(timing.median_s), f"{timing.pct:.2f}" if timing.pct else ""] if timing else ["", ""]
        body.append(cells)
    notes = [
        f"{unit}: convention {sweep.convention.name}, {sweep.convention.source}.",
        "cost %: what remains of the standard cell's cost. approx. %: its convolutions alone, the paper's 2/Kx, 1/I, "
        "1/I + 1/(Kx Ky) at I = O, Kx = Ky. error: approx. minus cost, in points.",
    ]
    if timed:
        notes.append(
            f"ms: median wall clock of one step on {machine}, float32, eager. "
            "time %: of the standard cell, within each round."
        )
    if others := _recurrences(sweep):
        named = ", ".join(f"{cell} {recurrence}" for cell, recurrence in others.items())
        notes.append(f"recurrence: {named}; cost %: of a standard cell with it.")
    size = "x".join(map(str, sweep.sizes[0]))
    return Sheet(
        f"ConvLSTM cells, one step on a {size} feature map", columns, "rrl" + "r" * (len(columns) - 3), body, notes
    )
