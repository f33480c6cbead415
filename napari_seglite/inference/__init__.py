"""An image and a checkpoint in, probabilities and labels out.

The walk is `Segmenter.run`: request, pass over the image tile by tile, result.
"""

from .before_after import BeforeAfter, predict_classes, shown_pixels
from .frame import classify, predict_frame
from .image_pass import Finished, Progress
from .request import ENSEMBLES, RESCALE, SegmentRequest, parse_numbers
from .rescaling import matching_rescale
from .result import Segmentation
from .segmenter import Segmenter, segment
from .uncertainty import Uncertainty, entropy, measure_uncertainty

__all__ = [
    "ENSEMBLES",
    "RESCALE",
    "BeforeAfter",
    "Finished",
    "Progress",
    "SegmentRequest",
    "Segmentation",
    "Segmenter",
    "Uncertainty",
    "classify",
    "entropy",
    "matching_rescale",
    "measure_uncertainty",
    "parse_numbers",
    "predict_classes",
    "predict_frame",
    "segment",
    "shown_pixels",
]
