"""The command ``equation``: the cost of a cell as a formula."""

from typing import Annotated

import typer

from costmodel.cli import parsers as arguments
from costmodel.cli.app import app, examples
from costmodel.cli.options import (
    ConventionName,
    Recurrence,
    listed,
)
from costmodel.describe.cells import CELLS, cell_names
from costmodel.errors import InvalidInput
from costmodel.report.layout.render import render_json


@app.command(
    epilog=examples(
        "equation",
        "equation sep --ratio",
        "equation depth --ratio --kernel 5 --channels 64",
        "equation standard --convention tf-profiler --latex",
        "equation --format json",
    )
)
def equation(
    cell: Annotated[
        str | None,
        typer.Argument(metavar=f"[{listed(cell_names())}]", help="The cell; all without it.", show_default=False),
    ] = None,
    convention: ConventionName = "paper",
    recurrence: Recurrence = "convlstm",
    ratio: Annotated[
        bool, typer.Option("--ratio", help="Relative to the standard cell, and the paper's approximation.")
    ] = False,
    latex: Annotated[bool, typer.Option("--latex", help="As LaTeX, one formula a line.")] = False,
    form: Annotated[str, typer.Option("--format", metavar="text|json", help="Output format.")] = "text",
    kernel: Annotated[
        str | None, typer.Option(metavar="K|KxK", help="With --ratio: the kernel to evaluate at.  [default: 3]")
    ] = None,
    channels: Annotated[
        str | None, typer.Option(metavar="C|IxO", help="With --ratio: the channels to evaluate at.  [default: 128]")
    ] = None,
) -> None:
    """The cost of a cell as a formula, derived from its description: Table I, eqs. (2), (4), (7), (10), and ratios."""
    cells = arguments.cells(None if cell is None else [cell], "cell") or list(CELLS)
    if form not in ("text", "json") or (latex and form != "text"):
        raise InvalidInput(f"--format {form!r}: text or json; or --latex alone")
    if (kernel is not None or channels is not None) and (latex or not ratio) and form == "text":
        raise InvalidInput("--kernel and --channels are for --ratio without --latex: a formula holds for all")
    at = arguments.square(kernel or "3", "--kernel"), arguments.square(channels or "128", "--channels")
    from costmodel.price import equation as formula
    from costmodel.report import equation as report

    derived = [formula.equation(name, convention, recurrence=recurrence) for name in cells]
    if form == "json":
        print(render_json([report.record(e, *at) for e in derived]))
    elif latex:
        print("\n".join(report.as_latex(e, ratio) for e in derived))
    else:
        print("\n\n".join(report.ratio(e, *at) if ratio else report.cost(e) for e in derived))
