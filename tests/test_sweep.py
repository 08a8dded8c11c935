"""Grids against single descriptions, and their limits."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmodel.describe.cells import CELLS, Cell, describe_cell
from costmodel.describe.ops import Conv
from costmodel.errors import InvalidInput
from costmodel.price import sweep as module
from costmodel.price.conventions import CONVENTIONS, Convention
from costmodel.price.sweep import sweep
from costmodel.work.events import Event

sides = st.integers(1, 12)
pairs = st.tuples(sides, sides)


@settings(deadline=None, max_examples=40)
@given(
    kernels=st.lists(st.one_of(sides, pairs), min_size=1, max_size=4),
    channels=st.lists(st.one_of(sides, pairs), min_size=1, max_size=3),
    sizes=st.lists(pairs, min_size=1, max_size=4),
    convention=st.sampled_from(list(CONVENTIONS)),
    recurrence=st.sampled_from(["convlstm", "peephole", "channel-peephole"]),
)
def test_every_row_is_the_single_description(
    kernels: list[object], channels: list[object], sizes: list[tuple[int, int]], convention: str, recurrence: str
) -> None:
    grid = sweep(kernels, channels, sizes, convention=convention, recurrence=recurrence)
    rows = list(grid.rows())
    assert len(rows) == len(grid) == len(kernels) * len(channels) * len(sizes) * len(grid.cells)
    price = CONVENTIONS[convention]
    for row in rows:
        settings = {"kernel": row.kernel, "channels": row.channels, "size": row.size, "recurrence": recurrence}
        program, standard = describe_cell(row.cell, **settings), describe_cell("standard", **settings)
        assert row.flops == price.flops(program.work)
        assert row.params == price.params(program.cost)
        assert row.cost_ratio == price.flops(program.work) / price.flops(standard.work)


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = {"kernels": range(1, 8), "channels": [4, (8, 12), 6], "sizes": [(n, n + 1) for n in range(1, 9)]}
    whole = sweep(**arguments, recurrence="peephole")
    monkeypatch.setattr(module, "BLOCK", 5)
    pieces = sweep(**arguments, recurrence="peephole")
    for cell in whole.flops:
        assert np.array_equal(whole.flops[cell], pieces.flops[cell])
        assert np.array_equal(whole.params[cell], pieces.params[cell])


@pytest.mark.parametrize(
    ("cell", "kernel", "approximation"),
    [
        ("spatial", 3, 2 / 3),
        ("spatial", 7, 2 / 7),
        ("depth", 5, 1 / 64),
        ("sep", 5, 1 / 64 + 1 / 25),
        ("standard", 3, 1),
    ],
)
def test_the_papers_approximations(cell: str, kernel: int, approximation: float) -> None:
    (row,) = sweep(kernel, 64, cells=[cell]).rows()
    assert row.approximation == pytest.approx(approximation, rel=1e-15)


def test_without_cells_those_that_the_channels_allow() -> None:
    grid = sweep(3, [(96, 128), 64])
    assert [cell.name for cell in grid.cells] == ["standard", "spatial", "sep"]
    assert "not 96 and 128" in grid.left_out
    with pytest.raises(InvalidInput, match="not 96 and 128"):
        sweep(3, [64, (96, 128)], cells=["depth"])


def test_a_cell_of_ones_own() -> None:
    grouped = Cell("grouped", lambda i, o, kx, ky: (Conv(o, (kx, ky), groups=4),))
    (row,) = sweep(3, 128, cells=[grouped]).rows()
    assert row.approximation == 0.25
    with pytest.raises(InvalidInput, match="126 is not a multiple of 4"):
        sweep(3, [128, 126], cells=[grouped])


def test_large_integers_stay_exact() -> None:
    """Close to the limit of 64 bits, against Python's unlimited ints."""
    (row,) = sweep(9, 30_000, [(2000, 3000)], cells=["standard"]).rows()
    assert row.flops == (16 * 81 * 30_000 + 37) * 30_000 * 2000 * 3000
    assert 2**62 < row.flops < 2**63


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernels": [3, 10**6], "channels": [10**4]}, "more than a 64-bit integer holds"),
        (
            {"kernels": range(1, 10**4), "channels": range(1, 10**5)},
            r"3,999,560,004 rows \(999,890,001 points x 4 cells\)",
        ),
        ({"kernels": []}, "no kernel given"),
        ({"kernels": [3, 0]}, "kernel must be at least 1, not 0"),
        ({"kernels": [3.5]}, "whole number, not 3.5"),
        ({"channels": [-1]}, "channels must be at least 1, not -1"),
        ({"channels": [10**20]}, r"channels 1.0e\+20 is more than a 64-bit integer holds"),
        ({"kernels": np.array([3.7, 5.2])}, "whole number, not 3.7"),
        ({"kernels": None}, "whole number, not None"),
        ({"kernels": True}, "whole number, not True"),
        ({"sizes": [(8, 8), 3, (2, 2, 2)]}, "one size or two"),
        ({"cells": []}, "no cell given"),
        ({"cells": ["sep", Cell("sep", lambda i, o, kx, ky: (Conv(o, (1, 1)),))]}, "'sep' is the name of another cell"),
        (
            {
                "cells": [
                    Cell("g", lambda i, o, kx, ky: (Conv(o, (kx, ky)),)),
                    Cell("g", lambda i, o, kx, ky: (Conv(o, (1, 1)),)),
                ]
            },
            "two different cells are called 'g'",
        ),
        ({"sizes": [(8, 0)]}, "size must be at least 1, not 0"),
        ({"cells": ["gated"]}, "one of standard"),
        ({"convention": "mine"}, "one of paper"),
    ],
)
def test_refusals(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        sweep(**arguments)


def test_the_bound_knows_that_even_kernels_cost_more() -> None:
    """A convention that prices moved elements: the even kernel costs more than the larger odd one."""
    moving = Convention("moving", "FLOP", "a test", dict.fromkeys(Event, 0) | {Event.MAC: 1, Event.MOVE: 1000})
    with pytest.raises(InvalidInput, match="more than a 64-bit integer holds"):
        sweep([10**8, 10**8 + 1], 1, (1, 1), "depth", convention=moving)


@pytest.mark.parametrize(
    ("arguments", "same"),
    [
        ({"kernels": np.int64(3)}, {"kernels": [3]}),
        ({"kernels": np.array([3, 5])}, {"kernels": [3, 5]}),
        ({"kernels": np.array([[3, 5]])}, {"kernels": [(3, 5)]}),
        ({"kernels": (n for n in (3, 5))}, {"kernels": [3, 5]}),
        ({"channels": np.array([8, 16], dtype=np.int32)}, {"channels": [8, 16]}),
        ({"sizes": [64, 128]}, {"sizes": [(64, 128)]}),
        ({"sizes": (64, 128)}, {"sizes": [(64, 128)]}),
        ({"sizes": np.array([64, 128])}, {"sizes": [(64, 128)]}),
        ({"sizes": (np.int64(64), np.int64(128))}, {"sizes": [(64, 128)]}),
        ({"cells": "sep"}, {"cells": ["sep"]}),
        ({"cells": ["sep", "sep"]}, {"cells": ["sep"]}),
    ],
)
def test_what_looks_the_same_is_the_same(arguments: dict[str, object], same: dict[str, object]) -> None:
    assert list(sweep(**arguments).rows()) == list(sweep(**same).rows())


@pytest.mark.parametrize("kind", CELLS)
def test_arrays_cost_what_their_elements_cost(kind: str) -> None:
    """Every field of a cost, bytes and launches too, at odd and even kernels."""
    kernels = [2, 3, 4, 5]
    at_once = describe_cell(kind, kernel=np.array(kernels), channels=6, size=(7, 9)).cost
    for n, kernel in enumerate(kernels):
        one = describe_cell(kind, kernel=kernel, channels=6, size=(7, 9)).cost
        for field in ("parameters", "reads", "writes", "launches"):
            assert np.broadcast_to(getattr(at_once, field), len(kernels))[n] == getattr(one, field), (field, kernel)
        for event in Event:
            assert np.broadcast_to(at_once.work[event], len(kernels))[n] == one.work[event], (event, kernel)


def test_memory_is_linear_in_the_grid() -> None:
    """Three int64 arrays a cell, and blocks of bounded size."""

    def peak(kernels: int) -> int:
        tracemalloc.start()
        sweep(range(1, 2 * kernels, 2), range(1, 101), [(n, n) for n in range(1, 101)])
        result = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return result

    few, many = peak(10), peak(30)
    assert many - few < 1.1 * 20 * 100 * 100 * len(CELLS) * module.ROW_BYTES


def test_frame() -> None:
    grid = sweep([3, (5, 1)], [8, (4, 16)], [(6, 7), (2, 9)], cells=["standard", "sep"], convention="fvcore")
    frame = grid.frame()
    assert len(frame) == len(grid) == 16
    assert frame.attrs == {"convention": "fvcore", "unit": "MAC"}
    for row, (_, record) in zip(grid.rows(), frame.iterrows(), strict=True):
        assert (record.kernel_x, record.kernel_y, record.in_channels, record.out_channels) == (
            *row.kernel,
            *row.channels,
        )
        assert (record["rows"], record["columns"], record.cell) == (*row.size, row.cell)
        assert (record.flops, record.params, record.cost_ratio) == (row.flops, row.params, row.cost_ratio)
