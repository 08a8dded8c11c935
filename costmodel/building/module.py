"""A description as a torch module: ordinary, printable code without an interpreter at run time."""

import operator
import os
from collections.abc import Collection
from typing import Any, TypeAlias

import torch
from torch import fx, nn
from torch.nn import functional as F

from costmodel.describe.ops import (
    Activation,
    Combine,
    Complement,
    Concat,
    Conv,
    Norm,
    Op,
    Pool,
    Resize,
    Scale,
    Shuffle,
    TransposedConv,
)
from costmodel.describe.program import Program, Step
from costmodel.errors import InvalidInput, in_words
from costmodel.work.events import Event

Tensors: TypeAlias = tuple[torch.Tensor, ...]

_FUNCTIONS: dict[Event, Any] = {
    Event.SIGMOID: torch.sigmoid,
    Event.TANH: torch.tanh,
    Event.RELU: F.relu,
    Event.ADDITION: operator.add,
    Event.PRODUCT: operator.mul,
    Event.MAX_POOL: F.max_pool2d,
    Event.AVERAGE_POOL: F.avg_pool2d,
}


class Streaming(nn.Module):
    """A network that is fed frame by frame: ``output, state = module(frame, state)``.

    ``frame``: (batch, channels, rows, columns). ``state``: the state of the previous call, zeros when absent; a flat
    tuple, ``()`` for a network without recurrence. ``output`` is a tensor, or a tuple with the auxiliary heads.
    ``code`` is the forward pass as Python. Frames of another size than described are refused (``ValueError``), except
    where nothing in the network depends on the size.
    """

    body: fx.GraphModule

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.body = _graph_module(program)
        frame = program.inputs[0].map
        self.frame_shape = (frame.channels, frame.rows, frame.columns)
        states = [state.before.map for state in program.states]
        self.state_shapes = [(m.channels, m.rows, m.columns) for m in states]
        self.any_size = all((m.rows, m.columns) == (frame.rows, frame.columns) for m in states) and not any(
            _depends_on_size(step.op) for step in program.steps
        )
        self.outputs = len(program.outputs)

    def forward(self, frame: torch.Tensor, state: Tensors | None = None) -> tuple[Any, Tensors]:
        checked = 1 if self.any_size else 3
        if frame.dim() != 4 or tuple(frame.shape[1:])[:checked] != self.frame_shape[:checked]:
            expected = " x ".join(["batch", *map(str, self.frame_shape)])
            raise ValueError(f"this module was built for frames of {expected}, not {' x '.join(map(str, frame.shape))}")
        if state is None:
            state = self.zeros(frame)
        expected_states = self.expected_states(frame)
        if [tuple(s.shape) for s in state] != expected_states:
            given = ", ".join(" x ".join(map(str, s.shape)) for s in state) or "none"
            wanted = ", ".join(" x ".join(map(str, shape)) for shape in expected_states) or "none"
            raise ValueError(f"states for this frame have the shapes {wanted}; given: {given}")
        results = self.body(frame, *state)
        outputs, after = results[: self.outputs], tuple(results[self.outputs :])
        return (outputs[0] if self.outputs == 1 else tuple(outputs)), after

    def zeros(self, frame: torch.Tensor) -> Tensors:
        """The state before the first frame."""
        return tuple(frame.new_zeros(shape) for shape in self.expected_states(frame))

    def expected_states(self, frame: torch.Tensor) -> list[tuple[int, ...]]:
        """Shapes of the states for a frame: (batch, channels, rows, columns)."""
        return [
            (frame.shape[0], channels, *(frame.shape[2:] if self.any_size else (rows, columns)))
            for channels, rows, columns in self.state_shapes
        ]

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.frame_shape))
        parameters = sum(p.numel() for p in self.parameters())
        return f"<Streaming module: {shape} frames, {parameters:,} parameters; .code is its forward pass>"

    @property
    def code(self) -> str:
        return str(self.body.code)


def build(program: Program) -> Streaming:
    """The torch module of a description, with torch's default initial weights.

    The module is a plain ``nn.Module``: ``.to(dtype)``, channels_last, ``eval()``, ``torch.compile`` and
    ``torch.export`` work, and under ``torch.device("meta")`` the module takes no memory.

    >>> import torch
    >>> import costmodel
    >>> module = costmodel.build(costmodel.cell("depth", kernel=3, channels=8, size=(4, 6)))
    >>> output, state = module(torch.randn(1, 8, 4, 6))
    >>> output, state = module(torch.randn(1, 8, 4, 6), state)
    >>> sum(p.numel() for p in module.parameters())   # 8*3*3*8 + 4*8
    608
    """
    if not isinstance(program, Program):
        takes = "build takes a description (costmodel.cell(...), costmodel.network(...))"
        raise InvalidInput(f"{takes}, not {in_words(program)}")
    if len(program.inputs) != 1:
        raise InvalidInput(f"{program.name} has {len(program.inputs)} inputs; a streaming module has one")
    sizes = [n for value in program.inputs for n in (value.map.channels, value.map.rows, value.map.columns)]
    if not all(isinstance(n, int) for n in sizes):
        raise InvalidInput(f"{program.name}: a module needs whole numbers for sizes, not {sizes}")
    return Streaming(program)


def _depends_on_size(op: Op) -> bool:
    """True where the code of an operation contains a number derived from the size of the map."""
    match op:
        case Resize() | Pool():
            return True
        case Scale():
            return op.per == "element"
        case Conv():
            return op.stride != 1 and op.padding == "same"
        case _:
            return False


def check_memory(programs: Collection[Program]) -> None:
    """Raise `InvalidInput` where this machine's memory cannot hold the weights, frames and states of all modules and
    the largest single step."""
    stored = sum(p.parameters * p.inputs[0].map.itemsize + _carried(p) for p in programs)
    working = max((step.cost.reads + step.cost.writes for p in programs for step in p.steps), default=0)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if stored + working > memory:
        what = f"{len(programs)} modules" if len(programs) > 1 else "the module"
        raise InvalidInput(
            f"{what} would need at least {(stored + working) / 1e9:,.1f} GB at these sizes; "
            f"this machine has {memory / 1e9:,.1f} GB"
        )


def _carried(program: Program) -> int:
    """Bytes of the frame and of the states before and after it."""
    maps = [value.map for value in program.inputs] + 2 * [state.before.map for state in program.states]
    return sum(int(m.bytes) for m in maps)


def _graph_module(program: Program) -> fx.GraphModule:
    graph = fx.Graph()
    members: dict[str, Any] = {}
    nodes: dict[str, fx.Node] = {}
    for value in (*program.inputs, *(state.before for state in program.states)):
        nodes[value.name] = graph.placeholder(value.name.replace(".", "_"))
    for step in program.steps:
        node = _emit(graph, members, step, [nodes[value.name] for value in step.inputs])
        node.meta["step"] = step.name
        nodes[step.name] = node
    graph.output(tuple(nodes[v.name] for v in (*program.outputs, *(state.after for state in program.states))))
    graph.lint()
    return fx.GraphModule(members, graph, class_name="Body")


def _emit(graph: fx.Graph, members: dict[str, Any], step: Step, inputs: list[fx.Node]) -> fx.Node:
    """Add the torch code of one step; its submodule or parameter goes to ``members`` under the step's name."""
    op, x = step.op, step.inputs[0].map
    name = step.name.replace(".", "_")
    settings: dict[str, Any]
    match op:
        case Conv():
            rows, columns = op.total_padding(x)
            padding = (rows // 2, columns // 2)
            if rows % 2 or columns % 2:
                margins = [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2]
                inputs = [graph.create_node("call_function", F.pad, (inputs[0], margins), name=f"{name}_pad")]
                padding = (0, 0)
            members[step.name] = nn.Conv2d(
                x.channels, op.out_channels, op.kernel, op.stride, padding, op.dilation, op.groups, bias=op.bias
            )
            return graph.create_node("call_module", step.name, tuple(inputs), name=name)
        case TransposedConv():
            settings = {"padding": op.padding, "output_padding": op.output_padding, "bias": op.bias}
            members[step.name] = nn.ConvTranspose2d(x.channels, op.out_channels, op.kernel, op.stride, **settings)
            return graph.create_node("call_module", step.name, tuple(inputs), name=name)
        case Concat():
            return graph.create_node("call_function", torch.cat, (inputs, 1), name=name)
        case Shuffle():
            members[step.name] = nn.ChannelShuffle(op.groups)
            return graph.create_node("call_module", step.name, tuple(inputs), name=name)
        case Complement():
            return graph.create_node("call_function", operator.sub, (1, *inputs), name=name)
        case Norm():
            members[step.name] = nn.BatchNorm2d(x.channels, eps=op.eps)
            return graph.create_node("call_module", step.name, tuple(inputs), name=name)
        case Scale():
            shape = (x.channels, x.rows, x.columns) if op.per == "element" else (x.channels, 1, 1)
            # As torch initialises convolutions: uniform within 1 / sqrt(fan-in); an element has a fan-in of 1.
            members[step.name] = nn.Parameter(torch.empty(shape).uniform_(-1, 1))
            weight = graph.create_node("get_attr", step.name, name=f"{name}_weight")
            return graph.create_node("call_function", operator.mul, (inputs[0], weight), name=name)
        case Resize():
            settings = {"size": (op.rows, op.columns), "mode": "bilinear", "align_corners": True}
            return graph.create_node("call_function", F.interpolate, tuple(inputs), settings, name=name)
        case Pool():
            return graph.create_node(
                "call_function", _FUNCTIONS[op.function], (*inputs, op.window, op.stride, op.padding), name=name
            )
        case Activation() | Combine():
            return graph.create_node("call_function", _FUNCTIONS[op.function], tuple(inputs), name=name)
