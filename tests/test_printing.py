"""Objects that people print: short, and they say what they are."""

import numpy as np
import pytest

import costmodel
from costmodel.price.conventions import CONVENTIONS

CELL = costmodel.cell("sep", kernel=5, channels=8, size=(6, 9))
OBJECTS = {
    # 8 transitions of 8*5*5 + 8*8 weights and 4*8 biases: 8 * 264 + 32 = 2144
    "a cell": (lambda: CELL, "2,144 parameters"),
    "a network": (lambda: costmodel.network("v6"), "LSTM-ICNet v6: frame 3x1024x2048, 11,428,217 parameters"),
    "a cell in symbols": (lambda: costmodel.equation("sep").program, "<Program sep: x a grid or symbols"),
    "a module": (lambda: costmodel.build(CELL), "2,144 parameters"),
    "a table": (lambda: costmodel.table(), "13 networks, 1024x2048 frames, convention tf-profiler"),
    "a row": (lambda: costmodel.table(["v6"]).rows[1], "LSTM-ICNet v6: 11,428,217 parameters"),
    "a sweep": (lambda: costmodel.sweep(), "12 rows"),
    "an equation": (lambda: costmodel.equation("sep"), "Equation sep, convention paper"),
    "a profile": (lambda: costmodel.read_profile("amd-epyc-2-cores"), "AMD EPYC"),
    "a flicker": (lambda: costmodel.mfip(np.arange(40).reshape(10, 2, 2)), "mFIP 1000 per mille: 10 frames of 2x2"),
    "a schedule": (lambda: costmodel.schedule(costmodel.Stages(61, 299, 38, 20), "fixed", 5), "every 5 frames"),
    **{name: (lambda convention=convention: convention, convention.source) for name, convention in CONVENTIONS.items()},
}


@pytest.mark.parametrize("what", OBJECTS)
def test_what_is_printed_is_short_and_says_what_it_is(what: str) -> None:
    make, words = OBJECTS[what]
    printed = make()
    for text in (repr(printed), str(printed)):
        assert len(text) <= 1000
    assert words in repr(printed)


def test_a_notebook_shows_a_table_as_html() -> None:
    html = costmodel.table(["v6"])._repr_html_()
    assert html.count("<tr") == 1 + 5  # the head, ICNet, four cells
    assert "11428217" in html


def test_a_program_and_its_module_do_the_same_operations() -> None:
    """One currency: the steps of a description and what torch runs have the same cost, in the same order."""
    counted = costmodel.count(costmodel.build(CELL), "1x8x6x9").operations
    described = CELL.operations
    assert [o.cost.work for o in described] == [o.cost.work for o in counted if o.cost.work]
    assert [o.output for o in described] == [o.output for o in counted if o.cost.work]
    convolutions = [o.path for o in described if o.op == "conv"]
    assert [o.path for o in counted if "conv" in o.op] == [f"body.{path}" for path in convolutions]
