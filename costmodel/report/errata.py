"""The errata of the papers as tables, a table for each paper."""

from collections.abc import Sequence
from dataclasses import asdict

from costmodel.published.errata import ERRATA, Erratum
from costmodel.report.layout.document import Document
from costmodel.report.layout.sheet import Sheet


def document(errata: Sequence[Erratum] = ERRATA) -> Document:
    """Errata in every format."""
    records = [asdict(each) for each in errata]
    return Document(json=lambda: records, csv=lambda: records, sheets=lambda: sheets(errata))


def sheets(errata: Sequence[Erratum]) -> list[Sheet]:
    """A sheet for each paper."""
    papers: dict[str, list[Erratum]] = {}
    for each in errata:
        papers.setdefault(each.paper, []).append(each)
    return [_sheet(paper, of) for paper, of in papers.items()]


def _sheet(paper: str, errata: Sequence[Erratum]) -> Sheet:
    rows = [
        [str(each.number), f"{each.place} {each.printed}. Right: {each.right}. {each.arithmetic} [{each.check}]"]
        for each in errata
    ]
    notes = ["In brackets: a command that shows it."]
    return Sheet(f"Errata of {paper}", ["no.", "erratum"], "rl", rows, notes, prose=True)
