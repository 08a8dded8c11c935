"""``python -m costmodel`` and the command ``costmodel`` are the command line."""

import sys


def main() -> int:
    """Run the command line; Ctrl-C while its files are imported ends as it does later."""
    try:
        from costmodel.cli import main as command_line

        return command_line()
    except KeyboardInterrupt:
        print("costmodel: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
