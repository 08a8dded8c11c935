"""The accuracy of predictions for subjects that calibration never saw.

    python benchmarks/prediction_accuracy.py --machine NAME [--minutes 12] [--only cells,resnet] [--keep FOLDER]
    python benchmarks/prediction_accuracy.py --machine NAME --judge FILE

Subjects: the 13 networks at the published size and at a smaller one, ERFNet and its variants, single cells at K = 3,
5, 7 and at sizes that no calibration has, 26 networks of torchvision and timm, and a U-Net (`accuracy_subjects.py`).
Each is timed as `costmodel profile` times, in fresh processes with the pinned environment, in turns with the probes;
results are compared with the reference first where ``--verify`` is given, which takes longer. With ``--keep`` the raw
samples stay in FOLDER/accuracy.json, which grows as it is measured: a second call measures what is missing.
``--judge`` takes such a file, or any profile, and times nothing: ``benchmarks/measured/accuracy-amd-epyc-2-cores.json``
is what README tells of.

Each prediction is stated at the moment of its measurement, the median of the probes beside it. Beside the
predictions, for the same subjects: one constant for FLOPs, from all other subjects; the roofline of a data sheet;
and, with ``--peer``, the package neural-cost with and without its replay (`neural_cost_peer.py`). Exit code 1 where a
goal is missed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import accuracy_subjects as subjects
from accuracy_tables import Row, document, goals

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
from costmodel.profiles.records import Profile, Run, Settings, Subject
from costmodel.work.cost import Operation

PROCESSES, ROUNDS = 2, 3  # of each subject
DDR5 = 38.4e9  # bytes/s of one channel of DDR5-4800


# ---- measuring and judging -------------------------------------------------------------------------------------------


class TimeIsOver(Exception):
    """The minutes that were given have passed."""


def wanted(subject: Subject, only: Sequence[str]) -> bool:
    """True for a subject of one of the families, or with one of the words in its title; without words for all."""
    return not only or subjects.family(subject) in only or any(word in subjects.short(subject) for word in only)


def chosen(how: Settings, only: Sequence[str]) -> list[Job]:
    """The jobs of the `wanted` subjects."""
    words = set(only) - set(subjects.FAMILIES)
    families = [make for name, make in subjects.FAMILIES.items() if words or not only or name in only]
    jobs = [job for make in families for job in make(how) if wanted(job.subject, only)]
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
    machine: CalibratedMachine,
    data_sheet: Machine,
    peer: Mapping[str, Sequence[float]],
) -> list[Row]:
    """The rows of runs, in their order; ``peer``: seconds of neural-cost without and with replay, by the digest of the
    subject."""
    rows = []
    for number, run in enumerate(runs):
        say(f"\rpredicting {number + 1} of {len(runs)}: {subjects.short(run.subject):.80}\x1b[K")
        found = estimated(run)
        operations = subjects.operations_of(run.subject, run.how)
        predicted = machine.predict(operations, at=found.moment)
        rows.append(row_of(run, found.value, predicted, operations, data_sheet, peer.get(run.subject.digest, ())))
    say("\n")
    return rows


def calibrated(name: str, how: Settings) -> CalibratedMachine:
    """The machine of that name; `InvalidInput` for one of a data sheet, which has no intervals to judge."""
    found = find_machine(name, how)
    if not isinstance(found, CalibratedMachine):
        raise InvalidInput(f"{name} is a data sheet, no calibrated machine: costmodel calibrate --out NAME makes one")
    return found


def row_of(
    run: Run,
    seconds: float,
    predicted: Prediction,
    operations: Sequence[Operation],
    data_sheet: Machine,
    peer: Sequence[float],
) -> Row:
    """The row of a run; in plain numbers, for a moment has those of numpy."""
    costs = [each.cost for each in operations]
    parts: Counter[str] = Counter()
    for each in predicted.rows:
        parts[each.kind] += float(each.seconds or 0.0)  # type: ignore[assignment]  # a Counter of floats
    without, replay = peer or (None, None)
    return Row(
        subjects.short(run.subject),
        subjects.family(run.subject),
        seconds,
        float(predicted.seconds),
        float(predicted.low),
        float(predicted.high),
        float(predicted.floor),
        float(sum(TORCH.flops(cost.work) for cost in costs)),
        data_sheet.bound(costs)[0],
        float(predicted.moment.bandwidth) if predicted.moment else None,
        predicted.bound,
        parts,
        predicted.missing,
        without,
        replay,
    )


# ---- the other methods -----------------------------------------------------------------------------------------------


def usual_peak() -> tuple[float, str]:
    """FLOP/s of float32 by the facts that the system tells of the cores of this process, and how that is computed: the
    clock, which is often not the highest one, and two multiply-accumulates of the widest vectors a cycle."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}
    flags = facts.get("flags", "").split()
    each = 64 if "avx512f" in flags else 32 if "fma" in flags else 16
    clock = float(facts.get("cpu MHz", 2500)) * 1e6
    number = len(cores())
    return number * clock * each, f"{number} cores x {clock / 1e9:.3g} GHz x {each} FLOP a cycle"


def by_peer(folder: Path, file: Path, runs: Sequence[Run]) -> dict[str, list[float]]:
    """Seconds of neural-cost by the digest of the subject, from a file beside the profile; what it lacks is made."""
    out = file.with_name(f"{file.stem}-neural-cost.json")
    if not (folder / "neural_cost").is_dir():
        command = f"pip install --no-deps --target {folder} neural-cost"
        say(f"neural-cost is not in {folder}, so the tables go without: {command}\n")
    else:
        path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path), str(folder)])
        script = Path(__file__).with_name("neural_cost_peer.py")
        given = [sys.executable, script, file, out, *(run.subject.digest for run in runs)]
        subprocess.run(given, env=os.environ | ENVIRONMENT | {"PYTHONPATH": path})
    return dict(json.loads(out.read_text())) if out.exists() else {}


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
    subjects.find_packages()
    how = settings_grid(memory_format=given.memory_format, threads=given.threads)[0]
    only = [word for word in given.only.split(",") if word]
    machine = calibrated(given.machine, how)
    with tempfile.TemporaryDirectory() as temporary:
        file: Path = given.judge or (given.keep or Path(temporary)) / "accuracy.json"
        if given.judge:
            profile = load(file)
        else:
            jobs = chosen(how, only)
            say(f"{len(jobs)} subjects\n")
            profile = measured(jobs, file, given.minutes, given.processes, given.rounds, given.verify)
        runs = [each for each in profile.runs if each.how == how and wanted(each.subject, only)]
        if len(runs) < 2:
            raise InvalidInput(f"{file} has {len(runs)} of the subjects with {how.title}: at least 2 are needed")
        peer = by_peer(given.peer, file, runs) if given.peer else {}
    peak, words = usual_peak() if given.peak is None else (1e9 * given.peak, "")
    bandwidth = DDR5 if given.bandwidth is None else 1e9 * given.bandwidth
    rows = judged(runs, machine, Machine(peak, bandwidth), peer)
    sheet = f"{peak / 1e9:.0f} GFLOP/s{f' ({words})' if words else ''}, {bandwidth / 1e9:g} GB/s"
    about = f"machine {given.machine} ({machine.conditions}), measured on {profile.host.cpu}"
    found = document(rows, about, sheet)
    print(found.text(given.format))
    return int(not all(aim.met for aim in goals(rows)))


if __name__ == "__main__":
    raise SystemExit(main())
