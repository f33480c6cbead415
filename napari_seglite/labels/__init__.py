"""Turn probabilities into labels; edit, measure and score labels.

Nothing here depends on networks or checkpoints.
"""

from . import edits, level_sets, object_edits
from .confidence import ObjectConfidence, object_confidence
from .conventions import connected_parts, frame_interval, in_order, mask_parts, pixel_sizes
from .evaluation import ADDED, MISSED, OTHER_CLASS, Evaluation, Scores, evaluate
from .folders import FolderScores, score_folders
from .joining import STACK_OBJECTS, FrameJoiner, JoinRule, StackObjects
from .labelling import Counts, Foreground, Interior, label_frames, separate
from .matching import number_pairs
from .measurements import measure, measure_series
from .merging import (
    Continued,
    edited_pixels,
    insert_labels,
    keep_edits,
    numbered_above,
    relabel_around_edits,
    replace_region,
)
from .metrics import LENGTHS, instance_scores, mask_scores, overlap, overlap_per_class
from .objects import labelling_text, measured_labels
from .output import OUTPUTS, Output, label_dtype
from .parts import Part
from .proposals import Proposal, propose
from .quality import Calibration, SoftDice, worst
from .separation import separation_kernels
from .sizes import object_diameter

__all__ = [
    "ADDED",
    "LENGTHS",
    "MISSED",
    "OTHER_CLASS",
    "OUTPUTS",
    "STACK_OBJECTS",
    "Calibration",
    "Continued",
    "Counts",
    "Evaluation",
    "FolderScores",
    "Foreground",
    "FrameJoiner",
    "Interior",
    "JoinRule",
    "ObjectConfidence",
    "Output",
    "Part",
    "Proposal",
    "Scores",
    "SoftDice",
    "StackObjects",
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
    "level_sets",
    "mask_parts",
    "mask_scores",
    "measure",
    "measure_series",
    "measured_labels",
    "number_pairs",
    "numbered_above",
    "object_confidence",
    "object_diameter",
    "object_edits",
    "overlap",
    "overlap_per_class",
    "pixel_sizes",
    "propose",
    "relabel_around_edits",
    "replace_region",
    "score_folders",
    "separate",
    "separation_kernels",
    "worst",
]
