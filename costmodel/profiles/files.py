"""Profile files: look-up by name, reading with validation, and a lock for writing."""

import fcntl
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from costmodel.errors import InvalidInput, meant
from costmodel.profiles.records import FORMAT, Profile

SHIPPED = Path(__file__).parents[1] / "recorded"  # in a wheel; a checkout has profiles/ instead


def load(path: Path) -> Profile:
    """Read and validate a file; `InvalidInput` names the file, the run and the field."""
    if path.exists() and not path.is_file():
        raise InvalidInput(f"{path}: not a profile file")
    try:
        text = path.read_text(encoding="utf-8-sig")  # editors may write a byte-order mark
    except FileNotFoundError:
        raise InvalidInput(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'not text'}") from None
    try:
        return Profile.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise InvalidInput(f"{path}: {_in_words(error, text)}") from None


def _in_words(error: ValidationError, text: str) -> str:
    problems = error.errors(include_url=False)
    for problem in problems:
        if problem["loc"] == ("format",) and isinstance(problem["input"], int):
            return f"format {problem['input']}, but this version of costmodel reads format {FORMAT}: update costmodel"
    first = problems[0]
    if first["type"] == "json_invalid":
        return f"damaged or cut short, not JSON: {first['ctx']['error']}"
    if re.search(r'^"kind": "costmodel count"', text, re.M):
        return "a saved count, not a profile: costmodel count --baseline compares counts"
    place = ""
    for part in first["loc"]:
        place += f"[{part}]" if isinstance(part, int) else f".{part}"
    what = first["msg"].removeprefix("Value error, ")
    given = "" if isinstance(first["input"], dict | list) or first["type"] == "missing" else f", not {first['input']!r}"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{_run_in_words(first['loc'], text)}{place.lstrip('.') or 'runs'}: {what}{given}{more}"


def _run_in_words(place: Sequence[int | str], text: str) -> str:
    """The run that a place is in, with its line where the file has one run per line."""
    if len(place) < 2 or place[0] != "runs":
        return ""
    line = next((n for n, line in enumerate(text.splitlines(), 1) if line.startswith('"runs": [')), None)
    return f"run {int(place[1]) + 1}{f' (line {line + 1 + int(place[1])})' if line else ''}: "


def folders() -> list[Path]:
    """The folders that are searched for a name: ``profiles/`` here, then the profiles that come with costmodel."""
    own = Path(__file__).parents[2] / "profiles"
    here = Path(os.path.realpath("profiles"))  # works for links to themselves, too
    return list(dict.fromkeys([here, SHIPPED if SHIPPED.is_dir() else own]))


def available() -> dict[str, Path]:
    """Paths of profiles by name."""
    paths: dict[str, Path] = {}
    for folder in folders():
        for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
            paths.setdefault(path.stem, path)
    return paths


def locate(name: str) -> Path:
    """The file of a profile, given its path or its name; `InvalidInput` for an unknown name."""
    if name.endswith(".json") or os.sep in name:
        return Path(name)
    paths = available()
    if name not in paths:
        raise InvalidInput(
            f"no profile {name!r}: there are {', '.join(paths) or 'none'}; or give the path of a file"
            f"{meant(name, paths)}"
        )
    return paths[name]


def read(name: str | Path) -> Profile:
    """A recorded profile, given its name or the path of its file; `InvalidInput` for a missing or damaged file.

    >>> import costmodel
    >>> paper = costmodel.read_profile("paper")
    >>> paper.host.name("cuda"), len(paper.runs)
    ('NVIDIA TITAN X', 26)
    """
    return load(locate(os.fspath(name)))


def destination(name: str) -> Path:
    """The file of a new profile: a path stays, a name becomes ``profiles/NAME.json`` here."""
    if not name or name.endswith(("/", os.sep)) or Path(name).is_dir():
        raise InvalidInput(f"{name!r} is not a valid profile name: expected NAME or a path such as profiles/NAME.json")
    path = Path(name) if name.endswith(".json") or os.sep in name else Path("profiles") / f"{name}.json"
    if not path.exists() and path.resolve() == folders()[0] / path.name and path.stem in available():
        raise InvalidInput(
            f"{name!r} is the name of a profile that comes with costmodel, which it would hide: give another"
        )
    return path.resolve() if path.is_symlink() else path  # the file is replaced, not the link


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock a profile for writing; `InvalidInput` where another process writes, or where nobody may write."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):  # can a new file be put there?
            pass
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}") from None
    if path.exists() and not os.access(path, os.W_OK):
        raise InvalidInput(f"{path} cannot be written: it is read-only")
    lock = path.with_name(f".{path.name}.lock")
    held = _hold(lock)
    if held is None:
        raise InvalidInput(f"{path}: another process is writing to it")
    try:
        for left in path.parent.glob(f".{path.name}.*.tmp"):  # left by a writer that was killed
            left.unlink(missing_ok=True)
        yield
    finally:
        lock.unlink(missing_ok=True)  # while it is held: who waits sees that the file is gone, see `_hold`
        os.close(held)


def _hold(lock: Path) -> int | None:
    """The descriptor of a lock file that this process now holds; None where another process does."""
    while True:
        held = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
            return None
        if os.fstat(held).st_nlink:
            return held
        os.close(held)  # its holder removed the file after it was opened here: a lock on it would hold off nobody
