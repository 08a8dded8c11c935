"""How good are predictions for subjects that calibration never saw?

    python benchmarks/prediction_accuracy.py --machine NAME [--minutes 12] [--only cells,resnet] [--keep FOLDER]
    python benchmarks/prediction_accuracy.py --machine NAME --judge FILE

Subjects: the 13 networks at the published size and at a smaller one, ERFNet and its variants, single cells at K = 3,
5, 7 and at sizes that no calibration has, 26 networks of torchvision and timm, and a U-Net (`accuracy_subjects.py`).
Each is timed as `costmodel profile` times, in fresh processes with the pinned environment, in turns with the probes;
results are compared with the reference first where ``--verify`` is given, which takes longer. With ``--keep`` the raw
samples stay in FOLDER/accuracy.json, which grows as it is measured: a second call measures what is missing.
``--judge`` takes such a file, or any profile, and times nothing.

Each prediction is stated at the moment of its measurement, the median of the probes beside it. Beside the
predictions, for the same subjects: one constant for FLOPs, from all other subjects; the roofline of a data sheet;
and, with ``--peer``, the package neural-cost with and without its replay (`neural_cost_peer.py`). Exit code 1 where a
goal is missed.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import accuracy_subjects as subjects

from costmodel.errors import InvalidInput, MeasuringFailed
from costmodel.measure.host import ENVIRONMENT, cores
from costmodel.measure.jobs import Job
from costmodel.measure.profile import record, settings_grid
from costmodel.measure.worker import ChildWorker
from costmodel.price.conventions import TORCH
from costmodel.price.latency import CalibratedMachine, Prediction
from costmodel.price.machine import Machine
from costmodel.profiles.calibration import find_machine
from costmodel.profiles.estimate import time as estimated
from costmodel.profiles.files import load
from costmodel.profiles.records import Profile, Run, Settings
from costmodel.report.layout.document import Document
from costmodel.report.layout.sheet import Sheet
from costmodel.report.numbers import milliseconds
from costmodel.work.cost import Operation

MEDIAN, LARGEST, COVERAGE, HALF_WIDTH, APART = 0.06, 0.20, 0.90, 0.12, 0.10  # the goals
PROCESSES, ROUNDS = 2, 3  # of each subject
DDR5 = 38.4e9  # bytes/s of one channel of DDR5-4800
MOST_NAMED = 6  # subjects in a sentence


# ---- arithmetic ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A subject: seconds per call as measured and as predicted, with the 90 % interval and the lower bound, and what
    the other methods say of it. ``bandwidth``: of the moment, in bytes/s. ``parts``: seconds by kind of operation;
    ``missing``: operations of kinds that were not calibrated, which the prediction leaves out."""

    title: str
    family: str
    measured: float
    predicted: float
    low: float
    high: float
    floor: float
    flops: float
    data_sheet: float
    bandwidth: float | None = None
    bound: str | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    missing: Mapping[str, int] = field(default_factory=dict)
    peer: float | None = None
    peer_replay: float | None = None

    @property
    def error(self) -> float:
        """Predicted / measured - 1."""
        return self.predicted / self.measured - 1

    @property
    def inside(self) -> bool:
        return self.low <= self.measured <= self.high

    @property
    def half_width(self) -> float:
        """Half the interval, relative to the prediction."""
        return (self.high - self.low) / 2 / self.predicted if self.predicted else math.inf

    @property
    def violated(self) -> bool:
        """True where the measurement is below the lower bound."""
        return self.measured < self.floor

    @property
    def largest_part(self) -> str:
        """The kind of operation that takes most of the predicted time, and its share."""
        if not self.predicted or not self.parts:
            return ""
        kind = max(self.parts, key=self.parts.__getitem__)
        return f"{kind} {100 * self.parts[kind] / self.predicted:.0f} %"

    def record(self) -> dict[str, Any]:
        """The JSON contract, times in seconds."""
        own = {name: getattr(self, name) for name in self.__dataclass_fields__}
        own |= {"parts": dict(self.parts), "missing": dict(self.missing)}
        return own | {"error": self.error, "inside": self.inside, "violated": self.violated}


@dataclass(frozen=True)
class Figures:
    """The errors of a method over some subjects: of the time, and of the order of pairs whose times differ."""

    median: float
    largest: float
    above: int  # subjects whose error is above `LARGEST`
    pairs: int
    wrong: tuple[tuple[int, int], ...]  # numbers of the subjects of a pair: the first one takes longer


def figures(predicted: Sequence[float], measured: Sequence[float]) -> Figures:
    """The figures of predictions. A pair counts where the longer time is more than `APART` above the shorter one; its
    order is wrong where the prediction of the longer one is not the larger one."""
    errors = [abs(one / other - 1) for one, other in zip(predicted, measured, strict=True)]
    pairs = [
        (one, other) if measured[one] > measured[other] else (other, one)
        for one, other in combinations(range(len(measured)), 2)
        if abs(math.log(measured[one] / measured[other])) > math.log1p(APART)
    ]
    wrong = tuple((one, other) for one, other in pairs if predicted[one] <= predicted[other])
    return Figures(statistics.median(errors), max(errors), sum(error > LARGEST for error in errors), len(pairs), wrong)


def proportional(flops: Sequence[float], measured: Sequence[float]) -> list[float]:
    """Seconds by one constant for FLOPs: for each subject the median of the seconds per FLOP of all others."""
    rates = [seconds / work for seconds, work in zip(measured, flops, strict=True)]
    return [work * statistics.median([*rates[:n], *rates[n + 1 :]]) for n, work in enumerate(flops)]


@dataclass(frozen=True)
class Goal:
    """A goal of the predictions: ``found`` should be at most ``wanted``, or with ``least`` at least that."""

    name: str
    found: float
    wanted: float
    least: bool = False
    percent: bool = True
    why: str = ""  # what misses it

    @property
    def met(self) -> bool:
        return self.found >= self.wanted if self.least else self.found <= self.wanted

    def said(self, value: float) -> str:
        return f"{100 * value:.1f} %" if self.percent else f"{value:g}"


def goals(rows: Sequence[Row]) -> list[Goal]:
    """The goals over all subjects, also those of which kinds are missing."""
    found = figures([row.predicted for row in rows], [row.measured for row in rows])
    off = sorted((row for row in rows if abs(row.error) > LARGEST), key=lambda row: -abs(row.error))
    outside = [row for row in rows if not row.inside]
    below = [row for row in rows if row.violated]
    by_family = {name: statistics.median(abs(row.error) for row in each) for name, each in families(rows).items()}
    worst = max(by_family, key=by_family.__getitem__)
    return [
        Goal("median error", found.median, MEDIAN, why=f"{worst}: {100 * by_family[worst]:.1f} %"),
        Goal("largest error", found.largest, LARGEST, why=_named([f"{_off(row)} ({row.largest_part})" for row in off])),
        Goal(
            "intervals that cover",
            1 - len(outside) / len(rows),
            COVERAGE,
            least=True,
            why=_named([_off(row) for row in sorted(outside, key=lambda row: -abs(row.error))]),
        ),
        Goal("median half-width of intervals", statistics.median(row.half_width for row in rows), HALF_WIDTH),
        Goal(
            f"pairs in wrong order, of {found.pairs:,} that differ by more than {100 * APART:.0f} %",
            len(found.wrong),
            0,
            percent=False,
            why=_named([f"{rows[one].title} takes longer than {rows[other].title}" for one, other in found.wrong]),
        ),
        Goal("lower bounds violated", len(below), 0, percent=False, why=_named([row.title for row in below])),
    ]


def families(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.family, []).append(row)
    return found


def _off(row: Row) -> str:
    return f"{row.title} {100 * row.error:+.0f} %"


def _named(names: Sequence[str]) -> str:
    more = f", and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


# ---- measuring and judging -------------------------------------------------------------------------------------------


class TimeIsOver(Exception):
    """The minutes that were given have passed."""


def chosen(how: Settings, only: Sequence[str]) -> list[Job]:
    """The jobs of families, or those with one of the words in their titles; without words all."""
    every = [name for name in subjects.FAMILIES if not only or name in only]
    words = [word for word in only if word not in subjects.FAMILIES]
    jobs: list[Job] = []
    for name, make in subjects.FAMILIES.items():
        if name in every or words:
            made = make(how)
            jobs += [job for job in made if name in every or any(word in subjects.short(job.subject) for word in words)]
    if not jobs:
        raise InvalidInput(f"no subject for {', '.join(only)}: a family ({', '.join(subjects.FAMILIES)}) or a title")
    return jobs


def measured(jobs: Sequence[Job], path: Path, minutes: float, processes: int, rounds: int, verify: bool) -> Profile:
    """Time jobs into a file, each in so many processes, as far as the minutes last."""
    begun = time.monotonic()
    names = {job.subject.title: subjects.short(job.subject) for job in jobs}

    def tick(done: float, what: str) -> None:
        seconds = time.monotonic() - begun
        if seconds > 60 * minutes:
            raise TimeIsOver
        say(f"\r{100 * done:3.0f} % after {seconds:4.0f} s: {names[what]:.80}\x1b[K")

    def unverified(job: Job, _: bool) -> ChildWorker:
        return ChildWorker(job, None)

    try:
        record(
            jobs,
            path,
            resume=True,
            processes=processes,
            rounds=rounds,
            tick=tick,
            tell=lambda message: say(f"\n{message}\n"),
            start=None if verify else unverified,
        )
    except TimeIsOver:
        say(f"\n{minutes:g} minutes are over: the rest is not measured; --keep and a second call go on\n")
    except MeasuringFailed as error:
        say(f"\n{error}\n")
    else:
        say("\n")
    return load(path)


def say(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)


def judged(
    runs: Sequence[Run],
    machine_of: Callable[[Settings], CalibratedMachine],
    data_sheet: Machine,
    peer: Mapping[str, Sequence[float]],
) -> list[Row]:
    """The rows of runs, in their order; ``peer``: seconds of neural-cost without and with replay, by the digest of the
    subject."""
    machines = {how: machine_of(how) for how in dict.fromkeys(run.how for run in runs)}
    rows = []
    for number, run in enumerate(runs):
        say(f"\rpredicting {number + 1} of {len(runs)}: {subjects.short(run.subject):.80}\x1b[K")
        found = estimated(run)
        operations = subjects.operations_of(run.subject)
        predicted = machines[run.how].predict(operations, at=found.moment)
        rows.append(row_of(run, found.value, predicted, operations, data_sheet, peer.get(run.subject.digest, ())))
    say("\n")
    return rows


def row_of(
    run: Run,
    seconds: float,
    predicted: Prediction,
    operations: Sequence[Operation],
    data_sheet: Machine,
    peer: Sequence[float],
) -> Row:
    costs = [each.cost for each in operations]
    parts: Counter[str] = Counter()
    for each in predicted.rows:
        parts[each.kind] += each.seconds or 0.0  # type: ignore[assignment]  # a Counter of floats
    without, replay = peer or (None, None)
    return Row(
        subjects.short(run.subject),
        subjects.family(run.subject),
        seconds,
        predicted.seconds,
        predicted.low,
        predicted.high,
        predicted.floor,
        float(sum(TORCH.flops(cost.work) for cost in costs)),
        data_sheet.bound(costs)[0],
        predicted.moment.bandwidth if predicted.moment else None,
        predicted.bound,
        parts,
        predicted.missing,
        without,
        replay,
    )


# ---- the other methods -----------------------------------------------------------------------------------------------


def usual_peak() -> tuple[float, str]:
    """FLOP/s of float32 that a data sheet would promise for the cores of this process, and how that is computed: cores,
    clock by the system, and two multiply-accumulates of the widest vectors a cycle."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}
    flags = facts.get("flags", "").split()
    # AMD computes vectors of 512 bits in two halves before family 26 (Zen 5).
    halved = facts.get("vendor_id") == "AuthenticAMD" and int(facts.get("cpu family", 0)) < 26
    each = 64 if "avx512f" in flags and not halved else 32 if "fma" in flags else 16
    clock = float(facts.get("cpu MHz", 2500)) * 1e6
    number = len(cores())
    return number * clock * each, f"{number} cores x {clock / 1e9:.3g} GHz x {each} FLOP a cycle"


def by_peer(folder: Path, file: Path) -> dict[str, list[float]]:
    """Seconds of neural-cost by the digest of the subject, from a file beside the profile; what it lacks is made."""
    out = file.with_name(f"{file.stem}-neural-cost.json")
    if not (folder / "neural_cost").is_dir():
        command = f"pip install --no-deps --target {folder} neural-cost"
        say(f"neural-cost is not in {folder}, so the tables go without: {command}\n")
    else:
        path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path), str(folder)])
        script = str(Path(__file__).with_name("neural_cost_peer.py"))
        subprocess.run(
            [sys.executable, script, str(file), str(out)], env=os.environ | ENVIRONMENT | {"PYTHONPATH": path}
        )
    return dict(json.loads(out.read_text())) if out.exists() else {}


# ---- tables ----------------------------------------------------------------------------------------------------------


def document(rows: Sequence[Row], about: str, data_sheet: str) -> Document:
    """The tables, and the record."""
    methods = {
        "this prediction": [row.predicted for row in rows],
        "FLOPs times one constant": proportional([row.flops for row in rows], [row.measured for row in rows]),
        f"data sheet: {data_sheet}": [row.data_sheet for row in rows],
    }
    every = {name: (rows, seconds) for name, seconds in methods.items()}
    for name, of in (("neural-cost", "peer"), ("neural-cost, replayed", "peer_replay")):
        some = [row for row in rows if getattr(row, of) is not None]
        if len(some) > 1:
            every[name] = some, [getattr(row, of) for row in some]
    compared = {name: figures(seconds, [row.measured for row in some]) for name, (some, seconds) in every.items()}
    aims = goals(rows)

    def record() -> dict[str, Any]:
        return {
            "about": about,
            "rows": [row.record() for row in rows],
            "goals": [{"goal": a.name, "found": a.found, "wanted": a.wanted, "met": a.met, "why": a.why} for a in aims],
            "methods": {
                name: {
                    "subjects": len(every[name][0]),
                    "median_error": each.median,
                    "largest_error": each.largest,
                    "above_20_percent": each.above,
                    "pairs": each.pairs,
                    "wrong_pairs": len(each.wrong),
                }
                for name, each in compared.items()
            },
        }

    def sheets() -> list[Sheet]:
        return [_subjects(rows, about), _by_family(rows), _methods(compared, every), _goals(aims)]

    return Document(record, lambda: [row.record() for row in rows], sheets)


def _subjects(rows: Sequence[Row], about: str) -> Sheet:
    columns = "subject,GB/s,measured,predicted,error,90 % interval,inside,floor,bound,largest part,left out"
    cells = [
        [
            row.title,
            f"{row.bandwidth / 1e9:.1f}" if row.bandwidth else "",
            milliseconds(row.measured),
            milliseconds(row.predicted),
            f"{100 * row.error:+.1f} %",
            f"{milliseconds(row.low, 3)} to {milliseconds(row.high, 3)}",
            "yes" if row.inside else "no",
            milliseconds(row.floor, 3) + (" violated" if row.violated else ""),
            row.bound or "",
            row.largest_part,
            str(sum(row.missing.values()) or ""),
        ]
        for row in rows
    ]
    missing = sum((Counter(row.missing) for row in rows), Counter[str]())
    lacking = {kind: sum(kind in row.missing for row in rows) for kind in missing}
    notes = ["Milliseconds per call, each at the memory bandwidth of its own measurement; floor: the lower bound."]
    if missing:
        kinds = (f"{number} {kind} (subjects: {lacking[kind]})" for kind, number in missing.most_common())
        notes += [f"Left out of predictions, because their kind was not calibrated: {', '.join(kinds)}."]
    whole = Sheet(f"Predictions for {len(rows)} subjects: {about}", columns.split(","), "lrrrrrlrllr", cells, notes)
    return whole.without(["left out"])


def _by_family(rows: Sequence[Row]) -> Sheet:
    cells = []
    for name, some in families(rows).items():
        found = figures([row.predicted for row in some], [row.measured for row in some])
        cells.append(
            [
                name,
                str(len(some)),
                f"{100 * found.median:.1f} %",
                f"{100 * statistics.median(row.error for row in some):+.1f} %",
                f"{100 * found.largest:.1f} %",
                f"{100 * sum(row.inside for row in some) / len(some):.0f} %",
                f"{len(found.wrong)} of {found.pairs}",
            ]
        )
    columns = ["family", "subjects", "median error", "signed", "largest", "covered", "pairs in wrong order"]
    return Sheet("By family", columns, "lrrrrrr", cells)


def _methods(compared: Mapping[str, Figures], every: Mapping[str, tuple[Sequence[Row], Sequence[float]]]) -> Sheet:
    cells = [
        [
            name,
            str(len(every[name][0])),
            f"{100 * each.median:.1f} %",
            f"{100 * each.largest:.0f} %",
            str(each.above),
            f"{len(each.wrong):,} of {each.pairs:,}",
        ]
        for name, each in compared.items()
    ]
    columns = ["method", "subjects", "median error", "largest", f"above {100 * LARGEST:.0f} %", "pairs in wrong order"]
    return Sheet("Other methods on the same subjects", columns, "lrrrrr", cells)


def _goals(aims: Sequence[Goal]) -> Sheet:
    cells = [
        [
            aim.name,
            aim.said(aim.found),
            f"{'at least' if aim.least else 'at most'} {aim.said(aim.wanted)}" if aim.wanted else "none",
            "met" if aim.met else "missed",
            "" if aim.met else aim.why,
        ]
        for aim in aims
    ]
    return Sheet("Goals", ["goal", "found", "wanted", "", "where it is missed"], "lrrll", cells, prose=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--machine", required=True, help="the name of a calibrated machine")
    parser.add_argument("--minutes", type=float, default=12, help="of measuring, at most (default: 12)")
    parser.add_argument("--only", default="", help=f"{', '.join(subjects.FAMILIES)}, or parts of titles, with commas")
    parser.add_argument("--keep", type=Path, help="the folder of the samples")
    parser.add_argument("--judge", type=Path, metavar="FILE", help="judge a recorded profile, and time nothing")
    parser.add_argument("--processes", type=int, default=PROCESSES, help=f"of each subject (default: {PROCESSES})")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of each process (default: {ROUNDS})")
    parser.add_argument("--memory-format", choices=("contiguous", "channels_last"), default="contiguous")
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--verify", action="store_true", help="compare results with the reference first")
    parser.add_argument("--peak", type=float, metavar="GFLOP/s", help="of the data sheet")
    parser.add_argument("--bandwidth", type=float, metavar="GB/s", help="of the data sheet")
    parser.add_argument("--peer", type=Path, metavar="FOLDER", help="where neural-cost was installed with pip --target")
    parser.add_argument("--format", choices=("text", "json", "markdown"), default="text")
    given = parser.parse_args()
    try:
        return run(given)
    except InvalidInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def run(given: argparse.Namespace) -> int:
    how = settings_grid(memory_format=given.memory_format, threads=given.threads)[0]
    only = [word for word in given.only.split(",") if word]
    with tempfile.TemporaryDirectory() as temporary:
        if given.judge:
            file: Path = given.judge
            profile = load(file)
        else:
            find_machine(given.machine, how)  # an unknown machine is told before anything is timed
            file = (given.keep or Path(temporary)) / "accuracy.json"
            jobs = chosen(how, only)
            say(f"{len(jobs)} subjects\n")
            profile = measured(jobs, file, given.minutes, given.processes, given.rounds, given.verify)
        runs = [
            each
            for each in profile.runs
            if not only
            or subjects.family(each.subject) in only
            or any(word in subjects.short(each.subject) for word in only)
        ]
        if len(runs) < 2:
            raise InvalidInput(f"{file} has {len(runs)} of the subjects: at least 2 are needed")
        peer = by_peer(given.peer, file) if given.peer else {}
        peak, words = usual_peak() if given.peak is None else (1e9 * given.peak, "")
        bandwidth = DDR5 if given.bandwidth is None else 1e9 * given.bandwidth
        rows = judged(runs, lambda how: find_machine(given.machine, how), Machine(peak, bandwidth), peer)
    sheet = f"{peak / 1e9:.0f} GFLOP/s{f' ({words})' if words else ''}, {bandwidth / 1e9:g} GB/s"
    about = f"machine {given.machine}, {profile.host.cpu}, {runs[0].how.title}"
    found = document(rows, about, sheet)
    print(found.text(given.format))
    return int(not all(aim.met for aim in goals(rows)))


if __name__ == "__main__":
    raise SystemExit(main())
