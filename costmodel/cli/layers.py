"""Times of modules for the commands ``profile --layers``, ``count --measure`` and ``profiles --layers``."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from costmodel.cli.options import number
from costmodel.cli.timing import Effort, time_jobs
from costmodel.errors import InvalidInput

if TYPE_CHECKING:
    from costmodel.measure.jobs import Job
    from costmodel.measure.modules import Module
    from costmodel.profiles.layers import Layers
    from costmodel.profiles.records import Host, Profile, Subject

Depth = Annotated[int | None, number("N", "With --layers: modules up to N names deep.  [default: all]")]
Trace = Annotated[
    str | None,
    typer.Option(
        "--trace",
        metavar="FILE",
        help="The times of the modules as a trace, too, which Perfetto (ui.perfetto.dev) and Chrome open.",
    ),
]


def trace_file(file: str | None, jobs: "list[Job]") -> Path | None:
    """The path of --trace, checked before anything is measured."""
    from costmodel.report.layers import destination

    if file is not None and len(jobs) > 1:
        raise InvalidInput(f"--trace shows one run, not {len(jobs)}: one subject, one value of each setting")
    return None if file is None else destination(file)


def time_layers(
    jobs: "list[Job]",
    path: Path | None,
    effort: Effort,
    *,
    depth: int | None,
    trace: str | None,
    modules: Mapping[Any, Any],
    resume: bool = False,
    replace: bool = False,
) -> "tuple[list[Layers], Host | None, int]":
    """Measure the parts of jobs, with progress; what there is then, the machine, and the exit code. ``modules``: those
    of the user's by their subject."""
    from costmodel.measure.layers import check_settings, joined, record

    check_settings(jobs)
    file = trace_file(trace, jobs)
    found, code = time_jobs(jobs, path, effort, resume, replace, partial(record, depth=depth))
    known = found.layers_by_key if found else {}
    several = [joined(known[job.key], job, modules.get(job.subject), depth) for job in jobs if job.key in known]
    if file and several:
        several[0].save_trace(file)
    return several, found.host if found else None, code


def recorded_layers(name: str, profile: "Profile", subject: "Subject", module: "Module | None") -> "Layers":
    """The first times of the parts of a subject in a profile; ``module``: that of the subject, if it is the user's.
    `InvalidInput`, with the command that records them, where there are none."""
    from costmodel.measure.jobs import Job
    from costmodel.measure.layers import joined, of_profile
    from costmodel.profiles.recording import recording

    run = next((run for run in profile.layers if run.subject == subject), None)
    if run is None:
        into = "NAME" if profile.host.source else name  # nobody records into published times
        command = recording([subject], name=into).replace("costmodel profile", "costmodel profile --layers", 1)
        raise InvalidInput(
            f"{name} has no layers of {subject.title}, or none with these settings; to record: {command}"
        )
    return of_profile(run) if module is None else joined(run, Job(subject, run.how, module.workload), module)
