"""costmodel: the costs of any PyTorch module, and of recurrent vision networks, derived, checked and measured.

Count any module (`count`), name one (`module`), vary it (`points`, `grid`), put several side by side (`compare`);
describe (`cell`, `network`), price (`equation`, `sweep`, `table`), check against reality (`build`, `check`), time
(`profile`, `layers`, `calibrate`), measure how much segmentations flicker (`mfip`, `mfp`). `cells`, `networks` and
`conventions` list the names that exist. Importing costmodel is cheap: the calls that need torch, sympy, numpy or pandas
import them.
"""

from importlib import import_module

__version__ = "0.1.0"

TYPE_CHECKING = False  # as type checkers know it; importing typing would double the time of this import
if TYPE_CHECKING:
    from typing import Any

    from costmodel.building.check import check as check
    from costmodel.building.gradual import GradualConv2d as GradualConv2d
    from costmodel.building.module import build as build
    from costmodel.counting.count import count as count
    from costmodel.counting.observe import observe as observe
    from costmodel.describe.catalogue import describe_network as network  # noqa: F401  (likewise)
    from costmodel.describe.cells import Cell as Cell
    from costmodel.describe.cells import describe_cell as cell  # noqa: F401  (the name that the face gives it)
    from costmodel.describe.ops import Conv as Conv
    from costmodel.errors import InvalidInput as InvalidInput
    from costmodel.errors import MeasuringFailed as MeasuringFailed
    from costmodel.measure.calibrate import calibrate as calibrate
    from costmodel.measure.grid import points as points
    from costmodel.measure.layers import layers as layers
    from costmodel.measure.modules import module as module
    from costmodel.measure.profile import profile as profile
    from costmodel.price.conventions import Convention as Convention
    from costmodel.price.equation import equation as equation
    from costmodel.price.machine import Machine as Machine
    from costmodel.price.names import cells as cells
    from costmodel.price.names import conventions as conventions
    from costmodel.price.names import networks as networks
    from costmodel.price.sweep import sweep as sweep
    from costmodel.profiles.files import read as read_profile  # noqa: F401  (likewise)
    from costmodel.profiles.predict import predict as predict
    from costmodel.profiles.records import Profile as Profile
    from costmodel.profiles.timing import estimates as estimates
    from costmodel.report import figures as figures
    from costmodel.report.compare import compare as compare
    from costmodel.report.grid import grid as grid
    from costmodel.report.plan import plan as plan
    from costmodel.report.table import table as table
    from costmodel.report.why import why as why
    from costmodel.video.flicker import Flicker as Flicker
    from costmodel.video.flicker import mfip as mfip
    from costmodel.video.flicker import mfp as mfp
    from costmodel.video.schedule import Stages as Stages
    from costmodel.video.schedule import schedule as schedule

_FACE = {
    "Cell": ("describe.cells", "Cell"),
    "Conv": ("describe.ops", "Conv"),
    "Convention": ("price.conventions", "Convention"),
    "Flicker": ("video.flicker", "Flicker"),
    "GradualConv2d": ("building.gradual", "GradualConv2d"),
    "InvalidInput": ("errors", "InvalidInput"),
    "Machine": ("price.machine", "Machine"),
    "MeasuringFailed": ("errors", "MeasuringFailed"),
    "Profile": ("profiles.records", "Profile"),
    "Stages": ("video.schedule", "Stages"),
    "build": ("building.module", "build"),
    "calibrate": ("measure.calibrate", "calibrate"),
    "cell": ("describe.cells", "describe_cell"),
    "cells": ("price.names", "cells"),
    "check": ("building.check", "check"),
    "conventions": ("price.names", "conventions"),
    "compare": ("report.compare", "compare"),
    "count": ("counting.count", "count"),
    "equation": ("price.equation", "equation"),
    "estimates": ("profiles.timing", "estimates"),
    "figures": ("report", "figures"),
    "grid": ("report.grid", "grid"),
    "layers": ("measure.layers", "layers"),
    "mfip": ("video.flicker", "mfip"),
    "mfp": ("video.flicker", "mfp"),
    "module": ("measure.modules", "module"),
    "network": ("describe.catalogue", "describe_network"),
    "networks": ("price.names", "networks"),
    "observe": ("counting.observe", "observe"),
    "plan": ("report.plan", "plan"),
    "points": ("measure.grid", "points"),
    "predict": ("profiles.predict", "predict"),
    "profile": ("measure.profile", "profile"),
    "read_profile": ("profiles.files", "read"),
    "schedule": ("video.schedule", "schedule"),
    "sweep": ("price.sweep", "sweep"),
    "table": ("report.table", "table"),
    "why": ("report.why", "why"),
}
__all__ = ["__version__", *_FACE]


def __getattr__(name: str) -> "Any":
    if name not in _FACE:
        raise AttributeError(f"module 'costmodel' has no attribute {name!r}")
    module, attribute = _FACE[name]
    room = import_module(f"costmodel.{module}")
    return getattr(room, attribute) if hasattr(room, attribute) else import_module(f"costmodel.{module}.{attribute}")


def __dir__() -> list[str]:
    return sorted(__all__)
