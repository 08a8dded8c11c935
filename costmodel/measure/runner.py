"""Timing in fresh child processes: subjects are interleaved, and all raw samples are kept.

A *group* is a set of subjects whose ratios matter: their processes are alive together and interleaved, in another order
in every round (A B C, C A B, ...), so that drift of the machine affects all subjects alike. Probes take a turn before
every turn of a subject. A *block* is one set of fresh processes of a group, from start to end; every group gets several
blocks, spread over the whole run.
"""

import math
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Any

from costmodel.errors import MeasuringFailed
from costmodel.measure.jobs import Job, JobFailed
from costmodel.measure.probes import Times
from costmodel.measure.worker import ChildWorker, OutOfTime, ProbeChild, ProbeFailed, ProbeWorker, Worker
from costmodel.profiles.records import Probes, Process, Settings

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


def balanced(number: int, seed: str) -> Iterator[Sequence[int]]:
    """Random orders of so many subjects, without end. In ``number`` orders each subject is once at each position, and
    once before each other one; for an odd number, twice in two times as many."""
    draw = random.Random(seed)
    names = draw.sample(range(number), number)
    zigzag = [k // 2 if k % 2 == 0 else number - 1 - k // 2 for k in range(number)]  # 0 n-1 1 n-2 ...: steps differ
    while True:
        for shift in draw.sample(range(number), number):
            yield [names[(k + shift) % number] for k in zigzag]
        zigzag.reverse()


@dataclass
class _Turns:
    """The turns of one job in a block."""

    seconds: list[float] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    probes: list[Times] = field(default_factory=list)

    def probe(self, probe: ProbeWorker) -> None:
        self.probes.append(probe.turn())

    def time(self, worker: Worker, position: int) -> None:
        self.seconds.append(worker.turn())
        self.positions.append(position)

    def samples(self, rounds: int, probed: bool) -> dict[str, Any]:
        """Fields of `Process` for the first rounds."""
        probes = [[round(s, 9) for s in times] for times in self.probes[:rounds]]
        return {
            "seconds": tuple(round(s, 9) for s in self.seconds[:rounds]),
            "positions": tuple(self.positions[:rounds]),
            "probes": Probes(*zip(*probes, strict=True)) if probed else None,
        }


@dataclass
class Runner:
    """Times jobs, block by block.

    A process of probes that cannot be started, or fails in its first round, is told, and its block goes on without; one
    that fails later ends its block, whose whole rounds are kept.
    """

    keep: Callable[[Mapping[Job, Process]], None]  # gets the processes of every block, also of an interrupted block
    processes: int = PROCESSES  # blocks of every group,
    most: int = 0  # or up to this many while the group is not settled
    settled: Callable[[Sequence[Job]], bool] = lambda group: True
    rounds: int = ROUNDS  # of a block
    budget: float | None = None  # seconds from now on, which decide the numbers of blocks and rounds
    tick: Callable[[float, str], object] = lambda done, what: None  # the fraction done, 0 to 1; the current subject
    tell: Callable[[str], object] = lambda message: None  # gets each message about probes once
    order: Callable[[int, str], Iterator[Sequence[int]]] = balanced  # of a number of subjects; the seed of a block
    start: Callable[[Job, bool], Worker] = ChildWorker  # tests replace start, probe and now
    probe: Callable[[Settings], ProbeWorker] | None = ProbeChild  # None: no probes
    now: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.begun = self.now()
        self.starting: dict[int, float] = {}  # seconds until a group is warm
        self.round: dict[int, float] = {}  # seconds of one round of a group
        self.failed: dict[Job, JobFailed] = {}  # left out of later blocks
        self.told: set[str] = set()

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
        probe: ProbeWorker | None = None
        facts: dict[Job, dict[str, Any]] = {job: {} for job in group}
        turns = {job: _Turns() for job in group}
        steps, step = len(group) * (1 + first + self.rounds), count()

        def say(job: Job) -> None:
            if done is None:
                self.tick(1 - self.left / (self.budget or 1), job.subject.title)
            else:
                self.tick((done[0] + next(step) / steps) / done[1], job.subject.title)

        try:
            for verify in [True, False] if first else [False]:
                begun = self.now()
                if not verify:
                    probe = self._start_probe(group[0].how)
                self._start(group, workers, verify)
                probe = self._after(probe, lambda probe: probe.started(self._patience()))
                for job in group:  # one after another, as in the timing
                    say(job)
                    facts[job] |= workers[job].ready(self._patience())
                    if verify:
                        workers[job].kill()
            probe = self._after(probe, lambda probe: probe.ready(self._patience()))
            started = datetime.now(UTC)
            self.starting[index] = self.now() - begun
            if self.left < sum(self._first_turn(facts[job]) for job in group) / 2:
                raise OutOfTime
            order = self.order(len(group), started.isoformat())
            rounds, begun = 0, self.now()
            try:
                while rounds == 0 or more(rounds):
                    for position, number in enumerate(next(order)):
                        job = group[number]
                        say(job)
                        if rounds == 0:
                            probe = self._after(probe, turns[job].probe)
                        elif probe is not None:
                            turns[job].probe(probe)
                        turns[job].time(workers[job], position)
                    rounds += 1
                    self.round[index] = (self.now() - begun) / rounds
            except ProbeFailed as failure:
                self._tell(
                    f"a block has {rounds} round{'s' if rounds > 1 else ''}, and then its probes failed: {failure}"
                )
            finally:
                if rounds:
                    with _uninterrupted():
                        self.keep(
                            {
                                job: Process(
                                    started=started,
                                    **turns[job].samples(rounds, probe is not None),
                                    **facts[job] | self._last(workers[job]),
                                )
                                for job in group
                            }
                        )
        finally:
            for worker in workers.values():
                worker.kill()
            if probe is not None:
                probe.kill()

    def _start(self, group: Sequence[Job], workers: dict[Job, Worker], verify: bool) -> None:
        """Start the processes of a group: all load torch side by side, before any process computes."""
        for job in group:
            workers[job] = self.start(job, verify)
        for worker in workers.values():
            worker.started(self._patience())

    def _start_probe(self, how: Settings) -> ProbeWorker | None:
        if self.probe is None:
            return None
        try:
            return self.probe(how)
        except OSError as failure:
            self._tell(f"timed without probes: {failure.strerror or failure}")
            return None

    def _after(self, probe: ProbeWorker | None, action: Callable[[ProbeWorker], object]) -> ProbeWorker | None:
        """The probe after an action; None where the probe fails, and where there is none."""
        if probe is not None:
            try:
                action(probe)
            except ProbeFailed as failure:
                probe.kill()
                self._tell(f"timed without probes: {failure}")
                return None
        return probe

    def _tell(self, message: str) -> None:
        if message not in self.told:
            self.told.add(message)
            self.tell(message)

    @staticmethod
    def _first_turn(facts: Mapping[str, Any]) -> float:
        """Seconds that a process needs for its first sample, about."""
        return float((facts.get("calls", 1) + 1) * min(facts.get("warmup_seconds", [0.0])))

    def _last(self, worker: Worker) -> dict[str, Any]:
        try:
            return worker.finish()
        except MeasuringFailed:
            return {}
