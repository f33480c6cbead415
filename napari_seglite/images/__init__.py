"""Values that every floor shares: axes, pixel sizes, normalisation, regions and corrections.

They are immutable, checked on construction, and need only NumPy. Files, networks and computations
on whole images belong elsewhere.
"""

from . import chunked
from .arrays import ArrayLike, WritableArray
from .axes import LETTERS, ImageAxes, at_level, guess_axes
from .box import Box
from .chunked import Block, LabelFrames, blocks
from .corrections import MODES, STATES, TILES, WHOLE, CorrectedRegion, Corrections, Mode, account
from .grid import Grid, is_size
from .normalisation import Normalisation
from .region import Region, region_of
from .scratch import scratch_folder
from .slab_objects import SlabObjects
from .training_image import TrainingImage
from .units import UNKNOWN, PixelSize, canonical_unit, convert, is_length, long_unit, micrometres

__all__ = [
    "LETTERS",
    "MODES",
    "STATES",
    "TILES",
    "UNKNOWN",
    "WHOLE",
    "ArrayLike",
    "Block",
    "Box",
    "CorrectedRegion",
    "Corrections",
    "Grid",
    "ImageAxes",
    "LabelFrames",
    "Mode",
    "Normalisation",
    "PixelSize",
    "Region",
    "SlabObjects",
    "TrainingImage",
    "WritableArray",
    "account",
    "at_level",
    "blocks",
    "canonical_unit",
    "chunked",
    "convert",
    "guess_axes",
    "is_length",
    "is_size",
    "long_unit",
    "micrometres",
    "region_of",
    "scratch_folder",
]
