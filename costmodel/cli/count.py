"""The command ``count``: what any module costs."""

import sys
from typing import Annotated, Any

import typer

from costmodel.cli import parsers
from costmodel.cli.app import app, examples
from costmodel.cli.options import Format, listed, number
from costmodel.errors import InvalidInput
from costmodel.price.conventions import CONVENTIONS
from costmodel.price.machine import Machine

Factory = Annotated[
    str,
    typer.Argument(
        metavar="PACKAGE.MODULE:FACTORY", help="A function or class that makes a module.", show_default=False
    ),
]
Keywords = Annotated[
    dict[str, Any] | None,
    typer.Option(
        "--kwargs", parser=parsers.at_door(parsers.keywords), metavar="JSON", help="Keyword arguments of the call."
    ),
]
Making = Annotated[
    dict[str, Any] | None,
    typer.Option(
        "--make", parser=parsers.at_door(parsers.keywords), metavar="JSON", help="Keyword arguments of the factory."
    ),
]


def _machine(text: str) -> Machine:
    """``"120,20"``: GFLOP/s and GB/s."""
    parts = text.split(",")
    if len(parts) != 2:
        raise InvalidInput(f"{text!r}: expected GFLOP/s and GB/s, such as 120,20")
    peak, bandwidth = (parsers.number(part.strip()) for part in parts)
    return Machine(1e9 * peak, 1e9 * bandwidth)


@app.command(
    epilog=examples(
        'count torch.nn:LSTM --make \'{"input_size": 8, "hidden_size": 16}\' --input 5x2x8 --convention paper',
        'count torch.nn:Conv2d --make \'{"in_channels": 3, "out_channels": 8, "kernel_size": 3}\' --input 1x3x64x64',
        "count mymodel:build --input 1x3x224x224 --depth 2 --sort flops",
        "count mymodel:build --input 1x3x512x1024 --machine 120,20",
        "count mymodel:build --input Nx3xHxW --format json",
        "count mymodel:build --input 1x16:int64 --kwargs '{\"return_dict\": false}' --strict",
    )
)
def count(
    module: Factory,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input", metavar="SHAPE[:TYPE]", help="1x3x224x224, 1x16:int64, 1x3xHxW for formulas; repeat for several."
        ),
    ] = None,
    kwargs: Keywords = None,
    make: Making = None,
    convention: Annotated[str, typer.Option(metavar=listed(CONVENTIONS), help="What counts as a FLOP.")] = "torch",
    depth: Annotated[int | None, number("N", "Sum up parts that are deeper.  [default: all]")] = None,
    sort: Annotated[str, typer.Option(metavar="order|flops|params|bytes", help="Order of the rows.")] = "order",
    train: Annotated[bool, typer.Option("--train", help="In training mode.")] = False,
    backward: Annotated[bool, typer.Option("--backward", help="With the backward pass.")] = False,
    frames: Annotated[
        int, number("T", "A clip: T calls of a recurrent module, the state carried along.  [default: 1]")
    ] = 1,
    real: Annotated[
        bool, typer.Option("--real", help="On real tensors, for modules whose path depends on values.")
    ] = False,
    machine: Annotated[
        Machine | None,
        typer.Option(
            parser=parsers.at_door(_machine),
            metavar="GFLOP/S,GB/S",
            help="Peak and memory bandwidth of a machine: what bounds each part, and what it takes at least.",
        ),
    ] = None,
    attention: Annotated[
        str,
        typer.Option(metavar="full|masked", help="Every pair of a query and a key, or those that a mask keeps."),
    ] = "full",
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 where an operation has no rule.")] = False,
    form: Format = "text",
) -> None:
    """What any module costs: FLOPs under a convention, parameters, bytes, by module.

    Nothing is computed, no weights are needed; what has no rule is listed, never left out in silence.
    """
    if not inputs and not kwargs:
        raise InvalidInput("no inputs: --input with a shape, such as --input 1x3x224x224")
    from costmodel.counting.count import count as counting
    from costmodel.counting.load import load
    from costmodel.report import count as report

    net = load(module, make or {}, meta=not real).train(train)
    counted = counting(net, *(inputs or []), real=real, backward=backward, frames=frames, **(kwargs or {}))
    print(report.document(counted, convention, depth, sort, machine, attention).text(form))
    for operation, times in counted.uncounted.items():
        print(f"costmodel: not counted, no rule: {times} x {operation}", file=sys.stderr)
    if strict and counted.uncounted:
        raise typer.Exit(1)
