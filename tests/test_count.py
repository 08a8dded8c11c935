"""Any module, counted without values: against arithmetic by hand, torch's own counter, and the descriptions."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hand_written_resnet import ResNet50
from test_cli import run
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

import costmodel
from costmodel.counting.count import Count, count
from costmodel.counting.explain import readings
from costmodel.describe.catalogue import describe_network
from costmodel.errors import InvalidInput
from costmodel.report import count as report
from costmodel.report import explain as explained
from costmodel.work.events import Event, Work

RESNET = ResNet50().eval()


def test_resnet_50_as_eleven_tools_print_it() -> None:
    """The totals that counters print for ResNet-50 at 224x224; see docs/conventions.md."""
    counted = count(RESNET, "1x3x224x224")
    assert (counted.params, counted.macs) == (25_557_032, 4_089_184_256)
    assert counted.flops("torch") == 8_178_368_512  # FlopCounterMode
    # fvcore: 2 for each of 11,113,984 normalised elements, 1 for each of 2048 x 7 x 7 averaged ones.
    assert counted.flops("fvcore") == 4_089_184_256 + 2 * 11_113_984 + 2048 * 49 == 4_111_512_576
    assert not counted.uncounted


@pytest.mark.parametrize("version", ["icnet", "v2", "v5", "v6"])
def test_the_modules_of_descriptions_are_counted_as_described(version: str) -> None:
    program = describe_network(version, size=(101, 130)) if version == "icnet" else None
    program = program or describe_network(version, cell="sep", size=(101, 130))
    with torch.device("meta"):
        net = costmodel.build(program).eval()
    counted = count(net, "1x3x101x130")
    # Event by event; the zeros that the first frame starts from are no event.
    assert counted.work == program.work.executed
    assert counted.params == program.parameters
    assert counted.cost.launches >= program.cost.launches


MODULES: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "conv1d": (lambda: nn.Conv1d(4, 6, 3, stride=2, dilation=2), ("2x4x31",)),
    "conv2d grouped": (lambda: nn.Conv2d(4, 6, 3, groups=2, padding="same"), ("2x4x9x8",)),
    "conv2d even, same": (lambda: nn.Conv2d(4, 6, 4, padding="same"), ("2x4x9x8",)),
    "conv2d depthwise": (lambda: nn.Conv2d(4, 8, 3, groups=4, dilation=2), ("2x4x19x18",)),
    "conv3d": (lambda: nn.Conv3d(2, 3, (1, 2, 3)), ("1x2x4x5x6",)),
    "transposed": (lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), ("2x4x9x8",)),
    "transposed 1d": (lambda: nn.ConvTranspose1d(4, 6, 3), ("2x4x9",)),
    "transposed 3d": (lambda: nn.ConvTranspose3d(2, 3, 2, stride=2), ("1x2x3x4x5",)),
    "linear": (lambda: nn.Linear(8, 5), ("3x7x8",)),
    "attention": (lambda: nn.MultiheadAttention(16, 4, batch_first=True), ("2x5x16", "2x7x16", "2x7x16")),
    "transformer": (lambda: nn.Transformer(16, 4, 1, 1, 32, batch_first=True), ("2x5x16", "2x6x16")),
    "encoder": (lambda: nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), ("2x5x16",)),
    "lstm": (lambda: nn.LSTM(8, 6, 2, bidirectional=True), ("5x3x8",)),
    "gru": (lambda: nn.GRU(8, 6, 2, batch_first=True), ("3x5x8",)),
    "rnn": (lambda: nn.RNN(8, 6), ("5x3x8",)),
    "cells": (lambda: nn.LSTMCell(8, 6), ("3x8",)),
    "embedding": (lambda: nn.Sequential(nn.Embedding(10, 8), nn.Linear(8, 2)), ("2x5:int64",)),
    "norms": (lambda: nn.Sequential(nn.GroupNorm(2, 4), nn.InstanceNorm2d(4), nn.LayerNorm(6)), ("2x4x5x6",)),
    "pools": (lambda: nn.Sequential(nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AdaptiveMaxPool2d(2)), ("2x4x16x16",)),
    "activations": (
        lambda: nn.Sequential(nn.GELU(), nn.SiLU(), nn.LeakyReLU(), nn.Hardswish(), nn.Softmax(1), nn.Softplus()),
        ("2x4",),
    ),
    "einsum": (lambda: lambda a, b: torch.einsum("bij,bjk->bik", a, b), ("2x3x4", "2x4x5")),
    "functional": (lambda: lambda x, w: F.linear(torch.tanh(x), w) @ w, ("3x4", "5x4")),
    "sdpa": (lambda: F.scaled_dot_product_attention, ("2x3x5x8", "2x3x7x8", "2x3x7x8")),
    "interpolate": (lambda: lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"), ("1x2x4x4",)),
    "nearest": (lambda: lambda x: F.interpolate(x, scale_factor=2), ("1x2x4x4",)),
    "resnet": (lambda: RESNET, ("1x3x65x97",)),
}


# MACs of fused backward passes, which torch's counter does not see, as it sees their parts. Fused attention computes
# its scores again: batch x heads x queries x keys x channels of a head. A fused LSTM also computes the gradient of the
# state from which it starts: layers x directions x batch x 4 gates x hidden x hidden.
FUSED = {
    "sdpa": 2 * 3 * 5 * 7 * 8,
    "encoder": 2 * 4 * 5 * 5 * 4,
    "transformer": 2 * 4 * (5 * 5 + 6 * 6 + 6 * 5) * 4,
    "lstm": 2 * 2 * 3 * 4 * 6 * 6,
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("backward", [False, True])
def test_multiply_accumulates_are_those_of_torchs_counter(name: str, backward: bool) -> None:
    make, shapes = MODULES[name]
    module = make()
    if isinstance(module, nn.Module):
        module.eval()
    inputs = [torch.empty([int(n) for n in s.partition(":")[0].split("x")], device="meta") for s in shapes]
    inputs = [x.long() if ":" in s else x.requires_grad_(backward) for x, s in zip(inputs, shapes, strict=True)]
    counted = count(module, *inputs, backward=backward)
    assert not counted.uncounted, counted.uncounted
    ghost = module.to("meta") if isinstance(module, nn.Module) and module is not RESNET else module
    if module is RESNET:
        with torch.device("meta"):
            ghost = ResNet50().eval()
    with torch.set_grad_enabled(backward), FlopCounterMode(display=False) as counter:
        out = ghost(*inputs)
        if backward:
            leaves = [each for each in torch.utils._pytree.tree_leaves(out) if each.requires_grad]
            torch.autograd.backward(leaves, [torch.ones_like(each) for each in leaves])
    if backward and getattr(module, "groups", 1) > 1:
        # By hand: each product comes again for both gradients. torch's counter takes the gradient of the weights of a
        # grouped convolution for that of a whole one.
        assert counted.macs == 3 * count(module, *inputs).macs < counter.get_total_flops() // 2
    else:
        assert counted.flops("torch") == counter.get_total_flops() + 2 * backward * FUSED.get(name, 0)
    forward = sum(each.cost.work[Event.MAC] for each in counted.operations if not each.backward)
    assert forward == count(module, *inputs).macs


@pytest.mark.parametrize(
    ("function", "shapes", "work"),
    [
        (lambda x: F.adaptive_avg_pool2d(x, 1), ("2x3x4x5",), {Event.ADAPTIVE_POOL: 120}),
        # 5 in 2 parts: 0-2 and 2-4 overlap, 6 taps; 4 in 2 parts: 4.
        (lambda x: F.adaptive_avg_pool2d(x, 2), ("1x1x5x4",), {Event.ADAPTIVE_POOL: 6 * 4}),
        (lambda x: F.adaptive_avg_pool2d(x, (3, None)), ("1x2x7x4",), {Event.ADAPTIVE_POOL: 2 * 9 * 4}),
        (lambda x: x.mean(1), ("3x4",), {Event.REDUCTION: 12, Event.DIVISION: 3}),
        (lambda x: x.softmax(1), ("3x4",), {Event.SOFTMAX: 12}),
        (lambda x: F.layer_norm(x, (4,)), ("3x4",), {Event.OWN_NORM: 12}),
        (lambda x: torch.cat([x, x]), ("3x4",), {Event.MOVE: 24}),
        (lambda x: F.gelu(x) + 1, ("3x4",), {Event.ACTIVATION: 12, Event.ADDITION: 12}),
        (lambda x: torch.where(x > 0, x, -x), ("3x4",), {Event.COMPARISON: 24, Event.POINTWISE: 12}),
        (lambda x: x.exp() / x.sqrt(), ("3x4",), {Event.TRANSCENDENTAL: 24, Event.DIVISION: 12}),
        (lambda x: F.dropout(x, 0.5, training=False), ("3x4",), {}),
        (lambda x: x.t().reshape(-1)[2:], ("3x4",), {Event.MOVE: 12}),  # the transposed map is copied
        (lambda x: x.view(-1).unsqueeze(0), ("3x4",), {}),
        (lambda x: x.add_(1).mul_(x).relu_(), ("3x4",), dict.fromkeys((Event.ADDITION, Event.PRODUCT, Event.RELU), 12)),
    ],
)
def test_events_by_hand(function: Callable[..., Any], shapes: tuple[str, ...], work: dict[Event, int]) -> None:
    assert count(function, *shapes).work == Work(work)


@pytest.mark.parametrize(("layers", "directions"), [(1, 1), (2, 2)])
def test_an_lstm_by_hand(layers: int, directions: int) -> None:
    """Per step and layer: 4 H (I + H) MACs, 8 H biases, 3 H sigmoids, 2 H tanhs."""
    T, B, I, H = 7, 3, 8, 6
    counted = count(nn.LSTM(I, H, layers, bidirectional=directions == 2), f"{T}x{B}x{I}")
    widths = [I, *[directions * H] * (layers - 1)]
    assert counted.macs == sum(T * B * directions * 4 * H * (width + H) for width in widths)
    steps = T * B * H * layers * directions
    assert (counted.work[Event.SIGMOID], counted.work[Event.TANH]) == (3 * steps, 2 * steps)
    assert counted.params == sum(directions * (4 * H * (width + H) + 8 * H) for width in widths)


def test_clips_of_recurrent_modules() -> None:
    """The state is carried along; from the second frame on there are no zeros to make."""
    with torch.device("meta"):
        net = costmodel.build(describe_network("v2", cell="sep", size=(97, 97))).eval()
    one, four = count(net, "1x3x97x97"), count(net, "1x3x97x97", frames=4)
    assert {event: 4 * number for event, number in one.work.items()} == dict(four.work)
    assert (four.params, four.frames, list(four.cut(1))) == (one.params, 4, list(one.cut(1)))
    assert count(nn.LSTMCell(8, 6), "3x8", frames=5).macs == 5 * 3 * 4 * 6 * (8 + 6)
    assert count(nn.LSTM(8, 6), "1x3x8", frames=5).macs == 5 * 3 * 4 * 6 * (8 + 6)
    assert count(nn.LSTMCell(8, 6), "Bx8", frames=5).formula()["MACs"] == f"{5 * 4 * 6 * 14}*B"
    with pytest.raises(InvalidInput, match="an output and a state"):
        count(nn.Linear(8, 6), "3x8", frames=2)
    with pytest.raises(InvalidInput, match="frames must be"):
        count(nn.LSTMCell(8, 6), "3x8", frames=0)


class Odd(nn.Module):
    """Raw parameters, a shared module, a loop over time, a dictionary in and a tuple out, a tensor of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(4, 4))
        self.first = nn.Linear(4, 4)
        self.again = self.first
        self.scale = torch.ones(4)
        self.register_buffer("shift", torch.ones(4))

    def forward(self, batch: dict[str, torch.Tensor], steps: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
        x = batch["x"]
        for _ in range(steps):
            x = self.again(self.first(x @ self.w) * self.scale) + self.shift
        return x, torch.zeros(4) + x


def test_odd_modules() -> None:
    net = Odd()
    counted = count(net, {"x": torch.zeros(3, 4)}, steps=5)
    assert counted.macs == 5 * 3 * (3 * 4 * 4)  # three products of 3x4 by 4x4, in each step
    assert counted.params == 16 + 20  # the shared one once
    assert counted.work[Event.PRODUCT] == 5 * 12
    assert set(counted.cut()) == {"", "first"}
    assert counted.inputs == ("{x: 3x4}", "steps=5")


def test_counts_repeat_and_leave_nothing_behind() -> None:
    heard: list[int] = []
    net = ResNet50()  # in training mode
    net.fc.register_forward_hook(lambda *_: heard.append(1))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    first, second = count(net, "2x3x65x65"), count(net, "2x3x65x65")
    assert first == second
    assert heard == [1, 1]  # hooks run, and stay
    assert len(net.fc._forward_hooks) == 1
    assert not torch.nn.modules.module._global_forward_hooks
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert next(net.parameters()).grad is None
    assert first.work[Event.OWN_NORM] > first.work[Event.NORM] == 0


@pytest.mark.parametrize("wrap", ["compiled", "exported", "real"])
def test_other_ways_to_have_a_module(wrap: str) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)).eval()
    plain = count(net, "1x3x8x8")
    x = torch.zeros(1, 3, 8, 8)
    other: Any = torch.compile(net) if wrap == "compiled" else net
    if wrap == "exported":
        other = torch.export.export(net, (x,))
    assert count(other, x, real=wrap == "real").work == plain.work


class Picky(nn.Module):
    """Its path depends on values."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if x.sum() > 0 else x


def test_what_depends_on_values_needs_some() -> None:
    counted = count(Picky(), torch.ones(2, 3))
    assert counted.work[Event.PRODUCT] == 6
    assert "Picky reads tensor values (" in counted.notes[0]
    assert "it ran with values" in counted.notes[0]
    assert count(Picky(), torch.ones(2, 3), real=True).notes == ()
    with pytest.raises(InvalidInput, match=r"Picky reads tensor values.*real=True"):
        count(Picky(), "1048576x1024")  # 4 GiB


class Keeps(nn.Module):
    """It keeps a tensor of the first call, registers a buffer, and adds to a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.line, self.norm, self.cache = nn.Linear(4, 4), nn.BatchNorm1d(4), None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.cache is None:
            self.cache = torch.arange(4.0, device=x.device)
            self.register_buffer("late", x.clone())
        return self.norm(F.dropout(self.line(x + self.cache)))


@pytest.mark.parametrize("real", [False, True])
def test_the_module_and_its_inputs_are_left_as_they_were(real: bool) -> None:
    net, x = Keeps(), torch.randn(3, 4)
    before, given, luck = {k: v.clone() for k, v in net.state_dict().items()}, x.clone(), torch.get_rng_state()
    first = count(net, x, real=real, backward=True)
    assert count(net, x, real=real, backward=True).work == first.work
    assert torch.equal(torch.get_rng_state(), luck)
    assert torch.equal(x, given)
    assert net.cache is None
    assert {k: v.tolist() for k, v in net.state_dict().items()} == {k: v.tolist() for k, v in before.items()}
    assert all(p.grad is None for p in net.parameters())
    net(x)  # and it still runs


def test_what_a_generator_yields_is_work() -> None:
    line = nn.Linear(4, 4)
    assert count(lambda x: (line(x) for _ in range(3)), "2x4").macs == 3 * 2 * 16


def test_memory_that_is_written_in_place_is_not_new() -> None:
    assert count(nn.ReLU(inplace=True), "1x1000").peak_memory == 4000
    assert count(nn.ReLU(), torch.ones(3), real=True).peak_memory == 24  # 3 numbers in, 3 out
    assert str(count(nn.ReLU(), "N").peak_memory) == "8*N"


def test_bytes_of_what_is_fetched() -> None:
    """16 rows of 768 numbers and 16 positions of 8 bytes, of a table of 50,000 rows."""
    assert count(nn.Embedding(50_000, 768), "1x16:int64").cost.reads == 16 * 768 * 4 + 16 * 8


@pytest.mark.parametrize(
    ("function", "shapes", "work"),
    [
        (lambda a, b: torch.max(a, b), ("1x9", "9x1"), {Event.COMPARISON: 81}),
        (lambda x: F.avg_pool2d(x, [3]), ("1x2x9x9",), {Event.AVERAGE_POOL: 9 * 2 * 9}),
        (lambda x: F.max_pool3d(x, 2), ("1x2x4x4x4",), {Event.MAX_POOL: 8 * 2 * 8}),
    ],
)
def test_overloads_and_windows(function: Callable[..., Any], shapes: tuple[str, ...], work: dict[Event, int]) -> None:
    assert count(function, *shapes).work == Work(work)


def test_what_cannot_be_counted_is_said() -> None:
    packed = nn.utils.rnn.pack_padded_sequence(torch.randn(5, 3, 8), [5, 4, 2])
    for real in (False, True):
        assert count(nn.LSTM(8, 6), packed, real=real).macs == (5 + 4 + 2) * 4 * 6 * (8 + 6)
    with pytest.raises(InvalidInput, match="lazy layers"):
        count(nn.LazyLinear(4), "2x8")
    with pytest.raises(InvalidInput, match="hides its operations"):
        count(torch.jit.script(nn.Sequential(nn.Linear(8, 4))), "2x8")
    assert count(nn.DataParallel(nn.Linear(8, 4)), "2x8").macs == 64


class Causal(nn.Module):
    """Attention with fused weights, tied to the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.qkv, self.head = nn.Embedding(100, 32), nn.Linear(32, 96), nn.Linear(32, 100, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embedding(tokens)
        q, k, v = (part.unflatten(2, (4, 8)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.head(mixed.transpose(1, 2).flatten(2))


def test_a_small_language_model_in_letters() -> None:
    """Per token 32 * 96 + 32 * 100 MACs, and 2 * 32 for each token that it looks at."""
    counted = count(Causal(), "BxT:int64")
    assert eval(counted.formula()["MACs"], {"B": 3, "T": 7}) == 3 * 7 * (32 * 96 + 32 * 100 + 2 * 32 * 7)
    assert counted.params == 100 * 32 + 33 * 96  # the head is the embedding
    assert counted.condition == ""


def test_what_has_no_rule_is_listed() -> None:
    counted = count(lambda x: torch.linalg.svdvals(x) + 1, "3x4")
    assert counted.uncounted == {"aten._linalg_svd.default(3x4)": 1}


@pytest.mark.parametrize("cell", ["standard", "spatial", "depth", "sep"])
def test_the_formula_of_a_cells_module_is_that_of_its_description(cell: str) -> None:
    """Eqs. (2), (4), (7), (10) at Kx = 3, Ky = 5, I = O = 8, traced from the torch module."""
    with torch.device("meta"):
        net = costmodel.build(costmodel.cell(cell, kernel=(3, 5), channels=8, size=(9, 7))).eval()
    counted = count(net, "1x8xHxW")
    per_position = eval(str(costmodel.equation(cell)), {"Kx": 3, "Ky": 5, "I": 8, "O": 8, "Dx": 1, "Dy": 1})
    assert counted.formula("paper")["FLOPs"] == f"{per_position}*H*W"
    assert counted.condition == ""


@pytest.mark.parametrize(
    ("net", "inputs", "macs"),
    [
        (nn.Linear(8, 4), ("Nx8",), "32*N"),
        # 8 outputs of 3 x 3 x 3 products at every second position.
        (nn.Conv2d(3, 8, 3, 2, 1), ("1x3xHxW",), "216*(1 + floor((-1 + H)/2))*(1 + floor((-1 + W)/2))"),
        (lambda a, b: a @ b, ("MxK", "KxN"), "K*M*N"),
        (nn.MultiheadAttention(16, 4, batch_first=True), ("BxLx16", "BxSx16", "BxSx16"), "32*B*(16*L + 16*S + L*S)"),
    ],
    ids=["linear", "conv2d", "matmul", "attention"],
)
def test_closed_forms(net: Any, inputs: tuple[str, ...], macs: str) -> None:
    counted = count(net, *inputs)
    theirs, ours = (eval(text, names) for text in (macs, counted.formula()["MACs"]) for names in [LETTERS])
    assert ours == theirs
    assert not counted.uncounted


LETTERS = {
    "N": 3,
    "H": 21,
    "W": 34,
    "M": 5,
    "K": 7,
    "B": 2,
    "L": 11,
    "S": 13,
    "floor": math.floor,
    "ceiling": math.ceil,
}


@pytest.mark.parametrize("size", [(224, 224), (65, 97), (640, 1)])
def test_the_formula_of_resnet_50_at_any_size(size: tuple[int, int]) -> None:
    counted = count(RESNET, "NxCxHxW".replace("C", "3"))
    from costmodel.price.symbols import at

    assert counted.condition == ""
    assert counted.params == 25_557_032
    sizes = {"N": 2, "H": size[0], "W": size[1]}
    assert at(counted.macs, sizes) == count(RESNET, f"2x3x{size[0]}x{size[1]}").macs


def test_formulas_say_when_they_hold() -> None:
    line = nn.Linear(8, 8)
    assert count(lambda x: line(line(x)) if x.shape[1] > 1000 else line(x), "1xTx8").condition == "T <= 1000"
    assert count(lambda x: line(x[:, -512:]), "1xTx8").condition == "T >= 512"
    assert count(lambda x: line(x) if x.shape[0] == 1 else line(line(x)), "Nx8").condition == "N >= 2"
    tall = count(lambda x: F.relu(x) if x.shape[2] <= x.shape[3] else torch.sigmoid(F.relu(x)), "1x3xHxW")
    assert tall.condition == "H <= W"
    # Where 2 does not divide the sides, windows overlap.
    assert count(nn.AdaptiveAvgPool2d(2), "1x4xHxW").condition == "H and W multiples of 2"
    with pytest.raises(InvalidInput, match="no closed form in T: a loop over T runs"):
        count(nn.GRU(8, 6), "TxBx8")
    assert count(nn.LSTM(8, 6), "TxBx8").formula()["MACs"] == f"{4 * 6 * (8 + 6)}*B*T"  # one operation a layer
    assert count(nn.LSTM(8, 6), "7xBx8").formula()["MACs"] == f"{7 * 4 * 6 * (8 + 6)}*B"
    with pytest.raises(InvalidInput, match="no letters in the inputs"):
        count(nn.ReLU(), "2").formula()


def measured_peak(net: nn.Module, x: torch.Tensor) -> int:
    """The most that torch's CPU allocator held while it ran, by torch's profiler."""
    from torch.profiler import ProfilerActivity, profile

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    with torch.inference_mode(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        net(x)
    torch.set_num_threads(threads)
    events = [each for each in seen.profiler.kineto_results.events() if each.name() == "[memory]"]
    now = most = 0
    for each in sorted(events, key=lambda each: each.start_ns()):
        now += each.nbytes()
        most = max(most, now)
    return most


@pytest.mark.parametrize("last", ["none", "inputs", "weights"])
@pytest.mark.parametrize("version", ["resnet", "icnet", "v2", "v6"])
def test_peak_memory_is_that_of_the_allocator(version: str, last: str) -> None:
    """Of results and workspaces alone: parameters and inputs are there before."""
    net = ResNet50().eval() if version == "resnet" else None
    net = net or costmodel.build(describe_network(version, size=(257, 513), heads=False)).eval()
    x = torch.randn(2, 3, 224, 224) if version == "resnet" else torch.randn(1, 3, 257, 513)
    x = x.to(memory_format=torch.channels_last) if last == "inputs" else x
    net = net.to(memory_format=torch.channels_last) if last == "weights" else net
    counted, measured = count(net, x), measured_peak(net, x)
    avx512 = "AVX512" in torch.backends.cpu.get_cpu_capability()
    assert abs((counted.cpu_peak_memory - counted.held) / measured - 1) < (0.05 if avx512 else 0.1)
    assert counted.peak_memory - counted.held <= 1.001 * measured
    assert counted.held == 4 * x.numel() + sum(v.numel() * v.element_size() for v in net.state_dict().values())


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_what_resizing_gives_without_values_is_what_torch_gives(mode: str, memory_format: torch.memory_format) -> None:
    x = torch.randn(2, 3, 4, 5).to(memory_format=memory_format)
    (resized,) = count(lambda x: F.interpolate(x, (7, 9), mode=mode), x).operations
    assert resized.output == tuple(F.interpolate(x, (7, 9), mode=mode).shape)


@pytest.mark.parametrize("name", ["resnet", "conv2d grouped", "activations", "norms", "functional"])
def test_what_is_saved_for_the_backward_pass_is_exact(name: str) -> None:
    """Against autograd's own hooks on real tensors, storages once, parameters apart."""
    make, shapes = MODULES[name]
    module = make()
    module = module.eval() if isinstance(module, nn.Module) else module
    inputs = [torch.randn([int(n) for n in shape.split("x")], requires_grad=True) for shape in shapes]
    params = [each.untyped_storage().data_ptr() for each in module.parameters()] if name != "functional" else []
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in params:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = module(*inputs)
    counted = count(module, *inputs, backward=True)
    assert sum(counted.saved.values()) == sum(kept.values())
    assert out is not None
    if name == "resnet":
        assert counted.saved["conv1"] == 4 * inputs[0].numel()  # its input
        assert "avgpool" not in counted.saved or counted.saved["avgpool"] < counted.saved["conv1"]


def test_frames_and_parts() -> None:
    counted = count(RESNET, "1x3x224x224")
    frame = counted.frame("fvcore")
    assert (frame.flops.sum(), frame.attrs["unit"]) == (4_111_512_576, "MAC")
    assert frame.groupby("class").flops.sum()["Linear"] == 2048 * 1000
    assert list(counted.cut(1)) == ["conv1", "bn1", "relu", "maxpool", "layers", "avgpool", "fc"]
    assert sum(len(part) for part in counted.cut(2).values()) == len(counted.operations)
    assert counted.of("layers.0.conv2")[0].inputs == ((1, 64, 56, 56), (64, 64, 3, 3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("nowhere:make --input 1", "there is no module 'nowhere'"),
        ("torch.nn --input 1", "expected package.module:factory"),
        ("torch.nn:Nope --input 1", "torch.nn has no 'Nope'"),
        ("torch.nn:Linear --input 1x2", "torch.nn:Linear raised TypeError: "),
        ("torch:pi --input 1", "'torch:pi' is a float: neither a module nor"),
        ("torch:ones --make {\"size\":[2]} --input 1", "made a Tensor, not a torch.nn.Module"),
        ("torch.nn:ReLU", "no inputs: --input with a shape"),
        ("torch.nn:ReLU --input 1x-3", "input '1x-3': expected a shape"),
        ("torch.nn:ReLU --input 1x3:int65", "'int65' is no type of torch"),
        ("torch.nn:ReLU --input HxW --real", "letters have no values: give sizes with --real"),
        ("torch.nn:ReLU --input 1xx", "expected a shape"),
        ("torch.nn:ReLU --input lambda", "expected a shape"),
        ("torch.nn:ReLU --input 99999999999999999999x8", "more elements than a tensor can have"),
        ("torch.nn:LazyLinear --make {\"out_features\":2} --input 2x4", "lazy layers"),
        ("torch.nn:ReLU --input 2 --kwargs [1]", "expected an object"),
        ("torch.nn:ReLU --input 2 --kwargs {", "--kwargs '{': not JSON: "),
        ("torch.nn:ReLU --input 2 --sort size", "--sort 'size': one of order"),
        ("torch.nn:ReLU --input 2 --depth 0", "--depth '0'"),
        ("torch.nn:ReLU --input 2 --frames 0", "--frames '0'"),
        ("torch.nn:ReLU --input 2 --frames 2", "an output and a state"),
        ("torch.nn:ReLU --input 2 --convention x", "--convention 'x': one of paper"),
        ("torch.nn:Linear --make {\"in_features\":3,\"out_features\":2} --input 2x4", "Linear refuses the inputs 2x4"),
        ("torch.nn:ReLU --input 2 --backward", "no output depends on a parameter"),
    ],
)  # fmt: skip
def test_bad_input(arguments: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "count", *arguments.split())
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self, n=4):\n"
        "        super().__init__()\n"
        "        self.head = torch.nn.Linear(8, n)\n"
        "    def forward(self, x, twice=False):\n"
        "        x = torch.linalg.svd(x, full_matrices=False)[2]\n"
        "        return self.head(x) * (2 if twice else 1)\n"
    )
    monkeypatch.chdir(tmp_path)
    arguments = ["count", "mine:Net", "--input", "3x8", "--make", '{"n": 5}', "--kwargs", '{"twice": true}']
    code, out, err = run(capsys, *arguments, "--convention", "paper")
    assert code == 0
    assert "NOT COUNTED, no rule: 1 x aten._linalg_svd.default(3x8)" in " ".join(out.split())
    assert "costmodel: not counted, no rule: 1 x aten._linalg_svd.default(3x8)" in err
    assert "(itself)" in out
    assert run(capsys, *arguments, "--strict")[0] == 1
    linear = ["count", "torch.nn:Linear", "--make", '{"in_features": 8, "out_features": 4}', "--input", "Nx8"]
    code, out, _ = run(capsys, *linear)
    assert (code, ["MACs", "32*N"] in [line.split() for line in out.splitlines()]) == (0, True)
    code, out, _ = run(capsys, *arguments, "--format", "csv", "--sort", "params")
    assert out.splitlines()[1].startswith("head,Linear,45,240,120,")  # 8 * 5 + 5; two per MAC


def test_the_empty_count() -> None:
    nothing = Count("nothing", (), (), {}, {})
    assert (nothing.macs, nothing.params, nothing.flops()) == (0, 0, 0)


def test_the_backward_pass_knows_its_modules() -> None:
    """2x3 by 3x4, 4x4: the first layer's input wants no gradient, so it costs once again, the second twice."""
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4))
    counted = count(net, "2x3", backward=True)
    assert (counted.forward.macs, counted.backward.macs) == (2 * 3 * 4 + 2 * 4 * 4, 2 * 3 * 4 + 2 * 2 * 4 * 4)
    assert counted.forward.cost.launches == count(net, "2x3").cost.launches
    back = {path: sum(each.cost.work[Event.MAC] for each in ops) for path, ops in counted.backward.cut().items()}
    assert back == {"2": 2 * 2 * 4 * 4, "1": 0, "0": 2 * 3 * 4}
    rows = {row["module"]: row for row in json.loads(report.document(counted).text("json"))["modules"]}
    assert (rows["2"]["forward_flops"], rows["2"]["backward_flops"]) == (2 * 32, 2 * 64)
    assert "FLOPs backward" in report.document(counted).text("text")


class Checkpointed(nn.Module):
    """Runs a part again in the backward pass, and one twice."""

    def __init__(self) -> None:
        super().__init__()
        self.part, self.line = nn.Sequential(nn.Linear(4, 4), nn.Sigmoid()), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        again: torch.Tensor = checkpoint(self.part, x, use_reentrant=False)
        return self.line(self.line(again))  # type: ignore[no-any-return]  # modules have no types


def test_what_runs_again_in_the_backward_pass_is_of_its_module() -> None:
    backward = count(Checkpointed(), "2x4", backward=True).backward
    assert {path for path, _ in backward.cut().items()} == {"part.0", "part.1", "line"}
    assert sum(each.cost.work[Event.MAC] for each in backward.of("part.0")) == 2 * 32  # forward again, weights
    assert sum(each.op.startswith("aten.add") for each in backward.of("line")) == 2  # gradients of weight, bias


@pytest.mark.parametrize(
    ("function", "shapes", "work", "read"),
    [
        # x W y for each of 5 outputs: 2 x 5 x 3 x 4 products, multiplied and summed.
        (nn.Bilinear(3, 4, 5, bias=False), ("2x3", "2x4"), {Event.PRODUCT: 120, Event.MAC: 120}, 24 + 32 + 240),
        # Two bags of three rows of four, of a table of a thousand.
        (
            nn.EmbeddingBag(1000, 4, mode="mean"),
            ("2x3:int64",),
            {Event.REDUCTION: 24, Event.DIVISION: 8},
            6 * 16 + 6 * 8 + 2 * 8,
        ),
        (
            lambda a, b: torch.cdist(a, b),
            ("4x3", "5x3"),
            {Event.ADDITION: 60, Event.PRODUCT: 60, Event.REDUCTION: 60, Event.TRANSCENDENTAL: 20},
            48 + 60,
        ),
        # By torch's own decomposition: difference, its square, their mean.
        (
            F.mse_loss,
            ("4x3", "4x3"),
            {Event.ADDITION: 12, Event.TRANSCENDENTAL: 12, Event.REDUCTION: 12, Event.DIVISION: 1},
            96,
        ),
        # What is written to is not read.
        (lambda a, b: a.copy_(b), ("3", "3"), {Event.MOVE: 3}, 12),
        (lambda a, b, c: torch.mul(a, b, out=c), ("3", "3", "3"), {Event.PRODUCT: 3}, 24),
    ],
)
def test_rules_by_hand(function: Any, shapes: tuple[str, ...], work: dict[Event, int], read: int) -> None:
    counted = count(function, *shapes)
    assert not counted.uncounted
    moved = {Event.MOVE: counted.work[Event.MOVE]}  # of data, whatever a function arranges first
    assert counted.work == Work({**moved, **work})
    assert max(each.cost.reads for each in counted.operations) == read


@pytest.mark.parametrize("loss", [F.cross_entropy, F.huber_loss, F.binary_cross_entropy_with_logits, F.l1_loss])
def test_losses_and_weight_norm_have_rules(loss: Callable[..., Any]) -> None:
    second = "4:int64" if loss is F.cross_entropy else "4x9"
    first = torch.empty(4, 9, device="meta", requires_grad=True)
    assert not count(loss, first, second, backward=loss is F.cross_entropy).uncounted
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(3, 4))
    assert not count(normed, "2x3", backward=True).uncounted


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.LSTM(8, 6, 2, bidirectional=True),
        lambda: nn.LSTM(8, 6, bias=False),
        lambda: nn.GRU(8, 6),
        lambda: nn.TransformerEncoderLayer(8, 2, 16, dropout=0, batch_first=True).eval(),
    ],
)
def test_what_a_cpu_runs_as_one_kernel_is_counted_alike_without_values(make: Callable[[], Any], backward: bool) -> None:
    net = make()
    x = torch.randn(5, 3, 8, requires_grad=backward)
    free, real = count(net, x, backward=backward), count(net, x, backward=backward, real=True)
    assert not real.uncounted
    assert free.forward.macs == real.forward.macs
    if isinstance(net, nn.GRU | nn.LSTM):
        tails = (Event.MAC, Event.SIGMOID, Event.TANH, Event.BIAS)
        assert [free.forward.work[event] for event in tails] == [real.forward.work[event] for event in tails]
    if backward and isinstance(net, nn.LSTM):
        assert free.backward.macs == real.backward.macs == 2 * real.forward.macs


class Force(nn.Module):
    """A gradient as the output: of an energy, by the input."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> Any:
        x = x.detach().requires_grad_()
        return torch.autograd.grad(self.line(x).tanh().sum(), x, create_graph=True)[0]


@pytest.mark.parametrize("real", [False, True])
def test_gradients_inside_the_forward_pass_are_of_it(real: bool) -> None:
    """5 x 8 x 8 forward and again for the gradient; backward twice as much as both."""
    counted = count(Force(), "5x8", real=real)
    assert (counted.macs, counted.backward.macs) == (2 * 320, 0)
    counted = count(Force(), "5x8", real=real, backward=True)
    assert (counted.forward.macs, counted.backward.macs) == (2 * 320, 4 * 320)


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("real", [False, True])
def test_checkpoints_run_again(reentrant: bool, real: bool) -> None:
    class Recomputed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> Any:
            return checkpoint(lambda y: torch.relu(self.two(torch.tanh(self.one(y)))), x, use_reentrant=reentrant)

    counted = count(Recomputed(), torch.randn(5, 8, requires_grad=True), backward=True, real=real)
    assert (counted.forward.macs, counted.backward.macs) == (2 * 320, (2 + 4) * 320)


def test_types_that_torch_refuses_are_refused() -> None:
    with pytest.raises(InvalidInput, match="int64 and float32"):
        count(nn.Linear(8, 8), "2x8:int64")
    with torch.autocast("cpu"):
        assert count(nn.Linear(8, 8), "2x8:bfloat16").macs == 128


def test_real_modules_without_values_are_refused() -> None:
    with pytest.raises(InvalidInput, match="on the meta device"):
        count(nn.Linear(2, 2, device="meta"), torch.ones(1, 2), real=True)


@pytest.mark.parametrize("factor", [0.29, 0.57, 0.58, 1.15, 2, 1.5, (0.29, 2)])
def test_resizing_by_a_factor(factor: Any) -> None:
    """As torch rounds: 100 * 0.29 is 28.999999999999996."""
    x = torch.ones(1, 3, 100, 100)
    resized = F.interpolate(x, scale_factor=factor, mode="bilinear")
    counted = count(lambda x: F.interpolate(x, scale_factor=factor, mode="bilinear"), "1x3x100x100")
    assert counted.operations[-1].output == tuple(resized.shape)


@pytest.mark.parametrize("factor", [2, 1.5, 0.3, (2, 0.5)])
def test_resizing_by_a_factor_in_letters(factor: Any) -> None:
    counted = count(lambda x: F.interpolate(x, scale_factor=factor, mode="bilinear"), "1x3xHxW")
    from costmodel.price.symbols import at

    resized = F.interpolate(torch.ones(1, 3, 31, 45), scale_factor=factor, mode="bilinear")
    assert at(counted.work[Event.RESIZE], {"H": 31, "W": 45}) == resized.numel()
    assert "s7" not in str(counted.formula())


def test_sizes_that_a_module_refuses_are_no_part_of_the_domain() -> None:
    assert count(lambda x: x.reshape(-1, 7) * 2, "N").condition == "N a multiple of 7"


def test_a_refusal_speaks_of_the_letters() -> None:
    with pytest.raises(InvalidInput, match=r"\(tried at N = 832, and at others\)"):
        count(lambda x: x.reshape(-1, 7) @ torch.ones(8), "N")


def test_weights_of_convolutions_are_those_of_the_description() -> None:
    program = describe_network("erfnet-DG2*", size=(32, 64))
    counted = count(costmodel.build(program).eval(), "1x3x32x64")
    assert counted.cost.conv_weights == program.cost.conv_weights < counted.params


def test_what_bounds_each_part() -> None:
    """2x8 by 8x4: 128 FLOPs; 16 + 32 + 4 numbers read, 8 written, 240 bytes. Then 8 read and 8 written, 64 bytes."""
    net = nn.Sequential(nn.Linear(8, 4), nn.ReLU())
    counted = count(net, "2x8")
    slow = costmodel.Machine(peak=10, bandwidth=100)
    rows = {row["module"]: row for row in json.loads(report.document(counted, machine=slow).text("json"))["modules"]}
    assert (rows["0"]["roofline_ms"], rows["0"]["bound"]) == (1000 * 128 / 10, "compute")
    assert (rows["1"]["roofline_ms"], rows["1"]["bound"]) == (1000 * 64 / 100, "memory")
    whole = json.loads(report.document(counted, machine=slow).text("json"))
    assert (whole["roofline_ms"], whole["bound"]) == (pytest.approx(12_800 + 640), "compute")
    fast = costmodel.Machine(peak=100, bandwidth=100)
    assert fast.ridge == 1
    assert json.loads(report.document(counted, machine=fast).text("json"))["roofline_ms"] == pytest.approx(2400 + 640)
    assert "bound" not in json.loads(report.document(counted).text("json"))
    assert fast.bound([]) == (0, None)


@pytest.mark.parametrize(
    ("machine", "message"),
    [
        ("120", "expected GFLOP/s and GB/s"),
        ("0,20", "peak of a machine must be positive"),
        ("1,x", "expected a number"),
    ],
)
def test_machines_are_checked(capsys: pytest.CaptureFixture[str], machine: str, message: str) -> None:
    code, out, error = run(capsys, "count", "torch.nn:ReLU", "--input", "2x8", "--machine", machine)
    assert (code, out) == (2, "")
    assert message in error
    code, _, error = run(capsys, "count", "torch.nn:ReLU", "--input", "Nx8", "--machine", "120,20")
    assert (code, "machine needs numbers" in error) == (2, True)


def test_a_decomposition_that_fails_leaves_the_operation_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._decomp import decomposition_table

    def fails(*args: Any, **options: Any) -> Any:
        raise RuntimeError("wants values")

    monkeypatch.setitem(decomposition_table, torch.ops.aten.mse_loss.default, fails)
    assert list(count(F.mse_loss, "4x3", "4x3").uncounted) == ["aten.mse_loss.default(4x3, 4x3)"]


def test_a_module_that_is_wrong_is_not_told_to_give_numbers() -> None:
    def wrong(x: torch.Tensor) -> Any:
        return {[1]: x}

    with pytest.raises(InvalidInput, match="unhashable type"):
        count(wrong, "4x3")
    with pytest.raises(InvalidInput, match="unhashable type"):
        count(wrong, "Nx3")


def test_fused_attention_and_its_backward_pass() -> None:
    """2 heads, 3 queries by 5 keys of 4: 30 weights. Forward two products of 4; backward the weights again, the
    gradients of the weights and of the values, then of queries and keys: five."""
    q, k, v = (torch.randn(1, 2, n, 4, requires_grad=True) for n in (3, 5, 5))
    counted = count(F.scaled_dot_product_attention, q, k, v, real=True, backward=True)
    assert any("flash_attention" in each.op for each in counted.backward.operations)
    assert (counted.forward.macs, counted.backward.macs) == (30 * 2 * 4, 30 * 5 * 4)


def test_the_repr_of_a_count_has_its_name_and_totals() -> None:
    counted = count(RESNET, "1x3x224x224")
    totals = "1x3x224x224, 25.6M parameters, 4.09G multiply-accumulates"
    number = len(counted.operations)
    assert repr(counted) == f"<Count of ResNet50: {totals}, {number} operations; .frame() lists the operations>"
    assert len(counted.frame()) == number
    form = count(nn.Linear(8, 4), "Nx8")
    assert repr(form) == (
        "<Count of Linear: Nx8, 36 parameters, closed forms in N, 1 operation; .formula() has them>"  # 4 * 8 + 4
    )
    wide = count(lambda *maps: sum(maps), *["1x3x224x224"] * 500)
    assert len(repr(wide)) <= 1000


@pytest.mark.parametrize("given", [5, [RESNET], costmodel.network("v6")])
def test_a_refusal_does_not_print_the_whole_object(given: object) -> None:
    with pytest.raises(InvalidInput, match="count takes a module or a function") as refused:
        count(given, "1x3")
    assert len(str(refused.value)) <= 1000
    assert "\n" not in str(refused.value)


def test_one_flag_is_named_on_the_command_line_and_an_argument_in_python(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "count", "test_count:Picky", "--input", "1048576x1024")
    assert (code, err.strip().endswith("count it with --real")) == (2, True), err


def test_what_has_no_rule_is_uncounted_in_frame_and_json() -> None:
    spectral = count(lambda x: torch.linalg.svdvals(x).abs(), "3x4")
    unknown = {"aten._linalg_svd.default(3x4)": 1}
    assert list(spectral.frame().counted) == [False, True]
    record = json.loads(report.document(spectral).text("json"))
    assert (record["uncounted"], record["modules"][0]["uncounted"]) == (unknown, 1)
    assert json.loads(explained.document(spectral, *readings(spectral)).text("json"))["uncounted"] == unknown
