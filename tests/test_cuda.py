"""What only a GPU can show: `benchmarks/gpu.py` runs these tests and those of other files that are marked ``cuda``.
Nothing here asserts a time."""

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


def jobs(*cells: str, channels: int = 64, **settings: Any) -> list[Job]:
    return choose(settings_grid("cuda", **settings), None, cells, channels=[(channels, channels)], size=(64, 128))


def timed(*cells: str, **settings: Any) -> list[Process]:
    return [run.processes[0] for run in record(jobs(*cells, **settings), processes=1, rounds=ROUNDS).runs]


def test_probes_come_with_every_round() -> None:
    for process in timed("standard", "sep"):
        probes = process.probes
        assert probes is not None
        assert [len(times) for times in (probes.copy, probes.cached, probes.product)] == [ROUNDS] * 3
        # 32 times the bytes take longer, in memory or in the cache.
        assert LARGE == 32 * CACHED
        assert median(probes.copy) > median(probes.cached) > 0


@pytest.mark.skipif("not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 0)")
def test_tf32_is_used_where_it_is_asked_for_alone() -> None:
    """TF32 keeps 10 bits behind the point: 1e-3. float32 keeps 23."""
    (exact,), (short,) = timed("standard"), timed("standard", tf32=True)
    assert exact.deviation is not None
    assert short.deviation is not None
    assert exact.deviation < 1e-5 < short.deviation


def test_a_graph_computes_what_its_kernels_compute() -> None:
    """The state is carried from replay to replay, or the deviation would be large."""
    for cell in ("standard", "depth"):
        (plain,), (graph,) = timed(cell), timed(cell, cuda_graph=True)
        assert plain.deviation is not None
        assert graph.deviation is not None
        assert graph.deviation <= max(2 * plain.deviation, 1e-6)


@pytest.mark.parametrize(
    "subject", [{"model": "icnet", "size": (129, 257)}, {"cell": "sep"}, {"cell": "depth"}], ids=str
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


def test_nvml_tells_the_state_of_the_card_that_torch_uses() -> None:
    pytest.importorskip("pynvml")
    uuid = str(torch.cuda.get_device_properties(0).uuid)
    state = gpu_state(uuid=uuid)
    assert state is not None
    assert (state.sm_mhz or 0) > 0
    assert state.throttle is not None
    (process,) = timed("sep")
    assert process.gpu_before is not None
    assert process.gpu_after is not None


def test_a_profile_of_a_gpu_is_what_its_file_says() -> None:
    found = record(jobs("sep"), processes=1, rounds=ROUNDS)
    assert found.host.gpu is not None
    assert found.host.cudnn_benchmark is False
    assert Profile.model_validate_json(found.text()) == found
