"""Trained weights with their card, the store that keeps them, and their inputs.

``builtin`` holds the checkpoints that are shipped. How a network is run or trained belongs to
`inference` and `training`.
"""

from . import replay
from .card import CheckpointInfo
from .inputs import intensity_limits, measure_intensities, prepare_slices
from .store import CheckpointStore, default_folder

__all__ = [
    "CheckpointInfo",
    "CheckpointStore",
    "default_folder",
    "intensity_limits",
    "measure_intensities",
    "prepare_slices",
    "replay",
]
