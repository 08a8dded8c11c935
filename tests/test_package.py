"""A built wheel in another environment, used from another folder."""

import json
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel. Its dependencies are this environment's, by path: nothing is downloaded."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheel = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(wheel, check=True, capture_output=True)
    (built,) = folder.glob("costmodel-*.whl")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    (site,) = (folder / "env" / "lib").glob("python*/site-packages")
    subprocess.run([*pip, "--python", str(python), "install", "--no-deps", "--no-index", str(built)], check=True)
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def test_it_is_the_wheel_that_runs(python: Path, tmp_path: Path) -> None:
    where = subprocess.run(
        [python, "-c", "import costmodel; print(costmodel.__file__)"], cwd=tmp_path, capture_output=True, text=True
    )
    assert str(python.parent.parent) in where.stdout


def test_the_commands_work_from_another_folder(python: Path, tmp_path: Path) -> None:
    script = python.parent / "costmodel"
    done = subprocess.run(
        [script, "table", "--model", "v6", "--format", "json"], cwd=tmp_path, capture_output=True, text=True
    )
    assert json.loads(done.stdout)["rows"][1]["flops"] == 251343772492
    listed = subprocess.run([script, "profiles", "--format", "json"], cwd=tmp_path, capture_output=True, text=True)
    recorded = {profile["name"] for profile in json.loads(listed.stdout)}
    assert recorded == {path.stem for path in (ROOT / "profiles").glob("*.json")} >= {"paper"}
    for command in (
        "table --profile paper",
        "equation sep",
        "sweep --kernel 3",
        "check --cell depth --channels 4 --size 5x5",
    ):
        done = subprocess.run(
            [python, "-m", "costmodel", *command.split()], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


def test_the_wheel_carries_its_types_and_licence(python: Path) -> None:
    (site,) = (python.parent.parent / "lib").glob("python*/site-packages")
    assert (site / "costmodel" / "py.typed").exists()
    assert list(site.glob("costmodel-*.dist-info/licenses/LICENSE"))
    assert not (site / "tests").exists()
