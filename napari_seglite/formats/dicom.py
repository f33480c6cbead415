"""DICOM images and series."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ImageError
from .image_file import ImageFile


def is_dicom(path: Path) -> bool:
    """Whether a file without a known ending is DICOM, by its magic."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def read(path: Path, scene: int = 0, labels: bool = False) -> ImageFile:
    """Read a DICOM file of one frame or several."""
    import pydicom

    return _stack([pydicom.dcmread(path)])


def read_series(path: Path, scene: int = 0, labels: bool = False) -> ImageFile:
    """Read the only DICOM series in a folder as a stack, its slices sorted by position.

    Raises
    ------
    ImageError
        If there is no series, there are several, or the slices differ in size.
    """
    import pydicom
    from pydicom.errors import InvalidDicomError

    datasets = []
    for file in sorted(p for p in path.iterdir() if p.is_file()):
        try:
            datasets.append(pydicom.dcmread(file))
        except InvalidDicomError:
            continue
    datasets = [dataset for dataset in datasets if "PixelData" in dataset]
    if not datasets:
        raise ImageError("the folder holds neither a Zarr nor a DICOM image.")
    series = {str(dataset.get("SeriesInstanceUID", "")) for dataset in datasets}
    if len(series) > 1:
        raise ImageError(
            f"the folder holds {len(series)} DICOM series; put each into a folder of its own."
        )
    return _stack(datasets)


def _stack(datasets: list[Any]) -> ImageFile:
    from pydicom.pixels import apply_rescale

    datasets = sorted(datasets, key=_position)
    slices = [apply_rescale(dataset.pixel_array, dataset) for dataset in datasets]
    if len({pixels.shape for pixels in slices}) > 1:
        raise ImageError("the slices of the series have different sizes.")
    colour = "C" if datasets[0].get("SamplesPerPixel", 1) > 1 else ""
    pixels = np.stack(slices) if len(slices) > 1 else slices[0]
    letters = ("Z" if pixels.ndim - len(colour) == 3 else "") + "YX" + colour
    steps = [float(n) for n in datasets[0].get("PixelSpacing", ())]
    spacing = dict(zip("YX", steps, strict=False))
    distance = datasets[0].get("SpacingBetweenSlices") or datasets[0].get("SliceThickness")
    positions = [_position(dataset) for dataset in datasets]
    spread = positions[-1] - positions[0]
    if spread > 0 and "ImagePositionPatient" in datasets[0]:
        distance = spread / (len(positions) - 1)
    if distance:
        spacing["Z"] = float(distance)
    return ImageFile.from_levels([pixels], letters, spacing, "mm" if steps else None)


def _position(dataset: Any) -> float:
    """Return the position of a slice along the normal of its plane in mm, or else its number."""
    if "ImagePositionPatient" in dataset and "ImageOrientationPatient" in dataset:
        directions = np.array(dataset.ImageOrientationPatient, float).reshape(2, 3)
        normal = np.cross(*directions)
        return float(normal @ np.array(dataset.ImagePositionPatient, float))
    return float(dataset.get("InstanceNumber") or 0)
