"""Other counters, as prices for what they see of a call: each was read, and held against the tool over many modules.

FlopCounterMode and fvcore look at operations; thop, ptflops and torchinfo at modules (the first two at exactly the
classes that they know, so a subclass is unknown to them); ptflops, calflops and DeepSpeed at functions that they
replace. Prices are those of the tools with their oddities, and fail where the tools fail.
"""

import math
import sys
from collections import Counter as Bag
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import flop_registry

from costmodel.counting.call import Call
from costmodel.counting.watch import Counter, NotKnown, Price, by_keyword
from costmodel.work.cost import Operation
from costmodel.work.events import Event

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
NORMS = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.LayerNorm),
)
AVERAGES = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
ADAPTIVE = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
MAXIMA = (
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d),
    *(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
)
LAYERS = (nn.RNN, nn.GRU, nn.LSTM)
CELLS = (nn.RNNCell, nn.GRUCell, nn.LSTMCell)


def _each(price: Price, *names: Any) -> dict[Any, Price]:
    return dict.fromkeys(names, price)


def _product(numbers: Iterable[Any]) -> int:
    return int(math.prod(numbers))


def _size(tensor: Any) -> int:
    return _product(tensor.shape)


def _elements(input: Any, *args: Any, **kwargs: Any) -> int:
    return _size(input)


def _inputs(module: nn.Module, inputs: Any, output: Any) -> int:
    return _size(inputs[0])


def _outputs(module: nn.Module, inputs: Any, output: Any) -> int:
    return _size(output)


def _visits(root: nn.Module, ends: Callable[[nn.Module], bool] = lambda module: False) -> Bag[int]:
    """How often a walk through the tree comes to each module; a shared one is met in every module that has it."""
    found: Bag[int] = Bag()

    def visit(module: nn.Module) -> None:
        found[id(module)] += 1
        if not ends(module):
            for child in module.children():
                visit(child)

    visit(root)
    return found


def _optimised(equation: str, shapes: list[Any]) -> float:
    """The number that numpy prints for the best order of an einsum, four digits of it."""
    empty = [np.broadcast_to(np.zeros(()), tuple(shape)) for shape in shapes]
    said = np.einsum_path(equation.replace(" ", ""), *empty, optimize="optimal")[1].lower()
    return float(next(line for line in said.split("\n") if "optimized flop" in line).split(":")[-1])


# ---- FlopCounterMode -------------------------------------------------------------------------------------------------

# Kernels of a CPU for what arrives in parts on the meta device.
PARTS_ON_META = {"aten._scaled_dot_product_flash_attention_for_cpu", "aten.mkldnn_rnn_layer"}
# Composite operations that are counted as one.
_WHOLE = {f"aten.conv{way}{n}d" for way in ("", "_transpose") for n in (1, 2, 3)} | {"aten.linear", "aten.matmul"}


def _flop_counter(each: Operation) -> int:
    """Two per multiply-accumulate of the operations in its registry."""
    name = each.op.rpartition(".")[0] or each.op
    macs = int(each.cost.work[Event.MAC])
    if name == "aten.convolution_backward":
        return 2 * _both_gradients(each, macs)
    if name.removesuffix("_backward") in PARTS_ON_META and name.endswith("_backward"):
        raise NotKnown(f"{name}, whose parts on the meta device are others")
    if name in _WHOLE:  # what is in them has a formula, but for a product with a vector
        return 0 if len(each.inputs[1]) == 1 else 2 * macs
    return 2 * macs if name in PARTS_ON_META or name in _registered() else 0


def _both_gradients(each: Operation, macs: int) -> int:
    """A convolution's gradients: that of grouped weights is taken for that of a whole convolution."""
    grad, x, weight = each.inputs[:3]
    groups = (x[1] if weight[0] == grad[1] else grad[1]) // weight[1]
    one = macs if each.output != x or macs == _forward(grad, x, weight) else macs // 2
    return int(macs + (groups - 1) * one * (each.output != x or one != macs))


def _forward(grad: Any, x: Any, weight: Any) -> int:
    where = grad if weight[0] == grad[1] else x
    return _product((where[0], *where[2:])) * _product(weight)


@cache
def _registered() -> set[str]:
    return {str(target) for target in flop_registry}


# ---- fvcore ----------------------------------------------------------------------------------------------------------


def _fv_einsum(out: Any, equation: str, operands: Any, **kwargs: Any) -> int:
    shapes = [tuple(each.shape) for each in operands]
    letters: dict[str, str] = {}
    for letter in filter(str.isalpha, equation):
        letters.setdefault(letter, chr(97 + len(letters)))
    plain = "".join(letters.get(sign, sign) for sign in equation.replace(" ", ""))
    if plain == "abc,abd->acd":
        return _product(shapes[0]) * int(shapes[-1][-1])
    if plain == "abc,adc->adb":
        return _product(shapes[0]) * int(shapes[-1][1])
    return math.floor(_optimised(plain, shapes) / 2)


def _fv_addmm(out: Any, added: Any, a: Any, b: Any, **kwargs: Any) -> int:
    return _size(a) * int(b.shape[1])


def _fv_matmul(out: Any, a: Any, b: Any) -> int:
    if a.shape[-1] != b.shape[-2]:
        raise ValueError("sides that do not fit")
    return _size(a) * int(b.shape[-1])


def _fv_linear(out: Any, x: Any, weight: Any, bias: Any = None) -> int:
    return _size(x) * int(weight.shape[0])


def _fv_convolution(
    out: Any, x: Any, weight: Any, bias: Any, stride: Any, pad: Any, dilation: Any, transposed: bool, *rest: Any
) -> int:
    return int(x.shape[0]) * _size(weight) * _product((x if transposed else out).shape[2:])


def _fv_norm(where: int) -> Price:
    def price(out: Any, x: Any, *args: Any) -> int:
        if not 2 <= x.dim() <= 5:
            raise ValueError(f"{x.dim()} dimensions")
        return _size(x) * (5 if len(args) >= where and args[where - 1] is not None else 4)

    return price


def _fv_batch_norm(out: Any, x: Any, weight: Any, bias: Any, mean: Any, variance: Any, training: bool, *a: Any) -> int:
    return int(_fv_norm(1)(out, x, weight)) if training else _size(x) * (1 if weight is None else 2)


FVCORE_OPERATIONS: dict[str, Price] = {
    "addmm": _fv_addmm,
    "bmm": _fv_matmul,
    "mm": _fv_matmul,
    "matmul": _fv_matmul,
    "linear": _fv_linear,
    "einsum": _fv_einsum,
    "_convolution": _fv_convolution,
    "batch_norm": _fv_batch_norm,
    "group_norm": _fv_norm(2),
    "layer_norm": _fv_norm(2),
    "instance_norm": _fv_norm(1),
    "upsample_nearest2d": lambda out, *args: _size(out),
    "upsample_bilinear2d": lambda out, *args: 4 * _size(out),
    "grid_sampler": lambda out, *args: 4 * _size(out),
    "adaptive_avg_pool2d": lambda out, x, *args: _size(x),
}

# ---- thop ------------------------------------------------------------------------------------------------------------


def _thop_convolution(module: Any, inputs: Any, output: Any) -> int:
    """A transposed one is taken for a plain one."""
    return _size(output) * int(inputs[0].shape[1] // module.groups) * _product(module.weight.shape[2:])


def _thop_norm(module: Any, inputs: Any, output: Any) -> int:
    affine = getattr(module, "affine", False) or getattr(module, "elementwise_affine", False)
    return (4 if affine else 2) * _size(inputs[0])


def _thop_softmax(module: Any, inputs: Any, output: Any) -> int:
    features = inputs[0].size()[module.dim]
    return int(_size(inputs[0]) // features * (3 * features - 1))


def _thop_adaptive(module: Any, inputs: Any, output: Any) -> int:
    window = math.prod(a / b for a, b in zip(inputs[0].shape[2:], output.shape[2:], strict=True))
    return int((window + 1) * _size(output))


def _thop_upsample(module: Any, inputs: Any, output: Any) -> int:
    return {"nearest": 1, "linear": 5, "bilinear": 11, "bicubic": 259}.get(module.mode, 0) * _size(output)


def _thop_step(module: Any, inputs: int) -> int:
    """One step of one direction of a recurrent layer, for one sample."""
    gates, more = {"RNN": (1, 0), "GRU": (3, 4), "LSTM": (4, 4)}[type(module).__name__.removesuffix("Cell")]
    hidden = module.hidden_size
    return int(hidden * (gates * (inputs + hidden + 1 + (2 if module.bias else 0)) + more))


def _thop_cell(module: Any, inputs: Any, output: Any) -> int:
    return _thop_step(module, module.input_size) * int(inputs[0].size(0))


def _thop_layer(module: Any, inputs: Any, output: Any) -> int:
    if isinstance(inputs[0], nn.utils.rnn.PackedSequence):
        sizes = inputs[0].batch_sizes
        steps, samples = sizes.size(0), int(sizes.max())
    else:
        steps, samples = inputs[0].size(1 if module.batch_first else 0), inputs[0].size(0 if module.batch_first else 1)
    ways = 2 if module.bidirectional else 1
    deeper = (module.num_layers - 1) * _thop_step(module, ways * module.hidden_size)
    return int(ways * (_thop_step(module, module.input_size) + deeper) * steps * samples)


THOP_MODULES: dict[type, Price] = (
    _each(_thop_convolution, *CONVOLUTIONS, *TRANSPOSED)
    | _each(_thop_norm, *NORMS, nn.SyncBatchNorm)
    | _each(_outputs, *AVERAGES)
    | _each(_thop_adaptive, *ADAPTIVE)
    | _each(_thop_upsample, nn.Upsample, nn.UpsamplingBilinear2d, nn.UpsamplingNearest2d)
    | _each(_thop_layer, *LAYERS)
    | _each(_thop_cell, *CELLS)
    | {
        nn.Linear: lambda module, inputs, output: module.in_features * _size(output),
        nn.PReLU: _inputs,
        nn.Softmax: _thop_softmax,
    }
)


def _thop_places(root: nn.Module) -> Mapping[int, int]:
    """A shared module gets a hook for every place that has it, and each hook's sum counts at every place."""

    def ends(module: nn.Module) -> bool:
        return type(module) in THOP_MODULES and module is not root

    hooks, places = _visits(root), _visits(root, ends)
    return {each: hooks[each] * number for each, number in places.items()}


# ---- torchinfo -------------------------------------------------------------------------------------------------------


def _torchinfo_size(value: Any) -> list[int]:
    """The sides of an output, as torchinfo finds them."""
    first: Any = value[0] if isinstance(value, list | tuple) and value else None
    if value is None:
        return []
    if hasattr(first, "data") and hasattr(first.data, "size"):
        return list(first.data.size())
    if isinstance(value, dict):
        return _torchinfo_nested(list(value.values())[-1])
    if isinstance(value, torch.Tensor):
        return list(value.size())
    if isinstance(value, list | tuple):
        return _torchinfo_nested(value)
    raise TypeError(f"output of type {type(value).__name__}")


def _torchinfo_nested(value: Any) -> list[int]:
    if isinstance(value, torch.Tensor):
        return list(value.size())
    if isinstance(value, dict):
        return _torchinfo_nested(list(value.values()))
    return _torchinfo_nested(value[0]) if isinstance(value, list | tuple) and value else []


def _torchinfo(module: Any, inputs: Any, output: Any) -> int:
    """A module without children: its weights and biases, once per position where the class has Conv in its name, once
    per step in recurrent ones, once per sample in others."""
    sides, total = _torchinfo_size(output), 0
    for name, parameter in module.named_parameters():
        if name.endswith("_orig") and hasattr(module, f"{name.removesuffix('_orig')}_mask"):
            raise NotKnown("pruned weights, of which torchinfo counts those that are left")
        size, name = parameter.numel(), name.removesuffix("_orig")
        if name in ("weight", "bias"):
            convolution = "Conv" in type(module).__name__
            total += size * (_product(sides[:1] + sides[2:]) if convolution else sides[0])
        elif "weight" in name or "bias" in name:
            total += size * _product(sides[:2])
    return 0 if any(module.children()) else int(total)


# ---- recurrent layers of ptflops, calflops and DeepSpeed -------------------------------------------------------------


def _rnn_layer(module: Any, weights: list[Any], products: Callable[[Any], int]) -> int:
    extra = {nn.RNN: 1, nn.RNNCell: 1, nn.GRU: 7, nn.GRUCell: 7, nn.LSTM: 10, nn.LSTMCell: 10}[type(module)]
    total = sum(products(weight) for weight in weights[:2]) + extra * module.hidden_size
    return int(total + (sum(bias.shape[0] for bias in weights[2:]) if module.bias else 0))


def _rnn(products: Callable[[Any], int]) -> dict[type, Price]:
    """The step of each layer, by the first two sides of the input; a second direction costs what the first does."""
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")

    def weights(module: Any, suffix: str) -> list[Any]:
        return [getattr(module, name + suffix) for name in (names if module.bias else names[:2])]

    def layer(module: Any, inputs: Any, output: Any) -> int:
        steps = inputs[0].shape[0] * inputs[0].shape[1] * (2 if module.bidirectional else 1)
        layers = [weights(module, f"_l{number}") for number in range(module.num_layers)]
        return int(steps * sum(_rnn_layer(module, each, products) for each in layers))

    def cell(module: Any, inputs: Any, output: Any) -> int:
        samples, _ = inputs[0].shape[0], inputs[0].shape[1]
        return int(samples * _rnn_layer(module, weights(module, ""), products))

    return _each(layer, *LAYERS) | _each(cell, *CELLS)


# ---- ptflops ---------------------------------------------------------------------------------------------------------


def _pt_convolution(module: Any, inputs: Any, output: Any, transposed: bool = False, more: int = 0) -> int:
    x = inputs[0]
    each = _product(module.kernel_size) * (module.in_channels * (module.out_channels // module.groups) + more)
    total = int(each * x.shape[0]) * _product((x if transposed else output).shape[2:])
    return total + (int(x.shape[0]) * _product(output.shape[1:]) if module.bias is not None else 0)


def _pt_deformable(module: Any, inputs: Any, output: Any) -> int:
    return _pt_convolution(module, inputs, output, more=24 + (len(inputs) == 3 and inputs[2] is not None))


def _pt_linear(module: Any, inputs: Any, output: Any) -> int:
    x, outputs = inputs[0], int(output.shape[-1])
    return _size(x) * outputs + (_product(x.shape[:-1]) * outputs if module.bias is not None else 0)


def _pt_norm(module: Any, inputs: Any, output: Any) -> int:
    """Weights of a LayerNorm are not seen: there the attribute has another name."""
    return (2 if getattr(module, "affine", False) else 1) * _size(inputs[0])


def _pt_attention(module: Any, inputs: Any, output: Any) -> int:
    q, k, v = inputs
    samples, queries, keys, values = (
        *(q.shape[0 if module.batch_first else 1], q.shape[1 if module.batch_first else 0]),
        *(k.shape[1 if module.batch_first else 0], v.shape[1 if module.batch_first else 0]),
    )
    width, key, value, heads = q.shape[2], k.shape[2], v.shape[2], module.num_heads
    if width != module.embed_dim or (module.kdim is None and key != width) or (module.vdim is None and value != width):
        raise ValueError("sides that do not fit")
    total = queries * width + queries * width**2 + keys * key**2 + values * value**2
    if module.in_proj_bias is not None:
        total += (queries + keys + values) * width
    total += heads * queries * keys * (width // heads + 1 + value // heads)
    return int(samples * (total + queries * value * (value + 1)))


def _pt_timm_attention(module: Any, inputs: Any, output: Any) -> int:
    samples, number, _ = inputs[0].shape
    return int(samples * module.num_heads * (number * module.head_dim + number**2 * (2 * module.head_dim + 1)))


PTFLOPS_MODULES: dict[type, Price] = (
    _each(_pt_convolution, *CONVOLUTIONS)
    | _each(partial(_pt_convolution, transposed=True), *TRANSPOSED)
    | _each(_outputs, nn.ReLU, nn.PReLU, nn.ELU, nn.LeakyReLU, nn.ReLU6, nn.GELU)
    | _each(_inputs, *AVERAGES, *ADAPTIVE, *MAXIMA)
    | _each(_pt_norm, *NORMS, nn.GroupNorm)
    | _rnn(lambda weight: int(weight.numel()))
    | {
        nn.Linear: _pt_linear,
        nn.Upsample: lambda module, inputs, output: _product(output[0].shape),  # of one sample
        nn.MultiheadAttention: _pt_attention,
    }
)


def _pt_module(module: nn.Module) -> Price | None:
    for package, name, price in (
        ("torchvision.ops", "DeformConv2d", _pt_deformable),
        ("timm.models.vision_transformer", "Attention", _pt_timm_attention),
    ):
        if package in sys.modules and type(module) is getattr(sys.modules[package], name, None):
            return price
    return PTFLOPS_MODULES.get(type(module))


def _pt_interpolate(input: Any, size: Any = None, scale_factor: Any = None, *args: Any, **kwargs: Any) -> "int | float":
    sides = input.dim() - 2
    if sides <= 0:
        raise ValueError("a map without sides")
    if size is not None:
        whole = _product(size) if isinstance(size, tuple | list) else int(size) ** sides
        return int(whole) * _product(input.shape[:2])
    if isinstance(scale_factor, tuple) and len(scale_factor) == sides:
        return _size(input) * _product(map(int, scale_factor))
    return float(_size(input) * scale_factor**sides)


def _pt_matmul(input: Any, other: Any, *args: Any, **kwargs: Any) -> int:
    return _size(input) * int(other.shape[-1])


def _pt_addmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> int:
    return _size(mat1) * int(mat2.shape[-1]) + (_size(input) if beta != 0 else 0)


def _elementwise(input: Any, other: Any, *args: Any, **kwargs: Any) -> int:
    """Two tensors of several ranks are compared from their first sides on."""
    if not torch.is_tensor(input) or not torch.is_tensor(other):
        found = [each for each in (input, other) if torch.is_tensor(each)]
        return _size(found[0]) if found else 1
    sides = [list(each.shape) for each in (input, other)]
    rank = max(map(len, sides))
    return _product(map(max, *(each + [1] * (rank - len(each)) for each in sides)))


POOLS = [f"F.{way}{which}_pool{n}d" for way in ("", "adaptive_") for which in ("avg", "max") for n in (1, 2, 3)]

PTFLOPS_FUNCTIONS: dict[str, Price] = (
    _each(_elements, *POOLS, "F.relu", "F.prelu", "F.elu", "F.relu6", "F.gelu", "F.silu", "F.softmax")
    | _each(_pt_interpolate, "F.upsample", "F.interpolate")
    | _each(_pt_matmul, "torch.matmul", "Tensor.matmul", "torch.mm", "Tensor.mm", "torch.bmm", "Tensor.bmm")
    | _each(_pt_addmm, "torch.addmm", "Tensor.addmm", "torch.baddbmm")
    | _each(_elementwise, "torch.mul", "Tensor.mul", "torch.add", "Tensor.add")
)


# ---- calflops and DeepSpeed ------------------------------------------------------------------------------------------


def _many(value: Any, number: int) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,) * number


def _linear(input: Any, weight: Any, bias: Any = None) -> int:
    return 2 * _size(input) * int(weight.shape[0])


def _slid(sides: Any, kernel: Any, stride: Any, padding: Any, dilation: Any) -> list[int]:
    """The sides of a convolution's output."""
    return [
        int((side + 2 * pad - (apart * (width - 1) + 1)) // step + 1)
        for side, width, step, pad, apart in zip(sides, kernel, stride, padding, dilation, strict=False)
    ]


def _convolution(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> int:
    if weight.shape[1] * groups != input.shape[1]:
        raise ValueError("an input without a batch")
    sides, kernel = input.shape[2:], weight.shape[2:]
    dilations = _many(dilation, len(sides))
    if padding == "same":
        padding = tuple(apart * (width - 1) // 2 for apart, width in zip(dilations, kernel, strict=False))
    paddings = _many(0 if padding == "valid" else padding, len(sides))
    positions = int(input.shape[0]) * _product(_slid(sides, kernel, _many(stride, len(sides)), paddings, dilations))
    products = _product(kernel) * int(input.shape[1]) * int(weight.shape[0] // groups)
    return positions * (2 * products + (int(weight.shape[0]) if bias is not None else 0))


def _transposed(corrected: bool) -> Price:
    """Before it was corrected: the groups are taken out twice, and biases are added at the positions of a plain
    convolution's output."""

    def price(
        input: Any,
        weight: Any,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        dilation: Any = 1,
    ) -> int:
        sides, kernel = input.shape[2:], weight.shape[2:]
        strides, paddings, dilations = (_many(each, len(sides)) for each in (stride, padding, dilation))
        filters = int(weight.shape[1]) if corrected else int(weight.shape[1] // groups)
        channels = int(weight.shape[1] * groups) if corrected else int(weight.shape[1])
        if corrected:
            after = tuple(output_padding) if isinstance(output_padding, list) else _many(output_padding, len(sides))
            result = [
                (side - 1) * step - 2 * pad + apart * (width - 1) + more + 1
                for side, step, pad, apart, width, more in zip(
                    sides, strides, paddings, dilations, kernel, after, strict=False
                )
            ]
        else:
            result = _slid(sides, kernel, strides, paddings, dilations)
        products = _product(kernel) * int(input.shape[1]) * filters * _product(sides)
        biases = channels * _product(result) if bias is not None else 0
        return int(input.shape[0]) * (2 * products + biases)

    return price


def _batch_norm(
    input: Any, mean: Any, var: Any, weight: Any = None, bias: Any = None, training: bool = False, *args: Any, **kw: Any
) -> int:
    return _size(input) * ((1 if weight is None else 2) + (3 if training else 0))


def _pool(input: Any, kernel_size: Any, *args: Any, **kwargs: Any) -> int:
    return _size(input)


def _normed(input: Any, weight: Any) -> int:
    return _size(input) * (4 if weight is None else 5)


def _layer_norm(input: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 0) -> int:
    return _normed(input, weight)


def _group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 0) -> int:
    return _normed(input, weight)


def _instance_norm(input: Any, mean: Any = None, var: Any = None, weight: Any = None, *args: Any, **kwargs: Any) -> int:
    return _normed(input, weight)


def _upsample(corrected: bool) -> Price:
    """A size is taken without channels and batch; before it was corrected, a factor changed nothing."""

    def price(*args: Any, **kwargs: Any) -> int:
        x = args[0]
        size = kwargs.get("size", args[1] if len(args) > 1 else None)
        factor = kwargs.get("scale_factor", args[2] if len(args) > 2 else None)
        if size is not None:
            return int(_product(size)) if isinstance(size, tuple | list) else int(size)
        if factor is None:
            raise ValueError("neither a size nor a factor")
        several = isinstance(factor, tuple | list)
        if not corrected:
            if several and not (isinstance(factor, tuple) and len(factor) == len(x)):
                raise TypeError("several factors")
            return _size(x)
        if several and len(factor) != x.ndim - 2:
            raise ValueError("factors that do not fit")
        return int(_size(x) * (math.prod(factor) if several else factor ** (x.ndim - 2)))

    return price


def _gelu(input: Any, **kwargs: Any) -> int:
    return _size(input)


def _matmul(input: Any, other: Any, *, out: Any = None) -> int:
    return 2 * _size(input) * int(other.shape[-1])


def _addmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> int:
    return 2 * _size(mat1) * int(mat2.shape[-1]) + _size(input)


def _einsum(equation: str, *operands: Any) -> int:
    return int(_optimised(equation, [each.shape for each in operands]))


def _einops_einsum(*args: Any) -> int:
    return _einsum(args[-1], *args[:-1])


def _broadcast(input: Any, other: Any, **kwargs: Any) -> int:
    if torch.is_tensor(input) and torch.is_tensor(other):
        return _product(torch.broadcast_shapes(input.shape, other.shape))  # type: ignore[no-untyped-call]  # untyped in torch
    return _elementwise(input, other)


def _attention(q: Any, k: Any, v: Any, *args: Any, **kwargs: Any) -> int:
    return 2 * _product(q.shape[:-1]) * int(k.shape[-2]) * int(q.shape[-1] + v.shape[-1])


def _patched(deepspeed: bool) -> dict[str, Price]:
    found: dict[str, Price] = (
        _each(_elements, "F.relu", "F.prelu", "F.elu", "F.leaky_relu", "F.relu6", "F.silu", "F.softmax")
        | _each(_pool, *POOLS)
        | _each(_convolution, "F.conv1d", "F.conv2d", "F.conv3d")
        | _each(_transposed(deepspeed), "F.conv_transpose1d", "F.conv_transpose2d", "F.conv_transpose3d")
        | _each(_upsample(deepspeed), "F.upsample", "F.interpolate")
        | _each(_matmul, "torch.matmul", "Tensor.matmul")
        | _each(_addmm, "torch.addmm", "Tensor.addmm", "torch.baddbmm")
        | _each(_broadcast if deepspeed else _elementwise, "torch.mul", "Tensor.mul", "torch.add", "Tensor.add")
        | {
            "F.linear": _linear,
            "F.gelu": _gelu,
            "F.batch_norm": _batch_norm,
            "F.layer_norm": _layer_norm,
            "F.group_norm": _group_norm,
            "F.instance_norm": _instance_norm,
            "torch.einsum": _einsum,
        }
    )
    if deepspeed:
        found |= _each(_matmul, "Tensor.__matmul__", "torch.mm", "Tensor.mm", "torch.bmm", "Tensor.bmm")
        found |= {"F.scaled_dot_product_attention": _attention, "einops.einsum": _einops_einsum}
    return found


RNN_MODULES = _rnn(lambda weight: int(2 * weight.numel() - weight.shape[0]))


def _without_batch(call: Call) -> str:
    """It gives several inputs and the parts of a dictionary by name, and divides by the length of the only one."""
    only = call.inputs[0] if call.inputs and not by_keyword(call) else [0]
    sized = (
        not isinstance(only, dict) and hasattr(only, "__len__") and getattr(only, "shape", [1])[:1] not in ((), (0,))
    )
    return "" if sized else "the tool itself fails at an input without a batch"


def _refused(call: Call) -> str:
    """It asks for the device of a parameter and moves every input there."""
    if not isinstance(call.net, nn.Module) or not any(True for _ in call.net.parameters()):
        return "the tool itself fails at modules without parameters"
    moved = all(hasattr(each, "to") for each in (*call.inputs, *call.kwargs.values()))
    return "" if moved else "the tool itself fails at inputs that are no tensors"


COUNTERS = {
    counter.name: counter
    for counter in (
        Counter(
            "FlopCounterMode",
            "FLOP",
            "torch; operations, on meta tensors",
            dispatched=_flop_counter,
        ),
        Counter(
            *("fvcore", "MAC", "0.1.5; operations of a trace, gradients on; calls them flops"),
            operations=FVCORE_OPERATIONS,
            evaluates=False,
        ),
        Counter(
            *("ptflops", "MAC", "0.7.5, backend pytorch; modules, per sample, and patched functions, per batch"),
            module=_pt_module,
            functions=PTFLOPS_FUNCTIONS,
            places=lambda root: _visits(root, lambda module: _pt_module(module) is not None),
            per_sample=True,
            refuses=_without_batch,
        ),
        Counter(
            *("thop", "MAC", "0.1.1 (not ultralytics-thop, of the same name); modules of known classes"),
            module=lambda module: THOP_MODULES.get(type(module)),
            places=_thop_places,
        ),
        Counter(
            *("torchinfo", "MAC", "1.8.0, mult-adds; weights and biases of modules"), module=lambda module: _torchinfo
        ),
        Counter(
            *("calflops", "FLOP", "0.3.2; patched functions"),
            module=lambda module: RNN_MODULES.get(type(module)),
            functions=_patched(deepspeed=False),
            places=_visits,
            apart=frozenset(RNN_MODULES),
            refuses=_refused,
        ),
        Counter(
            *("deepspeed", "FLOP", "0.19.8, flops profiler; patched functions and operators"),
            module=lambda module: RNN_MODULES.get(type(module)),
            functions=_patched(deepspeed=True),
            apart=frozenset(RNN_MODULES),
        ),
    )
}
