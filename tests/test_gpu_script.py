"""`benchmarks/gpu.py` without a GPU: its processes and time limits are real, its steps are ours."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
import torch

from costmodel.errors import InvalidInput, MeasuringFailed
from costmodel.measure import layers
from costmodel.measure.jobs import Job, JobFailed
from costmodel.measure.profile import choose, record, settings_grid
from costmodel.profiles.files import load
from costmodel.profiles.records import Gpu, Host, Profile

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "gpu.py"
H100 = Host(cpu="A CPU", torch="2.11.0", gpu=Gpu(name="NVIDIA H100 80GB HBM3", memory=85_000_000_000))


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, with limits of fractions of a second."""
    spec = importlib.util.spec_from_file_location("gpu_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "gpu_script", script)  # dataclasses look for their module
    spec.loader.exec_module(script)
    script.GRACE, script.LEAST, script.ENOUGH, script.SPARE = 0.3, 0.1, 0.0, 0.0
    return script


# ---- processes -------------------------------------------------------------------------------------------------------


def fails(error: BaseException) -> Any:
    raise error


def sleeps(said: str = "", deaf: bool = False) -> str:
    if deaf:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(said) from None
    return "slept"


@pytest.mark.parametrize(
    ("work", "outcome"),
    [
        (lambda: "two rows", ("done", "two rows")),
        (partial(fails, InvalidInput("no such file")), ("failed", "no such file")),
        (partial(fails, MeasuringFailed("it died")), ("failed", "it died")),
        (partial(fails, KeyError("x")), ("failed", "KeyError: 'x'")),
        (lambda: os._exit(3), ("failed", "the process ended with code 3")),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), ("failed", "the process was killed by signal 9")),
        (sleeps, ("stopped", "")),
        (partial(sleeps, "3 of 4 timed"), ("stopped", "3 of 4 timed")),
        (partial(sleeps, deaf=True), ("stopped", "killed")),
    ],
)
def test_work_has_a_process_and_a_limit(gpu: ModuleType, work: Callable[[], str], outcome: tuple[str, str]) -> None:
    limit = 0.6 if outcome[0] == "stopped" else 30.0
    begun = time.monotonic()
    assert gpu.apart(work, limit) == outcome
    assert time.monotonic() - begun < 0.6 + gpu.GRACE + 2  # at most a second to end, and a machine that is busy


def test_what_a_step_has_started_ends_with_it(gpu: ModuleType, tmp_path: Path) -> None:
    note = tmp_path / "process"

    def work() -> str:
        child = subprocess.Popen(["sleep", "60"])  # as pytest
        note.write_text(str(child.pid))
        return sleeps(deaf=True)

    assert gpu.apart(work, seconds=0.5)[0] == "stopped"
    state = Path(f"/proc/{note.read_text()}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"  # a zombie, which nobody has waited for


# ---- steps -----------------------------------------------------------------------------------------------------------


def steps(gpu: ModuleType, folder: Path, *names: str, **works: Callable[[], object]) -> list[Any]:
    """Steps of two passes that leave a letter for each; the steps of ``works`` do that first."""

    def work(name: str, number: int) -> str:
        works.get(name, lambda: None)()
        with (folder / name).open("a") as file:
            file.write(str(number))
        return f"{name}{number}"

    def counts(name: str) -> list[int]:
        return [len((folder / name).read_text())] if (folder / name).exists() else [0]

    return [gpu.Step(name, partial(work, name), partial(counts, name), passes=2) for name in names]


def test_passes_go_over_all_steps_and_a_second_run_does_what_is_left(gpu: ModuleType, tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "b").write_text("0")  # of an earlier run
    several = steps(gpu, tmp_path, "a", "b", "c")
    outcomes = gpu.run(several, time.monotonic() + 60, said.append)
    assert [each for each in said if each.endswith(" ...")] == ["a ...", "c ...", "a ...", "b ...", "c ..."]
    assert {name: (each.kind, each.said) for name, each in outcomes.items()} == {
        name: ("done", f"{name}1") for name in "abc"
    }
    again = gpu.run(several, time.monotonic() + 60, said.append)
    assert [each.kind for each in again.values()] == [""] * 3
    lines = gpu.report(several, again)
    assert [line.split() for line in lines] == [[name, "0", "s", "recorded", "before"] for name in "abc"]


def test_a_step_that_fails_or_hangs_leaves_time_for_the_others(gpu: ModuleType, tmp_path: Path) -> None:
    several = steps(gpu, tmp_path, "a", "b", "c", a=partial(fails, MeasuringFailed("it died")), b=sleeps)
    begun = time.monotonic()
    outcomes = gpu.run(several, begun + 3, lambda said: None)
    assert [each.kind for each in outcomes.values()] == ["failed", "stopped", "done"]
    assert (tmp_path / "c").read_text() == "01"
    # b gets half of the time that is left without the grace, (3 - 0.3) / 2, and is not begun again.
    assert 1.0 < outcomes["b"].seconds < 2.5
    assert time.monotonic() - begun < 3
    assert gpu.report(several, outcomes)[0].split()[3:] == ["failed:", "it", "died"]


def test_nothing_begins_without_time(gpu: ModuleType, tmp_path: Path) -> None:
    (step,) = steps(gpu, tmp_path, "a")
    outcomes = gpu.run([step], time.monotonic() + gpu.GRACE + gpu.LEAST / 2, print)
    assert outcomes["a"].kind == ""
    assert gpu.report([step], outcomes)[0].split() == ["a", "0", "s", "not", "begun"]


@pytest.mark.parametrize("ends", [True, False])
def test_ctrl_c_ends_the_run_with_what_there_is(gpu: ModuleType, tmp_path: Path, ends: bool) -> None:
    """Also where the step ends by itself right then."""
    parent = os.getpid()

    def interrupted() -> str:
        subprocess.Popen(["sh", "-c", f"sleep 0.2; kill -INT {parent}"])
        with suppress(KeyboardInterrupt) if ends else nullcontext():
            sleeps("1 of 2 timed")
        return "2 of 2 timed"

    step = gpu.Step("a", lambda number: interrupted())
    outcomes = gpu.run([step, *steps(gpu, tmp_path, "b")], time.monotonic() + 60, lambda said: None)
    assert (outcomes["a"].kind, outcomes["b"].kind) == ("interrupted", "")
    assert outcomes["a"].said == ("2 of 2 timed" if ends else "1 of 2 timed")


# ---- what is timed ---------------------------------------------------------------------------------------------------


def test_every_cell_and_network_is_timed_in_every_way(gpu: ModuleType, tmp_path: Path) -> None:
    every = gpu.timing_steps(tmp_path / "p.json", tmp_path, together=True)
    parts = every.pop(2).work.__self__
    assert [step.name for step in every] == [f"{what}, {way}" for way in gpu.WAYS for what in ("cells", "networks")]
    assert [job.subject.title for job in parts.jobs] == ["ICNet 1024x2048", "LSTM-ICNet v6 3x3 1024x2048"]
    jobs = [list(step.work.__self__.jobs) for step in every]
    assert [len(each) for each in jobs] == [4 * 3, 1 + 3 * 4] * 6  # four cells of three kernels; ICNet and 3 versions
    assert len({job.key for each in jobs for job in each}) == 6 * (12 + 13)
    assert {job.subject.kernel for job in jobs[0]} == {(3, 3), (5, 5), (7, 7)}
    ways = {(job.how.dtype, job.how.tf32, job.how.cuda_graph) for each in jobs for job in each}
    formats = {("float32", False), ("float32", True), ("bfloat16", False)}
    assert ways == {(*way, graph) for way in formats for graph in (False, True)}


@pytest.mark.parametrize(("together", "bases"), [(True, [1, 1]), (False, [3, 4])])
def test_subjects_share_a_group_where_there_is_memory(
    gpu: ModuleType, tmp_path: Path, together: bool, bases: list[int]
) -> None:
    """Apart: the cells of each kernel, and ICNet and the cells of each of three versions."""
    cells, networks = (step.work.__self__.jobs for step in gpu.timing_steps(tmp_path, tmp_path, together)[:2])
    assert [len({job.standard for job in jobs}) for jobs in (cells, networks)] == bases


def test_a_step_gets_its_share_or_what_it_needs(gpu: ModuleType) -> None:
    gpu.ENOUGH = 90.0
    step = gpu.Step("a", lambda number: "", share=0.25)
    assert [step.limit(left) for left in (500.0, 200.0, 60.0)] == [125.0, 90.0, 60.0]


class QuickWorker:
    """A process that answers at once; that of a depth cell of 7x7 cannot be timed."""

    log: ClassVar[list[str]] = []

    def __init__(self, job: Job, verify: bool) -> None:
        self.job, self.verify = job, verify
        self.log.append(job.subject.title)

    def started(self, seconds: float | None) -> None: ...

    def ready(self, seconds: float | None) -> dict[str, Any]:
        if (self.job.subject.cell, self.job.subject.kernel) == ("depth", (7, 7)):
            raise JobFailed(self.job, "out of memory")
        return {"deviation": 0.0} if self.verify else {}

    def turn(self) -> float:
        return 0.001

    def finish(self) -> dict[str, Any]:
        return {}

    def kill(self) -> None: ...


class QuickLayers(QuickWorker):
    """The same with two parts."""

    def __init__(self, job: Job, depth: int | None, reference: Path | None) -> None:
        super().__init__(job, verify=reference is not None)
        self.measured = layers.Measured()

    def ready(self, seconds: float | None) -> dict[str, Any]:
        return self.measured.ready({"levels": [(("", "conv"), (1, 1))], "containers": (), "read": 10})

    def turn(self) -> float:
        self.measured.turn([(1_000_000, 400_000, 600_000)])
        return super().turn()


@pytest.fixture
def with_gpu(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The script on a machine with a GPU whose processes answer at once."""
    monkeypatch.setattr(gpu, "host", lambda device: H100)
    for room in ("profile", "layers"):
        monkeypatch.setattr(f"costmodel.measure.{room}.host", lambda device: H100)
        monkeypatch.setattr(f"costmodel.measure.{room}.require_gpu", lambda: None)
    monkeypatch.setattr(gpu, "record", partial(record, probe=None, start=QuickWorker))
    monkeypatch.setattr(layers, "record", partial(layers.record, probe=None, start=QuickLayers))
    monkeypatch.setattr(QuickWorker, "log", [])
    terminated = signal.getsignal(signal.SIGTERM)
    yield gpu
    signal.signal(signal.SIGTERM, terminated)


def test_later_passes_leave_out_what_failed(with_gpu: ModuleType, tmp_path: Path) -> None:
    jobs = choose(settings_grid("cuda"), None, ["standard", "depth"], kernels=[(3, 3), (7, 7)])
    timing = with_gpu.Timing(jobs, tmp_path / "p.json", tmp_path)
    with pytest.raises(MeasuringFailed, match=r"3 of 4 timed, 1 process\(es\) each; depth cell 7x7 .* out of memory"):
        timing.work(0)
    QuickWorker.log.clear()
    assert timing.work(1) == "3 of 4 timed, 2 process(es) each"
    assert len(QuickWorker.log) == 3
    assert timing.counts() == [2, 2, 2, 0]
    assert [len(process.seconds) for process in load(tmp_path / "p.json").runs[0].processes] == [with_gpu.ROUNDS] * 2


def test_the_whole(with_gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "p.json"
    monkeypatch.setattr(with_gpu, "cuda_tests", lambda number: "3 passed")
    monkeypatch.setattr(with_gpu, "PROCESSES", 1)
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--out", str(path), "--minutes", "1"])
    assert with_gpu.main() == 1  # depth cells of 7x7
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"NVIDIA H100 80GB HBM3, into {path}, for 1 minutes"
    end = lines[lines.index("") + 1 :]
    assert end[0].split() == ["cuda", "tests", "0", "s", "done:", "3", "passed"]
    assert end[1].startswith("cells, float32")
    assert "failed: 11 of 12 timed, 1 process(es) each; depth cell 7x7" in end[1]
    assert end[2].endswith("done: 13 of 13 timed, 1 process(es) each")
    assert end[3].startswith("layers, float32")
    assert end[3].endswith("done: 2 of 2 timed, 1 process(es) each")
    assert end[-1] == f"The same command again adds what {path} lacks."
    profile = load(path)
    assert profile.host.gpu == H100.gpu
    assert (len(profile.runs), len(profile.layers)) == (6 * (11 + 13), 2)
    assert with_gpu.main() == 1
    again = capsys.readouterr().out.splitlines()
    assert [line.split()[-2:] for line in again if line.startswith("networks")] == [["recorded", "before"]] * 6
    assert again[-2].startswith("cuda tests")  # at the end of a second run


def test_a_reference_serves_several_settings(gpu: ModuleType, tmp_path: Path) -> None:
    """With real processes, on the CPU: the second format compares with the file that the first one has left."""
    references, written = tmp_path / "references", []
    references.mkdir()
    for memory_format in ("contiguous", "channels_last"):
        hows = settings_grid(memory_format=memory_format, threads=1)
        jobs = choose(hows, None, ["sep"], channels=[(4, 4)], size=(5, 6))
        gpu.Timing(jobs, tmp_path / "p.json", references).record(jobs, 1)
        (file,) = references.iterdir()
        written.append(file.stat().st_mtime_ns)
    assert written[0] == written[1]
    assert [tuple(each.shape) for each in torch.load(file)] == [(1, 4, 5, 6)] * 2  # the output, which is h, and c
    deviations = [run.processes[0].deviation for run in load(tmp_path / "p.json").runs]
    assert [each is not None and each < 1e-4 for each in deviations] == [True, True]


# ---- the machine -----------------------------------------------------------------------------------------------------


def script(*arguments: str, python: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *python, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_in_one_line() -> None:
    done = script()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("gpu.py: device cuda: torch finds no NVIDIA GPU")
    assert len(done.stderr.splitlines()) == 1


def test_missing_packages_are_named_in_one_line() -> None:
    done = script(python=["-I", "-S"])  # without site-packages
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"gpu.py: not installed for {sys.executable}: torch, numpy, pydantic\n"


def test_torch_numpy_and_pydantic_are_enough() -> None:
    """A machine for GPUs may have no more; this package is not installed there, either."""
    without = """
import importlib.abc, importlib.metadata, sys
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"fvcore", "pandas", "typer", "tqdm", "matplotlib", "simpy", "tabulate", "pynvml"}:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Finder())
whole = importlib.metadata.distribution
def distribution(name):
    if name == "costmodel":
        raise importlib.metadata.PackageNotFoundError(name)
    return whole(name)
importlib.metadata.distribution = distribution
sys.argv = ["gpu.py", "--help"]
import runpy
import costmodel.measure.child
from costmodel.measure.host import host
print(host("cpu").costmodel)
runpy.run_path("benchmarks/gpu.py", run_name="__main__")
"""
    done = subprocess.run(
        [sys.executable, "-c", without],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=SCRIPT.parent.parent,
        env=os.environ | {"PYTHONPATH": str(SCRIPT.parent.parent)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("None\nusage: gpu.py [-h] [--out OUT] [--minutes MINUTES]")


@pytest.mark.parametrize(
    ("name", "expected"), [("NVIDIA H100 80GB HBM3", "nvidia-h100-80gb-hbm3"), ("NVIDIA A100-SXM4", "nvidia-a100-sxm4")]
)
def test_the_file_has_the_name_of_the_card(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, expected: str
) -> None:
    monkeypatch.setattr(gpu, "host", lambda device: H100.model_copy(update={"gpu": Gpu(name=name)}))
    monkeypatch.setattr(gpu, "ROOT", tmp_path)
    assert gpu.card(None) == (name, 0, tmp_path / "profiles" / f"{expected}.json")


def test_a_file_of_another_machine_and_an_old_torch_are_refused(with_gpu: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    Profile(host=H100.model_copy(update={"torch": "2.9.1"})).save(path)
    with pytest.raises(InvalidInput, match=r"recorded on another machine: torch '2.9.1', here '2.11.0'; --out"):
        with_gpu.card(str(path))
    with_gpu.host = lambda device: H100.model_copy(update={"torch": "2.8.0+cu128"})
    with pytest.raises(InvalidInput, match=r"torch 2.8.0\+cu128 is too old: 2.9 or newer"):
        with_gpu.card(str(path))


# ---- the tests marked cuda -------------------------------------------------------------------------------------------

VERBOSE = """\
============================= test session starts ==============================
collecting ... collected 5 items / 1 error

tests/test_cuda.py::test_probes PASSED                                   [ 20%]
tests/test_cuda.py::test_events[fake - 1] SKIPPED (needs an NVIDIA GPU)  [ 40%]
tests/test_cuda.py::test_layers FAILED                                   [ 60%]
tests/test_module.py::test_cuda_computes_the_same[sep] PASSED            [ 80%]
=================================== ERRORS =====================================
=========================== short test summary info ============================
FAILED tests/test_cuda.py::test_layers - assert 1 == 2
ERROR tests/test_flicker.py - ModuleNotFoundError: No module named 'simpy'
===================== 1 failed, 2 passed, 1 error in 3.10s =====================
"""


def test_results_of_pytest_are_counted_and_failures_named(gpu: ModuleType) -> None:
    lines = VERBOSE.splitlines(keepends=True)
    expected = "2 passed, test_events[fake - 1] skipped, test_layers failed, test_flicker.py error"
    assert gpu.results(lines) == expected
    assert gpu.results(lines[:4]) == "1 passed"  # stopped after the first one


def test_tests_are_skipped_with_a_sentence_where_pytest_is_missing(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "find_spec", lambda name: None if name == "pytest" else object())
    assert gpu.cuda_tests(0) == "skipped, for there is no pytest"


@pytest.fixture
def few_tests(gpu: ModuleType, tmp_path: Path) -> Path:
    (tmp_path / "tests").mkdir()
    gpu.ROOT = tmp_path
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = cuda: needs an NVIDIA GPU\n")
    return tmp_path / "tests" / "test_few.py"


FEW = """
import time, pytest
@pytest.mark.cuda
def test_one(): pass
@pytest.mark.cuda
def test_two(): {two}
def test_three(): assert False, "it is not marked"
"""


@pytest.mark.parametrize(
    ("two", "outcome"),
    [
        ("pass", ("done", "2 passed")),
        ("assert 1 == 2", ("failed", "1 passed, test_two failed")),
        ("time.sleep(60)", ("stopped", "1 passed")),
    ],
)
def test_the_marked_tests_are_run(gpu: ModuleType, few_tests: Path, two: str, outcome: tuple[str, str]) -> None:
    few_tests.write_text(FEW.format(two=two))
    gpu.GRACE = 5.0
    assert gpu.apart(partial(gpu.cuda_tests, 0), seconds=3.0 if "sleep" in two else 30.0) == outcome
