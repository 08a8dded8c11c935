"""Blocks of processes for the groups that need them: which group is next, and with how many rounds."""

from collections.abc import Mapping
from dataclasses import dataclass

from costmodel.profiles.estimate import FEWEST_ROUNDS


@dataclass(frozen=True)
class Need:
    """Blocks that a group needs until its ratios are decided (0: they are), and the rounds of each block."""

    processes: int
    rounds: int


@dataclass(frozen=True)
class Group:
    """A group with its need, and seconds: of starting and warming a block, of a round, since the last block."""

    need: Need
    starting: float
    round: float
    since: float

    def block(self, rounds: int) -> float:
        """Seconds of a block."""
        return self.starting + rounds * self.round

    @property
    def whole(self) -> float:
        """Seconds until the group is decided."""
        return self.need.processes * self.block(self.need.rounds)

    def fits(self, left: float) -> bool:
        """True where the group needs a block, and ``left`` seconds are enough for a short one."""
        return self.need.processes > 0 and self.block(min(FEWEST_ROUNDS, self.need.rounds)) <= left

    @property
    def urgency(self) -> float:
        """Blocks of a group that needs many are spread over the time in which others get few."""
        return self.need.processes * self.since


def most_urgent(groups: Mapping[int, Group], left: float) -> int | None:
    """The group that gets the next block: the most urgent one of those that ``left`` seconds can decide, as many as
    possible. None where no group needs a block that fits."""
    reach: list[int] = []
    free = left
    for number in sorted((n for n, group in groups.items() if group.fits(left)), key=lambda n: groups[n].whole):
        free -= groups[number].whole
        if reach and free < 0:
            break
        reach.append(number)
    return max(reach, key=lambda n: groups[n].urgency, default=None)
