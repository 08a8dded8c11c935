"""Sheets and figures as one HTML page without further files."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from costmodel.report.layout.sheet import Sheet


@dataclass(frozen=True)
class Figure:
    """A drawn figure: ``name`` of its file, ``inline``: an SVG element in the colours of the page."""

    name: str
    caption: str
    inline: str


@dataclass(frozen=True)
class Section:
    """Sheets and figures under one heading."""

    heading: str = ""
    sheets: "Sequence[Sheet]" = ()
    figures: Sequence[Figure] = ()


def page(
    title: str, sections: Sequence[Section], *, summary: Sequence[str] = (), footer: Sequence[str], command: str = ""
) -> str:
    """The page as HTML; ``footer`` and ``command`` name the origin of the numbers."""
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
