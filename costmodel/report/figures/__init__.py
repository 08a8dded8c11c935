"""Figures: each function draws one kind of result into matplotlib axes, and returns the axes."""

from costmodel.report.figures.cells import kernels, promise
from costmodel.report.figures.flame import flame
from costmodel.report.figures.grid import grid
from costmodel.report.figures.networks import compared, costs, layers, overview, quality, time
from costmodel.report.figures.style import STYLE
from costmodel.report.figures.video import flicker, timeline
from costmodel.report.figures.why import roofline, waterfall

__all__ = [
    "STYLE",
    "compared",
    "costs",
    "flame",
    "flicker",
    "grid",
    "kernels",
    "layers",
    "overview",
    "promise",
    "quality",
    "roofline",
    "time",
    "timeline",
    "waterfall",
]
