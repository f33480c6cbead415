"""Values that every floor shares: axes, pixel sizes, normalisation, regions and corrections.

They are immutable, checked on construction, and need only NumPy. Files, networks and computations
on whole images belong elsewhere.
"""

from . import chunked
from .arrays import ArrayLike, WritableArray
from .axes import LETTERS, ImageAxes, at_level, guess_axes
from .box import Box
from .chunked import Block, LabelFrames, blocks
from .corrections import MODES, STATES, WHOLE, CorrectedRegion, Corrections, Mode, account
from .normalisation import Normalisation
from .region import Region, region_of
from .spacing import PixelSize, micrometres
from .training_image import TrainingImage

__all__ = [
    "LETTERS",
    "MODES",
    "STATES",
    "WHOLE",
    "ArrayLike",
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
    "WritableArray",
    "account",
    "at_level",
    "blocks",
    "chunked",
    "guess_axes",
    "micrometres",
    "region_of",
]
