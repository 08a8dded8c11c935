"""Sizes as people type them."""

import re
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from costmodel.cli import parsers as arguments
from costmodel.errors import InvalidInput

numbers = st.integers(1, 10**17)


@given(st.lists(st.tuples(numbers, numbers), min_size=1))
def test_sizes_read_what_was_written(pairs: list[tuple[int, int]]) -> None:
    assert arguments.sizes(",".join(f"{a}x{b}" for a, b in pairs), "--kernel") == pairs


@given(numbers)
def test_one_number_is_a_square(n: int) -> None:
    assert arguments.sizes(str(n), "--kernel") == [(n, n)] == [arguments.square(str(n), "--kernel")]
    assert arguments.whole(str(n), "--classes") == n


number = r"(?=[0-9]{1,18}(?![0-9]))0*[1-9][0-9]*"  # from 1, at most 18 digits
SHAPES = {
    arguments.sizes: rf"\s*{number}(x{number})?\s*(,\s*{number}(x{number})?\s*)*",
    arguments.square: rf"\s*{number}(x{number})?\s*",
    arguments.rectangle: rf"\s*{number}x{number}\s*",
    arguments.whole: number,
}


@pytest.mark.parametrize("parse", SHAPES, ids=lambda parse: parse.__name__)
@given(st.one_of(st.text(), st.text("0123456789x, -.", max_size=24)))
@example("0" * 17 + "1")
@example("0" * 18 + "1")
def test_exactly_the_grammar_is_accepted(parse: Callable[[str, str], object], text: str) -> None:
    message = ""
    try:
        parse(text, "--option")
    except InvalidInput as error:
        message = str(error)
    assert bool(re.fullmatch(SHAPES[parse], text)) == (not message)
    assert "--option" in message or not message


def test_names_keep_the_order_of_the_catalogue() -> None:
    assert arguments.names(["c", "a,b", "a"], "--x", ["a", "b", "c", "d"]) == ["a", "b", "c"]
    assert arguments.names(None, "--x", ["a"]) is None
    with pytest.raises(InvalidInput, match="--x '': one of a"):
        arguments.names(["a,"], "--x", ["a"])
