"""Where the time of a subject goes, as a table whose rows add up to the undisturbed call."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from costmodel.errors import InvalidInput, among
from costmodel.price.conventions import Convention, find_convention
from costmodel.price.machine import Machine
from costmodel.profiles.layers import LARGE, MOST_DISTORTION, REPEATS, Layers, Row
from costmodel.profiles.records import Host
from costmodel.profiles.timing import CLOCKS
from costmodel.report.layout.document import Document
from costmodel.report.layout.sheet import Sheet
from costmodel.report.numbers import apportioned, scale, significant

SORTS = ("order", "flops", "bytes", "launches", "ms")
DIGITS = 5  # of the total, so of the last place of every row


def document(
    several: Sequence[Layers],
    host: Host,
    convention: str = "torch",
    machine: Machine | None = None,
    attention: str = "full",
    sort: str | None = None,
    top: int | None = None,
) -> Document:
    """The rows of each subject with its settings, a table each; ``sort``: in the order of execution, or the largest
    first; ``top``: that many rows, by default the slowest, and the sum of the others as one more; ``machine`` adds the
    roofline time of each row, in ms, and its bound. The remainder stays last. `InvalidInput` for an unknown order."""
    check_order(sort, top)
    price = find_convention(convention)
    key = sort or ("order" if top is None else "ms")
    rows = [_rows(each, price, machine, key, top) for each in several]
    records = [
        _record(each, host, price, machine, attention) | {"rows": lines}
        for each, lines in zip(several, rows, strict=True)
    ]
    return Document(
        json=lambda: {"host": host.model_dump(mode="json", exclude_none=True), "layers": records},
        csv=lambda: [
            _about(each) | line | {"convention": price.name, "unit": price.unit}
            for each, lines in zip(several, rows, strict=True)
            for line in lines
        ],
        sheets=lambda: [_sheet(each, host, price, lines, machine) for each, lines in zip(several, rows, strict=True)],
    )


def check_order(sort: str | None, top: int | None) -> None:
    """Raise `InvalidInput` for an order that times do not have."""
    if sort not in (None, *SORTS):
        raise InvalidInput(f"unknown order {sort!r}: with times {among(sort, SORTS)}")
    if top is not None and top < 1:
        raise InvalidInput(f"top {top}: expected a whole number from 1")


def _about(layers: Layers) -> dict[str, Any]:
    run = layers.run
    return {"subject": run.subject.title, "way": run.how.title, "clock": run.clock}


def _rows(
    layers: Layers, price: Convention, machine: Machine | None, key: str, top: int | None
) -> list[dict[str, Any]]:
    """The numbers of each row, the largest by ``key`` first, those after the first ``top`` as one row."""
    *parts, remainder = [(row, layers.record(row, price) | _bound(layers, row, machine)) for row in layers.rows]
    if key != "order":
        column = "ns" if key == "ms" else key
        if not layers.operations and key != "ms":
            raise InvalidInput(f"sort {key!r}: a profile holds times alone: order, ms")
        parts.sort(key=lambda pair: -(pair[1][column] or 0))  # what nobody knows comes last
    rest = [row for row, _ in parts[top:]] if top else []
    lines = [record for _, record in parts[: len(parts) - len(rest)]]
    if rest:
        others = Row(
            f"{len(rest)} other{'s' if rest[1:] else ''}",
            "part",
            sum(row.ns for row in rest),
            sum(row.low for row in rest),
            sum(row.high for row in rest),
            tuple(each for row in rest for each in row.operations),
        )
        lines.append(layers.record(others, price) | _bound(layers, others, machine))
    return [*lines, remainder[1]]


def _bound(layers: Layers, row: Row, machine: Machine | None) -> dict[str, Any]:
    if machine is None:
        return {}
    if (costs := layers.costs(row)) is None:
        return {"roofline_ms": None, "bound": None}
    seconds, bound = machine.bound(costs)
    return {"roofline_ms": 1000 * seconds, "bound": bound}


def _record(layers: Layers, host: Host, price: Convention, machine: Machine | None, attention: str) -> dict[str, Any]:
    run = layers.run
    low, high = layers.total_range
    return {
        "subject": run.subject.model_dump(exclude_defaults=True),
        "name": run.subject.title,
        "machine": host.name(run.how.device),
        "device": run.how.device,
        "clock": run.clock,
        "how": run.how.model_dump(exclude_none=True),
        "convention": price.name,
        "unit": price.unit,
        "attention": attention,
        "processes": len(run.processes),
        "turns": sum(len(process.undisturbed.seconds) for process in run.processes),
        "total_ns": layers.total_ns,
        "total_low_ns": low,
        "total_high_ns": high,
        "total_flops": price.flops(layers.cost.work),
        "total_bytes": layers.moved,
        "read_ns": [process.read for process in run.processes],
        "levels": [
            {
                "level": number,
                "parts": len(level.paths),
                "distortion": distortion,
                "distortion_low": min(each),
                "distortion_high": max(each),
                "shown": number <= layers.shown,
            }
            for number, (level, distortion, each) in enumerate(
                zip(run.levels, layers.distortions, layers.distorted, strict=True), 1
            )
        ],
        "unsteady": [row.path for row in layers.unsteady],
    } | ({} if machine is None else {"peak_flops": machine.peak, "bandwidth": machine.bandwidth})


def _sheet(
    layers: Layers, host: Host, price: Convention, lines: list[dict[str, Any]], machine: Machine | None
) -> Sheet:
    run, total = layers.run, layers.total_ns
    flops, moved = price.flops(layers.cost.work), layers.moved
    (letter, by), (prefix, size) = scale(flops), scale(moved or 0)
    place = max(0, len(str(total)) - DIGITS)  # the power of ten of the last digit, in nanoseconds
    low, high = layers.total_range
    whole = {"module": "total", "kind": "total", "class": layers.classes.get("", ""), "ns": total, "low_ns": low}
    whole |= {"high_ns": high, "flops": flops, "bytes": moved, "launches": layers.launches}
    if machine:
        bounds = [layers.costs(row) for row in layers.rows if row.kind != "remainder" or row.operations]
        known = [cost for costs in bounds for cost in costs or ()]
        roof, bound = machine.bound(known) if None not in bounds else (None, None)
        whole |= {"roofline_ms": None if roof is None else 1000 * roof, "bound": bound}
    spent = apportioned([line["ns"] for line in lines], 10**place)
    shares = apportioned([10_000 * line["ns"] for line in lines], total)
    several = len(run.processes) > 1

    def work(line: dict[str, Any]) -> list[str]:
        return [
            _amount(line["flops"], by, 3 if letter else 0),
            _amount(line["bytes"], size, 2 if prefix else 0),
            _amount(line["launches"], 1, 0),
            _rate(line["flops"], line["ns"]),
            _rate(line["bytes"], line["ns"]),
        ]

    body = []
    for line, ns, share in zip([*lines, whole], [*spent, sum(spent)], [*shares, sum(shares)], strict=True):
        spread = (line["high_ns"] - line["low_ns"]) / 2 / abs(line["ns"]) if line["ns"] else None
        body.append(
            [
                _name(line),
                line["class"],
                f"{ns * 10**place / 1e6:.{max(0, 6 - place)}f}",
                "" if spread is None or not several else f"{100 * spread:.1f}" if spread < 10 else ">999",
                f"{share / 100:.2f}",
                *(work(line) if layers.operations else [""] * 5),
                *([_rounded(line["roofline_ms"]), line["bound"] or ""] if machine else []),
            ]
        )
    counted = [f"{letter}{price.unit}s", f"{prefix}B", "launches", f"G{price.unit}/s", "GB/s"]
    columns = ["module", "class", "ms", "+-%", "%", *counted, *(["roofline ms", "bound"] if machine else [])]
    spare = ["launches", f"{prefix}B", "class", f"{letter}{price.unit}s", "GB/s", "roofline ms", "+-%", "bound"]
    calls = run.how.unit_of("call" if run.subject.module else "frame" if run.subject.network else "step")
    title = f"Layers of {run.subject.title}, time per {calls} on {host.name(run.how.device)}: {run.how.title}"
    return Sheet(
        title, columns, "ll" + "r" * (len(columns) - 2), body, _notes(layers, price, machine), spare=spare
    ).without(["class", "+-%", *counted])


def _name(line: dict[str, Any]) -> str:
    """The path of a row, in words where the row is not all of the part."""
    if line["kind"] == "remainder":
        return "(remainder)"
    path: str = line["module"]
    return "(itself)" if not path else f"{path} (rest)" if line["kind"] == "rest" else path


def _amount(number: int | None, unit: float, digits: int) -> str:
    return "" if number is None else f"{number / unit:,.{digits}f}"


def _rounded(number: float | None) -> str:
    return "" if number is None else f"{number:.3g}"


def _rate(work: int | None, ns: int) -> str:
    return significant(work / ns, 3) if work and ns > 0 else ""


def _notes(layers: Layers, price: Convention, machine: Machine | None) -> list[str]:
    run = layers.run
    processes = len(run.processes)
    turns = sum(len(process.undisturbed.seconds) for process in run.processes)
    told = [f"level {n} {100 * each:+.1f} %" for n, each in enumerate(layers.distortions, 1)]
    lines = [
        f"ms: {CLOCKS[run.clock]}; the total is the undisturbed call, its median over {processes} "
        f"process{'es' if processes > 1 else ''} ({turns} turns); a part is its share of the undisturbed call in the "
        "fastest turns. All rows add up to the total.",
        "+-%: half the range over processes. (rest): the code of a module outside of the modules in it; (itself): that "
        "of the whole; (remainder): what no row holds, by noise also negative.",
        f"distortion, the call with marks relative to the undisturbed call: {', '.join(told)}.",
    ]
    if layers.shown < len(run.levels) and abs(layers.distortions[layers.shown]) > MOST_DISTORTION:
        each = layers.distorted[layers.shown]
        what = f"level {layers.shown + 1}" + (" and those below" if layers.shown + 1 < len(run.levels) else "")
        lines.append(
            f"NOT SHOWN: {what}, whose marks changed the time of the whole by "
            f"{100 * layers.distortions[layers.shown]:+.1f} %, more than {100 * MOST_DISTORTION:.0f} % (in single "
            f"processes {100 * min(each):+.1f} to {100 * max(each):+.1f} %). Larger inputs, more rounds or a quieter "
            "machine may show it."
        )
    if layers.unsteady and processes > 1:
        names = ", ".join(row.path or "(itself)" for row in layers.unsteady)
        lines.append(
            f"More than {100 * LARGE:.0f} % of the total, and not within {100 * REPEATS:.0f} % over processes: {names}."
        )
    if layers.operations:
        lines.append(
            f"{price.unit}s: convention {price.name}, {price.source}; B: bytes that {layers.moving} read and write."
        )
    if machine:
        lines.append(
            f"roofline ms: each {layers.moving.removesuffix('s')} at the slower of {machine.peak / 1e9:g} GFLOP/s and "
            f"{machine.bandwidth / 1e9:g} GB/s; bound: the limit of most of that time."
        )
    return [*lines, *layers.notes(price)]


def destination(file: str) -> Path:
    """The path of a trace, checked before anything is measured; `InvalidInput` where nothing can be written."""
    path = Path(file)
    try:
        existed = path.exists()
        with path.open("a"):
            pass
        if not existed:
            path.unlink()
    except OSError as error:
        raise InvalidInput(f"trace {file!r} cannot be written: {error.strerror}") from None
    return path
