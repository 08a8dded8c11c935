"""Commands that record the times that a profile lacks."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from costmodel.describe.catalogue import NETWORKS

if TYPE_CHECKING:
    from costmodel.profiles.records import Subject


def recording(
    subjects: "Iterable[Subject]", settings: "Mapping[str, Sequence[Any]] | None" = None, name: str = "NAME"
) -> str:
    """Commands that time subjects (and perhaps more subjects) into a profile; ``settings``: values by field."""
    groups: dict[tuple[Any, ...], list[Subject]] = {}
    for subject in subjects:
        about = subject.sites, subject.recurrence, subject.classes, subject.size
        # A network without cells has neither sites nor a recurrence: the network joins a group of its size.
        alike = next((key for key in groups if subject.cell is None and key[2:] == about[2:]), about)
        groups.setdefault(alike, []).append(subject)
    return " && ".join(_command(group, settings or {}, name) for group in groups.values())


_USUAL = {
    "kernel": "3",
    "channels": "128",
    "classes": "19",
    "recurrence": "convlstm",
    "device": "cpu",
    "dtype": "float32",
    "memory_format": "contiguous",
    "implementation": "eager",
    "batch": "1",
    "frames": "1",
}
_FLAGS = {"tf32": (True, "--tf32"), "cuda_graph": (True, "--cuda-graph"), "flush": (False, "--no-flush")}


def _command(subjects: "Sequence[Subject]", settings: "Mapping[str, Sequence[Any]]", name: str) -> str:
    first = next((subject for subject in subjects if subject.cell), subjects[0])
    fields = {"model": "network", "cell": "cell", "kernel": "kernel", "channels": "channels", "classes": "classes"}
    options = {
        option: ",".join(dict.fromkeys(_typed(getattr(s, field)) for s in subjects if getattr(s, field)))
        for option, field in fields.items()
    }
    options["size"] = "x".join(map(str, first.size))
    options["site"] = ",".join(f"{site}={cell}" for site, cell in first.sites)
    options["recurrence"] = first.recurrence
    options |= {field: ",".join(map(str, values)) for field, values in settings.items() if field not in _FLAGS}
    usual = _USUAL | {"size": "128x256"}
    if network := NETWORKS.get(first.network or ""):
        usual |= {"size": "x".join(map(str, network.size)), "classes": str(network.classes)}
    given = [
        f"--{field.replace('_', '-')} {shlex.quote(value)}"
        for field, value in options.items()
        if value and value != usual.get(field)
    ]
    given += [flag for field, (value, flag) in _FLAGS.items() if value in settings.get(field, ())]
    # Without a chosen name there is nothing to resume.
    into = f"--out {shlex.quote(name)}" + (" --resume" if name != "NAME" else "")
    return " ".join(["costmodel profile", *given, into])


def _typed(value: Any) -> str:
    """A value as commands take it; sizes as ``3``, ``3x5``."""
    return (
        "x".join(map(str, dict.fromkeys(value) if len(set(value)) == 1 else value))
        if isinstance(value, tuple)
        else str(value)
    )
