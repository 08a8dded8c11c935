"""The file format: validated in words, replaced as a whole, locked."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmodel.errors import InvalidInput
from costmodel.profiles.files import available, destination, load, locate, locked
from costmodel.profiles.records import Gpu, GpuState, Host, Process, Profile, Run, Settings, Subject
from costmodel.published import lstm_icnet as published

HOW = Settings(device="cpu", dtype="float32", memory_format="contiguous", implementation="eager", threads=2)
HOST = Host(cpu="A CPU", cores=2, memory=1 << 34, torch="2.13.0")


def run(cell: str = "sep", *seconds: float, **how: object) -> Run:
    subject = Subject(cell=cell, kernel=(3, 5), channels=(4, 4), size=(5, 6))
    return Run(
        subject=subject,
        how=HOW.model_copy(update=how),
        clock="wall",
        processes=(Process(seconds=seconds or (0.25, 0.5)),),
    )


PROFILE = Profile(host=HOST, runs=(run(), run("depth"), run("sep", threads=1)))


def test_a_run_is_a_line_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    PROFILE.save(path)
    assert load(path) == PROFILE
    lines = path.read_text().splitlines()
    assert len([line for line in lines if line.startswith('{"subject"')]) == 3
    again = PROFILE.with_run(run("depth", 0.125))
    changed = [a for a, b in zip(again.text().splitlines(), lines, strict=True) if a != b]
    assert len(changed) == 1
    assert '"seconds":[0.125]' in changed[0]


def test_a_run_with_the_same_subject_way_and_clock_replaces_the_old_one() -> None:
    again = PROFILE.with_run(run("sep", 9.0))
    assert [r.processes[0].seconds for r in again.runs] == [(9.0,), (0.25, 0.5), (0.25, 0.5)]
    assert len(PROFILE.with_run(run("spatial")).runs) == 4


@given(
    st.lists(st.lists(st.floats(1e-9, 1e6), min_size=1, max_size=4), min_size=1, max_size=3),
    st.sampled_from(["float32", "bfloat16"]),
    st.integers(1, 64),
    st.integers(1, 8),
)
def test_every_number_survives_the_file(samples: list[list[float]], dtype: str, batch: int, frames: int) -> None:
    gpu = GpuState(sm_mhz=1980, memory_mhz=2619, power_w=75.5, temperature_c=30, throttle=("power cap",))
    how = Settings(
        device="cuda",
        dtype=dtype,
        memory_format="channels_last",
        implementation="compiled",
        tf32=False,
        cuda_graph=True,
        flush=True,
        batch=batch,
        frames=frames,
    )
    subject = Subject(network="v6", cell="sep", sites=(("final", "depth"),), kernel=(3, 3), classes=19, size=(8, 9))
    processes = tuple(Process(seconds=tuple(s), gpu_before=gpu, peak_gpu_memory=5) for s in samples)
    profile = Profile(
        host=Host(cpu="c", gpu=Gpu(name="g")),
        runs=(Run(subject=subject, how=how, clock="cuda-events", processes=processes),),
    )
    assert Profile.model_validate_json(profile.text(), strict=True) == profile


def damaged(**changes: object) -> str:
    """The profile with a field of its second run changed: ``processes__0__seconds=[-1]``."""
    data = json.loads(PROFILE.text())
    for place, value in changes.items():
        *way, last = place.split("__")
        spot = data["runs"][1]
        for part in way:
            spot = spot[int(part) if part.isdigit() else part]
        spot[last] = value
    return json.dumps(data)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PROFILE.text()[:200], "damaged or cut short, not JSON"),
        ("", "damaged or cut short, not JSON"),
        ("[]", "runs: Input should be an object"),
        (
            PROFILE.text().replace('"format": 1', '"format": 2'),
            "format 2, but this version of costmodel reads format 1",
        ),
        (damaged(processes__0__seconds=[-1]), "run 2: runs[1].processes[0].seconds[0]: Input should be greater than 0"),
        (damaged(processes__0__seconds=[]), "run 2: runs[1].processes[0].seconds: Tuple should have at least 1 item"),
        (damaged(processes__0__seconds=["1"]), "seconds[0]: Input should be a valid number, not '1'"),
        (damaged(how__dtype="int8"), "run 2: runs[1].how.dtype: Input should be 'float32', 'float64'"),
        (damaged(how__colour="red"), "run 2: runs[1].how.colour: Extra inputs are not permitted, not 'red'"),
        (damaged(how__tf32=True), "run 2: runs[1].how: tf32, cuda_graph and flush need"),
        (damaged(clock="published"), "run 2: runs[1]: published times leave the dtype open"),
        (damaged(clock="cuda-events"), "run 2: runs[1]: the clock of cpu is wall"),
        (damaged(subject__cell="sep"), "5x6, float32, contiguous, eager, 2 threads appears twice"),
        (damaged(subject__kernel=[3, 0]), "run 2: runs[1].subject.kernel[1]: Input should be greater than 0, not 0"),
        (damaged(subject__classes=19), "run 2: runs[1].subject: a network needs classes"),
        (damaged(subject__sites=[["final", "sep"]]), "run 2: runs[1].subject: a single cell has no sites"),
        (damaged(subject__recurrence="a\x1b[31m"), "run 2: runs[1].subject.recurrence: String should match"),
        (damaged(processes__0__seconds=[1e300]), "seconds[0]: Input should be less than or equal to 1000000"),
        (damaged(processes__0__deviation=-1.0), "deviation: Input should be greater than or equal to 0"),
    ],
)
def test_a_damaged_file_is_refused_in_words(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_lines_lead_to_a_damaged_run(tmp_path: Path) -> None:
    path = tmp_path / "hand.json"
    path.write_text(
        PROFILE.text().replace('"seconds":[0.25,0.5]', '"seconds":[0.25,-0.5]', 2).replace("-0.5", "0.5", 1)
    )
    with pytest.raises(InvalidInput, match=r"run 2 \(line 6\): runs\[1\].processes"):
        load(path)
    assert "-0.5" in path.read_text().splitlines()[5]  # the sixth


@given(st.integers(0, len(PROFILE.text()) - 3))
def test_a_file_cut_anywhere_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Profile.model_validate_json(PROFILE.text()[:length], strict=True)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="there is no such file"):
        load(tmp_path / "none.json")
    for special in (tmp_path, Path("/dev/zero")):
        with pytest.raises(InvalidInput, match="not a profile file"):
            load(special)
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match="cannot be read: not text"):
        load(tmp_path / "bytes.json")


def test_a_mark_in_front_is_no_damage(tmp_path: Path) -> None:
    (tmp_path / "bom.json").write_bytes(b"\xef\xbb\xbf" + PROFILE.text().encode())
    assert load(tmp_path / "bom.json") == PROFILE


def test_places_that_cannot_be_written_are_refused_first(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match=r"x\.json cannot be written: "), locked(tmp_path / "file" / "x.json"):
        pass
    with pytest.raises(InvalidInput, match=r"x\.json cannot be written: "), locked(Path("/proc/x.json")):
        pass


def test_a_link_leads_to_the_file_that_is_replaced_and_locked(tmp_path: Path) -> None:
    PROFILE.save(tmp_path / "real.json")
    (tmp_path / "link.json").symlink_to("real.json")
    assert destination(str(tmp_path / "link.json")) == tmp_path / "real.json"


def test_saving_leaves_nothing_else_behind(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "mine.json"
    PROFILE.save(path)
    PROFILE.save(path)
    assert [p.name for p in path.parent.iterdir()] == ["mine.json"]


def test_a_second_writer_is_refused_and_a_killed_one_leaves_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    script = (
        "import sys, time; from pathlib import Path; from costmodel.profiles.files import locked\n"
        f"with locked(Path({str(path)!r})): print('locked', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(InvalidInput, match="another process is writing to it"), locked(path):
            pass
        other.kill()
    with locked(path):
        pass


def test_names_and_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    PROFILE.save(destination("mine"))
    assert locate("mine") == tmp_path / "profiles" / "mine.json"
    assert locate("profiles/mine.json") == Path("profiles/mine.json")
    assert {"mine", "paper"} <= set(available())
    with pytest.raises(InvalidInput, match=r"no profile 'yours': there are mine, .*paper.*; or give the path"):
        locate("yours")
    for name in ("", "profiles", "profiles/"):
        with pytest.raises(InvalidInput, match="is not a valid profile name"):
            destination(name)


def test_the_papers_profile_is_its_table() -> None:
    profile = load(locate("paper"))
    times = {(r.subject.name, r.how.device): 1e3 * r.processes[0].seconds[0] for r in profile.runs}
    for row in published.TABLE_IV.values():
        assert times.pop((row.approach, "cpu")) == pytest.approx(row.cpu_ms, rel=1e-12)
        assert times.pop((row.approach, "cuda")) == pytest.approx(row.gpu_ms, rel=1e-12)
    assert not times
    assert (profile.host.name("cpu"), profile.host.name("cuda")) == (published.CPU.name, published.GPU.name)
    assert all(run.clock == "published" for run in profile.runs)


def test_hosts_that_differ_are_told_apart() -> None:
    other = HOST.model_copy(update={"torch": "2.9.0"})
    assert HOST.differences(HOST) == []
    assert HOST.differences(other) == ["torch '2.9.0', here '2.13.0'"]
    gpu = HOST.model_copy(update={"gpu": Gpu(name="G")})
    assert HOST.differences(gpu) == []  # the GPU was only not asked for
    assert HOST.merged(gpu) == gpu


def test_frames_of_samples_and_estimates() -> None:
    import costmodel

    paper = costmodel.read_profile("paper")
    samples, estimates = paper.frame(), costmodel.estimates(paper)
    assert len(samples) == len(estimates) == 26
    assert samples.attrs == {"machine": "Intel Core i5-6300U", "gpu": "NVIDIA TITAN X"}
    gpu = estimates[(estimates.device == "cuda") & (estimates.network == "v6")].set_index("cell")
    assert gpu.pct["depth"] == pytest.approx(100 * 68.60 / 80.16)
    empty = Profile(host=paper.host)
    assert list(empty.frame().columns) == list(samples.columns)
    assert list(costmodel.estimates(empty).columns) == list(estimates.columns)


def test_reprs_name_the_thing_and_stay_short() -> None:
    assert repr(PROFILE) == str(PROFILE) == "<Profile: A CPU, 3 runs of 2 subjects>"  # sep in two ways, and depth
    dated = PROFILE.model_copy(update={"host": HOST.model_copy(update={"date": datetime(2026, 11, 21, tzinfo=UTC)})})
    assert repr(dated) == "<Profile: A CPU, 3 runs of 2 subjects, 2026-11-21>"
    one = run()
    assert repr(one) == str(one) == f"<Run: {one.title}: 2 samples from 1 process>"
    assert repr(one.processes[0]) == "<Process: 2 samples, median 0.375 s>"  # (0.25 + 0.5) / 2
    long = run("c" * 10_000, *[0.5] * 1000)
    many = Profile(host=Host(cpu="A" * 10_000), runs=(long,))
    assert max(len(repr(each)) for each in (many, long, *long.processes)) <= 1000
    assert "ccc" in repr(long)


def test_a_profile_is_read_by_a_path_too() -> None:
    import costmodel

    assert costmodel.read_profile(locate("paper").resolve()) == costmodel.read_profile("paper")
