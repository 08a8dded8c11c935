"""The published times, methods and qualities of low-latency segmentation, beside what the formulas give."""

from dataclasses import asdict, dataclass
from typing import Any

from costmodel.describe.ops import Map
from costmodel.published import low_latency as published
from costmodel.report.layout.sheet import Sheet
from costmodel.report.numbers import number
from costmodel.video import key_frames
from costmodel.video.schedule import Stages, dff, dff_propagate, schedule
from costmodel.work.cost import Cost
from costmodel.work.events import Event

# ---- published -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Printed:
    """A time of a frame in ms: as ``printed``, and as ``computed`` from stated times (None: not printed, not computed).
    ``obtained``: stated or derived; ``source``: a key of `costmodel.published.low_latency.SOURCES`."""

    method: str
    quantity: str
    printed: float | None
    computed: float | None
    obtained: str
    source: str


def times() -> list[Printed]:
    """Printed times, beside the times that the printed constants give."""
    stages = Stages(published.LOW, published.HIGH, published.PROPAGATE, published.SELECT)
    fixed, adaptive, parallel = (
        schedule(stages, mode, published.INTERVAL) for mode in ("fixed", "adaptive", "parallel")
    )
    every = schedule(stages, "every")
    result = [
        Printed("whole network", "average, maximum", published.FULL, every.average_ms, "stated", "adaptive"),
        Printed("high part", "time", published.HIGH, None, "stated", "adaptive"),
        Printed("propagation", "time", published.PROPAGATE, None, "stated", "adaptive"),
        Printed("low part", "time", None, published.LOW, "derived", "adaptive"),
        Printed("scheduler", "time", None, published.SELECT, "derived", "adaptive"),
        Printed("fixed", "average", None, fixed.average_ms, "derived", "adaptive"),
        Printed("fixed", "maximum", None, fixed.maximum_ms, "derived", "adaptive"),
        Printed(
            "adaptive, sequential", "average", published.SEQUENTIAL_AVERAGE, adaptive.average_ms, "stated", "adaptive"
        ),
        Printed("adaptive, sequential", "maximum", None, adaptive.maximum_ms, "derived", "adaptive"),
        Printed("adaptive, parallel", "latency", published.PARALLEL_LATENCY, parallel.average_ms, "stated", "adaptive"),
    ]
    for run in published.FLOW_RUNS:
        propagate = dff_propagate(run.full, run.average, run.length)
        again, name = dff(run.full, propagate, run.length), f"DFF, {run.machine}"
        result += [
            Printed(name, "every frame", run.full, None, "stated", "dff"),
            Printed(name, "average", run.average, again.average, "stated", "dff"),
            Printed(name, "maximum", None, again.maximum, "derived", "dff"),
            Printed(name, "propagation", None, propagate, "derived", "dff"),
        ]
    return result


def components() -> dict[str, Cost]:
    """Costs of the parts that the adaptive network adds to its backbone, for the published frame."""
    low, high = (_features(channels) for channels in (published.LOW_CHANNELS, published.HIGH_CHANNELS))
    return {
        "scheduler": key_frames.scheduler(low),
        "kernel predictor": key_frames.kernel_predictor(low),
        "spatially variant convolution": key_frames.variant_conv(high),
    }


def _features(channels: int) -> Map:
    rows, columns = (side // published.STRIDE for side in published.SIZE)
    return Map(channels, rows, columns)


def published_record() -> dict[str, Any]:
    """Times, methods, qualities and components, for JSON."""
    names = ("method", "average", "maximum")
    untimed = published.WITHOUT_TIMES.items()
    return {
        "times": [asdict(each) for each in times()],
        "methods": [dict(zip(names, formulas, strict=True)) | {"source": key} for key, formulas in untimed],
        "accuracies": [asdict(each) for each in published.ACCURACIES],
        "components": [
            {"part": name, "macs": cost.work[Event.MAC], "params": cost.parameters}
            for name, cost in components().items()
        ],
        "sources": dict(published.SOURCES),
    }


def comparisons() -> list[Sheet]:
    """Times, methods, qualities and components, as tables."""
    return [_times(), _methods(), _accuracies(), _components()]


def _times() -> Sheet:
    records = times()
    rows = [
        [each.method, each.quantity]
        + ["" if value is None else number(value) for value in (each.printed, each.computed)]
        + [each.obtained, each.source]
        for each in records
    ]
    lengths = ", ".join(dict.fromkeys(str(run.length) for run in published.FLOW_RUNS))
    notes = [
        f"ms. computed: by the formulas, from stated times: low = {published.FULL} - {published.HIGH}, scheduler = "
        f"{published.FRONT} - {published.LOW} - {published.PROPAGATE}; a key frame every {published.INTERVAL} frames.",
        "adaptive: the printed average is of the sequential mode, the printed latency of the parallel mode.",
        f"DFF, l = {lengths}: average (c_full + (l - 1)*c_prop)/l, solved for c_prop; maximum c_full.",
        *(f"{key}: {published.SOURCES[key]}." for key in dict.fromkeys(each.source for each in records)),
    ]
    columns = ["method", "quantity", "printed", "computed", "obtained", "source"]
    labels = [*columns[:2], "printed ms", "computed ms", *columns[4:]]
    return Sheet("Published times of a frame", columns, "llrrll", rows, notes, keys=2, labels=labels)


def _methods() -> Sheet:
    rows = [[name, average, maximum, key] for key, (name, average, maximum) in published.WITHOUT_TIMES.items()]
    notes = [f"{key}: {published.SOURCES[key]}." for key in published.WITHOUT_TIMES]
    title = "Methods without published times of their parts"
    return Sheet(title, ["method", "average", "maximum", "source"], "llll", rows, notes)


def _accuracies() -> Sheet:
    rows = [[each.method, number(each.miou), each.source] for each in published.ACCURACIES]
    notes = [f"as the sources state, a key frame every {published.INTERVAL} frames, Cityscapes."]
    return Sheet("Published quality", ["method", "mIoU %", "source"], "lrl", rows, notes)


def _components() -> Sheet:
    body = [[name, f"{cost.work[Event.MAC]:,}", f"{cost.parameters:,}"] for name, cost in components().items()]
    notes = [
        f"inferred from the description of the method, for a {'x'.join(map(str, published.SIZE))} frame at stride "
        f"{published.STRIDE}, {published.LOW_CHANNELS} low and {published.HIGH_CHANNELS} high channels, keeping the "
        "reduced map of the key frame; convolutions alone.",
        f"the kernels are a tensor of {key_frames.kernels(_features(published.HIGH_CHANNELS)).elements:,} elements.",
    ]
    return Sheet("Components of the adaptive network", ["part", "MACs", "params"], "lrr", body, notes)
