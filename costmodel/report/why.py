"""Why a ratio of two times is not the one that FLOPs promise: the steps from the promised ratio to the predicted and
the measured one, and the kernels that they come from."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from costmodel.errors import InvalidInput
from costmodel.price import why as bridges
from costmodel.price.why import Bridge, Part, Sums
from costmodel.profiles.recording import recording
from costmodel.profiles.timing import Timing, timings
from costmodel.report.compare import ComparedRow, Comparison, compare
from costmodel.report.layout.document import Document
from costmodel.report.layout.sheet import Sheet
from costmodel.report.numbers import apportioned, significant
from costmodel.report.times import days, percentage, verdicts

if TYPE_CHECKING:
    import pandas as pd

    from costmodel.describe.cells import Cell
    from costmodel.describe.ops import Pair
    from costmodel.price.conventions import Convention
    from costmodel.price.latency import CalibratedMachine
    from costmodel.price.table import Module
    from costmodel.profiles.predict import Predictor
    from costmodel.profiles.records import Profile, Settings
    from costmodel.work.size import Size

DIGITS = 6  # decimals of ratios in JSON and CSV
PERCENT_DIGITS = 2  # decimals of per cent in tables
MOST = 12  # items that a table shows
MOVES = ("item", "remainder")  # kinds of steps that add


class Step(NamedTuple):
    """A step of a bridge in whole units: ``value`` leads to ``level``, the sum of all values so far. ``kind``:
    promised, item, predicted, remainder or measured."""

    kind: str
    name: str
    value: int
    level: int
    part: Part | None = None


def steps(bridge: Bridge, digits: int, most: int | None = None) -> list[Step]:
    """The steps in units of 10^-digits, rounded so that they add up; of the items the ``most`` largest, and the sum of
    the others. Items that are rounded to 0 are left out, but for those that are not predicted."""
    items = [(item.name, item.value, item.part) for item in bridge.items]
    if most is not None:
        large = sum(abs(value) * 10**digits >= 5 for _, value, _ in items[:most])
        if small := items[large:]:
            rest = sum((value for _, value, _ in small), Fraction(0))
            name, part = (f"{len(small)} smaller items", None) if small[1:] else small[0][::2]
            items = [*items[:large], (name, rest, part)]
    last = [] if bridge.remainder is None else [bridge.remainder]
    unit = 10**digits
    values = apportioned([unit * each for each in (bridge.promised, *(value for _, value, _ in items), *last)], 1)
    level = values[0]
    found = [Step("promised", "promised", level, level)]
    for (name, _, part), value in zip(items, values[1:], strict=False):
        level += value
        if value or (part and not part.group.known):
            found.append(Step("item", name, value, level, part))
    found.append(Step("predicted", "predicted", level, level))
    if last:
        level += values[-1]
        found.append(Step("remainder", "what the model does not explain", values[-1], level))
        found.append(Step("measured", "measured", level, level))
    return found


@dataclass(frozen=True, repr=False)
class Why:
    """The bridge between the two rows of a comparison, A and B; made by `why`. ``timing``: the measured time of B, with
    its ratio to A; ``lacking``: a sentence, where there is none."""

    comparison: Comparison
    machine: "CalibratedMachine"
    bridge: Bridge
    timing: Timing | None = None
    lacking: str = ""

    def __repr__(self) -> str:
        return f"<Why: {self.title:.300}; .text() prints it, .frame() is a pandas frame>"

    def _repr_html_(self) -> str:
        """For notebooks: the frame."""
        return str(self.frame().to_html())

    @property
    def a(self) -> str:
        """The name of A."""
        return self.comparison.rows[0].model

    @property
    def b(self) -> str:
        """The name of B."""
        return self.comparison.rows[1].model

    @property
    def title(self) -> str:
        """The result in a sentence."""
        bridge = self.bridge
        seen, verb = (bridge.predicted, "would take") if bridge.measured is None else (bridge.measured, "takes")
        promised = f"{bridge.convention.unit}s promise {100 * float(bridge.promised):.1f} %"
        return f"{self.b} {verb} {100 * float(seen):.1f} % of the time of {self.a}, where {promised}"

    @property
    def where(self) -> str:
        """The machine and its conditions, in words."""
        moment = self.bridge.a.moment
        at = f", at {moment.words}" if moment else ""
        return f"{self.machine.name}: {self.machine.conditions}{at}"

    def text(self, form: str = "text") -> str:
        """The bridge as ``text``, ``markdown``, ``latex``, ``html``, ``csv`` or ``json``."""
        return Document(self.record, self._flat, self.sheets).text(form)

    def frame(self) -> "pd.DataFrame":
        """A pandas frame with a row for each step of the bridge; ``attrs`` carries convention and machine."""
        import pandas as pd

        frame = pd.DataFrame(self._flat())
        frame.attrs.update(convention=self.bridge.convention.name, unit=self.bridge.convention.unit)
        frame.attrs.update(a=self.a, b=self.b, machine=self.machine.name)
        return frame

    def record(self) -> dict[str, Any]:
        """The JSON contract. Ratios are of B to A; as decimals they add up exactly, promised and items to predicted,
        predicted and remainder to measured. Seconds of parts add up to those of A and of B."""
        bridge = self.bridge
        found = {step.kind: step.value / 10**DIGITS for step in steps(bridge, DIGITS) if step.kind != "item"}
        ratio = self.timing.ratio if self.timing else None
        parts = list(zip(bridge.parts, *(_nanoseconds(self._side(side)) for side in "ab"), strict=True))
        return {
            "a": self.a,
            "b": self.b,
            "convention": bridge.convention.name,
            "unit": bridge.convention.unit,
            "machine": self.machine.name,
            "conditions": self.machine.conditions,
            "at": bridge.a.moment and bridge.a.moment.record(),
            "promised": found["promised"],
            "items": [
                {"item": step.name, "ratio": step.value / 10**DIGITS, **_kernels(step.part)}
                for step in steps(bridge, DIGITS)
                if step.kind == "item"
            ],
            "predicted": found["predicted"],
            "predicted_interval": list(bridge.interval),
            "remainder": found.get("remainder"),
            "measured": found.get("measured"),
            "measured_interval": ratio and ratio.interval and list(ratio.interval),
            "measured_verdict": ratio and ratio.verdict,
            "profile": self.timing and self.timing.profile,
            "how": self.timing and self.timing.how and self.timing.how.model_dump(exclude_none=True),
            "complete": bridge.complete,
            "missing": {side: dict(each) for side, each in zip("ab", bridge.missing, strict=True)},
            "parts": [
                {**_kernels(part), "a": _sums(part.a, first), "b": _sums(part.b, second)}
                for part, first, second in parts
            ],
            "a_s": sum(first for _, first, _ in parts) / 1e9,
            "b_s": sum(second for _, _, second in parts) / 1e9,
        }

    def _flat(self) -> list[dict[str, Any]]:
        about = {"a": self.a, "b": self.b, "convention": self.bridge.convention.name, "machine": self.machine.name}
        return [
            {"step": step.kind, "name": step.name, "ratio": step.value / 10**DIGITS, "sum": step.level / 10**DIGITS}
            | _kernels(step.part)
            | about
            for step in steps(self.bridge, DIGITS)
        ]

    def sheets(self) -> list[Sheet]:
        """A table of the steps, and one of the kernels that they come from."""
        return [self._steps(), self._parts()]

    def _steps(self) -> Sheet:
        bridge, unit = self.bridge, self.bridge.convention.unit
        ratio = self.timing.ratio if self.timing else None
        low, high = bridge.interval
        predicted = f"{100 * low:.1f}-{100 * high:.1f}" if low < high else ""  # a roofline has no interval
        range_of = {"predicted": predicted, "measured": percentage(ratio)[1] if ratio else ""}
        verdict = f", {ratio.verdict}" if ratio and ratio.verdict != "stable" else ""
        rows = [
            [step.name + (verdict if step.kind == "measured" else ""), percent(step), range_of.get(step.kind, "")]
            for step in steps(bridge, PERCENT_DIGITS + 2, MOST)
        ]
        speed = [
            f"{name} {1 / float(each):.2f}x"
            for name, each in (
                ("promised", bridge.promised),
                ("predicted", bridge.predicted),
                ("measured", bridge.measured),
            )
            if each
        ]
        notes = [
            f"{self.where}.",
            f"%: of the time of {self.a}. Promised and all items add up to predicted, with what the model does not "
            "explain to measured.",
            f"promised: {unit}s of {self.b} / of {self.a}; convention {bridge.convention.name}, "
            f"{bridge.convention.source}.",
            f"As speed-ups: {', '.join(speed)}.",
            f"rate: {unit}s that take longer or shorter than in kernels of this name in {self.a}, or, where it has "
            f"none, in all its products. share: {unit}s in kernels that are slower or faster than these. Others: time "
            f"beyond the promised part of that in {self.a}.",
            "range: of predicted 90 %, as if the errors of both were independent; of measured 95 %."
            if predicted
            else "predicted: the roofline, the least time of each operation by the data sheet.",
        ]
        if self.timing:
            notes.append(
                f"measured: {self.timing.machine} (profile {self.timing.profile}), {self._how}, within rounds."
            )
            notes += [*verdicts([ratio] if ratio else []), *days([self.timing])]
        if not bridge.complete:
            notes.insert(1, self.incomplete)
        return Sheet(self.title, ["step", "%", "range"], "lrr", rows, notes, labels=["step", "%", "range %"]).without(
            ["range"]
        )

    @property
    def _how(self) -> str:
        return self.timing.how.title if self.timing and self.timing.how else ""

    @property
    def incomplete(self) -> str:
        """A sentence about kinds that were not calibrated; "" where there are none."""
        kinds = [
            f"{number} x {kind} of {name}"
            for name, missing in zip((self.a, self.b), self.bridge.missing, strict=True)
            for kind, number in missing.items()
        ]
        if not kinds:
            return ""
        return (
            f"The bridge is incomplete: {self.machine.name} is not calibrated for {', '.join(kinds)}, whose time is in "
            "no row."
        )

    def _side(self, side: str) -> list[Fraction]:
        return [getattr(part, side).seconds for part in self.bridge.parts]

    def _parts(self) -> Sheet:
        unit = self.bridge.convention.unit
        spent = [apportioned([each * 10**6 for each in self._side(side)], 1) for side in "ab"]  # microseconds
        rows = []
        for part, first, second in zip(self.bridge.parts, *spent, strict=True):
            cells = [*_cells(part.a, first, part.group.known), *_cells(part.b, second, part.group.known)]
            rows.append([part.group.name, _bound(part), *cells])
        totals = [
            [str(sum(getattr(part, side).kernels for part in self.bridge.parts)), f"{sum(times) / 1e3:.3f}", "", ""]
            for side, times in zip("ab", spent, strict=True)
        ]
        rows.append(["all", "", *totals[0], *totals[1]])
        own = ["ms", f"G{unit}/s", "GB/s"]
        columns = ["kernels", "bound", "A", *own, "B", *own]
        labels = ["kernels", "bound", *(f"{side} {name}" for side in "AB" for name in ("kernels", *own))]
        notes = [
            f"A: {self.a}, B: {self.b}; the number of their kernels. ms: predicted.",
            f"G{unit}/s, GB/s: {unit}s and bytes / ms; bytes are those that each operation reads and writes, as if "
            "nothing stayed in a cache.",
        ]
        spare = ["A GB/s", "B GB/s", "A kernels", "B kernels"]
        return Sheet("Where the time goes", columns, "ll" + "r" * 8, rows, notes, 2, labels, spare)


def percent(step: Step) -> str:
    """The per cent of the time of A that a step adds, with its sign, or leads to."""
    sign = "+" if step.kind in MOVES else ""
    return f"{step.value / 10**PERCENT_DIGITS:{sign}.{PERCENT_DIGITS}f}"


def _bound(part: Part) -> str:
    return part.group.bound or ("" if part.group.known else "not predicted")


def _cells(sums: Sums, microseconds: int, known: bool) -> list[str]:
    """Number, milliseconds, and rates of kernels."""
    if not sums.kernels:
        return [""] * 4
    spent = float(sums.seconds)
    rates = [significant(float(each) / spent / 1e9, 3) if each and spent else "" for each in (sums.flops, sums.bytes)]
    return [str(sums.kernels), f"{microseconds / 1e3:.3f}" if known else "", *rates]


def _kernels(part: Part | None) -> dict[str, Any]:
    return {"kernels": part and part.group.name, "bound": part and part.group.bound}


def _sums(sums: Sums, nanoseconds: int) -> dict[str, Any]:
    return {"kernels": sums.kernels, "s": nanoseconds / 1e9, "flops": int(sums.flops), "bytes": sums.bytes}


def _nanoseconds(seconds: Iterable[Fraction]) -> list[int]:
    return apportioned([each * 10**9 for each in seconds], 1)


def why(
    *models: "str | Module | Mapping[str, Module]",
    machine: "str | CalibratedMachine | Predictor",
    profile: "str | os.PathLike[str] | Profile | None" = None,
    cells: "str | Cell | Iterable[str | Cell]" = "standard",
    size: "Pair | None" = None,
    kernel: "Size | Pair" = 3,
    channels: "Size | Pair" = 128,
    classes: int | None = None,
    convention: "str | Convention" = "torch",
    recurrence: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    memory_format: str | None = None,
    threads: int | None = None,
    bandwidth: float | None = None,
) -> Why:
    """Why the ratio of two times is not the one that FLOPs promise: the bridge from the promised ratio to that which a
    calibrated machine predicts, and to the measured one, in items that add up exactly.

    ``models``: A and B, or one network of which ``cells`` make two; names and sizes as for `compare`, or a dictionary
    that gives names to modules. ``machine`` and the settings of its calibration as for `predict`. ``profile``: has the
    times of A and B with these settings; by default the profile of the machine, if it has both. ``bandwidth``: of
    memory, in bytes per second, at which times are stated, by default that of the measured ratio, if it is of the same
    machine. `InvalidInput` for others than two, and where nothing is promised, predicted, or in a named profile
    measured.
    """
    from costmodel.profiles.predict import Predictor, called, described, predictor

    how: dict[str, Any] = {"device": device, "dtype": dtype, "memory_format": memory_format, "threads": threads}
    on = machine if isinstance(machine, Predictor) else predictor(machine, bandwidth=bandwidth, **how)
    given: Any = models[0] if len(models) == 1 and isinstance(models[0], Mapping) else models
    comparison = compare(
        given,
        cells,
        size=size,
        kernel=kernel,
        channels=channels,
        classes=classes,
        convention=convention,
        recurrence=recurrence,
    )
    if len(comparison) != 2:
        names = ", ".join(row.model for row in comparison.rows)
        raise InvalidInput(f"why is about two, A and B: {names:.200} {'are' if len(comparison) > 1 else 'is'} not two")
    a, b = comparison.rows
    timing, lacking = _measured(a, b, profile, on)
    ratio = timing.ratio if timing else None
    if on.at is None and timing and ratio and ratio.moment and _is_of(on.machine.name, timing):
        on = replace(on, at=ratio.moment)
    modules = [each for each in (given.values() if isinstance(given, Mapping) else given) if not isinstance(each, str)]
    calls = (called(getattr(each, "count", each)) for each in modules)
    first, second = (
        on.predict(described(row.subject) if row.subject and row.subject.module is None else next(calls))
        for row in (a, b)
    )
    measured = ratio.value if ratio else None
    bridge = bridges.why(first, second, comparison.convention, flops=(a.flops, b.flops), measured=measured)
    return Why(comparison, on.machine, bridge, timing, lacking)


def _measured(
    a: ComparedRow,
    b: ComparedRow,
    profile: "str | os.PathLike[str] | Profile | None",
    on: "Predictor",
) -> tuple[Timing | None, str]:
    """The time of B relative to A with the settings of a prediction, in a profile, by default that of the machine; or a
    sentence that says what is lacking, which is `InvalidInput` where the profile was named."""
    if a.subject is None or b.subject is None:
        return None, "a count alone has no times: costmodel.module names a module that a fresh process can time"
    wanted = on.how.model_dump(exclude_none=True)
    usable = {field: [value] for field, value in wanted.items()}
    if profile is None and not _there(on.machine.name):
        command = recording([a.subject, b.subject], usable)
        return None, f"there is no profile {on.machine.name} with times; to record them: {command}"
    name, found = _profile(on.machine.name if profile is None else profile)
    command = recording([a.subject, b.subject], usable, "NAME" if found.host.source else name)

    def same(how: "Settings") -> bool:
        return not (how.pages or how.cuda_graph) and all(getattr(how, field) == wanted[field] for field in wanted)

    stated = found.at(on.at.bandwidth) if on.at and found.moments else found
    known = [each for each in timings(stated, name, b.subject, a.subject) if each.ratio and each.how and same(each.how)]
    if len(known) > 1:
        ways = " or ".join(each.how.title for each in known if each.how)
        raise InvalidInput(f"profile {name} has times of both with several settings, choose one: {ways}")
    if known:
        return known[0], ""
    lacking = f"profile {name} has no times of both {a.model} and {b.model} with {on.how.title}; to record them: "
    if profile is not None:
        raise InvalidInput(lacking + command)
    return None, lacking + command


def _there(machine: str) -> bool:
    """True where a machine is one of a profile."""
    from costmodel.profiles.files import available

    return machine in available() or Path(machine).is_file()


def _is_of(machine: str, timing: Timing) -> bool:
    """True for times of a machine itself: those of another one have moments of their own."""
    return not _there(machine) or _profile(machine)[1].host.name(timing.device) == timing.machine


def _profile(given: "str | os.PathLike[str] | Profile") -> "tuple[str, Profile]":
    """A profile and its name."""
    from costmodel.profiles.files import load, locate
    from costmodel.profiles.records import Profile

    if isinstance(given, Profile):
        return "given", given
    path = locate(os.fspath(given))
    return path.stem, load(path)
