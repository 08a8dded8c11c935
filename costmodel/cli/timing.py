"""What the timing options of the commands do: read profiles, measure what they lack, show progress."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from costmodel.cli import parsers as arguments
from costmodel.errors import InvalidInput, MeasuringFailed
from costmodel.profiles.recording import recording

if TYPE_CHECKING:
    from tqdm import tqdm

    from costmodel.measure.jobs import Job
    from costmodel.profiles.records import Profile, Settings, Subject

# As in `costmodel.profiles.records.How`, which is not opened for --help.
DEVICES = ("cpu", "cuda")
DTYPES = ("float32", "float64", "bfloat16", "float16")
MEMORY_FORMATS = ("contiguous", "channels_last")
IMPLEMENTATIONS = ("eager", "compiled")


@dataclass
class Times:
    """The timing options of a table: which profiles to show, and what to measure for it."""

    profile: list[str] | None
    measure: str | None
    save: str | None
    processes: str | None
    rounds: str | None
    budget: str | None
    dtype: str | None
    memory_format: str | None
    implementation: str | None
    threads: str | None

    def __post_init__(self) -> None:
        if self.measure is None:
            for option in ("save", "processes", "rounds", "budget"):
                if getattr(self, option) is not None:
                    raise InvalidInput(f"--{option} needs --measure")
            if not self.profile and self.ways:
                raise InvalidInput(f"--{next(iter(self.ways)).replace('_', '-')} needs --measure or --profile")
        elif self.measure not in DEVICES:
            raise InvalidInput(f"--measure {self.measure!r}: one of {', '.join(DEVICES)}")
        self.effort = effort(self.processes, self.rounds, self.budget)
        self.found: dict[str, Profile] = {}
        self.given: dict[str, str] = {}  # as they were typed
        self.code = 0

    @property
    def wanted(self) -> bool:
        return bool(self.profile) or self.measure is not None

    @property
    def ways(self) -> dict[str, list[Any]]:
        """What the options restrict."""
        return ways(self.dtype, self.memory_format, self.implementation, self.threads)

    def keep(self, how: "Settings") -> bool:
        return all(getattr(how, name) in allowed for name, allowed in self.ways.items())

    def gather(self, jobs: "Callable[[list[Settings]], list[Job]]") -> None:
        """Read the profiles, and measure the groups of jobs that none of them has as a whole."""
        from costmodel.profiles import files as profiles

        for name in self.profile or []:
            file = profiles.locate(name)
            if os.path.realpath(file) in (os.path.realpath(profiles.locate(given)) for given in self.given.values()):
                continue  # the same one again
            shown = str(file) if file.stem in self.found else file.stem
            self.found[shown], self.given[shown] = profiles.load(file), name
        if self.measure is None:
            return
        from costmodel.measure import profile as measuring
        from costmodel.measure.host import physical_memory
        from costmodel.measure.jobs import groups
        from costmodel.measure.runner import PROCESSES

        path = None if self.save is None else profiles.destination(self.save)
        if path and path.exists():
            self.found[path.stem] = profiles.load(path)
        given: dict[str, Any] = dict(self.ways)
        wanted = {job.key: job for job in jobs(measuring.settings_grid(self.measure, **given))}
        processes = int(self.effort.get("processes", PROCESSES))

        def has(name: str, job: "Job") -> bool:
            known = self.found[name].by_key.get(job.key)
            # What was saved by an interrupted run goes on; what a profile says is taken as it is.
            least = processes if path and name == path.stem else 1
            return known is not None and len(known.processes) >= least

        # A percentage needs both of its runs in one profile.
        missing = [
            job
            for group in groups(wanted.values(), physical_memory())
            if not any(all(has(name, job) for job in group) for name in self.found)
            for job in group
        ]
        if missing:
            name = path.stem if path else "measured now"
            measured, self.code = time_jobs(missing, path, self.effort, resume=True)
            if measured:
                self.found[name] = measured

    def miss(self, subjects: "list[Subject]", fatal: bool = False) -> None:
        """Say which rows a profile does not have, and what records them, if nothing was measured for them; ``fatal``:
        `InvalidInput` where it has none of them."""
        for name, profile in self.found.items() if self.measure is None else ():
            there = {run.subject for run in profile.runs if self.keep(run.how)}
            lacking = [subject for subject in subjects if subject not in there]
            if not lacking:
                continue
            whole = len(lacking) == len(subjects)
            rows = "has none of these rows" if whole else f"has no {', no '.join(each.title for each in lacking)}"
            into = "NAME" if profile.host.source else self.given.get(name, name)  # nobody adds to what was published
            text = f"profile {name} {rows}; to record them: {recording(lacking, self.ways, into)}"
            if whole and fatal:
                raise InvalidInput(text)
            print(f"costmodel: {text}", file=sys.stderr)


def effort(processes: str | None, rounds: str | None, budget: str | None) -> dict[str, Any]:
    """How much to measure, for `costmodel.measure.runner.Runner`."""
    if budget is not None and (processes is not None or rounds is not None):
        raise InvalidInput("--budget decides on --processes and --rounds: give it alone")
    found: dict[str, Any] = {}
    if processes is not None:
        found["processes"] = arguments.whole(processes, "--processes")
    if rounds is not None:
        found["rounds"] = arguments.whole(rounds, "--rounds")
    if budget is not None:
        found["budget"] = arguments.duration(budget, "--budget")
    return found


def ways(
    dtype: str | None, memory_format: str | None, implementation: str | None, threads: str | None
) -> dict[str, list[Any]]:
    """The given ones of the options that say how to run."""
    given: dict[str, list[Any]] = {
        "dtype": arguments.several(dtype, "--dtype", DTYPES),
        "memory_format": arguments.several(memory_format, "--memory-format", MEMORY_FORMATS),
        "implementation": arguments.several(implementation, "--implementation", IMPLEMENTATIONS),
        "threads": [arguments.whole(n.strip(), "--threads") for n in threads.split(",")] if threads is not None else [],
    }
    return {name: values for name, values in given.items() if values}


def time_jobs(
    jobs: "list[Job]", path: Path | None, effort: dict[str, Any], resume: bool = False, replace: bool = False
) -> "tuple[Profile | None, int]":
    """Measure, with progress; what there is then, and the exit code: 130 after Ctrl-C, 1 if something failed."""
    from costmodel.measure.profile import record
    from costmodel.measure.runner import MOST_PROCESSES

    if "processes" not in effort:
        effort = effort | {"most": MOST_PROCESSES}
    latest: Profile | None = None

    def hear(profile: "Profile") -> None:
        nonlocal latest
        latest = profile

    def tell(what: str, code: int) -> "tuple[Profile | None, int]":
        kept = f"; {path} keeps what was timed" if path and latest and latest.runs else ""
        print(f"costmodel: {what}{kept}", file=sys.stderr)
        return latest, code

    with progress(1000, "timing", "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}") as bar:

        def tick(done: float, what: str) -> None:
            bar.set_postfix_str(what, refresh=False)
            bar.update(max(0, int(1000 * min(1.0, done)) - bar.n))

        try:
            latest = record(jobs, path, latest=hear, tick=tick, resume=resume, replace=replace, **effort)
        except KeyboardInterrupt:
            return tell("interrupted", 130)
        except MeasuringFailed as failure:
            return tell(str(failure), 1)
        except OSError as failure:
            return tell(f"cannot go on: {failure.strerror or failure}", 1)
    lacking = [job.subject.title for job in jobs if job.key not in latest.by_key]
    return tell(f"the budget ended before {', '.join(lacking)}", 1) if lacking else (latest, 0)


def progress(total: int, what: str, layout: str | None = None) -> "tqdm[Any]":
    """A bar with an estimate on a terminal's stderr, silent elsewhere."""
    from tqdm import tqdm

    return tqdm(total=total, desc=what, file=sys.stderr, disable=None, leave=False, bar_format=layout)
