"""Timing under the contract: fresh child processes, subjects in turns, raw samples kept as they come.

A *group* is the subjects whose ratios matter: their processes are alive together and take turns (A B C, A B C, ...), so
that drift of the machine hits all of them alike. A *block* is one such set of fresh processes, from start to end; every
group gets several blocks, spread over the whole run.
"""

import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from multiprocessing import Pipe
from typing import Any, Protocol

from costmodel.describe.errors import InvalidInput, MeasuringFailed
from costmodel.describe.program import Program
from costmodel.measure.host import ENVIRONMENT, cores, physical_memory
from costmodel.profiles import Clock, How, Process, Subject

PROCESSES = 5  # of each subject: enough to see that there are two modes
ROUNDS = 5  # of a block
FEWEST_ROUNDS = 3
TORCH_BYTES = 400_000_000  # that a process holds for torch alone


class OutOfTime(Exception):
    """The budget ended while a block was getting ready."""


@dataclass(frozen=True)
class Job:
    """What to time and how."""

    subject: Subject
    how: How
    program: Program = field(compare=False, repr=False)

    @property
    def clock(self) -> Clock:
        return "cuda-events" if self.how.device == "cuda" else "wall"

    @property
    def key(self) -> tuple[Subject, How, Clock]:
        return self.subject, self.how, self.clock

    @property
    def memory(self) -> int:
        """Bytes that its process needs at least."""
        per_item = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}[self.how.dtype or "float32"]
        return TORCH_BYTES + self.program.memory * per_item // 4 * self.how.batch


class Worker(Protocol):
    """A process that times one job."""

    def started(self, seconds: float | None) -> None:
        """Wait until it has loaded what it needs. `OutOfTime` after ``seconds``."""

    def ready(self, seconds: float | None) -> dict[str, Any]:
        """Build the subject and warm up; facts about it. `OutOfTime` after ``seconds``."""

    def turn(self) -> float:
        """One more sample, in seconds per call."""

    def finish(self) -> dict[str, Any]:
        """Facts about the timed calls; the process ends."""

    def kill(self) -> None:
        """End it, whatever it does."""


def groups(jobs: Iterable[Job]) -> list[list[Job]]:
    """Jobs that differ in their cell alone are timed in turns, where memory allows."""
    together: dict[tuple[Subject, How], list[Job]] = {}
    for job in jobs:
        together.setdefault((job.subject.standard, job.how), []).append(job)
    available = 0.8 * physical_memory()
    result = []
    for group in together.values():
        if sum(job.memory for job in group) <= available:
            result.append(group)
        else:
            result += [[job] for job in group]
    return result


def refuse_impossible(jobs: Iterable[Job]) -> None:
    """Refuse before anything starts what this machine cannot hold or does not have."""
    for job in jobs:
        if job.memory > physical_memory():
            raise InvalidInput(
                f"{job.subject.title} needs at least {job.memory / 1e9:,.1f} GB at these sizes; "
                f"this machine has {physical_memory() / 1e9:,.1f} GB"
            )
        if job.how.threads is not None and job.how.threads > len(cores()):
            raise InvalidInput(f"{job.how.threads} threads: this process may use {len(cores())} cores")


class ChildWorker:
    """A fresh Python process with the pinned environment; see `costmodel.measure.child`."""

    def __init__(self, job: Job, verify: bool) -> None:
        self.job = job
        self.pipe, theirs = Pipe()
        self.log = tempfile.TemporaryFile()  # noqa: SIM115  (closed by kill)
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        environment |= {} if verify else ENVIRONMENT
        threads = job.how.threads
        cpus = tuple(cores()[-threads:]) if threads is not None and hasattr(os, "sched_setaffinity") else None
        if threads is not None:
            environment["OMP_NUM_THREADS"] = str(threads)
        with theirs, _pinned(cpus):
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "costmodel.measure.child", str(theirs.fileno())],
                env=environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self.log,
                stderr=self.log,
                start_new_session=True,  # Ctrl-C is for the runner, which then asks for what there is
            )
        self.task = (job.program, job.how, cpus, verify)

    def started(self, seconds: float | None) -> None:
        self._receive(seconds)

    def ready(self, seconds: float | None) -> dict[str, Any]:
        self._send(self.task)
        facts: dict[str, Any] = self._receive(seconds)
        return facts

    def turn(self) -> float:
        self._send("turn")
        return float(self._receive())

    def finish(self) -> dict[str, Any]:
        self._send("finish")
        answer = self._receive()
        while not isinstance(answer, dict):  # the sample of a turn that was interrupted
            answer = self._receive()
        self.process.wait()
        return answer

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.pipe.close()
        self.log.close()

    def _send(self, message: Any) -> None:
        try:
            self.pipe.send(message)
        except OSError:
            self._fail()

    def _receive(self, seconds: float | None = None) -> Any:
        try:
            if not self.pipe.poll(seconds):
                raise OutOfTime
            answer = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self._fail()
        if isinstance(answer, InvalidInput):
            raise MeasuringFailed(f"{self.job.subject.title}, {self.job.how.title}: {answer}")
        return answer

    def _fail(self) -> None:
        code = self.process.wait()
        self.log.seek(0)
        last = self.log.read().decode(errors="replace").strip().splitlines()[-1:]
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        memory = "; it may have run out of memory" if code == -9 else ""
        said = f": {last[0]}" if last else ""
        raise MeasuringFailed(f"{self.job.subject.title}, {self.job.how.title}: its process {how}{memory}{said}")


@contextmanager
def _pinned(cpus: Sequence[int] | None) -> Iterator[None]:
    """What is started inside may use these CPUs alone."""
    if cpus is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass
class Runner:
    """Times jobs; ``keep(job, process)`` gets every finished process at once.

    ``budget``: seconds, measured from ``begun`` on ``now``; the number of blocks and rounds then follows from it.
    ``tick(done)`` hears which part of the whole is done, from 0 to 1, and what is at work. ``start`` and ``now`` are
    handed in by tests.
    """

    keep: Callable[[Mapping[Job, Process]], None]
    processes: int = PROCESSES
    rounds: int = ROUNDS
    budget: float | None = None
    tick: Callable[[float, str], object] = lambda done, what: None
    start: Callable[[Job, bool], Worker] = ChildWorker
    now: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.begun = self.now()
        self.starting: dict[int, float] = {}  # seconds until a group is warm
        self.round: dict[int, float] = {}  # seconds of one of its rounds

    @property
    def left(self) -> float:
        """Seconds until the budget ends."""
        return math.inf if self.budget is None else self.begun + self.budget - self.now()

    def _patience(self) -> float | None:
        return None if self.budget is None else max(0.0, self.left)

    def run(self, work: Sequence[tuple[Sequence[Job], int]]) -> None:
        """Time groups, each with the number of blocks that it has already (of an earlier run)."""
        work = [(group, have) for group, have in work if have < self.processes]
        if self.budget is not None:
            self._run_budget([group for group, _ in work])
            return
        done, total = 0, sum(self.processes - have for _, have in work)
        for number in range(self.processes):
            for index, (group, have) in enumerate(work):
                if number < self.processes - have:
                    self._block(index, group, lambda n: n < self.rounds, first=number == 0, done=(done, total))
                    done += 1

    def _run_budget(self, work: list[Sequence[Job]]) -> None:
        """As many blocks, and rounds in each, as the time allows; every group gets the same."""
        passes = 0
        try:
            while True:
                rounds, last = self._plan(passes)
                if rounds < 1:
                    return
                for index, group in enumerate(work):
                    rest = range(index + 1, len(work))
                    later = sum(self.starting.get(i, 0) + rounds * self.round.get(i, 0) for i in rest)
                    final = last and not rest

                    most = math.inf if final else rounds  # the last block fills what is left
                    self._block(index, group, partial(self._goes_on, index, most, later), first=passes == 0)
                passes += 1
                if last:
                    return
        except OutOfTime:
            return

    def _goes_on(self, index: int, most: float, later: float, rounds: int) -> bool:
        """Whether a group gets another round, with ``later`` seconds reserved for the other groups."""
        return rounds < most and self.left - later > self.round[index] / 2

    def _plan(self, passes: int) -> tuple[int, bool]:
        """Rounds of every block in the next pass over all groups (0: no time for one), and whether it is the last."""
        if passes == 0:
            return FEWEST_ROUNDS, False
        starting, turn = sum(self.starting.values()), sum(self.round.values())
        # More processes rather than more rounds, down to a few: the spread is between processes.
        fitting = int(self.left / (starting + self.rounds * turn))
        wanted = min(self.processes - passes, int(self.left / (starting + FEWEST_ROUNDS * turn)))
        blocks = max(fitting, wanted, 1)
        return int((self.left / blocks - starting) / turn), blocks == 1

    def _block(
        self,
        index: int,
        group: Sequence[Job],
        more: Callable[[int], bool],
        *,
        first: bool,
        done: tuple[int, int] | None = None,
    ) -> None:
        """Fresh processes for a group, warmed one after another, timed in turns. What interrupts keeps whole rounds."""
        workers: dict[Job, Worker] = {}
        facts: dict[Job, dict[str, Any]] = {}
        seconds: dict[Job, list[float]] = {job: [] for job in group}
        begun = self.now()

        def say(rounds: int, what: str) -> None:
            if done is None:
                self.tick(1 - self.left / (self.budget or 1), what)
            else:
                part = (0.5 * len(facts) / len(group)) + 0.5 * rounds / self.rounds
                self.tick((done[0] + part) / done[1], what)

        try:
            if first:
                facts = self._ready(group, workers, verify=True)
            begun = self.now()
            for job, seen in self._ready(group, workers, verify=False).items():
                facts[job] = facts.get(job, {}) | seen
            started = datetime.now(UTC)
            self.starting[index] = self.now() - begun
            rounds, begun = 0, self.now()
            try:
                while rounds == 0 or more(rounds):
                    for job in group:
                        say(rounds, job.subject.title)
                        seconds[job].append(workers[job].turn())
                    rounds += 1
                    self.round[index] = (self.now() - begun) / rounds
            finally:
                if rounds:
                    self.keep(
                        {
                            job: Process(
                                started=started,
                                seconds=tuple(round(s, 9) for s in seconds[job][:rounds]),
                                **facts[job] | self._last(workers[job]),
                            )
                            for job in group
                        }
                    )
        finally:
            for worker in workers.values():
                worker.kill()

    def _ready(self, group: Sequence[Job], workers: dict[Job, Worker], *, verify: bool) -> dict[Job, dict[str, Any]]:
        """Start processes, all at once, and make them ready, one after another, as they will be timed."""
        for job in group:
            workers[job] = self.start(job, verify)
        for worker in workers.values():
            worker.started(self._patience())
        facts = {}
        for job, worker in workers.items():
            facts[job] = worker.ready(self._patience())
            if verify:
                worker.kill()
        return facts

    def _last(self, worker: Worker) -> dict[str, Any]:
        try:
            return worker.finish()
        except MeasuringFailed:
            return {}
