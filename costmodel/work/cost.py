"""Work that is counted, before anyone prices it.

Counters disagree about prices (is a MAC one FLOP or two? is tanh 5 or 0?), never about what happened. So a description
and a running module are both reduced to the same bag of events, and a convention prices the bag.
"""

from dataclasses import dataclass

from costmodel.work.events import Work
from costmodel.work.size import Size


@dataclass(frozen=True)
class Cost:
    """What one step or one program takes. Costs add up.

    ``parameters`` in elements; ``reads`` and ``writes`` in bytes, per operation (every input, weight and output once,
    as if nothing stayed in a cache); ``launches`` in kernels started; ``kernels``: the parameters that are weights of
    convolutions, without biases and norms.
    """

    work: Work
    parameters: Size = 0
    reads: Size = 0
    writes: Size = 0
    launches: Size = 0
    kernels: Size = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.work + other.work,
            self.parameters + other.parameters,
            self.reads + other.reads,
            self.writes + other.writes,
            self.launches + other.launches,
            self.kernels + other.kernels,
        )


NOTHING = Cost(Work())
