"""What other counters print for the same call, kind by kind: their prices, and what they do not see."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from torch import nn

from costmodel.counting.call import Call
from costmodel.counting.count import Count
from costmodel.counting.counters import COUNTERS, PARTS_ON_META
from costmodel.counting.watch import NOBODY, Counter, NotKnown, Tally, Watch, batch, kind
from costmodel.errors import InvalidInput

__all__ = ["COUNTERS", "Counter", "Reading", "reading", "readings"]


@dataclass(frozen=True)
class Reading:
    """The numbers that a tool prints: the total (None: the tool fails, or the total is not known, see ``unknown``) and
    its items. ``unseen``, by operation: of fvcore, what the convention of that name prices beside the total; of
    FlopCounterMode, the part of the total that is not there on a CPU, whose kernels it has no formula for."""

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
    try:
        replace(call, watch=watch.over).run()
    except InvalidInput as error:  # such as one that changes with every call
        return [Tally(each, failures={f"the call does not run a second time ({error})": None}) for each in counters]
    return watch.tallies


def _dispatched(count: Count, counter: Counter) -> Reading:
    items: dict[str, int] = {}
    unknown: dict[str, None] = {}
    unseen: dict[str, int] = {}
    for each in count.operations:
        name = kind(each.op.removeprefix("aten.").split(".")[0])
        try:
            amount = counter.dispatched(each) if counter.dispatched else 0
        except NotKnown as error:
            unknown[str(error)] = None
            continue
        if amount:
            items[name] = items.get(name, 0) + amount
        if (operation := each.op.rpartition(".")[0]) in PARTS_ON_META:
            unseen[operation] = unseen.get(operation, 0) + amount
    return Reading(counter, None if unknown else sum(items.values()), items, tuple(unknown), unseen)


def _read(call: Call, tally: Tally) -> Reading:
    counter = tally.counter
    if unknown := (counter.refuses(call),) if counter.refuses(call) else tuple(tally.failures):
        return Reading(counter, None, {}, unknown, tally.unseen)
    places = {**(counter.places(call.net) if isinstance(call.net, nn.Module) else {}), NOBODY: 1}
    hooked: dict[str, int | float] = {}
    called: dict[str, int | float] = {}
    for (owner, name), amount in tally.amounts.items():
        part = called if owner == NOBODY else hooked
        part[name] = part.get(name, 0) + amount * places.get(owner, 0)
    total = sum(hooked.values())
    if counter.per_sample:
        samples = batch(call)
        total, hooked = total / samples, {name: amount / samples for name, amount in hooked.items()}
    kinds = dict.fromkeys(name for _, name in tally.amounts)
    items = {name: int(hooked.get(name, 0) + called.get(name, 0)) for name in kinds}
    return Reading(
        counter,
        int(total + sum(called.values())),
        {name: number for name, number in items.items() if number},
        (),
        tally.unseen,
    )
