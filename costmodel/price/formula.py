"""Closed forms: the cost of a cell as a formula, derived by tracing its description with symbols for sizes.

Nothing here is typed from the paper; `costmodel.published.lstm_icnet` holds what it prints, to be compared with.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import sympy

from costmodel.describe.cells import Cell, describe_cell, find_cell
from costmodel.describe.errors import InvalidInput
from costmodel.describe.ops import Conv, Pair
from costmodel.describe.program import Program
from costmodel.describe.size import Size, int_pair
from costmodel.describe.work import Event
from costmodel.price.conventions import Convention, find_convention

Expr = Any  # sympy has no types

# Kernel sides are odd, as everywhere in the paper: an even one adds a copy, which no convention prices.
Kx, Ky = sympy.symbols("Kx Ky", integer=True, positive=True, odd=True)
I, O, Dx, Dy = sympy.symbols("I O Dx Dy", integer=True, positive=True)
LETTERS = (Kx, Ky, I, O, Dx, Dy)
LATEX = {Kx: "K_x", Ky: "K_y", Dx: "D_x", Dy: "D_y"}


def symbolic_program(cell: Cell) -> Program:
    """One time step in the paper's letters; with I = O where the cell needs that."""
    try:
        return describe_cell(cell, kernel=(Kx, Ky), channels=(I, O), size=(Dx, Dy))
    except InvalidInput:
        return describe_cell(cell, kernel=(Kx, Ky), channels=O, size=(Dx, Dy))


def parse(text: str) -> Expr:
    """A printed equation, in Python syntax and the letters above, as an expression."""
    return sympy.sympify(text, locals={str(letter): letter for letter in LETTERS})


@dataclass(frozen=True)
class Item:
    """One row of Table I at I = O: ``total`` operations (convolutions; else per output element) and their price."""

    operation: str
    total: Expr
    price: int
    flops: Expr


@dataclass(frozen=True)
class Ratio:
    """The cost per position of a cell relative to the standard one, at I = O, without what is counted once.

    ``exact``: eqs. (5), (8), (11). ``leading``: its leading term for large I. ``convolutions``: without the pointwise
    work, which is the paper's approximation. For depth it is not the leading term: the pointwise work stays a fixed
    part of the cell (37 beside 16 Kx Ky), however large I is.
    """

    exact: Expr
    leading: Expr
    convolutions: Expr


@dataclass(frozen=True)
class RatioValue:
    """A ratio at given sizes: exact, and as the convolutions alone promise (the paper's approximation)."""

    exact: Fraction
    approximation: Fraction

    @property
    def error(self) -> Fraction:
        """Approximation minus exact."""
        return self.approximation - self.exact


class Equation:
    """The cost of one time step of a cell, as a formula under a convention, for odd kernels.

    ``general`` holds for any I and O; ``equal`` is its value at I = O in the form that the paper prints (a factor per
    output element in I, times ``O Dx Dy``); ``square`` is that at Kx = Ky; ``once`` is what a convention counts
    once and not per position (random initialisers; 0 for most); ``items`` are the rows of Table I; ``ratio`` is
    relative to the standard cell. All are sympy expressions.
    """

    def __init__(self, cell: Cell, convention: Convention) -> None:
        self.cell = cell
        self.convention = convention
        self.program = symbolic_program(cell)
        total = closed(convention.flops(self.program.work))
        self.once = ordered(total.subs({Dx: 0, Dy: 0}))
        self.position = sympy.expand((total - total.subs({Dx: 0, Dy: 0})) / (Dx * Dy))

    @property
    def general(self) -> Expr:
        """Per time step, for any I and O; for I = O only where the cell needs that (it then has no I)."""
        convolutions = sympy.factor(self.convention.prices[Event.MAC] * self.macs)
        tail = self.position - sympy.expand(convolutions)
        shared = all(sympy.fraction(sympy.cancel(part / O))[1] == 1 for part in (convolutions, tail))
        common = O if shared else sympy.Integer(1)
        inner = [sympy.factor(sympy.cancel(part / common)) for part in (convolutions, tail) if part != 0]
        return product(sympy.Add(*inner, evaluate=False) if len(inner) > 1 else sum(inner), common, Dx, Dy)

    @property
    def macs(self) -> Expr:
        """Multiply-accumulates per position."""
        return closed(self.program.work[Event.MAC] / (Dx * Dy))

    @property
    def element(self) -> Expr:
        """The cost per output element at I = O, in I."""
        return sympy.expand(sympy.expand(self.position / O).subs(O, I))

    @property
    def equal(self) -> Expr:
        return product(ordered(self.element), O, Dx, Dy)

    @property
    def square(self) -> Expr:
        """At I = O and Kx = Ky."""
        return product(ordered(square(self.element)), O, Dx, Dy)

    @property
    def needs_equal(self) -> bool:
        """Whether the cell exists for I = O only."""
        return bool(self.program.inputs[0].map.channels == O)

    @property
    def items(self) -> tuple[Item, ...]:
        convolutions = sum(isinstance(step.op, Conv) for step in self.program.steps)
        rows = []
        for event, count in self.program.work.items():
            if not (price := self.convention.prices[event]):
                continue
            each = closed(count / (O * Dx * Dy)).subs(O, I)
            if event is Event.MAC:
                rows.append(
                    Item("convolution", sympy.Integer(convolutions), price, product(ordered(price * each), O, Dx, Dy))
                )
            elif each.has(Dx):  # not per position
                rows.append(Item(event.value, ordered(closed(count)), price, ordered(closed(price * count))))
            else:
                rows.append(Item(event.value, each, price, product(price * each, O, Dx, Dy)))
        return tuple(rows)

    @property
    def standard(self) -> "Equation":
        """The standard cell with the same recurrence."""
        return Equation(replace(find_cell("standard"), recurrence=self.cell.recurrence), self.convention)

    def _standard_with_a_price(self) -> "Equation":
        standard = self.standard
        if standard.element == 0:
            raise InvalidInput(f"convention {self.convention.name} prices nothing of a standard cell: no ratio to it")
        return standard

    @property
    def ratio(self) -> Ratio:
        standard = self._standard_with_a_price()
        exact = sympy.cancel(self.element / standard.element)
        convolutions = sympy.expand(self.macs.subs(O, I)) / sympy.expand(standard.macs.subs(O, I))
        return Ratio(fraction(exact), leading_term(exact, I), shortest(convolutions))

    def at(self, kernel: "Size | Pair" = 3, channels: "Size | Pair" = 128) -> RatioValue:
        """The ratio per position to the standard cell at ``K`` or ``(Kx, Ky)`` and ``I = O`` or ``(I, O)``."""
        describe_cell(self.cell, kernel=kernel, channels=channels, size=(1, 1))  # refuses what cannot be
        values = dict(zip((Kx, Ky, I, O), (*int_pair("kernel", kernel), *int_pair("channels", channels)), strict=True))
        if self.convention.prices[Event.MOVE] and not all(values[side] % 2 for side in (Kx, Ky)):
            raise InvalidInput(f"formulas are for odd kernels where {self.convention.name} prices moved elements")
        standard = self._standard_with_a_price()
        return RatioValue(
            Fraction(int(self.position.subs(values)), int(standard.position.subs(values))),
            Fraction(int(self.macs.subs(values)), int(standard.macs.subs(values))),
        )

    @property
    def terms(self) -> tuple[Expr, ...]:
        """The cost per time step at I = O, and what is counted once if anything is."""
        return (self.equal,) if self.once == 0 else (self.equal, ordered(sympy.expand(self.once.subs(O, I))))

    def __str__(self) -> str:
        return " + ".join(text(term) for term in self.terms)

    def __repr__(self) -> str:
        return f"<Equation {self.cell.name}, convention {self.convention.name}: {self}>"


def equation(
    cell: "str | Cell" = "standard", convention: "str | Convention" = "paper", *, recurrence: str | None = None
) -> Equation:
    """The cost of one time step of a cell as a formula.

    >>> from costmodel import equation
    >>> str(equation("sep"))
    '(16*Kx*Ky + 16*I + 37)*O*Dx*Dy'
    >>> equation("depth").ratio.convolutions
    1/I
    >>> equation("depth").at(kernel=3, channels=128).exact
    Fraction(181, 18469)
    """
    return Equation(find_cell(cell, recurrence), find_convention(convention))


def closed(expr: Expr) -> Expr:
    """Expanded, without rounding: ``O // 2`` is O/2, for the channels that divide."""
    return sympy.expand(sympy.sympify(expr).replace(sympy.floor, lambda argument: argument))


def square(expr: Expr) -> Expr:
    """The expression at Kx = Ky."""
    return sympy.expand(expr.subs(Ky, Kx))


def fraction(expr: Expr) -> Expr:
    """A cancelled fraction, numerator and denominator in the paper's order."""
    numerator, denominator = (ordered(part) for part in sympy.fraction(expr))
    inverses = [sympy.Pow(factor, -1, evaluate=False) for factor in sympy.Mul.make_args(denominator) if factor != 1]
    return product(numerator, *inverses)


def leading_term(expr: Expr, letter: Expr) -> Expr:
    """The leading term of a rational function for a large letter."""
    numerator, denominator = (sympy.Poly(part, letter) for part in sympy.fraction(sympy.cancel(expr)))
    power = letter ** (numerator.degree() - denominator.degree())
    return shortest(numerator.LC() / denominator.LC() * power)


def shortest(expr: Expr) -> Expr:
    """The shortest of the expanded, the combined and the factored form; its terms short ones first."""
    forms = (sympy.expand(sympy.cancel(expr)), sympy.cancel(expr), sympy.factor(expr))
    form = min(forms, key=lambda form: len(str(form)))
    if not form.is_Add:
        return form
    return sympy.Add(*sorted(form.args, key=lambda term: (len(str(term)), str(term))), evaluate=False)


def ordered(polynomial: Expr) -> Expr:
    """A polynomial printed in the paper's order: terms by falling degree, letters as in K_x K_y I O."""
    letters = [letter for letter in LETTERS if polynomial.has(letter)]
    if not letters:
        return polynomial
    numerator, denominator = sympy.fraction(sympy.together(polynomial))
    if denominator.free_symbols:
        return polynomial
    terms = []
    for powers, coefficient in sympy.Poly(numerator, *letters).terms(order="grlex"):
        factors = [letter**power for letter, power in zip(letters, powers, strict=True) if power]
        coefficient = coefficient / denominator
        terms.append(sympy.Mul(*([coefficient] if coefficient != 1 or not factors else []), *factors, evaluate=False))
    return sympy.Add(*terms, evaluate=False) if len(terms) > 1 else terms[0]


def product(*factors: Expr) -> Expr:
    """The product, its factors kept in this order."""
    flat = [part for factor in factors for part in (factor.args if factor.is_Mul else (factor,)) if part != 1]
    return sympy.Mul(*flat, evaluate=False) if len(flat) > 1 else sympy.Mul(*flat)


def text(expr: Expr) -> str:
    """The expression in Python syntax, in the order in which it was built."""
    return str(sympy.sstr(expr, order="none"))


def latex(expr: Expr) -> str:
    """The expression as LaTeX, in the paper's letters."""
    return str(sympy.latex(expr, symbol_names=LATEX, mul_symbol="dot", order="none"))


# How torch spells what sympy has, too.
_SPELLED: dict[str, Callable[..., Expr]] = {
    "FloorDiv": lambda a, b: sympy.floor(a / b),
    "CleanDiv": lambda a, b: sympy.floor(a / b),
    "Mod": sympy.Mod,
    "PythonMod": sympy.Mod,
    "Max": sympy.Max,
    "Min": sympy.Min,
}


def lettered(size: Any, letters: Mapping[str, str]) -> Size:
    """A size that torch traced, in the letters of the user: ``letters`` by the name of torch's symbol.

    Whole numbers stay. `InvalidInput` where it is no closed form of sums, products and floors.
    """
    if isinstance(size, int):
        return size
    found = _spelled(size, letters)
    known = (sympy.Symbol, sympy.Number, sympy.Add, sympy.Mul, sympy.Pow, sympy.floor, sympy.Max, sympy.Min)
    if odd := {type(part).__name__ for part in sympy.preorder_traversal(found) if not isinstance(part, known)}:
        raise InvalidInput(f"no closed form: the sizes depend on the inputs through {', '.join(sorted(odd))}")
    return int(found) if found.is_Integer else found


def _spelled(expr: Any, letters: Mapping[str, str]) -> Expr:
    found = expr.replace(
        lambda e: type(e).__name__ in _SPELLED and not isinstance(e, sympy.Max | sympy.Min | sympy.Mod),
        lambda e: _SPELLED[type(e).__name__](*e.args),
    )
    names = {symbol: letter(letters[symbol.name]) for symbol in found.free_symbols if symbol.name in letters}
    return found.xreplace(names)


class Guard:
    """What torch took for granted about the sizes when it traced, such as ``H <= 500``; elsewhere the module may do
    something else."""

    def __init__(self, traced: Any, letters: Mapping[str, str]) -> None:
        expr = _spelled(traced, letters)
        self.letters = sorted(symbol.name for symbol in expr.free_symbols)
        self._holds = sympy.lambdify([letter(name) for name in self.letters], expr, modules="math")

    def __call__(self, sizes: Mapping[str, int]) -> bool:
        try:
            return bool(self._holds(*(sizes[name] for name in self.letters)))
        except (ArithmeticError, NameError, TypeError):  # a division by zero; a function that only torch has
            return False


def where(name: str, holds: Sequence[bool]) -> str:
    """In words, for which sizes (from 1 on) something holds; nothing where that takes more than a few words."""
    inside = [size for size, held in enumerate(holds, 1) if held]
    if not inside or all(holds):
        return ""
    first, last, step = inside[0], inside[-1], inside[1] - inside[0] if len(inside) > 1 else 1
    if inside != list(range(first, last + 1, step)):
        return ""
    if step > 1:
        multiples = first % step == 0 and last + step > len(holds)
        return (f"{name} a multiple of {step}" + (f" from {first}" if first > step else "")) if multiples else ""
    if last == len(holds):
        return f"{name} >= {first}"
    return f"{name} <= {last}" if first == 1 else f"{first} <= {name} <= {last}"


def letter(name: str) -> sympy.Symbol:
    """A size, by its name."""
    return sympy.Symbol(name, integer=True, positive=True)


def at(size: Size, sizes: Mapping[str, int]) -> int:
    """The number that an expression in letters has at given sizes."""
    return size if isinstance(size, int) else int(size.subs({letter(name): n for name, n in sizes.items()}))


def tidy(size: Size) -> str:
    """An expression in Python syntax, common factors outside, in the shorter of two forms; a number with its digits."""
    if isinstance(size, int):
        return str(size)
    forms = [sympy.factor_terms(size), sympy.factor_terms(sympy.expand(size))]
    return min(map(text, forms), key=len)
