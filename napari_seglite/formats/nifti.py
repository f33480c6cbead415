"""NIfTI volumes and series."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .image_file import ImageFile


def read(path: Path, scene: int = 0, labels: bool = False) -> ImageFile:
    """Read a NIfTI volume or series as ``(T, Z, Y, X)``, in the order it is stored in."""
    import nibabel

    image: Any = nibabel.load(path)
    # X varies fastest on disk, so the transposed array is a stack of slices.
    pixels = np.asanyarray(image.dataobj).T
    letters = "CTZYX"[-pixels.ndim :]
    if pixels.dtype.names:  # RGB triples
        pixels, letters = np.stack([pixels[n] for n in pixels.dtype.names], -1), letters + "C"
    zooms = dict(zip("XYZT", image.header.get_zooms(), strict=False))
    unit = image.header.get_xyzt_units()[0]
    return ImageFile.from_levels(
        [pixels], letters, zooms, {"micron": "um", "unknown": None}.get(unit, unit)
    )
