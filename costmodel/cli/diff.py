"""The command ``diff``: two profiles compared run by run."""

import sys
from typing import Annotated

import typer

from costmodel.cli.app import app, examples
from costmodel.cli.options import Format
from costmodel.cli.parsers import at_door, percentage


@app.command(epilog=examples("diff before after", "diff main.json branch.json --fail-over 5% --relative"))
def diff(
    before: Annotated[str, typer.Argument(metavar="A", help="A profile: its name or file.", show_default=False)],
    after: Annotated[str, typer.Argument(metavar="B", help="The profile to compare with A.", show_default=False)],
    fail_over: Annotated[
        float | None,
        typer.Option(
            parser=at_door(percentage),
            metavar="PERCENT",
            help="Exit with 1 where B is slower by more than that, with 3 where that cannot be judged: too few "
            "processes, an interval that is too wide, a run that is missing.  [default: verdicts by 5 %, no failure]",
        ),
    ] = None,
    relative: Annotated[
        bool, typer.Option("--relative", help="Compare times relative to the standard cell: free of a machine's drift.")
    ] = False,
    form: Format = "text",
) -> None:
    """Compare two profiles run by run: ratio of the times, its interval, a verdict, and the smallest change that shows.

    An interval says how far the processes of each profile spread, not how far the machine drifted in between: where
    that matters, --relative compares percentages of the standard cell.
    """
    from costmodel.profiles import files as profiles
    from costmodel.report import diff as report

    first, second = ((name, profiles.load(profiles.locate(name))) for name in (before, after))
    shown, gate = report.document(first, second, fail_over, relative)
    print(shown.text(form))
    for reason in gate.not_judged:
        print(f"costmodel: not judged, {reason}", file=sys.stderr)
    if gate.code:
        raise typer.Exit(gate.code)
