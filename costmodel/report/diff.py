"""Two profiles compared run by run, with a verdict on each."""

import statistics
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from costmodel.errors import InvalidInput
from costmodel.profiles.compare import (
    SPLITS,
    THRESHOLD,
    Change,
    SelfTest,
    changes,
    enough_processes,
    self_test,
    smallest_change,
    verdict,
)
from costmodel.profiles.estimate import FEWEST, Estimate
from costmodel.profiles.records import Host, Profile
from costmodel.report.layout.document import Document
from costmodel.report.layout.sheet import Sheet
from costmodel.report.profile import unit_of_work
from costmodel.report.times import value

Named = tuple[str, Profile]
MOST_PROCESSES = 100  # beyond that, more processes are no remedy


@dataclass(frozen=True)
class Gate:
    """The reasons to fail: runs that are slower, and sentences on runs that cannot be judged, with the remedy."""

    slower: tuple[str, ...] = ()
    not_judged: tuple[str, ...] = ()

    @property
    def code(self) -> int:
        """The exit code: 1 where a run is slower, 3 where that cannot be judged."""
        return 1 if self.slower else 3 if self.not_judged else 0


@dataclass(frozen=True)
class _Row:
    """A run that both profiles have. ``verdict``: None of a standard cell relative to itself."""

    change: Change
    ratio: Estimate | None
    smallest: float | None
    verdict: str | None

    @property
    def title(self) -> str:
        return self.change.run.title


def _row(change: Change, threshold: float, relative: bool) -> _Row:
    ratio, subject = change.judged(relative), change.run.subject
    base = relative and subject == subject.standard and not subject.module
    return _Row(change, ratio, smallest_change(ratio), None if base else verdict(ratio, threshold))


def document(first: Named, second: Named, limit: float | None, relative: bool) -> tuple[Document, Gate]:
    """Two profiles compared run by run, in seconds or ``relative`` to the standard cell, and the gate: with a
    ``limit`` (0.05: 5 %) it fails where a run is slower by more, or where nobody can tell. `InvalidInput` without a
    common run.
    """
    threshold = THRESHOLD if limit is None else limit
    pairs = changes(first[1], second[1])
    rows = [_row(change, threshold, relative) for change in pairs]
    if not rows:
        raise InvalidInput(f"{first[0]} and {second[0]} have no run in common: same subject, same settings")
    only_before = _without(first[1], [change.old.key for change in pairs])
    only_after = _without(second[1], [change.run.key for change in pairs])
    slower, undecided = ([row for row in rows if row.verdict == each] for each in ("slower", "undecided"))
    gate = Gate()
    if limit is not None:
        not_judged = [*_remedies(undecided, limit), *_missing(first, second, only_before)]
        gate = Gate(tuple(row.title for row in slower), tuple(not_judged))
    smallest = max((row.smallest for row in rows if row.smallest is not None), default=None)
    what = "time relative to the standard cell" if relative else "time"
    lines = [
        f"before: {first[0]}, after: {second[0]}, in ms; {len(only_before)} runs only in the first, "
        f"{len(only_after)} only in the second.",
        f"ratio: {what} after / before{_at(first[1])}; 95 %: its bootstrap interval over processes and rounds; "
        "shows %: the smallest change that samples with this spread show.",
        f"verdict, by a threshold of {100 * threshold:g} %{', the default' if limit is None else ''}: same, the whole "
        "interval is within the threshold; slower, beyond the threshold, and the interval excludes 1; faster, the "
        f"interval excludes 1; undecided, all else (also fewer than {FEWEST} processes"
        f"{', or no standard cell' if relative else ''}).",
        f"these files can show {'no change' if smallest is None else f'changes above {_pct(smallest)}'}.",
        *(f"The machines differ: {each}." for each in first[1].host.differences(second[1].host)),
        *(f"structure changed: {row.title}, {row.change.structures}" for row in rows if row.change.structure_changed),
    ]
    if limit is not None:
        lines += [f"slower by more than {100 * limit:g} %: {row.title}" for row in slower]
        lines += [f"not judged: {row.title}" for row in undecided]
        lines += [f"not judged, only in {first[0]}: {title}" for title in only_before]
    records = [row.change.record() | {"verdict": row.verdict, "smallest_change": row.smallest} for row in rows]
    whole = {
        "before": first[0],
        "after": second[0],
        "rows": records,
        "slower": list(gate.slower),
        "undecided": [row.title for row in undecided if limit is not None],
        "threshold": threshold,
        "smallest_change": smallest,
        "only_before": only_before,
        "only_after": only_after,
        "not_judged": list(gate.not_judged),
    }
    return Document(lambda: whole, lambda: list(map(_unnested, records)), lambda: _sheets(rows, lines)), gate


def self_document(
    name: str, profile: Profile, limit: float | None, relative: bool, tick: Callable[[], object] = lambda: None
) -> Document:
    """An A/A test: each run of a profile against itself, half of its processes against the other half. ``tick`` is
    called after each run. `InvalidInput` without a run of enough processes."""
    threshold = THRESHOLD if limit is None else limit
    tests = self_test(profile, threshold, relative, tick)
    into = "NAME" if profile.host.source else name  # nobody records into published times
    if not tests:
        raise InvalidInput(
            f"{name}: no run has {2 * FEWEST} processes, {FEWEST} for each half"
            f"{', and a standard cell' if relative else ''}: {_more(2 * FEWEST, into)}"
        )
    comparisons, alarms = SPLITS * len(tests), sum(test.alarms for test in tests)
    typical = statistics.median(test.smallest for test in tests)
    others = len([run for run in profile.runs if run.clock != "published"]) - len(tests)
    lines = [
        f"A/A test of {name}: the processes of each run in two halves, {SPLITS} times at random, and one half against "
        f"the other, as diff{' --relative' if relative else ''} does{_at(profile)}.",
        f"false alarms: {alarms} of {comparisons} comparisons ({100 * alarms / comparisons:.1f} %) are slower or "
        f"faster by a threshold of {100 * threshold:g} %, though nothing changed.",
        "shows %: the smallest change that half of the comparisons show; for half of the runs at most "
        f"{_pct(typical)}.",
        *(
            [f"{others} runs are left out, of fewer than {2 * FEWEST} processes: {_more(2 * FEWEST, into)}"]
            * bool(others)
        ),
    ]
    whole = {
        "profile": name,
        "threshold": threshold,
        "comparisons": comparisons,
        "false_alarms": alarms,
        "false_alarm_rate": alarms / comparisons,
        "smallest_change": typical,
        "rows": list(map(_self_record, tests)),
    }
    settings = list(dict.fromkeys(test.run.how for test in tests))
    sheets = [
        Sheet(
            f"One half of the processes against the other: {how.title}",
            ["subject", "processes", "false alarms", "undecided", "shows %"],
            "lrrrr",
            [_self_cells(test) for test in tests if test.run.how == how],
            lines if how == settings[-1] else (),
        )
        for how in settings
    ]
    return Document(lambda: whole, lambda: list(map(_self_record, tests)), lambda: sheets)


def _self_record(test: SelfTest) -> dict[str, Any]:
    return {
        "subject": test.run.subject.title,
        "how": test.run.how.title,
        "processes": len(test.run.processes),
        "comparisons": SPLITS,
        "false_alarms": test.alarms,
        "undecided": test.undecided,
        "smallest_change": test.smallest,
    }


def _self_cells(test: SelfTest) -> list[str]:
    return [
        test.run.subject.title,
        str(len(test.run.processes)),
        f"{test.alarms} of {SPLITS}",
        str(test.undecided),
        _pct(test.smallest).removesuffix(" %"),
    ]


def _at(first: Profile) -> str:
    """The moment at which two profiles are compared, in words."""
    moments = dict.fromkeys(moment.words for moment in first.moments.values())
    return f", at {' and at '.join(moments)}" if moments else ""


def _without(profile: Profile, paired: Collection[tuple[Any, ...]]) -> list[str]:
    return [run.title for run in profile.runs if run.key not in paired]


def _sheets(rows: Sequence[_Row], lines: Sequence[str]) -> list[Sheet]:
    """A table for each way to run; the last one has the notes."""
    columns = ["subject", "before", "after", "verdict", "ratio", "95 %", "shows %"]
    settings = list(dict.fromkeys(row.change.run.how for row in rows))
    return [
        Sheet(
            f"Time per {unit_of_work([r.change.run for r in rows if r.change.run.how == how])}: {how.title}",
            columns,
            "lrrlrrr",
            [_cells(row) for row in rows if row.change.run.how == how],
            lines if how == settings[-1] else (),
            spare=["before", "after", "95 %"],
        ).without(["shows %"])
        for how in settings
    ]


def _cells(row: _Row) -> list[str]:
    change, ratio = row.change, row.ratio
    return [
        change.run.subject.title,
        value(change.before),
        value(change.after),
        ", ".join([*([row.verdict] if row.verdict else []), *(["structure changed"] * change.structure_changed)]),
        f"{ratio.value:.3f}" if ratio else "",
        "{:.3f}-{:.3f}".format(*ratio.interval) if ratio and ratio.interval else "",
        "" if row.smallest is None else _pct(row.smallest).removesuffix(" %"),
    ]


def _remedies(undecided: Sequence[_Row], limit: float) -> Iterator[str]:
    """A sentence for each reason why runs are undecided, with what to record."""
    alone = [row.title for row in undecided if row.ratio is None]
    few = [row.title for row in undecided if row.ratio and row.smallest is None]
    wide = [row for row in undecided if row.smallest is not None]
    if alone:
        yield (
            f"no standard cell in both profiles: {'; '.join(alone)}. Record it in the same command: costmodel profile "
            "--cells standard,..., or leave --relative out, as for modules of your own"
        )
    if few:
        yield f"fewer than {FEWEST} processes: {'; '.join(few)}. Record more of both profiles: {_more(FEWEST)}"
    if wide:
        number = max(enough_processes(row.ratio, limit) or MOST_PROCESSES + 1 for row in wide)
        hopeless = ", on a quieter machine, or take a larger threshold" if number > MOST_PROCESSES else ""
        yield (
            f"the interval reaches beyond the threshold of {100 * limit:g} % (these files can show changes above "
            f"{_pct(max(row.smallest or 0 for row in wide))}): {'; '.join(row.title for row in wide)}. Record more of "
            "both profiles: "
            f"{_more(min(number, MOST_PROCESSES))}{hopeless}"
        )


def _missing(first: Named, second: Named, only_before: Sequence[str]) -> Iterator[str]:
    """Sentences on runs that vanished, and on another machine."""
    number = max(FEWEST, *(len(run.processes) for run in first[1].runs))
    if only_before:
        yield f"only in {first[0]}: {'; '.join(only_before)}. Record the same: {_more(number, second[0])}"
    if other := _other_machine(first[1].host, second[1].host):
        yield f"other machines, {other}. Record both profiles on one machine: {_more(number)}"


def _more(processes: int, out: str = "NAME") -> str:
    return f"costmodel profile ... --processes {processes} --resume --out {out}"


def _other_machine(one: Host, other: Host) -> str:
    """The parts of two machines that differ, in words; an open fact is no difference."""
    facts = [(host.cpu, host.cores and f"{host.cores} cores", host.gpu and host.gpu.name) for host in (one, other)]
    return ", ".join(f"{a} and {b}" for a, b in zip(*facts, strict=True) if None not in (a, b) and a != b)


def _pct(part: float) -> str:
    return f"{100 * part:.1f} %" if part >= 0.01 else f"{100 * part:.1g} %"


def _unnested(record: dict[str, Any]) -> dict[str, Any]:
    """Intervals as two columns."""
    flat: dict[str, Any] = {}
    for key, entry in record.items():
        if key.endswith("_interval"):
            flat[f"{key[:-9]}_low"], flat[f"{key[:-9]}_high"] = entry or (None, None)
        else:
            flat[key] = entry
    return flat
