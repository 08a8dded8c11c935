"""The house: imports go one way, heavy packages stay in their rooms, lint and types hold."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "costmodel"
FILES = sorted(PACKAGE.rglob("*.py"))

# From the ground up: a file imports from its own room and the rooms before it.
ROOMS = [
    *("errors", "work"),  # ground
    *("published", "describe", "price"),  # on paper
    "profiles",  # on record
    *("counting", "building", "measure"),  # in torch
    "video",  # over time
    *("report", "cli"),  # shown
    "__main__",
]
TORCH_ROOMS = {"counting", "building", "measure"}
ALLOWED = {room: set(ROOMS[: index + 1]) for index, room in enumerate(ROOMS)}
ALLOWED |= {"__init__": ALLOWED["report"]}  # the face
ALLOWED["counting"] -= {"describe"}  # a user's module is not described
for shown in ("profiles", "video", "report"):
    ALLOWED[shown] -= TORCH_ROOMS
THIRD_PARTY = {
    "price": {"numpy", "sympy", "pandas"},
    "profiles": {"pydantic", "numpy", "pandas"},
    "counting": {"torch", "numpy", "pandas", "onnx", "onnx2pytorch"},
    "building": {"torch", "fvcore"},
    "measure": {"torch", "pynvml"},
    "video": {"numpy", "PIL", "simpy"},
    "report": {"tabulate", "pandas", "matplotlib", "jinja2"},
    "cli": {"typer", "tqdm"},
}
# The one place that opens a package.
DOORS = {
    "fvcore": ["building/check.py"],
    "pynvml": ["measure/host.py"],
    "onnx2pytorch": ["counting/load.py"],
    "simpy": ["video/simulation.py"],
    "PIL": ["video/label_maps.py"],
    "sympy": ["price/equation.py", "price/symbols.py"],
    "jinja2": ["report/layout/page.py"],
    "tabulate": ["report/layout/render.py"],
    "tqdm": ["cli/timing.py"],
}


def statements(tree: ast.Module, types: bool) -> Iterator[ast.AST]:
    """All nodes; those that only type checkers see are left out unless ``types``."""
    for node in tree.body:
        if not types and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield from ast.walk(node)


@cache
def imports(path: Path, types: bool = False) -> set[str]:
    names = set()
    for node in statements(ast.parse(path.read_text()), types):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            whole = node.module == "costmodel"
            names |= {f"costmodel.{alias.name}" for alias in node.names} if whole else {node.module or ""}
    return names


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def inside(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", FILES, ids=inside)
def test_imports_go_one_way(path: Path) -> None:
    for name in imports(path):
        top, *rest = name.split(".")
        if top == "costmodel":
            assert rest, f"{path.name} imports the face"
            assert rest[0] in ALLOWED[room(path)], f"{path.name} imports {name}"
        elif top not in sys.stdlib_module_names:
            assert top in THIRD_PARTY.get(room(path), set()), f"{path.name} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=inside)
def test_types_come_from_rooms_before(path: Path) -> None:
    known = set(ROOMS[: ROOMS.index("report") + 1]) if path.name == "__init__.py" else None
    for name in imports(path, types=True):
        top, *rest = name.split(".")
        if top == "costmodel":
            before = set(ROOMS[: ROOMS.index(room(path)) + 1]) if room(path) in ROOMS else known
            assert before
            assert rest[0] in before, f"{path.name} imports {name}"


@pytest.mark.parametrize("package", DOORS)
def test_each_package_has_one_door(package: str) -> None:
    assert [inside(p) for p in FILES if any(n.split(".")[0] == package for n in imports(p))] == DOORS[package]


def test_figures_alone_open_matplotlib() -> None:
    opening = [p for p in FILES if any(name.startswith("matplotlib") for name in imports(p))]
    assert {str(p.parent.relative_to(PACKAGE)) for p in opening} == {"report/figures"}


def test_every_command_has_a_file_of_its_name() -> None:
    from costmodel.cli import add_commands
    from costmodel.cli.app import COMMANDS, app

    add_commands([])
    names = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
    assert sorted(names) == sorted(COMMANDS)
    assert [name for name in COMMANDS if not (PACKAGE / "cli" / f"{name}.py").exists()] == []


def test_importing_the_package_opens_nothing() -> None:
    heavy = ("torch", "sympy", "pandas", "numpy", "fvcore", "matplotlib", "PIL")
    script = f"import sys, costmodel, costmodel.cli; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "[]\n"


def test_the_public_face_is_complete() -> None:
    import costmodel

    for name in costmodel.__all__:
        assert getattr(costmodel, name), name
    assert set(costmodel.__all__) <= set(dir(costmodel))
    # The names that type checkers see are those that exist.
    typed = re.findall(r"^    from costmodel\.(\S+) import (\w+) as (\w+)", (PACKAGE / "__init__.py").read_text(), re.M)
    assert {name: (module, attribute) for module, attribute, name in typed} == costmodel._FACE
    with pytest.raises(AttributeError, match="no attribute 'frobnicate'"):
        costmodel.frobnicate  # noqa: B018  (the access is the test)


def test_rooms_hide_no_public_name() -> None:
    """Python binds a folder that is imported to its name in the package: a room called ``count`` would hide `count`."""
    import costmodel

    assert {
        name for name in costmodel.__all__ if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").exists()
    } == set()


@pytest.mark.parametrize(
    "tool", [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]], ids=lambda tool: " ".join(tool)
)
def test_lint_and_types(tool: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *tool], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
