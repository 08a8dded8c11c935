"""Times as cells and notes of tables."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from costmodel.errors import InvalidInput
from costmodel.profiles.timing import CLOCKS, Timing
from costmodel.report.numbers import milliseconds, significant

HOPELESS = 80  # missing processes that are no remedy

if TYPE_CHECKING:
    from costmodel.profiles.estimate import Estimate
    from costmodel.profiles.records import Settings


def value(estimate: "Estimate", unit: str = "ms") -> str:
    """An estimate as one cell of a table: the value where it is stable, else the verdict."""
    return _shown(estimate, unit)[0]


def time_cells(timing: "Timing | None") -> list[str]:
    """Milliseconds and percentage of the standard cell, each with its interval, as cells of a table."""
    if timing is None:
        return [""] * 4
    if timing.seconds is None:  # published: no samples
        return [milliseconds(timing.median_s), "", "" if timing.pct is None else f"{timing.pct:.2f}", ""]
    return [*_shown(timing.seconds, "ms"), *percentage(timing.ratio)]


def time_cell(seconds: "Estimate | None") -> list[str]:
    """A time in milliseconds and its interval, as cells of a table."""
    return _shown(seconds, "ms")


def percentage(ratio: "Estimate | None") -> list[str]:
    """A ratio in per cent and its interval, as cells of a table."""
    return _shown(ratio, "%")


def speedup_cells(timing: "Timing | None", promised: float | None) -> list[str]:
    """The measured speed-up, its interval, and the per cent of the promise (None: there is none) that it keeps, as
    cells of a table; where the speed-up is not stable, the range of the per cent."""
    if timing is None or (measured := timing.speedup()) is None:
        return ["not timed", "", ""]
    kept = None if promised is None else timing.kept(promised)
    if timing.ratio is None:  # published: no samples
        return [f"{measured.value:.2f}x", "", "" if kept is None else f"{100 * kept.value:.0f}"]
    if kept is None:
        return [*_shown(measured, "x"), ""]
    value, spread = _shown(kept, "%", 0)
    return [*_shown(measured, "x"), value if kept.verdict == "stable" else spread]


def rate_cell(timing: "Timing", work: float) -> str:
    """Billions of operations in a second, of a call with so much work; the range where the time is not stable."""
    if timing.seconds is None:  # published: no samples
        return significant(work / timing.median_s / 1e9)
    value, spread = _shown(timing.seconds.inverse().scaled(work / 1e9), "G")
    return value if timing.seconds.verdict == "stable" else spread


def _shown(estimate: "Estimate | None", unit: str, digits: int | None = None) -> list[str]:
    """A value and its interval, in ``ms``, ``%`` (with ``digits`` decimals; by default two, in intervals one), ``x``,
    or ``G`` (four digits, in intervals three).

    An estimate that is not stable has its verdict and range, or both modes, instead of a value.
    """
    if estimate is None:
        return ["", ""]

    def number(value: float, fewer: int = 1) -> str:
        if unit == "ms":
            return milliseconds(value, 4 - fewer)
        if unit == "G":
            return significant(value, 4 - fewer)
        if unit == "x":
            return f"{value:.2f}" + ("" if fewer else "x")
        return f"{100 * value:.{2 - fewer if digits is None else digits}f}"

    if estimate.modes:
        return [estimate.verdict, " / ".join(number(value) for value, _ in estimate.modes)]
    low, high = estimate.interval or (estimate.value, estimate.value)
    value = number(estimate.value, fewer=0) if estimate.verdict == "stable" else estimate.verdict
    return [value, number(low) if low == high else f"{number(low)}-{number(high)}"]


VERDICTS = {
    "two modes": "two modes: the processes fall into two groups; the median of each group is given. More processes "
    "show how often each group occurs.",
    "undecided": "undecided: the interval is wider than 10 % (time) or 2.1 % (percentage, of which two measurements "
    "then agree within 3 %) on one side, or of fewer than 3 processes.",
}


def verdicts(estimates: "Iterable[Estimate]") -> list[str]:
    """Explanations of the verdicts that occur, with what it would take to decide."""
    estimates = list(estimates)
    occurring = {estimate.verdict for estimate in estimates}
    lines = [note for verdict, note in VERDICTS.items() if verdict in occurring]
    missing = [estimate.missing for estimate in estimates if estimate.missing]
    if missing:
        most = max(missing)
        number = (
            f"{most} more process{'es' if most > 1 else ''}" if most < HOPELESS else "more than a hundred processes"
        )
        lines.append(
            f"To decide {'all' if missing[1:] else 'the one'} of these: {number} as noisy as now (resume keeps the "
            "recorded processes; profiles NAME --noise tells each), or a quieter machine."
        )
    return lines


def notes(timings: "Sequence[Timing]", of: str) -> list[str]:
    """Explanations of the columns of measured times; ``of``: the base of percentages, "" without percentages."""
    clock = CLOCKS[timings[0].clock] if timings else ""
    if all(timing.clock == "published" for timing in timings):
        return [f"ms: {clock}{of and f'; %: of {of}'}."]
    estimates = [e for timing in timings for e in (timing.seconds, timing.ratio) if e]
    share = of and f"; %: of {of}, within rounds"
    lines = [f"ms: {clock}, mean over processes{_at(timings)}; 95 %: its bootstrap interval{share}."]
    lines += verdicts(estimates)
    if not all(e.interleaved for e in estimates):
        lines.append("Some percentages are of runs that were not interleaved and contain the drift between the runs.")
    if unchecked := sum(timing.unchecked for timing in timings):
        lines.append(
            f"The results of {unchecked} of these rows were not compared with a reference: they are random, or their "
            "shapes depend on values."
        )
    throttle = dict.fromkeys(reason for timing in timings for reason in timing.throttle)
    lines += [f"The GPU was throttled by: {', '.join(throttle)}."] if throttle else []
    return [*lines, *days(timings)]


def _at(timings: "Iterable[Timing]") -> str:
    """The moment of the machine at which times are stated, in words."""
    moments = dict.fromkeys(t.seconds.moment.words for t in timings if t.seconds and t.seconds.moment)
    return f", at {' and at '.join(moments)}" if moments else ""


def days(timings: "Iterable[Timing]") -> list[str]:
    """A note on the days of measured times."""
    found = sorted({date for timing in timings for date in timing.dates})
    return [f"Timed on {found[0]}{f' to {found[-1]}' if found[1:] else ''}."] if found else []


def not_timed(number: int, what: str, how: "Settings") -> list[str]:
    """A note on rows of which a profile has no times."""
    return [f"The profile has no times of {number} more {what} with {how.title}."] if number else []


def ranked(
    timings: "Sequence[Sequence[Timing]]", keys: "Mapping[str, Sequence[float]]", sort: str | None, top: int | None
) -> list[int]:
    """The places of the ``top`` largest rows (None: of all), by a column of ``keys`` or by the times of the rows,
    ``ms``, without times by the predicted ones in ``keys``; rows without a time are last. `InvalidInput` for another
    ``sort``, without times, or with times of several settings."""
    allowed = ", ".join(["order", *(key for key in keys if key != "ms")])
    settings = dict.fromkeys((t.profile, t.how) for row in timings for t in row if t.how)
    if top is not None and top < 1:
        raise InvalidInput(f"top {top}: expected a whole number from 1")
    if sort == "ms" and not settings and "ms" not in keys:
        raise InvalidInput(f"sort 'ms': there are no times; without times: {allowed}")
    if sort == "ms" and len(settings) > 1:
        found = "; ".join(f"{profile}: {how.title}" for profile, how in settings if how)
        raise InvalidInput(f"sort 'ms': times of {len(settings)} kinds of run ({found}): choose one, or {allowed}")
    if sort not in (None, "order", "ms", *keys):
        raise InvalidInput(f"sort {sort!r}: one of {allowed}, ms")
    places = list(range(len(timings)))
    if sort == "ms" and settings:
        seconds = [next((t.median_s for t in row if (t.profile, t.how) in settings), -1.0) for row in timings]
        places.sort(key=lambda n: -seconds[n])
    elif sort and sort in keys:
        column = keys[sort]
        places.sort(key=lambda n: -column[n])
    return places[:top]


def left_out(number: int, what: str) -> list[str]:
    """A note on rows that ``top`` left out."""
    return [f"{number} more {what} are left out: top."] if number else []
