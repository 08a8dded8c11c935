"""The rows of tables: every chosen network of the catalogue with every chosen cell, under the paper's names."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from costmodel.describe.catalogue import NETWORKS, describe_network, find_network, find_networks
from costmodel.describe.cells import CONV_LSTM, Cell, find_cell, find_cells
from costmodel.describe.program import Program
from costmodel.errors import InvalidInput, among, in_words, meant
from costmodel.work.cost import NOTHING, Cost
from costmodel.work.size import int_pair


@dataclass(frozen=True)
class Entry:
    """A described network and the settings of its description."""

    model: str
    cell: Cell | None  # None: the network has no recurrent cells
    sites: Mapping[str, Cell]  # sites with another cell
    program: Program
    size: tuple[int, int]
    classes: int

    @property
    def cost(self) -> Cost:
        return self.program.cost

    @property
    def layers(self) -> Mapping[str, Cost]:
        return self.program.layers

    @property
    def approach(self) -> str:
        own = {site: kind.name for site, kind in self.sites.items()}
        return approach(self.model, *self._cell(), own)

    @property
    def base(self) -> str:
        """The approach that percentages refer to: this network with standard cells, or the base of a variant."""
        network = NETWORKS.get(self.model)
        if network is not None and network.family and network.base:
            return approach(network.base, None)
        name, recurrence = self._cell()
        return approach(self.model, name and "standard", recurrence)

    def _cell(self) -> tuple[str | None, str]:
        return (self.cell.name, self.cell.recurrence.name) if self.cell else (None, CONV_LSTM.name)


def find_base(base: str, names: Iterable[str], short: Mapping[str, str]) -> str:
    """The name of the row that percentages refer to: ``base`` is one of the ``names`` in tables, or short for such a
    name, as the keys of ``short`` are. `InvalidInput` for others."""
    names = list(names)
    found = base if base in names else short.get(base)
    if found is None:
        raise InvalidInput(f"base {in_words(base)}: {among(base, names)}")
    return found


@dataclass(frozen=True)
class ModuleEntry:
    """A module that is not described here: counted by `costmodel.measure.modules`, for one call with ``inputs``.

    ``layers``: costs by the path of the module whose code ran. ``subject``: that of its times (`profiles.records`).
    ``count``: the whole count.
    """

    approach: str
    cost: Cost
    layers: Mapping[str, Cost]
    inputs: tuple[str, ...]
    peak_memory: int  # bytes
    subject: Any
    cell: None = None
    count: Any = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, count: Any, name: str, subject: Any = None) -> "ModuleEntry":
        """The row of a count by `costmodel.count`, in whole numbers."""
        if count.letters:
            raise InvalidInput(f"{name} is counted in letters, {', '.join(count.letters)}: give sizes, with .at()")
        parts = count.cut().items()
        layers = {path or "(itself)": sum((each.cost for each in operations), NOTHING) for path, operations in parts}
        return cls(name, count.cost, layers, count.inputs, int(count.peak_memory), subject, count=count)

    @property
    def base(self) -> str:
        return self.approach


def calls_in_words(rows: Iterable[tuple[str, tuple[str, ...]]]) -> list[str]:
    """Notes on what is counted: one call of each row, given by its name and its inputs; rows of the same inputs share a
    note."""
    calls: dict[tuple[str, ...], list[str]] = {}
    for name, inputs in rows:
        calls.setdefault(inputs, []).append(name)
    return [f"{', '.join(names)}: one call with {', '.join(inputs)}." for inputs, names in calls.items()]


def approach(
    model: str | None, cell: str | None, recurrence: str = CONV_LSTM.name, sites: Mapping[str, str] | None = None
) -> str:
    """The paper's name of a row: the cell, unless standard, and the network; in brackets, settings outside the paper.

    A single cell, without a network: ``sep cell``.
    """
    if model is None:
        name = f"{cell} cell"
    else:
        name = NETWORKS[model].approach if model in NETWORKS else model
        name = name if cell in (None, "standard") else f"{cell}-{name}"
    asides = [] if recurrence == CONV_LSTM.name else [recurrence]
    asides += [f"{site} {kind}" for site, kind in (sites or {}).items()]
    return f"{name} ({', '.join(asides)})" if asides else name


def entries(
    models: "str | Iterable[str] | None" = None,
    cells: "str | Cell | Iterable[str | Cell] | None" = None,
    *,
    sites: "Mapping[str, str | Cell] | None" = None,
    recurrence: str | None = None,
    options: Mapping[str, Any] = MappingProxyType({}),
    **settings: Any,
) -> dict[str, Entry]:
    """The rows by approach, in the paper's order; the base of a chosen network comes first. ``options`` go to the
    networks that have them, ``settings`` to `describe_network`. `InvalidInput` for unknown names."""
    wanted = find_networks(models)
    known = {site: None for model in wanted for site in find_network(model).sites}
    for site in sites or {}:
        if site not in known:
            raise InvalidInput(
                f"unknown site {site!r}: the chosen models have {', '.join(known) or 'none'}{meant(site, known)}"
            )
    chosen = find_cells(cells, recurrence)
    others = {site: find_cell(kind, recurrence) for site, kind in (sites or {}).items()}
    rows = []
    for model, network in NETWORKS.items():
        if model not in {*wanted, *(NETWORKS[other].base for other in wanted)}:
            continue
        own = {name: value for name, value in options.items() if name in network.options} | settings
        own["size"] = int_pair("size", network.size if own.get("size") is None else own["size"])
        own["classes"] = network.classes if own.get("classes") is None else own["classes"]
        where = own["size"], own["classes"]
        if not network.sites:
            rows.append(Entry(model, None, {}, describe_network(model, **own), *where))
            continue
        for cell in chosen:
            at = {site: kind for site, kind in others.items() if site in network.sites and kind != cell}
            program = describe_network(model, cell=dict.fromkeys(network.sites, cell) | at, **own)
            rows.append(Entry(model, cell, at, program, *where))
    return {row.approach: row for row in rows}
