"""Pair the files of two folders by name, such as images with their labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import ImageError
from .folders import list_images
from .registry import stem


@dataclass(frozen=True)
class FilePairs:
    """Files of two folders, paired by stem.

    Attributes
    ----------
    pairs : dict
        The files of the first and the second folder by their common stem, sorted by stem.
    unpaired : tuple of Path
        Files without a partner: those of the first folder, then those of the second.
    """

    pairs: dict[str, tuple[Path, Path]]
    unpaired: tuple[Path, ...]


def pair_stem(path: Path) -> str:
    """Return the name by which a file is paired: its stem without ``_labels``."""
    return stem(path).removesuffix("_labels")


def pair_files(first: Path, second: Path) -> FilePairs:
    """Pair the files of two folders whose stems are equal but for ``_labels``.

    Parameters
    ----------
    first, second : Path
        Folders of image or label files.

    Raises
    ------
    ImageError
        If a folder is missing or holds no images, or two of its files have the same stem.
    """
    a, b = _by_stem(first), _by_stem(second)
    common = sorted(a.keys() & b.keys())
    unpaired = [files[name] for files in (a, b) for name in sorted(files) if name not in common]
    return FilePairs({name: (a[name], b[name]) for name in common}, tuple(unpaired))


def _by_stem(folder: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in list_images(folder):
        name = pair_stem(path)
        if name in files:
            raise ImageError(f"{folder}: {files[name].name} and {path.name} share one name.")
        files[name] = path
    return files
