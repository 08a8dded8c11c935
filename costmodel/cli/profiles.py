"""The command ``profiles``: the recorded profiles, or the runs of one."""

from typing import Annotated

import typer

from costmodel.cli.app import app, examples
from costmodel.cli.layers import Depth
from costmodel.cli.options import Format
from costmodel.cli.timing import Bandwidth
from costmodel.errors import InvalidInput


@app.command(
    "profiles",
    epilog=examples("profiles", "profiles paper", "profiles amd-epyc-2-cores --noise", "profiles --format json"),
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
    layers: Annotated[bool, typer.Option("--layers", help="Its times of modules.")] = False,
    depth: Depth = None,
    calibrations: Annotated[bool, typer.Option("--calibrations", help="Its calibrations.")] = False,
    at: Bandwidth = None,
    form: Format = "text",
) -> None:
    """List the recorded profiles, those in profiles/ here and those that come with costmodel; or the runs of one."""
    parts = {"noise": noise, "layers": layers, "calibrations": calibrations}
    for option, given in (*parts.items(), ("at", at is not None)):
        if given and name is None:
            raise InvalidInput(f"--{option} needs the name of a profile")
    if sum(parts.values()) > 1:
        raise InvalidInput(f"{' or '.join(f'--{option}' for option, given in parts.items() if given)}, not both")
    if depth is not None and not layers:
        raise InvalidInput("--depth needs --layers")
    if at is not None and (layers or calibrations):
        raise InvalidInput(f"--at is for times of wholes: leave out --{'layers' if layers else 'calibrations'}")
    from costmodel.profiles import files as profiles
    from costmodel.report import noise as spread
    from costmodel.report import profile as report
    from costmodel.report import profiles as listing

    if name is None:
        print(listing.document(profiles.available()).text(form))
    else:
        found = profiles.read(name)
        if found.data_sheet:
            from costmodel.report import data_sheet

            print(data_sheet.document(found, name, found.data_sheet).text(form))
            return
        if calibrations or (found.calibrations and not (found.runs or found.layers)):
            from costmodel.report import calibration

            print(calibration.document(found, name, found.calibrations).text(form))
            return
        if layers or (found.layers and not found.runs):
            if not found.layers:
                raise InvalidInput(f"{name}: no layers to show; profile --layers --out records them")
            from costmodel.measure.layers import of_profile
            from costmodel.report.layers import document

            print(document([of_profile(run, depth) for run in found.layers], found.host).text(form))
            return
        if at is not None:
            found = found.at(at)
        shown = spread.document(found, name) if noise else report.document(found, name, found.by_key)
        print(shown.text(form))
