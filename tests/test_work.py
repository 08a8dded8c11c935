"""The algebra of work and prices."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmodel.describe.ops import Activation, Combine, Map, Pool
from costmodel.describe.program import Trace
from costmodel.errors import InvalidInput
from costmodel.price.conventions import CONVENTIONS, Convention, find_convention
from costmodel.price.equation import equation
from costmodel.price.sweep import sweep
from costmodel.report.table import table
from costmodel.work.cost import Cost
from costmodel.work.events import Event, Work
from costmodel.work.size import quotient

bags = st.dictionaries(st.sampled_from(list(Event)), st.integers(0, 10**30)).map(Work)
conventions = st.sampled_from(list(CONVENTIONS.values()))


@given(bags, bags, bags)
def test_bags_add_like_numbers(a: Work, b: Work, c: Work) -> None:
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert a + Work() == a
    assert all((a + b)[event] == a[event] + b[event] for event in Event)


@given(conventions, bags, bags)
def test_prices_are_linear_and_exact(convention: Convention, a: Work, b: Work) -> None:
    assert convention.flops(a + b) == convention.flops(a) + convention.flops(b)
    assert convention.flops(a) == sum(convention.prices[event] * a[event] for event in Event)


@given(bags)
def test_only_tf_profiler_sees_the_training_graph(work: Work) -> None:
    for name in ("paper", "fvcore", "torch"):
        assert CONVENTIONS[name].flops(work) == CONVENTIONS[name].flops(work.executed)
    assert all(event.executed for event in work.executed)


def test_a_bag_holds_events_and_knows_which() -> None:
    assert Event.TANH not in Work({Event.MAC: 1})
    with pytest.raises(InvalidInput, match="not events"):
        Work({"mac": 1})


def test_a_convention_prices_something() -> None:
    with pytest.raises(InvalidInput, match="prices nothing"):
        Convention("free", "FLOP", "nowhere", dict.fromkeys(Event, 0))


def test_names_of_conventions_are_not_confused() -> None:
    with pytest.raises(InvalidInput, match="'paper' is the name of another convention"):
        find_convention(Convention("paper", "MAC", "mine", dict.fromkeys(Event, 1)))


@pytest.mark.parametrize("event", [Event.SIGMOID, Event.MOVE, Event.GRID_MAC])
def test_a_ratio_to_nothing_is_refused(event: Event) -> None:
    odd = Convention("odd", "FLOP", "nowhere", dict.fromkeys(Event, 0) | {event: 1})
    with pytest.raises(InvalidInput, match="a cost of 0"):
        table("icnet", convention=odd) if event is Event.SIGMOID else sweep(3, 8, (9, 9), convention=odd)
    if event is not Event.SIGMOID:
        with pytest.raises(InvalidInput, match="gives a standard cell a cost of 0"):
            equation("sep", odd).at(3, 8)
        with pytest.raises(InvalidInput, match="gives a standard cell a cost of 0"):
            equation("sep", odd).ratio  # noqa: B018  (the access is the test)


def test_costs_add_field_by_field() -> None:
    a, b = Cost(Work({Event.MAC: 1}), 2, 3, 4, 5), Cost(Work({Event.MAC: 10}), 20, 30, 40, 50)
    assert a + b == Cost(Work({Event.MAC: 11}), 22, 33, 44, 55)


def test_an_unpriced_event_is_refused_at_construction() -> None:
    prices = {event: 1 for event in Event if event is not Event.TANH}
    with pytest.raises(InvalidInput, match=r"no price for TANH.*give 0"):
        Convention("forgetful", "FLOP", "nowhere", prices)


@pytest.mark.parametrize("price", [-1, 0.5, True])
def test_prices_are_whole_numbers_from_0(price: float) -> None:
    with pytest.raises(InvalidInput, match="price of MAC"):
        Convention("odd", "FLOP", "nowhere", dict.fromkeys(Event, 1) | {Event.MAC: price})


@pytest.mark.parametrize("convention", CONVENTIONS.values(), ids=list(CONVENTIONS))
def test_every_convention_says_its_unit_and_source(convention: Convention) -> None:
    assert convention.unit in ("FLOP", "MAC")
    assert len(convention.source) > 20
    assert find_convention(convention.name) is convention


def test_only_exact_divisions() -> None:
    assert quotient(12, 4, "groups") == 3
    with pytest.raises(InvalidInput, match="12 is not a multiple of 5"):
        quotient(12, 5, "groups")


def test_elementwise_steps_need_equal_maps() -> None:
    trace = Trace()
    a, b = trace.input("a", Map(2, 3, 4)), trace.input("b", Map(2, 3, 5))
    with pytest.raises(InvalidInput, match="needs equal maps, not 2x3x4 and 2x3x5"):
        a + b
    with pytest.raises(InvalidInput, match="state a is 2x3x4, its successor b is 2x3x5"):
        trace.carry(a, b)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Pool(Event.TANH, (2, 2), (2, 2)), "a pooling is MAX_POOL or AVERAGE_POOL, not TANH"),
        (lambda: Activation(Event.MAC), "an activation is SIGMOID, TANH or RELU, not MAC"),
        (lambda: Combine(Event.MAC), "two maps combine by ADDITION or PRODUCT, not MAC"),
        (lambda: Activation("tanh"), "an activation is SIGMOID, TANH or RELU, not 'tanh'"),
    ],
)
def test_an_operation_of_another_event_names_it(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        make()
    assert str(refused.value) == message
