"""The command ``errata``: the errors of the papers, with the arithmetic that shows them."""

from costmodel.cli.app import app, examples
from costmodel.cli.options import Format


@app.command(epilog=examples("errata", "errata --format markdown", "errata --format json"))
def errata(form: Format = "text") -> None:
    """The errors in the papers: place, right value, arithmetic, and a command that shows each of them."""
    from costmodel.report import errata as report

    print(report.document().text(form))
