"""The command ``sweep`` for a module of the user's: its options, and what they do."""

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from costmodel.cli.count import Keywords, Traceback, input_sets, user_code
from costmodel.cli.parsers import LETTER, alternatives, is_module, letter_sizes
from costmodel.cli.timing import Times, progress
from costmodel.describe.catalogue import NETWORKS
from costmodel.describe.cells import is_cell
from costmodel.errors import InvalidInput

if TYPE_CHECKING:
    from costmodel.measure.grid import Grid
    from costmodel.measure.jobs import Job
    from costmodel.profiles.points import Points
    from costmodel.profiles.predict import Predictor
    from costmodel.profiles.records import Settings
    from costmodel.report.grid import PricedGrid

TYPE = "costmodel sweep PACKAGE.MODULE:FACTORY --input Nx3xHxW --grid N=1,8 H=256,512 W=512"

Alternatives = Annotated[
    list[str] | None,
    typer.Option(
        "--make",
        metavar="NAME=VALUES|JSON",
        help="Arguments of the factory; commas separate alternatives (width=32,64), but not within a value that is "
        "JSON (sizes=[3,5]), nor in a JSON object. Repeat for several.",
        show_default=False,
    ),
]


@dataclass
class Gridded:
    """Options of a module of the user's: its inputs, the arguments of its factory, and the sizes that vary."""

    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="[NAME=]INPUT",
            help="As for count, with a letter for each size that varies: Nx3xHxW. Repeat for several inputs.",
        ),
    ] = None
    grid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LETTER=SIZES",
            help="Sizes for a letter of --input, such as H=256,512; more letters follow (H=256,512 N=1,8), or repeat.",
            show_default=False,
        ),
    ] = None
    make: Alternatives = None
    kwargs: Keywords = None
    base: Annotated[
        str | None,
        typer.Option(
            metavar="POINT",
            help="The point that percentages refer to, such as H=256.  [default: the first]",
            show_default=False,
        ),
    ] = None
    traceback: Traceback = False

    def module(self, words: list[str] | None) -> str | None:
        """The module among the words after the command, whose other words are sizes; None: cells are meant."""
        names = [word for word in words or () if not LETTER.fullmatch(word)]
        self.grid = [*(self.grid or ()), *(word for word in words or () if LETTER.fullmatch(word))] or None
        for name in names:
            if name in NETWORKS:
                raise InvalidInput(
                    f"{name!r} is a described network: costmodel table --model {name} --size ROWSxCOLUMNS"
                )
            if is_cell(name):
                raise InvalidInput(f"{name!r} is a cell: costmodel sweep --cell {name}")
            if not is_module(name):
                raise InvalidInput(
                    f"{name!r}: expected PACKAGE.MODULE:FACTORY or path/file.py:FACTORY, and LETTER=SIZES for --grid"
                )
        if len(names) > 1:
            raise InvalidInput(f"one module at a time, not {' and '.join(names)}: costmodel compare takes several")
        for option, value in vars(self).items():
            if value and not names:
                name = "input" if option == "inputs" else option
                raise InvalidInput(f"--{name} is for a module of your own: {TYPE}")
        return names[0] if names else None

    def of(self, module: str, dtype: str | None) -> "Grid":
        """The grid of a module; `InvalidInput` for letters without sizes, and the like."""
        sets = input_sets(self.inputs, self.kwargs, None)
        if len(sets) > 1:
            raise InvalidInput(f"--input: one call here, not {len(sets)} alternatives: what varies is a letter")
        sizes: dict[str, Any] = {}
        arguments: dict[str, Any] = {}
        for letter, values in map(letter_sizes, self.grid or ()):
            if letter in sizes:
                raise InvalidInput(f"--grid: {letter} is given twice: its sizes stand between commas")
            sizes[letter] = values
        for parts in map(_alternatives, self.make or ()):
            if twice := arguments.keys() & parts.keys():
                raise InvalidInput(f"--make: {min(twice)!r} is given twice: its values stand between commas")
            arguments |= parts
        from costmodel.measure.grid import Grid

        args, kwargs = sets[0]
        return Grid.of(module, *args, sizes=sizes, arguments=arguments, kwargs=kwargs, dtype=dtype)


def _alternatives(text: str) -> dict[str, list[Any]]:
    try:
        return alternatives(text)
    except InvalidInput as error:
        raise InvalidInput(f"--make {error}") from None


def sweep_module(
    module: str,
    gridded: Gridded,
    times: Times,
    machine: "Predictor | None",
    convention: str,
    form: str,
    order: str | None,
    top: int | None,
    picture: Path | None,
) -> None:
    """Count the points, time them where that is wanted, print and draw them."""
    if order == "cost":
        raise InvalidInput("--sort cost is for cells: of a module order, flops, params, bytes, memory or ms")
    if order == "ms" and not times.wanted and machine is None:
        raise InvalidInput("--sort ms needs times: --measure cpu, --profile or --machine")
    from costmodel.report.grid import grid as priced

    with user_code(gridded.traceback):
        points, code = counted(gridded.of(module, times.choices.dtype[0] if times.choices.dtype else None))
    result = priced(points, convention=convention, base=gridded.base)
    if machine is not None:
        result = result.on(machine)
    if times.wanted and not code:
        from costmodel.measure.jobs import Job

        def jobs(settings: "list[Settings]") -> "list[Job]":
            base = result.base.point.subject
            return [Job(each.subject, how, each.workload, base) for how in settings for each in points.rows]

        times.gather(jobs)
        for name, found in times.found.items():
            result = result.timed(name, found, times.keep)
        _miss(times, points)
    shown = result.arranged(order, top)
    print(shown.text(form))
    _tell(shown, form)
    if picture:
        from costmodel.report import figures
        from costmodel.report.figures import style as drawing

        drawing.save(partial(figures.grid, result), picture)
    if code or times.code:
        raise typer.Exit(code or times.code)


def _tell(shown: "PricedGrid", form: str) -> None:
    """On stderr, what no row says: operations without a rule; beside CSV, which has no notes, points left out."""
    for note in shown.refusals() if form == "csv" else ():
        print(f"costmodel: {note}", file=sys.stderr)
    if uncounted := dict.fromkeys(each for row in shown.rows for each in row.point.uncounted):
        print(f"costmodel: not counted, no rule: {', '.join(uncounted)}", file=sys.stderr)


def counted(grid: "Grid") -> "tuple[Points, int]":
    """The points with progress, and the exit code: 130 after Ctrl-C, which keeps what was counted."""
    from costmodel.profiles.points import Point

    found: list[Any] = []
    code = 0
    with progress(len(grid), "counting", delay=2) as bar:
        try:
            for each in grid:
                found.append(each)
                bar.update(each.points)
        except KeyboardInterrupt:
            if not any(isinstance(each, Point) for each in found):
                raise
            code = 130
    if code:
        print(f"costmodel: interrupted; {sum(each.points for each in found)} of {len(grid)} points", file=sys.stderr)
    return grid.points(found), code


def _miss(times: Times, points: "Points") -> None:
    """Say how many points a profile does not have, if nothing was measured for them."""
    for name, lacking, into in times.lacking([each.subject for each in points.rows]):
        print(
            f"costmodel: profile {name} has no times of {len(lacking)} of {len(points)} points; to record them: "
            f"the same command with --measure cpu --save {into}",
            file=sys.stderr,
        )
