"""Table IV: parameters and FLOPs of the catalogue's networks, in the paper's order, names and rounding."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from costmodel.describe.catalogue import Entry, entries
from costmodel.describe.cells import CONV_LSTM, Cell, find_cell
from costmodel.describe.networks import describe_network
from costmodel.describe.ops import Pair
from costmodel.describe.size import Size, as_size, int_pair
from costmodel.price.conventions import Convention, find_convention
from costmodel.published import lstm_icnet as published
from costmodel.report import claims
from costmodel.report.render import find_format, render, render_csv, render_json
from costmodel.report.sheet import Sheet
from costmodel.report.timing import Timing, cells, flat, milliseconds, notes, timings

if TYPE_CHECKING:
    import pandas as pd

    from costmodel.profiles import How, Profile, Subject


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
    entry: Entry

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
    profiles: "Mapping[str, Profile]" = field(default_factory=dict)

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
        } | claims.records(self.profiles, [self.subject(row) for row in self.rows])

    def frame(self) -> "pd.DataFrame":
        """A pandas frame, a row a network; the printed values in ``paper_params_k`` and ``paper_gflops``; ``attrs``
        carries the convention, its unit and the size."""
        import pandas as pd

        frame = pd.DataFrame(self._flat())
        frame.attrs.update(convention=self.convention.name, unit=self.convention.unit, size=self.size)
        return frame

    def _flat(self) -> list[dict[str, Any]]:
        """Records without nesting, for frames and CSV; times in columns of their own where there are any."""
        records = []
        for row, times in zip(self.rows, flat([row.timings for row in self.rows]), strict=True):
            record = row.record()
            paper = record.pop("paper") or {}
            del record["timings"]
            record["convention"] = self.convention.name
            record["paper_params_k"], record["paper_gflops"] = paper.get("params_k"), paper.get("gflops")
            records.append(record | times)
        return records

    def subject(self, row: TableRow) -> "Subject":
        """What is timed for a row: the network without its training heads."""
        from costmodel.profiles import Subject

        return Subject.of_network(row.entry, size=self.size, kernel=self.kernel, classes=self.classes)

    def timed(self, name: str, profile: "Profile", keep: "Callable[[How], bool]" = lambda how: True) -> "Table":
        """The same table with what a profile says about its rows, as far as ``keep`` wants it."""

        def merged(row: TableRow) -> tuple[Timing, ...]:
            found = [t for t in timings(profile, name, self.subject(row)) if t.how and keep(t.how)]
            published = {t.machine: t for t in found if t.clock == "published"}
            # Printed times are in the row already, with the printed percentage: they stay once.
            own = [
                replace(t, how=published.pop(t.machine).how, profile=name)
                if t.clock == "published" and t.machine in published
                else t
                for t in row.timings
            ]
            return (*own, *(t for t in found if t.clock != "published" or t.machine in published))

        rows = tuple(replace(row, timings=merged(row)) for row in self.rows)
        return replace(self, rows=rows, profiles={**self.profiles, name: profile})

    def text(self, form: str = "text") -> str:
        """The table as ``text``, ``markdown``, ``latex``, ``html``, ``csv`` or ``json``."""
        find_format(form)
        if form == "json":
            return render_json(self.record())
        if form == "csv":
            return render_csv(self._flat())
        return render([self.costs(), *self.times().values()], form)

    def costs(self) -> Sheet:
        """Parameters and FLOPs, beside the printed ones."""
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
        labels = ["approach", "params", "params %", unit, f"{unit} %", "paper params", "paper GFLOPs", "deviation"]
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
        notes += errata
        return Sheet(title, columns, "lrrrrrrl"[: len(columns)], rows, notes, labels=labels[: len(columns)])

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

    def times(self) -> "dict[tuple[str, How], Sheet]":
        """A sheet for every profile and way to run."""
        ways = {(t.profile, t.how): t.machine for row in self.rows for t in row.timings}
        return {(name, how): self._time(name, how, machine) for (name, how), machine in ways.items() if how}

    def _time(self, profile: str, how: "How", machine: str) -> Sheet:
        printed = how.dtype is not None and any(
            t.clock == "published" and t.device == how.device for row in self.rows for t in row.timings
        )
        rows, found = [], []
        for row in self.rows:
            timing = next((t for t in row.timings if (t.profile, t.how) == (profile, how)), None)
            if timing is None:
                continue
            found.append(timing)
            paper = next((t for t in row.timings if t.clock == "published" and t.device == how.device), None)
            beside = [milliseconds(paper.median_s), f"{paper.pct:.2f}"] if paper else ["", ""]
            rows.append([row.approach, f"{row.flops_pct:.2f}", *cells(timing), *beside[: 2 * printed]])
        share = f"{self.convention.unit}s %"
        head = ["approach", share, "ms", "95 %", "%", "95 %", *["paper", "%"][: 2 * printed]]
        labels = ["approach", share, "ms", "ms 95 %", "time %", "time % 95 %", "paper ms", "paper %"][: len(head)]
        lines = notes(found, "the standard cell in the same network")
        lines.append(f"{share}: convention {self.convention.name}, of the same.")
        if how.dtype:
            lines.append("Timed without the training heads.")
        if source := self.profiles[profile].host.source:
            lines.append(f"{profile}: {source}")
        if printed:
            machines = {"cpu": published.CPU.name, "cuda": published.GPU.name}
            lines.append(f"paper: ms as printed in Table IV, {machines[how.device]}.")
        if lacking := len(self.rows) - len(rows):
            lines.append(f"The profile has no times of {lacking} more networks in this way.")
        about = [self.subject(row) for row in self.rows]
        lines += [verdict.text for verdict in claims.judge(self.profiles[profile], how, about)]
        what = how.unit_of(f"{'x'.join(map(str, self.size))} frame")
        title = f"Time per {what} on {machine} (profile {profile}): {how.title}"
        return Sheet(title, head, "l" + "r" * (len(head) - 1), rows, lines, labels=labels).without(["95 %"])


def _published_times(row: published.Row) -> tuple[Timing, ...]:
    return (
        Timing(published.CPU.name, published.CPU.device, "published", row.cpu_ms / 1e3, None, row.cpu_pct),
        Timing(published.GPU.name, published.GPU.device, "published", row.gpu_ms / 1e3, None, row.gpu_pct),
    )


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
        base = entry.base
        if base not in programs and entry.cell is not None:
            # Percentages are of the standard cell with the same recurrence, shown or not.
            standard = replace(find_cell("standard"), recurrence=entry.cell.recurrence)
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
                entry=entry,
            )
        )
    return Table(price, (height, width), sides, count, heads, tuple(rows))


def _thousands_pct(params: int, base: int) -> float:
    """As printed: from the truncated thousands, where there are any."""
    if base >= 1000:
        params, base = params // 1000, base // 1000
    return round(100 * params / base, 2)
