"""Figures of tables and of one network: overview, time, quality, layers."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

from costmodel.describe.program import Program
from costmodel.describe.selection import Entry, ModuleEntry
from costmodel.errors import InvalidInput, among, in_words
from costmodel.price.conventions import Convention, find_convention
from costmodel.profiles.recording import recording
from costmodel.profiles.timing import Timing
from costmodel.published import erfnet
from costmodel.published import lstm_icnet as published
from costmodel.report.figures.cells import Speedup, plane
from costmodel.report.figures.style import (
    COLOURS,
    MARKERS,
    SOFT,
    label,
    legend,
    mark,
    milliseconds,
    new_axes,
    restricted,
    scaled,
    shortened,
    sign,
    solid,
    timed_layers,
    unit,
)
from costmodel.report.figures.style import styles as styles_of
from costmodel.report.numbers import significant

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from costmodel.profiles.layers import Layers
    from costmodel.profiles.records import Settings
    from costmodel.report.compare import Comparison
    from costmodel.report.table import Table, TableRow

    Way: TypeAlias = tuple[str, Settings]
COSTS = ("flops", "params", "time")
METRICS = {**published.QUALITY, **erfnet.QUALITY}

# ---- tables ----------------------------------------------------------------------------------------------------------


def overview(table: "Table", *, ax: "Axes | None" = None, way: "Way | None" = None) -> "Axes":
    """Parameters, FLOPs and time of every row, relative to the first row, as in the paper's Fig. 1; where all
    percentages of the table refer to one row, relative to that row.

    ``way``: the profile and settings of the times, a key of ``table.times()``; by default the first measured times,
    else the published GPU times, as in the paper; no times where the base was not timed.
    """
    ax = new_axes(ax)
    base, times = table.whole, _times(table, way, needed=way is not None)
    whole = times.get(base.approach) if len(times) > 1 else None
    if way is not None and whole is None:
        raise InvalidInput(f"with these settings there is no time of {base.approach}, the base, or of no other network")
    unit = f"{table.convention.unit}s"
    series: Series = [
        ("parameters", [_part(row.params, base.params) for row in table.rows]),
        (unit, [_part(row.flops, base.flops) for row in table.rows]),
    ]
    if whole is not None:
        timings = [times.get(row.approach) for row in table.rows]
        pairs = [(t.median_s / whole.median_s, solid(t) and solid(whole)) if t else None for t in timings]
        series.append(("time", pairs))
    notes = [
        f"{table.unit_of_work}, {unit}: convention {table.convention.name}",
        *table.calls(),
        *(_about(table, times) if whole else []),
    ]
    names = [row.approach for row in table.rows]
    return _relative(ax, names, base.approach, series, notes, list(times.values()) if whole else ())


Series: TypeAlias = list[tuple[str, list[tuple[float, bool] | None]]]  # values and whether they are stable, by name


def _part(value: float, whole: float) -> tuple[float, bool] | None:
    return (value / whole, True) if whole else None


def _relative(
    ax: "Axes", approaches: list[str], base: str, series: Series, notes: Sequence[str], times: Sequence[Timing] = ()
) -> "Axes":
    """A row for each name, with a marker for each of the series."""
    places = range(len(approaches))[::-1]
    looks = {name: look for (name, _), look in zip(series, zip(COLOURS, MARKERS, strict=False), strict=False)}
    for name, points in series:
        for place, point in zip(places, points, strict=True):
            if point is not None:
                ax.plot(point[0], place, ls="", clip_on=False, **mark(looks[name], point[1]))
    names = _named(approaches)
    ax.set_yticks(list(places), names)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y")
    ax.set_xlabel(f"relative to {names[approaches.index(base)]}")
    ax.xaxis.set_major_formatter("{x:g}x")
    ax.set_xlim(left=min(0.9, *ax.get_xlim()))
    legend(ax, looks)
    hollow = any(point is not None and not point[1] for _, points in series for point in points)
    wrap = 48 if max(map(len, names)) <= 24 else 36  # the names of the rows take half of the width
    return sign(ax, *notes, times=times, hollow=hollow, wrap=wrap)


def _named(approaches: list[str]) -> list[str]:
    """Names beside an axis: as they are, if short; else those of the papers without their family, others shortened."""
    if max(map(len, approaches)) <= 22:
        return approaches
    modules = [n for n, name in enumerate(approaches) if ":" in name]
    names = [_short(name) for name in approaches]
    for n, name in zip(modules, shortened([approaches[n] for n in modules]), strict=True):
        names[n] = name
    return names


# ---- comparisons -----------------------------------------------------------------------------------------------------


def costs(comparison: "Comparison", *, ax: "Axes | None" = None) -> "Axes":
    """Parameters, FLOPs, bytes and peak memory of every row, relative to the base."""
    whole, unit = comparison.whole, f"{comparison.convention.unit}s"
    quantities = {"parameters": "params", unit: "flops", "bytes": "bytes", "peak memory": "peak_memory"}
    series: Series = [
        (name, [_part(getattr(row, quantity), getattr(whole, quantity)) for row in comparison.rows])
        for name, quantity in quantities.items()
    ]
    notes = [f"{unit}: convention {comparison.convention.name}", *comparison.calls()]
    return _relative(new_axes(ax), [row.model for row in comparison.rows], whole.model, series, notes)


def compared(comparison: "Comparison", *, ax: "Axes | None" = None, way: "Way | None" = None) -> "Axes":
    """Speed-up over the base, as FLOPs promise and as measured, with 95 % intervals; on the diagonal the promise is
    kept. ``way``: the profile and settings of the times, by default the first. `InvalidInput` where no row was timed
    together with the base."""
    base = comparison.whole
    way = way or next(((each.profile, each.how) for _, each in comparison.speedups() if each.how), None)
    names = dict(zip([row.model for row in comparison.rows], _named([r.model for r in comparison.rows]), strict=True))
    looks = styles_of([None, *(row.model for row in comparison.rows if row is not base)])
    points = [
        Speedup(names[row.model], looks[row.model], promised, each)
        for row, each in comparison.speedups(way)
        if (promised := comparison.promised(row))
    ]
    if not points:
        wanted = [row.subject for row in comparison.rows if row.subject]
        raise InvalidInput(
            f"no row was timed together with {base.model}, the base; to record the times: "
            f"{recording(wanted, restricted(way and way[1]))}"
        )
    note = "; ".join([f"speed-up over {base.model}", *(each.rstrip(".") for each in comparison.calls())])
    return plane(new_axes(ax), points, comparison.convention, note)


# ---- tables ----------------------------------------------------------------------------------------------------------


def time(table: "Table", *, ax: "Axes | None" = None, way: "Way | None" = None) -> "Axes":
    """Time against the FLOPs of a frame, with 95 % intervals; the dotted line is time in proportion to FLOPs, through
    the first row. ``way``: a key of ``table.times()``; by default the first measured times, else the published GPU
    times. `InvalidInput` without times."""
    ax = new_axes(ax)
    times = _times(table, way)
    shown = [row for row in table.rows if row.approach in times]
    style = styles_of(row.cell for row in shown)
    prefix, giga = scaled(max(row.flops for row in shown))
    variants: list[tuple[str, tuple[float, float]]] = []
    for base, rows in _by_network(shown).items():
        points = [(row.flops / giga, 1e3 * times[row.approach].median_s) for row in rows]
        own = isinstance(rows[0].entry, ModuleEntry)
        if own or (len(rows) > 1 and rows[0].cell is None):  # rows that differ in more than a cell: each has its name
            names = [row.approach for row in rows]
            variants += zip(_named(names) if own else names, points, strict=True)
            continue
        points.sort()
        ax.plot(*zip(*points, strict=True), color=SOFT, zorder=1)
        ax.annotate(_short(base), points[-1], xytext=(5, 0), textcoords="offset points", va="center")
    for row in shown:
        timing = times[row.approach]
        x, y = row.flops / giga, 1e3 * timing.median_s
        low, high = timing.interval_s or (timing.median_s, timing.median_s)
        ends = [[max(0.0, y - 1e3 * low)], [max(0.0, 1e3 * high - y)]]
        ax.errorbar(x, y, yerr=ends, elinewidth=0.6, **mark(style[row.cell], solid(timing)))
    ax.set_xlim(left=0)
    ax.set_ylim(bottom=0)
    first = shown[0]
    if first.flops:
        rate = 1e3 * times[first.approach].median_s / (first.flops / giga)
        right, top = ax.get_xlim()[1], ax.get_ylim()[1]
        end = min(right, top / rate)
        ax.plot([0, end], [0, rate * end], ":", color=SOFT, zorder=0)
        # Halfway to the first point, which is the cheapest one: there is room.
        where: dict[str, Any] = {"textcoords": "offset points", "va": "top"}
        text, middle = f"in proportion to {table.convention.unit}s", first.flops / giga / 2
        ax.annotate(text, (middle, rate * middle), xytext=(4, 0), **where)
        ax.set(xlim=(0, right * 1.08), ylim=(0, top))
    ax.set_xlabel(unit(table.convention, table.unit_of_work, prefix))
    ax.set_ylabel(milliseconds(times, "frame" if table.size else "call"))
    legend(ax, style)
    about = [*table.calls(), *_about(table, times)]
    sign(ax, *about, times=list(times.values()), hollow=not all(map(solid, times.values())))
    label(ax, variants)
    return ax


def quality(
    table: "Table",
    metric: str | None = None,
    cost: str = "flops",
    *,
    ax: "Axes | None" = None,
    way: "Way | None" = None,
) -> "Axes":
    """Published quality of the papers' networks (Tables II and III) against their cost, and the Pareto front: networks
    that no other network beats in both.

    ``metric``: a key of `METRICS`, by default the first metric of these networks; ``cost``: ``flops``, ``params`` or
    ``time`` (see `time` for ``way``). Quality is known for the papers' settings alone, otherwise `InvalidInput`.
    """
    if metric is None:
        metric = next(iter(metrics(table)), next(iter(METRICS)))
    if metric not in METRICS:
        raise InvalidInput(f"unknown metric {in_words(metric)}: {among(metric, METRICS)}")
    if cost not in COSTS:
        raise InvalidInput(f"unknown cost {in_words(cost)}: {among(cost, COSTS)}")
    column = METRICS[metric]
    times = _times(table, way) if cost == "time" else {}
    known = [row for row in table.rows if row.paper and row.approach in column.values]
    shown = [row for row in known if row.approach in times or cost != "time"]
    if not shown:
        printed = table.rows[0].printed
        settings = (
            f": {printed.place} is of the paper's settings "
            f"({'x'.join(map(str, printed.size))}, kernel {printed.kernel[0]}, {printed.classes} classes, "
            f"{'with' if printed.heads else 'without'} heads), without peepholes"
        )
        raise InvalidInput(
            f"the {column.label} of these networks is not published{settings if printed.rows else ''}; "
            f"{column.label} ({metric}) is of {', '.join(list(column.values)[:3])}, ..."
        )
    ax = new_axes(ax)
    points: dict[str, tuple[float, float]] = {}
    for row in shown:
        x = 1e3 * times[row.approach].median_s if times else row.flops / 1e9 if cost == "flops" else row.params / 1e6
        points[row.approach] = x, column.values[row.approach]
    style = styles_of(row.cell for row in shown)
    best = pareto(list(points.values()), column.more_is_better)
    ax.plot(*zip(*best, strict=True), color=SOFT, drawstyle="steps-post", zorder=1)
    for row in shown:
        filled = solid(times[row.approach]) if times else True
        ax.plot(*points[row.approach], ls="", **mark(style[row.cell], filled))
    ax.margins(0.12, 0.1)
    if not column.more_is_better:
        ax.invert_yaxis()
    labels = {"flops": unit(table.convention, table.unit_of_work), "params": "million parameters"}
    ax.set_xlabel(labels[cost] if cost in labels else milliseconds(times))
    ax.set_ylabel(f"{column.label} in {column.unit}" + ("" if column.more_is_better else "\nless is better"))
    legend(ax, style)
    notes = [f"{column.label}: {column.place} of the paper; line: Pareto front", _lacking(table, len(shown))]
    sign(ax, *notes, times=list(times.values()), hollow=not all(map(solid, times.values())))
    corners = [corner for a, b in pairwise(best) for corner in (a, (b[0], a[1]), b)]
    label(ax, [(_short(row.approach), points[row.approach]) for row in shown], lines=corners)
    return ax


def metrics(table: "Table") -> list[str]:
    """Names of the published metrics of a table's networks."""
    return [name for name, each in METRICS.items() if any(r.paper and r.approach in each.values for r in table.rows)]


def pareto(points: Sequence[tuple[float, float]], more_is_better: bool) -> list[tuple[float, float]]:
    """The points that no other point beats in both: less of the first value, and more (or less) of the second.

    >>> pareto([(1, 60), (2, 59), (3, 62), (3, 61)], more_is_better=True)
    [(1, 60), (3, 62)]
    """
    sign = 1 if more_is_better else -1
    best: list[tuple[float, float]] = []
    for x, y in sorted(points, key=lambda point: (point[0], -sign * point[1])):
        if not best or sign * y > sign * best[-1][1]:
            best.append((x, y))
    return best


# ---- networks --------------------------------------------------------------------------------------------------------


def layers(
    network: "Program | Entry | ModuleEntry",
    convention: "str | Convention" = "tf-profiler",
    most: int = 12,
    *,
    name: str = "",
    times: "Layers | None" = None,
    machine: str = "",
    ax: "Axes | None" = None,
) -> "Axes":
    """FLOPs of the ``most`` expensive layers of a network and of all others together; recurrent layers in colour.
    ``name``: the title, by default that of the network; the name of a `Program` does not name the cells. ``times``: of
    its parts on ``machine``, the shares of which stand beside those of the FLOPs."""
    ax = new_axes(ax)
    if times is not None:
        return _shares(times, machine, find_convention(convention), most, ax)
    price = find_convention(convention)
    program = network.program if isinstance(network, Entry) else network
    if isinstance(program, ModuleEntry):
        name, work, one = name or program.approach, f"one call with {', '.join(program.inputs)}", "call"
    else:
        frame = program.inputs[0].map
        name, work, one = name or program.name, f"{frame.rows}x{frame.columns}", "frame"
    costs = {layer: price.flops(cost.work) for layer, cost in program.layers.items()}
    total = sum(costs.values())
    if not total:
        raise InvalidInput(f"convention {price.name} gives {name} a cost of 0")
    ranked = sorted(costs, key=lambda layer: -costs[layer])
    bars = [(layer, costs[layer]) for layer in ranked[:most] if costs[layer]]
    if rest := ranked[len(bars) :]:
        bars.append((f"{len(rest)} others", sum(costs[layer] for layer in rest)))
    prefix, giga = scaled(max(costs.values()))
    recurrent = {} if isinstance(program, ModuleEntry) else {layer.split(".", 1)[0] for layer, _ in program.recurrences}
    places = range(len(bars))[::-1]
    colours = [COLOURS[1] if layer in recurrent else COLOURS[0] for layer, _ in bars]
    ax.barh(list(places), [flops / giga for _, flops in bars], color=colours, height=0.7)
    for place, (_, flops) in zip(places, bars, strict=True):
        text = f"{100 * flops / total:.1f} %"
        ax.annotate(text, (flops / giga, place), xytext=(2, 0), textcoords="offset points", va="center")
    names = [f"{layer} (recurrent)" if layer in recurrent else layer for layer, _ in bars]
    ax.set_yticks(list(places), shortened(names, most=26))
    ax.tick_params(axis="y", length=0)
    ax.margins(x=0.14)
    ax.set_xlim(left=0)
    ax.set_xlabel(unit(price, one, prefix))
    of_all, scale = scaled(total)
    wrap = 56 if max(map(len, names)) <= 24 else 44  # the names of the layers take half of the width
    return sign(ax, f"{name}, {work}: {total / scale:.2f} {of_all}{price.unit}s", wrap=wrap)


def _shares(times: "Layers", machine: str, price: Convention, most: int, ax: "Axes") -> "Axes":
    """The layers that take most of the time or of the FLOPs: both shares, and FLOPs a second."""
    spent: dict[str, list[tuple[int, int | None]]] = {}  # nanoseconds and FLOPs of the rows of each layer
    for row in times.rows:
        record = times.record(row, price)
        layer = str(record["module"]) or "(itself)"
        if times.run.subject.network and times.run.how.implementation != "compiled":
            layer = layer.split(".")[0]
        spent.setdefault("(remainder)" if row.kind == "remainder" else layer, []).append((row.ns, record["flops"]))
    total = price.flops(times.cost.work)
    if not total:
        raise InvalidInput(f"convention {price.name} gives {times.run.subject.name} a cost of 0")
    layers = {layer: (sum(ns for ns, _ in rows), _sum([flops for _, flops in rows])) for layer, rows in spent.items()}
    remainder = layers.pop("(remainder)")
    ranked = sorted(layers, key=lambda each: -max(layers[each][0] / times.total_ns, (layers[each][1] or 0) / total))
    bars = [(layer, *layers[layer]) for layer in ranked[:most]]
    if others := [layers[layer] for layer in ranked[most:]]:
        bars.append((f"{len(others)} others", sum(ns for ns, _ in others), _sum([flops for _, flops in others])))
    bars.append(("(remainder)", *remainder))
    places = range(len(bars))[::-1]
    for place, (_, ns, flops) in zip(places, bars, strict=True):
        shares = [100 * max(0, ns) / times.total_ns, 100 * (flops or 0) / total]
        ax.barh([place + 0.18, place - 0.18], shares, color=COLOURS[1::-1], height=0.34)
        rate = f"{significant(flops / ns, 3)} G{price.unit}/s" if flops and ns > 0 else "" if flops == 0 else "?"
        where: dict[str, Any] = {"xytext": (2, 0), "textcoords": "offset points", "va": "center", "fontsize": 5.5}
        ax.annotate(rate, (max(shares), place), **where)
    ax.set_yticks(list(places), shortened([layer for layer, _, _ in bars]))
    ax.tick_params(axis="y", length=0)
    ax.margins(x=0.22, y=0.02)
    ax.set_xlabel(f"% of time and of {price.unit}s")
    legend(ax, {"time": (COLOURS[1], "s"), f"{price.unit}s": (COLOURS[0], "s")})
    letter, by = scaled(total)
    unknown = f"; ?: {price.unit}s not known" if any(flops is None for _, _, flops in bars) else ""
    about = f"{total / by:.4g} {letter}{price.unit}s (convention {price.name}){unknown}"
    return sign(ax, timed_layers(times, machine), about, wrap=50)


def _sum(numbers: Sequence[int | None]) -> int | None:
    """The sum; None where a number is not known."""
    known = [each for each in numbers if each is not None]
    return sum(known) if len(known) == len(numbers) else None


# ---- parts of several figures ----------------------------------------------------------------------------------------


def _times(table: "Table", way: "Way | None", needed: bool = True) -> dict[str, Timing]:
    """Times by approach, for a profile and its settings; by default the first measured times, else the published GPU
    times."""
    every = [(row.approach, timing) for row in table.rows for timing in row.timings]
    if way is None:
        way = next(((t.profile, t.how) for _, t in every if t.seconds and t.how), None)
    if way is not None:
        times = {approach: timing for approach, timing in every if (timing.profile, timing.how) == way}
    else:
        times = {a: timing for a, timing in every if timing.clock == "published" and timing.device == "cuda"}
    if needed and not times:
        wanted = [table.subject(row) for row in table.rows]
        command = recording(wanted, restricted(way and way[1]))
        raise InvalidInput(f"none of these rows has a time; to record the times: {command}")
    return times


def _about(table: "Table", times: dict[str, Timing]) -> list[str]:
    """Differences between times and counts: networks are timed without their heads; not every row is timed."""
    heads = (
        f"{table.convention.unit}s with training heads, times without" if table.heads and table.heads_in_words else ""
    )
    counted = f"{table.convention.unit}s with {table.otherwise}, times as described" if table.otherwise else ""
    return [heads, counted, _lacking(table, len(times))]


def _lacking(table: "Table", shown: int) -> str:
    return f"{shown} of {len(table)} {table.kind}: no data about the others" if shown < len(table) else ""


def _short(approach: str) -> str:
    """``depth-LSTM-ICNet v6`` as ``depth v6``, for figures whose title names the family."""
    return approach.replace("-LSTM-ICNet", "").replace("LSTM-ICNet ", "")


def _by_network(rows: "Sequence[TableRow]") -> "dict[str, list[TableRow]]":
    """Rows of the same network, under the name of the row with standard cells."""
    networks: dict[str, list[TableRow]] = {}
    for row in rows:
        networks.setdefault(row.entry.base, []).append(row)
    return networks
