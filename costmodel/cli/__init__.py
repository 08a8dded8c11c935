"""The command line, a file a command. Each opens what it needs inside its body: a table never waits for torch."""

import os
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from costmodel.cli.app import COMMANDS, Interrupted, app
from costmodel.errors import InvalidInput, MeasuringFailed


def show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"costmodel {version('costmodel')}")
        raise typer.Exit()


@app.callback()
def common(
    show: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


# Newer versions of typer carry their own click, older ones use click's; both derive BadParameter from its UsageError.
UsageError: Any = typer.BadParameter.__bases__[0]


def main() -> int:
    """Run the command line; the exit code. Bad input is one line on stderr and 2."""
    try:
        if sys.stdout is None:  # closed: what is printed goes nowhere
            sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  (for as long as the process lives)
        add_commands(sys.argv[1:])
        code = app(standalone_mode=False) or 0
        sys.stdout.flush()
    except InvalidInput as error:
        return fail(with_options(str(error)), 2)
    except MeasuringFailed as error:
        return fail(str(error), error.code)
    except UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # its message is the help
            print(error.format_message())
            return 0
        return fail(error.format_message(), 2)
    except (KeyboardInterrupt, Interrupted, typer.Abort):
        return fail("interrupted", 130)
    except BrokenPipeError:  # the reader has seen enough
        forget_output()
        return 1
    except OSError as error:
        forget_output()
        return fail(f"cannot write the output: {error.strerror}", 1)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):  # torch's way to say the same
            raise
        return fail("out of memory: use smaller sizes", 1)
    return int(code)


def with_options(message: str) -> str:
    """A message of the library, which names Python arguments, with the options of the command line."""
    message = re.sub(r"\b(real|backward|compare|force|resume|replace)=True\b", r"--\1", message)
    message = re.sub(r"\barguments=(\{.*\})", r"--make '\1'", message)
    return re.sub(r"^(input|memory|sort) (?=['\"])", r"--\1 ", message)


def add_commands(arguments: list[str]) -> None:
    """Import the file of the command that is called, which adds the command; for help and for errors, all files."""
    called = [name for name in arguments[:1] if name in COMMANDS]
    for name in called or COMMANDS:
        import_module(f"costmodel.cli.{name}")


def forget_output() -> None:
    """Python would complain once more when it flushes at exit what could not be written."""
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def fail(message: str, code: int) -> int:
    print(f"costmodel: {message}", file=sys.stderr)
    return code
