"""The command line as a user meets it: real processes for the promises, the same entry point for the rest."""

import csv
import io
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from costmodel import cli
from costmodel.cli.timing import progress
from costmodel.describe.catalogue import network_names
from costmodel.describe.cells import CELLS


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """The command line in this process: exit code, stdout, stderr."""
    before, sys.argv = sys.argv, ["costmodel", *arguments]
    try:
        code = cli.main()
    finally:
        sys.argv = before
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def process(*arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "costmodel", *arguments], capture_output=True, text=True, **settings)


def test_the_first_command_of_the_readme() -> None:
    done = process("table", "--model", "v6")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[4].split() == ["ICNet", "6707k", "100.00", "58.38", "100.00", "6707k", "58.38", "="]
    assert lines[8].split() == ["sep-LSTM-ICNet", "v6", "7270k", "63.62", "81.44", "32.40", "7270k", "81.44", "="]
    assert done.stdout.isascii()
    assert max(len(line.rstrip()) for line in lines) <= 80


def test_the_installed_script() -> None:
    script = Path(sys.executable).parent / "costmodel"
    done = subprocess.run([script, "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()[0]) == (0, "costmodel")


COMMANDS = ["table", "sweep", "equation", "gradual", "check", "profile", "report", "plot", "count", "explain"]
COMMANDS += ["profiles", "diff", "schedule", "flicker", "promise", "errata", "compare", "calibrate", "predict"]


NETS = """
from torch import nn

def standard():
    return nn.Conv2d(3, 8, 3, padding=1)

def separable():
    return nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, groups=3), nn.Conv2d(3, 8, 1))

mine = separable
"""


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=" ".join)
def test_help_has_examples_that_work(
    command: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # some write files
    (tmp_path / "nets.py").write_text(NETS)
    code, out, err = run(capsys, *command, "--help")
    assert (code, err) == (0, "")
    shown = [line.strip() for line in out.splitlines() if line.startswith("    costmodel ")]
    if command:
        assert len(shown) >= 2
    for line in shown:
        # Those take seconds, or need profiles or label maps of one's own; they have tests of their own.
        own = "check|--measure|costmodel (profile|calibrate) |diff|report|flicker|mymodel|torchvision|profiles? mine"
        own += "|machine mine"
        if not re.search(own, line):
            assert run(capsys, *shlex.split(line)[1:])[0] == 0, line


def test_without_a_command_it_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert "costmodel table --model v6" in run(capsys)[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("table --kernel 0", "--kernel '0': sizes start at 1"),
        ("sweep --kernel 0", "--kernel '0': sizes start at 1"),
        ("sweep --kernel -3", "--kernel '-3': expected whole numbers from 1"),
        ("sweep --kernel a", "--kernel 'a': expected whole numbers from 1"),
        ("sweep --kernel 3,,5", "--kernel '' in '3,,5': expected whole numbers from 1"),
        ("sweep --kernel 3x", "--kernel '3x': expected whole numbers from 1"),
        ("sweep --kernel 3x5x7", "--kernel '3x5x7': expected"),
        ("sweep --kernel ²", "--kernel '²': expected"),
        ("sweep --kernel 3.5", "--kernel '3.5': expected"),
        ("table --kernel 3,5", "--kernel '3,5': one value here"),
        ("table --size 0x0", "--size '0x0': sizes start at 1"),
        ("table --size 10", "--size '10': expected ROWSxCOLUMNS"),
        ("table --size 8x8", "too small for ICNet: at least 97x97"),
        ("sweep --size 10", "--size '10': expected ROWSxCOLUMNS"),
        ("table --model v7", "--model 'v7': one of icnet, v2, v5, v6"),
        ("table --cell gated", "--cell 'gated': one of standard, spatial, depth, sep"),
        ("table --convention mine", "--convention 'mine': one of paper, tf-profiler, fvcore, torch"),
        ("table --format pdf", "--format 'pdf': one of text, markdown, latex, html, csv, json"),
        ("sweep --format pdf", "--format 'pdf': one of"),
        ("check --format pdf", "--format 'pdf': one of"),
        ("table --classes 0", "--classes '0': expected a whole number from 1"),
        ("table --classes many", "--classes 'many': expected a whole number from 1"),
        ("table --recurrence gru", "--recurrence 'gru': one of convlstm"),
        ("table --site final", "--site 'final': expected NAME=VALUE"),
        ("table --site final=gated", "unknown cell 'gated'"),
        ("table --model v2 --site low=sep", "unknown site 'low': the chosen models have final"),
        ("table --measure tpu", "--measure 'tpu': one of cpu, cuda"),
        ("table --measure cpu --rounds 0", "--rounds '0': expected a whole number from 1"),
        ("sweep --channels -5", "--channels '-5': expected whole numbers from 1"),
        ("sweep --channels 96x128 --cell depth", "not 96 and 128"),
        ("sweep --kernel 99999999 --channels 99999", "more than a 64-bit integer holds"),
        ("sweep --kernel 99999999999999999999", "expected whole numbers from 1"),
        (
            f"sweep --kernel {','.join(map(str, range(1, 3000)))} --channels {','.join(map(str, range(1, 6000)))}",
            "the grid has 71,964,004 rows (17,991,001 points x 4 cells)",
        ),
        (
            f"sweep --kernel {','.join(map(str, range(1, 600)))} --channels {','.join(map(str, range(1, 600)))}",
            "the grid has 1,435,204 rows; at most 1,000,000 can be printed",
        ),
        ("equation gated", "cell 'gated': one of standard"),
        ("equation sep --kernel 5", "--kernel and --channels are for --ratio"),
        ("equation sep --ratio --latex --channels 5", "--kernel and --channels are for --ratio"),
        ("table --rounds 3", "--rounds needs --measure"),
        ("sweep --save mine", "--save needs --measure"),
        ("table --threads 1", "--threads needs --measure, --profile or --machine"),
        ("table --measure cpu --budget 5m --rounds 3", "--budget decides on --processes and --rounds"),
        ("table --measure cpu --budget soon", "--budget 'soon': expected a time, such as 90s, 5m or 1h"),
        ("table --profile nowhere", "no profile 'nowhere': there are"),
        ("table --profile missing.json", "missing.json: there is no such file"),
        ("diff paper missing.json", "missing.json: there is no such file"),
        ("diff paper paper --fail-over lots", "--fail-over 'lots': expected a percentage"),
        ("profile --device tpu", "--device 'tpu': one of cpu, cuda"),
        ("profile --cells sep --dtype int8", "--dtype 'int8': one of float32"),
        ("profile --cells sep --implementation jit", "--implementation 'jit': one of eager, compiled"),
        ("profile --cells sep --threads 0", "--threads '0': expected a whole number from 1"),
        ("profile --cells sep --threads 4096", "threads is 4096, but this process may use"),
        ("profile --cells sep --frames 0", "--frames '0': expected a whole number from 1"),
        ("profile --cells sep --batch x", "--batch 'x': expected a whole number from 1"),
        ("profile --cells sep --tf32", "tf32, cuda_graph and flush need device cuda"),
        ("profile --cells sep --resume", "--resume needs --out"),
        ("profile --cells sep --out mine --resume --replace", "--resume or --replace, not both"),
        ("profile --cells sep --out tests/", "'tests/' is not a valid profile name"),
        ("profile --cells sep --classes 3", "--site and --classes are for networks"),
        ("profile --model v6 --channels 3", "--channels is for single cells"),
        ("profile --model v6 --size 8x8", "too small for ICNet: at least 97x97"),
        ("profile --cells standard --size 100000x100000", "GB at these sizes; this machine has"),
        ("table --measure cpu --rounds x", "--rounds 'x': expected a whole number from 1"),
        ("check --model v2 --size zzz", "--size 'zzz': expected ROWSxCOLUMNS"),
        ("check --model v2 --channels 64", "--channels is for single cells"),
        ("check --cell sep --site final=sep", "are for networks: add --model"),
        ("check --cell sep --no-heads", "are for networks: add --model"),
        ("equation --format json --latex", "--format json or --latex, not both"),
        ("table --model v2 --site final=sep,final=depth", "final is given twice"),
        ("check --cell sep --size zzz", "--size 'zzz': expected ROWSxCOLUMNS"),
        ("check --cell sep --channels 100000", "would need at least"),
        ("sweep --kernel 3 --cell sep --measure cpu --size 100000x100000", "GB at these sizes; this machine has"),
        ("equation depth --ratio --channels 96x128", "(I = O), not 96 and 128"),
        ("equation --convention mine", "--convention 'mine': one of paper"),
        ("check --model v6 --size 10x10", "at least 97x97"),
        ("check --kernel 0", "sizes start at 1"),
        ("table --frobnicate", "No such option"),
        ("frobnicate", "No such command"),
    ],
    ids=lambda text: text[:40],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, *arguments.split())
    assert (code, out) == (2, "")
    assert err.startswith("costmodel: ")
    assert err.count("\n") == 1
    assert message in err


def test_bad_input_to_the_process_has_no_traceback() -> None:
    done = process("table", "--model", "v7")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"costmodel: --model 'v7': one of {network_names()}; or a module of your own, PACKAGE.MODULE:FACTORY or "
        "path/file.py:FACTORY\n"
    )


def test_lists_repeat_or_join(capsys: pytest.CaptureFixture[str]) -> None:
    joined = run(capsys, "table", "--model", "v6,v2", "--cell", "sep,standard")[1]
    repeated = run(capsys, "table", "--model", "v2", "--model", "v6", "--cell", "standard", "--cell", "sep")[1]
    assert joined == repeated
    grid = run(capsys, "sweep", "--kernel", "3,5", "--channels", "8,16")
    assert grid == run(capsys, "sweep", "--kernel", "3", "--kernel", "5", "--channels", "8", "--channels", "16")
    assert [line.split("  ")[0] for line in joined.splitlines()[4:9]] == [
        "ICNet",
        "LSTM-ICNet v2",
        "sep-LSTM-ICNet v2",
        "LSTM-ICNet v6",
        "sep-LSTM-ICNet v6",
    ]


def test_sweep_json_is_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(
        capsys, "sweep", "--kernel", "3,3x5", "--channels", "64,96x128", "--size", "32x64", "--format", "json"
    )
    data = json.loads(out)
    assert code == 0
    assert err == 'costmodel: left out: cell "depth" needs as many output as input channels (I = O), not 96 and 128\n'
    assert list(data) == ["convention", "size", "rows"]
    assert (data["convention"], data["size"]) == ("paper", [32, 64])
    assert len(data["rows"]) == 2 * 2 * 3
    keys = ["kernel", "channels", "cell", "flops", "params", "cost_ratio", "approximation", "timings"]
    assert all(list(row) == keys for row in data["rows"])
    row = data["rows"][-1]
    assert (row["kernel"], row["channels"], row["cell"]) == ([3, 5], [96, 128], "sep")
    macs = 4 * (15 * 96 + 96 * 128) + 4 * (15 * 128 + 128 * 128)
    assert row["flops"] == (2 * macs + 37 * 128) * 32 * 64
    assert row["params"] == macs + 4 * 128


def test_sweep_csv(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "sweep", "--kernel", "5", "--cell", "sep", "--format", "csv", "--convention", "fvcore")
    (row,) = csv.DictReader(io.StringIO(out))
    assert (row["convention"], row["kernel_x"], row["cell"], row["rows"]) == ("fvcore", "5", "sep", "128")


def test_equations(capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "equation")[1]
    for line in (
        "(16*Kx*Ky*I + 37)*O*Dx*Dy",
        "the same at Kx = Ky: (32*Kx*I + 37)*O*Dx*Dy",
        "(16*Kx*Ky + 37)*O*Dx*Dy",
        "(16*Kx*Ky + 16*I + 37)*O*Dx*Dy",
    ):
        assert line in out
    out = run(capsys, "equation", "--ratio")[1]
    for line in (
        "66.73 % (12325/18469); saves 33.27 %",
        "0.98 % (181/18469); saves 99.02 %",
        "12.07 % (2229/18469); saves 87.93 %",
        "approximation 2/Kx: the same at Kx = Ky",
        "approximation 1/I: the same",
        "approximation 1/I + 1/(Kx*Ky): the same",
        "0.78 %; error -0.20 points, -20.3 % of the cost",
        "it is the remaining cost",
    ):
        assert line in out
    comment, formula = run(capsys, "equation", "sep", "--latex")[1].splitlines()
    assert comment == "% sep convLSTM, I = O, convention paper: FLOPs per time step"
    assert formula == r"\left(16 \cdot K_x \cdot K_y + 16 \cdot I + 37\right) \cdot O \cdot D_x \cdot D_y"
    assert r"\approx \frac{1}{I}" in run(capsys, "equation", "depth", "--ratio", "--latex")[1]
    assert "(16*Kx*Ky*I + 43)*O*Dx*Dy" in run(capsys, "equation", "standard", "--recurrence", "peephole")[1]
    assert "(16*Kx*Ky*I + 13)*O*Dx*Dy" in run(capsys, "equation", "standard", "--convention", "tf-profiler")[1]


def test_equation_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "equation", "--format", "json", "--channels", "64x32", "--kernel", "5")
    by_cell = {record["cell"]: record for record in json.loads(out)}
    assert (code, list(by_cell)) == (0, list(CELLS))
    sep, depth = by_cell["sep"], by_cell["depth"]
    assert (sep["total"], sep["unit"], sep["convention"]) == ("(16*Kx*Ky + 16*I + 37)*O*Dx*Dy", "FLOP", "paper")
    assert sep["printed"] == {"equation": "(10)", "total": sep["total"], "match": True}
    cost = 2 * 4 * (25 * 64 + 64 * 32 + 25 * 32 + 32 * 32) + 37 * 32
    assert sep["ratio"]["cost_ratio"] == cost / (2 * 4 * 25 * 32 * (64 + 32) + 37 * 32)
    assert depth["general"] is depth["ratio"]["cost_ratio"] is None  # it needs I = O
    assert run(capsys, "equation", "--format", "csv")[0] == 2


def test_check_prints_a_table_and_agrees(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--cell", "sep,depth", "--kernel", "5", "--channels", "16", "--size", "9x14"]
    code, out, err = run(capsys, "check", *arguments)
    assert (code, err) == (0, "")
    assert "2 of 2 agree" in out
    assert "fvcore" in out
    code, out, _ = run(capsys, "check", "--model", "v2", "--cell", "depth", "--size", "97x97", "--format", "json")
    data = json.loads(out)
    assert (code, data["ok"], [c["subject"] for c in data["checks"]]) == (0, True, ["depth-LSTM-ICNet v2"])
    code, out, _ = run(capsys, "check", *arguments, "--format", "csv")
    assert {row["ok"] for row in csv.DictReader(io.StringIO(out))} == {"True"}


def test_another_recurrence_is_named_wherever_it_counts(capsys: pytest.CaptureFixture[str]) -> None:
    peephole = ("--recurrence", "peephole")
    out = run(capsys, "table", "--model", "v2", "--cell", "sep", *peephole)[1]
    assert "sep-LSTM-ICNet v2 (peephole)" in out
    assert "with the same recurrence" in " ".join(out.split())
    assert "recurrence: sep peephole; cost %: of a standard cell with that recurrence." in " ".join(
        run(capsys, "sweep", "--kernel", "3", "--cell", "sep", *peephole)[1].split()
    )
    out = run(capsys, "sweep", "--kernel", "3", "--cell", "sep", *peephole, "--format", "json")[1]
    assert json.loads(out)["recurrence"] == {"sep": "peephole"}
    out = run(capsys, "sweep", "--kernel", "3", "--cell", "sep", *peephole, "--format", "csv")[1]
    assert [row["recurrence"] for row in csv.DictReader(io.StringIO(out))] == ["peephole"]
    for more in ((), ("--ratio",), ("--latex",)):
        assert "sep (peephole) convLSTM" in run(capsys, "equation", "sep", *more, *peephole)[1]
    out = run(capsys, "check", "--cell", "sep", "--size", "6x6", "--channels", "8", *peephole)[1]
    assert "sep cell (peephole)" in out


def test_a_ratio_says_what_it_leaves_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        "without what is counted once per graph"
        in run(capsys, "equation", "sep", "--ratio", "--convention", "tf-profiler")[1]
    )


def test_check_exits_1_on_a_mismatch(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from costmodel.building import check

    honest = check.build

    def dishonest(program: object) -> object:
        net = honest(program)
        net.body.xo.bias = None
        return net

    monkeypatch.setattr(check, "build", dishonest)
    code, out, _ = run(capsys, "check", "--cell", "depth", "--channels", "4", "--size", "5x6")
    assert code == 1
    assert "0 of 1 agree, 1 MISMATCH" in out
    assert "events: bias addition: described 480, seen 360 (-120)" in out


def test_ctrl_c_elsewhere_is_exit_code_130() -> None:
    interrupt = "lambda **_: os.kill(os.getpid(), signal.SIGINT)"
    script = f"import os, signal, costmodel.cli as c; c.app = {interrupt}; raise SystemExit(c.main())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "costmodel: interrupted\n")


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_shows_on_a_terminal_alone(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = io.StringIO()
    monkeypatch.setattr(stderr, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr(sys, "stderr", stderr)
    with progress(2, "checking") as bar:
        bar.update()
    assert ("checking" in stderr.getvalue()) == terminal


HEAVY = (
    "print([m for m in ('torch','sympy','pandas','matplotlib','numpy','fvcore') if m in sys.modules], file=sys.stderr)"
)


@pytest.mark.parametrize(
    "arguments",
    [
        "table --model v6",
        "table --format json",
        "table --format markdown",
        "table --model v9",
        "--help",
        "equation --help",
    ],
)
def test_a_table_opens_no_heavy_package(arguments: str) -> None:
    script = f"import sys; from costmodel.cli import main; sys.argv[0] = 'costmodel'; main(); {HEAVY}"
    done = subprocess.run([sys.executable, "-c", script, *arguments.split()], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_a_sweep_opens_numpy_alone() -> None:
    script = f"import sys; from costmodel.cli import main; sys.argv = ['costmodel', 'sweep']; main(); {HEAVY}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "['numpy']\n")


@pytest.mark.parametrize("command", ["table", "sweep", "equation", "--help"])
def test_a_full_disk_is_one_line(command: str) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    with full.open("w") as out:
        done = subprocess.run(
            [sys.executable, "-m", "costmodel", command], stdout=out, stderr=subprocess.PIPE, text=True
        )
    assert (done.returncode, done.stderr) == (1, "costmodel: cannot write the output: No space left on device\n")


def test_a_closed_pipe_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -m costmodel sweep --kernel {','.join(map(str, range(1, 2000)))} --format csv | head -1",
        shell=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("kernel_x")
    assert done.stderr == ""


def test_memory_that_torch_cannot_get_is_one_line() -> None:
    refuse = "raise RuntimeError('DefaultCPUAllocator: can\\'t allocate memory: you tried to allocate 8 bytes')"
    script = f"import costmodel.cli as c\ndef app(**_): {refuse}\nc.app = app\nraise SystemExit(c.main())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "costmodel: out of memory: use smaller sizes\n")
