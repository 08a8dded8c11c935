"""The processes of a block: references that are computed once, results that are compared before anything is timed, and
what is told of processes that die."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from test_runner import JOBS, World

from costmodel.errors import MeasuringFailed
from costmodel.measure.host import ENVIRONMENT
from costmodel.measure.jobs import Job, JobFailed
from costmodel.measure.profile import record
from costmodel.measure.worker import ReferenceChild, References
from costmodel.profiles.records import Profile


def test_a_subject_whose_results_deviate_is_refused_and_no_sample_of_it_is_kept(tmp_path: Path) -> None:
    references = References(tmp_path)
    references.compute(JOBS, lambda: None)
    depth = JOBS[1]
    torch.save([2 * each for each in torch.load(references.file(depth))], references.file(depth))
    seen: list[Profile] = []
    # |x - 2 x| / |2 x| is 0.5.
    with pytest.raises(MeasuringFailed, match=r"^depth cell .*: the results deviate from the reference by 5\.0e-01"):
        record(JOBS, processes=1, rounds=1, probe=None, references=tmp_path, latest=seen.append)
    assert [[run.subject.cell for run in profile.runs] for profile in seen] == [["standard"]]


PEAK = """
import sys
from pathlib import Path
from costmodel.measure.child import compare, peak
from costmodel.measure.profile import choose, settings_grid
from costmodel.measure.timed import timed
from costmodel.measure.worker import References
(job,) = choose(settings_grid(threads=1), None, ["depth"], channels=[(64, 64)], size=(256, 256))
references = References(Path(sys.argv[1]))
references.compute([job], lambda: None)
subject = timed(job.workload, job.how)
subject.place()
for _ in range(8):  # until the heap has places for all maps
    subject.step()
_, before = compare(subject, references.file(job))
subject.step()
print(before, peak())
"""


def test_the_reference_is_no_memory_of_the_subject(tmp_path: Path) -> None:
    """The reference of two maps has 2 * 4 * 64 * 256 * 256 bytes: 34 MB."""
    environment = os.environ | ENVIRONMENT | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-c", PEAK, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert after - before < 10e6  # code that comparing needs, 3 MB


def test_references_that_take_too_long_end_in_time_and_those_that_fail_are_left_out() -> None:
    world = World()
    world.runner(budget=0.5).run([(JOBS, 0)])
    assert (world.now, world.kept, world.alive) == (0.5, [], 0)

    def prepare(jobs: Sequence[Job], patience: Callable[[], float | None]) -> None:
        if JOBS[0] in jobs:
            raise JobFailed(JOBS[0], "it died")

    timing = world.runner(processes=1, rounds=1, prepare=prepare)
    timing.run([(JOBS, 0)])
    assert (set(timing.failed), [list(block) for block in world.kept]) == ({JOBS[0]}, [["depth3"]])


def test_a_process_of_references_that_is_killed_is_told_with_its_job(tmp_path: Path) -> None:
    child = ReferenceChild(JOBS[0])
    try:
        child.started(None)
        os.kill(child.process.pid, signal.SIGKILL)
        with pytest.raises(JobFailed, match=r"depth cell .* was killed by signal 9; it may have run out of memory"):
            child.compute(JOBS[1], tmp_path / "x.pt", None)
    finally:
        child.kill()
