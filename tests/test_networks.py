"""ICNet and LSTM-ICNet against the exact integers of the TensorFlow profiler, row by row and layer by layer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from references import EXACT, LAYERS

from costmodel.describe.catalogue import NETWORKS, Network, describe_network, minimum_size
from costmodel.describe.cells import Cell
from costmodel.describe.networks.lstm_icnet import lstm_icnet
from costmodel.describe.ops import Pair, Pool
from costmodel.describe.program import Value
from costmodel.describe.selection import entries
from costmodel.errors import InvalidInput
from costmodel.price.conventions import TF_PROFILER
from costmodel.work.events import Event


@pytest.mark.parametrize("row", EXACT, ids=lambda row: row["approach"])
def test_all_rows_of_table_iv_exactly(row: dict[str, str]) -> None:
    program = describe_network(row["version"] or "icnet", cell=row["cell"] or "standard")
    assert program.parameters == int(row["params"])
    assert TF_PROFILER.flops(program.work) == int(row["flops_tf_profiler"])


@pytest.mark.parametrize("row", [r for r in LAYERS if r["name"] != "TOTAL"], ids=lambda row: row["name"])
def test_icnet_layer_by_layer(row: dict[str, str]) -> None:
    cost = describe_network("icnet").layers[row["name"]]
    assert cost.parameters == int(row["params"])
    assert TF_PROFILER.flops(cost.work) == int(row["total_flops"])


def test_layers_without_a_reference_are_the_free_resizes() -> None:
    layers = describe_network("icnet").layers
    rest = set(layers) - {row["name"] for row in LAYERS}
    assert rest == {"data_sub2", "conv3_1_sub4", "conv5_4_interp", "sub24_sum_interp", "sub12_sum_interp"}
    assert all(TF_PROFILER.flops(layers[name].work) == 0 and layers[name].parameters == 0 for name in rest)


def upsampled(n: int) -> int:
    return 2 * n - 1


@settings(deadline=None, max_examples=30)
@given(
    version=st.sampled_from(["v2", "v5", "v6"]),
    kinds=st.fixed_dictionaries(
        {site: st.sampled_from(["standard", "spatial", "depth", "sep"]) for site in NETWORKS["v6"].sites}
    ),
    rows=st.integers(97, 700),
    columns=st.integers(97, 700),
    k=st.integers(1, 8),
    classes=st.integers(1, 40),
)
def test_a_cell_at_a_site_adds_what_rule_7_says(
    version: str, kinds: dict[str, str], rows: int, columns: int, k: int, classes: int
) -> None:
    """Any frame, kernel, class count and mix of cells: the difference to ICNet, by hand."""
    sites = NETWORKS[version].sites
    cells = {site: kinds[site] for site in sites}
    ours = describe_network(version, cell=cells, size=(rows, columns), kernel=k, classes=classes)
    base = describe_network("icnet", size=(rows, columns), classes=classes)

    def half(n: int) -> int:  # conv_sub1 ..: SAME, stride 2
        return -(-n // 2)

    def sixteenth(n: int) -> int:  # halve, stride-2 convolution, pool with padding 1, stride-2 projection
        return half((half(half(n)) + 2 - 3) // 2 + 1)

    def size(site: str, n: int) -> int:
        if site == "low":
            return upsampled(half(sixteenth(n)))
        return sixteenth(n) if site == "medium" else half(half(half(n)))

    flops = parameters = 0
    for site, kind in cells.items():
        w = (
            8
            * {
                "standard": k * k * 128**2,
                "spatial": 2 * k * 128**2,
                "depth": k * k * 128,
                "sep": k * k * 128 + 128**2,
            }[kind]
        )
        positions = size(site, rows) * size(site, columns)
        variables = 1 if kind in ("standard", "depth") else 2
        flops += 2 * w * positions + 13 * 128 * positions + 2 * w + variables + 6
        parameters += w + 4 * 128
    if "final" in sites:  # its own batch norm
        flops, parameters = flops + 2 * (3 * 128 + 1), parameters + 2 * 128
    assert ours.parameters - base.parameters == parameters
    assert TF_PROFILER.flops(ours.work) - TF_PROFILER.flops(base.work) == flops


def test_heads_are_7334_parameters() -> None:
    with_heads, without = (describe_network("icnet", heads=heads).parameters for heads in (True, False))
    assert (with_heads, without) == (6_707_321, 6_699_987)
    # 256*19 + 19 and 128*19 + 19
    assert with_heads - without == 4883 + 2451


def test_other_class_counts_and_sizes() -> None:
    """Parameters do not depend on the frame; classes stand in three 1x1 convolutions with bias."""
    assert describe_network("icnet", size=(512, 1024)).parameters == 6_707_321
    eleven = describe_network("icnet", classes=11).parameters
    assert 6_707_321 - eleven == 8 * (129 + 257 + 129)


@pytest.mark.parametrize("heads", [True, False])
def test_the_two_parts_of_icnet_are_icnet(heads: bool) -> None:
    whole, key, low = (
        describe_network(model, size=(161, 226), heads=heads) for model in ("icnet", "icnet-key", "icnet-low")
    )
    assert key.cost + low.cost == whole.cost
    assert {**key.layers, **low.layers} == whole.layers
    assert set(low.layers) == {
        "conv1_sub1",
        "conv2_sub1",
        "conv3_sub1",
        "conv3_sub1_proj",
        "sub12_sum",
        "sub12_sum_interp",
        "conv6_cls",
    }
    (carried,) = low.states
    assert carried.before.map == key.outputs[0].map


def test_the_two_parts_of_icnet_compute_what_icnet_does() -> None:
    """With the same weights, the map of the first handed to the second."""
    import torch

    from costmodel.building.module import build

    torch.manual_seed(0)
    programs = (describe_network(model, size=(97, 130), heads=False) for model in ("icnet", "icnet-key", "icnet-low"))
    whole, key, low = (build(program).eval() for program in programs)
    for part in (key, low):
        part.load_state_dict({name: value for name, value in whole.state_dict().items() if name in part.state_dict()})
    frame = torch.rand(1, 3, 97, 130)
    with torch.no_grad():
        context, _ = key(frame)
        scores, kept = low(frame, (context,))
        torch.testing.assert_close(scores, whole(frame)[0], rtol=0, atol=0)
        torch.testing.assert_close(kept, (context,), rtol=0, atol=0)  # until the next key frame


def test_parts_are_shown_where_they_are_named_alone() -> None:
    assert {entry.model for entry in entries(size=(97, 97)).values()} == {"icnet", "v2", "v5", "v6"}
    assert list(entries("icnet-low", size=(97, 97))) == ["ICNet", "ICNet, every frame"]


@pytest.mark.parametrize("model", [name for name, network in NETWORKS.items() if network.listed])
def test_the_smallest_frame_is_the_smallest(model: str) -> None:
    rows, columns = minimum_size(NETWORKS[model])
    describe_network(model, size=(rows, columns))
    for size in ((rows - 1, columns), (rows, columns - 1), (8, 8)):
        with pytest.raises(InvalidInput, match=f"too small for .*at least {rows}x{columns}"):
            describe_network(model, size=size)


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"model": "v7"}, "one of icnet, v2, v5, v6"),
        ({"model": "v6", "cell": "gated"}, "one of standard, spatial, depth, sep"),
        ({"model": "v6", "cell": {"final": "sep"}}, "each of its sites"),
        ({"model": "icnet", "cell": "gated"}, "one of standard, spatial, depth, sep"),
        ({"model": "icnet", "recurrence": "gru"}, "unknown recurrence"),
        ({"model": "v6", "itemsize": -4}, "itemsize must be at least 1"),
        ({"model": "v6", "size": (np.arange(97, 99), 97)}, "size must be whole numbers here"),
        ({"model": "v6", "size": (0, 0)}, "size must be at least 1"),
        ({"model": "v6", "classes": 0}, "classes must be at least 1"),
        ({"model": "icnet", "kernel": 0}, "kernel must be at least 1"),
    ],
)
def test_refusals(given_: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        describe_network(**given_)


def test_a_site_that_icnet_does_not_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "v7", Network("LSTM-ICNet v7", lstm_icnet, ("lo",), "icnet"))
    with pytest.raises(InvalidInput, match="ICNet has the sites low, medium, high, final, not lo"):
        describe_network("v7")


def test_a_network_of_ones_own_that_is_too_small_says_its_own_minimum(monkeypatch: pytest.MonkeyPatch) -> None:
    def tiny(frame: Value, cells: dict[str, Cell], *, kernel: Pair, classes: int, heads: bool) -> tuple[Value, ...]:
        x = frame.trace.apply(Pool(Event.MAX_POOL, (5, 4), (1, 1)), frame, name="pool")
        return (cells["memory"](x, x.map.channels, kernel),)

    monkeypatch.setitem(NETWORKS, "tiny", Network("Tiny", tiny, ("memory",)))
    assert describe_network("tiny", size=(5, 4)).parameters == 8 * 9 * 3 * 3 + 4 * 3
    with pytest.raises(InvalidInput, match="a frame of 4x4 is too small for Tiny: at least 5x4"):
        describe_network("tiny", size=(4, 4))
