"""Errors of other people's code in one line: the reason, the place, and the module that was running."""

import re
import sysconfig
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import shorten
from types import FrameType
from typing import Any

import torch

_OURS = Path(__file__).parent.parent
_TORCH = Path(torch.__file__).parent
_PYTHON = Path(sysconfig.get_path("stdlib"))
_INSTALLED = ("site-packages", "dist-packages")
MOST_CHARACTERS = 300


def reason(error: BaseException) -> str:
    """The class and the message of an error: its first line, or all of them where the first one ends in a colon."""
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    text = re.sub(r"\bShadow\b", "Tensor", text)  # the user knows tensors
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    told = " ".join(lines) if lines[0].endswith(":") else lines[0]
    return f"{type(error).__name__}: {shorten(told, MOST_CHARACTERS, placeholder=' ...')}".rstrip(": ")


def place(error: BaseException) -> str:
    """The last line of the user's own code that an error went through, such as ``net.py, line 7``: not of torch, this
    package or Python, and of an installed package only where there is no other; empty where there is none."""
    found = [each for each in traceback.extract_tb(error.__traceback__) if _is_theirs(each.filename)]
    own = [each for each in found if not _is_installed(each.filename)]
    if isinstance(error, SyntaxError) and error.filename and _is_theirs(error.filename):
        return f"{_short(error.filename)}, line {error.lineno}"
    return f"{_short((own or found)[-1].filename)}, line {(own or found)[-1].lineno}" if found else ""


def placed_reason(error: BaseException) -> str:
    """The reason, and in parentheses the place."""
    where = place(error)
    return f"{reason(error)} ({where})" if where else reason(error)


def running_module(
    error: BaseException, paths: Mapping[int, str]
) -> tuple[str, torch.nn.Module, tuple[Any, ...]] | None:
    """The module that was running when an error came, the innermost of those whose path by `id` is known: its path, the
    module, and its inputs."""
    found: tuple[str, torch.nn.Module, tuple[Any, ...]] | None = None
    for frame in _frames(error):
        if frame.f_code is torch.nn.Module._call_impl.__code__:
            module: Any = frame.f_locals.get("self")
            if id(module) in paths:
                found = paths[id(module)], module, tuple(frame.f_locals.get("args", ()))
    return found


def _frames(error: BaseException) -> Iterator[FrameType]:
    entry = error.__traceback__
    while entry is not None:
        yield entry.tb_frame
        entry = entry.tb_next


def _is_theirs(file: str) -> bool:
    if file.startswith("<"):
        return file == "<stdin>"
    path = Path(file)
    if any(path.is_relative_to(package) for package in (_OURS, _TORCH)):
        return False
    return _is_installed(file) or not path.is_relative_to(_PYTHON)


def _is_installed(file: str) -> bool:
    return any(name in Path(file).parts for name in _INSTALLED)


def _short(file: str) -> str:
    """A path as short as it is clear: below the folder of installed packages, or below the current one."""
    parts = Path(file).parts
    if _is_installed(file):
        return str(Path(*parts[1 + max(parts.index(name) for name in _INSTALLED if name in parts) :]))
    here = Path.cwd()
    return str(Path(file).relative_to(here)) if Path(file).is_relative_to(here) else file
