"""The cost of training with gradual grouping: dense convolutions while the mask is open, grouped ones afterwards.

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
    """alpha(e) = max(0, 1 - e / E_d) for E_d ``falling`` epochs and ``fine`` more. The paper prints no shape of alpha.

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
    """Epochs and work of a whole training, in the unit of the work that `gradual` was given."""

    epochs: int  # with an open mask
    fine: int  # epochs with alpha 0
    kept: Size  # the work if the mask stays, so that every epoch is dense
    switched: Size  # the work with grouped convolutions once alpha is 0
    grouped_only: Size  # the work without gradual grouping


def gradual(dense: Size, grouped: Size, alphas: Sequence[float], images: int) -> Training:
    """The work of a training on ``images`` per epoch, with one value of ``alphas`` per epoch.

    ``dense`` and ``grouped``: the work of the forward pass of one image. An image costs three times as much: forward,
    gradients of the inputs, gradients of the weights. `InvalidInput` unless every alpha is from 0 to 1.

    >>> gradual(10, 6, linear(2, 1), images=5)
    Training(epochs=2, fine=1, kept=450, switched=390, grouped_only=270)
    """
    values = list(alphas)
    if not values:
        raise InvalidInput("alphas must have a value for each epoch, at least one")
    for alpha in values:
        if not (isinstance(alpha, int | float) and isfinite(alpha) and 0 <= alpha <= 1):
            raise InvalidInput(f"alpha must be from 0 (grouped) to 1 (dense), not {alpha!r}")
    masked = sum(alpha > 0 for alpha in values)
    epoch = PASSES * as_size("images", images)
    return Training(
        epochs=masked,
        fine=len(values) - masked,
        kept=epoch * len(values) * dense,
        switched=epoch * (masked * dense + (len(values) - masked) * grouped),
        grouped_only=epoch * len(values) * grouped,
    )
