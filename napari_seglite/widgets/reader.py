"""The reader for files that napari itself opens without scale, or not at all.

These are labels that SegLite wrote, masks of Cellpose, and OME-Zarr.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import SegliteError
from ..formats import ImageFile, read_image, read_recipe, suffix


def reader(path: str | list[str]) -> Callable[..., list[tuple[Any, dict[str, Any], str]]]:
    """Return a function that reads files as napari layer data."""
    paths = [path] if isinstance(path, str) else path
    return lambda _: [layer_data(Path(each)) for each in paths]


def layer_data(path: Path) -> tuple[Any, dict[str, Any], str]:
    """Return a file's array or levels, and the arguments and kind of its layer.

    Raises
    ------
    OSError
        If the file cannot be read; napari shows the message.
    """
    try:
        image = read_image(path)
        recipe = {} if suffix(path) == "_seg.npy" else read_recipe(path)
    except SegliteError as error:
        raise OSError(str(error)) from error
    labels = bool(recipe) or suffix(path) == "_seg.npy" or path.stem.endswith("_labels")
    labels = labels and image.array.dtype.kind in "ui"
    settings: dict[str, Any] = {"name": path.name.partition(".")[0], **_placement(image)}
    if recipe:
        settings["metadata"] = {"seglite": recipe}
    if labels:
        # The finest level only: napari cannot paint on multiscale labels.
        return np.asarray(image.array), settings, "labels"
    levels = [_lazy(level) for level in image.levels]
    if len(levels) > 1:
        return levels, {**settings, "multiscale": True}, "image"
    return levels[0], settings, "image"


def _placement(image: ImageFile) -> dict[str, Any]:
    sizes = dict(zip(image.axes.labels, image.spacing, strict=True))
    return {
        "scale": [sizes.get(axis, 1.0) for axis in image.axes.order],
        "units": [image.unit if axis in "ZYX" else "pixel" for axis in image.axes.order],
        "axis_labels": list(image.axes.order.lower()),
    }


def _lazy(array: Any) -> Any:
    """Wrap a Zarr array in dask, so that napari reads only visible slices."""
    if isinstance(array, np.ndarray):
        return array
    import dask.array

    return array if isinstance(array, dask.array.Array) else dask.array.from_zarr(array)
