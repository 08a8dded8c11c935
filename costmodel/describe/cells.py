"""Recurrent cells: eq. (1) of the paper, written once, and the meanings of its ``*``.

A ConvLSTM is eight transitions ``W * y`` and a fixed tail of pointwise work. The paper's four cells differ only in what
``W * y`` means, so a cell kind is one line of `CELLS`: the convolutions that ``*`` stands for, given the
channels I of ``y``, the channels O of the cell, and the kernel Kx x Ky. To add a kind, add a line.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias

from costmodel.describe.errors import InvalidInput
from costmodel.describe.ops import Conv, Map, Pair, Scale
from costmodel.describe.program import Program, Trace, Value, sigmoid, tanh
from costmodel.describe.size import Size, pair, same
from costmodel.describe.training_graph import initialise, lstm_loop
from costmodel.describe.work import Work

Star: TypeAlias = Callable[[Size, Size, Size, Size], tuple[Conv, ...]]


class W(Protocol):
    """``W("xi", y)`` is the paper's W_xi * y; with ``bias=True``, W_xi * y + b_i."""

    def __call__(self, name: str, y: Value, bias: bool = False) -> Value: ...


# ---- recurrences -----------------------------------------------------------------------------------------------------


def conv_lstm(W: W, X: Value, H: Value, C: Value) -> tuple[Value, ...]:
    """Eq. (1): ConvLSTM without peepholes. States are H and C; the first one returned is the output."""
    I = sigmoid(W("xi", X, bias=True) + W("hi", H))
    F = sigmoid(W("xf", X, bias=True) + W("hf", H))
    J = tanh(W("xc", X, bias=True) + W("hc", H))
    O = sigmoid(W("xo", X, bias=True) + W("ho", H))
    C = F * C + I * J
    return O * tanh(C), C


Per: TypeAlias = Literal["element", "channel"]


def peephole(name: str, C: Value, per: Per) -> Value:
    """W_c. o C, a Hadamard product with learned weights."""
    return C.trace.apply(Scale(per), C, name=name)


def peephole_conv_lstm(W: W, X: Value, H: Value, C: Value, per: Per = "element") -> tuple[Value, ...]:
    """Eq. (1) with the peepholes of Shi et al. (the paper's [17]): three products and three additions more.

    W_ci, W_cf, W_co have one weight per element of C, as a Hadamard product says, or one per channel.
    """
    I = sigmoid(W("xi", X, bias=True) + W("hi", H) + peephole("ci", C, per))
    F = sigmoid(W("xf", X, bias=True) + W("hf", H) + peephole("cf", C, per))
    J = tanh(W("xc", X, bias=True) + W("hc", H))
    C = F * C + I * J
    O = sigmoid(W("xo", X, bias=True) + W("ho", H) + peephole("co", C, per))
    return O * tanh(C), C


def channel_peephole_conv_lstm(W: W, X: Value, H: Value, C: Value) -> tuple[Value, ...]:
    """Peepholes with one weight per channel: translation invariant, and any frame size fits."""
    return peephole_conv_lstm(W, X, H, C, per="channel")


@dataclass(frozen=True)
class Recurrence:
    """How a cell combines its transitions: ``step(W, X, *states) -> states``, the first state being the output.

    ``states`` names them. ``training`` gives what TensorFlow's graph of this recurrence has besides, for a state map.
    """

    name: str
    step: Callable[..., tuple[Value, ...]]
    states: tuple[str, ...]
    training: Callable[[Map], Work] = lambda state: Work()


CONV_LSTM = Recurrence("convlstm", conv_lstm, ("h", "c"), lstm_loop)
RECURRENCES = {
    recurrence.name: recurrence
    for recurrence in (
        CONV_LSTM,
        Recurrence("peephole", peephole_conv_lstm, ("h", "c"), lstm_loop),
        Recurrence("channel-peephole", channel_peephole_conv_lstm, ("h", "c"), lstm_loop),
    )
}


# ---- what `*` means --------------------------------------------------------------------------------------------------

CELLS: dict[str, Star] = {
    "standard": lambda I, O, Kx, Ky: (Conv(O, (Kx, Ky)),),  # eq. (1)
    "spatial": lambda I, O, Kx, Ky: (Conv(O, (Kx, 1)), Conv(O, (1, Ky))),  # eq. (3)
    "depth": lambda I, O, Kx, Ky: (Conv(I, (Kx, Ky), groups=I),),  # eq. (6)
    "sep": lambda I, O, Kx, Ky: (Conv(I, (Kx, Ky), groups=I), Conv(O, (1, 1))),  # eq. (9)
}


@dataclass(frozen=True)
class Cell:
    """A recurrent cell: a name, the convolutions that its ``*`` stands for, and the recurrence around them."""

    name: str
    star: Star
    recurrence: Recurrence = CONV_LSTM

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise InvalidInput(f"a cell's name is a word, not {self.name!r}")
        if not callable(self.star):
            raise InvalidInput(f"`*` of a {self.name} cell is a function of I, O, Kx, Ky, not {self.star!r}")
        if not isinstance(self.recurrence, Recurrence):
            raise InvalidInput(f"the recurrence of a {self.name} cell is a Recurrence, not {self.recurrence!r}")

    @property
    def title(self) -> str:
        """The name, and the recurrence where it is not the plain ConvLSTM."""
        return self.name if self.recurrence is CONV_LSTM else f"{self.name} ({self.recurrence.name})"

    def transition(self, y: Value, out_channels: Size, kernel: Pair) -> tuple[Conv, ...]:
        """The convolutions of one ``W * y``."""
        sizes = (y.map.channels, out_channels, *kernel)
        try:
            chain = self.star(*sizes)
        except (TypeError, ValueError) as error:
            if all(isinstance(n, int) for n in sizes):
                raise
            raise InvalidInput(
                f"`*` of a {self.name} cell cannot be told for symbols or whole grids: {error}"
            ) from error
        if not isinstance(chain, tuple) or not chain or not all(isinstance(conv, Conv) for conv in chain):
            raise InvalidInput(f"`*` of a {self.name} cell must be a tuple of convolutions, such as (Conv(...),)")
        if any(conv.bias for conv in chain):
            raise InvalidInput(f"`*` of a {self.name} cell has no bias: the recurrence adds it")
        return chain

    def __call__(self, X: Value, out_channels: Size, kernel: Pair) -> Value:
        """Record the cell in the trace of ``X``; returns its output."""
        trace, hidden = X.trace, X.map.like(channels=out_channels)
        states = tuple(trace.state(name, hidden) for name in self.recurrence.states)
        first = len(trace.steps)

        def W(name: str, y: Value, bias: bool = False) -> Value:  # noqa: N802  (the paper's letter)
            *chain, last = self.transition(y, out_channels, kernel)
            for part, conv in enumerate((*chain, replace(last, bias=bias)), 1):
                y = trace.apply(conv, y, name=f"{name}_{part}" if chain else name)
            if not same(y.map.channels, out_channels):
                raise InvalidInput(
                    f"a {self.name} cell keeps its channels: {X.map.channels} in cannot become {out_channels} out "
                    "(it needs I = O)"
                )
            return y

        after = self.recurrence.step(W, X, *states)
        for before, new in zip(states, after, strict=True):
            trace.carry(before, new)

        # TensorFlow keeps the kernels of all gates in one variable per convolution of the chain.
        steps = trace.steps[first:]
        chain = len(self.transition(X, out_channels, kernel))
        kernels = sum(step.op.weights(step.inputs[0].map) for step in steps if isinstance(step.op, Conv))
        peepholes = [step.op.weights(step.inputs[0].map) for step in steps if isinstance(step.op, Scale)]
        trace.recurrences.append((trace.layer, self.recurrence.name))
        trace.training(initialise(kernels, *[0] * (chain - 1), *peepholes) + self.recurrence.training(hidden))
        return after[0]


def find_cell(kind: "str | Cell", recurrence: str | None = None) -> Cell:
    """The cell of that name, or the given `Cell`; with another recurrence around it if one is named."""
    if recurrence is not None and (not isinstance(recurrence, str) or recurrence not in RECURRENCES):
        raise InvalidInput(f"unknown recurrence {recurrence!r}: one of {', '.join(RECURRENCES)}")
    if not isinstance(kind, Cell):
        if not isinstance(kind, str) or kind not in CELLS:
            raise InvalidInput(f"unknown cell {kind!r}: one of {', '.join(CELLS)}")
        kind = Cell(kind, CELLS[kind])
    if CELLS.get(kind.name, kind.star) is not kind.star:
        raise InvalidInput(f"{kind.name!r} is the name of another cell: choose one that is not {', '.join(CELLS)}")
    if RECURRENCES.get(kind.recurrence.name, kind.recurrence) is not kind.recurrence:
        raise InvalidInput(f"{kind.recurrence.name!r} is the name of another recurrence: not {', '.join(RECURRENCES)}")
    return kind if recurrence is None else replace(kind, recurrence=RECURRENCES[recurrence])


def find_cells(kinds: "str | Cell | Iterable[str | Cell] | None", recurrence: str | None = None) -> list[Cell]:
    """Cells, each once; without ``kinds``, all of `CELLS`."""
    given = CELLS if kinds is None else [kinds] if isinstance(kinds, str | Cell) else kinds
    cells = list(dict.fromkeys(find_cell(kind, recurrence) for kind in given))
    if not cells:
        raise InvalidInput(f"no cell given: at least one of {', '.join(CELLS)}")
    for cell in cells:
        if sum(other.name == cell.name for other in cells) > 1:
            raise InvalidInput(f"two different cells are called {cell.name!r}")
    return cells


def describe_cell(
    kind: "str | Cell",
    *,
    kernel: "Size | Pair" = 3,
    channels: "Size | Pair" = 128,
    size: Pair = (128, 256),
    recurrence: str | None = None,
    itemsize: int = 4,
) -> Program:
    """One time step of a cell, as a `Program`.

    ``kernel``: ``K`` or ``(Kx, Ky)``; ``channels``: ``I = O`` or ``(I, O)``; ``size``: ``(Dx, Dy)``, rows and columns
    of the feature map. Sizes are ints, sympy symbols, or numpy arrays of 64-bit ints that broadcast (unguarded against
    overflow: `sweep` guards). ``recurrence``: a name of `RECURRENCES`; ``itemsize``: bytes per number.

    >>> import costmodel
    >>> costmodel.cell("sep", kernel=5, channels=64, size=(32, 32)).parameters   # 8*(5*5*64 + 64*64) + 4*64
    45824
    """
    cell = find_cell(kind, recurrence)
    I, O = pair("channels", channels)
    Kx, Ky = pair("kernel", kernel)
    trace = Trace()
    X = trace.input("x", Map(I, *pair("size", size), itemsize))
    return trace.program(cell.name, cell(X, O, (Kx, Ky)))
