"""The command ``gradual``: what training with gradual grouping costs."""

from collections.abc import Sequence
from typing import Annotated

import typer

from costmodel.cli import parsers
from costmodel.cli.app import app, examples
from costmodel.cli.options import Classes, DecoderBlocks, Format, FrameSize, NetworkConvention, number
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
    images: Annotated[int, number("N", "Images an epoch; Cityscapes has 2975.  [default: 2975]")] = 2975,
    epochs: Annotated[
        int | None, number("N", "Epochs over which alpha falls linearly from 1 to 0.  [default: 100]")
    ] = None,
    fine: Annotated[int | None, number("N", "Epochs at alpha 0 afterwards; may be 0.  [default: 50]", least=0)] = None,
    alphas: Annotated[
        Sequence[float] | None,
        typer.Option(
            parser=parsers.at_door(parsers.numbers_in(parsers.number)),
            metavar="FILE",
            help="Another alpha: a number from 1 to 0 for each epoch.",
        ),
    ] = None,
    size: FrameSize = None,
    classes: Classes = None,
    convention: NetworkConvention = None,
    decoder_blocks: DecoderBlocks = None,
    form: Format = "text",
) -> None:
    """The cost of training with gradual grouping: dense convolutions whose mask closes, then grouped ones."""
    from costmodel.price.gradual import linear
    from costmodel.report import gradual as report

    if alphas is not None and (epochs is not None or fine is not None):
        raise InvalidInput("--alphas says how many epochs there are: --epochs and --fine are for the line")
    values = linear(epochs or 100, 50 if fine is None else fine) if alphas is None else alphas
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
