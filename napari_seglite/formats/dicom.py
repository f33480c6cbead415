"""DICOM images and series, classic and enhanced; segmentations are in `dicom_seg`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from . import dicom_seg
from .dicom_frames import is_segmentation
from .dicom_layout import arrange
from .dicom_pixels import read_frames
from .dicom_scenes import find_scenes
from .image_file import ImageFile


def scenes(path: Path) -> tuple[str, ...]:
    """Return the names of the images in a file or folder; empty if there is one."""
    found, _ = find_scenes(path)
    return tuple(scene.name for scene in found) if len(found) > 1 else ()


def read(path: Path, scene: int = 0, labels: bool = False) -> ImageFile:
    """Read an image of a DICOM file, or a series of a folder, its slices sorted by position.

    Raises
    ------
    ImageError
        If there is no image, or frames are missing.
    """
    found, notices = find_scenes(path)
    frames = found[scene].frames
    names = tuple(each.name for each in found) if len(found) > 1 else ()
    if is_segmentation(frames[0].header):
        return replace(dicom_seg.read(frames[0].file), scenes=names, scene=scene)
    layout = arrange(frames)
    shape = (len(layout.frames), len(layout.frames[0]))
    ordered = [frame for volume in layout.frames for frame in volume]
    pixels, more = read_frames(ordered, labels)
    pixels = pixels.reshape(*shape, *pixels.shape[1:])
    return ImageFile.from_levels(
        [pixels],
        "TZYX" + "C" * (pixels.ndim - 4),
        layout.sizes,
        layout.units,
        affine=layout.affine,
        rgb=pixels.ndim > 4,
        scenes=names,
        scene=scene,
        notices=(*notices, *layout.notices, *more),
    )
