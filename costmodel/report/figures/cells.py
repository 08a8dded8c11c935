"""Figures of sweeps: the cost of cells, and promised and measured speed-up."""

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from costmodel.errors import InvalidInput
from costmodel.profiles.recording import recording
from costmodel.profiles.timing import Timing, timings
from costmodel.report import sweep as sweeps
from costmodel.report.figures.style import SOFT, label, legend, mark, new_axes, restricted, sign, solid
from costmodel.report.figures.style import styles as styles_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

    from costmodel.price.conventions import Convention
    from costmodel.price.sweep import Row, Sweep
    from costmodel.profiles.records import Profile, Settings

    Way: TypeAlias = tuple[str, Settings]


# ---- cells -----------------------------------------------------------------------------------------------------------


def kernels(sweep: "Sweep", *, ax: "Axes | None" = None) -> "Axes":
    """Cost relative to the standard cell at every kernel (over channels, where there is one kernel): solid, with the
    approximation of the paper dashed. The ratio does not depend on the size of the map."""
    from matplotlib.ticker import LogLocator, NullLocator

    ax = new_axes(ax)
    over_channels = len(sweep.kernels) == 1 and len(sweep.channels) > 1
    style = styles_of(cell.name for cell in sweep.cells)
    series: dict[str, dict[str, dict[str, Row]]] = {}  # cell, channels, kernel; or cell, kernel, channels
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
        else:  # up to four lines are named, of more lines the outermost
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
    sign(ax, what, f"dashed: convolutions alone, the paper's approximation{aside}", sweep.left_out)
    label(ax, ends, outside=True)
    return ax


def speedups(sweep: "Sweep", profile: "Profile") -> "list[tuple[Row, Timing]]":
    """The points of a sweep that a profile can compare with the standard cell, for all settings."""
    return [
        (row, timing)
        for row in sweep.rows()
        if row.cell != "standard"
        for timing in timings(profile, "", sweeps.subject(sweep, row))
        if timing.ratio is not None
    ]


def promise(sweep: "Sweep", profile: "Profile", *, ax: "Axes | None" = None, how: "Settings | None" = None) -> "Axes":
    """Speed-up over the standard cell, as FLOPs promise and as measured, with 95 % intervals; on the diagonal the
    promise is kept. Hollow: not stable; of two modes, both medians.

    ``how``: the settings, by default the first that the profile has for these cells. `InvalidInput` without times.
    """
    known = speedups(sweep, profile)
    how = known[0][1].how if how is None and known else how
    chosen = [(row, timing, ratio) for row, timing in known if timing.how == how and (ratio := timing.speedup())]
    if not chosen:
        wanted = [sweeps.subject(sweep, row) for row in sweep.rows() if row.cell != "standard"]
        if not wanted:
            raise InvalidInput("a speed-up needs a cell other than the standard cell")
        command = recording([*wanted, *(subject.standard for subject in wanted)], restricted(how))
        raise InvalidInput(
            f"these cells and the standard cell have no times with the same settings; to record them: {command}"
        )
    ax = new_axes(ax)
    style = styles_of(row.cell for row, _, _ in chosen)
    points = []
    for row, timing, _ in chosen:
        aside = [_channels(row)] if len(sweep.channels) > 1 else []
        aside += ["x".join(map(str, row.size))] if len(sweep.sizes) > 1 else []
        points.append(Speedup(", ".join([_kernel(row), *aside]), style[row.cell], row.promised, timing))
    fixed = [f"channels: {_channels(chosen[0][0])}"] if len(sweep.channels) == 1 else []
    fixed += [f"{'x'.join(map(str, sweep.sizes[0]))} map"] if len(sweep.sizes) == 1 else []
    return plane(ax, points, sweep.convention, ", ".join(fixed), style)


class Speedup(NamedTuple):
    """A point of `plane`: its label, colour and marker, and the promised speed-up; ``timing`` has the measured one."""

    label: str
    style: tuple[str, str]
    promised: float
    timing: Timing


def plane(
    ax: "Axes",
    points: "Sequence[Speedup]",
    convention: "Convention",
    note: str,
    style: "Mapping[str | None, tuple[str, str]] | None" = None,
) -> "Axes":
    """Measured over promised speed-ups, with 95 % intervals; on the diagonal the promise is kept. ``style``: what the
    legend names."""
    from matplotlib.ticker import LogLocator, NullLocator

    labels, ratios = [], []
    for point in points:
        ratio = point.timing.speedup()
        if ratio is None:
            continue
        ratios.append(ratio)
        x, look = point.promised, mark(point.style, solid(point.timing, ratio.verdict))
        middle = ratio.value
        low, high = ratio.interval or (middle, middle)
        values = [value for value, _ in reversed(ratio.modes)] if ratio.modes else [middle]
        ends = [[max(0.0, middle - low)], [max(0.0, high - middle)]]
        ax.errorbar(x, middle, yerr=ends, elinewidth=0.6, capsize=1.5, capthick=0.6, fmt="none", ecolor=look["color"])
        ax.plot([x] * len(values), values, ls="", **look)
        labels.append((point.label, (x, middle)))
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
    ax.set_xlabel(f"speed-up promised by {convention.unit}s (convention {convention.name})")
    ax.set_ylabel("measured speed-up")
    legend(ax, dict(style or {}))
    unstable = [ratio for ratio in ratios if ratio.verdict != "stable"]
    both = "two equal markers: two modes" if any(ratio.modes for ratio in unstable) else ""
    sign(ax, note, both, times=[point.timing for point in points], hollow=bool(unstable))
    label(ax, labels)
    return ax


def _height(end: tuple[str, tuple[float, float]]) -> float:
    return end[1][1]


def _kernel(row: "Row") -> str:
    return "x".join(map(str, row.kernel))


def _channels(row: "Row") -> str:
    return "x".join(map(str, dict.fromkeys(row.channels)))
