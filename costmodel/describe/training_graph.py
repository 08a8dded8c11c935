"""Events that exist only in the training graph of a TensorFlow 1 network, which Table IV was counted on.

They are needed to reproduce the printed digits; a network that runs has none of them. Each function returns the events
of one thing; the ``tf-profiler`` convention prices them, every other convention prices them 0.
"""

from costmodel.describe.ops import Conv, Map
from costmodel.work.events import Event, Work
from costmodel.work.size import Size


def initialise(*variables: Size) -> Work:
    """Random initial values of variables, given the number of elements of each."""
    return Work({Event.INITIAL_ELEMENT: sum(variables), Event.INITIAL_VARIABLE: len(variables)})


def moving_averages(channels: Size) -> Work:
    """The update of a batch norm's running mean and variance."""
    return Work({Event.AVERAGED_ELEMENT: 2 * channels, Event.AVERAGED_VARIABLE: 2})


def padded_grid(conv: Conv, x: Map) -> Work:
    """MACs of the outputs that TensorFlow computes and crops: a dilated convolution with explicit padding runs as d x d
    dense convolutions on a grid padded to a multiple of its dilation d."""
    out, d = conv.output(x), conv.dilation
    if d == 1:
        return Work()
    sides = [
        d * (-(-(n + total) // d) - k + 1)
        for n, total, k in zip((x.rows, x.columns), conv.total_padding(x), conv.kernel, strict=True)
    ]
    cropped = sides[0] * sides[1] - out.rows * out.columns
    return Work({Event.GRID_MAC: conv.weights(x) * cropped})


def lstm_loop(hidden: Map) -> Work:
    """The constant 1 that TensorFlow's LSTM adds to the forget gate, and six scalar operations of its frame loop."""
    return Work({Event.FORGET_BIAS: hidden.elements, Event.LOOP_SCALAR: 6})
