"""Figures: each function draws what one kind of result says into matplotlib axes, and returns them.

Readable at 8.5 cm, the width of one column in print; colours of Okabe and Ito, which colour-blind people tell apart,
and a marker for each cell besides. What was not measured stably is drawn hollow.
"""

import html
import io
import os
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from costmodel import published
from costmodel.describe.errors import InvalidInput
from costmodel.describe.program import Program
from costmodel.price.conventions import Convention, find_convention
from costmodel.report import sweep as sweeps
from costmodel.report.timing import Timing, recording, timings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

    from costmodel.price.sweep import Row, Sweep
    from costmodel.profiles import How, Profile
    from costmodel.report.table import Table, TableRow

WIDTH, HEIGHT = 8.5 / 2.54, 6.6 / 2.54  # inches
INK, PAPER, SOFT = "#1b1b1b", "#fefefe", "#767676"  # the first two become the colours of the page in HTML
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = ("s", "v", "D", "^", "P", "X")
STYLE: dict[Any, Any] = {
    "figure.figsize": (WIDTH, HEIGHT),
    "figure.facecolor": PAPER,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 300,
    "svg.hashsalt": "costmodel",  # the same numbers give the same file
    "axes.facecolor": "none",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "font.size": 7,
    "axes.titlesize": 6.5,
    "axes.labelsize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "legend.handletextpad": 0.3,
    "legend.columnspacing": 1.0,
    "lines.markersize": 4,
    "lines.linewidth": 0.9,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "grid.linewidth": 0.4,
    "grid.color": SOFT,
    "grid.alpha": 0.4,
}
COSTS = ("flops", "params", "time")


# ---- tables ----------------------------------------------------------------------------------------------------------


def overview(table: "Table", *, ax: "Axes | None" = None, how: "How | None" = None) -> "Axes":
    """Parameters, FLOPs and time per frame of every row, relative to the first one, as in the paper's Fig. 1.

    The times are those that the table has for ``how`` (by default the first measured way, else the published GPU
    times, as in the paper).
    """
    ax = _axes(ax)
    base, times = table.rows[0], _times(table, how, needed=False)
    series: list[tuple[str, list[float | None], list[bool]]] = [
        ("parameters", [row.params / base.params for row in table.rows], [True] * len(table)),
        (f"{table.convention.unit}s", [row.flops / base.flops for row in table.rows], [True] * len(table)),
    ]
    if (whole := times.get(base.approach)) is not None:
        found = [times.get(row.approach) for row in table.rows]
        ratios = [None if timing is None else timing.median_s / whole.median_s for timing in found]
        series.append(("time", ratios, [timing is None or (_solid(timing) and _solid(whole)) for timing in found]))
    places = range(len(table.rows))[::-1]
    for (label, values, solid), colour, marker in zip(series, COLOURS, MARKERS, strict=False):
        for place, ratio, filled in zip(places, values, solid, strict=True):
            if ratio is not None:
                ax.plot(ratio, place, marker, color=colour, mfc=colour if filled else PAPER, clip_on=False)
        ax.plot([], [], marker, color=colour, label=label)
    ax.set_yticks(list(places), [row.approach for row in table.rows])
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y")
    ax.set_xlabel(f"relative to {base.approach}")
    ax.xaxis.set_major_formatter("{x:g}x")
    ax.set_xlim(left=min(0.9, *ax.get_xlim()))
    ax.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.1)
    hollow = any(False in solid for _, _, solid in series)
    what = f"{table.convention.unit}s: convention {table.convention.name}"
    return _sign(ax, what, timing=whole, hollow=hollow, wrap=48)  # the names of the rows take half of the width


def time(table: "Table", *, ax: "Axes | None" = None, how: "How | None" = None) -> "Axes":
    """Time per frame against FLOPs, with 95 % intervals; the dotted line is time in proportion to FLOPs, from the
    first row on. ``how``: the way to run, by default the first measured one, else the published GPU times."""
    ax = _axes(ax)
    times = _times(table, how)
    shown = [row for row in table.rows if row.approach in times]
    style = _styles(row.cell for row in shown)
    for base, rows in _by_network(shown).items():
        points = sorted((row.flops / 1e9, 1e3 * times[row.approach].median_s) for row in rows)
        ax.plot(*zip(*points, strict=True), color=SOFT, zorder=1)
        ax.annotate(_short(base), points[-1], xytext=(5, 0), textcoords="offset points", va="center")
    for row in shown:
        timing = times[row.approach]
        x, y = row.flops / 1e9, 1e3 * timing.median_s
        low, high = timing.interval_s or (timing.median_s, timing.median_s)
        ends = [[max(0.0, y - 1e3 * low)], [max(0.0, 1e3 * high - y)]]
        ax.errorbar(x, y, yerr=ends, elinewidth=0.6, **_mark(style[row.cell], _solid(timing)))
    ax.set_xlim(left=0)
    ax.set_ylim(bottom=0)
    first = shown[0]
    rate = 1e3 * times[first.approach].median_s / (first.flops / 1e9)
    right, top = ax.get_xlim()[1], ax.get_ylim()[1]
    end = min(right, top / rate)
    ax.plot([0, end], [0, rate * end], ":", color=SOFT, zorder=0)
    ax.annotate(
        "in proportion to FLOPs", (end, rate * end), xytext=(-10, 0), textcoords="offset points", ha="right", va="top"
    )
    ax.set(xlim=(0, right * 1.08), ylim=(0, top))
    ax.set_xlabel(_unit(table.convention))
    ax.set_ylabel("ms per frame")
    _legend(ax, style)
    return _sign(ax, timing=times[first.approach], hollow=not all(map(_solid, times.values())))


def quality(
    table: "Table",
    metric: str = "cityscapes-miou",
    cost: str = "flops",
    *,
    ax: "Axes | None" = None,
    how: "How | None" = None,
) -> "Axes":
    """Published quality of the paper's networks (Tables II and III) against their cost, and the Pareto front: what no
    other network beats in both.

    ``metric``: a column of Tables II or III, see `costmodel.published.QUALITY`; ``cost``: ``flops``, ``params`` or
    ``time`` (in the way ``how``). Quality is known for the paper's settings alone.
    """
    ax = _axes(ax)
    if metric not in published.QUALITY:
        raise InvalidInput(f"unknown metric {metric!r}: one of {', '.join(published.QUALITY)}")
    if cost not in COSTS:
        raise InvalidInput(f"unknown cost {cost!r}: one of {', '.join(COSTS)}")
    column = published.QUALITY[metric]
    if not any(row.paper for row in table.rows):
        raise InvalidInput(
            "the quality of these networks is not published: Tables II and III are of the paper's settings "
            f"({'x'.join(map(str, published.SIZE))}, kernel {published.KERNEL[0]}, {published.CLASSES} classes, with "
            "heads), without peepholes"
        )
    times = _times(table, how) if cost == "time" else {}
    points: dict[str, tuple[float, float]] = {}
    for row in table.rows:
        if row.paper is None or (times and row.approach not in times):
            continue
        x = 1e3 * times[row.approach].median_s if times else row.flops / 1e9 if cost == "flops" else row.params / 1e6
        points[row.approach] = x, column.values[row.approach]
    shown = [row for row in table.rows if row.approach in points]
    style = _styles(row.cell for row in shown)
    best = pareto(list(points.values()), column.more_is_better)
    ax.plot(*zip(*best, strict=True), color=SOFT, drawstyle="steps-post", zorder=1)
    for row in shown:
        solid = _solid(times[row.approach]) if times else True
        ax.plot(*points[row.approach], ls="", **_mark(style[row.cell], solid))
    ax.margins(0.12, 0.1)
    if not column.more_is_better:
        ax.invert_yaxis()
    labels = {"flops": _unit(table.convention), "params": "million parameters", "time": "ms per frame"}
    ax.set_xlabel(labels[cost])
    ax.set_ylabel(f"{column.label} in {column.unit}" + ("" if column.more_is_better else "\nless is better"))
    _legend(ax, style)
    first, hollow = next(iter(times.values()), None), not all(map(_solid, times.values()))
    _sign(ax, f"{column.label}: {column.place} of the paper; line: Pareto front", timing=first, hollow=hollow)
    _label(ax, [(_short(row.approach), points[row.approach]) for row in shown])
    return ax


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
    program: Program, convention: "str | Convention" = "tf-profiler", most: int = 12, *, ax: "Axes | None" = None
) -> "Axes":
    """FLOPs of the ``most`` expensive layers of a network and of all others together; recurrent layers in colour."""
    ax = _axes(ax)
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
    ax.set_title(f"{program.name}, {frame}: {total / 1e9:.2f} G{price.unit}s")
    return ax


# ---- cells -----------------------------------------------------------------------------------------------------------


def kernels(sweep: "Sweep", *, ax: "Axes | None" = None) -> "Axes":
    """What remains of the standard cell's cost at every kernel (over channels, where there is one kernel): solid, with
    the approximation of the paper dashed."""
    ax = _axes(ax)
    over_channels = len(sweep.kernels) == 1 and len(sweep.channels) > 1
    names = [cell.name for cell in sweep.cells]
    style = _styles(names)
    series: dict[tuple[str, str], list[Row]] = {}
    ticks: dict[str, None] = {}
    for row in sweep.rows():
        along, aside = (_channels(row), _kernel(row)) if over_channels else (_kernel(row), _channels(row))
        ticks[along] = None
        series.setdefault((row.cell, aside), []).append(row)
    places = {tick: place for place, tick in enumerate(ticks)}
    several = len({aside for _, aside in series}) > 1
    ends = []
    for (cell, aside), rows in series.items():
        x = [places[_channels(row) if over_channels else _kernel(row)] for row in rows]
        ax.plot(x, [100 * row.cost_ratio for row in rows], **_mark(style[cell], True))
        ax.plot(x, [100 * row.approximation for row in rows], "--", color=_mark(style[cell], True)["color"])
        ends.append((f"{cell}, {aside}" if several else cell, (x[-1], 100 * rows[-1].cost_ratio)))
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.set_ylabel("cost in % of the standard cell")
    ax.set_xticks(list(places.values()), list(places))
    ax.set_xlabel("channels" if over_channels else "kernel")
    ax.set_xlim(-0.2, len(places) - 1 + 0.2)
    first = next(iter(sweep.rows()))
    fixed = "" if several else f", kernel {_kernel(first)}" if over_channels else f", {_channels(first)} channels"
    what = f"{sweep.convention.unit}s: convention {sweep.convention.name}{fixed}"
    _sign(ax, what, "dashed: its convolutions alone, the paper's approximation")
    _label(ax, ends, outside=True)
    return ax


def promise(sweep: "Sweep", profile: "Profile", *, ax: "Axes | None" = None, how: "How | None" = None) -> "Axes":
    """How much faster than the standard cell the others should be by their FLOPs, and how much faster they are, with
    95 % intervals; on the diagonal the promise is kept. Hollow: not stable; two joined: the two modes.

    ``how``: the way to run, by default the first one that the profile has for these cells.
    """
    from matplotlib.ticker import LogLocator, NullLocator

    ax = _axes(ax)
    found = [
        (row, timing)
        for row in sweep.rows()
        if row.cell != "standard"
        for timing in timings(profile, "", sweeps.subject(sweep, row))
        if timing.ratio is not None
    ]
    how = found[0][1].how if how is None and found else how
    chosen = [(row, timing) for row, timing in found if timing.how == how]
    if not chosen:
        wanted = [sweeps.subject(sweep, row) for row in sweep.rows()]
        raise InvalidInput(
            f"the profile has times of none of these cells; to record them: {recording(wanted, _ways(how))}"
        )
    style = _styles(row.cell for row, _ in chosen)
    several = len(sweep.channels) > 1
    labels = []
    for row, timing in chosen:
        assert timing.ratio is not None
        x, mark = 1 / row.cost_ratio, _mark(style[row.cell], _solid(timing, timing.ratio.verdict))
        middle = 1 / timing.ratio.value
        low, high = (1 / side for side in (timing.ratio.interval or (timing.ratio.value,) * 2)[::-1])
        values = [1 / value for value, _ in timing.ratio.modes] if timing.ratio.modes else [middle]
        ends = [[max(0.0, middle - low)], [max(0.0, high - middle)]]
        ax.errorbar(x, middle, yerr=ends, elinewidth=0.6, capsize=1.5, capthick=0.6, fmt="none", ecolor=mark["color"])
        ax.plot([x] * len(values), values, ls="", **mark)
        labels.append((f"{_kernel(row)}, {_channels(row)}" if several else _kernel(row), (x, middle)))
    ax.set(xscale="log", yscale="log")
    ax.margins(0.15)
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    left, bottom = min(left, 0.9), min(bottom, 0.9)
    ax.plot([left, right], [left, right], color=SOFT, zorder=0)
    ax.axhline(1, ls=":", color=SOFT, zorder=0)
    ax.set(xlim=(left, right), ylim=(bottom, max(top, 2)))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter("{x:g}x")
    end = min(right, ax.get_ylim()[1])
    ax.annotate(
        "promise kept",
        (end, end),
        xytext=(-12, 0),
        textcoords="offset points",
        ha="right",
        va="top",
    )
    ax.annotate("no faster", (right, 1), xytext=(-2, -2), textcoords="offset points", ha="right", va="top")
    ax.set_xlabel(f"speed-up promised by {sweep.convention.unit}s ({sweep.convention.name})")
    ax.set_ylabel("measured speed-up")
    _legend(ax, style)
    unstable = [timing.ratio for _, timing in chosen if timing.ratio and timing.ratio.verdict != "stable"]
    joined = "two of a kind: two modes" if any(ratio.modes for ratio in unstable) else ""
    _sign(ax, joined, timing=chosen[0][1], hollow=bool(unstable))
    _label(ax, labels)
    return ax


# ---- parts of figures ------------------------------------------------------------------------------------------------


def _axes(ax: "Axes | None") -> "Axes":
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(WIDTH, HEIGHT), layout="constrained")[1]


def _times(table: "Table", how: "How | None", needed: bool = True) -> dict[str, Timing]:
    """By approach: the times for ``how``; by default the first measured way, else the published ones of the GPU."""
    every = [(row.approach, timing) for row in table.rows for timing in row.timings]
    if how is None:
        measured = [timing.how for _, timing in every if timing.seconds]
        how = measured[0] if measured else None
    if how is not None:
        found = {approach: timing for approach, timing in every if timing.how == how}
    else:
        found = {a: timing for a, timing in every if timing.clock == "published" and timing.device == "cuda"}
    if needed and not found:
        wanted = [table.subject(row) for row in table.rows]
        raise InvalidInput(f"there are times of none of these rows; to record them: {recording(wanted, _ways(how))}")
    return found


def _ways(how: "How | None") -> dict[str, list[Any]]:
    """As `recording` wants it; what a publication leaves open is not asked for."""
    asked = how.model_dump(exclude_none=True) if how is not None and how.dtype is not None else {}
    return {field: [value] for field, value in asked.items()}


def _solid(timing: Timing | None, verdict: str | None = None) -> bool:
    """Whether a time may be drawn as a result: published, or stable."""
    return timing is not None and (timing.seconds is None or (verdict or timing.seconds.verdict) == "stable")


def _styles(cells: Iterable[str | None]) -> dict[str | None, tuple[str, str]]:
    """Colour and marker of each cell that occurs; the same ones in every figure, for new cells too."""
    from costmodel.describe.cells import CELLS

    others = zip(cycle(COLOURS), cycle(MARKERS), strict=False)
    known: dict[str | None, tuple[str, str]] = {None: (INK, "*"), "standard": (INK, "o")}
    occurring = list(dict.fromkeys(cells))
    for name in dict.fromkeys([*CELLS, *occurring]):
        if name not in known:
            known[name] = next(others)
    return {name: known[name] for name in sorted(occurring, key=list(known).index)}


def _mark(style: tuple[str, str], solid: bool) -> dict[str, Any]:
    colour, marker = style
    return {"color": colour, "marker": marker, "markerfacecolor": colour if solid else PAPER, "markeredgecolor": colour}


def _legend(ax: "Axes", style: dict[str | None, tuple[str, str]]) -> None:
    """The cells, above the axes."""
    named = {name: look for name, look in style.items() if name is not None}
    for name, (colour, marker) in named.items():
        ax.plot([], [], marker, color=colour, label=name)
    if named:
        ax.legend(ncols=len(named), loc="lower left", bbox_to_anchor=(-0.02, 1), borderaxespad=0.1)


def _sign(ax: "Axes", *lines: str, timing: Timing | None = None, hollow: bool = False, wrap: int = 66) -> "Axes":
    """Say below the axes what the numbers are; of times: machine, way to run, date."""
    told = [line for line in lines if line]
    if timing:
        way = f"{timing.how.title}, {timing.dates[-1]}" if timing.seconds and timing.how else "as published"
        told.append(f"time: {timing.machine}, {way}" + ("; hollow: not stable" if hollow else ""))
    text = "\n".join(textwrap.fill(line, wrap) for line in told)
    below: dict[str, Any] = {"xycoords": ax.xaxis.label, "textcoords": "offset points", "ha": "center", "va": "top"}
    ax.annotate(text, (0.5, 0), xytext=(0, -2), fontsize="small", annotation_clip=False, **below)
    return ax


def _label(ax: "Axes", labels: Sequence[tuple[str, tuple[float, float]]], outside: bool = False) -> None:
    """Write texts beside their points, each at the first place around where it hides neither a text nor a point;
    ``outside``: to the right of the axes."""
    from matplotlib.patheffects import withStroke
    from matplotlib.transforms import Bbox

    if ax.figure is not None:
        ax.figure.get_figure(root=True).draw_without_rendering()  # only the layout says where points are
    points = [ax.transData.transform(point) for _, point in labels]
    taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in points]
    for text, point in sorted(labels, key=lambda label: label[1][1]):
        note = ax.annotate(text, point, xytext=(5, 0), textcoords="offset points", va="center", annotation_clip=False)
        note.set_path_effects([withStroke(linewidth=1.5, foreground=PAPER)])  # readable on a line, too
        places = [(5, dy, "left") for dy in range(0, 60, 4)] if outside else _AROUND
        for right, up, side in places:
            note.set(position=(right, up), ha=side)
            box = note.get_window_extent()
            if not any(box.overlaps(other) for other in taken) and (outside or _inside(ax, box)):
                break
        taken.append(note.get_window_extent())


_AROUND = [
    (right * side, up, "left" if side > 0 else "right")
    for up in (0, 6, -6, 12, -12, 18, -18, 24, -24)
    for side in (1, -1)
    for right in [5 if abs(up) < 12 else 1]
]


def _inside(ax: "Axes", box: "Bbox") -> bool:
    around = ax.bbox
    return bool(box.x0 >= around.x0 and box.x1 <= around.x1 + 20 and box.y0 >= around.y0)


def _unit(convention: Convention) -> str:
    return f"G{convention.unit}s per frame (convention {convention.name})"


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


# ---- files -----------------------------------------------------------------------------------------------------------

SUFFIXES = ("svg", "png", "pdf")


def destination(text: str, option: str) -> Path:
    """Where a figure goes; `InvalidInput` where it cannot be written or is no kind of figure."""
    path = Path(text)
    if path.suffix.removeprefix(".") not in SUFFIXES or path.is_dir():
        raise InvalidInput(f"{option} {text!r}: expected a file that ends in {', '.join('.' + s for s in SUFFIXES)}")
    writable = os.access(path if path.exists() else path.parent, os.W_OK)
    if not path.parent.is_dir() or not writable:
        why = f"there is no folder {path.parent}" if not path.parent.is_dir() else "no permission"
        raise InvalidInput(f"{option} {text!r} cannot be written: {why}")
    return path


def drawn(draw: Callable[..., Any]) -> "Figure":
    """A figure of one column's width in `STYLE`; ``draw`` gets its axes as ``ax``."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure()
        draw(ax=figure.subplots())
        figure.draw_without_rendering()
    return figure


def export(figure: "Figure", suffix: str) -> bytes:
    """A drawn figure as a file of one of `SUFFIXES`; the same figure gives the same bytes."""
    import matplotlib

    metadata: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[suffix]
    file = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(file, format=suffix, metadata=metadata)
    return file.getvalue()


def save(draw: Callable[..., Any], path: Path) -> None:
    """Draw a figure into a file."""
    path.write_bytes(export(drawn(draw), path.suffix.removeprefix(".")))


def inline(svg: bytes, name: str, label: str) -> str:
    """An exported SVG as an element of an HTML page: without background, in the page's colours, with ids of its own."""
    text = svg.decode()
    text = text[text.index("<svg") :]
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(xlink:href="|url\()#', rf"\1#{name}-", text)
    text = text.replace(INK, "currentColor").replace(PAPER, "var(--paper)")
    return text.replace("<svg", f'<svg role="img" aria-label="{html.escape(label)}"', 1)
