"""What the panels share: jobs, layers, status, tables and preferences.

`jobs` is the only module that knows threads.
"""

from . import layers, preferences, viewer_region
from .checkpoint_box import DEFAULT, CheckpointBox, describe
from .colours import warm_colours_soon
from .jobs import Job, Stop
from .layers import add_labels, add_uncertainty, current_frame, label_shape
from .score_table import ScoreTable, side_by_side
from .status import ERROR_STYLE, JobStatus
from .tracker import CorrectionTracker, TrackedLayer
from .training_curves import TrainingCurves
from .training_jobs import ready_to_train
from .viewed_patch import viewed_patch

__all__ = [
    "DEFAULT",
    "ERROR_STYLE",
    "CheckpointBox",
    "CorrectionTracker",
    "Job",
    "JobStatus",
    "ScoreTable",
    "Stop",
    "TrackedLayer",
    "TrainingCurves",
    "add_labels",
    "add_uncertainty",
    "current_frame",
    "describe",
    "label_shape",
    "layers",
    "preferences",
    "ready_to_train",
    "side_by_side",
    "viewed_patch",
    "viewer_region",
    "warm_colours_soon",
]
