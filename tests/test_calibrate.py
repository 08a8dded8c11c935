"""Calibrations: their file, the session that times points, the command, and the machines that are looked up by name."""

import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_cuda import Gpu
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from test_cli import run

from costmodel.errors import InvalidInput, MeasuringFailed
from costmodel.measure import calibrate as calibrating
from costmodel.measure import point_child
from costmodel.measure.calibrate import PROBE_SECONDS, ROUNDS, SAVE_SECONDS, Point, PointRefused, record, wanted
from costmodel.measure.clock import CudaClock
from costmodel.measure.host import cache_bytes
from costmodel.measure.point_child import SAMPLE_SECONDS
from costmodel.measure.points import composites
from costmodel.measure.probes import Times
from costmodel.measure.profile import settings_grid
from costmodel.price.latency import CalibratedMachine, Chain, Sample
from costmodel.price.machine import Machine
from costmodel.profiles.calibration import find_machine, look_up, machines
from costmodel.profiles.calls import from_json, to_json
from costmodel.profiles.files import available, load
from costmodel.profiles.records import Calibration, DataSheet, Host, Probes, Profile, Samples, Settings, TimedCall
from costmodel.work.call import Call, Tensor

(HOW,) = settings_grid(threads=1)
MAP = Tensor((1, 128, 64, 64))
WEIGHTS = (Tensor((128, 128, 3, 3), parameter=True), Tensor((128,), parameter=True))
CONV = Call("aten.convolution.default", (MAP, *WEIGHTS, (1, 1), (1, 1), (1, 1), False, (0, 0), 1), outputs=(MAP,))
RELU = Call("aten.relu.default", (Tensor((8,)),), outputs=(Tensor((8,)),))
POINTS: list[Point] = [(CONV, "hot"), (CONV, "cold"), (RELU, "hot"), (RELU, "cold"), "pair"]
ODD = Call(
    "aten.odd.default",
    (
        *(Tensor(()), Tensor((2, 3, 4, 5), "bfloat16", "channels_last", True)),
        *(Tensor((8, 4), "int64", "strided", False, (1, 8)), (Tensor((3,)), None, ())),
        *(float("-inf"), 1.0, 1, True, -0.0, 1e-5, 2**63 - 1, None, "none", "float32", 'a "text"'),
    ),
    (("dtype", "float16"), ("out", Tensor((2,)))),
)


# The file


def text(call: Call) -> str:
    return json.dumps(to_json(call), allow_nan=False)


@pytest.mark.parametrize("call", [CONV, RELU, ODD], ids=lambda call: call.name)
def test_a_call_comes_back_from_json_exactly(call: Call) -> None:
    back = from_json(json.loads(text(call)))
    assert back == call
    assert repr(back) == repr(call)  # 1, 1.0 and True are equal


sizes = st.lists(st.integers(0, 2**40), max_size=5).map(tuple)
tensors = st.builds(
    Tensor,
    sizes,
    st.sampled_from(["float32", "bool"]),
    st.sampled_from(["contiguous", "channels_last"]),
    st.booleans(),
) | sizes.map(lambda shape: Tensor(shape, "float32", "strided", False, shape[::-1]))
values = st.recursive(
    tensors | st.integers() | st.floats(allow_nan=False) | st.booleans() | st.none() | st.text(),
    lambda each: st.lists(each, max_size=3).map(tuple),
)
several = st.lists(values, max_size=4).map(tuple)
keywords = st.dictionaries(st.text(), values, max_size=2).map(lambda found: tuple(found.items()))


@given(st.builds(Call, st.text(), several, keywords, st.lists(tensors, max_size=2).map(tuple)))
def test_any_call_comes_back(call: Call) -> None:
    assert repr(from_json(json.loads(text(call)))) == repr(call)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("[1, 2, 3]", "a call is"),
        ('["aten.x.default", []]', "a call is"),
        ('["aten.x.default", [], [1]]', "a call is"),
        ('["aten.x.default", [], [], {}, 4]', "a call is"),
        ('["aten.x.default", [{"float32": 3}], []]', "a tensor is"),
        ('["aten.x.default", [{}], []]', "a tensor is"),
        ('["aten.x.default", [{"float32": [1.5]}], []]', "no tensor: 'float32' of"),
        ('["aten.x.default", [{"float32": [true]}], []]', "no tensor"),
        ('["aten.x.default", [{"float32": [-1]}], []]', "no tensor"),
        ('["aten.x.default", [{"float32 sparse": [1]}], []]', "no tensor: 'float32 sparse'"),
        ('["aten.x.default", [{"float32 strided": [[2, 3], [1]]}], []]', "no tensor"),
    ],
)
def test_what_is_no_call_is_refused(value: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_json(json.loads(value))


def calibration(how: Settings = HOW, points: int = 2) -> Calibration:
    """Samples of 1, 2 and 3 ms after turns 0, 1 and 2 of the probes."""
    samples = Samples(repeats=30, seconds=(0.001, 0.002, 0.003), after=(0, 1, 2))
    calls = [
        Call("aten.convolution.default", (Tensor((1, 3, n, 9)), *CONV.arguments[1:]), outputs=(MAP,))
        for n in range(points // 2)
    ]
    timed = [TimedCall(call=call, hot=samples, cold=samples) for call in calls]
    probes = Probes((0.01, 0.04, 0.01, 0.01), (0.001,) * 4, (0.02, 0.02, 0.03, 0.03))
    return Calibration(how=how, probes=probes, points=tuple(timed))


def profile(*hows: Settings, torch: str | None = "2.13.0+cpu") -> Profile:
    return Profile(host=Host(cpu="c", torch=torch), calibrations=tuple(map(calibration, hows or (HOW,))))


def test_a_calibration_is_a_point_a_line_and_comes_back() -> None:
    written = profile().text()
    assert Profile.model_validate_json(written, strict=True) == profile()
    assert Profile.model_validate_json(written, strict=True).text() == written
    (line,) = [line for line in written.splitlines() if "aten.convolution.default" in line]
    assert line.startswith('{"call":["aten.convolution.default",[{"float32":[1,3,0,9]},{"float32 parameter":')
    assert line.endswith('"cold":{"repeats":30,"seconds":[0.001,0.002,0.003],"after":[0,1,2]}}')


def test_two_thousand_points_are_short() -> None:
    """Of a thousand calls, each with its arguments 220 bytes, and of each state 80."""
    draw = random.Random(0)

    def drawn() -> Samples:
        seconds = tuple(float(f"{draw.uniform(1e-4, 9e-3):.5g}") for _ in range(ROUNDS))
        return Samples(repeats=draw.randrange(1, 999), seconds=seconds, after=tuple(draw.sample(range(400), ROUNDS)))

    found = calibration(points=2000)
    points = tuple(each.model_copy(update={"hot": drawn(), "cold": drawn()}) for each in found.points)
    assert len(found.model_copy(update={"points": points}).text()) < 400_000


@pytest.mark.parametrize("path", available().values(), ids=lambda path: path.stem)
def test_older_files_stay_as_they_are(path: Path) -> None:
    found = load(path)
    if not (found.calibrations or found.data_sheet):
        assert found.text() == path.read_text()
        assert "calibrations" not in found.text()


def test_a_profile_keeps_its_calibrations() -> None:
    other = HOW.model_copy(update={"memory_format": "channels_last"})
    both = profile(HOW, other)
    assert both.only(lambda how: False).calibrations == both.calibrations
    again = calibration(other, points=4)
    assert both.with_calibration(again).calibrations == (both.calibrations[0], again)
    assert profile(HOW).with_calibration(again).calibrations == (both.calibrations[0], again)
    assert repr(both) == "<Profile: c, 0 runs of 0 subjects, calibrated>"
    assert repr(again) == "<Calibration: cpu, float32, channels_last, 1 thread: 12 samples of 4 points>"


def test_probes_around_a_sample_are_geometric_means() -> None:
    assert calibration().around(0) == pytest.approx((0.02, 0.001, 0.02))  # 0.01 and 0.04
    assert calibration().moment.copy == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"after": (0, 1, 3)}, "needs a turn of the probes before and after it"),  # there are turns 0 to 3
        ({"after": (0, 1)}, "needs a turn of the probes before and after it"),
        ({"seconds": ()}, "at least 1 item"),
        ({"seconds": (0.001, -1.0, 0.1)}, "greater than 0"),
        ({"repeats": 0}, "greater than 0"),
    ],
)
def test_samples_that_cannot_be_are_refused(change: Mapping[str, Any], message: str) -> None:
    fields = json.loads(calibration().text())
    fields["points"][0]["cold"] |= change
    with pytest.raises(ValidationError, match=message):
        Calibration.model_validate(fields)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (lambda point: [point, point], r"aten.convolution.default of \[1, 3, 0, 9\], .* appears twice"),
        (lambda point: [{"call": point["call"]}], "has no samples"),
        (lambda point: [point | {"call": "aten.relu.default"}], "a call is"),
        (lambda point: [point | {"warm": point["hot"]}], "Extra inputs are not permitted"),
    ],
)
def test_points_that_cannot_be_are_refused(points: Callable[[Any], Any], message: str) -> None:
    fields = json.loads(calibration().text())
    fields["points"] = points(fields["points"][0])
    with pytest.raises(ValidationError, match=message):
        Calibration.model_validate(fields)


def test_calibrations_that_cannot_be_are_refused() -> None:
    compiled = HOW.model_copy(update={"implementation": "compiled"})
    with pytest.raises(ValidationError, match="a calibration is of eager code"):
        calibration(compiled)
    with pytest.raises(ValidationError, match="cpu, float32, contiguous, 1 thread appears twice"):
        profile(HOW, HOW)
    with pytest.raises(ValidationError, match="was timed on a GPU, but the host has none"):
        profile(*settings_grid("cuda"))
    with pytest.raises(ValidationError, match="the probes need as many times of each"):
        Calibration(how=HOW, probes=Probes((0.1,), (0.1,), ()))
    sheet = DataSheet(device="cpu", dense={"float32": 1e12}, bandwidth=1e10)
    with pytest.raises(ValidationError, match="a data sheet has no measurements beside it"):
        Profile(host=Host(cpu="c"), calibrations=(calibration(),), data_sheet=sheet)


# The session


@dataclass
class World:
    """Time, and what the processes were asked. ``fail``: raise at the n-th request of all; ``refuse``: points that
    torch refuses."""

    now: float = 0.0
    sample: float = 0.04
    fail: dict[int, BaseException] = field(default_factory=dict)
    refuse: tuple[Point, ...] = ()
    log: list[Any] = field(default_factory=list)
    repeats: list[int | None] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    ticks: list[float] = field(default_factory=list)
    saved: list[Profile] = field(default_factory=list)
    alive: int = 0

    def request(self, what: Any, seconds: float) -> None:
        self.log.append(what)
        if error := self.fail.get(len(self.log)):
            raise error
        self.now += seconds

    def record(self, path: Path | None = None, **settings: Any) -> Profile:
        fakes: dict[str, Any] = {
            "points": POINTS,
            "start": lambda how: FakeWorker(self, how),
            "now": lambda: self.now,
            "tell": self.told.append,
            "tick": lambda done, what: self.ticks.append(done),
            "latest": self.saved.append,
        }
        return record(HOW, path, **fakes | settings)

    @property
    def points(self) -> list[Point]:
        """The points that were timed, in order."""
        return [each for each in self.log if each != "probe"]


class FakeWorker:
    def __init__(self, world: World, how: Settings) -> None:
        assert how == HOW
        self.world, self.state = world, "new"
        self.settled: dict[Point, int] = {}
        world.alive += 1

    def started(self, seconds: float | None) -> None:
        assert (self.state, seconds) == ("new", None)
        self.state = "there"

    def ready(self, seconds: float | None) -> None:
        assert (self.state, seconds) == ("there", None)
        self.state = "warm"

    def probe(self) -> Times:
        assert self.state == "warm"
        self.world.request("probe", 0.03)
        return 0.01, 0.0001, 0.02

    def time(self, point: Point, repeats: int | None) -> tuple[int, float, tuple[Call, ...]]:
        assert self.state == "warm"
        assert repeats is None or repeats == self.settled.setdefault(point, repeats)
        self.world.request(point, self.world.sample)
        self.world.repeats.append(repeats)
        if point in self.world.refuse:
            raise PointRefused("RuntimeError: not implemented for 'Half'")
        self.settled[point] = 10
        return 10, self.world.sample / 10, (CONV, RELU) if isinstance(point, str) and repeats is None else ()

    def kill(self) -> None:
        assert self.state != "dead"
        self.state = "dead"
        self.world.alive -= 1


def timed(found: Profile) -> dict[Point, Samples]:
    """The samples of a profile's first calibration by point."""
    (first, *_) = found.calibrations
    calls = {(each.call, state): samples for each in first.points for state, samples in each.states.items()}
    return calls | {each.name: each.samples for each in first.composites}


def rounds(found: Profile) -> list[int]:
    return [len(each.seconds) for each in timed(found).values()]


def test_every_pass_times_each_point_once_in_an_order_of_its_own() -> None:
    world = World()
    found = world.record()
    size = len(POINTS)
    passes = [world.points[n : n + size] for n in range(0, ROUNDS * size, size)]
    assert [Counter(each) for each in passes] == [Counter(POINTS)] * ROUNDS
    assert len({tuple(each) for each in passes}) > 1
    assert rounds(found) == [ROUNDS] * size
    assert world.repeats == [None] * size + [10] * (ROUNDS - 1) * size  # settled in the first pass
    (pair,) = found.calibrations[0].composites
    assert (pair.name, pair.calls, pair.samples.repeats) == ("pair", (CONV, RELU), 10)
    assert pair.samples.seconds == (0.004,) * ROUNDS  # 0.04 s of 10 calls
    assert world.ticks == sorted(world.ticks)
    assert (world.ticks[0], world.alive, world.told) == (0, 0, [])
    assert 0.9 < world.ticks[-1] < 1


def test_probes_take_a_turn_about_every_half_second_and_end_each_pass() -> None:
    world = World()
    many: list[Point] = [(Call("aten.relu.default", (Tensor((n,)),)), "hot") for n in range(100)]
    found = world.record(points=many)
    turns = [n for n, each in enumerate(world.log) if each == "probe"]
    # A sample takes 0.04 s: 13 samples are more than half a second. 100 are 7 times 13, and 9.
    assert [b - a - 1 for a, b in pairwise(turns)] == [*[13] * 7, 9] * ROUNDS
    assert PROBE_SECONDS == 0.5
    assert len(found.calibrations[0].probes.copy) == len(turns) == 1 + 8 * ROUNDS
    # Each sample says after which turn it was timed.
    assert {point for point, samples in timed(found).items() if samples.after[0] == 0} == set(world.log[1:14])


def test_it_is_saved_after_every_pass_and_about_every_20_s(tmp_path: Path) -> None:
    world = World(sample=1.0)
    many: list[Point] = [(Call("aten.relu.default", (Tensor((n,)),)), "hot") for n in range(50)]
    path = tmp_path / "mine.json"
    sizes: list[int] = []
    found = world.record(path, points=many, latest=lambda profile: sizes.append(sum(rounds(load(path)))))
    # With its turn of the probes a sample takes 1.03 s: after 20 of them, 20.6 s.
    assert SAVE_SECONDS == 20
    assert sizes == [20, 40, 50, 70, 90, 100, 120, 140, 150, 170, 190, 200]  # a pass has 50
    assert load(path) == found


def test_an_interrupt_keeps_what_lies_between_turns_of_the_probes(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    world = World(fail={12: KeyboardInterrupt()})  # probe, 5 points, probe, 4 points, and then this
    with pytest.raises(KeyboardInterrupt):
        world.record(path)
    assert (rounds(load(path)), world.alive) == ([1] * 5, 0)

    again = World()
    found = again.record(path, resume=True)
    assert rounds(found) == [ROUNDS] * 5
    assert [Counter(again.points[n : n + 5]) for n in (0, 5, 10)] == [Counter(POINTS)] * 3  # three more rounds
    assert again.repeats == [10] * 15
    assert found.calibrations[0].composites[0].calls == (CONV, RELU)
    assert {each.after for each in timed(found).values()} == {(0, 2, 3, 4)}  # turns 0 and 1 are of before
    assert again.ticks[0] == pytest.approx(5 / 20)
    idle = World()
    assert idle.record(path, resume=True).calibrations == found.calibrations
    assert idle.log == []  # nothing lacks


def test_an_interrupt_before_the_first_sample_saves_nothing(tmp_path: Path) -> None:
    world = World(fail={3: KeyboardInterrupt()})
    with pytest.raises(KeyboardInterrupt):
        world.record(tmp_path / "mine.json")
    assert (world.saved, world.alive, [*tmp_path.iterdir()]) == ([], 0, [])


def test_resuming_times_points_that_are_new_and_keeps_those_that_are_gone(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    World().record(path, points=POINTS[:3], rounds=1)
    world = World()
    found = world.record(path, points=POINTS[2:], rounds=1, resume=True)
    assert Counter(world.points) == Counter(POINTS[3:])
    assert rounds(found) == [1] * 5


def test_replacing_keeps_the_old_calibration_until_every_point_was_timed(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    old = World().record(path, rounds=1)
    with pytest.raises(InvalidInput, match=r"already has a calibration of cpu, float32, contiguous, 1 thread: resume"):
        World().record(path)
    with pytest.raises(KeyboardInterrupt):
        World(fail={6: KeyboardInterrupt()}).record(path, replace=True)
    assert load(path).calibrations == old.calibrations
    with pytest.raises(KeyboardInterrupt):
        World(sample=0.08, fail={9: KeyboardInterrupt()}).record(path, replace=True)  # after probe, 5 points, probe
    assert {each.seconds for each in timed(load(path)).values()} == {(0.008,)}


def test_what_torch_refuses_is_told_and_left_out() -> None:
    world = World(refuse=((CONV, "cold"),))
    found = world.record()
    assert rounds(found) == [ROUNDS] * 4
    assert world.told == ["left out: aten.convolution.default: RuntimeError: not implemented for 'Half'"]
    assert Counter(world.points)[CONV, "cold"] == 1
    world = World(refuse=tuple(POINTS))
    with pytest.raises(MeasuringFailed, match="torch refused every point"):
        world.record()
    assert len(world.told) == 3  # the same sentence once: a name has two states


def test_a_process_that_dies_loses_half_a_second(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    world = World(fail={10: MeasuringFailed("calibration: the process was killed by signal 9")})
    with pytest.raises(MeasuringFailed, match="killed by signal 9"):
        world.record(path)
    assert (rounds(load(path)), world.alive) == ([1] * 5, 0)


def test_the_points_of_costmodel_are_each_hot_and_cold_and_composites() -> None:
    found = wanted(HOW)
    assert len(set(found)) == len(found)
    states = Counter(point[1] for point in found if not isinstance(point, str))
    assert states["hot"] == states["cold"] >= 10
    assert [point for point in found if isinstance(point, str)] == [each.name for each in composites(HOW)]


def test_more_threads_than_cores_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("costmodel.measure.jobs.cores", lambda: [0, 1])
    with pytest.raises(InvalidInput, match="threads is 3, but this process may use 2 cores"):
        record(*settings_grid(threads=3))


# The process


@pytest.mark.parametrize(
    ("call", "repeats"),
    [(SAMPLE_SECONDS / 30, 30), (SAMPLE_SECONDS / 3, 3), (0.1, 1), (1e-8, 10_000)],
)
def test_a_sample_has_the_calls_that_take_its_time(call: float, repeats: int) -> None:
    called = 0

    def step() -> None:
        nonlocal called
        called += 1

    def clock(step: Callable[[], object], calls: int) -> float:
        for _ in range(min(calls, 20_000)):
            step()
        return call

    found, seconds = point_child.sample(clock, step, None)
    assert (found, seconds) == (repeats, call)
    called = 0
    assert point_child.sample(clock, step, 7) == (7, call)
    assert called == 8  # the first one is not timed


class Pipe:
    """The end of a pipe that the process has: gives requests, keeps answers, and is closed at the end."""

    def __init__(self, *requests: Any) -> None:
        self.requests, self.answers = list(requests), list[Any]()

    def recv(self) -> Any:
        if not self.requests:
            raise EOFError
        return self.requests.pop(0)

    def send(self, answer: Any) -> None:
        self.answers.append(answer)


def test_the_process_answers_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU of our own: probes multiply float32 exactly, points as the settings say."""
    gpu = Gpu()
    gpu.install(monkeypatch)
    log: list[Any] = []

    class Probing:
        def __init__(self, device: str, clock: Any) -> None:
            assert device == "cuda"

        def turn(self) -> Times:
            log.append("probe")
            return 0.01, 0.0001, 0.02

    def made(call: Call, *place: Any) -> Callable[[], object]:
        log.append(call.name)
        if call == ODD:
            raise NotImplementedError("no kernel\nand more")
        return lambda: gpu.kernel(0.002)

    monkeypatch.setattr(point_child, "multiply_float32", lambda *, tf32: log.append(tf32))
    monkeypatch.setattr(point_child, "Prober", Probing)
    monkeypatch.setattr(point_child.replay, "hot", made)
    monkeypatch.setattr(point_child.replay, "cold", made)
    monkeypatch.setattr(point_child, "CudaClock", partial(CudaClock, now=gpu.clock))
    (how,) = settings_grid("cuda", tf32=True)
    pipe = Pipe((None, how, (0,), False), "probe", ((CONV, "hot"), None), ((CONV, "cold"), 4), ((ODD, "hot"), None))
    with pytest.raises(EOFError):
        point_child.serve(pipe)  # type: ignore[arg-type]  # what it uses of a pipe
    here, facts, probe, hot, cold, refused = pipe.answers
    assert (here, facts, probe) == ("here", {"affinity": (0,)}, (0.01, 0.0001, 0.02))
    assert hot[0] > 1
    assert hot[1] == pytest.approx(0.002, rel=0.6)  # with a launch of 1 ms
    assert cold[0] == 4
    assert refused == "NotImplementedError: no kernel"
    assert log == [False, "probe", True, CONV.name, True, CONV.name, True, ODD.name]


def test_a_real_process_times_calls_and_composites(tmp_path: Path) -> None:
    """A ReLU of 4 MB in the cache, one of 8 numbers, a composite; a name that torch does not have is left out."""
    big = Tensor((1 << 20,))
    relu = Call("aten.relu.default", (big,), outputs=(big,))
    unknown = Call("aten.frobnicate.default", (big,))
    name = composites(HOW)[0].name
    points: list[Point] = [(relu, "hot"), (relu, "cold"), (RELU, "hot"), (unknown, "hot"), name]
    told: list[str] = []
    found = record(HOW, tmp_path / "mine.json", points=points, rounds=2, tell=told.append)
    assert rounds(load(tmp_path / "mine.json")) == [2] * 4
    assert list(timed(found)) == [(relu, "hot"), (relu, "cold"), (RELU, "hot"), name]
    assert 0 < min(timed(found)[RELU, "hot"].seconds) < min(timed(found)[relu, "hot"].seconds) < 0.1
    assert len(found.calibrations[0].probes.copy) >= 3  # before, and after each pass
    assert len(found.calibrations[0].composites[0].calls) >= 2
    assert len(told) == 1
    assert "aten.frobnicate" in told[0]


def test_the_largest_cache_of_the_system(tmp_path: Path) -> None:
    for number, size in enumerate(["64K", "1024K", "32M", "what"]):
        (tmp_path / f"index{number}").mkdir()
        (tmp_path / f"index{number}" / "size").write_text(f"{size}\n")
    assert cache_bytes("cpu", tmp_path) == 32 * 1024 * 1024
    assert cache_bytes("cpu", tmp_path / "nowhere") == 32 * 1024 * 1024  # a guess


# The command


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    """A fake world for the command, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    found = World()
    fakes = {"points": POINTS, "start": lambda how: FakeWorker(found, how), "now": lambda: found.now}
    monkeypatch.setattr(calibrating, "record", partial(record, **fakes))
    return found


ONE = ["calibrate", "--threads", "1", "--out", "mine"]


def test_the_command_records_and_shows(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *ONE)
    assert (code, err) == (0, "")
    assert out.startswith("Calibration of ")
    assert "(profile mine): cpu, float32, contiguous, 1" in out
    assert "aten.convolution.default  cold        1        4       0.0" in out
    assert "Probes: 5 turns" in out
    assert run(capsys, "profiles", "mine")[1] == out
    assert run(capsys, "profiles", "mine", "--calibrations")[1] == out
    shown = json.loads(run(capsys, "profiles", "mine", "--format", "json")[1])
    (one,) = shown["calibrations"]
    assert one["how"] == HOW.model_dump(exclude_none=True)
    assert one["rows"][-1] == {"operator": "composites", "state": None, "points": 1, "samples": 4, "spread": 0.0}
    assert one["at"]["bandwidth"] == round(2 * 2**27 / 0.01)
    assert run(capsys, "profiles", "mine", "--format", "csv")[1].startswith("settings,operator,state,points")
    listed = json.loads(run(capsys, "profiles", "--format", "json")[1])
    assert listed[0]["calibrations"] == ["cpu, float32, contiguous, 1 thread"]
    assert "mine: calibrated for cpu, float32, contiguous, 1 thread" in run(capsys, "profiles")[1]


def test_the_command_goes_on_and_ends_as_profile_does(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.fail = {9: KeyboardInterrupt()}
    code, out, err = run(capsys, *ONE)
    assert (code, err) == (130, "costmodel: interrupted; profiles/mine.json keeps what was timed\n")
    assert "aten.relu.default" in out
    code, out, err = run(capsys, *ONE)
    assert (code, out) == (2, "")
    assert "profiles/mine.json already has a calibration of cpu, float32, contiguous, 1 thread: --resume" in err
    world.fail = {}
    assert run(capsys, *ONE, "--resume", "--format", "json")[0] == 0
    assert rounds(load(Path("profiles/mine.json"))) == [ROUNDS] * 5
    world.fail = {len(world.log) + 2: MeasuringFailed("calibration: it died")}
    code, out, err = run(capsys, *ONE, "--replace")
    assert (code, out, err) == (1, "", "costmodel: calibration: it died\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("calibrate", "calibrate needs --out NAME"),
        ("calibrate --out mine --resume --replace", "--resume or --replace, not both"),
        ("calibrate --dtype int8 --out mine", "--dtype 'int8': one of float32"),
        ("calibrate --threads 0 --out mine", "--threads '0': expected a whole number from 1"),
        ("calibrate --tf32 --out mine", "tf32, cuda_graph and flush need device cuda"),
        ("calibrate --device cuda --threads 1 --out mine", "threads needs device cpu"),
        ("profiles --calibrations", "--calibrations needs the name of a profile"),
        ("profiles paper --calibrations", "paper: no calibrations to show"),
        ("profiles paper --calibrations --noise", "--noise or --calibrations, not both"),
        ("profiles paper --calibrations --at 3", "leave out --calibrations"),
    ],
)
def test_the_command_refuses(arguments: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *arguments.split())
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


# Machines by name


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Any, ...]]:
    """What a machine was fitted to, in a folder with the profiles ``mine`` and ``plain``."""
    monkeypatch.chdir(tmp_path)
    found: list[tuple[Any, ...]] = []

    def fit(name: str, conditions: str, samples: list[Sample], chains: list[Chain], cache: int) -> CalibratedMachine:
        assert cache > 0
        found.append((name, conditions, samples, chains))
        return object.__new__(CalibratedMachine)

    monkeypatch.setattr(CalibratedMachine, "fit", fit)
    last = HOW.model_copy(update={"memory_format": "channels_last"})
    two = last.model_copy(update={"threads": 2})
    profile(last, HOW, two).save(Path("profiles/mine.json"))
    Profile(host=Host(cpu="c")).save(Path("profiles/plain.json"))
    return found


@pytest.mark.parametrize(
    ("given", "title"),
    [
        ({}, "cpu, float32, contiguous, 1 thread"),
        ({"threads": 1}, "cpu, float32, contiguous, 1 thread"),
        ({"memory_format": "channels_last"}, "cpu, float32, channels_last, 2 threads"),
        ({"memory_format": "channels_last", "threads": 1}, "cpu, float32, channels_last, 1 thread"),
        ({"threads": 2}, "cpu, float32, channels_last, 2 threads"),
    ],
)
def test_a_machine_is_fitted_to_the_calibration_of_the_settings(
    given: dict[str, Any], title: str, fitted: list[tuple[Any, ...]]
) -> None:
    machine, how = look_up("mine", given, torch="2.13.1")
    assert isinstance(machine, CalibratedMachine)
    (name, conditions, samples, chains) = fitted[0]
    assert (name, conditions, chains) == ("mine", f"{title}, torch 2.13.0+cpu", [])
    assert [each.cold for each in samples] == [False, True]
    assert samples[0].seconds == (0.001, 0.002, 0.003)
    # Around turns 0 and 1, 1 and 2, 2 and 3: copies of 0.01 0.04 0.01 0.01, products of 0.02 0.02 0.03 0.03 seconds.
    assert samples[0].probes[0] == pytest.approx((0.02, 0.001, 0.02))
    assert samples[0].probes[2] == pytest.approx((0.01, 0.001, 0.03))
    find_machine("mine", how, torch="2.13.0")
    assert fitted[1] == fitted[0]


@pytest.mark.parametrize(
    ("name", "given", "torch", "message"),
    [
        ("nine", {}, "2.13", r"no machine 'nine': machines are mine.*did you mean 'mine'"),
        ("plain", {}, "2.13", r"plain is not calibrated; .*: costmodel calibrate --out plain; machines are mine"),
        ("paper", {"dtype": "float64"}, "2.13", "costmodel calibrate --dtype float64 --out NAME; machines are mine"),
        (
            *("mine", {"dtype": "bfloat16", "threads": 3}, "2.13"),
            r"mine is calibrated for cpu, float32, channels_last, 1 thread; cpu, float32, contiguous, 1 thread; .*; "
            r"to record another: costmodel calibrate --dtype bfloat16 --threads 3 --out mine$",
        ),
        ("mine", {"device": "cuda"}, "2.13", "costmodel calibrate --device cuda --out mine"),
        (
            *("mine", {"memory_format": "channels_last"}, "2.9.1"),
            r"with torch 2.13.0\+cpu, and torch 2.9.1 is installed; to record it: "
            r"costmodel calibrate --memory-format channels_last --threads 2 --out mine-torch-2.9",
        ),
        ("profiles/none.json", {}, "2.13", "there is no such file"),
    ],
)
@pytest.mark.usefixtures("fitted")
def test_machines_that_there_are_not(name: str, given: dict[str, Any], torch: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        look_up(name, given, torch)


@pytest.mark.usefixtures("fitted")
def test_machines_of_damaged_files_and_compiled_code() -> None:
    path = Path("profiles/mine.json")
    path.write_text(path.read_text()[:-300])
    with pytest.raises(InvalidInput, match=r"mine.json: damaged or cut short"):
        look_up("mine")
    assert "mine" not in machines()
    with pytest.raises(InvalidInput, match="a calibration is of eager code"):
        find_machine("mine", HOW.model_copy(update={"implementation": "compiled"}))


def test_the_installed_torch_is_asked(fitted: list[tuple[Any, ...]]) -> None:
    profile(torch=torch.__version__).save(Path("profiles/here.json"))
    assert isinstance(look_up("here")[0], CalibratedMachine)
    profile(torch="1.0.0").save(Path("profiles/old.json"))
    with pytest.raises(InvalidInput, match=r"was calibrated with torch 1\.0\.0"):
        look_up("old")


# Data sheets


@pytest.mark.parametrize(
    ("given", "peak"),
    [({}, 66.9e12), ({"tf32": True}, 494.7e12), ({"dtype": "bfloat16"}, 989.4e12), ({"device": "cuda"}, 66.9e12)],
)
def test_a_data_sheet_gives_a_roofline_of_its_dense_peaks(given: dict[str, Any], peak: float) -> None:
    machine, how = look_up("nvidia-h100-sxm", given)
    assert machine == Machine(peak, 3.35e12)
    assert how.device == "cuda"


def test_data_sheets_are_listed_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    listed = {each["name"]: each for each in json.loads(run(capsys, "profiles", "--format", "json")[1])}
    sheets = {name for name, each in listed.items() if each["data_sheet"]}
    assert sheets == {"nvidia-h100-sxm", "nvidia-a100-sxm"} <= set(machines())
    assert all("http" in listed[name]["source"] for name in sheets)
    code, out, _ = run(capsys, "profiles", "nvidia-a100-sxm")
    assert (code, "312" in out, "624" in out, "dense" in out, "Source: https://" in out) == (0, True, True, True, True)
    assert "nvidia-a100-sxm: data sheet: https://" in run(capsys, "profiles")[1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"device": "cpu"}, "nvidia-h100-sxm is the data sheet of a device cuda, not cpu"),
        ({"dtype": "float16"}, "its data sheet has peaks for float32, none for float16"),
    ],
)
def test_data_sheets_of_other_settings(given: dict[str, Any], message: str, tmp_path: Path) -> None:
    if "dtype" in given:
        sheet = DataSheet(device="cpu", dense={"float32": 1e12}, bandwidth=1e10)
        Profile(host=Host(cpu="c"), data_sheet=sheet).save(tmp_path / "sheet.json")
        assert look_up(str(tmp_path / "sheet.json"), {"threads": 2})[0] == Machine(1e12, 1e10)
    name = str(tmp_path / "sheet.json") if "dtype" in given else "nvidia-h100-sxm"
    with pytest.raises(InvalidInput, match=message):
        look_up(name, given)
