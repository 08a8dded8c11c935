"""Kernels: what a machine runs for a call of an operator, by kind and size."""

from collections.abc import Iterable
from dataclasses import dataclass

from costmodel.work.call import Call
from costmodel.work.cost import Operation


@dataclass(frozen=True)
class Kernel:
    """A kernel by its ``kind``, such as ``conv 3x3``'s ``dense convolution``, and its sizes.

    ``sizes``: names and values of the sizes that its time depends on, the same names for all kernels of a kind.
    ``weights``: bytes among ``reads`` that are parameters, which no earlier operation has just written.
    """

    kind: str
    sizes: tuple[tuple[str, float], ...]
    flops: float  # two per multiply-accumulate; one per element of what has none
    reads: float  # bytes
    writes: float  # bytes
    weights: float = 0.0


def kernel(call: Call) -> Kernel | None:
    """The kernel of a call; None for calls that run none, such as views. The kind of an operator that is not known
    here is the operator's own name: no machine is calibrated for it."""
    raise NotImplementedError


def kernels(operations: Iterable[Operation]) -> list[Kernel | None]:
    return [None if operation.call is None else kernel(operation.call) for operation in operations]
