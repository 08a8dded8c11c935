"""The command ``profiles``: the recorded profiles, or the runs of one."""

from typing import Annotated

import typer

from costmodel.cli.app import app, examples
from costmodel.cli.options import Format
from costmodel.errors import InvalidInput


@app.command(
    "profiles",
    epilog=examples("profiles", "profiles paper", "profiles mine --noise", "profiles --format json"),
)
def list_profiles(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME|FILE]", help="Show the runs of this one.", show_default=False)
    ] = None,
    noise: Annotated[
        bool,
        typer.Option(
            "--noise", help="Where the spread of its times comes from, and how many processes would decide them."
        ),
    ] = False,
    form: Format = "text",
) -> None:
    """List the recorded profiles, those in profiles/ here and those that come with costmodel; or the runs of one."""
    from costmodel.profiles import files as profiles
    from costmodel.report import noise as spread
    from costmodel.report import profile as report
    from costmodel.report import profiles as listing

    if name is None and noise:
        raise InvalidInput("--noise needs the NAME or FILE of a profile")
    if name is None:
        print(listing.document(profiles.available()).text(form))
    else:
        found = profiles.read(name)
        shown = spread.document(found, name) if noise else report.document(found, name, found.by_key)
        print(shown.text(form))
