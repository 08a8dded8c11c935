"""Recurrent cells: eq. (1) of the paper, written once, and the meanings of its ``*``.

A ConvLSTM is eight transitions ``W * y`` and a fixed tail of pointwise work. The paper's four cells differ only in the
meaning of ``*``, so a kind of cell is one line of `CELLS`: the convolutions that ``*`` stands for, given the channels I
of ``y``, the channels O of the cell, and the kernel Kx x Ky. To add a kind, add a line. Kinds with a number in their
name, such as ``grouped-4``, are lines of `FAMILIES`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal, NamedTuple, Protocol, TypeAlias

from costmodel.describe.ops import Conv, Map, Pair, Scale, Shuffle
from costmodel.describe.program import Program, Trace, Value, complement, sigmoid, tanh
from costmodel.describe.training_graph import initialise, lstm_loop
from costmodel.errors import InvalidInput, among, in_words
from costmodel.work.events import Work
from costmodel.work.size import Size, as_size, pair, same

Star: TypeAlias = Callable[[Size, Size, Size, Size], "tuple[Conv | Shuffle, ...]"]


class Gate(Protocol):
    """``gate("i", X, H)`` is W_xi * X + W_hi * H + b_i, of which a gate takes sigma or tanh; ``gate("i", X)`` and
    ``gate("i", H=H)`` are its parts (the bias goes with X)."""

    def __call__(self, name: str, X: Value | None = None, H: Value | None = None) -> Value: ...


# ---- recurrences -----------------------------------------------------------------------------------------------------


def conv_lstm(gate: Gate, X: Value, H: Value, C: Value) -> tuple[Value, ...]:
    """Eq. (1): ConvLSTM without peepholes. Returns the states H, which is the output, and C."""
    I = sigmoid(gate("i", X, H))
    F = sigmoid(gate("f", X, H))
    J = tanh(gate("c", X, H))
    O = sigmoid(gate("o", X, H))
    C = F * C + I * J
    return O * tanh(C), C


Per: TypeAlias = Literal["element", "channel"]


def peephole(name: str, C: Value, per: Per) -> Value:
    """W_c. o C, a Hadamard product with learned weights."""
    return C.trace.apply(Scale(per), C, name=name)


def peephole_conv_lstm(gate: Gate, X: Value, H: Value, C: Value, per: Per = "element") -> tuple[Value, ...]:
    """Eq. (1) with the peepholes of Shi et al. (the paper's [17]): three products and three additions more.

    W_ci, W_cf, W_co have one weight per element of C, as in a Hadamard product, or one per channel.
    """
    I = sigmoid(gate("i", X, H) + peephole("ci", C, per))
    F = sigmoid(gate("f", X, H) + peephole("cf", C, per))
    J = tanh(gate("c", X, H))
    C = F * C + I * J
    O = sigmoid(gate("o", X, H) + peephole("co", C, per))
    return O * tanh(C), C


def channel_peephole_conv_lstm(gate: Gate, X: Value, H: Value, C: Value) -> tuple[Value, ...]:
    """Peepholes with one weight per channel: translation invariant, for frames of any size."""
    return peephole_conv_lstm(gate, X, H, C, per="channel")


def conv_gru(gate: Gate, X: Value, H: Value) -> tuple[Value, ...]:
    """ConvGRU (Ballas et al. 2016; compared in the paper's [22], [23]): two gates, a candidate N, one state."""
    Z = sigmoid(gate("z", X, H))
    R = sigmoid(gate("r", X, H))
    N = tanh(gate("n", X, R * H))
    return (complement(Z) * H + Z * N,)


def conv_rnn(gate: Gate, X: Value, H: Value) -> tuple[Value, ...]:
    """ConvRNN: one tanh of one transition, one state."""
    return (tanh(gate("h", X, H)),)


@dataclass(frozen=True)
class Recurrence:
    """The combination of a cell's transitions."""

    name: str
    step: Callable[..., tuple[Value, ...]]  # step(gate, X, *states) -> states; the first state is the output
    states: tuple[str, ...]  # names
    training: Callable[[Map], Work] = lambda state: Work()  # events of TensorFlow's graph alone, for a state map
    title: str = "convLSTM"  # the name in reports


CONV_LSTM = Recurrence("convlstm", conv_lstm, ("h", "c"), lstm_loop)
RECURRENCES = {
    recurrence.name: recurrence
    for recurrence in (
        CONV_LSTM,
        Recurrence("peephole", peephole_conv_lstm, ("h", "c"), lstm_loop),
        Recurrence("channel-peephole", channel_peephole_conv_lstm, ("h", "c"), lstm_loop),
        Recurrence("convgru", conv_gru, ("h",), title="convGRU"),
        Recurrence("convrnn", conv_rnn, ("h",), title="convRNN"),
    )
}


# ---- meanings of `*` -------------------------------------------------------------------------------------------------

CELLS: dict[str, Star] = {
    "standard": lambda I, O, Kx, Ky: (Conv(O, (Kx, Ky)),),  # eq. (1)
    "spatial": lambda I, O, Kx, Ky: (Conv(O, (Kx, 1)), Conv(O, (1, Ky))),  # eq. (3)
    "depth": lambda I, O, Kx, Ky: (Conv(I, (Kx, Ky), groups=I),),  # eq. (6)
    "sep": lambda I, O, Kx, Ky: (Conv(I, (Kx, Ky), groups=I), Conv(O, (1, 1))),  # eq. (9)
}


@dataclass(frozen=True, repr=False)
class Cell:
    """A recurrent cell: a name, the convolutions that its ``*`` stands for, and the recurrence around them.

    With a ``rank`` r the cell is factorised (the paper's [10]): a gate is V * (U_x * X + U_h * H) + b. U has r output
    channels and is shared by the gates that read the same X and H; V is a 1x1 convolution.
    """

    name: str
    star: Star
    recurrence: Recurrence = CONV_LSTM
    rank: Size = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise InvalidInput(f"the name of a cell must be a word, not {self.name!r}")
        if not callable(self.star):
            raise InvalidInput(f'the `*` of cell "{self.name}" must be a function of I, O, Kx, Ky, not {self.star!r}')
        if not isinstance(self.recurrence, Recurrence):
            raise InvalidInput(f'the recurrence of cell "{self.name}" must be a Recurrence, not {self.recurrence!r}')
        if self.rank is not None:
            as_size(f'the rank of cell "{self.name}"', self.rank)

    def __repr__(self) -> str:
        return f"<Cell {self.title}>"

    @property
    def title(self) -> str:
        """The name, and the recurrence unless it is the plain ConvLSTM."""
        return self.name if self.recurrence is CONV_LSTM else f"{self.name} ({self.recurrence.name})"

    def transition(self, y: Value, out_channels: Size, kernel: Pair) -> "tuple[Conv | Shuffle, ...]":
        """The convolutions of one ``W * y``."""
        sizes = (y.map.channels, out_channels, *kernel)
        try:
            chain = self.star(*sizes)
        except (TypeError, ValueError) as error:
            if all(isinstance(n, int) for n in sizes):
                raise
            raise InvalidInput(
                f'the `*` of cell "{self.name}" cannot be evaluated on symbols or arrays: {error}'
            ) from error
        parts = chain if isinstance(chain, tuple) else ()
        convolutions = [part for part in parts if isinstance(part, Conv)]
        if not convolutions or not all(isinstance(part, Conv | Shuffle) for part in parts):
            raise InvalidInput(f'the `*` of cell "{self.name}" must be a tuple of convolutions, such as (Conv(...),)')
        if any(conv.bias for conv in convolutions):
            raise InvalidInput(f'the `*` of cell "{self.name}" must have no bias: the recurrence adds the bias')
        return chain

    def __call__(self, X: Value, out_channels: Size, kernel: Pair) -> Value:
        """Record the cell in the trace of ``X`` and return the output of the cell."""
        trace, hidden = X.trace, X.map.like(channels=out_channels)
        states = tuple(trace.state(name, hidden) for name in self.recurrence.states)
        first = len(trace.steps)

        def W(name: str, y: Value, out: Size, bias: bool = False) -> Value:  # noqa: N802  (the paper's letter)
            """W * y, or W * y + b."""
            chain = self.transition(y, out, kernel)
            last = max(part for part, each in enumerate(chain) if isinstance(each, Conv))
            for part, each in enumerate(chain):
                biased = replace(each, bias=True) if bias and part == last and isinstance(each, Conv) else each
                y = trace.apply(biased, y, name=f"{name}_{part + 1}" if len(chain) > 1 else name)
            if not same(y.map.channels, out):
                raise InvalidInput(
                    f'cell "{self.name}" needs as many output as input channels (I = O), not {X.map.channels} and {out}'
                )
            return y

        def gate(name: str, X: Value | None = None, H: Value | None = None) -> Value:
            if self.rank is None:
                parts = [W(f"x{name}", X, out_channels, bias=True)] if X else []
                parts += [W(f"h{name}", H, out_channels)] if H else []
                return sum(parts[1:], parts[0])
            of = tuple(y.name for y in (X, H) if y)
            if of not in shared:
                parts = [W(f"{side}u", y, self.rank) for side, y in (("x", X), ("h", H)) if y]
                shared[of] = sum(parts[1:], parts[0])
            return trace.apply(Conv(out_channels, (1, 1), bias=X is not None), shared[of], name=f"v{name}")

        shared: dict[tuple[str, ...], Value] = {}
        after = self.recurrence.step(gate, X, *states)
        for before, new in zip(states, after, strict=True):
            trace.carry(before, new)

        # TensorFlow keeps the kernels of all gates in one variable per convolution of the chain.
        steps = trace.steps[first:]
        chain = sum(isinstance(each, Conv) for each in self.transition(X, out_channels, kernel)) + (
            self.rank is not None
        )
        kernels = sum(step.op.weights(step.inputs[0].map) for step in steps if isinstance(step.op, Conv))
        peepholes = [step.op.weights(step.inputs[0].map) for step in steps if isinstance(step.op, Scale)]
        trace.recurrences.append((trace.layer, self.recurrence.name))
        trace.training(initialise(kernels, *[0] * (chain - 1), *peepholes) + self.recurrence.training(hidden))
        return after[0]


class Family(NamedTuple):
    """Cells whose names end in a number."""

    example: int  # the number of the cell that `costmodel check` takes
    make: Callable[[int], Cell]


# G is a number of groups, R a rank.
FAMILIES = {
    "grouped-G": Family(4, lambda G: Cell(f"grouped-{G}", lambda I, O, Kx, Ky: (Conv(O, (Kx, Ky), groups=G),))),
    "shuffled-G": Family(
        4, lambda G: Cell(f"shuffled-{G}", lambda I, O, Kx, Ky: (Conv(O, (Kx, Ky), groups=G), Shuffle(G)))
    ),
    "low-rank-R": Family(32, lambda R: Cell(f"low-rank-{R}", CELLS["standard"], rank=R)),
}


def cell_names() -> tuple[str, ...]:
    """The names of cells; G and R stand for whole numbers."""
    return (*CELLS, *FAMILIES)


@cache
def _of_a_family(name: str) -> Cell | None:
    """The cell of a name with a number; the same `Cell` for the same name, so that two compare equal."""
    name, _, number = name.rpartition("-")
    make = next((family.make for known, family in FAMILIES.items() if known.rpartition("-")[0] == name), None)
    usual = number.isascii() and number.isdecimal() and not number.startswith("0") and len(number) <= 18
    return make(int(number)) if make and usual else None


def find_cell(kind: "str | Cell", recurrence: str | None = None) -> Cell:
    """The cell of that name, or the given `Cell`, with ``recurrence`` around it if given; `InvalidInput` for others."""
    if recurrence is not None and (not isinstance(recurrence, str) or recurrence not in RECURRENCES):
        raise InvalidInput(f"unknown recurrence {in_words(recurrence)}: {among(recurrence, RECURRENCES)}")
    if not isinstance(kind, Cell):
        known = _known(kind) if isinstance(kind, str) else None
        if known is None:
            raise InvalidInput(f"unknown cell {in_words(kind)}: {among(kind, cell_names())}")
        kind = known
    known = _known(kind.name)
    if known is not None and (known.star is not kind.star or known.rank != kind.rank):
        raise InvalidInput(f"{kind.name!r} is the name of another cell: choose another name")
    if RECURRENCES.get(kind.recurrence.name, kind.recurrence) is not kind.recurrence:
        raise InvalidInput(f"{kind.recurrence.name!r} is the name of another recurrence: choose another name")
    return kind if recurrence is None else replace(kind, recurrence=RECURRENCES[recurrence])


@cache
def with_kernel(cell: Cell, kernel: tuple[int, int]) -> Cell:
    """The cell with a kernel of its own, whatever that of the network is; its name says the kernel: ``sep 5x5``."""
    named = f"{cell.name} {'x'.join(map(str, kernel))}"
    return replace(cell, name=named, star=lambda I, O, Kx, Ky: cell.star(I, O, *kernel))


def is_cell(name: str) -> bool:
    """True if a cell has that name."""
    return _known(name) is not None


def _known(name: str) -> Cell | None:
    return Cell(name, CELLS[name]) if name in CELLS else _of_a_family(name)


def find_cells(kinds: "str | Cell | Iterable[str | Cell] | None", recurrence: str | None = None) -> list[Cell]:
    """Cells, each once; without ``kinds``, all of `CELLS`. `InvalidInput` where two cells share a name."""
    given = CELLS if kinds is None else kinds if isinstance(kinds, Iterable) and not isinstance(kinds, str) else [kinds]
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
    overflow: `sweep` guards). ``recurrence``: a name of `RECURRENCES`; ``itemsize``: bytes per number. `InvalidInput`
    for unknown names and for sizes that the cell does not allow.

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
