"""The application that commands are added to."""

from typing import Any

import typer
import typer.core

# In the order of the help; the file of a command has its name.
COMMANDS = (
    *("table", "sweep", "equation", "gradual", "check"),
    *("flicker", "count", "explain"),
    *("report", "plot", "schedule"),
    *("profile", "profiles", "diff"),
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
    help="What a recurrent vision network costs: derived from its description, checked against torch, timed.",
    epilog="Start with: costmodel table --model v6",
)


def examples(*lines: str) -> str:
    # \b keeps the lines of the paragraph as they are.
    return "\n".join(["\b", "Examples:", *(f"  costmodel {line}" for line in lines)])
