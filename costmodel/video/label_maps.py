"""Sequences of label maps: folders of PNG files, one frame per file, in the order of the numbers in their names."""

import os
import re
from collections.abc import Iterable
from itertools import islice, pairwise
from math import gcd
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from costmodel.errors import InvalidInput

Parts: TypeAlias = tuple[str | int, ...]  # of a name: text and numbers alternate, text first

MODES = {"L": "8-bit grey", "P": "palette", "I;16": "16-bit grey"}  # as Pillow calls them
MOST_NAMED = 4
SPARSE = 10  # numbers that skip more than 9 of 10 values do not count frames: a time, for example


def sequence(folder: Path, option: str) -> list[Path]:
    """The PNG files of a folder in natural order, frame2 before frame10; `InvalidInput` for fewer than two frames and
    for numbers that are missing. Messages name the folder as the argument ``option``."""
    files = _files(folder, option)
    if len(files) < 2:
        there = f"one frame, {files[0].name}" if files else "no PNG file"
        raise InvalidInput(f"{option} {folder} has {there}: flicker is between frames, at least two are needed")
    for one, other in pairwise(files):
        if _parts(one) == _parts(other):
            raise InvalidInput(f"{option} {folder}: {one.name} and {other.name} are the same frame")
    place = _counter(files)
    if place is None:
        return files
    numbers = {int(_parts(file)[place]) for file in files}
    every = _every(numbers)
    if lacking := len(every) - len(numbers):
        head, _, tail = _around(files[0], place)
        width = min(len(_around(file, place)[1]) for file in files)
        missing = (f"{head}{number:0{width}}{tail}" for number in every if number not in numbers)
        raise InvalidInput(f"{option} {folder} has no {_named(missing, lacking)}: flicker is between neighbours")
    return files


def counted(files: list[Path]) -> bool:
    """True if exactly one number in the names differs and counts frames, so that `sequence` finds missing frames."""
    return _counter(files) is not None


def counterparts(files: list[Path], folder: Path, option: str) -> list[Path]:
    """The files with the same names in another folder; `InvalidInput` for files that only one folder has."""
    own, there = {file.name for file in files}, {file.name: file for file in _files(folder, option)}
    for lacking, who, other in (
        ([file.name for file in files if file.name not in there], folder, files[0].parent),
        ([name for name in there if name not in own], files[0].parent, folder),
    ):
        if lacking:
            raise InvalidInput(f"{option} {folder}: {who} has no {_named(lacking, len(lacking))}, but {other} has")
    return [there[file.name] for file in files]


def read(file: Path) -> npt.NDArray[Any]:
    """The labels of a PNG file, rows x columns: 8-bit or 16-bit grey, or palette indices; `InvalidInput` for others."""
    from PIL import Image

    try:
        with Image.open(file, formats=["PNG"]) as image:
            # Pillow scales grey of 2 or 4 bits to 0 to 255, which changes the labels.
            (mode, *bits) = str(image.tile[0][3]).split(";") if image.mode == "L" and image.tile else (image.mode,)
            if image.mode not in MODES or bits:
                actual = f"{bits[0]}-bit grey" if bits else f"colour mode {mode}"
                allowed = ", ".join(f"{name} ({which})" for which, name in MODES.items())
                raise InvalidInput(f"{file} has {actual}: a label map has one label per pixel, as {allowed}")
            return np.asarray(image)
    except InvalidInput:
        raise
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # all that Pillow raises
        reason = (
            error.strerror if isinstance(error, OSError) and error.strerror else "damaged, too large or another format"
        )
        raise InvalidInput(f"{file} cannot be read as PNG: {reason}") from None


def _files(folder: Path, option: str) -> list[Path]:
    try:
        names = os.listdir(folder)  # noqa: PTH208  (a missing folder must raise here)
    except OSError as error:
        raise InvalidInput(f"{option} {folder}: {error.strerror}") from None
    files = [folder / name for name in names if name.lower().endswith(".png") and not name.startswith(".")]
    return sorted(files, key=lambda file: (_parts(file), file.name))


def _parts(file: Path) -> Parts:
    split = re.split("([0-9]+)", file.stem)
    return tuple(int(part) if n % 2 else part for n, part in enumerate(split))


def _around(file: Path, place: int) -> tuple[str, str, str]:
    """The name before a number, the number, the name after the number."""
    split = re.split("([0-9]+)", file.stem)
    return "".join(split[:place]), split[place], "".join(split[place + 1 :]) + file.suffix


def _counter(files: list[Path]) -> int | None:
    """The index of the part that counts frames; None if names differ in text or in several numbers."""
    names = [_parts(file) for file in files]
    differing = [n for n, part in enumerate(zip(*names, strict=False)) if len(set(part)) > 1]
    if len({len(name) for name in names}) > 1 or len(differing) != 1 or differing[0] % 2 == 0:
        return None
    numbers = {int(name[differing[0]]) for name in names}
    every = _every(numbers)
    count = (every[-1] - every[0]) // every.step + 1  # len() fails for numbers above 64 bits
    return differing[0] if count <= SPARSE * len(numbers) else None


def _every(numbers: set[int]) -> range:
    """The numbers from the first to the last in the largest step that meets all of them: 0, 5, 15 lack 10."""
    ordered = sorted(numbers)
    return range(ordered[0], ordered[-1] + 1, gcd(*(b - a for a, b in pairwise(ordered))))


def _named(names: Iterable[str], count: int) -> str:
    shown = ", ".join(islice(names, MOST_NAMED))
    return f"{shown} and {count - MOST_NAMED} more" if count > MOST_NAMED else shown
