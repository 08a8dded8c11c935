"""`Cost`, the cost of a step, and `Operation`, the row of every table by layer."""

from dataclasses import dataclass

from costmodel.work.call import Call
from costmodel.work.events import Work
from costmodel.work.size import Size


@dataclass(frozen=True)
class Cost:
    """The cost of one step or one program. Costs add up."""

    work: Work
    parameters: Size = 0  # elements
    reads: Size = 0  # bytes: each operation reads its inputs and weights once, as if no cache held them
    writes: Size = 0  # bytes: each operation writes its output once
    launches: Size = 0  # kernels started
    conv_weights: Size = 0  # parameters that are weights of convolutions, without biases and norms

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.work + other.work,
            self.parameters + other.parameters,
            self.reads + other.reads,
            self.writes + other.writes,
            self.launches + other.launches,
            self.conv_weights + other.conv_weights,
        )


NOTHING = Cost(Work())


@dataclass(frozen=True)
class Operation:
    """One operation of a described program or of a module that ran: the row of every table by layer."""

    op: str  # the name of the operation
    cost: Cost
    counted: bool = True  # False: no rule knows the operation, so its work is empty
    path: str = ""  # the step of the program, or the module whose code called the operation ("": no module)
    inputs: tuple[tuple[Size, ...], ...] = ()  # shapes
    output: tuple[Size, ...] = ()  # a shape
    backward: bool = False
    live: int = 0  # bytes of all results that are still in memory when the operation ends (0: not followed)
    workspace: int = 0  # bytes that the operation needs besides while it runs on a CPU
    masked: Work | None = None  # of an attention, the work for the pairs that its mask keeps (None: for all)
    doubt: str = ""  # what is not known of its workspace, in words
    call: Call | None = None  # of whole numbers (None: of symbols, or not followed)
