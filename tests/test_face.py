"""The public face in a REPL and in a notebook: what exists, short reprs, completion, mistyped names."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from test_render import compiled

import costmodel
from costmodel.describe.catalogue import NETWORKS, Network
from costmodel.describe.cells import CELLS
from costmodel.describe.networks.lstm_icnet import lstm_icnet
from costmodel.errors import InvalidInput

NET = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU())
PROFILE = costmodel.read_profile("amd-epyc-2-cores")

# ---- what exists -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("listing", [costmodel.cells, costmodel.networks, costmodel.conventions])
def test_every_name_has_a_line(listing: Callable[[], dict[str, str]]) -> None:
    listed = listing()
    assert all(what and "\n" not in what for what in listed.values())
    lines = repr(listed).splitlines()
    assert [line.split()[0] for line in lines] == list(listed)
    assert listed._repr_html_().count("<tr>") == len(listed)  # type: ignore[attr-defined]


def test_the_names_are_those_that_work() -> None:
    for name in costmodel.cells():
        assert costmodel.cell(name.replace("-G", "-4").replace("-R", "-8"), channels=8, size=(3, 3)).parameters
    for name in costmodel.networks():
        assert costmodel.network(name, size=(128, 128)).parameters
    for name in costmodel.conventions():
        assert len(costmodel.table(["v2"], convention=name)) == 5


def test_what_a_user_adds_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    def bottleneck(I: Any, O: Any, Kx: Any, Ky: Any) -> Any:
        """A 1x1 convolution to a quarter of the channels,
        and one of Kx x Ky."""
        return (costmodel.Conv(O // 4, (1, 1)), costmodel.Conv(O, (Kx, Ky)))

    monkeypatch.setitem(CELLS, "bottleneck", bottleneck)
    monkeypatch.setitem(CELLS, "plain", lambda I, O, Kx, Ky: (costmodel.Conv(O, (Kx, Ky)),))
    monkeypatch.setitem(NETWORKS, "mine", Network("My net", lstm_icnet, ("final",), size=(64, 96), classes=3))
    assert costmodel.cells()["bottleneck"] == "A 1x1 convolution to a quarter of the channels, and one of Kx x Ky."
    assert costmodel.cells()["plain"] == "an added cell: 8 convolutions a step"  # 4 gates, of X and of H
    assert costmodel.networks()["mine"] == "My net: recurrent cells at final; frames of 64x96, 3 classes"


# ---- in a REPL -------------------------------------------------------------------------------------------------------

OBJECTS: dict[str, Callable[[], Any]] = {
    "table": costmodel.table,
    "row": lambda: costmodel.table().rows[0],
    "profile": lambda: PROFILE,
    "run": lambda: PROFILE.runs[0],
    "network": costmodel.network,
    "cell": lambda: costmodel.cell("sep"),
    "Cell": lambda: costmodel.Cell("mine", CELLS["sep"]),
    "count": lambda: costmodel.count(NET, "1x3x32x32"),
    "letters": lambda: costmodel.count(NET, "1x3xHxW"),
    "check": lambda: costmodel.check(costmodel.cell("sep", channels=4, size=(5, 6))),
    "sweep": costmodel.sweep,
    "equation": lambda: costmodel.equation("sep"),
    "convention": lambda: costmodel.table().convention,
    "schedule": lambda: costmodel.schedule(costmodel.Stages(3, 4, 1, 1), interval=5),
    "build": lambda: costmodel.build(costmodel.cell("sep", channels=4, size=(5, 6))),
    "flicker": costmodel.Flicker,
    "observe": lambda: costmodel.observe(torch.relu, torch.zeros(3)),
}
TABLES = ("table", "profile", "count", "letters", "check", "sweep")


@pytest.mark.parametrize("name", OBJECTS)
def test_reprs_are_short(name: str) -> None:
    made = OBJECTS[name]()
    assert len(repr(made)) <= 400
    assert len(str(made)) <= 400
    assert "0x" not in repr(made)


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_tables_in_a_notebook(name: str) -> None:
    shown = OBJECTS[name]()._repr_html_()
    assert "<table" in shown
    assert 100 < len(shown) < 60_000


def test_a_large_sweep_is_no_table_in_a_notebook() -> None:
    assert costmodel.sweep(range(1, 400), range(1, 100), cells=["standard", "sep", "spatial"])._repr_html_() is None


def test_a_profile_completes_to_its_own_names() -> None:
    names = [name for name in dir(PROFILE) if not name.startswith("_")]
    own = [
        "at",
        "by_key",
        "calibrations",
        "data_sheet",
        "format",
        "frame",
        "host",
        "layers",
        "layers_by_key",
        "moments",
        "only",
        "runs",
        "save",
        "text",
    ]
    assert names == [*own, "with_calibration", "with_layers", "with_run", "without"]
    assert all(hasattr(PROFILE, name) for name in names)


@pytest.mark.parametrize("name", [name for name in costmodel.__all__ if inspect.isfunction(getattr(costmodel, name))])
def test_arguments_have_types(name: str) -> None:
    parameters = inspect.signature(getattr(costmodel, name)).parameters.values()
    assert all(each.annotation is not each.empty for each in parameters)
    # Those that go on to a module or a function of the user, and to networks that a user described.
    passed_on = [each.name for each in parameters if each.kind == each.VAR_KEYWORD]
    known = {"count": ["kwargs"], "module": ["kwargs"], "observe": ["kwargs"], "network": ["options"]}
    assert passed_on == known.get(name, [])


# ---- mistyped --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "meant"),
    [
        (lambda: costmodel.table(convention="fvcor"), "unknown convention 'fvcor': one of .*; did you mean 'fvcore'?"),
        (lambda: costmodel.table("v66"), "unknown model 'v66': one of .*; did you mean 'v6'"),
        (lambda: costmodel.table("erfnet-D*-propose"), "did you mean 'erfnet-D.-proposed'"),
        (lambda: costmodel.table(sites={"finl": "sep"}), "unknown site 'finl': .*; did you mean 'final'"),
        (lambda: costmodel.table().text("markdwn"), "unknown format 'markdwn': .*; did you mean 'markdown'"),
        (lambda: costmodel.equation("SEP"), "unknown cell 'SEP': .*; did you mean 'sep'"),
        (lambda: costmodel.profile(cells=["sepp"]), "unknown cell 'sepp': one of .*; did you mean 'sep'"),
        (lambda: costmodel.profile(cells=["sep"], dtype="bfloat"), "unknown dtype 'bfloat': .*did you mean 'bfloat16'"),
        (lambda: costmodel.sweep(recurrence="convgrru"), "unknown recurrence 'convgrru': .*; did you mean 'convgru'"),
        (lambda: costmodel.equation("spatail"), "unknown cell 'spatail': .*; did you mean 'spatial'"),
        (lambda: costmodel.network("v6", kernal=5), "has no option kernal: .*; did you mean 'kernel'"),
        (lambda: costmodel.network("erfnet", decoder_block=1), "; did you mean 'decoder_blocks'"),
        (lambda: costmodel.network("v6", decoder_blocks=1), "has no option decoder_blocks: it has none$"),
        (lambda: costmodel.read_profile("amd-epyc"), "no profile 'amd-epyc': .*; did you mean 'amd-epyc-2-cores'"),
        (lambda: costmodel.count(NET, "1x3x8x8").flops("tourch"), "did you mean 'torch'"),
        (
            lambda: costmodel.count(NET, "1x3x8x8", backwards=True),
            "no argument 'backwards': it takes input by name; did you mean 'backward'",
        ),
        (
            lambda: costmodel.count(NET, inpt="1x3x8x8"),
            "Sequential has no argument 'inpt': it takes input by name; did you mean 'input'",
        ),
        (lambda: costmodel.count(NET, "1x3x8x8", backward=True, optimizer="adm"), "did you mean 'adam'"),
        (lambda: costmodel.count(NET, "1x3x8x8").flops(attention="maskd"), "did you mean 'masked'"),
        (lambda: costmodel.schedule(costmodel.Stages(1, 2), "paralel", 3), "did you mean 'parallel'"),
        (lambda: costmodel.table(5), "5 is neither the name of a network nor a module"),  # type: ignore[arg-type]
        (lambda: costmodel.sweep(cells=5), "unknown cell 5"),  # type: ignore[arg-type]
        (lambda: costmodel.estimates("paper"), "estimates takes a profile"),  # type: ignore[arg-type]
    ],
)
def test_what_is_mistyped_is_refused_with_what_was_meant(call: Callable[[], Any], meant: str) -> None:
    with pytest.raises(InvalidInput, match=meant) as refused:
        call()
    assert len(str(refused.value)) < 500


def test_what_is_like_nothing_is_refused_without_a_question() -> None:
    with pytest.raises(InvalidInput, match=r"one of paper, tf-profiler, fvcore, torch, erfnet$"):
        costmodel.table(convention="xyz")


def test_a_mistyped_keyword_names_the_function() -> None:
    with pytest.raises(TypeError, match=r"profile\(\) got an unexpected keyword argument 'dtyp'"):
        costmodel.profile(cells=["sep"], dtyp="float32")  # type: ignore[call-arg]


# ---- formulas --------------------------------------------------------------------------------------------------------


def test_formulas_take_the_names_of_their_letters() -> None:
    counted = costmodel.count(torch.nn.Conv2d(3, 8, 3, stride=2), "1x3xHxW")
    flops = 2 * 3 * 9 * 8 * 4 * 5  # 4x5 outputs of 9x11
    assert counted.flops().subs({"H": 9, "W": 11}) == counted.at(H=9, W=11).flops() == flops
    assert counted.flops().subs("H", 9).subs("W", 11) == flops
    assert str(counted.flops().subs({"H": 9}).free_symbols) == "{W}"
    sep = costmodel.equation("sep").equal.subs({"Kx": 3, "Ky": 5, "I": 8, "O": 8, "Dx": 2, "Dy": 7})
    assert sep == (16 * 15 + 16 * 8 + 37) * 8 * 2 * 7


def test_formulas_are_mathematics_in_latex_and_fit(tmp_path: Path) -> None:
    """Floors, and a peak of memory that is the largest of several sums, in a paper without amsmath."""
    from costmodel.report.count import document

    convolutions = [torch.nn.Conv2d(8 * n or 3, 8 * n + 8, 3, stride=2) for n in range(4)]
    counted = costmodel.count(torch.nn.Sequential(*convolutions), "1x3xHxW")
    text = document(counted).text("latex")
    assert r"$11816$" in text  # 3*8*9 + 8 + 8*16*9 + 16 + 16*24*9 + 24 + 24*32*9 + 32
    assert "lfloor" in text
    assert "floor(" not in text.replace("lfloor", "")
    assert r"\max" in text
    (tmp_path / "count.tex").write_text(text)
    assert "Overfull" not in compiled(tmp_path, "count.tex")


def test_averages_of_a_clip_are_whole_where_they_are() -> None:
    from costmodel.report.count import document

    text = document(costmodel.count(torch.nn.Conv1d(3, 8, 3), "1x3x8", frames=1)).text()
    assert "on average" not in text
    lstm = costmodel.count(torch.nn.LSTMCell(4, 4), "2x4", frames=3)  # a frame: 2 rows, 4 gates, 4 + 4 products of 4
    assert "on average: 512 FLOPs, 256 multiply-accumulates." in " ".join(document(lstm).text().split())
