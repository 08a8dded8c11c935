"""Machines by name: calibrated ones, whose rates are fitted when they are looked up, and those of a data sheet."""

import shlex
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

from costmodel.errors import InvalidInput, meant
from costmodel.price.latency import CalibratedMachine, Chain, Sample
from costmodel.price.machine import Machine
from costmodel.profiles.files import available, load, locate
from costmodel.profiles.records import Calibration, DataSheet, Profile, Samples, Settings

# The settings that a prediction is for, with the values that are preferred (None: the largest).
CONDITIONS: Mapping[str, Any] = MappingProxyType(
    {"device": "cpu", "dtype": "float32", "memory_format": "contiguous", "threads": None, "tf32": False}
)


def find_machine(name: str, how: Settings, torch: str | None = None) -> "CalibratedMachine | Machine":
    """The machine of a profile, given its name or file: calibrated with the settings ``how`` (of which open ones
    accept all values), or of a data sheet, which gives a roofline alone. ``torch`` and errors as of `look_up`."""
    if how.implementation == "compiled":
        raise InvalidInput("a calibration is of eager code, so no machine predicts implementation compiled")
    given = {field: getattr(how, field) for field in CONDITIONS}
    return look_up(name, {field: value for field, value in given.items() if value is not None}, torch)[0]


def look_up(
    name: str, given: Mapping[str, Any] = MappingProxyType({}), torch: str | None = None
) -> "tuple[CalibratedMachine | Machine, Settings]":
    """The machine of a profile, and the settings that it is for: those of ``given`` (of the names of `CONDITIONS`), and
    for the others what the profile has, if possible float32 and contiguous with the most threads.

    ``torch``: the version that predictions are for, by default the installed one. `InvalidInput` for an unknown
    machine, and for a calibration of other settings or of another version, with the command that records it.
    """
    try:
        path = locate(name)
    except InvalidInput:
        there = machines()
        raise InvalidInput(f"no machine {name!r}: {_there(there)}{meant(name, there)}") from None
    profile = load(path)
    if profile.data_sheet:
        return _of_data_sheet(profile.data_sheet, name, given)
    calibration = chosen(profile, name, given, torch or version("torch"))
    return machine(profile, name, calibration), calibration.how


def machines() -> list[str]:
    """The names of profiles that have a calibration or a data sheet; damaged files are left out."""
    found = []
    for name, path in available().items():
        try:
            profile = load(path)
        except InvalidInput:
            continue
        found += [name] if profile.calibrations or profile.data_sheet else []
    return found


def machine(profile: Profile, name: str, calibration: Calibration) -> CalibratedMachine:
    """The machine that a calibration of a profile measured; its rates are fitted here."""
    torch = f", torch {profile.host.torch}" if profile.host.torch else ""
    samples = [
        Sample(each.call, state == "cold", found.seconds, _probes(calibration, found))
        for each in calibration.points
        for state, found in each.states.items()
    ]
    chains = [
        Chain(each.name, each.calls, each.samples.seconds, _probes(calibration, each.samples))
        for each in calibration.composites
    ]
    return CalibratedMachine.fit(name, f"{calibration.title}{torch}", samples, chains, calibration.cache)


def chosen(profile: Profile, name: str, given: Mapping[str, Any], torch: str) -> Calibration:
    """The calibration of a profile that `look_up` chooses."""
    into = "NAME" if profile.host.source else name  # nobody records into published times
    if not profile.calibrations:
        raise InvalidInput(
            f"{name} is not calibrated; to calibrate this machine: {command(given, into)}; {_there(machines())}"
        )
    found = [
        each
        for each in profile.calibrations
        if all(getattr(each.how, field) == value for field, value in given.items())
    ]
    if not found:
        titles = "; ".join(each.title for each in profile.calibrations)
        raise InvalidInput(f"{name} is calibrated for {titles}; to record another: {command(given, into)}")
    best = min(found, key=lambda each: _preference(each.how))
    recorded = profile.host.torch
    if recorded and _release(recorded) != _release(torch):
        raise InvalidInput(
            f"{name} was calibrated with torch {recorded}, and torch {torch} is installed; to record it: "
            f"{command(dict(best.how), f'{into}-torch-{_release(torch)}')}"
        )
    return best


def command(given: Mapping[str, Any], into: str) -> str:
    """The command that calibrates with these settings into a profile."""
    words = [
        word
        for field, usual in CONDITIONS.items()
        if given.get(field) not in (None, usual)
        for word in (f"--{field.replace('_', '-')}", *([] if given[field] is True else [str(given[field])]))
    ]
    return shlex.join(["costmodel", "calibrate", *words, "--out", into])


def _preference(how: Settings) -> tuple[Any, ...]:
    """A smaller one is preferred."""
    fields = [getattr(how, field) not in (None, usual) for field, usual in CONDITIONS.items() if field != "threads"]
    return *fields, -(how.threads or 0)


def _probes(calibration: Calibration, samples: Samples) -> tuple[tuple[float, float, float], ...]:
    return tuple(calibration.around(turn) for turn in samples.after)


def _of_data_sheet(sheet: DataSheet, name: str, given: Mapping[str, Any]) -> tuple[Machine, Settings]:
    if given.get("device", sheet.device) != sheet.device:
        raise InvalidInput(f"{name} is the data sheet of a device {sheet.device}, not {given['device']}")
    fields = {field: value for field, value in given.items() if field != "threads" or sheet.device == "cpu"}
    usual = {"device": sheet.device, "dtype": "float32", "memory_format": "contiguous", "implementation": "eager"}
    how = Settings.model_validate(usual | fields)
    kind: Any = "tf32" if how.tf32 else how.dtype
    if kind not in sheet.dense:
        raise InvalidInput(f"{name}: its data sheet has peaks for {', '.join(sheet.dense)}, none for {kind}")
    return Machine(sheet.dense[kind], sheet.bandwidth), how


def _there(names: Sequence[str]) -> str:
    return f"machines are {', '.join(names)}" if names else "there are none; costmodel calibrate --out NAME records one"


def _release(torch: str) -> str:
    """The first two numbers of a version: with them kernels change."""
    return ".".join(torch.split(".")[:2])
