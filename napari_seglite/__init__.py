"""Segment biomedical images with lightweight networks: in napari, from Python, from a shell.

Examples
--------
Segment an image and save the labels:

>>> from napari_seglite import SegmentRequest, read_image, segment, write_labels
>>> image = read_image("cells.tif")  # doctest: +SKIP
>>> request = SegmentRequest("nuclei-s-net", image.axes.order)  # doctest: +SKIP
>>> result = segment(image.levels, request)  # doctest: +SKIP
>>> write_labels("cells_labels.tif", result.labels, recipe=result.recipe())  # doctest: +SKIP

`Segmenter` keeps the network in memory for many images, `FineTuner` trains a checkpoint on your
own labels, and `CheckpointStore` lists and stores checkpoints.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if sys.platform == "darwin":
    # What Apple's GPUs have no operation for goes to the CPU; torch reads this at its import.
    os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")

if TYPE_CHECKING:
    from .blocks import segment
    from .catalogue import fetch
    from .checkpoints import CheckpointInfo, CheckpointStore, import_published
    from .formats import read_image, write_labels
    from .inference import Segmentation, Segmenter, SegmentRequest
    from .training import FineTuner, FineTuneRequest

    __version__: str

_HOMES = {
    "FineTuneRequest": "training",
    "FineTuner": "training",
    "SegmentRequest": "inference",
    "Segmentation": "inference",
    "Segmenter": "inference",
    "segment": "blocks",
    "CheckpointInfo": "checkpoints",
    "CheckpointStore": "checkpoints",
    "fetch": "catalogue",
    "import_published": "checkpoints",
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
    "fetch",
    "import_published",
    "read_image",
    "segment",
    "write_labels",
]


def _installed_version() -> str:
    """Return the version that the package was built with, from the tags of its repository."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("napari-seglite")
    except PackageNotFoundError:  # a folder on the path that was never installed
        return "0+unknown"


def __getattr__(name: str) -> Any:
    """Import a public name on first use, since napari imports this package at its start."""
    if name == "__version__":
        return _installed_version()
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
