"""Figures of label maps that flicker, and of key-frame schedules."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

from costmodel.errors import InvalidInput
from costmodel.report.figures.style import (
    CLASSES,
    COLOURS,
    FAINT,
    INK,
    PAPER,
    SOFT,
    legend,
    mark,
    new_axes,
    sign,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from costmodel.profiles.records import Settings
    from costmodel.video.simulation import Simulation

    Way: TypeAlias = tuple[str, Settings]


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
    """The last four label maps (numpy or torch, H x W) and, between neighbours, the pixels that flicker, as in the
    paper's Fig. 3; with truths also the truths and the difference images, as in Fig. 2.

    ``ignore``, ``class_zero``: as in `costmodel.Flicker`; pixels that are not compared are grey. ``name``: of the last
    frame. `InvalidInput` where ``truths`` has another length than ``frames``.
    """
    from costmodel.video.flicker import both_known, differs, errors, flickering, known, mfip, mfp

    if truths is not None and len(truths) != len(frames):
        raise InvalidInput(f"there are {len(frames)} frames and {len(truths)} truths: each frame has its truth")
    frames = [_array(each) for each in frames[-SHOWN:]]
    truths = None if truths is None else [_array(each) for each in truths[-SHOWN:]]
    metric = mfip(frames, ignore) if truths is None else mfp(frames, truths, ignore, class_zero=class_zero)
    if frames[0].ndim != 2:
        raise InvalidInput(f"a figure shows one video: frames have {frames[0].ndim} dimensions, expected H x W")
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
            left = (column + (len(frames) - len(pictures)) / 2) * (1 + gap)  # a pair stands between its two frames
            top = row * (height + gap)
            box = (left, left + 1, top + height, top)
            ax.imshow(picture, extent=box)
            ax.plot([*box[:2], *box[1::-1], left], [top] * 2 + [box[2]] * 2 + [top], color=SOFT, lw=0.4, clip_on=False)
    ax.set(xlim=(0, len(frames) * (1 + gap) - gap), ylim=(len(rows) * (height + gap) - gap, 0))
    ax.set_xticks([column * (1 + gap) + 0.5 for column in range(len(frames))], _steps(len(frames)))
    ax.set_yticks([row * (height + gap) + height / 2 for row in range(len(rows))], list(rows))
    ax.tick_params(length=0, bottom=False, labelbottom=False, labeltop=True)
    ax.spines[:].set_visible(False)
    values = ", ".join("-" if pair is None else f"{1000 * pair:.2f}" for pair in metric.pairs)
    ax.set_xlabel(f"{metric.metric} in per mille: {values}")
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
    """A picture of labels in these colours, blank outside ``shown``, grey outside ``compared``."""
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
    """The stages on every device until the first ``most`` frames are done, with arrivals, key frames and dropped
    frames; times in ms."""
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
    note = f"{each.mode}{key}, a frame every {each.frame_period_ms:g} ms after the first"
    latency = f"{len(simulation.frames) - 1} frames: average {simulation.average_ms:.4g}, maximum "
    latency += f"{simulation.maximum_ms:.4g} ms per frame"
    lost = f", {simulation.dropped} dropped" if simulation.dropped else ""
    return sign(ax, note, latency + lost)
