"""`costmodel profile` and what is made of its files: real processes, real kills, tiny subjects."""

import csv
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import pytest
import torch
from test_cli import process, run

from costmodel.cli.timing import DEVICES, DTYPES, IMPLEMENTATIONS, MEMORY_FORMATS
from costmodel.describe.cells import describe_cell
from costmodel.describe.ops import Map
from costmodel.describe.program import Trace
from costmodel.errors import InvalidInput, MeasuringFailed
from costmodel.measure import profile as measuring
from costmodel.measure import runner
from costmodel.measure import timed as steps
from costmodel.measure.jobs import Job
from costmodel.measure.profile import choose, record, settings_grid
from costmodel.measure.timed import Timed, deviation, first_results
from costmodel.measure.worker import ChildWorker
from costmodel.measure.workload import Described
from costmodel.profiles.files import available, load
from costmodel.profiles.records import Host, Process, Profile, Run, Subject

TINY = ["--channels", "4", "--size", "5x6", "--threads", "1"]
ONE = choose(settings_grid(threads=1), None, ["sep"], channels=[(4, 4)], size=(5, 6))


class QuickWorker:
    """A process that answers at once, for tests of what is around it."""

    def __init__(self, job: Job, verify: bool) -> None:
        self.job, self.verify = job, verify

    def started(self, seconds: float | None) -> None: ...

    def ready(self, seconds: float | None) -> dict[str, Any]:
        return {"deviation": 0.0} if self.verify else {}

    def turn(self) -> float:
        return 0.001

    def finish(self) -> dict[str, Any]:
        return {}

    def kill(self) -> None: ...


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Workers that answer at once; the titles of what they were started for."""
    started: list[str] = []

    class Listed(QuickWorker):
        def __init__(self, job: Job, verify: bool) -> None:
            super().__init__(job, verify)
            started.append(job.subject.title)

    monkeypatch.setattr(measuring, "Runner", quick_runner(Listed))
    return started


def quick_runner(start: type[QuickWorker], probe: Any = None) -> Any:
    """A runner with such workers, which needs no references."""
    fakes = {"start": start, "prepare": lambda jobs, patience: None, "probe": probe}
    return lambda keep, **settings: runner.Runner(keep, **settings | fakes)


def test_it_times_and_records_and_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "mine.json"
    profile = ["profile", "--cells", "standard,depth", *TINY, "--rounds", "2", "--out", str(out)]
    done = process(*profile, "--processes", "2", "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    standard, depth = json.loads(done.stdout)["runs"]
    assert (standard["pct"], standard["pct_interval"]) == (100.0, [100.0, 100.0])
    assert depth["interval_s"][0] <= depth["median_s"] <= depth["interval_s"][1]
    assert (depth["processes"], depth["samples"], depth["clock"], depth["device"]) == (2, 4, "wall", "cpu")
    assert 0 <= depth["deviation"] < 1e-6
    assert depth["peak_memory_bytes"] > 50_000_000  # torch alone is more
    assert depth["minor_faults_per_call"] < 10
    saved = load(out)
    turns = [[process.started for process in r.processes] for r in saved.runs]
    assert turns[0] == turns[1]
    first = saved.runs[1].processes[0]
    assert first.affinity is not None
    assert len(first.affinity) == 1
    assert first.calls > 1  # one call takes far less than a sample should
    assert 4 <= len(first.warmup_seconds) <= 20
    assert saved.host.environment["MALLOC_TRIM_THRESHOLD_"] == "4294967296"
    assert saved.host.torch == torch.__version__

    again = process(*profile)
    assert (again.returncode, again.stdout) == (2, "")
    assert "already has 2 of these runs, such as standard cell 3x3 4 5x6: --resume adds" in again.stderr
    resumed = process(*profile, "--processes", "3", "--resume")
    assert resumed.returncode == 0
    assert [len(r.processes) for r in load(out).runs] == [3, 3]
    assert load(out).runs[1].processes[:2] == saved.runs[1].processes
    assert "Time per step on " in resumed.stdout


def test_replacing_measures_anew(tmp_path: Path, quick: list[str]) -> None:
    out = tmp_path / "mine.json"
    first = record(ONE, out, processes=3, rounds=1)
    assert [len(r.processes) for r in first.runs] == [3]
    seen: list[Profile] = []
    again = record(ONE, out, processes=3, rounds=2, replace=True, latest=seen.append)
    assert [[len(p.seconds) for p in r.processes] for r in again.runs] == [[2, 2, 2]]
    assert [profile.runs for profile in seen[:2]] == [first.runs] * 2  # until there are as many new ones
    assert len(quick) == 2 * 3


def test_what_a_group_lacks_is_measured_in_turns(tmp_path: Path, quick: list[str]) -> None:
    """A cell that joins later is interleaved with the recorded standard cell."""
    out = tmp_path / "mine.json"
    standard, sep = (
        choose(settings_grid(threads=1), None, [c], channels=[(4, 4)], size=(5, 6))[0] for c in ("standard", "sep")
    )
    record([standard], out, processes=2)
    found = record([standard, sep], out, processes=2, resume=True)
    assert [len(r.processes) for r in found.runs] == [4, 2]
    assert [p.started for p in found.runs[0].processes][2:] == [p.started for p in found.runs[1].processes]


def test_what_fails_is_told_at_the_end_and_the_rest_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(QuickWorker):
        def ready(self, seconds: float | None) -> dict[str, Any]:
            if self.job.subject.cell == "depth":
                raise runner.JobFailed(self.job, "it died")
            return super().ready(seconds)

    monkeypatch.setattr(measuring, "Runner", quick_runner(Failing))
    out = tmp_path / "mine.json"
    code, printed, err = run(capsys, "profile", "--cells", "standard,depth,sep", *TINY, "--out", str(out))
    assert code == 1
    assert err.startswith("costmodel: depth cell 3x3 4 5x6, float32, contiguous, eager, 1 thread: it died")
    assert [r.subject.cell for r in load(out).runs] == ["standard", "sep"]
    assert "sep cell" in printed
    code, printed, err = run(capsys, "sweep", "--kernel", "3", "--cell", "depth", *TINY[:4], "--measure", "cpu")
    assert (code, "it died" in err, "depth" in printed) == (1, True, True)


def test_an_interrupted_table_goes_on_where_it_was_saved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], quick: list[str]
) -> None:
    sweep = ["sweep", "--kernel", "3", "--cell", "sep", *TINY, "--measure", "cpu", "--save", str(tmp_path / "m.json")]
    for processes in ("2", "5"):
        code, _, _ = run(capsys, *sweep, "--processes", processes)
        assert code == 0
        assert {len(r.processes) for r in load(tmp_path / "m.json").runs} == {int(processes)}


def test_ctrl_c_keeps_what_was_measured_and_ends_the_children(tmp_path: Path) -> None:
    out = tmp_path / "mine.json"
    command = [sys.executable, "-m", "costmodel", "profile", "--cells", "sep", *TINY, "--processes", "50"]
    with subprocess.Popen([*command, "--out", str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        wait_for(out.exists)
        wait_for(lambda: bool(children(running.pid)))
        left = children(running.pid)
        running.send_signal(signal.SIGINT)
        printed, complaint = running.communicate()
    assert running.returncode == 130
    assert complaint.decode() == f"costmodel: interrupted; {out} keeps what was timed\n"
    assert b"sep cell 3x3 4 5x6" in printed
    assert len(load(out).runs[0].processes) >= 1
    wait_for(lambda: not any(timing(child) for child in left))


def test_a_killed_runner_leaves_no_children(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "costmodel", "profile", "--cells", "sep", *TINY, "--processes", "50"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        wait_for(lambda: bool(children(running.pid)))
        left = children(running.pid)
        running.kill()
    wait_for(lambda: not any(timing(child) for child in left))


def wait_for(condition: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def timing(pid: int) -> bool:
    """Whether a process is alive and one that times."""
    try:
        return b"costmodel.measure.child" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended
        return False


def children(parent: int) -> list[int]:
    """The processes that time for a runner."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
    return [pid for pid in found if timing(pid)]


# Real processes and real files; only what is timed answers at once, so that the kill often meets the moment of saving.
KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_profile_command import ONE, QuickWorker, record
record(ONE, Path(sys.argv[1]), resume=True, processes=10**6, rounds=1, start=QuickWorker, probe=None,
       latest=lambda profile: print(len(profile.runs[0].processes), flush=True))
"""


def test_killing_it_at_ten_random_moments_loses_nothing_that_was_finished(tmp_path: Path) -> None:
    out, rng = tmp_path / "mine.json", random.Random(0)
    script = KILLED.format(tests=str(Path(__file__).parent))
    before: tuple[Process, ...] = ()
    for _ in range(10):
        with subprocess.Popen([sys.executable, "-c", script, str(out)], stdout=subprocess.PIPE) as running:
            assert running.stdout is not None
            running.stdout.readline()
            time.sleep(rng.uniform(0, 0.3))
            running.kill()
            told = [int(line) for line in running.stdout.read().splitlines() if line]
        after = load(out).runs[0].processes
        assert after[: len(before)] == before  # nothing of earlier runs is lost,
        assert len(after) >= max(told, default=len(before) + 1)  # nor what this one said was finished
        before = after
    assert len(before) > 20
    record(ONE, out, resume=True, processes=len(before))
    assert [path.name for path in tmp_path.glob("*.tmp")] == []


def test_a_file_in_another_state_is_left_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], quick: list[str]
) -> None:
    out = tmp_path / "mine.json"
    profile = ["profile", "--cells", "sep", *TINY, "--out", str(out), "--resume"]
    foreign = Profile(host=Host(cpu="Another CPU", torch="2.9.0")).text()
    for text, message in (
        ("{", "damaged or cut short"),
        (foreign.replace('"format": 1', '"format": 7'), "format 7, but this version of costmodel reads format 1"),
        (foreign, "was recorded on another machine: cpu 'Another CPU', here"),
    ):
        out.write_text(text)
        code, printed, complaint = run(capsys, *profile)
        assert (code, printed, len(complaint.splitlines())) == (2, "", 1)
        assert message in complaint
        assert out.read_text() == text
    assert quick == []


def test_a_table_measures_what_no_profile_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], quick: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table = ["table", "--model", "v2", "--cell", "depth", "--size", "97x97", "--format", "json"]
    code, out, _ = run(capsys, *table, "--measure", "cpu", "--processes", "2", "--save", "mine")
    assert code == 0
    icnet, depth = json.loads(out)["rows"]
    assert icnet["timings"][0]["pct"] == 100.0
    assert depth["timings"][0]["pct"] == 100.0  # of the standard cell, which is timed with it, though it is not shown
    assert depth["timings"][0]["profile"] == "mine"
    assert sorted(set(quick)) == ["ICNet 97x97", "LSTM-ICNet v2 3x3 97x97", "depth-LSTM-ICNet v2 3x3 97x97"]
    quick.clear()
    for again in (
        ["--profile", "mine"],
        ["--profile", "mine", "--measure", "cpu"],
        ["--measure", "cpu", "--processes", "2", "--save", "mine"],
    ):
        code, repeated, _ = run(capsys, *table, *again)
        assert (code, json.loads(repeated)) == (0, json.loads(out))
    assert quick == []
    code, out, _ = run(capsys, *table, "--profile", "mine", "--measure", "cpu", "--implementation", "eager,compiled")
    assert [len(row["timings"]) for row in json.loads(out)["rows"]] == [2, 2]
    code, out, _ = run(capsys, *table[:-2], "--profile", "mine", "--implementation", "compiled")
    assert "Time per" not in out
    code, out, err = run(capsys, "table", "--model", "v2", "--size", "193x193", "--profile", "mine")
    command = "costmodel profile --model icnet,v2 --cell standard,spatial,depth,sep --size 193x193 --out mine --resume"
    assert (code, err) == (0, f"costmodel: profile mine has none of these rows; to record them: {command}\n")


def test_a_sweep_measures_what_no_profile_has(capsys: pytest.CaptureFixture[str], quick: list[str]) -> None:
    sweep = ["sweep", "--kernel", "3", "--channels", "4,4x6", "--size", "5x6", "--measure", "cpu", "--processes", "2"]
    code, out, err = run(capsys, *sweep, "--format", "json")
    rows = json.loads(out)["rows"]
    assert (code, 'left out: cell "depth"' in err) == (0, True)
    assert [row["timings"][0]["pct"] for row in rows] == [100.0] * 6  # the other three cells, twice
    code, out, _ = run(capsys, *sweep)
    assert "Time per step on" in out
    code, out, _ = run(capsys, *sweep, "--format", "csv")
    assert out.splitlines()[0].endswith("wall_cpu_pct_high,wall_cpu_pct_verdict")


def test_measuring_for_a_table_is_the_real_thing(capsys: pytest.CaptureFixture[str]) -> None:
    effort = ["--processes", "1", "--rounds", "2", "--threads", "1"]
    code, out, _ = run(capsys, "sweep", "--cell", "sep", "--kernel", "3", *TINY[:4], "--measure", "cpu", *effort)
    assert code == 0
    (line,) = [line for line in out.splitlines() if "12.07" not in line and line.split()[2:3] == ["sep"]][-1:]
    assert line.split()[4:] == ["undecided", line.split()[5], "undecided", line.split()[7]]  # one process
    assert "To decide all of these: 2 more processes as noisy as now" in " ".join(out.split())


def profiled(path: Path, **seconds: list[float]) -> str:
    """A profile with a process for each of the given seconds of each cell."""
    runs = []
    for cell, each in seconds.items():
        subject = Subject(cell=cell, kernel=(3, 3), channels=(4, 4), size=(5, 6))
        (how,) = settings_grid(threads=1)
        start = datetime(2026, 1, 1, tzinfo=UTC)
        processes = tuple(Process(started=start + timedelta(hours=n), seconds=(s,)) for n, s in enumerate(each))
        runs.append(Run(subject=subject, how=how, clock="wall", processes=processes))
    Profile(host=Host(cpu="c"), runs=tuple(runs)).save(path)
    return str(path)


@pytest.mark.parametrize(
    ("after", "limit", "code"),
    [
        ([2.0, 2.01, 2.02, 2.03, 2.04], None, 0),
        ([2.0, 2.01, 2.02, 2.03, 2.04], "5%", 1),  # twice as slow
        ([1.0, 1.01, 1.02, 1.03, 1.04], "5%", 0),  # the same
        ([1.07, 1.08, 1.08, 1.09, 1.09], "5%", 1),
        ([1.07, 1.08, 1.08, 1.09, 1.09], "10%", 0),
        ([0.9, 0.9, 1.5, 1.6, 1.6], "5%", 3),  # the mean is, but the interval holds 1: nobody can tell
        ([0.5] * 5, "0", 0),  # faster
        ([9.0] * 2, "5%", 3),  # so few processes say nothing: that is not a pass
        ([9.0] * 2, None, 0),
    ],
)
def test_diff_fails_where_it_is_slower(
    after: list[float], limit: str | None, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = profiled(tmp_path / "a.json", sep=[1.0, 1.01, 1.02, 1.03, 1.04])
    second = profiled(tmp_path / "b.json", sep=after, spatial=[1.0])
    options = [] if limit is None else ["--fail-over", limit]
    seen, out, err = run(capsys, "diff", first, second, *options)
    assert (seen, bool(err)) == (code, code == 3)
    assert "0 runs only in the first, 1 only in the second" in " ".join(out.split())
    assert ("slower by more than" in out, "not judged: sep cell" in out) == (code == 1, code == 3)
    record = json.loads(run(capsys, "diff", first, second, *options, "--format", "json")[1])
    (row,) = record["rows"]
    assert row["ratio"] == pytest.approx(geometric_mean(after) / geometric_mean([1.0, 1.01, 1.02, 1.03, 1.04]))
    assert (len(record["slower"]), len(record["undecided"])) == (code == 1, code == 3)


def test_diff_relative_to_the_standard_cell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole machine is twice as slow; the sep cell is besides, the spatial one is not."""
    first = profiled(tmp_path / "a.json", standard=[2.0] * 5, sep=[1.0] * 5, spatial=[1.0] * 5)
    second = profiled(tmp_path / "b.json", standard=[4.0] * 5, sep=[2.2] * 5, spatial=[2.0] * 5)
    code, out, _ = run(capsys, "diff", first, second, "--fail-over", "5%", "--relative")
    assert code == 1
    assert [line.split()[-4:] for line in out.splitlines() if line.startswith(("sep cell", "spatial cell"))] == [
        ["slower", "1.100", "1.100-1.100", "0"],
        ["same", "1.000", "1.000-1.000", "0"],
    ]
    assert out.count("slower by more than 5 %") == 1
    assert run(capsys, "diff", first, second, "--fail-over", "5%", "--format", "csv")[1].count("yes") == 0


def test_diff_of_profiles_with_nothing_in_common(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = profiled(tmp_path / "a.json", sep=[1.0]), profiled(tmp_path / "b.json", depth=[1.0])
    code, _, err = run(capsys, "diff", first, second)
    assert (code, "no run in common" in err) == (2, True)


def test_profiles_are_listed_even_damaged_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    profiled(tmp_path / "profiles" / "mine.json", sep=[1.0])
    (tmp_path / "profiles" / "broken.json").write_text("{")
    code, out, err = run(capsys, "profiles")
    assert (code, err) == (0, "")
    assert "broken.json: damaged or cut short" in " ".join(out.split())
    records = {each["name"]: each for each in json.loads(run(capsys, "profiles", "--format", "json")[1])}
    assert (records["mine"]["machine"], records["mine"]["runs"]) == ("c", 1)
    assert records["paper"]["machine"] == "Intel Core i5-6300U, NVIDIA TITAN X"
    code, out, _ = run(capsys, "profiles", "mine")
    assert (code, "Time per step on c (profile mine): float32" in out, "sep cell 3x3 4 5x6" in out) == (0, True, True)
    paper = json.loads(run(capsys, "profiles", "paper", "--format", "json")[1])
    assert (len(paper["runs"]), paper["runs"][-1]["median_s"]) == (26, 0.07268)
    rows = list(csv.DictReader(io.StringIO(run(capsys, "profiles", "paper", "--format", "csv")[1])))
    assert (rows[0]["published_cpu_s"], rows[-1]["published_cuda_s"], rows[-1]["published_cpu_s"]) == (
        "1.388",
        "0.07268",
        "",
    )
    Profile(host=Host(cpu="c")).save(tmp_path / "profiles" / "empty.json")
    code, out, err = run(capsys, "profiles", "empty")
    assert (code, out, err) == (2, "", "costmodel: empty: no runs to show\n")


# ---- in the child ----------------------------------------------------------------------------------------------------


def timed(cell: str = "sep", **settings: Any) -> Timed:
    (how,) = settings_grid(threads=1, **settings)
    return steps.timed(Described(describe_cell(cell, channels=4, size=(5, 6))), how)


def reference_of(cell: str = "sep", **settings: Any) -> "list[torch.Tensor] | None":
    (how,) = settings_grid(threads=1, **settings)
    return steps.expected(Described(describe_cell(cell, channels=4, size=(5, 6))), how)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"memory_format": "channels_last"},
        {"dtype": "float64"},
        {"dtype": "bfloat16"},
        {"frames": 4},
        {"batch": 3},
        {"frames": 2, "batch": 2, "memory_format": "channels_last"},
    ],
    ids=str,
)
def test_every_way_computes_what_the_reference_does(settings: dict[str, Any]) -> None:
    subject, reference = timed(**settings), reference_of(**settings)
    subject.place()
    assert subject.inputs[0].shape[0] == settings.get("batch", 1)
    assert len(subject.inputs) == settings.get("frames", 1)
    assert str(subject.inputs[0].dtype) == f"torch.{settings.get('dtype', 'float32')}"
    if "memory_format" in settings:
        assert subject.inputs[0].is_contiguous(memory_format=torch.channels_last)
        assert subject.module.body.get_submodule("xi_1").weight.is_contiguous(memory_format=torch.channels_last)
    assert deviation(first_results(subject), reference, subject.how) < (
        0.05 if settings.get("dtype") == "bfloat16" else 1e-5
    )


def test_another_result_is_refused() -> None:
    subject, reference = timed(), reference_of()
    subject.place()
    with torch.no_grad():
        next(subject.module.parameters()).mul_(1.01)
    with pytest.raises(InvalidInput, match=r"the results deviate from the reference by .*, more than 1e-04"):
        deviation(first_results(subject), reference, subject.how)
    with torch.no_grad():
        next(subject.module.parameters()).fill_(torch.nan)
    with pytest.raises(InvalidInput, match="by inf"):
        deviation(first_results(subject), reference, subject.how)


def test_a_stream_carries_its_state_and_a_window_starts_anew() -> None:
    stream, window = timed(), timed(frames=2)
    for subject in (stream, window):
        subject.place()
    first, second = (stream.step() for _ in range(2))
    assert isinstance(first, torch.Tensor)
    assert not torch.equal(first, second)  # the same frame, another memory
    again, once_more = (window.step() for _ in range(2))
    assert torch.equal(again, once_more)


def test_what_a_child_cannot_do_is_told_by_the_runner() -> None:
    trace = Trace()
    x, y = (trace.input(name, Map(4, 5, 6)) for name in "xy")
    program = trace.program("two inputs", x + y)
    job = Job(ONE[0].subject, ONE[0].how, Described(program))
    with pytest.raises(MeasuringFailed, match=r"sep cell 3x3 4 5x6, float32.*: two inputs has 2 inputs"):
        record([job])


def test_a_child_that_dies_is_told_by_the_runner() -> None:
    worker = ChildWorker(ONE[0])
    worker.started(None)
    os.kill(worker.process.pid, signal.SIGKILL)
    with pytest.raises(MeasuringFailed, match="the process was killed by signal 9; it may have run out of memory"):
        worker.ready(None)
    worker.kill()


# ---- GPU -------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize(
    "command", ["profile --cells sep --device cuda", "table --measure cuda", "sweep --measure cuda"]
)
def test_without_a_gpu_it_says_so_in_one_line(command: str) -> None:
    done = process(*command.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("costmodel: device cuda: torch finds no NVIDIA GPU")
    assert len(done.stderr.splitlines()) == 1


def test_the_options_are_those_of_the_format() -> None:
    assert measuring.options("device") == DEVICES
    assert set(DTYPES) == set(measuring.options("dtype"))
    assert measuring.options("memory_format") == MEMORY_FORMATS
    assert measuring.options("implementation") == IMPLEMENTATIONS


def test_the_recorded_profiles_are_valid() -> None:
    for path in available().values():
        found = load(path)
        assert found.runs or found.calibrations or found.data_sheet
