"""The calls that a calibration times: of every kind of kernel a spread of sizes, and chains of a few layers.

Sizes are those that networks have, spread evenly over their logarithms by a sequence without clusters (R2, M. Roberts
2018), so that a curve over sizes has support everywhere. No size is taken from a network that predictions are judged
on.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeVar

import torch
from torch import nn

from costmodel.profiles.records import Settings
from costmodel.work.call import Argument, Call, Tensor

# Limits of one call: a call that takes long costs the time of many others, and its rate is that of a smaller one.
MOST_FLOPS = 2.5e9
LEAST_FLOPS = 4e5
MOST_BYTES = 48e6  # of all tensors

CHANNELS = (3, 8, 12, 16, 24, 32, 40, 48, 64, 80, 96, 112, 128, 160, 192, 240, 256, 320, 384, 480, 512, 768, 1024, 2048)
SIDES = (1, 4, 7, 8, 10, 14, 16, 20, 28, 32, 40, 56, 64, 80, 112, 128, 160, 224, 256, 384, 512)
KERNELS = (2, 3, 4, 5, 7)

Choice = TypeVar("Choice")

POINTWISE = (
    *(
        "relu",
        "sigmoid",
        "tanh",
        "silu",
        "gelu",
        "hardswish",
        "hardsigmoid",
        "hardtanh",
        "leaky_relu",
        "elu",
        "softplus",
    ),
    *("exp", "log", "sqrt", "rsqrt", "erf", "neg", "abs", "pow", "clamp"),
)
PAIRS = ("add", "sub", "mul", "div", "maximum")


def spread(number: int, dimensions: int) -> Iterator[tuple[float, ...]]:
    """So many points of the unit cube, evenly spread."""
    root = 2.0
    for _ in range(30):  # the root of x^(d + 1) = x + 1
        root = (1 + root) ** (1 / (dimensions + 1))
    steps = [root ** -(axis + 1) for axis in range(dimensions)]
    for n in range(1, number + 1):
        yield tuple((0.5 + n * step) % 1 for step in steps)


def _pick(choices: Sequence[Choice], place: float) -> Choice:
    return choices[min(len(choices) - 1, int(place * len(choices)))]


@dataclass(frozen=True)
class Maker:
    """Makes calls in a dtype and a memory format."""

    dtype: str
    layout: str  # of tensors with four sides

    def tensor(self, *shape: int, parameter: bool = False, dtype: str = "") -> Tensor:
        last = self.layout == "channels_last" and len(shape) == 4
        return Tensor(shape, dtype or self.dtype, "channels_last" if last else "contiguous", parameter)

    def call(self, name: str, *arguments: Argument, out: Sequence[int] = (), **keywords: Argument) -> Call:
        outputs = (self.tensor(*out),) if out else ()
        return Call(f"aten.{name}", arguments, tuple(keywords.items()), outputs)

    def convolution(
        self,
        x: Sequence[int],
        out: int,
        kernel: tuple[int, int],
        *,
        stride: int = 1,
        groups: int = 1,
        bias: bool = False,
        transposed: bool = False,
        dilation: int = 1,
    ) -> Call:
        """A convolution with the padding that keeps the size at stride 1."""
        padding = tuple(dilation * (k - 1) // 2 for k in kernel) if not transposed else (0, 0)
        weight = (x[1], out // groups, *kernel) if transposed else (out, x[1] // groups, *kernel)
        sides = [
            (n - 1) * stride + k if transposed else (n + 2 * p - dilation * (k - 1) - 1) // stride + 1
            for n, k, p in zip(x[2:], kernel, padding, strict=True)
        ]
        return self.call(
            "convolution.default",
            self.tensor(*x),
            self.tensor(*weight, parameter=True),
            self.tensor(out, parameter=True) if bias else None,
            (stride, stride),
            padding,
            (dilation, dilation),
            transposed,
            (0, 0),
            groups,
            out=(x[0], out, *sides),
        )


def _fits(call: Call, macs: float) -> bool:
    tensors = (*call.tensors, *call.outputs)
    size = sum(each.elements for each in tensors) * 4
    return LEAST_FLOPS <= 2 * macs <= MOST_FLOPS and size <= MOST_BYTES


def _macs(call: Call) -> float:
    weight = call.arguments[1]
    x = call.arguments[0]
    assert isinstance(weight, Tensor)
    assert isinstance(x, Tensor)
    if call.arguments[6]:
        return weight.elements * prod(x.shape[2:]) * x.shape[0]
    return weight.elements * prod(call.outputs[0].shape[2:]) * x.shape[0]


def _convolutions(make: Maker, number: int, shape: Callable[[tuple[float, ...]], Call | None]) -> list[Call]:
    """The first calls of a spread that fit the limits."""
    found: dict[Call, None] = {}
    for place in spread(40 * number, 6):
        call = shape(place)
        if call is not None and _fits(call, _macs(call)):
            found[call] = None
            if len(found) == number:
                break
    return list(found)


def convolutions(make: Maker) -> list[Call]:
    """Convolutions of every kind."""

    def x(place: tuple[float, ...], most: int = len(CHANNELS)) -> tuple[int, int, int, int]:
        side = _pick(SIDES, place[2])
        return 1, _pick(CHANNELS[:most], place[0]), side, side if place[5] < 0.5 else min(512, 2 * side)

    def dense(place: tuple[float, ...]) -> Call:
        k = _pick((3, 3, 3, 3, 5, 7, 2, 4), place[3])
        stride = 1 if place[4] < 0.7 else 2
        return make.convolution(x(place), _pick(CHANNELS[1:], place[1]), (k, k), stride=stride)

    def stem(place: tuple[float, ...]) -> Call:
        k, (_, _, rows, columns) = _pick((3, 3, 4, 5, 7), place[3]), x(place)
        stride = k if k == 4 else 1 if place[4] < 0.3 else 2
        return make.convolution(
            (1, 3, rows, columns), _pick((16, 24, 32, 40, 48, 64, 96), place[1]), (k, k), stride=stride
        )

    def line(place: tuple[float, ...]) -> Call:
        k = _pick((3, 3, 5, 7), place[3])
        return make.convolution(x(place), _pick(CHANNELS[1:-1], place[1]), (k, 1) if place[4] < 0.5 else (1, k))

    def single(place: tuple[float, ...]) -> Call:
        stride = 1 if place[4] < 0.8 else 2
        bias = place[3] < 0.5
        return make.convolution(x(place), _pick(CHANNELS, place[1]), (1, 1), stride=stride, bias=bias)

    def depthwise(place: tuple[float, ...]) -> Call:
        k = _pick((3, 3, 5, 7), place[3])
        shape = x(place)
        kernel = (k, k) if place[1] < 0.85 else (k, 1) if place[1] < 0.93 else (1, k)
        return make.convolution(shape, shape[1], kernel, stride=1 if place[4] < 0.75 else 2, groups=shape[1])

    def grouped(place: tuple[float, ...]) -> Call | None:
        shape, groups = x(place), _pick((2, 4, 8, 16, 32), place[3])
        out = _pick(CHANNELS[1:], place[1])
        if shape[1] % groups or out % groups or groups in (shape[1], out):
            return None
        k = 3 if place[4] < 0.6 else 1
        return make.convolution(shape, out, (k, k), groups=groups, stride=1 if place[4] < 0.45 else 2)

    def dilated(place: tuple[float, ...]) -> Call:
        kernel = _pick(((3, 3), (3, 1), (1, 3)), place[3])
        return make.convolution(x(place), _pick(CHANNELS[1:], place[1]), kernel, dilation=_pick((2, 4, 8), place[4]))

    def transposed(place: tuple[float, ...]) -> Call:
        k = _pick((2, 3, 4), place[3])
        return make.convolution(x(place), _pick(CHANNELS[1:], place[1]), (k, k), stride=2, transposed=True)

    numbers: dict[Callable[[tuple[float, ...]], Call | None], int] = {
        dense: 110,
        stem: 16,
        line: 50,
        single: 100,
        depthwise: 64,
        grouped: 24,
        dilated: 24,
        transposed: 14,
    }
    return [call for shape, number in numbers.items() for call in _convolutions(make, number, shape)]


ROWS = (1, 4, 16, 49, 64, 128, 196, 256, 400, 784, 1024, 3136)
WIDTHS = (16, 32, 64, 96, 128, 192, 256, 320, 384, 512, 768, 1000, 1024, 1536, 2048, 3072, 4096)


def products(make: Maker) -> list[Call]:
    """Products of matrices: with weights, and in batches; attention."""
    found: dict[Call, None] = {}
    for a, b, c, d in spread(400, 4):
        m, k, n = _pick(ROWS, a), _pick(WIDTHS, b), _pick(WIDTHS, c)
        weight = Tensor((k, n), make.dtype, "strided", True)  # the transpose of a layer's weight
        if LEAST_FLOPS / 4 <= 2 * m * k * n <= MOST_FLOPS and 4 * (k * n + m * (k + n)) <= MOST_BYTES:
            bias, x, out = make.tensor(n, parameter=True), make.tensor(m, k), (m, n)
            linear = make.call("addmm.default", bias, x, weight, out=out)
            found[linear if d < 0.75 else make.call("mm.default", x, weight, out=out)] = None
        if len(found) == 80:
            break
    batches: dict[Call, None] = {}
    for a, b, c, d in spread(400, 4):
        batch, m, k, n = (
            _pick((1, 3, 4, 8, 12, 16, 64, 192), a),
            _pick((16, 49, 64, 197, 256), b),
            _pick((16, 32, 64, 128, 197), c),
            _pick((16, 49, 64, 197, 256), d),
        )
        if LEAST_FLOPS / 4 <= 2 * batch * m * k * n <= MOST_FLOPS / 4:
            left, right = make.tensor(batch, m, k), make.tensor(batch, k, n)
            batches[make.call("bmm.default", left, right, out=(batch, m, n))] = None
        if len(batches) == 30:
            break
    attention: dict[Call, None] = {}
    for a, b, c in spread(200, 3):
        heads, length, width = (
            _pick((1, 3, 4, 8, 12, 16), a),
            _pick((16, 49, 64, 100, 197, 400, 577, 1024), b),
            _pick((16, 32, 64, 96), c),
        )
        if 4 * heads * length**2 * width <= MOST_FLOPS / 2:
            q = make.tensor(1, heads, length, width)
            name = "_scaled_dot_product_flash_attention_for_cpu.default"
            attention[make.call(name, q, q, q, out=(1, heads, length, width))] = None
        if len(attention) == 24:
            break
    return [*found, *batches, *attention]


def moves(make: Maker) -> list[Call]:
    """Pointwise functions, norms, pools, resizes, reductions and copies."""
    found: list[Call] = []
    maps = [(1, c, s, s) for c, s in ((16, 4), (64, 14), (96, 28), (32, 112), (128, 64), (64, 256))]
    for name in POINTWISE:
        overload = {"pow": "Tensor_Scalar"}.get(name, "default")
        more: tuple[Argument, ...] = {"pow": (2,), "clamp": (0.0, 6.0)}.get(name, ())
        sizes = maps if name in ("relu", "sigmoid", "tanh", "silu", "gelu", "hardswish") else maps[1::2]
        found += [make.call(f"{name}.{overload}", make.tensor(*x), *more, out=x) for x in sizes]
    for name in PAIRS:
        overload = "default" if name == "maximum" else "Tensor"
        sizes = maps if name in ("add", "mul") else maps[1::2]
        for x in sizes:
            found.append(make.call(f"{name}.{overload}", make.tensor(*x), make.tensor(*x), out=x))
        if name in ("add", "mul"):
            for x in maps[1:]:  # of a channel each
                found.append(make.call(f"{name}.{overload}", make.tensor(*x), make.tensor(1, x[1], 1, 1), out=x))
            found += [make.call(f"{name}.{overload}", make.tensor(*x), 2.0, out=x) for x in maps[1::2]]
    for c, s in (
        (24, 7),
        (512, 7),
        (128, 14),
        (64, 28),
        (256, 28),
        (32, 56),
        (96, 56),
        (16, 112),
        (64, 112),
        (32, 256),
        (128, 128),
    ):
        x = (1, c, s, s)
        each = [make.tensor(c, parameter=True) for _ in range(4)]
        found.append(make.call("native_batch_norm.default", make.tensor(*x), *each, False, 0.1, 1e-5, out=x))
    for m, n in (
        (49, 96),
        (49, 768),
        (196, 192),
        (197, 768),
        (784, 96),
        (784, 384),
        (3136, 96),
        (3136, 192),
        (64, 2048),
        (16, 64),
    ):
        x = (1, m, n)
        each = [make.tensor(n, parameter=True) for _ in range(2)]
        found.append(make.call("native_layer_norm.default", make.tensor(*x), (n,), *each, 1e-5, out=x))
        if m * n < 700_000:
            found.append(
                make.call("_softmax.default", make.tensor(1, 4, m, min(n, 512)), -1, False, out=(1, 4, m, min(n, 512)))
            )
    for c, s, g in ((64, 28, 8), (128, 14, 32), (32, 112, 8), (256, 56, 32)):
        x = (1, c, s, s)
        each = [make.tensor(c, parameter=True) for _ in range(2)]
        found.append(make.call("native_group_norm.default", make.tensor(*x), *each, 1, c, s * s, g, 1e-5, out=x))
    for c, s, k, step in (
        (64, 112, 3, 2),
        (64, 56, 3, 2),
        (16, 28, 3, 2),
        (128, 56, 2, 2),
        (256, 28, 2, 2),
        (512, 14, 2, 2),
        (64, 224, 2, 2),
        (32, 256, 3, 2),
        (128, 14, 3, 1),
        (128, 28, 5, 1),
    ):
        pad = (k - 1) // 2
        side = (s + 2 * pad - k) // step + 1
        pooled = (make.tensor(1, c, s, s), (k, k), (step, step), (pad, pad))
        out = (1, c, side, side)
        found.append(make.call("max_pool2d_with_indices.default", *pooled, out=out))
        found.append(make.call("avg_pool2d.default", *pooled, out=out))
    for c, s in ((1024, 32), (256, 32), (512, 14), (64, 28)):
        for part in (1, 2, 4):
            window = (s // part, s // part)
            found.append(
                make.call("avg_pool2d.default", make.tensor(1, c, s, s), window, window, out=(1, c, part, part))
            )
    for c, s, times in (
        (3, 128, 2),
        (3, 512, 0.5),
        (19, 64, 2),
        (19, 128, 4),
        (128, 32, 2),
        (64, 56, 2),
        (256, 16, 2),
        (32, 128, 2),
        (128, 64, 0.5),
        (256, 4, 8),
    ):
        side = int(s * times)
        x, out = make.tensor(1, c, s, s), (1, c, side, side)
        found.append(make.call("upsample_bilinear2d.default", x, (side, side), True, out=out))
        found.append(make.call("upsample_nearest2d.default", x, (side, side), out=out))
    for c, s in ((64, 7), (512, 7), (1280, 7), (128, 14), (96, 28), (64, 56), (32, 112)):
        found.append(make.call("mean.dim", make.tensor(1, c, s, s), (-1, -2), True, out=(1, c, 1, 1)))
    for m, n in ((49, 768), (196, 192), (1024, 256)):
        found.append(make.call("mean.dim", make.tensor(1, m, n), (1,), out=(1, n)))
        found.append(make.call("sum.dim_IntList", make.tensor(1, m, n), (-1,), out=(1, m)))
        found.append(make.call("amax.default", make.tensor(1, m, n), (-1,), out=(1, m)))
    for c, s in ((32, 14), (128, 28), (64, 56), (64, 112), (128, 128)):
        half = make.tensor(1, c // 2, s, s)
        found.append(make.call("cat.default", (half, half), 1, out=(1, c, s, s)))
        found.append(
            make.call("cat.default", (make.tensor(1, c, s, s), make.tensor(1, 16, s, s)), 1, out=(1, c + 16, s, s))
        )
        found.append(
            make.call("constant_pad_nd.default", make.tensor(1, c, s, s), (0, 1, 0, 1), 0.0, out=(1, c, s + 1, s + 1))
        )
        found.append(make.call("clone.default", make.tensor(1, c, s, s), out=(1, c, s, s)))
        turned = Tensor((1, s, s, c), make.dtype, "strided")  # channels from first to last, or back
        found.append(make.call("clone.default", turned, memory_format="contiguous_format", out=(1, s, s, c)))
        found.append(make.call("roll.default", make.tensor(1, s, s, c), (3, 3), (1, 2), out=(1, s, s, c)))
    for rows, width, length in ((1000, 64, 49), (30000, 256, 128), (30000, 768, 64)):
        indices = make.tensor(1, length, dtype="int64")
        found.append(
            make.call("embedding.default", make.tensor(rows, width, parameter=True), indices, out=(1, length, width))
        )
    return found


def points(how: Settings) -> list[Call]:
    """The calls that are timed with these settings, each hot and cold."""
    make = Maker(how.dtype or "float32", how.memory_format or "contiguous")
    return list(dict.fromkeys([*convolutions(make), *products(make), *moves(make)]))


@dataclass(frozen=True)
class Composite:
    """A small module with its input, of which no network is made that is judged."""

    name: str
    module: Callable[[], nn.Module]
    shape: tuple[int, ...]


class _Sum(nn.Module):
    """The sum of an input and of what a module makes of it."""

    def __init__(self, *inner: nn.Module) -> None:
        super().__init__()
        self.inner = nn.Sequential(*inner)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.inner(x)


def _layers(name: str, width: int) -> list[nn.Module]:
    """Two or three layers that keep the shape of their input."""
    if name == "conv-norm-relu":
        return [nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    if name == "pointwise-norm-silu":
        return [nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width), nn.SiLU()]
    if name == "depthwise-pointwise":
        depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        return [depthwise, nn.BatchNorm2d(width), nn.Conv2d(width, width, 1, bias=False)]
    if name == "lines":
        return [
            nn.Conv2d(width, width, (3, 1), padding=(1, 0)),
            nn.Conv2d(width, width, (1, 3), padding=(0, 1)),
            nn.Tanh(),
        ]
    if name == "gates":
        return [nn.Conv2d(width, width, 5, padding=2), nn.Sigmoid(), nn.Tanh()]
    if name == "sum":
        return [_Sum(nn.Conv2d(width, width, 3, padding=1), nn.ReLU())]
    if name == "linear-gelu":
        return [nn.Linear(width, width), nn.GELU(), nn.Linear(width, width)]
    return [nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU()]


def composites(how: Settings) -> list[Composite]:
    """Chains of two or three layers, as networks run them, repeated with other weights: from these a prediction learns
    how far a sum over kernels is from the time of a module. The repeats run through more weights than caches hold, as
    networks do."""

    def chain(name: str, width: int, times: int) -> Callable[[], nn.Module]:
        return lambda: nn.Sequential(*(layer for _ in range(times) for layer in _layers(name, width)))

    maps = ("conv-norm-relu", "pointwise-norm-silu", "depthwise-pointwise", "lines", "gates", "sum")
    found = []
    for name in maps:
        for width, side, times in ((24, 56, 4), (88, 20, 8), (208, 12, 10), (48, 100, 2)):
            found.append(Composite(f"{name} {width}x{side}x{side}", chain(name, width, times), (1, width, side, side)))
    for name in ("linear-gelu", "norm-linear"):
        for width, rows, times in ((176, 150, 8), (448, 60, 10), (900, 12, 8)):
            found.append(Composite(f"{name} {rows}x{width}", chain(name, width, times), (1, rows, width)))
    return found
