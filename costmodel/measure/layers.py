"""The time of each module of a subject: measured in place, in fresh processes, in turns with the undisturbed call."""

import os
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from costmodel.describe.ops import Norm
from costmodel.describe.program import Step
from costmodel.errors import InvalidInput, MeasuringFailed
from costmodel.measure.host import host, physical_memory, require_gpu
from costmodel.measure.jobs import Job, check_possible
from costmodel.measure.profile import choose, opened, settings_grid
from costmodel.measure.runner import PROCESSES, ROUNDS, Runner
from costmodel.measure.worker import ChildWorker, ProbeChild, ProbeWorker, References, Worker
from costmodel.measure.workload import ITEM_BYTES, Described
from costmodel.price.table import Given, apart
from costmodel.profiles.files import destination, locked
from costmodel.profiles.fused import FusedLayers
from costmodel.profiles.layers import Layers
from costmodel.profiles.records import LayerProcess, LayerRun, LayerTurn, Level, Process, Profile, Settings
from costmodel.work.cost import Cost, Operation
from costmodel.work.events import Work
from costmodel.work.size import as_size

if TYPE_CHECKING:
    from costmodel.describe.cells import Cell
    from costmodel.describe.ops import Pair
    from costmodel.measure.modules import Module


@dataclass
class Measured:
    """What a process has told of the parts so far."""

    levels: tuple[Level, ...] = ()
    containers: tuple[str, ...] = ()
    read: int = 0
    turns: list[tuple[LayerTurn, ...]] = field(default_factory=list)

    def ready(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Take what concerns the parts out of the facts of a process, and give the others."""
        self.levels = tuple(Level(**dict(zip(Level.model_fields, each, strict=False))) for each in facts.pop("levels"))
        self.containers, self.read = tuple(facts.pop("containers")), facts.pop("read")
        return facts

    def turn(self, levels: Sequence[Sequence[int]]) -> None:
        """Keep one turn: of each level the nanoseconds of the whole and of the parts."""
        self.turns.append(tuple(LayerTurn(whole=whole, parts=tuple(parts)) for whole, *parts in levels))

    def beside(self, process: Process) -> LayerProcess:
        """The process with the turns that belong to its samples."""
        turns = self.turns[: len(process.seconds)]
        by_level = zip(*turns, strict=True) if self.levels else ()
        return LayerProcess(undisturbed=process, read=self.read, turns=tuple(by_level))


class LayersWorker(ChildWorker):
    """A fresh process that times the parts of a job beside the undisturbed call; see `costmodel.measure.marks`, and
    `costmodel.measure.fused` for compiled code."""

    def __init__(self, job: Job, depth: int | None, reference: Path | None = None) -> None:
        self.program = f"costmodel.measure.{'fused' if job.how.implementation == 'compiled' else 'marks'}"
        super().__init__(job, reference)
        self.task = (*self.task, depth)
        self.measured = Measured()

    def ready(self, seconds: float | None) -> dict[str, Any]:
        return self.measured.ready(super().ready(seconds))

    def turn(self) -> float:
        self._send("turn")
        seconds, levels = self._receive()
        self.measured.turn(levels)
        return float(seconds)


def record(
    jobs: Sequence[Job],
    path: Path | None = None,
    *,
    depth: int | None = None,
    resume: bool = False,
    replace: bool = False,
    latest: Callable[[Profile], object] = lambda profile: None,
    processes: int = PROCESSES,
    most: int = 0,
    rounds: int = ROUNDS,
    budget: float | None = None,
    tick: Callable[[float, str], object] = lambda done, what: None,
    tell: Callable[[str], object] = warnings.warn,
    references: Path | None = None,
    start: Callable[[Job, int | None, Path | None], Any] | None = None,
    probe: Callable[[Settings], ProbeWorker] | None = ProbeChild,
) -> Profile:
    """Time the parts of jobs, ``depth`` names deep (by default all), into a profile; one job after another.

    The arguments are those of `costmodel.measure.profile.record`; ``most`` is ignored: `Layers` tells what does not
    repeat. `InvalidInput` for settings whose parts cannot be timed, and where a run has other parts than before.
    `MeasuringFailed` at the end names the jobs that could not be timed, and those that the budget did not reach.
    """
    check_settings(jobs)
    on_gpu = any(job.how.device == "cuda" for job in jobs)
    if on_gpu:
        require_gpu()
    here = host("cuda" if on_gpu else "cpu")
    check_possible(jobs, physical_memory() if here.gpu is None else here.gpu.memory or physical_memory())
    with locked(path) if path else nullcontext(), tempfile.TemporaryDirectory() as folder:
        result, recorded = opened(
            path, here, jobs, lambda profile: profile.layers_by_key, "these layers", resume=resume, replace=replace
        )
        old_runs = result.layers_by_key
        measured = {job: old_runs[job.key].processes if resume and job in recorded else () for job in jobs}
        known = References(references or Path(folder))
        workers: dict[Job, Any] = {}

        def begin(job: Job, verify: bool) -> Worker:
            workers[job] = (start or LayersWorker)(job, depth, known.file(job) if verify else None)
            worker: Worker = workers[job]
            return worker

        def keep(found: Mapping[Job, Process]) -> None:
            nonlocal result
            for job, process in found.items():
                seen: Measured = workers[job].measured
                old = result.layers_by_key.get(job.key)
                if measured[job] and old and (old.levels, old.containers) != (seen.levels, seen.containers):
                    raise InvalidInput(
                        f"{old.title}: a process has other parts or another depth than the processes before; "
                        "replace=True measures the run again"
                    )
                measured[job] += (seen.beside(process),)
                if old is None or len(measured[job]) >= len(old.processes):
                    run = LayerRun(
                        subject=job.subject,
                        how=job.how,
                        clock=job.clock,
                        levels=seen.levels,
                        containers=seen.containers,
                        processes=measured[job],
                    )
                    result = result.with_layers(run)
            if path:
                result.save(path)
            latest(result)

        timing = Runner(
            keep,
            start=begin,
            prepare=known.compute if start is None else (lambda jobs, patience: None),
            processes=processes,
            rounds=rounds,
            budget=budget,
            tick=tick,
            tell=tell,
            probe=probe,
        )
        timing.run([([job], len(measured[job])) for job in jobs])
    if timing.failed:
        code = max(each.code for each in timing.failed.values())
        raise MeasuringFailed("; ".join(map(str, timing.failed.values())), code)
    if lacking := [job.subject.title for job in jobs if job.key not in result.layers_by_key]:
        raise MeasuringFailed(f"the budget ended before {', '.join(lacking)}")
    return result


def check_settings(jobs: Sequence[Job]) -> None:
    """Raise `InvalidInput` for settings whose parts cannot be timed."""
    for job in jobs:
        if job.how.cuda_graph:
            raise InvalidInput("layers: a captured graph runs as a whole; leave out cuda_graph")


def joined(run: LayerRun, job: Job, module: "Module | None" = None, depth: int | None = None) -> Layers:
    """The times of a run beside the operations of its job; ``module``: for a module of the user's, with its count."""
    kind = _kind(run)
    if isinstance(job.workload, Described):
        steps = job.workload.program.steps
        operations = job.workload.program.operations
        counted = [_called(step, each, job.how) for step, each in zip(steps, operations, strict=True)]
        return kind(run, counted, {each.path: each.op for each in operations}, depth)
    if module is None:
        return kind(run, depth=depth)
    classes = {path: name if path else module.count.name for path, name in module.count.modules.items()}
    return kind(run, module.count.operations, {"": module.count.name} | classes, depth)


def _kind(run: LayerRun) -> type[Layers]:
    return FusedLayers if run.how.implementation == "compiled" else Layers


def _called(step: Step, operation: Operation, how: Settings) -> Operation:
    """A step of one frame as it is timed: of a batch, of all frames of a window, in the dtype of the settings. Weights
    are read once for all of a batch."""
    cost, times = operation.cost, how.batch * how.frames
    size = ITEM_BYTES[how.dtype or "float32"]
    weights = (2 if isinstance(step.op, Norm) else 1) * cost.parameters * step.output.map.itemsize

    def scaled(number: int) -> int:
        return number * size // step.output.map.itemsize

    return replace(
        operation,
        cost=Cost(
            Work({event: times * number for event, number in cost.work.items()}),
            cost.parameters,
            scaled(times * (cost.reads - weights) + how.frames * weights),
            scaled(times * cost.writes),
            how.frames * cost.launches,
            cost.conv_weights,
        ),
    )


def of_profile(run: LayerRun, depth: int | None = None) -> Layers:
    """The times of a recorded run, for described networks and cells beside their operations."""
    about = run.subject
    if about.module is not None:
        return _kind(run)(run, depth=depth)
    jobs = choose(
        [run.how],
        [about.network] if about.network else None,
        [about.cell] if about.cell else None,
        kernels=[about.kernel or (3, 3)],
        channels=[about.channels or (128, 128)],
        size=about.size,
        classes=about.classes,
        sites=dict(about.sites),
        recurrence=about.recurrence,
    )
    known = [job for job in jobs if job.subject == about]
    return joined(run, known[0], depth=depth) if known else _kind(run)(run, depth=depth)


def layers(
    model: "Given | None" = None,
    cell: "str | Cell | None" = None,
    *,
    depth: int | None = None,
    kernel: "Pair" = (3, 3),
    channels: "Pair" = (128, 128),
    size: "Pair | None" = None,
    classes: int | None = None,
    sites: "Mapping[str, str | Cell] | None" = None,
    recurrence: str | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    memory_format: str = "contiguous",
    implementation: str = "eager",
    threads: int | None = None,
    batch: int = 1,
    frames: int = 1,
    tf32: bool = False,
    flush: bool = True,
    out: "str | Path | None" = None,
    resume: bool = False,
    replace: bool = False,
    processes: int = PROCESSES,
    rounds: int = ROUNDS,
    budget: float | None = None,
) -> Layers:
    """The time of each module of one network, one cell (``cell`` alone) or one module of the user's, which
    `costmodel.module` makes, beside FLOPs and bytes: rows whose nanoseconds add up to the undisturbed call.

    ``depth``: the most names of a path, by default all; levels whose marks change the time of the whole by more than
    3 % are not shown. Compiled, the rows are kernels with the modules that they cover
    (`costmodel.profiles.fused.FusedLayers`). The other arguments are those of `costmodel.profile`, one value of each.
    `InvalidInput` for several subjects or settings. Needs POSIX.

    >>> import costmodel
    >>> found = costmodel.layers(cell="depth", channels=(4, 4), size=(5, 6), processes=1, rounds=2)
    >>> sum(row.ns for row in found.rows) == found.total_ns
    True
    """
    hows = settings_grid(
        device,
        dtype=dtype,
        memory_format=memory_format,
        implementation=implementation,
        threads=threads,
        batch=batch,
        frames=frames,
        tf32=tf32,
        flush=flush,
    )
    about: dict[str, Any] = {"size": size, "classes": classes, "sites": sites, "recurrence": recurrence}
    jobs = choose(hows, model, cell, kernels=[kernel], channels=[channels], **about)
    if len(jobs) != 1:
        raise InvalidInput(f"layers takes one subject and one value of each setting, not {len(jobs)} runs")
    result = record(
        jobs,
        None if out is None else destination(os.fspath(out)),
        depth=None if depth is None else as_size("depth", depth),
        resume=resume,
        replace=replace,
        processes=processes,
        rounds=rounds,
        budget=budget,
    )
    return joined(result.layers_by_key[jobs[0].key], jobs[0], next(iter(modules(model).values()), None), depth)


def modules(models: "Given | None") -> "dict[Any, Module]":
    """Modules of the user's by their subject."""
    own: Any = apart(models)[1]
    return {each.subject: each for each in own}
