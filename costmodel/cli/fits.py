"""The command ``fits``: the largest batch or sides with which a module fits into a memory."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from costmodel.cli import parsers
from costmodel.cli.app import app, examples
from costmodel.cli.count import Dtype, Factory, Inputs, Keywords, Making, Traceback, input_sets, user_code
from costmodel.cli.options import Format, number
from costmodel.cli.options import optimizer as one_optimizer
from costmodel.cli.parsers import Pair, at_door, each
from costmodel.cli.timing import progress
from costmodel.errors import InvalidInput


def _sized(text: str) -> Pair:
    """``"H=480"``: a letter and its size."""
    if not re.fullmatch(r"[^\W\d]\w*=0*[1-9][0-9]{0,17}", text):
        raise InvalidInput(f"{text!r}: expected LETTER=SIZE with a whole number from 1, such as H=480")
    return parsers.pair(text)


@app.command(
    epilog=examples(
        "fits mymodel:build --input Nx3xHxW --memory 8GB",
        "fits mymodel:build --input Nx3xHxW --memory 8GB --at H=480,W=640 --step 32",
        "fits mymodel:build --input Nx3xHxW --memory 8GB --train --backward --optimizer adam",
        "fits mymodel:build --input NxT:int64 --memory 16GiB --at T=512 --vary N --format json",
    )
)
def fits(
    module: Factory,
    memory: Annotated[
        str,
        typer.Option(metavar="BYTES", help="The memory: 8GB (10^9 bytes), 512MB, 8GiB (2^30).", show_default=False),
    ],
    inputs: Inputs = None,
    kwargs: Keywords = None,
    make: Making = None,
    at: Annotated[
        list[Pair] | None,
        typer.Option(
            parser=at_door(each(_sized)),
            callback=parsers.different_keys,
            metavar="LETTER=SIZE",
            help="Sizes of letters while others vary, and the ratio of those that vary together.  [default: a batch of "
            "1, sides of 224]",
        ),
    ] = None,
    vary: Annotated[
        str | None, typer.Option(metavar="LETTER,...", help="Letters that vary.  [default: N or B, then all others]")
    ] = None,
    step: Annotated[int, number("N", "Sides that vary are multiples of N.  [default: 1]")] = 1,
    train: Annotated[bool, typer.Option("--train", help="In training mode.")] = False,
    backward: Annotated[bool, typer.Option("--backward", help="With the backward pass.")] = False,
    optimizer: Annotated[
        str | None,
        one_optimizer("With --backward: the optimizer's memory, too."),
    ] = None,
    cpu: Annotated[
        bool, typer.Option("--cpu", help="With what kernels of a CPU need besides results, as its allocator sees it.")
    ] = False,
    dtype: Dtype = None,
    traceback: Traceback = False,
    form: Format = "text",
) -> None:
    """The largest inputs that fit into a memory: of a shape with letters, such as Nx3xHxW, the largest N, and the
    largest H and W."""
    sets = input_sets(inputs, kwargs, dtype)
    from costmodel.counting.fits import fits as fitting
    from costmodel.counting.load import load, prepared
    from costmodel.report import fits as report
    from costmodel.report.layout.document import together

    if optimizer and not backward:
        raise InvalidInput("--optimizer takes its step after a backward pass: with --backward")
    sizes = {name: int(size) for name, size in at or []}
    chosen = [name.strip() for name in vary.split(",")] if vary else None
    with user_code(traceback), progress(0, "counts", "{desc} {n_fmt}{postfix}") as bar:

        def tried(sizes: Mapping[str, int]) -> None:
            bar.set_postfix(sizes, refresh=False)
            bar.update()

        net = prepared(load(module, parsers.merged(make)), train, dtype)
        how: dict[str, Any] = {
            "memory": memory,
            "backward": backward,
            "optimizer": optimizer,
            "at": sizes,
            "vary": chosen,
        }
        answers = [fitting(net, *args, **how, step=step, cpu=cpu, tried=tried, **options) for args, options in sets]
    print(together([(", ".join(answer.inputs), report.document(answer)) for answer in answers]).text(form))
