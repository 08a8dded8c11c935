"""Profiles to read: the runs of one, a list of many, and two compared run by run."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from costmodel.errors import InvalidInput
from costmodel.profiles.compare import Change, changes, significant
from costmodel.profiles.estimate import FEWEST, Estimate
from costmodel.profiles.files import load
from costmodel.profiles.records import Clock, Profile, Run, Settings, Subject
from costmodel.profiles.timing import from_run
from costmodel.report import claims
from costmodel.report.layout.render import find_format, render, render_csv, render_json
from costmodel.report.layout.sheet import Sheet
from costmodel.report.times import cells, notes, value

if TYPE_CHECKING:
    pass

# ---- one profile -----------------------------------------------------------------------------------------------------


def text(profile: Profile, name: str, keys: "Collection[tuple[Subject, Settings, Clock]]", form: str) -> str:
    """Runs of a profile, by key, as a sheet for every way to run; or as ``json``, ``csv``."""
    find_format(form)
    runs = [run for run in profile.runs if run.key in keys]
    if not runs and form != "json":
        raise InvalidInput(f"{name}: no runs to show")
    if form == "json":
        host = profile.host.model_dump(mode="json", exclude_none=True)
        return render_json({"profile": name, "host": host, "runs": [_record(profile, name, run) for run in runs]})
    if form == "csv":
        return render_csv([_flat(profile, name, run) for run in runs])
    ways = dict.fromkeys((run.how, run.clock) for run in runs)
    return render([_sheet(profile, name, [r for r in runs if (r.how, r.clock) == way]) for way in ways], form)


def _record(profile: Profile, name: str, run: Run) -> dict[str, Any]:
    timing = from_run(profile, name, run).record()
    return {"subject": run.subject.model_dump(exclude_defaults=True), "name": run.subject.title} | timing | _work(run)


def _flat(profile: Profile, name: str, run: Run) -> dict[str, Any]:
    timing = from_run(profile, name, run)
    row = {"subject": run.subject.title, "way": run.how.title, "machine": timing.machine}
    return row | timing.columns(alone=True) | _work(run)


def _work(run: Run) -> dict[str, Any]:
    """What the processes used besides time: medians over them, faults and system time per call."""
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
        "deviation": next((p.deviation for p in run.processes if p.deviation is not None), None),
    }


def _base(runs: list[Run]) -> str:
    """What percentages are of, in words."""
    subjects = [run.subject for run in runs]
    others = dict.fromkeys(each.standard.name for each in subjects if each.standard.network != each.network)
    standard = ["the standard cell"] if not others or any(each.cell for each in subjects) else []
    return " or ".join([*standard, *others])


def _sheet(profile: Profile, name: str, runs: list[Run]) -> Sheet:
    how = runs[0].how
    rows, found = [], []
    for run in runs:
        timing, work = from_run(profile, name, run), _work(run)
        found.append(timing)
        memory = work["peak_memory_bytes" if how.device == "cpu" else "peak_gpu_memory_bytes"]
        faults = work["minor_faults_per_call"]
        rows.append(
            [
                run.subject.title,
                *cells(timing),
                "" if memory is None else f"{memory / 1e6:.0f}",
                "" if faults is None else f"{faults:.0f}",
            ]
        )
    one = "frame" if all(run.subject.network for run in runs) else "step"
    title = f"Time per {how.unit_of(one)} on {profile.host.name(how.device)} (profile {name}): {how.title}"
    lines = [
        *notes(found, _base(runs)),
        f"MB: most memory of the {'process' if how.device == 'cpu' else 'GPU, by torch'}; "
        "faults: minor page faults a call.",
        *(verdict.text for verdict in claims.judge(profile, how)),
    ]
    columns = ["subject", "ms", "95 %", "%", "95 %", "MB", "faults"]
    labels = ["subject", "ms", "ms 95 %", "time %", "time % 95 %", "MB", "faults"]
    return Sheet(title, columns, "lrrrrrr", rows, lines, labels=labels).without(["95 %", "MB", "faults"])


# ---- many ------------------------------------------------------------------------------------------------------------


def listing(found: Mapping[str, Path], form: str) -> str:
    """Names, machines, dates and numbers of runs of profile files; of a damaged one, what is wrong with it."""
    find_format(form)
    records = [_summary(name, path) for name, path in found.items()]
    if form == "json":
        return render_json(records)
    if form == "csv":
        return render_csv(records)
    rows = [[str(r[key] or "") for key in ("name", "machine", "runs", "date", "torch")] for r in records]
    problems = [str(r["problem"]) for r in records if r["problem"]]
    problems += [f"{r['name']}: {r['source']}" for r in records if r["source"]]
    return render([Sheet("Profiles", ["name", "machine", "runs", "date", "torch"], "llrll", rows, problems)], form)


def _summary(name: str, path: Path) -> dict[str, Any]:
    record: dict[str, Any] = dict.fromkeys(("name", "machine", "runs", "date", "torch", "source", "path", "problem"))
    record |= {"name": name, "path": str(path)}
    try:
        profile = load(path)
    except InvalidInput as error:
        return record | {"problem": str(error)}
    devices = dict.fromkeys(run.how.device for run in profile.runs)
    machines = ", ".join(profile.host.name(device) for device in devices) or profile.host.cpu
    host = profile.host
    date = host.date.date().isoformat() if host.date else None
    facts = {"date": date, "torch": host.torch, "source": host.source}
    return record | {"machine": machines, "runs": len(profile.runs)} | facts


def diff(
    first: tuple[str, Profile], second: tuple[str, Profile], limit: float | None, relative: bool, form: str
) -> tuple[str, bool]:
    """Two profiles compared run by run; the text, and whether something is significantly slower by more than ``limit``
    (0.05: 5 %): in seconds, or ``relative`` to the standard cell."""
    find_format(form)
    found = changes(first[1], second[1])
    if not found:
        raise InvalidInput(f"{first[0]} and {second[0]} have no run in common: the same subject run in the same way")

    def judged(change: Change) -> Estimate | None:
        return change.relative if relative else change.ratio

    slower = [
        change.run.title
        for change in found
        if limit is not None and (ratio := judged(change)) and significant(ratio) and ratio.value > 1 + limit
    ]
    if form == "json":
        whole = {"before": first[0], "after": second[0], "rows": [change.record() for change in found]}
        return render_json(whole | {"slower": slower}), bool(slower)
    if form == "csv":
        return render_csv([_unnested(change.record()) for change in found]), bool(slower)
    words = {True: "yes", False: "no", None: "unknown"}
    columns = ["subject", "ms before", "ms after", "ratio", "95 %", "significant"]
    lonely = [len(profile.runs) - len(found) for _, profile in (first, second)]
    what = "time relative to the standard cell" if relative else "time"
    lines = [
        f"before: {first[0]}, after: {second[0]}; {lonely[0]} runs only in the first, {lonely[1]} only in the second.",
        f"ratio: of the {what}, after / before; 95 %: its bootstrap interval over processes; significant: it leaves "
        f"out 1 (unknown: fewer than {FEWEST} processes{', or no standard cell' if relative else ''}).",
        *(f"The machines differ: {each}." for each in first[1].host.differences(second[1].host)),
        *(f"slower by more than {100 * limit:g} %: {title}" for title in slower if limit is not None),
    ]
    ways = list(dict.fromkeys(change.run.how for change in found))
    sheets = []
    for way in ways:
        rows = [
            [
                change.run.subject.title,
                value(change.before),
                value(change.after),
                f"{ratio.value:.3f}" if ratio else "",
                "{:.3f}-{:.3f}".format(*ratio.interval) if ratio and ratio.interval else "",
                words[significant(ratio)],
            ]
            for change in found
            if change.run.how == way
            for ratio in [judged(change)]
        ]
        sheets.append(Sheet(way.title, columns, "lrrrrl", rows, lines if way == ways[-1] else ()))
    return render(sheets, form), bool(slower)


def _unnested(record: dict[str, Any]) -> dict[str, Any]:
    """Intervals as two columns."""
    flat: dict[str, Any] = {}
    for key, held in record.items():
        if key.endswith("_interval"):
            flat[f"{key[:-9]}_low"], flat[f"{key[:-9]}_high"] = held or (None, None)
        else:
            flat[key] = held
    return flat
