"""The calibration of a machine: operators and small modules, timed alone in a fresh process, into a profile.

Every *pass* times each point once, in a random order, so that drift of the machine affects all points alike. Probes
take a turn about every half second: each sample is kept once the probes have taken a turn after it.
"""

import os
import random
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

from costmodel.errors import InvalidInput, MeasuringFailed
from costmodel.measure.host import cache_bytes, host, require_gpu
from costmodel.measure.jobs import check_threads
from costmodel.measure.probes import Times
from costmodel.measure.profile import opened, settings_grid
from costmodel.measure.runner import uninterrupted
from costmodel.measure.worker import Child
from costmodel.price.moment import PROBES
from costmodel.profiles.files import destination, locked
from costmodel.profiles.records import Calibration, Probes, Profile, Samples, Settings, TimedCall, TimedComposite
from costmodel.work.call import Call

ROUNDS = 4  # samples of each point
PROBE_SECONDS = 0.5  # between turns of the probes, about
SAVE_SECONDS = 20.0  # between savings, about

Point: TypeAlias = "tuple[Call, str] | str"  # a call in a state, or the name of a composite


class PointRefused(Exception):
    """torch refuses the call of a point, such as one in a dtype that it has no kernel for."""


class PointWorker(Protocol):
    """A process that times points and probes."""

    def started(self, seconds: float | None) -> None:
        """Wait until the process has finished its imports."""

    def ready(self, seconds: float | None) -> object:
        """Warm the probes up."""

    def probe(self) -> Times:
        """One more turn of the probes."""

    def time(self, point: Point, repeats: int | None) -> tuple[int, float, tuple[Call, ...]]:
        """One more sample: its number of calls, their mean seconds, and of a composite without ``repeats`` the calls of
        operators that it makes. `PointRefused` where torch refuses the call."""

    def kill(self) -> None:
        """Kill the process."""


class PointChild(Child):
    """A fresh process with the pinned environment; see `costmodel.measure.point_child`."""

    program = "costmodel.measure.point_child"

    def __init__(self, how: Settings) -> None:
        super().__init__(None, how)

    def failure(self, message: str, code: int = 1) -> MeasuringFailed:
        return MeasuringFailed(f"calibration: {message}", code)

    def probe(self) -> Times:
        self._send("probe")
        times: Times = self._receive()
        return times

    def time(self, point: Point, repeats: int | None) -> tuple[int, float, tuple[Call, ...]]:
        self._send((point, repeats))
        answer = self._receive()
        if isinstance(answer, str):
            raise PointRefused(answer)
        found: tuple[int, float, tuple[Call, ...]] = answer
        return found


@dataclass(frozen=True)
class _Known:
    """What is known of a point so far: its samples, and of a composite the calls that it makes."""

    samples: Samples | None = None
    calls: tuple[Call, ...] = ()

    @property
    def rounds(self) -> int:
        return len(self.samples.seconds) if self.samples else 0

    def and_one(self, repeats: int, seconds: float, after: int, calls: tuple[Call, ...]) -> "_Known":
        """The same with one more sample."""
        before = self.samples
        more = (*(before.seconds if before else ()), float(f"{seconds:.5g}"))
        turns = (*(before.after if before else ()), after)
        return _Known(Samples(repeats=repeats, seconds=more, after=turns), self.calls or calls)


@dataclass
class _Session:
    """Times points until each has the samples that it should have. ``keep`` gets the calibration so far."""

    how: Settings
    worker: PointWorker
    known: dict[Point, _Known]
    turns: list[Times]  # of the probes
    keep: Callable[[Calibration], object]
    tick: Callable[[float, str], object]
    tell: Callable[[str], object]
    now: Callable[[], float]
    waiting: list[tuple[Point, _Known]] = field(default_factory=list)  # for a turn of the probes
    refused: set[Point] = field(default_factory=set)
    told: set[str] = field(default_factory=set)
    probed: float = 0.0  # the time of the last turn of the probes
    saved: float = 0.0  # the time when all was saved
    is_saved: bool = True

    def run(self, rounds: int) -> None:
        """Time every point ``rounds`` times; earlier samples count."""
        total = rounds * len(self.known)
        done = sum(min(known.rounds, rounds) for known in self.known.values())
        draw = random.Random(len(self.turns))
        self.probe()
        self.saved = self.probed
        for number in range(1, rounds + 1):
            lacking = [point for point, known in self.known.items() if known.rounds < number]
            for point in draw.sample(lacking, len(lacking)):
                self.tick(done / total, point if isinstance(point, str) else point[0].name)
                self.time(point)
                done += 1
                if self.now() - self.probed >= PROBE_SECONDS:
                    self.probe()
                if self.now() - self.saved >= SAVE_SECONDS:
                    self.save()
            if self.waiting:
                self.probe()
            self.save()

    def time(self, point: Point) -> None:
        """One more sample of a point."""
        if point in self.refused:
            return
        known = self.known[point]
        try:
            repeats, seconds, calls = self.worker.time(point, known.samples.repeats if known.samples else None)
        except PointRefused as refusal:
            self.refused.add(point)
            message = f"left out: {point if isinstance(point, str) else point[0].name}: {refusal}"
            if message not in self.told:
                self.told.add(message)
                self.tell(message)
            return
        self.waiting.append((point, known.and_one(repeats, seconds, len(self.turns) - 1, calls)))

    def probe(self) -> None:
        """Time the probes, and keep the samples that waited for them."""
        self.turns.append(self.worker.probe())
        self.probed = self.now()
        self.is_saved = self.is_saved and not self.waiting
        self.known |= dict(self.waiting)
        self.waiting.clear()

    def save(self) -> None:
        """Hand over what was timed between turns of the probes."""
        if self.is_saved:
            return
        self.is_saved, self.saved = True, self.now()
        states: dict[Call, dict[str, Samples]] = {}
        composites = []
        for point, known in self.known.items():
            if known.samples is None:
                continue
            if isinstance(point, str):
                composites.append(TimedComposite(name=point, calls=known.calls, samples=known.samples))
            else:
                call, state = point
                states.setdefault(call, {})[state] = known.samples
        times = zip(*([float(f"{s:.5g}") for s in turn] for turn in self.turns), strict=True)
        self.keep(
            Calibration(
                how=self.how,
                probes=Probes(**dict(zip(PROBES, map(tuple, times), strict=True))),
                cache=cache_bytes(self.how.device),
                points=tuple(TimedCall(call=call, **timed) for call, timed in states.items()),
                composites=tuple(composites),
            )
        )


def wanted(how: Settings) -> list[Point]:
    """The points of a calibration with these settings."""
    from costmodel.measure.points import composites, points

    calls: list[Point] = [(call, state) for call in points(how) for state in ("hot", "cold")]
    return [*calls, *(each.name for each in composites(how))]


def record(
    how: Settings,
    path: Path | None = None,
    *,
    resume: bool = False,
    replace: bool = False,
    latest: Callable[[Profile], object] = lambda profile: None,
    rounds: int = ROUNDS,
    tick: Callable[[float, str], object] = lambda done, what: None,
    tell: Callable[[str], object] = warnings.warn,
    points: Sequence[Point] | None = None,
    start: Callable[[Settings], PointWorker] = PointChild,
    now: Callable[[], float] = time.monotonic,
) -> Profile:
    """Calibrate this machine with the settings ``how``, into a profile that is saved to ``path`` about every 20 s.

    An existing file is continued: ``resume`` adds the samples that its points lack, and points that are new;
    ``replace`` measures anew (the old calibration stays until each point was timed); without either, a calibration that
    the file already has is refused (`InvalidInput`). ``latest`` gets the profile whenever it is saved, so an interrupt
    loses half a second. ``points``: by default those of costmodel. `MeasuringFailed` where the process dies.
    """
    check_threads(how)
    if how.device == "cuda":
        require_gpu()
    here = host(how.device)
    with locked(path) if path else nullcontext():
        result, _ = opened(path, here, [], lambda profile: (), "these points", resume=resume, replace=replace)
        old = next((each for each in result.calibrations if each.how == how), None)
        if old and not (resume or replace):
            raise InvalidInput(
                f"{path} already has a calibration of {old.title}: resume=True adds what it lacks, replace=True "
                "measures it again"
            )
        known = _known(old) if old and resume else {}
        every = wanted(how) if points is None else list(points)
        known |= {point: _Known() for point in every if point not in known}
        if all(each.rounds >= rounds for each in known.values()):
            return result

        def keep(found: Calibration) -> None:
            nonlocal result
            if old and replace and sum(len(each.states) for each in found.timed) < len(every) - len(session.refused):
                return
            with uninterrupted():
                result = result.with_calibration(found)
                if path:
                    result.save(path)
                latest(result)

        worker = start(how)
        try:
            worker.started(None)
            worker.ready(None)
            turns = list(zip(*(getattr(old.probes, name) for name in PROBES), strict=True)) if old and resume else []
            session = _Session(how, worker, known, turns, keep, tick, tell, now)
            try:
                session.run(rounds)
            finally:
                session.save()
        finally:
            worker.kill()
    if not any(each.how == how for each in result.calibrations):
        raise MeasuringFailed("calibration: torch refused every point")
    return result


def _known(old: Calibration) -> dict[Point, _Known]:
    """What a calibration knows, by point."""
    known: dict[Point, _Known] = {each.name: _Known(each.samples, each.calls) for each in old.composites}
    for timed in old.points:
        known |= {(timed.call, state): _Known(samples) for state, samples in timed.states.items()}
    return known


def calibrate(
    device: str = "cpu",
    *,
    dtype: str = "float32",
    memory_format: str = "contiguous",
    threads: int | None = None,
    tf32: bool = False,
    out: "str | Path | None" = None,
    resume: bool = False,
    replace: bool = False,
) -> Profile:
    """Time operators and small modules alone, in one fresh process: the rates that predictions are made of. About three
    minutes on two cores. The profile's ``calibrations`` have the raw samples and the probes between them.

    The settings are those of `costmodel.profile`, one value of each; ``out``: a name or a file that is saved about
    every 20 s, and which predictions then name as their machine; see `record` for ``resume``, ``replace`` and errors.
    Needs POSIX.
    """
    how, *more = settings_grid(device, dtype=dtype, memory_format=memory_format, threads=threads, tf32=tf32)
    if more:
        raise InvalidInput("calibrate takes one value of each setting")
    return record(how, None if out is None else destination(os.fspath(out)), resume=resume, replace=replace)
