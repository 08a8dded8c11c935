"""Grids: the cells at every combination of kernels, channels and map sizes, in exact integers.

The description is evaluated on numpy arrays laid along three axes (kernel x channels x size), so that what depends on
the kernel alone is computed once per kernel. Blocks of the grid bound the temporary memory.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from costmodel.describe.cells import CELLS, Cell, describe_cell, find_cell, pair
from costmodel.describe.errors import InvalidInput
from costmodel.describe.ops import Pair
from costmodel.describe.size import need_positive
from costmodel.describe.work import Event
from costmodel.price.conventions import Convention, find_convention

if TYPE_CHECKING:
    import pandas as pd

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]

MOST_ROWS = 50_000_000  # 16 bytes of results a row: 0.8 GB
BLOCK = 1 << 16  # points whose temporaries are alive at once: they fit in a second-level cache


@dataclass(frozen=True)
class Row:
    """One cell at one point. ``cost_ratio``: what remains of the standard cell's cost; ``approximation``: the same for
    the convolutions alone, which is the paper's 2/Kx, 1/I, 1/I + 1/(Kx Ky) at I = O and Kx = Ky."""

    kernel: tuple[int, int]
    channels: tuple[int, int]
    size: tuple[int, int]
    cell: str
    flops: int
    params: int
    cost_ratio: float
    approximation: float


class Sweep:
    """The costs of cells over a grid; made by `sweep`. ``len()`` is the number of rows: points x cells.

    ``flops[cell]``, ``macs[cell]``, ``params[cell]`` are int64 arrays of shape (kernels, channels, sizes); FLOPs in the
    unit of ``convention``. ``left_out`` says in words which cells the channels do not allow.
    """

    def __init__(
        self,
        kernels: list[Pair],
        channels: list[Pair],
        sizes: list[Pair],
        cells: list[Cell],
        standard: Cell,
        convention: Convention,
        left_out: str,
    ) -> None:
        self.kernels, self.channels, self.sizes = kernels, channels, sizes
        self.cells = cells
        self.convention = convention
        self.left_out = left_out
        priced = {cell.name: self._price(cell) for cell in {cell.name: cell for cell in [standard, *cells]}.values()}
        self.flops = {name: arrays[0] for name, arrays in priced.items()}
        self.macs = {name: arrays[1] for name, arrays in priced.items()}
        self.params = {name: arrays[2] for name, arrays in priced.items()}

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self.kernels), len(self.channels), len(self.sizes)

    def __len__(self) -> int:
        return len(self.kernels) * len(self.channels) * len(self.sizes) * len(self.cells)

    @cached_property
    def _axes(self) -> tuple[tuple[Ints, Ints], ...]:
        """(Kx, Ky), (I, O), (Dx, Dy), each along its own axis; one array where the two sides are equal everywhere."""
        axes = []
        for axis, pairs in enumerate((self.kernels, self.channels, self.sizes)):
            shape = [1, 1, 1]
            shape[axis] = len(pairs)
            table = np.array(pairs, dtype=np.int64)
            first, second = table[:, 0].reshape(shape), table[:, 1].reshape(shape)
            axes.append((first, first if np.array_equal(first, second) else second))
        return tuple(axes)

    def _blocks(self) -> Iterator[tuple[slice, slice, slice]]:
        """Slices of the grid of at most `BLOCK` points: whole size axes first, then channels, then kernels."""
        steps, room = [0, 0, 0], BLOCK
        for axis in (2, 1, 0):
            steps[axis] = max(1, min(self.shape[axis], room))
            room //= steps[axis]
        ranges = [range(0, length, step) for length, step in zip(self.shape, steps, strict=True)]
        for corner in itertools.product(*ranges):
            i, j, k = (slice(start, start + step) for start, step in zip(corner, steps, strict=True))
            yield i, j, k

    def _price(self, cell: Cell) -> tuple[Ints, Ints, Ints]:
        self._refuse_overflow(cell)
        flops, macs = np.empty(self.shape, np.int64), np.empty(self.shape, np.int64)
        params = None
        for block in self._blocks():
            (Kx, Ky), (I, O), (Dx, Dy) = (
                tuple(
                    side[tuple(part if side.shape[n] > 1 else slice(None) for n, part in enumerate(block))]
                    for side in axis
                )
                for axis in self._axes
            )
            same = [a is b for a, b in self._axes]  # slicing made two views of one array
            program = describe_cell(
                cell,
                kernel=(Kx, Kx if same[0] else Ky),
                channels=(I, I if same[1] else O),
                size=(Dx, Dx if same[2] else Dy),
            )
            flops[block] = self.convention.flops(program.work)
            macs[block] = program.work[Event.MAC]
            if params is None:
                # Parameters depend on the map only where a peephole does: keep the shape that broadcasting gave.
                whole = tuple(n if program.parameters.shape[axis] > 1 else 1 for axis, n in enumerate(self.shape))
                whole = tuple(self.shape[axis] if side > 1 or axis < 2 else 1 for axis, side in enumerate(whole))
                params = np.empty(whole, np.int64)
            params[tuple(part if params.shape[axis] > 1 else slice(None) for axis, part in enumerate(block))] = (
                program.parameters
            )
        assert params is not None  # a grid has at least one block
        return flops, macs, np.broadcast_to(params, self.shape)

    def _refuse_overflow(self, cell: Cell) -> None:
        """Costs grow with every size, so the largest corner bounds them all; Python's ints say what it is exactly."""
        corner = [
            tuple(max(side) for side in zip(*pairs, strict=True)) for pairs in (self.kernels, self.channels, self.sizes)
        ]
        widest = corner[1] if all(a == b for a, b in self.channels) else (max(corner[1]),) * 2
        cost = describe_cell(cell, kernel=corner[0], channels=widest, size=corner[2]).cost
        largest = max(self.convention.flops(cost.work), cost.reads, cost.writes, *cost.work.values())
        if largest > np.iinfo(np.int64).max:
            raise InvalidInput(
                f"the largest point (kernel {corner[0]}, channels {widest}, size {corner[2]}) costs up to "
                f"{largest:.1e} for the {cell.name} cell, more than a 64-bit integer holds (9.2e18): use smaller sizes"
            )

    def cost_ratio(self, cell: str) -> Floats:
        """What remains of the standard cell's cost, over the grid."""
        return np.asarray(self.flops[cell] / self.flops["standard"])

    def approximation(self, cell: str) -> Floats:
        """What remains of the standard cell's multiply-accumulates, over the grid."""
        return np.asarray(self.macs[cell] / self.macs["standard"])

    def rows(self) -> Iterator[Row]:
        """All rows: kernels vary slowest, then channels, then sizes, then cells."""
        for k, kernel in enumerate(self.kernels):
            for c, channels in enumerate(self.channels):
                for s, size in enumerate(self.sizes):
                    for name in (cell.name for cell in self.cells):
                        at = (k, c, s)
                        flops, macs = int(self.flops[name][at]), int(self.macs[name][at])
                        yield Row(
                            kernel,
                            channels,
                            size,
                            name,
                            flops,
                            int(self.params[name][at]),
                            flops / int(self.flops["standard"][at]),
                            macs / int(self.macs["standard"][at]),
                        )

    def frame(self) -> "pd.DataFrame":
        """A pandas frame, a row a cell and point; ``attrs`` carries the convention and its unit."""
        import pandas as pd

        names = [cell.name for cell in self.cells]
        points = [np.array(pairs, dtype=np.int64) for pairs in (self.kernels, self.channels, self.sizes)]
        index = np.indices((*self.shape, len(names)), dtype=np.int32).reshape(4, -1)
        columns: dict[str, Any] = {}
        for axis, labels in enumerate((("kernel_x", "kernel_y"), ("in_channels", "out_channels"), ("rows", "columns"))):
            for side, label in enumerate(labels):
                columns[label] = points[axis][:, side][index[axis]]
        columns["cell"] = pd.Categorical.from_codes(index[3], pd.Index(names))
        for label, per_cell in (
            ("flops", self.flops.__getitem__),
            ("params", self.params.__getitem__),
            ("cost_ratio", self.cost_ratio),
            ("approximation", self.approximation),
        ):
            columns[label] = np.stack([per_cell(name) for name in names], axis=-1).reshape(-1)
        frame = pd.DataFrame(columns)
        frame.attrs.update(convention=self.convention.name, unit=self.convention.unit)
        return frame


def sweep(
    kernels: "int | Iterable[int | Sequence[int]]" = (3, 5, 7),
    channels: "int | Iterable[int | Sequence[int]]" = (128,),
    sizes: "Sequence[int] | Iterable[Sequence[int]]" = ((128, 256),),
    cells: "Iterable[str | Cell] | None" = None,
    *,
    convention: "str | Convention" = "paper",
    recurrence: str = "convlstm",
) -> Sweep:
    """The costs of cells at every combination of kernels, channels and sizes; a grid, lists multiply.

    ``kernels``: ``K`` or ``(Kx, Ky)`` each; ``channels``: ``C`` (I = O) or ``(I, O)`` each; ``sizes``: ``(rows,
    columns)`` each. ``cells``: names or `Cell` objects; without it, every cell that the channels allow. Integers are
    exact: a grid whose largest cost would not fit 64 bits is refused, and so is one of more rows than `MOST_ROWS`.

    >>> grid = sweep(kernels=[3, 5], channels=[64, 128], cells=["standard", "sep"])
    >>> len(grid)
    8
    >>> [f"{row.cost_ratio:.4f}" for row in grid.rows() if row.cell == "sep"]
    ['0.1302', '0.1207', '0.0570', '0.0485']
    """
    axes = {
        "kernel": _pairs(kernels, "kernel"),
        "channels": _pairs(channels, "channels"),
        "size": _pairs(
            [sizes] if isinstance(sizes, tuple) and all(isinstance(n, int) for n in sizes) else sizes, "size"
        ),
    }
    chosen = [find_cell(cell, recurrence) for cell in (CELLS if cells is None else cells)]
    points = len(axes["kernel"]) * len(axes["channels"]) * len(axes["size"])
    if points * len(chosen) > MOST_ROWS:
        raise InvalidInput(
            f"the grid has {points * len(chosen):,} rows ({points:,} points x {len(chosen)} cells), about "
            f"{points * len(chosen) * 16 / 1e9:,.1f} GB: at most {MOST_ROWS:,} rows at once"
        )
    reasons = {cell.name: _refusal(cell, axes["channels"]) for cell in chosen}
    left_out = "; ".join(reason for reason in reasons.values() if reason)
    if left_out and cells is not None:
        raise InvalidInput(left_out)
    chosen = [cell for cell in chosen if not reasons[cell.name]]
    standard = find_cell("standard", recurrence)
    return Sweep(
        axes["kernel"], axes["channels"], axes["size"], chosen, standard, find_convention(convention), left_out
    )


def _pairs(values: Any, name: str) -> list[Pair]:
    if isinstance(values, int):
        values = [values]
    pairs = [pair(tuple(value) if isinstance(value, Sequence) else value) for value in values]
    if not pairs:
        raise InvalidInput(f"no {name} given: at least one")
    for side in itertools.chain.from_iterable(pairs):
        need_positive(name, side)
    return [(int(a), int(b)) for a, b in pairs]


def _refusal(cell: Cell, channels: list[Pair]) -> str:
    """Why the cell cannot have these channels, or nothing."""
    I, O = np.array(channels, dtype=np.int64).T
    try:
        describe_cell(cell, kernel=1, channels=(I, I if np.array_equal(I, O) else O), size=(1, 1))  # all at once
    except InvalidInput:
        for point in channels:
            try:
                describe_cell(cell, kernel=1, channels=point, size=(1, 1))
            except InvalidInput as error:
                return str(error)
    return ""
