"""The folder that `costmodel report` writes: tables in every format, figures, and one page with all of them."""

import json
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from importlib.metadata import version
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from costmodel.errors import InvalidInput
from costmodel.published import lstm_icnet as published
from costmodel.published.errata import ERRATA
from costmodel.report import claims, errata, figures
from costmodel.report import sweep as sweeps
from costmodel.report.figures import style as drawing
from costmodel.report.layout.page import Figure, Section, page

if TYPE_CHECKING:
    from costmodel.counting.count import Count
    from costmodel.price.sweep import Sweep
    from costmodel.profiles.records import Profile, Settings
    from costmodel.report.compare import Comparison
    from costmodel.report.layout.document import Document
    from costmodel.report.table import Table, TableRow

MANIFEST = "report.json"
TABLES = {"markdown": "md", "latex": "tex", "csv": "csv", "json": "json", "html": "html"}
FIGURES = ("svg", "png")


@dataclass(frozen=True)
class Drawing:
    """A figure to draw: file name, caption and drawing function; ``way``: the profile and settings of its times;
    ``part``: the section that shows it, if not that of these times."""

    name: str
    caption: str
    draw: Callable[..., Any]
    way: "tuple[str, Settings] | None" = None
    part: str = ""


@dataclass(frozen=True)
class Report:
    """A table and a sweep, with the times that profiles have for them; ``command`` writes the report again.

    ``sweep``: of single cells, beside described networks. ``side_by_side``: the rows of the table as `compare` shows
    them, where there are modules of the user's; ``counts``: those of the modules, by name.
    """

    plain: "Table"
    sweep: "Sweep | None"
    profiles: "Mapping[str, Profile]"
    command: str
    side_by_side: "Comparison | None" = None
    counts: "Mapping[str, Count]" = field(default_factory=dict)

    @cached_property
    def table(self) -> "Table":
        table = self.plain
        for name, profile in self.profiles.items():
            table = table.timed(name, profile)
        return table

    @property
    def title(self) -> str:
        return f"Costs of {', '.join(dict.fromkeys(row.entry.base for row in self.plain.rows))}"

    @cached_property
    def comparison(self) -> "Comparison | None":
        """`side_by_side` with times."""
        found = self.side_by_side
        for name, profile in self.profiles.items() if found else ():
            found = found and found.timed(name, profile)
        return found

    @cached_property
    def drawings(self) -> list[Drawing]:
        """All figures, in the order of the page; no two figures have the same name."""
        plain, known = self.plain, any(row.paper for row in self.plain.rows)
        unit = f"{plain.convention.unit}s"
        beside = f", {unit} and published time on a GPU" if known else f" and {unit}"
        drawings = []
        if plain.described:
            what = f"Parameters{beside} relative to {'the first row' if plain.has_printed else plain.whole.approach}"
            what += ", as in Fig. 1 of the paper." if plain.has_printed else "."
            drawings.append(Drawing("overview", what, partial(figures.overview, plain), part="networks"))
        if self.side_by_side:
            what = f"Parameters, {unit}, bytes and peak memory relative to {self.side_by_side.base}."
            drawings.append(Drawing("costs", what, partial(figures.costs, self.side_by_side), part="side by side"))
        for metric in (name for name in figures.networks.metrics(plain) if name.endswith("iou")):
            what = f"Published quality against {unit}, and the Pareto front: networks that none beats in both."
            if metric == "cityscapes-miou":
                what += f" {published.ERRATA['miou'].place} {published.ERRATA['miou'].text}"
            drawings.append(
                Drawing(f"quality-{metric}", what, partial(figures.quality, plain, metric), part="networks")
            )
        networks: dict[str, TableRow] = {}
        for row in plain.rows:
            networks.setdefault(row.entry.base, row)  # with its first cell: the standard cell, if shown
        for row in networks.values():
            draw = partial(figures.layers, row.entry, plain.convention, name=row.approach)
            part = f"layers of {row.approach}" if row.approach in self.counts else "networks"
            if row.flops:
                what = f"The most expensive layers of {row.approach}."
                drawings.append(Drawing(f"layers-{row.approach}", what, draw, part=part))
        if self.sweep:
            what = "Cost relative to the standard cell, and the paper's approximation."
            drawings.append(Drawing("kernels", what, partial(figures.kernels, self.sweep), part="cells"))
        for way in self.table.times():
            one = "frame" if plain.size else "call"
            what = f"Time against the {unit} of a {one}; dotted: time in proportion to {unit}."
            drawings.append(Drawing(f"time-{called(*way)}", what, partial(figures.time, self.table, way=way), way))
            timed = [row for row in self.table.rows if way in {(t.profile, t.how) for t in row.timings}]
            # The first overview has the published times; other overviews need a time of their base.
            if way[1].dtype is not None and self.table.whole in timed and len(timed) > 1:
                what = f"Parameters, {unit} and time relative to {self.table.whole.approach}."
                draw = partial(figures.overview, self.table, way=way)
                drawings.append(Drawing(f"overview-{called(*way)}", what, draw, way))
        for way in self.comparison.speeds() if self.comparison else ():
            if self.comparison and self.comparison.speedups(way):
                what = f"Speed-up over {self.comparison.base}, promised and measured; on the line the promise is kept."
                draw = partial(figures.compared, self.comparison, way=way)
                drawings.append(Drawing(f"speed-up-{called(*way)}", what, draw, way, part="speed-up"))
        if sweep := self.sweep:
            what = "Speed-up of single cells, promised and measured; on the line the promise is kept."
            for name, profile in self.profiles.items():
                for how in dict.fromkeys(t.how for _, t in figures.cells.speedups(sweep, profile) if t.how):
                    draw = partial(figures.promise, sweep, profile, how=how)
                    drawings.append(Drawing(f"promise-{called(name, how)}", what, draw, (name, how)))
        names = unique([slug(each.name) for each in drawings])
        return [replace(each, name=name) for each, name in zip(drawings, names, strict=True)]

    def page(self, drawn: Mapping[str, str]) -> str:
        """The page with all tables and figures; ``drawn``: inline figures by name."""

        def shown(part: str, way: "tuple[str, Settings] | None" = None) -> list[Figure]:
            return [
                Figure(d.name, d.caption, drawn[d.name])
                for d in self.drawings
                if d.part == part and way in (None, d.way)
            ]

        networks, unit = self.table.times(), f"{self.plain.convention.unit}s"
        cells = sweeps.times(self.sweep, self.profiles) if self.sweep else {}
        about = [self.plain.subject(row) for row in self.plain.rows]
        sections = []
        if self.plain.described:
            title = f"Parameters and {unit} of the {self.plain.kind}"
            sections.append(Section(title, [self.plain.costs()], shown("networks")))
        if self.sweep:
            about += [sweeps.subject(self.sweep, row) for row in self.sweep.rows()]
            title = f"{self.sweep.convention.unit}s of single cells"
            sections.append(Section(title, [sweeps.costs(self.sweep)], shown("cells")))
        if self.comparison:
            sections.append(Section("Costs side by side", [self.comparison.costs()], shown("side by side")))
            if speeds := list(self.comparison.speeds().values()):
                sections.append(Section("Promised and measured speed-up", speeds, shown("speed-up")))
        for name, counted in self.counts.items():
            sheets = self._layers(counted, most=30).sheets()
            sections.append(Section(f"Layers of {name}", sheets, shown(f"layers of {name}")))
        if judged := claims.sheet(self.profiles, about):
            sections.insert(0, Section("Claims of the paper about time", [judged]))
        for way in dict.fromkeys([*networks, *cells]):
            name, how = way
            sheets = [by_way[way] for by_way in (networks, cells) if way in by_way]
            machine = self.profiles[name].host.name(how.device)
            sections.append(Section(f"Time on {machine}: {how.title}", sheets, shown("", way)))
        papers = {each.paper for row in self.plain.rows if row.printed.rows for each in row.printed.errata.values()}
        if wrong := [each for each in ERRATA if each.paper in papers]:
            sections.append(Section("Errata", errata.sheets(wrong)))
        return page(self.title, sections, summary=[self._settings()], footer=self._sources(), command=self.command)

    def _layers(self, counted: "Count", most: int | None = None) -> "Document":
        """The modules of a module, ``most`` of them: all in the order of execution, or those of most FLOPs."""
        from costmodel.report import count

        price = self.plain.convention.name
        return count.document(counted, price, top=most if most and len(counted.cut()) > most else None)

    def _settings(self) -> str:
        table = self.plain
        if self.sweep is None:
            return f"{table.convention.unit}s by convention {table.convention.name} ({table.source})."
        heads = f", {table.heads_in_words}" if table.heads_in_words else ""
        frames = (
            f"Frames of {'x'.join(map(str, table.size))} pixels, kernel {'x'.join(map(str, table.kernel))}, "
            f"{table.classes} classes{heads}. "
            if table.size
            else ""
        )
        return (
            f"{frames}"
            f"{table.convention.unit}s of networks by convention {table.convention.name} "
            f"({table.source}), of single cells by {self.sweep.convention.name} "
            f"({self.sweep.convention.source})."
        )

    def _sources(self) -> list[str]:
        lines = [f"Written on {datetime.now(UTC).date()} by costmodel {version('costmodel')}."]
        for name, profile in self.profiles.items():
            host = profile.host
            facts = [host.cpu, host.gpu and host.gpu.name, host.os, host.torch and f"torch {host.torch}"]
            date = f", {host.date.date()}" if host.date else ""
            origin = host.source or ", ".join(fact for fact in facts if fact) + date
            lines.append(f"Profile {name}: {origin}")
        return lines

    def write(self, folder: Path, tick: Callable[[str], object] = lambda what: None) -> None:
        """Write all files into a folder; ``tick`` gets the name of each figure."""
        drawn = {}
        (folder / "figures").mkdir()
        for each in self.drawings:
            tick(each.name)
            figure = drawing.drawn(each.draw)
            files = {suffix: drawing.export(figure, suffix) for suffix in FIGURES}
            for suffix, data in files.items():
                (folder / "figures" / f"{each.name}.{suffix}").write_bytes(data)
            drawn[each.name] = drawing.inline(files["svg"], each.name, each.caption)
        for form, suffix in TABLES.items():
            networks = "table_iv" if self.plain.has_printed else "table"
            texts = {networks: self.table.text(form)}
            if self.sweep:
                texts["sweep"] = sweeps.document(self.sweep, self.profiles).text(form)
            if self.comparison:
                texts["compare"] = self.comparison.text(form)
            layers = unique([f"layers-{slug(name)}" for name in self.counts])
            texts |= {
                name: self._layers(each).text(form) for name, each in zip(layers, self.counts.values(), strict=True)
            }
            for name, text in texts.items():
                (folder / f"{name}.{suffix}").write_text(text.rstrip("\n") + "\n", encoding="utf-8")
        (folder / "index.html").write_text(self.page(drawn) + "\n", encoding="utf-8")
        files_written = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        manifest = {"costmodel": version("costmodel"), "command": self.command, "files": [*files_written, MANIFEST]}
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def slug(text: str) -> str:
    """A name for a file: ``LSTM-ICNet v6`` is ``lstm-icnet-v6``."""
    return re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-")


def called(name: str, how: "Settings") -> str:
    """The name of a profile and its settings, without usual values."""
    return f"{name} {how.title if how.dtype else f'{how.device} {how.title}'}"


def unique(names: list[str]) -> list[str]:
    """The same names, with a number behind each repeated name.

    >>> unique(["time-a", "time-b", "time-a"])
    ['time-a', 'time-b', 'time-a-2']
    """
    result: list[str] = []
    for name in names:
        others = (f"{name}-{number}" for number in count(2))
        result.append(next(each for each in chain([name], others) if each not in result))
    return result


# ---- the place on disk -----------------------------------------------------------------------------------------------


@contextmanager
def replacing(out: Path, force: bool) -> Iterator[Path]:
    """A folder to fill, which becomes ``out`` when the block succeeds; otherwise nothing changes.

    `InvalidInput` where ``out`` cannot be written, or exists: ``force`` replaces a report, never other files.
    """
    refuse_to_replace(out, force)
    out = Path(os.path.realpath(out))  # a link is followed
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{out.name[:40]}.", dir=out.parent))
    except OSError as error:
        raise InvalidInput(f"{out} cannot be written: {error.strerror}") from None
    before = _end_at_sigterm()
    try:
        new, old = temporary / "new", temporary / "old"
        new.mkdir()
        yield new
        refuse_to_replace(out, force)  # again: drawing takes a while
        try:
            if out.exists():
                out.rename(old)
            new.rename(out)
        except BaseException:  # Ctrl-C, too, restores the old folder
            if old.exists() and not out.exists():
                old.rename(out)
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _end_at_sigterm() -> Any:
    """Let SIGTERM, too, end in a clean-up; returns the handler before. Only the main thread may set a handler."""
    if threading.current_thread() is not threading.main_thread():
        return None
    return signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def refuse_to_replace(out: Path, force: bool) -> None:
    """Raise `InvalidInput` unless ``out`` is new, empty or, with ``force``, a report and nothing else."""
    try:
        out = Path(os.path.realpath(out, strict=True))
        if not out.is_dir():
            raise InvalidInput(f"{out} is a file: give the name of a folder")
        if not any(out.iterdir()):
            return
    except FileNotFoundError:
        return
    except OSError as error:  # a link to itself, a name that is too long, a file for a folder
        raise InvalidInput(f"{out} cannot be written: {error.strerror}") from None
    try:
        known = set(json.loads((out / MANIFEST).read_text())["files"])
    except (OSError, ValueError, KeyError, TypeError):
        raise InvalidInput(f"{out} has files and is not a report: give another folder") from None
    there = {str(path.relative_to(out)) for path in out.rglob("*") if not path.is_dir() or path.is_symlink()}
    if other := sorted(there - known):
        more = f" and {len(other) - 1} more" if other[1:] else ""
        raise InvalidInput(f"{out} also has {other[0]}{more}, which no report wrote: give another folder")
    if not force:
        raise InvalidInput(f"{out} already has a report: force=True replaces it")
