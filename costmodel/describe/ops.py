"""The operations that networks are made of: the shape and the cost of one step.

Every operation is a frozen record with two methods: ``output(*inputs)`` returns the resulting map, or raises
`InvalidInput` for maps that do not fit; ``cost(*inputs)`` returns the cost. Letters are the paper's: a kernel has
``Kx`` rows and ``Ky`` columns, a map ``Dx`` rows and ``Dy`` columns (W^h, the vertical part, is Kx x 1).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

from costmodel.errors import InvalidInput
from costmodel.work.cost import Cost
from costmodel.work.events import Event, Work
from costmodel.work.size import Size, as_size, quotient, same

Pair: TypeAlias = tuple[Size, Size]


@dataclass(frozen=True)
class Map:
    """A feature map: channels x rows x columns of numbers of ``itemsize`` bytes (4: float32)."""

    channels: Size
    rows: Size
    columns: Size
    itemsize: int = 4

    def __post_init__(self) -> None:
        for name in ("channels", "rows", "columns", "itemsize"):
            as_size(name, getattr(self, name))

    @cached_property
    def positions(self) -> Size:
        return self.rows * self.columns

    @cached_property
    def elements(self) -> Size:
        return self.channels * self.positions

    @cached_property
    def bytes(self) -> Size:
        return self.elements * self.itemsize

    def same_as(self, other: "Map") -> bool:
        """True if channels, rows and columns are equal (at every point of a grid)."""
        return all(same(getattr(self, side), getattr(other, side)) for side in ("channels", "rows", "columns"))

    def like(self, *, channels: Size = None, rows: Size = None, columns: Size = None) -> "Map":
        """A map with other sides; the sides that are not given stay."""
        return Map(
            self.channels if channels is None else channels,
            self.rows if rows is None else rows,
            self.columns if columns is None else columns,
            self.itemsize,
        )

    def __str__(self) -> str:
        return f"{self.channels}x{self.rows}x{self.columns}"


def _cost(
    work: dict[Event, Size], out: Map, *inputs: Map, parameters: Size = 0, constants: Size = 0, conv_weights: Size = 0
) -> Cost:
    """One kernel that reads its inputs, parameters and constants once and writes its output once."""
    read = sum(i.bytes for i in inputs) + (parameters + constants) * out.itemsize
    return Cost(Work(work), parameters, read, out.bytes, 1, conv_weights)


@dataclass(frozen=True)
class Conv:
    """Convolution with ``Kx x Ky`` kernels; ``groups = in = out channels`` makes a depthwise convolution.

    With the padding ``"same"`` a side of n has ceil(n / stride) outputs; an odd zero comes after the map, as in
    TensorFlow's SAME and torch's "same".
    """

    out_channels: Size
    kernel: Pair
    stride: int = 1
    dilation: int = 1
    padding: int | Literal["same"] = "same"  # an int: zeros on every side
    groups: Size = 1
    bias: bool = False

    def __post_init__(self) -> None:
        as_size("output channels", self.out_channels)
        as_size("groups", self.groups)
        as_size("stride", self.stride)
        as_size("dilation", self.dilation)
        if not isinstance(self.kernel, tuple) or len(self.kernel) != 2:
            raise InvalidInput(f"a kernel has two sides, (Kx, Ky), not {self.kernel!r}")
        for side in self.kernel:
            as_size("kernel side", side)
        if self.padding != "same" and (not isinstance(self.padding, int) or self.padding < 0):
            raise InvalidInput(f'padding must be "same" or a whole number from 0, not {self.padding!r}')

    def total_padding(self, x: Map) -> Pair:
        """Zeros added along rows and along columns, before and after together."""
        return self._total(x.rows, self.kernel[0]), self._total(x.columns, self.kernel[1])

    def _total(self, n: Size, k: Size) -> Size:
        if self.padding != "same":
            return 2 * self.padding
        if self.stride == 1:
            return self.dilation * (k - 1)
        return max((-(-n // self.stride) - 1) * self.stride + self.dilation * (k - 1) + 1 - n, 0)

    def output(self, x: Map) -> Map:
        quotient(x.channels, self.groups, "input channels / groups")
        quotient(self.out_channels, self.groups, "output channels / groups")
        rows, columns = (self._side(n, k) for n, k in ((x.rows, self.kernel[0]), (x.columns, self.kernel[1])))
        if (isinstance(rows, int) and rows < 1) or (isinstance(columns, int) and columns < 1):
            raise InvalidInput(
                f"a {x.rows}x{x.columns} map is too small for a {self.kernel[0]}x{self.kernel[1]} kernel"
            )
        return x.like(channels=self.out_channels, rows=rows, columns=columns)

    def _side(self, n: Size, k: Size) -> Size:
        if self.padding == "same":
            return n if self.stride == 1 else -(-n // self.stride)
        return (n + 2 * self.padding - self.dilation * (k - 1) - 1) // self.stride + 1

    def weights(self, x: Map) -> Size:
        """Weights without the bias."""
        Kx, Ky = self.kernel
        return Kx * Ky * quotient(x.channels, self.groups, "input channels / groups") * self.out_channels

    def cost(self, x: Map) -> Cost:
        out = self.output(x)
        weights = self.weights(x)
        work = {Event.MAC: weights * out.positions}
        if self.bias:
            work[Event.BIAS] = out.elements
        biases = self.out_channels if self.bias else 0
        cost = _cost(work, out, x, parameters=weights + biases, conv_weights=weights)
        # An odd total cannot be split evenly: the map is first copied into a padded map. Odd kernels need no copy.
        rows, columns = self.total_padding(x)
        odd = 1 - (1 - rows % 2) * (1 - columns % 2)
        if same(odd, 0):
            return cost
        padded = x.channels * ((x.rows + rows) * (x.columns + columns)) * odd
        copy = Cost(Work({Event.MOVE: padded}), 0, x.bytes * odd, padded * x.itemsize, odd)
        # The convolution then reads the padded copy instead of the map.
        return cost + copy + Cost(Work(), reads=(padded - x.elements * odd) * x.itemsize)


@dataclass(frozen=True)
class TransposedConv:
    """Transposed convolution: every input adds a ``kernel`` of weights, scaled by the input, to the output. A side of n
    becomes (n - 1) stride - 2 padding + side of the kernel + output padding."""

    out_channels: Size
    kernel: Pair
    stride: int = 1
    padding: int = 0
    output_padding: int = 0
    bias: bool = False

    def __post_init__(self) -> None:
        as_size("output channels", self.out_channels)
        as_size("stride", self.stride)
        for side in self.kernel:
            as_size("kernel side", side)
        if not 0 <= self.output_padding < max(self.stride, 2):
            raise InvalidInput(f"output padding must be from 0 to less than the stride, not {self.output_padding!r}")

    def output(self, x: Map) -> Map:
        rows, columns = (
            (n - 1) * self.stride - 2 * self.padding + k + self.output_padding
            for n, k in zip((x.rows, x.columns), self.kernel, strict=True)
        )
        return x.like(channels=self.out_channels, rows=rows, columns=columns)

    def weights(self, x: Map) -> Size:
        """Weights without the bias."""
        return self.kernel[0] * self.kernel[1] * x.channels * self.out_channels

    def cost(self, x: Map) -> Cost:
        out, weights = self.output(x), self.weights(x)
        work = {Event.MAC: weights * x.positions} | ({Event.BIAS: out.elements} if self.bias else {})
        biases = self.out_channels if self.bias else 0
        return _cost(work, out, x, parameters=weights + biases, conv_weights=weights)


@dataclass(frozen=True)
class Concat:
    """Concatenation of maps along their channels."""

    def output(self, *maps: Map) -> Map:
        first = maps[0]
        for each in maps[1:]:
            if not first.like(channels=each.channels).same_as(each):
                raise InvalidInput(f"cannot concatenate maps of different sizes: {' and '.join(map(str, maps))}")
        return first.like(channels=sum(each.channels for each in maps))

    def cost(self, *maps: Map) -> Cost:
        out = self.output(*maps)
        return _cost({Event.MOVE: out.elements}, out, *maps)


@dataclass(frozen=True)
class Norm:
    """Batch normalisation with fixed statistics: per channel a learned scale and shift, a mean and a variance. ``eps``
    is added to the variance."""

    eps: float = 1e-5

    def output(self, x: Map) -> Map:
        return x

    def cost(self, x: Map) -> Cost:
        return _cost({Event.NORM: x.elements}, x, x, parameters=2 * x.channels, constants=2 * x.channels)


def _word(function: object) -> str:
    return function.name if isinstance(function, Event) else repr(function)


@dataclass(frozen=True)
class Activation:
    """An elementwise function: ``Event.SIGMOID``, ``Event.TANH`` or ``Event.RELU``."""

    function: Event

    def __post_init__(self) -> None:
        if self.function not in (Event.SIGMOID, Event.TANH, Event.RELU):
            raise InvalidInput(f"an activation is SIGMOID, TANH or RELU, not {_word(self.function)}")

    def output(self, x: Map) -> Map:
        return x

    def cost(self, x: Map) -> Cost:
        return _cost({self.function: x.elements}, x, x)


@dataclass(frozen=True)
class Combine:
    """Elementwise ``a + b`` (``Event.ADDITION``) or the Hadamard product ``a o b`` (``Event.PRODUCT``)."""

    function: Event

    def __post_init__(self) -> None:
        if self.function not in (Event.ADDITION, Event.PRODUCT):
            raise InvalidInput(f"two maps combine by ADDITION or PRODUCT, not {_word(self.function)}")

    def output(self, a: Map, b: Map) -> Map:
        if not a.same_as(b):
            raise InvalidInput(f"an elementwise {self.function.value} needs equal maps, not {a} and {b}")
        return a

    def cost(self, a: Map, b: Map) -> Cost:
        return _cost({self.function: a.elements}, a, a, b)


@dataclass(frozen=True)
class Complement:
    """``1 - x``, elementwise."""

    def output(self, x: Map) -> Map:
        return x

    def cost(self, x: Map) -> Cost:
        return _cost({Event.ADDITION: x.elements}, x, x)


@dataclass(frozen=True)
class Shuffle:
    """Channel shuffle (ShuffleNet): channel ``i`` of group ``g`` becomes channel ``g`` of group ``i``."""

    groups: Size

    def __post_init__(self) -> None:
        as_size("groups", self.groups)

    def output(self, x: Map) -> Map:
        quotient(x.channels, self.groups, "channels / groups")
        return x

    def cost(self, x: Map) -> Cost:
        return _cost({Event.MOVE: x.elements}, self.output(x), x)


@dataclass(frozen=True)
class Scale:
    """Hadamard product with learned weights, one per element or one per channel."""

    per: Literal["element", "channel"]

    def output(self, x: Map) -> Map:
        return x

    def weights(self, x: Map) -> Size:
        return x.elements if self.per == "element" else x.channels

    def cost(self, x: Map) -> Cost:
        return _cost({Event.PRODUCT: x.elements}, x, x, parameters=self.weights(x))


@dataclass(frozen=True)
class Resize:
    """Bilinear interpolation, corners aligned, to ``rows x columns``."""

    rows: Size
    columns: Size

    def output(self, x: Map) -> Map:
        return x.like(rows=self.rows, columns=self.columns)

    def cost(self, x: Map) -> Cost:
        out = self.output(x)
        return _cost({Event.RESIZE: out.elements}, out, x)


@dataclass(frozen=True)
class Pool:
    """Maximum (``Event.MAX_POOL``) or mean (``Event.AVERAGE_POOL``) over windows; ``padding`` zeros on every side."""

    function: Event
    window: Pair
    stride: Pair
    padding: int = 0

    def __post_init__(self) -> None:
        if self.function not in (Event.MAX_POOL, Event.AVERAGE_POOL):
            raise InvalidInput(f"a pooling is MAX_POOL or AVERAGE_POOL, not {_word(self.function)}")

    def output(self, x: Map) -> Map:
        sides = [
            (n + 2 * self.padding - k) // s + 1
            for n, k, s in zip((x.rows, x.columns), self.window, self.stride, strict=True)
        ]
        if min(sides) < 1:
            raise InvalidInput(
                f"a {x.rows}x{x.columns} map is too small for a {self.window[0]}x{self.window[1]} pooling window"
            )
        return x.like(rows=sides[0], columns=sides[1])

    def cost(self, x: Map) -> Cost:
        out = self.output(x)
        return _cost({self.function: self.window[0] * self.window[1] * out.elements}, out, x)


Op: TypeAlias = (
    Conv | TransposedConv | Concat | Norm | Activation | Combine | Complement | Shuffle | Scale | Resize | Pool
)
