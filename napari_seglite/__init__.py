"""Lightweight segmentation networks in napari, from Python and from a shell.

from napari_seglite import SegmentRequest, read_image, segment

image = read_image("cells.tif")
request = SegmentRequest("nuclei-s-net", image.axes.order)
labels = segment(image.levels, request).labels
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checkpoints.store import CheckpointInfo, CheckpointStore
    from .formats.read_write import read_image, write_labels
    from .inference.request import SegmentRequest
    from .inference.result import Segmentation
    from .inference.segmenter import Segmenter, segment
    from .training.fine_tuner import FineTuner
    from .training.request import FineTuneRequest

__version__ = "0.1.0"

_HOMES = {
    "FineTuneRequest": "training.request",
    "FineTuner": "training.fine_tuner",
    "SegmentRequest": "inference.request",
    "Segmentation": "inference.result",
    "Segmenter": "inference.segmenter",
    "segment": "inference.segmenter",
    "CheckpointInfo": "checkpoints.store",
    "CheckpointStore": "checkpoints.store",
    "read_image": "formats.read_write",
    "write_labels": "formats.read_write",
}
__all__ = [
    "CheckpointInfo",
    "CheckpointStore",
    "FineTuneRequest",
    "FineTuner",
    "SegmentRequest",
    "Segmentation",
    "Segmenter",
    "read_image",
    "segment",
    "write_labels",
]


def __getattr__(name: str) -> Any:
    """Import on first use: napari asks for this package long before anybody segments."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
