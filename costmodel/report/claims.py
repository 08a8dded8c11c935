"""Claims of the paper about time, against measured times."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from costmodel.published import lstm_icnet as published
from costmodel.report.layout.sheet import Sheet
from costmodel.report.times import percentage, verdicts

if TYPE_CHECKING:
    from costmodel.profiles.estimate import Estimate
    from costmodel.profiles.records import Profile, Settings, Subject


@dataclass(frozen=True)
class Verdict:
    """A claim and the measured ratio to the standard cell; ``word`` is the result."""

    claim: published.Claim
    ratio: "Estimate"

    @property
    def word(self) -> str:
        """``holds`` or ``does not hold`` where the whole interval, of enough processes, agrees; else ``undecided``."""
        from costmodel.profiles.estimate import FEWEST

        if self.ratio.interval is None or self.ratio.processes < FEWEST:
            return "undecided"
        (low, high), (least, most) = self.ratio.interval, self.claim.ratio
        if least <= low <= high <= most:
            return "holds"
        return "does not hold" if high < least or low > most else "undecided"

    @property
    def text(self) -> str:
        seen = f"{100 * self.ratio.value:.2f} %"
        if self.ratio.interval:
            seen += " ({:.2f} to {:.2f})".format(*(100 * side for side in self.ratio.interval))
        named = "" if self.ratio.verdict == "stable" else f", {self.ratio.verdict}"
        printed = f"; printed {self.claim.printed:.2f} %" if self.claim.printed else ""
        return f"{self.claim.text}: {self.word} here, {seen}{named}{printed}."

    def record(self) -> dict[str, Any]:
        return {
            "claim": self.claim.text,
            "place": self.claim.place,
            "printed_pct": self.claim.printed,
            "pct": 100 * self.ratio.value,
            "pct_interval": self.ratio.interval and [100 * side for side in self.ratio.interval],
            "pct_verdict": self.ratio.verdict,
            "result": self.word,
        }


def judge(profile: "Profile", how: "Settings", about: "Collection[Subject] | None" = None) -> list[Verdict]:
    """Verdicts on claims about this device (and these subjects) of which the profile has both runs with ``how``."""
    from costmodel.profiles import estimate

    judged = []
    for claim in published.CLAIMS:
        if claim.device != how.device:
            continue
        subject = _subject(claim)
        runs = {run.subject: run for run in profile.runs if run.how == how and run.clock != "published"}
        if subject in runs and subject.standard in runs and (about is None or subject in about):
            at = profile.moments.get(how.device)
            judged.append(Verdict(claim, estimate.ratio(runs[subject], runs[subject.standard], at)))
    return judged


def _subject(claim: published.Claim) -> "Subject":
    from costmodel.profiles.records import Subject

    if claim.network is None:
        area = (published.SIZE[0] // 8, published.SIZE[1] // 8)  # of the feature map before the scores
        return Subject(cell=claim.cell, kernel=claim.kernel, channels=published.CHANNELS, size=area)
    return Subject(
        network=claim.network, cell=claim.cell, kernel=claim.kernel, classes=published.CLASSES, size=published.SIZE
    )


def records(profiles: "Mapping[str, Profile]", about: "Collection[Subject]") -> dict[str, Any]:
    """All verdicts about some subjects under ``claims``, for JSON; empty without profiles."""
    if not profiles:
        return {}
    entries = []
    for name, profile in profiles.items():
        for how in dict.fromkeys(run.how for run in profile.runs):
            origin = {
                "profile": name,
                "machine": profile.host.name(how.device),
                "how": how.model_dump(exclude_none=True),
            }
            entries += [origin | verdict.record() for verdict in judge(profile, how, about)]
    return {"claims": entries}


def sheet(profiles: "Mapping[str, Profile]", about: "Collection[Subject]") -> Sheet | None:
    """All verdicts about some subjects, with a row for each claim, machine and settings; None without verdicts."""
    judged = [
        (profile.host.name(how.device), how.title, verdict)
        for profile in profiles.values()
        for how in dict.fromkeys(run.how for run in profile.runs)
        for verdict in judge(profile, how, about)
    ]
    if not judged:
        return None
    common = set.intersection(*(set(settings.split(", ")) for _, settings, _ in judged))
    rows = []
    for machine, settings, verdict in sorted(judged, key=lambda each: published.CLAIMS.index(each[2].claim)):
        claim, ratio = verdict.claim, verdict.ratio
        printed = f"{claim.printed:.2f}" if claim.printed else ""
        differing = ", ".join(word for word in settings.split(", ") if word not in common)
        rows.append([claim.text, machine, differing, printed, *percentage(ratio), verdict.word])
    shared = [word for word in judged[0][1].split(", ") if word in common]
    notes = [
        *([f"every run: {', '.join(shared)}."] if shared else []),
        "%: time in per cent of the standard cell in the same network; paper: as printed in Table IV; 95 %: bootstrap "
        "interval over processes.",
        "holds, does not hold: the whole interval agrees; undecided: a part agrees, or there are too few processes.",
    ]
    notes += verdicts([verdict.ratio for _, _, verdict in judged])
    columns = ["claim", "machine", "run as", "paper", "%", "95 %", "result"]
    return Sheet("Claims of the paper", columns, "lllrrrl", rows, notes)
