"""NIfTI and DICOM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ImageError
from .image_file import ImageFile, describe


def read_nifti(path: Path) -> ImageFile:
    """Read a NIfTI volume or series as ``(T, Z, Y, X)``, in the order it is stored in."""
    import nibabel

    image: Any = nibabel.load(path)
    # Stored with X running fastest: turned round, it is a stack of slices.
    pixels = np.asanyarray(image.dataobj).T
    letters = "CTZYX"[-pixels.ndim :]
    if pixels.dtype.names:  # RGB triples
        pixels, letters = np.stack([pixels[n] for n in pixels.dtype.names], -1), letters + "C"
    kept = [k for k, n in enumerate(pixels.shape) if n != 1 or letters[k] in "YX"]
    zooms = dict(zip("XYZT", image.header.get_zooms(), strict=False))
    unit = image.header.get_xyzt_units()[0]
    return describe(
        [pixels.reshape([pixels.shape[k] for k in kept])],
        "".join(letters[k] for k in kept),
        zooms,
        {"micron": "um", "unknown": None}.get(unit, unit),
    )


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
