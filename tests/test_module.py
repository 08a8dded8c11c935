"""Real modules against cells written by hand, and everything one does with an nn.Module."""

import pytest
import torch
from hand_written import Cell as ByHand
from hand_written_icnet import icnet
from references import EXACT

from costmodel.building.module import Streaming, build
from costmodel.describe.catalogue import describe_network
from costmodel.describe.cells import CELLS, describe_cell
from costmodel.describe.ops import Conv, Map
from costmodel.describe.program import Trace
from costmodel.errors import InvalidInput

KERNELS = [1, 3, 5, (3, 5), (5, 1), 2, (4, 3), 7]


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def frames(count: int, *shape: int) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(shape) for _ in range(count)]


@pytest.mark.parametrize("peephole", [None, "peephole", "channel-peephole"])
@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("kind", CELLS)
def test_cells_compute_what_the_equations_say(kind: str, kernel: object, peephole: str | None) -> None:
    """Three frames of a batch of two, odd sizes, I != O where the cell allows it, against plain torch."""
    torch.manual_seed(0)
    inputs, outputs, rows, columns = (6 if kind == "depth" else 4), 6, 9, 13
    kx, ky = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    shapes = {None: None, "peephole": (outputs, rows, columns), "channel-peephole": (outputs, 1, 1)}
    by_hand = ByHand(kind, inputs, outputs, kx, ky, shapes[peephole])
    program = describe_cell(
        kind, kernel=kernel, channels=(inputs, outputs), size=(rows, columns), recurrence=peephole or "convlstm"
    )
    module = build(program)
    module.body.load_state_dict(by_hand.state_dict(), strict=True)
    assert parameters(module) == program.parameters == by_hand.parameters()

    h = c = torch.zeros(2, outputs, rows, columns)
    state = None  # zeros
    for x in frames(3, 2, inputs, rows, columns):
        h, c = by_hand.step(x, h, c)
        y, state = module(x, state)
        torch.testing.assert_close(y, h, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(state, (h, c), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("row", EXACT, ids=lambda row: row["approach"])
def test_network_modules_have_the_described_parameters(row: dict[str, str]) -> None:
    with torch.device("meta"):
        module = build(describe_network(row["version"] or "icnet", cell=row["cell"] or "standard"))
    assert parameters(module) == int(row["params"])


@pytest.fixture
def fresh_compiler() -> None:
    """torch.compile gives up on a forward that it compiled for many different modules in one process."""
    torch.compiler.reset()


def small(version: str = "v6", **settings: object) -> Streaming:
    torch.manual_seed(0)
    return build(describe_network(version, size=(101, 130), classes=5, **settings)).eval()


def test_a_network_streams_and_remembers() -> None:
    net = small(cell="sep", heads=False)
    first, second = frames(2, 1, 3, 101, 130)
    with torch.no_grad():
        y1, state = net(first)
        y2, _ = net(second, state)
        again, _ = net(second, state)
        forgetful, _ = net(second)
        zeros, _ = net(second, net.zeros(second))
    assert y1.shape == (1, 5, *(2 * n - 1 for n in (13, 17)))
    torch.testing.assert_close(y2, again, rtol=0, atol=0)
    torch.testing.assert_close(forgetful, zeros, rtol=0, atol=0)
    assert not torch.allclose(y2, forgetful)


def randomise(net: Streaming) -> None:
    """Weights that matter everywhere: default batch norms would hide a swapped scale or statistic."""
    torch.manual_seed(1)
    for name, tensor in net.body.state_dict().items():
        if name.endswith(("norm.weight", "running_var")):
            tensor.uniform_(0.5, 1.5)
        elif name.endswith(("norm.bias", "running_mean")):
            tensor.uniform_(-0.5, 0.5)


@pytest.mark.parametrize("size", [(101, 130), (128, 97), (160, 128)], ids=str)
@pytest.mark.parametrize(("version", "kind"), [("icnet", None), ("v2", "sep"), ("v5", "depth"), ("v6", "spatial")])
def test_networks_compute_what_one_by_hand_does(version: str, kind: str | None, size: tuple[int, int]) -> None:
    """The wiring: two frames through ICNet written by hand, cells by hand at the sites."""
    sites = {"icnet": (), "v2": ("final",), "v5": ("low", "medium", "high"), "v6": ("low", "medium", "high", "final")}
    torch.manual_seed(0)
    net = build(describe_network(version, cell=kind or "standard", size=size, classes=5, kernel=5)).eval()
    randomise(net)
    weights = net.body.state_dict()
    cells = {site: ByHand(kind or "", 128, 128, 5, 5) for site in sites[version]}
    for site, cell in cells.items():
        for name, tensor in cell.state_dict().items():
            weights[f"{site}.{name}"].copy_(tensor)
    memory: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    def at(site: str, x: torch.Tensor) -> torch.Tensor:
        if site not in cells:
            return x
        zero = torch.zeros(1, 128, *x.shape[2:])
        memory[site] = cells[site].step(x, *memory.get(site, (zero, zero)))
        return memory[site][0]

    state = None
    with torch.no_grad():
        for x in frames(2, 1, 3, *size):
            expected = icnet(weights, x, at)
            outputs, state = net(x, state)
            torch.testing.assert_close(outputs, expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(state, tuple(s for site in sites[version] for s in memory[site]), rtol=1e-3, atol=1e-4)


def test_heads_and_stateless_networks() -> None:
    (x,) = frames(1, 2, 3, 101, 130)
    (scores, sub24, sub4), state = small("icnet")(x)
    assert state == ()
    assert [t.shape[:2] for t in (scores, sub24, sub4)] == [(2, 5)] * 3
    plain, _ = small("icnet", heads=False)(x)
    assert plain.shape == scores.shape


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 0.1), (torch.float64, 1e-4)])
def test_dtypes_and_memory_formats(dtype: torch.dtype, tolerance: float, memory_format: torch.memory_format) -> None:
    net = small(cell="depth", heads=False)
    first, second = frames(2, 1, 3, 101, 130)
    with torch.no_grad():
        _, state = net(first)
        expected, _ = net(second, state)
        net = net.to(dtype).to(memory_format=memory_format)
        y, state = net(first.to(dtype).to(memory_format=memory_format))
        y, state = net(second.to(dtype).to(memory_format=memory_format), state)
    assert y.dtype == state[0].dtype == dtype
    assert y.is_contiguous(memory_format=memory_format)
    torch.testing.assert_close(y.float(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", CELLS)
def test_bfloat16_is_close_to_float32(kind: str) -> None:
    module = build(describe_cell(kind, channels=8, size=(9, 11)))
    (x,) = frames(1, 1, 8, 9, 11)
    with torch.no_grad():
        y, _ = module(x)
        half, _ = module.to(torch.bfloat16)(x.bfloat16())
    torch.testing.assert_close(half.float(), y, rtol=0.05, atol=0.02)  # bfloat16 has 8 bits of mantissa


def test_training_reaches_every_parameter() -> None:
    net = small(cell="sep").train()
    (x,) = frames(1, 2, 3, 101, 130)
    before = net.body.conv1_1_3x3_s2.norm.running_mean.clone()
    outputs, state = net(x)
    outputs, state = net(x, state)
    (sum(o.square().mean() for o in outputs) + sum(s.mean() for s in state)).backward()
    assert all(p.grad is not None for p in net.parameters())
    assert not torch.equal(before, net.body.conv1_1_3x3_s2.norm.running_mean)


@pytest.mark.parametrize("kind", CELLS)
def test_compiles_without_a_graph_break(kind: str, fresh_compiler: None) -> None:
    module = build(describe_cell(kind, kernel=(3, 4), channels=8, size=(6, 7))).eval()
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    a, b = frames(2, 1, 8, 6, 7)
    with torch.no_grad():
        for x in (a, b):
            torch.testing.assert_close(compiled(x), module(x))
            torch.testing.assert_close(compiled(x, module.zeros(x)), module(x))


def test_a_network_compiles_without_a_graph_break(fresh_compiler: None) -> None:
    net = build(describe_network("v6", cell="sep", size=(97, 97), classes=3)).eval()
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    first, second = frames(2, 1, 3, 97, 97)
    with torch.no_grad():
        _, state = compiled(first)
        torch.testing.assert_close(compiled(second, state), net(second, net(first)[1]))


def test_a_cell_exports_for_any_batch() -> None:
    cell = build(describe_cell("sep", channels=4, size=(5, 6))).eval()
    (x,) = frames(1, 2, 4, 5, 6)
    batch = torch.export.Dim("batch", min=2)
    exported = torch.export.export(cell, (x,), dynamic_shapes={"frame": {0: batch}}).module()
    (larger,) = frames(1, 5, 4, 5, 6)
    with torch.no_grad():
        torch.testing.assert_close(exported(larger), cell(larger))


def test_compiles_with_the_default_backend(fresh_compiler: None) -> None:
    module = build(describe_cell("depth", channels=4, size=(6, 7))).eval()
    (x,) = frames(1, 1, 4, 6, 7)
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(module)(x), module(x))


@pytest.mark.parametrize("with_state", [False, True])
def test_exports(with_state: bool) -> None:
    net = small(cell="spatial", heads=False)
    (x,) = frames(1, 1, 3, 101, 130)
    arguments = (x, net.zeros(x)) if with_state else (x,)
    exported = torch.export.export(net, arguments).module()
    with torch.no_grad():
        torch.testing.assert_close(exported(*arguments), net(*arguments))


def test_runs_on_meta_tensors() -> None:
    with torch.device("meta"):
        net = build(describe_network("v6", cell="spatial")).eval()
        (scores, *_), state = net(torch.empty(1, 3, 1024, 2048))
    assert scores.shape == (1, 19, 255, 511)
    assert {s.device.type for s in state} == {"meta"}


def test_code_is_printable_python() -> None:
    code = build(describe_cell("sep", channels=4, size=(5, 5))).code
    compile(code, "forward", "exec")
    assert "xi_2 = self.xi_2(xi_1)" in code
    assert "torch.tanh" in code


def test_a_frame_of_another_size_is_refused_where_it_matters() -> None:
    net = small(cell="depth")
    with pytest.raises(ValueError, match="built for frames of batch x 3 x 101 x 130, not 1 x 3 x 97 x 97"):
        net(torch.zeros(1, 3, 97, 97))
    cell = build(describe_cell("depth", channels=4, size=(5, 5)))
    assert cell(torch.zeros(1, 4, 9, 2))[0].shape == (1, 4, 9, 2)
    with pytest.raises(ValueError, match="not 1 x 3 x 5 x 5"):
        cell(torch.zeros(1, 3, 5, 5))
    with pytest.raises(ValueError, match="not 4 x 5 x 5"):
        cell(torch.zeros(4, 5, 5))
    fixed = build(describe_cell("depth", channels=4, size=(5, 5), recurrence="peephole"))
    with pytest.raises(ValueError, match="not 1 x 4 x 9 x 2"):
        fixed(torch.zeros(1, 4, 9, 2))


def test_a_strided_network_is_bound_to_its_size() -> None:
    """How SAME pads a stride-2 convolution depends on whether a side is even."""
    trace = Trace()
    x = trace.input("x", Map(2, 8, 8))
    net = build(trace.program("strided", trace.apply(Conv(3, (3, 3), stride=2), x, name="conv")))
    assert net(torch.zeros(1, 2, 8, 8))[0].shape == (1, 3, 4, 4)
    with pytest.raises(ValueError, match="not 1 x 2 x 9 x 9"):
        net(torch.zeros(1, 2, 9, 9))


def test_a_state_that_does_not_fit_the_frame_is_refused() -> None:
    cell = build(describe_cell("depth", channels=4, size=(5, 5)))
    x = torch.zeros(2, 4, 5, 5)
    state = cell.zeros(x)
    for wrong in (state[:1], tuple(s[:1] for s in state), (*state, state[0])):
        with pytest.raises(ValueError, match="have the shapes 2 x 4 x 5 x 5, 2 x 4 x 5 x 5; given: "):
            cell(x, wrong)


def test_only_descriptions_are_built() -> None:
    with pytest.raises(InvalidInput, match="build takes a description"):
        build("sep")


def test_symbols_cannot_be_built() -> None:
    import sympy

    n = sympy.Symbol("n", integer=True, positive=True)
    with pytest.raises(InvalidInput, match="needs whole numbers"):
        build(describe_cell("sep", channels=n, size=(4, 4)))


@pytest.mark.cuda
@pytest.mark.parametrize("kind", CELLS)
def test_cuda_computes_the_same(kind: str) -> None:
    """Convolutions in full float32 (TF32 off) against the CPU."""
    module = build(describe_cell(kind, channels=16, size=(20, 30))).eval()
    (x,) = frames(1, 1, 16, 20, 30)
    allowed = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        with torch.no_grad():
            expected, _ = module(x)
            y, _ = module.cuda()(x.cuda())
    finally:
        torch.backends.cudnn.allow_tf32 = allowed
    torch.testing.assert_close(y.cpu(), expected, rtol=1e-4, atol=1e-5)


def dense(conv: torch.nn.Conv2d) -> torch.Tensor:
    """The weight of the ungrouped convolution that computes the same: zero between groups."""
    outputs, inputs = conv.out_channels // conv.groups, conv.in_channels // conv.groups
    whole = torch.zeros(conv.out_channels, conv.in_channels, *conv.kernel_size)
    for g in range(conv.groups):
        rows, columns = slice(g * outputs, (g + 1) * outputs), slice(g * inputs, (g + 1) * inputs)
        whole[rows, columns] = conv.weight[rows]
    return whole


def shuffled(groups: int, channels: int) -> list[int]:
    """Which channel comes out where: all first ones of the groups, all second ones, ..."""
    each = channels // groups
    return [group * each + place for place in range(each) for group in range(groups)]


def plain_weights(kind: str, cell: torch.nn.Module, gate: str) -> list[torch.Tensor]:
    """The weights and the bias of a gate of the standard cell that computes the same."""
    if kind.startswith("low-rank"):
        v = getattr(cell, f"v{gate}")
        mixed = [torch.einsum("or,rikl->oikl", v.weight[..., 0, 0], getattr(cell, u).weight) for u in ("xu", "hu")]
        return [*mixed, v.bias]
    if kind.startswith("grouped"):
        x, h = getattr(cell, f"x{gate}"), getattr(cell, f"h{gate}")
        return [dense(x), dense(h), x.bias]
    x, h = getattr(cell, f"x{gate}_1"), getattr(cell, f"h{gate}_1")
    order = shuffled(x.groups, x.out_channels)
    return [dense(x)[order], dense(h)[order], x.bias[order]]


@pytest.mark.parametrize("kind", ["grouped-2", "shuffled-2", "shuffled-4", "low-rank-3"])
@torch.no_grad()
def test_cells_of_a_family_are_standard_cells_with_other_weights(kind: str) -> None:
    torch.manual_seed(0)
    net = build(describe_cell(kind, channels=(4, 8), size=(6, 9)))
    standard = build(describe_cell("standard", channels=(4, 8), size=(6, 9)))
    for gate in "ifco":
        x, h, bias = plain_weights(kind, net.body, gate)
        getattr(standard.body, f"x{gate}").weight.copy_(x)
        getattr(standard.body, f"x{gate}").bias.copy_(bias)
        getattr(standard.body, f"h{gate}").weight.copy_(h)
    state = expected_state = None
    for x in frames(3, 2, 4, 6, 9):
        y, state = net(x, state)
        expected, expected_state = standard(x, expected_state)
        torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_conv_gru_and_conv_rnn_by_hand() -> None:
    torch.manual_seed(0)
    x, h = frames(2, 2, 4, 6, 9)
    rnn = build(describe_cell("standard", channels=4, size=(6, 9), recurrence="convrnn"))
    body = rnn.body
    y, (after,) = rnn(x, (h,))
    torch.testing.assert_close(y, torch.tanh(body.xh(x) + body.hh(h)))
    assert torch.equal(y, after)
    assert body.hh.bias is None
    gru = build(describe_cell("standard", channels=4, size=(6, 9), recurrence="convgru"))
    body = gru.body
    z, r = torch.sigmoid(body.xz(x) + body.hz(h)), torch.sigmoid(body.xr(x) + body.hr(h))
    n = torch.tanh(body.xn(x) + body.hn(r * h))
    torch.testing.assert_close(gru(x, (h,))[0], (1 - z) * h + z * n)


@torch.no_grad()
def test_a_conv_rnn_at_one_position_is_torchs_rnn() -> None:
    """A 1x1 kernel on one position is a matrix."""
    net = build(describe_cell("standard", kernel=1, channels=5, size=(1, 1), recurrence="convrnn"))
    other = torch.nn.RNNCell(5, 5)
    other.weight_ih.copy_(net.body.xh.weight[..., 0, 0])
    other.weight_hh.copy_(net.body.hh.weight[..., 0, 0])
    other.bias_ih.copy_(net.body.xh.bias)
    other.bias_hh.zero_()
    x, h = frames(2, 3, 5)
    torch.testing.assert_close(net(x[..., None, None], (h[..., None, None],))[0][..., 0, 0], other(x, h))
