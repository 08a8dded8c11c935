"""Sheets and figures as one HTML page that needs nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from costmodel.report.layout.sheet import Sheet


@dataclass(frozen=True)
class Figure:
    """A drawn figure: ``name`` is its file's, ``inline`` an SVG element that takes the colours of the page."""

    name: str
    caption: str
    inline: str


@dataclass(frozen=True)
class Section:
    """What stands together under a heading."""

    heading: str = ""
    sheets: "Sequence[Sheet]" = ()
    figures: Sequence[Figure] = ()


def page(
    title: str, sections: Sequence[Section], *, summary: Sequence[str] = (), footer: Sequence[str], command: str = ""
) -> str:
    """The text of the page; ``footer`` and ``command`` say where the numbers come from."""
    from jinja2 import Environment, PackageLoader

    loader = PackageLoader("costmodel.report", "layout")
    template = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True).get_template(
        "page.html"
    )
    return template.render(
        title=title,
        sections=[(section.heading, section) for section in sections],
        summary=summary,
        footer=footer,
        command=command,
        version=version("costmodel"),
    )
