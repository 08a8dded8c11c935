"""What all tests share: one torch thread per worker, and the ``cuda`` marker."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # workers share the cores; read when torch is first imported
os.environ.pop("COLUMNS", None)  # tables are as wide as in a pipe
sys.path.insert(0, str(Path(__file__).parent))  # references.py and hand_written.py are imported by name

settings.register_profile("shared", deadline=None)  # a busy machine is no failure
if "CI" not in os.environ:  # there hypothesis has a profile of its own: no deadline, repeatable examples
    settings.load_profile("shared")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked ``cuda`` run where there is a GPU; elsewhere they are skipped and say why."""
    marked = [item for item in items if item.get_closest_marker("cuda")]
    if marked:
        import torch

        if not torch.cuda.is_available():
            for item in marked:
                item.add_marker(pytest.mark.skip(reason="needs an NVIDIA GPU"))
