"""ERFNet (Romera et al. 2018) and its variants with grouped and depthwise separable convolutions ("Efficient Semantic
Segmentation Using Gradual Grouping").

In a variant some of the 23 layers are `separable` modules instead of `non_bottleneck_1d`. Layers are numbered as in
ERFNet's table.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from costmodel.describe.cells import Cell
from costmodel.describe.ops import Concat, Conv, Map, Norm, Pair, Pool, Shuffle, TransposedConv
from costmodel.describe.program import Value, relu
from costmodel.errors import InvalidInput
from costmodel.work.events import Event, Work
from costmodel.work.size import Size

EPS = 1e-3  # of every batch norm
DILATIONS = {9: 2, 10: 4, 11: 8, 12: 16, 13: 2, 14: 4, 15: 8, 16: 16}  # by layer
ENCODER = (*range(3, 8), *range(9, 17))
LATE = (6, 7, *range(13, 17))
DECODER_BLOCKS = (1, 2)


@dataclass(frozen=True)
class Variant:
    """The differences of a variant from ERFNet."""

    replaced: tuple[int, ...] = ()  # layers of the encoder that are separable modules
    groups: int = 1  # of their pointwise convolutions
    shuffled: bool = False  # channels, after the first pointwise convolution
    light: bool = False  # the decoder: separable blocks without groups, 1x1 up-samplers


def _variants() -> dict[str, Variant]:
    """Variants by the paper's names. Starred: the whole encoder; unstarred: its later half; proposed: light decoder."""
    modules = {"D": (1, False)}
    for G in (2, 4, 8):
        modules |= {f"DG{G}": (G, False), f"DG{G}S": (G, True)}
    variants = {f"{name}*": Variant(ENCODER, *module) for name, module in modules.items()}
    variants |= {name: Variant(LATE, *module) for name, module in modules.items()}
    return variants | {
        f"{name}*-proposed": Variant(ENCODER, *modules[name], light=True) for name in ("D", "DG2", "DG4")
    }


VARIANTS = _variants()


def erfnet(
    frame: Value,
    cells: Mapping[str, Cell],
    *,
    kernel: Pair,
    classes: int,
    heads: bool,
    decoder_blocks: int,
    variant: Variant | None = None,
) -> tuple[Value, ...]:
    """Class scores at the size of the frame; with ``heads`` also the scores of the encoder's head, which only training
    runs. ERFNet has no recurrent cells: ``cells`` and ``kernel`` are not used.

    ``decoder_blocks``: 2 is the network that the papers describe; 1 is the network that the tables of the second paper
    count, with one block in each stage of the decoder and down-samplers without pooling. `InvalidInput` for others, and
    unless the sides of the frame are multiples of 8.
    """
    if decoder_blocks not in DECODER_BLOCKS:
        raise InvalidInput(
            f"decoder_blocks must be 1 (the paper counts it) or 2 (the paper describes it), not {decoder_blocks!r}"
        )
    if frame.map.rows % 8 or frame.map.columns % 8:
        raise InvalidInput(
            f"the sides of a frame for ERFNet must be multiples of 8, not {frame.map.rows}x{frame.map.columns}"
        )
    variant = variant or Variant()
    counted = decoder_blocks == 1

    def block(x: Value, layer: int) -> Value:
        name = f"layer{layer}"
        if layer in variant.replaced:
            return separable(x, name, DILATIONS.get(layer, 1), variant.groups, variant.shuffled)
        return non_bottleneck_1d(x, name, DILATIONS.get(layer, 1))

    def stage(x: Value, layers: tuple[int, ...]) -> Value:
        for layer in layers[:decoder_blocks]:
            x = separable(x, f"layer{layer}") if variant.light else non_bottleneck_1d(x, f"layer{layer}")
        return x

    x = downsample(frame, "layer1", 16, counted)
    x = downsample(x, "layer2", 64, counted)
    for layer in range(3, 8):
        x = block(x, layer)
    x = downsample(x, "layer8", 128, counted)
    for layer in range(9, 17):
        x = block(x, layer)
    encoded = x
    x = stage(upsample(x, "layer17", 64, variant.light), (18, 19))
    x = stage(upsample(x, "layer20", 16, variant.light), (21, 22))
    with x.trace.scope("layer23"):
        scores = x.trace.apply(TransposedConv(classes, (2, 2), stride=2, bias=True), x, name="conv")
    if not heads:
        return (scores,)
    with x.trace.scope("encoder_head"):
        return scores, x.trace.apply(Conv(classes, (1, 1), bias=True), encoded, name="conv")


def normalise(x: Value) -> Value:
    return x.trace.apply(Norm(EPS), x, name="norm")


def downsample(x: Value, layer: str, channels: int, whole: bool) -> Value:
    """Half the size: a 3x3 convolution for the new channels beside a 2x2 max pooling; or, with ``whole``, a convolution
    for all channels. Batch norm, ReLU."""
    with x.trace.scope(layer):
        new = channels if whole else channels - x.map.channels
        y = x.trace.apply(Conv(new, (3, 3), stride=2, padding=1, bias=True), x, name="conv")
        if not whole:
            pooled = x.trace.apply(Pool(Event.MAX_POOL, (2, 2), (2, 2)), x, name="pool")
            y = x.trace.apply(Concat(), y, pooled, name="concat")
        return relu(normalise(y))


def upsample(x: Value, layer: str, channels: int, light: bool) -> Value:
    """Twice the size: a transposed convolution, 3x3, or 1x1 in the light decoder. Batch norm, ReLU."""
    side = 1 if light else 3
    conv = TransposedConv(channels, (side, side), stride=2, padding=side // 2, output_padding=1, bias=True)
    with x.trace.scope(layer):
        x.trace.training(inserted_zeros(conv, x.map))
        return relu(normalise(x.trace.apply(conv, x, name="conv")))


def inserted_zeros(conv: TransposedConv, x: Map) -> Work:
    """MACs with the zeros between inputs: some counters treat a transposed convolution as a convolution at every
    position of the output."""
    return Work({Event.ZERO_MAC: conv.weights(x) * (conv.output(x).positions - x.positions)})


def non_bottleneck_1d(x: Value, layer: str, dilation: int = 1) -> Value:
    """Non-bottleneck-1D: a 3x1 and a 1x3 convolution, twice, the second time dilated; plus the identity."""
    channels = x.map.channels

    def pair(y: Value, d: int) -> Value:
        y = relu(y.trace.apply(Conv(channels, (3, 1), dilation=d, bias=True), y, name="conv3x1"))
        return normalise(y.trace.apply(Conv(channels, (1, 3), dilation=d, bias=True), y, name="conv1x3"))

    with x.trace.scope(layer):
        return relu(pair(relu(pair(x, 1)), dilation) + x)


def separable(x: Value, layer: str, dilation: int = 1, groups: Size = 1, shuffled: bool = False) -> Value:
    """D: a depthwise 3x3 and a pointwise convolution, twice, the second time dilated; plus the identity. DG: grouped
    pointwise convolutions; DGS: a channel shuffle after the first."""
    y, channels = x, x.map.channels
    with x.trace.scope(layer):
        for number, d in enumerate((1, dilation)):
            y = relu(normalise(y.trace.apply(Conv(channels, (3, 3), dilation=d, groups=channels), y, name="depthwise")))
            y = y.trace.apply(Conv(channels, (1, 1), groups=groups), y, name="pointwise")
            y = y.trace.apply(Shuffle(groups), y, name="shuffle") if shuffled and number == 0 else y
            y = normalise(y)
        return relu(y + x)
