"""What is known of an image layer without reading its pixels, to suggest a checkpoint for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...checkpoints import ImageFacts
from ...errors import SegliteError
from ...formats import safe_name
from . import layers

if TYPE_CHECKING:
    from napari.layers import Image

    from .tracker import CorrectionTracker


def image_facts(
    layer: Image,
    tracker: CorrectionTracker,
    device: str = "cpu",
    object_diameter: float | None = None,
) -> ImageFacts | None:
    """Return what is known of an image layer; None if its axes cannot be told.

    Parameters
    ----------
    layer : Image
        The layer.
    tracker : CorrectionTracker
        Knows the project.
    device : str
        Where the layer will be segmented.
    object_diameter : float or None
        As `ImageFacts` has it.
    """
    try:
        axes, pixel_size = layers.layer_axes(layer), layers.pixel_size(layer)
    except SegliteError:
        return None
    path = str(layer.source.path or "")
    names, others = {layer.name, safe_name(layer.name, "image"), Path(path).name}, set[str]()
    images = tracker.project.images if tracker.project is not None else {}
    for key, image in images.items():
        same = image.name == layer.name or (path and image.path == path)
        (names if same else others).add(key)
    return ImageFacts(
        axes,
        tuple(layers.pixels(layer).shape),
        bool(layer.rgb),
        layers.choice(layer, "channels"),
        pixel_size,
        object_diameter,
        device,
        frozenset(names),
        frozenset(others),
    )
