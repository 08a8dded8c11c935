"""What only a GPU can show: `benchmarks/gpu.py` runs these tests and those of other files that are marked ``cuda``. A
process on a GPU takes seconds to start, so tests share what was timed. Nothing here asserts a time."""

from functools import cache
from statistics import median
from typing import Any

import pytest
import torch

import costmodel
from costmodel.errors import InvalidInput
from costmodel.measure import layers
from costmodel.measure.host import gpu_state
from costmodel.measure.jobs import Job
from costmodel.measure.probes import CACHED, LARGE
from costmodel.measure.profile import choose, record, settings_grid
from costmodel.profiles.records import Process, Profile

pytestmark = pytest.mark.cuda
ROUNDS = 3
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "TF32": {"tf32": True},
    "bfloat16": {"dtype": "bfloat16"},
    "graph": {"cuda_graph": True},
    "not flushed": {"flush": False},
    "window": {"frames": 4},
}


def jobs(*cells: str, channels: int = 64, **settings: Any) -> list[Job]:
    return choose(settings_grid("cuda", **settings), None, cells, channels=[(channels, channels)], size=(64, 128))


@cache
def timed(name: str) -> Profile:
    """A standard and a depth cell with some settings, one process each."""
    return record(jobs("standard", "depth", **SETTINGS[name]), processes=1, rounds=ROUNDS)


def process_of(name: str, cell: str = "standard") -> Process:
    return next(run.processes[0] for run in timed(name).runs if run.subject.cell == cell)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_gpu_times_what_it_computes_right(name: str) -> None:
    """Results equal the CPU's within the tolerance (or `record` refuses), and events lie within the wall time."""
    process = process_of(name)
    assert process.deviation is not None
    assert process.deviation < 0.1
    assert process.peak_gpu_memory is not None
    # The frame, h and c before and after, and not the buffer that flushes the cache.
    one = 64 * 64 * 128  # numbers
    assert (2 if name == "bfloat16" else 4) * one <= process.peak_gpu_memory <= 60 * 4 * one


def test_probes_come_with_every_round() -> None:
    for cell in ("standard", "depth"):
        probes = process_of("plain", cell).probes
        assert probes is not None
        assert [len(times) for times in (probes.copy, probes.cached, probes.product)] == [ROUNDS] * 3
        # 32 times the bytes take longer, in memory or in the cache.
        assert LARGE == 32 * CACHED
        assert median(probes.copy) > median(probes.cached) > 0


@pytest.mark.skipif("not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 0)")
def test_tf32_is_used_where_it_is_asked_for_alone() -> None:
    """TF32 keeps 10 bits behind the point, 1e-3; float32 keeps 23, 1e-7."""
    exact, short = process_of("plain").deviation, process_of("TF32").deviation
    assert exact is not None
    assert short is not None
    assert exact < 1e-5 < short


@pytest.mark.parametrize("cell", ["standard", "depth"])
def test_a_graph_computes_what_its_kernels_compute(cell: str) -> None:
    """The state is carried from replay to replay, or the deviation would be large."""
    plain, graph = process_of("plain", cell).deviation, process_of("graph", cell).deviation
    assert plain is not None
    assert graph is not None
    assert graph <= max(2 * plain, 1e-6)


def test_nvml_tells_the_state_of_the_card_that_torch_uses() -> None:
    pytest.importorskip("pynvml")
    state = gpu_state(uuid=str(torch.cuda.get_device_properties(0).uuid))
    assert state is not None
    assert (state.sm_mhz or 0) > 0
    assert state.throttle is not None
    process = process_of("plain")
    assert process.gpu_before is not None
    assert process.gpu_after is not None


def test_a_profile_of_a_gpu_is_what_its_file_says() -> None:
    found = timed("plain")
    assert found.host.gpu is not None
    assert found.host.cudnn_benchmark is False
    assert Profile.model_validate_json(found.text()) == found


def test_more_work_is_not_faster_on_a_gpu() -> None:
    one, four = jobs("standard", channels=64)[0], jobs("standard", channels=256)[0]
    twice = jobs("standard", channels=256, batch=2)[0]
    found = record([one, four.against(one.subject), twice], processes=1, rounds=ROUNDS).by_key
    small, large, double = (median(found[job.key].processes[0].seconds) for job in (one, four, twice))
    assert small < large
    assert double > 0.9 * large


@pytest.mark.parametrize(
    "subject",
    [{"model": "icnet", "size": (129, 257)}, {"cell": "sep"}, {"cell": "sep", "implementation": "compiled"}],
    ids=["network", "cell", "compiled cell"],
)
def test_rows_of_layers_and_the_remainder_are_the_total(subject: dict[str, Any]) -> None:
    found = costmodel.layers(**subject, device="cuda", processes=1, rounds=ROUNDS)
    assert sum(row.ns for row in found.rows) == found.total_ns
    assert [row.kind for row in found.rows].index("remainder") == len(found.rows) - 1
    assert found.run.clock == "cuda-events"
    (process,) = found.run.processes
    for level, turns in zip(found.run.levels, process.turns, strict=True):
        for turn in turns:
            # The parts lie inside the whole, but for half a microsecond a mark, by which events are told.
            assert 0 < sum(turn.parts) <= turn.whole + 500 * (1 + sum(level.reads)) * process.undisturbed.calls


def test_layers_have_no_captured_graph() -> None:
    (job,) = jobs("sep", cuda_graph=True)
    with pytest.raises(InvalidInput, match="a captured graph runs as a whole"):
        layers.record([job])
