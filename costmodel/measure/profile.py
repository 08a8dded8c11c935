"""What to time, from the names in the catalogue; timing it into a profile."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from itertools import product
from pathlib import Path
from typing import Any

from costmodel.describe.catalogue import entries
from costmodel.describe.cells import Cell, describe_cell, find_cells
from costmodel.describe.errors import InvalidInput
from costmodel.describe.ops import Pair
from costmodel.describe.size import as_size, int_pair
from costmodel.measure.host import cores, host, refuse_without_gpu
from costmodel.measure.runner import Job, Runner, groups, refuse_impossible
from costmodel.profiles import How, Process, Profile, Run, Subject, load, locked

DTYPES = ("float32", "float64", "bfloat16", "float16")
FORMATS = ("contiguous", "channels_last")
IMPLEMENTATIONS = ("eager", "compiled")
DEVICES = ("cpu", "cuda")


def ways(
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
) -> list[How]:
    """Every combination of the given settings; see `How`. ``threads``: of a CPU, all cores without it."""
    if device not in DEVICES:
        raise InvalidInput(f"unknown device {device!r}: one of {', '.join(DEVICES)}")
    for what, given, allowed in (
        ("dtype", dtype, DTYPES),
        ("memory format", memory_format, FORMATS),
        ("implementation", implementation, IMPLEMENTATIONS),
    ):
        for name in _several(given):
            if name not in allowed:
                raise InvalidInput(f"unknown {what} {name!r}: one of {', '.join(allowed)}")
    chosen: dict[str, Sequence[Any]] = {
        "dtype": _several(dtype),
        "memory_format": _several(memory_format),
        "implementation": _several(implementation),
    }
    if device == "cuda":
        if threads is not None:
            raise InvalidInput("threads are for cpu")
        chosen |= {"tf32": _several(tf32), "cuda_graph": _several(cuda_graph), "flush": [flush]}
    else:
        if any((*_several(tf32), *_several(cuda_graph))) or not flush:
            raise InvalidInput("tf32, cuda_graph and flush are for cuda")
        chosen["threads"] = [as_size("threads", n) for n in _several(len(cores()) if threads is None else threads)]
    same = {"batch": as_size("batch", batch), "frames": as_size("frames", frames)}
    found = [
        How.model_validate({"device": device} | same | dict(zip(chosen, values, strict=True)))
        for values in product(*chosen.values())
    ]
    # TF32 is a way to multiply float32 alone.
    return [how for how in found if how.dtype == "float32" or not how.tf32]


def _several(given: Any) -> list[Any]:
    return list(dict.fromkeys(given)) if isinstance(given, list | tuple) else [given]


def network_jobs(
    hows: Iterable[How],
    models: "str | Iterable[str] | None" = None,
    cells: "str | Cell | Iterable[str | Cell] | None" = None,
    *,
    kernels: "Sequence[Pair]" = ((3, 3),),
    size: Pair = (1024, 2048),
    classes: int = 19,
    sites: "Mapping[str, str | Cell] | None" = None,
    recurrence: str | None = None,
) -> list[Job]:
    """Networks to time, without their training heads, as `entries` chooses them."""
    jobs: dict[tuple[Any, ...], Job] = {}
    for sides in kernels:
        settings: dict[str, Any] = {"size": int_pair("size", size), "kernel": int_pair("kernel", sides)}
        settings["classes"] = as_size("classes", classes)
        found = entries(models, cells, sites=sites, recurrence=recurrence, heads=False, **settings)
        for how, entry in product(hows, found.values()):
            job = Job(Subject.of_network(entry, **settings), how, entry.program)
            jobs.setdefault(job.key, job)
    return list(jobs.values())


def cell_jobs(
    hows: Iterable[How],
    cells: "str | Cell | Iterable[str | Cell] | None" = None,
    *,
    kernels: Sequence[Pair] = ((3, 3),),
    channels: Sequence[Pair] = ((128, 128),),
    size: Pair = (128, 256),
    recurrence: str | None = None,
) -> list[Job]:
    """Single cells to time."""
    area = int_pair("size", size)
    jobs: dict[tuple[Any, ...], Job] = {}
    for how, sides, widths, cell in product(hows, kernels, channels, find_cells(cells, recurrence)):
        where: dict[str, Any] = {
            "kernel": int_pair("kernel", sides),
            "channels": int_pair("channels", widths),
            "size": area,
        }
        subject = Subject.of_cell(cell, **where)
        job = Job(subject, how, describe_cell(cell, **where))
        jobs.setdefault(job.key, job)
    return list(jobs.values())


def record(
    jobs: Sequence[Job],
    path: Path | None = None,
    *,
    resume: bool = False,
    replace: bool = False,
    latest: Callable[[Profile], object] = lambda profile: None,
    **runner: Any,
) -> Profile:
    """Time jobs into a profile, which is saved to ``path`` after every block.

    A file that is there already is continued: with ``resume`` the processes that its runs lack are added, with
    ``replace`` they are measured anew, and without either a run that it has is refused. ``latest`` gets the profile
    after every block: who is interrupted has what was measured until then. ``runner``: of `Runner`.
    """
    devices = {job.how.device for job in jobs}
    if "cuda" in devices:
        refuse_without_gpu()
    refuse_impossible(jobs)
    here = host("cuda" if "cuda" in devices else "cpu")
    with locked(path) if path else nullcontext():
        result = load(path) if path and path.exists() else Profile(host=here)
        if differences := here.differences(result.host):
            raise InvalidInput(f"{path} was recorded elsewhere: {'; '.join(differences)}")
        result = result.model_copy(update={"host": result.host.merged(here)})
        there = [job for job in jobs if job.key in result.by_key]
        if there and not (resume or replace):
            raise InvalidInput(
                f"{path} has {len(there)} of these runs already, such as {there[0].subject.title}: "
                "--resume adds what they lack, --replace measures them anew"
            )
        have = {job: len(result.by_key[job.key].processes) if resume and job in there else 0 for job in jobs}

        def keep(processes: Mapping[Job, Process]) -> None:
            nonlocal result
            for job, process in processes.items():
                earlier = result.by_key[job.key].processes if have[job] else ()
                have[job] += 1
                run = Run(subject=job.subject, how=job.how, clock=job.clock, processes=(*earlier, process))
                result = result.with_run(run)
            if path:
                result.save(path)
            latest(result)

        work = []
        for group in groups(jobs):
            for count in sorted({have[job] for job in group}):
                work.append(([job for job in group if have[job] == count], count))
        Runner(keep, **runner).run(work)
    return result
