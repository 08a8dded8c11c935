"""Two profiles compared run by run."""

from typing import Any

from costmodel.errors import InvalidInput
from costmodel.profiles.compare import Change, changes, significant
from costmodel.profiles.estimate import FEWEST, Estimate
from costmodel.profiles.records import Profile
from costmodel.report.layout.document import Document
from costmodel.report.layout.sheet import Sheet
from costmodel.report.times import value


def document(
    first: tuple[str, Profile], second: tuple[str, Profile], limit: float | None, relative: bool
) -> tuple[Document, list[str], list[str]]:
    """Two profiles compared run by run; the runs that are significantly slower by more than ``limit`` (0.05: 5 %), in
    seconds or ``relative`` to the standard cell; and those that nobody can judge. `InvalidInput` without a common run.
    """
    shared = changes(first[1], second[1])
    if not shared:
        raise InvalidInput(f"{first[0]} and {second[0]} have no run in common: same subject, same settings")

    def judged(change: Change) -> Estimate | None:
        return change.relative if relative else change.ratio

    slower = [
        change.run.title
        for change in shared
        if limit is not None and (ratio := judged(change)) and significant(ratio) and ratio.value > 1 + limit
    ]
    undecided = [
        change.run.title
        for change in shared
        if limit is not None and significant(judged(change)) is None
        if not (relative and change.run.subject == change.run.subject.standard)
    ]
    words = {True: "yes", False: "no", None: "unknown"}
    columns = ["subject", "ms before", "ms after", "ratio", "95 %", "significant"]
    single = [len(profile.runs) - len(shared) for _, profile in (first, second)]
    what = "time relative to the standard cell" if relative else "time"
    lines = [
        f"before: {first[0]}, after: {second[0]}; {single[0]} runs only in the first, {single[1]} only in the second.",
        f"ratio: {what} after / before; 95 %: its bootstrap interval over processes; significant: the interval "
        f"excludes 1 (unknown: fewer than {FEWEST} processes{', or no standard cell' if relative else ''}).",
        *(f"The machines differ: {each}." for each in first[1].host.differences(second[1].host)),
        *(f"slower by more than {100 * limit:g} %: {title}" for title in slower if limit is not None),
        *(f"not judged: {title}" for title in undecided),
    ]
    spare = ["ms before", "ms after", "95 %"]
    settings = list(dict.fromkeys(change.run.how for change in shared))
    sheets = []
    for how in settings:
        rows = [
            [
                change.run.subject.title,
                value(change.before),
                value(change.after),
                f"{ratio.value:.3f}" if ratio else "",
                "{:.3f}-{:.3f}".format(*ratio.interval) if ratio and ratio.interval else "",
                words[significant(ratio)],
            ]
            for change in shared
            if change.run.how == how
            for ratio in [judged(change)]
        ]
        sheets.append(Sheet(how.title, columns, "lrrrrl", rows, lines if how == settings[-1] else (), spare=spare))
    whole = {"before": first[0], "after": second[0], "rows": [change.record() for change in shared], "slower": slower}
    whole |= {"undecided": undecided}
    flat = [_unnested(change.record()) for change in shared]
    return Document(lambda: whole, lambda: flat, lambda: sheets), slower, undecided


def _unnested(record: dict[str, Any]) -> dict[str, Any]:
    """Intervals as two columns."""
    flat: dict[str, Any] = {}
    for key, entry in record.items():
        if key.endswith("_interval"):
            flat[f"{key[:-9]}_low"], flat[f"{key[:-9]}_high"] = entry or (None, None)
        else:
            flat[key] = entry
    return flat
