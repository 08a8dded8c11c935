"""Calls of operators as data: of described programs without torch, and of modules that are counted."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv

import costmodel
from costmodel.counting.calls import Calls
from costmodel.counting.count import Count
from costmodel.counting.observe import CountingMode
from costmodel.describe.calls import operations
from costmodel.describe.catalogue import NETWORKS
from costmodel.describe.cells import CELLS, RECURRENCES
from costmodel.describe.ops import Map, Pool, Resize, Scale, Shuffle
from costmodel.describe.program import Program, Trace, complement
from costmodel.errors import InvalidInput
from costmodel.measure.operations import operations as operations_of
from costmodel.work.call import Call, Tensor
from costmodel.work.cost import Operation
from costmodel.work.events import Event

FORMATS = ("contiguous", "channels_last")


def counted(program: Program, batch: int = 1) -> Count:
    """The module of a description, as torch's dispatcher sees its kernels: see `operations_of`."""
    with torch.device("meta"):
        net = costmodel.build(program).eval()
        frame = torch.empty(batch, *net.frame_shape)
        state = net.zeros(frame)
    return costmodel.count(net, frame, state)


def assert_same(ours: tuple[Operation, ...], theirs: tuple[Operation, ...]) -> None:
    assert [each.op for each in ours] == [each.op for each in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.call == other.call
        assert (mine.inputs, mine.output) == (other.inputs, other.output)
        cost, seen = mine.cost, other.cost
        assert (cost.work, cost.reads, cost.writes, cost.launches) == (seen.work, seen.reads, seen.writes, 1)
        assert other.path in ("body", f"body.{mine.path}")  # a function has no module of its own


@pytest.mark.parametrize("name", NETWORKS)
def test_a_described_network_makes_the_calls_of_its_module(name: str) -> None:
    program = costmodel.network(name, size=(224, 288) if "icnet" in name or name.startswith("v") else (64, 96))
    count = counted(program)
    for memory_format in FORMATS:
        ours = operations(program, memory_format=memory_format)
        assert_same(ours, operations_of(count, memory_format=memory_format))
        assert list(dict.fromkeys(each.path for each in ours)) == [step.name for step in program.steps]
    assert sum(each.cost.parameters for each in ours) == program.parameters
    assert sum(each.cost.conv_weights for each in ours) == program.cost.conv_weights


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("recurrence", RECURRENCES)
def test_a_cell_makes_the_calls_of_its_module(cell: str, recurrence: str) -> None:
    for kernel, channels in ((3, 8), ((1, 4), 8), (2, 1)):
        program = costmodel.cell(cell, kernel=kernel, channels=channels, size=(5, 6), recurrence=recurrence)
        count = counted(program)
        for memory_format in FORMATS:
            assert_same(
                operations(program, memory_format=memory_format), operations_of(count, "float32", memory_format)
            )


@pytest.mark.parametrize("memory_format", FORMATS)
def test_a_batch_in_bfloat16(memory_format: str) -> None:
    program = costmodel.cell("sep", kernel=(3, 4), channels=(4, 8), size=(5, 6))
    ours = operations(program, "bfloat16", memory_format, batch=3)
    assert_same(ours, operations_of(counted(program, batch=3), "bfloat16", memory_format))


@pytest.mark.parametrize("memory_format", FORMATS)
def test_steps_that_few_networks_have(memory_format: str) -> None:
    trace = Trace()
    x = trace.input("x", Map(4, 6, 8))
    for op in (Scale("element"), Scale("channel"), Shuffle(2), Pool(Event.AVERAGE_POOL, (3, 3), (2, 2), 1)):
        x = trace.apply(op, x, name=type(op).__name__.lower())
    x = trace.apply(Pool(Event.MAX_POOL, (3, 4), (3, 4)), complement(x), name="largest")
    program = trace.program("odd", trace.apply(Resize(3, 5), x, name="resize"))
    assert_same(
        operations(program, memory_format=memory_format), operations_of(counted(program), "float32", memory_format)
    )


@pytest.mark.parametrize(("cell", "dtype"), [("depth", "float32"), ("sep", "bfloat16")])
def test_values_on_a_cpu_make_the_same_calls_from_step_to_step(cell: str, dtype: str) -> None:
    program = costmodel.cell(cell, kernel=4, channels=8, size=(5, 6), recurrence="peephole")
    form, kind = torch.channels_last, getattr(torch, dtype)
    net = costmodel.build(program).eval().to(kind).to(memory_format=form)  # type: ignore[call-overload]
    frame = torch.rand(1, 8, 5, 6, dtype=kind).contiguous(memory_format=form)
    state = tuple(each.contiguous(memory_format=form) for each in net.zeros(frame))
    for _ in range(2):
        with torch.no_grad(), CountingMode(calls=Calls(net.parameters())) as mode:
            _, state = net(frame, state)
        assert [each.call for each in operations(program, dtype, "channels_last")] == [
            each.call for each in mode.operations
        ]


def test_one_call_in_full() -> None:
    first, second = operations(
        costmodel.cell("depth", kernel=4, channels=8, size=(5, 6)), memory_format="channels_last"
    )[:2]
    x, padded = Tensor((1, 8, 5, 6), layout="channels_last"), Tensor((1, 8, 8, 9), layout="channels_last")
    assert first.call == Call("aten.constant_pad_nd.default", (x, (1, 2, 1, 2), 0.0), (), (padded,))
    # One channel of kernels lies in memory both ways.
    weight, bias = Tensor((8, 1, 4, 4), parameter=True), Tensor((8,), parameter=True)
    rest = ((1, 1), (0, 0), (1, 1), False, (0, 0), 8)
    assert second.call == Call("aten.convolution.default", (padded, weight, bias, *rest), (), (x,))
    assert (first.path, second.path) == ("xi", "xi")
    assert first.cost.work[Event.MOVE] == 8 * 8 * 9
    assert second.cost.reads == 4 * (8 * 8 * 9 + 8 * 4 * 4 + 8)
    assert weight.bytes == 4 * 128


class Small(nn.Module):
    """An operation of each sort."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.last = nn.Linear(8, 4)
        self.register_buffer("scale", torch.ones(4))

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        x = self.table(words)
        x = self.attention(x, x, x, need_weights=False)[0]
        return torch.softmax(self.last(x) * self.scale, -1).transpose(1, 2).contiguous()


def test_a_module_is_counted_down_to_kernels_on_demand() -> None:
    count = costmodel.count(Small().eval(), "2x6:int64")
    assert {each.call for each in count.operations} == {None}
    found = {each.op: each.call for each in operations_of(count)}
    assert list(found) == [
        "aten.embedding.default",
        "aten.clone.default",
        "aten.mm.default",
        "aten.add.Tensor",
        "aten._scaled_dot_product_flash_attention_for_cpu.default",
        "aten.addmm.default",
        "aten.mul.Tensor",
        "aten._softmax.default",
    ]
    words = Tensor((2, 6), "int64")
    out = Tensor((2, 6, 8))
    assert found["aten.embedding.default"] == Call(
        "aten.embedding.default", (Tensor((10, 8), parameter=True), words), (), (out,)
    )
    # A view of a weight is a parameter: of the layer 8 -> 4, transposed.
    weight = Tensor((8, 4), layout="strided", parameter=True, strides=(1, 8))
    assert found["aten.mm.default"] == Call("aten.mm.default", (Tensor((12, 8)), weight), (), (Tensor((12, 4)),))
    mul, clone = found["aten.mul.Tensor"], found["aten.clone.default"]
    assert mul is not None
    assert [each.parameter for each in mul.tensors] == [False, True]
    assert clone is not None
    assert clone.keywords == (("memory_format", "contiguous_format"),)


def test_other_dtypes_and_memory_formats_of_a_module() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()).eval()
    calls = [each.call for each in operations_of(costmodel.count(net, "2x3x8x8"), "bfloat16", "channels_last")]
    assert all(call is not None for call in calls)
    kinds = {each.dtype for call in calls if call for each in (*call.tensors, *call.outputs)}
    layouts = {each.layout for call in calls if call for each in (*call.tensors, *call.outputs) if len(each.shape) == 4}
    assert (kinds, layouts) == ({"bfloat16"}, {"channels_last"})
    assert net[0].weight.dtype == torch.float32


def test_what_is_no_data_has_no_call() -> None:
    made = Calls()
    x = torch.empty(2, 3, device="meta")
    assert made.call(torch.ops.aten.relu.default, (x,), {}, x) == Call(
        "aten.relu.default", (Tensor((2, 3)),), (), (Tensor((2, 3)),)
    )
    sparse = torch.eye(3).to_sparse()
    assert made.call(torch.ops.aten.relu.default, (sparse,), {}, sparse) is None
    eighth = torch.empty(2, dtype=torch.float8_e5m2)  # a type that `Tensor.bytes` does not know
    assert made.call(torch.ops.aten.clone.default, (eighth,), {}, eighth) is None
    symbols = FakeTensorMode(shape_env=ShapeEnv()).from_tensor(torch.empty(2, 3))
    assert made.call(torch.ops.aten.relu.default, (symbols,), {}, symbols) is None
    assert made.call(torch.ops.aten.add.Tensor, (x, 2j), {}, x) is None
    assert made.call(torch.ops.higher_order.cond, (x,), {}, x) is None


def test_letters_have_no_calls() -> None:
    with pytest.raises(InvalidInput, match="Linear is counted in letters: calls need numbers"):
        operations_of(costmodel.count(nn.Linear(8, 4), "Nx8"))
    with pytest.raises(InvalidInput, match="batch 2 is for descriptions"):
        operations_of(costmodel.count(nn.Linear(8, 4), "2x8"), batch=2)
    with pytest.raises(InvalidInput, match="of a description, a module or a count, not of 3"):
        operations_of(3)  # type: ignore[arg-type]
    import numpy as np

    with pytest.raises(InvalidInput, match="calls need whole numbers for sizes"):
        operations(costmodel.cell("depth", channels=np.array([8, 16])))


def test_a_description_needs_no_torch() -> None:
    script = (
        "import sys, costmodel; from costmodel.measure.operations import operations; "
        "print(len(operations(costmodel.network('v6'))), 'torch' in sys.modules)"
    )
    # 98 convolutions, 64 norms, 58 ReLUs, 42 sums, 20 sigmoids and tanhs, 12 products, 11 resizes, 4 pads, 5 pools
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "314 False\n"
