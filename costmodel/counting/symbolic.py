"""Closed forms of what a module costs, from counts in numbers at several sizes.

Every size of every operation is an integer at each of the sizes tried, and `costmodel.price.forms` finds what it is in
letters. Nothing is traced with symbols: what can be counted in numbers has a form, if what runs is the same at other
sizes. Sizes that no form has been made from confirm it, and a search among them tells where it ceases to hold.
"""

import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations, islice
from typing import TYPE_CHECKING, Any

from costmodel.counting.call import ReadsValues
from costmodel.errors import InvalidInput
from costmodel.price.domain import Domain
from costmodel.price.forms import ENOUGH_ALONE, Fit, Form, Values
from costmodel.work.cost import Operation
from costmodel.work.events import Event, Work

if TYPE_CHECKING:
    from costmodel.counting.count import Count

Sizes = Mapping[str, int]

# Sizes to start from: sides that can be halved six times and that no layer has; then those that networks are made for.
UNUSUAL = (832, 1088, 1216, 1472, 1856)
EVEN = (1344, 1792, 2240, 2688, 3136)  # multiples of windows of 7 at strides up to 32, where nothing is padded
USUAL = (832, 448, 224, 256, 384, 192, 128, 64, 32, 16, 8, 4, 2)
FAR = 2688  # how far one letter goes alone, which tells slopes: 2**7 * 3 * 7
TRIES = 8  # of sizes that would tell what is open: at some, other operations run
NEAR = 512  # how far all letters go together, on both sides
RANDOM_POINTS = 4
ENOUGH = 30  # points after which no form is expected to be found
MOST_TURNS = 40
MANY, FEW = 3000, 8  # operations that may be those of a loop, which is looked at with few turns


class _NoForm(Exception):
    """Some size has no form at the points tried."""


class _OthersRun(Exception):
    """Other operations run at some sizes among those where the same ones should."""


def closed_forms(letters: tuple[str, ...], exact: "Callable[[Sizes], Count]") -> "Count":
    """The count of a call whose inputs have ``letters``, all its sizes expressions in them, with the domain where these
    hold. ``exact``: the count in numbers for given sizes; `InvalidInput` where the module refuses them."""
    from costmodel.price.symbols import expression

    search = _Search(letters, exact)
    search.start()
    search.find_steps()
    try:
        forms, domain = search.find()
    except _OthersRun:  # such as where nothing is padded, at multiples of windows: those alone may have a form
        search, forms, domain = _between(search)
    told: dict[Form, Any] = {}

    def spelled(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(spelled, value))
        if not isinstance(value, Form):
            return 0 if value is None else value
        if value not in told:
            told[value] = expression(value)
        return told[value]

    operations = []
    for each in forms.operations:
        work = Work({event: spelled(each.cost.work[event]) for event in each.cost.work})
        cost = replace(each.cost, work=work, reads=spelled(each.cost.reads), writes=spelled(each.cost.writes))
        changes = {name: spelled(getattr(each, name)) for name in ("inputs", "output", "live")}
        if each.masked is not None:
            changes["masked"] = Work({event: spelled(each.masked[event]) for event in each.masked})
        operations.append(replace(each, cost=cost, **changes))
    return replace(
        search.base,
        operations=tuple(operations),
        letters=letters,
        domain=domain,
        held=spelled(forms.held) if forms.peaks and search.peaks_hold else -1,
        saved={path: spelled(form) for path, form in forms.saved.items()},
        peaks=tuple(map(spelled, forms.peaks)),
    )


def _between(search: "_Search") -> "tuple[_Search, Forms, Domain]":
    """Forms of a call of which other operations run at some sizes between others: at multiples of windows, if the same
    ones run at all of those; else where the domain tells such sizes apart."""
    even = _Search(search.letters, search.exact)
    try:
        if search.base_sizes[search.letters[0]] == UNUSUAL[0] and even.start(EVEN):
            even.find_steps()
            return even, *even.find()
    except (_OthersRun, InvalidInput):
        pass
    search.strict = False
    return search, *search.find()


@dataclass(frozen=True)
class Forms:
    """The operations of a call, the bytes held and saved, as forms: true in a domain."""

    operations: tuple[Operation, ...]
    held: Form | None
    saved: Mapping[str, Form | None]

    @cached_property
    def totals(self) -> "dict[Event | str, Form]":
        costs = [each.cost for each in self.operations]
        totals: dict[Event | str, Form] = {
            event: Form.sum(cost.work[event] for cost in costs if event in cost.work) for event in Event
        }
        totals["reads"] = Form.sum(cost.reads for cost in costs)
        totals["writes"] = Form.sum(cost.writes for cost in costs)
        return {name: form for name, form in totals.items() if form.terms or isinstance(name, str)}

    @cached_property
    def peaks(self) -> tuple[Form, ...]:
        """The forms of which the largest is the peak of memory; nothing where some are not known."""
        if self.held is None or any(each.live is None for each in self.operations):
            return ()
        found: list[Form] = []  # those that no other one always exceeds
        lives: list[Any] = [each.live for each in self.operations]
        for form in dict.fromkeys(self.held + live for live in lives):
            if not any(each.exceeds(form) for each in found):
                found = [each for each in found if not form.exceeds(each)] + [form]
        return tuple(found)

    def agrees(self, sample: "_Sample", sizes: Sizes) -> bool:
        """Whether the count in numbers has the totals of the forms."""
        return all(
            (self.totals[name].at(sizes) if name in self.totals else 0) == sample.totals.get(name, 0)
            for name in {*sample.totals, *self.totals}
        )


@dataclass(frozen=True)
class _Sample:
    """The numbers of a count in numbers, without its operations, which are many objects: what runs (``running``), all
    sizes in a ``row``, sums by event, and the peak of memory."""

    running: tuple[Any, ...]
    row: list[int]
    totals: "dict[Event | str, Any]"
    peak: int

    @classmethod
    def of(cls, count: "Count", known: tuple[Any, ...]) -> "_Sample":
        """``known``: what runs elsewhere, kept once where it is the same."""
        running = _running(count)
        totals: dict[Event | str, Any] = {}
        for cost in (each.cost for each in count.operations):
            for event, number in cost.work.items():
                totals[event] = totals.get(event, 0) + number
        totals["reads"] = sum(each.cost.reads for each in count.operations)
        totals["writes"] = sum(each.cost.writes for each in count.operations)
        return cls(known if running == known else running, _row(count), totals, int(count.peak_memory))


@dataclass
class _Search:
    letters: tuple[str, ...]
    exact: "Callable[[Sizes], Count]"
    fixed: dict[str, int] = field(default_factory=dict)
    equal: dict[str, str] = field(default_factory=dict)  # a letter that always has the size of another one
    steps: dict[str, int] = field(default_factory=dict)
    most: dict[str, int] = field(default_factory=dict)
    least: dict[str, int] = field(default_factory=dict)  # below which other operations run, where that is near
    strict: bool = True  # the same operations run at all sizes near the start
    base: "Count" = field(init=False)  # at the sizes of the start

    def __post_init__(self) -> None:
        self.counts: dict[tuple[int, ...], _Sample | None] = {}
        self.refusals: dict[tuple[int, ...], InvalidInput] = {}
        self.random = random.Random(0)
        self.points: list[dict[str, int]] = []
        self.running: tuple[Any, ...] = ()
        self.peaks_hold = True
        self.wrong: dict[str, int] | None = None  # sizes at which the same operations run, and forms do not hold

    # ---- counts ----

    def count(self, sizes: Sizes) -> _Sample | None:
        """The count in numbers, made once; None where the module refuses such sizes."""
        whole = {name: sizes[self.equal.get(name, name)] for name in self.letters}
        key = tuple(whole.values())
        if key not in self.counts:
            try:
                found = self.exact(whole)
                if not self.running:
                    self.base = found
                self.counts[key] = _Sample.of(found, self.running)
            except ReadsValues:  # at any size
                raise
            except InvalidInput as error:
                self.counts[key], self.refusals[key] = None, error
        return self.counts[key]

    def same(self, sizes: Sizes) -> bool:
        """Whether the same operations run as at the sizes of the start."""
        found = self.count(sizes)
        return found is not None and found.running == self.running

    @property
    def free(self) -> list[str]:
        return [name for name in self.letters if name not in self.fixed and name not in self.equal]

    # ---- where to start ----

    def start(self, sides: tuple[int, ...] = UNUSUAL) -> bool:
        """Find sizes that the module takes: unusual ones, then some with a number of the refusal, then usual ones. True
        if the module takes the first ones."""
        unusual = dict(zip(self.letters, [*sides, *sides, *sides], strict=False))
        first = self.count(unusual)
        tried = [unusual]
        if first is None:
            error = self.refusals[tuple(unusual.values())]
            tried += self._named(unusual, str(error))
            tried += [dict.fromkeys(self.letters, side) for side in USUAL]
        for sizes in tried:
            if (found := self.count(sizes)) is not None:
                self.base_sizes, self.running, self.table = sizes, found.running, _Table(self.base)
                for name in self.letters if len(self.base.operations) > MANY else ():
                    self._refuse_loop(name, dict.fromkeys(self.letters, FEW))
                return first is not None
        told = ", ".join(f"{name} = {size}" for name, size in unusual.items())
        raise InvalidInput(f"{error} (tried at {told}, and at others)") from error

    def _named(self, sizes: dict[str, int], told: str) -> Iterator[dict[str, int]]:
        """Sizes with a number of the refusal in the place of some letters: first of most, the first ones last."""
        numbers = dict.fromkeys(int(each) for each in re.findall(r"\b\d{1,4}\b", told.partition(": ")[2]))
        for number in [each for each in numbers if each > 1 and each not in sizes.values()][-3:]:
            names = list(reversed(self.letters))
            for size in range(1, min(len(names), 4)):
                for some in combinations(names, size):
                    yield sizes | dict.fromkeys(some, number)

    # ---- which sizes run the same operations ----

    def find_steps(self) -> None:
        """For each letter the number of which it is a multiple where the same operations run; letters that have one
        size alone, and those that have the size of another one."""
        base = self.base_sizes
        if self.same({name: size + 2 * place + 37 for place, (name, size) in enumerate(base.items())}):
            self.steps = dict.fromkeys(self.letters, 1)
        else:
            for name in self.letters:
                step = self._step(name, lambda sizes: self.same(sizes))
                if step:
                    self.steps[name] = step
            rest = [name for name in self.letters if name not in self.steps]
            for one, other in combinations(rest, 2):
                if one not in self.equal and other not in self.equal and base[one] == base[other]:
                    self.equal[other] = one
                    step = self._step(one, lambda sizes: self.same(sizes))
                    if step:
                        self.steps[one] = step
                    else:
                        del self.equal[other]
            for name in rest:
                if name not in self.steps and name not in self.equal:
                    self._refuse_what_runs_otherwise(name)
                    self.fixed[name] = base[name]
        if not self.free:
            told = " and ".join(f"{name} = {size}" for name, size in self.fixed.items())
            raise InvalidInput(f"no closed form: of the sizes tried the module takes {told} alone; give numbers")
        half = {
            name: max(size // 2 // self.steps[name], 1) * self.steps[name]
            for name, size in base.items()
            if name in self.free
        }
        below = self.same({**base, **half})
        for name in self.free:
            self._bound(name)
            if not below and not self.same({**base, name: half[name]}):
                self.least[name] = self._last(name, half[name])

    def _step(self, name: str, good: Callable[[Sizes], bool]) -> int:
        """The smallest step away from the start, of those that divide its size, at which the sizes are good."""
        base = self.base_sizes

        def well(step: int) -> bool:
            return any(good({**base, name: base[name] + away}) for away in (step, -step) if base[name] + away > 0)

        beside = [good({**base, name: base[name] + away}) for away in (1, -1)]
        if all(beside):
            return 1
        self._refuse_loop(name, base)
        step = next((base[name] // prime for prime in _primes(base[name]) if well(base[name] // prime)), 0)
        reduced = bool(step)
        while reduced:
            reduced = False
            for prime in _primes(step):
                if well(step // prime):
                    step, reduced = step // prime, True
                    break
        return step or int(any(beside))  # on one side: at the end of a range

    def _refuse_loop(self, name: str, base: Sizes) -> None:
        around = [self.count({**base, name: base[name] + away}) for away in (-1, 0, 1)]
        numbers = [len(each.running[0]) for each in around if each is not None]
        if len(numbers) == 3 and numbers[2] - numbers[1] == numbers[1] - numbers[0] > 0:
            raise InvalidInput(
                f"no closed form in {name}: a loop over {name} runs {numbers[1]} operations at {name} = {base[name]}, "
                f"{numbers[2]} at {base[name] + 1}; give a number for it"
            )

    def _refuse_what_runs_otherwise(self, name: str) -> None:
        sizes = [{**self.base_sizes, name: size} for size in (self.base_sizes[name] // 2, self.base_sizes[name] * 2)]
        if any(each is not None for each in map(self.count, sizes)):
            raise InvalidInput(f"no closed form in {name}: it decides what runs; give a number for it")

    def _bound(self, name: str) -> None:
        """The largest size with which the same operations run, if that is near."""
        base, step = self.base_sizes[name], self.steps[name]
        far = base + -(-FAR // step) * step
        above = {**self.base_sizes, name: base + step}
        if tuple(above.values()) in self.counts and not self.same(above):
            self.most[name] = base
        elif not self.same({**self.base_sizes, name: far}):
            self.most[name] = self._last(name, far)

    def _last(self, name: str, bad: int) -> int:
        """The last size between that of the start and a bad one with which the same operations run."""
        good, step = self.base_sizes[name], self.steps[name]
        jump = step  # doubled until it is too far
        while abs(bad - good) > step:
            away = min(jump, abs(bad - good) // (2 * step) * step)
            jump *= 2
            middle = good + away if bad > good else good - away
            if self.same({**self.base_sizes, name: middle}):
                good = middle
            else:
                bad = middle
        return good

    # ---- forms ----

    def find(self) -> "tuple[Forms, Domain]":
        """The forms, and where they hold. `_OthersRun` where forms cannot hold at all sizes tried, if ``strict``."""
        try:
            forms = self.fit()
        except _NoForm:  # some rounding that no form has, such as windows that overlap: at multiples of a large number
            self.make_coarse()
            forms = self.fit(say=True)
            self.refine(forms)
        domain = self.domain(forms)
        if self.wrong is not None:  # the same operations run, but not as the forms say: one of these may be wrong
            try:
                better = self.fit(with_sizes=self.wrong)
                forms, domain = better, self.domain(better)
            except _NoForm:  # no: what the sizes follow is another rule there
                pass
        for sizes, sample in self._counted():
            if domain.holds(sizes) and (sample is None or not forms.agrees(sample, sizes)):
                if self.strict:
                    raise _OthersRun
                told = " and ".join(f"{name} = {size}" for name, size in sizes.items())
                raise InvalidInput(f"no closed form: at {told} other operations run than at sizes near; give numbers")
        return forms, domain

    def _counted(self) -> "Iterator[tuple[dict[str, int], _Sample | None]]":
        for key, sample in self.counts.items():
            yield dict(zip(self.letters, key, strict=True)), sample

    def fit(self, say: bool = False, with_sizes: dict[str, int] | None = None) -> Forms:
        """Forms that hold at all points tried; more points are tried until there is no choice left, and until new ones
        tell nothing new."""
        for sizes in self._first_points() if with_sizes is None else [with_sizes]:
            self._add(sizes)
        enough = ENOUGH if with_sizes is None else len(self.points) + RANDOM_POINTS
        confirmed, told, looked = 0, "", False
        for _ in range(MOST_TURNS):
            fit = Fit(self.points, {name: self.steps[name] for name in self.free})
            told = self.table.solve(fit)
            if fit.open and self._tell(fit):
                continue
            if told and fit.wants_lines and not looked:
                looked = True
                for name in self.free:
                    for _ in range(ENOUGH_ALONE):
                        self._add({**self._base(), name: self._near(name, self.random.random())})
                continue
            if told:
                if len(self.points) > enough or not sum(self._add(self._anywhere()) for _ in range(3)):
                    break
                continue
            sizes = self._anywhere()
            found = self.count(sizes)
            if found is not None and found.running == self.running:
                confirmed += self.table.predict(found, sizes)
            self._add(sizes)
            if confirmed > 1:
                return self.table.forms()
        if not say:
            raise _NoForm
        raise InvalidInput(f"no closed form: {told or 'the sizes'} follow no rule that is known; give numbers")

    def _first_points(self) -> Iterator[dict[str, int]]:
        yield self._base()
        for name in self.free:
            base, step = self.base_sizes[name], self.steps[name]
            last = self.most.get(name, base + -(-FAR // step) * step)
            yield {**self._base(), name: last if last > base else self._near(name, 0)}
        for _ in range(RANDOM_POINTS):
            yield self._anywhere()

    def _anywhere(self) -> dict[str, int]:
        return {**self.base_sizes, **{name: self._near(name, self.random.random()) for name in self.free}}

    def _near(self, name: str, part: float) -> int:
        """A size near that of the start, above a half of it."""
        base, step = self.base_sizes[name], self.steps[name]
        low = self.least.get(name, max(base // 2 // step * step, step))
        high = min(base + max(NEAR, 8 * step), self.most.get(name, 1 << 60))
        return low + int(part * (high - low + step - 1)) // step * step

    def _tell(self, fit: Fit) -> bool:
        """Try sizes that rule out most of what is open; False where none does."""
        alone = all(each.alone for each in fit.open)
        names = [name for name in self.free if any(each.letter == name for each in fit.open)]
        best: dict[str, list[int]] = {}
        for name in names:
            wanted = [each for each in fit.open if each.letter == name and each.alone == alone]
            shares = {size: sum(each.told(size) for each in wanted) for size in self._candidates(name)}
            best[name] = sorted((size for size in shares if shares[size] > 0), key=lambda size: -shares[size])[:TRIES]
        for place in range(TRIES):
            chosen = {name: sizes[min(place, len(sizes) - 1)] for name, sizes in best.items() if sizes}
            if alone:
                if sum(self._add({**self._base(), name: size}) for name, size in chosen.items()):
                    return True
            elif chosen and self._add({**self._anywhere(), **chosen}):
                return True
        return False

    def _candidates(self, name: str) -> list[int]:
        """Sizes to choose from: all near the start, and some up to those far away."""
        step, last = self.steps[name], self.most.get(name, self.base_sizes[name] + FAR)
        near = dict.fromkeys(self._near(name, part / NEAR) for part in range(NEAR))
        far = range(last // step * step, max(near), -step)
        return [*near, *list(far)[:: max(1, len(far) // 128)]]

    def _base(self) -> dict[str, int]:
        return {name: self.base_sizes[name] for name in self.letters}

    def _add(self, sizes: dict[str, int]) -> bool:
        if sizes in self.points:
            return False
        found = self.count(sizes)
        if found is None or found.running != self.running:
            if self.strict:
                raise _OthersRun
            return False
        self.points.append(sizes)
        self.table.add(found)
        return True

    def make_coarse(self) -> None:
        for name in self.free:
            base = self.base_sizes[name]
            self.steps[name] = max(self.steps[name], next(n for n in (64, 32, 16, 8, 4, 2, 1) if base % n == 0))
            if name in self.most:
                self.most[name] -= self.most[name] % self.steps[name]
        self.points, self.table = [], _Table(self.base)

    def refine(self, forms: Forms) -> None:
        """The smallest steps at which the forms hold."""
        for name in self.free:
            self.steps[name] = self._step(name, lambda sizes: self._agrees(forms, sizes)) or self.steps[name]

    # ---- where they hold ----

    def _agrees(self, forms: Forms, sizes: Sizes) -> bool:
        found = self.count(sizes)
        if found is None or not forms.agrees(found, sizes):
            if found is not None and found.running == self.running:
                self.wrong = {name: sizes[name] for name in self.letters}
            return False
        self.peaks_hold &= bool(forms.peaks) and max(form.at(sizes) for form in forms.peaks) == found.peak
        return True

    def domain(self, forms: Forms) -> Domain:
        """Where the forms hold: the smallest sizes of all letters together, then of each alone."""
        base, steps, free = self.base_sizes, self.steps, self.free

        def good(sizes: Sizes) -> bool:
            return self._agrees(forms, {**base, **sizes})

        least = {name: steps[name] for name in free}
        most, ordered = dict(self.most), []
        for name in list(most):
            for other in free:
                size, step = base[other], steps[name]
                lower = size // 2 // step * step
                tied = name != other and most[name] == size != base[name]
                even, above = {name: lower, other: lower}, {name: lower + step, other: lower}
                if tied and good(even) and not good(above):
                    ordered.append((name, other))
                    del most[name]
                    break
        either: dict[str, int] = {}
        if self.least and good(known := {**least, **self.least}):
            least = known
        elif not good(least):
            together = {name: base[name] // steps[name] for name in free}
            number = 1
            while number < max(together.values()) and not good(self._all(number)):
                number *= 2
            low, together_number = number // 2, number
            while together_number - low > 1:
                middle = (low + together_number) // 2
                if good(self._all(middle)):
                    together_number = middle
                else:
                    low = middle
            for name in free:
                step = steps[name]
                below = (together_number - 1) * step
                if below and good({name: below}):
                    if not good({name: step}):
                        least[name] = self._first(forms, base, name, 1, together_number - 1)
                else:
                    least[name] = together_number * step
            if not good(least):
                for name in free:
                    step = steps[name]
                    low, high = least[name] // step, together_number
                    if low < high and good({**least, name: high * step}):
                        either[name] = self._first(forms, {**base, **least}, name, low, high)
                if not either:
                    least = {name: together_number * steps[name] for name in free}
        return Domain(
            fixed=self.fixed,
            equal=tuple((one, other) for other, one in self.equal.items()),
            steps=dict(steps),
            least=least,
            most=most,
            either=either,
            ordered=tuple(ordered),
        )

    def _first(self, forms: Forms, sizes: Sizes, name: str, bad: int, good: int) -> int:
        """The first size of a letter from which on the forms hold, between two multiples of its step."""
        step = self.steps[name]
        while good - bad > 1:
            middle = (good + bad) // 2
            if self._agrees(forms, {**sizes, name: middle * step}):
                good = middle
            else:
                bad = middle
        return good * step

    def _all(self, number: int) -> dict[str, int]:
        return {name: min(number * self.steps[name], self.most.get(name, 1 << 60)) for name in self.free}


def _primes(number: int) -> list[int]:
    return [each for each in range(2, number + 1) if number % each == 0 and all(each % n for n in range(2, each))]


def _running(count: "Count") -> tuple[Any, ...]:
    """What runs, without sizes."""
    return tuple(
        (o.op, o.path, o.backward, o.counted, tuple(o.cost.work), tuple(map(len, o.inputs)), len(o.output))
        for o in count.operations
    ), tuple(count.saved)


def _numbers(operation: Operation) -> list[int]:
    """The numbers of an operation beside its shapes; the last ones, of the masked work, need no form."""
    cost, masked = operation.cost, operation.masked or Work()
    known = [*(cost.work[event] for event in cost.work), cost.reads, cost.writes, operation.live]
    return [*known, *(masked[event] for event in masked)]


def _shapes(operation: Operation) -> list[int]:
    return [side for shape in (*operation.inputs, operation.output) for side in shape]


def _row(count: "Count") -> list[int]:
    numbers = [number for each in count.operations for number in (*_shapes(each), *_numbers(each))]
    return [*numbers, count.held, *count.saved.values()]


class _Table:
    """All numbers of all operations at all points, those that are the same at all points once."""

    def __init__(self, count: "Count") -> None:
        """``count``: at the sizes of the start; the same operations run at all points."""
        self.count = count
        self.kinds: list[int] = []  # which values a place of a row has
        self.values: list[Values] = []  # by kind
        self._lengths = [  # of the shapes of each operation, and of its other numbers
            (each, [len(shape) for shape in (*each.inputs, each.output)], len(_numbers(each)))
            for each in count.operations
        ]

    def add(self, sample: _Sample) -> None:
        row = sample.row
        places: dict[tuple[int, int], int] = {}
        kinds = self.kinds or [0] * len(row)
        values: list[Values] = []
        fresh = []
        for kind, number in zip(kinds, row, strict=True):
            key = kind, number
            if key not in places:
                places[key] = len(values)
                values.append((*(self.values[kind] if self.values else ()), number))
            fresh.append(places[key])
        self.kinds, self.values = fresh, values

    def sides(self) -> list[Values]:
        """The values of all sides of tensors."""
        kinds = dict.fromkeys(kind for _, shapes, _ in self._operations() for shape in shapes for kind in shape)
        return [self.values[kind] for kind in kinds]

    def solve(self, fit: Fit) -> str:
        """Find the forms of all values; or say what has none."""
        self.found = found = dict[int, Form | None]()
        sides = fit.sides(self.sides())
        kinds = dict.fromkeys(kind for _, shapes, _ in self._operations() for shape in shapes for kind in shape)
        found |= {kind: sides.get(self.values[kind]) for kind in kinds}
        parts = self._products(fit)
        for kind in [kind for kind in kinds if found[kind] is None]:
            found[kind] = fit.sum(self.values[kind], parts)
            if found[kind] is None:
                return "the sides of tensors"
        parts = self._products(fit)
        changes: dict[Values, Form | None] = {}
        live: Form | None = Form.number(0)
        before: Values = (0,) * len(fit.points)
        before_that: list[list[Form]] = []  # shapes of the operation before
        for (operation, _, numbers), shapes in zip(self._operations(), self._known(), strict=True):
            place = len(operation.cost.work) + 2
            counts, alive, masked = numbers[:place], numbers[place], numbers[place + 1 :]
            for kind in (*counts, *masked):
                if kind not in found:
                    found[kind] = fit.quantity(self.values[kind], shapes)
                if found[kind] is None and kind in counts:
                    return f"the counts of {operation.op}"
            if alive not in found:
                # Some of what is there was made just now, some of what was read is gone, or something from long ago.
                change = tuple(now - then for now, then in zip(self.values[alive], before, strict=True))
                if changes.get(change) is None:
                    near = [*before_that, *shapes]
                    nearby = list(map(fit.elements, near))
                    changes[change] = fit.quantity(change, near) or next(
                        (form for each in parts if (form := fit.sum(change, [*nearby, each]))), None
                    )
                step = changes[change]
                found[alive] = live + step if live and step else fit.sum(self.values[alive], parts)
            live, before, before_that = found[alive], self.values[alive], shapes
        for kind in self._last():
            found[kind] = fit.whatever(self.values[kind], parts)
        return ""

    def _products(self, fit: Fit) -> list[Form]:
        """Forms of which numbers of elements are multiples."""
        return list(dict.fromkeys(fit.elements(sides) for shapes in self._known() for sides in shapes))

    def _known(self) -> Iterator[list[list[Form]]]:
        """The shapes of each operation of which all sides have forms."""
        for _, shapes, _ in self._operations():
            forms = [[self.found[kind] for kind in shape] for shape in shapes]
            yield [[form for form in shape if form] for shape in forms if all(shape)]

    def _last(self) -> list[int]:
        """The kinds of the bytes held, and of those saved by each module."""
        return self.kinds[len(self.kinds) - 1 - len(self.count.saved) :]

    def _operations(self) -> Iterator[tuple[Operation, list[list[int]], list[int]]]:
        """Each operation with the kinds of its sides and of its numbers."""
        kinds = iter(self.kinds)
        for each, lengths, numbers in self._lengths:
            yield each, [list(islice(kinds, length)) for length in lengths], list(islice(kinds, numbers))

    def predict(self, sample: _Sample, sizes: Sizes) -> bool:
        """Whether the forms have the numbers of another count."""
        values = {kind: form.at(sizes) for kind, form in self.found.items() if form is not None}
        return all(values.get(kind, number) == number for kind, number in zip(self.kinds, sample.row, strict=True))

    def forms(self) -> Forms:
        operations = []
        for each, shapes, numbers in self._operations():
            events = [self.found[kind] for kind in numbers[: len(each.cost.work)]]
            reads, writes, live, *kept = (self.found[kind] for kind in numbers[len(events) :])
            *inputs, output = (tuple(self.found[kind] for kind in shape) for shape in shapes)
            work = Work(dict(zip(each.cost.work, events, strict=True)))
            cost = replace(each.cost, work=work, reads=reads, writes=writes)
            changes: Any = {"inputs": tuple(inputs), "output": output, "live": live, "workspace": -1}
            if each.masked is not None:
                changes["masked"] = Work(dict(zip(each.masked, kept, strict=True))) if all(kept) else None
            operations.append(replace(each, cost=cost, **changes))
        held, *saved = (self.found[kind] for kind in self._last())
        return Forms(tuple(operations), held, dict(zip(self.count.saved, saved, strict=True)))
