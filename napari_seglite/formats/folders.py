"""The images in a folder."""

from __future__ import annotations

from pathlib import Path

from ..errors import ImageError
from .registry import SUFFIXES, suffix


def list_images(folder: str | Path) -> list[Path]:
    """Return the image files of a folder, sorted.

    Raises
    ------
    ImageError
        If there is no such folder, or no file in it has a known suffix.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageError(f"{folder}: there is no such folder.")
    paths = sorted(p for p in folder.iterdir() if suffix(p) in SUFFIXES)
    if not paths:
        raise ImageError(f"{folder}: there is no {', '.join(SUFFIXES)} file in this folder.")
    return paths
