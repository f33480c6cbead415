"""Microscope manufacturers' formats, each read by its own library.

``pip install napari-seglite[microscopes]`` installs the libraries.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ImageError
from .image_file import ImageFile


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ImageError(
            "such files need another library: pip install 'napari-seglite[microscopes]'."
        ) from None


def read_nd2(path: Path, scene: int = 0, labels: bool = False) -> ImageFile:
    """Read a Nikon ND2 file of one position."""
    with _library("nd2").ND2File(path) as file:
        letters = "".join("C" if axis == "S" else axis for axis in file.sizes)
        voxel = file.voxel_size()
        return ImageFile.from_levels(
            [file.asarray()], letters, dict(zip("XYZ", voxel, strict=True)), "um"
        )


def read_lif(path: Path, scene: int = 0, labels: bool = False) -> ImageFile:
    """Read the first image of a Leica LIF file."""
    with _library("liffile").LifFile(path) as file:
        if not file.images:
            raise ImageError("the file holds no image.")
        image = file.images[scene]
        steps = {
            axis: abs(float(image.coords[axis][1] - image.coords[axis][0])) * 1e6
            for axis in "XYZ"
            if len(image.coords.get(axis, ())) > 1
        }
        letters = "".join("C" if axis == "S" else axis for axis in image.dims)
        return ImageFile.from_levels([image.asarray()], letters, steps, "um")


def read_czi(path: Path, scene: int = 0, labels: bool = False) -> ImageFile:
    """Read the whole plane of a Zeiss CZI file, its slices, time points and channels."""
    with _library("pylibCZIrw.czi").open_czi(str(path)) as file:
        sizes = {a: end for a, (_, end) in file.total_bounding_box.items()}
        axes = [a for a in "TZC" if sizes.get(a, 1) > 1]
        shape = [sizes[a] for a in axes]
        planes = [
            file.read(plane=dict(zip(axes, map(int, place), strict=True)))
            for place in np.ndindex(*shape)
        ]
        steps = _czi_steps(file.metadata)
    colour = planes[0].shape[-1] > 1
    if colour and "C" in axes:
        raise ImageError("the file holds several channels of colours; extract one of them.")
    # Colours are stored blue first.
    planes = [plane[..., ::-1] if colour else plane[..., 0] for plane in planes]
    pixels = np.stack(planes).reshape(*shape, *planes[0].shape)
    return ImageFile.from_levels([pixels], "".join(axes) + "YX" + "C" * colour, steps, "um")


def _czi_steps(metadata: dict[str, Any]) -> dict[str, float]:
    """Return micrometres per pixel by axis; the file states metres."""
    try:
        distances = metadata["ImageDocument"]["Metadata"]["Scaling"]["Items"]["Distance"]
    except (KeyError, TypeError):
        return {}
    entries = distances if isinstance(distances, list) else [distances]
    return {entry["@Id"]: float(entry["Value"]) * 1e6 for entry in entries}


def nd2_scenes(path: Path) -> tuple[str, ...]:
    """Return the names of the positions in an ND2 file."""
    return ()


def lif_scenes(path: Path) -> tuple[str, ...]:
    """Return the names of the images in a LIF file."""
    with _library("liffile").LifFile(path) as file:
        return tuple(image.name for image in file.images)


def czi_scenes(path: Path) -> tuple[str, ...]:
    """Return the names of the scenes in a CZI file."""
    return ()
