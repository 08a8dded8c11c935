"""Modules of other people, named on a command line as ``package.module:factory``."""

import importlib
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from costmodel.errors import InvalidInput


def load(name: str, arguments: Mapping[str, Any] | None = None, meta: bool = True) -> torch.nn.Module:
    """The module that ``package.module:factory`` makes (a function or a class, called with ``arguments``) or is.

    With ``meta`` it is made without memory for weights, if it lets itself be. `InvalidInput` tells what went
    wrong, with the error of the factory and its place.
    """
    place, colon, attribute = name.partition(":")
    if not (place and colon and attribute):
        raise InvalidInput(f"{name!r}: expected package.module:factory, such as torchvision.models:resnet50")
    sys.path.insert(0, str(Path.cwd()))  # as `python -m` does
    try:
        found: Any = importlib.import_module(place)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name and place.startswith(error.name):
            raise InvalidInput(
                f"{name!r}: there is no module {error.name!r} here or among the installed ones"
            ) from None
        raise InvalidInput(f"importing {place} raised {_told(error)}") from error
    finally:
        sys.path.remove(str(Path.cwd()))
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise InvalidInput(f"{name!r}: {place} has no {attribute!r}")
        found = getattr(found, part)
    if isinstance(found, torch.nn.Module):
        if arguments:
            raise InvalidInput(f"{name!r} is a module, not a factory: it takes no arguments")
        return found
    if not callable(found):
        raise InvalidInput(f"{name!r} is a {type(found).__name__}: neither a module nor something that makes one")
    made = _made(found, name, arguments or {}, meta)
    if not isinstance(made, torch.nn.Module):
        raise InvalidInput(f"{name!r} made a {type(made).__name__}, not a torch.nn.Module")
    return made


def _made(factory: Any, name: str, arguments: Mapping[str, Any], meta: bool) -> Any:
    try:
        with torch.device("meta" if meta else "cpu"):
            return factory(**arguments)
    except (Exception, SystemExit):  # it may need values: then with memory
        try:
            return factory(**arguments)
        except (Exception, SystemExit) as error:
            raise InvalidInput(f"{name} raised {_told(error)}") from error


def _told(error: BaseException) -> str:
    """An error of somebody else's code in a line: what, and where."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}".rstrip(": ") + where
