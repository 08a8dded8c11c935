"""The house: imports go one way, heavy packages stay in their rooms, lint and types hold."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "costmodel"
FILES = sorted(PACKAGE.rglob("*.py"))

# A file imports only from its own room and the rooms above it.
ROOMS = [
    "describe",
    "price",
    "profiles",
    "flicker",
    "label_maps",
    "measure",
    "published",
    "report",
    "arguments",
    "timing_options",
    "cli",
    "__main__",
]
ALLOWED = {room: set(ROOMS[: index + 1]) for index, room in enumerate(ROOMS)} | {
    "__init__": set(ROOMS[: ROOMS.index("report") + 1])
}
THIRD_PARTY = {
    "describe": set(),
    "published": set(),
    "arguments": set(),
    "price": {"numpy", "sympy", "pandas", "simpy"},
    "profiles": {"pydantic", "filelock", "pandas"},
    "flicker": {"numpy"},
    "label_maps": {"numpy", "PIL"},
    "measure": {"torch", "fvcore", "numpy", "pynvml", "pandas"},
    "report": {"tabulate", "pandas", "matplotlib", "jinja2"},
    "timing_options": {"tqdm"},
    "cli": {"typer"},
    "__init__": set(),
    "__main__": set(),
}


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= (
                {f"{node.module}.{alias.name}" for alias in node.names}
                if node.module == "costmodel"
                else {node.module or ""}
            )
    return names


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    for name in imports(path):
        top, *rest = name.split(".")
        if top == "costmodel" and rest and not rest[0].startswith("__"):
            assert rest[0] in ALLOWED[room(path)], f"{path.name} imports {name}"
        elif top != "costmodel" and top not in sys.stdlib_module_names:
            assert top in THIRD_PARTY[room(path)], f"{path.name} imports {name}"


def test_formulas_alone_open_sympy() -> None:
    assert [p.name for p in FILES if "sympy" in imports(p)] == ["formula.py"]


def test_figures_alone_open_matplotlib() -> None:
    assert [p.name for p in FILES if any(name.startswith("matplotlib") for name in imports(p))] == [
        "drawing.py",
        "figures.py",
    ]


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


@pytest.mark.parametrize(
    "tool", [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]], ids=lambda tool: " ".join(tool)
)
def test_lint_and_types(tool: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *tool], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
