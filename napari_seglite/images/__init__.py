"""Values that every floor shares: axes, pixel sizes, channels, regions and corrections.

They know NumPy alone, are frozen, and are checked when they are made. Files, networks and anything
that computes on whole images belong elsewhere.
"""

from . import chunked
from .axes import LETTERS, ImageAxes, at_level, guess_axes
from .box import Box
from .chunked import Block, LabelFrames, blocks
from .corrections import MODES, STATES, WHOLE, CorrectedRegion, Corrections, Mode
from .normalisation import Normalisation
from .region import Region, region_of
from .spacing import PixelSize, micrometres
from .training_image import TrainingImage

__all__ = [
    "LETTERS",
    "MODES",
    "STATES",
    "WHOLE",
    "Block",
    "Box",
    "CorrectedRegion",
    "Corrections",
    "ImageAxes",
    "LabelFrames",
    "Mode",
    "Normalisation",
    "PixelSize",
    "Region",
    "TrainingImage",
    "at_level",
    "blocks",
    "chunked",
    "guess_axes",
    "micrometres",
    "region_of",
]
