"""Key-frame schedules as tables: costs, formulas, simulations and published values."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from costmodel.errors import InvalidInput
from costmodel.report.layout.document import Document
from costmodel.report.layout.sheet import Sheet
from costmodel.report.low_latency import comparisons, published_record
from costmodel.report.numbers import number
from costmodel.video.schedule import FORMULAS, MODES, Schedule, Stages

if TYPE_CHECKING:
    from costmodel.profiles.records import Profile, Run, Settings
    from costmodel.video.simulation import Simulation


@dataclass(frozen=True)
class Row:
    """A schedule, and its simulation (None: a cycle is too long for a simulation)."""

    schedule: Schedule
    simulation: "Simulation | None"

    def record(self, notes: Sequence[str] = ()) -> dict[str, Any]:
        """The JSON contract; ``notes``: the origin of the times."""
        record = asdict(self.schedule)
        record["gaps"] = list(self.schedule.gaps)
        staleness = self.schedule.staleness_frames
        record["staleness_frames"] = None if staleness is None else list(staleness)
        first = {key: record.pop(key) for key in ("mode", "interval", "key_fraction", "average_ms", "maximum_ms")}
        return first | record | {"simulated": self.simulation and self.simulation.record(), "notes": list(notes)}

    def flat(self) -> dict[str, Any]:
        """A row of CSV."""
        record = self.record()
        del record["notes"]
        record["gaps"] = " ".join(map(str, record["gaps"]))
        record["staleness_frames"] = "-".join(map(str, record["staleness_frames"] or ()))
        for stage, time in record.pop("stages").items():
            record[f"{stage}_ms"] = time
        for key, value in (record.pop("simulated") or {}).items():
            joined = " ".join(map(str, value)) if isinstance(value, list) else value
            record[f"simulated_{key}"] = joined
        return record


def document(rows: Sequence[Row], notes: Sequence[str] = (), compare: bool = False) -> Document:
    """Schedules (in JSON one schedule is an object, several are a list); ``compare`` adds published values (in JSON: an
    object with ``schedules``, a list, and ``published``). ``notes``: the origin of the times."""

    def json() -> Any:
        records = [row.record(notes) for row in rows]
        if compare:
            return {"schedules": records, "published": published_record()}
        return records[0] if len(records) == 1 else records

    def csv() -> list[dict[str, Any]]:
        if compare:
            raise InvalidInput("CSV has one table: use another format with compare=True")
        return [row.flat() for row in rows]

    def sheets() -> list[Sheet]:
        own = [_costs(rows, notes), _simulated(rows), _formulas(rows)]
        return [*(sheet for sheet in own if sheet), *(comparisons() if compare else [])]

    return Document(json, csv, sheets)


def _costs(rows: Sequence[Row], notes: Sequence[str]) -> Sheet:
    body = []
    for each in (row.schedule for row in rows):
        body.append(
            [
                each.mode,
                _interval(each),
                number(each.average_ms),
                number(each.maximum_ms),
                number(each.work_per_frame_ms),
                f"{each.speed_up:.2f}x",
                f"{each.throughput_fps:.2f}",
                number(each.frame_period_ms),
                "" if each.background_load is None else f"{each.background_load:.4f}",
                "never" if each.staleness_frames is None else "-".join(map(str, dict.fromkeys(each.staleness_frames))),
            ]
        )
    columns = ["mode", "k", "average", "maximum", "work", "speed-up", "frames/s", "T", "U", "stale"]
    labels = ["mode", "k", "average ms", "maximum ms", "work ms", *columns[5:7], "T ms", "U", "staleness"]
    modes = dict.fromkeys(row.schedule.mode for row in rows)
    lines = [
        "average, maximum: latency in ms of a frame that does not wait; work: ms per frame, summed over devices. The "
        f"first frame, {number(rows[0].schedule.first_frame_ms)} ms, is left out: it has nothing to propagate from.",
        f"speed-up: of the average, against {number(rows[0].schedule.every_frame_ms)} ms on every frame. frames/s: "
        "the highest rate without queues. T: frame period in ms. stale: age of the high features in frames.",
        *(f"{mode}: {MODES[mode]}." for mode in modes),
        *_parallel([row.schedule for row in rows if row.schedule.mode == "parallel"]),
        *notes,
        *(line for row in rows for line in _warnings(row)),
    ]
    title = f"Key-frame schedules: {_stages(rows[0].schedule.stages)}"
    return Sheet(title, columns, "l" + "r" * 9, body, lines, keys=2, labels=labels, spare=["T ms"]).without(["U"])


def _stages(stages: Stages) -> str:
    return ", ".join(f"{name} {number(time)}" for name, time in asdict(stages).items()) + " ms"


def _interval(schedule: Schedule) -> str:
    if schedule.mode == "every":
        return ""
    return number(schedule.interval, 2) + ("" if len(schedule.gaps) == 1 else " (mean)")


def _parallel(schedules: Sequence[Schedule]) -> list[str]:
    if not schedules:
        return []
    first = schedules[0]
    place = "a device of its own" if first.devices == 2 else "the same device, whenever no frame is processed"
    eps = f"; contention makes every frame {1 + first.contention:g} times as long" if first.contention else ""
    return [f"U: load of the background, c_high/(k*T), on {place}{eps}."]


def _warnings(row: Row) -> list[str]:
    """Effects of a frame period that is too short."""
    each = row.schedule
    name = each.mode + (f", k = {_interval(each)}" if each.gaps != (1,) or each.mode != "every" else "")
    lines = []
    if not each.keeps_up:
        lines.append(
            f"{name}: frames every {number(each.frame_period_ms)} ms arrive faster than they can be processed "
            f"({number(1000 / each.throughput_fps)} ms each)."
        )
    if row.simulation and row.simulation.dropped:
        lines.append(f"{name}: {row.simulation.dropped} of {len(row.simulation.frames) - 1} frames are dropped.")
    elif row.simulation and row.simulation.longest_queue and not each.keeps_up:
        lines.append(f"{name}: the queue grows, to {row.simulation.longest_queue} frames here.")
    if each.feasible is False:
        lines.append(
            f"{name}: the background falls behind and staleness grows; the range is that of the first key frames."
        )
    elif each.mode == "parallel" and len(each.gaps) > 1 and each.frame_period_ms * min(each.gaps) < each.stages.high:
        lines.append(
            f"{name}: some key frames come faster than their features: staleness is larger, see the simulation."
        )
    return lines


def _simulated(rows: Sequence[Row]) -> Sheet | None:
    body = []
    for row in rows:
        if row.simulation is None:
            continue
        simulation = row.simulation
        body.append(
            [
                row.schedule.mode,
                _interval(row.schedule),
                str(len(simulation.frames) - 1),
                number(simulation.average_ms),
                number(simulation.maximum_ms),
                number(simulation.work_per_frame_ms),
                " ".join(f"{each:.4f}" for each in simulation.utilisation),
                "-".join(map(str, dict.fromkeys(simulation.staleness_frames))),
                str(simulation.longest_queue),
                str(simulation.dropped),
            ]
        )
    if not body:
        return None
    lines = [
        "frames: without the first; whole cycles of key frames have the averages of the formulas. average, maximum: "
        "with waiting. load: of each device, work divided by the time in which frames arrive. queue: the most frames "
        "that wait at once; lost: dropped frames.",
    ]
    columns = ["mode", "k", "frames", "average", "maximum", "work", "load", "stale", "queue", "lost"]
    labels = [*columns[:3], "average ms", "maximum ms", "work ms", "load", "staleness", "queue", "dropped"]
    return Sheet("Simulated, event by event", columns, "l" + "r" * 9, body, lines, keys=2, labels=labels)


def _formulas(rows: Sequence[Row]) -> Sheet:
    modes = dict.fromkeys(row.schedule.mode for row in rows)
    body = [[mode, what, formula] for mode in modes for what, formula in FORMULAS[mode].items()]
    limits = {row.schedule.mode: row.schedule.break_even_key_fraction for row in rows}
    lines = [
        "p: the fraction of key frames, 1/k, or n over the sum of n gaps; T: the frame period; eps: the contention. "
        "Work per frame that is not listed equals the average.",
        *(
            f"{mode}: less work than every frame in full {f'for p < {limit:.6f}' if limit else 'at no p'}."
            for mode, limit in limits.items()
            if mode != "every"
        ),
        "parallel: the features of a key frame are ready s = ceil(c_high/T) frames later, and are s to s + k - 1 "
        "frames old when shown; on one device, T - front takes the place of T."
        if "parallel" in modes
        else "",
    ]
    return Sheet("Formulas", ["mode", "quantity", "formula"], "lll", body, [line for line in lines if line], keys=2)


# ---- from a profile --------------------------------------------------------------------------------------------------


def stages_from(
    profile: "Profile", name: str, model: str, *, propagate: float = 0, select: float = 0
) -> tuple[Stages, list[str]]:
    """Stages (ms) of a network with the parts ``model-low`` and ``model-key``, from the medians of the first settings
    with which a profile timed both parts, and notes on the times. `InvalidInput` without such times."""
    from costmodel.describe.catalogue import NETWORKS, key_frame_parts
    from costmodel.profiles.timing import from_run

    parts = key_frame_parts(model)
    if parts is None:
        known = ", ".join(filter(key_frame_parts, NETWORKS))
        raise InvalidInput(f"{model!r} has no parts for key frames: one of {known}")
    timed: dict[tuple[Settings, object], dict[str, Run]] = {}
    for run in profile.runs:
        if run.subject.network in parts:
            alike = run.subject.size, run.subject.classes
            timed.setdefault((run.how, alike), {})[str(run.subject.network)] = run
    both = next((runs for runs in timed.values() if len(runs) == 2), None)
    if both is None:
        raise InvalidInput(
            f"profile {name} has no times of {' and '.join(parts)} with the same settings; to record them: "
            f"costmodel profile --model {parts[1]},{parts[0]} --out NAME"
        )
    low, high = (from_run(profile, name, both[part]) for part in parts)
    # More digits would not repeat.
    first, second = (float(f"{1e3 * each.median_s:.4g}") for each in (low, high))
    stages = Stages(first, second, propagate, select)
    notes = []
    for stage, part, timing in (("low", parts[0], low), ("high", parts[1], high)):
        verdict = timing.seconds.verdict if timing.seconds else "stable"
        doubt = "" if verdict == "stable" else f"; {verdict}, see costmodel profiles {name}"
        notes.append(f"{stage}: {both[part].title} (profile {name}, {timing.machine}{doubt}).")
    return stages, notes
