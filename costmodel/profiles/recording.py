"""Commands that record the times that a profile lacks."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from costmodel.describe.catalogue import NETWORKS

if TYPE_CHECKING:
    from costmodel.profiles.records import Profile, Subject


def earlier(profile: "Profile", subject: "Subject") -> "Subject | None":
    """The subject of a profile that was the same module before its structure changed."""
    known = [*(run.subject for run in profile.runs), *(run.subject for run in profile.layers)]
    return next((old for old in known if subject.is_later(old)), None)


def changed(old: "Subject", subject: "Subject", where: object) -> str:
    """The sentence about a module that has changed since a profile, ``where``, recorded it."""
    structures = f"structure {old.structure}, now {subject.structure}"
    return f"{subject.name} has changed since {where} recorded it ({structures})"


def recording(
    subjects: "Iterable[Subject]", settings: "Mapping[str, Sequence[Any]] | None" = None, name: str = "NAME"
) -> str:
    """Commands that time subjects (and perhaps more subjects) into a profile; ``settings``: values by field."""
    groups: dict[tuple[Any, ...], list[Subject]] = {}
    for subject in subjects:
        called = subject.arguments, subject.inputs
        about = subject.sites, subject.recurrence, subject.classes, subject.size, *called
        # A network without cells has neither sites nor a recurrence: the network joins a group of its size.
        alike = next((key for key in groups if subject.network and not subject.cell and key[2:] == about[2:]), about)
        groups.setdefault(alike, []).append(subject)
    return " && ".join(_command(group, settings or {}, name) for group in groups.values())


def _of_modules(subjects: "Sequence[Subject]") -> list[str]:
    """Options that name modules of the user's and their inputs."""
    first = subjects[0]
    options = ["--model", ",".join(dict.fromkeys(str(subject.module) for subject in subjects))]
    for each in first.inputs:
        options += ["--input", each]
    return [shlex.quote(each) for each in [*options, *(["--make", first.arguments] if first.arguments else [])]]


_USUAL = {
    "kernel": "3",
    "channels": "128",
    "classes": "19",
    "recurrence": "convlstm",
    "device": "cpu",
    "dtype": "float32",
    "memory_format": "contiguous",
    "implementation": "eager",
    "pages": "default",
    "batch": "1",
    "frames": "1",
}
_FLAGS = {"tf32": (True, "--tf32"), "cuda_graph": (True, "--cuda-graph"), "flush": (False, "--no-flush")}


def _command(subjects: "Sequence[Subject]", settings: "Mapping[str, Sequence[Any]]", name: str) -> str:
    first = next((subject for subject in subjects if subject.cell), subjects[0])
    if first.module is not None:
        return _finished(_of_modules(subjects), settings, name)
    fields = {"model": "network", "cell": "cell", "kernel": "kernel", "channels": "channels", "classes": "classes"}
    options = {
        option: ",".join(dict.fromkeys(_typed(getattr(s, field)) for s in subjects if getattr(s, field)))
        for option, field in fields.items()
    }
    options["size"] = "x".join(map(str, first.size or ()))
    options["site"] = ",".join(f"{site}={cell}" for site, cell in first.sites)
    options["recurrence"] = first.recurrence
    usual = {"size": "128x256"}
    if network := NETWORKS.get(first.network or ""):
        usual |= {"size": "x".join(map(str, network.size)), "classes": str(network.classes)}
    return _finished(_given(options, usual), settings, name)


def _finished(given: list[str], settings: "Mapping[str, Sequence[Any]]", name: str) -> str:
    """The command, with settings and the profile."""
    options = {field: ",".join(map(str, values)) for field, values in settings.items() if field not in _FLAGS}
    flags = [flag for field, (value, flag) in _FLAGS.items() if value in settings.get(field, ())]
    # Without a chosen name there is nothing to resume.
    into = f"--out {shlex.quote(name)}" + (" --resume" if name != "NAME" else "")
    return " ".join(["costmodel profile", *given, *_given(options), *flags, into])


def _given(options: "Mapping[str, str]", usual: "Mapping[str, str]" = MappingProxyType({})) -> list[str]:
    """Options whose value is not the usual one."""
    usual = {**_USUAL, **usual}
    return [
        f"--{field.replace('_', '-')} {shlex.quote(value)}"
        for field, value in options.items()
        if value and value != usual.get(field)
    ]


def _typed(value: Any) -> str:
    """A value as commands take it; sizes as ``3``, ``3x5``."""
    return (
        "x".join(map(str, dict.fromkeys(value) if len(set(value)) == 1 else value))
        if isinstance(value, tuple)
        else str(value)
    )
