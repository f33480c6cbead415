"""An image and a checkpoint in, probabilities and labels out.

Start reading at `Segmenter.run`: a request, a pass over the image tile by tile, and a result.
"""

from .before_after import BeforeAfter, predict_classes, shown_pixels
from .coverage import Coverage
from .frame import classify, predict_frame, predict_slab, predict_with_head
from .guided import empty_problem
from .object_size import ObjectSize, estimate_object_size, fits_objects, fitting_rescale
from .outputs import Outputs
from .preloading import begin_compiling, preload
from .progress import Finished, Progress, View
from .quality import Evidence, calibrate, evidence, expected_dice, expected_dice_of_frames
from .request import (
    ENSEMBLES,
    LABELLING,
    RESCALE,
    SETTINGS,
    SLICE_SPACING,
    SegmentRequest,
    stack_objects_for,
)
from .rescaling import matching_rescale
from .result import Segmentation, labelled
from .segmenter import Segmenter, chosen_frames, segment
from .settings import Setting, parse_channels, parse_numbers
from .stacks import slice_spacing
from .tiling import TILE
from .uncertainty import Uncertainty, entropy, measure_uncertainty

__all__ = [
    "ENSEMBLES",
    "LABELLING",
    "RESCALE",
    "SETTINGS",
    "SLICE_SPACING",
    "TILE",
    "BeforeAfter",
    "Coverage",
    "Evidence",
    "Finished",
    "ObjectSize",
    "Outputs",
    "Progress",
    "SegmentRequest",
    "Segmentation",
    "Segmenter",
    "Setting",
    "Uncertainty",
    "View",
    "begin_compiling",
    "calibrate",
    "chosen_frames",
    "classify",
    "empty_problem",
    "entropy",
    "estimate_object_size",
    "evidence",
    "expected_dice",
    "expected_dice_of_frames",
    "fits_objects",
    "fitting_rescale",
    "labelled",
    "matching_rescale",
    "measure_uncertainty",
    "parse_channels",
    "parse_numbers",
    "predict_classes",
    "predict_frame",
    "predict_slab",
    "predict_with_head",
    "preload",
    "segment",
    "shown_pixels",
    "slice_spacing",
    "stack_objects_for",
]
