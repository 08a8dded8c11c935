"""The figure of a module of the user's over a grid: times, or FLOPs, over one letter or argument."""

from itertools import cycle
from typing import TYPE_CHECKING

from costmodel.profiles.points import is_number, value_name
from costmodel.profiles.timing import of_way, ways
from costmodel.report.figures.style import COLOURS, HEIGHT, MARKERS, legend, mark, new_axes, sign, solid
from costmodel.report.numbers import scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from costmodel.profiles.timing import Timing
    from costmodel.report.grid import GridRow, PricedGrid

FEW, LINE = 6, 0.09  # lines whose names fit above a figure of the usual height; inches for each more, in two columns


def grid(priced: "PricedGrid", *, over: str | None = None, ax: "Axes | None" = None) -> "Axes":
    """Milliseconds with 95 % intervals where there are times (of the first kind of run), else FLOPs, over one letter or
    argument, by default the one with the most values: a line for each combination of the others. Hollow: not stable;
    of two modes, both medians."""
    from matplotlib.ticker import FixedLocator, LogLocator, NullLocator

    ax = new_axes(ax)
    axes = priced.axes
    over = over or max(axes, key=lambda name: len(axes[name]))  # the first of the longest
    ticks = list(axes[over])
    numbers = all(is_number(each) and each > 0 for each in ticks)
    kind = next(iter(ways(row.timings for row in priced.rows)), None)
    lines: dict[str, list[tuple[GridRow, Timing | None]]] = {}
    for row in priced.rows:
        timing = of_way(row.timings, kind)
        if timing or kind is None:
            lines.setdefault(priced.name(row, without=over), []).append((row, timing))
    style = dict(zip(lines, zip(cycle(COLOURS), cycle(MARKERS), strict=False), strict=False))
    prefix, by = scale(max(row.flops for row in priced.rows))
    timed, hollow = [], False
    for name, points in lines.items():
        points.sort(key=lambda point: ticks.index(point[0].values[over]))
        places = [float(row.values[over]) if numbers else ticks.index(row.values[over]) for row, _ in points]
        heights = [1e3 * timing.median_s if timing else row.flops / by for row, timing in points]
        colour = style[name][0]
        ax.plot(places, heights, color=colour)
        for x, y, (_, timing) in zip(places, heights, points, strict=True):
            filled = timing is None or solid(timing)
            hollow = hollow or not filled
            values = [y]
            if timing is not None:
                timed.append(timing)
                low, high = (1e3 * end for end in timing.interval_s or (timing.median_s, timing.median_s))
                ends = [[max(0.0, y - low)], [max(0.0, high - y)]]
                ax.errorbar(x, y, yerr=ends, elinewidth=0.6, capsize=1.5, capthick=0.6, fmt="none", ecolor=colour)
                if timing.seconds and timing.seconds.modes:
                    values = [1e3 * mode for mode, _ in timing.seconds.modes]
            ax.plot([x] * len(values), values, ls="", **mark(style[name], filled))
    if all(row.flops for row in priced.rows) or timed:
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter("{x:g}")
    if numbers and len(ticks) > 1:
        ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator([float(each) for each in ticks] if numbers else list(range(len(ticks)))))
    ax.xaxis.set_minor_locator(NullLocator())
    words = [value_name(each) for each in ticks]
    ax.set_xticklabels(words, rotation=45 if sum(map(len, words)) > 24 else 0)
    ax.set_xlabel(over)
    unit = f"{prefix}{priced.convention.unit}s per call"
    ax.set_ylabel("ms per call" if kind else unit)
    legend(ax, {name: look for name, look in style.items() if name})
    if (whole := ax.figure.get_figure(root=True)) and len(whole.axes) == 1 and len(style) > FEW:
        whole.set_figheight(HEIGHT + LINE * (len(style) - FEW))  # many names need room of their own
    what = "" if kind else f"{priced.convention.unit}s: convention {priced.convention.name}"
    sign(ax, priced.call, what, times=timed, hollow=hollow)
    return ax
