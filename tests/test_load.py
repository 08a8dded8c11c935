"""Modules that are named on the command line: where they come from, and what is said when something goes wrong."""

import json
import re
import sys
from pathlib import Path

import pytest
import torch
from test_cli import run
from torch import nn

from costmodel.counting.count import count
from costmodel.counting.load import load
from costmodel.errors import InvalidInput

FILES = {
    "segnet.py": """
import functools, torch
from torch import nn
class SegNet(nn.Module):
    def __init__(self, channels=3, wrong=3):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(channels, 8, 3), nn.ReLU(), nn.Conv2d(8, wrong, 1))
    def forward(self, x, mask=None):
        y = self.encoder(x)
        return y if mask is None else torch.cat([y, mask])
class Batch(SegNet):
    def forward(self, batch):
        return super().forward(batch["image"]) * batch["weight"]
def standard(width, channels=3):
    return SegNet(channels)
instance = SegNet()
method = instance.forward
part = functools.partial(instance)
def wrong():
    net = SegNet()
    net.encoder.append(nn.Conv2d(5, 4, 1))
    return net
""",
    "lazy.py": """
import torch
def net():
    from segnet import SegNet
    return SegNet()
class Late(torch.nn.Module):
    def forward(self, x):
        import segnet
        print("hello from forward")
        return x * 2
""",
    "prints.py": """
import torch
print("hello from the module")
def net():
    print("loading weights ...")
    return torch.nn.Linear(8, 4)
def needs_values():
    print("reading ...")
    assert torch.ones(3000, 3).sum().item() == 9000
    return torch.nn.Linear(8, 4)
def checkpoint():
    net = torch.nn.Sequential(torch.nn.Linear(8, 4))
    net.load_state_dict({"0.weight": torch.zeros(4, 8)})
    return net
def ends():
    raise SystemExit("no data")
class Ends(torch.nn.Module):
    def forward(self, x):
        raise SystemExit("enough")
""",
    "broken.py": "def net(:\n",
    "imports.py": "import nowhere_at_all\n",
    "nets/__init__.py": "",
    "nets/parts.py": "from segnet import SegNet\n",
    "nets/whole.py": "from .parts import SegNet\ndef net():\n    return SegNet()\n",
}


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        monkeypatch.delitem(
            sys.modules, name.removesuffix(".py").replace("/__init__", "").replace("/", "."), raising=False
        )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


IMAGE = "1x3x8x8"
MACS = 36 * (27 * 8 + 8 * 3)  # of 6x6 places


@pytest.mark.parametrize(
    "arguments",
    [
        ["segnet:SegNet"],
        ["segnet.py:SegNet"],
        ["./segnet.py:SegNet"],
        ["segnet:instance"],
        ["segnet:method"],
        ["segnet.py:part"],
        ["segnet:standard", "--make", '{"width": 2}'],
        ["lazy:net"],
        ["lazy.py:net"],
        ["nets.whole:net"],
        ["nets/whole.py:net"],
        ["segnet.py:Batch", "--input", "{image: 1x3x8x8, weight: scalar}"],
        ["segnet:SegNet", "--input", "x=1x3x8x8"],
        ["segnet:SegNet", "--kwargs", '{"x": "1x3x8x8"}'],
        ["segnet:SegNet", "--input", "1x3x8x8", "--input", "mask=1x3x6x6", "--kwargs", "{}"],
    ],
)
def test_modules_by_name(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    given = [] if {"--input", "--kwargs"} & set(arguments) else ["--input", IMAGE]
    code, out, err = run(capsys, "count", *arguments, *given, "--format", "json")
    assert (code, err) == (0, "")
    assert json.loads(out)["macs"] == MACS


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("segnet:standrd --input 1", "segnet has no 'standrd'; did you mean 'standard'?"),
        ("segnt:standard --input 1", "no module 'segnt' here or among the installed ones; did you mean 'segnet'?"),
        ("segnt.py:SegNet --input 1", "there is no file 'segnt.py'; did you mean 'segnet.py'?"),
        ("numpi:x --input 1", "no module 'numpi' here or among the installed ones; did you mean 'numpy'?"),
        ("torch.n:x --input 1", "no module 'torch.n' here or among the installed ones; did you mean 'torch.nn'?"),
        ("./segnet:SegNet --input 1", "'./segnet:SegNet': did you mean './segnet.py:SegNet'?"),
        (".segnet:SegNet --input 1", "expected package.module:factory"),
        ("os:path --input 1", "is a Python module: neither a module nor something that makes one"),
        ("segnet.py --input 1", "expected package.module:factory"),
        ("none.pt2 --input 1", "there is no file 'none.pt2'"),
        ("segnet:standard --input 1", "missing a required argument: 'width'; give --make '{\"width\": ...}'"),
        ("segnet:standard --make {\"widht\":1} --input 1", "give --make '{\"width\": ...}'"),
        ("segnet:SegNet --make {\"chanels\":1} --input 1", "keyword argument 'chanels'; did you mean 'channels'?"),
        ("segnet:SegNet --make {\"n\":1} --input 1", "unexpected keyword argument 'n'; it takes channels, wrong"),
        ("segnet:instance --make {\"n\":1} --input 1", "is a module, not a factory: it takes no arguments"),
        ("prints:checkpoint --input 1", "Sequential: Missing key(s) in state_dict: \"0.bias\". (prints.py, line 13)"),
        ("prints:ends --input 1", "prints:ends raised SystemExit: no data (prints.py, line 16)"),
        ("prints:Ends --input 1", "ended the run: SystemExit: enough (prints.py, line 19)"),
        ("broken:net --input 1", "importing broken raised SyntaxError: invalid syntax (broken.py, line 1)"),
        ("imports:net --input 1", "ModuleNotFoundError: No module named 'nowhere_at_all' (imports.py, line 1)"),
        ("imports.py:net --input 1", "ModuleNotFoundError: No module named 'nowhere_at_all' (imports.py, line 1)"),
        ("segnet:SegNet --input 1x3x8x8 --input 1x3x9x9", "refuses the inputs 1x3x8x8, 1x3x9x9: RuntimeError: Sizes"),
        ("segnet:SegNet --input 1x3x8x8 --input mask=1x3x9x9", "the inputs 1x3x8x8, mask=1x3x9x9: RuntimeError: Sizes"),
        ("segnet:SegNet --input 1x3x8x8 --input mask=1x3x9x9", "(segnet.py, line 10)"),
        ("segnet:SegNet --input y=1x3x8x8", "SegNet has no argument 'y': it takes x, mask by name"),
        ("segnet:SegNet --input 1x4x8x8", "expected input[1, 4, 8, 8] to have 3 channels, but got 4 channels instead"),
        ("segnet:SegNet --input 1x4x8x8", "; in encoder.0, Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1)), given 1x4"),
        ("segnet:wrong --input 1x3xHxW", "; in encoder.3, Conv2d(5, 4, kernel_size=(1, 1), stride=(1, 1)), given 1x3x"),
        ("segnet:SegNet --input 1x3,1x4 --input 1,2,3", "--input '1x3,1x4': expected 3 alternatives"),
        ("segnet:SegNet --input x=1x3 --kwargs {\"x\":1}", "--input 'x=1x3': x is given twice"),
        ("segnet:SegNet --input x=1x3 --input x=1x4", "--input 'x=1x4': x is given twice"),
        ("segnet:SegNet --input x=", "expected a shape"),
        ("segnet:SegNet --input 1 --dtype int8", "dtype 'int8': one of float32, bfloat16"),
        ("torch.nn:Linear --input 1", "give --make '{\"in_features\": ..., \"out_features\": ...}'"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_one_line(arguments: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "count", *arguments.split())
    assert (code, out) == (2, "")
    last = err.splitlines()[-1]
    assert last.startswith("costmodel: ")
    assert message in last
    assert "Traceback" not in err


def test_the_traceback_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "count", "segnet:SegNet", "--input", "1x4x8x8", "--traceback")
    assert (code, out) == (2, "")
    assert "Traceback (most recent call last)" in err
    assert re.search(r'segnet.py", line 9, in forward', err)
    assert err.splitlines()[-1].startswith("costmodel: SegNet refuses the inputs 1x4x8x8: ")


def test_what_user_code_prints_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "count", "prints:net", "--input", "2x8", "--format", "json")
    assert (code, json.loads(out)["macs"], err) == (0, 64, "hello from the module\nloading weights ...\n")
    code, out, err = run(capsys, "count", "lazy:Late", "--input", "2x8", "--format", "json")
    assert (code, json.loads(out)["macs"], err) == (0, 0, "hello from forward\n")
    code, out, err = run(capsys, "explain", "lazy:Late", "--input", "2x8", "--format", "json")
    assert (code, json.loads(out)["macs"], set(err.splitlines())) == (0, 0, {"hello from forward"})
    code, out, err = run(capsys, "count", "prints:needs_values", "--input", "2x8", "--format", "json")
    assert (code, json.loads(out)["macs"]) == (0, 64)
    assert re.fullmatch(
        r"reading ...\ncostmodel: prints:needs_values is called again, with memory: .*\nreading ...\n", err
    )


def test_the_library_names_the_arguments() -> None:
    with pytest.raises(InvalidInput, match=r"give arguments=\{\"width\": ...\}"):
        load("segnet:standard")


def test_alternatives_have_a_table_each(capsys: pytest.CaptureFixture[str]) -> None:
    """Twice the batch, twice the work; what is given once is the same for all."""
    two = ["count", "segnet:SegNet", "--input", "1x3x8x8,2x3x8x8"]
    code, out, _ = run(capsys, *two, "--format", "json")
    assert (code, [each["macs"] for each in json.loads(out)]) == (0, [MACS, 2 * MACS])
    _, out, _ = run(capsys, *two, "--input", "mask=3x3x6x6", "--format", "csv")
    assert [line.split(",")[:2] for line in out.splitlines()][1] == ['"1x3x8x8', ' mask=3x3x6x6"']
    _, out, _ = run(capsys, *two)
    assert [line for line in out.splitlines() if "one call with" in line] == [
        "SegNet, one call with 1x3x8x8",
        "SegNet, one call with 2x3x8x8",
    ]
    code, out, _ = run(capsys, "explain", *two[1:], "--format", "json")
    assert (code, [each["macs"] for each in json.loads(out)]) == (0, [MACS, 2 * MACS])


@pytest.mark.parametrize("command", ["count", "explain"])
def test_parameters_and_inputs_of_another_type(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, command, "segnet:SegNet", "--input", IMAGE, "--dtype", "bfloat16", "--format", "json")
    assert (code, json.loads(out)["macs"], json.loads(out)["inputs"]) == (0, MACS, ["1x3x8x8:bfloat16"])
    net = load("segnet:SegNet").bfloat16()
    assert count(net, "1x3x8x8:bfloat16").cost.writes == 2 * 36 * (8 + 8 + 3)


def test_exported_networks_are_files(capsys: pytest.CaptureFixture[str]) -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()).eval()
    torch.export.save(torch.export.export(net, (torch.zeros(1, 3, 8, 8),)), "net.pt2")
    code, out, _ = run(capsys, "count", "net.pt2", "--input", IMAGE, "--format", "json")
    assert (code, json.loads(out)["macs"], json.loads(out)["params"]) == (0, 36 * 27 * 8, 224)
    assert run(capsys, "explain", "net.pt2", "--input", IMAGE)[0] == 0
    Path("bad.pt2").write_text("nothing")
    code, out, err = run(capsys, "count", "bad.pt2", "--input", IMAGE)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "'bad.pt2' cannot be read: " in err


def test_onnx_networks_need_a_package(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("net.onnx").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "onnx", None)
    code, out, err = run(capsys, "count", "net.onnx", "--input", IMAGE)
    assert (code, out, "pip install onnx2pytorch" in err) == (2, "", True)


def test_onnx_networks_are_files(capsys: pytest.CaptureFixture[str]) -> None:
    """A convolution, made without torch's exporter: 27 * 8 MACs a place."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnx2pytorch")
    floats, make = onnx.TensorProto.FLOAT, onnx.helper
    weight = make.make_tensor("a.weight", floats, (8, 3, 3, 3), [0.0] * 216)
    graph = make.make_graph(
        [make.make_node("Conv", ["x.in", "a.weight"], ["y.out"])], "net",
        [make.make_tensor_value_info("x.in", floats, (1, 3, 8, 8))],
        [make.make_tensor_value_info("y.out", floats, (1, 8, 6, 6))], [weight],
    )  # fmt: skip
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 17)]), "net.onnx")
    code, out, _ = run(capsys, "count", "net.onnx", "--input", IMAGE, "--format", "json")
    assert (code, json.loads(out)["macs"], json.loads(out)["params"]) == (0, 36 * 216, 216)
