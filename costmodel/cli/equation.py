"""The command ``equation``: the cost of a cell as a formula."""

from typing import Annotated

import typer

from costmodel.cli import parsers
from costmodel.cli.app import app, examples
from costmodel.cli.options import CHANNELS, KERNEL, ConventionName, Recurrence, listed, sides
from costmodel.cli.parsers import Sides, at_door, one_of
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
        typer.Argument(
            parser=at_door(parsers.cell),
            metavar=f"[{listed(cell_names())}]",
            help="The cell; all without it.",
            show_default=False,
        ),
    ] = None,
    convention: ConventionName = "paper",
    recurrence: Recurrence = "convlstm",
    ratio: Annotated[
        bool, typer.Option("--ratio", help="Relative to the standard cell, and the paper's approximation.")
    ] = False,
    latex: Annotated[bool, typer.Option("--latex", help="As LaTeX, one formula a line.")] = False,
    form: Annotated[
        str,
        typer.Option("--format", parser=at_door(one_of("text", "json")), metavar="text|json", help="Output format."),
    ] = "text",
    kernel: Annotated[Sides | None, sides("K|KxK", "With --ratio: the kernel to evaluate at.  [default: 3]")] = None,
    channels: Annotated[
        Sides | None, sides("C|IxO", "With --ratio: the channels to evaluate at.  [default: 128]")
    ] = None,
) -> None:
    """The cost of a cell as a formula, derived from its description: Table I, eqs. (2), (4), (7), (10), and ratios."""
    if latex and form != "text":
        raise InvalidInput("--format json or --latex, not both")
    if (kernel is not None or channels is not None) and (latex or not ratio) and form == "text":
        raise InvalidInput("--kernel and --channels are for --ratio without --latex: a formula holds for all")
    at = kernel or KERNEL, channels or CHANNELS
    from costmodel.price import equation as formula
    from costmodel.report import equation as report

    derived = [formula.equation(name, convention, recurrence=recurrence) for name in ([cell] if cell else CELLS)]
    if form == "json":
        print(render_json([report.record(e, *at) for e in derived]))
    elif latex:
        print("\n".join(report.as_latex(e, ratio) for e in derived))
    else:
        parts = [report.ratio(e, *at) if ratio else report.cost(e) for e in derived]
        print("\n\n".join([*parts, *filter(None, [report.errata(derived, ratio)])]))
