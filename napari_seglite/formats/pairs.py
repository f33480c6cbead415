"""Pair the files of two folders by name, such as images with their labels."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import ImageError
from .folders import label_stem, list_images, named_as_labels
from .registry import stem

# nnU-Net numbers the channels of an image in the names of its files.
_CHANNEL = re.compile(r"_0000$")


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

    @property
    def hint(self) -> str:
        """A sentence with two names that do not fit; empty if there are none."""
        if not self.unpaired:
            return ""
        names = [path.name for path in self.unpaired]
        other = next(
            (p.name for p in self.unpaired[1:] if p.parent != self.unpaired[0].parent), names[-1]
        )
        return (
            f"{names[0]} was looked for under the name {label_stem(self.unpaired[0])} and, for "
            f"example, with _labels, _masks or _cp_masks after it; there is {other}."
        )


def pair_stem(path: Path) -> str:
    """Return the name by which a file is paired: its stem without ``_labels`` and the like."""
    return label_stem(path)


def pair_files(first: Path, second: Path) -> FilePairs:
    """Pair the files of two folders whose stems are equal but for ``_labels`` and the like.

    One folder may hold both, images and labels: then only the latter have such an ending.

    Parameters
    ----------
    first, second : Path
        Folders of image or label files.

    Raises
    ------
    ImageError
        If a folder is missing or holds no images, or two of its files have the same stem.
    """
    files = [list_images(folder) for folder in (first, second)]
    if first.resolve() == second.resolve():
        files = [
            [p for p in files[0] if not named_as_labels(p)],
            [p for p in files[1] if named_as_labels(p)],
        ]
    b = _by_stem(second, files[1])
    # An image may itself be named like labels: "gut_seg.tif" and "gut_seg_masks.tif".
    a = _by_stem(first, files[0], frozenset(b))
    for name in sorted(a.keys() - b.keys()):
        plain = _CHANNEL.sub("", name)
        if plain != name and plain in b and plain not in a:
            a[plain] = a.pop(name)
    common = sorted(a.keys() & b.keys())
    unpaired = [each[name] for each in (a, b) for name in sorted(each) if name not in common]
    return FilePairs({name: (a[name], b[name]) for name in common}, tuple(unpaired))


def _by_stem(
    folder: Path, paths: Iterable[Path], wanted: frozenset[str] = frozenset()
) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in paths:
        name = stem(path) if stem(path) in wanted else label_stem(path)
        if name in files:
            raise ImageError(
                f"{folder}: {files[name].name} and {path.name} share one name, {name}. "
                "Move one of them away."
            )
        files[name] = path
    return files
