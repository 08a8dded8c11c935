"""The conditions of a process that profiles record, and huge pages as a condition that is chosen."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from test_cli import run
from test_profile_command import TINY

from costmodel.cli.timing import PAGES, Choices
from costmodel.errors import InvalidInput
from costmodel.measure import host
from costmodel.measure.child import Used
from costmodel.measure.host import huge_page_share, mean_mhz, require_huge_pages, stolen_seconds
from costmodel.measure.jobs import check_possible
from costmodel.measure.profile import choose, record, settings_grid
from costmodel.profiles.recording import recording
from costmodel.profiles.records import Process, Profile, Run, Settings
from costmodel.report.profile import document

ROLLUP = """\
55d0a0000000-7ffd12345000 ---p 00000000 00:00 0                          [rollup]
Rss:              204800 kB
Anonymous:        131072 kB
LazyFree:              0 kB
AnonHugePages:     98304 kB
"""
STAT = """\
cpu  100 0 50 9000 10 0 5 60 0 0
cpu0 50 0 25 4500 5 0 2 20 0 0
cpu1 50 0 25 4500 5 0 3 40 0 0
cpu10 50 0 25 4500 5 0 3 700 0 0
intr 12345
"""
CPUINFO = """\
processor\t: 0
model name\t: A CPU
cpu MHz\t\t: 2000.500
cache size\t: 512 KB

processor\t: 1
model name\t: A CPU
cpu MHz\t\t: 3000.500

processor\t: 2
model name\t: A CPU that tells nothing
"""


def written(folder: Path, text: str) -> Path:
    (folder / "file").write_text(text)
    return folder / "file"


def test_the_share_of_huge_pages(tmp_path: Path) -> None:
    assert huge_page_share(written(tmp_path, ROLLUP)) == 0.75  # 98304 / 131072
    assert huge_page_share(written(tmp_path, ROLLUP.replace("131072", "0"))) is None
    assert huge_page_share(tmp_path / "no file") is None


def test_stolen_seconds_are_summed_over_cpus(tmp_path: Path) -> None:
    stat, second = written(tmp_path, STAT), os.sysconf("SC_CLK_TCK")
    assert stolen_seconds([0, 1], stat) == (20 + 40) / second
    assert stolen_seconds([10], stat) == 700 / second
    assert stolen_seconds([], stat) is None
    assert stolen_seconds([0], tmp_path / "no file") is None


def test_the_clock_rate_is_the_mean_of_cpus(tmp_path: Path) -> None:
    info = written(tmp_path, CPUINFO)
    assert mean_mhz([0, 1], info) == 2500.5  # (2000.5 + 3000.5) / 2
    assert mean_mhz([1], info) == 3000.5
    assert mean_mhz([2], info) is None
    assert mean_mhz([0], tmp_path / "no file") is None


def test_what_a_context_uses_is_added_up() -> None:
    used, fresh = Used(), []
    for number in (1, 2):
        with used:
            fresh.append(b"x" * 50_000_000)
        fresh.append(b"x" * 50_000_000)  # outside
        # 50 MB are 12207 pages of 4 KB, or 23 of 2 MB.
        assert 23 * number <= used.minor_faults <= 1.5 * 12207 * number
    assert used.system_seconds >= 0
    assert used.switches >= 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"huge_pages": 1.5}, "less than or equal to 1"),
        ({"mhz": 0.0}, "greater than 0"),
        ({"switches": -1}, "greater than or equal to 0"),
        ({"steal_seconds": -0.1}, "greater than or equal to 0"),
    ],
)
def test_conditions_that_there_are_not(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Process(seconds=(1.0,), **fields)


def test_huge_pages_are_a_setting_of_their_own() -> None:
    plain, huge = settings_grid(threads=1, pages=["default", "huge"])
    assert (plain.pages, huge.pages) == (None, "huge")
    assert plain == settings_grid(threads=1)[0] == Settings.model_validate_json(plain.model_dump_json())
    assert "pages" not in plain.model_dump_json(exclude_defaults=True)  # files of before stay
    assert huge.title == "float32, contiguous, eager, 1 thread, huge pages"
    assert [Choices(pages=[word]).keep(how) for word in PAGES for how in (plain, huge)] == [True, False, False, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pages": "large"}, "unknown pages 'large': one of default, huge"),
        ({"device": "cuda", "pages": ["default", "huge"]}, "pages needs device cpu"),
    ],
)
def test_pages_that_there_are_not(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        settings_grid(**arguments)
    with pytest.raises(ValueError, match="threads and pages need device cpu"):
        Settings(device="cuda", pages="huge")


@pytest.mark.parametrize(
    ("setting", "library", "message"),
    [
        ("always [madvise] never", ("glibc", "2.36"), None),
        ("[always] madvise never", ("glibc", "2.35"), None),
        ("always madvise [never]", ("glibc", "2.36"), "this system has no transparent huge pages"),
        (None, ("glibc", "2.36"), "this system has no transparent huge pages"),
        ("always [madvise] never", ("glibc", "2.31"), r"needs glibc 2.35 or newer, not glibc 2.31"),
        ("always [madvise] never", ("", ""), r"needs glibc 2.35 or newer, not another C library$"),
    ],
)
def test_huge_pages_need_a_system_that_has_them(
    setting: str | None,
    library: tuple[str, str],
    message: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(host.platform, "libc_ver", lambda: library)
    file = tmp_path / "no file" if setting is None else written(tmp_path, setting)
    if message is None:
        require_huge_pages(file)
    else:
        with pytest.raises(InvalidInput, match=message):
            require_huge_pages(file)


def test_jobs_are_refused_where_there_are_no_huge_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.platform, "libc_ver", lambda: ("", ""))
    jobs = choose(settings_grid(threads=1, pages="huge"), None, ["sep"], channels=[(4, 4)], size=(5, 6))
    with pytest.raises(InvalidInput, match="pages huge: needs glibc"):
        check_possible(jobs, 1 << 40)


def test_a_command_that_records_names_the_pages() -> None:
    (job,) = choose(settings_grid(threads=1), None, ["sep"], channels=[(4, 4)], size=(5, 6))
    assert recording([job.subject], {"pages": ["default", "huge"]}).endswith("--pages default,huge --out NAME")
    assert "--pages" not in recording([job.subject], {"pages": ["default"]})


def test_tables_show_the_pages_that_are_wanted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = []
    for how, seconds in zip(settings_grid(threads=1, pages=["default", "huge"]), (0.2, 0.1), strict=True):
        (job,) = choose([how], None, ["standard"], channels=[(4, 4)], size=(5, 6))
        runs.append(Run(subject=job.subject, how=how, clock="wall", processes=(Process(seconds=(seconds,)),)))
    file = tmp_path / "mine.json"
    Profile(host=host.host("cpu"), runs=tuple(runs)).save(file)
    sweep = ["sweep", "--kernel", "3", "--cell", "standard", *TINY[:4], "--profile", str(file), "--format", "json"]
    for options, medians in ([], [0.2, 0.1]), (["--pages", "huge"], [0.1]), (["--pages", "default"], [0.2]):
        code, out, _ = run(capsys, *sweep, *options)
        assert code == 0
        assert [timing["median_s"] for timing in json.loads(out)["rows"][0]["timings"]] == medians


def test_reports_have_the_conditions() -> None:
    shares, runs = {None: (0.01, 0.02), "huge": (0.9, 0.8)}, []
    for how in settings_grid(threads=1, pages=["default", "huge"]):
        (job,) = choose([how], None, ["standard"], channels=[(4, 4)], size=(5, 6))
        conditions = {"switches": 30, "steal_seconds": 0.5, "mhz": 2600.0, "calls": 5}
        processes = tuple(Process(seconds=(1.0, 1.0), huge_pages=share, **conditions) for share in shares[how.pages])
        runs.append(Run(subject=job.subject, how=how, clock="wall", processes=processes))
    shown = document(Profile(host=host.host("cpu"), runs=tuple(runs)), "mine", [run.key for run in runs])
    (plain, huge) = json.loads(shown.text("json"))["runs"]
    assert (plain["huge_pages"], huge["huge_pages"]) == (0.02, 0.9)  # of an even number the upper one
    assert (huge["switches_per_call"], huge["steal_s"], huge["mhz"]) == (3.0, 0.5, 2600.0)  # 30 / (2 * 5)
    text = " ".join(shown.text("text").split())  # without the breaks of lines
    assert "1 thread, huge pages" in text
    assert text.count("Huge pages: ") == 1
    assert "Huge pages: 80% or more of the memory of each process." in text


def test_real_processes_record_their_conditions_and_get_huge_pages() -> None:
    """Maps of 8 MB each, so that huge pages of 2 MB fit inside."""
    try:
        require_huge_pages()
    except InvalidInput as reason:
        pytest.skip(str(reason))
    hows = settings_grid(threads=1, pages=["default", "huge"])
    jobs = choose(hows, None, ["depth"], channels=[(16, 16)], size=(256, 512))
    plain, huge = (run.processes[0] for run in record(jobs, processes=1, rounds=1).runs)
    for process in (plain, huge):
        assert process.switches is not None
        assert process.steal_seconds is not None
        assert process.mhz is None or 100 < process.mhz < 10_000
    always = "[always]" in Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
    assert huge.huge_pages is not None
    assert huge.huge_pages > 0.6
    assert plain.huge_pages is not None
    assert plain.huge_pages < 0.3 or always
