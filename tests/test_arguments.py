"""Sizes as people type them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmodel import arguments
from costmodel.describe.errors import InvalidInput

numbers = st.integers(1, 10**17)


@given(st.lists(st.tuples(numbers, numbers), min_size=1))
def test_sizes_read_what_was_written(pairs: list[tuple[int, int]]) -> None:
    assert arguments.sizes(",".join(f"{a}x{b}" for a, b in pairs), "--kernel") == pairs


@given(numbers)
def test_one_number_is_a_square(n: int) -> None:
    assert arguments.sizes(str(n), "--kernel") == [(n, n)] == [arguments.square(str(n), "--kernel")]
    assert arguments.whole(str(n), "--classes") == n


@given(st.text())
def test_anything_else_is_refused_in_words(text: str) -> None:
    for parse in (arguments.sizes, arguments.rectangle, arguments.square, arguments.whole):
        message = ""
        try:
            result = str(parse(text, "--option"))
        except InvalidInput as error:
            message = str(error)
        assert "--option" in message or not set("-.") & set(result)


def test_names_keep_the_order_of_the_catalogue() -> None:
    assert arguments.names(["c", "a,b", "a"], "--x", ["a", "b", "c", "d"]) == ["a", "b", "c"]
    assert arguments.names(None, "--x", ["a"]) is None
    with pytest.raises(InvalidInput, match="--x '': one of a"):
        arguments.names(["a,"], "--x", ["a"])
