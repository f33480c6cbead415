"""DICOM images and series."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ImageError
from .image_file import ImageFile, describe


def read_dicom(path: Path) -> ImageFile:
    """Read one DICOM file: an image, or several frames."""
    import pydicom

    return _stack([pydicom.dcmread(path)])


def read_dicom_series(folder: Path) -> ImageFile:
    """Read the one DICOM series in a folder as a stack, sorted by where its slices lie.

    Raises
    ------
    ImageError
        If there is no series, or there are several.
    """
    import pydicom
    from pydicom.errors import InvalidDicomError

    found = []
    for file in sorted(p for p in folder.iterdir() if p.is_file()):
        try:
            found.append(pydicom.dcmread(file))
        except InvalidDicomError:
            continue
    found = [dataset for dataset in found if "PixelData" in dataset]
    if not found:
        raise ImageError("the folder holds no Zarr and no DICOM image.")
    series = {str(dataset.get("SeriesInstanceUID", "")) for dataset in found}
    if len(series) > 1:
        raise ImageError(f"the folder holds {len(series)} DICOM series; put each into its own.")
    return _stack(found)


def _stack(datasets: list[Any]) -> ImageFile:
    from pydicom.pixels import apply_rescale

    datasets = sorted(datasets, key=_place)
    slices = [apply_rescale(dataset.pixel_array, dataset) for dataset in datasets]
    if len({pixels.shape for pixels in slices}) > 1:
        raise ImageError("the slices of the series have different sizes.")
    colour = "C" if datasets[0].get("SamplesPerPixel", 1) > 1 else ""
    pixels = np.stack(slices) if len(slices) > 1 else slices[0]
    letters = ("Z" if pixels.ndim - len(colour) == 3 else "") + "YX" + colour
    steps = [float(n) for n in datasets[0].get("PixelSpacing", ())]
    spacing = dict(zip("YX", steps, strict=False))
    apart = datasets[0].get("SpacingBetweenSlices") or datasets[0].get("SliceThickness")
    places = [_place(dataset) for dataset in datasets]
    if len(places) > 1 and places[-1] > places[0] and "ImagePositionPatient" in datasets[0]:
        apart = (places[-1] - places[0]) / (len(places) - 1)
    if apart:
        spacing["Z"] = float(apart)
    return describe([pixels], letters, spacing, "mm" if steps else None)


def _place(dataset: Any) -> float:
    """Return where a slice lies along the normal of its plane, in mm; else its number."""
    if "ImagePositionPatient" in dataset and "ImageOrientationPatient" in dataset:
        directions = np.array(dataset.ImageOrientationPatient, float).reshape(2, 3)
        normal = np.cross(*directions)
        return float(normal @ np.array(dataset.ImagePositionPatient, float))
    return float(dataset.get("InstanceNumber") or 0)
