"""What training with gradual grouping costs: dense convolutions while the mask is open, grouped ones afterwards.

"Efficient Semantic Segmentation Using Gradual Grouping": each pointwise weight W is used as W o (M + alpha (1 - M)), M
the block-diagonal mask of G groups. alpha falls from 1 to 0; the last epochs fine-tune at 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from costmodel.errors import InvalidInput
from costmodel.work.size import Size, as_size

MOST_EPOCHS = 10**6
PASSES = 3  # forward, and two gradients of the same size: of the inputs and of the weights


def linear(falling: int, fine: int) -> tuple[float, ...]:
    """alpha(e) = max(0, 1 - e / E_d) for E_d ``falling`` epochs and ``fine`` more. The paper does not print its shape.

    >>> linear(4, 2)
    (1.0, 0.75, 0.5, 0.25, 0.0, 0.0)
    """
    as_size("falling epochs", falling)
    if fine:
        as_size("fine-tuning epochs", fine)
    if falling + fine > MOST_EPOCHS:
        raise InvalidInput(f"at most {MOST_EPOCHS:,} epochs, not {falling + fine:,}")
    return tuple(1 - epoch / falling for epoch in range(falling)) + (0.0,) * fine


@dataclass(frozen=True)
class Training:
    """Work of a whole training, in the unit that ``dense`` and ``grouped`` (of one frame, forward) have.

    ``kept``: the mask stays, so that every epoch is dense. ``switched``: grouped convolutions once alpha is 0.
    ``grouped_only``: without gradual grouping. ``epochs`` with an open mask, and ``fine`` ones.
    """

    epochs: int
    fine: int
    kept: Size
    switched: Size
    grouped_only: Size


def gradual(dense: Size, grouped: Size, alphas: Sequence[float], images: int) -> Training:
    """The work of training with alpha as given, epoch by epoch, on so many ``images`` an epoch.

    Three times the forward pass for each image: forward, gradients of the inputs and of the weights.

    >>> gradual(10, 6, linear(2, 1), images=5)
    Training(epochs=2, fine=1, kept=450, switched=390, grouped_only=270)
    """
    values = list(alphas)
    if not values:
        raise InvalidInput("no epochs: alpha needs a value for each")
    for alpha in values:
        if not (isinstance(alpha, int | float) and isfinite(alpha) and 0 <= alpha <= 1):
            raise InvalidInput(f"alpha is from 0 (grouped) to 1 (dense), not {alpha!r}")
    masked = sum(alpha > 0 for alpha in values)
    once = PASSES * as_size("images", images)
    return Training(
        epochs=masked,
        fine=len(values) - masked,
        kept=once * len(values) * dense,
        switched=once * (masked * dense + (len(values) - masked) * grouped),
        grouped_only=once * len(values) * grouped,
    )
