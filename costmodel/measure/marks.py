"""Marks at the boundaries of the parts of a subject, and the fresh process that times the parts in place.

A mark is a region and the moment from which on the subject is in that region: one read of the clock at each boundary.
Region n is the n-th part of the level that is timed, region 0 is everything else.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from statistics import mean, median
from typing import Any, Protocol, TypeAlias

import torch
from torch import fx

from costmodel.errors import InvalidInput
from costmodel.measure.child import main, serve
from costmodel.measure.clock import Clock
from costmodel.measure.timed import Timed, TimedNetwork

READS = 1000  # of the clock, to learn what one costs


class Stamps(Protocol):
    """A clock that is read at boundaries: ``now()`` while a subject runs, ``between`` two reads afterwards."""

    def now(self) -> Any: ...

    def between(self, before: Any, after: Any) -> int:
        """Nanoseconds."""


class WallStamps:
    """Reads of the wall clock; ``now`` gives nanoseconds."""

    def __init__(self, now: Callable[[], int] = time.perf_counter_ns) -> None:
        self.now = now

    def between(self, before: int, after: int) -> int:
        return after - before


class CudaStamps:
    """CUDA events on the current stream, whose times are asked for after synchronising. ``cuda``: ``torch.cuda``, or a
    fake."""

    def __init__(self, cuda: Any) -> None:
        self.cuda = cuda

    def now(self) -> Any:
        event = self.cuda.Event(enable_timing=True)
        event.record()
        return event

    def between(self, before: Any, after: Any) -> int:
        return round(1e6 * float(before.elapsed_time(after)))  # from milliseconds


class Marks:
    """The log of marks of one or several calls."""

    def __init__(self, stamps: Stamps) -> None:
        self.stamps = stamps
        self.log: list[tuple[int, Any]] = []
        self.region = 0  # of the code that runs now

    def boundary(self) -> Callable[[int], None]:
        """A function that marks the begin of a region, for code without nested parts."""
        append, now = self.log.append, self.stamps.now

        def mark(region: int) -> None:
            append((region, now()))

        return mark

    def around(self, call: Callable[..., Any], region: int) -> Callable[..., Any]:
        """``call``, marked as a region; the caller's region goes on when the call returns."""
        append, now = self.log.append, self.stamps.now

        def marked(*args: Any, **kwargs: Any) -> Any:
            outer, self.region = self.region, region
            append((region, now()))
            try:
                return call(*args, **kwargs)
            finally:
                self.region = outer
                append((outer, now()))

        return marked

    def take(self) -> tuple[Counter[int], Counter[int]]:
        """Nanoseconds in each region, and the number of stays there; the log is emptied."""
        times: Counter[int] = Counter()
        stays: Counter[int] = Counter()
        for (region, begin), (_, end) in pairwise(self.log):
            if region:  # the clock between two calls may be of another moment
                times[region] += self.stamps.between(begin, end)
                stays[region] += 1
        self.log.clear()
        return times, stays

    def cost(self, clock: Clock, step: Callable[[], object], nested: bool) -> int:
        """Nanoseconds that one mark costs, marks back to back behind a step, which keeps a GPU busy meanwhile."""
        mark = self.around(lambda: None, 1) if nested else partial(self.boundary(), 1)
        costs = []

        def several() -> None:
            step()
            for _ in range(READS):
                mark()

        for _ in range(5):
            clock(several, 1)
            (_, begin), (_, end) = self.log[0], self.log[-1]
            costs.append(self.stamps.between(begin, end) / (len(self.log) - 1))
            self.log.clear()
        return round(median(costs))


def cut(path: str, depth: int) -> str | None:
    """The first ``depth`` names of a path; None for a path with fewer names."""
    names = path.split(".")
    return ".".join(names[:depth]) if path and len(names) >= depth else None


class Parts:
    """The parts of a subject, by level. ``codes``: the paths that have code of their own, in order of execution."""

    def __init__(self, codes: Iterable[str], depth: int | None) -> None:
        self.codes = list(dict.fromkeys(codes))
        deepest = max((path.count(".") + 1 for path in self.codes), default=0)
        levels = range(1, 1 + min(deepest, depth or deepest)) or [1]
        self.levels = [self._level(level) for level in levels]
        above = [cut(path, level) for path in self.codes for level in range(1, path.count(".") + 1)]
        self.containers = [path for path in dict.fromkeys(above) if path not in self.codes]

    def _level(self, level: int) -> list[str]:
        paths = dict.fromkeys(cut(path, level) for path in self.codes)
        return [*([""] if level == 1 else []), *(path for path in paths if path is not None)]

    def region(self, path: str, level: int) -> int:
        """The region of some code at a level, which counts from 1."""
        paths = self.levels[level - 1]
        part = cut(path, level)
        if part is not None:
            return paths.index(part) + 1
        return 1 if level == 1 else 0


class Layered:
    """A subject whose parts can be timed: ``placed`` already, and warm."""

    def __init__(self, subject: Timed, marks: Marks, depth: int | None) -> None:
        self.subject, self.marks = subject, marks
        self.network = subject.network if isinstance(subject, TimedNetwork) else None
        self.modules = {path: each for path, each in subject.module.named_modules() if path} if subject.module else {}
        self.calls = [] if self.network else self._followed()
        codes = steps_of(self.network.body) if self.network else (path for _, path in self.calls)
        self.parts = Parts((path for path in codes if path), depth)
        self.bodies = [self._body(level) for level in self.numbers] if self.network else []

    @property
    def numbers(self) -> range:
        """The levels, which count from 1."""
        return range(1, len(self.parts.levels) + 1)

    @contextmanager
    def marked(self, level: int) -> Iterator[None]:
        """The subject with marks at the boundaries of a level."""
        run = self.subject.run
        if level == 1:
            self.subject.run = self.marks.around(run, 1)
        try:
            if self.network:
                body, self.network.body = self.network.body, self.bodies[level - 1]
                try:
                    yield
                finally:
                    self.network.body = body
            else:
                with _instead(self._marks_of(level)):
                    yield
        finally:
            self.subject.run = run

    def _followed(self) -> list[tuple[str, str]]:
        """The modules that one call enters, each with the module that calls it."""
        calls: dict[tuple[str, str], None] = {}
        running = [""]

        def follow(call: Callable[..., Any], path: str) -> Callable[..., Any]:
            def followed(*args: Any, **kwargs: Any) -> Any:
                calls[running[-1], path] = None
                running.append(path)
                try:
                    return call(*args, **kwargs)
                finally:
                    running.pop()

            return followed

        with _instead({module: partial(follow, path=path) for path, module in self.modules.items()}):
            self.subject.step()
        return list(calls)

    def _marks_of(self, level: int) -> dict[torch.nn.Module, Callable[..., Any]]:
        """Marks around the modules that a caller in another region enters."""
        found: dict[torch.nn.Module, Callable[..., Any]] = {}
        for caller, path in self.calls:
            region = self.parts.region(path, level)
            if region != self.parts.region(caller, level):
                found[self.modules[path]] = partial(self.marks.around, region=region)
        return found

    def _body(self, level: int) -> fx.GraphModule:
        """The code of a described network with marks between its steps."""
        assert self.network is not None
        body, mark = self.network.body, self.marks.boundary()
        graph = fx.Graph()
        copies: dict[fx.Node, fx.Node] = {}
        now = outside = self.parts.region("", level)
        for node, step in zip(body.graph.nodes, steps_of(body), strict=True):
            region = self.parts.region(step, level) if step else outside
            if region != now:
                graph.call_function(mark, (region,))
            now = region
            copies[node] = graph.node_copy(node, copies.__getitem__)
        return fx.GraphModule(body, graph, class_name="Body").eval()


def steps_of(body: fx.GraphModule) -> list[str]:
    """The step of each node of a described network; "" for those of no step. Of the nodes of one step the last one has
    its name."""
    steps, step = [], ""
    for node in reversed(body.graph.nodes):
        step = "" if node.op in ("placeholder", "output") else node.meta.get("step", step)
        steps.append(step)
    return steps[::-1]


@contextmanager
def _instead(wrap: Mapping[torch.nn.Module, Callable[[Callable[..., Any]], Callable[..., Any]]]) -> Iterator[None]:
    """Modules whose calls are wrapped, with all hooks inside, in the way of `torch.nn.Module.compile`: a hook would
    keep torch from its fast paths."""
    slot = "_compiled_call_impl"
    before = {module: vars(module).get(slot) for module in wrap}
    for module, around in wrap.items():
        vars(module)[slot] = around(before[module] or module._call_impl)
    try:
        yield
    finally:
        for module, held in before.items():
            if held is None:
                del vars(module)[slot]
            else:
                vars(module)[slot] = held


Sample: TypeAlias = tuple[int, ...]  # nanoseconds of a whole, and of its parts


@dataclass(frozen=True)
class Turn:
    """Undisturbed calls and calls of levels that alternate, call by call, so that all of them see the same machine.
    ``levels``: of each the sample of one more call. Of ``calls`` calls of a kind the middle half is kept."""

    undisturbed: Callable[[], float]  # seconds of one more call
    levels: Sequence[Callable[[], Sample]]
    calls: int

    @property
    def kept(self) -> int:
        """How many calls of a kind a turn keeps."""
        return len(middle([0] * self.calls))

    def __call__(self) -> tuple[float, list[Sample]]:
        """The mean seconds of an undisturbed call, and of each level the sums over the calls that are kept."""
        seconds: list[float] = []
        samples: list[list[Sample]] = [[] for _ in self.levels]
        self.undisturbed()  # the caches hold other data, and the processor may have slept
        for _ in range(self.calls):
            seconds.append(self.undisturbed())
            for level, found in zip(self.levels, samples, strict=True):
                found.append(level())
        kept = [[found[n] for n in middle([whole for whole, *_ in found])] for found in samples]
        return mean(seconds[n] for n in middle(seconds)), [tuple(map(sum, zip(*each, strict=True))) for each in kept]


def middle(wholes: Sequence[float]) -> list[int]:
    """The places of the half of some calls that took neither the least nor the most time; of up to three, of all."""
    places = sorted(range(len(wholes)), key=wholes.__getitem__)
    aside = len(wholes) // 4
    return places[aside : len(places) - aside]


def layered(
    subject: Timed, clock: Clock, calls: int, depth: int | None, stamps: Stamps | None = None
) -> tuple[dict[str, Any], Turn]:
    """The levels of a subject, and what measures its turns."""
    on_gpu = subject.how.device == "cuda"
    marks = Marks(stamps or (CudaStamps(torch.cuda) if on_gpu else WallStamps()))
    layers = Layered(subject, marks, depth)
    regions = [range(1, 1 + len(paths)) for paths in layers.parts.levels]

    def call(level: int) -> tuple[int, Counter[int], Counter[int]]:
        with layers.marked(level):
            whole = round(1e9 * clock(subject.step, 1))
        return whole, *marks.take()

    expected = {level: call(level)[2] for level in layers.numbers}

    def sample(level: int) -> Sample:
        whole, times, stays = call(level)
        if stays != expected[level]:
            raise InvalidInput("the modules that run differ from call to call, so their times do not add up")
        return whole, *(times[region] for region in regions[level - 1])

    turn = Turn(lambda: clock(subject.step, 1), [partial(sample, level) for level in layers.numbers], calls)
    reads = [tuple(expected[level][region] for region in regions[level - 1]) for level in layers.numbers]
    facts = {
        "calls": turn.kept,
        "levels": list(zip(map(tuple, layers.parts.levels), reads, strict=True)),
        "containers": tuple(layers.parts.containers),
        "read": marks.cost(clock, subject.step, nested=layers.network is None),
    }
    return facts, turn


if __name__ == "__main__":
    main(partial(serve, turns=layered))
