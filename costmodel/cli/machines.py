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

Given = Annotated[
    Any,  # Machine | str | None: typer knows no such type
    typer.Option(
        "--machine",
        parser=parsers.at_door(parsers.machine),
        metavar="NAME|GFLOP/S,GB/S",
        help="A calibrated machine: the time that it is predicted to take; or peak and memory bandwidth: what it takes "
        "at least. And what bounds that time.",
        show_default=False,
    ),
]


def predictor(machine: Machine | str, choices: Choices, bandwidth: float | None = None) -> "Predictor":
    """The machine of the option, for the settings that other options choose; ``bandwidth``: bytes per second at which
    times are stated."""
    for name, values in choices.given.items():
        if values[1:]:
            raise InvalidInput(
                f"--{name.replace('_', '-')}: one value with --machine, not {', '.join(map(str, values))}"
            )
    chosen = {name: values[0] for name, values in choices.given.items()}
    if chosen.pop("implementation", "eager") != "eager":
        raise InvalidInput("--implementation compiled: --machine predicts eager code alone")
    if chosen.pop("pages", "default") != "default":
        raise InvalidInput("--pages huge: machines are calibrated with default pages")
    from costmodel.profiles import predict

    if isinstance(machine, Machine):
        name = f"{machine.peak / 1e9:g} GFLOP/s, {machine.bandwidth / 1e9:g} GB/s"
        return predict.Predictor(predict.Roofline(name, machine), predict.settings(**chosen))
    return predict.predictor(machine, bandwidth=bandwidth, **chosen)


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
