"""A sweep as a table: the cost of each cell, also relative to the standard cell, and the paper's approximation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from costmodel.describe.cells import CONV_LSTM
from costmodel.errors import InvalidInput
from costmodel.price.latency import CalibratedMachine
from costmodel.price.sweep import Row, Sweep
from costmodel.profiles.predict import Predictor
from costmodel.profiles.timing import Timing, flat, of_way, timings, ways
from costmodel.report import claims
from costmodel.report.layout.document import Document
from costmodel.report.layout.sheet import Sheet
from costmodel.report.predict import Alternatives, Beside, by_time, sheet
from costmodel.report.times import left_out, not_timed, notes, ranked, time_cells

if TYPE_CHECKING:
    from costmodel.profiles.records import Profile, Settings, Subject

MOST_ROWS = 1_000_000  # about a kilobyte of text and objects each
MOST_PREDICTED = 10_000  # about a millisecond each


def subject(sweep: Sweep, row: Row) -> "Subject":
    """The subject that is timed for a row: one step of the cell."""
    from costmodel.profiles.records import Subject

    (cell,) = (cell for cell in sweep.cells if cell.name == row.cell)
    return Subject.of_cell(cell, kernel=row.kernel, channels=row.channels, size=row.size)


def document(
    sweep: Sweep,
    profiles: "Mapping[str, Profile] | None" = None,
    keep: "Callable[[Settings], bool]" = lambda how: True,
    sort: str | None = None,
    top: int | None = None,
    machine: str | CalibratedMachine | Predictor | None = None,
) -> Document:
    """The sweep, with times of its points from profiles, for settings that ``keep`` accepts; ``sort``: the largest rows
    first, by ``flops``, ``params``, ``cost`` (%) or ``ms`` (which needs times of a single kind of run, or of a
    machine); ``top``: at most that many rows; ``machine``: a calibrated one, on which each row has a predicted time.
    `InvalidInput` above `MOST_ROWS` rows."""
    if len(sweep) > MOST_ROWS:
        raise InvalidInput(
            f"the grid has {len(sweep):,} rows; at most {MOST_ROWS:,} can be printed (the Python API takes more)"
        )
    rows = list(sweep.rows())
    times = [_timings(sweep, row, profiles or {}, keep) for row in rows]
    predicted = _predicted(sweep, rows, machine)
    columns = {"flops": "flops", "params": "params", "cost": "cost_ratio"}
    keys = {name: [getattr(row, column) for row in rows] for name, column in columns.items()} | by_time(predicted)
    places = ranked(times, keys, sort, top)
    lacking = len(rows) - len(places)
    rows, times, predicted = [rows[n] for n in places], [times[n] for n in places], [predicted[n] for n in places]

    def json() -> dict[str, Any]:
        size = {"size": list(sweep.sizes[0])} if len(sweep.sizes) == 1 else {}
        records = [
            _record(sweep, row, timed) | (each.record() if each else {})
            for row, timed, each in zip(rows, times, predicted, strict=True)
        ]
        named = {"recurrence": recurrences} if (recurrences := _recurrences(sweep)) else {}
        whole = {"convention": sweep.convention.name, **size, **named, "rows": records}
        return whole | claims.records(profiles or {}, [subject(sweep, row) for row in rows])

    return Document(
        json=json,
        csv=lambda: [
            _flat(sweep, row) | (each.record() if each else {}) | columns
            for row, each, columns in zip(rows, predicted, flat(times), strict=True)
        ],
        sheets=lambda: [
            _sheet(sweep, rows, lacking),
            *_predictions(sweep, rows, predicted),
            *_time_sheets(sweep, rows, times, profiles or {}).values(),
        ],
    )


def _predicted(
    sweep: Sweep, rows: list[Row], machine: str | CalibratedMachine | Predictor | None
) -> list[Beside | None]:
    """The time of each row on a machine, beside that of the standard cell."""
    if machine is None:
        return [None] * len(rows)
    if len(rows) > MOST_PREDICTED:
        raise InvalidInput(f"the grid has {len(rows):,} rows; the times of at most {MOST_PREDICTED:,} are predicted")
    machines = Alternatives(machine)
    about = [subject(sweep, row) for row in rows]
    return [machines.beside(each, each.standard) for each in about]


def _predictions(sweep: Sweep, rows: list[Row], predicted: list[Beside | None]) -> list[Sheet]:
    """A table of the predicted times."""
    shown = [
        ([*point(sweep, row).values(), f"{100 * row.cost_ratio:.2f}"], each)
        for row, each in zip(rows, predicted, strict=True)
        if each is not None
    ]
    if not shown:
        return []
    names = dict.fromkeys(point(sweep, rows[0]), "r") | {"cell": "l", "cost %": "r"}
    found = sheet("step", names, shown, "the standard cell", keys=len(names) - 1)
    return [replace(found, notes=[*found.notes, f"cost %: convention {sweep.convention.name}, of the standard cell."])]


def costs(sweep: Sweep) -> Sheet:
    """The cost of every cell at every point."""
    return _sheet(sweep, list(sweep.rows()))


def times(
    sweep: Sweep, profiles: "Mapping[str, Profile]", keep: "Callable[[Settings], bool]" = lambda how: True
) -> "dict[tuple[str, Settings], Sheet]":
    """A sheet for every profile and its settings."""
    rows = list(sweep.rows())
    return _time_sheets(sweep, rows, [_timings(sweep, row, profiles, keep) for row in rows], profiles)


def _recurrences(sweep: Sweep) -> dict[str, str]:
    """The recurrence of each cell that is not a plain ConvLSTM."""
    return {cell.name: cell.recurrence.name for cell in sweep.cells if cell.recurrence is not CONV_LSTM}


def _timings(
    sweep: Sweep, row: Row, profiles: "Mapping[str, Profile]", keep: "Callable[[Settings], bool]"
) -> list[Timing]:
    if not profiles:
        return []
    about = subject(sweep, row)
    every = [timing for name, profile in profiles.items() for timing in timings(profile, name, about)]
    return [timing for timing in every if timing.how and keep(timing.how)]


def _record(sweep: Sweep, row: Row, timed: list[Timing]) -> dict[str, Any]:
    size = {"size": list(row.size)} if len(sweep.sizes) > 1 else {}
    return size | {
        "kernel": list(row.kernel),
        "channels": list(row.channels),
        "cell": row.cell,
        "flops": row.flops,
        "params": row.params,
        "cost_ratio": row.cost_ratio,
        "approximation": row.approximation,
        "timings": [timing.record() for timing in timed],
    }


def _flat(sweep: Sweep, row: Row) -> dict[str, Any]:
    return {
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


def point(sweep: Sweep, row: Row) -> dict[str, str]:
    """The columns that name a row; the size of the map only where there are several."""
    size = {"map": "x".join(map(str, row.size))} if len(sweep.sizes) > 1 else {}
    kernel, channels = "x".join(map(str, row.kernel)), "x".join(map(str, dict.fromkeys(row.channels)))
    return size | {"kernel": kernel, "channels": channels, "cell": row.cell}


def _grid(
    title: str,
    sweep: Sweep,
    rows: list[Row],
    columns: list[str],
    body: list[list[str]],
    notes: list[str],
    labels: list[str] | None = None,
    spare: Sequence[str] = (),
) -> Sheet:
    points = [point(sweep, row) for row in rows]
    names = list(points[0])
    align = "r" * (len(names) - 1) + "l" + "r" * len(columns)
    whole = [[*point.values(), *line] for point, line in zip(points, body, strict=True)]
    alone = [*names, *(labels or columns)]
    return Sheet(title, [*names, *columns], align, whole, notes, keys=len(names), labels=alone, spare=spare)


def _sheet(sweep: Sweep, rows: list[Row], lacking: int = 0) -> Sheet:
    unit = f"G{sweep.convention.unit}s"
    columns = [unit, "params", "cost %", "saves %", "approx. %", "error"]
    body = []
    for row in rows:
        cost, approximation = 100 * row.cost_ratio, 100 * row.approximation
        body.append(
            [
                f"{row.flops / 1e9:.5g}",
                f"{row.params}",
                f"{cost:.2f}",
                f"{100 - cost:.2f}",
                f"{approximation:.2f}",
                f"{approximation - cost:+.2f}",
            ]
        )
    lines = [
        f"{unit}: convention {sweep.convention.name}, {sweep.convention.source}.",
        "cost %: cost relative to the standard cell. approx. %: convolutions alone, the paper's 2/Kx, 1/I, "
        "1/I + 1/(Kx Ky) at I = O, Kx = Ky. error: approx. minus cost, in points.",
    ]
    if sweep.left_out:
        lines.append(f"left out: {sweep.left_out}.")
    if others := _recurrences(sweep):
        named = ", ".join(f"{cell} {recurrence}" for cell, recurrence in others.items())
        lines.append(f"recurrence: {named}; cost %: of a standard cell with that recurrence.")
    lines += left_out(lacking, "rows")
    sizes = " on a " + "x".join(map(str, sweep.sizes[0])) + " feature map" if len(sweep.sizes) == 1 else ""
    kinds = {cell.recurrence.title for cell in sweep.cells}
    title = kinds.pop() if len(kinds) == 1 else "recurrent"
    return _grid(
        f"{title[0].upper()}{title[1:]} cells, one step{sizes}",
        sweep,
        rows,
        columns,
        body,
        lines,
        spare=["saves %", "params", "error", "approx. %"],
    )


def _time_sheets(
    sweep: Sweep, rows: list[Row], times: list[list[Timing]], profiles: "Mapping[str, Profile]"
) -> "dict[tuple[str, Settings], Sheet]":
    sheets = {}
    for (name, how), machine in ways(times).items():
        body, shown, timed = [], [], []
        for row, of_row in zip(rows, times, strict=True):
            timing = of_way(of_row, (name, how))
            if timing is None:
                continue
            shown.append(timing)
            timed.append(row)
            body.append([f"{100 * row.cost_ratio:.2f}", *time_cells(timing)])
        if how:
            about = [subject(sweep, row) for row in rows]
            lines = [*notes(shown, "the standard cell"), *(v.text for v in claims.judge(profiles[name], how, about))]
            lines.append(f"cost %: convention {sweep.convention.name}, of the standard cell.")
            lines += not_timed(len(rows) - len(timed), "rows", how)
            title = f"Time per {how.unit_of('step')} on {machine} (profile {name}): {how.title}"
            columns = ["cost %", "ms", "95 %", "%", "95 %"]
            labels = ["cost %", "ms", "ms 95 %", "time %", "time % 95 %"]
            sheets[name, how] = _grid(title, sweep, timed, columns, body, lines, labels, ["cost %"]).without(["95 %"])
    return sheets
