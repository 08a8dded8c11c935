"""Table IV: parameters and FLOPs of the catalogue's networks, in the paper's order, names and rounding."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from costmodel.describe.catalogue import NETWORKS
from costmodel.describe.cells import Cell
from costmodel.describe.ops import Pair
from costmodel.describe.selection import ModuleEntry, calls_in_words
from costmodel.price.conventions import Convention
from costmodel.price.latency import CalibratedMachine
from costmodel.price.table import PRINTED, Counted, CountedRow, Given, count_networks
from costmodel.profiles.predict import Predictor, called
from costmodel.profiles.timing import Timing, flat, of_way, timings, ways
from costmodel.published import erfnet
from costmodel.published import lstm_icnet as published
from costmodel.report import claims
from costmodel.report.layout.document import Document
from costmodel.report.layout.sheet import Sheet
from costmodel.report.numbers import milliseconds
from costmodel.report.predict import Alternatives, Beside, by_time, sheet
from costmodel.report.times import left_out, not_timed, notes, ranked, time_cells
from costmodel.work.size import Size

if TYPE_CHECKING:
    import pandas as pd

    from costmodel.profiles.records import Profile, Settings, Subject


@dataclass(frozen=True, repr=False)
class TableRow(CountedRow):
    """One network with its counts and times."""

    timings: tuple[Timing, ...] = ()
    predicted: Beside | None = None

    def record(self) -> dict[str, Any]:
        of = ("params_k" if isinstance(self.paper, published.Row) else "params", "gflops")
        paper = self.paper and {name: getattr(self.paper, name) for name in of}
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
        } | (self.predicted.record() if self.predicted else {})


@dataclass(frozen=True, repr=False)
class Table(Counted):
    """Rows and the settings they were counted under; made by `table`. ``len()`` is the number of rows."""

    rows: tuple[TableRow, ...]
    profiles: "Mapping[str, Profile]" = field(default_factory=dict)
    left_out: int = 0  # rows that `arranged` cut

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        about = f"{len(self)} {self.kind}, {self.unit_of_work}s, convention {self.convention.name}"
        return f"<Table of {about}; .text() prints it, .frame() is a pandas frame>"

    def _repr_html_(self) -> str:
        """For notebooks: the frame."""
        return str(self.frame().to_html())

    @property
    def whole(self) -> TableRow:
        """The row that figures refer to: the base of all percentages, or the first row where the bases differ."""
        bases = dict.fromkeys(row.base for row in self.rows)
        return next((row for row in self.rows if [row.approach] == list(bases)), self.rows[0])

    def record(self) -> dict[str, Any]:
        """The JSON contract."""
        return {
            "convention": self.convention.name,
            "size": self.size and list(self.size),
            "kernel": list(self.kernel),
            "classes": self.classes,
            **self.options,
            "rows": [row.record() for row in self.rows],
        } | claims.records(self.profiles, [self.subject(row) for row in self.rows])

    def frame(self) -> "pd.DataFrame":
        """A pandas frame with a row for each network; printed values are in ``paper_params_k`` (or ``paper_params``)
        and ``paper_gflops``; ``attrs`` carries the convention, its unit and the size."""
        import pandas as pd

        frame = pd.DataFrame(self._flat())
        frame.attrs.update(convention=self.convention.name, unit=self.convention.unit, size=self.size)
        return frame

    def _flat(self) -> list[dict[str, Any]]:
        """Records without nesting, for frames and CSV; times have columns of their own."""
        records = []
        known = {"params_k" if row.printed.thousands else "params" for row in self.rows} | {"gflops"}
        for row, times in zip(self.rows, flat([row.timings for row in self.rows]), strict=True):
            record = row.record()
            paper = record.pop("paper") or {}
            del record["timings"]
            record["convention"] = self.convention.name
            for name in ("params_k", "params", "gflops"):
                if name in known:
                    record[f"paper_{name}"] = paper.get(name)
            records.append(record | times)
        return records

    def subject(self, row: TableRow) -> "Subject":
        """The subject that is timed for a row: the network without its training heads."""
        from costmodel.profiles.records import Subject

        if isinstance(row.entry, ModuleEntry):
            return row.entry.subject  # type: ignore[no-any-return]  # a room before the profiles holds it
        return Subject.of_network(row.entry, self.kernel)

    def timed(self, name: str, profile: "Profile", keep: "Callable[[Settings], bool]" = lambda how: True) -> "Table":
        """The table with the times that a profile has for its rows, for settings that ``keep`` accepts."""

        subjects = {row.approach: self.subject(row) for row in self.rows}

        def merged(row: TableRow) -> tuple[Timing, ...]:
            usual = row.base == row.entry.base and not isinstance(row.entry, ModuleEntry)
            base = None if usual else subjects[row.base]
            known = [t for t in timings(profile, name, subjects[row.approach], base) if t.how and keep(t.how)]
            published = {t.machine: t for t in known if t.clock == "published"}
            # The row already has the printed times, with the printed percentage: no time appears twice.
            own = [
                replace(t, how=published.pop(t.machine).how, profile=name)
                if t.clock == "published" and t.machine in published
                else t
                for t in row.timings
            ]
            return (*own, *(t for t in known if t.clock != "published" or t.machine in published))

        rows = tuple(replace(row, timings=merged(row)) for row in self.rows)
        return replace(self, rows=rows, profiles={**self.profiles, name: profile})

    def on(self, machine: str | CalibratedMachine | Predictor) -> "Table":
        """The table with the time that each row is predicted to take on a calibrated machine, given by the name of its
        profile: of networks as they are timed, without training heads. `InvalidInput` for unknown machines."""
        machines = Alternatives(machine)
        timed = {row.approach: self._timed(row) for row in self.rows}

        def beside(row: TableRow) -> Beside:
            own = timed[row.approach]
            return machines.beside(own, timed.get(row.base) or self.subject(row).standard)

        return replace(self, rows=tuple(replace(row, predicted=beside(row)) for row in self.rows))

    def _timed(self, row: TableRow) -> Any:
        """The subject or the call that is predicted for a row."""
        return called(row.entry.count) if isinstance(row.entry, ModuleEntry) else self.subject(row)

    def arranged(self, sort: str | None = None, top: int | None = None) -> "Table":
        """The table with the largest rows first, by ``flops``, ``params`` or ``ms`` (which needs times of a single
        kind of run), and at most ``top`` rows."""
        keys = {name: [getattr(row, name) for row in self.rows] for name in ("flops", "params")}
        keys |= by_time(row.predicted for row in self.rows)
        places = ranked([row.timings for row in self.rows], keys, sort, top)
        rows = tuple(self.rows[n] for n in places)
        return replace(self, rows=rows, left_out=len(self.rows) - len(rows))

    def text(self, form: str = "text") -> str:
        """The table as ``text``, ``markdown``, ``latex``, ``html``, ``csv`` or ``json``."""
        return Document(self.record, self._flat, self.sheets).text(form)

    def sheets(self) -> list[Sheet]:
        """A table of costs, one of predicted times on a machine, and one of times for each profile and its settings."""
        return [self.costs(), *self.predictions(), *self.times().values()]

    def predictions(self) -> list[Sheet]:
        """A table of the times that were asked for with `on`."""
        rows = [
            ([row.approach, f"{row.flops_pct:.2f}"], row.predicted) for row in self.rows if row.predicted is not None
        ]
        if not rows:
            return []
        share = f"{self.convention.unit}s %"
        found = sheet(self.unit_of_work, {"approach": "l", share: "r"}, rows, self.base)
        lines = [f"{share}: convention {self.convention.name}, with the same base."]
        lines += [f"Of the networks as described, not as counted ({self.otherwise})."] if self.otherwise else []
        lines += ["Without the training heads, as networks are timed."] if self.heads_in_words else []
        return [replace(found, notes=[*found.notes, *lines])]

    def costs(self) -> Sheet:
        """Parameters and FLOPs, beside the printed ones."""
        unit = f"G{self.convention.unit}s"
        title = f"Cost of one {self.unit_of_work}"
        title += f", kernel {self.kernel[0]}x{self.kernel[1]}" if any(row.cell for row in self.rows) else ""
        title += f", {self.classes} classes" if self.described else ""
        title += f", {self.heads_in_words}" if self.heads_in_words else ""
        title += "".join(f", {name} {value}" for name, value in self.options.items())
        errata: list[str] = []
        rows = []
        for row in self.rows:
            ours = [_params(row), f"{row.params_pct:.2f}", _gflops(row), f"{row.flops_pct:.2f}"]
            rows.append([row.approach, *ours, *self._against_paper(row, errata)])
        columns = ["approach", "params", "%", unit, "%", "paper", "GFLOPs", "dev."]
        labels = ["approach", "params", "params %", unit, f"{unit} %", "paper params", "paper GFLOPs", "deviation"]
        counted = {"all": "", "kernels": " params: weights of convolutions, without biases and norms."}
        notes = [
            f"{unit}: convention {self.convention.name}, {self.source}." + counted[self.convention.parameters],
            f"%: of {self.base}.",
            *self.calls(),
        ]
        shown = [each for each in PRINTED.values() if any(row.paper and row.printed is each for row in self.rows)]
        if not shown:
            rows, columns = [row[:5] for row in rows], columns[:5]
        elif self.convention.name == shown[0].convention:
            place = " and ".join(each.place for each in shown)
            notes.append(f"paper, GFLOPs: as printed in {place}. dev.: ours minus printed, = where every digit agrees.")
            errata += [remark for each in shown for remark in each.remarks]
        else:
            notes.append(
                f"paper, GFLOPs: as printed in {shown[0].place}, counted under {shown[0].convention}: not "
                f"comparable with {self.convention.name}, so no deviation is given."
            )
            rows, columns = [row[:7] for row in rows], columns[:7]
        notes += [*errata, *left_out(self.left_out, self.kind)]
        return Sheet(title, columns, "lrrrrrrl"[: len(columns)], rows, notes, labels=labels[: len(columns)])

    def calls(self) -> list[str]:
        """A note on what is counted of the modules: one call, with its inputs."""
        modules = [row.entry for row in self.rows if isinstance(row.entry, ModuleEntry)]
        return calls_in_words((entry.approach, entry.inputs) for entry in modules)

    @property
    def base(self) -> str:
        """The base of percentages, in words."""
        chosen = dict.fromkeys(row.base for row in self.rows)
        if len(chosen) == 1 and any(isinstance(row.entry, ModuleEntry) for row in self.rows):
            return next(iter(chosen))
        named = any("(" in row.base for row in self.rows)  # another recurrence than the paper's
        standard = "the standard cell in the same network" + (" with the same recurrence" if named else "")
        others = dict.fromkeys(row.base for row in self.rows if row.cell is None and row.base != row.approach)
        return " or ".join([*([standard] if any(row.cell for row in self.rows) or not others else []), *others])

    def _against_paper(self, row: TableRow, errata: list[str]) -> list[str]:
        """Printed parameters and GFLOPs and the deviation of ours; an erratum of the row is added to ``errata``."""
        if row.paper is None:
            return ["", "", ""]
        printed, digits = row.printed.params(row.approach), row.printed.digits
        scale, k = (1000, "k") if row.printed.thousands else (1, "")
        deviations = []
        if more := row.params // scale - printed:
            deviations.append(f"{more / 1000:+.0f}k" if scale == 1 and abs(more) >= 1000 else f"{more:+d}{k}")
        if row.gflops != row.paper.gflops:
            deviations.append(f"{row.gflops - row.paper.gflops:+.{digits}f}")
        deviation = " ".join(deviations) or "="
        erratum = row.printed.errata.get(row.approach)
        if erratum and self.convention.name == row.printed.convention and deviations:
            errata.append(f"[{len(errata) + 1}] {erratum.place} {erratum.text}")
            deviation += f" [{len(errata)}]"
        # As printed: a lost digit stays lost.
        lost = erratum and len(f"{row.paper.gflops}".partition(".")[2]) < digits
        return [f"{printed}{k}", f"{row.paper.gflops}" if lost else f"{row.paper.gflops:.{digits}f}", deviation]

    @property
    def otherwise(self) -> str:
        """The options in which the counted networks differ from the described (and timed) networks."""
        usual = {name: value for entry in self.described for name, value in NETWORKS[entry.model].options.items()}
        return ", ".join(f"{name} {value}" for name, value in self.options.items() if value != usual[name])

    def times(self) -> "dict[tuple[str, Settings], Sheet]":
        """A sheet for every profile and its settings."""
        found = ways(row.timings for row in self.rows)
        return {way: self._time(*way, machine) for way, machine in found.items()}

    def _time(self, profile: str, how: "Settings", machine: str) -> Sheet:
        printed = how.dtype is not None and any(
            t.clock == "published" and t.device == how.device for row in self.rows for t in row.timings
        )
        rows, times = [], []
        for row in self.rows:
            timing = of_way(row.timings, (profile, how))
            if timing is None:
                continue
            times.append(timing)
            paper = next((t for t in row.timings if t.clock == "published" and t.device == how.device), None)
            beside = [milliseconds(paper.median_s), f"{paper.pct:.2f}"] if paper else ["", ""]
            rows.append([row.approach, f"{row.flops_pct:.2f}", *time_cells(timing), *beside[: 2 * printed]])
        share = f"{self.convention.unit}s %"
        head = ["approach", share, "ms", "95 %", "%", "95 %", *["paper", "%"][: 2 * printed]]
        labels = ["approach", share, "ms", "ms 95 %", "time %", "time % 95 %", "paper ms", "paper %"][: len(head)]
        spare = ["paper %", "paper ms", share, "ms 95 %", "time % 95 %"]
        lines = notes(times, self.base)
        lines.append(f"{share}: convention {self.convention.name}, with the same base.")
        if self.otherwise:
            lines.append(f"Timed as described, not as counted ({self.otherwise}).")
        if how.dtype and self.heads_in_words:
            lines.append("Timed without the training heads.")
        if source := self.profiles[profile].host.source:
            lines.append(f"{profile}: {source}")
        if printed:
            machines = {"cpu": published.CPU.name, "cuda": published.GPU.name}
            lines.append(f"paper: ms as printed in Table IV, {machines[how.device]}.")
        lines += not_timed(len(self.rows) - len(rows), self.kind, how)
        about = [self.subject(row) for row in self.rows]
        lines += [verdict.text for verdict in claims.judge(self.profiles[profile], how, about)]
        what = how.unit_of(self.unit_of_work)
        title = f"Time per {what} on {machine} (profile {profile}): {how.title}"
        return Sheet(title, head, "l" + "r" * (len(head) - 1), rows, lines, labels=labels, spare=spare).without(
            ["95 %"]
        )


def _params(row: TableRow) -> str:
    """Parameters, in the unit of the paper of the network."""
    return f"{row.params_k}k" if row.printed.thousands else f"{row.params}"


def _gflops(row: TableRow) -> str:
    return f"{row.gflops:.{row.printed.digits}f}"


def _published_times(row: "published.Row | erfnet.Row | None") -> tuple[Timing, ...]:
    if not isinstance(row, published.Row):
        return ()
    return (
        Timing(published.CPU.name, published.CPU.device, "published", row.cpu_ms / 1e3, None, row.cpu_pct),
        Timing(published.GPU.name, published.GPU.device, "published", row.gpu_ms / 1e3, None, row.gpu_pct),
    )


def table(
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
) -> Table:
    """Table IV for any settings: parameters and FLOPs of ICNet and of every ``model`` with every ``cell``.

    Without ``models`` and ``cells``: all of Table IV. ``"erfnet"`` is ERFNet with its variants. ``sites`` puts another
    cell at single sites (``{"final": "standard"}``). ``heads`` counts the auxiliary training heads. ``size`` (rows x
    columns), ``classes``, ``heads`` and ``convention`` are by default the settings of the networks' paper; for a
    network that no paper prints, those of the network and the convention of Table IV. ``decoder_blocks`` of ERFNet: 1
    as its paper counts, the default under its convention; 2 as the paper describes the network. Percentages are of the
    same network with standard cells (of the same recurrence) everywhere, or of ERFNet. `InvalidInput`: unknown names.

    ``models`` may hold modules of the user's, which `costmodel.module` makes: a row is one call, and its percentages
    are of the first of them. ``base``: the row that all percentages refer to.

    >>> import costmodel
    >>> for row in costmodel.table(["v6"], ["standard", "depth"]).rows:
    ...     print(row.approach, row.params, row.flops, row.flops_pct)
    ICNet 6707321 58375434670 100.0
    LSTM-ICNet v6 11428217 251343772492 100.0
    depth-LSTM-ICNet v6 6746489 60017935180 23.88
    >>> for row in costmodel.table("erfnet").rows[:2]:
    ...     print(row.approach, row.params, row.flops)
    ERFNet 2038448 27705475072
    D* 547120 10596909056
    """
    counted = count_networks(
        models,
        cells,
        size=size,
        kernel=kernel,
        classes=classes,
        convention=convention,
        heads=heads,
        recurrence=recurrence,
        sites=sites,
        decoder_blocks=decoder_blocks,
        base=base,
    )
    rows = tuple(TableRow(**vars(row), timings=_published_times(row.paper)) for row in counted.rows)
    return Table(**vars(counted) | {"rows": rows})
