"""The command ``predict``: the time of networks, cells and modules on a calibrated machine."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from costmodel.cli import parsers
from costmodel.cli.app import app, examples, grouped
from costmodel.cli.machines import Calibrated
from costmodel.cli.modules import CalledAlone
from costmodel.cli.options import (
    CHANNELS,
    KERNEL,
    MAP,
    Cells,
    Classes,
    ConventionName,
    Format,
    Kernel,
    Recurrence,
    Sites,
    choice,
    number,
    sides,
)
from costmodel.cli.parsers import Sides, at_door, is_module, one_to_compare, rectangle
from costmodel.cli.timing import progress
from costmodel.describe.cells import is_cell
from costmodel.errors import InvalidInput
from costmodel.report.count import SORTS

if TYPE_CHECKING:
    from costmodel.price.latency import Prediction
    from costmodel.profiles.predict import Predictor
    from costmodel.work.call import Call


@dataclass(frozen=True)
class Target:
    """A thing whose time is predicted: a described program, or the counted call of a module."""

    name: str
    unit: str
    of: Any
    classes: Mapping[str, str] = field(default_factory=dict)


@app.command(
    epilog=examples(
        "predict v6 --machine mine",
        "predict v6 --cell spatial,depth --machine mine --depth 1",
        "predict --cell depth --kernel 5 --machine mine --at 30",
        "predict mymodel:build --input 1x3x224x224 --machine mine --top 10",
        "predict mymodel:build --input 1x3x224x224 --machine mine --replay --format json",
    )
)
@grouped
def predict(
    *,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            parser=at_door(one_to_compare),
            metavar="[X ...]",
            help="Networks such as v6; cells such as sep; modules, PACKAGE.MODULE:FACTORY or path/file.py:FACTORY.",
            show_default=False,
        ),
    ] = None,
    calibrated: Calibrated,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", parser=at_door(parsers.each(one_to_compare)), metavar="X,...", help="The same as X."),
    ] = None,
    cell: Cells = None,
    kernel: Kernel = KERNEL,
    channels: Annotated[Sides, sides("C|IxO", "Channels of single cells.  [default: 128]")] = CHANNELS,
    size: Annotated[
        Sides | None,
        sides(
            "ROWSxCOLUMNS",
            "Frames of networks, maps of single cells.  [default: as published; 128x256 for cells]",
            rectangle,
        ),
    ] = None,
    classes: Classes = None,
    site: Sites = None,
    recurrence: Recurrence = "convlstm",
    called: CalledAlone,
    replay: Annotated[
        bool,
        typer.Option("--replay", help="Time operations of other kinds alone, on this machine, now."),
    ] = False,
    convention: ConventionName = "torch",
    depth: Annotated[int | None, number("N", "Sum up parts that are deeper.  [default: all]")] = None,
    sort: Annotated[
        str | None,
        choice(
            SORTS[:2] + SORTS[3:],
            "Order of the rows, in every format: of execution, or the largest first.  [default: order; with --top: ms]",
            default=False,
        ),
    ] = None,
    top: Annotated[
        int | None,
        number("N", "The first N rows; the others are summed in one row, 'M others', in every format.  [default: all]"),
    ] = None,
    form: Format = "text",
) -> None:
    """Predict the time of networks, cells and modules in inference, operation by operation, on a machine that calibrate
    has recorded: with a 90 % interval, a lower bound, and what bounds it: compute, memory or launch.

    With --cell alone: single cells. Networks have standard cells unless --cell names others, and no training heads. An
    operation of a kind that was not calibrated is named and left out, never guessed; --replay times it alone.
    """
    from costmodel.report import predict as report
    from costmodel.report.layout.document import together

    predictor = calibrated.predictor
    every = [*(names or ()), *(name for several in model or () for name in several)]
    how = {"kernel": kernel, "channels": channels, "classes": classes, "recurrence": recurrence}
    targets = [*_described(every, cell, dict(site or ()), size, **how), *_modules(every, called)]
    if not targets:
        raise InvalidInput("nothing to predict: give a network, a cell, or a module of your own with --input")
    documents = []
    for each in targets:
        found = predictor.predict(each.of)
        if replay and found.missing:
            found = predictor.predict(each.of, _replayed(found, predictor, str(calibrated.machine)))
        for kind, lacking in found.missing.items():
            print(f"costmodel: {each.name}: not calibrated: {lacking} x {kind}", file=sys.stderr)
        shown = report.document(each.name, each.unit, predictor, found, each.classes, convention, depth, sort, top)
        documents.append(("", shown))  # its rows say the name
    print(together(documents).text(form))


def _described(
    names: list[str], cells: list[str] | None, sites: dict[str, str], size: Sides | None, **how: Any
) -> Iterator[Target]:
    from costmodel.describe.catalogue import find_networks
    from costmodel.describe.selection import entries
    from costmodel.profiles.predict import described
    from costmodel.profiles.records import Subject

    networks = [name for name in names if not is_cell(name) and not is_module(name)]
    if names and not networks and (cells or sites):
        raise InvalidInput("--cell and --site are for described networks, such as v6; --cell also stands alone")
    channels, classes = how.pop("channels"), how.pop("classes")
    for name in [name for name in names if is_cell(name)] if names else cells or ():
        subject = Subject(cell=name, channels=channels, size=size or MAP, **how)
        yield Target(subject.title, "step", described(subject))
    wanted = find_networks(networks) if networks else []
    found = (
        entries(wanted, cells or "standard", sites=sites, size=size, classes=classes, heads=False, **how)
        if wanted
        else {}
    )
    for entry in found.values():
        if entry.model in wanted:  # without what it extends
            yield Target(Subject.of_network(entry, how["kernel"]).title, "frame", entry.program)


def _modules(names: list[str], called: CalledAlone) -> "Iterator[Target]":
    for module in called.models([name for name in names if is_module(name)]) or ():
        if not isinstance(module, str):
            yield Target(module.subject.title, "call", module.count.call, module.count.modules)


def _replayed(prediction: "Prediction", predictor: "Predictor", machine: str) -> "dict[Call, float]":
    """Seconds of the calls that a prediction lacks, with progress."""
    from costmodel.measure.predict import replayed
    from costmodel.profiles.files import read

    with progress(1000, "replaying", delay=2) as bar:
        return replayed(
            prediction,
            predictor.how,
            read(machine).host,
            tick=lambda done: bar.update(int(1000 * done) - bar.n),
            tell=lambda message: print(f"costmodel: {message}", file=sys.stderr),
        )
