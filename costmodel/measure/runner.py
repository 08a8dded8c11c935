"""Timing in fresh child processes: subjects are interleaved, and all raw samples are kept.

A *group* is a set of subjects whose ratios matter: their processes are alive together and interleaved (A B C, A B C,
...), so that drift of the machine affects all subjects alike. A *block* is one set of fresh processes of a group, from
start to end; every group gets several blocks, spread over the whole run.
"""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Any

from costmodel.errors import MeasuringFailed
from costmodel.measure.jobs import Job, JobFailed
from costmodel.measure.worker import ChildWorker, OutOfTime, Worker
from costmodel.profiles.records import Process

PROCESSES = 5  # of each subject
MOST_PROCESSES = 12  # of each subject in groups that are not settled before,
MORE_SECONDS = 600  # as long as the whole run takes less than this
ROUNDS = 5  # of a block
FEWEST_ROUNDS = 3


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Delay Ctrl-C until the block inside is done."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread gets Ctrl-C
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
    """Times jobs, block by block."""

    keep: Callable[[Mapping[Job, Process]], None]  # gets the processes of every block, also of an interrupted block
    processes: int = PROCESSES  # blocks of every group,
    most: int = 0  # or up to this many while the group is not settled
    settled: Callable[[Sequence[Job]], bool] = lambda group: True
    rounds: int = ROUNDS  # of a block
    budget: float | None = None  # seconds from now on, which decide the numbers of blocks and rounds
    tick: Callable[[float, str], object] = lambda done, what: None  # the fraction done, 0 to 1; the current subject
    start: Callable[[Job, bool], Worker] = ChildWorker  # tests replace start and now
    now: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.begun = self.now()
        self.starting: dict[int, float] = {}  # seconds until a group is warm
        self.round: dict[int, float] = {}  # seconds of one round of a group
        self.failed: dict[Job, JobFailed] = {}  # left out of later blocks

    @property
    def left(self) -> float:
        """Seconds until the budget ends."""
        return math.inf if self.budget is None else self.begun + self.budget - self.now()

    def _patience(self) -> float | None:
        return None if self.budget is None else max(0.0, self.left)

    def run(self, work: Sequence[tuple[Sequence[Job], int]]) -> None:
        """Time groups, each given with its number of blocks from an earlier run."""
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
        """Time as many blocks and rounds as the budget allows; every group gets the same number."""
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
        """True where a group gets another round, with ``later`` seconds reserved for the other groups.

        The final block fills the time left; so does the last block of the first pass (``final`` None) if no other pass
        fits.
        """
        if final is None:
            final = self.left < sum(self.starting.values()) + sum(self.round.values())
        return (final or rounds < most) and self.left - later > self.round[index] / 2

    def _try(
        self,
        index: int,
        group: Sequence[Job],
        more: Callable[[int], bool],
        *,
        first: bool,
        done: tuple[int, int] | None = None,
    ) -> None:
        """Time a block of a group; after a failure the block starts again without the failed job."""
        while able := [job for job in group if job not in self.failed]:
            try:
                self._block(index, able, more, first=first, done=done)
            except JobFailed as failure:
                self.failed[failure.job] = failure
            else:
                return

    def _plan(self, passes: int) -> tuple[int, bool]:
        """Rounds per block in the next pass over all groups (0: no time for a pass), and True for the last pass."""
        starting, turn = sum(self.starting.values()), sum(self.round.values())
        # Processes are worth more than rounds, down to FEWEST_ROUNDS: the spread is between processes.
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
        """Start and warm fresh processes for a group, and time the group in turns. An interrupt keeps whole rounds."""
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
                for job in group:  # one after another, as in the timing
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
        """Start the processes of a group: all load torch side by side, before any process computes."""
        for job in group:
            workers[job] = self.start(job, verify)
        for worker in workers.values():
            worker.started(self._patience())

    @staticmethod
    def _first_turn(facts: Mapping[str, Any]) -> float:
        """Seconds that a process needs for its first sample, about."""
        return float((facts.get("calls", 1) + 1) * min(facts.get("warmup_seconds", [0.0])))

    def _last(self, worker: Worker) -> dict[str, Any]:
        try:
            return worker.finish()
        except MeasuringFailed:
            return {}
