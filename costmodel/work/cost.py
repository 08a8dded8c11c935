"""What a step takes: `Cost`, and `Operation`, the row of every table by layer."""

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


@dataclass(frozen=True)
class Operation:
    """One operation of a described program or of a module that ran: the row of every table by layer.

    ``path`` is the step of the program, or the module whose code called the operation ("" outside of all); ``op`` is
    its name. ``inputs`` and ``output`` are shapes. ``counted`` is False where no rule knows the operation (its work is
    then empty). ``live``: bytes of all results, of this and earlier operations, that are still in memory when the
    operation ends (0: not followed); ``workspace``: bytes that the operation needs besides while it runs on a CPU.
    """

    op: str
    cost: Cost
    counted: bool = True
    path: str = ""
    inputs: tuple[tuple[Size, ...], ...] = ()
    output: tuple[Size, ...] = ()
    backward: bool = False
    live: int = 0
    workspace: int = 0
