"""Kinds of calls that were counted nearly right: bags of rows, shared storages, values that letters lack, and words."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from test_memory import AVX512, measured
from torch import nn
from torch.nn import functional as F

from costmodel import count
from costmodel.cli import main, options
from costmodel.counting.optimizers import OPTIMIZERS
from costmodel.errors import InvalidInput


def seen(net: Any, *inputs: Any, real: bool = False, **how: Any) -> list[Any]:
    counted = count(net, *inputs, real=real, **how)
    operations = [(o.op, o.inputs, o.output, o.cost, o.live, o.counted) for o in counted.operations]
    return [operations, counted.saved, counted.held, dict(counted.uncounted)]


# ---- without values as with them -------------------------------------------------------------------------------------


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("more", [{}, {"include_last_offset": True}, {"padding_idx": 2}], ids=str)
def test_bags_have_the_buffers_of_torch(mode: str, more: dict[str, Any], backward: bool) -> None:
    indices = torch.tensor([1, 2, 4, 5, 4, 3, 2, 9])
    offsets = torch.tensor([0, 4, 8] if "include_last_offset" in more else [0, 4])
    for net in (nn.EmbeddingBag(10, 4, mode=mode, **more), nn.EmbeddingBag(10, 4, mode=mode, **more).double()):
        assert seen(net, indices, offsets, backward=backward) == seen(
            net, indices, offsets, backward=backward, real=True
        )


@pytest.mark.parametrize(
    "pool",
    [
        nn.MaxPool2d(3, 2, 1),
        nn.MaxPool2d((2, 3)),
        nn.MaxPool2d(3, stride=1, padding=(1, 0)),
        nn.MaxPool2d(2, 2, ceil_mode=True),
        nn.MaxPool2d(3, dilation=2),
        nn.MaxPool2d(2, return_indices=True),
        nn.AdaptiveAvgPool2d(1),
        nn.AdaptiveAvgPool2d((2, 3)),
        lambda x: x.mean((2, 3)) + x.sum([-1, -2]),
    ],
    ids=lambda pool: str(pool) if isinstance(pool, nn.Module) else "sums",
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_pools_are_those_of_torch(pool: Any, layout: torch.memory_format) -> None:
    x = torch.randn(2, 4, 9, 7).contiguous(memory_format=layout).requires_grad_()
    for backward in (False, True):
        assert seen(pool, x, backward=backward) == seen(pool, x, backward=backward, real=True)


def test_a_pool_that_leaves_nothing_is_refused_as_by_torch() -> None:
    with pytest.raises(InvalidInput, match="Output size is too small"):
        count(nn.MaxPool2d(5), "1x3x4x4")
    with pytest.raises(InvalidInput, match="pad should be at most half"):
        count(nn.MaxPool2d(3, padding=2), "1x3x8x8")


def sampled(x: torch.Tensor) -> torch.Tensor:
    grid = F.affine_grid(torch.eye(2, 3)[None].repeat(2, 1, 1), [2, 3, 4, 4], align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        (nn.Fold((6, 6), 3), (2, 18, 16)),
        (nn.Fold((9, 9), 2, stride=1, padding=1), (1, 4, 100)),
        (sampled, (2, 3, 8, 8)),
        (nn.RReLU(), (2, 4)),
        (lambda x: torch.linalg.pinv(x), (3, 4)),
        (lambda x: torch.vmap(lambda a: a @ a)(x), (2, 3, 3)),
    ],
    ids=["fold", "fold with padding", "grid", "random slopes", "pseudoinverse", "vmap"],
)
def test_without_values_as_with_them(function: Any, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape).requires_grad_()
    for backward in (False, True):
        assert seen(function, x, backward=backward) == seen(function, x, backward=backward, real=True)


def test_bags_by_hand() -> None:
    """Two bags of 4 columns; sizes and places of 2 bags, 8 bytes each. The mean needs a bag of each of 8 indices."""
    bags = count(nn.EmbeddingBag(10, 4, mode="sum"), "2x4:int64")
    assert bags.operations[-1].cost.writes == 2 * 4 * 4 + 2 * 8 + 2 * 8
    bags = count(nn.EmbeddingBag(10, 4, mode="mean"), "2x4:int64")
    assert bags.operations[-1].cost.writes == 2 * 4 * 4 + 2 * 8 + 2 * 8 + 8 * 8
    weighted = lambda i, w: F.embedding_bag(i, w.new_ones(10, 4), per_sample_weights=w, mode="sum")  # noqa: E731
    assert seen(weighted, torch.zeros(2, 4).long(), torch.rand(2, 4)) == seen(
        weighted, torch.zeros(2, 4).long(), torch.rand(2, 4), real=True
    )


@pytest.mark.parametrize("net", [nn.CrossMapLRN2d(3), nn.LocalResponseNorm(3)], ids=lambda net: type(net).__name__)
def test_normalisation_over_channels_counts(net: nn.Module) -> None:
    whole, x = nn.Sequential(nn.Conv2d(3, 5, 1), net), torch.randn(2, 3, 4, 4)
    for backward in (False, True):
        assert seen(whole, x, backward=backward) == seen(whole, x, backward=backward, real=True)
        assert not count(whole, "2x3x4x4", backward=backward).uncounted


def test_products_of_a_matrix_exponential_are_said_to_be_assumed() -> None:
    net = nn.utils.parametrizations.orthogonal(nn.Linear(5, 5), orthogonal_map="matrix_exp")
    assert "five products" in count(net, "2x5").notes[0]
    assert not count(net, "2x5", real=True).notes


# ---- storages that are shared ----------------------------------------------------------------------------------------

LAYOUTS = {
    "expanded": (torch.randn(1, 8).expand(64, 8), 8 * 4),
    "turned": (torch.randn(8, 64).t(), 64 * 8 * 4),
    "rows": (torch.randn(100, 8)[36:], 100 * 8 * 4),
    "columns": (torch.randn(64, 16)[:, ::2], 64 * 16 * 4),
    "windows": (torch.randn(71).as_strided((64, 8), (1, 1)), 71 * 4),
}


class Scales(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.randn(8))
        self.register_buffer("row", torch.randn(1, 8).expand(64, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale * self.row


@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_saved_is_the_storage(layout: str, real: bool) -> None:
    """The input's storage and the buffer's row, as autograd's own hooks see them."""
    x, size = LAYOUTS[layout]
    net = Scales()
    storages: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() != net.scale.data_ptr():
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        net(x)
    counted = count(net, x, backward=True, real=real)
    assert sum(counted.saved.values()) == sum(storages.values()) == size + 8 * 4
    assert counted.held == 8 * 4 + 8 * 4 + size


@pytest.mark.parametrize("real", [False, True])
def test_two_views_of_one_tensor_are_saved_once(real: bool) -> None:
    x = torch.randn(8, 8)
    counted = count(
        lambda a, b, w: a * w + b * w, x, x.t(), torch.ones(8, requires_grad=True), real=real, backward=True
    )
    assert sum(counted.saved.values()) == 8 * 8 * 4


# ---- words -----------------------------------------------------------------------------------------------------------


class Reads(nn.Module):
    def forward(self, x: torch.Tensor, scale: float = 1.0, *, shift: float = 0.0) -> torch.Tensor:
        return x[x > 0] * x.max().item() * scale


@pytest.mark.parametrize("read", [lambda x: x * x.max().item(), lambda x: x[x > 0], lambda x: x if x.sum() > 0 else -x])
def test_letters_of_data_that_are_read_are_refused_in_words(read: Any) -> None:
    with pytest.raises(
        InvalidInput, match=r"reads tensor values .*N and C give no closed form: .* whole numbers .*real=True"
    ):
        count(read, "NxC")
    assert "it ran with values" in count(read, "2x3").notes[0]


@pytest.mark.parametrize("text", ["1x3:int7", "1x3:bits8", "1x3:quint8", "1x3:float128"])
def test_types_of_inputs_are_listed(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"one of float32, .*bfloat16, .*int64, .*uint8"):
        count(nn.ReLU(), text)
    assert count(nn.ReLU(), "1x3:long").held == 3 * 8


@pytest.mark.parametrize(
    ("function", "name", "told"),
    [
        (Reads(), "scael", "Reads has no argument 'scael': it takes x, scale, shift by name; did you mean 'scale'?"),
        (Reads().forward, "sclae", "did you mean 'scale'?"),
        (lambda x, /: x, "y", "has no argument 'y': it takes none by name"),
    ],
)
def test_unknown_keywords_are_refused_before_anything_runs(function: Any, name: str, told: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        count(function, "2x3", **{name: 1.0})
    assert told in str(caught.value)
    assert count(lambda x, **more: x + more["y"], "2x3", y=1.0).operations


@pytest.mark.parametrize("command", ["count torch.nn:ReLU --input 3", "fits torch.nn:ReLU --input N --memory 1kB"])
def test_optimizers_are_refused_at_the_door(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["costmodel", *command.split(), "--backward", "--optimizer", "foo"])
    assert main() == 2
    assert capsys.readouterr().err.startswith("costmodel: --optimizer 'foo': one of sgd, momentum, adam, adamw, nadam")
    assert tuple(OPTIMIZERS) == options.OPTIMIZERS


def test_counting_imports_neither_the_compiler_nor_distributed_tensors() -> None:
    code = """if True:
        import sys, torch, costmodel
        from costmodel.counting.load import load
        from torch import nn
        conv = load("torch.nn:Conv2d", {"in_channels": 3, "out_channels": 4, "kernel_size": 3})
        assert costmodel.count(conv, "1x3x9x9").macs == 49 * 27 * 4
        assert not {"torch.distributed.tensor", "torch.fx.experimental.symbolic_shapes"} & sys.modules.keys()
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).train()
        costmodel.count(net, "2x3x8x8", backward=True)
        costmodel.count(net, "2x3x8x8", backward=True, optimizer="adam")
        costmodel.count(lambda x: (x.softmax(1) / 3).mean(1) + x.roll(1).tril().logsumexp(1), "8x8")
        print([name for name in ("torch._dynamo", "torch._inductor") if name in sys.modules])
        torch.compile(net, backend="eager")(torch.randn(2, 3, 8, 8))
        print(torch._dynamo.__name__, costmodel.count(net, "2x3x8x8", backward=True).uncounted)"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\ntorch._dynamo Counter()\n"


# ---- memory on a CPU -------------------------------------------------------------------------------------------------


class Block(nn.Module):
    """A block of ConvNeXt: the map goes on with channels last."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.over = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm, self.wide = nn.LayerNorm(channels), nn.Linear(channels, 4 * channels)
        self.back = nn.Linear(4 * channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.over(x).permute(0, 2, 3, 1))
        return x + self.back(F.gelu(self.wide(y))).permute(0, 3, 1, 2)


@AVX512
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (nn.ConvTranspose2d(64, 32, 3, 2), (2, 64, 8, 8)),
        (nn.ConvTranspose2d(64, 64, 2, 2), (4, 64, 4, 4)),
        (nn.ConvTranspose2d(32, 16, (2, 4), (1, 2)), (2, 32, 6, 8)),
        (nn.ConvTranspose1d(32, 16, 3, 2), (4, 32, 50)),
        (nn.ConvTranspose3d(16, 8, 3, 2), (2, 16, 6, 6, 6)),
        (nn.Conv2d(8, 8, 3, 2, 1), (2, 8, 32, 32)),
        (nn.Conv2d(12, 20, 3, 2, 1), (2, 12, 20, 20)),
        (nn.Sequential(nn.Conv2d(3, 32, 4, 4), Block(32), Block(32)), (2, 3, 64, 64)),
    ],
    ids=str,
)
def test_small_maps_and_channels_last(net: nn.Module, shape: tuple[int, ...], backward: bool) -> None:
    x = torch.randn(shape)
    counted = count(net.train(backward), x, backward=backward)
    assert counted.cpu_peak_memory - counted.held == pytest.approx(measured(net, x, backward), rel=0.05)
