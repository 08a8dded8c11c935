"""The command ``gradual``: what training with gradual grouping costs."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from costmodel.cli import parsers as arguments
from costmodel.errors import InvalidInput

if TYPE_CHECKING:
    pass

from costmodel.cli.app import app, examples
from costmodel.cli.options import (
    Classes,
    DecoderBlocks,
    Format,
    FrameSize,
    NetworkConvention,
)


@app.command(
    epilog=examples(
        "gradual",
        "gradual --model erfnet-DG4S --images 2975 --epochs 100 --fine 50",
        "gradual --decoder-blocks 2 --convention torch --format json",
    )
)
def gradual(
    model: Annotated[
        str, typer.Option(metavar="erfnet-DGn...", help="The grouped variant that the training ends with.")
    ] = "erfnet-DG2*",
    images: Annotated[str, typer.Option(metavar="N", help="Images an epoch; Cityscapes has 2975.")] = "2975",
    epochs: Annotated[
        str | None,
        typer.Option(
            metavar="N", help="In which alpha falls from 1 to 0 in a line.  [default: 100]", show_default=False
        ),
    ] = None,
    fine: Annotated[
        str | None,
        typer.Option(metavar="N", help="At alpha 0 afterwards; may be 0.  [default: 50]", show_default=False),
    ] = None,
    alphas: Annotated[
        str | None, typer.Option(metavar="FILE", help="Another alpha: a number from 1 to 0 for each epoch.")
    ] = None,
    size: FrameSize = None,
    classes: Classes = None,
    convention: NetworkConvention = None,
    decoder_blocks: DecoderBlocks = None,
    form: Format = "text",
) -> None:
    """What training with gradual grouping costs: dense convolutions whose mask closes, then grouped ones."""
    from costmodel.price.gradual import linear
    from costmodel.report import gradual as report

    if alphas is not None and (epochs is not None or fine is not None):
        raise InvalidInput("--alphas says how many epochs there are: --epochs and --fine are for the line")
    values = (
        [arguments.number(each, f"--alphas {alphas!r}:") for each in arguments.listed_in(alphas, "--alphas")]
        if alphas is not None
        else linear(arguments.whole(epochs or "100", "--epochs"), arguments.whole(fine or "50", "--fine", least=0))
    )
    settings: dict[str, Any] = {
        "size": arguments.optional(arguments.rectangle, size, "--size"),
        "classes": arguments.optional(arguments.whole, classes, "--classes"),
        "decoder_blocks": arguments.optional(arguments.whole, decoder_blocks, "--decoder-blocks"),
    }
    print(report.text(model, values, arguments.whole(images, "--images"), form, convention=convention, **settings))
