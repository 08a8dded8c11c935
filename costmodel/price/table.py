"""Parameters and FLOPs of the catalogue's networks beside the printed ones, in the papers' order, names, rounding."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeAlias

from costmodel.describe.catalogue import NETWORKS, describe_network, find_networks
from costmodel.describe.cells import CONV_LSTM, Cell, find_cell
from costmodel.describe.ops import Pair
from costmodel.describe.selection import Entry, ModuleEntry, entries, find_base
from costmodel.errors import InvalidInput, in_words
from costmodel.price.conventions import Convention, find_convention
from costmodel.published import PrintedTable, erfnet
from costmodel.published import lstm_icnet as published
from costmodel.work.cost import Cost
from costmodel.work.size import Size, as_size, int_pair

# By the network that the other networks of a table extend.
PRINTED: dict[str, PrintedTable] = {"icnet": published.TABLE, "erfnet": erfnet.TABLE}
NOT_PRINTED = PrintedTable(
    place="",
    size=published.SIZE,
    kernel=published.KERNEL,
    classes=published.CLASSES,
    heads=False,
    convention=published.CONVENTION,
    rows={},
    digits=3,
    thousands=False,
    errata={},
    remarks=(),
)


class Module(Protocol):
    """A module of the user's, such as `costmodel.module` makes."""

    @property
    def name(self) -> str: ...

    @property
    def entry(self) -> ModuleEntry: ...

    @property
    def workload(self) -> Any: ...  # what a child process is told to time; None: nothing can be timed


Given: TypeAlias = "str | Module | Iterable[str | Module] | Mapping[str, Module]"


@dataclass(frozen=True)
class CountAlone:
    """A count by `costmodel.count` as a row; a fresh process cannot make its module."""

    entry: ModuleEntry
    workload: Any = None

    @property
    def name(self) -> str:
        return self.entry.approach


@dataclass(frozen=True)
class CountedRow:
    """One network, counted as the convention of the table says."""

    approach: str
    base: str  # of percentages: this network with standard cells, or the network that a variant extends
    version: str | None
    cell: str | None
    params: int
    flops: int
    params_pct: float  # rounded as in Table IV
    flops_pct: float
    paper: "published.Row | erfnet.Row | None"  # the row of printed, if the settings are the paper's
    entry: Entry | ModuleEntry
    printed: PrintedTable = published.TABLE
    cost_ratio: float = 1.0  # to the base, not rounded

    def __repr__(self) -> str:
        return f"<{self.approach}: {self.params:,} parameters, {self.flops:,} FLOPs, {self.flops_pct} % of {self.base}>"

    @property
    def params_k(self) -> int:
        """Thousands of parameters, truncated as in Table IV."""
        return self.params // 1000

    @property
    def gflops(self) -> float:
        """FLOPs / 1e9, rounded as in the paper."""
        return round(self.flops / 1e9, self.printed.digits)


@dataclass(frozen=True)
class Counted:
    """Rows and the settings of their count. ``size``, ``kernel``, ``classes`` and ``heads`` are of the described
    networks alone; without any, ``size`` is None."""

    convention: Convention
    size: tuple[int, int] | None
    kernel: tuple[int, int]
    classes: int
    heads: bool
    rows: tuple[CountedRow, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def unit_of_work(self) -> str:
        """The unit that every row counts: a ``1024x2048 frame``, or the ``call`` of modules."""
        return f"{'x'.join(map(str, self.size))} frame" if self.size else "call"

    @property
    def described(self) -> list[Entry]:
        """The described networks; the other rows are modules of the user's."""
        return [row.entry for row in self.rows if isinstance(row.entry, Entry)]

    @property
    def kind(self) -> str:
        """The kind of the rows, in words: networks, and modules of the user's."""
        described, own = self.described, any(isinstance(row.entry, ModuleEntry) for row in self.rows)
        return " and ".join([*(["networks"] if described or not own else []), *(["modules"] if own else [])])

    @property
    def has_printed(self) -> bool:
        """True if a printed table covers one of the networks."""
        return any(row.printed.rows for row in self.rows)

    @property
    def source(self) -> str:
        """The source of the prices; it names a printed table only beside networks of a printed table."""
        source = self.convention.source
        return source if self.has_printed else source.removesuffix(f", as in {published.TABLE.place} of the paper")

    @property
    def heads_in_words(self) -> str:
        """``with training heads`` or ``without training heads``; "" if neither paper nor description has heads."""
        if self.has_printed:
            return f"{'with' if self.heads else 'without'} training heads"
        return "with training heads" if self.heads and any(map(self._has_heads, self.rows)) else ""

    def _has_heads(self, row: CountedRow) -> bool:
        entry = row.entry
        if isinstance(entry, ModuleEntry):
            return False
        options = {name: value for name, value in self.options.items() if name in NETWORKS[entry.model].options}
        cells = {site: entry.sites.get(site, entry.cell or "standard") for site in NETWORKS[entry.model].sites}
        without = describe_network(
            entry.model, cell=cells, size=self.size, kernel=self.kernel, classes=self.classes, heads=False, **options
        )
        return len(without.steps) != len(entry.program.steps)


def count_networks(
    models: "Given | None" = None,
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
    base: str | None = None,
) -> Counted:
    """The rows of `costmodel.table` without times, and the settings; `InvalidInput` as for `costmodel.table`."""
    described, modules = apart(models)
    names = [] if modules and not described else find_networks(described)
    printed = _printed(names)
    price = find_convention(_default("convention", convention, [each.convention for each in printed] or ["torch"]))
    sides = int_pair("kernel", kernel)
    counted = Counted(price, None, sides, 0, False, ())
    costs: dict[str, Cost] = {}
    rows: list[tuple[Entry | ModuleEntry, PrintedTable, published.Row | erfnet.Row | None]] = []
    if names:
        height, width = int_pair("size", _default("size", size, [each.size for each in printed]))
        count = as_size("classes", _default("classes", classes, [each.classes for each in printed]))
        heads = _default("heads", heads, [each.heads for each in printed])
        options = {name: value for model in names for name, value in NETWORKS[model].options.items()}
        if len(printed) == 1 and price.name == printed[0].convention:
            options |= printed[0].options
        options |= {} if decoder_blocks is None else {"decoder_blocks": decoder_blocks}
        if unknown := [name for name in options if not any(name in NETWORKS[model].options for model in names)]:
            raise InvalidInput(f"only ERFNet and its variants have {', '.join(unknown)}")
        settings: dict[str, Any] = {"size": (height, width), "kernel": sides, "classes": count, "heads": heads}
        networks = entries(names, cells, sites=sites, recurrence=recurrence, options=options, **settings)
        costs = {approach: entry.cost for approach, entry in networks.items()}
        for entry in networks.values():
            if entry.base not in costs and entry.cell is not None:
                # Percentages refer to the standard cell with the same recurrence, shown or not.
                standard = replace(find_cell("standard"), recurrence=entry.cell.recurrence)
                costs[entry.base] = describe_network(entry.model, cell=standard, **settings).cost
            source = _printed_table(entry.model)
            plain = entry.cell is None or entry.cell.recurrence is CONV_LSTM
            as_printed = plain and settings | options == {
                "size": source.size,
                "kernel": source.kernel if entry.cell else sides,
                "classes": source.classes,
                "heads": source.heads,
                **source.options,
            }
            rows.append((entry, source, source.rows.get(entry.approach) if as_printed else None))
        counted = Counted(price, (height, width), sides, count, heads, (), options)
    for module in modules:
        if module.name in costs:
            raise InvalidInput(f"{module.name} is given twice")
        costs[module.name] = module.entry.cost
        rows.append((module.entry, NOT_PRINTED, None))
    whole = None
    if base is not None:
        approaches = [entry.approach for entry, *_ in rows]
        short = {each.model: each.base for each, *_ in rows if isinstance(each, Entry) and each.base in approaches}
        whole = find_base(base, approaches, short)
    first = modules[0].name if modules else ""
    made = [_row(*each, price, costs, whole or (first if isinstance(each[0], ModuleEntry) else None)) for each in rows]
    return replace(counted, rows=tuple(made))


def apart(models: "Given | None") -> "tuple[list[str] | None, list[Module]]":
    """The names of described networks (None: no choice), and the modules of the user's."""
    if models is None:
        return None, []
    if isinstance(models, Mapping):
        return [], [_module(each, name) for name, each in models.items()]
    several: list[Any] = list(models) if isinstance(models, Iterable) and not isinstance(models, str) else [models]
    names = [each for each in several if isinstance(each, str)]
    if by_name := [name for name in names if ":" in name]:
        raise InvalidInput(f"{by_name[0]!r} names a module: give costmodel.module({by_name[0]!r}, '1x3x224x224')")
    return names, [_module(each) for each in several if not isinstance(each, str)]


def _module(given: Any, name: str = "") -> Module:
    """A module by name, or a count of one, perhaps under another name."""
    if hasattr(given, "operations") and hasattr(given, "own_parameters"):
        return CountAlone(ModuleEntry.of(given, name or given.name))
    if not hasattr(given, "entry"):
        raise InvalidInput(
            f"{in_words(given)} is neither the name of a network nor a module: "
            "costmodel.module('package.module:factory', '1x3x224x224') makes one, or costmodel.count(net, ...)"
        )
    return CountAlone(replace(given.entry, approach=name), given.workload) if name else given


def _row(
    entry: Entry | ModuleEntry,
    source: PrintedTable,
    paper: "published.Row | erfnet.Row | None",
    price: Convention,
    costs: Mapping[str, Cost],
    base: str | None,
) -> CountedRow:
    """A row; ``base``: of percentages, by default that of the network."""
    base = base or entry.base
    cost, whole = entry.cost, costs[base]
    params, full = price.params(cost), price.params(whole)
    share = price.share(cost.work, whole.work)
    return CountedRow(
        approach=entry.approach,
        base=base,
        version=entry.model if isinstance(entry, Entry) and entry.cell else None,
        cell=None if entry.cell is None else entry.cell.name,
        params=params,
        flops=price.flops(cost.work),
        params_pct=_thousands_pct(params, full) if source.thousands else _percentage(params, full),
        flops_pct=round(float(100 * share), 2),
        cost_ratio=float(share),
        paper=paper,
        entry=entry,
        printed=source,
    )


def _printed(names: Iterable[str]) -> list[PrintedTable]:
    """The printed tables of the networks, each once; for other networks, their defaults."""
    tables = [_printed_table(name) for name in names]
    return [table for number, table in enumerate(tables) if table not in tables[:number]]


def _printed_table(name: str) -> PrintedTable:
    """The printed table that covers a network; for any other network, an empty table with its defaults.

    A table also covers an extension of a printed network whose defaults are the settings of the table.
    """
    network = NETWORKS[name]
    covers = PRINTED.get(network.base or name)
    own = network.size, network.classes, network.heads
    if covers and own == (covers.size, covers.classes, covers.heads):
        return covers
    return replace(NOT_PRINTED, size=network.size, classes=network.classes, heads=network.heads)


def _default(name: str, given: Any, of: list[Any]) -> Any:
    """The given value, or the value that the papers of all networks share; `InvalidInput` where they differ."""
    if given is not None:
        return given
    if any(each != of[0] for each in of):
        raise InvalidInput(f"these networks were published with different values of {name}: give one")
    return of[0]


def _percentage(part: int, whole: int) -> float:
    return round(100 * part / whole, 2) if whole else 100.0 if part == whole else math.inf


def _thousands_pct(params: int, base: int) -> float:
    """The percentage as printed: of truncated thousands, if the base has thousands."""
    if base >= 1000:
        params, base = params // 1000, base // 1000
    return _percentage(params, base)
