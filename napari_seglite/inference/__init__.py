"""An image and a checkpoint in, probabilities and labels out.

Start reading at `Segmenter.run`: a request, a pass over the image tile by tile, and a result.
"""

from .before_after import BeforeAfter, predict_classes, shown_pixels
from .frame import classify, predict_frame
from .object_size import ObjectSize, estimate_object_size, fits_objects, fitting_rescale
from .progress import Finished, Progress, View
from .request import (
    ENSEMBLES,
    RESCALE,
    SETTINGS,
    SegmentRequest,
    parse_channels,
    parse_numbers,
)
from .rescaling import matching_rescale
from .result import Segmentation
from .segmenter import Segmenter, segment
from .settings import Setting
from .tiling import TILE
from .uncertainty import Uncertainty, entropy, measure_uncertainty

__all__ = [
    "ENSEMBLES",
    "RESCALE",
    "SETTINGS",
    "TILE",
    "BeforeAfter",
    "Finished",
    "ObjectSize",
    "Progress",
    "SegmentRequest",
    "Segmentation",
    "Segmenter",
    "Setting",
    "Uncertainty",
    "View",
    "classify",
    "entropy",
    "estimate_object_size",
    "fits_objects",
    "fitting_rescale",
    "matching_rescale",
    "measure_uncertainty",
    "parse_channels",
    "parse_numbers",
    "predict_classes",
    "predict_frame",
    "segment",
    "shown_pixels",
]
