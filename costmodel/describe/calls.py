"""A description as the calls of torch's operators that its module makes in inference, without torch.

`costmodel.building` makes the module; tests hold its calls against these, one by one.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from costmodel.describe.ops import (
    Activation,
    Combine,
    Complement,
    Concat,
    Conv,
    Map,
    Norm,
    Op,
    Pool,
    Resize,
    Scale,
    Shuffle,
    TransposedConv,
)
from costmodel.describe.program import Program
from costmodel.errors import InvalidInput
from costmodel.work.call import Argument, Call, Tensor
from costmodel.work.cost import Cost, Operation
from costmodel.work.events import Event, Work

ELEMENTWISE = {
    Event.SIGMOID: "aten.sigmoid.default",
    Event.TANH: "aten.tanh.default",
    Event.RELU: "aten.relu.default",
    Event.ADDITION: "aten.add.Tensor",
    Event.PRODUCT: "aten.mul.Tensor",
}
MOMENTUM = 0.1  # of torch's batch norms: an argument also where nothing is learned


class Held(NamedTuple):
    """A map as torch holds it. ``last``: channels next to each other."""

    map: Map
    last: bool


class Timed(NamedTuple):
    """The settings of a module that is timed. ``last``: its inputs and weights have channels last."""

    batch: int
    dtype: str
    last: bool

    def tensor(self, held: Held, dtype: str = "") -> Tensor:
        shape = (self.batch, held.map.channels, held.map.rows, held.map.columns)
        return Tensor(shape, dtype or self.dtype, "channels_last" if held.last and _apart(held.map) else "contiguous")

    def weight(self, *shape: int) -> Tensor:
        """A parameter or buffer; kernels of more than one place and channel have channels last, too."""
        last = self.last and len(shape) == 4 and shape[1] > 1 and shape[2] * shape[3] > 1
        return Tensor(shape, self.dtype, "channels_last" if last else "contiguous", parameter=True)


class Called(NamedTuple):
    """A call with its work for one sample; its output, and how much of its arguments are parameters."""

    call: Call
    work: Work
    held: Held
    parameters: int = 0
    conv_weights: int = 0


def operations(
    program: Program, dtype: str = "float32", memory_format: str = "contiguous", batch: int = 1
) -> tuple[Operation, ...]:
    """The operations of one call of ``build(program).eval()`` without gradients, in order, each with its call; ``path``
    is the name of the step. The states are given: no operation makes zeros. `InvalidInput` where a size is no whole
    number.

    >>> import costmodel
    >>> [each.call.name for each in operations(costmodel.cell("depth", kernel=4))][:3]
    ['aten.constant_pad_nd.default', 'aten.convolution.default', 'aten.constant_pad_nd.default']
    """
    how = Timed(batch, dtype, memory_format == "channels_last")
    held: dict[str, Held] = {}
    for value in (*program.inputs, *(state.before for state in program.states)):
        each = value.map
        if not all(isinstance(side, int) for side in (each.channels, each.rows, each.columns)):
            raise InvalidInput(f"{program.name}: calls need whole numbers for sizes, not {each}")
        held[value.name] = Held(each, how.last and _apart(each))
    found: list[Operation] = []
    for step in program.steps:
        calls = _calls(step.op, tuple(held[value.name] for value in step.inputs), how)
        found += [_operation(each, how.batch, step.name) for each in calls]
        held[step.name] = calls[-1].held
    return tuple(found)


def _operation(called: Called, batch: int, path: str) -> Operation:
    call = called.call
    reads, writes = (sum(each.bytes for each in tensors) for tensors in (call.tensors, call.outputs))
    work = called.work if batch == 1 else Work({event: number * batch for event, number in called.work.items()})
    cost = Cost(work, called.parameters, reads, writes, 1, called.conv_weights)
    shapes = tuple(each.shape for each in call.tensors)
    return Operation(call.name, cost, path=path, inputs=shapes, output=call.outputs[0].shape, call=call)


def _apart(shape: Map) -> bool:
    """False for a map of one channel or one place: it lies in memory as with channels first and as with them last."""
    return bool(shape.channels > 1 and shape.positions > 1)


@lru_cache(4096)
def _calls(op: Op, inputs: tuple[Held, ...], how: Timed) -> tuple[Called, ...]:
    """The calls of one step."""
    x = inputs[0]
    match op:
        case Conv():
            return _convolution(op, x, how)
        case TransposedConv():
            weight = how.weight(x.map.channels, op.out_channels, *op.kernel)
            more = (op.padding, op.padding), (1, 1), True, (op.output_padding, op.output_padding), 1
            return (_convolved(op, x, weight, (op.stride, op.stride), more, how),)
        case Concat():
            return (_called("aten.cat.default", op, inputs, all(each.last for each in inputs), how, 1, listed=True),)
        case Norm():
            rest = (how.weight(x.map.channels),) * 4
            return (_called("aten.native_batch_norm.default", op, inputs, x.last, how, *rest, False, MOMENTUM, op.eps),)
        case Scale():
            shape = (x.map.channels, x.map.rows, x.map.columns) if op.per == "element" else (x.map.channels, 1, 1)
            return (_called("aten.mul.Tensor", op, inputs, x.last and _apart(x.map), how, how.weight(*shape)),)
        case Resize():
            size = (op.rows, op.columns)
            return (_called("aten.upsample_bilinear2d.default", op, inputs, x.last, how, size, True),)
        case Shuffle():
            return (_called("aten.channel_shuffle.default", op, inputs, x.last, how, op.groups),)
        case Pool():
            windows = (op.window, op.stride, *([(op.padding, op.padding)] if op.padding else []))
            largest = op.function is Event.MAX_POOL
            name = "aten.max_pool2d_with_indices.default" if largest else "aten.avg_pool2d.default"
            return (_called(name, op, inputs, x.last, how, *windows, places=largest),)
        case Complement():
            return (_called("aten.rsub.Scalar", op, inputs, x.last and _apart(x.map), how, 1),)
        case Activation() | Combine():
            return (_called(ELEMENTWISE[op.function], op, inputs, x.last and _apart(x.map), how),)


def _called(
    name: str, op: Op, inputs: tuple[Held, ...], last: bool, how: Timed, *rest: Argument,
    listed: bool = False, places: bool = False,
) -> Called:  # fmt: skip
    """The call of an operator on maps; ``listed``: in a list. ``places``: the places of results come, too."""
    cost_of: Callable[..., Cost] = op.cost
    output_of: Callable[..., Map] = op.output
    maps = [each.map for each in inputs]
    cost, held = cost_of(*maps), Held(output_of(*maps), last)
    given = tuple(map(how.tensor, inputs))
    results = (how.tensor(held), *([how.tensor(held, "int64")] if places else []))
    return Called(
        Call(name, (given, *rest) if listed else (*given, *rest), (), results), cost.work, held, cost.parameters
    )


def _convolution(op: Conv, x: Held, how: Timed) -> tuple[Called, ...]:
    """The call of a convolution, after the copy into a padded map where zeros cannot be split evenly."""
    rows, columns = op.total_padding(x.map)
    weight = how.weight(op.out_channels, x.map.channels // op.groups, *op.kernel)
    more = (op.dilation, op.dilation), False, (0, 0), op.groups
    steps = (op.stride, op.stride)
    if not (rows % 2 or columns % 2):
        return (_convolved(op, x, weight, steps, ((rows // 2, columns // 2), *more), how),)
    padded = Held(x.map.like(rows=x.map.rows + rows, columns=x.map.columns + columns), x.last)
    margins = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
    copy = Call("aten.constant_pad_nd.default", (how.tensor(x), margins, 0.0), (), (how.tensor(padded),))
    after = _convolved(op, x, weight, steps, ((0, 0), *more), how, given=padded)
    return Called(copy, Work({Event.MOVE: padded.map.elements}), padded), after


def _convolved(
    op: Conv | TransposedConv, x: Held, weight: Tensor, steps: Argument, more: tuple[Argument, ...], how: Timed,
    given: Held | None = None,
) -> Called:  # fmt: skip
    """The call of a convolution of ``x``, which is ``given`` padded."""
    cost = op.cost(x.map)
    # torch asks the strides, which tell of one channel or one place as they were made, but not of one number.
    held = Held(op.output(x.map), x.last or (how.last and weight.elements > weight.shape[0]))
    bias = how.weight(op.out_channels) if op.bias else None
    arguments = (how.tensor(given or x), weight, bias, steps, *more)
    work = Work({event: number for event, number in cost.work.items() if event is not Event.MOVE})
    call = Call("aten.convolution.default", arguments, (), (how.tensor(held),))
    return Called(call, work, held, cost.parameters, cost.conv_weights)
