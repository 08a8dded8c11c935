"""A count in a file, and what has changed since: a gate for the tests of a project.

The file is JSON with one module a line, so that a change of one module is a one-line diff. Its keys are those of
``count --format json``; modules have the costs of their own operations, so that these add up to the whole.
"""

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from costmodel.errors import InvalidInput, in_words
from costmodel.price.conventions import Convention, find_convention
from costmodel.work.cost import NOTHING
from costmodel.work.events import Event

if TYPE_CHECKING:
    import pandas as pd

    from costmodel.counting.count import Count

FORMAT = 1
KIND = "costmodel count"
SUMS = {"params": "parameters", "flops": "FLOPs", "bytes": "bytes", "launches": "launches"}  # modules add up to these
PEAK = "peak_memory_bytes"
QUANTITIES = {"params": "parameters", "flops": "FLOPs", "bytes": "bytes", PEAK: "peak memory", "launches": "launches"}
# Two counts with other settings are of two things. The training mode of a function is None.
SETTINGS = ("inputs", "frames", "training", "backward", "optimizer", "convention", "attention")
AGAIN = "count with --save makes a new one"
Number = int | float
Record = dict[str, Any]


# ---- the file --------------------------------------------------------------------------------------------------------


def record(count: "Count", convention: "str | Convention" = "torch", attention: str = "full") -> Record:
    """The count as its file holds it. `InvalidInput` for closed forms."""
    if count.letters:
        raise InvalidInput(f"a baseline is in numbers: give sizes instead of {', '.join(count.letters)}")
    price, count = find_convention(convention), count.seen(attention)
    rest = count.held + count.optimizer_memory.states
    parts = count.cut()

    def numbers(path: str | None) -> Record:
        operations = count.operations if path is None else parts.get(path, ())
        cost = sum((each.cost for each in operations), NOTHING)
        peak: Any = None
        if count.held >= 0 and (path is None or operations):
            peak = count.peak_memory if path is None else rest + max(each.live for each in operations)
        return {
            "params": count.params if path is None else count.own_parameters.get(path, 0),
            "flops": _plain(price.flops(cost.work)),
            "macs": _plain(cost.work[Event.MAC]),
            "reads": int(cost.reads),
            "writes": int(cost.writes),
            "bytes": int(cost.reads + cost.writes),
            "launches": int(cost.launches),
            PEAK: None if peak is None else int(peak),
        }

    net = count.call.net if count.call else None
    return {
        "format": FORMAT,
        "kind": KIND,
        "costmodel": version("costmodel"),
        "torch": version("torch"),
        "name": count.name,
        "inputs": list(count.inputs),
        "frames": count.frames,
        "training": getattr(net, "training", None),
        "backward": count.call.backward if count.call else any(each.backward for each in count.operations),
        "optimizer": count.optimizer or None,
        "convention": price.name,
        "unit": price.unit,
        "attention": attention,
        **numbers(None),
        "events": {event.value: _plain(number) for event, number in count.work.items()},
        "uncounted": dict(count.uncounted),
        "notes": list(count.notes),
        "modules": [
            {"module": path, "class": count.modules.get(path, count.name if not path else "")} | numbers(path)
            for path in dict.fromkeys(["", *count.modules, *parts])
        ],
    }


def _plain(number: Any) -> Number:
    return number if isinstance(number, int) else int(number) if number == int(number) else float(number)


def save(kept: Record, path: str | os.PathLike[str]) -> None:
    """Write a record as a file, which is replaced as a whole."""
    lines = [f'"{key}": {json.dumps(value, ensure_ascii=False)}' for key, value in kept.items() if key != "modules"]
    rows = ",\n".join(json.dumps(each, ensure_ascii=False) for each in kept["modules"])
    text = "{\n" + ",\n".join([*lines, f'"modules": [\n{rows}\n]']) + "\n}\n"
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        if target.exists() and not target.is_file():
            raise InvalidInput(f"{os.fspath(path)} cannot be written: it is no file")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InvalidInput(f"{os.fspath(path)} cannot be written: {error.strerror}") from None


def read(path: str | os.PathLike[str]) -> Record:
    """The record in a file; `InvalidInput` tells what is wrong with the file, and the remedy."""
    name = os.fspath(path)
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InvalidInput(f"{name}: there is no such file; {AGAIN}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{name}: cannot be read: {getattr(error, 'strerror', None) or 'not text'}") from None
    try:
        kept = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{name}: damaged or cut short, not JSON: {error}; {AGAIN}") from None
    if problem := _problem(kept):
        raise InvalidInput(f"{name}: {problem}")
    return dict(kept)


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number")


def _problem(kept: Any) -> str:
    """The first thing that is wrong with what a file holds; "" for a record."""
    if not isinstance(kept, dict):
        return f"not a saved count; {AGAIN}"
    if kept.get("kind") != KIND:
        if "runs" in kept:
            return "a profile, not a saved count: costmodel diff compares profiles"
        if "modules" in kept and "flops" in kept:
            return f"the output of count --format json, not a saved count; {AGAIN}"
        return f"not a saved count; {AGAIN}"
    if kept.get("format") != FORMAT:
        given = in_words(kept.get("format"))
        return f"format {given}, but this version of costmodel reads format {FORMAT}: update costmodel, or {AGAIN}"
    if missing := [key for key in _FIELDS if key not in kept]:
        return f"{missing[0]} is missing; {AGAIN}"
    if wrong := [key for key, right in _FIELDS.items() if not right(kept[key])]:
        return f"{wrong[0]} cannot be {in_words(kept[wrong[0]])}; {AGAIN}"
    paths = [each["module"] for each in kept["modules"]]
    if twice := [path for place, path in enumerate(paths) if path in paths[:place]]:
        return f"module {twice[0]!r} is there twice; {AGAIN}"
    for key, words in SUMS.items():
        if not math.isclose(total := sum(each[key] for each in kept["modules"]), kept[key], rel_tol=1e-12):
            return f"damaged: the {words} of the modules add up to {total:,}, not to {kept[key]:,}; {AGAIN}"
    if any(each[PEAK] is not None and each[PEAK] > (kept[PEAK] or 0) for each in kept["modules"]):
        return f"damaged: a module has a higher peak memory than the whole; {AGAIN}"
    return ""


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and (value.isprintable() or not value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and _is_number(value)


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_module(value: Any) -> bool:
    return isinstance(value, dict) and all(key in value and right(value[key]) for key, right in _MODULE.items())


_Check = Callable[[Any], bool]
_NUMBERS: dict[str, _Check] = {
    "params": _is_whole,
    "flops": _is_number,
    "bytes": _is_whole,
    "launches": _is_whole,
    PEAK: lambda value: value is None or _is_whole(value),
}
_MODULE = {"module": _is_text, "class": _is_text} | _NUMBERS
_FIELDS: dict[str, _Check] = {
    **dict.fromkeys(("costmodel", "torch", "name", "convention", "unit", "attention"), _is_text),
    "inputs": _is_list,
    "frames": _is_whole,
    "training": lambda value: value is None or isinstance(value, bool),
    "backward": lambda value: isinstance(value, bool),
    "optimizer": lambda value: value is None or _is_text(value),
    **_NUMBERS,
    "uncounted": lambda value: isinstance(value, dict) and all(map(_is_text, value)),
    "notes": _is_list,
    "modules": lambda value: isinstance(value, list) and all(map(_is_module, value)),
}


# ---- the comparison --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """A quantity before and now, of the whole (``module``: None) or of the operations of a module's own.

    ``before`` or ``after`` is None where the quantity is not known, or the module does not exist.
    ``known``: False where nobody can compare the two.
    """

    quantity: str
    before: Number | None
    after: Number | None
    module: str | None = None
    class_: str = ""
    known: bool = True

    @property
    def difference(self) -> Number:
        return (self.after or 0) - (self.before or 0)

    @property
    def pct(self) -> float | None:
        """The change in per cent; None where it is not known, or from 0."""
        if not self.known or not self.before:
            return 0.0 if self.known and not self.difference else None
        return float(100 * Fraction(self.difference) / Fraction(self.before))

    @property
    def verdict(self) -> str:
        if not self.known:
            return "not judged"
        if self.module is not None and None in (self.before, self.after):
            return "appeared" if self.before is None else "vanished"
        return "rose" if self.difference > 0 else "fell" if self.difference < 0 else "same"

    def over(self, limit: float) -> bool:
        """True where it rose by more than ``limit`` (0.02: 2 %), in decimals as they are written; from 0 always."""
        return self.verdict == "rose" and self.difference > Fraction(str(limit)) * Fraction(self.before or 0)

    def record(self) -> Record:
        return {
            "quantity": self.quantity,
            "module": self.module,
            "class": self.class_,
            "before": self.before,
            "after": self.after,
            "change": self.difference if self.known else None,
            "pct": self.pct,
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class Comparison:
    """A count beside a saved one.

    ``changes``: every quantity of the whole. ``modules``: the deepest modules that explain the differences, by
    quantity, the largest first; of peak memory the module that runs at the fullest moment now. ``structure``: modules
    that vanished, appeared, or are of another class, in words. ``other_settings`` and ``unknown`` tell why nothing, or
    a quantity, can be judged. ``notes``: other causes of a difference.
    """

    before: Record
    after: Record
    changes: tuple[Change, ...]
    modules: tuple[Change, ...]
    structure: tuple[str, ...] = ()
    other_settings: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        told = [f"{each.quantity} {_in_per_cent(each)}" for each in self.changes]
        return f"<Comparison of {self.after['name']:.200}: {', '.join(told)}; .modules tells where>"

    def over(self, limit: float) -> list[Change]:
        """The quantities of the whole that rose by more than ``limit`` (0.02: 2 %)."""
        if not (isinstance(limit, int | float) and 0 <= limit < math.inf):
            raise InvalidInput(f"fail_over {in_words(limit)}: expected a number from 0, such as 0.02 for 2 %")
        return [each for each in self.changes if each.over(limit)]

    def frame(self) -> "pd.DataFrame":
        """A pandas frame with a row for each quantity of the whole (module: None), then of the modules that changed."""
        import pandas as pd

        return pd.DataFrame([each.record() for each in (*self.changes, *self.modules)])

    def verdict(self, limit: float | None = None) -> str:
        """``passed``; ``failed``, where a quantity rose by more than ``limit``; ``undecided``, where nothing can be
        compared or, with a limit, a quantity is not known."""
        if limit is not None and self.over(limit):
            return "failed"
        return "undecided" if self.other_settings or (limit is not None and self.unknown) else "passed"


def _in_per_cent(change: Change) -> str:
    return change.verdict if change.pct is None or not change.difference else f"{change.pct:+.3g} %"


def compare(before: Record, after: Record) -> Comparison:
    """Two records, quantity by quantity and module by module."""
    other = [
        f"{key}: {_setting(before[key])} in the baseline, {_setting(after[key])} now: count as the baseline was "
        "counted, or save a new one"
        for key in SETTINGS
        if before[key] != after[key]
    ]
    unknown = {}
    if uncounted := {**before["uncounted"], **after["uncounted"]}:
        when = " and ".join(word for word, each in (("then", before), ("now", after)) if each["uncounted"])
        unknown["flops"] = (
            f"FLOPs are not known {when}, no rule: {', '.join(uncounted)}; without such operations they can be judged"
        )
    if None in (before[PEAK], after[PEAK]):
        when = "in the baseline" if before[PEAK] is None else "now"
        unknown[PEAK] = f"peak memory is not known {when}: count with sizes instead of letters, or save a new baseline"
    changes = tuple(
        Change(words, before[key], after[key], known=not other and key not in unknown)
        for key, words in QUANTITIES.items()
    )
    notes = [
        f"{tool} {before[tool]} counted the baseline, and {after[tool]} counts now: a difference may come from there"
        for tool in ("costmodel", "torch")
        if before[tool] != after[tool]
    ]
    if before["name"] != after["name"]:
        notes.append(f"the baseline is of {before['name']}, and this is {after['name']}")
    modules, structure = _by_module(before, after)
    return Comparison(
        before, after, changes, () if other else modules, structure, tuple(other), tuple(unknown.values()), tuple(notes)
    )


def _setting(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value)
    return "none" if value is None else {"True": "yes", "False": "no"}.get(str(value), str(value))


def _by_module(before: Record, after: Record) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """The changes of modules, and of the structure. A module that vanished or appeared, or that has parts on one side
    alone, counts with all that is in it."""
    then, now = ({each["module"]: each for each in kept["modules"]} for kept in (before, after))
    paths = dict.fromkeys([*now, *then])
    with_parts = [{above for path in side for above in [*_above(path)][:-1]} for side in (then, now)]
    whole = (then.keys() ^ now.keys()) | (with_parts[0] ^ with_parts[1])
    inside: dict[str, list[str]] = {}
    for path in paths:
        inside.setdefault(next((each for each in _above(path) if each in whole), path), []).append(path)
    found: list[Change] = []
    for key, words in QUANTITIES.items():
        if key == PEAK:
            found += _fullest(before, after, then, now)
            continue
        rows = [
            Change(words, _total(then, path, parts, key), _total(now, path, parts, key), path, _class(path, now, then))
            for path, parts in inside.items()
        ]
        found += sorted((each for each in rows if each.difference), key=lambda each: -abs(each.difference))
    structure = [f"vanished: {path} ({then[path]['class']})" for path in inside if path not in now]
    structure += [f"appeared: {path} ({now[path]['class']})" for path in inside if path not in then]
    structure += [
        f"another class: {path or '(itself)'} ({then[path]['class']} before, {now[path]['class']} now)"
        for path in inside
        if path in then and path in now and then[path]["class"] != now[path]["class"]
    ]
    return tuple(found), tuple(structure)


def _above(path: str) -> Iterator[str]:
    """The modules that a module is in, the outermost first, and the module."""
    return accumulate(path.split("."), lambda one, other: f"{one}.{other}")


def _total(modules: Mapping[str, Record], path: str, parts: list[str], key: str) -> Number | None:
    return sum(modules[part][key] for part in parts if part in modules) if path in modules else None


def _class(path: str, *sides: Mapping[str, Record]) -> str:
    return next(str(modules[path]["class"]) for modules in sides if path in modules)


def _fullest(before: Record, after: Record, then: Mapping[str, Record], now: Mapping[str, Record]) -> list[Change]:
    """The module that runs at the fullest moment now, where the peak of memory has changed."""
    path = next((path for path, each in now.items() if each[PEAK] == after[PEAK]), None)
    if path is None or before[PEAK] is None or before[PEAK] == after[PEAK]:
        return []
    earlier = (then[path][PEAK] or 0) if path in then else None
    return [Change(QUANTITIES[PEAK], earlier, now[path][PEAK], path, now[path]["class"])]
