"""A module of the user's at every combination of sizes, for the letters of its inputs, and of arguments of its factory:
counted, and ready to be timed."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from torch.utils._pytree import tree_map_only

from costmodel.counting.shapes import (
    Shape,
    given,
    inputs_in_words,
    letters_of,
    shapes_in,
    usual,
    with_shapes,
    with_sizes,
)
from costmodel.errors import InvalidInput, among
from costmodel.measure.modules import Factory
from costmodel.profiles.points import Point, Points, Refusal
from costmodel.work.size import as_size


@dataclass(frozen=True)
class Grid:
    """The points to count; iterating counts them one after the other, and makes a module once for all its sizes."""

    module: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    sizes: Mapping[str, Sequence[int]]
    arguments: Mapping[str, Sequence[Any]]
    dtype: str | None = None

    def __post_init__(self) -> None:
        letters = list(dict.fromkeys(s for shape in shapes_in(self.args, dict(self.kwargs)) for s in letters_of(shape)))
        for name in self.sizes:
            if name not in letters:
                known = among(name, letters) if letters else "there are none: write 1x3xHxW, not 1x3x224x224"
                raise InvalidInput(f"{name!r} is no letter of the inputs: {known}")
        if not self.sizes and not self.arguments:
            raise InvalidInput(
                "nothing varies: a letter in the inputs with its sizes, as in --input Nx3xHxH --grid N=1,8 H=256,512, "
                "or values of arguments, as in --make width=32,64"
            )
        for name, values in [*self.sizes.items(), *self.arguments.items()]:
            if not values:
                raise InvalidInput(f"no value for {name}: at least one")

    @classmethod
    def of(
        cls,
        module: str,
        *inputs: Any,
        sizes: Mapping[str, int | Iterable[int]] | None = None,
        arguments: Mapping[str, Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        dtype: str | None = None,
    ) -> "Grid":
        """The points that `points` counts, each value once."""
        args, named = tuple(map(given, inputs)), with_shapes(dict(kwargs or {}))
        axes = {name: [as_size(name, size) for size in _several(values)] for name, values in (sizes or {}).items()}
        if axes or arguments:  # letters that nobody varies
            for shape in shapes_in(args, named):
                for name in letters_of(shape):
                    axes.setdefault(name, [usual(name)])
        return cls(
            module,
            args,
            named,
            {name: list(dict.fromkeys(values)) for name, values in axes.items()},
            {name: _different(_several(values)) for name, values in (arguments or {}).items()},
            dtype,
        )

    def __len__(self) -> int:
        return math.prod(map(len, [*self.sizes.values(), *self.arguments.values()]))

    def __iter__(self) -> Iterator[Point | Refusal]:
        sizes = list(_combinations(self.sizes))
        for behind, arguments in _combinations(self.arguments):
            factory = Factory(self.module, arguments, self.dtype)
            try:
                factory.net  # noqa: B018  (makes the module)
            except InvalidInput as error:
                yield Refusal({}, arguments, str(error), len(sizes), behind, error)
                continue
            for before, letters in sizes:
                args, kwargs = tree_map_only(Shape, _at(letters), (self.args, dict(self.kwargs)))
                try:
                    made = factory.called(args, kwargs)
                except InvalidInput as error:
                    yield Refusal(letters, arguments, str(error), 1, (*before, *behind), error)
                    continue
                yield Point(
                    letters,
                    arguments,
                    made.count.cost,
                    int(made.count.peak_memory),
                    made.subject,
                    made.workload,
                    made.count.uncounted,
                    (*before, *behind),
                    call=made.count.call,
                )

    def points(self, found: Iterable[Point | Refusal]) -> Points:
        """The points, in the order of sizes and arguments; `InvalidInput` where the module refuses all."""
        found = list(found)
        rows = sorted((each for each in found if isinstance(each, Point)), key=lambda each: each.place)
        refused = [each for each in found if isinstance(each, Refusal)]
        refused.sort(key=lambda each: (bool(each.letters), each.place))
        if refused and not rows:
            reasons = list(dict.fromkeys(each.reason for each in refused))
            why = refused[0].error.__cause__ or refused[0].error
            where = f"no point can be counted; {refused[0].name}: " if len(reasons) > 1 else ""
            raise InvalidInput(f"{where}{reasons[0]}") from why
        words = inputs_in_words(self.args, self.kwargs)
        return Points(self.module, words, self.sizes, self.arguments, tuple(rows), tuple(refused))


def _combinations(axes: Mapping[str, Sequence[Any]]) -> Iterator[tuple[tuple[int, ...], dict[str, Any]]]:
    """Every combination of values by name, with the place of each value; the last name varies fastest."""
    for chosen in product(*(enumerate(values) for values in axes.values())):
        yield tuple(n for n, _ in chosen), dict(zip(axes, (value for _, value in chosen), strict=True))


def _at(letters: Mapping[str, int]) -> Any:
    return lambda text: Shape(with_sizes(text, letters))


def points(
    module: str,
    *inputs: Any,
    sizes: Mapping[str, int | Iterable[int]] | None = None,
    arguments: Mapping[str, Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    dtype: str | None = None,
) -> Points:
    """A module of the user's at every combination of ``sizes``, for letters of its inputs, and of ``arguments`` of its
    factory: each a list of values, or one value. `costmodel.grid` makes a table of the points.

    ``module``, ``inputs``, ``kwargs`` (of the call) and ``dtype`` are as for `costmodel.module`. A point that the
    module refuses is in `Points.left_out`; `InvalidInput` where it refuses all, and for a letter without sizes.

    >>> import costmodel
    >>> conv = {"in_channels": 3, "out_channels": [8, 16], "kernel_size": 3}
    >>> found = costmodel.points("torch.nn:Conv2d", "1x3xHxH", sizes={"H": [2, 8, 16]}, arguments=conv)
    >>> len(found), [each.name for each in found.left_out][:1]
    (4, ['H=2, in_channels=3, out_channels=8, kernel_size=3'])
    >>> [row.flops for row in costmodel.grid(found).rows]  # 2 * 9 * 3 * 8 * 6 * 6, ...
    [15552, 31104, 84672, 169344]
    """
    whole = Grid.of(module, *inputs, sizes=sizes, arguments=arguments, kwargs=kwargs, dtype=dtype)
    return whole.points(whole)


def _several(values: Any) -> list[Any]:
    return list(values) if isinstance(values, Iterable) and not isinstance(values, str | Mapping) else [values]


def _different(values: list[Any]) -> list[Any]:
    """Values of arguments, each once; 1 and true differ."""
    return list({json.dumps(value, default=str): value for value in values}.values())
