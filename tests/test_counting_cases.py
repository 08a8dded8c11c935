"""Modules of kinds that counters fail at: each stands for its kind, with the right value."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention.flex_attention import flex_attention

from costmodel import count
from costmodel.counting.count import Count
from costmodel.counting.explain import COUNTERS, reading
from costmodel.errors import InvalidInput
from costmodel.work.events import Event, Work

# ---- letters ---------------------------------------------------------------------------------------------------------


class Same(nn.Module):
    """Padding as TensorFlow has it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Scaled(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear, self.gamma = nn.Linear(width, width), nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x) * self.gamma


@pytest.mark.parametrize(
    ("net", "shape", "quantity", "form", "condition"),
    [
        (Same(), "1x3xHxW", "MACs", "216*floor(H/2)*floor(W/2)", "H >= 2 and W >= 2"),
        (nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(3, 4, 3)), "1x3xHxW", "MACs", "108*H*W", ""),
        (nn.Sequential(nn.ConstantPad1d((2, 0), 0.0), nn.Conv1d(3, 8, 3)), "1x3xT", "MACs", "72*T", ""),
        (nn.PixelUnshuffle(2), "1x4xHxW", "bytes written", "16*H*W", "H and W multiples of 2"),
        (Scaled(192), "Nx5x192", "MACs", f"{5 * 192 * 192}*N", ""),  # also a width that sizes are tried at
        (nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(3, 16, 3, padding=1)), "Nx3xHxW", "params", "", "H >= 2 and W >= 2"),
    ],
)
def test_closed_forms_have_their_domains(net: nn.Module, shape: str, quantity: str, form: str, condition: str) -> None:
    counted = count(net, shape)
    assert counted.condition == condition
    assert counted.formula().get(quantity, "") == form


def test_padding_in_numbers() -> None:
    """3 x 8 x 9 products at floor(n/2) x floor(n/2) places."""
    assert [count(Same(), f"1x3x{n}x{n}").macs for n in (8, 9, 32)] == [216 * (n // 2) ** 2 for n in (8, 9, 32)]


# ---- fused operations, caches, tables --------------------------------------------------------------------------------


@pytest.mark.parametrize("real", [False, True])
def test_fused_attention_reads_its_arguments_and_writes_its_output(real: bool) -> None:
    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    counted = count(attend, *[torch.randn(1, 8, 1024, 64)] * 3, real=real)
    maps, sums = 4 * 4 * 8 * 1024 * 64, 4 * 8 * 1024  # q, k, v, the output; a log-sum-exp a query
    assert counted.cost.reads + counted.cost.writes == maps + sums == 8_421_376
    assert counted.cost.launches == 1
    assert counted.peak_memory - counted.held == maps // 4 + sums


def test_a_write_to_a_few_places_of_a_cache_moves_those() -> None:
    def write(cache: torch.Tensor, place: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        return cache.index_copy_(2, place, key)

    counted = count(write, "1x8x4096x64", "1:int64", "1x8x1x64")
    assert counted.work == Work({Event.MOVE: 8 * 64})
    assert (counted.cost.reads, counted.cost.writes) == (4 * 8 * 64 + 8, 4 * 8 * 64)


def test_additions_into_a_table_are_those_that_are_added() -> None:
    assert count(nn.Embedding(1000, 16), "4:int64", backward=True).flops("paper") == 4 * 16
    added = count(lambda i, s: torch.zeros(1000, 16).index_add(0, i, s), "4:int64", "4x16")
    assert added.flops("paper") == 4 * 16


# ---- other counters --------------------------------------------------------------------------------------------------


class Two(nn.Module):
    """A module under three names, called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(4, 4, 3, padding=1)
        self.b = self.a
        self.rest = nn.Sequential(self.a, nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(self.rest(x))


PRINTED: list[tuple[Callable[[], Any], tuple[str, ...], dict[str, int]]] = [
    (lambda: F.scaled_dot_product_attention, ("1x2x5x8",) * 3, {"fvcore": 0}),
    (lambda: nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), ("2x5x16",), {"fvcore": 22_080}),
    (lambda: nn.TransformerDecoderLayer(16, 4, 32, batch_first=True), ("2x5x16", "2x6x16"), {"fvcore": 34_144}),
    (lambda: nn.LSTM(10, 20), ("5x3x10",), {"fvcore": 0, "calflops": 75_000}),
    (lambda: nn.GRU(10, 20), ("5x3x10",), {"fvcore": 0, "calflops": 56_100}),
    (lambda: nn.RNN(10, 20), ("5x3x10",), {"fvcore": 0, "calflops": 18_300}),
    (lambda: Two(), ("1x4x8x8",), {"thop": 73_728}),
    (lambda: nn.ConvTranspose2d(4, 6, 3, stride=2), ("2x4x9x8",), {"calflops": 62_352}),
    (lambda: torch.baddbmm, ("2x3x5", "2x3x4", "2x4x5"), {"fvcore": 0}),
]


@pytest.mark.parametrize(("make", "inputs", "printed"), PRINTED)
def test_other_counters_print_this(make: Callable[[], Any], inputs: tuple[str, ...], printed: dict[str, int]) -> None:
    net = make()
    counted = count(net.eval() if isinstance(net, nn.Module) else net, *inputs)
    for name, total in printed.items():
        assert reading(counted, COUNTERS[name]).total == total, name


# ---- states, marks, methods, outputs ---------------------------------------------------------------------------------


class Cell(nn.Module):
    """A ConvLSTM cell as most people write it."""

    def __init__(self, inputs: int = 3, outputs: int = 8) -> None:
        super().__init__()
        self.conv, self.outputs = nn.Conv2d(inputs + outputs, 4 * outputs, 3, padding=1), outputs

    def forward(self, x: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, torch.Tensor]:
        h, c = 2 * (x.new_zeros(x.shape[0], self.outputs, *x.shape[2:]),) if state is None else state
        i, f, o, g = self.conv(torch.cat([x, h], 1)).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c


@pytest.mark.parametrize("frames", [1, 4])
def test_a_cell_whose_outputs_are_its_state(frames: int) -> None:
    """16 x 12 places, 3 x 3 x (3 + 8) products for each of 4 x 8 outputs."""
    assert count(Cell(), "1x3x16x12", frames=frames).macs == frames * 16 * 12 * 9 * 11 * 32


def test_marks_of_the_profiler_are_nothing() -> None:
    class Marked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(8, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.profiler.record_function("head"):
                return self.linear(x)

    counted = count(Marked(), "2x8")
    assert (dict(counted.uncounted), counted.cost.launches) == ({}, 1)


def test_a_method_has_the_parameters_of_its_module() -> None:
    net = nn.Linear(1000, 1000)
    counted = count(net.forward, "1x1000")
    assert (counted.params, counted.peak_memory) == (1_001_000, 4 * (1_001_000 + 1000 + 1000))


def test_outputs_in_a_dataclass_and_in_a_distribution_have_gradients() -> None:
    @dataclass
    class Out:
        logits: torch.Tensor

    linear = nn.Linear(4, 3)
    assert count(lambda x: Out(linear(x)), "2x4", backward=True).macs == 2 * 24

    class Guess(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(10, 5)

        def forward(self, x: torch.Tensor) -> Any:
            return torch.distributions.Categorical(logits=self.linear(x), validate_args=False)

    assert count(Guess(), "1x10", backward=True).macs == 2 * 50


# ---- a module is left as it was --------------------------------------------------------------------------------------


def test_a_spectral_norm_is_left_as_it_was() -> None:
    """6 x 6 places, 6 x 36 products; two products of the matrix with a vector, and its norm."""
    net = nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 6, 3)).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert count(net, "1x4x8x8").macs == 36 * 6 * 36 + 3 * 6 * 36 + 6
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("real", [False, True])
def test_a_function_that_trains_trains_nothing(real: bool) -> None:
    net = nn.Linear(8, 4)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    before = net.weight.detach().clone()

    def step(x: torch.Tensor, y: torch.Tensor) -> None:
        optimizer.zero_grad()
        F.mse_loss(net(x), y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    first = count(step, torch.randn(2, 8), torch.randn(2, 4), real=real)
    assert torch.equal(net.weight, before)
    assert net.weight.grad is None
    assert not optimizer.state
    assert count(step, torch.randn(2, 8), torch.randn(2, 4), real=real) == first


class Cached(nn.Module):
    """Masks are kept in dictionaries of the module's own, deep down."""

    def __init__(self) -> None:
        super().__init__()
        self.masks: dict[str, list[dict[Any, torch.Tensor]]] = {"of sizes": [{}]}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept, key = self.masks["of sizes"][0], tuple(x.shape[-2:])
        if key not in kept:
            kept[key] = torch.ones(key, device=x.device).tril()
        return x * kept[key]


@pytest.mark.parametrize("side", [8, 300])  # a small mask has values, a large one is a shadow
def test_what_a_module_keeps_at_any_depth_is_given_back(side: int) -> None:
    net = Cached()
    counts = [len(count(net, f"1x{side}x{side}").operations) for _ in range(2)]
    assert counts == [3, 3]
    assert net.masks == {"of sizes": [{}]}
    net(torch.rand(1, side, side))


# ---- memory ----------------------------------------------------------------------------------------------------------


def test_what_is_saved_for_the_backward_pass_goes_with_it() -> None:
    """torch's allocator has 6,048,768 bytes at once besides what is there before."""
    net = nn.Sequential(*[nn.Linear(256, 256) for _ in range(20)])
    counted = count(net, torch.randn(256, 256), backward=True)
    assert counted.peak_memory - counted.held == 6_048_768


@pytest.mark.parametrize(
    ("net", "shape", "allocated"),
    [
        (nn.Conv1d(64, 64, 3, padding=1), (4, 64, 4096), 8_437_760),
        (nn.ConvTranspose2d(32, 32, 3, 2, 1, 1), (2, 32, 32, 32), 3_145_728),
        (nn.Conv2d(3, 8, 3, padding=1), (2, 3, 64, 64), 786_432),
    ],
)
def test_copies_of_convolutions_are_those_of_torchs_allocator(
    net: nn.Module, shape: tuple[int, ...], allocated: int
) -> None:
    counted = count(net, torch.randn(shape))
    assert counted.cpu_peak_memory - counted.held == pytest.approx(allocated, rel=0.05)


# ---- other kinds of tensors and modules ------------------------------------------------------------------------------


def test_quantised_modules_have_their_packed_weights() -> None:
    made = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).eval()
    quantised = torch.ao.quantization.quantize_dynamic(made, {nn.Linear})
    counted = count(quantised, torch.randn(2, 8), real=True)
    assert (counted.params, counted.macs) == (8 * 16 + 16 + 16 * 4 + 4, 2 * (128 + 64))


def test_a_scripted_part_is_refused_as_a_scripted_whole_is() -> None:
    net = nn.Sequential(nn.Linear(8, 16), torch.jit.script(nn.Linear(16, 16)), nn.Linear(16, 4))
    with pytest.raises(InvalidInput, match=r"a scripted module \(1\) hides its operations"):
        count(net, "2x8")


@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize("layout", ["coo", "csr"])
def test_sparse_products_are_those_of_the_stored_entries(layout: str, real: bool) -> None:
    class Graph(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            eye = torch.eye(5)
            self.register_buffer("edges", eye.to_sparse() if layout == "coo" else eye.to_sparse_csr())
            self.linear = nn.Linear(8, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sparse.mm(self.edges, self.linear(x))  # type: ignore[no-untyped-call]

    assert count(Graph(), torch.randn(5, 8), real=real).macs == 5 * 8 * 4 + 5 * 4


@pytest.mark.parametrize("real", [False, True])
def test_flex_attention_has_the_products_of_attention(real: bool) -> None:
    assert count(flex_attention, *[torch.randn(1, 2, 128, 16)] * 3, real=real).macs == 2 * 2 * 128 * 128 * 16


@pytest.mark.parametrize("real", [False, True])
def test_sequences_that_are_packed_inside_a_module(real: bool) -> None:
    class Packs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(8, 6, batch_first=True)

        def forward(self, x: torch.Tensor, lengths: Any) -> torch.Tensor:
            packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
            return self.gru(packed)[0].data  # type: ignore[no-any-return]

    counted = count(Packs(), torch.randn(3, 5, 8), lengths=[5, 4, 2], real=real)
    assert (counted.macs, dict(counted.uncounted)) == ((5 + 4 + 2) * 3 * 6 * (8 + 6), {})


@pytest.mark.parametrize("real", [False, True])
def test_jagged_tensors_count_their_rows(real: bool) -> None:
    rows = [torch.randn(3, 8), torch.randn(5, 8)]
    jagged = torch.nested.nested_tensor(rows, layout=torch.jagged)
    assert count(nn.Linear(8, 4), jagged, real=real).macs == (3 + 5) * 8 * 4
    with pytest.raises(InvalidInput, match=r"layout=torch\.jagged"):
        count(nn.Linear(8, 4), torch.nested.nested_tensor(rows), real=real)


# ---- values ----------------------------------------------------------------------------------------------------------


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        y = self.linear(x)
        return y if mask.all() else y * mask[..., None]


def test_masks_have_their_values() -> None:
    ones = torch.ones(2, 5, dtype=torch.bool)
    assert count(Masked(), torch.rand(2, 5, 4), ones).macs == 2 * 5 * 16
    assert len(count(Masked(), torch.rand(2, 5, 4), ones).operations) == 2
    assert len(count(Masked(), torch.rand(2, 5, 4), ones.tril()).operations) == 3  # its product, too
    assumed = count(Masked(), "2x5x4", "2x5:bool")
    assert len(assumed.operations) == 2
    assert assumed.notes == ("integers and booleans that are given as shapes are ones",)


def test_constants_have_the_device_of_the_module_and_values() -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.autocast(x.device.type):
                places = torch.arange(3, device=x.device)
            y = self.linear(x) * torch.tensor(2.0, device=x.device)
            return y[:, : int(places.max()) + 1]

    assert count(Constant(), "Nx3x4").formula()["MACs"] == "48*N"


def test_a_module_that_reads_its_data_runs_with_values_and_says_so() -> None:
    class Detector(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.score, self.box = nn.Linear(8, 1), nn.Linear(8, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.box(x[(self.score(x)[:, 0] > -1e9).nonzero()[:, 0]])

    counted = count(Detector(), torch.randn(6, 8))
    assert counted.macs == 6 * 8 + 6 * 8 * 4
    assert "Detector reads tensor values" in counted.notes[0]


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_mixtures_of_experts_count_the_rows_of_each_expert(kind: torch.dtype) -> None:
    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = nn.Parameter(torch.zeros(2, 32, 8, dtype=kind))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            offsets = torch.tensor([4, 16], dtype=torch.int32, device=x.device)
            return F.grouped_mm(x, self.weights, offs=offsets)

    assert count(Experts(), torch.randn(16, 32, dtype=kind)).macs == 16 * 32 * 8


@pytest.mark.parametrize(
    ("function", "inputs", "macs"),
    [
        (torch._int_mm, ("32x32:int8", "32x32:int8"), 32**3),
        (torch._weight_int8pack_mm, ("8x64", "32x64:int8", "32"), 8 * 64 * 32),
    ],
)
def test_products_of_whole_numbers_are_products(function: Any, inputs: tuple[str, ...], macs: int) -> None:
    counted: Count = count(function, *inputs)
    assert (counted.macs, dict(counted.uncounted)) == (macs, {})


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.fft.rfft2(x),
        lambda x: torch.histc(x, 10),
        lambda x: torch.linalg.solve_triangular(x, x, upper=True),
        lambda x: torch.matrix_exp(x),
        lambda x: torch.unique(torch.tensor([1, 1, 2])).numel() * x,
        lambda x: F.interpolate(x[None, None], (3, 5), mode="bicubic", antialias=True),
    ],
)
def test_more_operations_have_rules(function: Any) -> None:
    assert not count(function, "8x8").uncounted


def test_the_words_of_a_refusal_are_the_users() -> None:
    with pytest.raises(
        InvalidInput, match=r"Linear refuses the inputs 2x4: .*mat1 and mat2 shapes cannot be multiplied"
    ):
        count(nn.Linear(3, 2), "2x4")
    with pytest.raises(InvalidInput, match="Masked refuses the inputs mask=2x5:bool"):
        count(Masked(), mask=torch.ones(2, 5, dtype=torch.bool))


def test_the_peak_of_a_form_is_that_of_numbers() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 1))
    peak = count(net, "1x3xHxW").peak_memory
    for side in (9, 64):
        numbers = count(net, f"1x3x{side}x{side}").peak_memory
        assert eval(str(peak), {"H": side, "W": side, "Max": max, "floor": math.floor}) == numbers
