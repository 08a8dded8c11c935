"""Timing under the contract: fresh child processes, subjects in turns, raw samples kept as they come.

A *group* is the subjects whose ratios matter: their processes are alive together and take turns (A B C, A B C, ...), so
that drift of the machine hits all of them alike. A *block* is one such set of fresh processes, from start to end; every
group gets several blocks, spread over the whole run.
"""

import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import count
from multiprocessing import Pipe
from typing import Any, Protocol

from costmodel.describe.errors import InvalidInput, MeasuringFailed
from costmodel.describe.program import Program
from costmodel.measure.host import ENVIRONMENT, INHERITED_NOT, cores
from costmodel.profiles import Clock, How, Process, Subject

PROCESSES = 5  # of each subject; and for groups that are not settled then,
MOST_PROCESSES = 12  # up to so many,
MORE_SECONDS = 600  # while the whole takes no longer than this
ROUNDS = 5  # of a block
FEWEST_ROUNDS = 3
TORCH_BYTES = 400_000_000  # that a process holds for torch alone


class OutOfTime(Exception):
    """The budget ended while a block was getting ready."""


class JobFailed(MeasuringFailed):
    """As `MeasuringFailed`, with the job that is to blame."""

    def __init__(self, job: "Job", message: str) -> None:
        super().__init__(f"{job.subject.title}, {job.how.title}: {message}")
        self.job = job


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
        window = (self.how.frames - 1) * sum(int(value.map.bytes) for value in self.program.inputs)
        return TORCH_BYTES + (self.program.memory + window) * per_item // 4 * self.how.batch


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


def groups(jobs: Iterable[Job], memory: int) -> list[list[Job]]:
    """Jobs that differ in their cell alone are timed in turns, where bytes of memory allow."""
    together: dict[tuple[Subject, How], list[Job]] = {}
    for job in jobs:
        together.setdefault((job.subject.standard, job.how), []).append(job)
    result = []
    for group in together.values():
        fit = sum(job.memory for job in group) <= 0.8 * memory
        result += [group] if fit else [[job] for job in group]
    return result


def refuse_impossible(jobs: Iterable[Job], memory: int) -> None:
    """Refuse before anything starts what bytes of memory cannot hold, or threads that are not there."""
    for job in jobs:
        if job.memory > memory:
            raise InvalidInput(
                f"{job.subject.title} needs at least {job.memory / 1e9:,.1f} GB at these sizes; "
                f"this {'machine' if job.how.device == 'cpu' else 'GPU'} has {memory / 1e9:,.1f} GB"
            )
        if job.how.threads is not None and job.how.threads > len(cores()):
            raise InvalidInput(f"{job.how.threads} threads: this process may use {len(cores())} cores")


class ChildWorker:
    """A fresh Python process with the pinned environment; see `costmodel.measure.child`."""

    def __init__(self, job: Job, verify: bool) -> None:
        self.job = job
        self.pipe, theirs = Pipe()
        self.log = tempfile.TemporaryFile()  # noqa: SIM115  (closed by kill)
        environment = {key: value for key, value in os.environ.items() if not key.startswith(INHERITED_NOT)}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        threads = job.how.threads or len(cores())
        environment["OMP_NUM_THREADS"] = str(threads)
        environment |= {} if verify else ENVIRONMENT
        cpus = tuple(cores()[-threads:]) if hasattr(os, "sched_setaffinity") else None
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
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # with what it may have started to compile
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
            raise JobFailed(self.job, str(answer))
        return answer

    def _fail(self) -> None:
        code = self.process.wait()
        self.log.seek(0)
        last = self.log.read().decode(errors="replace").strip().splitlines()[-1:]
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        memory = "; it may have run out of memory" if code == -9 else ""
        said = f": {last[0]}" if last else ""
        raise JobFailed(self.job, f"its process {how}{memory}{said}")


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


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C waits until what is inside is done."""
    if threading.current_thread() is not threading.main_thread():  # Ctrl-C is for that one
        yield
        return
    noted: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: noted.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.default_int_handler)
    if noted:
        raise KeyboardInterrupt


@dataclass
class Runner:
    """Times jobs; ``keep`` gets the processes of every block when it ends, however it ends.

    Every group gets ``processes`` blocks, and up to ``most`` while it is not ``settled``. ``budget``: seconds from now
    on; the number of blocks and of rounds in each follows from it. ``tick`` hears which part of the whole is done, from
    0 to 1, and what is at work. ``start`` and ``now`` are handed in by tests.
    """

    keep: Callable[[Mapping[Job, Process]], None]
    processes: int = PROCESSES
    most: int = 0
    settled: Callable[[Sequence[Job]], bool] = lambda group: True
    rounds: int = ROUNDS
    budget: float | None = None
    tick: Callable[[float, str], object] = lambda done, what: None
    start: Callable[[Job, bool], Worker] = ChildWorker
    now: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.begun = self.now()
        self.starting: dict[int, float] = {}  # seconds until a group is warm
        self.round: dict[int, float] = {}  # seconds of one of its rounds
        self.failed: dict[Job, str] = {}  # which are left out from then on

    @property
    def left(self) -> float:
        """Seconds until the budget ends."""
        return math.inf if self.budget is None else self.begun + self.budget - self.now()

    def _patience(self) -> float | None:
        return None if self.budget is None else max(0.0, self.left)

    def run(self, work: Sequence[tuple[Sequence[Job], int]]) -> None:
        """Time groups, each with the number of blocks that it has already (of an earlier run)."""
        if self.budget is not None:
            self._run_budget([group for group, _ in work])
            return
        blocks = [have for _, have in work]
        done, total = 0, sum(max(0, self.processes - have) for have in blocks)
        for _ in range(max(self.processes, self.most)):
            for index, (group, have) in enumerate(work):
                if blocks[index] >= self.processes:
                    more = blocks[index] < self.most and self.now() - self.begun < MORE_SECONDS
                    if not more or self.settled(group):
                        continue
                    total += 1
                first = blocks[index] == have
                self._try(index, group, lambda n: n < self.rounds, first=first, done=(done, total))
                blocks[index] += 1
                done += 1

    def _run_budget(self, work: list[Sequence[Job]]) -> None:
        """As many blocks, and rounds in each, as the time allows; every group gets the same."""
        rounds, last, passes = FEWEST_ROUNDS, False, 0
        with suppress(OutOfTime):
            while rounds and len(self.failed) < sum(map(len, work)):
                for index, group in enumerate(work):
                    rest = range(index + 1, len(work))
                    later = sum(self.starting.get(i, 0) + rounds * self.round.get(i, 0) for i in rest)
                    final = False if rest else None if passes == 0 else last
                    goes_on = partial(self._goes_on, index, rounds, later, final=final)
                    self._try(index, group, goes_on, first=passes == 0)
                passes += 1
                if last or not self.round:  # or nothing could be timed
                    return
                rounds, last = self._plan(passes)

    def _goes_on(self, index: int, most: int, later: float, rounds: int, final: bool | None) -> bool:
        """Whether a group gets another round, with ``later`` seconds reserved for the other groups.

        The final block fills what is left; the first pass's last one does so if no other pass fits (``final`` None).
        """
        if final is None:
            final = self.left < sum(self.starting.values()) + sum(self.round.values())
        return (final or rounds < most) and self.left - later > self.round[index] / 2

    def _try(self, index: int, group: Sequence[Job], more: Callable[[int], bool], **how: Any) -> None:
        """A block of a group; what fails in it is left out, and the others are timed without it."""
        while able := [job for job in group if job not in self.failed]:
            try:
                self._block(index, able, more, **how)
            except JobFailed as failure:
                self.failed[failure.job] = str(failure)
            else:
                return

    def _plan(self, passes: int) -> tuple[int, bool]:
        """Rounds of every block in the next pass over all groups (0: no time for one), and whether it is the last."""
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
        facts: dict[Job, dict[str, Any]] = {job: {} for job in group}
        seconds: dict[Job, list[float]] = {job: [] for job in group}
        steps, step = len(group) * (1 + first + self.rounds), count()

        def say(job: Job) -> None:
            if done is None:
                self.tick(1 - self.left / (self.budget or 1), job.subject.title)
            else:
                self.tick((done[0] + next(step) / steps) / done[1], job.subject.title)

        try:
            for verify in [True, False] if first else [False]:
                begun = self.now()
                self._start(group, workers, verify)
                for job in group:  # one after another, as they will be timed
                    say(job)
                    facts[job] |= workers[job].ready(self._patience())
                    if verify:
                        workers[job].kill()
            started = datetime.now(UTC)
            self.starting[index] = self.now() - begun
            if self.left < sum(self._first_turn(facts[job]) for job in group) / 2:
                raise OutOfTime
            rounds, begun = 0, self.now()
            try:
                while rounds == 0 or more(rounds):
                    for job in group:
                        say(job)
                        seconds[job].append(workers[job].turn())
                    rounds += 1
                    self.round[index] = (self.now() - begun) / rounds
            finally:
                if rounds:
                    with _uninterrupted():
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

    def _start(self, group: Sequence[Job], workers: dict[Job, Worker], verify: bool) -> None:
        """Processes for a group: they load torch side by side, before any of them computes."""
        for job in group:
            workers[job] = self.start(job, verify)
        for worker in workers.values():
            worker.started(self._patience())

    @staticmethod
    def _first_turn(facts: Mapping[str, Any]) -> float:
        """About how long a process takes for its first sample, in seconds."""
        return float((facts.get("calls", 1) + 1) * min(facts.get("warmup_seconds", [0.0])))

    def _last(self, worker: Worker) -> dict[str, Any]:
        try:
            return worker.finish()
        except MeasuringFailed:
            return {}
