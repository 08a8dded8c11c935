"""The timing options of the commands: read profiles, measure what they lack, show progress."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from costmodel.cli.parsers import at_door, bandwidth, duration, each, joined, one_of, whole
from costmodel.errors import InvalidInput, MeasuringFailed
from costmodel.profiles.recording import changed, earlier, recording

if TYPE_CHECKING:
    from tqdm import tqdm

    from costmodel.measure.jobs import Job
    from costmodel.profiles.records import Profile, Settings, Subject

# As in `costmodel.profiles.records.Settings`, which is not opened for --help.
DEVICES = ("cpu", "cuda")
DTYPES = ("float32", "float64", "bfloat16", "float16")
MEMORY_FORMATS = ("contiguous", "channels_last")
IMPLEMENTATIONS = ("eager", "compiled")
PAGES = ("default", "huge")  # default: `Settings.pages` is None


Bandwidth = Annotated[
    float | None,
    typer.Option(
        "--at",
        parser=at_door(bandwidth),
        metavar="GB/S",
        help="State times at another bandwidth of memory.  [default: the median of the probes]",
        show_default=False,
    ),
]


def _words(option: str, allowed: tuple[str, ...], help: str) -> Any:
    return typer.Option(
        option,
        parser=at_door(each(one_of(*allowed))),
        callback=joined(allowed),
        metavar="|".join(allowed),
        help=help,
        show_default=False,
    )


def _threads(help: str) -> Any:
    return typer.Option(
        "--threads",
        parser=at_door(each(whole)),
        callback=joined(),
        metavar="N,...",
        help=help,
        show_default=False,
    )


@dataclass
class Choices:
    """Options: the settings to run with, in every combination."""

    dtype: Annotated[list[str] | None, _words("--dtype", DTYPES, "Number formats timed.  [default: float32]")] = None
    memory_format: Annotated[
        list[str] | None,
        _words("--memory-format", MEMORY_FORMATS, "Memory formats timed.  [default: contiguous]"),
    ] = None
    implementation: Annotated[
        list[str] | None,
        _words("--implementation", IMPLEMENTATIONS, "Plain torch or torch.compile.  [default: eager]"),
    ] = None
    threads: Annotated[list[int] | None, _threads("CPU threads timed.  [default: all cores]")] = None
    pages: Annotated[list[str] | None, _words("--pages", PAGES, "Pages of CPU memory.  [default: default]")] = None

    @property
    def given(self) -> dict[str, list[Any]]:
        """The settings that the options restrict, with the values that they allow."""
        settings = {name: getattr(self, name) for name in Choices.__dataclass_fields__}
        return {name: values for name, values in settings.items() if values}

    def keep(self, settings: "Settings") -> bool:
        """True if a run with these settings is shown."""
        fields = dict(settings) | {"pages": settings.pages or "default"}
        return all(fields[name] in allowed for name, allowed in self.given.items())


@dataclass
class ShownChoices(Choices):
    """Options: the settings of the recorded times that are shown."""

    dtype: Annotated[list[str] | None, _words("--dtype", DTYPES, "Only runs with these dtypes.")] = None
    memory_format: Annotated[
        list[str] | None, _words("--memory-format", MEMORY_FORMATS, "Only runs with these memory formats.")
    ] = None
    implementation: Annotated[
        list[str] | None, _words("--implementation", IMPLEMENTATIONS, "Only runs of these implementations.")
    ] = None
    threads: Annotated[list[int] | None, _threads("Only runs with these numbers of threads.")] = None
    pages: Annotated[list[str] | None, _words("--pages", PAGES, "Only runs with these pages of memory.")] = None


@dataclass
class Effort:
    """Options: the number of samples, or the time for them."""

    processes: Annotated[
        int | None,
        typer.Option(
            parser=at_door(whole),
            metavar="N",
            help="Fresh processes of each subject.  [default: 3, up to 12 until ratios are decided]",
            show_default=False,
        ),
    ] = None
    rounds: Annotated[
        int | None,
        typer.Option(
            parser=at_door(whole),
            metavar="N",
            help="Timed rounds in each process.  [default: 5, more where needed]",
            show_default=False,
        ),
    ] = None
    budget: Annotated[
        float | None,
        typer.Option(
            parser=at_door(duration),
            metavar="TIME",
            help="Time limit, such as 90s, 5m or 1h, instead of --processes and --rounds.",
        ),
    ] = None

    def __post_init__(self) -> None:
        if self.budget is not None and (self.processes is not None or self.rounds is not None):
            raise InvalidInput("--budget decides on --processes and --rounds: give it alone")


@dataclass
class Measuring:
    """Options: where rows that no profile has are timed, and where their times are kept."""

    measure: Annotated[
        str | None,
        typer.Option(
            parser=at_door(one_of(*DEVICES)),
            metavar="cpu|cuda",
            help="Time the rows that no profile has, in fresh processes.",
        ),
    ] = None
    save: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="With --measure: keep the times, as profiles/NAME.json.")
    ] = None


Profiles = Annotated[
    list[str] | None,
    typer.Option("--profile", metavar="NAME|FILE", help="Show recorded times; repeat for several machines."),
]


@dataclass
class Times:
    """Recorded times for a table: those of profiles, and those that are measured for the table."""

    profile: list[str] | None
    choices: Choices
    measuring: Measuring = field(default_factory=Measuring)
    effort: Effort = field(default_factory=Effort)
    predicted: bool | None = None  # the choices are also those of a machine; None: the command takes none

    def __post_init__(self) -> None:
        if self.measuring.measure is None:
            for group, option in ((self.measuring, "save"), *((self.effort, name) for name in vars(self.effort))):
                if getattr(group, option) is not None:
                    raise InvalidInput(f"--{option} needs --measure")
            if not self.profile and not self.predicted and self.choices.given:
                option = next(iter(self.choices.given)).replace("_", "-")
                others = "--measure or --profile" if self.predicted is None else "--measure, --profile or --machine"
                raise InvalidInput(f"--{option} needs {others}")
        self.found: dict[str, Profile] = {}
        self.given: dict[str, str] = {}  # as they were typed
        self.code = 0

    @property
    def wanted(self) -> bool:
        return bool(self.profile) or self.measuring.measure is not None

    @property
    def keep(self) -> "Callable[[Settings], bool]":
        return self.choices.keep

    def gather(self, jobs: "Callable[[list[Settings]], list[Job]]") -> None:
        """Read the profiles, and measure the groups of jobs that none of them has as a whole."""
        from costmodel.profiles import files as profiles

        for name in self.profile or []:
            file = profiles.locate(name)
            if os.path.realpath(file) in (os.path.realpath(profiles.locate(given)) for given in self.given.values()):
                continue  # the same one again
            shown = str(file) if file.stem in self.found else file.stem
            self.found[shown], self.given[shown] = profiles.load(file), name
        if self.measuring.measure is None:
            return
        from costmodel.measure.host import physical_memory
        from costmodel.measure.jobs import groups
        from costmodel.measure.runner import PROCESSES

        path = None if self.measuring.save is None else profiles.destination(self.measuring.save)
        if path and path.exists():
            self.found[path.stem] = profiles.load(path)
        wanted = {job.key: job for job in jobs(settings_grid(self.measuring.measure, self.choices))}
        processes = self.effort.processes or PROCESSES

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

    def lacking(self, subjects: "list[Subject]") -> "Iterator[tuple[str, list[Subject], str]]":
        """Each profile without some rows, if nothing was measured for them: its name, the rows, and the profile to
        record them in. `InvalidInput` for a module that has changed since."""
        for name, profile in self.found.items() if self.measuring.measure is None else ():
            there = {run.subject for run in profile.runs if self.keep(run.how)}
            lacking = [subject for subject in subjects if subject not in there]
            for subject in lacking:
                if old := earlier(profile, subject):
                    raise InvalidInput(
                        f"{changed(old, subject, f'profile {name}')}: record it anew, with --replace or into another "
                        "profile"
                    )
            if lacking:
                yield name, lacking, "NAME" if profile.host.source else self.given.get(name, name)  # not into published

    def miss(self, subjects: "list[Subject]", fatal: bool = False) -> None:
        """Say which rows a profile does not have, and what records them, if nothing was measured for them; ``fatal``:
        `InvalidInput` where it has none of them."""
        for name, lacking, into in self.lacking(subjects):
            whole = len(lacking) == len(subjects)
            rows = "has none of these rows" if whole else f"has no {', no '.join(each.title for each in lacking)}"
            text = f"profile {name} {rows}; to record them: {recording(lacking, self.choices.given, into)}"
            if whole and fatal:
                own = dict.fromkeys(run.subject.title for run in self.found[name].runs if run.subject.module)
                there = f"; it has {', '.join(list(own)[:3])}: --model and --input show them" if own else ""
                raise InvalidInput(text + there)
            print(f"costmodel: {text}", file=sys.stderr)


def settings_grid(
    device: str,
    choices: Choices,
    *,
    batch: int = 1,
    frames: int = 1,
    tf32: bool = False,
    cuda_graph: bool = False,
    flush: bool = True,
) -> "list[Settings]":
    """Every combination of the chosen settings, with the usual value of those that are not chosen."""
    from costmodel.measure.profile import settings_grid as grid

    return grid(
        device,
        dtype=choices.dtype or "float32",
        memory_format=choices.memory_format or "contiguous",
        implementation=choices.implementation or "eager",
        threads=choices.threads,
        pages=choices.pages or "default",
        batch=batch,
        frames=frames,
        tf32=tf32,
        cuda_graph=cuda_graph,
        flush=flush,
    )


def recorded_times(names: list[str] | None, choices: Choices) -> Times:
    """Profiles that are read, with the settings that the options want; nothing is measured."""
    times = Times(names, choices)
    times.gather(lambda settings: [])
    return times


def recorded_for(subjects: "Iterable[Subject]", names: list[str] | None, choices: Choices) -> "dict[str, Profile]":
    """The named profiles, by default all that have times of some subjects, restricted to the settings that the options
    want. Subjects without times are named on stderr, with what records them."""
    from costmodel.profiles.files import available

    subjects = list(subjects)
    known = names or [name for name, path in available().items() if readable(path)]
    times = recorded_times(known, choices)
    if not names:
        has = {name: {run.subject for run in each.runs if choices.keep(run.how)} for name, each in times.found.items()}
        times.found = {name: each for name, each in times.found.items() if not has[name].isdisjoint(subjects)}
    times.miss(subjects)
    if not times.found:
        print(
            f"costmodel: no profile has these rows; to record them: {recording(subjects, choices.given)}",
            file=sys.stderr,
        )
    return {name: each.only(choices.keep) for name, each in times.found.items()}


def readable(path: Path) -> bool:
    """True if a profile can be loaded; else the reason goes to stderr."""
    from costmodel.profiles.files import load

    try:
        load(path)
    except InvalidInput as error:
        print(f"costmodel: left out: {error}", file=sys.stderr)
        return False
    return True


def time_jobs(
    jobs: "list[Job]",
    path: Path | None,
    effort: Effort,
    resume: bool = False,
    replace: bool = False,
    layers: "Callable[..., Profile] | None" = None,
) -> "tuple[Profile | None, int]":
    """Measure, with progress; what there is then, and the exit code: 130 after Ctrl-C, 1 if something failed.
    ``layers``: measures the parts of the jobs instead, and tells itself what the budget did not reach."""
    from costmodel.measure.profile import record
    from costmodel.measure.runner import MOST_PROCESSES, PROCESSES

    latest, code = measured(
        partial(
            layers or record,
            jobs,
            path,
            resume=resume,
            replace=replace,
            processes=effort.processes or PROCESSES,
            most=0 if effort.processes else MOST_PROCESSES,
            rounds=effort.rounds,
            budget=effort.budget,
        ),
        path,
    )
    known = latest.by_key if latest else {}
    lacking = [] if layers or code else [job.subject.title for job in jobs if job.key not in known]
    return _ended(f"the budget ended before {', '.join(lacking)}", 1, path, latest) if lacking else (latest, code)


def measured(
    measure: "Callable[..., Profile]", path: Path | None, what: str = "timing"
) -> "tuple[Profile | None, int]":
    """Measure, with progress; what there is then, and the exit code: 130 after Ctrl-C, 1 if something failed.
    ``measure`` takes ``latest``, ``tick`` and ``tell``."""
    latest: Profile | None = None

    def hear(profile: "Profile") -> None:
        nonlocal latest
        latest = profile

    def tell(message: str) -> None:
        bar.clear()
        print(f"costmodel: {message}", file=sys.stderr)

    with progress(1000, what, "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}") as bar:

        def tick(done: float, what: str) -> None:
            bar.set_postfix_str(what, refresh=False)
            bar.update(max(0, int(1000 * min(1.0, done)) - bar.n))

        try:
            return measure(latest=hear, tick=tick, tell=tell), 0
        except KeyboardInterrupt:
            return _ended("interrupted", 130, path, latest)
        except MeasuringFailed as failure:
            return _ended(str(failure), failure.code, path, latest)
        except OSError as failure:
            return _ended(f"cannot go on: {failure.strerror or failure}", 1, path, latest)


def _ended(what: str, code: int, path: Path | None, latest: "Profile | None") -> "tuple[Profile | None, int]":
    """Say why the measuring ended; what there is then, and the exit code."""
    there = latest and (latest.runs or latest.layers or latest.calibrations)
    print(f"costmodel: {what}{f'; {path} keeps what was timed' if path and there else ''}", file=sys.stderr)
    return latest, code


def progress(total: int, what: str, layout: str | None = None, delay: float = 0) -> "tqdm[Any]":
    """A bar with an estimate on a terminal's stderr, after ``delay`` seconds; silent elsewhere."""
    from tqdm import tqdm

    return tqdm(total=total, desc=what, file=sys.stderr, disable=None, leave=False, bar_format=layout, delay=delay)
