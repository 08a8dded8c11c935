"""Expressions in the letters of the paper or of a traced module: their order, text and LaTeX."""

import re
from collections.abc import Mapping, Sequence
from math import lcm
from typing import Any

import sympy

from costmodel.errors import InvalidInput
from costmodel.price.forms import Form, Rational, Rounded
from costmodel.work.size import Size

Expr = Any  # sympy has no types

# Kernel sides are odd, as everywhere in the paper: an even side adds a copy, which no convention prices.


class Letter(sympy.Symbol):  # type: ignore[misc]  # sympy has no types
    """A symbol for a size, for which ``subs`` also takes its name, as in ``subs({"H": 256})``: a plain symbol of that
    name lacks the assumptions, so sympy would leave the formula as it is without a word."""

    def _eval_subs(self, old: Expr, new: Expr) -> Expr | None:
        return new if isinstance(old, sympy.Symbol) and old.name == self.name else None


Letter.__name__ = "Symbol"  # sympy sorts factors by the names of their classes
Kx, Ky = sympy.symbols("Kx Ky", cls=Letter, integer=True, positive=True, odd=True)
I, O, Dx, Dy = sympy.symbols("I O Dx Dy", cls=Letter, integer=True, positive=True)
LETTERS = (Kx, Ky, I, O, Dx, Dy)
ROUNDING = (sympy.floor, sympy.ceiling)
COLUMN = 48  # characters of a formula that fit into a column of two
LATEX = {Kx: "K_x", Ky: "K_y", Dx: "D_x", Dy: "D_y"}


def parse(text: str) -> Expr:
    """A printed equation, in Python syntax and the letters above, as an expression."""
    return sympy.sympify(text, locals={str(letter): letter for letter in LETTERS})


def closed(expr: Expr) -> Expr:
    """The expanded expression without the roundings that `multiples` makes exact: ``O // 2`` is O/2."""
    whole = sympy.sympify(expr).replace(
        lambda part: isinstance(part, ROUNDING) and _multiples(part.args[0]) is not None, lambda part: part.args[0]
    )
    return sympy.expand(whole)


def multiples(expr: Expr) -> dict[Expr, int]:
    """By letter, the number of which the letter must be a multiple for `closed` to be exact."""
    divisors: dict[Expr, int] = {}
    for part in sympy.sympify(expr).atoms(*ROUNDING):
        for letter, divisor in (_multiples(closed(part.args[0])) or {}).items():
            divisors[letter] = lcm(divisors.get(letter, 1), divisor)
    return divisors


def _multiples(argument: Expr) -> dict[Expr, int] | None:
    """By letter, the number of which the letter must be a multiple for the argument to be whole; None where multiples
    are no answer, as for (O + 1)/2, for I*O/4, and for Kx/2, since kernel sides are odd."""
    letters = sorted(argument.free_symbols, key=str)
    if not letters or not argument.is_polynomial(*letters):
        return None
    divisors: dict[Expr, int] = {}
    for powers, coefficient in sympy.Poly(argument, *letters).terms():
        if not coefficient.is_Rational:
            return None
        if coefficient.q == 1:
            continue
        inside = [letter for letter, power in zip(letters, powers, strict=True) if power]
        if len(inside) != 1 or (inside[0].is_odd and coefficient.q % 2 == 0):
            return None
        divisors[inside[0]] = lcm(divisors.get(inside[0], 1), int(coefficient.q))
    return divisors


def square(expr: Expr) -> Expr:
    """The expression at Kx = Ky."""
    return sympy.expand(expr.subs(Ky, Kx))


def fraction(expr: Expr) -> Expr:
    """A fraction with numerator and denominator in the paper's order."""
    numerator, denominator = (ordered(part) for part in sympy.fraction(expr))
    inverses = [sympy.Pow(factor, -1, evaluate=False) for factor in sympy.Mul.make_args(denominator) if factor != 1]
    return product(numerator, *inverses)


def leading_term(expr: Expr, letter: Expr) -> Expr:
    """The leading term of a rational function for a large letter; `InvalidInput` where there is none."""
    expr = expr.replace(lambda part: isinstance(part, ROUNDING) and part.has(letter), lambda part: part.args[0])
    parts = sympy.fraction(sympy.cancel(expr))
    if not all(part.is_polynomial(letter) for part in parts):
        raise InvalidInput(f"no leading term for large {letter}: {text(expr)}")
    numerator, denominator = (sympy.Poly(part, letter) for part in parts)
    power = letter ** (numerator.degree() - denominator.degree())
    return shortest(numerator.LC() / denominator.LC() * power)


def shortest(expr: Expr) -> Expr:
    """The shortest of the expanded, the combined and the factored form, with short terms first."""
    forms = (sympy.expand(sympy.cancel(expr)), sympy.cancel(expr), sympy.factor(expr))
    form = min(forms, key=lambda form: len(str(form)))
    if not form.is_Add:
        return form
    return sympy.Add(*sorted(form.args, key=lambda term: (len(str(term)), str(term))), evaluate=False)


def ordered(polynomial: Expr) -> Expr:
    """A polynomial in the paper's order: terms by falling degree, letters as in K_x K_y I O."""
    letters = [letter for letter in LETTERS if polynomial.has(letter)]
    if not letters:
        return polynomial
    numerator, denominator = sympy.fraction(sympy.together(polynomial))
    if denominator.free_symbols or not numerator.is_polynomial(*letters):  # a rounding that stays
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


def expression(form: Form) -> Size:
    """A form as an expression; a number as a number."""
    whole = sympy.Add(*(_rational(factor) * sympy.Mul(*map(_rounded, key)) for key, factor in form.terms.items()))
    return int(whole) if whole.is_Integer else whole


def _rational(number: Rational) -> Expr:
    return sympy.Rational(number.numerator, number.denominator)


def _rounded(part: Rounded) -> Expr:
    size = part.slope * letter(part.letter)
    if part.offset == part.divisor - 1:
        return sympy.ceiling(size / part.divisor)
    return sympy.floor((size + part.offset) / part.divisor)


def largest(sizes: Sequence[Size]) -> Size:
    """The largest of several expressions, with what all have in common before it."""
    terms = [sympy.Add.make_args(sympy.expand(size)) for size in sizes]
    common = [term for term in terms[0] if all(term in others for others in terms)]
    rests = [sympy.Add(*(term for term in each if term not in common)) for each in terms]
    whole = sympy.Add(*common) + (rests[0] if len(rests) == 1 else sympy.Max(*rests))
    return int(whole) if whole.is_Integer else whole


def letter(name: str) -> sympy.Symbol:
    """The symbol of a size."""
    return Letter(name, integer=True, positive=True)


def at(size: Size, sizes: Mapping[str, int]) -> Size:
    """The value of an expression at given sizes: a number, or an expression in the letters that have none."""
    if isinstance(size, int):
        return size
    value = size.subs({letter(name): number for name, number in sizes.items()})
    return int(value) if value.is_Integer else value


def simplified_text(size: Size) -> str:
    """An expression in Python syntax, factored, in the shorter of two forms."""
    return str(size) if isinstance(size, int) else text(_simplified(size))


MOST_TERMS = 24  # of a sum that is factored, which takes long for more


def _simplified(size: Size) -> Expr:
    whole = sympy.expand(size)
    forms = [sympy.factor_terms(size), sympy.factor_terms(whole)]
    if not whole.has(sympy.Max) and len(sympy.Add.make_args(whole)) <= MOST_TERMS:
        forms.append(sympy.factor(whole))  # such as (H - 2)*(W - 2)
    return min(forms, key=lambda form: len(text(form)))


def latex_in_column(size: Size, width: int = COLUMN) -> str:
    """An expression as LaTeX, factored, in lines of about ``width`` characters as they are seen."""
    if isinstance(size, int):
        return str(size)
    whole = _simplified(size)
    if _seen(latex(whole)) <= width:
        return latex(whole)
    if isinstance(whole, sympy.Max):
        return _part(whole, width)
    factors = sympy.Mul.make_args(whole)
    sums = [each for each in factors if each.is_Add]
    if len(sums) != 1:
        return _lines("", [_part(each, width) for each in sympy.Add.make_args(whole)], " + ", "", width)
    outer = " ".join(latex(each) + r" \cdot" for each in factors if not each.is_Add)
    opened, closed = (outer + r" \bigl(", r"\bigr)") if outer else ("", "")
    return _lines(opened, [_part(each, width) for each in sums[0].args], " + ", closed, width)


def _part(part: Expr, width: int) -> str:
    """A part of a formula, a wide maximum in lines of its own."""
    if not isinstance(part, sympy.Max) or _seen(latex(part)) <= width:
        return latex(part)
    return _lines(r"\max\bigl(", [latex(each) for each in sorted(part.args, key=str)], ", ", r"\bigr)", width)


def _lines(opened: str, parts: Sequence[str], between: str, closed: str, width: int) -> str:
    """Parts on as few lines as they fit on."""
    lines = [""]
    for place, part in enumerate(parts):
        mark = between.strip() if place and between != " + " else ""
        sign = "" if not place or between != " + " else "- " if part.startswith("-") else "+ "
        piece = sign + (part.removeprefix("-").lstrip() if sign == "- " else part)
        lines[-1] += mark
        if lines[-1] and _seen(f"{lines[-1]} {piece}") + _seen(opened) > width:
            lines.append(piece)
        else:
            lines[-1] = f"{lines[-1]} {piece}".strip()
    body = " \\\\\n".join(f"&{line}" for line in lines)
    return f"\\begin{{aligned}}\n{opened}{body}{closed}\n\\end{{aligned}}"


def _seen(text: str) -> int:
    """About as many characters as are seen of LaTeX: a command is one, a fraction is as wide as its longer part."""
    text = re.sub(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", lambda found: max(found[1], found[2], key=len), text)
    return len(re.sub(r"\\(left|right|bigl|bigr)|[{}^_ ]", "", re.sub(r"\\(?!left|right|big)[a-z]+", "@", text)))
