"""The command ``profiles``: the recorded profiles, or the runs of one."""

from typing import Annotated

import typer

from costmodel.cli.app import app, examples
from costmodel.cli.options import Format


@app.command("profiles", epilog=examples("profiles", "profiles paper", "profiles --format json"))
def list_profiles(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME|FILE]", help="Show the runs of this one.", show_default=False)
    ] = None,
    form: Format = "text",
) -> None:
    """List the recorded profiles, those in profiles/ here and those that come with costmodel; or the runs of one."""
    from costmodel.profiles import files as profiles
    from costmodel.report import profile as report
    from costmodel.report import profiles as listing

    if name is None:
        print(listing.document(profiles.available()).text(form))
    else:
        found = profiles.read(name)
        print(report.document(found, name, found.by_key).text(form))
