"""Annotated frames in, a new checkpoint out.

`FineTuner` turns a request into a checkpoint, `TrainingRun` makes steps and scores them until the
run ends, `Trainer` makes one step.
"""

from .checkpointing import free_name
from .defaults import read_colour, suggest_settings, with_authors_recipe
from .events import (
    Finished,
    Message,
    Previewed,
    RunCallbacks,
    RunStatus,
    StepDone,
    StrokeScored,
    TrainingEvent,
    Validated,
)
from .examples import (
    AnnotatedImage,
    IntensityLimits,
    corrected_examples,
    image_examples,
    prepare_training,
)
from .feed import AnnotationFeed, ViewedPatch, fine_tune, learn_live
from .fine_tuner import FineTuner
from .live import LiveInput, LiveSession
from .model_comparison import ComparisonEvent, RankedNetwork, compare_networks, ranking_table
from .request import (
    RECIPES,
    TRAINABLE,
    Augmentation,
    FineTuneRequest,
    FullTraining,
    RecipeName,
    Retention,
    Schedule,
    Validation,
)
from .start import start_info
from .team import Team, follow, joined_team, under_torchrun
from .texts import progress_text
from .volumes import volume_options, volume_patches

__all__ = [
    "RECIPES",
    "TRAINABLE",
    "AnnotatedImage",
    "AnnotationFeed",
    "Augmentation",
    "ComparisonEvent",
    "FineTuneRequest",
    "FineTuner",
    "Finished",
    "FullTraining",
    "IntensityLimits",
    "LiveInput",
    "LiveSession",
    "Message",
    "Previewed",
    "RankedNetwork",
    "RecipeName",
    "Retention",
    "RunCallbacks",
    "RunStatus",
    "Schedule",
    "StepDone",
    "StrokeScored",
    "Team",
    "TrainingEvent",
    "Validated",
    "Validation",
    "ViewedPatch",
    "compare_networks",
    "corrected_examples",
    "fine_tune",
    "follow",
    "free_name",
    "image_examples",
    "joined_team",
    "learn_live",
    "prepare_training",
    "progress_text",
    "ranking_table",
    "read_colour",
    "start_info",
    "suggest_settings",
    "under_torchrun",
    "volume_options",
    "volume_patches",
    "with_authors_recipe",
]
