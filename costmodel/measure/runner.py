"""Timing in fresh child processes: subjects are interleaved, and all raw samples are kept.

A *group* is a set of subjects whose ratios matter: their processes are alive together and interleaved, in another order
in every round (A B C, C A B, ...), so that drift of the machine affects all subjects alike. Probes take a turn before
every turn of a subject. A *block* is one set of fresh processes of a group, from start to end; every group gets several
blocks, spread over the whole run, and groups whose ratios are not decided by then get more.
"""

import math
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from costmodel.errors import MeasuringFailed
from costmodel.measure.allocation import Group, Need, most_urgent
from costmodel.measure.jobs import Job, JobFailed
from costmodel.measure.probes import Times
from costmodel.measure.worker import OutOfTime, ProbeChild, ProbeFailed, ProbeWorker, Worker
from costmodel.profiles.estimate import FEWEST_ROUNDS
from costmodel.profiles.records import Probes, Process, Settings

PROCESSES = 3  # of each subject
MOST_PROCESSES = 12  # of each subject in groups that need more,
MORE_SECONDS = 600  # as long as the whole run takes less than this
ROUNDS = 5  # of a block


@contextmanager
def uninterrupted() -> Iterator[None]:
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
class _Group:
    """A group, and what this run knows of it."""

    jobs: Sequence[Job]
    blocks: int  # also of an earlier run
    starting: float = 0.0  # seconds until the last block was warm; 0: no block so far
    round: float = 0.0  # seconds
    ended: float = -math.inf  # the time when the last block ended
    need: Need | None = None  # None: unknown, as after every block


@dataclass
class Runner:
    """Times jobs, block by block.

    Without a budget every group gets ``processes`` blocks, and then as many more as it needs, up to ``most``. With a
    budget every group gets a short block; then the groups that need more share the time that is left, and time that no
    group needs is not used. A process of probes that cannot be started, or fails in its first round, is told, and its
    block goes on without; one that fails later ends its block, whose whole rounds are kept.
    """

    keep: Callable[[Mapping[Job, Process]], None]  # gets the processes of every block, also of an interrupted block
    start: Callable[[Job, bool], Worker]  # of a job; True: the process compares its results with the reference first
    # Makes the references of jobs, before the first block of a group; the function tells the seconds that are left.
    prepare: Callable[[Sequence[Job], Callable[[], float | None]], object] = lambda jobs, patience: None
    processes: int = PROCESSES
    most: int = 0
    # Of a group with some blocks, whose start and whose rounds take so many seconds each.
    need: Callable[[Sequence[Job], float, float], Need] = lambda group, starting, round: Need(0, ROUNDS)
    rounds: int | None = None  # of a block; None: `ROUNDS`, and later as many as the group needs
    budget: float | None = None  # seconds from now on
    tick: Callable[[float, str], object] = lambda done, what: None  # the fraction done, 0 to 1; the current subject
    tell: Callable[[str], object] = lambda message: None  # gets each message about probes once
    order: Callable[[int, str], Iterator[Sequence[int]]] = balanced  # of a number of subjects; the seed of a block
    probe: Callable[[Settings], ProbeWorker] | None = ProbeChild  # None: no probes; tests replace probe and now
    now: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.begun = self.now()
        self.failed: dict[Job, JobFailed] = {}  # left out of later blocks
        self.done, self.total = 0, 0  # blocks
        self.told: set[str] = set()

    @property
    def left(self) -> float:
        """Seconds until the budget ends."""
        return math.inf if self.budget is None else self.begun + self.budget - self.now()

    def _patience(self) -> float | None:
        return None if self.budget is None else max(0.0, self.left)

    def run(self, work: Sequence[tuple[Sequence[Job], int]]) -> None:
        """Time groups, each given with its number of blocks from an earlier run."""
        groups = [_Group(jobs, have) for jobs, have in work]
        with suppress(OutOfTime):
            self._run_first(groups)
            self._run_needed(groups)

    def _run_first(self, groups: Sequence[_Group]) -> None:
        """Time the blocks that every group gets, group by group, again and again."""
        fewest, rounds = (self.processes, self.rounds or ROUNDS) if self.budget is None else (1, FEWEST_ROUNDS)
        self.total = sum(max(0, fewest - group.blocks) for group in groups)
        for _ in range(fewest):
            for group in groups:
                if group.blocks < fewest:
                    self._time(group, rounds, groups)

    def _run_needed(self, groups: Sequence[_Group]) -> None:
        """Time the blocks that groups need beyond the first ones."""
        most, seconds = (self.most, MORE_SECONDS) if self.budget is None else (sys.maxsize, self.budget)
        end = self.begun + seconds
        while True:
            able = [group for group in groups if self._able(group) and group.blocks < most]
            waiting = dict(enumerate(map(self._waiting, able)))
            number = most_urgent(waiting, end - self.now())
            if number is None:
                return
            needed = (min(waiting[n].need.processes, most - group.blocks) for n, group in enumerate(able))
            self.total = self.done + sum(needed)
            self._time(able[number], self.rounds or waiting[number].need.rounds, able)

    def _waiting(self, group: _Group) -> Group:
        """A group as `most_urgent` takes it. Before its first block nothing is known of its cost."""
        if group.need is None and group.blocks:
            # Guesses of the cost where an earlier run timed all blocks: it changes the rounds of a block alone.
            group.need = self.need(self._able(group), group.starting or 10.0, group.round or 1.0)
        need = group.need or Need(1, FEWEST_ROUNDS)
        return Group(need, group.starting, group.round, self.now() - group.ended)

    def _able(self, group: _Group) -> list[Job]:
        return [job for job in group.jobs if job not in self.failed]

    def _time(self, group: _Group, rounds: int, groups: Sequence[_Group]) -> None:
        """Time a block of a group; after a failure the block starts again without the failed job. With a budget, the
        block goes on as long as no block of ``groups`` fits into the time that is left."""
        shared = groups if self.budget is not None else []
        others = [self._waiting(each) for each in shared if each is not group and self._able(each)]

        def goes_on(done: int) -> bool:
            if self.budget is None:
                return done < rounds
            again = Group(Need(1, FEWEST_ROUNDS), group.starting, group.round, 0.0)
            left = self.left - group.round
            return left >= 0 and (done < rounds or not any(each.fits(left) for each in [*others, again]))

        while able := self._able(group):
            try:
                self._block(group, able, goes_on, rounds)
            except JobFailed as failure:
                self.failed[failure.job] = failure
            else:
                break
        group.need, group.ended = None, self.now()
        group.blocks += 1
        self.done += 1

    def _block(self, group: _Group, jobs: Sequence[Job], goes_on: Callable[[int], bool], expected: int) -> None:
        """Start and warm fresh processes for jobs, and time the jobs in turns. An interrupt keeps whole rounds."""
        workers: dict[Job, Worker] = {}
        probe: ProbeWorker | None = None
        facts: dict[Job, dict[str, Any]] = {}
        turns = {job: _Turns() for job in jobs}
        steps, step = len(jobs) * (1 + expected), count()

        def say(job: Job) -> None:
            blocks = (self.done + next(step) / steps) / max(1, self.total)
            self.tick(blocks if self.budget is None else 1 - self.left / self.budget, job.subject.title)

        try:
            first = group.ended == -math.inf
            if first:
                self.prepare(jobs, self._patience)
            begun = self.now()
            probe = self._start_probe(jobs[0].how)
            self._start(jobs, workers, verify=first)
            probe = self._after(probe, lambda probe: probe.started(self._patience()))
            for job in jobs:  # one after another, as in the timing
                say(job)
                facts[job] = workers[job].ready(self._patience())
            probe = self._after(probe, lambda probe: probe.ready(self._patience()))
            started = datetime.now(UTC)
            group.starting = self.now() - begun
            if self.left < sum(self._first_turn(facts[job]) for job in jobs):
                raise OutOfTime
            order = self.order(len(jobs), started.isoformat())
            rounds, begun = 0, self.now()
            try:
                while rounds == 0 or goes_on(rounds):
                    for position, number in enumerate(next(order)):
                        job = jobs[number]
                        say(job)
                        if rounds == 0:
                            probe = self._after(probe, turns[job].probe)
                        elif probe is not None:
                            turns[job].probe(probe)
                        turns[job].time(workers[job], position)
                    rounds += 1
                    group.round = (self.now() - begun) / rounds
            except ProbeFailed as failure:
                self._tell(
                    f"a block has {rounds} round{'s' if rounds > 1 else ''}, and then its probes failed: {failure}"
                )
            finally:
                if rounds:
                    with uninterrupted():
                        self.keep(
                            {
                                job: Process(
                                    started=started,
                                    **turns[job].samples(rounds, probe is not None),
                                    **facts[job] | self._last(workers[job]),
                                )
                                for job in jobs
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
