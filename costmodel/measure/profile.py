"""Jobs for names in the catalogue, and the timing of jobs into a profile."""

import os
import tempfile
import warnings
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import nullcontext
from itertools import product
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from costmodel.describe.catalogue import find_networks
from costmodel.describe.cells import Cell, describe_cell, find_cells
from costmodel.describe.ops import Pair
from costmodel.describe.selection import entries, find_base
from costmodel.errors import InvalidInput, MeasuringFailed, among, in_words
from costmodel.measure.allocation import Need
from costmodel.measure.host import cores, host, physical_memory, require_gpu
from costmodel.measure.jobs import Job, check_possible, groups
from costmodel.measure.runner import MOST_PROCESSES, PROCESSES, ROUNDS, Runner
from costmodel.measure.worker import ProbeChild, ProbeWorker, References, Worker
from costmodel.measure.workload import Described
from costmodel.price.table import Given, apart
from costmodel.profiles.estimate import ratio
from costmodel.profiles.files import destination, load, locked
from costmodel.profiles.recording import changed, earlier
from costmodel.profiles.records import Host, Process, Profile, Run, Settings, Subject, by_short_name
from costmodel.work.size import as_size, int_pair


def settings_grid(
    device: str = "cpu",
    *,
    dtype: str | Sequence[str] = "float32",
    memory_format: str | Sequence[str] = "contiguous",
    implementation: str | Sequence[str] = "eager",
    threads: int | Sequence[int] | None = None,
    batch: int = 1,
    frames: int = 1,
    tf32: bool | Sequence[bool] = False,
    cuda_graph: bool | Sequence[bool] = False,
    flush: bool = True,
    pages: str | Sequence[str] = "default",
) -> list[Settings]:
    """Every combination of the given settings; see `Settings`. ``threads``: of a CPU, by default all cores. ``pages``:
    ``default`` or ``huge``, of a CPU. `InvalidInput` for unknown values, and for settings of another device."""
    words = {"device": device, "dtype": dtype, "memory_format": memory_format, "implementation": implementation}
    for what, given in [*words.items(), ("pages", pages)]:
        allowed = options(what) if what != "pages" else ("default", *options(what))
        for name in _several(given):
            if name not in allowed:
                raise InvalidInput(f"unknown {what.replace('_', ' ')} {in_words(name)}: {among(name, allowed)}")
    chosen: dict[str, Sequence[Any]] = {what: _several(given) for what, given in words.items()}
    if device == "cuda":
        if threads is not None:
            raise InvalidInput("threads needs device cpu")
        if "huge" in _several(pages):
            raise InvalidInput("pages needs device cpu")
        chosen |= {"tf32": _several(tf32), "cuda_graph": _several(cuda_graph), "flush": [flush]}
    else:
        if any((*_several(tf32), *_several(cuda_graph))) or not flush:
            raise InvalidInput("tf32, cuda_graph and flush need device cuda")
        chosen["threads"] = [as_size("threads", n) for n in _several(len(cores()) if threads is None else threads)]
        chosen["pages"] = [None if each == "default" else each for each in _several(pages)]
    same = {"batch": as_size("batch", batch), "frames": as_size("frames", frames)}
    every = [
        Settings.model_validate(same | dict(zip(chosen, values, strict=True))) for values in product(*chosen.values())
    ]
    possible = [how for how in every if how.dtype == "float32" or not how.tf32]
    if not possible:
        raise InvalidInput("tf32 needs dtype float32")
    return possible


def options(field: str) -> tuple[str, ...]:
    """The values that a field of `Settings` allows."""
    annotation = Settings.model_fields[field].annotation
    alternatives = [annotation, *get_args(annotation)]  # Literal[...], or that or None
    return next(get_args(each) for each in alternatives if get_origin(each) is Literal)


def _several(given: Any) -> list[Any]:
    return list(dict.fromkeys(given)) if isinstance(given, list | tuple) else [given]


def choose(
    hows: Sequence[Settings],
    models: "Given | None" = None,
    cells: "str | Cell | Iterable[str | Cell] | None" = None,
    *,
    kernels: Sequence[Pair] = ((3, 3),),
    channels: Sequence[Pair] = ((128, 128),),
    size: "Pair | None" = None,
    classes: int | None = None,
    sites: "Mapping[str, str | Cell] | None" = None,
    recurrence: str | None = None,
    base: str | None = None,
) -> list[Job]:
    """Jobs to time, each once. With ``cells`` alone: single cells of every kernel and ``channels`` on maps of 128x256.
    Else: networks (by default all), without training heads, with the published frame size and classes unless ``size``
    and ``classes`` are given; and modules of the user's. ``base``: the subject that all percentages refer to, by
    default the first module for modules, and the standard cell for others. `InvalidInput` for unknown names."""
    jobs: list[Job] = []
    described, modules = apart(models)
    wanted = [] if modules and not described else find_networks(described)
    if models is None and cells is not None:
        if sites:
            raise InvalidInput("sites need networks: give models, too")
        area = int_pair("size", (128, 256) if size is None else size)
        for how, sides, widths, cell in product(hows, kernels, channels, find_cells(cells, recurrence)):
            where: dict[str, Any] = {"kernel": int_pair("kernel", sides), "size": area}
            where["channels"] = int_pair("channels", widths)
            jobs.append(Job(Subject.of_cell(cell, **where), how, Described(describe_cell(cell, **where))))
    else:
        settings: dict[str, Any] = {"size": size, "classes": classes}
        for sides in kernels if wanted else ():
            settings["kernel"] = int_pair("kernel", sides)
            networks = entries(wanted, cells, sites=sites, recurrence=recurrence, heads=False, **settings).values()
            jobs += [
                Job(Subject.of_network(entry, settings["kernel"]), how, Described(entry.program))
                for how, entry in product(hows, networks)
                if entry.model in wanted  # without the base networks, which tables show, too
            ]
    for each in modules:
        if each.workload is None:
            raise InvalidInput(
                f"{each.name} is a count, and no process can make it: give costmodel.module('package:factory', ...)"
            )
        if others := each.workload.kinds - {"float32", *(how.dtype for how in hows)}:
            raise InvalidInput(
                f"{each.name} has parameters or inputs of {' and '.join(sorted(others))}, and would be timed as "
                f"{' and '.join(dict.fromkeys(str(how.dtype) for how in hows))}: choose dtype {sorted(others)[0]}, or "
                "count it with the dtype that is timed"
            )
    jobs += [
        Job(each.entry.subject, how, each.workload, modules[0].entry.subject) for how, each in product(hows, modules)
    ]
    if any(how.batch > 1 for how in hows) and modules:
        raise InvalidInput("the batch of a module is in its inputs: give 8x3x224x224")
    if base is not None:
        whole = find_subject(base, [job.subject for job in jobs])
        jobs = [job.against(whole) for job in jobs]
    return list({job.key: job for job in jobs}.values())


def find_subject(name: str, subjects: Sequence[Subject]) -> Subject:
    """The first subject that a user calls ``name``: by its name in tables, or a network, whose standard cell is meant.
    `InvalidInput` for others."""
    known = {subject.name: subject for subject in reversed(subjects)}
    short = {short: subject.name for short, subject in by_short_name(subjects).items()}
    return known[find_base(name, reversed(known), short)]


def opened(
    path: Path | None,
    here: Host,
    jobs: Sequence[Job],
    keys: Callable[[Profile], Container[Any]],
    what: str,
    *,
    resume: bool,
    replace: bool,
) -> tuple[Profile, list[Job]]:
    """The profile that new measurements go into, with this machine as its host, and the jobs that it already has among
    its ``keys``. `InvalidInput` for the file of another machine, for modules that have changed since, and without
    ``resume`` or ``replace`` for jobs that it has; ``what`` they are, in words."""
    result = load(path) if path and path.exists() else Profile(host=here)
    if differences := here.differences(result.host):
        raise InvalidInput(f"{path} was recorded on another machine: {'; '.join(differences)}")
    for job, old in ((job, old) for job in jobs if (old := earlier(result, job.subject))):
        if not replace:
            raise InvalidInput(
                f"{changed(old, job.subject, path)}: replace=True measures it again, another name keeps both"
            )
        result = result.without(old)
    recorded = [job for job in jobs if job.key in keys(result)]
    if recorded and not (resume or replace):
        raise InvalidInput(
            f"{path} already has {len(recorded)} of {what}, such as {recorded[0].subject.title}: "
            "resume=True adds missing processes, replace=True measures the runs again"
        )
    return result.model_copy(update={"host": result.host.merged(here)}), recorded


def record(
    jobs: Sequence[Job],
    path: Path | None = None,
    *,
    resume: bool = False,
    replace: bool = False,
    latest: Callable[[Profile], object] = lambda profile: None,
    processes: int = PROCESSES,
    most: int = 0,
    rounds: int | None = None,
    budget: float | None = None,
    tick: Callable[[float, str], object] = lambda done, what: None,
    tell: Callable[[str], object] = warnings.warn,
    references: Path | None = None,
    start: Callable[[Job, bool], Worker] | None = None,
    probe: Callable[[Settings], ProbeWorker] | None = ProbeChild,
) -> Profile:
    """Time jobs into a profile, which is saved to ``path`` after every block.

    An existing file is continued: ``resume`` adds the processes that its runs lack; ``replace`` measures the runs again
    (old processes stay until there are as many new ones); without either, a run that the file already has is refused
    (`InvalidInput`). ``latest`` gets the profile after every block, so an interrupt loses nothing that was measured.
    ``references``: a folder that keeps references for later runs. The other arguments are those of `Runner`; with
    ``start``, no references are made. `MeasuringFailed` at the end names the jobs that could not be timed.
    """
    on_gpu = any(job.how.device == "cuda" for job in jobs)
    if on_gpu:
        require_gpu()
    here = host("cuda" if on_gpu else "cpu")
    memory = physical_memory() if here.gpu is None else here.gpu.memory or physical_memory()
    check_possible(jobs, memory)
    with locked(path) if path else nullcontext(), tempfile.TemporaryDirectory() as folder:
        result, recorded = opened(
            path, here, jobs, lambda profile: profile.by_key, "these runs", resume=resume, replace=replace
        )
        measured = {job: result.by_key[job.key].processes if resume and job in recorded else () for job in jobs}

        def keep(processes: Mapping[Job, Process]) -> None:
            nonlocal result
            for job, process in processes.items():
                measured[job] += (process,)
                old = result.by_key.get(job.key)
                if old is None or len(measured[job]) >= len(old.processes):
                    run = Run(subject=job.subject, how=job.how, clock=job.clock, processes=measured[job])
                    result = result.with_run(run)
            if path:
                result.save(path)
            latest(result)

        # A group is interleaved as a whole: a process that one run lacks is measured for all runs of the group.
        work = [(group, min(len(measured[job]) for job in group)) for group in groups(jobs, memory)]

        def need(group: Sequence[Job], starting: float, turn: float) -> Need:
            """Blocks until the percentages of a group are stable, by the noise of its runs until now."""
            runs = [result.by_key[job.key] for job in group if job.key in result.by_key]
            at = result.moments.get(group[0].how.device)
            standard = result.by_key.get((group[0].standard, group[0].how, group[0].clock))
            ratios = [ratio(run, standard, at) for run in runs if standard and run != standard]
            worst = max(ratios, key=lambda each: each.missing, default=None)
            if worst is None or not worst.missing:
                return Need(0, ROUNDS)
            return Need(worst.missing, worst.noise.best_rounds(starting, turn) if worst.noise else ROUNDS)

        known = References(references or Path(folder))
        timing = Runner(
            keep,
            start=start or known.start,
            prepare=known.compute if start is None else (lambda jobs, patience: None),
            need=need,
            processes=processes,
            most=most,
            rounds=rounds,
            budget=budget,
            tick=tick,
            tell=tell,
            probe=probe,
        )
        timing.run(work)
    if timing.failed:
        code = max(each.code for each in timing.failed.values())
        raise MeasuringFailed("; ".join(map(str, timing.failed.values())), code)
    return result


def profile(
    models: "Given | None" = None,
    cells: "str | Cell | Iterable[str | Cell] | None" = None,
    *,
    kernels: Sequence[Pair] = ((3, 3),),
    channels: Sequence[Pair] = ((128, 128),),
    size: "Pair | None" = None,
    classes: int | None = None,
    sites: "Mapping[str, str | Cell] | None" = None,
    recurrence: str | None = None,
    base: str | None = None,
    device: str = "cpu",
    dtype: str | Sequence[str] = "float32",
    memory_format: str | Sequence[str] = "contiguous",
    implementation: str | Sequence[str] = "eager",
    threads: int | Sequence[int] | None = None,
    batch: int = 1,
    frames: int = 1,
    tf32: bool | Sequence[bool] = False,
    cuda_graph: bool | Sequence[bool] = False,
    flush: bool = True,
    pages: str | Sequence[str] = "default",
    out: "str | Path | None" = None,
    resume: bool = False,
    replace: bool = False,
    processes: int | None = None,
    rounds: int | None = None,
    budget: float | None = None,
) -> Profile:
    """Time single cells (``cells`` alone), networks, or modules of the user's in fresh, interleaved processes; samples
    are seconds per call. Of ``models``, networks are names; modules are what `costmodel.module` makes.

    ``device`` to ``pages`` are the settings; with several values, such as ``memory_format=["contiguous",
    "channels_last"]``, every combination is timed. ``threads``: of a CPU, by default all cores. ``frames``: 1 carries
    the state from call to call, T > 1 recomputes a window of T frames from zeros. ``tf32``, ``cuda_graph`` and
    ``flush`` (of the L2 cache before every call) need ``device="cuda"``; ``pages="huge"`` asks the system for huge
    pages, on a CPU. ``base``: the subject that all others are
    interleaved with, by default the first module, or the standard cell. ``out``: a name or a file that grows with every
    block; see `record` for ``resume``, ``replace`` and errors. ``processes``: of each subject; by default 3, and
    up to 12 while percentages are not decided, within ten minutes. ``rounds``: of each process; by default 5, and then
    as many as are needed. ``budget``: a time limit in seconds instead of both; time that no percentage needs is not
    used. Needs POSIX.

    Probes take a turn before every turn of a subject: two copies and a matrix product, whose times are recorded beside
    those of the subject (`Process.probes`), and tell what the machine gave at that moment. The order of subjects is
    another one in every round (`Process.positions`).

    >>> import costmodel
    >>> seen = costmodel.profile(cells=["depth"], channels=[4], size=(5, 6), processes=1, rounds=2)
    >>> [(run.subject.title, len(run.processes), len(run.processes[0].seconds)) for run in seen.runs]
    [('depth cell 3x3 4 5x6', 1, 2)]
    """
    jobs = choose(
        settings_grid(
            device,
            dtype=dtype,
            memory_format=memory_format,
            implementation=implementation,
            threads=threads,
            batch=batch,
            frames=frames,
            tf32=tf32,
            cuda_graph=cuda_graph,
            flush=flush,
            pages=pages,
        ),
        models,
        cells,
        kernels=kernels,
        channels=channels,
        size=size,
        classes=classes,
        sites=sites,
        recurrence=recurrence,
        base=base,
    )
    return record(
        jobs,
        None if out is None else destination(os.fspath(out)),
        resume=resume,
        replace=replace,
        processes=PROCESSES if processes is None else processes,
        most=MOST_PROCESSES if processes is None else 0,
        rounds=rounds,
        budget=budget,
    )
