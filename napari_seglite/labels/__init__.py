"""Turn probabilities into labels; edit, measure and score labels.

Nothing here depends on networks or checkpoints.
"""

from . import edits, object_edits, proposals
from .conventions import connected_parts, frame_interval, in_order, mask_parts, pixel_sizes
from .evaluation import ADDED, MISSED, OTHER_CLASS, Evaluation, Scores, evaluate
from .folders import FolderScores, score_folders
from .labelling import Counts, Foreground, label_frames
from .measurements import measure, measure_series
from .merging import (
    edited_pixels,
    insert_labels,
    keep_edits,
    relabel_around_edits,
    replace_region,
)
from .metrics import LENGTHS, instance_scores, mask_scores, overlap, overlap_per_class
from .objects import labelling_text
from .output import OUTPUTS, Output, label_dtype
from .sizes import object_diameter

__all__ = [
    "ADDED",
    "LENGTHS",
    "MISSED",
    "OTHER_CLASS",
    "OUTPUTS",
    "Counts",
    "Evaluation",
    "FolderScores",
    "Foreground",
    "Output",
    "Scores",
    "connected_parts",
    "edited_pixels",
    "edits",
    "evaluate",
    "frame_interval",
    "in_order",
    "insert_labels",
    "instance_scores",
    "keep_edits",
    "label_dtype",
    "label_frames",
    "labelling_text",
    "mask_parts",
    "mask_scores",
    "measure",
    "measure_series",
    "object_diameter",
    "object_edits",
    "overlap",
    "overlap_per_class",
    "pixel_sizes",
    "proposals",
    "relabel_around_edits",
    "replace_region",
    "score_folders",
]
