"""Probabilities to labels, and labels to edits, measurements and scores.

Networks and checkpoints are unknown here.
"""

from . import edits
from .evaluation import ADDED, MISSED, OTHER_CLASS, Evaluation, evaluate
from .labelling import Counts, Foreground, label_dtype, label_frames
from .measurements import measure, measure_series
from .merging import (
    edited_pixels,
    insert_labels,
    keep_edits,
    relabel_around_edits,
    replace_region,
)
from .metrics import instance_scores, mask_scores, overlap, overlap_per_class
from .objects import labelling_text

__all__ = [
    "ADDED",
    "MISSED",
    "OTHER_CLASS",
    "Counts",
    "Evaluation",
    "Foreground",
    "edited_pixels",
    "edits",
    "evaluate",
    "insert_labels",
    "instance_scores",
    "keep_edits",
    "label_dtype",
    "label_frames",
    "labelling_text",
    "mask_scores",
    "measure",
    "measure_series",
    "overlap",
    "overlap_per_class",
    "relabel_around_edits",
    "replace_region",
]
