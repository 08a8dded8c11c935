"""`check` agrees where description and module agree, and says what differs where they do not."""

from collections.abc import Callable

import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from costmodel.building import check as module
from costmodel.building.check import Finding, check, compare
from costmodel.building.module import Streaming, build
from costmodel.counting.observe import observe
from costmodel.describe.catalogue import NETWORKS, describe_network
from costmodel.describe.cells import CELLS, Cell, Gate, Recurrence, describe_cell
from costmodel.describe.ops import Conv
from costmodel.describe.program import Value, complement, sigmoid, tanh
from costmodel.errors import InvalidInput
from costmodel.price.conventions import FVCORE, TORCH
from costmodel.price.equation import equation
from costmodel.price.sweep import sweep
from costmodel.work.events import Event


@pytest.mark.parametrize("recurrence", ["convlstm", "peephole", "channel-peephole"])
@pytest.mark.parametrize("kernel", [3, (2, 5)], ids=str)
@pytest.mark.parametrize("kind", CELLS)
def test_cells_agree(kind: str, kernel: object, recurrence: str) -> None:
    result = check(describe_cell(kind, kernel=kernel, channels=8, size=(9, 12), recurrence=recurrence))
    assert result.ok, [f.difference for f in result.findings if not f.ok]
    assert {f.what for f in result.findings} >= {"events", "parameters", "fvcore", "FlopCounterMode", "outputs"}


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("version", [m for m in NETWORKS if NETWORKS[m].sites])
def test_networks_agree(version: str, cell: str) -> None:
    result = check(describe_network(version, cell=cell, size=(101, 130), classes=7))
    assert result.ok, [f.difference for f in result.findings if not f.ok]


def test_a_mixed_network_agrees() -> None:
    cells = {"low": "sep", "medium": "depth", "high": "spatial", "final": "standard"}
    assert check(describe_network("v6", cell=cells, size=(128, 97), kernel=(4, 3), heads=False)).ok


def test_the_third_party_counters_called_directly() -> None:
    """Not through our wrappers: what a user of those tools would see."""
    program = describe_network("icnet", size=(128, 128))
    net, x = build(program).eval(), torch.zeros(1, 3, 128, 128)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(x)
    assert counter.get_total_flops() == TORCH.flops(program.work)
    analysis = FlopCountAnalysis(net, x).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    assert analysis.total() == FVCORE.flops(program.work)


def without_bias(net: Streaming) -> None:
    net.body.xi.bias = None


def another_kernel(net: Streaming) -> None:
    net.body.hc = nn.Conv2d(8, 8, 5, padding=2, bias=False, device=next(net.parameters()).device)


def an_operation_more(net: Streaming) -> None:
    net.body.hc = nn.Sequential(net.body.hc, nn.GELU())


@pytest.mark.parametrize(
    ("damage", "differences"),
    [
        (without_bias, {"events": "bias addition: described 3,456, seen 2,592 (-864)", "parameters": "(-8)"}),
        (
            another_kernel,
            {"events": "multiply-accumulate", "FlopCounterMode": "(+", "fvcore": "(+", "parameters": "(+1,024)"},
        ),
        (
            an_operation_more,
            {"events": "other activation: described 0, seen 864", "launches": "(+1)", "outputs": "hand-written"},
        ),
    ],
)
def test_every_damage_is_found(damage: Callable[[Streaming], None], differences: dict[str, str]) -> None:
    program = describe_cell("standard", channels=8, size=(9, 12))
    with torch.device("meta"):
        ghost = build(program).eval()
    net = build(program).eval()
    for victim in (ghost, net):
        damage(victim)
    result = module.compare(program, ghost, net, "damaged")
    found = {f.what: f.difference for f in result.findings if not f.ok}
    assert not result.ok
    assert set(found) == set(differences)
    for what, part in differences.items():
        assert part in found[what]


def test_an_output_that_is_not_eq_1_is_found() -> None:
    """The same events, weights and totals, another result."""
    program = describe_cell("sep", channels=8, size=(9, 12))
    with torch.device("meta"):
        ghost = build(program).eval()
    net = build(program).eval()
    net.body.xi_1.register_forward_hook(lambda conv, inputs, output: output.flip(2))
    result = module.compare(program, ghost, net, "flipped")
    assert [f.what for f in result.findings if not f.ok] == ["outputs"]


def test_why_the_counters_differ_adds_up() -> None:
    program = describe_network("v2", size=(128, 128))
    result = check(program)
    parts = result.fvcore_parts
    (printed,) = [f.seen for f in result.findings if f.what == "fvcore"]
    assert list(parts) == ["1 x multiply-accumulate", "2 x normalisation", "4 x bilinear sample"]
    assert sum(parts.values()) == printed
    assert parts["1 x multiply-accumulate"] == TORCH.flops(program.work) // 2


def test_a_cell_of_ones_own_is_checked_like_the_others() -> None:
    grouped = Cell("grouped", lambda i, o, kx, ky: (Conv(o, (kx, ky), groups=4),))
    assert check(describe_cell(grouped, channels=(8, 12), size=(5, 7))).ok


def test_a_dilated_cell_is_not_accused() -> None:
    dilated = Cell("dilated", lambda i, o, kx, ky: (Conv(o, (kx, ky), dilation=2),))
    assert check(describe_cell(dilated, channels=4, size=(9, 9))).ok


def torch_gru(gate: Gate, X: Value, H: Value) -> tuple[Value, ...]:
    """As `torch.nn.GRU`, which resets after the transition of H."""
    z = sigmoid(gate("z", X, H))
    r = sigmoid(gate("r", X, H))
    n = tanh(gate("n", X) + r * gate("n", H=H))
    return (complement(z) * n + z * H,)


def test_another_recurrence_is_one_function() -> None:
    """Described, priced, built and checked; there is no reference for its outputs, and none is claimed."""
    gru = Cell("gru", CELLS["sep"], Recurrence("gru", torch_gru, ("h",)))
    program = describe_cell(gru, channels=4, size=(6, 7))
    result = check(program)
    assert result.ok, [f.difference for f in result.findings if not f.ok]
    assert "outputs" not in {f.what for f in result.findings}
    assert program.work[Event.FORGET_BIAS] == program.work[Event.LOOP_SCALAR] == 0
    # The ratio is to a standard cell with the same recurrence, in formulas and in grids alike.
    (row,) = sweep(3, 4, (6, 7), gru).rows()
    assert row.cost_ratio == pytest.approx(float(equation(gru).at(3, 4).exact), rel=1e-15)
    assert row.approximation == pytest.approx(1 / 4 + 1 / 9)


def coupled(gate: Gate, X: Value, H: Value, C: Value) -> tuple[Value, ...]:
    """States and names of a ConvLSTM, another equation."""
    C = C + sigmoid(gate("i", X, H)) * tanh(gate("c", X, H))
    return sigmoid(gate("o", X, H)) * tanh(C), C


def test_another_recurrence_with_the_same_states_is_not_accused() -> None:
    cell = Cell("coupled", CELLS["standard"], Recurrence("coupled", coupled, ("h", "c")))
    result = check(describe_cell(cell, channels=8, size=(6, 7)))
    assert result.ok, [f.difference for f in result.findings if not f.ok]


def test_inference_mode_hides_nothing() -> None:
    program = describe_cell("sep", channels=8, size=(6, 7))
    net, x = build(program).eval(), torch.randn(1, 8, 6, 7)
    with torch.inference_mode():
        seen = observe(net, x, net.zeros(x))
        assert check(program).ok
    assert (seen.cost.work, dict(seen.uncounted)) == (program.work.executed, {})


def test_checking_leaves_the_callers_random_numbers_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    check(describe_cell("depth", channels=4, size=(5, 5)))
    assert torch.equal(before, torch.get_rng_state())


def test_what_cannot_fit_is_refused_before_it_is_built() -> None:
    with pytest.raises(InvalidInput, match=r"the module would need at least [0-9,.]+ GB at these sizes"):
        check(describe_cell("standard", channels=10**6, size=(100, 100)))
    with pytest.raises(InvalidInput, match="check takes a description"):
        check("sep")


@pytest.mark.parametrize("recurrence", ["convlstm", "channel-peephole", "convgru", "convrnn"])
@pytest.mark.parametrize("kind", ["standard", "grouped-2", "shuffled-4", "low-rank-3"])
def test_cells_of_families_and_other_recurrences_agree(kind: str, recurrence: str) -> None:
    result = check(describe_cell(kind, channels=8, size=(6, 9), recurrence=recurrence))
    assert result.ok, [f.difference for f in result.findings if not f.ok]
    assert "outputs" in {f.what for f in result.findings}


@pytest.mark.parametrize("recurrence", ["convgru", "convrnn"])
def test_a_damaged_cell_of_another_recurrence_is_found(recurrence: str) -> None:
    program = describe_cell("low-rank-3", channels=8, size=(6, 9), recurrence=recurrence)
    with torch.device("meta"):
        ghost = build(program)
    module = build(program)
    node = next(n for n in module.body.graph.nodes if n.target is torch.tanh)
    node.target = torch.sigmoid
    module.body.recompile()
    failed = {f.what for f in compare(program, ghost, module, "damaged").findings if not f.ok}
    assert failed == {"outputs"}


def test_the_repr_of_a_check_says_what_differs() -> None:
    program = describe_network("v6", size=(101, 130), classes=7)
    result = module.Check(
        "mine", program, (Finding("events", 1, 1, ""), Finding("launches", 5, 6, "described 5, seen 6 (+1)"))
    )
    assert repr(result) == "<Check of mine: 1 of 2 comparisons agree; launches differ>"
    assert list(map(repr, result.findings)) == [
        "<Finding: events agree>",
        "<Finding: launches differ: described 5, seen 6 (+1)>",
    ]


@pytest.mark.parametrize("take", [check, build])
def test_a_refusal_does_not_print_the_whole_object(take: Callable[[object], object]) -> None:
    deep = nn.Sequential(*[nn.Linear(2, 2) for _ in range(100)])
    with pytest.raises(InvalidInput, match=r"takes a description.*Sequential") as refused:
        take(deep)
    assert len(str(refused.value)) <= 200
    assert "\n" not in str(refused.value)
