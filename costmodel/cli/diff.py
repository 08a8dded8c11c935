"""The command ``diff``: two profiles compared run by run."""

import sys
from typing import Annotated

import typer

from costmodel.cli.app import app, examples
from costmodel.cli.options import Format
from costmodel.cli.parsers import at_door, percentage
from costmodel.cli.timing import Bandwidth, progress
from costmodel.errors import InvalidInput


@app.command(
    epilog=examples(
        "diff before after",
        "diff main.json branch.json --fail-over 5% --relative",
        "diff amd-epyc-2-cores --self --fail-over 5%",
    )
)
def diff(
    before: Annotated[str, typer.Argument(metavar="A", help="A profile: its name or file.", show_default=False)],
    after: Annotated[
        str | None, typer.Argument(metavar="[B]", help="The profile to compare with A.", show_default=False)
    ] = None,
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
    itself: Annotated[
        bool,
        typer.Option(
            "--self",
            help="An A/A test of A alone, half of its processes against the other half: the rate of false alarms by "
            "the threshold, and the smallest change that shows.",
        ),
    ] = False,
    at: Bandwidth = None,
    form: Format = "text",
) -> None:
    """Compare two profiles run by run: ratio of the times, its interval, a verdict, and the smallest change that shows.

    Both profiles are compared at the same moment of the machine: probes say how fast it copied and multiplied, and what
    follows the probes is taken off. Old profiles have no probes: there --relative, which compares percentages of the
    standard cell, is free of most drift.
    """
    from costmodel.profiles import files as profiles
    from costmodel.report import diff as report

    if itself != (after is None):
        raise InvalidInput("diff takes two profiles, A and B, or A with --self")
    if itself or after is None:
        found = profiles.load(profiles.locate(before))
        found = found if at is None else found.at(at)
        with progress(len(found.runs), "comparing", delay=2) as bar:
            shown = report.self_document(before, found, fail_over, relative, lambda: bar.update())
        print(shown.text(form))
        return
    first, second = ((name, profiles.load(profiles.locate(name))) for name in (before, after))
    if at is not None:
        first = (before, first[1].at(at))
    document, gate = report.document(first, second, fail_over, relative)
    print(document.text(form))
    for reason in gate.not_judged:
        print(f"costmodel: not judged, {reason}", file=sys.stderr)
    if gate.code:
        raise typer.Exit(gate.code)
