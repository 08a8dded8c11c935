"""The command ``gradual``: what training with gradual grouping costs."""

from typing import Annotated

import typer

from costmodel.cli import parsers as arguments
from costmodel.cli.app import app, examples
from costmodel.cli.options import (
    Classes,
    DecoderBlocks,
    Format,
    FrameSize,
    NetworkConvention,
)
from costmodel.errors import InvalidInput


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
    images: Annotated[
        int,
        typer.Option(
            parser=arguments.at_door(arguments.whole), metavar="N", help="Images an epoch; Cityscapes has 2975."
        ),
    ] = 2975,
    epochs: Annotated[
        int | None,
        typer.Option(
            parser=arguments.at_door(arguments.whole),
            metavar="N",
            help="In which alpha falls from 1 to 0 in a line.  [default: 100]",
            show_default=False,
        ),
    ] = None,
    fine: Annotated[
        int | None,
        typer.Option(
            parser=arguments.at_door(arguments.whole, least=0),
            metavar="N",
            help="At alpha 0 afterwards; may be 0.  [default: 50]",
            show_default=False,
        ),
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
        else linear(epochs or 100, 50 if fine is None else fine)
    )
    print(
        report.document(
            model,
            values,
            images,
            convention=convention,
            size=size,
            classes=classes,
            decoder_blocks=decoder_blocks,
        ).text(form)
    )
