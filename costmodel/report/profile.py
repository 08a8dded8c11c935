"""The runs of a profile, as tables."""

from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from costmodel.errors import InvalidInput
from costmodel.profiles.records import Clock, Profile, Run, Settings, Subject
from costmodel.profiles.timing import Timing, from_run
from costmodel.report import claims
from costmodel.report.layout.document import Document
from costmodel.report.layout.sheet import Sheet
from costmodel.report.times import notes, time_cells

Key = tuple[Subject, Settings, Clock]
NO_BASES: Mapping[Key, Subject] = MappingProxyType({})


def document(profile: Profile, name: str, keys: Collection[Key], bases: Mapping[Key, Subject] = NO_BASES) -> Document:
    """Runs of a profile, by key, with a table for all runs of the same settings; ``bases``: what percentages refer to,
    if another subject than the standard cell. `InvalidInput` without runs."""
    runs = [run for run in profile.runs if run.key in keys]

    def timed(run: Run) -> Timing:
        return from_run(profile, name, run, bases.get(run.key))

    def json() -> dict[str, Any]:
        host = profile.host.model_dump(mode="json", exclude_none=True)
        return {"profile": name, "host": host, "runs": [_record(run, timed(run)) for run in runs]}

    def shown() -> list[Run]:
        if not runs:
            raise InvalidInput(f"{name}: no runs to show")
        return runs

    def sheets() -> list[Sheet]:
        settings = dict.fromkeys((run.how, run.clock) for run in shown())
        return [_sheet(profile, name, [r for r in runs if (r.how, r.clock) == each], timed, bases) for each in settings]

    return Document(json, lambda: [_flat(run, timed(run)) for run in shown()], sheets)


def _record(run: Run, timing: Timing) -> dict[str, Any]:
    about = {"subject": run.subject.model_dump(exclude_defaults=True), "name": run.subject.title}
    return about | timing.record() | _work(run)


def _flat(run: Run, timing: Timing) -> dict[str, Any]:
    row = {"subject": run.subject.title, "way": run.how.title, "machine": timing.machine}
    return row | timing.columns(alone=True) | _work(run)


def _work(run: Run) -> dict[str, Any]:
    """Memory and conditions of the processes: medians over processes; faults, switches and system time per call."""
    calls = [process.calls * len(process.seconds) for process in run.processes]

    def middle(name: str, per_call: bool = False) -> float | None:
        values = [getattr(process, name) for process in run.processes]
        if per_call:
            values = [v if v is None else v / n for v, n in zip(values, calls, strict=True)]
        known = sorted(v for v in values if v is not None)
        return known[len(known) // 2] if known else None

    return {
        "processes": len(run.processes),
        "samples": sum(len(process.seconds) for process in run.processes),
        "peak_memory_bytes": middle("peak_memory"),
        "peak_gpu_memory_bytes": middle("peak_gpu_memory"),
        "minor_faults_per_call": middle("minor_faults", per_call=True),
        "system_s_per_call": middle("system_seconds", per_call=True),
        "switches_per_call": middle("switches", per_call=True),
        "steal_s": middle("steal_seconds"),
        "mhz": middle("mhz"),
        "huge_pages": middle("huge_pages"),
        "deviation": next((p.deviation for p in run.processes if p.deviation is not None), None),
    }


def unit_of_work(runs: Iterable[Run]) -> str:
    """The unit of a time, in words: a frame of networks, a step of cells, a call of modules or of several of these."""
    kinds = {"call" if run.subject.module else "frame" if run.subject.network else "step": run for run in runs}
    (first, *more) = kinds.items()
    return first[1].how.unit_of("call" if more else first[0])


def _base(runs: list[Run], bases: Mapping[Key, Subject]) -> str:
    """The base of percentages, in words."""
    pairs = [(run.subject, bases.get(run.key, run.subject.standard)) for run in runs]
    others = dict.fromkeys(base.name for subject, base in pairs if base != subject and base != _standard_cell(subject))
    standard = ["the standard cell"] if not others or any(base == _standard_cell(s) != s for s, base in pairs) else []
    return " or ".join([*standard, *others])


def _standard_cell(subject: Subject) -> Subject | None:
    return subject.standard if subject.cell else None


def _sheet(
    profile: Profile, name: str, runs: list[Run], timed: Callable[[Run], Timing], bases: Mapping[Key, Subject]
) -> Sheet:
    how = runs[0].how
    rows, times = [], []
    for run in runs:
        timing, work = timed(run), _work(run)
        times.append(timing)
        peak = work["peak_memory_bytes" if how.device == "cpu" else "peak_gpu_memory_bytes"]
        faults = work["minor_faults_per_call"]
        rows.append(
            [
                run.subject.title,
                *time_cells(timing),
                "" if peak is None else f"{peak / 1e6:.0f}",
                "" if faults is None else f"{faults:.0f}",
            ]
        )
    title = f"Time per {unit_of_work(runs)} on {profile.host.name(how.device)} (profile {name}): {how.title}"
    published = all(timing.clock == "published" for timing in times)
    memory = f"peak memory of the {'process' if how.device == 'cpu' else 'GPU, by torch'}"
    processes = [process for run in runs for process in run.processes] if how.pages else []
    shares = [process.huge_pages for process in processes if process.huge_pages is not None]
    lines = [
        *notes(times, _base(runs, bases) if any(timing.pct is not None for timing in times) else ""),
        *([f"Huge pages: {min(shares):.0%} or more of the memory of each process."] if shares else []),
        *(["%: computed from these times; printed percentages may differ in the last digit."] if published else []),
        *([f"MB: {memory}; faults: minor page faults per call."] if any(row[-2] or row[-1] for row in rows) else []),
        *(verdict.text for verdict in claims.judge(profile, how)),
    ]
    columns = ["subject", "ms", "95 %", "%", "95 %", "MB", "faults"]
    labels = ["subject", "ms", "ms 95 %", "time %", "time % 95 %", "MB", "faults"]
    return Sheet(title, columns, "lrrrrrr", rows, lines, labels=labels).without(["%", "95 %", "MB", "faults"])
