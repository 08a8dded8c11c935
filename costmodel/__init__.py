"""costmodel: what a recurrent vision network costs, derived, checked and measured.

Describe (`cell`, `network`), price (`equation`, `sweep`, `table`), check against reality (`build`, `check`), time it
(`profile`), tell how much its segmentations flicker (`mfip`, `mfp`). Importing this is cheap: torch, sympy, numpy and
pandas are opened by the calls that need them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from costmodel.describe.cells import Cell as Cell
    from costmodel.describe.cells import describe_cell as cell  # noqa: F401  (the name that the face gives it)
    from costmodel.describe.errors import InvalidInput as InvalidInput
    from costmodel.describe.errors import MeasuringFailed as MeasuringFailed
    from costmodel.describe.networks import describe_network as network  # noqa: F401  (likewise)
    from costmodel.describe.ops import Conv as Conv
    from costmodel.flicker import Flicker as Flicker
    from costmodel.flicker import mfip as mfip
    from costmodel.flicker import mfp as mfp
    from costmodel.measure.check import check as check
    from costmodel.measure.count import count as count
    from costmodel.measure.gradual import GradualConv2d as GradualConv2d
    from costmodel.measure.module import build as build
    from costmodel.measure.observe import observe as observe
    from costmodel.measure.profile import profile as profile
    from costmodel.price.conventions import Convention as Convention
    from costmodel.price.formula import equation as equation
    from costmodel.price.roofline import Machine as Machine
    from costmodel.price.schedule import Stages as Stages
    from costmodel.price.schedule import schedule as schedule
    from costmodel.price.sweep import sweep as sweep
    from costmodel.profiles import Profile as Profile
    from costmodel.profiles import read as read_profile  # noqa: F401  (likewise)
    from costmodel.report import figures as figures
    from costmodel.report.profile import estimates as estimates
    from costmodel.report.table import table as table

_FACE = {
    "Cell": ("describe.cells", "Cell"),
    "Conv": ("describe.ops", "Conv"),
    "Convention": ("price.conventions", "Convention"),
    "Flicker": ("flicker", "Flicker"),
    "GradualConv2d": ("measure.gradual", "GradualConv2d"),
    "InvalidInput": ("describe.errors", "InvalidInput"),
    "Machine": ("price.roofline", "Machine"),
    "MeasuringFailed": ("describe.errors", "MeasuringFailed"),
    "Profile": ("profiles", "Profile"),
    "Stages": ("price.schedule", "Stages"),
    "build": ("measure.module", "build"),
    "cell": ("describe.cells", "describe_cell"),
    "check": ("measure.check", "check"),
    "count": ("measure.count", "count"),
    "equation": ("price.formula", "equation"),
    "estimates": ("report.profile", "estimates"),
    "figures": ("report", "figures"),
    "mfip": ("flicker", "mfip"),
    "mfp": ("flicker", "mfp"),
    "network": ("describe.networks", "describe_network"),
    "observe": ("measure.observe", "observe"),
    "profile": ("measure.profile", "profile"),
    "read_profile": ("profiles", "read"),
    "schedule": ("price.schedule", "schedule"),
    "sweep": ("price.sweep", "sweep"),
    "table": ("report.table", "table"),
}
__all__ = ["__version__", *_FACE]


def __getattr__(name: str) -> Any:
    if name not in _FACE:
        raise AttributeError(f"module 'costmodel' has no attribute {name!r}")
    module, attribute = f"costmodel.{_FACE[name][0]}", _FACE[name][1]
    found = import_module(module)
    return getattr(found, attribute) if hasattr(found, attribute) else import_module(f"{module}.{attribute}")


def __dir__() -> list[str]:
    return sorted(__all__)
