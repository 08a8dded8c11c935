"""A key-frame schedule, event by event: an independent check of the closed forms, and the effects that they leave out
(queues, dropped frames, a background that falls behind).

Frames arrive every period. Device 1 takes frames in order and runs the stages of `Schedule.mode`. In the mode
``parallel`` the high part of a key frame is a job in the background; jobs run one at a time. The job starts when
propagation of the frame starts: on device 2, or, with one device, on device 1 while no frame is there; a frame
interrupts the job. The first frame is the first key frame: it runs in full before the stream goes on, and averages
leave it out. At equal times, ends come before beginnings.
"""

from bisect import bisect_right
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from itertools import cycle
from math import lcm
from typing import Any

import simpy

from costmodel.video.schedule import Schedule, exact, whole

MOST_FRAMES = 100_000
USUAL_FRAMES = 100  # at least; cycles are completed


@dataclass(frozen=True)
class Frame:
    """One frame, times in ms. A dropped frame has neither start, end and latency nor features."""

    number: int
    arrival: float
    start: float | None
    end: float | None
    latency: float | None
    key: bool
    staleness: int | None  # frames since the frame whose high features are shown

    @property
    def dropped(self) -> bool:
        return self.end is None


@dataclass(frozen=True)
class Busy:
    """A stage (``low``, ``select``, ``propagate``, ``high``) of a frame on a device, times in ms."""

    device: int
    stage: str
    start: float
    end: float
    frame: int


@dataclass(frozen=True)
class Simulation:
    """The result of `simulate`. Averages, maxima and loads leave out the first frame."""

    schedule: Schedule
    buffer: int | None  # the number of frames that may wait (None: all)
    frames: tuple[Frame, ...] = field(repr=False)
    busy: tuple[Busy, ...] = field(repr=False)
    average_ms: float  # latency
    maximum_ms: float  # latency
    work_per_frame_ms: float
    utilisation: tuple[
        float, ...
    ]  # by device: working time over the time in which frames came; above 1: it fell behind
    throughput_fps: float  # frames per second until the last background job ended
    longest_queue: int

    @cached_property
    def dropped(self) -> int:
        return sum(frame.dropped for frame in self.frames)

    @cached_property
    def staleness_frames(self) -> tuple[int, int]:
        """The least and the most, without frames that show features of the first frame, unless all do."""
        pairs = [(frame.number, frame.staleness) for frame in self.frames if frame.staleness is not None]
        later = [staleness for number, staleness in pairs if staleness < number]
        shown = later or [staleness for _, staleness in pairs]
        return min(shown), max(shown)

    def record(self) -> dict[str, Any]:
        """The simulation as JSON has it."""
        return {
            "frames": len(self.frames) - 1,
            "dropped": self.dropped,
            "average_ms": self.average_ms,
            "maximum_ms": self.maximum_ms,
            "first_frame_ms": self.frames[0].latency,
            "work_per_frame_ms": self.work_per_frame_ms,
            "staleness_frames": list(self.staleness_frames),
            "utilisation": list(self.utilisation),
            "throughput_fps": self.throughput_fps,
            "longest_queue": self.longest_queue,
        }


def usual_frames(schedule: Schedule) -> int:
    """The frames of whole cycles of key frames, so that averages are exact: at least three cycles and `USUAL_FRAMES`
    frames, at most `MOST_FRAMES`; 0 if one cycle is longer."""
    length = sum(schedule.gaps)
    return length * min(max(3, -(-USUAL_FRAMES // length)), MOST_FRAMES // length)


def simulate(schedule: Schedule, frames: int | None = None, *, buffer: int | None = None) -> Simulation:
    """Run the first frame and ``frames`` more (by default whole cycles of key frames).

    ``buffer``: the number of frames that may wait (by default all). A frame that comes when the buffer is full is
    dropped; after a dropped key frame the next frame that is taken becomes a key frame. `InvalidInput` for numbers that
    are not whole or out of range.

    >>> import costmodel
    >>> stages = costmodel.Stages(low=61, high=299, select=20, propagate=38)
    >>> seen = simulate(costmodel.schedule(stages, "adaptive", 5, frame_period=380), 10)
    >>> seen.average_ms, seen.maximum_ms, [frame.number for frame in seen.frames if frame.key]
    (171.2, 380.0, [0, 5, 10])
    """
    count = whole("the number of frames", usual_frames(schedule) if frames is None else frames, MOST_FRAMES)
    if buffer is not None and buffer != 0:
        whole("the buffer", buffer)
    return _Run(schedule, count, buffer).result()


class _Run:
    """The state of a simulation. Times are whole numbers of ticks, so that nothing is rounded."""

    def __init__(self, schedule: Schedule, count: int, buffer: int | None) -> None:
        low, high, propagate, select = schedule.stages.exact()
        stretch = 1 + exact("contention", schedule.contention, zero=True, unit="")
        period = exact("the frame period", schedule.frame_period_ms)
        self.parallel = schedule.mode == "parallel"
        if self.parallel:
            low, propagate, select = low * stretch, propagate * stretch, select * stretch
        self.ticks = lcm(*(each.denominator for each in (low, high, propagate, select, period)))
        self.time = {
            stage: int(each * self.ticks)
            for stage, each in (("low", low), ("high", high), ("propagate", propagate), ("select", select))
        }
        self.begun = int(sum(schedule.stages.exact()[:2]) * self.ticks)  # of the first frame, without contention
        self.schedule, self.count, self.buffer = schedule, count, buffer
        self.period = int(period * self.ticks)
        self.begin = max(self.period, self.begun)  # the time of the second frame

        self.env = simpy.Environment()
        self.waiting = simpy.Store(self.env)
        self.device = simpy.PreemptiveResource(self.env)  # device 1; frames have priority over the background
        self.background = simpy.Resource(self.env)  # one job at a time, on device 2 or on device 1
        self.arrivals: dict[int, int] = {}
        self.keys: set[int] = set()
        self.spans: dict[int, tuple[int, int]] = {}
        self.needed: dict[int, int] = {}  # the time when a frame needs high features
        self.ready: list[tuple[int, int]] = []  # the time when the features of a key frame came, in order
        self.busy: list[tuple[int, str, int, int, int]] = []
        self.longest = 0
        self.env.process(self.camera())
        self.env.process(self.frames())
        self.env.run()

    @property
    def now(self) -> int:
        return int(self.env.now)

    def camera(self) -> Generator[simpy.Event, Any, None]:
        due = False
        gaps = cycle(self.schedule.gaps)
        following = 0
        for number in range(self.count + 1):
            if number:
                yield self.env.timeout(self.begin - self.now if number == 1 else self.period)
                yield self.env.timeout(0)  # ends at this time come first
            self.arrivals[number] = self.now
            if number == following:
                due, following = True, following + next(gaps)
            idle = bool(self.waiting.get_queue) or not number
            if not idle and self.buffer is not None and len(self.waiting.items) >= self.buffer:
                continue  # dropped
            if due:
                self.keys.add(number)
            due = False
            self.waiting.put(number)
            self.longest = max(self.longest, 0 if idle else len(self.waiting.items))

    def frames(self) -> Generator[simpy.Event, Any, None]:
        """The frames on device 1."""
        while True:
            number = yield self.waiting.get()
            with self.device.request(priority=0) as turn:
                yield turn
                start = self.now
                for stage, duration in self.stages(number):
                    if stage in ("high", "propagate"):
                        self.needed[number] = self.now
                    if stage == "propagate" and self.parallel and number in self.keys:
                        self.env.process(self.refresh(number))
                    yield from self.work(1, stage, duration, number)
                    if stage == "high":
                        self.ready.append((self.needed[number], number))  # the frame shows its own features
            self.spans[number] = start, self.now

    def stages(self, number: int) -> list[tuple[str, int]]:
        """The stages of a frame on device 1, and their times in ticks."""
        if not number:
            return [("low", self.begun - self.time["high"]), ("high", self.time["high"])]
        last = "high" if number in self.keys and not self.parallel else "propagate"
        decided = ["select"] if self.schedule.mode in ("adaptive", "parallel") else []
        return [(stage, self.time[stage]) for stage in ("low", *decided, last)]

    def work(self, device: int, stage: str, duration: int, number: int) -> Generator[simpy.Event, Any, None]:
        start = self.now
        if duration:
            yield self.env.timeout(duration)
            self.busy.append((device, stage, start, self.now, number))

    def refresh(self, number: int) -> Generator[simpy.Event, Any, None]:
        """The high part of a key frame, in the background."""
        with self.background.request() as turn:
            yield turn
            if self.schedule.devices == 2:
                yield from self.work(2, "high", self.time["high"], number)
            else:
                left = self.time["high"]
                while left:
                    left = yield from self.between_frames(left, number)
        self.ready.append((self.now, number))

    def between_frames(self, left: int, number: int) -> Generator[simpy.Event, Any, int]:
        """Run a job on device 1 until a frame comes; returns the ticks that are left."""
        with self.device.request(priority=1, preempt=False) as turn:
            start = None
            with suppress(simpy.Interrupt):  # possibly at the moment when the job gets the device
                yield turn
                start = self.now
                yield self.env.timeout(left)
        if start is None or start == self.now:
            return left
        self.busy.append((1, "high", start, self.now, number))
        return left - (self.now - start)

    def result(self) -> Simulation:
        frames = []
        moments = [moment for moment, _ in self.ready]
        for number, arrival in self.arrivals.items():
            start, end = self.spans.get(number, (None, None))
            shown = self.ready[bisect_right(moments, self.needed[number]) - 1][1] if end is not None else None
            frames.append(
                Frame(
                    number=number,
                    arrival=self.ms(arrival),
                    start=None if start is None else self.ms(start),
                    end=None if end is None else self.ms(end),
                    latency=None if end is None else self.ms(end - arrival),
                    key=number in self.keys,
                    staleness=None if shown is None else number - shown,
                )
            )
        later = [self.spans[n][1] - arrival for n, arrival in self.arrivals.items() if n and n in self.spans]
        done = [each for each in self.busy if each[-1]]
        per_device = {device: sum(end - start for d, _, start, end, _ in done if d == device) for device in (1, 2)}
        used = per_device if self.parallel and self.schedule.devices == 2 else {1: per_device[1]}
        spent = max(end for _, _, _, end, _ in done) - self.begin
        return Simulation(
            schedule=self.schedule,
            buffer=self.buffer,
            frames=tuple(frames),
            busy=tuple(
                Busy(device, stage, self.ms(start), self.ms(end), number)
                for device, stage, start, end, number in sorted(self.busy, key=lambda each: (each[2], each[0]))
            ),
            average_ms=self.ms(Fraction(sum(later), len(later))),
            maximum_ms=self.ms(max(later)),
            work_per_frame_ms=self.ms(Fraction(sum(per_device.values()), len(later))),
            utilisation=tuple(float(Fraction(each, self.count * self.period)) for each in used.values()),
            throughput_fps=float(Fraction(1000 * self.ticks * len(later), spent)),
            longest_queue=self.longest,
        )

    def ms(self, ticks: "int | Fraction") -> float:
        return float(Fraction(ticks) / self.ticks)
