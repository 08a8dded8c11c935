"""All that a GPU is wanted for, in one go: the tests marked `cuda`, cells and networks timed into one profile, and the
layers of two networks.

    python benchmarks/gpu.py [--out profiles/NAME.json] [--minutes 9]

Steps in order of worth, each in a process of its own that may take a share of the time left; the profile grows with
every block, so that a time limit loses nothing. Where time is left, further passes add processes. The same command
again adds what is missing. Needs torch 2.9 or newer with CUDA, numpy and pydantic, and not the package installed:
`make gpu`. Exit code 1 if a step failed, 2 if there is nothing to run on.
"""

import argparse
import ctypes
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

if missing := [name for name in ("torch", "numpy", "pydantic") if find_spec(name) is None]:
    print(f"gpu.py: not installed for {sys.executable}: {', '.join(missing)}", file=sys.stderr)
    raise SystemExit(2)
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from costmodel.errors import InvalidInput, MeasuringFailed
from costmodel.measure import layers
from costmodel.measure.host import host, physical_memory
from costmodel.measure.jobs import Job
from costmodel.measure.profile import choose, record, settings_grid
from costmodel.profiles.files import destination, load, locked
from costmodel.profiles.records import LayerRun, Profile, Run

ROOT = Path(__file__).resolve().parent.parent
CELLS = ("standard", "spatial", "depth", "sep")
NETWORKS = ("icnet", "v2", "v5", "v6")
KERNELS = ((3, 3), (5, 5), (7, 7))
LAYERED = ("ICNet", "LSTM-ICNet v6")
WAYS: dict[str, dict[str, Any]] = {  # in order of worth
    "float32": {},
    "float32, CUDA graph": {"cuda_graph": True},
    "bfloat16": {"dtype": "bfloat16"},
    "TF32": {"tf32": True},
    "bfloat16, CUDA graph": {"dtype": "bfloat16", "cuda_graph": True},
    "TF32, CUDA graph": {"tf32": True, "cuda_graph": True},
}
PROCESSES, ROUNDS = 5, 5  # of each subject
SHARE, ENOUGH = 0.5, 90.0  # of the time left, that a step may take, and seconds of it that it may take anyhow
GRACE = 10.0  # seconds from asking a step to end, which saves whole rounds, to killing it
LEAST = 20.0  # seconds under which no step begins
SPARE = 5.0  # seconds for the imports of this script and its last words
ROOMY = 50e9  # bytes of a host and of a GPU that hold the processes of all cells, or of all networks


# ---- steps, and their processes --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """``work`` does the step and says what it did; it gets the number of the pass, from 0 to ``passes`` - 1.
    ``counts``: how often the profile has each part of the step. ``share``: of the time left, at most."""

    name: str
    work: Callable[[int], str]
    counts: Callable[[], Sequence[int]] = lambda: [0]
    passes: int = 1
    share: float = SHARE

    def limit(self, left: float) -> float:
        """Seconds that the step may take of those left."""
        return min(left, max(self.share * left, ENOUGH))


@dataclass
class Outcome:
    """The outcome of a step so far: ``kind`` is done, failed, stopped (at its limit), interrupted, or empty."""

    kind: str = ""
    said: str = ""
    seconds: float = 0.0


def run(steps: Sequence[Step], end: float, tell: Callable[[str], object]) -> dict[str, Outcome]:
    """Do the steps until ``end``, in seconds of the monotonic clock: first what the profile lacks, then what it has
    once, and so on. What was stopped, or failed as a whole, does not begin again. Ctrl-C ends the run."""
    outcomes = {step.name: Outcome() for step in steps}
    for number in range(max(step.passes for step in steps)):
        for step in steps:
            outcome, left = outcomes[step.name], end - GRACE - time.monotonic()
            lost = outcome.kind == "stopped" or (outcome.kind == "failed" and not any(step.counts()))
            if lost or number >= step.passes or min(step.counts()) > number or left < LEAST:
                continue
            tell(f"{step.name} ...")
            begun = time.monotonic()
            kind, outcome.said = apart(partial(step.work, number), step.limit(left))
            seconds = time.monotonic() - begun
            outcome.kind = "failed" if (outcome.kind, kind) == ("failed", "done") else kind
            outcome.seconds += seconds
            tell(f"{step.name}: {kind} in {seconds:.0f} s{outcome.said and ': '}{outcome.said}")
            if kind == "interrupted":
                return outcomes
    return outcomes


def apart(work: Callable[[], Any], seconds: float) -> tuple[str, Any]:
    """Do work in a process of its own, which is asked to end after ``seconds`` and killed `GRACE` later. Returns the
    kind of `Outcome`, and the result of the work or the reason why there is none."""
    fork = multiprocessing.get_context("fork")  # this process has loaded torch, and never uses CUDA
    here, there = fork.Pipe(duplex=False)
    sys.stdout.flush()
    process = fork.Process(target=_serve, args=(work, there))
    process.start()
    there.close()
    kind = ""
    answer: tuple[str, Any] | None = None
    try:
        kind = "" if here.poll(seconds) else "stopped"
    except KeyboardInterrupt:
        kind = "interrupted"
    try:
        if kind:
            _signal(process, signal.SIGINT)
            here.poll(GRACE)
        with suppress(EOFError):
            answer = here.recv() if here.poll() else None
        if answer or not kind:  # it is about to end
            process.join(1)
    finally:
        _signal(process, signal.SIGKILL)
        process.join()
    if answer and (not kind or (kind == "stopped" and answer[0] == "done")):  # done in time after all
        return answer
    if kind:
        return kind, answer[1] if answer else "killed"
    code = process.exitcode or 0
    return "failed", f"the process was killed by signal {-code}" if code < 0 else f"the process ended with code {code}"


def _signal(process: BaseProcess, number: int) -> None:
    """Send a signal to a process and those of its group; the processes that it times end with their parent."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid or 0, number)


def _serve(work: Callable[[], Any], pipe: Connection) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores Ctrl-C for jobs in the background
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: end with the script, also while computing
    try:
        pipe.send(("done", work()))
    except KeyboardInterrupt as stop:
        pipe.send(("stopped", str(stop)))
    except (InvalidInput, MeasuringFailed) as error:
        pipe.send(("failed", str(error)))
    except Exception as error:  # the next step goes on, whatever ended this one
        traceback.print_exc()
        pipe.send(("failed", f"{type(error).__name__}: {error}"))


# ---- tests -----------------------------------------------------------------------------------------------------------


def cuda_tests(_: int) -> str:
    """Run the tests marked `cuda`, show the output of pytest, and count the results, also where time ends the tests."""
    if missing := [name for name in ("pytest", "hypothesis") if find_spec(name) is None]:
        return f"skipped, for there is no {' and no '.join(missing)}"
    files = [path for path in (ROOT / "tests").glob("test_*.py") if "pytest.mark.cuda" in path.read_text()]
    files.sort(key=lambda path: (path.name == "test_cuda.py", path))  # at the end: it starts many processes
    options = ["-m", "cuda", "-o", "addopts=", "-v", "--tb=short", "--continue-on-collection-errors"]
    command = [sys.executable, "-m", "pytest", *options, "-p", "no:cacheprovider", *map(str, files)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    lines: list[str] = []
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout is not None
        try:
            for line in tests.stdout:
                print(line, end="", flush=True)
                lines.append(line)
        except KeyboardInterrupt:  # pytest got it, too
            raise KeyboardInterrupt(results(lines)) from None
    if tests.returncode:
        raise MeasuringFailed(results(lines))
    return results(lines)


def results(lines: Sequence[str]) -> str:
    """The results in the output of ``pytest -v``: how many tests passed, and the names of the others."""
    kinds: dict[str, str] = {}
    for line in lines:
        if found := re.match(r"\S+::(\S.*?) (PASSED|FAILED|ERROR|SKIPPED)\b", line):
            kinds[found[1]] = found[2]
        elif found := re.match(r"ERROR (\S+?)(?: - .*)?$", line.strip()):  # of a file that cannot be imported
            kinds.setdefault(Path(found[1]).name.rpartition("::")[2], "ERROR")
    others = [f"{name} {kind.lower()}" for name, kind in kinds.items() if kind != "PASSED"]
    return ", ".join([f"{len(kinds) - len(others)} passed", *others])


# ---- times -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Timing:
    """Jobs that are timed into a profile. ``references``: a folder for references, which later steps need not compute
    again."""

    jobs: Sequence[Job]
    path: Path
    references: Path

    def runs(self, profile: Profile) -> Mapping[Any, Run | LayerRun]:
        """The runs of a profile that these jobs add to."""
        return profile.by_key

    def record(self, jobs: Sequence[Job], processes: int) -> None:
        """Add to the profile what it lacks of so many processes."""
        record(jobs, self.path, resume=True, processes=processes, rounds=ROUNDS, references=self.references)

    def counts(self) -> list[int]:
        """The number of processes that the profile has of each job."""
        runs = self.runs(load(self.path)) if self.path.exists() else {}
        return [len(runs[job.key].processes) if job.key in runs else 0 for job in self.jobs]

    def work(self, number: int) -> str:
        """One more process of each job; after the first pass, of those that could be timed."""
        wanted = [job for job, count in zip(self.jobs, self.counts(), strict=True) if count or number == 0]
        try:
            self.record(wanted, number + 1)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(self.state()) from None
        except MeasuringFailed as failure:
            raise MeasuringFailed(f"{self.state()}; {failure}") from None
        return self.state()

    def state(self) -> str:
        """How many of the jobs the profile has, and the fewest processes of those."""
        there = [count for count in self.counts() if count]
        return f"{len(there)} of {len(self.jobs)} timed{f', {min(there)} process(es) each' if there else ''}"


class LayerTiming(Timing):
    """Jobs whose layers are timed into a profile."""

    def runs(self, profile: Profile) -> Mapping[Any, Run | LayerRun]:
        return profile.layers_by_key

    def record(self, jobs: Sequence[Job], processes: int) -> None:
        layers.record(jobs, self.path, resume=True, processes=processes, references=self.references)


def timing_steps(path: Path, references: Path, together: bool) -> list[Step]:
    """Cells of every kernel, and networks, in every way; the layers of two networks in the first. ``together``: the
    subjects of a step are one group, whose processes start side by side and take turns."""
    steps: list[Step] = []

    def add(title: str, timing: Timing) -> None:
        steps.append(Step(title, timing.work, timing.counts, passes=PROCESSES))

    for way, settings in WAYS.items():
        hows = settings_grid("cuda", **settings)
        cells = choose(hows, None, CELLS, kernels=KERNELS, base="standard cell" if together else None)
        networks = choose(hows, NETWORKS, CELLS, base="ICNet" if together else None)
        add(f"cells, {way}", Timing(cells, path, references))
        add(f"networks, {way}", Timing(networks, path, references))
        if way == "float32":
            whole = [job for job in networks if job.subject.name in LAYERED]
            add(f"layers, {way}", LayerTiming(whole, path, references))
    return steps


# ---- the whole -------------------------------------------------------------------------------------------------------


def card(out: str | None) -> tuple[str, int, Path]:
    """The name of the GPU, its memory in bytes, and the file for its profile. `InvalidInput` where torch can use no
    GPU, and for a file that cannot be continued here."""
    here = host("cuda")
    assert here.gpu is not None
    if tuple(map(int, str(here.torch).split(".")[:2])) < (2, 9):
        raise InvalidInput(f"torch {here.torch} is too old: 2.9 or newer")
    path = destination(out or str(ROOT / "profiles" / f"{slug(here.gpu.name)}.json")).resolve()
    with locked(path):
        if path.exists() and (differences := here.differences(load(path).host)):
            raise InvalidInput(f"{path} was recorded on another machine: {'; '.join(differences)}; --out names another")
    return here.gpu.name, here.gpu.memory or 0, path


def slug(name: str) -> str:
    """The name of a file for a GPU: ``nvidia-h100-80gb-hbm3``."""
    return "-".join(re.findall("[a-z0-9]+", name.lower()))


def report(steps: Sequence[Step], outcomes: Mapping[str, Outcome]) -> list[str]:
    """A line for each step: how long it took, and what became of it."""
    lines = []
    for step in steps:
        outcome, counts = outcomes[step.name], step.counts()
        kind = outcome.kind or ("recorded before" if min(counts) else "not begun")
        said = outcome.said and f": {outcome.said}"
        lines.append(f"{step.name:32} {f'{outcome.seconds:.0f} s':>6}  {kind}{said}")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", help="the profile (default: profiles/ and the name of the GPU)")
    parser.add_argument("--minutes", type=float, default=9, help="for everything (default: 9)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the end says what there is
    end = time.monotonic() + 60 * options.minutes - SPARE
    import costmodel.measure.timed  # noqa: F401  (torch, once for the processes of all steps)

    kind, found = apart(partial(card, options.out), seconds=60)
    if kind != "done":
        print(f"gpu.py: {found if kind == 'failed' else f'{kind} while torch looked for a GPU'}", file=sys.stderr)
        return 2
    name, memory, path = found
    print(f"{name}, into {path}, for {options.minutes:g} minutes", flush=True)
    with tempfile.TemporaryDirectory() as references:
        together = min(memory, physical_memory()) > ROOMY
        tests = [Step("cuda tests", cuda_tests, share=0.25)]
        timings = timing_steps(path, Path(references), together)
        steps = [*timings, *tests] if path.exists() else [*tests, *timings]  # a second run has had its tests
        outcomes = run(steps, end, partial(print, flush=True))
        lacks = any(0 in step.counts() for step in timings)
    again = f"The same command again adds what {path} lacks." if lacks else f"{path} has everything."
    print("", *report(steps, outcomes), again, sep="\n")
    kinds = {outcome.kind for outcome in outcomes.values()}
    return 130 if "interrupted" in kinds else int("failed" in kinds)


if __name__ == "__main__":
    raise SystemExit(main())
