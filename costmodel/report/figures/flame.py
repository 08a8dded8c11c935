"""The flame-like figure of one subject: a row for each depth, in which parts are as wide as they take time."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from costmodel.price.conventions import Convention, find_convention
from costmodel.profiles.layers import MOST_DISTORTION
from costmodel.report.figures.style import FAINT, INK, PAPER, new_axes, sign, timed_layers
from costmodel.report.numbers import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Rectangle
    from matplotlib.text import Text

    from costmodel.profiles.layers import Layers

TINTS = ("#deebf7", "#9ecae1", "#6baed6", "#3182bd", "#08519c")  # of rising rates; names on the last two are light
STEPS = [step * 10.0**power for power in range(-3, 7) for step in (1, 3)]  # between tints, in GFLOP/s
WHOLE = 0.4  # the height of the whole, relative to that of other rows
THIN = 0.01  # of the whole: bars of this width and less have no edge, which would hide them
ROW = 60  # characters of a legend that fit side by side
SMALL = 5.5  # points, of the names in bars


@dataclass(frozen=True)
class Bar:
    """A part with all that it holds: its place in the figure, in nanoseconds, and its FLOPs (None: not known)."""

    name: str
    depth: int
    start: int
    ns: int
    flops: int | None

    @property
    def rate(self) -> float:
        """FLOPs per nanosecond; 0 where these are not known."""
        return self.flops / self.ns if self.flops and self.ns > 0 else 0.0


def bars(layers: "Layers", convention: "str | Convention" = "torch") -> list[Bar]:
    """The whole, and each part with those in it side by side from its start. A part is as long as these and its rest;
    a rest that is negative, by noise, has no length."""
    price = find_convention(convention)
    rows = {(row.path, row.kind): (row.ns, layers.record(row, price)["flops"]) for row in layers.rows}

    def inside(path: str, depth: int, start: int) -> list[Bar]:
        found: list[Bar] = []
        work: list[int | None] = []
        end = start
        for part in layers.inside.get(path, ()):
            held = inside(part, depth + 1, end)
            found += held
            end, work = end + held[0].ns, [*work, held[0].flops]
        own = [rows[path, kind] for kind in ("part", "rest") if (path, kind) in rows]
        end, work = end + sum(max(0, ns) for ns, _ in own), [*work, *(flops for _, flops in own)]
        known = [each for each in work if each is not None]
        flops = sum(known) if len(known) == len(work) else None
        return [Bar(layers.label(path), depth, start, end - start, flops), *found]

    _, *parts = inside("", 0, 0)
    whole = price.flops(layers.cost.work) if layers.operations else None
    return [Bar(layers.run.subject.name, 0, 0, layers.total_ns, whole), *parts]


def flame(
    layers: "Layers", convention: "str | Convention" = "torch", *, machine: str = "", ax: "Axes | None" = None
) -> "Axes":
    """The parts of one call, as wide as they take time, in the order of execution, and below each part those in it; the
    darker, the more FLOPs a second. Names stand where they fit; the white rest of a row is code of the part above, or
    of no part. ``machine``: that of the times, for the note below."""
    from matplotlib.patches import Patch

    ax = new_axes(ax)
    price = find_convention(convention)
    shown = bars(layers, price)
    rates = [bar.rate for bar in shown if bar.rate]
    edges = [step for step in STEPS if rates and min(rates) < step <= max(rates)][1 - len(TINTS) :]
    tints = TINTS[len(TINTS) - 1 - len(edges) :]
    texts = []
    for bar in shown:
        tint = tints[sum(bar.rate >= edge for edge in edges)] if bar.rate else FAINT
        top, bottom = (0.0, -WHOLE) if bar.depth == 0 else (1 - WHOLE - bar.depth, -WHOLE - bar.depth)
        edge: dict[str, Any] = {"edgecolor": PAPER, "linewidth": 0.3 if bar.ns > THIN * layers.total_ns else 0}
        (drawn,) = ax.barh(bottom, bar.ns / 1e6, top - bottom, bar.start / 1e6, align="edge", color=tint, **edge)
        ink = PAPER if tint in TINTS[-2:] else INK
        middle = (bar.start + bar.ns / 2) / 1e6, (top + bottom) / 2
        text = ax.text(*middle, bar.name, ha="center", va="center", fontsize=SMALL, color=ink)
        text.set_in_layout(False)  # most do not stay
        texts.append((drawn, text))
    ax.set(xlim=(0, layers.total_ns / 1e6), ylim=(-WHOLE - max(bar.depth for bar in shown), 0), yticks=[])
    ax.spines["left"].set_visible(False)
    run = layers.run
    one = "call" if run.subject.module else "frame" if run.subject.network else "step"
    ax.set_xlabel(f"ms per {run.how.unit_of(one)}")
    keys = [Patch(color=tint, label=text) for tint, text in zip(tints, _ranges(edges), strict=True)] if rates else []
    unknown = any(bar.flops is None for bar in shown)
    keys.append(Patch(color=FAINT, label="none, unknown" if unknown else f"no {price.unit}s"))
    if keys[1:]:
        keys[-2].set_label(f"{keys[-2].get_label()} G{price.unit}/s")
    wide = sum(len(str(key.get_label())) + 4 for key in keys) > ROW
    ax.legend(
        handles=keys,
        ncols=3 if wide else 6,
        columnspacing=0.8,
        loc="lower right",
        bbox_to_anchor=(1, 1),
        borderaxespad=0.1,
        handlelength=0.8,
    )
    distorting = "" if shown[1:] else f"no parts: marks change the time by more than {100 * MOST_DISTORTION:g} %"
    rest = 100 * layers.rows[-1].ns / layers.total_ns
    about = f"{price.unit}s: convention {price.name}; in no part: {rest:.1f} %"
    sign(ax, about, timed_layers(layers, machine), distorting)
    _fit(ax, texts)
    return ax


def _ranges(edges: Sequence[float]) -> list[str]:
    """The ranges that edges cut all numbers into, in words."""
    names = list(map(number, edges))
    if not names:
        return ["any"]
    return [f"< {names[0]}", *(f"{low}-{high}" for low, high in pairwise(names)), f"> {names[-1]}"]


def _fit(ax: "Axes", texts: "Sequence[tuple[Rectangle, Text]]") -> None:
    """Turn the names that are longer than their bars are wide, and remove those that are longer than high, too."""
    figure = ax.figure.get_figure(root=True) if ax.figure is not None else None
    if figure is not None:
        figure.draw_without_rendering()  # only the layout says how wide a bar is
    for bar, text in texts:
        room, box = bar.get_window_extent(), text.get_window_extent()
        if box.width + 2 > room.width:
            text.set_rotation(90)
            box = text.get_window_extent()
        if box.width > room.width or box.height + 2 > room.height:
            text.remove()
