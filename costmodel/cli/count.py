"""The command ``count``: what any module costs."""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from traceback import print_exception
from typing import TYPE_CHECKING, Annotated, Any

import typer

from costmodel.cli import parsers
from costmodel.cli.app import app, examples, grouped
from costmodel.cli.layers import Trace, time_layers
from costmodel.cli.machines import OnMachine
from costmodel.cli.options import ConventionName, Format, choice, number
from costmodel.cli.options import optimizer as one_optimizer
from costmodel.cli.timing import DEVICES, Choices, Effort
from costmodel.errors import InvalidInput
from costmodel.price.machine import Machine
from costmodel.report.count import SORTS

if TYPE_CHECKING:
    from costmodel.counting.count import Count
    from costmodel.profiles.layers import Layers
    from costmodel.profiles.records import Host

Factory = Annotated[
    str,
    typer.Argument(
        metavar="MODULE",
        help="package.module:factory or file.py:factory, a function or class that makes a module, or a module; "
        "or a file: network.pt2 (torch.export), network.onnx.",
        show_default=False,
    ),
]
Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="[NAME=]INPUT",
        help="1x3x224x224, 1x16:int64; a tuple '(1x8, 1x8)', a list '[1x8, 1x8]', a dictionary '{image: 1x3x64x64}' of "
        "such; mask=1x16:bool by name. Repeat for several inputs; commas separate alternatives, a table each.",
    ),
]
Dtype = Annotated[
    str | None,
    choice(
        ("float32", "bfloat16", "float16", "float64"),
        "Type of floating-point parameters, buffers, and inputs that name no type.  [default: as they are]",
        default=False,
    ),
]
Traceback = Annotated[
    bool, typer.Option("--traceback", help="Print the whole traceback of an error in the module's own code.")
]
Keywords = Annotated[
    dict[str, Any] | None,
    typer.Option(
        "--kwargs",
        parser=parsers.at_door(parsers.keywords),
        metavar="JSON",
        help='Keyword arguments of the call; texts such as "1x16:int64" are inputs.',
    ),
]
Making = Annotated[
    list[parsers.Arguments] | None,
    typer.Option(
        "--make",
        parser=parsers.at_door(parsers.arguments),
        metavar="NAME=VALUE|JSON",
        help="Keyword arguments of the factory; repeat for several, or give a JSON object.",
    ),
]


Limits = Annotated[
    Machine | None,
    typer.Option(
        parser=parsers.at_door(parsers.limits),
        metavar="GFLOP/S,GB/S",
        help="Peak and memory bandwidth of a machine: what bounds each part, and what it takes at least.",
    ),
]


@contextmanager
def user_code(traceback: bool) -> Iterator[None]:
    """Run code of the user: what it prints goes to stderr; ``traceback`` prints that of an error, too."""
    from costmodel.counting.load import running_user_code
    from costmodel.counting.reasons import place, placed_reason

    try:
        with running_user_code():
            try:
                yield
            except SystemExit as error:
                raise InvalidInput(f"the module's code ended the run: {placed_reason(error)}") from error
            except Exception as error:  # the user's code may raise anything; an error of ours has no line of theirs
                if isinstance(error, InvalidInput) or not place(error):
                    raise
                raise InvalidInput(f"the module's code raised {placed_reason(error)}") from error
    except InvalidInput as error:
        if traceback:
            print_exception(error.__cause__ or error)
        raise


def input_sets(
    inputs: list[str] | None, kwargs: dict[str, Any] | None, dtype: str | None
) -> list[tuple[list[Any], dict[str, Any]]]:
    """The inputs by position and by name, once for each of the alternatives that --input separates by commas."""
    from costmodel.counting.shapes import parse, typed, with_shapes

    if not inputs and not kwargs:
        raise InvalidInput("no inputs: --input with a shape, such as --input 1x3x224x224")
    found: list[tuple[str, list[Any]]] = []
    for text in inputs or []:
        name = re.match(r"\s*([^\W\d]\w*)\s*=", text)
        found.append((name[1] if name else "", parse(text[name.end() :] if name else text)))
        if name and name[1] in [*(kwargs or {}), *(each for each, _ in found[:-1])]:
            raise InvalidInput(f"--input {text!r}: {name[1]} is given twice")
    number = max((len(values) for _, values in found), default=1)
    if wrong := [text for text, (_, values) in zip(inputs or [], found, strict=True) if len(values) not in (1, number)]:
        raise InvalidInput(f"--input {wrong[0]!r}: expected {number} alternatives, as another --input has, or one")
    sets = []
    for place in range(number):
        chosen = [(name, values[place % len(values)]) for name, values in found]
        by_name = with_shapes(kwargs or {}) | {name: value for name, value in chosen if name}
        one = ([value for name, value in chosen if not name], by_name)
        sets.append(typed(one, dtype) if dtype else one)
    return sets


@app.command(
    epilog=examples(
        'count torch.nn:LSTM --make \'{"input_size": 8, "hidden_size": 16}\' --input 5x2x8 --convention paper',
        'count torch.nn:Conv2d --make \'{"in_channels": 3, "out_channels": 8, "kernel_size": 3}\' --input 1x3x64x64',
        "count mymodel:build --input 1x3x224x224 --depth 2 --sort flops --top 10",
        "count mymodel:build --input 1x3x512x1024 --machine 120,20",
        "count mymodel:build --input 1x3x512x1024 --machine mine --depth 1",
        "count mymodel:build --input 8x3x224x224 --train --backward --optimizer adam",
        "count mymodel:build --input Nx3xHxW --format json",
        "count mymodel:build --input 1x3x224x224 --save cost.json",
        "count mymodel:build --input 1x3x224x224 --baseline cost.json --fail-over 2%",
        "count mymodel:build --input 1x3x224x224,8x3x224x224 --dtype bfloat16",
        "count mymodel.py:Cell --input 1x3x16x12 --input '(1x8x16x12, 1x8x16x12)' --frames 4",
        "count mymodel.py:build --input 1x16:int64 --input attention_mask=1x16:int64",
        "count mymodel:build --input 1x16:int64 --kwargs '{\"return_dict\": false}' --strict",
        "count mymodel:build --input 1x3x224x224 --measure cpu --depth 2 --trace times.json",
    )
)
@grouped
def count(
    *,
    module: Factory,
    inputs: Inputs = None,
    kwargs: Keywords = None,
    make: Making = None,
    convention: ConventionName = "torch",
    depth: Annotated[int | None, number("N", "Sum up parts that are deeper.  [default: all]")] = None,
    sort: Annotated[
        str | None,
        choice(
            SORTS,
            "Order of the rows, in every format: of execution, or the largest first; ms needs --machine or --measure.  "
            "[default: order; with --top: ms, without times flops]",
            default=False,
        ),
    ] = None,
    top: Annotated[
        int | None,
        number("N", "The first N rows; the others are summed in one row, 'M others', in every format.  [default: all]"),
    ] = None,
    train: Annotated[bool, typer.Option("--train", help="In training mode.")] = False,
    backward: Annotated[bool, typer.Option("--backward", help="With the backward pass.")] = False,
    dtype: Dtype = None,
    optimizer: Annotated[
        str | None,
        one_optimizer("With --backward: the memory of torch's optimizer, too, its states and its step."),
    ] = None,
    frames: Annotated[
        int, number("T", "A clip: T calls of a recurrent module, the state carried along.  [default: 1]")
    ] = 1,
    real: Annotated[
        bool, typer.Option("--real", help="On real tensors, for modules whose path depends on values.")
    ] = False,
    on: OnMachine,
    attention: Annotated[
        str, choice(("full", "masked"), "Every pair of a query and a key, or those that a mask keeps.")
    ] = "full",
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 where an operation has no rule.")] = False,
    save: Annotated[
        str | None, typer.Option("--save", metavar="FILE", help="Keep the count in a file, for --baseline.")
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", metavar="FILE", help="What rose and fell since --save, and in which module."),
    ] = None,
    fail_over: Annotated[
        float | None,
        typer.Option(
            parser=parsers.at_door(parsers.percentage),
            metavar="PERCENT",
            help="With --baseline: exit with 1 where parameters, FLOPs, bytes, peak memory or launches rose by more "
            "than that, with 3 where that cannot be judged.",
        ),
    ] = None,
    measure: Annotated[
        str | None,
        choice(DEVICES, "Time each module, too, in evaluation mode: rows that add up to the whole.", default=False),
    ] = None,
    trace: Trace = None,
    effort: Effort,
    traceback: Traceback = False,
    form: Format = "text",
) -> None:
    """Count the cost of any module: FLOPs under a convention, parameters, bytes, by module.

    Nothing is computed, no weights are needed; what has no rule is listed, never left out in silence.
    """
    machine: Any = on.machine
    sets = input_sets(inputs, kwargs, dtype)
    before = _baseline(save, baseline, fail_over, len(sets))
    if before and any(each is not None for each in (depth, sort, top, machine)):
        raise InvalidInput("--baseline compares whole counts: without --depth, --sort, --top and --machine")
    from costmodel.counting.baseline import record as kept
    from costmodel.counting.baseline import save as keep
    from costmodel.counting.count import count as counting
    from costmodel.counting.load import load, prepared
    from costmodel.report import count as report
    from costmodel.report.layout.document import together

    if optimizer and not backward:
        raise InvalidInput("--optimizer takes its step after a backward pass: with --backward")
    if measure is None:
        for option, given in (("trace", trace), *vars(effort).items()):
            if given is not None:
                raise InvalidInput(f"--{option} needs --measure")
    else:
        apart = {"--train": train, "--backward": backward, "--real": real, "--save": save, "--baseline": baseline}
        if others := [option for option, given in apart.items() if given]:
            raise InvalidInput(f"--measure times a call in evaluation mode, and prints its table: without {others[0]}")
        from costmodel.report.layers import check_order, document

        if isinstance(machine, str):
            raise InvalidInput(f"--machine {machine}: beside --measure GFLOP/S,GB/S; predict has the predicted times")
        check_order(sort, top)
        if len(sets) > 1:
            raise InvalidInput(f"--measure times one call, not {len(sets)} alternatives of --input")
        own, layers, host, code = _timed(
            sets[0], module, parsers.merged(make), frames, dtype, attention, measure, effort, depth, trace, traceback
        )
        if layers and host:
            print(document(layers, host, convention, machine, attention, sort, top).text(form))
        code = code or (1 if _tell_uncounted([own]) and strict else 0)
        if code:
            raise typer.Exit(code)
        return
    if isinstance(machine, str):
        if train or backward:
            raise InvalidInput(f"--machine {machine} predicts inference: without --{'train' if train else 'backward'}")
        machine = on.predictor(Choices(dtype=[dtype] if dtype else None))
    how: dict[str, Any] = {"real": real, "backward": backward, "frames": frames, "optimizer": optimizer}
    with user_code(traceback):
        net = prepared(load(module, parsers.merged(make), meta=not real), train, dtype)
        counts = [counting(net, *args, **how, **options) for args, options in sets]
    if save is not None:
        keep(kept(counts[0], convention, attention), save)
    if baseline is not None and before:
        code = _compared(before, kept(counts[0], convention, attention), baseline, fail_over, form)
        raise typer.Exit(1 if strict and counts[0].uncounted else code)
    documents = [
        (", ".join(each.inputs), report.document(each, convention, depth, sort, machine, attention, top))
        for each in counts
    ]
    print(together(documents).text(form))
    if _tell_uncounted(counts) and strict:
        raise typer.Exit(1)


def _tell_uncounted(counts: "list[Count]") -> bool:
    """Tell what has no rule; True where there is any."""
    uncounted = sum((each.uncounted for each in counts), Counter[str]())
    for operation, times in uncounted.items():
        print(f"costmodel: not counted, no rule: {times} x {operation}", file=sys.stderr)
    return bool(uncounted)


def _timed(
    call: tuple[list[Any], dict[str, Any]],
    name: str,
    arguments: dict[str, Any] | None,
    frames: int,
    dtype: str | None,
    attention: str,
    device: str,
    effort: Effort,
    depth: int | None,
    trace: str | None,
    traceback: bool,
) -> "tuple[Count, list[Layers], Host | None, int]":
    """The count of a module, the times of its parts, the machine, and the exit code."""
    from costmodel.counting.shapes import letters_of, shapes_in
    from costmodel.measure.modules import module
    from costmodel.measure.profile import choose, settings_grid

    args, named = call
    if letters := dict.fromkeys(side for shape in shapes_in(args, named) for side in letters_of(shape)):
        raise InvalidInput(f"--measure needs numbers in --input, not {', '.join(letters)}")
    with user_code(traceback):
        own = module(name, *args, arguments=arguments, frames=frames, dtype=dtype, **named)
    own = replace(own, count=own.count.seen(attention))
    jobs = choose(settings_grid(device, dtype=dtype or "float32", frames=frames), [own])
    layers, host, code = time_layers(jobs, None, effort, depth=depth, trace=trace, modules={own.subject: own})
    return own.count, layers, host, code


def _baseline(save: str | None, baseline: str | None, fail_over: float | None, sets: int) -> dict[str, Any] | None:
    """The saved count of --baseline, read before anything is counted; None without this option."""
    from costmodel.counting.baseline import read

    if fail_over is not None and baseline is None:
        raise InvalidInput("--fail-over needs --baseline, the file of a count that --save has kept")
    if "" in (save, baseline):
        raise InvalidInput("--save and --baseline need the name of a file")
    if (save or baseline) and sets > 1:
        raise InvalidInput("--save and --baseline keep one count a file: give --input without alternatives")
    if save and baseline and Path(save).resolve() == Path(baseline).resolve():
        raise InvalidInput("--save and --baseline name the same file: renew a baseline with --save alone")
    return read(baseline) if baseline else None


def _compared(before: dict[str, Any], after: dict[str, Any], file: str, limit: float | None, form: str) -> int:
    """Print a count beside a saved one; the exit code."""
    from costmodel.counting.baseline import compare
    from costmodel.report.baseline import document

    comparison = compare(before, after)
    print(document(comparison, file, limit).text(form))
    for reason in (*comparison.other_settings, *comparison.unknown):
        print(f"costmodel: not judged: {reason}", file=sys.stderr)
    return {"passed": 0, "failed": 1, "undecided": 3}[comparison.verdict(limit)]
