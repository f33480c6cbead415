"""Checkpoints: trained weights with their card and replay buffer, and their store.

`prepare_slices` and its like turn an image into a network's input as the card says. ``builtin``
holds the checkpoints that come with the package. Running and training networks belongs to
`inference` and `training`.
"""

from . import replay
from .archive import Packed, read_archive, without_paths
from .card import CheckpointInfo
from .folder import Scan
from .inputs import Intensities, intensity_limits, measure_intensities, prepare_slices
from .lineage import parents_first
from .published_files import PUBLISHED_KINDS, import_published
from .recommending import ImageFacts, Recommendation, recommend, recommend_from
from .scores import Score, score_of
from .store import CheckpointStore, default_folder
from .text import printable

__all__ = [
    "PUBLISHED_KINDS",
    "CheckpointInfo",
    "CheckpointStore",
    "ImageFacts",
    "Intensities",
    "Packed",
    "Recommendation",
    "Scan",
    "Score",
    "default_folder",
    "import_published",
    "intensity_limits",
    "measure_intensities",
    "parents_first",
    "prepare_slices",
    "printable",
    "read_archive",
    "recommend",
    "recommend_from",
    "replay",
    "score_of",
    "without_paths",
]
