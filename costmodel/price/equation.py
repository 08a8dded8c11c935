"""Closed forms: the cost of a cell as a formula, derived by tracing its description with symbols for sizes.

No formula here is typed from the paper; `costmodel.published.lstm_icnet` holds the printed formulas for comparison.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from math import lcm

import sympy

from costmodel.describe.cells import Cell, describe_cell, find_cell
from costmodel.describe.ops import Conv, Pair
from costmodel.describe.program import Program
from costmodel.errors import InvalidInput
from costmodel.price.conventions import Convention, find_convention
from costmodel.price.symbols import (
    LETTERS,
    Dx,
    Dy,
    Expr,
    I,
    Kx,
    Ky,
    O,
    closed,
    fraction,
    leading_term,
    multiples,
    ordered,
    product,
    shortest,
    square,
    text,
)
from costmodel.work.events import Event
from costmodel.work.size import Size, int_pair


def symbolic_program(cell: Cell) -> Program:
    """One time step in the paper's letters; at I = O where the cell needs equal channels."""
    try:
        return describe_cell(cell, kernel=(Kx, Ky), channels=(I, O), size=(Dx, Dy))
    except InvalidInput:
        return describe_cell(cell, kernel=(Kx, Ky), channels=O, size=(Dx, Dy))


@dataclass(frozen=True)
class Item:
    """One row of Table I at I = O: ``total`` operations (convolutions, else per output element) and their price."""

    operation: str
    total: Expr
    price: int
    flops: Expr


@dataclass(frozen=True)
class Ratio:
    """The cost per position of a cell relative to the standard cell, at I = O, without `Equation.once`."""

    exact: Expr  # eqs. (5), (8), (11)
    leading: Expr  # the leading term for large I
    # The paper's approximation, without pointwise work. For depth it is not the leading term: the pointwise work stays
    # a fixed part of the cell (37 beside 16 Kx Ky) for any I.
    convolutions: Expr


@dataclass(frozen=True)
class RatioValue:
    """A ratio at given sizes: exact, and of the convolutions alone (the paper's approximation)."""

    exact: Fraction
    approximation: Fraction

    @property
    def error(self) -> Fraction:
        """Approximation minus exact."""
        return self.approximation - self.exact


class Equation:
    """The cost of one time step of a cell, as a formula under a convention, for odd kernels.

    Formulas are sympy expressions. Divisions that a description rounds (``O // 4``) are exact under the ``condition``
    ("": always); `at` is exact for all channels. ``once`` is the cost that a convention counts once and not per
    position: random initialisers, 0 in most conventions.
    """

    def __init__(self, cell: Cell, convention: Convention) -> None:
        self.cell = cell
        self.convention = convention
        self.program = symbolic_program(cell)
        self.condition = self._condition()
        total = closed(convention.flops(self.program.work))
        self.once = ordered(total.subs({Dx: 0, Dy: 0}))
        self.position = sympy.expand((total - total.subs({Dx: 0, Dy: 0})) / (Dx * Dy))

    def _condition(self) -> str:
        """The channels for which the formulas are exact, in words."""
        work = self.program.work
        divisors: dict[Expr, int] = {}
        for event, count in work.items():
            if self.convention.prices[event] or event is Event.MAC:
                for letter, divisor in multiples(count).items():
                    divisors[letter] = lcm(divisors.get(letter, 1), divisor)
        return " and ".join(f"{letter} a multiple of {divisors[letter]}" for letter in LETTERS if letter in divisors)

    @property
    def general(self) -> Expr:
        """The cost for any I and O; without I where the cell needs I = O."""
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
        """The cost at I = O as the paper prints it: a factor per output element in I, times O Dx Dy."""
        return product(ordered(self.element), O, Dx, Dy)

    @property
    def square(self) -> Expr:
        """The cost at I = O and Kx = Ky."""
        return product(ordered(square(self.element)), O, Dx, Dy)

    @property
    def needs_equal(self) -> bool:
        """True if the cell needs I = O."""
        return bool(self.program.inputs[0].map.channels == O)

    @property
    def items(self) -> tuple[Item, ...]:
        """The rows of Table I."""
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
            raise InvalidInput(
                f"convention {self.convention.name} gives a standard cell a cost of 0, so ratios to it are undefined"
            )
        return standard

    @property
    def ratio(self) -> Ratio:
        standard = self._standard_with_a_price()
        exact = sympy.cancel(self.element / standard.element)
        convolutions = sympy.expand(self.macs.subs(O, I)) / sympy.expand(standard.macs.subs(O, I))
        return Ratio(fraction(exact), leading_term(exact, I), shortest(convolutions))

    def at(self, kernel: "Size | Pair" = 3, channels: "Size | Pair" = 128) -> RatioValue:
        """The ratio to the standard cell, per position, at ``K`` or ``(Kx, Ky)`` and at ``I = O`` or ``(I, O)``."""
        sides, widths = int_pair("kernel", kernel), int_pair("channels", channels)
        flops, macs = self._per_position(sides, widths)
        if self.convention.prices[Event.MOVE] and not all(side % 2 for side in sides):
            raise InvalidInput(
                f"formulas are for odd kernels: {self.convention.name} prices the elements that even kernels move"
            )
        of, of_macs = self._standard_with_a_price()._per_position(sides, widths)
        return RatioValue(Fraction(flops, of), Fraction(macs, of_macs))

    def _per_position(self, kernel: Pair, channels: Pair) -> tuple[int, int]:
        """The cost and the multiply-accumulates, from a description at these numbers, so that roundings are exact."""
        work = describe_cell(self.cell, kernel=kernel, channels=channels, size=(Dx, Dy)).work
        flops, macs = (sympy.expand(n).coeff(Dx * Dy) for n in (self.convention.flops(work), work[Event.MAC]))
        return int(flops), int(macs)

    @property
    def terms(self) -> tuple[Expr, ...]:
        """The cost per time step at I = O, and ``once`` unless it is 0."""
        return (self.equal,) if self.once == 0 else (self.equal, ordered(sympy.expand(self.once.subs(O, I))))

    def __str__(self) -> str:
        return " + ".join(text(term) for term in self.terms)

    def __repr__(self) -> str:
        return f"<Equation {self.cell.name}, convention {self.convention.name}: {self}>"


def equation(
    cell: "str | Cell" = "standard", convention: "str | Convention" = "paper", *, recurrence: str | None = None
) -> Equation:
    """The cost of one time step of a cell as a formula (Table I, eqs. (2) to (11)); `InvalidInput` for unknown names.

    >>> from costmodel import equation
    >>> str(equation("sep"))
    '(16*Kx*Ky + 16*I + 37)*O*Dx*Dy'
    >>> equation("depth").ratio.convolutions
    1/I
    >>> equation("depth").at(kernel=3, channels=128).exact
    Fraction(181, 18469)
    """
    return Equation(find_cell(cell, recurrence), find_convention(convention))
