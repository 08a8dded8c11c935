"""The style of figures, parts that several figures share, and export to files.

Figures are readable at 8.5 cm, the width of one column in print. Colours are those of Okabe and Ito, which colour-blind
people tell apart; each cell has a marker, too. Unstable times are drawn hollow.
"""

import html
import io
import os
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from colorsys import hsv_to_rgb
from contextlib import contextmanager
from itertools import cycle, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from costmodel.errors import InvalidInput
from costmodel.price.conventions import Convention
from costmodel.profiles.timing import Timing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

    from costmodel.profiles.layers import Layers
    from costmodel.profiles.records import Settings

    Way: TypeAlias = tuple[str, Settings]

WIDTH, HEIGHT = 8.5 / 2.54, 6.6 / 2.54  # inches
INK, PAPER, SOFT = "#1b1b1b", "#fefefe", "#767676"  # the first two become the colours of the page in HTML
FAINT = "#d6d6d6"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = ("s", "v", "D", "^", "P", "X", "<")  # 7 markers, 6 colours: no pair repeats before the 43rd cell
# Colours of label maps: one for each of 128 labels, far in hue from the colour before.
CLASSES = tuple(
    "#" + "".join(f"{round(255 * part):02x}" for part in hsv_to_rgb(0.618034 * n % 1, (0.8, 0.5)[n % 2], value))
    for n in range(128)
    for value in [(0.85, 0.55, 1.0)[n % 3]]
)
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
    "text.parse_math": False,  # a dollar in the name of a machine is a dollar
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "grid.linewidth": 0.4,
    "grid.color": SOFT,
    "grid.alpha": 0.4,
}

# ---- parts of figures ------------------------------------------------------------------------------------------------


def new_axes(ax: "Axes | None") -> "Axes":
    """The given axes, or those of a new figure of one column's width."""
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(WIDTH, HEIGHT), layout="constrained")[1]


def solid(timing: Timing | None, verdict: str | None = None) -> bool:
    """True where a time may be drawn as a result: published, or stable."""
    return timing is not None and (timing.seconds is None or (verdict or timing.seconds.verdict) == "stable")


def styles(cells: Iterable[str | None]) -> dict[str | None, tuple[str, str]]:
    """Colour and marker of each cell that occurs; the same ones in every figure, for new cells too."""
    from costmodel.describe.cells import CELLS

    others = zip(cycle(COLOURS), cycle(MARKERS), strict=False)
    known: dict[str | None, tuple[str, str]] = {None: (INK, "*"), "standard": (INK, "o")}
    occurring = list(dict.fromkeys(cells))
    for name in dict.fromkeys([*CELLS, *occurring]):
        if name not in known:
            known[name] = next(others)
    return {name: known[name] for name in sorted(occurring, key=list(known).index)}


def mark(style: tuple[str, str], filled: bool) -> dict[str, Any]:
    """A marker, as arguments of ``plot``."""
    colour, marker = style
    face = colour if filled else PAPER
    return {"color": colour, "marker": marker, "markerfacecolor": face, "markeredgecolor": colour}


def legend(ax: "Axes", style: "dict[str | None, tuple[str, str]] | dict[str, tuple[str, str]]") -> None:
    """Add names and markers above the axes, in several rows where needed, also above the labels on the left."""
    named = {name: look for name, look in style.items() if name is not None}
    for name, (colour, marker) in named.items():
        ax.plot([], [], marker, color=colour, label=name)
    if named:
        longest = max(map(len, named)) + 4  # with the marker
        ncols = max(1, min(len(named), 60 // longest))
        ax.legend(ncols=ncols, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.1)


def sign(ax: "Axes", *lines: str, times: Sequence[Timing] = (), hollow: bool = False, wrap: int = 66) -> "Axes":
    """Write notes below the axes: ``lines``, and machine, settings and dates of times."""
    notes = [line for line in lines if line]
    if times:
        first = times[0]
        settings = first.how.title if first.seconds and first.how else "as published"
        days = sorted({day for timing in times for day in timing.dates})
        when = f", {days[0]}{f' to {days[-1]}' if days[1:] else ''}" if days else ""
        notes.append(f"time: {first.machine}, {settings}{when}" + ("; hollow: not stable" if hollow else ""))
    text = "\n".join(textwrap.fill(line, wrap) for line in notes)
    below: dict[str, Any] = {"xycoords": ax.xaxis.label, "textcoords": "offset points", "ha": "center", "va": "top"}
    note = ax.annotate(text, (0.5, 0), xytext=(0, -2), fontsize="small", annotation_clip=False, **below)
    note.set_parse_math(False)
    return ax


def timed_layers(layers: "Layers", machine: str) -> str:
    """A note on the times of parts: their machine, settings and dates."""
    days = sorted({f"{each.undisturbed.started:%Y-%m-%d}" for each in layers.run.processes if each.undisturbed.started})
    when = f", {days[0]}{f' to {days[-1]}' if days[1:] else ''}" if days else ""
    return f"{layers.run.subject.title}, {layers.total_ns / 1e6:.4g} ms: {machine}, {layers.run.how.title}{when}"


def label(
    ax: "Axes",
    labels: Sequence[tuple[str, tuple[float, float]]],
    lines: Sequence[tuple[float, float]] = (),
    outside: bool = False,
) -> None:
    """Write texts beside their points, each at the nearest place where the text hides no other text, point or line
    (``lines``: corners of one line). A thin line joins distant texts and points. ``outside``: to the right of the axes,
    which a grid of curves fills."""
    from matplotlib.patheffects import withStroke
    from matplotlib.transforms import Bbox

    if ax.figure is not None:
        ax.figure.get_figure(root=True).draw_without_rendering()  # only the layout says where points are
    points = [ax.transData.transform(point) for _, point in labels]
    scale = ax.figure.get_figure(root=True).dpi / 72 if ax.figure is not None else 1.0  # pixels of a point in print
    taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in points]
    taken += [Bbox.from_bounds(x - 1, y - 1, 2, 2) for x, y in _along([ax.transData.transform(p) for p in lines])]
    taken += [each.get_window_extent() for each in ax.texts if each.get_text()]
    where: dict[str, Any] = {"textcoords": "offset points", "annotation_clip": False}
    leader: Any = {"arrowstyle": "-", "color": SOFT, "linewidth": 0.4, "shrinkA": 0, "shrinkB": 2}
    for text, point in sorted(labels, key=lambda each: each[1][1]):
        note = ax.annotate(text, point, xytext=(5, 0), va="center", **where)
        note.set_path_effects([withStroke(linewidth=1.5, foreground=PAPER)])  # readable on a line, too

        start = ax.transData.transform(point)

        def hidden(place: tuple[float, float, str], note: "Annotation" = note, start: Any = start) -> float:
            """The area of other things that the text covers at this place, the area of the text that is cut off, and
            the other points that its line crosses."""
            note.set(position=place[:2], ha=place[2])
            box = note.get_window_extent()
            covered = sum(_area(Bbox.intersection(box, other)) for other in taken if box.overlaps(other))
            if outside:
                return covered
            left, low, right, high = ax.bbox.extents  # the axis on the left is a line that no text crosses
            inside = Bbox.intersection(box, Bbox.from_extents(left, low, right + 8, high + 8))
            end = start + [scale * step for step in place[:2]]
            crossed = sum(_near(each, start, end) for each in points)
            return covered + 10 * (_area(box) - _area(inside)) + 40 * max(0, crossed - 1)  # its own point is near

        best = min(_ABOVE if outside else _AROUND, key=hidden)  # the first of the best
        note.set(position=best[:2], ha=best[2])
        taken.append(note.get_window_extent())
        if best not in (_ABOVE[0], *_AROUND[:2]):
            ax.annotate("", point, xytext=best[:2], arrowprops=leader, **where)
            ends = [start, start + [scale * step for step in best[:2]]]
            taken.extend(Bbox.from_bounds(x - 1, y - 1, 2, 2) for x, y in _along(ends))


_ABOVE = [(8.0, float(up), "left") for up in range(0, 120, 4)]
_AROUND = [
    (float(right * side), float(up), "left" if side > 0 else "right")
    for distance in (0, 8, 14, 20, 28, 36)
    for up in dict.fromkeys((0 if distance < 14 else distance, distance, -distance))
    for side in (1, -1)
    for right in dict.fromkeys((5 if distance < 8 else 1, 5 + distance))
]


def _along(corners: Sequence[Any]) -> Iterable[tuple[float, float]]:
    """Points on a line, a few pixels apart."""
    for (x0, y0), (x1, y1) in pairwise(corners):
        steps = max(1, int(max(abs(x1 - x0), abs(y1 - y0)) / 3))
        yield from ((x0 + (x1 - x0) * n / steps, y0 + (y1 - y0) * n / steps) for n in range(steps + 1))


def _near(point: Any, start: Any, end: Any) -> bool:
    """True of a marker at ``point`` that the line from ``start`` to ``end`` touches."""
    (x, y), (dx, dy) = point - start, end - start
    along = max(0.0, min(1.0, (x * dx + y * dy) / ((dx * dx + dy * dy) or 1.0)))
    return bool((x - along * dx) ** 2 + (y - along * dy) ** 2 < 5**2)


def _area(box: "Bbox | None") -> float:
    return 0.0 if box is None else float(box.width * box.height)


# ---- files -----------------------------------------------------------------------------------------------------------

SUFFIXES = ("svg", "png", "pdf")


def destination(text: str, option: str) -> Path:
    """The file of a figure; `InvalidInput`, naming ``option``, where the file cannot be written or is not a figure."""
    path = Path(text)
    if path.suffix.removeprefix(".") not in SUFFIXES or path.is_dir():
        raise InvalidInput(f"{option} {text!r}: expected a file that ends in {', '.join('.' + s for s in SUFFIXES)}")
    writable = os.access(path if path.exists() else path.parent, os.W_OK)
    if not path.parent.is_dir() or not writable:
        why = f"there is no folder {path.parent}" if not path.parent.is_dir() else "no permission"
        raise InvalidInput(f"{option} {text!r} cannot be written: {why}")
    return path


@contextmanager
def style() -> "Iterator[None]":
    """`STYLE` over matplotlib's own defaults: a user's settings do not change what is drawn."""
    os.environ.pop("MPLBACKEND", None)  # no window opens, and an unknown backend would be an error
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def drawn(draw: Callable[..., Any]) -> "Figure":
    """A figure of one column's width in `STYLE`; ``draw`` gets its axes as ``ax``."""
    with style():
        from matplotlib.figure import Figure

        figure = Figure()
        draw(ax=figure.subplots())
        figure.draw_without_rendering()
    return figure


def export(figure: "Figure", suffix: str) -> bytes:
    """A drawn figure as a file of one of `SUFFIXES`; the same figure gives the same bytes."""
    metadata: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[suffix]
    file = io.BytesIO()
    with style():
        figure.savefig(file, format=suffix, metadata=metadata)
    return file.getvalue()


def save(draw: Callable[..., Any], path: Path) -> None:
    """Draw a figure into a file; `InvalidInput` where it cannot be written."""
    data = export(drawn(draw), path.suffix.removeprefix("."))
    try:
        path.write_bytes(data)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}") from None


def inline(svg: bytes, name: str, caption: str) -> str:
    """An exported SVG as an element of an HTML page: without background, in the page's colours, with ids of its own."""
    text = svg.decode()
    text = text[text.index("<svg") :]
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(xlink:href="|url\()#', rf"\1#{name}-", text)
    text = text.replace(INK, "currentColor").replace(PAPER, "var(--paper)")
    return text.replace("<svg", f'<svg role="img" aria-label="{html.escape(caption)}"', 1)


def restricted(how: "Settings | None") -> dict[str, list[object]]:
    """Settings as `recording` takes them; empty for settings of a publication."""
    fields = how.model_dump(exclude_none=True) if how is not None and how.dtype is not None else {}
    return {field: [value] for field, value in fields.items()}


def milliseconds(times: dict[str, Timing], one: str = "frame") -> str:
    how = next((timing.how for timing in times.values()), None)
    return f"ms per {how.unit_of(one) if how else one}"


def unit(convention: Convention, work: str = "frame", prefix: str = "G") -> str:
    return f"{prefix}{convention.unit}s per {work} (convention {convention.name})"


def scaled(most: float) -> tuple[str, float]:
    """The prefix of an axis that reaches to ``most``, and its factor.

    >>> scaled(251e9), scaled(38_000_000)
    (('G', 1000000000.0), ('M', 1000000.0))
    """
    return next(((letter, by) for letter, by in (("G", 1e9), ("M", 1e6), ("k", 1e3)) if most >= by), ("", 1.0))


def shortened(names: Sequence[str], most: int = 22) -> list[str]:
    """Names that leave room for what is drawn beside them: modules of the user's without their package or file, where
    the names still differ, and the middle of a name that is too long left out.

    >>> shortened(["nets.py:sep(width=8)", "torchvision.models:mobilenet_v3_large_of_mine"])
    ['sep(width=8)', 'mobilenet_v...e_of_mine']
    """
    plain = [re.sub(r"^[^(]*:", "", name) for name in names]
    plain = [short if plain.count(short) == 1 else name for name, short in zip(names, plain, strict=True)]
    head, tail = -(-most // 2), most // 2 - 2
    cut = [name if len(name) <= most else f"{name[:head]}...{name[-tail:]}" for name in plain]
    return [short if cut.count(short) == 1 else f"{number}: {short}" for number, short in enumerate(cut, 1)]
