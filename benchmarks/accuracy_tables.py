"""The figures and tables of `prediction_accuracy.py`: errors of predictions, order of pairs, intervals, and goals."""

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from costmodel.report.layout.document import Document
from costmodel.report.layout.sheet import Sheet
from costmodel.report.numbers import milliseconds

MEDIAN, LARGEST, COVERAGE, HALF_WIDTH, APART = 0.06, 0.20, 0.90, 0.12, 0.10  # the goals
MOST_NAMED = 6  # subjects in a sentence


@dataclass(frozen=True)
class Row:
    """A subject: seconds per call as measured and as predicted, with the 90 % interval and the lower bound, and what
    the other methods say of it. ``bandwidth``: of the moment, in bytes/s. ``parts``: seconds by kind of operation;
    ``missing``: operations of kinds that were not calibrated, which the prediction leaves out."""

    title: str
    family: str
    measured: float
    predicted: float
    low: float
    high: float
    floor: float
    flops: float
    data_sheet: float
    bandwidth: float | None = None
    bound: str | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    missing: Mapping[str, int] = field(default_factory=dict)
    peer: float | None = None
    peer_replay: float | None = None

    @property
    def error(self) -> float:
        """Predicted / measured - 1."""
        return self.predicted / self.measured - 1

    @property
    def inside(self) -> bool:
        return self.low <= self.measured <= self.high

    @property
    def half_width(self) -> float:
        """Half the interval, relative to the prediction."""
        return (self.high - self.low) / 2 / self.predicted if self.predicted else math.inf

    @property
    def violated(self) -> bool:
        """True where the measurement is below the lower bound."""
        return self.measured < self.floor

    @property
    def largest_part(self) -> str:
        """The kind of operation that takes most of the predicted time, and its share."""
        if not self.predicted or not self.parts:
            return ""
        kind = max(self.parts, key=self.parts.__getitem__)
        return f"{kind} {100 * self.parts[kind] / self.predicted:.0f} %"

    def record(self) -> dict[str, Any]:
        """The JSON contract, times in seconds."""
        own = {name: getattr(self, name) for name in self.__dataclass_fields__}
        own |= {"parts": dict(self.parts), "missing": dict(self.missing)}
        return own | {"error": self.error, "inside": self.inside, "violated": self.violated}


@dataclass(frozen=True)
class Figures:
    """The errors of a method over some subjects: of the time, and of the order of pairs whose times differ."""

    median: float
    largest: float
    above: int  # subjects whose error is above `LARGEST`
    pairs: int
    wrong: tuple[tuple[int, int], ...]  # numbers of the subjects of a pair: the first one takes longer


def figures(predicted: Sequence[float], measured: Sequence[float]) -> Figures:
    """The figures of predictions. A pair counts where the longer time is more than `APART` above the shorter one; its
    order is wrong where the prediction of the longer one is not the larger one."""
    errors = [abs(one / other - 1) for one, other in zip(predicted, measured, strict=True)]
    pairs = [
        (one, other) if measured[one] > measured[other] else (other, one)
        for one, other in combinations(range(len(measured)), 2)
        if abs(math.log(measured[one] / measured[other])) > math.log1p(APART)
    ]
    wrong = tuple((one, other) for one, other in pairs if predicted[one] <= predicted[other])
    return Figures(statistics.median(errors), max(errors), sum(error > LARGEST for error in errors), len(pairs), wrong)


def proportional(flops: Sequence[float], measured: Sequence[float]) -> list[float]:
    """Seconds by one constant for FLOPs: for each subject the median of the seconds per FLOP of all others."""
    rates = [seconds / work for seconds, work in zip(measured, flops, strict=True)]
    return [work * statistics.median([*rates[:n], *rates[n + 1 :]]) for n, work in enumerate(flops)]


@dataclass(frozen=True)
class Goal:
    """A goal of the predictions: ``found`` should be at most ``wanted``, or with ``least`` at least that."""

    name: str
    found: float
    wanted: float
    least: bool = False
    percent: bool = True
    why: str = ""  # what misses it

    @property
    def met(self) -> bool:
        return self.found >= self.wanted if self.least else self.found <= self.wanted

    def said(self, value: float) -> str:
        return f"{100 * value:.1f} %" if self.percent else f"{value:g}"


def goals(rows: Sequence[Row]) -> list[Goal]:
    """The goals over all subjects, also those of which kinds are missing."""
    found = figures([row.predicted for row in rows], [row.measured for row in rows])
    off = sorted((row for row in rows if abs(row.error) > LARGEST), key=lambda row: -abs(row.error))
    outside = [row for row in rows if not row.inside]
    below = [row for row in rows if row.violated]
    by_family = {name: statistics.median(abs(row.error) for row in each) for name, each in families(rows).items()}
    worst = max(by_family, key=by_family.__getitem__)
    return [
        Goal("median error", found.median, MEDIAN, why=f"{worst}: {100 * by_family[worst]:.1f} %"),
        Goal("largest error", found.largest, LARGEST, why=_named([f"{_off(row)} ({row.largest_part})" for row in off])),
        Goal(
            "intervals that cover",
            1 - len(outside) / len(rows),
            COVERAGE,
            least=True,
            why=_named([_off(row) for row in sorted(outside, key=lambda row: -abs(row.error))]),
        ),
        Goal("median half-width of intervals", statistics.median(row.half_width for row in rows), HALF_WIDTH),
        Goal(
            f"pairs in wrong order, of {found.pairs:,} that differ by more than {100 * APART:.0f} %",
            len(found.wrong),
            0,
            percent=False,
            why=_named([f"{rows[one].title} takes longer than {rows[other].title}" for one, other in found.wrong]),
        ),
        Goal("lower bounds violated", len(below), 0, percent=False, why=_named([row.title for row in below])),
    ]


def families(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.family, []).append(row)
    return found


def _off(row: Row) -> str:
    return f"{row.title} {100 * row.error:+.0f} %"


def _named(names: Sequence[str]) -> str:
    more = f", and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


# ---- tables ----------------------------------------------------------------------------------------------------------


def document(rows: Sequence[Row], about: str, data_sheet: str) -> Document:
    """The tables, and the record."""
    methods = {
        "this prediction": [row.predicted for row in rows],
        "FLOPs times one constant": proportional([row.flops for row in rows], [row.measured for row in rows]),
        f"data sheet: {data_sheet}": [row.data_sheet for row in rows],
    }
    every = {name: (rows, seconds) for name, seconds in methods.items()}
    for name, of in (("neural-cost", "peer"), ("neural-cost, replayed", "peer_replay")):
        some = [row for row in rows if getattr(row, of) is not None]
        if len(some) > 1:
            every[name] = some, [getattr(row, of) for row in some]
    compared = {name: figures(seconds, [row.measured for row in some]) for name, (some, seconds) in every.items()}
    aims = goals(rows)

    def record() -> dict[str, Any]:
        return {
            "about": about,
            "rows": [row.record() for row in rows],
            "goals": [{"goal": a.name, "found": a.found, "wanted": a.wanted, "met": a.met, "why": a.why} for a in aims],
            "methods": {
                name: {
                    "subjects": len(every[name][0]),
                    "median_error": each.median,
                    "largest_error": each.largest,
                    "above_20_percent": each.above,
                    "pairs": each.pairs,
                    "wrong_pairs": len(each.wrong),
                }
                for name, each in compared.items()
            },
        }

    def sheets() -> list[Sheet]:
        return [_subjects(rows, about), _by_family(rows), _methods(compared, every), _goals(aims)]

    return Document(record, lambda: [row.record() for row in rows], sheets)


def _subjects(rows: Sequence[Row], about: str) -> Sheet:
    columns = "subject,GB/s,measured,predicted,error,90 % interval,inside,floor,bound,largest part,left out"
    cells = [
        [
            row.title,
            f"{row.bandwidth / 1e9:.1f}" if row.bandwidth else "",
            milliseconds(row.measured),
            milliseconds(row.predicted),
            f"{100 * row.error:+.1f} %",
            f"{milliseconds(row.low, 3)} to {milliseconds(row.high, 3)}",
            "yes" if row.inside else "no",
            milliseconds(row.floor, 3) + (" violated" if row.violated else ""),
            row.bound or "",
            row.largest_part,
            str(sum(row.missing.values()) or ""),
        ]
        for row in rows
    ]
    missing = sum((Counter(row.missing) for row in rows), Counter[str]())
    lacking = {kind: sum(kind in row.missing for row in rows) for kind in missing}
    notes = ["Milliseconds per call, each at the memory bandwidth of its own measurement; floor: the lower bound."]
    if missing:
        kinds = (f"{number} {kind} (subjects: {lacking[kind]})" for kind, number in missing.most_common())
        notes += [f"Left out of predictions, because their kind was not calibrated: {', '.join(kinds)}."]
    whole = Sheet(f"Predictions for {len(rows)} subjects: {about}", columns.split(","), "lrrrrrlrllr", cells, notes)
    return whole.without(["left out"])


def _by_family(rows: Sequence[Row]) -> Sheet:
    cells = []
    for name, some in families(rows).items():
        found = figures([row.predicted for row in some], [row.measured for row in some])
        cells.append(
            [
                name,
                str(len(some)),
                f"{100 * found.median:.1f} %",
                f"{100 * statistics.median(row.error for row in some):+.1f} %",
                f"{100 * found.largest:.1f} %",
                f"{100 * sum(row.inside for row in some) / len(some):.0f} %",
                f"{len(found.wrong)} of {found.pairs}",
            ]
        )
    columns = ["family", "subjects", "median error", "signed", "largest", "covered", "pairs in wrong order"]
    return Sheet("By family", columns, "lrrrrrr", cells)


def _methods(compared: Mapping[str, Figures], every: Mapping[str, tuple[Sequence[Row], Sequence[float]]]) -> Sheet:
    cells = [
        [
            name,
            str(len(every[name][0])),
            f"{100 * each.median:.1f} %",
            f"{100 * each.largest:.0f} %",
            str(each.above),
            f"{len(each.wrong):,} of {each.pairs:,}",
        ]
        for name, each in compared.items()
    ]
    columns = ["method", "subjects", "median error", "largest", f"above {100 * LARGEST:.0f} %", "pairs in wrong order"]
    return Sheet("Other methods on the same subjects", columns, "lrrrrr", cells)


def _goals(aims: Sequence[Goal]) -> Sheet:
    cells = [
        [
            aim.name,
            aim.said(aim.found),
            f"{'at least' if aim.least else 'at most'} {aim.said(aim.wanted)}" if aim.wanted else "none",
            "met" if aim.met else "missed",
            "" if aim.met else aim.why,
        ]
        for aim in aims
    ]
    return Sheet("Goals", ["goal", "found", "wanted", "", "where it is missed"], "lrrll", cells, prose=True)
