"""Plans against brute force, their limits, and the command."""

import csv
import io
import json
import math
import shlex
import sys
import tracemalloc
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from fake_machine import FakeMachine
from hypothesis import given, settings
from hypothesis import strategies as st

import costmodel
from costmodel import cli
from costmodel.cli.parsers import duration
from costmodel.describe.catalogue import NETWORKS, describe_network
from costmodel.describe.cells import find_cell, with_kernel
from costmodel.errors import InvalidInput
from costmodel.price import plan as module
from costmodel.price.latency import Prediction
from costmodel.price.moment import Moment
from costmodel.price.plan import COSTS, CRITERIA, METRIC, Limits, Option, Space, options_of, unbeaten
from costmodel.profiles import predict
from costmodel.report.layout.render import FORMATS
from costmodel.report.plan import plan
from costmodel.work.cost import Operation

SIZE = (128, 128)


class WholeMachine(FakeMachine):
    """Times in whole numbers, whose sums are exact in any order."""

    def predict(self, operations: Sequence[Operation], at: Moment | None = None, replayed: object = None) -> Prediction:
        found = super().predict(operations, at)
        rows = tuple(replace(row, seconds=float(round(1e9 * (row.seconds or 0)))) for row in found.rows)
        return replace(found, rows=rows, seconds=sum(row.seconds or 0 for row in rows))


def describe(model: str, chosen: Mapping[str, Option]) -> object:
    cells = {site: each.cell and with_kernel(each.cell, each.kernel) for site, each in chosen.items()}
    return describe_network(model, cell=cells, size=SIZE, heads=False)


def space(model: str, sites: Mapping[str, Sequence[Option]], machine: FakeMachine | None = None) -> Space:
    return Space(lambda chosen: describe(model, chosen), sites, predict.predictor(machine or WholeMachine()))


KINDS = ("standard", "spatial", "depth", "sep", "grouped-4", "low-rank-8", "shuffled-2")
SIDES = ((3, 3), (4, 3), (5, 5))
cells = st.builds(Option, st.sampled_from([find_cell(kind) for kind in KINDS]), st.sampled_from(SIDES))
several = st.lists(st.one_of(cells, st.just(Option())), min_size=1, max_size=3, unique=True).map(tuple)


def beats(one: Sequence[float], other: Sequence[float]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


@settings(deadline=None, max_examples=12)
@given(data=st.data())
def test_the_front_is_that_of_brute_force(data: st.DataObject) -> None:
    model = data.draw(st.sampled_from(["v2", "v5", "v6"]))
    options = several if model != "v6" else several.map(lambda each: each[:2])
    sites = {site: data.draw(options) for site in NETWORKS[model].sites}
    made = space(model, sites)
    costs, designs = [], []
    for chosen in product(*sites.values()):
        program = describe(model, dict(zip(sites, chosen, strict=True)))
        seconds = made_seconds(program)
        costs.append((seconds, program.parameters, program.memory))
        designs.append([-side for option in chosen for side in option.kernel])
    places = np.array(list(product(*(range(len(options)) for options in sites.values()))))
    assert [tuple(row) for row in made.costs(places)] == costs
    assert [(s, m) for _, seconds, memory in made.blocks() for s, m in zip(seconds, memory, strict=True)] == [
        (seconds, memory) for seconds, _, memory in costs
    ]

    limits = Limits(
        data.draw(st.one_of(st.none(), st.sampled_from([seconds for seconds, _, _ in costs]))),
        data.draw(st.one_of(st.none(), st.sampled_from([memory for _, _, memory in costs]))),
    )
    needed = [
        max(seconds / (limits.seconds or math.inf), memory / (limits.memory or math.inf))
        for seconds, _, memory in costs
    ]
    fit = [n for n, share in enumerate(needed) if share <= 1]
    fitting, closest = made.survey(limits)
    assert fitting == len(fit)
    assert needed[places.tolist().index(list(closest))] == min(needed)

    by = data.draw(st.sets(st.sampled_from(COSTS), min_size=1)) | data.draw(st.sampled_from([set(), {"design"}]))
    compared = {
        n: [cost for cost, name in zip(costs[n], COSTS, strict=True) if name in by] + designs[n] * ("design" in by)
        for n in fit
    }
    best = {tuple(row) for row in compared.values() if not any(beats(other, row) for other in compared.values())}
    front = made.front(limits, by).tolist()
    assert {tuple(compared[places.tolist().index(row)]) for row in front} == best
    assert len(front) == len(best)  # one of those that cost the same


def made_seconds(program: object) -> float:
    return predict.predictor(WholeMachine()).predict(program).seconds


@given(st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=30))
def test_rows_that_no_other_beats(rows: list[tuple[int, ...]]) -> None:
    kept = unbeaten(np.array(rows, np.float64)).tolist()
    best = {row for row in rows if not any(beats(other, row) for other in rows)}
    assert [rows.index(rows[n]) for n in kept] == sorted(rows.index(row) for row in best)


def test_a_million_assignments_in_bounded_memory() -> None:
    sites = {site: (Option(), Option(find_cell("depth"), (3, 3))) for site in NETWORKS["v6"].sites}
    made = space("v6", sites)
    middle = Limits(float(np.median(np.concatenate([seconds for _, seconds, _ in made.blocks()]))))
    fitting, front = made.survey(middle)[0], made.costs(made.front(middle, CRITERIA))
    made.tables = [np.tile(table, 16) for table in made.tables]
    made.sites = {site: options * 16 for site, options in sites.items()}
    assert len(made) == 32**4 == 1_048_576
    tracemalloc.start()
    assert made.survey(middle)[0] == 16**4 * fitting  # each option is there 16 times
    assert np.array_equal(made.costs(made.front(middle, CRITERIA)), front)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6  # a million rows of three numbers alone are 25 MB


def test_more_assignments_than_can_be_tried() -> None:
    kernels = [(k, 3) for k in range(1, 46)]  # (4 * 45 + 1)^4 = 1,073,283,121
    with pytest.raises(InvalidInput, match="1,073,283,121 assignments, at most 1,000,000,000: choose fewer"):
        plan("v6", FakeMachine(), 0.3, kernels=kernels)


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    made = space("v6", options_of("v6"))
    whole = [np.concatenate(part) for part in list(zip(*made.blocks(), strict=True))[1:]]
    monkeypatch.setattr(module, "BLOCK", 30)
    blocks = list(made.blocks())
    assert [first for first, _, _ in blocks] == list(range(0, 625, 25))
    assert [
        np.array_equal(a, np.concatenate(b)) for a, b in zip(whole, list(zip(*blocks, strict=True))[1:], strict=True)
    ] == [True, True]


# ---- descriptions ----------------------------------------------------------------------------------------------------


def test_a_site_without_a_cell() -> None:
    bare = dict.fromkeys(("low", "medium", "high"))
    assert costmodel.network("v6", cell={**bare, "final": "sep"}).cost == costmodel.network("v2", cell="sep").cost
    assert costmodel.network("v6", cell={**bare, "final": None}).cost == costmodel.network("icnet").cost


def test_a_network_that_needs_its_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "needy", replace(NETWORKS["v5"], optional=False))
    with pytest.raises(InvalidInput, match="needs a cell at each of its sites: low, high cannot be without"):
        describe_network("needy", cell={"low": None, "medium": "sep", "high": None})
    assert Option() not in options_of("needy")["low"]
    with pytest.raises(InvalidInput, match="'none' is not possible"):
        options_of("needy", ["none", "sep"])


def test_a_kernel_of_a_cell_alone() -> None:
    own = with_kernel(find_cell("sep"), (5, 3))
    mixed = costmodel.network("v2", cell={"final": own}, kernel=7)
    assert mixed.cost == costmodel.network("v2", cell="sep", kernel=(5, 3)).cost
    assert (own.name, with_kernel(find_cell("sep"), (5, 3)) is own) == ("sep 5x3", True)


@pytest.mark.parametrize(("text", "seconds"), [("300ms", 0.3), ("0.3s", 0.3), ("0.3", 0.3), ("90", 90), ("5m", 300)])
def test_times_as_people_write_them(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


# ---- plans -----------------------------------------------------------------------------------------------------------


def test_printed_qualities_are_of_exactly_these_cells() -> None:
    sites = options_of("v6", kernels=(3, 5))
    known = module.printed_quality("v6", sites, (1024, 2048), 19)
    assert dict(known.values()) == dict(METRIC.values)  # all rows of Table II: ICNet, v2, v5 and v6 with four cells
    options = list(sites["low"])
    standard, none = options.index(Option(find_cell("standard"), (3, 3))), options.index(Option())
    assert known[none, none, none, standard] == ("LSTM-ICNet v2", 61.93)
    assert known[standard, standard, standard, none] == ("LSTM-ICNet v5", 61.53)


@pytest.mark.parametrize(
    ("model", "settings", "size", "classes", "names"),
    [
        ("v6", {"kernels": (5,)}, (1024, 2048), 19, ["ICNet"]),
        ("v6", {"recurrence": "peephole"}, (1024, 2048), 19, ["ICNet"]),
        ("v6", {}, (512, 1024), 19, []),
        ("v6", {}, (1024, 2048), 20, []),
        ("v2", {"cells": ["depth", "sep"]}, (1024, 2048), 19, ["depth-LSTM-ICNet v2", "sep-LSTM-ICNet v2"]),
    ],
)
def test_other_settings_have_no_printed_quality(
    model: str, settings: dict[str, object], size: tuple[int, int], classes: int, names: list[str]
) -> None:
    known = module.printed_quality(model, options_of(model, **settings), size, classes)
    assert [name for name, _ in known.values()] == names


def test_rows_are_predicted_as_a_whole() -> None:
    found = plan("v6", FakeMachine(), 0.7, "300MB", cells=["none", "depth", "sep"], top=5)
    assert len(found) == 5
    assert found.found.number == 3**4
    for row in found.rows:
        cell = {site: each and each["cell"] for site, each in row.values.items()}
        program = costmodel.network("v6", cell=cell, heads=False)
        prediction = predict.predict(program, FakeMachine())
        assert row.prediction == prediction
        assert prediction.seconds <= 0.7
        assert (row.params, row.memory) == (program.parameters, program.memory)
        assert row.memory <= 300e6
        assert found.fits(row) == ("surely" if prediction.high <= 0.7 else "likely")
    times = [row.prediction.seconds for row in found.rows]
    assert times == sorted(times, reverse=True)


def test_a_printed_row_is_beaten_by_printed_quality_alone() -> None:
    names = {row.approach: row for row in plan("v2", FakeMachine()).rows}
    # mIoU 60.07, 61.93, 61.70, 61.73, 60.18: depth costs less than spatial and sep, and is printed as better.
    assert list(names) == ["LSTM-ICNet v2", "depth-LSTM-ICNet v2", "ICNet"]
    cheapest = plan("v2", FakeMachine(), by=["time", "params", "memory"]).rows
    assert [row.approach for row in cheapest] == ["ICNet"]  # a cell costs more than none


@pytest.mark.parametrize("sort", module.SORTS)
def test_the_largest_come_first(sort: str) -> None:
    rows = plan("v6", FakeMachine(), sort=sort, top=None).rows
    keys = {
        "ms": [row.prediction.seconds for row in rows],
        "params": [row.params for row in rows],
        "memory": [row.memory for row in rows],
        "quality": [row.quality or 0 for row in rows],
    }[sort]
    assert keys == sorted(keys, reverse=True)
    assert len(rows) == 21  # 16 sets of sites with depth cells; standard v2, v5, v6, spatial v5, sep v5 by their mIoU


def test_nothing_fits() -> None:
    least = costmodel.network("icnet", heads=False)
    ms = 1e3 * predict.predict(least, FakeMachine()).seconds
    message = (
        f"nothing fits into 100 ms and 300.00 MB: the closest, low none, medium none, high none, final none, needs "
        f"{ms:.4g} ms ({ms * np.exp(-1.645 * 0.05):.4g} ms to {ms * np.exp(1.645 * 0.05):.4g} ms), {ms - 100:.4g} ms "
        "too much"
    )
    with pytest.raises(InvalidInput) as error:
        plan("v6", FakeMachine(), 0.1, "300MB")
    assert str(error.value) == message
    with pytest.raises(
        InvalidInput, match=rf"needs {least.memory / 1e6:.2f} MB, {least.memory / 1e6 - 100:.2f} MB too"
    ):
        plan("v6", FakeMachine(), memory="100MB")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"machine": FakeMachine(depthwise_convolution=None)},
            "fake is not calibrated for depthwise convolution, which depth 3x3 at low needs",
        ),
        (
            {"machine": FakeMachine(dense_convolution=None)},
            "not calibrated for dense convolution, which LSTM-ICNet v6 needs",
        ),
        ({"model": "icnet"}, "ICNet has no sites of recurrent cells"),
        ({"model": "v7"}, "unknown model 'v7'"),
        ({"cells": "dept"}, "unknown cell 'dept'"),
        ({"kernels": ()}, "no kernel given"),
        ({"sites": {"finale": "sep"}}, "site 'finale': one of low, medium, high, final; did you mean 'final'?"),
        ({"by": ["speed"]}, "by 'speed': one of time, params, memory, quality, design"),
        ({"by": ["design"]}, "by design: at least one of time, params, memory"),
        ({"sort": "flops"}, "sort 'flops': one of ms, params, memory, quality"),
        ({"top": 0}, "top 0: expected a whole number from 1"),
        ({"budget": 0}, "budget 0: expected seconds above 0"),
        ({"budget": "300ms"}, "budget '300ms': expected seconds above 0"),
        ({"memory": "8 eggs"}, "memory '8 eggs': expected bytes"),
        ({"machine": predict.Roofline("sheet", costmodel.Machine(1e12, 1e11))}, "sheet gives least times alone"),
    ],
)
def test_what_is_refused(arguments: dict[str, object], message: str) -> None:
    given = {"model": "v6", "machine": FakeMachine(), **arguments}
    with pytest.raises(InvalidInput) as error:
        plan(**given)
    assert message in str(error.value)


def test_other_recurrences_and_conditions() -> None:
    found = plan("v2", FakeMachine(), recurrence="convgru", dtype="float64", memory_format="channels_last")
    program = costmodel.network("v2", cell="depth", recurrence="convgru", heads=False, itemsize=8)
    assert found.about == "LSTM-ICNet v2, one 1024x2048 frame, convGRU cells"
    assert [row.names["final"] for row in found.rows] == ["depth 3x3", "none"]
    assert found.rows[0].memory == program.memory
    assert "quality" in found.text()  # of none, which is ICNet


def test_a_machine_that_misses_what_is_not_chosen() -> None:
    found = plan("v6", FakeMachine(depthwise_convolution=None), cells=["none", "standard"])
    assert found.found.number == 2**4


# ---- modules and the command -----------------------------------------------------------------------------------------


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> object:
    """The command line on the fake machine: exit code, stdout, stderr."""
    looked_up = "costmodel.profiles.calibration.look_up"
    monkeypatch.setattr(looked_up, lambda name, given: (FakeMachine(name), predict.settings(**given)))

    def once(command: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["costmodel", *shlex.split(command)])
        code = cli.main()
        return code, *capsys.readouterr()

    return once


def test_the_command(run: object) -> None:
    code, out, err = run("plan v6 --budget 600ms --machine mine --kernel 3,5 --top 3")
    assert (code, err) == (0, "")
    assert out.startswith("LSTM-ICNet v6, one 1024x2048 frame on mine: cpu, float32, contiguous")
    assert "assignments that fit into 600 ms" in " ".join(out.split())
    assert "6,561 assignments" in out  # (4 * 2 + 1)^4
    same = run("plan --model v6 --budget 0.6s --machine mine --kernel 3,5 --top 3")[1]
    assert same == out


@pytest.mark.parametrize("form", FORMATS)
def test_every_format(run: object, form: str) -> None:
    code, out, _ = run(f"plan v6 --budget 600ms --memory 2GiB --machine mine --site low=none --format {form}")
    assert code == 0
    if form == "json":
        record = json.loads(out)
        assert (record["budget_ms"], record["budget_memory_bytes"]) == (600, 2**31)
        assert record["assignments"] == 5**3
        assert record["rows"][0]["sites"]["low"] is None
        assert set(record["predicted"]) | set(record["known"]) <= set(record["rows"][0])
    elif form == "csv":
        rows = list(csv.DictReader(io.StringIO(out)))
        assert {row["low"] for row in rows} == {"none"}
        assert all(float(row["predicted_ms"]) <= 600 for row in rows)
    else:
        assert "depth 3x3" in out


def test_a_module_of_the_users(run: object) -> None:
    made = "torch.nn:Conv2d --input 1x3x32x32 --make in_channels=3 --make out_channels=8,16,32 --make kernel_size=3"
    code, out, _ = run(f"plan {made} --machine mine --format json")
    record = json.loads(out)
    assert code == 0
    assert record["points"] == record["fitting"] == 3
    assert [row["arguments"]["out_channels"] for row in record["rows"]] == [32, 16, 8]
    assert [row["params"] for row in record["rows"]] == [28 * 32, 28 * 16, 28 * 8]  # 3 * 3 * 3 weights and a bias
    middle = record["rows"][1]
    ms = (middle["predicted_ms"] + record["rows"][0]["predicted_ms"]) / 2
    fitting = json.loads(run(f"plan {made} --machine mine --budget {ms:.6f}ms --format json")[1])
    assert [row["arguments"]["out_channels"] for row in fitting["rows"]] == [16, 8]
    code, _, err = run(f"plan {made} --machine mine --memory 10kB")
    assert code == 2
    assert err.startswith(
        "costmodel: nothing fits into 0.01 MB: the closest, in_channels=3, out_channels=8, kernel_size=3"
    )
    assert len(json.loads(run(f"plan {made} --machine mine --by time,memory --format json")[1])["rows"]) == 1


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("plan --budget 1s --machine mine", "give one network, such as v6, or one module"),
        ("plan v6 --budget soon --machine mine", "--budget 'soon': expected a time"),
        ("plan v6 --memory 8eggs --machine mine", "--memory '8eggs': expected bytes, such as 8GB"),
        ("plan v6 --machine mine --cell deep", "--cell 'deep': one of standard, spatial"),
        ("plan v6 --machine mine --make width=3", "--make is for a module of your own, not for v6"),
        ("plan torch.nn:ReLU --input 3 --machine mine", "--make gives the arguments to choose from"),
        ("plan torch.nn:ReLU --input 3 --machine mine --kernel 3", "--kernel is for described networks"),
        ("plan torch.nn:ReLU --input N --make inplace=true,false --machine mine", "--input needs numbers here, not N"),
        ("plan v6 --machine mine --budget 1ms", "nothing fits into 1 ms: the closest, low none"),
    ],
)
def test_bad_input_is_one_line_and_code_2(run: object, command: str, message: str) -> None:
    code, out, err = run(command)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"costmodel: {message}")
