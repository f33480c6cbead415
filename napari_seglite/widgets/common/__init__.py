"""The code that several panels share: jobs, forms, layers, status, tables and preferences.

`jobs` is the only module that knows threads, but for those in which `label_colours` compiles and
`preloading` loads.
"""

from . import colours, forms, keys, layers, preferences, viewer_region
from .checkpoint_box import DEFAULT, MARK, CheckpointBox, describe_checkpoint, plain_tip
from .computer import Computer
from .computer_row import ComputerRow
from .form_area import FormArea
from .gl_context import free_in_own_context
from .image_facts import image_facts
from .job_runner import JobRunner
from .jobs import StopSignal, allow_parallel_jobs, last_of
from .key_slider import KeySlider
from .label_colours import warm_colours_soon
from .layers import add_labels, add_uncertainty, current_frame, label_shape
from .preloading import preload_soon
from .score_table import ScoreTable
from .source_files import SourceFiles
from .status import JobStatus, StatusLabel
from .tracked_layer import TrackedLayer
from .tracker import CorrectionTracker
from .training_curves import TrainingCurves
from .training_jobs import ready_to_train
from .viewed_patch import viewed_patch

__all__ = [
    "DEFAULT",
    "MARK",
    "CheckpointBox",
    "Computer",
    "ComputerRow",
    "CorrectionTracker",
    "FormArea",
    "JobRunner",
    "JobStatus",
    "KeySlider",
    "ScoreTable",
    "SourceFiles",
    "StatusLabel",
    "StopSignal",
    "TrackedLayer",
    "TrainingCurves",
    "add_labels",
    "add_uncertainty",
    "allow_parallel_jobs",
    "colours",
    "current_frame",
    "describe_checkpoint",
    "forms",
    "free_in_own_context",
    "image_facts",
    "keys",
    "label_shape",
    "last_of",
    "layers",
    "plain_tip",
    "preferences",
    "preload_soon",
    "ready_to_train",
    "viewed_patch",
    "viewer_region",
    "warm_colours_soon",
]
