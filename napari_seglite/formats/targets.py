"""Whether a result can be written where the user wants it, asked before the work."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ..errors import ImageError
from .registry import known_recipe, suffix


def check_folder(folder: Path) -> None:
    """Make a folder for results, if it is missing, and see whether files can be written there.

    Raises
    ------
    ImageError
        If they cannot; the message names the folder.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise ImageError(f"{folder}: this is a file, not a folder. Choose another folder.")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ImageError(
            f"{folder}: nothing can be written there ({error.strerror}). Choose another folder."
        ) from error


def check_target(target: Path, image: str = "") -> None:
    """See whether a file of results can be written, or written again.

    Parameters
    ----------
    target : Path
        Ending in the suffix of a format that is written.
    image : str
        Name of the image whose labels are to be written.

    Raises
    ------
    ImageError
        If its name is too long, a folder or file of another kind is in the way, another program
        wrote it, or it holds the labels of another image.
    """
    name = os.fsencode(target.name)
    if len(name) > 255:
        raise ImageError(
            f"{target}: this name is too long for a file, {len(name)} bytes of 255. Rename the "
            "image."
        )
    if not target.exists() and not target.is_symlink():
        return
    if target.is_dir() != (suffix(target) == ".zarr"):
        kind = "folder" if target.is_dir() else "file"
        raise ImageError(f"{target}: there is a {kind} of this name. Choose another folder.")
    recipe = known_recipe(target)  # a damaged file is protected, too: nobody knows whose it is
    if not recipe:
        raise ImageError(
            f"{target}: there is a {'folder' if target.is_dir() else 'file'} of this name that "
            "SegLite did not write. Move it away, or choose another folder."
        )
    if image and recipe.get("image", image) != image:
        raise ImageError(
            f"{target}: it holds the labels of another file, {recipe['image']}. Choose another "
            "folder."
        )
