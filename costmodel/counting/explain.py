"""What other counters print for the same call, kind by kind: their prices, and what they do not see."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from costmodel.counting.call import Call
from costmodel.counting.count import Count
from costmodel.counting.counters import COUNTERS
from costmodel.counting.watch import NOBODY, Counter, NotKnown, Tally, Watch, batch, kind
from costmodel.errors import InvalidInput

__all__ = ["COUNTERS", "Counter", "Reading", "reading", "readings"]


@dataclass(frozen=True)
class Reading:
    """The numbers that a tool prints: the total (None: the tool fails, or the total is not known, see ``unknown``) and
    its items. ``unseen``: what fvcore leaves out and the convention of that name prices, by operation."""

    counter: Counter
    total: int | None
    items: Mapping[str, int]
    unknown: tuple[str, ...]
    unseen: Mapping[str, int] = field(default_factory=dict)


def reading(count: Count, counter: Counter) -> Reading:
    """The total of a tool, by kind of operation."""
    return readings(count, [counter])[0][0]


def readings(count: Count, counters: "list[Counter] | None" = None) -> tuple[list[Reading], list[str]]:
    """What counters print (default: all), and the kinds of operation that one of them counts, in order of execution.
    The call runs once more, for tools that switch a module to evaluation in evaluation."""
    if count.letters:
        raise InvalidInput("tools count numbers: give sizes, not letters")
    if count.call is None:
        raise InvalidInput("tools count a call that can run once more: give what count returned")
    call = replace(count.call, backward=False)
    counters = list(COUNTERS.values()) if counters is None else counters
    watching = [counter for counter in counters if counter.dispatched is None]
    training = isinstance(call.net, nn.Module) and any(each.training for each in call.net.modules())
    groups = [[each for each in watching if each.evaluates is way] for way in (True, False)] if training else [watching]
    tallies = {each.counter.name: each for group in groups if group for each in _watched(call, group)}
    found = [_dispatched(count, each) if each.dispatched else _read(call, tallies[each.name]) for each in counters]
    return found, list(dict.fromkeys(name for each in found for name in each.items))


def _watched(call: Call, counters: list[Counter]) -> list[Tally]:
    watch = Watch(call, counters)
    replace(call, watch=watch.over).run()
    return watch.tallies


def _dispatched(count: Count, counter: Counter) -> Reading:
    items: dict[str, int] = {}
    unknown: dict[str, None] = {}
    for each in count.operations:
        name = kind(each.op.split(".")[1])
        try:
            amount = counter.dispatched(each) if counter.dispatched else 0
        except NotKnown as error:
            unknown[str(error)] = None
            continue
        if amount:
            items[name] = items.get(name, 0) + amount
    return Reading(counter, None if unknown else sum(items.values()), items, tuple(unknown))


def _read(call: Call, tally: Tally) -> Reading:
    counter = tally.counter
    refused = counter.refuses(call)
    places = {**(counter.places(call.net) if isinstance(call.net, nn.Module) else {}), NOBODY: 1}
    samples = batch(call) if counter.per_sample else 1
    exact: dict[str, Any] = {}
    parts: dict[bool, int | float] = {True: 0, False: 0}
    for (owner, name), amount in tally.amounts.items():
        share = amount * places.get(owner, 0)
        parts[owner == NOBODY] += share
        exact[name] = exact.get(name, 0) + (share if owner == NOBODY else share / samples if samples > 1 else share)
    unknown = (refused,) if refused else tuple(tally.failures)
    total = int((parts[False] / samples if samples > 1 else parts[False]) + parts[True])
    items = {name: int(amount) for name, amount in exact.items() if amount}
    return Reading(counter, None if unknown else total, items, unknown, tally.unseen)
