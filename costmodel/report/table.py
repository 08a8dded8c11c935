"""Table IV: parameters and FLOPs of the catalogue's networks, in the paper's order, names and rounding."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from costmodel import published
from costmodel.describe.cells import CONV_LSTM, Cell, find_cell, find_cells
from costmodel.describe.errors import InvalidInput
from costmodel.describe.networks import NETWORKS, Network, describe_network, find_network
from costmodel.describe.ops import Pair
from costmodel.describe.program import Program
from costmodel.describe.size import Size, as_size, int_pair
from costmodel.price.conventions import Convention, find_convention
from costmodel.report.render import Sheet, find_format, render, render_csv, render_json
from costmodel.report.timing import Timing, from_samples, milliseconds

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TableRow:
    """One network. ``flops`` in the unit of the table's convention; percentages of ``base``, the same network with
    standard cells, rounded as Table IV does; ``paper`` is the printed row where the settings are the paper's."""

    approach: str
    base: str
    version: str | None
    cell: str | None
    params: int
    flops: int
    params_pct: float
    flops_pct: float
    paper: published.Row | None
    timings: tuple[Timing, ...]

    @property
    def params_k(self) -> int:
        """Thousands of parameters, truncated as in Table IV."""
        return self.params // 1000

    @property
    def gflops(self) -> float:
        """Rounded to two decimals as in Table IV."""
        return round(self.flops / 1e9, 2)

    def record(self) -> dict[str, Any]:
        paper = self.paper and {"params_k": self.paper.params_k, "gflops": self.paper.gflops}
        return {
            "approach": self.approach,
            "version": self.version,
            "cell": self.cell,
            "params": self.params,
            "flops": self.flops,
            "params_pct": self.params_pct,
            "flops_pct": self.flops_pct,
            "paper": paper,
            "timings": [timing.record() for timing in self.timings],
        }


@dataclass(frozen=True)
class Table:
    """Rows and the settings they were counted under; made by `table`. ``len()`` is the number of rows."""

    convention: Convention
    size: tuple[int, int]
    kernel: tuple[int, int]
    classes: int
    heads: bool
    rows: tuple[TableRow, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def record(self) -> dict[str, Any]:
        """The JSON contract."""
        return {
            "convention": self.convention.name,
            "size": list(self.size),
            "kernel": list(self.kernel),
            "classes": self.classes,
            "rows": [row.record() for row in self.rows],
        }

    def frame(self) -> "pd.DataFrame":
        """A pandas frame, a row a network; the printed values in ``paper_params_k`` and ``paper_gflops``; ``attrs``
        carries the convention, its unit and the size."""
        import pandas as pd

        frame = pd.DataFrame(self._flat())
        frame.attrs.update(convention=self.convention.name, unit=self.convention.unit, size=self.size)
        return frame

    def _flat(self) -> list[dict[str, Any]]:
        """Records without nesting, for frames and CSV; times in columns of their own where there are any."""
        flat = []
        for row in self.rows:
            record = row.record()
            paper, timings = record.pop("paper") or {}, record.pop("timings")
            record["convention"] = self.convention.name
            record["paper_params_k"], record["paper_gflops"] = paper.get("params_k"), paper.get("gflops")
            for timing in timings:
                prefix = f"{timing['clock']}_{timing['device']}"
                record[f"{prefix}_s"], record[f"{prefix}_pct"] = timing["median_s"], timing["pct"]
            flat.append(record)
        keys = dict.fromkeys(key for record in flat for key in record)
        return [{key: record.get(key) for key in keys} for record in flat]

    def timed(self, machine: str, samples: Mapping[str, Sequence[float]]) -> "Table":
        """The same table with the samples (seconds, by approach) as one more timing of each row that has some."""

        def timing(row: TableRow) -> tuple[Timing, ...]:
            if not samples.get(row.approach):
                return ()
            return (from_samples(machine, samples[row.approach], samples.get(row.base)),)

        return replace(self, rows=tuple(replace(row, timings=(*row.timings, *timing(row))) for row in self.rows))

    def text(self, form: str = "text") -> str:
        """The table as ``text``, ``markdown``, ``latex``, ``csv`` or ``json``."""
        find_format(form)
        if form == "json":
            return render_json(self.record())
        if form == "csv":
            return render_csv(self._flat())
        sheets = [self._costs()]
        if any(timing.clock != "published" for row in self.rows for timing in row.timings):
            sheets.append(self._times())
        return render(sheets, form)

    def _costs(self) -> Sheet:
        unit = f"G{self.convention.unit}s"
        height, width = self.size
        title = (
            f"Cost of one {height}x{width} frame, kernel {self.kernel[0]}x{self.kernel[1]}, {self.classes} classes, "
            f"{'with' if self.heads else 'without'} training heads"
        )
        named = any("(" in row.base for row in self.rows)  # another recurrence than the paper's
        errata: list[str] = []
        rows = []
        for row in self.rows:
            ours = [f"{row.params_k}k", f"{row.params_pct:.2f}", f"{row.gflops:.2f}", f"{row.flops_pct:.2f}"]
            rows.append([row.approach, *ours, *self._against_paper(row, errata)])
        columns = ["approach", "params", "%", unit, "%", "paper", "GFLOPs", "dev."]
        notes = [
            f"{unit}: convention {self.convention.name}, {self.convention.source}.",
            "%: of the standard cell in the same network" + (" with the same recurrence." if named else "."),
        ]
        if not any(row.paper for row in self.rows):
            rows, columns = [row[:5] for row in rows], columns[:5]
        elif self.convention.name == published.CONVENTION:
            notes.append("paper, GFLOPs: as printed in Table IV. dev.: ours minus printed, = where every digit agrees.")
            errata += [
                f"{published.ERRATA[key].place} {published.ERRATA[key].text}" for key in ("truncated", "training")
            ]
        else:
            notes.append(
                f"paper, GFLOPs: as printed in Table IV, which was counted under {published.CONVENTION}: "
                f"not comparable with {self.convention.name}, so no deviation is given."
            )
            rows, columns = [row[:7] for row in rows], columns[:7]
        return Sheet(title, columns, "lrrrrrrl"[: len(columns)], rows, [*notes, *errata])

    def _against_paper(self, row: TableRow, errata: list[str]) -> list[str]:
        """Printed parameters and GFLOPs and the deviation of ours; an erratum of the row is added to ``errata``."""
        if row.paper is None:
            return ["", "", ""]
        deviations = []
        if row.params_k != row.paper.params_k:
            deviations.append(f"{row.params_k - row.paper.params_k:+d}k")
        if row.gflops != row.paper.gflops:
            deviations.append(f"{row.gflops - row.paper.gflops:+.2f}")
        deviation = " ".join(deviations) or "="
        erratum = published.ERRATA.get(row.approach)
        if erratum and self.convention.name == published.CONVENTION and deviations:
            errata.append(f"[{len(errata) + 1}] {erratum.place} {erratum.text}")
            deviation += f" [{len(errata)}]"
        # As printed: the lost digit stays lost.
        return [f"{row.paper.params_k}k", f"{row.paper.gflops}" if erratum else f"{row.paper.gflops:.2f}", deviation]

    def _times(self) -> Sheet:
        machines = dict.fromkeys((t.clock, t.machine) for row in self.rows for t in row.timings)
        measured = [m for m in machines if m[0] != "published"]
        rows = []
        for row in self.rows:
            by_machine = {(t.clock, t.machine): t for t in row.timings}
            cells = [row.approach]
            for machine in machines:
                timing = by_machine.get(machine)
                cells.append(milliseconds(timing.median_s) if timing else "")
                if machine in measured:
                    low, high = timing.interval_s if timing and timing.interval_s else (None, None)
                    cells.append(f"{milliseconds(low)}-{milliseconds(high)}" if low and high else "")
                cells.append(f"{timing.pct:.2f}" if timing and timing.pct else "")
            rows.append(cells)
        columns = ["approach"]
        for number, machine in enumerate(machines, 1):
            columns += [f"ms ({number})", *(["quartiles"] if machine in measured else []), "%"]
        measured_how = "wall clock, float32, eager, state carried, without training heads"
        notes = [
            f"({n}) {machine}, {'as published' if clock == 'published' else measured_how}"
            for n, (clock, machine) in enumerate(machines, 1)
        ]
        return Sheet("Time per frame; % of the standard cell", columns, "l" + "r" * (len(columns) - 1), rows, notes)


def _published_times(row: published.Row) -> tuple[Timing, ...]:
    return (
        Timing(published.CPU.name, published.CPU.device, "published", row.cpu_ms / 1e3, None, row.cpu_pct),
        Timing(published.GPU.name, published.GPU.device, "published", row.gpu_ms / 1e3, None, row.gpu_pct),
    )


@dataclass(frozen=True)
class Entry:
    """What a row is about."""

    model: str
    cell: Cell | None
    program: Program


def entries(
    models: "str | Iterable[str] | None" = None,
    cells: "str | Cell | Iterable[str | Cell] | None" = None,
    *,
    sites: "Mapping[str, str | Cell] | None" = None,
    recurrence: str | None = None,
    **settings: Any,
) -> dict[str, Entry]:
    """The rows' networks by approach, in the paper's order; a network that others extend comes with them."""
    wanted = [models] if isinstance(models, str) else list(NETWORKS if models is None else models)
    if not wanted:
        raise InvalidInput(f"no model given: at least one of {', '.join(NETWORKS)}")
    known = {site: None for model in wanted for site in find_network(model).sites}
    for site in sites or {}:
        if site not in known:
            raise InvalidInput(f"unknown site {site!r}: the chosen models have {', '.join(known) or 'none'}")
    chosen = find_cells(cells, recurrence)
    others = {site: find_cell(kind, recurrence) for site, kind in (sites or {}).items()}
    rows = {}
    for model, network in NETWORKS.items():
        if model not in {*wanted, *(NETWORKS[other].base for other in wanted)}:
            continue
        if not network.sites:
            rows[network.approach] = Entry(model, None, describe_network(model, **settings))
            continue
        for cell in chosen:
            own = {site: kind for site, kind in others.items() if site in network.sites and kind != cell}
            program = describe_network(model, cell=dict.fromkeys(network.sites, cell) | own, **settings)
            rows[_approach(network, cell, own)] = Entry(model, cell, program)
    return rows


def _approach(network: Network, cell: Cell, own: Mapping[str, Cell]) -> str:
    """The paper's name of a row: the cell unless it is standard, the network; in brackets, what the paper has not."""
    name = network.approach if cell.name == "standard" else f"{cell.name}-{network.approach}"
    asides = [] if cell.recurrence is CONV_LSTM else [cell.recurrence.name]
    asides += [f"{site} {kind.name}" for site, kind in own.items()]
    return f"{name} ({', '.join(asides)})" if asides else name


def table(
    models: "str | Iterable[str] | None" = None,
    cells: "str | Cell | Iterable[str | Cell] | None" = None,
    *,
    size: Pair = published.SIZE,
    kernel: "Size | Pair" = published.KERNEL,
    classes: int = published.CLASSES,
    convention: "str | Convention" = published.CONVENTION,
    heads: bool = True,
    recurrence: str | None = None,
    sites: "Mapping[str, str | Cell] | None" = None,
) -> Table:
    """Table IV for any settings: parameters and FLOPs of ICNet and of every ``model`` with every ``cell``.

    Without ``models`` and ``cells``: all. ``sites`` puts another cell at single sites (``{"final": "standard"}``).
    ``heads`` counts the auxiliary training heads, as Table IV does. Sizes in pixels, rows x columns. Percentages are of
    the same network with standard cells (of the same recurrence) everywhere.

    >>> import costmodel
    >>> for row in costmodel.table(["v6"], ["standard", "depth"]).rows:
    ...     print(row.approach, row.params, row.flops, row.flops_pct)
    ICNet 6707321 58375434670 100.0
    LSTM-ICNet v6 11428217 251343772492 100.0
    depth-LSTM-ICNet v6 6746489 60017935180 23.88
    """
    price = find_convention(convention)
    height, width = int_pair("size", size)
    sides, count = int_pair("kernel", kernel), as_size("classes", classes)
    settings: dict[str, Any] = {"size": (height, width), "kernel": sides, "classes": count, "heads": heads}
    as_printed = settings == {
        "size": published.SIZE,
        "kernel": published.KERNEL,
        "classes": published.CLASSES,
        "heads": True,
    }
    found = entries(models, cells, sites=sites, recurrence=recurrence, **settings)
    programs = {approach: entry.program for approach, entry in found.items()}
    rows = []
    for approach, entry in found.items():
        base = approach
        if entry.cell is not None:
            # Percentages are of the standard cell with the same recurrence, shown or not.
            standard = replace(find_cell("standard"), recurrence=entry.cell.recurrence)
            base = _approach(NETWORKS[entry.model], standard, {})
            if base not in programs:
                programs[base] = describe_network(entry.model, cell=standard, **settings)
        plain = entry.cell is None or entry.cell.recurrence is CONV_LSTM
        paper = published.TABLE_IV.get(approach) if as_printed and plain else None
        program, whole = entry.program, programs[base]
        rows.append(
            TableRow(
                approach=approach,
                base=base,
                version=None if entry.cell is None else entry.model,
                cell=None if entry.cell is None else entry.cell.name,
                params=program.parameters,
                flops=price.flops(program.work),
                params_pct=_thousands_pct(program.parameters, whole.parameters),
                flops_pct=round(float(100 * price.share(program.work, whole.work)), 2),
                paper=paper,
                timings=_published_times(paper) if paper else (),
            )
        )
    return Table(price, (height, width), sides, count, heads, tuple(rows))


def _thousands_pct(params: int, base: int) -> float:
    """As printed: from the truncated thousands, where there are any."""
    if base >= 1000:
        params, base = params // 1000, base // 1000
    return round(100 * params / base, 2)
