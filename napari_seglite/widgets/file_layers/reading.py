"""Files as data of napari layers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ...errors import ImageError
from ...formats import (
    SUFFIXES,
    ImageFile,
    read_image,
    read_label_file,
    read_recipe,
    split_scene,
    stem,
    suffix,
)
from ...images import ImageAxes
from .facts import KEY, facts_from
from .placement import OBLIQUE, file_placement, is_oblique

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

# Ends of the names that programs give to labels: this one, Fiji's plugins, Cellpose.
LABEL_ENDS = ("_labels", "_masks")
READER = "napari-seglite"


@dataclass(frozen=True)
class LayerOfFile:
    """A layer to be made of a file.

    Attributes
    ----------
    path : str
        The file; with ``#`` and a number for one of several images.
    data : array or list of array
        Pixels, or levels of a multiscale image.
    settings : dict
        Arguments of the layer.
    kind : {"image", "labels"}
        Which layer.
    notices : tuple of str
        What a user should know about how the file was read.
    """

    path: str
    data: Any
    settings: dict[str, Any]
    kind: Literal["image", "labels"]
    notices: tuple[str, ...]

    def as_tuple(self) -> tuple[Any, dict[str, Any], str]:
        """Return the layer as napari's readers return it."""
        return self.data, self.settings, self.kind


def layer_of_file(path: str | Path, scene: int | None = None) -> LayerOfFile:
    """Read a file as a layer.

    Labels become a Labels layer: files with a recipe, DICOM segmentations, masks of Cellpose, and
    files whose names end in ``_labels`` or ``_masks``.

    Parameters
    ----------
    path : str or Path
        Of any format that `read_image` reads.
    scene : int, optional
        Number of the image in the file, from 1. Without it, the first or the one after ``#``.

    Raises
    ------
    ImageError
        If the file cannot be read.
    """
    file, chosen = split_scene(path)
    recipe = _recipe(file)
    image = None
    named = suffix(file) == "_seg.npy" or stem(file).lower().endswith(LABEL_ENDS)
    made = recipe and not stem(file).endswith("_uncertainty")
    if made or named or _is_segmentation(file):
        image = _labels(path, scene)
    kind: Literal["image", "labels"] = "image" if image is None else "labels"
    if image is None:
        image = read_image(path, scene)
    if image.grid.affine is not None and is_oblique(image.grid.affine):
        image = image.noting(OBLIQUE)
    name = stem(file)
    several = len(image.scenes) > 1
    if several and (scene is not None or chosen):
        name = f"{name} {image.scenes[image.scene]}"
    where = f"{file}#{image.scene + 1}" if several and image.scene else str(file)
    shown, order = _for_display(image)
    axes = shown.axes.order.removesuffix("C") if image.rgb else shown.axes.order
    settings: dict[str, Any] = {"name": name, **file_placement(image, axes)}
    settings["metadata"] = {KEY: facts_from(image, where, shown.array, order)}
    if recipe:
        settings["metadata"]["seglite"] = recipe
    if kind == "labels":
        # The finest level only: napari cannot paint on multiscale labels.
        labels = np.asarray(shown.array)
        labels = labels.view(np.uint8) if labels.dtype == bool else labels
        return LayerOfFile(where, labels, settings, kind, image.notices)
    settings["rgb"] = image.rgb
    levels = [_lazy(level) for level in shown.levels]
    if len(levels) > 1:
        return LayerOfFile(where, levels, {**settings, "multiscale": True}, kind, image.notices)
    return LayerOfFile(where, levels[0], settings, kind, image.notices)


def add_to_viewer(viewer: ViewerModel, layer: LayerOfFile) -> Layer:
    """Add a file's layer to a viewer, as if napari had opened the file."""
    from napari.layers._source import layer_source

    with layer_source(path=layer.path, reader_plugin=READER):
        added: Layer = getattr(viewer, f"add_{layer.kind}")(layer.data, **layer.settings)
    return added


def _recipe(path: Path) -> dict[str, Any]:
    """Return the recipe in a file; empty if there is none."""
    try:
        return read_recipe(path)
    except Exception:  # whatever is wrong with the file, reading it says so
        return {}


def _is_segmentation(path: Path) -> bool:
    """Whether a file is a DICOM segmentation."""
    if not path.is_file() or (suffix(path) in SUFFIXES and suffix(path) != ".dcm"):
        return False
    import pydicom

    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Modality"])
    except Exception:  # whatever is wrong with the file, reading it says so
        return False
    return str(header.get("Modality", "")) == "SEG"


def _labels(path: str | Path, scene: int | None) -> ImageFile | None:
    """Return the labels in a file, or None if it is called labels and holds something else."""
    try:
        return read_label_file(path, scene)
    except ImageError:
        return None


def _for_display(image: ImageFile) -> tuple[ImageFile, tuple[int, ...]]:
    """Return an image as napari shows it, and for each of its axes the number in the file.

    Its last axes are height and width, and after them only colours.
    """
    order = image.axes.order
    plane = "".join(axis for axis in order if axis in "YX")
    others = "".join(axis for axis in order if axis not in plane)
    if image.rgb:
        others, plane = others.replace("C", ""), f"{plane}C"
    wanted = tuple(order.index(axis) for axis in others + plane)
    if others + plane == order:
        return image, wanted
    levels = tuple(_lazy(level).transpose(wanted) for level in image.levels)
    axes = ImageAxes(others + plane)
    return replace(image, array=levels[0], levels=levels, axes=axes), wanted


def _lazy(array: Any) -> Any:
    """Wrap a Zarr array in dask, so that napari reads only visible slices."""
    if isinstance(array, np.ndarray):
        return array
    import dask.array

    return array if isinstance(array, dask.array.Array) else dask.array.from_zarr(array)
