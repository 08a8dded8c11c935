"""The prediction of times, on machines whose law is known."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from costmodel.measure.points import points
from costmodel.measure.profile import settings_grid
from costmodel.price.kernels import Kernel, kernel
from costmodel.price.latency import CalibratedMachine, Chain, Curve, Sample
from costmodel.price.moment import CACHED, LARGE, SIDE, Moment
from costmodel.work.call import Call, Tensor
from costmodel.work.cost import NOTHING, Operation

# Copies of 2 x 128 MiB at 20 GB/s, of 2 x 4 MiB at 80 GB/s, a product of 2 x 1024^3 FLOPs at 100 GFLOP/s.
MOMENT = Moment(2 * LARGE / 20e9, 2 * CACHED / 80e9, 2 * SIDE**3 / 100e9)
PROBES = (MOMENT.copy, MOMENT.cached, MOMENT.product)
OVERHEAD = 4e-6


def law(known: Kernel, cold: float, moment: Moment = MOMENT) -> float:
    """Seconds on the known machine: half the rate of the product, less for few channels, and the bytes."""
    rate = moment.rate / 2 / (1 + 8 / known.sizes[0])
    moving = known.bytes * (cold / moment.bandwidth + (1 - cold) / moment.cached_bandwidth)
    return 3e-6 + known.flops * known.blocks / rate + moving


def known(call: Call) -> Kernel:
    found = kernel(call)
    assert found is not None
    return found


def operation(call: Call) -> Operation:
    return Operation(call.name, NOTHING, call=call)


CALLS = points(settings_grid(threads=1)[0])


def samples(noise: float = 0.0) -> list[Sample]:
    draw = np.random.default_rng(0)
    return [
        Sample(
            call, cold, tuple(law(known(call), cold) * math.exp(draw.normal(0, noise)) for _ in range(3)), (PROBES,) * 3
        )
        for call in CALLS
        for cold in (False, True)
    ]


@pytest.fixture(scope="module")
def machine() -> CalibratedMachine:
    return CalibratedMachine.fit("known", "cpu", samples())


def conv(channels: int, side: int, kernel: int = 3, out: int = 0) -> Call:
    x, result = Tensor((1, channels, side, side)), Tensor((1, out or channels, side, side))
    weight = Tensor((out or channels, channels, kernel, kernel), parameter=True)
    pad = (kernel // 2, kernel // 2)
    return Call("aten.convolution.default", (x, weight, None, (1, 1), pad, (1, 1), False, (0, 0), 1), (), (result,))


def relu(*shape: int) -> Call:
    return Call("aten.relu.default", (Tensor(shape),), (), (Tensor(shape),))


def test_every_point_has_a_kind_with_at_least_three_sizes() -> None:
    kinds = Counter(known(call).kind for call in CALLS)
    assert min(kinds.values()) >= 3
    assert not [kind for kind in kinds if kind.startswith("aten.")]


@pytest.mark.parametrize(
    "call", [conv(72, 36), conv(200, 12), conv(44, 100, 5), relu(1, 50, 30, 30), relu(1, 90, 90, 90)]
)
def test_sizes_between_those_of_the_samples(machine: CalibratedMachine, call: Call) -> None:
    found = machine.predict([operation(call)])
    share = found.rows[0]
    assert share.seconds == found.seconds
    # One operation alone touches less than a cache holds, or its bytes lie between hot and cold.
    low, high = (law(known(call), cold) for cold in (0, 1))
    assert 0.9 * low < found.seconds < 1.1 * high


def test_seconds_add_up_and_intervals_of_sums_are_narrower(machine: CalibratedMachine) -> None:
    noisy = CalibratedMachine.fit("noisy", "cpu", samples(0.2))
    calls = [conv(channels, side) for channels in (20, 36, 60, 100, 180) for side in (18, 30, 44)]
    whole = noisy.predict([operation(call) for call in calls])
    assert whole.seconds == pytest.approx(sum(row.seconds or 0 for row in whole.rows))
    assert whole.low < whole.seconds < whole.high
    relative = math.log(whole.high / whole.seconds) / 1.645
    assert relative < max(row.sd for row in whole.rows)


def test_a_noisy_machine_is_predicted_within_its_intervals() -> None:
    noisy = CalibratedMachine.fit("noisy", "cpu", samples(0.1))
    calls = [conv(c, s, k) for c in (20, 28, 52, 72, 104, 144, 200) for s in (11, 18, 24, 36, 48) for k in (3, 5)]
    inside = 0
    for call in calls:
        row = noisy.predict([operation(call)]).rows[0]
        cold = 0.0 if known(call).bytes < 4e6 else 0.5
        assert row.seconds
        inside += abs(math.log(row.seconds / law(known(call), cold))) < 1.645 * row.sd + 0.05
    assert inside >= 0.9 * len(calls)


def test_a_moment_scales_what_it_bounds(machine: CalibratedMachine) -> None:
    """Half the bandwidth and half the rate double the time of all but the launch."""
    call = conv(128, 64)
    half = Moment(2 * MOMENT.copy, 2 * MOMENT.cached, 2 * MOMENT.product)
    now, then = (machine.predict([operation(call)], at).seconds for at in (MOMENT, half))
    assert then / now == pytest.approx(2, rel=0.02)
    slow_memory = replace(MOMENT, copy=2 * MOMENT.copy)
    big = relu(1, 128, 256, 256)
    assert machine.predict([operation(big)], slow_memory).seconds > 1.5 * machine.predict([operation(big)]).seconds


def test_far_beyond_the_samples_rates_stay_and_doubts_grow(machine: CalibratedMachine) -> None:
    near, far = (machine.predict([operation(conv(128, side))]) for side in (128, 2048))
    assert far.seconds / near.seconds == pytest.approx(256, rel=0.35)  # 16 times the sides: 256 times the positions
    assert far.rows[0].sd > near.rows[0].sd


def test_kinds_without_samples_are_named_never_guessed(machine: CalibratedMachine) -> None:
    strange = Call("aten.cumsum.default", (Tensor((3, 4)), 1), (), (Tensor((3, 4)),))
    found = machine.predict([operation(relu(1, 8, 8, 8)), operation(strange), operation(strange)])
    assert found.missing == {"aten.cumsum.default": 2}
    assert [row.seconds is None for row in found.rows] == [False, True, True]
    replayed = machine.predict([operation(strange)], replayed={strange: 5e-6})
    assert replayed.seconds == 5e-6
    assert replayed.rows[0].replayed
    assert not replayed.missing


def test_operations_without_a_call_are_named(machine: CalibratedMachine) -> None:
    found = machine.predict([operation(relu(1, 8, 8, 8)), Operation("aten.strange.default", NOTHING)])
    assert found.missing == {"aten.strange.default": 1}
    assert [row.seconds is None for row in found.rows] == [False, True]


def test_views_are_no_rows(machine: CalibratedMachine) -> None:
    view = Call("aten.view.default", (Tensor((3, 4)), (12,)), (), (Tensor((12,)),))
    assert machine.predict([operation(view)]).rows == ()


@pytest.mark.parametrize(("factor", "overhead"), [(1.0, 0.0), (1.1, OVERHEAD), (0.95, 3 * OVERHEAD)])
def test_chains_tell_factor_and_overhead(machine: CalibratedMachine, factor: float, overhead: float) -> None:
    """The time of a chain is the sum over its kernels times the factor, and the overhead of each operation."""
    chains = []
    for channels in (16, 64, 128):
        for side in (8, 32, 64):
            calls = (conv(channels, side), relu(1, channels, side, side)) * 3
            alone = machine.predict([operation(call) for call in calls]).seconds
            chains.append(Chain("chain", calls, (factor * alone + 6 * overhead,), (PROBES,)))
    learnt = CalibratedMachine.fit("learnt", "cpu", samples(), chains)
    assert learnt.factor == pytest.approx(factor, rel=0.01)
    assert learnt.overhead == pytest.approx(overhead, rel=0.02, abs=1e-8)
    assert learnt.doubt < 0.01


def test_a_floor_is_below_every_law(machine: CalibratedMachine) -> None:
    for call in CALLS[::7]:
        found = machine.predict([operation(call)])
        assert 0 < found.floor < law(known(call), 0)


def test_a_curve_goes_through_its_values() -> None:
    places = np.linspace(0, 1, 9)[:, None]
    values = np.sin(3 * places[:, 0])
    curve = Curve(places, values)
    mean, covariance = curve.at(np.array([[0.3], [0.55]]))
    assert mean == pytest.approx(np.sin([0.9, 1.65]), abs=0.03)
    assert covariance[0, 0] >= 0


@pytest.mark.parametrize(
    ("call", "kind", "flops"),
    [
        (conv(64, 8), "dense convolution", 2 * 64 * 64 * 9 * 64),
        (conv(64, 8, 1), "convolution 1x1", 2 * 64 * 64 * 64),
        (conv(3, 8, 3, 16), "convolution of a few channels", 2 * 3 * 16 * 9 * 64),
        (relu(1, 4, 4, 4), "pointwise relu", 0),
        (
            Call(
                "aten.addmm.default",
                (Tensor((5,)), Tensor((2, 3)), Tensor((3, 5), parameter=True)),
                (),
                (Tensor((2, 5)),),
            ),
            "matrix product",
            2 * 2 * 3 * 5,
        ),
        (
            Call("aten.relu_.default", (Tensor((1, 4, 4, 4)),), (), (Tensor((1, 4, 4, 4)),)),
            "pointwise relu",
            0,
        ),
        (
            Call("aten.add_.Tensor", (Tensor((1, 4, 4, 4)), Tensor((1, 4, 1, 1))), (), (Tensor((1, 4, 4, 4)),)),
            "pointwise add broadcast",
            0,
        ),
    ],
)
def test_kinds_and_flops(call: Call, kind: str, flops: float) -> None:
    found = known(call)
    assert (found.kind, found.flops) == (kind, flops)
