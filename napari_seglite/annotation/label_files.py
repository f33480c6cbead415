"""The labels of a project's image on disk, and what can be wrong with them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import AnnotationError
from ..formats import write_editable
from ..images import ArrayLike, WritableArray
from .index import IMAGES
from .project_image import CHUNK, ProjectImage


def image_folder(folder: Path, key: str) -> Path:
    """Return the folder of an image in a project."""
    return folder / IMAGES / key


def labels_folder(folder: Path, image: ProjectImage) -> Path:
    """Return the folder of an image's labels, an OME-Zarr."""
    return image_folder(folder, image.key) / image.labels


def open_labels(folder: Path, image: ProjectImage) -> WritableArray:
    """Return the labels of an image in a project as a Zarr array.

    Raises
    ------
    AnnotationError
        If they are missing or damaged, or do not fit the index.
    """
    import zarr

    path = labels_folder(folder, image)
    if link := _link_inside(folder, image):
        raise AnnotationError(
            f"The labels of {image.name} are not used: {link} is a link, which may lead out of the "
            "project. Put the files themselves there."
        )
    if not path.is_dir():
        raise AnnotationError(f"The labels of {image.name} are missing ({path}).")
    try:
        array = zarr.open_array(path / "0", mode="r+")
        shape, dtype = tuple(array.shape), array.dtype
    except Exception as error:  # of any kind, depending on what the files hold
        raise AnnotationError(f"The labels of {image.name} cannot be read ({path}).") from error
    if shape != tuple(image.shape) or dtype.kind not in "ui":
        raise AnnotationError(
            f"The labels of {image.name} ({path}) are {dtype} of the shape {shape}, which does not "
            f"fit the project's {tuple(image.shape)}."
        )
    return array


def _link_inside(folder: Path, image: ProjectImage) -> Path | None:
    """Return a symbolic link on the way to the labels or inside them."""
    own = image_folder(folder, image.key)
    for path in (own.parent, own, own / image.labels):
        if path.is_symlink():
            return path
    for parent, folders, files in os.walk(own / image.labels):
        for name in (*folders, *(name for name in files if name.endswith("json"))):
            if (link := Path(parent, name)).is_symlink():
                return link
    return None


def write_labels(folder: Path, image: ProjectImage, labels: ArrayLike) -> None:
    """Write the labels of an image into its project, in place of earlier ones."""
    write_editable(labels_folder(folder, image), labels, image.grid, CHUNK)


def widened(labels: ArrayLike, dtype: np.dtype[Any]) -> ArrayLike | None:
    """Return labels in a dtype that also holds another one; None if theirs does."""
    wanted = np.promote_types(labels.dtype, dtype)
    if wanted == labels.dtype:
        return None
    import dask.array

    return dask.array.from_zarr(labels).astype(wanted)  # type: ignore[no-any-return]
