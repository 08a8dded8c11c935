"""`make docs`: run what the README and the notebooks show, and write the results back into them.

A command in a console block is followed by what it prints, up to a line of dots where only the beginning is shown; a
comment with a command that draws is followed by its figure. The tests hold that all of it is fresh.
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbclient
import nbformat

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CONSOLE = re.compile(r"(```console\n\$ costmodel (.*?)\n)(.*?)(```)", re.DOTALL)
FIGURE = re.compile(r"<!-- costmodel (plot .*?) -->\n!\[.*?\]\((.*?)\)")


def figures() -> Iterator[tuple[str, Path]]:
    """The commands that draw the README's figures, and the files."""
    for command, file in FIGURE.findall(README.read_text()):
        yield command, ROOT / file


def executed(path: Path) -> nbformat.NotebookNode:
    """A notebook with the outputs of running it, without what differs from run to run."""
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": ROOT}}
    client = nbclient.NotebookClient(notebook, timeout=300, record_timing=False, resources=where)
    client.create_kernel_manager().transport = "ipc"  # TCP would warn
    client.execute()
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def run(arguments: str) -> str:
    command = [sys.executable, "-m", "costmodel", *shlex.split(arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def printed(block: re.Match[str]) -> str:
    head, command, shown, end = block.groups()
    out = run(command)
    if shown.endswith("...\n"):
        out = "".join(out.splitlines(keepends=True)[: shown.count("\n") - 1]) + "...\n"
    return head + out + end


def main() -> None:
    README.write_text(CONSOLE.sub(printed, README.read_text()))
    for command, file in figures():
        file.parent.mkdir(exist_ok=True)
        print(run(f"{command} --out {file}"), end="")
    for path in NOTEBOOKS:
        nbformat.write(executed(path), path)
        print(path)


if __name__ == "__main__":
    main()
