"""Counted work, before a convention prices it.

Counters disagree about prices (is a MAC one FLOP or two? is tanh 5 or 0?), never about what happened. So a description
and a running module are both reduced to the same bag of events, and a convention prices the bag.
"""

from collections.abc import Iterator, Mapping
from enum import Enum

from costmodel.errors import InvalidInput
from costmodel.work.size import Size, same


class Event(Enum):
    """One countable thing. The value is its name in reports; the comment is the unit that counts once."""

    MAC = "multiply-accumulate"  # per product of a weight and an input that is accumulated
    BIAS = "bias addition"  # per output element
    ADDITION = "addition"  # per element and binary sum
    PRODUCT = "Hadamard product"  # per element
    SIGMOID = "sigmoid"  # per element
    TANH = "tanh"  # per element
    RELU = "ReLU"  # per element
    NORM = "normalisation"  # per element, with fixed statistics: one scale and one shift
    MAX_POOL = "max-pool tap"  # per window position and output element
    AVERAGE_POOL = "average-pool tap"  # per window position and output element
    RESIZE = "bilinear sample"  # per output element
    MOVE = "element moved"  # per element copied without arithmetic (padding)

    # Only in modules that the catalogue does not describe.
    DIVISION = "division"  # per element
    TRANSCENDENTAL = "exponential, logarithm, power or root"  # per element, and trigonometric functions
    ACTIVATION = "other activation"  # per element: GELU, SiLU, leaky ReLU, ...
    COMPARISON = "comparison or selection"  # per element
    POINTWISE = "other elementwise operation"  # per element
    REDUCTION = "element reduced"  # per element that goes into a sum, a maximum, a sorting, ...
    SOFTMAX = "softmax element"  # per element
    OWN_NORM = "normalisation with its own statistics"  # per element: layer norm, batch norm in training, ...
    ADAPTIVE_POOL = "adaptive average-pool tap"  # per element of a window
    INTERPOLATION = "other interpolated sample"  # per output element: cubic, trilinear, a grid
    RANDOM = "random number"  # per element
    FFT = "butterfly of a Fourier transform"  # n/2 log2(n) per transform of n points, half of that if one side is real

    # Only in graphs that tables of papers were counted on, such as TensorFlow 1's training graph.
    GRID_MAC = "multiply-accumulate on a padded grid"  # per MAC of outputs that are cropped again
    ZERO_MAC = "multiply-accumulate with an inserted zero"  # per MAC of a transposed convolution on its output's grid
    INITIAL_ELEMENT = "random initial value"  # per weight
    INITIAL_VARIABLE = "initialised variable"  # per variable
    AVERAGED_ELEMENT = "moving-average element"  # per batch-norm statistic
    AVERAGED_VARIABLE = "moving average"  # per averaged variable
    FORGET_BIAS = "forget-bias addition"  # per element
    LOOP_SCALAR = "loop scalar operation"  # per operation on the frame counter

    @property
    def executed(self) -> bool:
        """True if a network that runs can show this event, False if only a training graph has it."""
        return self not in _TRAINING_GRAPH


_TRAINING_GRAPH = frozenset(
    {
        Event.GRID_MAC,
        Event.ZERO_MAC,
        Event.INITIAL_ELEMENT,
        Event.INITIAL_VARIABLE,
        Event.AVERAGED_ELEMENT,
        Event.AVERAGED_VARIABLE,
        Event.FORGET_BIAS,
        Event.LOOP_SCALAR,
    }
)


class Work(Mapping[Event, Size]):
    """A bag of events: a count per event. Immutable; bags add up; an absent event counts 0.

    >>> a = Work({Event.MAC: 6, Event.BIAS: 2})
    >>> (a + a)[Event.MAC], a[Event.TANH]
    (12, 0)
    """

    __slots__ = ("_counts",)

    def __init__(self, counts: Mapping[Event, Size] | None = None) -> None:
        self._counts = dict(counts or {})
        if unknown := [event for event in self._counts if not isinstance(event, Event)]:
            raise InvalidInput(f"not events: {unknown}")

    def __getitem__(self, event: Event) -> Size:
        """The count of the event, 0 if it is absent."""
        return self._counts.get(event, 0)

    def __contains__(self, event: object) -> bool:
        return event in self._counts

    def __iter__(self) -> Iterator[Event]:
        return iter(self._counts)

    def __len__(self) -> int:
        return len(self._counts)

    def __add__(self, other: "Work") -> "Work":
        counts = dict(self._counts)
        for event, count in other._counts.items():
            counts[event] = counts[event] + count if event in counts else count
        return Work(counts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Work):
            return NotImplemented
        return all(same(self[event], other[event]) for event in Event)

    def __repr__(self) -> str:
        return "Work(" + ", ".join(f"{e.name}={n}" for e, n in self._counts.items()) + ")"

    @property
    def executed(self) -> "Work":
        """The events that a network shows when it runs: all but those of the training graph."""
        return Work({e: n for e, n in self._counts.items() if e.executed})
