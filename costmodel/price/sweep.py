"""Grids: the cells at every combination of kernels, channels and map sizes, in exact integers.

Descriptions are evaluated on numpy arrays along three axes (kernel x channels x size), so that values that depend on
the kernel alone are computed once per kernel. Blocks of the grid bound the temporary memory.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from costmodel.describe.cells import Cell, describe_cell, find_cell, find_cells
from costmodel.describe.ops import Pair
from costmodel.errors import InvalidInput
from costmodel.price.conventions import Convention, find_convention
from costmodel.work.events import Event
from costmodel.work.size import int_pair

if TYPE_CHECKING:
    import pandas as pd

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]

MOST_ROWS = 50_000_000
ROW_BYTES = 24  # FLOPs, MACs, parameters
LARGEST = np.iinfo(np.int64).max
BLOCK = 1 << 16  # points that are computed at once: their arrays fit in a second-level cache


@dataclass(frozen=True)
class Row:
    """One cell at one point."""

    kernel: tuple[int, int]
    channels: tuple[int, int]
    size: tuple[int, int]
    cell: str
    flops: int
    params: int
    cost_ratio: float  # to the standard cell
    approximation: float  # the ratio of multiply-accumulates: 2/Kx, 1/I, 1/I + 1/(Kx Ky) at I = O and Kx = Ky

    @property
    def promised(self) -> float:
        """The speed-up over the standard cell that the cost promises."""
        return 1 / self.cost_ratio


class Sweep:
    """The costs of cells over a grid; made by `sweep`. ``len()`` is the number of rows: points x cells.

    ``flops[cell]``, ``macs[cell]``, ``params[cell]`` are int64 arrays of shape (kernels, channels, sizes); FLOPs in the
    unit of ``convention``. Ratios are to the standard cell with the same recurrence. ``left_out`` names, in words, the
    cells that the channels do not allow.
    """

    def __init__(
        self,
        kernels: list[Pair],
        channels: list[Pair],
        sizes: list[Pair],
        cells: list[Cell],
        convention: Convention,
        left_out: str,
    ) -> None:
        self.kernels, self.channels, self.sizes = kernels, channels, sizes
        self.cells = cells
        self.convention = convention
        self.left_out = left_out
        standards = {cell.name: replace(find_cell("standard"), recurrence=cell.recurrence) for cell in cells}
        priced = {cell: self._price(cell) for cell in dict.fromkeys([*standards.values(), *cells])}
        self.flops, self.macs, self.params = ({cell.name: priced[cell][n] for cell in cells} for n in range(3))
        self._standard = {name: priced[standard] for name, standard in standards.items()}
        if any((flops == 0).any() for flops, _, _ in self._standard.values()):
            raise InvalidInput(
                f"convention {convention.name} gives a standard cell a cost of 0, so ratios to it are undefined"
            )

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.shape))
        return f"<Sweep of {len(self)} rows: {shape} points (kernels x channels x sizes) x {len(self.cells)} cells>"

    def _repr_html_(self) -> str | None:
        """For notebooks: the frame, cut in the middle; a grid of very many rows shows its repr."""
        return str(self.frame().to_html(max_rows=60)) if len(self) <= 100_000 else None

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self.kernels), len(self.channels), len(self.sizes)

    def __len__(self) -> int:
        return math.prod(self.shape) * len(self.cells)

    def _blocks(self) -> Iterator[tuple[slice, ...]]:
        """Slices of the grid, at most `BLOCK` points each; sizes are split last, kernels first."""
        steps, room = [0, 0, 0], BLOCK
        for axis in (2, 1, 0):
            steps[axis] = max(1, min(self.shape[axis], room))
            room //= steps[axis]
        starts = [range(0, length, step) for length, step in zip(self.shape, steps, strict=True)]
        for corner in itertools.product(*starts):
            yield tuple(slice(start, start + step) for start, step in zip(corner, steps, strict=True))

    def _price(self, cell: Cell) -> tuple[Ints, Ints, Ints]:
        self._refuse_overflow(cell)
        flops, macs, params = (np.empty(self.shape, np.int64) for _ in range(3))
        for block in self._blocks():
            kernel, channels, size = (
                _along(axis, pairs[part])
                for axis, (pairs, part) in enumerate(zip((self.kernels, self.channels, self.sizes), block, strict=True))
            )
            program = describe_cell(cell, kernel=kernel, channels=channels, size=size)
            flops[block] = self.convention.flops(program.work)
            macs[block] = program.work[Event.MAC]
            params[block] = self.convention.params(program.cost)
        return flops, macs, params

    def _refuse_overflow(self, cell: Cell) -> None:
        """Raise `InvalidInput` if the largest corner, which bounds all costs, needs more than 64 bits.

        Even kernels also move elements, so the corner is computed with even sides, too.
        """
        corner = [
            tuple(max(side) for side in zip(*pairs, strict=True)) for pairs in (self.kernels, self.channels, self.sizes)
        ]
        widest = corner[1] if all(a == b for a, b in self.channels) else (max(corner[1]),) * 2
        largest = 0
        for kernel in (corner[0], tuple(side + side % 2 for side in corner[0])):
            cost = describe_cell(cell, kernel=kernel, channels=widest, size=corner[2]).cost
            largest = max(largest, self.convention.flops(cost.work), cost.reads, cost.writes, *cost.work.values())
        if largest > LARGEST:
            raise InvalidInput(
                f"the largest point (kernel {corner[0]}, channels {widest}, size {corner[2]}) costs up to "
                f"{largest:.1e} for the {cell.name} cell, more than a 64-bit integer holds (9.2e18): use smaller sizes"
            )

    def cost_ratio(self, cell: str) -> Floats:
        """The cost relative to the standard cell, over the grid."""
        return np.asarray(self.flops[cell] / self._standard[cell][0])

    def approximation(self, cell: str) -> Floats:
        """The multiply-accumulates relative to the standard cell, over the grid."""
        return np.asarray(self.macs[cell] / self._standard[cell][1])

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
                            flops / int(self._standard[name][0][at]),
                            macs / int(self._standard[name][1][at]),
                        )

    def frame(self) -> "pd.DataFrame":
        """A pandas frame, one row per point and cell; ``attrs`` holds the convention and its unit."""
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
    cells: "str | Cell | Iterable[str | Cell] | None" = None,
    *,
    convention: "str | Convention" = "paper",
    recurrence: str | None = None,
) -> Sweep:
    """The costs of cells at every combination of kernels, channels and sizes.

    ``kernels``: ``K`` or ``(Kx, Ky)`` each; ``channels``: ``C`` (I = O) or ``(I, O)`` each; ``sizes``: ``(rows,
    columns)`` each, or one pair. ``cells``: names or `Cell` objects; by default every cell that the channels allow.
    Integers are exact: `InvalidInput` for a grid whose largest cost needs more than 64 bits, and for more than
    `MOST_ROWS` rows.

    >>> import costmodel
    >>> grid = costmodel.sweep(kernels=[3, 5], channels=[64, 128], cells=["standard", "sep"])
    >>> len(grid)
    8
    >>> [f"{row.cost_ratio:.4f}" for row in grid.rows() if row.cell == "sep"]
    ['0.1302', '0.1207', '0.0570', '0.0485']
    """
    axes = {
        "kernel": _pairs(kernels, "kernel"),
        "channels": _pairs(channels, "channels"),
        "size": _pairs(sizes, "size"),
    }
    chosen = find_cells(cells, recurrence)
    points = len(axes["kernel"]) * len(axes["channels"]) * len(axes["size"])
    if points * len(chosen) > MOST_ROWS:
        raise InvalidInput(
            f"the grid has {points * len(chosen):,} rows ({points:,} points x {len(chosen)} cells), about "
            f"{points * len(chosen) * ROW_BYTES / 1e9:,.1f} GB: at most {MOST_ROWS:,} rows at once"
        )
    reasons = {cell.name: _refusal(cell, axes["channels"]) for cell in chosen}
    left_out = "; ".join(reason for reason in reasons.values() if reason)
    if left_out and cells is not None:
        raise InvalidInput(left_out)
    chosen = [cell for cell in chosen if not reasons[cell.name]]
    return Sweep(axes["kernel"], axes["channels"], axes["size"], chosen, find_convention(convention), left_out)


def _pairs(values: Any, name: str) -> list[Pair]:
    """Sizes as pairs of Python ints. One size is a list of one size; two ints are one map size, rows x columns."""
    values = values.tolist() if isinstance(values, np.ndarray) else values
    if not isinstance(values, Iterable):
        values = [values]
    values = list(values)
    if name == "size" and not any(isinstance(value, Sequence | np.ndarray) for value in values):
        values = [values]
    pairs = [int_pair(name, value) for value in values]
    if not pairs:
        raise InvalidInput(f"no {name} given: at least one")
    if (largest := max(itertools.chain.from_iterable(pairs))) > LARGEST:
        raise InvalidInput(f"{name} {largest:.1e} is more than a 64-bit integer holds (9.2e18)")
    return pairs


def _along(axis: int, pairs: list[Pair]) -> tuple[Ints, Ints]:
    """The two sides as arrays along one of three axes; the same array twice if all sides are equal."""
    table = np.array(pairs, dtype=np.int64)
    shape = [-1 if n == axis else 1 for n in range(3)]
    first, second = (table[:, side].reshape(shape) for side in (0, 1))
    return first, first if np.array_equal(first, second) else second


def _refusal(cell: Cell, channels: list[Pair]) -> str:
    """The reason why the cell cannot have these channels, or ""."""
    try:
        describe_cell(cell, kernel=1, channels=_along(1, channels), size=(1, 1))  # all at once
    except InvalidInput:
        for point in channels:
            try:
                describe_cell(cell, kernel=1, channels=point, size=(1, 1))
            except InvalidInput as error:
                return str(error)
    return ""
