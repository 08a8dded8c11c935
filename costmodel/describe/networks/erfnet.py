"""ERFNet (Romera et al. 2018) and its variants with grouped and depthwise separable convolutions ("Efficient Semantic
Segmentation Using Gradual Grouping").

A variant says which of the 23 layers are `separable` modules instead of ERFNet's `factorised` ones, how many groups
their pointwise convolutions have, and whether the decoder is the light one. Layers are numbered as in ERFNet's table.
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
    """Which layers of the encoder are separable modules, with ``groups`` in their pointwise convolutions, shuffled or
    not; with a ``light`` decoder, its blocks are separable, too (without groups), and its up-samplers 1x1."""

    replaced: tuple[int, ...] = ()
    groups: int = 1
    shuffled: bool = False
    light: bool = False


def _variants() -> dict[str, Variant]:
    """By the paper's names. Starred: the whole encoder; unstarred: its later half; proposed: the light decoder."""
    named = {"D": (1, False)}
    for G in (2, 4, 8):
        named |= {f"DG{G}": (G, False), f"DG{G}S": (G, True)}
    found = {f"{name}*": Variant(ENCODER, *how) for name, how in named.items()}
    found |= {name: Variant(LATE, *how) for name, how in named.items()}
    light = {name: how for name, how in named.items() if name in ("D", "DG2", "DG4")}
    return found | {f"{name}*-proposed": Variant(ENCODER, *how, light=True) for name, how in light.items()}


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
    """Class scores at the size of the frame; with ``heads`` also those of the encoder's head, which only its training
    runs. ERFNet has no recurrent cells: ``cells`` and ``kernel`` are not used.

    ``decoder_blocks``: 2 is the network that the papers describe. 1 is what the tables of the second paper count: one
    block in each stage of the decoder, and down-samplers as whole convolutions instead of ones beside a pooling.
    """
    if decoder_blocks not in DECODER_BLOCKS:
        raise InvalidInput(f"decoder_blocks is 1 (as the paper counts) or 2 (as it describes), not {decoder_blocks!r}")
    if frame.map.rows % 8 or frame.map.columns % 8:
        raise InvalidInput(
            f"ERFNet halves a frame three times: its sides are multiples of 8, not {frame.map.rows}x{frame.map.columns}"
        )
    variant = variant or Variant()
    counted = decoder_blocks == 1

    def block(x: Value, layer: int) -> Value:
        name = f"layer{layer}"
        if layer in variant.replaced:
            return separable(x, name, DILATIONS.get(layer, 1), variant.groups, variant.shuffled)
        return factorised(x, name, DILATIONS.get(layer, 1))

    def stage(x: Value, layers: tuple[int, ...]) -> Value:
        for layer in layers[:decoder_blocks]:
            x = separable(x, f"layer{layer}") if variant.light else factorised(x, f"layer{layer}")
        return x

    x = down(frame, "layer1", 16, counted)
    x = down(x, "layer2", 64, counted)
    for layer in range(3, 8):
        x = block(x, layer)
    x = down(x, "layer8", 128, counted)
    for layer in range(9, 17):
        x = block(x, layer)
    encoded = x
    x = stage(up(x, "layer17", 64, variant.light), (18, 19))
    x = stage(up(x, "layer20", 16, variant.light), (21, 22))
    with x.trace.scope("layer23"):
        scores = x.trace.apply(TransposedConv(classes, (2, 2), stride=2, bias=True), x, name="conv")
    if not heads:
        return (scores,)
    with x.trace.scope("encoder_head"):
        return scores, x.trace.apply(Conv(classes, (1, 1), bias=True), encoded, name="conv")


def normalise(x: Value) -> Value:
    return x.trace.apply(Norm(EPS), x, name="norm")


def down(x: Value, layer: str, channels: int, whole: bool) -> Value:
    """Half the size: a 3x3 convolution to the channels that are lacking, beside a 2x2 max pooling; or, as a whole, to
    all of them. Batch norm, ReLU."""
    with x.trace.scope(layer):
        lacking = channels if whole else channels - x.map.channels
        made = x.trace.apply(Conv(lacking, (3, 3), stride=2, padding=1, bias=True), x, name="conv")
        if not whole:
            pooled = x.trace.apply(Pool(Event.MAX_POOL, (2, 2), (2, 2)), x, name="pool")
            made = x.trace.apply(Concat(), made, pooled, name="concat")
        return relu(normalise(made))


def up(x: Value, layer: str, channels: int, light: bool) -> Value:
    """Twice the size: a transposed convolution, 3x3, or 1x1 in the light decoder. Batch norm, ReLU."""
    side = 1 if light else 3
    conv = TransposedConv(channels, (side, side), stride=2, padding=side // 2, output_padding=1, bias=True)
    with x.trace.scope(layer):
        x.trace.training(inserted_zeros(conv, x.map))
        return relu(normalise(x.trace.apply(conv, x, name="conv")))


def inserted_zeros(conv: TransposedConv, x: Map) -> Work:
    """MACs with the zeros between inputs, of counters that take a transposed convolution for a convolution at every
    position of its output."""
    return Work({Event.ZERO_MAC: conv.weights(x) * (conv.output(x).positions - x.positions)})


def factorised(x: Value, layer: str, dilation: int = 1) -> Value:
    """ERFNet's non-bottleneck-1D: a 3x1 and a 1x3 convolution twice, the second time dilated; plus the identity."""
    channels = x.map.channels

    def pair(y: Value, d: int) -> Value:
        y = relu(y.trace.apply(Conv(channels, (3, 1), dilation=d, bias=True), y, name="conv3x1"))
        return normalise(y.trace.apply(Conv(channels, (1, 3), dilation=d, bias=True), y, name="conv1x3"))

    with x.trace.scope(layer):
        return relu(pair(relu(pair(x, 1)), dilation) + x)


def separable(x: Value, layer: str, dilation: int = 1, groups: Size = 1, shuffled: bool = False) -> Value:
    """D: a depthwise 3x3 and a pointwise convolution twice, the second time dilated; plus the identity. DG: grouped
    pointwise ones; DGS: the channels are shuffled after the first."""
    y, channels = x, x.map.channels
    with x.trace.scope(layer):
        for number, d in enumerate((1, dilation)):
            y = relu(normalise(y.trace.apply(Conv(channels, (3, 3), dilation=d, groups=channels), y, name="depthwise")))
            y = y.trace.apply(Conv(channels, (1, 1), groups=groups), y, name="pointwise")
            y = y.trace.apply(Shuffle(groups), y, name="shuffle") if shuffled and number == 0 else y
            y = normalise(y)
        return relu(y + x)
