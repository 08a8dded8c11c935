"""ICNet at half width (Zhao et al., the paper's [24]), in the TensorFlow form that the paper counted.

Three branches read the frame at full, half and quarter resolution; cascade feature fusion joins them. At each site of
a recurrent cell the description calls ``site(name, value)``, which returns the value or the output of a cell.
"""

from collections.abc import Callable, Mapping

from costmodel.describe.cells import Cell
from costmodel.describe.ops import Conv, Norm, Pair, Pool, Resize
from costmodel.describe.program import Trace, Value, relu
from costmodel.describe.training_graph import initialise, moving_averages, padded_grid
from costmodel.errors import InvalidInput
from costmodel.work.events import Event

# Places for recurrent cells, in `coarse` and in `fine`.
SITES = ("low", "medium", "high", "final")
Site = Callable[[str, Value], Value]


def convolve(
    x: Value, layer: str, channels: int, kernel: int, *, stride: int = 1, dilation: int = 1, same: bool = False
) -> Value:
    """A convolution without bias. Padding: TensorFlow's SAME, or explicit zeros that keep the size of an odd kernel."""
    conv = Conv(channels, (kernel, kernel), stride, dilation, padding="same" if same else dilation * (kernel // 2))
    with x.trace.scope(layer):
        x.trace.training(initialise(conv.weights(x.map)) + padded_grid(conv, x.map))
        return x.trace.apply(conv, x, name="conv")


def normalise(x: Value, layer: str) -> Value:
    with x.trace.scope(layer):
        x.trace.training(moving_averages(x.map.channels))
        return x.trace.apply(Norm(), x, name="norm")


def conv_bn_relu(
    x: Value, layer: str, channels: int, kernel: int, *, stride: int = 1, dilation: int = 1, same: bool = False
) -> Value:
    """Convolution, batch norm, ReLU."""
    x = convolve(x, layer, channels, kernel, stride=stride, dilation=dilation, same=same)
    return rectify(normalise(x, layer), layer)


def rectify(x: Value, layer: str) -> Value:
    with x.trace.scope(layer):
        return relu(x)


def classify(x: Value, layer: str, classes: int) -> Value:
    """A 1x1 convolution to class scores: bias, no batch norm; weights and bias start random."""
    with x.trace.scope(layer):
        x.trace.training(initialise(classes * x.map.channels, classes))
        return x.trace.apply(Conv(classes, (1, 1), padding=0, bias=True), x, name="conv")


def halve(x: Value, layer: str) -> Value:
    """Resize by 1/2: int((n - 1) / 2 + 1) per side."""
    with x.trace.scope(layer):
        return x.trace.apply(Resize((x.map.rows + 1) // 2, (x.map.columns + 1) // 2), x, name="resize")


def upsample(x: Value, layer: str) -> Value:
    """Resize by 2 with the corners kept: 2 n - 1 per side."""
    with x.trace.scope(layer):
        return x.trace.apply(Resize(2 * x.map.rows - 1, 2 * x.map.columns - 1), x, name="resize")


def fuse(a: Value, b: Value, layer: str) -> Value:
    """ReLU of the sum, the first operand resized to the second."""
    with a.trace.scope(layer):
        resized = a.trace.apply(Resize(b.map.rows, b.map.columns), a, name="resize")
        return relu(resized + b)


def residual(x: Value, layer: str, width: int, dilation: int = 1) -> Value:
    """Bottleneck with an identity shortcut: 1x1 to ``width``, 3x3, 1x1 back, sum, ReLU."""
    return join(x, bottleneck(x, layer, width, x.map.channels, dilation=dilation), layer)


def projected(x: Value, layer: str, width: int, channels: int, *, stride: int = 1, dilation: int = 1) -> Value:
    """Bottleneck whose shortcut is a 1x1 projection."""
    shortcut = normalise(convolve(x, f"{layer}_1x1_proj", channels, 1, stride=stride), f"{layer}_1x1_proj")
    return join(shortcut, bottleneck(x, layer, width, channels, stride=stride, dilation=dilation), layer)


def bottleneck(x: Value, layer: str, width: int, channels: int, *, stride: int = 1, dilation: int = 1) -> Value:
    x = conv_bn_relu(x, f"{layer}_1x1_reduce", width, 1, stride=stride)
    x = conv_bn_relu(x, f"{layer}_3x3", width, 3, dilation=dilation)
    return normalise(convolve(x, f"{layer}_1x1_increase", channels, 1), f"{layer}_1x1_increase")


def join(shortcut: Value, branch: Value, layer: str) -> Value:
    with shortcut.trace.scope(layer):
        return relu(shortcut + branch)


def pyramid(x: Value, bins: dict[str, int], layer: str) -> Value:
    """Sum of the map and its averages over n x n bins, resized. Windows are h//n x w//n: an uneven rest is cut."""
    total = x
    for name, n in bins.items():
        window = (x.map.rows // n, x.map.columns // n)
        if min(window) < 1:
            raise InvalidInput(f"{layer} needs a map of at least {n}x{n}, not {x.map.rows}x{x.map.columns}")
        with x.trace.scope(f"{layer}_{name}"):
            pooled = x.trace.apply(Pool(Event.AVERAGE_POOL, window, window), x, name="pool")
            resized = x.trace.apply(Resize(x.map.rows, x.map.columns), pooled, name="resize")
        with x.trace.scope(f"{layer}_sum"):
            total = total + resized
    return total


def icnet(frame: Value, classes: int, site: Site, heads: bool) -> tuple[Value, ...]:
    """Class scores at a quarter of the frame's size; with ``heads`` also the scores of two auxiliary training heads."""
    context, middle, low = coarse(frame, site)
    scores = fine(frame, context, classes, site)
    return (scores, *auxiliary(middle, low, classes)) if heads else (scores,)


def icnet_key(frame: Value, cells: Mapping[str, Cell], *, kernel: Pair, classes: int, heads: bool) -> tuple[Value, ...]:
    """The part of ICNet for key frames: the map that `icnet_low` reads."""
    context, middle, low = coarse(frame, _no_site)
    return (context, *auxiliary(middle, low, classes)) if heads else (context,)


def icnet_low(frame: Value, cells: Mapping[str, Cell], *, kernel: Pair, classes: int, heads: bool) -> tuple[Value, ...]:
    """The part of ICNet for every frame, with the map of the last key frame."""
    shape = coarse(Trace().input("frame", frame.map), _no_site)[0].map
    context = frame.trace.state("context", shape)
    frame.trace.carry(context, context)  # until the next key frame
    return (fine(frame, context, classes, _no_site),)


def _no_site(name: str, x: Value) -> Value:
    return x


def auxiliary(middle: Value, low: Value, classes: int) -> tuple[Value, Value]:
    """The training heads."""
    return classify(middle, "sub24_out", classes), classify(low, "sub4_out", classes)


def coarse(frame: Value, site: Site) -> tuple[Value, Value, Value]:
    """The branches at half and quarter resolution, fused: the map for the fusion with full resolution, and the two maps
    that the training heads classify."""
    # Half resolution, down to 1/16 of the frame.
    x = halve(frame, "data_sub2")
    x = conv_bn_relu(x, "conv1_1_3x3_s2", 32, 3, stride=2, same=True)
    x = conv_bn_relu(x, "conv1_2_3x3", 32, 3, same=True)
    x = conv_bn_relu(x, "conv1_3_3x3", 64, 3, same=True)
    with x.trace.scope("pool1_3x3_s2"):
        x = x.trace.apply(Pool(Event.MAX_POOL, (3, 3), (2, 2), padding=1), x, name="pool")
    x = projected(x, "conv2_1", 32, 128)
    x = residual(x, "conv2_2", 32)
    x = residual(x, "conv2_3", 32)
    sixteenth = projected(x, "conv3_1", 64, 256, stride=2)

    # Quarter resolution, 1/32 of the frame.
    x = halve(sixteenth, "conv3_1_sub4")
    for block in ("conv3_2", "conv3_3", "conv3_4"):
        x = residual(x, block, 64)
    x = projected(x, "conv4_1", 128, 512, dilation=2)
    for block in ("conv4_2", "conv4_3", "conv4_4", "conv4_5", "conv4_6"):
        x = residual(x, block, 128, dilation=2)
    x = projected(x, "conv5_1", 256, 1024, dilation=4)
    x = residual(x, "conv5_2", 256, dilation=4)
    x = residual(x, "conv5_3", 256, dilation=4)
    # Bins are named as in Caffe and sized as in the TensorFlow code.
    x = pyramid(x, {"pool1": 1, "pool2": 2, "pool3": 3, "pool6": 4}, "conv5_3")
    x = conv_bn_relu(x, "conv5_4_k1", 256, 1)

    # Fusion of quarter and half resolution.
    low = upsample(x, "conv5_4_interp")
    x = normalise(site("low", convolve(low, "conv_sub4", 128, 3, dilation=2)), "conv_sub4")
    medium = normalise(site("medium", convolve(sixteenth, "conv3_1_sub2_proj", 128, 1)), "conv3_1_sub2_proj")
    x = fuse(x, medium, "sub24_sum")

    middle = upsample(x, "sub24_sum_interp")
    return normalise(convolve(middle, "conv_sub2", 128, 3, dilation=2), "conv_sub2"), middle, low


def fine(frame: Value, context: Value, classes: int, site: Site) -> Value:
    """Class scores: the branch at full resolution, fused with the other branches."""
    y = conv_bn_relu(frame, "conv1_sub1", 32, 3, stride=2, same=True)
    y = conv_bn_relu(y, "conv2_sub1", 32, 3, stride=2, same=True)
    y = conv_bn_relu(y, "conv3_sub1", 64, 3, stride=2, same=True)
    high = normalise(site("high", convolve(y, "conv3_sub1_proj", 128, 1)), "conv3_sub1_proj")
    x = site("final", fuse(context, high, "sub12_sum"))
    return classify(upsample(x, "sub12_sum_interp"), "conv6_cls", classes)
