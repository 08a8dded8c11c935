"""The noise of a profile: where the spread of its ratios comes from, and what it would take to decide them."""

from typing import Any

from costmodel.errors import InvalidInput
from costmodel.profiles import estimate
from costmodel.profiles.estimate import MOST, Estimate
from costmodel.profiles.records import Profile, Run, Settings
from costmodel.report.layout.document import Document
from costmodel.report.layout.sheet import Sheet
from costmodel.report.times import percentage, time_cell

COLUMNS = ["subject", "ms or %", "95 %", "within", "between", "explained", "slope", "missing"]


def document(profile: Profile, name: str) -> Document:
    """The variance components of every run that was measured: of its ratio to the standard cell where the two were
    interleaved, else of its time. `InvalidInput` without such runs."""
    runs = [run for run in profile.runs if run.clock != "published"]
    if not runs:
        raise InvalidInput(f"{name}: no measured runs, so there is no noise to show")
    settings = list(dict.fromkeys(run.how for run in runs))
    seen = {run.key: _seen(profile, run) for run in runs}
    orders = {how: estimate.order_effect(run for run in runs if run.how == how) for how in settings}

    def of(how: Settings) -> list[Run]:
        return [run for run in runs if run.how == how]

    def json() -> dict[str, Any]:
        moments = {device: moment.record() for device, moment in profile.moments.items()}
        effects = [{"how": how.title, "order_effect": order and list(order)} for how, order in orders.items()]
        return {
            "profile": name,
            "at": moments,
            "rows": [_record(run, *seen[run.key]) for run in runs],
            "order": effects,
        }

    def sheets() -> list[Sheet]:
        return [
            Sheet(
                f"Noise of profile {name}: {how.title}",
                COLUMNS,
                "l" + "r" * (len(COLUMNS) - 1),
                [_cells(run, *seen[run.key]) for run in of(how)],
                [
                    *_order(orders[how]),
                    *(_notes(profile) if how == settings[-1] else []),
                ],
                spare=["95 %", "explained"],
            )
            for how in settings
        ]

    return Document(json, lambda: [_record(run, *seen[run.key]) for run in runs], sheets)


def _seen(profile: Profile, run: Run) -> tuple[Estimate, bool]:
    """The estimate of a run, and True for a ratio."""
    at = profile.moments.get(run.how.device)
    base = profile.by_key.get((run.subject.standard, run.how, run.clock))
    if base is not None and base != run:
        ratio = estimate.ratio(run, base, at)
        if ratio.interleaved:
            return ratio, True
    return estimate.time(run, at), False


def _record(run: Run, seen: Estimate, is_ratio: bool) -> dict[str, Any]:
    noise = seen.noise
    return {
        "subject": run.subject.title,
        "how": run.how.title,
        "of": "ratio" if is_ratio else "seconds",
        "value": seen.value,
        "verdict": seen.verdict,
        "processes": seen.processes,
        "rounds": noise and noise.rounds,
        "within": noise and noise.within,
        "between": noise and noise.between,
        "explained": noise and noise.explained,
        **{f"slope_{probe}": slope for probe, slope in seen.slopes.items()},
        "missing_processes": seen.missing,
    }


def _cells(run: Run, seen: Estimate, is_ratio: bool) -> list[str]:
    noise = seen.noise
    shares = [noise.within, noise.between, noise.explained] if noise else []
    return [
        run.subject.title,
        *(percentage(seen) if is_ratio else time_cell(seen)),
        *([f"{100 * share:.1f}" for share in shares] or [""] * 3),
        " ".join(f"{probe} {slope:.2f}" for probe, slope in seen.slopes.items()),
        "" if not seen.missing else f"over {MOST // 2}" if seen.missing > MOST // 2 else str(seen.missing),
    ]


def _order(effect: tuple[float, float] | None) -> list[str]:
    if effect is None:
        return []
    return [
        f"order: with each place later in a round a time changes by {100 * effect[0]:+.2f} % (standard error "
        f"{100 * effect[1]:.2f} %)."
    ]


def _notes(profile: Profile) -> list[str]:
    moments = "; ".join(f"{device}: {moment.words}" for device, moment in profile.moments.items())
    return [
        "ms or %: the time, or the percentage of the standard cell where both were interleaved"
        + (f", at the median moment of the profile ({moments})." if moments else "; this profile has no probes."),
        "within, between: standard deviations in per cent, of rounds of a process and between processes, after the "
        "probes; explained: the per cent of the variance that the probes explain.",
        "slope: the exponent with which the value follows a probe's time; 1: the probe's resource alone bounds it. "
        "Empty: the samples tell none.",
        "missing: processes of each subject until the verdict is stable, as noisy as now.",
    ]
