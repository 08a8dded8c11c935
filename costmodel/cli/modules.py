"""Modules of the user's in the place of a network's name: the options that call them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated

import typer

from costmodel.cli.count import Inputs, Keywords, Making, Traceback, input_sets, user_code
from costmodel.cli.parsers import Sides, is_module, merged
from costmodel.describe.catalogue import NETWORKS
from costmodel.errors import InvalidInput

if TYPE_CHECKING:
    from costmodel.measure.modules import Module


@dataclass
class CalledAlone:
    """Options: inputs and factory arguments of modules of the user's."""

    inputs: Inputs = None
    kwargs: Keywords = None
    make: Making = None
    traceback: Traceback = False

    def models(
        self, names: list[str] | None, *, frames: int = 1, dtype: list[str] | None = None
    ) -> "list[str | Module] | None":
        """The names of described networks, and the modules that the other names stand for, loaded and counted."""
        own = [name for name in names or () if is_module(name)]
        if not own:
            for option, value in (("--input", self.inputs), ("--kwargs", self.kwargs), ("--make", self.make)):
                if value is not None:
                    raise InvalidInput(
                        f"{option} is for modules of your own: --model PACKAGE.MODULE:FACTORY or path/file.py:FACTORY"
                    )
            return list(names) if names else None
        args, kwargs = self.call()
        from costmodel.measure.modules import module

        with user_code(self.traceback):
            made = {
                name: module(
                    name, *args, arguments=merged(self.make), frames=frames, dtype=dtype[0] if dtype else None, **kwargs
                )
                for name in own
            }
        return [made.get(name, name) for name in names or ()]

    def call(self) -> "tuple[list[object], dict[str, object]]":
        """The inputs of the call; `InvalidInput` for none and for alternatives."""
        sets = input_sets(self.inputs, self.kwargs, None)
        if len(sets) > 1:
            raise InvalidInput(f"--input: one call here, not {len(sets)} alternatives")
        return sets[0]

    def frame(self, names: Iterable[str] | None) -> "Sides | None":
        """The rows and columns of `map`: the frames of described networks beside modules."""
        found = self.map() if any(map(is_module, names or ())) else None
        return Sides(found[1:]) if found else None

    def map(self) -> tuple[int, int, int] | None:
        """Channels, rows and columns of the first input that is a map."""
        for text in self.inputs or ():
            sides = text.split("=")[-1].split(":")[0].split("x")
            if len(sides) >= 4 and all(side.isdecimal() for side in sides):
                return int(sides[-3]), int(sides[-2]), int(sides[-1])
        return None


@dataclass
class Called(CalledAlone):
    """Options: those of `CalledAlone`, and the base of percentages."""

    base: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The row that percentages refer to.  [default: of modules the first; else the standard cell]",
            show_default=False,
        ),
    ] = None


def refuse_options(
    models: list[str] | None, of_cells: Mapping[str, object], of_networks: Mapping[str, object] = MappingProxyType({})
) -> None:
    """Refuse options of cells where no network has any, and those of described networks where there is none: they would
    be ignored in silence."""
    described = without_modules(models)
    cells, networks = ([option for option, value in given.items() if value] for given in (of_cells, of_networks))
    if cells and described is not None and not any(NETWORKS[name].sites for name in described):
        raise InvalidInput(f"{', '.join(cells)}: {' and '.join(described) or 'your module'} has no recurrent cells")
    if networks and described == []:
        raise InvalidInput(f"{', '.join(networks)}: for described networks, such as v6; --input has the sizes of yours")


def without_modules(names: list[str] | None) -> list[str] | None:
    """The names of described networks; None without a choice."""
    return names if names is None else [name for name in names if not is_module(name)]
