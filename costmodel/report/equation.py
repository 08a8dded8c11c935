"""A derived formula beside the printed one."""

from fractions import Fraction

from costmodel import published
from costmodel.describe.ops import Pair
from costmodel.price.formula import Equation, Ky, latex, parse, square, text


def cost(equation: Equation) -> str:
    """Table I of the cell and its total, at I = O and in general, and whether the paper prints the same."""
    lines = [
        f"{equation.cell.name} convLSTM: {equation.convention.unit}s per time step, "
        f"convention {equation.convention.name}",
        "",
    ]
    for item in equation.items:
        total = "" if item.total.free_symbols else str(item.total)
        lines += [f"  {item.operation:<22}{total:>4}   {text(item.flops)}"]
    lines += _labelled("total (I = O)", text(equation.equal))
    if equation.once != 0:
        lines += _labelled("and once per graph", text(equation.once))
    lines += _labelled(
        "for any I and O", "refused: this cell keeps its channels" if equation.needs_equal else text(equation.general)
    )
    if equation.printed and equation.convention.name == "paper":
        verdict = "the same" if equation.matches_print else "differs"
        if not parse(equation.printed.cost).has(Ky) and equation.equal.has(Ky):
            verdict += f" at Kx = Ky: {text(equation.square)}"
        lines += _labelled(f"paper's eq. {equation.printed.number}", verdict)
        lines += _notes(equation.printed.errata)
    return "\n".join(lines)


def ratio(equation: Equation, kernel: Pair, channels: Pair) -> str:
    """The ratio to the standard cell, its behaviour for large I, the paper's approximation, values at given sizes."""
    r, value, printed = equation.ratio, equation.at(kernel, channels), equation.printed
    lines = [
        f"{equation.cell.name} convLSTM: cost relative to the standard cell, convention {equation.convention.name}",
        "",
    ]
    lines += _labelled("exact (I = O)", text(r.exact))
    lines += _labelled("leading for large I", text(r.leading))
    lines += _labelled("convolutions alone", text(r.convolutions))
    if printed and printed.approximation and equation.convention.name == "paper":
        approximation = parse(printed.approximation)
        agrees = approximation in (r.convolutions, square(r.convolutions))
        at = " at Kx = Ky" if r.convolutions.has(Ky) and not approximation.has(Ky) else ""
        lines += _labelled(
            f"paper's eq. {printed.ratio_number}",
            f"approximation {printed.approximation}: {'the same' if agrees else 'differs'}{at}",
        )
    lines += ["", f"  at Kx = {kernel[0]}, Ky = {kernel[1]}, I = {channels[0]}, O = {channels[1]}:"]
    remaining = f"{percent(value.exact)} ({value.exact}); saves {percent(1 - value.exact)}"
    as_printed = equation.convention.name == "paper" and (kernel, channels) == (published.KERNEL, published.CHANNELS)
    if as_printed and printed and printed.percentage:
        remaining += f"; printed: {printed.percentage} %"
    lines += _labelled("remaining cost", remaining)
    relative = 100 * float(value.error / value.exact)
    lines += _labelled(
        "approximation",
        f"{percent(value.approximation)}; error {100 * float(value.error):+.2f} points, {relative:+.1f} % of the cost",
    )
    if printed and printed.ratio:
        lines += _notes(printed.ratio_errata)
    return "\n".join(lines)


def as_latex(equation: Equation, with_ratio: bool) -> str:
    if not with_ratio:
        return latex(equation.equal)
    r = equation.ratio
    return f"{latex(r.exact)} \\approx {latex(r.convolutions)}"


def percent(fraction: Fraction) -> str:
    return f"{100 * float(fraction):.2f} %"


def _labelled(label: str, value: str) -> list[str]:
    return [f"  {label:<26}   {value}"]


def _notes(keys: tuple[str, ...]) -> list[str]:
    return [f"  erratum, {published.ERRATA[key].place}: {published.ERRATA[key].text}" for key in keys]
