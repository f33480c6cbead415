"""The images that a user names: files, folders, and patterns that no shell has expanded."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import ImageError
from .registry import DICOM_SERIES, SUFFIXES, format_of, known_recipe, stem, suffix
from .scene_choice import split_scene

# How programs and people name labels after their image.
_ENDINGS = re.compile(
    r"[ _.-](cp_masks?|masks?|labels?|labels_semantic|seg|segmentation|uncertainty|gt|"
    r"ground_?truth|annotations?)$",
    re.IGNORECASE,
)


def label_stem(path: Path) -> str:
    """Return the stem of a label file without what programs add to the name of its image.

    Examples
    --------
    >>> label_stem(Path("a.b_cp_masks.tif")), label_stem(Path("a_labels.nii.gz"))
    ('a.b', 'a')
    """
    name = stem(path)
    return _ENDINGS.sub("", name) or name


def named_as_labels(path: Path) -> bool:
    """Whether a file's name says that it holds labels."""
    return label_stem(path) != stem(path) or suffix(path) == "_seg.npy"


def list_images(folder: str | Path) -> list[Path]:
    """Return the image files of a folder, sorted; hidden ones are left out.

    Raises
    ------
    ImageError
        If there is no such folder, or no file in it has a known suffix.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageError(f"{folder}: there is no such folder.")
    try:
        paths = sorted(p for p in folder.iterdir() if _is_image(p))
    except OSError as error:
        raise ImageError(f"{folder}: the folder cannot be listed ({error.strerror}).") from error
    if not paths:
        raise ImageError(
            f"{folder}: there is no image in this folder, no file that ends in "
            f"{', '.join(SUFFIXES)}."
        )
    return paths


def _is_image(path: Path) -> bool:
    # macOS writes a hidden companion "._name" beside each file on other systems' disks.
    return not path.name.startswith(".") and suffix(path) in SUFFIXES and path.exists()


@dataclass(frozen=True)
class Inputs:
    """What the names that a user gave stand for.

    Attributes
    ----------
    paths : tuple of Path
        The images, each once, in the order given.
    left_out : tuple of str
        A sentence for each file that is no image to segment, and why.
    """

    paths: tuple[Path, ...]
    left_out: tuple[str, ...]


def find_images(names: Iterable[str | Path]) -> Inputs:
    """Return the images that files, folders and patterns stand for.

    A folder stands for its images, but for a Zarr and a DICOM series, which are one image. Patterns
    such as ``*.tif`` are expanded for shells that leave that to the program. Labels that SegLite
    wrote and hidden companions of other files are left out, and of two files in a folder or pattern
    whose labels would have one name, the second.

    Parameters
    ----------
    names : iterable of str or Path
        A file or folder that does not exist is returned as it is.

    Raises
    ------
    ImageError
        If a pattern matches nothing, a folder holds no image, or nothing is left.
    """
    found: dict[Path, None] = {}
    left_out: list[str] = []
    for name in names:
        stems: dict[tuple[Path, str], Path] = {}
        for path in _expanded(Path(name)):
            reason = _no_input(path)
            first = stems.setdefault((path.parent, stem(path)), path)
            if not reason and first != path:
                reason = f"its labels would have the name of those of {first.name}"
            if reason:
                left_out.append(f"{path}: {reason}, left out")
            else:
                found[path] = None
    if not found:
        raise ImageError("\n".join([*left_out, "There is no image to segment."]))
    return Inputs(tuple(found), tuple(dict.fromkeys(left_out)))


def _expanded(path: Path) -> list[Path]:
    if _exists(path):
        # A series is taken as it is: its files have often no suffix.
        if path.is_dir() and format_of(path) is DICOM_SERIES and any(map(_is_image, _files(path))):
            images = list_images(path)
            return [path] if all(suffix(p) == ".dcm" for p in images) else images
        return [path]
    if not glob.has_magic(str(path)):
        return [path]
    matches = sorted(map(Path, glob.glob(str(path), recursive=True)))
    images = [p for p in matches if p.is_dir() or (p.is_file() and (_is_image(p) or not p.suffix))]
    if not images:
        raise ImageError(f"{path}: no image has such a name.")
    return images


def _files(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _exists(path: Path) -> bool:
    try:
        return path.exists() or split_scene(path)[1] is not None
    except OSError:  # such as a name that is too long; reading it says so
        return True


def _no_input(path: Path) -> str:
    """Return why a path is no image to segment; an empty string if it is one."""
    if path.name.startswith("._"):
        return "a companion file of macOS"
    if named_as_labels(path) and known_recipe(path):
        return "made by SegLite"
    return ""
