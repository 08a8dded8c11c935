"""Machines by name: calibrated ones, whose rates are fitted when they are looked up, and those of a data sheet."""

import shlex
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any

from costmodel.errors import InvalidInput, meant
from costmodel.price.latency import CalibratedMachine, Chain, Sample
from costmodel.price.machine import Machine
from costmodel.profiles.files import available, load, locate
from costmodel.profiles.records import Calibration, DataSheet, Profile, Settings, TimedCall, TimedComposite

# The settings that a prediction is for, with their usual values.
CONDITIONS = {"device": "cpu", "dtype": "float32", "memory_format": "contiguous", "threads": None, "tf32": False}


def find_machine(name: str, how: Settings | None = None, torch: str | None = None) -> "CalibratedMachine | Machine":
    """The machine of a profile, given its name or file: calibrated with the settings ``how``, of which open fields
    (None) accept all values, or of a data sheet, which gives a roofline alone.

    ``torch``: the version that predictions are for, by default the installed one. `InvalidInput` for an unknown
    machine, and for a calibration of other settings or of another version, with the command that records it.
    """
    try:
        path = locate(name)
    except InvalidInput:
        there = machines()
        raise InvalidInput(f"no machine {name!r}: {_there(there)}{meant(name, there)}") from None
    return machine(load(path), name, how, torch)


def machine(
    profile: Profile, name: str, how: Settings | None = None, torch: str | None = None
) -> "CalibratedMachine | Machine":
    """The machine of a loaded profile; ``name`` for messages. See `find_machine`."""
    if profile.data_sheet:
        return _of_data_sheet(profile.data_sheet, name, how)
    return fitted(profile, name, chosen(profile, name, how, torch or version("torch")))


def machines() -> list[str]:
    """The names of profiles that are calibrated or a data sheet; damaged files are left out."""
    found = []
    for name, path in available().items():
        try:
            profile = load(path)
        except InvalidInput:
            continue
        found += [name] if profile.calibrations or profile.data_sheet else []
    return found


def chosen(profile: Profile, name: str, how: Settings | None, torch: str) -> Calibration:
    """The calibration of a profile with the settings ``how``; `InvalidInput` as of `find_machine`."""
    into = "NAME" if profile.host.source else name
    if not profile.calibrations:
        raise InvalidInput(
            f"{name} is not calibrated; to calibrate this machine: {command(how, into)}; {_there(machines())}"
        )
    if how and how.implementation == "compiled":
        raise InvalidInput(f"{name}: calibrations are of eager code, so compiled code is not predicted")
    found = [each for each in profile.calibrations if _accepts(how, each.how)]
    titles = "; ".join(each.title for each in profile.calibrations)
    if not found:
        raise InvalidInput(f"{name} is calibrated for {titles}; to record another: {command(how, into)}")
    if len(found) > 1:
        raise InvalidInput(f"{name} is calibrated for {titles}: choose {' and '.join(_choices(found))}")
    recorded = profile.host.torch
    if recorded and _release(recorded) != _release(torch):
        raise InvalidInput(
            f"{name} was calibrated with torch {recorded}, here is {torch}; to record this one: "
            f"{command(found[0].how, f'{into}-torch-{_release(torch)}')}"
        )
    return found[0]


def fitted(profile: Profile, name: str, calibration: Calibration) -> CalibratedMachine:
    """The machine that a calibration measured."""
    torch = f", torch {profile.host.torch}" if profile.host.torch else ""
    return CalibratedMachine.fit(
        name,
        f"{calibration.title}{torch}",
        [
            Sample(each.call, each.state == "cold", each.seconds, _probes(calibration, each))
            for each in calibration.points
        ],
        [Chain(each.name, each.calls, each.seconds, _probes(calibration, each)) for each in calibration.composites],
    )


def command(how: Settings | None, into: str) -> str:
    """The command that calibrates with these settings into a profile."""
    given = {} if how is None else {field: getattr(how, field) for field in CONDITIONS}
    words = [
        word
        for field, value in given.items()
        if value not in (None, CONDITIONS[field])
        for word in (f"--{field.replace('_', '-')}", *(() if value is True else (str(value),)))
    ]
    return shlex.join(["costmodel", "calibrate", *words, "--out", into])


def _probes(calibration: Calibration, timed: TimedCall | TimedComposite) -> tuple[tuple[float, float, float], ...]:
    return tuple(calibration.around(turn) for turn in timed.after)


def _accepts(how: Settings | None, given: Settings) -> bool:
    """True where a calibration with the settings ``given`` is for the settings ``how``."""
    return how is None or all(getattr(how, field) in (None, getattr(given, field)) for field in CONDITIONS)


def _choices(found: Sequence[Calibration]) -> Iterable[str]:
    """The settings in which calibrations differ, with their values."""
    for field in CONDITIONS:
        values = list(dict.fromkeys(getattr(each.how, field) for each in found))
        if len(values) > 1:
            yield f"{field} ({', '.join(map(str, values))})"


def _of_data_sheet(sheet: DataSheet, name: str, how: Settings | None) -> Machine:
    if how and how.device != sheet.device:
        raise InvalidInput(f"{name} is a data sheet of device {sheet.device}, not {how.device}")
    asked: Any = (how and how.dtype) or "float32"
    kind: Any = "tf32" if asked == "float32" and how and how.tf32 else asked
    if kind not in sheet.dense:
        raise InvalidInput(f"{name}: its data sheet has no peak for {kind}, but for {', '.join(sheet.dense)}")
    return Machine(sheet.dense[kind], sheet.bandwidth)


def _there(names: Sequence[str]) -> str:
    return f"machines are {', '.join(names)}" if names else "there are none; costmodel calibrate --out NAME records one"


def _release(torch: str) -> str:
    """The first two numbers of a version, between which kernels change."""
    return ".".join(torch.split(".")[:2])
