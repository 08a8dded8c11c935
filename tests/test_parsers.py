"""Values as people type them, and the doors of the commands."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer
from hypothesis import example, given
from hypothesis import strategies as st

from costmodel.cli import main, parsers
from costmodel.cli.app import grouped
from costmodel.errors import InvalidInput

numbers = st.integers(1, 10**17)


@given(st.lists(st.tuples(numbers, numbers), min_size=1))
def test_sizes_read_what_was_written(pairs: list[tuple[int, int]]) -> None:
    assert parsers.sizes(",".join(f"{a}x{b}" for a, b in pairs)) == pairs


@given(numbers)
def test_one_number_is_a_square(n: int) -> None:
    assert parsers.sizes(str(n)) == [(n, n)] == [parsers.square(str(n))]
    assert parsers.whole(str(n)) == n


number = r"(?=[0-9]{1,18}(?![0-9]))0*[1-9][0-9]*"  # from 1, at most 18 digits
SHAPES = {
    parsers.sizes: rf"\s*{number}(x{number})?\s*(,\s*{number}(x{number})?\s*)*",
    parsers.square: rf"\s*{number}(x{number})?\s*",
    parsers.rectangle: rf"\s*{number}x{number}\s*",
    parsers.whole: number,
}


@pytest.mark.parametrize("parse", SHAPES, ids=lambda parse: parse.__name__)
@given(st.one_of(st.text(), st.text("0123456789x, -.", max_size=24)))
@example("0" * 17 + "1")
@example("0" * 18 + "1")
def test_exactly_the_grammar_is_accepted(parse: Callable[[str], object], text: str) -> None:
    message = ""
    try:
        parse(text)
    except InvalidInput as error:
        message = str(error)
    assert bool(re.fullmatch(SHAPES[parse], text)) == (not message)
    assert re.match("['\"]", message) or not message  # starts with the text, or the part of it that is wrong


def test_a_repeated_option_is_one_list_in_the_order_of_the_catalogue() -> None:
    assert parsers.joined(["a", "b", "c", "d"])([["c"], ["a", "b"], ["a"]]) == ["a", "b", "c"]
    assert parsers.joined(["a"])([["low-rank-2"], ["a"]]) == ["a", "low-rank-2"]
    assert parsers.joined()(None) is parsers.joined()([]) is None


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("table --model v6,v9", "--model 'v9': one of icnet"),
        ("table --model v6,", "--model '': one of"),
        ("table --cell x", "--cell 'x': one of standard, spatial, depth, sep, grouped-G, shuffled-G, low-rank-R"),
        ("table --kernel 3,5", "--kernel '3,5': one value here, such as 3 or 3x5"),
        ("table --size 5", "--size '5': expected ROWSxCOLUMNS, such as 1024x2048"),
        ("table --site low", "--site 'low': expected NAME=VALUE, such as final=standard"),
        ("table --site low=sep --site low=depth", "--site 'low=depth': low is given twice"),
        ("table --measure tpu", "--measure 'tpu': one of cpu, cuda"),
        ("table --measure cpu --rounds 0", "--rounds '0': expected a whole number from 1"),
        ("table --measure cpu --budget never", "--budget 'never': expected a time, such as 90s, 5m or 1h"),
        ("sweep --measure cpu --dtype float8", "--dtype 'float8': one of float32, float64, bfloat16, float16"),
        ("sweep --channels 3,0", "--channels '0': sizes start at 1"),
        ("sweep --size 5", "--size '5': expected ROWSxCOLUMNS, such as 1024x2048"),
        ("sweep --profile paper --threads 1,x", "--threads 'x': expected a whole number from 1"),
        ("profile --cell sep --frames 0", "--frames '0': expected a whole number from 1"),
        ("profile --cell sep --device gpu", "--device 'gpu': one of cpu, cuda"),
        ("plot quality --cost price", "--cost 'price': one of flops, params, time"),
        ("plot layers --kernel 3,5", "--kernel: one value for layers, such as 3 or 3x5"),
        ("equation x", "cell 'x': one of standard"),
        ("equation --format csv", "--format 'csv': one of text, json"),
        ("gradual --alphas {file}", "--alphas '{file}': 'x': expected a number from 0, such as 61 or 0.5"),
        ("schedule --gaps {file}", "--gaps '{file}': '0.5': expected a whole number from 1"),
        ("schedule --gaps {file}.no", "--gaps '{file}.no': No such file or directory"),
        ("schedule --mode fast", "--mode 'fast': one of"),
        ("schedule --low 1,5", "--low '1,5': expected a number from 0, such as 61 or 0.5"),
        ("count torch.nn:ReLU --input 3 --kwargs [1]", "--kwargs '[1]': expected an object, such as"),
        ("count torch.nn:ReLU --input 3 --make {{", "--make '{{': not JSON: "),
        ("count torch.nn:ReLU --input 3 --machine 5", "--machine '5': expected GFLOP/s and GB/s, such as 120,20"),
        ("diff paper paper --fail-over much", "--fail-over 'much': expected a percentage, such as 5%"),
    ],
)
def test_an_option_is_refused_at_the_door(
    typed: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "numbers"
    file.write_text("0.5 x\n")
    monkeypatch.setattr("sys.argv", ["costmodel", *typed.format(file=file).split()])
    assert main() == 2
    assert capsys.readouterr().err.startswith(f"costmodel: {message.format(file=file)}")


def test_the_fields_of_a_group_are_options() -> None:
    @dataclass
    class Group:
        width: Annotated[int, typer.Option(help="A width.")] = 3

    taken = []

    @grouped
    def command(*, name: str = "a", group: Group) -> None:
        taken.append((name, group))

    app = typer.Typer()
    app.command()(command)
    app(["--width", "5", "--name", "b"], standalone_mode=False)
    app([], standalone_mode=False)
    assert taken == [("b", Group(5)), ("a", Group(3))]
