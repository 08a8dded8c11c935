"""Figures of a bridge from promised to predicted and measured ratios, and of the kernels that it comes from."""

import textwrap
from typing import TYPE_CHECKING

from costmodel.price.conventions import TORCH
from costmodel.report.figures.style import COLOURS, INK, SOFT, legend, mark, new_axes, shortened, sign
from costmodel.report.why import MOVES, PERCENT_DIGITS, percent, steps

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from costmodel.price.latency import Predicted
    from costmodel.report.why import Why

MOST = 7  # items of a waterfall
LONGEST = 36  # characters of a name beside a bar
BRIEF = {
    " convolutions": " conv.",
    " operations": "",
    ", bound by memory": " (memory)",
    "what the model does not explain": "not explained",
}
SMALLEST, LARGEST = 1.5, 9.0  # diameters of dots, in points


def waterfall(why: "Why", *, ax: "Axes | None" = None) -> "Axes":
    """The steps of the bridge from the promised ratio down to the predicted and the measured one, in per cent of the
    time of A: what adds, and what takes off."""
    ax = new_axes(ax)
    shown = steps(why.bridge, PERCENT_DIGITS + 2, MOST)
    names = []
    for place, step in enumerate(reversed(shown)):
        level, value = (each / 10**PERCENT_DIGITS for each in (step.level, step.value))
        moves = step.kind in MOVES
        colour = SOFT if step.kind == "remainder" else COLOURS[value > 0] if moves else INK
        ax.barh(place, value, 0.6, level - value if moves else 0, color=colour)
        ax.annotate(
            percent(step), (max(level, level - value), place), xytext=(3, 0), textcoords="offset points", va="center"
        )
        names.append(_brief(step.name))
        if place:  # the level that the next step, below, starts from
            ax.plot([level, level], [place - 1.3, place + 0.3], color=SOFT, linewidth=0.4)
    ax.set_yticks(range(len(names)), names, fontsize=5.5)
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(0, 1.15 * max(each.level for each in shown) / 10**PERCENT_DIGITS)
    a, b = shortened([why.a, why.b])
    ax.set_xlabel(textwrap.fill(f"time of {b} in % of {a}", LONGEST))
    convention = why.bridge.convention
    return sign(ax, f"promised by {convention.unit}s: convention {convention.name}", *_origin(why), wrap=40)


def roofline(why: "Why", *, ax: "Axes | None" = None) -> "Axes":
    """Every operation of A and of B as a dot, as large as its part of the time: predicted FLOP/s over FLOPs per byte,
    beside the rate and the bandwidths of the machine's probes. FLOPs are two per multiply-accumulate; of operations
    without any, one per element."""
    ax = new_axes(ax)
    a, b = shortened([why.a, why.b])
    looks = {a: (COLOURS[0], "o"), b: (COLOURS[1], "s")}
    reach: list[float] = []
    for name, prediction in ((a, why.bridge.a), (b, why.bridge.b)):
        for row in prediction.rows:
            place = _place(row)
            if place is None or not row.seconds:
                continue
            size = max(SMALLEST, LARGEST * (row.seconds / prediction.seconds) ** 0.5)
            ax.plot(*place, ls="", markersize=size, alpha=0.6, **mark(looks[name], True))
            reach.append(place[0])
    ax.set(xscale="log", yscale="log", xlabel="FLOP / byte", ylabel="GFLOP/s, predicted")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:g}")
    moment = why.bridge.a.moment
    if moment and reach:
        ends = min(reach) / 2, max(2 * max(reach), 2 * moment.rate / moment.bandwidth)
        for bandwidth, line in ((moment.bandwidth, "-"), (moment.cached_bandwidth, ":")):
            corner = moment.rate / bandwidth
            corners = [ends[0], corner, max(ends[1], corner)]
            ax.plot(corners, [min(x * bandwidth, moment.rate) / 1e9 for x in corners], line, color=INK, linewidth=0.6)
    legend(ax, looks)
    probes = "lines: probes of product and copy; dotted: copy in the cache" if moment else ""
    return sign(ax, "a dot: an operation, as large as its part of the time", probes, _origin(why)[0])


def _brief(name: str) -> str:
    """The name of a step, short enough to stand beside a bar."""
    for words, fewer in BRIEF.items():
        name = name.replace(words, fewer)
    return textwrap.shorten(name, LONGEST, placeholder=" ...")


def _place(row: "Predicted") -> tuple[float, float] | None:
    """FLOPs per byte and GFLOP/s of an operation; None of one without FLOPs, bytes or time."""
    cost = row.operation.cost
    flops = float(TORCH.flops(cost.work) or sum(cost.work.values()))
    moved = float(cost.reads + cost.writes)
    return (flops / moved, flops / row.seconds / 1e9) if flops and moved and row.seconds else None


def _origin(why: "Why") -> tuple[str, str]:
    """Notes on where the times are from."""
    timing = why.timing
    days = f", {' to '.join(dict.fromkeys([timing.dates[0], timing.dates[-1]]))}" if timing and timing.dates else ""
    measured = f"measured: {timing.machine}, {timing.how.title}{days}" if timing and timing.how else ""
    return f"predicted: {why.where}", measured
