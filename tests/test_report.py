"""`costmodel report`: the folder that it writes, its page in a real browser, and what it refuses."""

import csv
import html
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from test_cli import process, run
from test_render import compiled

from costmodel.errors import InvalidInput
from costmodel.profiles.files import locate as read_path
from costmodel.profiles.files import read
from costmodel.report.folder import replacing

REPORT = ["report", "--model", "v6", "--kernel", "3,5", "--profile", "amd-epyc-2-cores", "--implementation", "eager"]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report, written by a real process."""
    folder = tmp_path_factory.mktemp("written") / "report"
    done = process(*REPORT, "--out", str(folder))
    assert (done.returncode, done.stderr, done.stdout) == (0, "", f"{folder / 'index.html'}\n")
    return folder


def test_everything_that_was_asked_for_is_there(report: Path) -> None:
    tables = {f"{name}.{suffix}" for name in ("table_iv", "sweep") for suffix in ("md", "tex", "csv", "json", "html")}
    assert {path.name for path in report.iterdir()} == tables | {"index.html", "report.json", "figures"}
    names = {path.stem for path in (report / "figures").iterdir()}
    assert {path.name for path in (report / "figures").iterdir()} == {f"{n}.{s}" for n in names for s in ("svg", "png")}
    ways = {f"amd-epyc-2-cores-float32-{memory}-eager-2-threads" for memory in ("contiguous", "channels_last")}
    assert names == {
        "overview",
        "quality-cityscapes-miou",
        "quality-vkitti-miou",
        "layers-icnet",
        "layers-lstm-icnet-v6",
        "kernels",
        *(f"{kind}-{way}" for way in ways for kind in ("time", "overview", "promise")),
        "promise-amd-epyc-2-cores-float32-contiguous-eager-1-thread",
    }
    assert (report / "figures" / "kernels.png").read_bytes()[:4] == b"\x89PNG"


def test_numbers_carry_convention_machine_and_date(report: Path) -> None:
    for suffix in ("md", "tex", "html"):
        text = " ".join((report / f"table_iv.{suffix}").read_text().split())
        for word in ("convention tf-profiler", "AMD EPYC", "2026-11-20", "Intel Core i5-6300U", "251.34", "62.17"):
            assert word in text, (suffix, word)
    rows = list(csv.DictReader((report / "table_iv.csv").read_text().splitlines()))
    key = "wall_cpu_amd-epyc-2-cores_float32_contiguous_eager_2-threads_state-carried"
    assert (rows[3]["convention"], rows[3]["flops"], rows[3][f"{key}_machine"], rows[3][f"{key}_date"]) == (
        "tf-profiler",
        "60017935180",
        "AMD EPYC",
        "2026-11-20",
    )
    record = json.loads((report / "table_iv.json").read_text())
    assert record["convention"] == "tf-profiler"
    assert {t["machine"] for t in record["rows"][1]["timings"] if t["clock"] == "wall"} == {"AMD EPYC"}


def test_the_latex_compiles_as_it_is_in_a_two_column_paper(report: Path, tmp_path: Path) -> None:
    for name in ("table_iv.tex", "sweep.tex"):
        shutil.copy(report / name, tmp_path)
    assert "Overfull" not in compiled(tmp_path, "table_iv.tex", "sweep.tex")


def test_the_page_needs_nothing_else(report: Path) -> None:
    page = (report / "index.html").read_text()
    assert not re.search(r'(src|href)="(?!#|data:)', page)
    assert not re.search(r"@import|url\((?!#)", page)


def test_the_footer_writes_the_report_again(report: Path, tmp_path: Path) -> None:
    (command,) = re.findall(r"Regenerate with: <code>(.*?)</code>", (report / "index.html").read_text())
    arguments = shlex.split(html.unescape(command))
    assert arguments[0] == "costmodel"
    before = {path: path.read_bytes() for path in report.rglob("*") if path.is_file()}
    done = process(*arguments[1:])
    assert (done.returncode, done.stderr) == (0, "")
    after = {path: path.read_bytes() for path in report.rglob("*") if path.is_file()}
    assert before == after  # in every byte


def test_what_profiles_do_not_have_is_left_out(tmp_path: Path) -> None:
    """Without --profile all are taken that have something; the footer names those alone, so that it works again."""
    for name in ("other", "amd-epyc-2-cores"):  # the first one has no runs
        profile = read(name) if name != "other" else read("paper").only(lambda how: False)
        profile.save(tmp_path / "profiles" / f"{name}.json")
    done = process("report", "--model", "v2", "--cell", "standard", "--kernel", "5", "--out", "r", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    (command,) = re.findall(r'"command": "(.*)"', (tmp_path / "r" / "report.json").read_text())
    assert "--profile=amd-epyc-2-cores --profile=paper" in command
    assert "other" not in command
    assert not [path.name for path in (tmp_path / "r" / "figures").iterdir() if path.name.startswith("promise")]
    assert process(*shlex.split(command)[1:], cwd=tmp_path).returncode == 0


def test_profiles_of_the_same_name_have_figures_of_their_own(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        shutil.copy(read_path("amd-epyc-2-cores"), tmp_path / folder / "mine.json")
    both = ["--profile", "one/mine.json", "--profile", "two/mine.json", "--profile", "one/mine.json"]
    eager = ["--implementation", "eager", "--memory-format", "contiguous"]
    done = process("report", "--model", "v6", "--kernel", "3", *both, *eager, "--out", "r", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    page = (tmp_path / "r" / "index.html").read_text()
    ids = re.findall(r'<figure id="(.*?)"', page)
    assert len(ids) == len(set(ids)) == len(list((tmp_path / "r" / "figures").glob("*.svg")))
    assert len([name for name in ids if name.startswith("time-")]) == 2  # the third one is the first one again


# ---- in a browser ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
    if None in programs:
        pytest.skip("needs chromium and chromedriver (Debian: chromium, chromium-driver)")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(programs[0])
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(programs[1])))
    yield driver
    driver.quit()


def opened(browser: Any, page: Path, width: int, *, dark: bool = False, scripts: bool = True, media: str = "") -> None:
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": scheme})
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not scripts})
    screen = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.get(page.as_uri())


BOXES = """return [...document.querySelectorAll(arguments[0])].map(each => {
  const box = each.getBoundingClientRect();
  return [box.left, box.right, box.width, box.height];
})"""


LABELS = "return [...arguments[0].cells].map(cell => cell.getAttribute('data-label'))"


def test_paper_has_tables_not_cards(report: Path, browser: Any) -> None:
    """A4 is narrower than the window in which tables become cards on a screen."""
    opened(browser, report / "index.html", 700, media="print")
    assert browser.execute_script("return getComputedStyle(document.querySelector('tbody tr')).display") == "table-row"
    opened(browser, report / "index.html", 700)
    assert browser.execute_script("return getComputedStyle(document.querySelector('tbody tr')).display") == "grid"


@pytest.mark.parametrize("name", ["index.html", "table_iv.html", "sweep.html"])
@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_fits_a_phone_and_a_desk(report: Path, browser: Any, name: str, width: int) -> None:
    opened(browser, report / name, width)
    if width == 390 and name != "sweep.html":  # a card says what its numbers are
        first = browser.find_elements("css selector", "table:has(caption) tbody tr")
        card = browser.execute_script(LABELS, first[-1])
        assert len(card) == len(set(card))
    assert browser.get_log("browser") == []  # no errors, no warnings
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    # Nothing is cut off or scrolled inside either.
    boxes = browser.execute_script(BOXES, "td, th.row, figure, figure svg, caption, li, p")
    shown = [box for box in boxes if box[2] and box[3]]
    assert len(shown) > 50
    assert all(left >= -0.5 and right <= width + 0.5 for left, right, _, _ in shown)
    figures = browser.execute_script(BOXES, "figure svg")
    assert len(figures) == (13 if name == "index.html" else 0)
    assert all(wide > 250 and high > 150 for _, _, wide, high in figures)


def test_the_page_is_dark_where_the_reader_wants_it_and_light_on_paper(report: Path, browser: Any) -> None:
    colours = "const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]"
    ink = "return getComputedStyle(document.querySelector('figure svg')).color"

    def light(colour: str) -> float:
        return sum(map(float, re.findall(r"\d+", colour)[:3])) / 3 / 255

    for dark, media, wanted in ((False, "", False), (True, "", True), (True, "print", False)):
        opened(browser, report / "index.html", 1200, dark=dark, media=media)
        paper, text = map(light, browser.execute_script(colours))
        assert (paper < 0.2 and text > 0.8) if wanted else (paper > 0.9 and text < 0.2)
        assert abs(light(browser.execute_script(ink)) - text) < 0.01  # figures, too


def test_tables_are_sorted_by_a_click(report: Path, browser: Any) -> None:
    opened(browser, report / "table_iv.html", 1200)
    column = "return [...document.querySelectorAll('tbody')[0].rows].map(row => row.cells[3].textContent)"
    printed = ["58.38", "251.34", "187.07", "60.02", "81.44"]
    assert browser.execute_script(column) == printed
    button = browser.find_elements("css selector", "thead th button")[3]
    button.click()
    assert browser.execute_script(column) == sorted(printed, key=float)
    button.click()
    assert browser.execute_script(column) == sorted(printed, key=float, reverse=True)


def test_the_page_is_read_without_scripts(report: Path, browser: Any) -> None:
    opened(browser, report / "index.html", 1200, scripts=False)
    assert "251.34" in browser.find_element("css selector", "body").text


# ---- what is refused, and what survives ------------------------------------------------------------------------------


def test_a_report_is_replaced_only_when_told(report: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = tmp_path / "report"
    shutil.copytree(report, there)
    code, _, err = run(capsys, *REPORT, "--out", str(there))
    assert (code, err) == (2, f"costmodel: {there} already has a report: --force replaces it\n")
    (there / "mine.txt").write_text("precious")
    code, _, err = run(capsys, *REPORT, "--out", str(there), "--force")
    assert (code, (there / "mine.txt").read_text()) == (2, "precious")
    assert "also has mine.txt, which no report wrote" in err


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_other_folders_and_files_are_never_replaced(
    force: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, file = tmp_path / "folder", tmp_path / "file"
    folder.mkdir()
    (folder / "thesis.tex").write_text("precious")
    file.write_text("precious")
    refused = {folder: "has files and is not a report", file: "is a file", file / "below": "cannot be written"}
    for out, message in refused.items():
        code, _, err = run(capsys, *REPORT, "--out", str(out), *force)
        assert code == 2
        assert message in err
        assert err.count("\n") == 1
    assert (folder / "thesis.tex").read_text() == file.read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_an_empty_folder_and_missing_parents_will_do(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "empty", tmp_path / "a" / "b"):
        with replacing(out, force=False) as folder:
            (folder / "file").write_text("new")
        assert [path.name for path in out.iterdir()] == ["file"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, InvalidInput])
def test_what_fails_leaves_everything_as_it_was(error: type[BaseException], report: Path, tmp_path: Path) -> None:
    there = tmp_path / "report"
    shutil.copytree(report, there)

    def fail() -> None:
        with replacing(there, force=True) as folder:
            (folder / "index.html").write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert (there / "index.html").read_text() == (report / "index.html").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_ctrl_c_leaves_nothing_half_written(tmp_path: Path) -> None:
    out = tmp_path / "report"
    command = [sys.executable, "-m", "costmodel", *REPORT, "--out", str(out)]
    # Where the tests run in the background, SIGINT is ignored, and children inherit that.
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heard)
    while not list(tmp_path.glob(".report.*/new/figures/*")):
        assert child.poll() is None
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=30)
    assert (child.returncode, err.splitlines()[-1]) == (130, "costmodel: interrupted")
    assert list(tmp_path.iterdir()) == []


def test_sigterm_leaves_nothing_either(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "costmodel", *REPORT, "--out", str(tmp_path / "report")]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not list(tmp_path.glob(".report.*/new/figures/*")):
        assert child.poll() is None
        time.sleep(0.01)
    child.terminate()
    child.communicate(timeout=30)
    assert (child.returncode, list(tmp_path.iterdir())) == (128 + signal.SIGTERM, [])


@pytest.mark.parametrize("out", ["loop", "loop/below", "a" * 300, "/"])
@pytest.mark.parametrize("force", [[], ["--force"]])
def test_places_that_are_none(
    out: str, force: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    code, _, err = run(capsys, *REPORT, "--out", out, *force)
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith(f"costmodel: {out} ")
    assert [path.name for path in tmp_path.iterdir()] == ["loop"]


def test_a_folder_of_profiles_that_leads_to_itself(tmp_path: Path) -> None:
    (tmp_path / "profiles").symlink_to("profiles")
    assert process("profiles", cwd=tmp_path).returncode == 0


def test_odd_environments_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\n")
    done = process("plot", "kernels", cwd=tmp_path, env=os.environ | {"MPLBACKEND": "nonsense"})
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "kernels.svg\n")
    command = f"{sys.executable} -m costmodel table >&-"
    closed = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert (closed.returncode, closed.stderr) == (0, "")


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with replacing(tmp_path / "link", force=False) as folder:
        (folder / "file").write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "file").read_text() == "new"


def test_a_folder_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if os.geteuid() == 0:
        place = Path("/proc/report")  # root may write anywhere else
    else:
        tmp_path.chmod(0o500)
        place = tmp_path / "report"
    code, _, err = run(capsys, *REPORT, "--out", str(place))
    assert (code, err.count("\n")) == (2, 1)
    assert "cannot be written" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "report --profile paper --model v6 --size 97x97",
            "profile paper has none of these rows; to record them",
        ),
        ("report --profile nowhere", "no profile 'nowhere'"),
        ("report --profile x.json", "x.json: there is no such file"),
        ("report --model v7", "--model 'v7': one of icnet"),
        ("report --size 10", "--size '10': expected"),
        ("plot", "Missing argument"),
        ("plot fig1", "unknown figure 'fig1': one of overview, time, quality, layers, flame, kernels, promise"),
        ("plot time --out time.gif", "--out 'time.gif': expected a file that ends in .svg, .png, .pdf"),
        ("plot time --out nowhere/time.svg", "'nowhere/time.svg' cannot be written: there is no folder nowhere"),
        ("plot time --metric vkitti-acc", "--metric is for quality: not for time"),
        ("plot layers --model v5,v6", "layers are of one network"),
        ("plot promise", "promise needs measured times: --profile with one of amd-epyc-2-cores"),
        ("plot time --profile paper --size 97x97", "--size 97x97 --out NAME"),
        ("plot kernels --classes 5", "--classes is for overview, time, quality, layers, flame: not for kernels"),
        (
            "plot kernels --dtype float32",
            "--dtype is for overview, time, quality, layers, flame, promise: not for kernels",
        ),
        ("plot quality --profile amd-epyc-2-cores", "--profile is for --cost time"),
        ("plot promise --profile amd-epyc-2-cores --cell standard", "needs a cell other than the standard cell"),
        (
            "plot promise --profile paper",
            "profile paper has none of these rows; to record them: costmodel profile --cell",
        ),
        ("plot time --profile amd-epyc-2-cores --size 97x97", "--size 97x97 --out amd-epyc-2-cores --resume"),
        ("plot time --implementation eager", "--implementation needs --measure or --profile"),
        ("plot quality --metric speed", "--metric 'speed': one of cityscapes-acc"),
        ("plot quality --size 97x97", "not published"),
        ("table --plot table.txt", "--plot 'table.txt': expected a file"),
        ("sweep --plot .", "--plot '.': expected a file"),
    ],
)
def test_bad_input(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *arguments.split())
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_rows_that_a_profile_lacks_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "time.svg")
    code, _, err = run(
        capsys, "plot", "time", "--profile", "amd-epyc-2-cores", "--memory-format", "channels_last", "--out", out
    )
    assert code == 0
    assert "has no LSTM-ICNet v2 3x3 1024x2048, no spatial-LSTM-ICNet v2 3x3 1024x2048" in err
    assert "costmodel profile --model v2,v5 --cell standard,spatial,depth,sep --memory-format channels_last" in err


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
@pytest.mark.parametrize(
    "arguments",
    [
        "plot overview --out",
        "table --model v6 --plot",
        "table --model v6 --profile amd-epyc-2-cores --plot",
        "sweep --plot",
        "sweep --profile amd-epyc-2-cores --implementation compiled --plot",
    ],
)
def test_figures_beside_tables(arguments: str, suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / f"figure.{suffix}"
    code, out, err = run(capsys, *arguments.split(), str(file))
    assert (code, err) == (0, "")
    assert file.read_bytes()[:5] == {"svg": b"<?xml", "png": b"\x89PNG\r", "pdf": b"%PDF-"}[suffix]
    if not arguments.startswith("plot"):
        assert out == run(capsys, *arguments.split()[:-1])[1]


def test_matplotlib_is_opened_only_to_draw() -> None:
    for arguments in ("table --model v6", "sweep", "table --help", "report --help"):
        script = "import sys; from costmodel import cli; sys.argv = ['costmodel', *sys.argv[1:]]\ntry:\n cli.main()\n"
        script += "finally:\n assert 'matplotlib' not in sys.modules and 'jinja2' not in sys.modules"
        done = subprocess.run([sys.executable, "-c", script, *arguments.split()], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), arguments
