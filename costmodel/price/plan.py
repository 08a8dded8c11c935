"""Plans: which cells with which kernels at the sites of a network fit into a budget, and which of those are worth it.

Time and parameters are sums over the sites, and memory is the largest of a few sums. So a network is described and
priced once for each option of each site; sums of these tables are the costs of every assignment, in blocks that bound
the memory of a plan.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from costmodel.describe.catalogue import NETWORKS, describe_network, find_network
from costmodel.describe.cells import CONV_LSTM, Cell, find_cell, find_cells, with_kernel
from costmodel.describe.program import Program
from costmodel.describe.selection import approach
from costmodel.errors import InvalidInput, among
from costmodel.price.conventions import Convention
from costmodel.price.latency import CalibratedMachine, Prediction
from costmodel.price.moment import Moment
from costmodel.published import lstm_icnet as published
from costmodel.work.cost import Operation
from costmodel.work.size import bytes_of, int_pair

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]

COSTS = ("time", "params", "memory")
CRITERIA = (*COSTS, "quality", "design")
SORTS = ("ms", "params", "memory", "quality")
METRIC = published.QUALITY["cityscapes-miou"]
MOST = 10**9  # assignments
BLOCK = 1 << 16  # assignments whose costs are summed at once: their arrays fit in a second-level cache
SECONDS, PARAMS, MAPS = 0, 1, 2  # rows of a table; from `MAPS` on: the sums of which memory is the largest


@dataclass(frozen=True)
class Option:
    """A cell with its kernel at a site; without a cell, the site stays empty."""

    cell: Cell | None = None
    kernel: tuple[int, int] = (0, 0)

    @property
    def name(self) -> str:
        """The option in words: ``sep 3x3``, ``none``."""
        return f"{self.cell.name} {'x'.join(map(str, self.kernel))}" if self.cell else "none"

    def record(self) -> dict[str, Any] | None:
        """The JSON contract; null for no cell."""
        return {"cell": self.cell.name, "kernel": list(self.kernel)} if self.cell else None


class Predictor(Protocol):
    """A machine with the settings for which it predicts, as `costmodel.profiles.predict` makes it."""

    @property
    def machine(self) -> CalibratedMachine: ...

    @property
    def at(self) -> Moment | None: ...

    def operations(self, of: Any) -> Sequence[Operation]:
        """The operations of a described program, or of a counted call of a module, as they are timed."""


@dataclass(frozen=True)
class Row:
    """One assignment, or one point of a module: ``names`` in words and ``values`` in JSON, by site or by argument.

    The time is predicted; parameters, FLOPs and memory (bytes) are exact. ``approach`` and ``quality``: the row of the
    printed tables with exactly these cells, and its mIoU in %.
    """

    names: Mapping[str, str]
    values: Mapping[str, Any]
    prediction: Prediction
    params: int
    flops: int
    memory: int
    approach: str = ""
    quality: float | None = None


@dataclass(frozen=True)
class Found:
    """The rows of a front, at most ``top``. ``number``: of all assignments; ``fitting``: of those within the limits;
    ``front``: of those that no other one that fits beats."""

    number: int
    fitting: int
    front: int
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Limits:
    """Seconds and bytes that a call may take (None: any)."""

    seconds: float | None = None
    memory: int | None = None

    @classmethod
    def of(cls, budget: float | None, memory: "int | str | None") -> "Limits":
        """`InvalidInput` for a budget that is no time."""
        if budget is not None and not (isinstance(budget, int | float) and 0 < budget < math.inf):
            raise InvalidInput(f"budget {budget!r}: expected seconds above 0, such as 0.3")
        return cls(budget, None if memory is None else bytes_of(memory))

    @property
    def words(self) -> list[str]:
        """The limits in words."""
        time = [] if self.seconds is None else [_ms(self.seconds)]
        return time + ([] if self.memory is None else [_mb(self.memory)])

    def share(self, seconds: Any, memory: Any) -> Any:
        """The part of the scarcer limit that is needed: up to 1 fits. For numbers and for arrays."""
        parts = [seconds / self.seconds] if self.seconds is not None else []
        parts += [memory / self.memory] if self.memory is not None else []
        return np.maximum.reduce(parts) if parts else 0 * seconds

    def fits(self, seconds: Any, memory: Any) -> Any:
        """True where both limits hold; sums in another order differ in their last digits."""
        return self.share(seconds, memory) <= 1 + 1e-12

    def refusal(self, name: str, prediction: Prediction, memory: int) -> InvalidInput:
        """The error of a plan in which nothing fits: the closest, and by how much it misses."""
        misses = []
        if self.seconds is not None and prediction.seconds > self.seconds:
            needs = f"{_ms(prediction.seconds)} ({_ms(prediction.low)} to {_ms(prediction.high)})"
            misses.append(f"{needs}, {_ms(prediction.seconds - self.seconds)} too much")
        if self.memory is not None and memory > self.memory:
            misses.append(f"{_mb(memory)}, {_mb(memory - self.memory)} too much")
        return InvalidInput(
            f"nothing fits into {' and '.join(self.words)}: the closest, {name}, needs {' and '.join(misses)}"
        )


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.4g} ms"


def _mb(number: int) -> str:
    return f"{number / 1e6:,.2f} MB"


class Space:
    """The assignments of options to the sites of a network: ``describe(options)`` is the network with an option for
    each site. `InvalidInput` where the machine was not calibrated for an operation."""

    def __init__(
        self,
        describe: Callable[[Mapping[str, Option]], Program],
        sites: Mapping[str, Sequence[Option]],
        predictor: Predictor,
    ) -> None:
        self.sites = {site: tuple(options) for site, options in sites.items()}
        # Where the base has a cell at every site, the maps within any site can be told from its steps.
        first = {site: next((each for each in options if each.cell), options[0]) for site, options in sites.items()}
        base = describe(first)
        programs = {
            site: [base if option == first[site] else describe({**first, site: option}) for option in options]
            for site, options in self.sites.items()
        }
        sums = np.concatenate([self._sums(base, programs, predictor), _maps(base, programs)], axis=0)
        sums[MAPS:] += base.inputs[0].map.itemsize * sums[PARAMS]
        ends = np.cumsum([len(options) for options in self.sites.values()])[:-1]
        self.tables: list[Floats] = np.split(sums, ends, axis=1)

    def __len__(self) -> int:
        return math.prod(map(len, self.sites.values()))

    def _sums(self, base: Program, programs: Mapping[str, Sequence[Program]], predictor: Predictor) -> Floats:
        """Seconds and parameters that the options of all sites add to the base, side by side; those of the first site
        have the base's, too. Whole programs are predicted: what a cache holds depends on all operations."""

        def costs(program: Program, name: str) -> Floats:
            operations = predictor.operations(program)
            seconds = predict(predictor, operations, name).seconds
            return np.array([seconds, sum(each.cost.parameters for each in operations)], np.float64)

        whole = costs(base, base.name)
        columns = [
            (whole if program is base else costs(program, f"{option.name} at {site}")) - (whole if number else 0.0)
            for number, (site, options) in enumerate(self.sites.items())
            for option, program in zip(options, programs[site], strict=True)
        ]
        return np.array(columns).T

    def blocks(self) -> Iterator[tuple[int, Floats, Floats]]:
        """The number of the first assignment, seconds and memory of every block; the last site varies fastest."""
        ahead, behind = self.tables, np.zeros((len(self.tables[0]), 1))
        while ahead and behind.shape[1] * ahead[-1].shape[1] <= BLOCK:
            behind = _outer(ahead[-1], behind)
            ahead = ahead[:-1]
        for number, columns in enumerate(product(*(table.T for table in ahead))):
            block = behind + sum(columns, np.zeros(len(behind)))[:, None]
            yield number * behind.shape[1], block[SECONDS], block[MAPS:].max(axis=0)

    def survey(self, limits: Limits) -> tuple[int, tuple[int, ...]]:
        """The number of assignments that fit, and the closest to the limits."""
        fitting, closest, least = 0, 0, math.inf
        for first, seconds, memory in self.blocks():
            share = limits.share(seconds, memory)
            fitting += int(np.count_nonzero(limits.fits(seconds, memory)))
            place = int(share.argmin())
            if share[place] < least:
                closest, least = first + place, float(share[place])
        shape = tuple(len(options) for options in self.sites.values())
        return fitting, tuple(int(n) for n in np.unravel_index(closest, shape))

    def costs(self, places: Ints) -> Floats:
        """Seconds, parameters and memory of assignments, a row each; ``places``: of the options, a column for each
        site."""
        sums = np.add.reduce([table[:, places[:, n]] for n, table in enumerate(self.tables)])
        return np.stack([sums[SECONDS], sums[PARAMS], sums[MAPS:].max(axis=0)], axis=1)

    def design(self, places: Ints) -> Floats:
        """Two columns for each site, rows and columns of the kernel, 0 without a cell, with a minus: less is more."""
        kernels = [np.array([option.kernel for option in options], np.float64) for options in self.sites.values()]
        return -np.concatenate([kernels[n][places[:, n]] for n in range(places.shape[1])], axis=1)

    def front(self, limits: Limits, by: Sequence[str]) -> Ints:
        """The assignments that fit and that no other one beats by the costs, and the design, of ``by``: places of the
        options, a row each; one of those that cost the same.

        Sites join one after the other. Of the assignments of the first sites, one that loses to another in every sum
        loses with any options at the other sites, too.
        """
        least = [table.min(axis=1) for table in self.tables]
        places, sums = np.zeros((1, 0), np.int64), np.zeros((len(self.tables[0]), 1))
        for n, table in enumerate(self.tables):
            options = table.shape[1]
            sums = _outer(sums, table)
            places = np.column_stack([places.repeat(options, axis=0), np.tile(np.arange(options), len(places))])
            bound = sums + sum(least[n + 1 :], np.zeros(len(table)))[:, None]
            kept = np.flatnonzero(limits.fits(bound[SECONDS], bound[MAPS:].max(axis=0)))
            places, sums = places[kept], sums[:, kept]
            columns = [sums[[PARAMS]]] * ("params" in by) + [self.design(places).T] * ("design" in by)
            # What is limited matters, too: the winner must fit.
            columns += [sums[[SECONDS]]] * ("time" in by or limits.seconds is not None)
            columns += [sums[MAPS:]] * ("memory" in by or limits.memory is not None)
            kept = unbeaten(np.concatenate(columns).T)
            places, sums = places[kept], sums[:, kept]
        costs = self.costs(places)
        kept = np.flatnonzero(limits.fits(costs[:, 0], costs[:, 2]))
        return places[kept][unbeaten(self.compared(places[kept], by))]

    def compared(self, places: Ints, by: Sequence[str]) -> Floats:
        """Columns in which less is better: the costs, and the design, of ``by``."""
        columns = [self.costs(places)[:, [n for n, name in enumerate(COSTS) if name in by]]]
        return np.concatenate(columns + [self.design(places)] * ("design" in by), axis=1)


def _outer(first: Floats, second: Floats) -> Floats:
    """The sums of all columns of two tables, those of the second fastest."""
    return (first[:, :, None] + second[:, None, :]).reshape(len(first), -1)


def _maps(base: Program, programs: Mapping[str, Sequence[Program]]) -> Floats:
    """Sums, a row each, of which the bytes of maps in memory are the largest: for all options of all sites, side by
    side, what an option adds; the first site has the bytes of the base, too.

    A step that every program has is a sum: its maps in the base, and what each option adds to them. Steps that only
    some options of a site have are together one sum: the most within each of these options, and what options of other
    sites add at the base's own steps there. The sums that no assignment can make the largest are left out.
    """
    changing = {
        site: [name for name in base.alive if any(name not in program.alive for program in options)]
        for site, options in programs.items()
    }
    common = base.alive.keys() - {name for names in changing.values() for name in names}

    def row(name: str, own: Mapping[str, Sequence[float]]) -> list[float]:
        before = base.alive[name]
        added = [
            value
            for site, options in programs.items()
            for value in own.get(site, [program.alive.get(name, math.nan) - before for program in options])
        ]
        width = len(next(iter(programs.values())))
        return [before + value for value in added[:width]] + added[width:]

    rows = [row(name, {}) for name in base.alive if name in common]
    for site, options in programs.items():
        others = {name for other, names in changing.items() if other != site for name in names}
        within = [[name for name in program.alive if name not in common and name not in others] for program in options]
        if not any(within):
            continue
        where = changing[site][0] if changing[site] else _before(next(filter(None, within)), options, within)
        most = [
            max((program.alive[name] for name in names), default=-math.inf) - base.alive[where]
            for program, names in zip(options, within, strict=True)
        ]
        rows.append(row(where, {site: most}))
    table = np.array(rows)
    return table[unbeaten(-table)]


def _before(names: Sequence[str], options: Sequence[Program], within: Sequence[Sequence[str]]) -> str:
    """The step before the first that only some options have."""
    steps = list(next(program for program, own in zip(options, within, strict=True) if own).alive)
    return steps[steps.index(names[0]) - 1]


def unbeaten(rows: Floats) -> Ints:
    """The places of the rows that no other row beats, in order: with no larger number in any column. One of equal rows
    stays.

    >>> unbeaten(np.array([[1, 4], [2, 2], [3, 3], [2, 2], [4, 1]])).tolist()
    [0, 1, 4]
    """
    left = np.lexsort(rows.T[::-1])  # a row can lose only to one before
    columns = np.ascontiguousarray(rows.T)
    kept = []
    while left.size:
        first = left[0]
        kept.append(first)
        beaten = np.ones(left.size, bool)
        for column in columns:
            beaten &= column[left] >= column[first]
        left = left[~beaten]
    return np.array(sorted(kept), np.int64)


def predict(predictor: Predictor, operations: Sequence[Operation], name: str) -> Prediction:
    """The prediction of operations; `InvalidInput` where the machine was not calibrated for one of them."""
    prediction = predictor.machine.predict(operations, predictor.at)
    if prediction.missing:
        raise InvalidInput(
            f"{predictor.machine.name} is not calibrated for {', '.join(prediction.missing)}, which {name} needs: a "
            "plan needs every time"
        )
    return prediction


def criteria(by: "Sequence[str] | None") -> tuple[str, ...]:
    """The criteria of a comparison, each once, by default all; `InvalidInput` for others, and without a cost."""
    chosen = tuple(CRITERIA if by is None else dict.fromkeys(by))
    if unknown := [name for name in chosen if name not in CRITERIA]:
        raise InvalidInput(f"by {unknown[0]!r}: {among(unknown[0], CRITERIA)}")
    if not set(chosen) & set(COSTS):
        raise InvalidInput(f"by {', '.join(chosen) or 'nothing'}: at least one of {', '.join(COSTS)}")
    return chosen


def check_order(sort: str, top: int | None) -> None:
    if sort not in SORTS:
        raise InvalidInput(f"sort {sort!r}: {among(sort, SORTS)}")
    if top is not None and top < 1:
        raise InvalidInput(f"top {top}: expected a whole number from 1")


def options_of(
    model: str,
    cells: "str | Cell | Sequence[str | Cell] | None" = None,
    kernels: Sequence[Any] = (3,),
    sites: "Mapping[str, str | Cell | Sequence[str | Cell]] | None" = None,
    recurrence: str | None = None,
) -> dict[str, tuple[Option, ...]]:
    """The options of each site of a network: every cell with every kernel, and no cell (``none``) where the network can
    be without; ``sites``: other cells at some sites. `InvalidInput` for unknown names, and for networks without
    sites."""
    network = find_network(model)
    if not network.sites:
        raise InvalidInput(f"{network.approach} has no sites of recurrent cells, so there is nothing to assign")
    if unknown := [site for site in sites or {} if site not in network.sites]:
        raise InvalidInput(f"site {unknown[0]!r}: {among(unknown[0], network.sites)}")
    sides = list(dict.fromkeys(int_pair("kernel", kernel) for kernel in kernels))
    if not sides:
        raise InvalidInput("no kernel given: at least one")

    def choice(given: Any) -> tuple[Option, ...]:
        words = [given] if isinstance(given, str | Cell) else None if given is None else list(given)
        bare = network.optional if words is None else "none" in words
        if bare and not network.optional:
            raise InvalidInput(f"{network.approach} needs a cell at each of its sites: 'none' is not possible")
        named = None if words is None else [word for word in words if word != "none"]
        chosen = find_cells(named, recurrence) if named is None or named or not bare else []
        return (Option(),) * bare + tuple(Option(cell, kernel) for cell in chosen for kernel in sides)

    return {site: choice((sites or {}).get(site, cells)) for site in network.sites}


def plan_sites(
    model: str,
    options: Mapping[str, Sequence[Option]],
    predictor: Predictor,
    limits: Limits,
    price: Convention,
    *,
    size: tuple[int, int],
    classes: int,
    itemsize: int = 4,
    by: Sequence[str] = CRITERIA,
    sort: str = "ms",
    top: int | None = None,
) -> Found:
    """The front of a described network, without training heads; `InvalidInput` where nothing fits."""
    if (number := math.prod(map(len, options.values()))) > MOST:
        raise InvalidInput(f"{number:,} assignments, at most {MOST:,}: choose fewer cells or kernels")

    def describe(chosen: Mapping[str, Option]) -> Program:
        cells = {site: each.cell and with_kernel(each.cell, each.kernel) for site, each in chosen.items()}
        return describe_network(model, cell=cells, size=size, classes=classes, heads=False, itemsize=itemsize)

    space = Space(describe, options, predictor)
    fitting, closest = space.survey(limits)
    known = printed_quality(model, space.sites, size, classes)

    def row(places: Sequence[int]) -> Row:
        chosen = {site: each[place] for (site, each), place in zip(space.sites.items(), places, strict=True)}
        program = describe(chosen)
        name, quality = known.get(tuple(places), ("", None))
        return Row(
            {site: each.name for site, each in chosen.items()},
            {site: each.record() for site, each in chosen.items()},
            predict(predictor, predictor.operations(program), program.name),
            int(price.params(program.cost)),
            int(price.flops(program.work)),
            program.memory,
            name,
            quality,
        )

    if not fitting:
        least = row(closest)
        name = ", ".join(f"{site} {each}" for site, each in least.names.items())
        raise limits.refusal(name, least.prediction, least.memory)
    places = space.front(limits, by)
    if "quality" in by and known:
        rows = np.array(list(known), np.int64)
        costs = space.costs(rows)
        rows = rows[limits.fits(costs[:, 0], costs[:, 2])]
        worst = np.array([-known[tuple(each)][1] for each in rows.tolist()])
        rows = rows[unbeaten(np.column_stack([space.compared(rows, by), worst]))]
        places = np.array(list(dict.fromkeys(map(tuple, [*places.tolist(), *rows.tolist()]))), np.int64)
    costs = space.costs(places)
    qualities = [known.get(tuple(each), ("", -1.0))[1] for each in places.tolist()]
    key = np.array(qualities) if sort == "quality" else costs[:, SORTS.index(sort)]
    shown = np.lexsort([-costs[:, 0], -key])[:top]
    return Found(number, fitting, len(places), tuple(row(each) for each in places[shown].tolist()))


def printed_quality(
    model: str, sites: Mapping[str, Sequence[Option]], size: tuple[int, int], classes: int
) -> dict[tuple[int, ...], tuple[str, float]]:
    """The approach and the quality of those assignments that are rows of the printed table, by the places of their
    options."""
    found: dict[tuple[int, ...], tuple[str, float]] = {}
    if (size, classes) != (published.SIZE, published.CLASSES):
        return found
    cells = dict.fromkeys(each.cell for options in sites.values() for each in options if each.cell)
    for name, network in NETWORKS.items():
        if network.describe is not NETWORKS[model].describe or not set(network.sites) <= set(sites):
            continue
        for cell in cells if network.sites else [None]:
            if cell and cell != find_cell(cell.name, CONV_LSTM.name):
                continue
            row = approach(name, cell.name if cell else None)
            own = {site: Option(cell, published.KERNEL) if site in network.sites else Option() for site in sites}
            if row in METRIC.values and all(each in sites[site] for site, each in own.items()):
                places = tuple(list(sites[site]).index(each) for site, each in own.items())
                found[places] = row, METRIC.values[row]
    return found


def plan_rows(
    rows: Sequence[Row], limits: Limits, *, by: Sequence[str] = CRITERIA, sort: str = "ms", top: int | None = None
) -> Found:
    """The front of calls of a module at several arguments, which are different designs that nobody can rank.
    `InvalidInput` where nothing fits."""
    fits = [row for row in rows if limits.fits(row.prediction.seconds, row.memory)]
    if not fits:
        least = min(rows, key=lambda row: float(limits.share(row.prediction.seconds, row.memory)))
        name = ", ".join(f"{name}={value}" for name, value in least.names.items())
        raise limits.refusal(name, least.prediction, least.memory)
    costs = np.array([[row.prediction.seconds, row.params, row.memory] for row in fits])
    kept = np.arange(len(fits))
    if "design" not in by:
        kept = unbeaten(costs[:, [n for n, name in enumerate(COSTS) if name in by]])
    key = costs[kept, SORTS.index(sort)] if sort != "quality" else np.zeros(len(kept))
    shown = kept[np.lexsort([-costs[kept, 0], -key])][:top]
    return Found(len(rows), len(fits), len(kept), tuple(fits[place] for place in shown))
