"""The command ``plan``: the cells and kernels of a network, or the arguments of a module, that fit into a budget."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from costmodel.cli import parsers
from costmodel.cli.app import app, examples, grouped
from costmodel.cli.count import Inputs, Keywords, Traceback, user_code
from costmodel.cli.grid import Alternatives, Gridded, counted
from costmodel.cli.machines import Calibrated
from costmodel.cli.options import Classes, ConventionName, Format, choice, number, several_sides, sides
from costmodel.cli.parsers import Pair, Sides, at_door, duration, each, is_module, joined, pair, rectangle
from costmodel.describe.cells import CELLS, RECURRENCES, cell_names
from costmodel.errors import InvalidInput

if TYPE_CHECKING:
    from costmodel.profiles.points import Points

# As in `costmodel.price.plan`, which opens numpy.
CRITERIA = ("time", "params", "memory", "quality", "design")
SORTS = ("ms", "params", "memory", "quality")
NONE = "none"


def _cell(text: str) -> str:
    return text if text == NONE else parsers.cell(text)


@app.command(
    epilog=examples(
        "plan v6 --budget 300ms --machine mine",
        "plan v6 --budget 1.5s --memory 2GB --machine mine --kernel 3,5,7 --top 50",
        "plan v6 --budget 1s --machine mine --cell depth,sep --site final=standard,none",
        "plan v6 --budget 1s --machine mine --by time,memory,quality --format csv",
        "plan mymodel:build --input 1x3x64x64 --make width=32,48,64 --budget 20ms --machine mine",
    )
)
@grouped
def plan(
    *,
    name: Annotated[
        str | None,
        typer.Argument(
            parser=at_door(parsers.model),
            metavar="[X]",
            help="A network with recurrent cells, such as v6; or a module of your own, PACKAGE.MODULE:FACTORY or "
            "path/file.py:FACTORY.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", parser=at_door(parsers.model), metavar="X", help="The same as X.", show_default=False),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            parser=at_door(duration), metavar="TIME", help="Time of one call, such as 300ms or 0.3s.  [default: any]"
        ),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(metavar="BYTES", help="Memory of one call: 2GB (10^9 bytes), 512MB, 2GiB (2^30).  [default: any]"),
    ] = None,
    calibrated: Calibrated,
    cell: Annotated[
        list[str] | None,
        typer.Option(
            "--cell",
            "--cells",
            parser=at_door(each(_cell)),
            callback=joined((NONE, *CELLS)),
            metavar="|".join((NONE, *cell_names())),
            help="Cells to choose from; none: a site stays empty.  [default: none and the paper's four]",
        ),
    ] = None,
    kernel: Annotated[
        list[Sides] | None, several_sides("K,KxK,...", "Kernels to choose from, rows x columns.  [default: 3]")
    ] = None,
    site: Annotated[
        list[Pair] | None,
        typer.Option(
            parser=at_door(lambda text: [pair(text)]),
            callback=parsers.different_keys,
            metavar="SITE=CELL,...",
            help="Other cells to choose from at one site (low, medium, high, final).",
        ),
    ] = None,
    size: Annotated[Sides | None, sides("ROWSxCOLUMNS", "Size of a frame.  [default: 1024x2048]", rectangle)] = None,
    classes: Classes = None,
    recurrence: Annotated[
        str | None,
        choice(RECURRENCES, "The recurrence around the cells' convolutions.  [default: convlstm]", default=False),
    ] = None,
    inputs: Inputs = None,
    kwargs: Keywords = None,
    make: Alternatives = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            parser=at_door(each(parsers.one_of(*CRITERIA))),
            callback=joined(CRITERIA),
            metavar=",".join(CRITERIA),
            help="What makes one assignment beat another: less time, parameters and memory; a higher printed quality; "
            "and as a design no site without the other's cell, and no smaller kernel. Without design, the cheapest "
            "have no cells.  [default: all]",
        ),
    ] = None,
    convention: ConventionName = "torch",
    sort: Annotated[str, choice(SORTS, "The largest rows first, in every format.")] = "ms",
    top: Annotated[int, number("N", "At most N rows, in every format.  [default: 20]")] = 20,
    traceback: Traceback = False,
    form: Format = "text",
) -> None:
    """Choose cells and kernels for the sites of a network, within a budget of time and memory: the Pareto front of
    predicted time, parameters, memory and, where the paper prints it, quality.

    Or choose arguments of a module of your own, with --input and --make. Times are predicted, with a 90 % interval; all
    other costs are exact. Where nothing fits, the closest is named, and the exit code is 2.
    """
    if (name is None) == (model is None):
        raise InvalidInput("give one network, such as v6, or one module of your own with --input and --make")
    planned: Any = name or model
    of_networks: dict[str, Any] = {"cell": cell, "kernel": kernel, "site": site, "size": size, "classes": classes}
    of_modules: dict[str, Any] = {"input": inputs, "kwargs": kwargs, "make": make}
    wrong = {**of_networks, "recurrence": recurrence} if is_module(planned) else of_modules
    if given := [option for option, value in wrong.items() if value is not None]:
        what = "described networks, such as v6" if is_module(planned) else "a module of your own"
        raise InvalidInput(f"--{given[0]} is for {what}, not for {planned}")
    from costmodel.report import plan as report

    limits: dict[str, Any] = {"budget": budget, "memory": memory, "convention": convention, "by": by}
    limits |= {"sort": sort, "top": top}
    predictor = calibrated.predictor
    if is_module(planned):
        with user_code(traceback):
            points = _counted(planned, Gridded(inputs, make=make, kwargs=kwargs), calibrated.dtype)
            found = report.plan(points, predictor, **limits)
        print(found.text(form))
        return
    sites = {name: cells.split(",") for name, cells in site or ()}
    chosen: dict[str, Any] = {"size": size, "classes": classes, "recurrence": recurrence}
    found = report.plan(planned, predictor, cells=cell, kernels=kernel or (3,), sites=sites, **chosen, **limits)
    print(found.text(form))


def _counted(module: str, gridded: Gridded, dtype: str | None) -> "Points":
    """The module at every combination of the arguments of its factory."""
    if not gridded.make:
        raise InvalidInput(
            f"--make gives the arguments to choose from, such as width=32,48,64; without: costmodel predict {module}"
        )
    grid = gridded.of(module, dtype)
    if grid.sizes:
        raise InvalidInput(f"--input needs numbers here, not {', '.join(grid.sizes)}: letters are for sweep")
    points, code = counted(grid)
    if code:
        raise typer.Exit(code)
    return points
