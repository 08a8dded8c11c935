"""The sizes for which a closed form holds, and their words."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Domain:
    """Conditions on letters; all hold together.

    ``fixed``: the only size of a letter. ``equal``: pairs of letters of one size. ``steps``: the number of which a size
    is a multiple. ``least`` and ``most``: bounds. ``either``: sizes of letters of which one at least is reached.
    ``ordered``: pairs of letters, the first no larger than the second.
    """

    fixed: Mapping[str, int] = field(default_factory=dict)
    equal: tuple[tuple[str, str], ...] = ()
    steps: Mapping[str, int] = field(default_factory=dict)
    least: Mapping[str, int] = field(default_factory=dict)
    most: Mapping[str, int] = field(default_factory=dict)
    either: Mapping[str, int] = field(default_factory=dict)
    ordered: tuple[tuple[str, str], ...] = ()

    def holds(self, sizes: Mapping[str, int]) -> bool:
        """Whether the conditions hold, as far as sizes are given."""

        def known(*names: str) -> bool:
            return all(name in sizes for name in names)

        return (
            all(sizes[name] == size for name, size in self.fixed.items() if known(name))
            and all(sizes[one] == sizes[other] for one, other in self.equal if known(one, other))
            and all(sizes[name] % step == 0 for name, step in self.steps.items() if known(name))
            and all(sizes[name] >= size for name, size in self.least.items() if known(name))
            and all(sizes[name] <= size for name, size in self.most.items() if known(name))
            and all(sizes[one] <= sizes[other] for one, other in self.ordered if known(one, other))
            and (
                not self.either
                or not known(*self.either)
                or any(sizes[name] >= size for name, size in self.either.items())
            )
        )

    def __str__(self) -> str:
        words = [f"{name} = {size}" for name, size in self.fixed.items()]
        words += [f"{one} = {other}" for one, other in self.equal]
        by_step: dict[int, list[str]] = {}
        for name, step in self.steps.items():
            if step > 1:
                by_step.setdefault(step, []).append(name)
        for step, names in by_step.items():
            words.append(f"{' and '.join(names)} {'a multiple' if len(names) == 1 else 'multiples'} of {step}")
        for name in dict.fromkeys([*self.least, *self.most]):
            least, most = self.least.get(name, 1), self.most.get(name)
            above = least > max(self.steps.get(name, 1), 1)
            if above and most:
                words.append(f"{least} <= {name} <= {most}")
            elif above:
                words.append(f"{name} >= {least}")
            elif most:
                words.append(f"{name} <= {most}")
        words += [f"{one} <= {other}" for one, other in self.ordered]
        either = " or ".join(f"{name} >= {size}" for name, size in self.either.items())
        words += [f"({either})" if words else either] if either else []
        return " and ".join(words)
