"""A network as data: the straight-line program that the trace of its description records."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

from costmodel.describe.ops import Activation, Combine, Complement, Map, Op, Pair
from costmodel.errors import InvalidInput
from costmodel.work.cost import NOTHING, Cost, Operation
from costmodel.work.events import Event, Work
from costmodel.work.size import Size


@dataclass(frozen=True)
class Value:
    """A map with a name, made by the step of that name. ``+`` and ``*`` are elementwise, as in eq. (1)."""

    name: str
    map: Map
    trace: "Trace" = field(repr=False, compare=False)

    def __add__(self, other: "Value") -> "Value":
        return self.trace.apply(Combine(Event.ADDITION), self, other, name="add")

    def __mul__(self, other: "Value") -> "Value":
        return self.trace.apply(Combine(Event.PRODUCT), self, other, name="mul")


def sigmoid(x: Value) -> Value:
    return x.trace.apply(Activation(Event.SIGMOID), x, name="sigmoid")


def tanh(x: Value) -> Value:
    return x.trace.apply(Activation(Event.TANH), x, name="tanh")


def complement(x: Value) -> Value:
    return x.trace.apply(Complement(), x, name="complement")


def relu(x: Value) -> Value:
    return x.trace.apply(Activation(Event.RELU), x, name="relu")


@dataclass(frozen=True)
class Step:
    """``output = op(*inputs)``. The name is ``layer.part``; it names the torch submodule too."""

    op: Op
    inputs: tuple[Value, ...]
    output: Value

    @property
    def name(self) -> str:
        return self.output.name

    @property
    def cost(self) -> Cost:
        return self.op.cost(*(value.map for value in self.inputs))


@dataclass(frozen=True)
class State:
    """A map that is carried from frame to frame: ``before`` is read, ``after`` is kept for the next frame."""

    before: Value
    after: Value


@dataclass(frozen=True)
class Program:
    """One frame through a network, batch 1."""

    name: str
    inputs: tuple[Value, ...]
    states: tuple[State, ...]
    steps: tuple[Step, ...]
    outputs: tuple[Value, ...]
    training: tuple[tuple[str, Work], ...]  # (layer, work) of a training graph alone: initialisers, moving averages
    recurrences: tuple[tuple[str, str], ...] = ()  # (layer, name of the recurrence) of each cell

    def __repr__(self) -> str:
        first = self.inputs[0]
        whole = f", {self.parameters:,} parameters" if isinstance(self.parameters, int) else ""
        shape = str(first.map) if whole else "a grid or symbols"
        return f"<Program {self.name}: {first.name} {shape}{whole}, {len(self.steps)} steps>"

    @cached_property
    def operations(self) -> tuple[Operation, ...]:
        """The steps as operations, batch 1, as in a `Count` of a module; ``path`` is the name of the step, which is the
        name of its module in `build`. Events of the training graph are no operations."""
        return tuple(
            Operation(
                type(step.op).__name__.lower(),
                step.cost,
                path=step.name,
                inputs=tuple(_shape(value.map) for value in step.inputs),
                output=_shape(step.output.map),
            )
            for step in self.steps
        )

    @cached_property
    def cost(self) -> Cost:
        """The cost of one frame, training-graph events included."""
        return sum(self.layers.values(), NOTHING)

    @property
    def work(self) -> Work:
        return self.cost.work

    @property
    def parameters(self) -> Size:
        return self.cost.parameters

    @property
    def memory(self) -> int:
        """Bytes that inference needs at once, batch 1: the parameters, and at the fullest step the maps that `alive`
        adds up. Without workspaces of kernels and the rounding of an allocator. Sizes must be whole numbers.
        """
        return int(max(self.alive.values()) + self.parameters * self.inputs[0].map.itemsize)

    @cached_property
    def alive(self) -> dict[str, int]:
        """Bytes of maps at each step, by its name, and before the first step, by "": the frame, the states, the result
        of the step and the maps that this step or a later one reads."""
        kept = {v.name for v in (*self.inputs, *self.outputs)} | {s.before.name for s in self.states}
        kept |= {state.after.name for state in self.states}
        last = {value.name: number for number, step in enumerate(self.steps) for value in step.inputs}
        sizes = {v.name: v.map.bytes for v in (*self.inputs, *(state.before for state in self.states))}
        now = sum(sizes.values())
        alive = {"": now}
        for number, step in enumerate(self.steps):
            sizes[step.name] = step.output.map.bytes
            now += sizes[step.name]
            alive[step.name] = now
            now -= sum(sizes[name] for name in {v.name for v in step.inputs} - kept if last[name] == number)
        return alive

    @property
    def cells(self) -> list[tuple[Pair, Pair]]:
        """The channels (in, out) and the map (rows, columns) of each recurrent cell."""
        sizes = []
        for layer, _ in self.recurrences:
            within = f"{layer}." if layer else ""
            x = next(s.inputs[0] for s in self.steps if s.name.startswith(f"{within}x"))  # W_x. * X
            state = next(s.before for s in self.states if s.before.name.startswith(within))
            sizes.append(((x.map.channels, state.map.channels), (x.map.rows, x.map.columns)))
        return sizes

    @cached_property
    def layers(self) -> dict[str, Cost]:
        """The cost per layer (the first part of a step's name), in order of execution."""
        parts = [(step.name, step.cost) for step in self.steps]
        parts += [(layer, Cost(work)) for layer, work in self.training]
        layers: dict[str, Cost] = {}
        for name, cost in parts:
            layer = name.split(".", 1)[0]
            layers[layer] = layers[layer] + cost if layer in layers else cost
        return layers


def _shape(of: Map) -> tuple[Size, ...]:
    return 1, of.channels, of.rows, of.columns


class Trace:
    """Writes the program while a description runs.

    >>> trace = Trace()
    >>> x = trace.input("x", Map(16, 8, 8))
    >>> program = trace.program("double", x + x)
    >>> program.work
    Work(ADDITION=1024)
    """

    def __init__(self) -> None:
        self._scope: tuple[str, ...] = ()
        self._names: set[str] = set()
        self._inputs: list[Value] = []
        self._states: list[State] = []
        self.steps: list[Step] = []
        self._training: list[tuple[str, Work]] = []
        self.recurrences: list[tuple[str, str]] = []
        self._maps: dict[tuple[int, int, int, int], Map] = {}

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Steps recorded inside are named ``name.…``."""
        self._scope = (*self._scope, name)
        try:
            yield
        finally:
            self._scope = self._scope[:-1]

    def _value(self, name: str, shape: Map) -> Value:
        full = ".".join((*self._scope, name))
        unique, n = full, 1
        while unique in self._names:
            n += 1
            unique = f"{full}{n}"
        self._names.add(unique)
        return Value(unique, self._shared(shape), self)

    def input(self, name: str, shape: Map) -> Value:
        value = self._value(name, shape)
        self._inputs.append(value)
        return value

    def state(self, name: str, shape: Map) -> Value:
        """A map that the previous frame left, zeros before the first frame; `carry` sets the map for the next frame."""
        return self._value(name, shape)

    def carry(self, before: Value, after: Value) -> None:
        if not before.map.same_as(after.map):
            raise InvalidInput(f"state {before.name} is {before.map}, its successor {after.name} is {after.map}")
        self._states.append(State(before, after))

    def apply(self, op: Op, *inputs: Value, name: str) -> Value:
        output = self._value(name, op.output(*(value.map for value in inputs)))
        self.steps.append(Step(op, inputs, output))
        return output

    def _shared(self, shape: Map) -> Map:
        """The first map with the same sides, so that a grid computes its elements and bytes once."""
        return self._maps.setdefault((id(shape.channels), id(shape.rows), id(shape.columns), shape.itemsize), shape)

    @property
    def layer(self) -> str:
        """The layer that the description is in."""
        return ".".join(self._scope)

    def training(self, work: Work) -> None:
        """Record events of the training graph under the current layer."""
        self._training.append((self.layer, work))

    def program(self, name: str, *outputs: Value) -> Program:
        """The recorded program. The trace is emptied: values and trace would keep each other's arrays alive."""
        result = Program(
            name,
            tuple(self._inputs),
            tuple(self._states),
            tuple(self.steps),
            outputs,
            tuple(self._training),
            tuple(self.recurrences),
        )
        for recorded in (self._inputs, self._states, self.steps, self._training, self.recurrences, self._maps):
            recorded.clear()
        return result
