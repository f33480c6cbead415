"""Arrays that NumPy saved, without unpickling anything."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import ImageError
from .image_file import ImageFile
from .limits import check_in_memory


def read(path: Path, scene: int = 0, labels: bool = False) -> ImageFile:
    """Read an ``.npy`` file; its pixels are read from the disk when they are indexed.

    Raises
    ------
    ImageError
        If the array holds Python objects or no real numbers.
    """
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        reader = getattr(np.lib.format, f"read_array_header_{version[0]}_0", None)
        if reader is None:
            raise ImageError(
                f"the file is of version {version} of NumPy's format, which is unknown."
            )
        shape, _, dtype = reader(file)
    if dtype.hasobject:
        raise ImageError(
            "it holds Python objects, which could run any code when they are read. Save a plain "
            "array of numbers."
        )
    if dtype.kind not in "buif":
        raise ImageError(f"arrays of {dtype} are not images; save real numbers.")
    if len(shape) < 2 or 0 in shape:
        raise ImageError(f"an array of shape {shape} is not an image.")
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if not dtype.isnative:
        check_in_memory(shape, dtype, "Save it in the byte order of this machine.")
        array = array.astype(dtype.newbyteorder("="))
    return ImageFile.from_levels([array], "?" * array.ndim)
