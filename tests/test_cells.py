"""Cells on paper: against formulas written by hand and against each other."""

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from costmodel.describe.cells import CELLS, RECURRENCES, Cell, describe_cell
from costmodel.describe.ops import Conv
from costmodel.errors import InvalidInput
from costmodel.price.conventions import CONVENTIONS, PAPER, TF_PROFILER
from costmodel.work.events import Event

side = st.integers(1, 9)
width = st.integers(1, 40)
extent = st.integers(1, 50)


def weights(kind: str, y: int, o: int, kx: int, ky: int) -> int:
    """Weights of one transition that reads y channels, by hand."""
    return {
        "standard": kx * ky * y * o,
        "spatial": kx * y * o + ky * o * o,
        "depth": kx * ky * y,
        "sep": kx * ky * y + y * o,
    }[kind]


@pytest.mark.parametrize("kind", CELLS)
@given(kx=side, ky=side, i=width, o=width, dx=extent, dy=extent)
def test_any_size_follows_the_general_formula(kind: str, kx: int, ky: int, i: int, o: int, dx: int, dy: int) -> None:
    if kind == "depth":
        i = o
    program = describe_cell(kind, kernel=(kx, ky), channels=(i, o), size=(dx, dy))
    # Four transitions read x (I channels), four read h (O channels).
    all_weights = 4 * weights(kind, i, o, kx, ky) + 4 * weights(kind, o, o, kx, ky)
    assert program.work[Event.MAC] == all_weights * dx * dy
    assert program.parameters == all_weights + 4 * o
    assert PAPER.flops(program.work) == 2 * all_weights * dx * dy + 37 * o * dx * dy
    # table-iv.md, rule 7: 2 Wc P + 13 C P + (2 Wc + kernel variables) + 6
    variables = {"standard": 1, "depth": 1, "spatial": 2, "sep": 2}[kind]
    assert (
        TF_PROFILER.flops(program.work)
        == 2 * all_weights * dx * dy + 13 * o * dx * dy + 2 * all_weights + variables + 6
    )


@pytest.mark.parametrize(
    ("kind", "paper", "fvcore", "torch", "parameters"),
    [  # one cell at I = O = 128, K = 3, 128x256: what those tools print
        ("standard", 77_464_600_576, 38_654_705_664, 77_309_411_328, 1_180_160),
        ("spatial", 51_694_796_800, 25_769_803_776, 51_539_607_552, 786_944),
        ("depth", 759_169_024, 301_989_888, 603_979_776, 9_728),
        ("sep", 9_349_103_616, 4_596_957_184, 9_193_914_368, 140_800),
    ],
)
def test_known_totals(kind: str, paper: int, fvcore: int, torch: int, parameters: int) -> None:
    program = describe_cell(kind)
    totals = [CONVENTIONS[name].flops(program.work) for name in ("paper", "fvcore", "torch")]
    assert [*totals, program.parameters] == [paper, fvcore, torch, parameters]


def test_table_i() -> None:
    """9 additions (4 of them biases), 3 products, 3 sigmoids, 2 tanhs per output element."""
    work = describe_cell("standard", kernel=1, channels=1, size=(1, 1)).work
    counts = [work[e] for e in (Event.ADDITION, Event.BIAS, Event.PRODUCT, Event.SIGMOID, Event.TANH)]
    assert counts == [5, 4, 3, 3, 2]
    assert work[Event.MAC] == 8


@pytest.mark.parametrize(("recurrence", "weights_per_map"), [("peephole", 3 * 8 * 5 * 7), ("channel-peephole", 3 * 8)])
def test_peepholes_add_three_products_and_three_additions(recurrence: str, weights_per_map: int) -> None:
    plain = describe_cell("sep", channels=8, size=(5, 7))
    peep = describe_cell("sep", channels=8, size=(5, 7), recurrence=recurrence)
    assert PAPER.flops(peep.work) - PAPER.flops(plain.work) == 6 * 8 * 5 * 7  # 43 instead of 37
    assert peep.parameters - plain.parameters == weights_per_map


@pytest.mark.parametrize("kernel", [3, (5, 3), 7])
def test_odd_kernels_move_nothing(kernel: object) -> None:
    assert describe_cell("sep", kernel=kernel, channels=4, size=(6, 6)).work[Event.MOVE] == 0


def test_even_kernels_copy_the_map_into_a_padded_one() -> None:
    cost = describe_cell("standard", kernel=(4, 3), channels=2, size=(6, 8)).cost
    padded = 2 * (6 + 3) * (8 + 2)  # 3 rows of zeros above and below together, 2 columns
    assert cost.work[Event.MOVE] == 8 * padded
    assert cost.launches == describe_cell("standard", kernel=3, channels=2, size=(6, 8)).cost.launches + 8


def test_bytes_and_launches_of_a_depth_cell() -> None:
    cost = describe_cell("depth", kernel=3, channels=2, size=(4, 5)).cost
    elements = 2 * 4 * 5
    assert cost.launches == 8 + 5 + 3 + 3 + 2  # convolutions, additions, products, sigmoids, tanhs
    assert cost.writes == 4 * elements * cost.launches
    inputs = 8 + 2 * 5 + 2 * 3 + 3 + 2
    assert cost.reads == 4 * (elements * inputs + 8 * 9 * 2 + 4 * 2)  # maps, weights, biases
    half = describe_cell("depth", kernel=3, channels=2, size=(4, 5), itemsize=2).cost
    assert (half.reads, half.writes) == (cost.reads // 2, cost.writes // 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "depth", "channels": (96, 128)}, "not 96 and 128"),
        ({"kind": "frob"}, "one of standard, spatial, depth, sep, grouped-G, shuffled-G, low-rank-R"),
        ({"kind": "grouped-0"}, "unknown cell 'grouped-0'"),
        ({"kind": "grouped-03"}, "unknown cell"),
        ({"kind": "grouped-G"}, "unknown cell"),
        ({"kind": "shuffled-3", "channels": 4}, "4 is not a multiple of 3"),
        ({"kind": Cell("grouped-4", CELLS["sep"])}, "is the name of another cell"),
        ({"kind": "low-rank-"}, "unknown cell"),
        ({"kind": "sep", "recurrence": "gru"}, f"one of {', '.join(RECURRENCES)}"),
        ({"kind": "sep", "kernel": 0}, "kernel must be at least 1, not 0"),
        ({"kind": "sep", "kernel": (3, 5, 7)}, "kernel must be one size or two"),
        ({"kind": "sep", "channels": -4}, "channels must be at least 1, not -4"),
        ({"kind": "sep", "channels": 2.5}, "whole number, not 2.5"),
        ({"kind": "sep", "kernel": np.float64(3)}, "whole number, not np.float64"),
        ({"kind": "sep", "kernel": np.array([3, 5], dtype=np.int32)}, "64-bit integers, not of int32"),
        ({"kind": "sep", "kernel": sympy.Integer(-3)}, "kernel must be at least 1, not -3"),
        ({"kind": "sep", "itemsize": 0}, "itemsize must be at least 1"),
        ({"kind": Cell("loose", lambda i, o, kx, ky: Conv(o, (kx, ky)))}, "must be a tuple of convolutions"),
        ({"kind": Cell("biased", lambda i, o, kx, ky: (Conv(o, (kx, ky), bias=True),))}, "must have no bias"),
        ({"kind": Cell("flat", lambda i, o, kx, ky: (Conv(o, kx),))}, "a kernel has two sides"),
        ({"kind": Cell("still", lambda i, o, kx, ky: (Conv(o, (kx, ky), stride=0),))}, "stride must be at least 1"),
        ({"kind": Cell("valid", lambda i, o, kx, ky: (Conv(o, (kx, ky), padding="valid"),))}, 'padding must be "same"'),
        ({"kind": "sep", "size": (0, 4)}, "size must be at least 1, not 0"),
        (
            {"kind": Cell("grouped", lambda i, o, kx, ky: (Conv(o, (kx, ky), groups=4),)), "channels": 126},
            "126 is not a multiple of 4",
        ),
    ],
)
def test_refusals_say_what_is_wrong(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        describe_cell(settings.pop("kind"), **settings)


@pytest.mark.parametrize("integer", [np.int8, np.int32, np.int64, sympy.Integer], ids=lambda t: t.__name__)
def test_other_integers_become_pythons(integer: type) -> None:
    """Nothing overflows in numpy's narrow types: 2 * 8 * 9 * 100 * 100 * 100 * 100 needs 34 bits."""
    narrow = describe_cell("standard", kernel=integer(3), channels=integer(100), size=(integer(100), integer(100)))
    assert narrow.work == describe_cell("standard", kernel=3, channels=100, size=(100, 100)).work
    assert type(narrow.work[Event.MAC]) is int


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3, CELLS["sep"]), "the name of a cell must be a word"),
        (("", CELLS["sep"]), "the name of a cell must be a word"),
        (("mine", 3), "must be a function of I, O, Kx, Ky"),
        (("mine", CELLS["sep"], "peephole"), "must be a Recurrence, not 'peephole'"),
        (("mine", CELLS["sep"], RECURRENCES["convrnn"], 0), 'the rank of cell "mine" must be at least 1'),
    ],
)
def test_a_cell_checks_itself(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Cell(*arguments)


@pytest.mark.parametrize("settings", [{"kind": ["sep"]}, {"kind": "sep", "recurrence": ["peephole"]}])
def test_names_are_words(settings: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match="unknown"):
        describe_cell(settings.pop("kind"), **settings)


def test_equal_arrays_are_equal_channels() -> None:
    channels = np.array([4, 8]), np.array([4, 8])
    assert describe_cell("depth", channels=channels, size=(5, 5)).parameters.tolist() == [
        8 * 9 * 4 + 16,
        8 * 9 * 8 + 32,
    ]


@pytest.mark.parametrize(
    ("kind", "recurrence", "parameters", "macs", "tail"),
    [
        # 8 transitions of 3 x 3 x 8/4 x 8 weights, 4 biases of 8.
        ("grouped-4", "convlstm", 8 * 9 * 2 * 8 + 4 * 8, 8 * 9 * 2 * 8, 37),
        ("shuffled-2", "convlstm", 8 * 9 * 4 * 8 + 4 * 8, 8 * 9 * 4 * 8, 37),
        # U_x and U_h to 3 channels, V of 4 gates from 3; they add 3 sums per position instead of 4 x 8.
        ("low-rank-3", "convlstm", 2 * 9 * 8 * 3 + 4 * 3 * 8 + 4 * 8, 2 * 9 * 8 * 3 + 4 * 3 * 8, 33 + 3 / 8),
        # ConvGRU: 6 transitions; 3 sums, 3 biases, 1 - Z, 1 sum, 3 products, 2 sigmoids, 1 tanh.
        ("standard", "convgru", 6 * 9 * 64 + 3 * 8, 6 * 9 * 64, 3 + 3 + 1 + 1 + 3 + 2 * 5 + 5),
        ("sep", "convgru", 6 * (9 * 8 + 64) + 3 * 8, 6 * (9 * 8 + 64), 26),
        # ConvRNN: 2 transitions, 1 sum, 1 bias, 1 tanh.
        ("standard", "convrnn", 2 * 9 * 64 + 8, 2 * 9 * 64, 1 + 1 + 5),
        # The factorised ConvGRU has a factor for its gates and one for the candidate, which reads R o H.
        ("low-rank-3", "convgru", 4 * 9 * 8 * 3 + 3 * 3 * 8 + 3 * 8, 4 * 9 * 8 * 3 + 3 * 3 * 8, 23 + 2 * 3 / 8),
    ],
)
def test_other_cells_by_hand(kind: str, recurrence: str, parameters: int, macs: int, tail: float) -> None:
    """8 channels, 3x3, on 5x7 positions; ``tail``: FLOPs per output element besides the convolutions (paper)."""
    program = describe_cell(kind, channels=8, size=(5, 7), recurrence=recurrence)
    assert program.parameters == parameters
    assert program.work[Event.MAC] == macs * 35
    assert PAPER.flops(program.work) == 2 * macs * 35 + round(tail * 8 * 35)
    moved = 8 * 8 * 35 if kind.startswith("shuffled") else 0
    assert program.work[Event.MOVE] == moved
