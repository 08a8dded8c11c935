"""Inputs and outputs of any structure: shapes in tuples, lists and dictionaries, states, methods."""

from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from costmodel.counting.count import count
from costmodel.counting.shapes import Shape, parse, shape_of, with_shapes
from costmodel.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "inputs"),
    [
        ("1x3:int64", ["1x3:int64"]),
        ("(1x8, 1x4)", [("1x8", "1x4")]),
        ("(1x8,)", [("1x8",)]),
        ("[1x8, (1x4, 1x2)]", [["1x8", ("1x4", "1x2")]]),
        ("{image: 1x3, mask: 1x3:bool}", [{"image": "1x3", "mask": "1x3:bool"}]),
        ('{"image": "1x3", "mask": null}', [{"image": "1x3", "mask": None}]),
        ("1x3, (2x3, None)", ["1x3", ("2x3", None)]),
        ("NxC", ["NxC"]),
    ],
)
def test_inputs_as_users_write_them(text: str, inputs: list[Any]) -> None:
    assert parse(text) == inputs
    assert parse(", ".join(map(shape_of, parse(text)))) == inputs


@pytest.mark.parametrize(
    "text", ["", "(1x3", "1x3)", "{1x3}", "{a: }", "(,)", "1x-3", "1x3 1x4", "[1x3)", "'", ":", "a=1"]
)
def test_what_is_no_input(text: str) -> None:
    with pytest.raises(InvalidInput, match="expected a shape"):
        parse(text)


@pytest.mark.parametrize("text", ["nearest", "max", "NCHW", "expand", "H", "(hello)", "CUDA:0", ""])
def test_texts_that_could_mean_something_else_stay(text: str) -> None:
    assert type(with_shapes({"mode": text})["mode"]) is str


@pytest.mark.parametrize("text", ["1x3", "NxC", "5", "N:int64", "scalar"])
def test_texts_that_can_only_be_shapes_are_shapes(text: str) -> None:
    assert type(with_shapes({"x": [text]})["x"][0]) is Shape


class Sums(nn.Module):
    """All tensors of a nest of inputs, each through a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(4, 2)

    def forward(self, *inputs: Any, mode: str = "plain", **named: Any) -> torch.Tensor:
        assert mode == "plain"
        leaves = torch.utils._pytree.tree_leaves((inputs, named))
        return sum(self.line(leaf) for leaf in leaves if leaf is not None)


def test_shapes_stand_anywhere() -> None:
    """Eight MACs a row."""
    net = Sums()
    assert count(net, ("1x4", ["1x4"])).macs == 16
    assert count(net, {"a": "1x4", "b": ("3x4", None)}).macs == 8 + 24
    assert count(net, "(1x4, {a: 3x4})", mode="plain").macs == 8 + 24
    assert count(net, x="1x4", y=["3x4"]).macs == 8 + 24
    assert count(net, "1x4", x=("Nx4", "1x4")).formula()["MACs"] == "8*(2 + N)"
    counted = count(net, torch.ones(1, 4), {"a": "1x4"}, x=("3x4",), mode="plain")
    assert counted.inputs == ("1x4", "{a: 1x4}", "x=(3x4,)", "mode='plain'")
    with pytest.raises(InvalidInput, match="one input here; several of them in a tuple"):
        count(net, "1x4, 1x4")
    with pytest.raises(InvalidInput, match="no type of torch"):
        count(net, {"a": "1x4:int65"})


class Cell(nn.Module):
    """A convolutional LSTM cell: 9 * 11 * 32 MACs a place."""

    def __init__(self) -> None:
        super().__init__()
        self.gates = nn.Conv2d(3 + 8, 4 * 8, 3, padding=1)

    def step(self, x: torch.Tensor, state: Any) -> tuple[torch.Tensor, torch.Tensor]:
        h, c = 2 * (x.new_zeros(x.shape[0], 8, *x.shape[2:]),) if state is None else state
        i, f, o, g = self.gates(torch.cat([x, h], 1)).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c

    def forward(self, x: torch.Tensor, state: Any = None) -> Any:
        return self.step(x, state)


def cell(forward: Callable[..., Any]) -> nn.Module:
    return type("Variant", (Cell,), {"forward": forward})()


Out = namedtuple("Out", "y state")


@dataclass
class Result:
    y: Any
    hidden: Any


def keeps(self: Any, x: torch.Tensor) -> torch.Tensor:
    self.memory = self.step(x, getattr(self, "memory", None))
    return self.memory[0]


def both(self: Any, x: torch.Tensor, h: Any = None, c: Any = None) -> Any:
    return self.step(x, None if h is None else (h, c))


def both_and_more(self: Any, x: torch.Tensor, h: Any = None, c: Any = None) -> Any:
    h, c = both(self, x, h, c)
    return h * 2, h, c


def by_batch(self: Any, batch: dict[str, Any]) -> Any:
    h, c = self.step(batch["x"], batch.get("state"))
    return {"y": h, "state": (h, c)}


def variant(give: Callable[[Any, Any], Any], take: Callable[[Any], Any] = lambda state: state) -> nn.Module:
    return cell(lambda self, x, state=None: give(*self.step(x, None if state is None else take(state))))


CELLS = {
    "tuple": variant(lambda h, c: (h, c)),
    "list": variant(lambda h, c: [h, c]),
    "dictionary": variant(lambda h, c: {"h": h, "c": c}, lambda state: (state["h"], state["c"])),
    "last": variant(lambda h, c: (h, (h, c))),
    "first": variant(lambda h, c: ((h, c), h)),
    "last ones": variant(lambda h, c: (h * 2, h, c)),
    "first ones": variant(lambda h, c: (h, c, h * 2)),
    "in a dictionary": variant(lambda h, c: {"y": h, "state": (h, c)}),
    "by another name": variant(
        lambda h, c: {"y": h, "hidden": {"a": h, "b": c}}, lambda state: (state["a"], state["b"])
    ),
    "named tuple": variant(lambda h, c: Out(h, [h, c])),
    "dataclass": variant(lambda h, c: Result(h, (h, c))),
    "two parameters": cell(both),
    "two parameters of three outputs": cell(both_and_more),
    "state first": cell(lambda self, state, x: (self.step(x, state), x)),
    "as many": cell(lambda self, x, *state: self.step(x, state or None)),
    "in itself": cell(keeps),
    "layers": variant(lambda h, c: ([h], [[h, c]]), lambda state: state[0]),
}


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("name", CELLS)
def test_clips_of_cells_that_begin_without_a_state(name: str, batch: int) -> None:
    x = f"{batch}x3x16x12"
    inputs = (None, x) if name == "state first" else (x,)
    assert count(CELLS[name].eval(), *inputs, frames=4).macs == batch * 4 * 192 * 9 * 11 * 32


H = "1x8x16x12"
CLIPS: list[tuple[nn.Module, tuple[Any, ...], dict[str, Any]]] = [
    (CELLS["tuple"], ("1x3x16x12", (H, H)), {}),
    (CELLS["tuple"], ("1x3x16x12", [H, H]), {}),
    (CELLS["tuple"], ("1x3x16x12",), {"state": (H, H)}),
    (CELLS["last"], ("1x3x16x12",), {"state": f"({H}, {H})"}),
    (CELLS["state first"], ((H, H), "1x3x16x12"), {}),
    (CELLS["two parameters"], ("1x3x16x12", H, H), {}),
    (CELLS["two parameters"], ("1x3x16x12",), {"c": H, "h": H}),
    (CELLS["two parameters of three outputs"], ("1x3x16x12", H, H), {}),
    (CELLS["in a dictionary"], ("1x3x16x12",), {"state": (H, H)}),
    (cell(by_batch), ({"x": "1x3x16x12", "state": (H, H)},), {}),
    (cell(lambda self, pair: (pair[1][0], self.step(*pair))), (("1x3x16x12", (H, H)),), {}),
]


@pytest.mark.parametrize(("net", "inputs", "named"), CLIPS)
def test_clips_of_cells_that_are_given_a_state(net: nn.Module, inputs: Any, named: Any) -> None:
    assert count(net, *inputs, frames=4, **named).macs == 4 * count(net, *inputs, **named).macs == 4 * 192 * 9 * 11 * 32


def test_clips_in_letters_and_backward() -> None:
    """All but the gradient of the first frame's input: a third of the products of its 3 of 11 channels is saved."""
    assert count(Cell(), "1x3xHxW", frames=4).formula()["MACs"] == f"{4 * 9 * 11 * 32}*H*W"
    state = ("Nx8xHxW", "Nx8xHxW")
    assert count(Cell(), "Nx3xHxW", state=state, frames=2).formula()["MACs"] == f"{2 * 9 * 11 * 32}*H*N*W"
    once = 192 * 9 * 11 * 32
    assert count(Cell(), "1x3x16x12", frames=2, backward=True).macs == 5 * once  # the first state is not learned


@pytest.mark.parametrize("size", [10, 20])
def test_clips_of_torchs_recurrent_modules(size: int) -> None:
    """With 3 sequences of 5; a cell of the size of its input is one, too."""
    for kind, gates in ((nn.RNN, 1), (nn.GRU, 3), (nn.LSTM, 4)):
        assert count(kind(10, size), "5x3x10", frames=3).macs == 3 * 15 * gates * size * (10 + size)
    for kind, gates in ((nn.RNNCell, 1), (nn.GRUCell, 3), (nn.LSTMCell, 4)):
        assert count(kind(10, size), "3x10", frames=3).macs == 3 * 3 * gates * size * (10 + size)
    assert count(nn.GRUCell(10, size), "3x10", f"3x{size}", frames=3).macs == 3 * 3 * 3 * size * (10 + size)


class Cached(nn.Module):
    """Attention to all tokens so far: the state grows."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor, past: Any = None) -> Any:
        keys = self.line(x) if past is None else torch.cat([past, self.line(x)], 1)
        return x @ keys.transpose(1, 2), keys


def test_a_cache_may_grow() -> None:
    assert count(Cached(), "1x1x8", frames=3).macs == 3 * 64 + (1 + 2 + 3) * 8


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor, mask: Any = None) -> torch.Tensor:
        return self.line(x) if mask is None else self.line(x) * mask


@pytest.mark.parametrize("net", [nn.Linear(8, 6), nn.Linear(8, 8), nn.BatchNorm1d(8), Masked()])
def test_clips_of_modules_without_a_state_are_refused(net: nn.Module) -> None:
    with pytest.raises(InvalidInput, match=r"an output and a state.*no part of the output 3x\d is taken"):
        count(net, "3x8", frames=2)
    if isinstance(net, Masked):
        with pytest.raises(InvalidInput, match="an output and a state"):
            count(net, "3x8", mask="3x8", frames=2)


def test_calls_that_failed_leave_no_operations() -> None:
    """The whole output is tried as the state first: as a tensor it makes no sense."""

    class Net(nn.Module):
        def forward(self, x: torch.Tensor, hidden: Any = None) -> Any:
            y = x + 1
            h = y if hidden is None else y * hidden
            return y, h

    assert count(Net(), "2x4", frames=3).cost.launches == 1 + 2 + 2


# ---- outputs ---------------------------------------------------------------------------------------------------------


class Slots:
    __slots__ = ("logits",)

    def __init__(self, logits: torch.Tensor) -> None:
        self.logits = logits


class Hidden:
    def __init__(self, logits: torch.Tensor) -> None:
        self._give = lambda: logits

    @property
    def broken(self) -> Any:
        raise RuntimeError

    @property
    def logits(self) -> torch.Tensor:
        return self._give()


OUTPUTS: dict[str, Callable[[torch.Tensor], Any]] = {
    "dataclass": lambda y: Result(y, None),
    "slots": Slots,
    "property": Hidden,
    "deep": lambda y: {"a": [Result(Slots(y), 3)]},
    "twice": lambda y: (y, y, Slots(y)),
    "categorical": lambda y: torch.distributions.Categorical(logits=y, validate_args=False),
    "normal": lambda y: torch.distributions.Normal(y, 1.0, validate_args=False),
}


class Head(nn.Module):
    def __init__(self, give: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.line, self.give = nn.Linear(4, 3), give

    def forward(self, x: torch.Tensor) -> Any:
        return self.give(self.line(x))


@pytest.mark.parametrize("name", OUTPUTS)
def test_the_backward_pass_of_any_output(name: str) -> None:
    """2 rows by 4 by 3, forward and for the weights."""
    assert count(Head(OUTPUTS[name]), "2x4", backward=True).macs == 2 * 24


def test_outputs_without_tensors_are_refused() -> None:
    with pytest.raises(InvalidInput, match="no tensor found in an output of type Slots"):
        count(Head(lambda y: Slots(None)), "2x4", backward=True)  # type: ignore[arg-type]


# ---- modules ---------------------------------------------------------------------------------------------------------


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(8, 4), nn.Linear(4, 8)

    def encode(self, x: torch.Tensor, twice: bool = False) -> torch.Tensor:
        return self.encoder(x) * (2 if twice else 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.encode(x))


class Pipeline:
    def __init__(self, net: nn.Module) -> None:
        self.net = net

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


@pytest.mark.parametrize("backward", [False, True])
def test_other_functions_than_forward_know_their_module(backward: bool) -> None:
    net = Two()
    whole = count(net, "2x8", backward=backward)
    pipeline = Pipeline(net)
    for function in (
        net.forward,
        partial(net),
        partial(net.forward),
        pipeline.predict,
        partial(lambda n, x: n(x), net),
    ):
        other = count(function, "2x8", backward=backward)
        assert (other.params, other.macs, other.peak_memory) == (whole.params, whole.macs, whole.peak_memory)
    part = count(partial(net.encode, twice=True), "2x8", backward=backward)
    assert (part.name, part.params, part.macs) == ("Two.encode", 76, 64 * (1 + backward))  # 8 * 4 + 4 + 4 * 8 + 8
    assert list(part.cut()) == ["encoder", ""]
    assert all(not p.is_meta and p.grad is None for p in net.parameters())


def test_quantised_modules_have_their_weights() -> None:
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).eval()
    quantised = torch.ao.quantization.quantize_dynamic(net, {nn.Linear})
    assert count(quantised, torch.randn(2, 8), real=True).params == 8 * 16 + 16 + 16 * 4 + 4


@pytest.mark.parametrize("how", [torch.jit.script, lambda net: torch.jit.trace(net, torch.ones(1, 16))])
def test_scripted_parts_are_refused_as_the_whole_is(how: Callable[[nn.Module], Any]) -> None:
    part = how(nn.Linear(16, 16))
    for net in (part, nn.Sequential(nn.Linear(8, 16), part)):
        with pytest.raises(InvalidInput, match="hides its operations: give the module that it was made from"):
            count(net, "2x8")


def test_marks_of_the_profiler_are_no_operations() -> None:
    class Marked(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.profiler.record_function("head"):
                return super().forward(x)

    counted = count(Marked(8, 4), "2x8")
    assert (dict(counted.uncounted), counted.cost.launches) == ({}, 1)


def test_distributed_modules_count_as_plain_ones() -> None:
    """Two layers of 8 to 4 to 2: 40 MACs a row; backward those for the weights and for the input of the second."""
    distributed = pytest.importorskip("torch.distributed")
    if not distributed.is_gloo_available():
        pytest.skip("needs gloo")
    from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard

    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        net = nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 2))
        plain = count(net, "2x8", backward=True)
        parallel = count(nn.parallel.DistributedDataParallel(net), "2x8", backward=True)
        assert (parallel.work, parallel.params, list(parallel.cut())) == (plain.work, 46, list(plain.cut()))
        sharded = fully_shard(net)
        for _ in range(2):  # the hooks are there again
            counted = count(sharded, "2x8", backward=True)
            assert (counted.macs, counted.params) == (2 * (40 + 40 + 8), 46)
            assert sharded(torch.ones(2, 8)).shape == (2, 2)
        assert counted.held == plain.held
        assert count(sharded, torch.ones(2, 8), real=True).macs == 80
        with pytest.raises(InvalidInput, match="count the module before"):
            count(FullyShardedDataParallel(nn.Linear(8, 4), device_id=torch.device("cpu")), "2x8")
    finally:
        distributed.destroy_process_group()
