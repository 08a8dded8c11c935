"""The command ``flicker``: how much segmentations flicker."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from costmodel.cli.app import app, examples
from costmodel.cli.options import Format, Plot, number, plotted
from costmodel.cli.timing import progress
from costmodel.errors import InvalidInput


@app.command(
    epilog=examples(
        "flicker --pred predicted",
        "flicker --pred predicted --truth labelled --ignore 255 --plot flicker.svg",
        "flicker --pred predicted --truth labelled --class-zero --format json",
    )
)
def flicker(
    pred: Annotated[
        str, typer.Option(metavar="FOLDER", help="Label maps of one video, a PNG file a frame.", show_default=False)
    ],
    truth: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Their true labels, under the same names: mFP as well.")
    ] = None,
    ignore: Annotated[int | None, number("LABEL", "A label that is not compared.", least=0)] = None,
    class_zero: Annotated[
        bool, typer.Option("--class-zero", help="Let mFP see errors of class 0, which eq. (13) makes 0.")
    ] = False,
    form: Format = "text",
    plot: Plot = None,
) -> None:
    """Measure how much segmentations flicker: mFIP, and with truths mFP, of section IV, per frame pair and on average.

    A label map is 8-bit or 16-bit grey or has a palette; its label is the value or index of a pixel.
    """
    path = plotted(plot)
    if class_zero and truth is None:
        raise InvalidInput("--class-zero is about errors: it needs --truth")
    for option, folder in (("--pred", pred), ("--truth", truth)):
        if folder == "":
            raise InvalidInput(f"{option} is empty: expected a folder")
    from costmodel.report import flicker as report
    from costmodel.video import label_maps
    from costmodel.video.flicker import Flicker

    files = label_maps.sequence(Path(pred), "--pred")
    truths = None if truth is None else label_maps.counterparts(files, Path(truth), "--truth")
    if not label_maps.counted(files):
        ends = f"{files[0].name} to {files[-1].name}"
        print(
            f"costmodel: no single number counts the frames {ends}: taken as one video, gaps are not found",
            file=sys.stderr,
        )
    metrics = Flicker(ignore, class_zero=class_zero)
    with progress(len(files), "comparing") as bar:
        for index, file in enumerate(files):
            labels, true = label_maps.read(file), None if truths is None else label_maps.read(truths[index])
            try:
                metrics.update(labels, true)
            except InvalidInput as error:
                raise InvalidInput(f"{file}: {error}") from None
            bar.update()
    print(report.document(metrics, [file.stem for file in files]).text(form))
    if path:
        from costmodel.report import figures
        from costmodel.report.figures import style as drawing

        last = [label_maps.read(file) for file in files[-figures.video.SHOWN :]]
        true_last = None if truths is None else [label_maps.read(file) for file in truths[-figures.video.SHOWN :]]
        name = f"{files[-1].parent.name}/{files[-1].name}"
        drawing.save(
            partial(figures.flicker, last, true_last, ignore=ignore, class_zero=class_zero, name=name),
            path,
        )
