"""MRC and CCP4 maps of electron microscopes, read slice by slice with mrcfile."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from ..errors import ImageError
from .image_file import ImageFile
from .limits import check_claim

# Of the header, in bytes.
_HEADER = 1024
# Types of pixels by the number in the header; complex ones and packed nibbles are none.
_MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}


def read(path: Path, scene: int = 0, labels: bool = False) -> ImageFile:
    """Read an image, a stack or a volume; no pixels are read before they are indexed.

    Raises
    ------
    ImageError
        If mrcfile is not installed, or the file is no MRC of real numbers.
    """
    try:
        import mrcfile
    except ImportError as error:
        raise ImageError(
            "MRC files need mrcfile: pip install 'napari-seglite[medical]'."
        ) from error
    with warnings.catch_warnings():  # of old files, which lack parts of the header
        warnings.simplefilter("ignore")
        with mrcfile.open(path, permissive=True, header_only=True) as file:
            header, voxel = file.header, file.voxel_size
            _check(header, path)
        with mrcfile.mmap(path, mode="r", permissive=True) as file:
            pixels = file.data
    if pixels is None:
        raise ImageError("its header does not describe its pixels: it is damaged or no MRC.")
    letters = "TZYX"[-pixels.ndim :]
    if not pixels.dtype.isnative:
        pixels = pixels.astype(pixels.dtype.newbyteorder("="))
    order = tuple(int(header[name]) for name in ("mapc", "mapr", "maps"))
    sizes = dict(zip("XYZ", (float(voxel[a]) for a in "xyz"), strict=True))
    notices: tuple[str, ...] = ()
    if order not in ((1, 2, 3), (0, 0, 0)):
        sizes = {}
        notices = (
            "The axes of this map are stored in another order than X, Y, Z, so the sizes of its "
            "voxels were left out.",
        )
    return ImageFile.from_levels(
        [pixels], letters, sizes, dict.fromkeys("XYZ", "angstrom"), notices=notices
    )


def _check(header: object, path: Path) -> None:
    """Raise `ImageError` if a header describes no pixels, or more than the file holds."""
    values: dict[str, int] = {
        name: int(header[name])  # type: ignore[index]
        for name in ("nx", "ny", "nz", "mode", "nsymbt")
    }
    if values["mode"] not in _MODES:
        raise ImageError(f"its pixels are of MRC mode {values['mode']}, which is no image.")
    shape = [values[name] for name in ("nz", "ny", "nx")]
    if min(shape) < 1 or values["nsymbt"] < 0:
        raise ImageError("its header has no sizes: it is damaged or no MRC.")
    held = path.stat().st_size - _HEADER - values["nsymbt"]
    check_claim(shape, np.dtype(_MODES[values["mode"]]), max(held, 0), 1)
