"""Rules and bytes of operations against arithmetic by hand, textbook loops, and torch's own counter."""

import json
from collections.abc import Callable
from math import ceil, log2
from typing import Any

import pytest
import torch
from test_cli import run
from torch import nn
from torch._ops import HigherOrderOperator
from torch.nn import functional as F
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.nn.attention.varlen import varlen_attn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from costmodel import count, observe
from costmodel.counting.attention import kept, rule_of
from costmodel.counting.higher_order import handle, plain_control_flow, plain_flex_attention
from costmodel.counting.observe import CountingMode
from costmodel.counting.rules import find
from costmodel.counting.traffic import tensors, traffic
from costmodel.errors import InvalidInput
from costmodel.price.conventions import CONVENTIONS
from costmodel.report import count as report
from costmodel.work.cost import Cost
from costmodel.work.events import Event, Work

aten = torch.ops.aten


def meta(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(shape, device="meta", dtype=dtype)


def cost(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Cost:
    seen = observe(function, *args, **kwargs)
    assert not seen.uncounted
    return seen.cost


# ---- places of a table -----------------------------------------------------------------------------------------------

ROWS, COLUMNS = 10, 60
TABLE = torch.zeros(ROWS, COLUMNS)
TWO = torch.zeros(ROWS, 2, dtype=torch.int64)  # positions: two in each row
THREE = torch.tensor([1, 5, 7])
KEPT = torch.tensor([True] * 3 + [False] * 7)


@pytest.mark.filterwarnings("ignore:The reduce argument", "ignore:index_reduce")
@pytest.mark.parametrize(
    ("write", "work", "reads", "writes"),
    [
        # Two elements in each of 10 rows: 20 positions of 8 bytes and 20 numbers of 4 read, 20 numbers written.
        (lambda t: t.scatter_(1, TWO, torch.ones(ROWS, 2)), {Event.MOVE: 20}, 20 * 8 + 20 * 4, 20 * 4),
        (lambda t: t.scatter_(1, TWO, 1.0), {Event.MOVE: 20}, 20 * 8, 20 * 4),
        # Of a source with five columns, two.
        (lambda t: t.scatter_(1, TWO, torch.ones(ROWS, 5)), {Event.MOVE: 20}, 20 * 8 + 20 * 4, 20 * 4),
        # What adds reads what was there, too.
        (lambda t: t.scatter_add_(1, TWO, torch.ones(ROWS, 2)), {Event.ADDITION: 20}, 20 * (8 + 4 + 4), 20 * 4),
        (
            lambda t: t.scatter_(1, TWO, torch.ones(ROWS, 2), reduce="multiply"),
            {Event.PRODUCT: 20}, 20 * (8 + 4 + 4), 20 * 4,
        ),
        (
            lambda t: t.scatter_reduce_(1, TWO, torch.ones(ROWS, 2), "amax"),
            {Event.COMPARISON: 20}, 20 * (8 + 4 + 4), 20 * 4,
        ),
        # Three columns of 10.
        (lambda t: t.index_fill_(1, THREE, 1.0), {Event.MOVE: 30}, 3 * 8, 30 * 4),
        (lambda t: t.index_copy_(1, THREE, torch.ones(ROWS, 3)), {Event.MOVE: 30}, 3 * 8 + 30 * 4, 30 * 4),
        (lambda t: t.index_add_(1, THREE, torch.ones(ROWS, 3)), {Event.ADDITION: 30}, 3 * 8 + 30 * 8, 30 * 4),
        (
            lambda t: t.index_add_(-1, THREE, torch.ones(ROWS, 3), alpha=2),
            {Event.ADDITION: 30, Event.PRODUCT: 30}, 3 * 8 + 30 * 8, 30 * 4,
        ),
        (
            lambda t: t.index_reduce_(1, THREE, torch.ones(ROWS, 3), "mean"),
            {Event.ADDITION: 30, Event.DIVISION: 30}, 3 * 8 + 30 * 8, 30 * 4,
        ),
        # Three rows of 60; one number for all of them.
        (lambda t: t.index_put_((THREE,), torch.tensor(1.0)), {Event.MOVE: 180}, 3 * 8 + 4, 180 * 4),
        (lambda t: t.__setitem__((slice(None), THREE), torch.tensor(1.0)), {Event.MOVE: 30}, 3 * 8 + 4, 30 * 4),
        (lambda t: t.index_put_((THREE, THREE), torch.ones(3)), {Event.MOVE: 3}, 2 * 3 * 8 + 12, 12),
        (lambda t: t.index_put_((KEPT,), torch.tensor(1.0)), {Event.MOVE: 180}, 10 + 4, 180 * 4),
        (
            lambda t: t.index_put_((THREE,), torch.ones(3, COLUMNS), accumulate=True),
            {Event.ADDITION: 180}, 3 * 8 + 180 * 8, 180 * 4,
        ),
        # True in three rows of 60.
        (
            lambda t: t.masked_scatter_(KEPT[:, None].expand(ROWS, COLUMNS), torch.ones(180)),
            {Event.MOVE: 180}, 600 + 180 * 4, 180 * 4,
        ),
        (lambda t: torch.embedding_renorm_(t, THREE, 1.0, 2.0), {Event.REDUCTION: 180, Event.PRODUCT: 180},
         3 * 8 + 180 * 4, 180 * 4),
        (lambda t: t.put_(THREE, torch.ones(3)), {Event.MOVE: 3}, 3 * 8 + 12, 12),
        # A slice is a view that is copied into.
        (lambda t: t[:, 5:6].copy_(torch.ones(ROWS, 1)), {Event.MOVE: 10}, 40, 40),
        # Out of place the whole table is copied: read once and written once.
        (lambda t: t.index_copy(1, THREE, torch.ones(ROWS, 3)), {Event.MOVE: 600}, 2400 + 24 + 120, 2400),
        (lambda t: t.index_fill(1, THREE, 1.0), {Event.MOVE: 600}, 2400 + 24, 2400),
        (lambda t: t.slice_scatter(torch.ones(ROWS, 1), 1, 5, 6), {Event.MOVE: 600}, 2400 + 40, 2400),
        (
            lambda t: t.scatter_add(1, TWO, torch.ones(ROWS, 2)),
            {Event.ADDITION: 20, Event.MOVE: 600}, 2400 + 20 * 12, 2400,
        ),
    ],
)  # fmt: skip
def test_writes_to_a_few_places(write: Any, work: dict[Event, int], reads: int, writes: int) -> None:
    *_, last = observe(write, TABLE.clone()).operations
    assert (last.cost.work, last.cost.reads, last.cost.writes) == (Work(work), reads, writes)


def test_a_cache_of_keys_that_grows_by_one() -> None:
    counted = count(lambda cache, at, k: cache.index_copy_(2, at, k), "1x8x4096x64", "1:int64", "1x8x1x64")
    assert counted.work == Work({Event.MOVE: 8 * 64})
    assert (counted.cost.reads, counted.cost.writes) == (8 * 64 * 4 + 8, 8 * 64 * 4)


@pytest.mark.parametrize(
    ("function", "shapes", "additions"),
    [
        (lambda i, s: torch.zeros(1000, 16).index_add(0, i, s), ("4:int64", "4x16"), 4 * 16),
        (lambda i, s: torch.zeros(1000, 16).scatter_add(0, i, s), ("4x16:int64", "4x16"), 4 * 16),
        (lambda x: F.fold(x, (4, 4), 2), ("1x8x9",), 8 * 9),  # each of 9 windows of 2 x 2, of two channels
    ],
)
def test_sums_into_a_table_count_what_is_added(function: Any, shapes: tuple[str, ...], additions: int) -> None:
    assert count(function, *shapes).flops("paper") == additions


@pytest.mark.parametrize("real", [False, True])
def test_the_gradient_of_an_embedding_adds_a_row_for_each_index(real: bool) -> None:
    indices = torch.tensor([1, 5, 5, 7])
    backward = count(nn.Embedding(1000, 16), indices, backward=True, real=real).backward
    assert backward.work[Event.ADDITION] == 4 * 16
    fetched = count(lambda x: x[indices], torch.randn(1000, 16, requires_grad=True), backward=True, real=real)
    assert fetched.backward.work[Event.ADDITION] == 4 * 16


# ---- attention -------------------------------------------------------------------------------------------------------


def sdpa(*args: Any, **kwargs: Any) -> Any:
    return aten._scaled_dot_product_flash_attention_for_cpu(*args, **kwargs)


def test_bytes_of_fused_attention() -> None:
    """8 heads, 64 queries and keys of 16: q, k, v read, one output and a log-sum-exp for each query written."""
    q, one = torch.randn(1, 8, 64, 16, requires_grad=True), 8 * 64 * 16 * 4
    counted = count(lambda q: F.scaled_dot_product_attention(q, q, q), q, real=True, backward=True)
    (forward,) = counted.forward.operations
    assert (forward.cost.reads, forward.cost.writes, forward.cost.launches) == (3 * one, one + 8 * 64 * 4, 1)
    (backward,) = (each for each in counted.backward.operations if "attention" in each.op)
    assert (backward.cost.reads, backward.cost.writes) == (5 * one + 8 * 64 * 4, 3 * one)
    mask = torch.zeros(64, 64)
    (masked,) = observe(sdpa, q.detach(), q.detach(), q.detach(), attn_mask=mask).operations
    assert masked.cost.reads == 3 * one + 64 * 64 * 4


BATCH, HEADS, WIDTH = 2, 4, 8
Q, K = meta(BATCH, HEADS, 10, WIDTH), meta(BATCH, HEADS, 12, WIDTH)
STARTS = torch.tensor([0, 3, 8], dtype=torch.int32)  # sequences of 3 and 5
PACKED = meta(8, HEADS, WIDTH)


def flash_and_back() -> None:
    out = aten._scaled_dot_product_flash_attention(Q, K, K, 0.0, True)
    aten._scaled_dot_product_flash_attention_backward(out[0], Q, K, K, *out[:4], 10, 12, 0.0, True, *out[6:8])


def efficient_and_back() -> None:
    out = aten._scaled_dot_product_efficient_attention(Q, K, K, None, True, 0.0, True)
    asked = [True, True, True, False]
    aten._scaled_dot_product_efficient_attention_backward(out[0], Q, K, K, None, *out, 0.0, asked, True)


@pytest.mark.parametrize(
    "function",
    [
        flash_and_back,
        efficient_and_back,
        lambda: aten._scaled_dot_product_cudnn_attention(Q, K, K, None, True, 0.0, True),
        lambda: aten._flash_attention_forward(PACKED, PACKED, PACKED, STARTS.to("meta"), STARTS.to("meta"), 5, 5, 0.0,
                                              True, False),
        lambda: varlen_attn(PACKED, PACKED, PACKED, STARTS.to("meta"), STARTS.to("meta"), 5, 5),
        lambda: torch._scaled_mm(meta(16, 32, dtype=torch.float8_e4m3fn), meta(16, 32, dtype=torch.float8_e4m3fn).t(),
                                 meta(), meta(), out_dtype=torch.bfloat16),
    ],
)  # fmt: skip
def test_multiply_accumulates_of_kernels_are_those_of_torchs_counter(function: Callable[[], Any]) -> None:
    with FlopCounterMode(display=False) as theirs:
        function()
    with CountingMode() as ours:
        function()
    macs = sum(each.cost.work[Event.MAC] for each in ours.operations)
    assert 2 * macs == theirs.get_total_flops() > 0


def pairs_by_hand(T: int, S: int, shift: int, left: int | None, right: int | None) -> int:
    """Pairs of a query i and a key j with i + shift - left <= j <= i + shift + right."""
    low, high = (10**9 if side is None else side for side in (left, right))
    return sum(-low <= j - i - shift <= high for i in range(T) for j in range(S))


@pytest.mark.parametrize(("T", "S"), [(1, 1), (5, 5), (3, 7), (7, 3), (1, 9)])
def test_pairs_that_a_causal_mask_keeps(T: int, S: int) -> None:
    """From the top left: query i sees min(i + 1, S) keys, in both heads."""
    q, k, v = meta(1, 2, T, 4), meta(1, 2, S, 4), meta(1, 2, S, 6)
    work = kept(aten._scaled_dot_product_flash_attention_for_cpu.default, (q, k, v, 0.0, True), {})
    assert work is not None
    pairs = 2 * sum(min(i + 1, S) for i in range(T))
    assert pairs == 2 * pairs_by_hand(T, S, 0, None, 0)
    assert work == {Event.MAC: pairs * (4 + 6), Event.PRODUCT: pairs, Event.SOFTMAX: pairs}
    assert kept(aten._scaled_dot_product_flash_attention_for_cpu.default, (q, k, v), {}) is None


@pytest.mark.parametrize("window", [[-1, 0], [1, 0], [2, 1], [-1, -1]])
def test_pairs_of_sequences_in_a_row(window: list[int]) -> None:
    """Each sequence alone; windows end at the last query and the last key: 3 queries of 3 keys, 5 of 6."""
    varlen = torch.ops.torch_attn._varlen_attn.default
    ends = torch.tensor([0, 3, 9], dtype=torch.int32)
    args = (PACKED, meta(9, HEADS, WIDTH), meta(9, HEADS, WIDTH), STARTS, ends, 5, 6, False, None, window)
    assert (rule_of(varlen)((PACKED,), *args) or {})[Event.MAC] == (3 * 3 + 5 * 6) * HEADS * 2 * WIDTH
    left, right = (None if side < 0 else side for side in window)
    pairs = HEADS * (pairs_by_hand(3, 3, 0, left, right) + pairs_by_hand(5, 6, 1, left, right))
    work = kept(varlen, args, {})
    assert work is None if window == [-1, -1] else work is not None and work[Event.MAC] == pairs * 2 * WIDTH


@pytest.mark.parametrize("kind", ["bool", "float"])
def test_pairs_that_a_mask_with_values_keeps(kind: str) -> None:
    """A band of three keys about each of 12: 34 pairs, of 2 x 4 heads; the mask is added to all that are computed."""
    band = torch.ones(12, 12, dtype=torch.bool).tril(1).triu(-1)
    mask = band if kind == "bool" else torch.zeros(12, 12).masked_fill(~band, float("-inf"))
    work = kept(aten._scaled_dot_product_flash_attention_for_cpu.default, (K, K, K), {"attn_mask": mask})
    pairs = BATCH * HEADS * (12 + 11 + 11)
    assert work is not None
    assert (work[Event.MAC], work[Event.ADDITION]) == (pairs * 2 * WIDTH, pairs)


def test_pairs_that_a_causal_mask_keeps_in_letters() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext

    def symbolic(length: int) -> Any:
        dynamic = [DimDynamic.STATIC, DimDynamic.STATIC, DimDynamic.DYNAMIC, DimDynamic.STATIC]
        context: Any = StatelessSymbolicContext(dynamic_sizes=dynamic)
        return mode.from_tensor(meta(1, 2, length, 4), symbolic_context=context)

    mode = FakeTensorMode(shape_env=ShapeEnv(duck_shape=False))
    q, k = symbolic(20), symbolic(30)
    work = kept(aten._scaled_dot_product_flash_attention_for_cpu.default, (q, k, k, 0.0, True), {})
    assert work is not None
    form: Any = work[Event.MAC]
    T, S = q.shape[2].node.expr, k.shape[2].node.expr
    for t, s in ((3, 7), (7, 3), (5, 5)):
        assert form.node.expr.subs({T: t, S: s}) == 2 * 8 * sum(min(i + 1, s) for i in range(t))


def causal(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return sdpa(q, k, v, 0.0, True)[0]  # type: ignore[no-any-return]


def test_masked_attention_of_a_count() -> None:
    """8 heads, 64 x 64 pairs, of which 64 x 65 / 2 are kept; two products of 16 numbers each."""
    counted = count(causal, *["1x8x64x16"] * 3)
    assert (counted.macs, counted.masked.macs) == (8 * 64 * 64 * 2 * 16, 8 * 64 * 65 // 2 * 2 * 16)
    assert counted.flops(attention="masked") == 2 * counted.masked.macs
    assert counted.masked.masked == counted.masked
    assert counted.cost.reads == counted.masked.cost.reads
    with pytest.raises(InvalidInput, match="unknown attention 'half': one of full, masked"):
        counted.flops(attention="half")
    full = json.loads(report.document(counted).text("json"))
    masked = json.loads(report.document(counted, attention="masked").text("json"))
    assert (full["attention"], masked["attention"]) == ("full", "masked")
    assert (full["macs"], masked["macs"]) == (counted.macs, counted.masked.macs)
    assert f"{2 * counted.masked.macs:,} FLOPs with those alone" in " ".join(
        report.document(counted).text("text").split()
    )
    assert "attention" not in report.document(count(nn.Linear(8, 4), "2x8")).text("text")


def test_masked_attention_in_letters() -> None:
    """2 heads, T (T + 1) / 2 pairs, two products of 4."""
    counted = count(causal, *["1x2xTx4"] * 3)
    assert (counted.formula()["MACs"], counted.masked.formula()["MACs"]) == ("16*T**2", "8*T*(1 + T)")


def test_masked_attention_at_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["count", "test_rules:Attends", "--input", "1x1x6x4", "--real", "--format", "json"]
    macs = [json.loads(run(capsys, *arguments, "--attention", each)[1])["macs"] for each in ("full", "masked")]
    assert macs == [6 * 6 * 2 * 4, 6 * 7 // 2 * 2 * 4]
    code, _, err = run(capsys, *arguments, "--attention", "none")
    assert (code, "--attention 'none': one of full, masked" in err) == (2, True)


class Attends(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(x, x, x, is_causal=True)


# ---- products --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "args", "work"),
    [
        (torch._int_mm, (meta(32, 16, dtype=torch.int8), meta(16, 8, dtype=torch.int8)), {Event.MAC: 32 * 16 * 8}),
        (
            torch._weight_int8pack_mm,
            (meta(8, 64, dtype=torch.bfloat16), meta(32, 64, dtype=torch.int8), meta(32, dtype=torch.bfloat16)),
            {Event.MAC: 8 * 64 * 32, Event.PRODUCT: 8 * 32},
        ),
        # A kernel of 3 over 9 steps leaves 7, of 2 samples and 5 channels, from 3 channels.
        (torch.conv_tbc, (meta(9, 2, 3), meta(3, 3, 5), meta(5)), {Event.MAC: 7 * 2 * 5 * 9, Event.BIAS: 7 * 2 * 5}),
        (torch.mm, (torch.eye(5).to_sparse(), torch.ones(5, 4)), {Event.MAC: 5 * 4}),
        (torch.mv, (torch.eye(5).to_sparse(), torch.ones(5)), {Event.MAC: 5}),
        (torch.linalg.cross, (meta(4, 3), meta(4, 3)), {Event.PRODUCT: 24, Event.ADDITION: 12}),
    ],
)
def test_products_by_hand(function: Any, args: tuple[Any, ...], work: dict[Event, int]) -> None:
    assert cost(function, *args).work == Work(work)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("a", "b", "macs"),
    [
        ((16, 32), (2, 32, 8), 16 * 32 * 8),  # rows by group
        ((8, 16), (16, 24), 8 * 24 * 16),  # summands by group: of two groups each a part
        ((2, 16, 32), (2, 32, 8), 2 * 16 * 32 * 8),
        ((2, 16, 32), (32, 16), 16 * 32 * 16),  # columns by group
    ],
)
def test_grouped_products(a: tuple[int, ...], b: tuple[int, ...], macs: int, dtype: torch.dtype) -> None:
    places = None if len(a) == len(b) == 3 else torch.tensor([8, 16], dtype=torch.int32)
    left, right = (torch.zeros(shape, dtype=dtype) for shape in (a, b))
    real = F.grouped_mm(left, right, offs=places)
    counted = count(lambda x, y: F.grouped_mm(x, y, offs=places), left, right)
    assert (counted.macs, counted.operations[-1].output) == (macs, tuple(real.shape))


@pytest.mark.filterwarnings("ignore:torch.ao.quantization", "ignore:torch.quantize_per_tensor")
def test_quantised_modules() -> None:
    """2 rows, 8 to 16 to 4: the weights are inside what the modules hold, 4 bytes each where they are unpacked."""
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).eval()
    counted = count(torch.ao.quantization.quantize_dynamic(net, {nn.Linear}), torch.randn(2, 8), real=True)
    assert not counted.uncounted
    assert (counted.macs, counted.work[Event.BIAS]) == (2 * (8 * 16 + 16 * 4), 2 * (16 + 4))


@pytest.mark.filterwarnings("ignore:torch.ao.quantization", "ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (nn.LSTM(8, 6, 2, bidirectional=True), (5, 3, 8)),
        (nn.GRU(8, 6, 2), (5, 3, 8)),
        (nn.LSTMCell(8, 6), (3, 8)),
        (nn.GRUCell(8, 6), (3, 8)),
        (nn.RNNCell(8, 6), (3, 8)),
    ],
    ids=lambda net: type(net).__name__,
)
def test_quantised_recurrence_does_what_the_original_does(net: nn.Module, shape: tuple[int, ...]) -> None:
    packed = torch.ao.quantization.quantize_dynamic(nn.Sequential(net), {type(net)})
    counted, original = count(packed, torch.randn(shape), real=True), count(net, torch.randn(shape))
    assert not counted.uncounted
    without_copies = {event: n for event, n in original.work.items() if event is not Event.MOVE}
    assert counted.work == Work(without_copies)


# ---- linear algebra, Fourier transforms ------------------------------------------------------------------------------


def cholesky(n: int) -> int:
    return sum(j for j in range(n) for i in range(j, n))


def lu(m: int, n: int) -> int:
    return sum((m - k - 1) * (n - k - 1) for k in range(min(m, n)))


def reflections(m: int, columns: int, steps: int) -> int:
    return sum(2 * (m - j) * (columns - j - 1) for j in range(steps))


def qr(m: int, n: int) -> int:
    return reflections(m, n, min(m, n)) + sum(m - j for j in range(min(m, n)))


@pytest.mark.parametrize(
    ("function", "shapes", "macs"),
    [
        (torch.linalg.cholesky, [(3, 6, 6)], 3 * cholesky(6)),
        (torch.linalg.lu_factor, [(6, 6)], lu(6, 6)),
        (torch.linalg.lu_factor, [(4, 7)], lu(4, 7)),
        (torch.linalg.lu_factor, [(7, 4)], lu(7, 4)),
        (torch.linalg.det, [(6, 6)], lu(6, 6)),
        (torch.linalg.slogdet, [(6, 6)], lu(6, 6)),
        # Two triangles without their diagonals, for each right side.
        (torch.linalg.solve, [(6, 6), (6, 2)], lu(6, 6) + 2 * 2 * sum(range(6))),
        (torch.linalg.solve, [(6, 6), (6,)], lu(6, 6) + 2 * sum(range(6))),
        (torch.linalg.inv, [(6, 6)], lu(6, 6) + 6 * 2 * sum(range(6))),
        (lambda a, b: torch.linalg.solve_triangular(a, b, upper=True), [(6, 6), (6, 2)], 2 * sum(range(6))),
        (lambda b, a: torch.triangular_solve(b, a)[0], [(6, 2), (6, 6)], 2 * sum(range(6))),
        (torch.cholesky_solve, [(6, 2), (6, 6)], 2 * 2 * sum(range(6))),
        (lambda a: torch.linalg.qr(a, mode="r"), [(6, 4)], qr(6, 4)),
        (torch.linalg.qr, [(6, 4)], qr(6, 4) + reflections(6, 4, 4)),
        (lambda a: torch.linalg.qr(a, mode="complete"), [(4, 6)], qr(4, 6) + reflections(4, 4, 4)),
        (torch.linalg.matrix_exp, [(3, 5, 5)], 3 * 5 * 5**3),  # five products of each, without values
    ],
)  # fmt: skip
def test_linear_algebra_is_that_of_textbook_loops(function: Any, shapes: list[tuple[int, ...]], macs: int) -> None:
    assert cost(function, *(meta(*shape) for shape in shapes)).work[Event.MAC] == macs


def test_the_exponential_of_a_matrix_with_values() -> None:
    """Of norm 0 no product, 0.01 two, 2 five, 100 besides six squarings: 100 / 3.01 < 2^6."""
    norms = torch.tensor([0.0, 0.01, 2.0, 100.0])
    assert cost(torch.linalg.matrix_exp, torch.eye(5) * norms[:, None, None]).work[Event.MAC] == (0 + 2 + 5 + 11) * 5**3


def test_what_iterates_until_values_converge_is_listed() -> None:
    assert list(count(torch.linalg.svdvals, "3x4").uncounted) == ["aten._linalg_svd.default(3x4)"]


@pytest.mark.parametrize(
    ("function", "shape", "butterflies"),
    [
        (torch.fft.fft, (3, 8), 3 * 8 * 3 // 2),  # 8 / 2 * log2(8) for each row
        (torch.fft.ifft2, (3, 4, 8), 3 * 32 * 5 // 2),
        (torch.fft.fft, (7,), ceil(7 * log2(7) / 2)),
        (torch.fft.fft, (1,), 0),
        (lambda x: torch.fft.rfft(x.real), (3, 8), 3 * 8 * 3 // 4),  # of a real signal half as many
        (lambda x: torch.fft.irfft(x, n=8), (3, 5), 3 * 8 * 3 // 4),
    ],
)
def test_fourier_transforms(function: Any, shape: tuple[int, ...], butterflies: int) -> None:
    work = cost(function, meta(*shape, dtype=torch.complex64)).work
    assert work[Event.FFT] == butterflies
    prices = {name: convention.prices[Event.FFT] for name, convention in CONVENTIONS.items()}
    assert prices == {"paper": 10, "tf-profiler": 0, "fvcore": 0, "torch": 0, "erfnet": 0}


# ---- others ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "args", "work"),
    [
        (torch.nonzero, (torch.ones(4, 5),), {Event.COMPARISON: 20}),
        (torch.unique, (torch.tensor([1, 1, 2]),), {Event.REDUCTION: 3, Event.COMPARISON: 3}),
        (torch.unique_consecutive, (torch.tensor([1, 1, 2]),), {Event.COMPARISON: 3}),
        (torch.bincount, (torch.tensor([1, 1, 2]),), {Event.ADDITION: 3}),
        (torch.histc, (torch.ones(5),), {Event.ADDITION: 10, Event.DIVISION: 5, Event.COMPARISON: 10}),
        # A search among 15 ends after 4 comparisons.
        (torch.searchsorted, (torch.arange(15.0), torch.ones(6)), {Event.COMPARISON: 24}),
        (torch.bucketize, (torch.ones(6), torch.arange(15.0)), {Event.COMPARISON: 24}),
        (torch._is_all_true, (torch.ones(7, dtype=torch.bool),), {Event.REDUCTION: 7}),
        (torch.equal, (torch.ones(7), torch.ones(7)), {Event.COMPARISON: 7}),
        (torch.ops.prims.mul, (meta(5), meta(5)), {Event.PRODUCT: 5}),
        (torch.ops.prims.add, (meta(5), meta(5)), {Event.ADDITION: 5}),
        (torch.ops.prims.exp, (meta(5),), {Event.TRANSCENDENTAL: 5}),
        (torch.ops.prims.sum, (meta(5, 2), [0]), {Event.REDUCTION: 10}),
        (torch.ops.prims.bessel_j0, (meta(5),), {Event.POINTWISE: 5}),
        (torch.ops.prims.convert_element_type, (meta(5), torch.float64), {Event.MOVE: 5}),
        (torch.ops.prims.broadcast_in_dim, (meta(5), [2, 5], [1]), {}),
        (torch._foreach_add, ([meta(5), meta(7)], [meta(5), meta(7)]), {Event.ADDITION: 12}),
        (torch._foreach_sqrt, ([meta(5), meta(7)],), {Event.TRANSCENDENTAL: 12}),
        (torch._foreach_neg, ([meta(5), meta(7)],), {Event.POINTWISE: 12}),
        (torch._foreach_lerp, ([meta(5)], [meta(5)], 0.5), {Event.ADDITION: 10, Event.PRODUCT: 5}),
        # Of the two values, 1 needs no product.
        (
            torch._foreach_addcdiv, ([meta(5)] * 2, [meta(5)] * 2, [meta(5)] * 2, [1.0, 2.0]),
            {Event.ADDITION: 10, Event.DIVISION: 10, Event.PRODUCT: 5},
        ),
    ],
)  # fmt: skip
def test_rules_by_hand(function: Any, args: tuple[Any, ...], work: dict[Event, int]) -> None:
    assert cost(function, *args).work == Work(work)


def test_bytes_of_lists_that_change_in_place() -> None:
    two, other = [torch.ones(5), torch.ones(7)], [torch.ones(5), torch.ones(7)]
    for function, reads in ((torch._foreach_add_, 96), (torch._foreach_copy_, 48)):
        seen = cost(function, two, other)
        assert (seen.reads, seen.writes, seen.launches) == (reads, 48, 1)


@pytest.mark.parametrize("backward", [False, True])
def test_the_lattice_of_connectionist_temporal_classification(backward: bool) -> None:
    """7 steps, 2 samples, 3 labels with 4 gaps: 98 states of 7 additions; backward 11 each, and 3 for 70 scores."""
    scores, labels = torch.randn(7, 2, 5, requires_grad=True), torch.ones(2, 3, dtype=torch.int64)
    for real in (False, True):
        counted = count(lambda s: F.ctc_loss(s, labels, [7, 7], [3, 3]), scores, backward=backward, real=real)
        work = [each.cost.work for each in counted.operations if "_ctc_loss" in each.op]
        assert [each[Event.ADDITION] for each in work] == [98 * 7, 98 * 11 + 70 * 3][: 1 + backward]


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [
        (torch.optim.Adam, {}),
        (torch.optim.Adam, {"weight_decay": 0.1, "amsgrad": True}),
        (torch.optim.AdamW, {"weight_decay": 0.1}),
        (torch.optim.SGD, {"weight_decay": 0.1}),
        (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
        (torch.optim.Adagrad, {}),
    ],
)
def test_fused_optimizers_do_what_their_parts_do(optimizer: Any, options: dict[str, Any]) -> None:
    """Of 1000 parameters, in the second step, besides what is done once."""

    def step(**how: bool) -> dict[Event, int]:
        weight = nn.Parameter(torch.ones(1000))
        weight.grad = torch.ones(1000)
        made = optimizer([weight], **options, **how)
        made.step()
        seen = observe(made.step)
        assert not seen.uncounted
        return {event: n // 1000 for event, n in seen.cost.work.items() if n >= 1000}

    single = step(foreach=False)
    assert step(fused=True) == single
    assert step(foreach=True) == single


def test_a_packed_sequence_is_a_copy() -> None:
    packed = observe(lambda x: nn.utils.rnn.pack_padded_sequence(x, torch.tensor([3, 2]), batch_first=True).data,
                     torch.ones(2, 3, 4))  # fmt: skip
    assert not packed.uncounted
    assert packed.operations[-1].cost.work == Work({Event.MOVE: 5 * 4})


def boxes(name: str, schema: str) -> Any:
    """An operation of torchvision, or one of its name where torchvision is not there."""
    if not hasattr(torch.ops.torchvision, name):
        torch.library.define(f"torchvision::{name}", schema)
    return getattr(torch.ops.torchvision, name).default


def test_operations_of_torchvision() -> None:
    """10 boxes make 45 pairs. 3 boxes in 2 x 2 parts of 2 x 2 samples, of 4 channels, each between four corners."""
    _, nms = find(boxes("nms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"))
    assert nms is not None
    assert (nms(None, meta(10, 4), meta(10), 0.5) or {})[Event.DIVISION] == 45
    sides = "float spatial_scale, SymInt pooled_height, SymInt pooled_width, int sampling_ratio, bool aligned"
    _, rule = find(boxes("roi_align", f"(Tensor input, Tensor rois, {sides}) -> Tensor"))
    assert rule is not None
    x, regions = meta(1, 4, 16, 16), torch.tensor([[0.0, 0, 0, 8, 8]] * 3)
    assert (rule(None, x, regions, 1.0, 2, 2, 2, False) or {})[Event.INTERPOLATION] == 3 * 4 * 4 * 4
    # Without a number of samples, as many as pixels: 8 / 2 in each direction of a part.
    assert (rule(None, x, regions, 1.0, 2, 2, -1, False) or {})[Event.INTERPOLATION] == 3 * 4 * 4 * 4 * 4
    assert rule(None, x, regions.to("meta"), 1.0, 2, 2, -1, False) is None


# ---- operations that take functions ----------------------------------------------------------------------------------


class Recorder(TorchDispatchMode):
    """What `CountingMode` does with operations that take functions, and no more."""

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}

        def counted(function: Callable[..., Any], *given: Any, **named: Any) -> Any:
            with self:
                return function(*given, **named)

        taking = isinstance(func, HigherOrderOperator)
        out = handle(func, args, kwargs, counted) if taking else func(*args, **kwargs)
        kind, rule = find(func)
        if kind != "free":
            work = rule(out, *args, **kwargs) if rule else None
            self.seen.append(
                (
                    str(func),
                    work,
                    kept(func, args, kwargs),
                    traffic(func, args, kwargs, tensors((*args, *kwargs.values())), tensors((out,))),
                )
            )
        return out

    def macs(self) -> int:
        return sum((work or {}).get(Event.MAC, 0) for _, work, _, _ in self.seen)


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.filterwarnings("ignore:flex_attention called without")
def test_flex_attention(device: str) -> None:
    """2 heads, 128 queries and 96 keys of 16; values of 8."""
    q, k, v = (torch.randn(1, 2, *sides, device=device) for sides in ((128, 16), (96, 16), (96, 8)))
    with plain_flex_attention(), Recorder() as seen:
        assert flex_attention(q, k, v).shape == (1, 2, 128, 8)
    assert seen.macs() == 2 * 128 * 96 * (16 + 8)
    (name, _, masked, moved) = seen.seen[-1]
    out = 2 * 128 * 8 + 2 * 128  # and the log-sum-exp
    assert (name, masked, moved) == ("flex_attention", None, (4 * 2 * (128 * 16 + 96 * 16 + 96 * 8), 4 * out))


@pytest.mark.filterwarnings("ignore:flex_attention called without")
def test_flex_attention_with_a_mask_and_gradients() -> None:
    """Blocks of 128: of four, a causal mask leaves out one. Backward five products for two."""
    mask = create_block_mask(lambda b, h, i, j: i >= j, None, None, 256, 256, device="cpu")
    x = torch.randn(1, 2, 256, 16, requires_grad=True)
    with plain_flex_attention(), Recorder() as seen:
        flex_attention(x, x, x, lambda score, b, h, i, j: 2 * score, block_mask=mask).sum().backward()
    found = [(work, masked) for name, work, masked, _ in seen.seen if name.startswith("flex_attention")]
    pairs = 2 * 256 * 256
    assert [work[Event.MAC] for work, _ in found] == [pairs * 2 * 16, pairs * 5 * 16]
    assert [masked[Event.MAC] for _, masked in found] == [pairs * 3 // 4 * 2 * 16, pairs * 3 // 4 * 5 * 16]
    assert x.grad is not None
    assert x.grad.shape == x.shape


W = torch.ones(4, 4)


@pytest.mark.parametrize("above", [False, True])
@pytest.mark.parametrize(
    ("function", "macs"),
    [
        (lambda x: torch.cond(torch.tensor(True), lambda x: x @ W @ W, lambda x: x @ W, (x,)), 2 * 3 * 16),
        (lambda x: torch.cond(torch.tensor(False), lambda x: x @ W @ W, lambda x: x @ W, (x,)), 3 * 16),
        (lambda x: control("while_loop")(lambda n, x: n < 5, lambda n, x: (n + 1, x @ W), (torch.tensor(0), x)),
         5 * 3 * 16),
        (lambda x: control("scan")(lambda h, x: (h @ W + x, h), torch.zeros(1, 4), x), 3 * 16),
        (lambda x: control("map")(lambda x: x @ W, x), 3 * 16),
    ],
    ids=["cond true", "cond false", "while_loop", "scan", "map"],
)  # fmt: skip
def test_control_flow_runs_as_plain_python(function: Any, macs: int, above: bool) -> None:
    """3 rows by 4 x 4, below autograd and above it."""
    with torch.no_grad(), Recorder() as seen:
        if above:
            with plain_control_flow():
                function(torch.ones(3, 4))
        else:
            function(torch.ones(3, 4))
    assert seen.macs() == macs


def control(name: str) -> Any:
    import importlib

    return getattr(importlib.import_module(f"torch._higher_order_ops.{name}"), name)


def test_gradients_of_control_flow() -> None:
    x = torch.ones(3, 4, requires_grad=True)
    with plain_control_flow(), Recorder() as seen:
        torch.cond(torch.tensor(True), lambda x: x @ W, lambda x: x, (x,)).sum().backward()
    assert seen.macs() == 2 * 3 * 16


def test_control_flow_without_values_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"torch\.cond depends on a value"), Recorder():
        torch.cond(meta(3).sum() > 0, lambda x: x, lambda x: -x, (meta(3),))


def test_other_operations_that_take_functions_are_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match="no rule for invoke_quant, which takes functions"):
        handle(HigherOrderOperatorOf("invoke_quant"), (), {}, lambda: None)


class HigherOrderOperatorOf(HigherOrderOperator):
    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError
