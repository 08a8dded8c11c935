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

from costmodel.price.kernels import POINTWISE
from costmodel.profiles.records import Settings
from costmodel.work.call import Argument, Call, Tensor

# Limits of one call: a call that takes long costs the time of many others, and its rate is that of a smaller one.
MOST_FLOPS = 2.5e9
LEAST_FLOPS = 4e5
MOST_BYTES = 48e6  # of all tensors

CHANNELS = (3, 8, 12, 16, 24, 32, 40, 48, 64, 80, 96, 112, 128, 160, 192, 240, 256, 320, 384, 480, 512, 768, 1024, 2048)
SIDES = (1, 4, 7, 8, 10, 14, 16, 20, 28, 32, 40, 56, 64, 80, 112, 128, 160, 224, 256, 384, 512)
# Channels and side of the maps of pointwise functions.
PLANES = ((16, 4), (64, 7), (64, 14), (96, 28), (64, 56), (32, 112), (128, 64), (128, 112), (64, 256))

Choice = TypeVar("Choice")

MORE: dict[str, tuple[Argument, ...]] = {"pow": (2,), "clamp": (0.0, 6.0)}  # arguments of pointwise functions
OVERLOADS = {"pow": "Tensor_Scalar"}
USUAL = ("relu", "sigmoid", "tanh", "silu", "gelu", "hardswish")  # timed at more sizes


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

    def call(
        self, name: str, *arguments: Argument, out: Sequence[int] = (), kind: str = "", **keywords: Argument
    ) -> Call:
        outputs = (self.tensor(*out, dtype=kind),) if out else ()
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


def _fits(call: Call, macs: float, most: float, most_bytes: float) -> bool:
    tensors = (*call.tensors, *call.outputs)
    size = sum(each.elements for each in tensors) * 4
    return LEAST_FLOPS <= 2 * macs <= most and size <= most_bytes


def _macs(call: Call) -> float:
    weight = call.arguments[1]
    x = call.arguments[0]
    assert isinstance(weight, Tensor)
    assert isinstance(x, Tensor)
    if call.arguments[6]:
        return weight.elements * prod(x.shape[2:]) * x.shape[0]
    return weight.elements * prod(call.outputs[0].shape[2:]) * x.shape[0]


def _convolutions(
    number: int,
    shape: Callable[[tuple[float, ...]], Call | None],
    most: float = MOST_FLOPS,
    most_bytes: float = MOST_BYTES,
) -> list[Call]:
    """The first calls of a spread that fit the limits."""
    found: dict[Call, None] = {}
    for place in spread(40 * number, 6):
        call = shape(place)
        if call is not None and _fits(call, _macs(call), most, most_bytes):
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

    # A few of the sizes that take long: beyond the largest ones a rate stays the same.
    def large(place: tuple[float, ...]) -> Call:
        width, side = _pick((32, 64, 128), place[0]), _pick((128, 256, 384), place[2])
        kernel = _pick(((3, 3), (1, 1), (5, 5), (3, 1), (1, 3), (7, 7)), place[3])
        groups = width if place[4] < 0.3 else 1
        return make.convolution((1, width, side, 2 * side if side < 384 else side), width, kernel, groups=groups)

    numbers: dict[Callable[[tuple[float, ...]], Call | None], int] = {
        dense: 110,
        stem: 16,
        line: 50,
        single: 116,
        depthwise: 84,
        grouped: 24,
        dilated: 24,
        transposed: 14,
    }
    found = [call for shape, number in numbers.items() for call in _convolutions(number, shape)]
    return [*found, *_convolutions(18, large, 9e9, 2e8)]


ROWS = (1, 4, 16, 49, 64, 128, 196, 256, 400, 784, 1024, 3136)
WIDTHS = (16, 32, 64, 96, 128, 192, 256, 320, 384, 512, 768, 1000, 1024, 1536, 2048, 3072, 4096)


def products(make: Maker) -> list[Call]:
    """Products of matrices: with weights, and in batches; attention."""
    found: dict[Call, None] = {}
    for a, b, c, d in spread(400, 4):
        m, k, n = _pick(ROWS, a), _pick(WIDTHS, b), _pick(WIDTHS, c)
        weight = Tensor((k, n), make.dtype, "strided", True, (1, k))  # the transpose of a layer's weight
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


Shape = tuple[int, ...]


def _maps(number: int) -> list[tuple[int, int]]:
    """Channels and side of maps of 2 kB to 32 MB, evenly spread."""
    found: dict[tuple[int, int], None] = {}
    for a, b in spread(20 * number, 2):
        channels, side = _pick(CHANNELS[3:], a), _pick(SIDES[1:], b)
        if 2e3 <= 4 * channels * side**2 <= 32e6:
            found[channels, side] = None
    return list(found)[:number]


def _rows(number: int) -> list[tuple[int, int]]:
    """Rows and columns of matrices of 2 kB to 8 MB, evenly spread."""
    found: dict[tuple[int, int], None] = {}
    for a, b in spread(20 * number, 2):
        rows, columns = _pick(ROWS[2:], a), _pick(WIDTHS, b)
        if 2e3 <= 4 * rows * columns <= 8e6:
            found[rows, columns] = None
    return list(found)[:number]


def pointwise(make: Maker) -> list[Call]:
    """Functions of each element, and of pairs of elements."""
    found: list[Call] = []
    maps: list[Shape] = [(1, c, s, s) for c, s in PLANES]
    few = maps[2::3]
    for name in dict.fromkeys(POINTWISE.values()):
        operator = f"{name}.{OVERLOADS.get(name, 'default')}"
        sizes = maps if name in USUAL else few
        found += [make.call(operator, make.tensor(*x), *MORE.get(name, ()), out=x) for x in sizes]
    for operator in ("add.Tensor", "mul.Tensor", "div.Tensor", "maximum.default"):
        for x in maps if operator.startswith(("add", "mul")) else few:
            found.append(make.call(operator, make.tensor(*x), make.tensor(*x), out=x))
            found.append(make.call(operator, make.tensor(*x), make.tensor(1, x[1], 1, 1), out=x))
            if operator != "maximum.default":
                found.append(make.call(operator, make.tensor(*x), 2.0, out=x))
    for x in few:
        tensor, mask = make.tensor(*x), make.tensor(*x, dtype="bool")
        found += [
            make.call("lt.Scalar", tensor, 0.5, out=x, kind="bool"),
            make.call("lt.Tensor", tensor, tensor, out=x, kind="bool"),
            make.call("masked_fill.Scalar", tensor, mask, 0.0, out=x),
            make.call("where.self", mask, tensor, tensor, out=x),
            make.call("fill.Scalar", tensor, 0.0, out=x),
        ]
    return found


def norms(make: Maker) -> list[Call]:
    """Norms, softmax and reductions."""

    def learned(number: int, size: int) -> list[Tensor]:
        return [make.tensor(size, parameter=True)] * number

    found: list[Call] = []
    for c, s in _maps(24):
        x = (1, c, s, s)
        name = "native_batch_norm.default"
        found.append(make.call(name, make.tensor(*x), *learned(4, c), False, 0.1, 1e-5, out=x))
    for c, s in _maps(9):
        x, groups = (1, c, s, s), 8 if c % 8 == 0 else c
        name = "native_group_norm.default"
        found.append(make.call(name, make.tensor(*x), *learned(2, c), 1, c, s * s, groups, 1e-5, out=x))
    for c, s in _maps(14):
        found.append(make.call("mean.dim", make.tensor(1, c, s, s), (-1, -2), True, out=(1, c, 1, 1)))
    for m, n in _rows(14):
        matrix = make.tensor(1, m, n)
        name = "native_layer_norm.default"
        found.append(make.call(name, matrix, (n,), *learned(2, n), 1e-5, out=(1, m, n)))
        found.append(make.call("_softmax.default", matrix, -1, False, out=(1, m, n)))
    for m, n in _rows(6):
        matrix = make.tensor(1, m, n)
        found.append(make.call("mean.dim", matrix, (1,), out=(1, n)))
        found.append(make.call("sum.dim_IntList", matrix, (-1,), out=(1, m)))
        found.append(make.call("amax.default", matrix, (-1,), out=(1, m)))
    return found


def windows(make: Maker) -> list[Call]:
    """Pools and resizes."""
    found: list[Call] = []
    for number, (c, s) in enumerate(_maps(40)):
        k, stride = ((3, 2), (2, 2), (3, 1), (2, 2), (5, 1))[number % 5]
        if s < 7:
            continue
        side = (s + 2 * (k // 2) * (k % 2) - k) // stride + 1
        pad = k // 2 if k % 2 else 0
        pooled = (make.tensor(1, c, s, s), (k, k), (stride, stride), (pad, pad))
        name = "max_pool2d_with_indices" if number % 3 else "avg_pool2d"
        found.append(make.call(f"{name}.default", *pooled, out=(1, c, side, side)))
    for c, s in ((1024, 32), (256, 32), (512, 14), (64, 28)):
        for part in (1, 2, 4):
            window = (s // part, s // part)
            name, x = "avg_pool2d.default", make.tensor(1, c, s, s)
            found.append(make.call(name, x, window, window, out=(1, c, part, part)))
    for c, s in _maps(6):
        found.append(make.call("_adaptive_avg_pool2d.default", make.tensor(1, c, s, s), (7, 7), out=(1, c, 7, 7)))
    for number, (c, s) in enumerate([(3, 128), (3, 512), (19, 64), (19, 128), *_maps(36)]):
        side = s * (2, 4, 8, 2)[number % 4] if number % 5 else max(1, s // 2)
        out = (1, c, side, side)
        if c * side**2 <= 1e7:
            found.append(make.call("upsample_bilinear2d.default", make.tensor(1, c, s, s), (side, side), True, out=out))
            if number % 2:
                found.append(make.call("upsample_nearest2d.default", make.tensor(1, c, s, s), (side, side), out=out))
    return found


def copies(make: Maker) -> list[Call]:
    """Copies, in another order, side by side, of places."""
    found: list[Call] = []
    for c, s in _maps(12):
        x, shape = make.tensor(1, c, s, s), (1, c, s, s)
        last = (1, s, s, c)  # a map whose channels are moved to the end
        turned = Tensor(last, make.dtype, "strided", False, (s * s * c, s, 1, s * s))
        found += [
            make.call("cat.default", (x, x), 1, out=(1, 2 * c, s, s)),
            make.call("cat.default", (x, make.tensor(1, 16, s, s)), 1, out=(1, c + 16, s, s)),
            make.call("constant_pad_nd.default", x, (0, 1, 0, 1), 0.0, out=(1, c, s + 1, s + 1)),
            make.call("clone.default", x, out=shape),
            make.call("clone.default", turned, memory_format="contiguous_format", out=last),
            make.call("roll.default", make.tensor(*last), (3, 3), (1, 2), out=last),
            make.call("channel_shuffle.default", x, 4, out=shape),
        ]
    for rows, width, length in ((1000, 64, 49), (3000, 16, 2400), (30000, 256, 128), (30000, 768, 64)):
        where = make.tensor(length, dtype="int64")
        found.append(make.call("index.Tensor", make.tensor(rows, width), (where,), out=(length, width)))
        table = make.tensor(rows, width, parameter=True)
        found.append(make.call("embedding.default", table, where, out=(length, width)))
    return found


def points(how: Settings) -> list[Call]:
    """The calls that are timed with these settings, each hot and cold."""
    make = Maker(how.dtype or "float32", how.memory_format or "contiguous")
    return list(dict.fromkeys([call for kind in KINDS for call in kind(make)]))


KINDS = (convolutions, products, pointwise, norms, windows, copies)


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
        result: torch.Tensor = x + self.inner(x)
        return result


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
