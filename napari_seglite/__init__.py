"""Lightweight segmentation networks in napari, from Python and from a shell.

from napari_seglite import SegmentRequest, read_image, segment

image = read_image("cells.tif")
request = SegmentRequest("nuclei-s-net", image.axes.order)
labels = segment(image.levels, request).labels
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checkpoints import CheckpointInfo, CheckpointStore
    from .formats import read_image, write_labels
    from .inference import Segmentation, Segmenter, SegmentRequest, segment
    from .training import FineTuner, FineTuneRequest

__version__ = "0.1.0"

_HOMES = {
    "FineTuneRequest": "training",
    "FineTuner": "training",
    "SegmentRequest": "inference",
    "Segmentation": "inference",
    "Segmenter": "inference",
    "segment": "inference",
    "CheckpointInfo": "checkpoints",
    "CheckpointStore": "checkpoints",
    "read_image": "formats",
    "write_labels": "formats",
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
