"""Machines for the tables of other commands: the option ``--machine``, and what it stands for."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from costmodel.cli import parsers
from costmodel.cli.options import choice, number
from costmodel.cli.timing import DEVICES, DTYPES, MEMORY_FORMATS, Bandwidth, Choices
from costmodel.errors import InvalidInput
from costmodel.price.machine import Machine

if TYPE_CHECKING:
    from costmodel.profiles.predict import Predictor


@dataclass
class OnMachine:
    """Options: a machine on which the rows of a table have times, and the moment at which they are stated."""

    machine: Annotated[
        Any,  # Machine | str | None: typer knows no such type
        typer.Option(
            "--machine",
            parser=parsers.at_door(parsers.machine),
            metavar="NAME|GFLOP/S,GB/S",
            help="A calibrated machine, by its profile: the time that it is predicted to take; or peak and memory "
            "bandwidth: what it takes at least. And what bounds that time.",
            show_default=False,
        ),
    ] = None
    at: Annotated[
        float | None,
        typer.Option(
            parser=parsers.at_door(parsers.bandwidth),
            metavar="GB/S",
            help="State predicted times at another bandwidth of memory.  [default: the median of the calibration]",
            show_default=False,
        ),
    ] = None

    def __post_init__(self) -> None:
        if self.at is not None and not isinstance(self.machine, str):
            raise InvalidInput("--at needs --machine NAME, a calibrated machine")

    def predictor(self, choices: Choices) -> "Predictor | None":
        """The machine, for the settings that other options choose; None without one."""
        if self.machine is None:
            return None
        for name, values in choices.given.items():
            if values[1:]:
                told = ", ".join(map(str, values))
                raise InvalidInput(f"--{name.replace('_', '-')}: one value with --machine, not {told}")
        chosen = {name: values[0] for name, values in choices.given.items()}
        if chosen.pop("implementation", "eager") != "eager":
            raise InvalidInput("--implementation compiled: --machine predicts eager code alone")
        if chosen.pop("pages", "default") != "default":
            raise InvalidInput("--pages huge: machines are calibrated with default pages")
        from costmodel.profiles import predict

        if isinstance(self.machine, Machine):
            name = f"{self.machine.peak / 1e9:g} GFLOP/s, {self.machine.bandwidth / 1e9:g} GB/s"
            return predict.Predictor(predict.Roofline(name, self.machine), predict.settings(**chosen))
        return predict.predictor(self.machine, bandwidth=self.at, **chosen)


@dataclass
class Calibrated:
    """Options: a calibrated machine, which of its calibrations, and the moment at which times are stated."""

    machine: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="The machine: a profile that calibrate has recorded.  [required]"),
    ] = None
    device: Annotated[
        str | None, choice(DEVICES, "The device.  [default: the one that is calibrated]", default=False)
    ] = None
    dtype: Annotated[
        str | None, choice(DTYPES, "The number format.  [default: float32, if it is calibrated]", default=False)
    ] = None
    memory_format: Annotated[
        str | None,
        choice(MEMORY_FORMATS, "The memory format.  [default: contiguous, if it is calibrated]", default=False),
    ] = None
    threads: Annotated[int | None, number("N", "Threads of a CPU.  [default: those of the calibration]")] = None
    at: Bandwidth = None

    @property
    def predictor(self) -> "Predictor":
        """The machine; `InvalidInput` for unknown machines, and for settings that no calibration has."""
        from costmodel.profiles import predict

        if self.machine is None:
            from costmodel.profiles.calibration import machines

            known = ", ".join(machines())
            raise InvalidInput(f"--machine is needed: {known or 'costmodel calibrate --out NAME records one'}")
        chosen = {name: getattr(self, name) for name in ("device", "dtype", "memory_format", "threads")}
        return predict.predictor(self.machine, bandwidth=self.at, **chosen)
