"""Parameters and FLOPs of the catalogue's networks beside the printed ones, in the papers' order, names, rounding."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from costmodel.describe.catalogue import NETWORKS, describe_network, find_networks
from costmodel.describe.cells import CONV_LSTM, Cell, find_cell
from costmodel.describe.ops import Pair
from costmodel.describe.selection import Entry, entries
from costmodel.errors import InvalidInput
from costmodel.price.conventions import Convention, find_convention
from costmodel.published import PrintedTable, erfnet
from costmodel.published import lstm_icnet as published
from costmodel.work.size import Size, as_size, int_pair

# By the network that the others of a table extend.
PRINTED: dict[str, PrintedTable] = {"icnet": published.TABLE, "erfnet": erfnet.TABLE}


@dataclass(frozen=True)
class CountedRow:
    """One network. ``params`` and ``flops`` as the table's convention counts them; percentages of ``base``, the same
    network with standard cells or the one that it is a variant of, rounded as Table IV does; ``paper`` is the row of
    ``printed`` where the settings are the paper's."""

    approach: str
    base: str
    version: str | None
    cell: str | None
    params: int
    flops: int
    params_pct: float
    flops_pct: float
    paper: "published.Row | erfnet.Row | None"
    entry: Entry
    printed: PrintedTable = published.TABLE

    def __repr__(self) -> str:
        return f"<{self.approach}: {self.params:,} parameters, {self.flops:,} FLOPs, {self.flops_pct} % of {self.base}>"

    @property
    def params_k(self) -> int:
        """Thousands of parameters, truncated as in Table IV."""
        return self.params // 1000

    @property
    def gflops(self) -> float:
        """Rounded as its paper does."""
        return round(self.flops / 1e9, self.printed.digits)


@dataclass(frozen=True)
class Counted:
    """Rows and the settings that they were counted under."""

    convention: Convention
    size: tuple[int, int]
    kernel: tuple[int, int]
    classes: int
    heads: bool
    rows: tuple[CountedRow, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_printed(self) -> bool:
        """Whether a paper prints a table that covers any of the networks."""
        return any(row.printed.rows for row in self.rows)

    @property
    def source(self) -> str:
        """Where the prices come from; with the printed table counted so only beside networks of a printed table."""
        source = self.convention.source
        return source if self.has_printed else source.removesuffix(f", as in {published.TABLE.place} of the paper")

    @property
    def heads_in_words(self) -> str:
        """``with training heads`` or ``without training heads``; nothing where no paper and no description has any."""
        if self.has_printed:
            return f"{'with' if self.heads else 'without'} training heads"
        return "with training heads" if self.heads and any(map(self._has_heads, self.rows)) else ""

    def _has_heads(self, row: CountedRow) -> bool:
        entry = row.entry
        options = {name: value for name, value in self.options.items() if name in NETWORKS[entry.model].options}
        cells = {site: entry.sites.get(site, entry.cell or "standard") for site in NETWORKS[entry.model].sites}
        without = describe_network(
            entry.model, cell=cells, size=self.size, kernel=self.kernel, classes=self.classes, heads=False, **options
        )
        return len(without.steps) != len(entry.program.steps)


def count_networks(
    models: "str | Iterable[str] | None" = None,
    cells: "str | Cell | Iterable[str | Cell] | None" = None,
    *,
    size: "Pair | None" = None,
    kernel: "Size | Pair" = published.KERNEL,
    classes: int | None = None,
    convention: "str | Convention | None" = None,
    heads: bool | None = None,
    recurrence: str | None = None,
    sites: "Mapping[str, str | Cell] | None" = None,
    decoder_blocks: int | None = None,
) -> Counted:
    """The rows of `costmodel.table`, without times; its settings."""
    names = find_networks(models)
    printed = _printed(names)
    price = find_convention(_default("convention", convention, [each.convention for each in printed]))
    height, width = int_pair("size", _default("size", size, [each.size for each in printed]))
    count = as_size("classes", _default("classes", classes, [each.classes for each in printed]))
    heads = _default("heads", heads, [each.heads for each in printed])
    sides = int_pair("kernel", kernel)
    options = {name: value for model in names for name, value in NETWORKS[model].options.items()}
    if len(printed) == 1 and price.name == printed[0].convention:
        options |= printed[0].options
    options |= {} if decoder_blocks is None else {"decoder_blocks": decoder_blocks}
    if unknown := [name for name in options if not any(name in NETWORKS[model].options for model in names)]:
        raise InvalidInput(f"{', '.join(unknown)}: of ERFNet and its variants alone")
    settings: dict[str, Any] = {"size": (height, width), "kernel": sides, "classes": count, "heads": heads}
    found = entries(names, cells, sites=sites, recurrence=recurrence, options=options, **settings)
    programs = {approach: entry.program for approach, entry in found.items()}
    rows = []
    for approach, entry in found.items():
        base = entry.base
        if base not in programs and entry.cell is not None:
            # Percentages are of the standard cell with the same recurrence, shown or not.
            standard = replace(find_cell("standard"), recurrence=entry.cell.recurrence)
            programs[base] = describe_network(entry.model, cell=standard, **settings)
        plain = entry.cell is None or entry.cell.recurrence is CONV_LSTM
        source = _printed_table(entry.model)
        as_printed = plain and settings | options == {
            "size": source.size,
            "kernel": source.kernel if entry.cell else sides,
            "classes": source.classes,
            "heads": source.heads,
            **source.options,
        }
        paper = source.rows.get(approach) if as_printed else None
        cost, whole = entry.program.cost, programs[base].cost
        params, of = price.params(cost), price.params(whole)
        rows.append(
            CountedRow(
                approach=approach,
                base=base,
                version=None if entry.cell is None else entry.model,
                cell=None if entry.cell is None else entry.cell.name,
                params=params,
                flops=price.flops(cost.work),
                params_pct=_thousands_pct(params, of) if source.thousands else round(100 * params / of, 2),
                flops_pct=round(float(100 * price.share(cost.work, whole.work)), 2),
                paper=paper,
                entry=entry,
                printed=source,
            )
        )
    return Counted(price, (height, width), sides, count, heads, tuple(rows), options)


def _printed(names: Iterable[str]) -> list[PrintedTable]:
    """The tables of the papers that the networks come from, each once, and the defaults of other networks."""
    found = [_printed_table(name) for name in names]
    return [each for number, each in enumerate(found) if each not in found[:number]]


def _printed_table(name: str) -> PrintedTable:
    """The printed table that covers a network; for a network of one's own, an empty one with that network's defaults.

    A network that extends a printed one is covered where its defaults are those that the table was counted on.
    """
    network = NETWORKS[name]
    covers = PRINTED.get(network.base or name)
    own = network.size, network.classes, network.heads
    if covers and own == (covers.size, covers.classes, covers.heads):
        return covers
    return PrintedTable(
        place="",
        size=network.size,
        kernel=published.KERNEL,
        classes=network.classes,
        heads=network.heads,
        convention=published.CONVENTION,
        rows={},
        digits=3,
        thousands=False,
        errata={},
        remarks=(),
    )


def _default(name: str, given: Any, of: list[Any]) -> Any:
    """What is given, or what the papers of all networks have in common."""
    if given is not None:
        return given
    if any(each != of[0] for each in of):
        raise InvalidInput(f"these networks were published with another {name} each: give one")
    return of[0]


def _thousands_pct(params: int, base: int) -> float:
    """As printed: from the truncated thousands, where there are any."""
    if base >= 1000:
        params, base = params // 1000, base // 1000
    return round(100 * params / base, 2)
