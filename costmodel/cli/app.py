"""The application that commands are added to."""

import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

import typer
import typer.core

# In the order of the help; the file of a command has its name.
COMMANDS = (
    *("count", "compare", "sweep", "explain", "fits", "check"),
    *("profile", "profiles", "diff"),
    *("calibrate", "predict", "why", "plan"),
    *("report", "plot"),
    *("table", "promise", "equation", "errata", "gradual", "schedule", "flicker"),
)


class Interrupted(Exception):
    """Ctrl-C while a command ran, unless the command itself told what it kept."""


class Commands(typer.core.TyperGroup):
    """All commands. Left alone, typer would make a silent exit code of Ctrl-C."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=COMMANDS.index)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted from None


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="The cost of any PyTorch module, and of recurrent vision networks: counted or derived from a description, "
    "checked against torch, timed.",
    epilog="Start with: costmodel count mymodel.py:build --input 1x3x224x224, or: costmodel table --model v6",
)


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """A command as typer reads it: where a parameter of ``command`` is a dataclass, its fields are options."""
    parameters = inspect.signature(command, eval_str=True).parameters.values()
    groups: dict[str, Any] = {each.name: each.annotation for each in parameters if is_dataclass(each.annotation)}
    options: list[inspect.Parameter] = []
    for parameter in parameters:
        if parameter.name not in groups:
            options.append(parameter.replace(kind=parameter.KEYWORD_ONLY))
            continue
        hints = get_type_hints(parameter.annotation, include_extras=True)
        options += [
            inspect.Parameter(each.name, parameter.KEYWORD_ONLY, default=each.default, annotation=hints[each.name])
            for each in fields(parameter.annotation)
        ]

    def call(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{each.name: values.pop(each.name) for each in fields(group)})
        command(**values)

    call.__name__, call.__doc__ = command.__name__, command.__doc__
    call.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]  # typer reads it
    return call


def examples(*lines: str) -> str:
    # \b keeps the lines of the paragraph as they are.
    return "\n".join(["\b", "Examples:", *(f"  costmodel {line}" for line in lines)])
