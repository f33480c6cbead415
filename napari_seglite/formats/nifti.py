"""NIfTI volumes and series."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .image_file import ImageFile


def read_nifti(path: Path) -> ImageFile:
    """Read a NIfTI volume or series as ``(T, Z, Y, X)``, in the order it is stored in."""
    import nibabel

    image: Any = nibabel.load(path)
    # X varies fastest on disk, so the transposed array is a stack of slices.
    pixels = np.asanyarray(image.dataobj).T
    letters = "CTZYX"[-pixels.ndim :]
    if pixels.dtype.names:  # RGB triples
        pixels, letters = np.stack([pixels[n] for n in pixels.dtype.names], -1), letters + "C"
    axes = [k for k, n in enumerate(pixels.shape) if n != 1 or letters[k] in "YX"]
    zooms = dict(zip("XYZT", image.header.get_zooms(), strict=False))
    unit = image.header.get_xyzt_units()[0]
    return ImageFile.from_levels(
        [pixels.reshape([pixels.shape[k] for k in axes])],
        "".join(letters[k] for k in axes),
        zooms,
        {"micron": "um", "unknown": None}.get(unit, unit),
    )
