"""The operations that a subject of timing runs, each with its call: of a description or of a module of the user's."""

from typing import TYPE_CHECKING, Any

from costmodel.describe import calls
from costmodel.describe.program import Program
from costmodel.errors import InvalidInput, in_words
from costmodel.work.cost import Operation

if TYPE_CHECKING:
    from costmodel.counting.count import Count
    from costmodel.measure.modules import Module


def operations(
    subject: "Program | Module | Count", dtype: str = "float32", memory_format: str = "contiguous", batch: int = 1
) -> tuple[Operation, ...]:
    """The operations of one call in inference, down to kernels, with dtype and memory format as `profile` times them.
    The first use of a module imports torch, that of a description does not. ``batch`` is of descriptions: a module has
    its inputs. `InvalidInput` for sizes in letters, and for other subjects.

    >>> import costmodel
    >>> from costmodel.measure.operations import operations
    >>> len(operations(costmodel.cell("depth"))), len(operations(costmodel.cell("depth", kernel=4)))
    (21, 29)
    """
    if isinstance(subject, Program):
        return calls.operations(subject, dtype, memory_format, batch)
    counted: Any = getattr(subject, "count", subject)  # of a module with its name
    if not hasattr(counted, "letters"):
        raise InvalidInput(f"operations of a description, a module or a count, not of {in_words(subject)}")
    if counted.letters or counted.call is None:
        raise InvalidInput(f"{counted.name} is counted in letters: calls need numbers")
    if batch != 1:
        raise InvalidInput(f"{counted.name} is counted with a batch in its inputs: batch {batch} is for descriptions")
    found: tuple[Operation, ...] = counted.call.operations(dtype, memory_format)
    return found
