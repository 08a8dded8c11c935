"""Probes beside every subject, and the orders of subjects: with processes and a GPU of our own, and once with real
processes on tiny subjects."""

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from fake_cuda import Gpu
from pydantic import ValidationError
from test_cli import run
from test_profile_command import TINY, QuickWorker, quick_runner
from test_runner import JOBS, KERNELS, LARGE, World, always, name

from costmodel.measure import probes, profile
from costmodel.measure.clock import CudaClock, WallClock
from costmodel.measure.jobs import JobFailed, groups
from costmodel.measure.probes import Prober, Times
from costmodel.measure.profile import choose, record, settings_grid
from costmodel.measure.runner import balanced
from costmodel.measure.worker import OutOfTime, ProbeChild, ProbeFailed
from costmodel.profiles.records import Host, Probes, Process, Profile, Run, Settings


@dataclass
class Probing:
    """Probes of a fake world, whose memory gets slower with every turn. ``fail``: raise at the n-th action of all."""

    world: World
    fail: dict[int, BaseException] = field(default_factory=dict)
    start: float = 0.5
    actions: int = 0
    messages: list[str] = field(default_factory=list)

    def act(self, what: str, seconds: float) -> None:
        self.actions += 1
        if error := self.fail.get(self.actions):
            raise error
        self.world.now += seconds
        self.world.log.append(what)

    def run(self, work: Any = JOBS, **settings: Any) -> None:
        runner = self.world.runner(probe=lambda how: FakeProbe(self, how), tell=self.messages.append, **settings)
        runner.run([(group, 0) for group in groups(work, LARGE)])


class FakeProbe:
    def __init__(self, probing: Probing, how: Settings) -> None:
        assert how == JOBS[0].how
        self.probing, self.state = probing, "new"
        probing.act("probe starts", 0)
        probing.world.alive += 1

    def started(self, seconds: float | None) -> None:
        assert self.state == "new"
        self.probing.act("probe is there", 0)
        self.state = "there"

    def ready(self, seconds: float | None) -> None:
        assert self.state == "there"
        if seconds is not None and seconds < self.probing.start:
            self.probing.world.now += seconds
            raise OutOfTime
        self.probing.act("probe is warm", self.probing.start)
        self.state = "warm"

    def turn(self) -> Times:
        assert self.state == "warm"
        self.probing.act("probe", 0.03)
        return 0.01 * self.probing.actions, 0.0001, 0.02

    def kill(self) -> None:
        assert self.state != "dead"  # killed once
        self.state = "dead"
        self.probing.world.alive -= 1


def test_probes_take_a_turn_before_every_subject() -> None:
    probing = Probing(World())
    probing.run(processes=1, rounds=2)
    turns = ["probe", "standard3", "probe", "depth3"] * 2
    assert probing.world.log == [
        "prepare standard3, depth3",
        *["probe starts", "probe is there", "verify standard3", "verify depth3", "probe is warm", *turns],
    ]
    (block,) = probing.world.kept
    # Three actions come before: the turns of the probe are actions 4 to 7.
    assert block["standard3"].probes == Probes((0.04, 0.06), (0.0001,) * 2, (0.02,) * 2)
    assert block["depth3"].probes == Probes((0.05, 0.07), (0.0001,) * 2, (0.02,) * 2)
    assert block["depth3"].positions == (1, 1)
    assert (probing.world.alive, probing.messages) == (0, [])


@pytest.mark.parametrize("action", [1, 2, 3, 4, 5])
def test_a_block_goes_on_without_probes_that_cannot_be_started(action: int) -> None:
    """At their start, or until each subject had one turn of theirs. The next block tries again."""
    error = OSError(12, "Cannot allocate memory") if action == 1 else ProbeFailed("it died")
    probing = Probing(World(), {action: error})
    probing.run(processes=2, rounds=3)
    first, second = probing.world.kept
    assert [process.probes for process in first.values()] == [None, None]
    assert {len(process.seconds) for process in (first | second).values()} == {3}
    assert all(process.probes is not None for process in second.values())
    reason = "Cannot allocate memory" if action == 1 else "it died"
    assert (probing.messages, probing.world.alive) == ([f"timed without probes: {reason}"], 0)


@pytest.mark.parametrize(("action", "rounds"), [(6, 1), (7, 1), (8, 2)])
def test_probes_that_die_later_end_a_block_and_nothing_is_lost(action: int, rounds: int) -> None:
    """Three actions, then two a round."""
    probing = Probing(World(), {action: ProbeFailed("it died")})
    probing.run(processes=2, rounds=4)
    first, second = probing.world.kept
    for job in ("standard3", "depth3"):
        assert len(first[job].seconds) == len(first[job].probes.copy) == rounds  # type: ignore[union-attr]
        assert first[job].minor_faults == 7
        assert len(second[job].seconds) == len(second[job].probes.copy) == 4  # type: ignore[union-attr]
    (message,) = probing.messages
    assert message == f"a block has {rounds} round{'s' if rounds > 1 else ''}, and then its probes failed: it died"
    assert probing.world.alive == 0


def test_each_message_about_probes_is_told_once() -> None:
    probing = Probing(World(), dict.fromkeys(range(1, 99), ProbeFailed("it died")))
    with pytest.raises(ProbeFailed):  # a constructor that fails so is a defect
        probing.run()
    probing = Probing(World(), dict.fromkeys(range(1, 99), OSError(11, "no more processes")))
    probing.run(processes=4, rounds=1)
    assert (len(probing.world.kept), probing.messages) == (4, ["timed without probes: no more processes"])


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), JobFailed(JOBS[1], "it died")])
def test_what_interrupts_keeps_whole_rounds_with_their_probes(interrupt: BaseException) -> None:
    probing = Probing(World(fail={6: interrupt}))  # standard, depth; standard, depth; standard and then this
    if isinstance(interrupt, JobFailed):
        probing.run(processes=1, rounds=9)
    else:
        with pytest.raises(KeyboardInterrupt):
            probing.run(processes=1, rounds=9)
    block = probing.world.kept[0]
    assert [(len(p.seconds), len(p.probes.copy), len(p.positions)) for p in block.values()] == [(2, 2, 2)] * 2  # type: ignore[union-attr]
    assert probing.world.alive == 0


@pytest.mark.parametrize("budget", [30.0, 100.0, 300.0])
def test_a_budget_holds_with_probes(budget: float) -> None:
    probing = Probing(World())
    probing.run(KERNELS, budget=budget, need=always)
    assert 0.9 * budget <= probing.world.now <= budget
    assert probing.world.alive == 0


def test_a_budget_that_ends_while_probes_warm_up_ends_in_time() -> None:
    probing = Probing(World())
    probing.run(budget=3.2)  # 1 s for the references, 2 s of warming; the probes need 0.5 s
    assert (probing.world.now, probing.world.kept, probing.world.alive) == (3.2, [], 0)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 8])
def test_orders_are_balanced(number: int) -> None:
    """In 2 n rounds each subject is twice at each position, and twice before each other subject."""
    orders = list(itertools.islice(balanced(number, "seed"), 2 * number))
    every = range(number)
    assert Counter(pair for order in orders for pair in enumerate(order)) == dict.fromkeys(
        itertools.product(every, every), 2
    )
    following = Counter(pair for order in orders for pair in itertools.pairwise(order))
    assert following == dict.fromkeys(itertools.permutations(every, 2), 2)
    # Of n rounds each has another subject first, so few rounds are as balanced as they can be.
    assert len({order[0] for order in orders[:number]}) == number


def test_orders_are_those_of_their_seed() -> None:
    def first(seed: str) -> list[Any]:
        return list(itertools.islice(balanced(4, seed), 5))

    assert first("a") == first("a")
    assert len({str(first(seed)) for seed in "abcdefgh"}) > 4
    firsts = Counter(next(balanced(4, str(seed)))[0] for seed in range(400))
    assert all(70 <= times <= 130 for times in firsts.values())  # 100 +- 3.5 standard deviations


def test_positions_are_recorded_in_the_order_of_turns() -> None:
    world = World()
    world.runner(processes=3, rounds=2, order=balanced).run([(JOBS, 0)])
    turns = [entry for entry in world.log if " " not in entry]
    told = []
    for block in world.kept:
        for number in range(2):
            told += sorted(block, key=lambda job, block=block, number=number: block[job].positions[number])  # type: ignore[misc]
    assert told == turns
    # Reproduced from what the file has.
    for block in world.kept:
        order = balanced(2, block["depth3"].started.isoformat())  # type: ignore[union-attr]
        assert [list(block)[next(order)[0]] for _ in range(2)] == [
            next(job for job in block if block[job].positions[number] == 0) for number in range(2)
        ]
    assert [name(job) for job in JOBS] == list(world.kept[0])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"positions": (0,)}, "2 seconds, but 1 positions"),
        ({"probes": Probes((1.0, 1.0), (1.0, 1.0), (1.0,))}, "2 seconds, but 1 probes of product"),
        ({"probes": Probes((), (1.0, 1.0), (1.0, 1.0))}, "2 seconds, but 0 probes of copy"),
    ],
)
def test_every_round_has_its_probes_and_position(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Process(seconds=(1.0, 2.0), **fields)


def test_files_have_probes_where_there_are_some() -> None:
    job = JOBS[0]
    plain = Process(seconds=(1.0, 2.0))
    full = Process(seconds=(1.0, 2.0), positions=(0, 1), probes=Probes((1.0, 2.0), (3.0, 4.0), (5.0, 6.0)))
    timed = Run(subject=job.subject, how=job.how, clock="wall", processes=(plain, full))
    text = timed.model_dump_json(exclude_defaults=True)
    assert '{"seconds":[1.0,2.0]},' in text
    assert '"positions":[0,1],"probes":{"copy":[1.0,2.0],"cached":[3.0,4.0],"product":[5.0,6.0]}' in text
    assert Run.model_validate_json(text, strict=True) == timed
    frame = Profile(host=Host(cpu="A CPU"), runs=(timed,)).frame()
    beside = frame[["position", "copy", "cached", "product"]]
    assert beside[2:].values.tolist() == [[0, 1, 3, 5], [1, 2, 4, 6]]
    assert beside[:2].isna().all(axis=None)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for size, value in (("LARGE", 1 << 16), ("CACHED", 1 << 12), ("SIDE", 8)):
        monkeypatch.setattr(probes, size, value)


def test_a_turn_takes_about_ten_milliseconds_for_each_probe(small: None) -> None:
    """By a clock that says 4 ms for the large copy, 30 us for the cached one, 25 ms for the product."""
    seconds: dict[Any, float] = {}
    timed: list[tuple[float, int]] = []

    def clock(step: Callable[[], object], calls: int) -> float:
        step()
        if step not in seconds:
            seconds[step] = (0.004, 0.00003, 0.025)[len(seconds)]
        once = seconds[step]
        timed.append((once, calls))
        return once

    prober = Prober("cpu", clock)
    timed.clear()
    assert prober.turn() == (0.004, 0.00003, 0.025)
    assert timed == [(0.004, 2), (0.00003, 100), (0.025, 1)]  # 10 / 4 = 2.5, rounded to even; at most 100; at least 1


def test_probes_on_a_gpu_are_timed_by_events(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    rand, gpu = torch.rand, Gpu(launch=0.001)

    def on_gpu(*shape: int, dtype: torch.dtype, device: str) -> torch.Tensor:
        made.append((shape, dtype, device))
        return rand(*shape, dtype=dtype)

    monkeypatch.setattr(torch, "rand", on_gpu)
    matmul = torch.backends.cuda.matmul
    matmul.allow_tf32 = True

    class Launching(CudaClock):
        """Every call also is a kernel of the fake GPU."""

        def __call__(self, step: Callable[[], object], calls: int) -> float:
            return super().__call__(lambda: (step(), gpu.kernel(0.002)), calls)

    prober = Prober("cuda", Launching(gpu.cuda, None, gpu.clock))
    large, cached, product = ((1 << 16) // 4,), ((1 << 12) // 4,), (8, 8)
    assert made == [(shape, torch.float32, "cuda") for shape in (large, large, cached, cached, *[product] * 3)]
    assert prober.turn() == pytest.approx((0.003, 0.003, 0.003))  # 1 ms of launching and 2 ms of work
    assert matmul.allow_tf32 is False


def test_probes_do_what_they_say(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[torch.Tensor] = []
    rand = torch.rand
    monkeypatch.setattr(torch, "rand", lambda *shape, **how: made.append(rand(*shape, **how)) or made[-1])
    Prober("cpu", WallClock()).turn()
    source, large, inside, cached, left, right, product = made
    assert torch.equal(source, large)
    assert torch.equal(inside, cached)
    assert torch.allclose(product, left @ right)
    assert sum(tensor.nbytes for tensor in made) == 2 * (1 << 16) + 2 * (1 << 12) + 3 * 4 * 8 * 8  # as `BYTES`


def test_users_are_told_once_that_there_are_no_probes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(how: Settings) -> FakeProbe:
        raise OSError(12, "Cannot allocate memory")

    with pytest.warns(UserWarning, match="timed without probes: Cannot allocate memory") as told:
        found = record(JOBS, processes=2, rounds=1, start=QuickWorker, probe=broken)
    assert len(told) == 1
    assert [len(each.processes) for each in found.runs] == [2, 2]
    monkeypatch.setattr(profile, "Runner", quick_runner(QuickWorker, broken))
    code, out, err = run(capsys, "profile", "--cells", "sep", *TINY)
    assert (code, err) == (0, "costmodel: timed without probes: Cannot allocate memory\n")
    assert "sep cell" in out


def test_real_processes_of_probes() -> None:
    (how,) = settings_grid(threads=1)
    child = ProbeChild(how)
    try:
        child.started(None)
        child.ready(None)
        copy, cached, product = child.turn()
        assert copy > 10 * cached > 0  # 32 times as much, from memory
        assert product > 2 * 1024**3 / 1e12  # below a TFLOP/s on one core
        child.process.kill()
        with pytest.raises(ProbeFailed, match=r"the process was killed by signal 9; it may have run out of memory"):
            child.turn()
    finally:
        child.kill()


def test_a_real_profile_has_probes_and_positions() -> None:
    jobs = choose(settings_grid(threads=1), None, ["standard", "depth"], channels=[(4, 4)], size=(5, 6))
    found = record(jobs, processes=1, rounds=2, tell=pytest.fail)
    assert Profile.model_validate_json(found.text(), strict=True) == found
    for each in found.runs:
        (process,) = each.processes
        assert process.probes is not None
        assert len(process.probes.copy) == len(process.positions) == 2
    first, second = (each.processes[0].positions for each in found.runs)
    assert [a + b for a, b in zip(first, second, strict=True)] == [1, 1]
