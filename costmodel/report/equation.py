"""A derived formula beside the printed one."""

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from costmodel.describe.cells import CELLS, CONV_LSTM
from costmodel.describe.ops import Pair
from costmodel.price.equation import Equation
from costmodel.price.symbols import I, Kx, Ky, O, latex, parse, square, text
from costmodel.published import lstm_icnet as published
from costmodel.report.layout.render import wrapped


def printed(equation: Equation) -> published.Equation | None:
    """The equation that the paper prints for this cell; None for other cells, and with peepholes."""
    cell = equation.cell
    known = CELLS.get(cell.name) is cell.star and cell.recurrence is CONV_LSTM
    return published.EQUATIONS.get(cell.name) if known and equation.convention.name == "paper" else None


def matches(equation: Equation, print_: published.Equation) -> bool:
    """True where the printed cost equals the derived cost at I = O (and at Kx = Ky where only Kx is printed)."""
    theirs = parse(print_.cost)
    ours = equation.equal if theirs.has(Ky) else equation.square
    return bool((ours - theirs).expand() == 0)


def _name(equation: Equation) -> str:
    """``sep convLSTM``, ``sep (peephole) convLSTM``, ``sep convGRU``."""
    cell = equation.cell
    return f"{cell.title if cell.recurrence.title == CONV_LSTM.title else cell.name} {cell.recurrence.title}"


def cost(equation: Equation) -> str:
    """Table I of the cell and its total, at I = O and in general, compared with the equation of the paper."""
    lines = [
        f"{_name(equation)}: {equation.convention.unit}s per time step, convention {equation.convention.name}",
        "",
    ]
    for item in equation.items:
        total = "" if item.total.free_symbols else str(item.total)
        lines += [f"  {item.operation:<22}{total:>4}   {text(item.flops)}"]
    lines += _labelled("total (I = O)", text(equation.equal))
    lines += _condition(equation)
    if equation.once != 0:
        lines += _labelled("and once per graph", text(equation.once))
    general = "refused: this cell needs I = O" if equation.needs_equal else text(equation.general)
    lines += _labelled("for any I and O", general)
    if print_ := printed(equation):
        verdict = "the same" if matches(equation, print_) else "differs"
        if not parse(print_.cost).has(Ky) and equation.equal.has(Ky):
            verdict += f" at Kx = Ky: {text(equation.square)}"
        lines += _labelled(f"paper's eq. {print_.number}", verdict)
        lines += _references(print_.errata)
    return "\n".join(lines)


def ratio(equation: Equation, kernel: Pair, channels: Pair) -> str:
    """The ratio to the standard cell, its behaviour for large I, the paper's approximation, values at given sizes."""
    r, value, print_ = equation.ratio, equation.at(kernel, channels), printed(equation)
    lines = [
        f"{_name(equation)}: cost relative to the standard cell, convention {equation.convention.name}",
        "",
    ]
    if equation.once != 0:
        lines += ["  per position, without what is counted once per graph", ""]
    lines += _labelled("exact (I = O)", text(r.exact))
    lines += _condition(equation)
    if channels[0] != channels[1]:
        lines += _labelled("exact (any I and O)", f"({text(equation.general)}) / ({text(equation.standard.general)})")
    lines += _labelled("leading for large I", text(r.leading))
    lines += _labelled("convolutions alone", text(r.convolutions))
    approximation = parse(print_.approximation) if print_ and print_.approximation else None
    if print_ and approximation is not None:
        agrees = approximation in (r.convolutions, square(r.convolutions))
        at = " at Kx = Ky" if r.convolutions.has(Ky) and not approximation.has(Ky) else ""
        verdict = "the same" if agrees else "differs"
        lines += _labelled(
            f"paper's eq. {print_.ratio_number}",
            f"approximation {print_.approximation}: {verdict}{at}",
        )
        lines += _references(print_.ratio_errata)
    lines += ["", f"  at Kx = {kernel[0]}, Ky = {kernel[1]}, I = {channels[0]}, O = {channels[1]}:"]
    remaining = f"{percent(value.exact)} ({value.exact}); saves {percent(1 - value.exact)}"
    if print_ and print_.percentage and (kernel, channels) == (published.KERNEL, published.CHANNELS):
        remaining += f"; printed: {print_.percentage} %"
    lines += _labelled("remaining cost", remaining)
    relative = 100 * float(value.error / value.exact)
    error = f"error {100 * float(value.error):+.2f} points, {relative:+.1f} % of the cost"
    lines += _labelled("approximation", f"{percent(value.approximation)}; {error}")
    if print_ and approximation is not None:
        numbers = dict(zip((Kx, Ky, I, O), (*kernel, *channels), strict=True))
        literal = Fraction(str(approximation.subs(numbers)))
        if literal != value.approximation:
            what = f"{percent(literal)}; meant for I = O and Kx = Ky"
            lines += _labelled(f"printed {print_.approximation}", what)
    return "\n".join(lines)


def as_latex(equation: Equation, with_ratio: bool) -> str:
    """One formula as LaTeX, after a comment that names the formula."""
    what = f"{_name(equation)}, I = O, convention {equation.convention.name}"
    what += f", {equation.condition}" if equation.condition else ""
    if with_ratio:
        r = equation.ratio
        return f"% {what}: cost relative to the standard cell\n{latex(r.exact)} \\approx {latex(r.convolutions)}"
    return f"% {what}: {equation.convention.unit}s per time step\n" + " + ".join(latex(term) for term in equation.terms)


def record(equation: Equation, kernel: Pair, channels: Pair) -> dict[str, Any]:
    """The formulas in Python syntax, and the ratio to the standard cell at given sizes (null: the cell needs I = O)."""
    r, print_ = equation.ratio, printed(equation)
    value = None if equation.needs_equal and channels[0] != channels[1] else equation.at(kernel, channels)
    return {
        "cell": equation.cell.name,
        "recurrence": equation.cell.recurrence.name,
        "convention": equation.convention.name,
        "unit": equation.convention.unit,
        "total": text(equation.equal),
        "once": text(equation.once),
        "general": None if equation.needs_equal else text(equation.general),
        **({"condition": equation.condition} if equation.condition else {}),
        "items": [{"operation": i.operation, "total": text(i.total), "flops": text(i.flops)} for i in equation.items],
        "printed": print_ and {"equation": print_.number, "total": print_.cost, "match": matches(equation, print_)},
        "ratio": {
            "exact": text(r.exact),
            "leading": text(r.leading),
            "convolutions": text(r.convolutions),
            "kernel": list(kernel),
            "channels": list(channels),
            "cost_ratio": value and float(value.exact),
            "approximation": value and float(value.approximation),
        },
    }


def percent(fraction: Fraction) -> str:
    return f"{100 * float(fraction):.2f} %"


def _labelled(label: str, value: str) -> list[str]:
    return [f"  {label:<26}   {value}"]


def _condition(equation: Equation) -> list[str]:
    return _labelled("holds for", equation.condition) if equation.condition else []


def _references(keys: tuple[str, ...]) -> list[str]:
    """The numbers of errata, whose text follows below."""
    return _labelled("see erratum", " and ".join(str(published.ERRATA[key].number) for key in keys)) if keys else []


def errata(equations: Iterable[Equation], with_ratio: bool) -> str:
    """The errata of the printed equations, each once, wrapped as notes of tables are; "" if there are none."""
    found = [print_ for equation in equations if (print_ := printed(equation))]
    keys = dict.fromkeys(key for each in found for key in (each.ratio_errata if with_ratio else each.errata))
    notes = [(published.ERRATA[key].number, published.ERRATA[key]) for key in keys]
    return "\n".join(wrapped(f"erratum {number}, {each.place}: {each.text}", "  ") for number, each in notes)
