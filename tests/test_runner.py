"""The measuring contract, with processes and a clock of our own: turns, budgets, interruptions, resuming."""

import inspect
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, repeat
from typing import Any

import pytest
import torch

import costmodel
from costmodel.errors import InvalidInput
from costmodel.measure.allocation import Group, Need, most_urgent
from costmodel.measure.jobs import PROBE_BYTES, Job, JobFailed, check_possible, groups
from costmodel.measure.profile import choose, settings_grid
from costmodel.measure.runner import ROUNDS, Runner
from costmodel.measure.worker import OutOfTime
from costmodel.profiles.records import Process

HOWS = settings_grid(threads=1)
JOBS = choose(HOWS, None, ["standard", "depth"], kernels=[(3, 3)], channels=[(4, 4)], size=(5, 6))
KERNELS = choose(HOWS, None, ["standard", "depth"], kernels=[(3, 3), (5, 5)], channels=[(4, 4)], size=(5, 6))


LARGE = 1 << 40  # bytes


@dataclass
class World:
    """Time, and what the processes were asked. ``fail``: raise at the n-th turn of all."""

    now: float = 0.0
    start: float = 1.0
    call: Mapping[str, float] = field(default_factory=lambda: {"standard": 0.4, "depth": 0.1})
    fail: dict[int, BaseException] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    kept: list[dict[str, Process]] = field(default_factory=list)
    turns: int = 0
    alive: int = 0

    def keep(self, processes: Mapping[Job, Process]) -> None:
        self.kept.append({name(job): process for job, process in processes.items()})

    def prepare(self, jobs: Sequence[Job], patience: Callable[[], float | None]) -> None:
        assert self.alive == 0
        self.spend(self.start, patience())
        self.log.append(f"prepare {', '.join(map(name, jobs))}")

    def spend(self, seconds: float, patience: float | None) -> None:
        if patience is not None and patience < seconds:
            self.now += patience
            raise OutOfTime
        self.now += seconds

    def runner(self, **settings: Any) -> Runner:
        fakes: dict[str, Any] = {
            "start": lambda job, verify: FakeWorker(self, job, verify),
            "prepare": self.prepare,
            "probe": None,
            "order": lambda number, seed: repeat(range(number)),
            "now": lambda: self.now,
        }
        return Runner(self.keep, **fakes | settings)


def name(job: Job) -> str:
    return f"{job.subject.cell}{job.subject.kernel[0] if job.subject.kernel else ''}"


class FakeWorker:
    def __init__(self, world: World, job: Job, verify: bool) -> None:
        self.world, self.job, self.verify = world, job, verify
        world.alive += 1

    def started(self, seconds: float | None) -> None:
        assert seconds is None or seconds >= 0

    def ready(self, seconds: float | None) -> dict[str, Any]:
        self.world.spend(self.world.start, seconds)
        self.world.log.append(f"{'verify' if self.verify else 'warm'} {name(self.job)}")
        return {"calls": 2} | ({"deviation": 0.0} if self.verify else {})

    def turn(self) -> float:
        self.world.turns += 1
        if error := self.world.fail.get(self.world.turns):
            raise error
        seconds = self.world.call[self.job.subject.cell or ""]
        self.world.now += seconds
        self.world.log.append(name(self.job))
        return seconds

    def finish(self) -> dict[str, Any]:
        return {"minor_faults": 7}

    def kill(self) -> None:
        if self.world is not None:
            self.world.alive -= 1
            self.world = None  # killed twice is killed once


def test_results_are_checked_first_then_processes_take_turns() -> None:
    world = World()
    world.runner(processes=2, rounds=2).run([(JOBS, 0)])
    turns = ["standard3", "depth3"] * 2
    assert world.log == [
        *["prepare standard3, depth3", "verify standard3", "verify depth3", *turns],
        *["warm standard3", "warm depth3", *turns],
    ]
    assert [block["depth3"].seconds for block in world.kept] == [(0.1, 0.1)] * 2
    first, second = (block["depth3"] for block in world.kept)
    assert (first.calls, first.minor_faults, first.deviation, second.deviation) == (2, 7, 0.0, None)
    assert first.started == world.kept[0]["standard3"].started != second.started
    assert world.alive == 0


def test_groups_come_round_again_and_again() -> None:
    """Every group's processes are spread over the whole run, so that slow drift is in all of them."""
    world = World()
    assert [len(group) for group in groups(KERNELS, LARGE)] == [2, 2]
    world.runner(processes=2, rounds=1).run([(group, 0) for group in groups(KERNELS, LARGE)])
    assert [list(block) for block in world.kept] == [["standard3", "depth3"], ["standard5", "depth5"]] * 2


def test_only_what_lacks_is_measured() -> None:
    world = World()
    first, second = groups(KERNELS, LARGE)
    world.runner(processes=3, rounds=1).run([(first, 3), (second, 2)])
    assert [list(block) for block in world.kept] == [["standard5", "depth5"]]


def needing(world: World, least: Mapping[str, int], rounds: int = 1) -> Callable[..., Need]:
    """A need for ``least`` blocks of groups, named by their first job, with ``rounds``; of others nothing more."""

    def need(group: Sequence[Job], starting: float, round: float) -> Need:
        have = sum(name(group[0]) in block for block in world.kept)
        return Need(max(0, least.get(name(group[0]), 0) - have), rounds)

    return need


def always(group: Sequence[Job], starting: float, round: float) -> Need:
    return Need(1, 5)


def first_of(blocks: Iterable[Mapping[str, Process]]) -> list[str]:
    return [next(iter(block)) for block in blocks]


def test_groups_that_need_more_get_more_processes() -> None:
    world = World()
    first, second = groups(KERNELS, LARGE)
    world.runner(processes=2, most=9, need=needing(world, {"standard5": 5}, 4), rounds=1).run([(first, 0), (second, 0)])
    assert first_of(world.kept) == [*["standard3", "standard5"] * 2, *["standard5"] * 3]
    assert [len(block["standard5"].seconds) for block in world.kept[-3:]] == [1] * 3  # as asked
    world = World()
    world.runner(processes=2, most=4, need=always, rounds=1).run([(JOBS, 3)])
    assert len(world.kept) == 1  # three were there
    world = World(start=200.0)  # a block of two takes 400 s, the first one 600
    world.runner(processes=1, most=9, need=always, rounds=1).run([(JOBS, 0)])
    assert len(world.kept) == 1  # ten minutes are over


def test_later_blocks_have_the_rounds_that_are_needed() -> None:
    world = World()
    asked = []

    def need(group: Sequence[Job], starting: float, round: float) -> Need:
        asked.append((starting, round))
        return Need(2 - len(asked) + 1, 7)

    world.runner(processes=2, most=9, need=need).run([(JOBS, 0)])
    assert [len(block["depth3"].seconds) for block in world.kept] == [ROUNDS, ROUNDS, 7, 7]
    # Two processes take 1 s each to start; a round is 0.4 and 0.1 s.
    assert asked == [pytest.approx((2.0, 0.5))] * 3


def test_a_budget_ends_when_every_ratio_is_decided() -> None:
    """A short block of each group, and then what they need, most of all the one that needs most."""
    world = World()
    least = {"standard3": 2, "standard5": 5}
    world.runner(budget=600.0, need=needing(world, least, 4)).run([(group, 0) for group in groups(KERNELS, LARGE)])
    assert Counter(first_of(world.kept)) == least
    assert first_of(world.kept)[:2] == ["standard3", "standard5"]
    assert [len(next(iter(block.values())).seconds) for block in world.kept] == [3, 3, 4, 4, 4, 4, 4]
    assert world.now < 40  # references 2 s; 7 blocks of 2 s to start and 4 rounds of 0.5 s at most: 32 s
    assert world.alive == 0


def test_a_budget_decides_as_many_groups_as_it_can() -> None:
    """40 s: after short blocks, (2 + 2 + 1.5) 2 = 11 s, there is time for 7 blocks of 4 s, not for 99."""
    for hopeless, other in (("standard3", "standard5"), ("standard5", "standard3")):
        world = World()
        least = {hopeless: 99, other: 5}
        timing = world.runner(budget=40.0, need=needing(world, least, 4))
        timing.run([(group, 0) for group in groups(KERNELS, LARGE)])
        counted = Counter(first_of(world.kept))
        assert counted[other] == 5
        assert counted[hopeless] == 1 + 3  # what is left
        assert world.now <= 40


def test_blocks_of_a_group_are_spread_over_a_budget() -> None:
    world = World()
    least = {"standard3": 4, "standard5": 10}
    world.runner(budget=600.0, need=needing(world, least)).run([(group, 0) for group in groups(KERNELS, LARGE)])
    places = [n for n, kind in enumerate(first_of(world.kept)) if kind == "standard3"]
    assert len(places) == 4
    assert min(b - a for a, b in pairwise(places)) >= 2  # others between them


@pytest.mark.parametrize(
    ("groups", "left", "chosen"),
    [
        ({}, 100, None),
        ({0: Group(Need(0, 5), 1, 1, 9)}, 100, None),  # decided
        ({0: Group(Need(2, 5), 1, 1, 9)}, 3.9, None),  # a block of 3 rounds takes 1 + 3 s
        ({0: Group(Need(2, 5), 1, 1, 9)}, 4, 0),
        ({0: Group(Need(9, 2), 1, 1, 9)}, 3, 0),  # a block of 2 rounds is as long as it should be
        # Both can be decided, in 2 (1 + 5) + 4 (1 + 5) = 36 s: need times waiting is 18 and 20, then 20 and 20.
        ({0: Group(Need(2, 5), 1, 1, 9), 1: Group(Need(4, 5), 1, 1, 5)}, 36, 1),
        ({0: Group(Need(2, 5), 1, 1, 10), 1: Group(Need(4, 5), 1, 1, 5)}, 36, 0),
        ({0: Group(Need(2, 5), 1, 1, 9), 1: Group(Need(4, 5), 1, 1, 5)}, 35, 0),  # the first alone can be
        ({1: Group(Need(4, 5), 1, 1, 5)}, 12, 1),  # none can be, and one gets nearer
    ],
)
def test_the_next_block_goes_to_the_most_urgent_group(
    groups: Mapping[int, Group], left: float, chosen: int | None
) -> None:
    assert most_urgent(groups, left) == chosen


def test_a_group_with_blocks_from_an_earlier_run_gets_what_it_needs() -> None:
    world = World()
    first, second = groups(KERNELS, LARGE)
    world.runner(budget=600.0, need=needing(world, {"standard5": 2})).run([(first, 4), (second, 4)])
    assert first_of(world.kept) == ["standard5"] * 2
    assert world.log.count("verify standard5") == 1


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), OSError("disk full")])
def test_what_interrupts_keeps_whole_rounds(interrupt: BaseException) -> None:
    world = World(fail={6: interrupt})  # standard, depth; standard, depth; standard and then this
    with pytest.raises(type(interrupt)):
        world.runner(processes=2, rounds=9).run([(JOBS, 0)])
    (block,) = world.kept
    assert [len(process.seconds) for process in block.values()] == [2, 2]
    assert world.alive == 0


def test_what_fails_is_left_out_and_the_others_go_on() -> None:
    depth = JOBS[1]
    world = World(fail={6: JobFailed(depth, "it died")})  # at its third turn
    timing = world.runner(processes=3, rounds=5)
    timing.run([(group, 0) for group in groups(KERNELS, LARGE)])
    assert {job: str(each) for job, each in timing.failed.items()} == {
        depth: f"{depth.subject.title}, {depth.how.title}: it died"
    }
    kept = [(list(block), len(block[next(iter(block))].seconds)) for block in world.kept]
    assert kept == [
        (["standard3", "depth3"], 2),  # until it died
        (["standard3"], 5),
        (["standard5", "depth5"], 5),
        *[(["standard3"], 5), (["standard5", "depth5"], 5)] * 2,
    ]
    assert world.alive == 0


def test_a_budget_ends_where_nothing_can_be_timed() -> None:
    world = World(fail={n: JobFailed(job, "it died") for n, job in enumerate(JOBS, 1)})
    timing = world.runner(budget=60.0, need=always)
    timing.run([(JOBS, 0)])
    assert (set(timing.failed), world.kept, world.alive) == (set(JOBS), [], 0)


def test_ctrl_c_waits_while_a_block_is_kept() -> None:
    world, kept = World(), []

    def keep(processes: Mapping[Job, Process]) -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait(0.05)
        kept.append(len(processes))

    timing = world.runner(processes=2, rounds=1)
    timing.keep = keep
    idle = threading.Event()
    other = threading.Thread(target=idle.wait)  # signals may arrive in any thread
    other.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            timing.run([(JOBS, 0)])
    finally:
        idle.set()
        other.join()
    assert kept == [2]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_nothing_is_kept_of_a_block_without_a_round() -> None:
    world = World(fail={2: KeyboardInterrupt()})
    with pytest.raises(KeyboardInterrupt):
        world.runner().run([(JOBS, 0)])
    assert (world.kept, world.alive) == ([], 0)


@pytest.mark.parametrize("budget", [30.0, 60.0, 100.0, 300.0, 1000.0])
@pytest.mark.parametrize("work", [JOBS, KERNELS], ids=["one group", "two groups"])
@pytest.mark.parametrize("call", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("start", [0.2, 1.0])
def test_a_budget_is_kept_and_used_where_it_is_needed(
    budget: float, work: list[Job], call: float, start: float
) -> None:
    world = World(call={"standard": 4 * call, "depth": call}, start=start)
    world.runner(budget=budget, need=always).run([(group, 0) for group in groups(work, LARGE)])
    # The last round may be as long as a round: two subjects, 5 calls of the fake worker.
    assert min(0.9 * budget, budget - 5 * call) <= world.now <= budget
    blocks = [len(block["standard3"].seconds) for block in world.kept if "standard3" in block]
    assert len(blocks) >= min(5, budget // 45)
    assert world.alive == 0


@pytest.mark.parametrize("budget", [130.0, 170.0, 200.0, 500.0])
def test_a_budget_is_used_where_starting_takes_most_of_it(budget: float) -> None:
    """To start is 3 x 30 s, with the references: what a second block could not use goes into rounds of the first."""
    world = World(start=30.0)
    world.runner(budget=budget, need=always).run([(JOBS, 0)])
    assert 0.9 * budget <= world.now <= budget


def test_a_budget_is_for_groups_that_there_are() -> None:
    world = World()
    world.runner(budget=30.0, need=always).run([])
    assert world.now == 0
    world.runner(budget=30.0).run([(JOBS, 5)])  # nothing is needed
    assert world.now == 0


def test_a_budget_that_is_too_short_ends_in_time_with_what_there_is() -> None:
    world = World()
    world.runner(budget=7.0, need=always).run([(group, 0) for group in groups(KERNELS, LARGE)])
    assert world.now <= 7.0
    assert [list(block) for block in world.kept] == [["standard3", "depth3"]]
    world = World()
    world.runner(budget=2.5, need=always).run([(JOBS, 0)])
    assert (world.now, world.kept, world.alive) == (2.5, [], 0)


def test_progress_goes_from_0_to_1() -> None:
    for settings in ({"processes": 3, "rounds": 4}, {"budget": 60.0, "need": always}):
        world = World()
        seen: list[float] = []
        world.runner(tick=lambda done, what, seen=seen: seen.append(done), **settings).run([(JOBS, 0)])
        assert seen == sorted(seen)
        assert (0 <= seen[0] <= 0.2, 0.9 <= seen[-1] <= 1.02) == (True, True)


def test_subjects_too_large_to_be_in_memory_together_are_timed_apart() -> None:
    together = PROBE_BYTES + sum(job.memory for job in JOBS)
    assert [len(group) for group in groups(JOBS, together)] == [1, 1]  # of which 80 % are used
    assert [len(group) for group in groups(JOBS, 2 * together)] == [2]
    with pytest.raises(
        InvalidInput, match=r"standard cell 3x3 4 5x6, with the probes, needs at least 1.1 GB at these sizes"
    ):
        check_possible(JOBS, JOBS[0].memory + PROBE_BYTES - 1)


def test_a_window_of_frames_takes_memory() -> None:
    one, many = (
        choose(settings_grid(threads=1, frames=n), None, ["sep"], channels=[(4, 4)], size=(5, 6))[0] for n in (1, 101)
    )
    assert many.memory - one.memory == 100 * 4 * 4 * 5 * 6  # bytes of a frame
    with pytest.raises(InvalidInput, match="needs at least"):
        check_possible(choose(settings_grid(frames=10**9), None, ["sep"], channels=[(4, 4)], size=(5, 6)), LARGE // 8)


def test_more_threads_than_cores_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("costmodel.measure.jobs.cores", lambda: [0, 1])
    jobs = choose(settings_grid(threads=3), None, ["sep"], channels=[(4, 4)], size=(5, 6))
    with pytest.raises(InvalidInput, match="threads is 3, but this process may use 2 cores"):
        check_possible(jobs, LARGE)


def test_a_network_without_cells_is_timed_once_for_all_kernels() -> None:
    jobs = choose(HOWS, ["icnet", "v2"], ["standard", "sep"], kernels=[(3, 3), (5, 5)], size=(97, 97))
    titles = [job.subject.title for job in jobs]
    assert titles == [
        "ICNet 97x97",
        "LSTM-ICNet v2 3x3 97x97",
        "sep-LSTM-ICNet v2 3x3 97x97",
        "LSTM-ICNet v2 5x5 97x97",
        "sep-LSTM-ICNet v2 5x5 97x97",
    ]


def test_ways_are_all_combinations() -> None:
    found = settings_grid(
        memory_format=["contiguous", "channels_last"], implementation=["eager", "compiled"], threads=[1, 2]
    )
    assert len(found) == 8
    on_gpu = settings_grid("cuda", dtype=["float32", "bfloat16"], tf32=[False, True], cuda_graph=[False, True])
    assert [(how.dtype, how.tf32) for how in on_gpu if not how.cuda_graph] == [
        ("float32", False),
        ("float32", True),
        ("bfloat16", False),  # TF32 needs float32
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "tpu"}, "unknown device 'tpu': one of cpu, cuda"),
        ({"dtype": "int8"}, "unknown dtype 'int8': one of float32, float64, bfloat16, float16"),
        ({"memory_format": "nhwc"}, "unknown memory format 'nhwc'"),
        ({"implementation": "jit"}, "unknown implementation 'jit'"),
        ({"threads": 0}, "threads must be at least 1, not 0"),
        ({"device": "cuda", "threads": 1}, "threads needs device cpu"),
        ({"tf32": True}, "tf32, cuda_graph and flush need device cuda"),
        ({"frames": 0}, "frames must be at least 1"),
        ({"device": "cuda", "dtype": "bfloat16", "tf32": True}, "tf32 needs dtype float32"),
    ],
)
def test_ways_that_there_are_not(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        settings_grid(**arguments)


@pytest.mark.parametrize("sizes", [((97, 97), 3), ((193, 129), 5)])
def test_memory_of_a_frame_is_what_is_alive_at_its_fullest_step(sizes: tuple[tuple[int, int], int]) -> None:
    """By hand for a depth cell: I, O and F, I*J, ... at most six maps besides x, h, c; all are alike."""
    size, kernel = sizes
    (job,) = choose(HOWS, None, ["depth"], kernels=[(kernel, kernel)], channels=[(4, 4)], size=size)
    one = 4 * 4 * size[0] * size[1]  # bytes of a map
    weights = 4 * (8 * 4 * kernel * kernel + 4 * 4)
    maps = (job.workload.program.memory - weights) / one
    assert maps == int(maps)
    # x, h, c; three gates done; of the last one both products of the convolutions and their sum.
    assert maps == 3 + 3 + 3


def test_public_functions_name_their_arguments() -> None:
    """But for those that pass them on: to a module, to a function, to the description of a network."""
    open_ended = set()
    for name in costmodel.__all__:
        face = getattr(costmodel, name)
        if inspect.isfunction(face):
            kinds = [parameter.kind for parameter in inspect.signature(face).parameters.values()]
            open_ended |= {name} if inspect.Parameter.VAR_KEYWORD in kinds else set()
    assert open_ended == {"count", "module", "network", "observe"}


def test_profile_has_the_settings_of_the_grid_and_refuses_others() -> None:
    grid, whole = (inspect.signature(function).parameters for function in (settings_grid, costmodel.profile))
    assert {name: whole[name].default for name in grid} == {name: grid[name].default for name in grid}
    assert {name: whole[name].annotation for name in grid} == {name: grid[name].annotation for name in grid}
    with pytest.raises(TypeError, match=r"profile\(\) got an unexpected keyword argument 'memroy_format'"):
        costmodel.profile(cells=["sep"], memroy_format="contiguous")
    net = torch.nn.Sequential(*[torch.nn.Linear(2, 2) for _ in range(100)])
    with pytest.raises(InvalidInput, match=r"Sequential\(.* is neither the name of a network nor a module") as refused:
        costmodel.profile([net])
    assert len(str(refused.value)) <= 300
