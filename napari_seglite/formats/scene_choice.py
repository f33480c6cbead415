"""The choice of one of several images in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import ImageError


def split_scene(path: str | Path) -> tuple[Path, str | None]:
    """Return a path without the choice of an image after ``#``, and that choice.

    Examples
    --------
    >>> split_scene("plate.zarr#B/3/0")  # doctest: +SKIP
    (PosixPath('plate.zarr'), 'B/3/0')
    """
    text = str(path)
    if "#" in text and not Path(text).exists():
        # The last one first, since names of files may have one, too.
        for end in (k for k in range(len(text) - 1, 0, -1) if text[k] == "#"):
            file = Path(text[:end])
            if file.name and text[end - 1] not in "/\\" and file.exists():
                return file, text[end + 1 :].replace("\\", "/")
    return Path(path), None


def scene_number(scene: int | str, names: Sequence[str]) -> int:
    """Return the number, from 0, of an image given by its name or its number from 1.

    Raises
    ------
    ImageError
        If there is no such image.
    """
    if str(scene) in names:
        return list(names).index(str(scene))
    if str(scene).isdecimal() and 1 <= int(scene) <= len(names):
        return int(scene) - 1
    named = ", ".join(f"{k} {name}" for k, name in enumerate(names[:10], start=1))
    raise ImageError(f"there is no image {scene} in this file; it holds {named}.")
