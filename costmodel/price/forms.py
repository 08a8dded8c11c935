"""Closed forms of integers that depend on letters: found from their values at several sizes, in integers alone.

What a network's sizes are made of is simple: a letter, divided by strides and rounded (`Rounded`), and sums of products
of those (`Form`). So a few values tell which form it is; where they leave a choice, `Fit.open` says so.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache, cached_property
from itertools import combinations, product
from math import gcd, lcm, prod
from typing import TypeAlias

Rational: TypeAlias = Fraction | int
Values = tuple[int, ...]  # at each of the points of a fit
LARGEST_DIVISOR = 1024
MOST_CHOICES = 12  # of divisors of one rounding
ENOUGH_ALONE = 6  # sizes of one letter alone, to look at what depends on it
SPARE = 2  # values more than unknowns, for a sum to be believed


@dataclass(frozen=True, order=True)
class Rounded:
    """``floor((slope * letter + offset) / divisor)``."""

    letter: str
    slope: int = 1
    offset: int = 0
    divisor: int = 1

    @property
    def ceiling(self) -> bool:
        """True of a letter, or a letter divided and rounded up."""
        return self.slope == 1 and self.offset == self.divisor - 1

    def at(self, sizes: Mapping[str, int]) -> int:
        return (self.slope * sizes[self.letter] + self.offset) // self.divisor


Product = tuple[Rounded, ...]  # sorted; () is 1


@dataclass(frozen=True)
class Form:
    """A sum of products with rational factors, whole ones as ints, with which Python computes faster."""

    terms: Mapping[Product, Rational]

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash(frozenset(self.terms.items()))

    def __add__(self, other: "Form") -> "Form":
        return Form.sum([self, other])

    def __mul__(self, other: "Form") -> "Form":
        found: dict[Product, Rational] = {}
        for one, factor in self.terms.items():
            for two, times in other.terms.items():
                key = tuple(sorted(one + two)) if one and two else one or two
                found[key] = found.get(key, 0) + factor * times
        return Form({key: _short(factor) for key, factor in found.items() if factor})

    def times(self, number: Rational) -> "Form":
        return Form({key: _short(factor * number) for key, factor in self.terms.items()} if number else {})

    def at(self, sizes: Mapping[str, int]) -> Rational:
        return sum((f * prod(part.at(sizes) for part in key) for key, f in self.terms.items()), 0)

    def exceeds(self, other: "Form") -> bool:
        """True where this form is provably at least the other one: what it lacks is covered by what it has more."""
        changes = Form.sum([self, other.times(-1)]).terms
        spare = {key: factor for key, factor in changes.items() if factor > 0}
        for key, lacking in sorted((key, -factor) for key, factor in changes.items() if factor < 0):
            for more in sorted(spare, key=len):
                if share := _at_least(more, key):
                    used = min(spare[more], Fraction(lacking) / share)
                    spare[more] -= used
                    lacking -= used * share
            if lacking > 0:
                return False
        return True

    @staticmethod
    def number(value: Rational) -> "Form":
        return Form({(): _short(value)} if value else {})

    @staticmethod
    def letter(name: str) -> "Form":
        return Form({(Rounded(name),): 1})

    @staticmethod
    def sum(forms: "Iterable[Form]") -> "Form":
        found: dict[Product, Rational] = {}
        for form in forms:
            for key, factor in form.terms.items():
                found[key] = found.get(key, 0) + factor
        return Form({key: _short(factor) for key, factor in found.items() if factor})

    @staticmethod
    def product(forms: "Iterable[Form]") -> "Form":
        whole = Form.number(1)
        for form in forms:
            whole = whole * form
        return whole


def _short(number: Rational) -> Rational:
    """A whole number as an int."""
    return number if type(number) is int or number.denominator != 1 else number.numerator


def _at_least(one: Product, other: Product) -> Fraction:
    """A number that, times the other product, is never more than the first one; 0 where none is known."""
    if [part.letter for part in one] != [part.letter for part in other]:
        return Fraction(not other and all(part.ceiling for part in one))  # a size is 1 or more
    share = Fraction(1)
    for a, b in zip(one, other, strict=True):
        steeper = a.slope * b.divisor >= b.slope * a.divisor
        if steeper and (a.slope + a.offset) * b.divisor >= (b.slope + b.offset) * a.divisor:
            continue  # from size 1 on
        if a.ceiling and b.ceiling and a.divisor % b.divisor == 0:
            share *= Fraction(b.divisor, a.divisor)
        else:
            return Fraction(0)
    return share


@dataclass(frozen=True)
class Open:
    """What the values leave open of a rounding: slopes and divisors, each with the least and the largest offset.
    ``alone``: told by points where the other letters keep their first size."""

    letter: str
    choices: tuple[tuple[int, int, int, int], ...]
    alone: bool

    def told(self, size: int) -> float:
        """The share of what is open that the value at a size would rule out at least."""
        shares: dict[int, float] = {}
        for slope, divisor, low, high in self.choices:
            for value in range((slope * size + low) // divisor, (slope * size + high) // divisor + 1):
                first = max(low, value * divisor - slope * size)
                last = min(high, value * divisor - slope * size + divisor - 1)
                share = (last + 1 - first) / (high + 1 - low)
                likely = _likely(divisor, low, high)
                if likely:
                    share = (share + sum(first <= offset <= last for offset in likely) / len(likely)) / 2
                shares[value] = shares.get(value, 0) + share
        return len(self.choices) - max(shares.values())


@cache
def _likely(divisor: int, low: int, high: int) -> tuple[int, ...]:
    """Offsets of strides and windows, one after the other, each rounded down or up: of 28, 0, 24 of a stride of 4 that
    is rounded down and a window of 7 that is rounded up, and 27."""
    strides = [part for part in range(1, divisor + 1) if divisor % part == 0]
    found = {0, *(divisor - part for part in strides), *(part - 1 for part in strides)}
    return tuple(sorted(offset for offset in found if low <= offset <= high))


@dataclass
class Fit:
    """Forms that have given values at given ``points``; letters come in the multiples of ``steps``."""

    points: Sequence[Mapping[str, int]]
    steps: Mapping[str, int]
    open: list[Open] = field(default_factory=list)
    wants_lines: bool = False

    def __post_init__(self) -> None:
        self._sizes = {name: tuple(point[name] for point in self.points) for name in self.steps}
        first = self.points[0]
        self._lines = {
            name: [
                place
                for place, point in enumerate(self.points)
                if all(point[other] == first[other] for other in self.steps if other != name)
            ]
            for name in self.steps
        }
        # What depends on one letter: values and form, the letter itself first.
        self._known = {name: {sizes: Form.letter(name)} for name, sizes in self._sizes.items()}
        self._products: dict[Product, Values] = {}
        self._shapes: dict[tuple[Form, ...], Form] = {}
        self._values: dict[Form, tuple[Values, int]] = {}
        self._sums: dict[tuple[Product, ...], _Sums] = {}

    def sides(self, wanted: Iterable[Values]) -> dict[Values, Form]:
        """The forms of sides of tensors, as far as they are found: of one letter first, which others consist of."""
        forms = {values: self._of_one(values) for values in wanted}
        for values in [values for values, form in forms.items() if form is None]:
            form = self._of_several(values)
            if form is None and self._look_along_lines(values):
                form = self._of_several(values)
            forms[values] = form
        return {values: form for values, form in forms.items() if form is not None}

    def _look_along_lines(self, values: Values) -> bool:
        """Learn what these values depend on where one letter changes alone; False where there is nothing new."""
        fresh = False
        for name, places in self._lines.items():
            if len(places) < ENOUGH_ALONE:
                self.wants_lines = True
                continue
            form = self._rounded(name, tuple(values[place] for place in places), places)
            for key in form.terms if form else ():
                if form and key:
                    number = Fraction(form.terms.get((), 0)) / form.terms[key]
                    linear = key == (Rounded(name),) and number.denominator == 1
                    part = Form({key: 1}) + Form.number(number if linear else 0)
                    if (at := self.values(part)[0]) not in self._known[name]:
                        self._known[name][at] = part
                        fresh = True
        return fresh

    def sum(self, values: Values, parts: Iterable[Form]) -> Form | None:
        """The values as a sum of multiples of what the parts consist of, and a number."""
        products = tuple(dict.fromkeys([(), *(key for form in parts for key in form.terms)]))
        if products not in self._sums:
            self._sums[products] = _Sums({key: self._at(key) for key in products})
        return self._sums[products].solve(values)

    def quantity(self, values: Values, shapes: Sequence[Sequence[Form]]) -> Form | None:
        """The form of what an operation on tensors of these shapes does: a multiple of a number of elements, or of one
        and a side, or a sum of such numbers."""
        if len(set(values)) == 1:
            return Form.number(values[0])
        elements = list(dict.fromkeys(map(self.elements, shapes)))
        sides = dict.fromkeys(form for shape in shapes for form in shape if any(form.terms))
        singles = [*elements, *(self.elements((a, b)) for a in elements for b in sides)]
        if form := next((found for each in singles if (found := self._multiple(values, each))), None):
            return form
        return self.sum(values, elements) or self.sum(values, singles) or self._of_one(values)

    def elements(self, sides: Sequence[Form]) -> Form:
        """The product of sides, without a number that is in all its factors."""
        key = tuple(sides)
        if key not in self._shapes:
            self._shapes[key] = _plain(Form.product(key))
        return self._shapes[key]

    def whatever(self, values: Values, parts: Iterable[Form]) -> Form | None:
        """The form of values of which it is not known what they depend on."""
        return self._of_one(values) or self.sum(values, parts) or self._of_several(values)

    def _at(self, key: Product) -> Values:
        if key not in self._products:
            self._products[key] = tuple(prod(part.at(point) for part in key) for point in self.points)
        return self._products[key]

    def values(self, form: Form) -> tuple[Values, int]:
        """The values of a form, times a number that makes them whole, and this number."""
        if form not in self._values:
            whole = lcm(*(factor.denominator for factor in form.terms.values()))
            scaled = [(int(factor * whole), self._at(key)) for key, factor in form.terms.items()]
            columns = [[factor * n for n in column] for factor, column in scaled]
            self._values[form] = tuple(map(sum, zip(*columns, strict=True))), whole
        return self._values[form]

    # ---- one letter ----

    def _of_one(self, values: Values) -> Form | None:
        if len(set(values)) == 1:
            return Form.number(values[0])
        for name, known in self._known.items():
            form = known.get(values) or self._rounded(name, values)
            if form is not None:
                known[values] = form
                return form
        return None

    def _rounded(self, name: str, values: Values, places: Sequence[int] | None = None) -> Form | None:
        """``scale * floor((slope * letter + offset) / divisor) + rest``; of all points, or of some."""
        sizes = self._sizes[name] if places is None else [self._sizes[name][place] for place in places]
        by_size: dict[int, int] = {}
        for size, value in zip(sizes, values, strict=True):
            if by_size.setdefault(size, value) != value:
                return None
        pairs = sorted(by_size.items())
        (first, low), (last, high) = pairs[0], pairs[-1]
        if first == last:
            return None
        slope = Fraction(high - low, last - first)
        if all((value - low) * slope.denominator == slope.numerator * (size - first) for size, value in pairs):
            return Form.letter(name).times(slope) + Form.number(low - slope * first)
        scale = gcd(*(value - low for _, value in pairs))
        rest = low % scale
        found = self._steps(name, [(size, (value - rest) // scale) for size, value in pairs], places is not None)
        return Form({(found,): scale}) + Form.number(rest) if found else None

    def _steps(self, name: str, pairs: list[tuple[int, int]], alone: bool) -> Rounded | None:
        two = list(combinations(pairs, 2))
        # The slope is between these two.
        least = max((Fraction(v2 - v1 - 1, h2 - h1) for (h1, v1), (h2, v2) in two))
        most = min((Fraction(v2 - v1 + 1, h2 - h1) for (h1, v1), (h2, v2) in two))
        if least >= most:
            return None
        choices: list[tuple[int, int, int, int]] = []
        for divisor in range(1, LARGEST_DIVISOR):
            slopes = range(
                least.numerator * divisor // least.denominator + 1, -(-most.numerator * divisor // most.denominator)
            )
            if choices:  # of all slopes the first one that is found
                slopes = range(choices[0][0], choices[0][0] + (choices[0][0] in slopes))
            for slope in slopes:
                if gcd(slope, divisor) != 1:
                    continue
                offsets = [divisor * value - slope * size for size, value in pairs]
                low, high = max(offsets), min(offsets) + divisor - 1
                if low <= high:
                    choices.append((slope, divisor, low, high))
                    break
        if not choices:
            return None
        slope, divisor, low, high = choice = min(choices, key=lambda each: (_primes(each[1])[-1:], each[1]))
        whole = gcd(slope * self.steps[name], divisor)  # offsets between its multiples make no difference
        if len(choices) > 1 or low // whole != high // whole:
            self.open.append(Open(name, tuple(choices[:MOST_CHOICES]) if len(choices) > 1 else (choice,), alone))
        nice = [offset for offset in (0, divisor - 1) if low <= offset <= high]
        return Rounded(name, slope, (nice or sorted(range(low, high + 1), key=abs))[0], divisor)

    # ---- several letters ----

    def _of_several(self, values: Values) -> Form | None:
        """A product of forms of one letter each, a multiple of it or a number more; then one with a factor that occurs
        nowhere else; then a sum of products."""
        for others, forms in self._choices(2):
            if _in_line(values, others) and (found := self._multiple(values, Form.product(forms), more=True)):
                return found
        for others, forms in [((1,) * len(values), ()), *self._choices(1)]:
            if 0 in others:
                continue
            ratios = [Fraction(value, other) for value, other in zip(values, others, strict=True)]
            whole = lcm(*(each.denominator for each in ratios))
            used = {part.letter for form in forms for key in form.terms for part in key}
            for name in self._sizes:
                found = self._rounded(name, tuple(int(each * whole) for each in ratios)) if name not in used else None
                if found is not None:
                    return Form.product([found.times(Fraction(1, whole)), *forms])
        return None

    def _choices(self, least: int) -> Iterator[tuple[Values, tuple[Form, ...]]]:
        """Products of forms of different letters, with their values."""
        for number in range(least, len(self._known) + 1):
            for names in combinations(self._known, number):
                for chosen in product(*(self._known[name].items() for name in names)):
                    values, forms = zip(*chosen, strict=True)
                    yield tuple(map(prod, zip(*values, strict=True))), forms

    def _multiple(self, values: Values, form: Form, more: bool = False) -> Form | None:
        """The values as a multiple of a form, or with ``more`` of one and a number."""
        others, whole = self.values(form)
        first, other = values[0], others[0]
        far = next((place for place, each in enumerate(others) if each != other), None)
        if far is None or (not more and not other):
            return None
        up, down = (values[far] - first, others[far] - other) if more else (first, other)
        if any((value - first) * down != up * (each - other) for value, each in zip(values, others, strict=True)):
            return None
        ratio = Fraction(up, down)
        return form.times(ratio * whole) + Form.number(first - ratio * other)


class _Sums:
    """Sums of given products: the factors that make a sum have given values, where there are values enough."""

    def __init__(self, columns: Mapping[Product, Values]) -> None:
        rows = [list(map(Fraction, row)) for row in zip(*columns.values(), strict=True)]
        size, self._columns, self._inverse = len(columns), list[tuple[Product, Values]](), list[list[int]]()
        if len(rows) < size + SPARE:
            return
        # Gauss and Jordan on the rows beside what makes them of the given ones.
        work = [row + [Fraction(place == other) for other in range(len(rows))] for place, row in enumerate(rows)]
        for column, item in enumerate(columns.items()):
            rank = len(self._columns)
            pivot = next((place for place in range(rank, len(rows)) if work[place][column]), None)
            if pivot is None:  # made of the ones before, as ceil(H/8) + 1 is
                continue
            work[rank], work[pivot] = work[pivot], work[rank]
            scale = work[rank][column]
            work[rank] = [each / scale for each in work[rank]]
            for place, row in enumerate(work):
                if place != rank and (factor := row[column]):
                    work[place] = [a - factor * b if b else a for a, b in zip(row, work[rank], strict=True)]
            self._columns.append(item)
        # In integers: as multiples of one part of 1.
        exact = [row[size:] for row in work[: len(self._columns)]]
        self._whole = lcm(*(each.denominator for row in exact for each in row))
        self._inverse = [[int(each * self._whole) for each in row] for row in exact]

    def solve(self, values: Values) -> Form | None:
        if not self._inverse:
            return None
        sums = [sum(a * b for a, b in zip(row, values, strict=True) if a) for row in self._inverse]
        parts = zip(sums, self._columns, strict=True)
        made = zip(*([number * each for each in column] for number, (_, column) in parts), strict=True)
        if any(sum(row) != value * self._whole for row, value in zip(made, values, strict=True)):
            return None
        factors = zip(sums, self._columns, strict=True)
        return Form({key: _short(Fraction(number, self._whole)) for number, (key, _) in factors if number})


def _plain(form: Form) -> Form:
    """The form without a number that is in all its factors."""
    if not form.terms:
        return form
    factors = list(form.terms.values())
    return form.times(Fraction(lcm(*(f.denominator for f in factors)), gcd(*(f.numerator for f in factors))))


def _primes(number: int) -> list[int]:
    """The prime factors, rising."""
    found = []
    for prime in range(2, number + 1):
        while number % prime == 0:
            found.append(prime)
            number //= prime
    return found


def _in_line(values: Values, others: Values) -> bool:
    """False where the values are no multiple of the others with a number more, by the first three alone."""
    (v, w, x), (a, b, c) = values[:3], others[:3]
    return (w - v) * (c - a) == (x - v) * (b - a)
