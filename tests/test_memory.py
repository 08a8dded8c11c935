"""Peak memory against torch's allocator: results, workspaces of kernels, gradients and the states of optimizers."""

import gc
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves

from costmodel import count
from costmodel.counting.memory import described
from costmodel.counting.optimizers import OPTIMIZERS
from costmodel.errors import InvalidInput

AVX512 = pytest.mark.skipif(
    "AVX512" not in torch.backends.cpu.get_cpu_capability(), reason="oneDNN's blocks are those of AVX-512"
)


@contextmanager
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def most(run: Callable[[], Any]) -> int:
    """Bytes that torch's CPU allocator held at most while something ran, besides what was there before."""
    from torch.profiler import ProfilerActivity, profile

    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        run()
    events = [each for each in seen.profiler.kineto_results.events() if each.name() == "[memory]"]
    now = highest = 0
    for each in sorted(events, key=lambda each: each.start_ns()):
        now += each.nbytes()
        highest = max(highest, now)
    return highest


def leaves(out: Any) -> list[torch.Tensor]:
    return [each for each in tree_leaves(out) if isinstance(each, torch.Tensor) and each.requires_grad]


def measured(net: nn.Module, x: torch.Tensor, backward: bool) -> int:
    with two_threads():
        if not backward:
            with torch.inference_mode():
                return most(lambda: net(x))
        seeds = [torch.ones_like(each) for each in leaves(net(x))]  # where a loss would be
        return most(lambda: torch.autograd.backward(leaves(net(x)), seeds))


def block(n: int, c_in: int, c_out: int) -> nn.Sequential:
    conv, norm = getattr(nn, f"Conv{n}d"), getattr(nn, f"BatchNorm{n}d")
    return nn.Sequential(conv(c_in, c_out, 3, padding=1), norm(c_out), nn.ReLU())


class UNet(nn.Module):
    """A U-Net of two levels: convolutions, max pooling, a transposed convolution."""

    def __init__(self, n: int, c: int = 8) -> None:
        super().__init__()
        self.first, self.low, self.last = block(n, 1, c), block(n, c, 2 * c), block(n, 2 * c, c)
        self.pool = getattr(nn, f"MaxPool{n}d")(2)
        self.up = getattr(nn, f"ConvTranspose{n}d")(2 * c, c, 2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        high = self.first(x)
        result: torch.Tensor = self.last(torch.cat([high, self.up(self.low(self.pool(high)))], 1))
        return result


def last(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    """A module whose maps have channels last, as its own first operation makes them."""

    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = make()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.net(x.contiguous(memory_format=torch.channels_last))
            return result

    return Last


class Spread(nn.Module):
    """A linear layer of one row of weights, which is expanded."""

    def __init__(self) -> None:
        super().__init__()
        self.row = nn.Parameter(torch.randn(1, 64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.row.expand(64, 64))


class Attention(nn.Module):
    def __init__(self, channels: int = 64, heads: int = 4) -> None:
        super().__init__()
        self.qkv, self.heads = nn.Linear(channels, 3 * channels), heads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, channels = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, length, channels)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "3-d U-Net": (lambda: UNet(3), (1, 1, 24, 24, 24)),  # 1 x 1 x 24 x 24 elements: unfolded
    "3-d U-Net, batch": (lambda: UNet(3), (2, 1, 16, 16, 16)),  # oneDNN
    "U-Net": (lambda: UNet(2), (1, 1, 64, 64)),
    "1-d U-Net": (lambda: UNet(1, 32), (4, 1, 2048)),
    "line": (lambda: nn.Conv1d(64, 64, 3, padding=1), (4, 64, 4096)),
    "transposed": (lambda: nn.ConvTranspose2d(32, 32, 3, 2, 1, 1), (2, 32, 32, 32)),
    "few channels": (lambda: nn.Conv2d(3, 8, 3, padding=1), (4, 3, 64, 64)),
    "small": (lambda: nn.Sequential(*(nn.Conv2d(8, 8, 3, padding=1) for _ in range(3))), (1, 8, 32, 32)),
    "dilated": (lambda: nn.Conv2d(8, 8, 3, padding=2, dilation=2), (1, 8, 32, 32)),
    "depthwise": (lambda: nn.Conv2d(24, 24, 3, padding=1, groups=24), (2, 24, 32, 32)),
    "groups": (lambda: nn.Conv2d(24, 24, 3, padding=1, groups=2), (2, 24, 32, 32)),
    "one block": (lambda: nn.Conv2d(16, 16, 3, padding=1, bias=False), (2, 16, 16, 16)),
    "thin": (lambda: nn.Conv2d(5, 7, 3, padding=1), (2, 5, 16, 16)),
    "one by one": (lambda: nn.Conv2d(32, 32, 1), (2, 32, 16, 16)),
    "channels last": (last(lambda: nn.Conv2d(16, 16, 3, padding=1)), (2, 16, 8, 8)),
    "channels last, unfolded": (last(lambda: nn.Conv2d(64, 64, 3, padding=1)), (1, 64, 14, 14)),
    "nearest, channels last": (last(lambda: nn.Upsample(scale_factor=2)), (2, 8, 16, 16)),
    "bilinear": (lambda: nn.Sequential(nn.Conv2d(4, 8, 1), nn.Upsample(scale_factor=2, mode="bilinear")), (2, 4, 8, 8)),
    "bilinear, large": (lambda: nn.Upsample((64, 66), mode="bilinear"), (2, 4, 16, 16)),
    "bicubic": (lambda: nn.Upsample(scale_factor=0.5, mode="bicubic"), (2, 4, 32, 32)),
    "expanded weight": (Spread, (8, 64)),
    "float64": (lambda: nn.Conv2d(8, 8, 3, padding=1).double(), (2, 8, 16, 16)),
    "bfloat16": (lambda: nn.Conv2d(32, 32, 3, padding=1).bfloat16(), (2, 32, 56, 56)),
    "float64, groups": (lambda: nn.Conv2d(8, 8, 3, padding=1, groups=2).double(), (2, 8, 16, 16)),
    "float64, groups of volumes": (lambda: nn.Conv3d(8, 4, 3, groups=2).double(), (2, 8, 8, 8, 8)),
    "float64, transposed": (lambda: nn.ConvTranspose2d(8, 4, 3, 2, 1).double(), (4, 8, 16, 16)),
    "thinned": (lambda: nn.Conv2d(16, 32, 1, 2), (2, 16, 24, 24)),
    "RNN": (lambda: nn.RNN(64, 64), (4, 4, 64)),
    "attention": (Attention, (4, 512, 64)),
    "LSTM": (lambda: nn.LSTM(64, 128), (20, 4, 64)),
    "LSTM of two layers": (lambda: nn.LSTM(64, 64, 2), (40, 4, 64)),
    "GRU": (lambda: nn.GRU(64, 128), (20, 4, 64)),
}


NOTED = ("bfloat16",)  # what trains


def _is_noted(name: str, backward: bool) -> bool:
    return {"GRU": not backward, "LSTM": True, "3-d U-Net": True, "3-d U-Net, batch": True}.get(
        name, backward and name in NOTED
    )


@AVX512
@pytest.mark.parametrize("backward", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("name", NETWORKS)
def test_peak_memory_is_that_of_the_allocator(name: str, backward: bool) -> None:
    make, shape = NETWORKS[name]
    net = make().train(backward)
    first = next(net.parameters(), torch.empty(0))
    x = torch.randn(shape, dtype=first.dtype, requires_grad=backward and not any(True for _ in net.parameters()))
    counted = count(net, x, backward=backward)
    tolerance = 0.1 if name == "bfloat16" and backward else 0.05
    assert counted.cpu_peak_memory - counted.held == pytest.approx(measured(net, x, backward), rel=tolerance)
    assert bool(counted.memory_notes) == _is_noted(name, backward)


@AVX512
@pytest.mark.parametrize(
    ("net", "shape", "expected"),
    [
        (nn.Conv1d(64, 64, 3, padding=1), (4, 64, 4096), 2 * 4 * 64 * 4096 * 4 + 64 * 64 * 3 * 4),  # copies, weights
        (nn.ConvTranspose2d(32, 32, 3, 2, 1, 1), (2, 32, 32, 32), 3 * 2 * 32 * 64 * 64 * 4),  # thrice the result
        (nn.Conv2d(3, 8, 3, padding=1), (2, 3, 64, 64), 2 * (16 + 8) * 64 * 64 * 4),  # a block, and the result
        (nn.MaxPool2d(2), (1, 16, 64, 64), 16 * 32 * 32 * (4 + 8)),  # with the indices that nobody asked for
        (nn.Conv3d(8, 8, 3, padding=1), (1, 8, 8, 8, 8), (8 * 27 + 8) * 512 * 4),  # columns, and the result
        (nn.Upsample(scale_factor=2), (1, 4, 16, 16), (2 * 32 * 32 + 16 * 16) * 4 * 4),  # copies with channels last
        (nn.Upsample((64, 66)), (1, 4, 16, 16), 4 * 64 * 66 * 4 + (64 + 66) * (8 + 4)),  # a table of places, of weights
        (nn.Upsample(scale_factor=2, mode="bicubic"), (1, 1, 8, 8), 256 * 4 + 4 * 32 * (8 + 4)),  # 4 points each
        (Spread(), (8, 64), (8 * 64 + 64 * 64) * 4),  # the expanded weight is copied
    ],
    ids=["line", "transposed", "few channels", "max pool", "columns", "resized", "large", "bicubic", "expanded"],
)
def test_workspaces_by_hand(net: nn.Module, shape: tuple[int, ...], expected: int) -> None:
    counted = count(net, "x".join(map(str, shape)))
    assert counted.cpu_peak_memory - counted.held == expected == measured(net, torch.randn(shape), backward=False)


def test_when_torch_leaves_onednn() -> None:
    """The same choice as torch's own, on both sides of every bound."""
    with two_threads():
        for n, c, side, k, groups in itertools.product((1, 2), (8, 16, 20), (32, 36), (1, 3, 5), (1, 4)):
            x, weight = torch.empty(n, c, side, side), torch.empty(c, c // groups, k, k)
            chosen = torch._C._select_conv_backend(
                x, weight, None, [1, 1], [k // 2] * 2, [1, 1], False, [0, 0], groups, None
            )
            said = described(x, weight, x, 1, 1, False, groups).onednn
            assert said == str(chosen).endswith("Mkldnn"), (n, c, side, k, groups)


def test_what_was_saved_is_released_during_the_backward_pass() -> None:
    """20 results of 256 x 256, which are saved, and the gradients of as many layers: never all of both."""
    net = nn.Sequential(*(nn.Linear(256, 256) for _ in range(20)))
    counted = count(net, torch.randn(256, 256), backward=True)
    assert counted.peak_memory - counted.held == 6_048_768
    assert sum(counted.saved.values()) == 20 * 256 * 256 * 4  # the input, and all results but the last


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_is_that_of_torch(name: str) -> None:
    """A second step of training, after which all states are there, to the bytes of the counters of steps."""
    net, x = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 16)), torch.randn(32, 64)
    counted = count(net, x, backward=True, optimizer=name)
    optimizer, seed = OPTIMIZERS[name](net.parameters()), torch.ones(32, 16)

    def step() -> None:
        net(x).backward(seed)
        optimizer.step()
        optimizer.zero_grad()

    step()
    states = [each for each in tree_leaves(list(optimizer.state.values())) if isinstance(each, torch.Tensor)]
    assert counted.optimizer_memory.states == sum(each.untyped_storage().nbytes() for each in states)
    own = counted.peak_memory - counted.held - counted.optimizer_memory.states
    assert own == pytest.approx(most(step), abs=64)


def test_adam_has_two_states_and_needs_a_backward_pass() -> None:
    net = nn.Linear(100, 100)
    counted = count(net, "1x100", backward=True, optimizer="adam")
    assert counted.optimizer_memory.states == 2 * 10_100 * 4 + 2 * 4  # two a parameter; counters of two tensors
    # Parameters, input, states, gradients; two copies of the weights while Adam divides.
    assert counted.peak_memory == 10_100 * 4 + 400 + 80_808 + 10_100 * 4 + 2 * 10_000 * 4
    with pytest.raises(InvalidInput, match="takes its step after a backward pass"):
        count(net, "1x100", optimizer="adam")
    with pytest.raises(InvalidInput, match="unknown optimizer 'adamant': one of sgd, momentum, adam"):
        count(net, "1x100", backward=True, optimizer="adamant")


def test_the_output_says_what_is_not_known() -> None:
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True).eval()
    assert "as one kernel" in count(layer, "2x5x16").memory_notes[0]
    assert not count(layer, "2x5x16", backward=True).memory_notes
    assert count(lambda x: torch.sort(x)[0], "100").memory_notes == ("buffers of their kernels are not known: sort",)


@pytest.mark.parametrize(
    ("net", "shape", "note"),
    [
        (nn.ConvTranspose2d(16, 8, 3).bfloat16(), (2, 16, 8, 8), "may need twice"),
        (last(lambda: nn.ConvTranspose2d(16, 8, 3))(), (2, 16, 8, 8), "known to 15 %"),
        (last(lambda: nn.Conv2d(12, 8, 3, groups=2))(), (2, 12, 8, 8), "half as much again"),
        (nn.Conv2d(12, 8, 3, groups=2), (2, 12, 8, 8), ""),
        (last(lambda: nn.Conv2d(16, 8, 3, stride=2))(), (2, 16, 8, 8), ""),
        (nn.ConvTranspose3d(24, 4, 3, 2), (2, 24, 4, 4, 4), "transposed convolutions of this kind"),
        (nn.ConvTranspose1d(10, 24, 3, 2), (2, 10, 64), "transposed convolutions of this kind"),
        (nn.Conv2d(4, 8, 3, groups=4).bfloat16(), (2, 4, 8, 8), "groups of odd sizes"),
        (nn.LSTM(64, 64, 2, batch_first=True), (4, 8, 64), "keep a copy"),
        (nn.LSTM(32, 32), (8, 4, 32), "small batches"),
    ],
)
def test_notes_are_on_the_operations_concerned(net: nn.Module, shape: tuple[int, ...], note: str) -> None:
    notes = count(net, torch.randn(shape, dtype=next(net.parameters()).dtype)).memory_notes
    assert [note in each for each in notes] == [True] * bool(note)


@AVX512
def test_a_map_of_one_channel_may_have_channels_last() -> None:
    x = torch.randn(2, 1, 32, 32).to(memory_format=torch.channels_last)
    counted = count(nn.Conv2d(1, 12, 1, bias=False), x)
    expected = measured(nn.Conv2d(1, 12, 1, bias=False), x, backward=False)
    assert counted.cpu_peak_memory - counted.held == pytest.approx(expected, rel=0.05)
    assert "one channel" in count(nn.Conv2d(1, 8, 3), x).memory_notes[0]
