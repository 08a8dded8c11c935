"""Bytes that the kernels of a CPU need besides their results: a model of torch's choices, held against its allocator.

Convolutions (`use_mkldnn` in torch's ``aten/src/ATen/native/Convolution.cpp``) run on oneDNN in bfloat16 and float16,
and in float32 where there are groups, a batch, a kernel above 3 or more than 20,480 elements. All others unfold the
input into columns (``ConvolutionMM2d.cpp`` and its siblings). oneDNN (its ``cpu_convolution_list.cpp``) copies
contiguous maps, weights and results into blocks of 16 channels, and torch then copies the result back
(``native/mkldnn/Conv.cpp``). This is the way of AVX-512 and of two threads or more.

Other kernels: max pooling has indices that inference drops; an LSTM of oneDNN copies its weights and keeps the gates of
all steps; fused attention has one block of scores a thread.

Resizing of small maps works with channels last, on copies. Matrices whose sides lie apart in memory are copied.

Not known: what `UNKNOWN` lists.
"""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from costmodel.work.cost import Operation

BLOCK = 16  # channels of a block, in oneDNN's layout for AVX-512
THREADS = 2
SMALL = 20_480  # elements up to which one float32 map does not go to oneDNN
INDEX = 8  # bytes of a place
PAGE = 4096
WIDEST = 14  # kernel up to which oneDNN has a kernel of its own for the gradient of weights
HALVES = (torch.bfloat16, torch.float16)


def channels_last(x: Any) -> bool:
    """True for a map whose channels are next to each other, as torch decides by its strides
    (``is_channels_last_strides_2d`` in ``c10/core/MemoryFormat.h``): a batch of one has a stride, too."""
    if x.dim() != 4 or not x.is_contiguous(memory_format=torch.channels_last):
        return False
    sizes, strides, least = x.shape, x.stride(), 0
    for side in (1, 3, 2, 0):
        if strides[side] < max(least, side == 1) or (side == 0 and least == strides[1]):
            return False
        least = strides[side] * max(1, sizes[side])
    return True


def workspace(name: str, out: Any, args: Sequence[Any]) -> int:
    """Bytes that an operation of torch needs on a CPU besides its results, while it runs."""
    rule = WORKSPACES.get(name)
    return rule(out, *args) if rule else 0


# ---- convolutions ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Map:
    """A map in memory: a batch of channels, each with sides."""

    batch: int
    channels: int
    sides: tuple[int, ...]
    size: int  # bytes of an element

    @property
    def bytes(self) -> int:
        return self.batch * self.channels * math.prod(self.sides) * self.size

    @property
    def blocked(self) -> int:
        return replace(self, channels=_up(self.channels)).bytes


@dataclass(frozen=True)
class _Convolution:
    """One convolution as a kernel sees it, which runs from the map ``wide`` to the map ``narrow``: strides make
    sides smaller. A transposed one runs the other way."""

    wide: _Map
    narrow: _Map
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilated: bool
    groups: int
    dtype: torch.dtype
    transposed: bool

    @property
    def strided(self) -> bool:
        return max(self.strides) > 1

    @property
    def given(self) -> _Map:
        return self.narrow if self.transposed else self.wide

    @property
    def result(self) -> _Map:
        return self.wide if self.transposed else self.narrow

    @property
    def weights(self) -> int:
        return self.wide.channels * self.narrow.channels // self.groups * math.prod(self.kernel) * self.wide.size

    @property
    def pointwise(self) -> bool:
        return math.prod(self.kernel) == 1

    @property
    def depthwise(self) -> bool:
        return self.groups > 1 and self.groups == self.wide.channels == self.narrow.channels

    @property
    def plain(self) -> bool:
        """True where groups fit into no block: oneDNN then unfolds, and multiplies matrices."""
        sides = (self.wide.channels // self.groups, self.narrow.channels // self.groups)
        flat = len(self.kernel) == 3 and self.dilated
        return flat if self.depthwise else self.groups > 1 and any(side % 4 for side in sides)

    @property
    def first(self) -> bool:
        """True where channels are so few that the wide map stays as it is."""
        jumps = len(self.kernel) == 3 and self.strided
        return self.groups == 1 and self.wide.channels < BLOCK and (not self.pointwise or jumps)

    @property
    def onednn(self) -> bool:
        given = self.given
        if self.dtype in HALVES:
            return True
        several = self.groups > 1 or given.batch > 1 or min(self.kernel[-2:]) > 3
        large = given.batch * given.channels * math.prod(given.sides[:2]) > SMALL
        return self.dtype == torch.float32 and (several or large)

    def blocks(self, each: _Map) -> int:
        """The copy of a map in blocks of channels: of groups that are no blocks, as large as the map."""
        whole = self.groups == 1 or (self.depthwise and len(self.kernel) < 3)
        return each.blocked if whole else each.bytes

    @property
    def batches(self) -> int:
        """What oneDNN needs with channels last: lists of the matrices that threads multiply (``brgemm``)."""
        return 3 * PAGE + 48 if self.groups == 1 and self.dtype == torch.float32 else 0

    def blocked_weights(self, first: bool = False) -> int:
        if self.groups > 1:
            return self.weights
        wide, narrow = self.wide.channels, self.narrow.channels
        return self.weights // (wide * narrow) * (wide if first else _up(wide)) * _up(narrow)

    def gradient_blocks(self) -> int:
        """The gradient of the weights in blocks, of maps with channels last: of each group whole blocks."""
        if self.groups == 1 or (self.depthwise and max(self.kernel) <= 3 and not self.dilated):
            return self.blocked_weights(self.first)
        wide, narrow = self.wide.channels // self.groups, self.narrow.channels // self.groups
        return self.weights // (wide * narrow) * _up(wide) * _up(narrow)

    @property
    def columns(self) -> int:
        """The unfolded input: of the whole batch, where torch has such a buffer, or of one map."""
        same = self.pointwise and self.wide.sides == self.narrow.sides and not self.transposed
        volume = len(self.kernel) == 3
        batch = 1 if (volume if self.transposed else self.dilated) else self.wide.batch
        groups = 1 if self.split else self.groups
        ones = math.prod(self.wide.sides) * self.wide.size if self.transposed and volume else 0
        return 0 if same else batch * groups * self._unfolded + ones

    @property
    def split(self) -> bool:
        """True where torch runs one group after the other, outside oneDNN, and then puts the results together."""
        return self.groups > 1 and (len(self.kernel) < 3 or self.transposed or self.dilated)

    @property
    def _unfolded(self) -> int:
        sides = math.prod(self.kernel) * math.prod(self.narrow.sides)
        return self.wide.channels // self.groups * sides * self.wide.size

    @property
    def _slice(self) -> int:
        """What oneDNN unfolds at once, a thread: a map, of a volume the part for one depth."""
        return self._unfolded // (self.narrow.sides[0] if len(self.kernel) == 3 else 1)

    @property
    def _padded(self) -> int:
        """Bytes of oneDNN on the way from the narrow map to the wide one with strides (``jit_brgemm_conv_bwd``):
        a padded image a thread, and where the strides do not divide the kernel, the wide map and rows of it. Found by
        allocations, as multiples of four pages, of which fixed buffers need two, or 14 kB."""
        pads = [-(-size // step) - 1 for size, step in zip(self.kernel, self.strides, strict=True)]
        sides = [side + 2 * pad for side, pad in zip(self.narrow.sides, pads, strict=True)]
        image = -(-self.narrow.channels * math.prod(sides) // PAGE)
        if not any(size % step for size, step in zip(self.kernel, self.strides, strict=True)):
            return THREADS * (image * 4 * PAGE + 14 * 1024)
        rows = self.wide.channels * self.narrow.sides[-1] // 1024
        return self.wide.bytes + THREADS * (image + 2 + rows) * 4 * PAGE

    @property
    def _thinned(self) -> int:
        """The places of a map that a kernel of one place reads with strides, a thread."""
        if not self.pointwise or self.groups > 1 or not self.strided or len(self.kernel) == 3:
            return 0
        return THREADS * _up(self.wide.channels) * math.prod(self.narrow.sides) * self.wide.size

    def down(self) -> int:
        """The most that oneDNN holds on the way from the wide map to the narrow one, the result included."""
        wide, narrow = self.wide, self.narrow
        if self.plain:
            return max((THREADS * self._slice if self.columns else 0) + narrow.bytes, 2 * narrow.bytes)
        copies = (0 if self.first else self.blocks(wide)) + self.blocked_weights(self.first)
        scratch = self._thinned
        if self.pointwise and self.groups == 1 and self.dtype in HALVES:
            scratch += THREADS * 4 * _up(narrow.channels) * math.prod(narrow.sides)  # sums in float32
        whole = self.blocks(narrow)
        back = 3 if self.depthwise and len(self.kernel) == 3 else 1 + whole / narrow.bytes
        return max(copies + scratch + whole, round(back * narrow.bytes))

    def up(self, biased: bool) -> int:
        """The most that oneDNN holds on the way from the narrow map to the wide one, the result included."""
        wide, narrow = self.wide, self.narrow
        if self.plain or (self.depthwise and len(self.kernel) == 3):
            return max(min(THREADS, wide.batch) * self._slice + (1 + biased) * wide.bytes, 2 * wide.bytes)
        thin = self.groups > 1 and max(wide.channels, narrow.channels) // self.groups <= BLOCK // 2
        if self.strided and not thin:
            scratch = self._padded if self.dtype == torch.float32 else 0
            return max(scratch + narrow.bytes + self.blocked_weights() + wide.bytes, 3 * wide.bytes)
        whole = self.blocks(wide)
        return max(self.blocks(narrow) + self.blocked_weights() + (1 + biased) * whole, whole + wide.bytes)

    def _of_thin_weights(self, biased: bool) -> int:
        """Of 4 to 15 channels, in blocks of 8; of one block, threads have sums of their own, and three pages, or six
        with a bias."""
        wide, narrow = (-(-each.channels // 8) * 8 for each in (self.wide, self.narrow))
        blocked = self.weights // (self.wide.channels * self.narrow.channels) * wide * narrow
        maps = self.wide.bytes // self.wide.channels * wide + self.narrow.bytes // self.narrow.channels * narrow
        return blocked + maps + (blocked + (1 + biased) * 3 * PAGE if wide == narrow == 8 else 0)

    def _by_images(self) -> bool:
        """True where each thread takes images of its own, and not blocks of channels: oneDNN compares what both read
        and write (``balance`` in ``jit_avx512_core_convolution`` and ``jit_avx512_common_1x1_convolution``)."""
        lanes, wide, narrow = self._lanes, self._wide_blocks, _up(self.narrow.channels) // BLOCK
        places = self.narrow.batch * math.prod(self.narrow.sides)
        weights = (12 if self.pointwise else 8) * math.prod(self.kernel) * lanes * BLOCK

        def traffic(threads: int, wide: int, narrow: int) -> float:
            return places * (wide * lanes + narrow * BLOCK) / threads + weights * wide * narrow

        splits = ((-(-wide // THREADS), narrow), (wide, -(-narrow // THREADS)))
        uneven = not self.pointwise and 4 * wide * narrow / THREADS <= 3 * min(a * b for a, b in splits)
        slack = 1 if self.pointwise else 1.1
        return uneven or traffic(THREADS, wide, narrow) < slack * min(traffic(1, *split) for split in splits)

    @property
    def _lanes(self) -> int:
        return self.wide.channels if self.first else BLOCK

    @property
    def _wide_blocks(self) -> int:
        return 1 if self.first else _up(self.wide.channels) // BLOCK

    def sums(self, biased: bool) -> int:
        """What threads need to add their gradients of the weights: a copy of these and two pages; three pages for the
        gradient of a bias of one block."""
        if self.groups > 1 or self.dtype != torch.float32 or not self._by_images():
            return 0
        narrow = _up(self.narrow.channels)
        bias = 3 * PAGE + 4 * BLOCK if biased and narrow == BLOCK else 0
        return self.blocked_weights(self.first) + 2 * PAGE + 128 + (0 if self.pointwise else 4 * narrow) + bias

    def of_weights(self, biased: bool) -> int:
        """The most that oneDNN holds for the gradient of the weights, which is included."""
        volume, flat = len(self.kernel) == 3, len(self.kernel) < 3
        sides = (self.wide.channels // self.groups, self.narrow.channels // self.groups)
        if self.depthwise:
            unfolds = volume or max(self.kernel) > 3
        elif self.groups > 1:
            unfolds = any(side % (BLOCK // 2 if flat and not self.dilated else BLOCK) for side in sides)
        else:
            unfolds = max(self.kernel) > WIDEST
        if unfolds or (volume and self.dilated):
            several = self.wide.batch > 1 or self.groups > 2
            apart = several and math.prod(self.narrow.sides[-2:]) // THREADS < 256  # a thread an image
            scratch = (THREADS if apart else 1) * (self._slice + 4 * self.weights)
            return self.weights + max(scratch, self.weights)
        if self.first and self.wide.channels > 3 and flat:
            return self._of_thin_weights(biased)
        wide = self.blocks(self.wide) if not self.first else self.wide.bytes if self.transposed else 0
        maps, scratch = wide + self.blocks(self.narrow), self.sums(biased) + self._thinned
        if self.dtype in HALVES and self.groups == 1 and not self.pointwise:  # maps turned around, sums in float32
            turned = (0 if self.first else self.blocks(self.wide)) + self.blocks(self.narrow)
            scratch = THREADS * turned // self.wide.batch + 2 * self.blocked_weights(self.first)
        return self.blocked_weights(self.first) + max(maps + scratch, self.weights)


def _up(channels: int) -> int:
    return -(-channels // BLOCK) * BLOCK


def _map(tensor: Any, dims: int) -> _Map:
    """A map of one, two or three sides; torch takes a line for one row."""
    batch, channels, *sides = tensor.shape if tensor.dim() > dims + 1 else (1, *tensor.shape)
    return _Map(int(batch), int(channels), ((1, *sides) if dims == 1 else tuple(sides)), tensor.element_size())


def _several(value: Any) -> Sequence[int]:
    return value if isinstance(value, list | tuple) else (value,)


def described(x: Any, weight: Any, y: Any, stride: Any, dilation: Any, transposed: bool, groups: int) -> _Convolution:
    dims = weight.dim() - 2
    given, result = _map(x, dims), _map(y, dims)
    kernel = tuple(weight.shape[2:])
    steps = tuple(_several(stride)) * (dims if len(_several(stride)) == 1 else 1)
    return _Convolution(
        wide=result if transposed else given,
        narrow=given if transposed else result,
        kernel=(1, *kernel) if dims == 1 else kernel,
        strides=(1, *steps) if dims == 1 else steps,
        dilated=max(_several(dilation)) > 1,
        groups=groups,
        dtype=x.dtype,
        transposed=transposed,
    )


def _turned(x: Any, weight: Any, convolution: _Convolution) -> int:
    """The copy of weights with channels last, for such a map."""
    alike = channels_last(weight) or not channels_last(x) or convolution.pointwise
    return 0 if alike else convolution.weights


def _besides(x: Any, weight: Any, convolution: _Convolution, biased: bool) -> int:
    """Bytes of a forward pass besides its result."""
    if not convolution.result.bytes or not convolution.given.bytes:
        return 0
    if not convolution.onednn:
        split = convolution.split
        part = convolution.given.bytes // convolution.groups if split and convolution.given.batch > 1 else 0
        turned = 0 if split else _turned(x, weight, convolution)
        return turned + max(convolution.columns + part, convolution.result.bytes if split else 0)
    if channels_last(x) or channels_last(weight):
        last = x.dim() != 4 or x.is_contiguous(memory_format=torch.channels_last)
        first = convolution.first and not convolution.transposed
        turned = (0 if last else convolution.given.bytes) + convolution.blocked_weights(first) + convolution.batches
        return turned + (
            0 if channels_last(weight) or convolution.pointwise or convolution.depthwise else convolution.weights
        )
    most = convolution.up(biased) if convolution.transposed else convolution.down()
    return most - convolution.result.bytes + (0 if x.is_contiguous() else convolution.given.bytes)


def _forward(
    y: Any, x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, *rest: Any
) -> int:
    # Of `convolution`: transposed, output padding, groups; of `conv2d` and its siblings: groups.
    transposed, groups = (rest[0], rest[2]) if len(rest) > 2 else (False, rest[0] if rest else 1)
    convolution = described(x, weight, y, stride, dilation, transposed, groups)
    return _besides(x, weight, convolution, bias is not None)


def _transposed(
    y: Any, x: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
    groups: int = 1, dilation: Any = 1,
) -> int:  # fmt: skip
    return _besides(x, weight, described(x, weight, y, stride, dilation, True, groups), bias is not None)


def _backward(
    out: Any, gradient: Any, x: Any, weight: Any, biases: Any, stride: Any, padding: Any, dilation: Any,
    transposed: bool, output_padding: Any, groups: int, wanted: Sequence[bool],
) -> int:  # fmt: skip
    """The gradient of the input comes first; it is there while that of the weights is made."""
    convolution = described(x, weight, gradient, stride, dilation, transposed, groups)
    if not convolution.onednn:
        if not convolution.split:
            return _turned(x, weight, convolution) + convolution.columns
        parts = convolution.given.bytes + convolution.result.bytes if convolution.given.batch > 1 else 0
        return max(convolution.columns + parts // groups, convolution.given.bytes)
    made, weights = convolution.given.bytes if wanted[0] else 0, convolution.weights if wanted[1] else 0
    if channels_last(x) or channels_last(weight):
        turned = 0 if channels_last(weight) or convolution.pointwise else convolution.weights
        sums = convolution.sums(bool(wanted[2])) if wanted[1] else 0
        batches = convolution.batches if wanted[0] else 0
        return turned + convolution.gradient_blocks() + max(sums - weights, weights, batches - weights)
    phases = [made + weights]
    if wanted[0]:
        phases.append(convolution.down() if transposed else convolution.up(biased=False))
    if wanted[1]:
        phases.append(made + convolution.of_weights(bool(wanted[2])))
    return max(phases) - made - weights


# ---- pools, recurrence, attention ------------------------------------------------------------------------------------


def _laid_out(out: Any, x: Any, *args: Any) -> int:
    """A copy of what is not laid out as the kernel wants it."""
    return 0 if x.is_contiguous() or channels_last(x) else int(x.numel()) * x.element_size()


def _normalized(out: Any, x: Any, *args: Any) -> int:
    return 0 if x.is_contiguous() else int(x.numel()) * x.element_size()


def _normalized_backward(out: Any, gradient: Any, x: Any, *args: Any) -> int:
    """Each thread has sums of its own for the gradients of weights and biases."""
    sums: int = THREADS * sum(int(each.numel()) * each.element_size() for each in out[1:] if each is not None)
    return _normalized(out, gradient) + _normalized(out, x) + sums


def _last(x: Any) -> bool:
    """True for a map of two or three sides that can be read with channels last."""
    return x.dim() in (4, 5) and bool(
        x.is_contiguous(memory_format=torch.channels_last if x.dim() == 4 else torch.channels_last_3d)
    )


def _resized(points: int, out: Any, x: Any, *args: Any) -> int:
    """Small maps, and those with channels last, are resized with channels last (``native/cpu/UpSampleKernel.cpp``);
    others with a table of the ``points`` and their weights for each place of a side."""
    small = x.dim() == 4 and sum(out.shape[2:]) <= 128
    if points < 4 and (small or (_last(x) and x.shape[1] > 3)):
        return sum(int(each.numel()) * each.element_size() for each in (x, out) if not _last(each))
    return points * int(sum(out.shape[2:])) * (INDEX + int(x.element_size()))


def _smoothly_resized(reach: int, out: Any, x: Any, *args: Any) -> int:
    """With antialiasing the last side comes first; ``reach``: points on each side of a place."""
    between: int = int(x.numel()) // int(x.shape[-1]) * int(out.shape[-1]) * int(x.element_size())
    tables = []
    for given, made in zip(x.shape[2:], out.shape[2:], strict=True):
        points = 2 * math.ceil(reach * max(1, int(given) / int(made))) + 1
        tables.append(int(made) * (4 * INDEX + points * int(x.element_size())))
    return between + max(tables)


def _resized_backward(out: Any, gradient: Any, *args: Any) -> int:
    return 0 if _last(gradient) else _normalized(out, gradient)


def _as_matrix(x: Any) -> int:
    """The copy of a matrix whose elements are next to each other in neither rows nor columns."""
    if x.dim() < 2 or x.is_contiguous():
        return 0
    (rows, columns), (down, right) = x.shape[-2:], x.stride()[-2:]
    fits = (right == 1 and down >= max(1, columns)) or (down == 1 and right >= max(1, rows))
    return 0 if fits or 1 in (rows, columns) else int(rows) * int(columns) * x.element_size()


def _product(out: Any, *matrices: Any) -> int:
    """Copies of matrices: of a batch of them, one at a time."""
    return sum(_as_matrix(each) for each in matrices if isinstance(each, torch.Tensor))


def _linear(out: Any, x: Any, weight: Any, *bias: Any) -> int:
    return _product(out, *((x,) if x.dim() == 2 else ()), weight)


def _indices(out: Any, *args: Any) -> int:
    """Places of the largest elements, which nobody asked for."""
    return int(out.numel()) * INDEX


def _blocks_of_scores(q: Any, k: Any) -> tuple[int, int]:
    """Rows and columns of scores that fused attention has at once, a thread
    (``native/cpu/FlashAttentionKernel.cpp``)."""
    rows = 256 if q.shape[-2] >= 768 else 64 if q.shape[-2] >= 192 else 32
    return min(rows, int(q.shape[-2])), min(512, int(k.shape[-2]))


def _attention(out: Any, q: Any, k: Any, *rest: Any) -> int:
    rows, columns = _blocks_of_scores(q, k)
    size = max(4, int(q.element_size()))
    scores = rows * columns * (6 if q.dtype in HALVES else size)  # float32, and a copy in the type of the values
    return THREADS * (scores + size * rows * (2 + int(q.shape[-1])))


def _attention_backward(out: Any, gradient: Any, q: Any, k: Any, *rest: Any) -> int:
    rows, columns = _blocks_of_scores(q, k)
    return THREADS * 2 * rows * columns * (6 if q.dtype in HALVES else 4) + 4 * rows


def _lstm(out: Any, x: Any, weight: Any, recurrent: Any, *rest: Any) -> int:
    """Copies of an LSTM's weights, their sides multiples of 32, and gates of all steps (oneDNN's ``rnn_utils.cpp``)."""
    steps, batch, hidden = int(x.shape[0]), int(x.shape[1]), int(recurrent.shape[1])
    gates = 4 * (-(-hidden // 32) * 32)
    weights = (int(weight.shape[1]) + hidden) * gates
    return 4 * (weights + (steps + 2) * batch * gates + gates) + 3 * PAGE


def reserve(name: str, args: Sequence[Any]) -> int:
    """Bytes of the last result of an operation, where without values it is empty: what an LSTM that trains keeps of its
    steps for the backward pass: gates, states, and their gradients."""
    if name != "mkldnn_rnn_layer" or not args[-1]:
        return 0
    x, recurrent = args[0], args[2]
    steps, batch, features = (int(side) for side in x.shape)
    hidden = int(recurrent.shape[1])
    gates, states = 4 * hidden + 16, 2 * hidden + 8 * (max(features, hidden) + 12)
    return 4 * batch * (steps * gates + (steps + 1) * states)


WORKSPACES: dict[str, Callable[..., int]] = {
    **dict.fromkeys(("convolution", "_convolution", "conv1d", "conv2d", "conv3d"), _forward),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _transposed),
    "convolution_backward": _backward,
    **dict.fromkeys(("max_pool2d", "max_pool3d"), lambda out, x, *rest: _indices(out) + _laid_out(out, x)),
    **dict.fromkeys(("avg_pool2d", "adaptive_avg_pool2d", "_adaptive_avg_pool2d"), _laid_out),
    **dict.fromkeys(
        ("layer_norm", "native_layer_norm", "softmax", "_softmax", "log_softmax", "_log_softmax"), _normalized
    ),
    **{
        name: partial(_resized, points)
        for points, names in (
            (1, ("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d")),
            (1, ("_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "_upsample_nearest_exact3d")),
            (2, ("upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d")),
            (4, ("upsample_bicubic2d",)),
        )
        for name in names
    },
    "_upsample_bilinear2d_aa": partial(_smoothly_resized, 1),
    "_upsample_bicubic2d_aa": partial(_smoothly_resized, 2),
    **dict.fromkeys(
        ("upsample_nearest2d_backward", "_upsample_nearest_exact2d_backward", "upsample_bilinear2d_backward"),
        _resized_backward,
    ),
    "upsample_bicubic2d_backward": _normalized,
    "linear": _linear,
    **dict.fromkeys(("mm", "bmm", "matmul"), _product),
    **dict.fromkeys(("addmm", "baddbmm"), lambda out, added, *matrices: _product(out, *matrices[:2])),
    **dict.fromkeys(("rms_norm", "_fused_rms_norm"), _normalized),
    "native_layer_norm_backward": _normalized_backward,
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_flash_attention_for_cpu_backward": _attention_backward,
    **dict.fromkeys(("mkldnn_rnn_layer", "mkldnn_rnn_layer_backward"), _lstm),
}

CONVOLUTIONS = tuple(name for name, rule in WORKSPACES.items() if rule in (_forward, _transposed, _backward))


def doubt(name: str, args: Sequence[Any]) -> str:
    """A sentence on an operation whose workspace is known only roughly; "" for all others."""
    if name.startswith("_scaled_dot_product_flash_attention_for_cpu"):
        return "attention in half types is known to 35 %" if args[0].dtype in HALVES else ""
    if name not in (*CONVOLUTIONS, "mkldnn_rnn_layer", "mkldnn_rnn_layer_backward"):
        return ""
    if "rnn" in name:
        if args[0].dtype in HALVES:
            return "LSTMs in half types are not modelled: they need less than the number tells"
        features, hidden = args[0].shape[2], args[1].shape[0] // 4
        usual = args[0].shape[1] >= 4 and features == hidden >= 64
        return "" if usual else "LSTMs of small batches, of few or of other features are known to 35 %"
    x, weight = args[1:3] if name == "convolution_backward" else args[:2]
    if (said := _doubt_on_shapes(name, x, weight, args)) or x.dtype == torch.float64:
        return said
    if x.dtype in HALVES:
        backward = name == "convolution_backward"
        transposed = name.startswith("conv_transpose") or (name == "convolution" and args[6])
        if backward:
            return "gradients of convolutions in half types are known to 15 %"
        return "transposed convolutions in half types may need twice the number" if transposed else ""
    if not channels_last(x) and not channels_last(weight):
        if name == "convolution_backward" and x.dtype == torch.float32:
            if x.dim() == 5 and 3 < x.shape[1] < BLOCK:
                return "gradients of convolutions over volumes of 4 to 15 channels are known only roughly"
            if args[9] > 1 and max(*_several(args[4]), *_several(args[6])) > 1:
                return "gradients of convolutions with groups and strides or dilation may be off by half"
        return ""
    if name.startswith("conv_transpose") or (name == "convolution" and args[6]):
        return "transposed convolutions with channels last are known to 15 %"
    places = {"convolution_backward": (4, 7), "convolution": (3, 6)}
    strides = args[places[name][0]] if name in places else args[3] if len(args) > 3 else 1
    if name == "convolution_backward" and (args[7] or max(_several(strides)) > 1):
        return "gradients of strided and transposed convolutions with channels last are known to 25 %"
    grouped = x.shape[1] != weight.shape[1]
    if grouped and (weight.shape[1] % 4 or weight.shape[0] * weight.shape[1] // x.shape[1] % 4):
        depthwise = weight.shape[1] == 1 and weight.shape[0] == x.shape[1]
        return "" if depthwise else "groups of odd sizes with channels last may need half as much again"
    return ""


def _doubt_on_shapes(name: str, x: Any, weight: Any, args: Sequence[Any]) -> str:
    """A sentence on few channels, on volumes and on gradients of dilated kernels; "" for all others."""
    backward, pointwise = name == "convolution_backward", math.prod(weight.shape[2:]) == 1
    groups = x.shape[1] // weight.shape[1] if weight.shape[1] else 1
    if channels_last(x) and x.dtype != torch.float64 and x.shape[1] == 1 and not pointwise:
        return "convolutions of one channel with channels last are known only roughly"
    if x.dtype in HALVES and x.shape[1] != weight.shape[1] and not backward and groups > 1 and weight.shape[1] % 4:
        return "groups of odd sizes in half types are known to 25 %"
    if x.dtype != torch.float32:
        return ""
    transposed = args[7] if backward else name.startswith("conv_transpose") or (name == "convolution" and args[6])
    places = {"convolution_backward": (4, 6), "convolution": (3, 5)}
    if transposed and not channels_last(x):
        first = places.get(name, (3, 7))[0]
        steps = _several(args[first]) if len(args) > first else (1,)
        uneven = any(size % steps[-1] for size in weight.shape[2:]) and max(steps) > 1
        thin = min(x.shape[1], weight.shape[1]) < BLOCK
        rough = uneven or thin if x.dim() == 5 else uneven and thin
        return "transposed convolutions of this kind are known to 40 %" if rough else ""
    dilated = backward and max(_several(args[6])) > 1 and (x.shape[0] > 1 or x.numel() > SMALL)
    if dilated and not transposed and 3 < x.shape[1] < BLOCK:
        return "gradients of dilated convolutions of 4 to 15 channels may need several times the number"
    return ""


UNKNOWN = re.compile(
    r"aten\.(_fft|fft|linalg|_linalg|sort|topk|unique|cdist|_cdist|_ctc|_grouped_mm|_scaled_mm|conv_tbc)"
)
FAST = ("MultiheadAttention", "TransformerEncoderLayer")


def notes(operations: Sequence[Operation], modules: Iterable[str]) -> list[str]:
    """Sentences on what the model does not know about a run; ``modules``: their classes."""
    found = []
    unknown = dict.fromkeys(each.op.split(".")[1] for each in operations if not each.counted or UNKNOWN.match(each.op))
    if unknown:
        found.append(f"buffers of their kernels are not known: {', '.join(unknown)}")
    found += dict.fromkeys(each.doubt for each in operations if each.doubt)
    halves = any(each.output and each.cost.writes == 2 * math.prod(each.output) for each in operations)
    trains, fused = any(each.backward for each in operations), any("mkldnn_rnn" in each.op for each in operations)
    rough = ("GRU", "RNN", "LSTM") if halves else () if trains else ("GRU", "LSTM")
    cells = dict.fromkeys(name for name in modules if name in rough and not (name == "LSTM" and fused))
    if cells:
        found.append(f"{' and '.join(cells)}: gates and states are known to {'half' if halves else '35 %'}")
    kinds = [each.op.split(".")[1] for each in operations]
    several = zip(kinds, kinds[1:], kinds[2:], strict=False)
    if not trains and ("clone", "mkldnn_rnn_layer", "mkldnn_rnn_layer") in several:
        found.append("LSTMs of several layers, batch first, keep a copy of their input that is not modelled")
    fast = dict.fromkeys(name for name in modules if name in FAST)
    if fast and not trains:
        found.append(
            f"in inference torch runs {' and '.join(fast)} as one kernel, which holds all scores at once and is not "
            "modelled: the number is that after torch.backends.mha.set_fastpath_enabled(False)"
        )
    return found
