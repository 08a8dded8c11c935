"""The folder that `costmodel report` writes: tables in every format, figures, and one page with all of them."""

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import costmodel
from costmodel import published
from costmodel.describe.errors import InvalidInput
from costmodel.report import claims, figures
from costmodel.report import sweep as sweeps
from costmodel.report.page import Figure, Section, page

if TYPE_CHECKING:
    from costmodel.price.sweep import Sweep
    from costmodel.profiles import How, Profile
    from costmodel.report.table import Table, TableRow

MANIFEST = "report.json"
TABLES = {"markdown": "md", "latex": "tex", "csv": "csv", "json": "json", "html": "html"}
FIGURES = ("svg", "png")


@dataclass(frozen=True)
class Drawing:
    """A figure to draw: the name of its file, what it shows, and how; ``way``: the profile and way that it is about."""

    name: str
    caption: str
    draw: Callable[..., Any]
    way: "tuple[str, How] | None" = None


@dataclass(frozen=True)
class Report:
    """A table and a sweep, with the times that profiles have for them; ``command`` writes the report again."""

    plain: "Table"
    sweep: "Sweep"
    profiles: "Mapping[str, Profile]"
    command: str

    @cached_property
    def table(self) -> "Table":
        table = self.plain
        for name, profile in self.profiles.items():
            table = table.timed(name, profile)
        return table

    @property
    def title(self) -> str:
        return f"What {', '.join(row.approach for row in self.plain.rows if row.approach == row.base)} cost"

    @cached_property
    def drawings(self) -> list[Drawing]:
        """All figures, in the order in which they are shown."""
        plain, known = self.plain, any(row.paper for row in self.plain.rows)
        beside = " and published time on a GPU" if known else ""
        found = [
            Drawing(
                "overview",
                f"Parameters, FLOPs{beside} relative to the first row, as in Fig. 1 of the paper.",
                partial(figures.overview, plain),
            )
        ]
        for metric in ("cityscapes-miou", "vkitti-miou") if known else ():
            what = "Published quality against FLOPs, and the Pareto front: what nothing else beats in both."
            if metric == "cityscapes-miou":
                what += f" {published.ERRATA['miou'].place} {published.ERRATA['miou'].text}"
            found.append(Drawing(f"quality-{metric}", what, partial(figures.quality, plain, metric)))
        networks: dict[str, TableRow] = {}
        for row in plain.rows:
            networks.setdefault(row.base, row)  # with the first of its cells: the standard one, if that is shown
        for row in networks.values():
            what = f"The most expensive layers of {row.approach}."
            draw = partial(figures.layers, row.entry.program, plain.convention)
            found.append(Drawing(f"layers-{slug(row.approach)}", what, draw))
        what = "What remains of the standard cell's cost, and the paper's approximation of it."
        found.append(Drawing("kernels", what, partial(figures.kernels, self.sweep)))
        for way in self.table.times():
            what = "Time per frame against FLOPs; dotted: time in proportion to FLOPs."
            found.append(Drawing(f"time-{key(*way)}", what, partial(figures.time, self.table, how=way[1]), way))
            if way[1].dtype is not None:  # the published one is the first of all
                what = "Parameters, FLOPs and time relative to the first row."
                draw = partial(figures.overview, self.table, how=way[1])
                found.append(Drawing(f"overview-{key(*way)}", what, draw, way))
        for name, how in sweeps.times(self.sweep, self.profiles):
            what = "Speed-up of single cells as promised by FLOPs and as measured; on the line the promise is kept."
            draw = partial(figures.promise, self.sweep, self.profiles[name], how=how)
            found.append(Drawing(f"promise-{key(name, how)}", what, draw, (name, how)))
        return found

    def page(self, drawn: Mapping[str, str]) -> str:
        """One page with everything; ``drawn``: inline figures by name."""

        def shown(*ways: "tuple[str, How] | None", but: str = "", only: str = "") -> list[Figure]:
            return [
                Figure(d.name, d.caption, drawn[d.name])
                for d in self.drawings
                if d.way in ways and d.name != but and (not only or d.name == only)
            ]

        networks, cells = self.table.times(), sweeps.times(self.sweep, self.profiles)
        sections = [
            Section("Parameters and FLOPs of the networks", [self.plain.costs()], shown(None, but="kernels")),
            Section("FLOPs of single cells", [sweeps.costs(self.sweep)], shown(None, only="kernels")),
        ]
        if judged := claims.sheet(self.profiles):
            sections.insert(0, Section("What the paper says about time, and what was measured", [judged]))
        for way in dict.fromkeys([*networks, *cells]):
            name, how = way
            sheets = [found[way] for found in (networks, cells) if way in found]
            machine = self.profiles[name].host.name(how.device)
            sections.append(Section(f"Time on {machine}: {how.title}", sheets, shown(way)))
        return page(self.title, sections, summary=[self._settings()], footer=self._sources(), command=self.command)

    def _settings(self) -> str:
        table = self.plain
        return (
            f"Frames of {'x'.join(map(str, table.size))} pixels, kernel {'x'.join(map(str, table.kernel))}, "
            f"{table.classes} classes, {'with' if table.heads else 'without'} training heads. "
            f"{table.convention.unit}s of networks by convention {table.convention.name} "
            f"({table.convention.source}), of single cells by {self.sweep.convention.name} "
            f"({self.sweep.convention.source})."
        )

    def _sources(self) -> list[str]:
        lines = [f"Written on {datetime.now(UTC).date()} by costmodel {costmodel.__version__}."]
        for name, profile in self.profiles.items():
            host = profile.host
            facts = [host.cpu, host.gpu and host.gpu.name, host.os, host.torch and f"torch {host.torch}"]
            date = f", {host.date.date()}" if host.date else ""
            told = host.source or ", ".join(fact for fact in facts if fact) + date
            lines.append(f"Profile {name}: {told}")
        return lines

    def write(self, folder: Path, tick: Callable[[str], object] = lambda what: None) -> None:
        """Write all files into a folder; ``tick`` hears of each figure."""
        drawn = {}
        (folder / "figures").mkdir()
        for drawing in self.drawings:
            tick(drawing.name)
            figure = figures.drawn(drawing.draw)
            files = {suffix: figures.export(figure, suffix) for suffix in FIGURES}
            for suffix, data in files.items():
                (folder / "figures" / f"{drawing.name}.{suffix}").write_bytes(data)
            drawn[drawing.name] = figures.inline(files["svg"], drawing.name, drawing.caption)
        for form, suffix in TABLES.items():
            texts = {"table_iv": self.table.text(form), "sweep": sweeps.text(self.sweep, form, self.profiles)}
            for name, text in texts.items():
                (folder / f"{name}.{suffix}").write_text(text.rstrip("\n") + "\n", encoding="utf-8")
        (folder / "index.html").write_text(self.page(drawn) + "\n", encoding="utf-8")
        files_written = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        manifest = {"costmodel": costmodel.__version__, "command": self.command, "files": [*files_written, MANIFEST]}
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def slug(text: str) -> str:
    """A name for a file: ``LSTM-ICNet v6`` is ``lstm-icnet-v6``."""
    return re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-")


def key(name: str, how: "How") -> str:
    """A profile and a way to run in the name of a file."""
    run = how.title.removesuffix(", state carried") if how.dtype else f"{how.device} {how.title}"
    return f"{slug(name)}-{slug(run)}"


# ---- the place on disk -----------------------------------------------------------------------------------------------


@contextmanager
def replacing(out: Path, force: bool) -> Iterator[Path]:
    """A folder to fill, which becomes ``out`` when the block ends well; else nothing changes.

    `InvalidInput` where ``out`` cannot be written, or is there already: with ``force`` a report is replaced, other
    files never are.
    """
    out = out.resolve()  # a link is followed
    refuse_to_replace(out, force)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise InvalidInput(f"--out {out} cannot be written: {error.strerror}") from None
    try:
        new, old = temporary / "new", temporary / "old"
        new.mkdir()
        yield new
        refuse_to_replace(out, force)  # it took a while
        try:
            if out.exists():
                out.rename(old)
            new.rename(out)
        except BaseException:  # Ctrl-C, too, leaves what was there
            if old.exists() and not out.exists():
                old.rename(out)
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def refuse_to_replace(out: Path, force: bool) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise InvalidInput(f"--out {out} is a file: give the name of a folder")
    there = {str(path.relative_to(out)) for path in out.rglob("*") if not path.is_dir() or path.is_symlink()}
    if not there:
        return
    try:
        known = set(json.loads((out / MANIFEST).read_text())["files"])
    except (OSError, ValueError, KeyError, TypeError):
        raise InvalidInput(f"--out {out} has files and is no report: give another folder") from None
    if foreign := sorted(there - known):
        more = f" and {len(foreign) - 1} more" if foreign[1:] else ""
        raise InvalidInput(f"--out {out} also has {foreign[0]}{more}, which no report wrote: give another folder")
    if not force:
        raise InvalidInput(f"--out {out} is there already: --force replaces it")
