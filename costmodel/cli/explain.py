"""The command ``explain``: why counters disagree about a module."""

from typing import Annotated

import typer

from costmodel.cli.app import app, examples
from costmodel.cli.count import Factory, Keywords, Making
from costmodel.cli.options import Format
from costmodel.errors import InvalidInput


@app.command(
    epilog=examples(
        'explain torch.nn:Conv2d --make \'{"in_channels": 3, "out_channels": 8, "kernel_size": 3}\' --input 1x3x64x64',
        "explain mymodel:build --input 1x3x224x224 --format markdown",
    )
)
def explain(
    module: Factory,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="SHAPE[:TYPE]", help="1x3x224x224, 1x16:int64; repeat for several."),
    ] = None,
    kwargs: Keywords = None,
    make: Making = None,
    form: Format = "text",
) -> None:
    """Why tools disagree: what fvcore, FlopCounterMode, ptflops, thop, torchinfo, calflops and DeepSpeed print for a
    module, by kind of operation."""
    if not inputs and not kwargs:
        raise InvalidInput("no inputs: --input with a shape, such as --input 1x3x224x224")
    from costmodel.counting.count import count as counting
    from costmodel.counting.explain import readings
    from costmodel.counting.load import load
    from costmodel.report import explain as report

    counted = counting(load(module, make or {}).eval(), *(inputs or []), **(kwargs or {}))
    print(report.document(counted, *readings(counted)).text(form))
