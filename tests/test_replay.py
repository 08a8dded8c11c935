"""Calls of operators made again, each alone."""

from typing import Any

import pytest
import torch
from torch import nn

import costmodel
from costmodel.counting.calls import Calls
from costmodel.describe.calls import operations
from costmodel.errors import InvalidInput
from costmodel.measure import replay
from costmodel.measure.operations import operations as operations_of
from costmodel.measure.replay import cold, hot, make
from costmodel.work.call import Call, Tensor

X = Tensor((64, 32))


def results(call: Call, **how: Any) -> list[torch.Tensor]:
    out: Any = make(call, **how)()
    return [each for each in (out if isinstance(out, tuple | list) else [out]) if each.numel()]


class Block(nn.Module):
    """Calls with words, a strided matrix, whole numbers, a mask and keywords."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.norm, self.inner = nn.Embedding(50, 16), nn.LayerNorm(16), nn.Linear(16, 32)
        self.attention, self.outer = nn.MultiheadAttention(16, 2, batch_first=True), nn.Linear(32, 16)
        self.register_buffer("places", torch.arange(24).reshape(2, 12) % 9)

    def forward(self, words: torch.Tensor, mask: torch.Tensor) -> Any:
        x = self.norm(self.table(words))
        x = self.outer(nn.functional.silu(self.inner(x)).mul_(2)) + self.attention(x, x, x, need_weights=False)[0]
        x = torch.where(mask, x, 0).roll(1, 1).masked_fill(mask, -1.0)
        near = x[:, self.places].gather(1, self.places[:, None, :1, None].expand(2, 1, 1, 16) % 2)
        return torch.cat([near.flatten(1), x.new_zeros(2, 3)], 1).to(torch.float64), x.transpose(1, 2).contiguous()


@pytest.mark.parametrize("memory_format", ["contiguous", "channels_last"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_calls_of_networks_give_what_they_are_said_to_give(dtype: str, memory_format: str) -> None:
    network = costmodel.network("erfnet-DG2S*", size=(32, 64))
    cell = costmodel.cell("sep", kernel=4, channels=8, size=(5, 6), recurrence="peephole")
    calls = [each.call for program in (network, cell) for each in operations(program, dtype, memory_format, batch=2)]
    for call in dict.fromkeys(calls):
        assert call is not None
        assert tuple(map(Calls().tensor, results(call))) == call.outputs


def test_calls_of_a_module_give_what_they_are_said_to_give() -> None:
    found = operations_of(costmodel.count(Block().eval(), "2x12:int64", "2x12x1:bool"))
    assert {"aten.index.Tensor", "aten.gather.default", "aten.where.self", "aten._to_copy.default"} <= {
        each.op for each in found
    }
    for each in found:
        assert each.call is not None
        assert tuple(map(Calls().tensor, results(each.call))) == each.call.outputs


def test_a_seed_gives_numbers() -> None:
    call = Call("aten.mul.Tensor", (X, X))
    first, again, other = (results(call, seed=seed)[0] for seed in (1, 1, 2))
    assert first.equal(again)
    assert not first.equal(other)
    assert not first.requires_grad


def test_whole_numbers_name_places_that_are_there() -> None:
    places = Tensor((500,), "int64")
    table = Tensor((7, 3))
    assert results(Call("aten.embedding.default", (table, places)))[0].shape == (500, 3)
    assert results(Call("aten.index.Tensor", (table, (None, places))))[0].shape == (7, 500)
    # A mask goes through the first two sizes, so the index names one of 5 places.
    assert results(Call("aten.index_select.default", (table, -1, places)))[0].shape == (7, 500)
    mask = Tensor((7, 3), "bool")
    assert results(Call("aten.index.Tensor", (Tensor((7, 3, 5)), (mask,))))[0].shape[1:] == (5,)


def test_strides_are_those_of_the_call() -> None:
    def strides(tensor: Tensor) -> tuple[int, ...]:
        return results(Call("aten.detach.default", (tensor,)))[0].stride()

    assert strides(Tensor((2, 3, 4, 5))) == (60, 20, 5, 1)
    assert strides(Tensor((2, 3, 4, 5), layout="channels_last")) == (60, 1, 15, 3)
    assert strides(Tensor((4, 5), layout="strided")) == (1, 4)
    assert strides(Tensor((2, 4, 5, 3), layout="strided")) == (60, 5, 1, 20)
    assert strides(Tensor((16, 8), layout="strided", strides=(0, 2))) == (0, 2)


SQUARE, ROW, STACK = (8, 8), (8,), (2, 8, 8)
PLACES, MASK = Tensor(ROW, "int64"), Tensor(SQUARE, "bool")
# The overload, and the arguments after the first: shapes stand for tensors.
IN_PLACE: dict[str, tuple[str, tuple[Any, ...]]] = {
    **dict.fromkeys(("add_", "sub_", "mul_", "div_"), ("Tensor", (SQUARE,))),
    **dict.fromkeys(("addmm_", "addcmul_", "addcdiv_"), ("default", (SQUARE, SQUARE))),
    "addmv_": ("default", (SQUARE, ROW)),
    "addr_": ("default", (ROW, ROW)),
    **dict.fromkeys(("addbmm_", "baddbmm_"), ("default", (STACK, STACK))),
    "scatter_add_": ("default", (0, Tensor(SQUARE, "int64"), SQUARE)),
    "scatter_": ("src", (0, Tensor(SQUARE, "int64"), SQUARE)),
    **dict.fromkeys(("index_add_", "index_copy_"), ("default", (0, PLACES, SQUARE))),
    "index_fill_": ("int_Scalar", (0, PLACES, 0.5)),
    **dict.fromkeys(("index_put_", "_index_put_impl_"), ("default", ((PLACES,), SQUARE, True))),
    "masked_fill_": ("Scalar", (MASK, 0.5)),
    "threshold_": ("default", (0.1, 0.5)),
    "clamp_": ("default", (0.2, 0.9)),
    **dict.fromkeys(("clamp_min_", "clamp_max_"), ("default", (0.5,))),
    **dict.fromkeys(("pow_", "fill_"), ("Scalar", (2,))),
    "copy_": ("default", (SQUARE,)),
}
FIRST = {"addmv_": ROW, "baddbmm_": STACK}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("name", [each for each in replay._AT_REST if each not in ("uniform_", "normal_")])
def test_in_place_no_number_grows_or_dwindles_beyond_what_its_type_holds(name: str, dtype: str) -> None:
    overload, rest = IN_PLACE.get(name, ("default", ()))
    shapes = (SQUARE, ROW, STACK)
    given = (Tensor(each, dtype) if each in shapes else each for each in (FIRST.get(name, SQUARE), *rest))
    step = make(Call(f"aten.{name}.{overload}", tuple(given)))
    for _ in range(300):
        out: Any = step()
        sizes = out[out != 0].abs()
        assert bool((sizes >= torch.finfo(out.dtype).tiny).all())
        assert bool(sizes.isfinite().all())


def test_in_place_with_a_number() -> None:
    step = make(Call("aten.mul_.Tensor", (X, 0.125)))  # 0.125^n would end below 1e-38 after 42 calls
    assert {float(step().abs().max()) for _ in range(60)} == {0.0}  # type: ignore[attr-defined]  # a tensor


def test_cold_arguments_rotate_through_copies() -> None:
    def places(step: Any, calls: int) -> list[int]:
        return [step().data_ptr() for _ in range(calls)]

    call = Call("aten.detach.default", (Tensor((256, 1024)),))  # 1 MiB
    found = places(cold(call, footprint_bytes=4 << 20), 9)
    assert len(set(found)) == 4
    assert found[:5] == found[4:]
    assert len(set(places(cold(Call("aten.detach.default", (Tensor((3,)),))), 500))) == 200
    assert len(set(places(cold(call, footprint_bytes=1), 9))) == 2
    assert len(set(places(hot(call), 9))) == 1


def test_seconds_of_a_call_alone_come_from_the_clock() -> None:
    calls: list[int] = []

    def clock(step: Any, number: int) -> float:
        step()
        calls.append(number)
        return 0.002

    assert replay.seconds(Call("aten.relu.default", (X,)), "cold", clock, least=0.1) == 0.002
    assert calls[-5:] == [10] * 5  # a fifth of 0.1 s in each turn of calls of 2 ms


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (Call("aten.frobnicate.default"), "torch has no operator 'aten.frobnicate.default'"),
        (Call("aten.exp_.default", (X,)), "aten.exp_.default changes its arguments"),
        (Call("aten.mul.out", (X, X), (("out", X),)), "aten.mul.out changes its arguments"),
        (Call("aten.mm.default", (X, X)), "aten.mm.default cannot be replayed: mat1 and mat2 shapes cannot be multi"),
        (Call("aten.relu.default", (X, X)), "aten.relu.default takes 1 arguments, not 2"),
        (Call("aten.relu.default", (X,), (("speed", 1),)), "aten.relu.default has no argument 'speed'"),
        (Call("aten.nonzero.default", (X,)), "as long as the numbers say"),
        (Call("aten.relu.default", (Tensor((1 << 30,)),)), "more than 2 GiB of arguments"),
    ],
)
def test_what_cannot_be_replayed_is_refused_in_words(call: Call, why: str) -> None:
    for made in (make, hot, cold):
        with pytest.raises(InvalidInput, match=why) as error:
            made(call)
        assert "\n" not in str(error.value)
