"""Figures: each function draws what one kind of result says into matplotlib axes, and returns them."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

from costmodel.describe.errors import InvalidInput
from costmodel.describe.program import Program
from costmodel.price.conventions import Convention, find_convention
from costmodel.published import erfnet
from costmodel.published import lstm_icnet as published
from costmodel.report import sweep as sweeps
from costmodel.report.drawing import (
    CLASSES,
    COLOURS,
    FAINT,
    INK,
    MARKERS,
    PAPER,
    SOFT,
    STYLE,
    label,
    legend,
    mark,
    new_axes,
    sign,
    solid,
)
from costmodel.report.drawing import styles as styles_of
from costmodel.report.timing import Timing, recording, timings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from costmodel.price.simulation import Simulation
    from costmodel.price.sweep import Row, Sweep
    from costmodel.profiles import How, Profile
    from costmodel.report.table import Table, TableRow

    Way: TypeAlias = tuple[str, How]

__all__ = ["STYLE", "flicker", "kernels", "layers", "overview", "promise", "quality", "time", "timeline"]
COSTS = ("flops", "params", "time")
METRICS = {**published.QUALITY, **erfnet.QUALITY}

# ---- tables ----------------------------------------------------------------------------------------------------------


def overview(table: "Table", *, ax: "Axes | None" = None, way: "Way | None" = None) -> "Axes":
    """Parameters, FLOPs and time of every row, relative to the first one, as in the paper's Fig. 1.

    ``way``: the profile and way to run whose times are shown, a key of ``table.times()``; by default the first measured
    one, else the published GPU times, as in the paper; none where the first row was not timed.
    """
    ax = new_axes(ax)
    base, times = table.rows[0], _times(table, way, needed=way is not None)
    whole = times.get(base.approach) if len(times) > 1 else None
    if way is not None and whole is None:
        raise InvalidInput(f"{base.approach}, which the others are relative to, or they were not timed in this way")
    unit = f"{table.convention.unit}s"
    series: list[tuple[str, list[tuple[float, bool] | None]]] = [
        ("parameters", [(row.params / base.params, True) for row in table.rows]),
        (unit, [(row.flops / base.flops, True) for row in table.rows]),
    ]
    if whole is not None:
        found = [times.get(row.approach) for row in table.rows]
        pairs = [(t.median_s / whole.median_s, solid(t) and solid(whole)) if t else None for t in found]
        series.append(("time", pairs))
    places = range(len(table.rows))[::-1]
    looks = {name: look for (name, _), look in zip(series, zip(COLOURS, MARKERS, strict=False), strict=False)}
    for name, points in series:
        for place, point in zip(places, points, strict=True):
            if point is not None:
                ax.plot(point[0], place, ls="", clip_on=False, **mark(looks[name], point[1]))
    names = [row.approach for row in table.rows]
    names = names if max(map(len, names)) <= 22 else [_short(name) for name in names]
    ax.set_yticks(list(places), names)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y")
    ax.set_xlabel(f"relative to {base.approach}")
    ax.xaxis.set_major_formatter("{x:g}x")
    ax.set_xlim(left=min(0.9, *ax.get_xlim()))
    legend(ax, looks)
    hollow = any(point is not None and not point[1] for _, points in series for point in points)
    frame = f"{'x'.join(map(str, table.size))} frame"
    said = [f"{frame}, {unit}: convention {table.convention.name}", *(_about(table, times) if whole else [])]
    wrap = 48 if max(map(len, names)) <= 24 else 36  # the names of the rows take half of the width
    return sign(ax, *said, times=list(times.values()) if whole else (), hollow=hollow, wrap=wrap)


def time(table: "Table", *, ax: "Axes | None" = None, way: "Way | None" = None) -> "Axes":
    """Time against the FLOPs of a frame, with 95 % intervals; the dotted line is time in proportion to FLOPs, from the
    first row on. ``way``: a key of ``table.times()``; by default the first measured one, else the published GPU times.
    """
    ax = new_axes(ax)
    times = _times(table, way)
    shown = [row for row in table.rows if row.approach in times]
    style = styles_of(row.cell for row in shown)
    variants: list[tuple[str, tuple[float, float]]] = []
    for base, rows in _by_network(shown).items():
        points = [(row.flops / 1e9, 1e3 * times[row.approach].median_s) for row in rows]
        if len(rows) > 1 and rows[0].cell is None:  # they differ in more than a cell: each has its name
            variants += zip((row.approach for row in rows), points, strict=True)
            continue
        points.sort()
        ax.plot(*zip(*points, strict=True), color=SOFT, zorder=1)
        ax.annotate(_short(base), points[-1], xytext=(5, 0), textcoords="offset points", va="center")
    for row in shown:
        timing = times[row.approach]
        x, y = row.flops / 1e9, 1e3 * timing.median_s
        low, high = timing.interval_s or (timing.median_s, timing.median_s)
        ends = [[max(0.0, y - 1e3 * low)], [max(0.0, 1e3 * high - y)]]
        ax.errorbar(x, y, yerr=ends, elinewidth=0.6, **mark(style[row.cell], solid(timing)))
    ax.set_xlim(left=0)
    ax.set_ylim(bottom=0)
    first = shown[0]
    if first.flops:
        rate = 1e3 * times[first.approach].median_s / (first.flops / 1e9)
        right, top = ax.get_xlim()[1], ax.get_ylim()[1]
        end = min(right, top / rate)
        ax.plot([0, end], [0, rate * end], ":", color=SOFT, zorder=0)
        # Halfway to the first point, which is the cheapest one: there is room.
        where: dict[str, Any] = {"textcoords": "offset points", "va": "top"}
        text, half = f"in proportion to {table.convention.unit}s", (first.flops / 2e9, rate * first.flops / 2e9)
        ax.annotate(text, half, xytext=(4, 0), **where)
        ax.set(xlim=(0, right * 1.08), ylim=(0, top))
    ax.set_xlabel(_unit(table.convention, table.size))
    ax.set_ylabel(_milliseconds(times))
    legend(ax, style)
    sign(ax, *_about(table, times), times=list(times.values()), hollow=not all(map(solid, times.values())))
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
    """Published quality of the papers' networks (Tables II and III) against their cost, and the Pareto front: what no
    other network beats in both.

    ``metric``: a key of `METRICS`, by default the first that is about these networks; ``cost``: ``flops``, ``params``
    or ``time`` (see `time` for ``way``). Quality is known for the papers' settings alone.
    """
    if metric is None:
        metric = next(iter(metrics(table)), next(iter(METRICS)))
    if metric not in METRICS:
        raise InvalidInput(f"unknown metric {metric!r}: one of {', '.join(METRICS)}")
    if cost not in COSTS:
        raise InvalidInput(f"unknown cost {cost!r}: one of {', '.join(COSTS)}")
    column = METRICS[metric]
    times = _times(table, way) if cost == "time" else {}
    known = [row for row in table.rows if row.paper and row.approach in column.values]
    shown = [row for row in known if row.approach in times or cost != "time"]
    if not shown:
        printed = table.rows[0].printed
        raise InvalidInput(
            f"the {column.label} of these networks is not published: {printed.place} is of the paper's settings "
            f"({'x'.join(map(str, printed.size))}, kernel {printed.kernel[0]}, {printed.classes} classes, "
            f"{'with' if printed.heads else 'without'} heads), without peepholes; {column.label} ({metric}) is of "
            f"{', '.join(list(column.values)[:3])}, ..."
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
    labels = {"flops": _unit(table.convention, table.size), "params": "million parameters"}
    ax.set_xlabel(labels[cost] if cost in labels else _milliseconds(times))
    ax.set_ylabel(f"{column.label} in {column.unit}" + ("" if column.more_is_better else "\nless is better"))
    legend(ax, style)
    told = [f"{column.label}: {column.place} of the paper; line: Pareto front", _lacking(table, len(shown))]
    sign(ax, *told, times=list(times.values()), hollow=not all(map(solid, times.values())))
    corners = [corner for a, b in pairwise(best) for corner in (a, (b[0], a[1]), b)]
    label(ax, [(_short(row.approach), points[row.approach]) for row in shown], lines=corners)
    return ax


def metrics(table: "Table") -> list[str]:
    """The published qualities of a table's networks."""
    return [name for name, each in METRICS.items() if any(r.paper and r.approach in each.values for r in table.rows)]


def pareto(points: Sequence[tuple[float, float]], more_is_better: bool) -> list[tuple[float, float]]:
    """The points that no other one beats in both: less of the first, and more (or less) of the second.

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
    program: Program,
    convention: "str | Convention" = "tf-profiler",
    most: int = 12,
    *,
    name: str = "",
    ax: "Axes | None" = None,
) -> "Axes":
    """FLOPs of the ``most`` expensive layers of a network and of all others together; recurrent layers in colour.
    ``name``: what to call it, by default the name of the program, which does not tell its cells."""
    ax = new_axes(ax)
    price = find_convention(convention)
    costs = {layer: price.flops(cost.work) for layer, cost in program.layers.items()}
    total = sum(costs.values())
    if not total:
        raise InvalidInput(f"convention {price.name} prices nothing of {program.name}")
    ranked = sorted(costs, key=lambda layer: -costs[layer])
    bars = [(layer, costs[layer]) for layer in ranked[:most]]
    if rest := ranked[most:]:
        bars.append((f"{len(rest)} others", sum(costs[layer] for layer in rest)))
    recurrent = {name.split(".", 1)[0] for name, _ in program.recurrences}
    places = range(len(bars))[::-1]
    colours = [COLOURS[1] if name in recurrent else COLOURS[0] for name, _ in bars]
    ax.barh(list(places), [flops / 1e9 for _, flops in bars], color=colours, height=0.7)
    for place, (_, flops) in zip(places, bars, strict=True):
        text = f"{100 * flops / total:.1f} %"
        ax.annotate(text, (flops / 1e9, place), xytext=(2, 0), textcoords="offset points", va="center")
    ax.set_yticks(list(places), [f"{name} (recurrent)" if name in recurrent else name for name, _ in bars])
    ax.tick_params(axis="y", length=0)
    ax.margins(x=0.14)
    ax.set_xlim(left=0)
    ax.set_xlabel(_unit(price))
    frame = "x".join(map(str, (program.inputs[0].map.rows, program.inputs[0].map.columns)))
    return sign(ax, f"{name or program.name}, {frame}: {total / 1e9:.2f} G{price.unit}s", wrap=56)


# ---- cells -----------------------------------------------------------------------------------------------------------


def kernels(sweep: "Sweep", *, ax: "Axes | None" = None) -> "Axes":
    """What remains of the standard cell's cost at every kernel (over channels, where there is one kernel): solid, with
    the approximation of the paper dashed. It does not depend on the size of the map."""
    from matplotlib.ticker import LogLocator, NullLocator

    ax = new_axes(ax)
    over_channels = len(sweep.kernels) == 1 and len(sweep.channels) > 1
    style = styles_of(cell.name for cell in sweep.cells)
    series: dict[str, dict[str, dict[str, Row]]] = {}  # of a cell, at channels, at a kernel; or the other way round
    for row in sweep.rows():
        along, aside = (_channels(row), _kernel(row)) if over_channels else (_kernel(row), _channels(row))
        series.setdefault(row.cell, {}).setdefault(aside, {}).setdefault(along, row)
    ticks = list(dict.fromkeys(along for lines in series.values() for points in lines.values() for along in points))
    ends = []
    for cell, lines in series.items():
        colour, last = style[cell][0], []
        dashed = "--_" if len(ticks) == 1 else "--"  # one point has no line
        for number, (aside, points) in enumerate(lines.items()):
            faded = 1 - 0.6 * number / len(lines)  # the lines of one cell, from dark to light
            x = [ticks.index(along) for along in points]
            ax.plot(x, [100 * row.cost_ratio for row in points.values()], alpha=faded, **mark(style[cell], True))
            ax.plot(x, [100 * row.approximation for row in points.values()], dashed, color=colour, alpha=faded)
            last.append((aside, (x[-1], 100 * list(points.values())[-1].cost_ratio)))
        values = [y for _, (_, y) in last]
        if max(values) <= 1.03 * min(values):
            ends.append((cell, last[0][1]))
        else:  # all of a few lines are named, else the outermost
            named = last if len(last) <= 4 else [min(last, key=_height), max(last, key=_height)]
            ends += [(f"{cell}, {aside}", end) for aside, end in named]
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, high / 4), high)  # a range of less than a decade has few ticks
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_ylabel("cost in % of the standard cell")
    ax.set_xticks(range(len(ticks)), ticks, rotation=45 if sum(map(len, ticks)) > 24 else 0)
    ax.set_xlabel("channels" if over_channels else "kernel")
    ax.set_xlim(-0.2, len(ticks) - 1 + 0.2)
    first = next(iter(sweep.rows()))
    fixed = f", kernel {_kernel(first)}" if over_channels else ""
    fixed = f", channels: {_channels(first)}" if len(sweep.channels) == 1 else fixed
    what = f"{sweep.convention.unit}s: convention {sweep.convention.name}{fixed}"
    aside = "; after the comma: channels" if len(sweep.channels) > 1 and not over_channels else ""
    sign(ax, what, f"dashed: its convolutions alone, the paper's approximation{aside}", sweep.left_out)
    label(ax, ends, outside=True)
    return ax


def speedups(sweep: "Sweep", profile: "Profile") -> "list[tuple[Row, Timing]]":
    """The points of a sweep that a profile can compare with the standard cell, in every way to run."""
    return [
        (row, timing)
        for row in sweep.rows()
        if row.cell != "standard"
        for timing in timings(profile, "", sweeps.subject(sweep, row))
        if timing.ratio is not None
    ]


def promise(sweep: "Sweep", profile: "Profile", *, ax: "Axes | None" = None, how: "How | None" = None) -> "Axes":
    """How much faster than the standard cell the others should be by their FLOPs, and how much faster they are, with
    95 % intervals; on the diagonal the promise is kept. Hollow: not stable; of two modes, both medians.

    ``how``: the way to run, by default the first one that the profile has for these cells.
    """
    from matplotlib.ticker import LogLocator, NullLocator

    found = speedups(sweep, profile)
    how = found[0][1].how if how is None and found else how
    chosen = [(row, timing, timing.ratio) for row, timing in found if timing.how == how and timing.ratio]
    if not chosen:
        wanted = [sweeps.subject(sweep, row) for row in sweep.rows() if row.cell != "standard"]
        if not wanted:
            raise InvalidInput("a speed-up is of another cell than the standard one: name one")
        command = recording([*wanted, *(subject.standard for subject in wanted)], _ways(how))
        raise InvalidInput(
            f"these cells and the standard one were not timed in the same way; to record them: {command}"
        )
    ax = new_axes(ax)
    style = styles_of(row.cell for row, _, _ in chosen)
    labels = []
    for row, timing, ratio in chosen:
        x, look = 1 / row.cost_ratio, mark(style[row.cell], solid(timing, ratio.verdict))
        middle = 1 / ratio.value
        low, high = (1 / side for side in (ratio.interval or (ratio.value,) * 2)[::-1])
        values = [1 / value for value, _ in ratio.modes] if ratio.modes else [middle]
        ends = [[max(0.0, middle - low)], [max(0.0, high - middle)]]
        ax.errorbar(x, middle, yerr=ends, elinewidth=0.6, capsize=1.5, capthick=0.6, fmt="none", ecolor=look["color"])
        ax.plot([x] * len(values), values, ls="", **look)
        aside = [_channels(row)] if len(sweep.channels) > 1 else []
        aside += ["x".join(map(str, row.size))] if len(sweep.sizes) > 1 else []
        labels.append((", ".join([_kernel(row), *aside]), (x, middle)))
    ax.set(xscale="log", yscale="log")
    ax.margins(0.15)
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    left, bottom = min(left, 0.8), min(bottom, 0.6)
    ax.plot([left, right], [left, right], color=SOFT, zorder=0)
    ax.axhline(1, ls=":", color=SOFT, zorder=0)
    ax.set(xlim=(left, max(right, 2)), ylim=(bottom, max(top, 2)))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter("{x:g}x")
    far = ax.get_xlim()[1]
    end = min(far, ax.get_ylim()[1])
    near = end < (left * far) ** 0.5  # the middle of a logarithmic axis
    above: dict[str, Any] = {"textcoords": "offset points", "va": "top"}
    ax.annotate("promise kept", (end, end), xytext=(6 if near else -12, 0), ha="left" if near else "right", **above)
    ax.annotate("no faster", (far, 1), xytext=(-2, -2), ha="right", **above)
    ax.set_xlabel(f"speed-up promised by {sweep.convention.unit}s (convention {sweep.convention.name})")
    ax.set_ylabel("measured speed-up")
    legend(ax, style)
    unstable = [ratio for _, _, ratio in chosen if ratio.verdict != "stable"]
    both = "two of a kind: two modes" if any(ratio.modes for ratio in unstable) else ""
    fixed = [f"channels: {_channels(chosen[0][0])}"] if len(sweep.channels) == 1 else []
    fixed += [f"{'x'.join(map(str, sweep.sizes[0]))} map"] if len(sweep.sizes) == 1 else []
    sign(ax, ", ".join(fixed), both, times=[timing for _, timing, _ in chosen], hollow=bool(unstable))
    label(ax, labels)
    return ax


# ---- segmentations ---------------------------------------------------------------------------------------------------

SHOWN = 4  # frames, as in the paper


def flicker(
    frames: Sequence[Any],
    truths: Sequence[Any] | None = None,
    *,
    ignore: int | None = None,
    class_zero: bool = False,
    name: str = "",
    ax: "Axes | None" = None,
) -> "Axes":
    """The last four of some label maps (numpy or torch, H x W) and, between neighbours, the pixels that flicker, as in
    the paper's Fig. 3; with truths also those and the difference images, as in Fig. 2.

    ``ignore``, ``class_zero``: as in `costmodel.Flicker`; what is not compared is grey. ``name``: of the last frame.
    """
    from costmodel.flicker import both_known, differs, errors, flickering, known, mfip, mfp

    if truths is not None and len(truths) != len(frames):
        raise InvalidInput(f"there are {len(frames)} frames and {len(truths)} truths: each frame has its truth")
    frames = [_array(each) for each in frames[-SHOWN:]]
    truths = None if truths is None else [_array(each) for each in truths[-SHOWN:]]
    found = mfip(frames, ignore) if truths is None else mfp(frames, truths, ignore, class_zero=class_zero)
    if frames[0].ndim != 2:
        raise InvalidInput(f"a figure is of one video: frames have {frames[0].ndim} dimensions, expected H x W")
    here = [known(each, ignore) for each in truths or frames]
    changes = [differs(*both) for both in pairwise(frames)]
    rows = {"segmentation": [_painted(CLASSES, frame) for frame in frames]}
    if truths is not None:
        wrong = [errors(*both, class_zero) for both in zip(frames, truths, strict=True)]
        rows["truth"] = [_painted(CLASSES, truth) for truth in truths]
        rows["difference"] = [_painted(CLASSES, *each) for each in zip(frames, wrong, here, strict=True)]
        changes = [flickering(*each) for each in zip(changes, wrong[1:], wrong, strict=False)]
    compared = [both_known(*both) for both in pairwise(here)]
    rows["flickering"] = [
        _painted((PAPER, INK), each, each, both) for each, both in zip(changes, compared, strict=True)
    ]
    ax = new_axes(ax)
    height, gap = frames[0].shape[0] / frames[0].shape[1], 0.05  # of the width of a frame
    for row, pictures in enumerate(rows.values()):
        for column, picture in enumerate(pictures):
            left = (column + (len(frames) - len(pictures)) / 2) * (1 + gap)  # between the two that it compares
            top = row * (height + gap)
            box = (left, left + 1, top + height, top)
            ax.imshow(picture, extent=box)
            ax.plot([*box[:2], *box[1::-1], left], [top] * 2 + [box[2]] * 2 + [top], color=SOFT, lw=0.4, clip_on=False)
    ax.set(xlim=(0, len(frames) * (1 + gap) - gap), ylim=(len(rows) * (height + gap) - gap, 0))
    ax.set_xticks([column * (1 + gap) + 0.5 for column in range(len(frames))], _steps(len(frames)))
    ax.set_yticks([row * (height + gap) + height / 2 for row in range(len(rows))], list(rows))
    ax.tick_params(length=0, bottom=False, labelbottom=False, labeltop=True)
    ax.spines[:].set_visible(False)
    values = ", ".join("-" if pair is None else f"{1000 * pair:.2f}" for pair in found.pairs)
    ax.set_xlabel(f"{found.metric} in per mille: {values}")
    what = "labels" if truths is None else "differences to the truth"
    zero = "" if truths is None else " with" if class_zero else " without"
    return sign(
        ax,
        f"flickering: {what} of two neighbours differ (inequality)" + (f",{zero} errors of class 0" if zero else ""),
        f"grey: label {ignore}, not compared" if ignore is not None else "",
        f"t: {name}" if name else "",
        wrap=52,  # the names of the rows are on the left
    )


def _painted(colours: Sequence[str], labels: Any, shown: Any = None, compared: Any = None) -> Any:
    """A picture of labels in these colours, blank where they are not shown, grey where nothing is compared."""
    from matplotlib.colors import ListedColormap, to_rgba_array

    number = (labels & (len(colours) - 1)).astype(int)  # a power of two: the remainder, in whatever integers
    picture = ListedColormap(list(colours))(number, bytes=True)
    for mask, colour in ((shown, PAPER), (compared, FAINT)):
        if mask is not None:
            picture[~mask] = 255 * to_rgba_array(colour)[0]
    return picture


def _array(labels: Any) -> Any:
    return labels.cpu().numpy() if hasattr(labels, "cpu") else labels


def _steps(count: int) -> list[str]:
    return [*(f"t - {back}" for back in range(count - 1, 0, -1)), "t"]


# ---- schedules -------------------------------------------------------------------------------------------------------

STAGES = {"low": COLOURS[0], "select": COLOURS[4], "propagate": COLOURS[2], "high": COLOURS[1]}


def timeline(simulation: "Simulation", most: int = 12, *, ax: "Axes | None" = None) -> "Axes":
    """What every device does, stage by stage, until the first ``most`` frames are through: when frames come, which are
    key frames, which are dropped."""
    ax = new_axes(ax)
    until = max(frame.end or frame.arrival for frame in simulation.frames[:most])
    frames = [frame for frame in simulation.frames if frame.arrival < until]
    shown = [busy for busy in simulation.busy if busy.start < until]
    devices = range(1, len(simulation.utilisation) + 1)
    for busy in shown:
        lasting = (busy.start, min(busy.end, until) - busy.start)
        look: dict[str, Any] = {"facecolor": STAGES[busy.stage], "edgecolor": PAPER, "linewidth": 0.3}
        ax.broken_barh([lasting], (-busy.device - 0.3, 0.6), **look)
    running = {busy.stage for busy in shown}
    marks = {stage: (colour, "s") for stage, colour in STAGES.items() if stage in running}
    for name, style, chosen in (
        ("frame", (SOFT, "|"), [frame for frame in frames if not (frame.key or frame.dropped)]),
        ("key frame", (INK, "v"), [frame for frame in frames if frame.key]),
        ("dropped", (COLOURS[3], "x"), [frame for frame in frames if frame.dropped]),
    ):
        if chosen:
            ax.plot([frame.arrival for frame in chosen], [-0.55] * len(chosen), ls="", **mark(style, True))
            marks[name] = style
    ax.set_yticks([-device for device in devices], [f"device {device}" for device in devices])
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(-len(devices) - 0.5, -0.35)  # the legend stands above
    ax.margins(x=0.02)
    ax.set_xlabel("ms since the first frame came")
    legend(ax, marks)
    each = simulation.schedule
    key = "" if each.mode == "every" else f", k = {each.interval:g}"
    said = f"{each.mode}{key}, a frame every {each.frame_period_ms:g} ms after the first"
    latency = f"{len(simulation.frames) - 1} frames: average {simulation.average_ms:.4g}, maximum "
    latency += f"{simulation.maximum_ms:.4g} ms per frame"
    lost = f", {simulation.dropped} dropped" if simulation.dropped else ""
    return sign(ax, said, latency + lost)


# ---- what several of them say ----------------------------------------------------------------------------------------


def _times(table: "Table", way: "Way | None", needed: bool = True) -> dict[str, Timing]:
    """By approach: the times of a profile and way to run; by default the first measured ones, else the published ones
    of the GPU."""
    every = [(row.approach, timing) for row in table.rows for timing in row.timings]
    if way is None:
        way = next(((t.profile, t.how) for _, t in every if t.seconds and t.how), None)
    if way is not None:
        found = {approach: timing for approach, timing in every if (timing.profile, timing.how) == way}
    else:
        found = {a: timing for a, timing in every if timing.clock == "published" and timing.device == "cuda"}
    if needed and not found:
        wanted = [table.subject(row) for row in table.rows]
        command = recording(wanted, _ways(way and way[1]))
        raise InvalidInput(f"there are times of none of these rows; to record them: {command}")
    return found


def _ways(how: "How | None") -> dict[str, list[object]]:
    """As `recording` wants it; what a publication leaves open is not asked for."""
    asked = how.model_dump(exclude_none=True) if how is not None and how.dtype is not None else {}
    return {field: [value] for field, value in asked.items()}


def _milliseconds(times: dict[str, Timing]) -> str:
    how = next((timing.how for timing in times.values()), None)
    return f"ms per {how.unit_of('frame') if how else 'frame'}"


def _about(table: "Table", times: dict[str, Timing]) -> list[str]:
    """What times and counts of a table differ in: networks are timed without their heads; not every row is timed."""
    heads = f"{table.convention.unit}s with training heads, times without" if table.heads else ""
    counted = f"{table.convention.unit}s with {table.otherwise}, times as described" if table.otherwise else ""
    return [heads, counted, _lacking(table, len(times))]


def _lacking(table: "Table", shown: int) -> str:
    return f"{shown} of {len(table)} networks: there is nothing about the others" if shown < len(table) else ""


def _unit(convention: Convention, size: Sequence[int] = ()) -> str:
    frame = f"{'x'.join(map(str, size))} frame" if size else "frame"
    return f"G{convention.unit}s per {frame} (convention {convention.name})"


def _height(end: tuple[str, tuple[float, float]]) -> float:
    return end[1][1]


def _short(approach: str) -> str:
    """``depth-LSTM-ICNet v6`` as ``depth v6``: the family is in the title of what it stands in."""
    return approach.replace("-LSTM-ICNet", "").replace("LSTM-ICNet ", "")


def _by_network(rows: "Sequence[TableRow]") -> "dict[str, list[TableRow]]":
    """Rows of the same network, under the name of the one with standard cells."""
    found: dict[str, list[TableRow]] = {}
    for row in rows:
        found.setdefault(row.base, []).append(row)
    return found


def _kernel(row: "Row") -> str:
    return "x".join(map(str, row.kernel))


def _channels(row: "Row") -> str:
    return "x".join(map(str, dict.fromkeys(row.channels)))
