"""The predicted time of networks, cells and modules, as they are timed: networks without their training heads."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from costmodel.describe.calls import operations
from costmodel.describe.catalogue import NETWORKS, describe_network
from costmodel.describe.cells import describe_cell, is_cell
from costmodel.describe.program import Program
from costmodel.errors import InvalidInput, in_words
from costmodel.price.latency import CalibratedMachine, Predicted, Prediction
from costmodel.price.machine import Machine
from costmodel.price.moment import Moment
from costmodel.work.call import Call
from costmodel.work.cost import Operation

if TYPE_CHECKING:
    from costmodel.describe.ops import Pair
    from costmodel.profiles.records import Settings, Subject
    from costmodel.work.size import Size


class Roofline(CalibratedMachine):
    """A machine of two numbers, given or of a data sheet: the least time of each operation, which is no prediction."""

    def __init__(self, name: str, limits: Machine, conditions: str = "") -> None:
        self.name, self.conditions, self.moment = name, conditions, None
        self.limits = limits

    def predict(
        self, operations: Sequence[Operation], at: Moment | None = None, replayed: Mapping[Call, float] | None = None
    ) -> Prediction:
        """The roofline time of operations that run one after another."""
        times = [(each, *self.limits.bound([each.cost])) for each in operations]
        rows = tuple(Predicted(each, each.op, seconds, seconds, bound) for each, seconds, bound in times)
        whole = sum(seconds for _, seconds, _ in times)
        return Prediction(rows, whole, whole, whole, whole, Counter(), None)


@dataclass(frozen=True)
class Predictor:
    """A machine, the settings for which it predicts, and the moment at which times are stated (None: the median moment
    of its calibration)."""

    machine: CalibratedMachine
    how: "Settings"
    at: Moment | None = None

    @property
    def dtype(self) -> str:
        return self.how.dtype or "float32"

    @property
    def is_roofline(self) -> bool:
        return isinstance(self.machine, Roofline)

    @property
    def limits(self) -> str:
        """The two numbers of a roofline, in words."""
        limits = self.machine.limits if isinstance(self.machine, Roofline) else None
        return f"{limits.peak / 1e9:g} GFLOP/s and {limits.bandwidth / 1e9:g} GB/s" if limits else ""

    @property
    def title(self) -> str:
        """The machine in words, with the conditions of its calibration."""
        return ": ".join(filter(None, (self.machine.name, self.machine.conditions)))

    def operations(self, of: Any) -> tuple[Operation, ...]:
        """The operations of a described program, or of a counted call of a module."""
        if isinstance(of, Program):
            return operations(of, self.dtype, self.how.memory_format or "contiguous")
        floats = (each.dtype for each in of.state.values() if each.dtype.is_floating_point)
        if others := {str(dtype).removeprefix("torch.") for dtype in floats} - {"float32", self.dtype}:
            raise InvalidInput(
                f"{type(of.net).__name__} has parameters or buffers of {' and '.join(sorted(others))}, and would be "
                f"predicted as {self.dtype}: choose dtype {min(others)}"
            )
        return tuple(of.operations(self.dtype, self.how.memory_format or "contiguous"))

    def predict(self, of: Any, replayed: Mapping[Call, float] | None = None) -> Prediction:
        """The time of a described program, or of a counted call of a module; ``replayed``: seconds by call."""
        return self.machine.predict(self.operations(of), self.at, replayed)


def described(subject: "Subject") -> Program:
    """The program of a network or of a cell, as it is timed."""
    if subject.network is None:
        return describe_cell(
            subject.cell or "standard",
            kernel=subject.kernel or (3, 3),
            channels=subject.channels or (128, 128),
            size=subject.size or (128, 256),
            recurrence=subject.recurrence,
        )
    cells = dict.fromkeys(NETWORKS[subject.network].sites, subject.cell or "standard") | dict(subject.sites)
    return describe_network(
        subject.network,
        cell=cells,
        size=subject.size,
        kernel=subject.kernel or (3, 3),
        classes=subject.classes,
        heads=False,
        recurrence=subject.recurrence,
    )


def predictor(
    machine: str | CalibratedMachine,
    *,
    device: str | None = None,
    dtype: str | None = None,
    memory_format: str | None = None,
    threads: int | None = None,
    bandwidth: float | None = None,
) -> Predictor:
    """A machine by the name of its profile, calibrated with the settings that are given; for the others, what the
    profile has, if possible float32 and contiguous. ``bandwidth``: of memory, in bytes per second, at which times are
    stated, by default the median of the calibration. `InvalidInput` for unknown machines, and for settings that no
    calibration of the machine has."""
    given: dict[str, Any] = {"device": device, "dtype": dtype, "memory_format": memory_format, "threads": threads}
    given = {name: value for name, value in given.items() if value is not None}
    if isinstance(machine, CalibratedMachine):
        found = Predictor(machine, settings(**given))
    else:
        from costmodel.profiles.calibration import look_up

        known, how = look_up(machine, given)
        if isinstance(known, Machine):
            known = Roofline(machine, known, f"data sheet, {how.device}, {how.dtype}")
        found = Predictor(known, how)
    if bandwidth is None:
        return found
    if found.machine.moment is None:
        raise InvalidInput(f"{found.machine.name} has no probes: its times cannot be stated at a bandwidth")
    return replace(found, at=found.machine.moment.with_bandwidth(bandwidth))


def settings(**given: Any) -> "Settings":
    """The settings of eager code, those that are not given as usual."""
    from costmodel.profiles.records import Settings

    usual = {"device": "cpu", "dtype": "float32", "memory_format": "contiguous", "implementation": "eager"}
    return Settings.model_validate(usual | given)


def predict(
    x: Any,
    machine: str | CalibratedMachine,
    *,
    cell: "str | Mapping[str, str]" = "standard",
    kernel: "Size | Pair" = 3,
    channels: "Size | Pair" = 128,
    size: "Pair | None" = None,
    classes: int | None = None,
    recurrence: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    memory_format: str | None = None,
    threads: int | None = None,
    bandwidth: float | None = None,
) -> Prediction:
    """The predicted time of one frame of a network, one step of a cell, or one call of a module, in seconds.

    ``x``: the name of a described network (``"v6"``, with ``cell``, ``kernel``, ``size`` and ``classes``; without its
    training heads) or of a cell (``"sep"``, with ``kernel``, ``channels`` and ``size``); a program that
    `costmodel.network` or `costmodel.cell` describes; a module that `costmodel.module` makes; a count by
    `costmodel.count`. ``machine``: the name of a profile with a calibration. The other arguments choose among its
    calibrations; ``bandwidth``: of memory, in bytes per second, at which times are stated. `InvalidInput` for unknown
    names, for letters in sizes, and for settings that no calibration has."""
    on = predictor(
        machine, device=device, dtype=dtype, memory_format=memory_format, threads=threads, bandwidth=bandwidth
    )
    if isinstance(x, str) and ":" in x:
        raise InvalidInput(f"{x!r} names a module: give costmodel.module({x!r}, '1x3x224x224')")
    if isinstance(x, str) and is_cell(x):
        area = (128, 256) if size is None else size
        x = describe_cell(x, kernel=kernel, channels=channels, size=area, recurrence=recurrence)
    elif isinstance(x, str):
        chosen: dict[str, Any] = {"kernel": kernel, "size": size, "classes": classes, "recurrence": recurrence}
        x = describe_network(x, cell=cell, heads=False, **chosen)
    elif not isinstance(x, Program):
        x = getattr(x, "count", x)
        if getattr(x, "call", None) is None:
            raise InvalidInput(f"{in_words(x)} is no network, cell, module or count: costmodel.module() makes a module")
        x = called(x)
    return on.predict(x)


def called(count: Any) -> Any:
    """The call of a count, which gives its operations; `InvalidInput` for one in letters."""
    if count.letters:
        raise InvalidInput(f"{count.name} is counted in letters, {', '.join(count.letters)}: a time needs numbers")
    if tuple(count.call.words) != tuple(count.inputs):  # closed forms at numbers: a call at other sizes was counted
        raise InvalidInput(f"{count.name} is made of closed forms: count it with {', '.join(count.inputs)}")
    return count.call
