"""Annotation projects: images, their corrected labels, and what is known about them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np

from ..checkpoints import default_folder
from ..errors import AnnotationError
from ..formats import ome_zarr, replacing
from .journal import Journal, Tile
from .project_image import CHUNK, ClassList, ProjectImage

INDEX, JOURNAL, LOCK, IMAGES = "project.json", "journal.bin", "lock", "images"
FORMAT = 1
# The journal is worked into the labels beyond this size.
LONG_JOURNAL = 64_000_000
THUMBNAIL = 96


class ProjectInUse(AnnotationError):
    """Another program has the project open."""


class AnnotationProject:
    """A folder with corrected labels; open it with `AnnotationProject.open`.

    Labels are OME-Zarr. While they are painted, changed chunks go to a journal, which grows with
    the strokes and not with the images; it is worked into the labels when the project is opened
    or closed. Only one program can have a project open.

    Parameters
    ----------
    folder : Path
        Of the project.
    lock : object
        Held while it is open; released by `close`.
    """

    def __init__(self, folder: Path, lock: Any) -> None:
        self.folder, self._lock = folder, lock
        self.journal = Journal(folder / JOURNAL)
        self.about = ClassList()
        self.images: dict[str, ProjectImage] = {}
        self._reserved: dict[str, ProjectImage] = {}
        self._guard = RLock()

    # ------------------------------------------------------------------ opening and closing
    @classmethod
    def open(cls, folder: Path, create: bool = False) -> AnnotationProject:
        """Open a project, bring its labels up to date and keep others out of it.

        Raises
        ------
        AnnotationError
            If there is none, somebody else has it open, or its index cannot be read.
        """
        from filelock import FileLock, Timeout

        if not (folder / INDEX).is_file():
            if not create:
                raise AnnotationError(f"{folder} holds no SegLite project ({INDEX} is missing).")
            folder.mkdir(parents=True, exist_ok=True)
            if any(path.name not in (LOCK, IMAGES) for path in folder.iterdir()):
                raise AnnotationError(f"{folder} holds other files. Choose an empty folder.")
        lock = FileLock(folder / LOCK, timeout=0, thread_local=False)
        try:
            lock.acquire()
        except Timeout as error:
            raise ProjectInUse(
                f"The project {folder} is open in another window or program. Close it there, or "
                "work in another project."
            ) from error
        project = cls(folder, lock)
        try:
            project._sweep()
            if (folder / INDEX).is_file():
                project._read_index()
            else:
                project.save_index()
            project.compact()
        except BaseException:
            lock.release()
            raise
        return project

    def close(self) -> None:
        """Work the journal into the labels and let others open the project."""
        with self._guard:
            self.compact()
            self._lock.release()

    def _sweep(self) -> None:
        """Remove what an interrupted program left half-written."""
        for folder in (self.folder, *self.folder.glob(f"{IMAGES}/*"), self.folder / IMAGES):
            for left in folder.glob(".writing-*"):
                shutil.rmtree(left, ignore_errors=True)

    # ------------------------------------------------------------------ the index
    def _read_index(self) -> None:
        try:
            data = json.loads((self.folder / INDEX).read_text("utf-8"))
            if int(data["format"]) > FORMAT:
                raise AnnotationError(
                    f"The project {self.folder} was written by a newer version of SegLite. Update "
                    "SegLite to open it."
                )
            self.about = ClassList(
                tuple(data["class_names"]), tuple(data["class_colours"]), data["created"]
            )
            found = [ProjectImage.from_dict(entry) for entry in data["images"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise AnnotationError(
                f"{self.folder / INDEX} cannot be read: {error}. The labels beside it are OME-Zarr "
                "and can still be opened."
            ) from error
        self.images = {image.key: image for image in found}

    def save_index(self) -> None:
        """Write the index in place of the older one."""
        with self._guard, replacing(self.folder / INDEX) as scratch:
            data = {
                "format": FORMAT,
                "created": self.about.created,
                "class_names": list(self.about.class_names),
                "class_colours": list(self.about.class_colours),
                "images": [image.as_dict() for image in self.images.values()],
            }
            with scratch.open("w", encoding="utf-8") as file:
                json.dump(data, file, indent=1)
                file.flush()
                os.fsync(file.fileno())

    # ------------------------------------------------------------------ images
    def add(self, image: ProjectImage, labels: Any, preview: np.ndarray | None = None) -> str:
        """Take an image with its labels into the project.

        Parameters
        ----------
        image : ProjectImage
            Its key is only a wish, unless it was reserved.
        labels : array
            As they are now; of any size.
        preview : ndarray, optional
            ``(H, W)`` or ``(H, W, 3)`` uint8, for a thumbnail.

        Returns
        -------
        str
            The key.
        """
        with self._guard:
            self.reserve(image)
            image.shape = tuple(labels.shape)
            folder = self.folder / IMAGES / image.key
            spacing = image.spacing or (1.0,) * len(image.axes.labels)
            ome_zarr.write_editable(
                folder / image.labels, labels, spacing, image.unit, image.axes.labels, CHUNK
            )
            if preview is not None:
                _write_thumbnail(folder / "thumbnail.png", preview)
            self.images[image.key] = image
            self.save_index()
        return image.key

    def remove(self, key: str) -> None:
        """Take an image out of the project, its labels with it."""
        with self._guard:
            del self.images[key]
            self.save_index()
            shutil.rmtree(self.folder / IMAGES / key, ignore_errors=True)

    def reserve(self, image: ProjectImage) -> str:
        """Give an image a key of its own, before it is added; returns the key."""
        if image not in (self.images.get(image.key), self._reserved.get(image.key)):
            wish = image.key or image.name
            base = re.sub(r"[^A-Za-z0-9._-]+", "-", wish).strip("-.")[:60] or "image"
            image.key, number = base, 1
            while image.key in self.images or image.key in self._reserved:
                number += 1
                image.key = f"{base}-{number}"
            self._reserved[image.key] = image
        return image.key

    def store_pixels(self, key: str, pixels: np.ndarray) -> None:
        """Keep a copy of an image that has no file, and make that its file."""
        import tifffile

        image = self.images[key]
        target = self.folder / IMAGES / key / "image.tif"
        with replacing(target) as scratch:
            # Without words about the axes, which the index knows.
            tifffile.imwrite(scratch, pixels, compression="zlib", metadata=None)
        with self._guard:
            image.path = str(target.relative_to(self.folder))
            self.save_index()

    def has_copy(self, key: str) -> bool:
        """Whether the project keeps a copy of an image that has no file of its own."""
        path = self.folder / self.images[key].path  # an absolute path stays as it is
        return path.parent == self.folder / IMAGES / key

    def read_pixels(self, key: str) -> Any:
        """Return an image's pixels from its file.

        Raises
        ------
        AnnotationError
            If the file is not there any more or has another size.
        """
        from ..formats import read_image

        image = self.images[key]
        path = self.folder / image.path  # an absolute path stays as it is
        if not image.path or not path.exists():
            raise AnnotationError(
                f"The file of {image.name} is not there ({path if image.path else 'it had none'}). "
                "Put it back, or take the image out of the project."
            )
        pixels = read_image(path).array
        frames, height, width = image.corrections.shape
        if self.has_copy(key):
            return pixels
        if (
            len(pixels.shape) != len(image.axes.order)
            or (image.axes.frame_count(pixels.shape), *image.axes.frame_shape(pixels.shape))
            != image.corrections.shape
        ):
            raise AnnotationError(
                f"{path} has the shape {pixels.shape}, which does not fit the {frames} frames of "
                f"{height} x {width} pixels that were corrected."
            )
        return pixels

    def labels(self, key: str) -> Any:
        """Return the labels of an image as an array on disk, up to the last `compact`."""
        import zarr

        path = self.folder / IMAGES / key / self.images[key].labels / "0"
        try:
            return zarr.open_array(path, mode="r+")
        except (OSError, ValueError, KeyError) as error:
            raise AnnotationError(f"The labels of {key} in {self.folder} are gone.") from error

    # ------------------------------------------------------------------ saving
    def append(self, tiles: Sequence[Tile]) -> int:
        """Save changed chunks; returns the bytes written."""
        with self._guard:
            written = self.journal.append(tiles)
            if self.journal.size > LONG_JOURNAL:
                self.compact()
        return written

    def compact(self) -> None:
        """Work the journal into the labels; killed on the way, it is done again at opening."""
        with self._guard:
            last = {(tile.image, tile.corner): tile for tile in self.journal.read()}
            for (key, _), tile in last.items():
                if key in self.images:
                    self._holding(key, tile.pixels.dtype)[tile.where] = tile.pixels
            self.journal.clear()

    def _holding(self, key: str, dtype: np.dtype[Any]) -> Any:
        """Return the labels of an image, rewritten for larger numbers if these need it."""
        labels = self.labels(key)
        wanted = np.promote_types(labels.dtype, dtype)
        if wanted == labels.dtype:
            return labels
        import dask.array

        image = self.images[key]
        wide = dask.array.from_zarr(labels).astype(wanted)
        folder, old = self.folder / IMAGES / key, image.labels
        new = f"labels-{wanted}.zarr"
        spacing = image.spacing or (1.0,) * len(image.shape)
        ome_zarr.write_editable(folder / new, wide, spacing, image.unit, image.axes.labels, CHUNK)
        # The index tells which of them counts, and changes at a stroke.
        image.labels = new
        self.save_index()
        shutil.rmtree(folder / old, ignore_errors=True)
        return self.labels(key)


def open_default() -> AnnotationProject:
    """Open the project of the day, where corrections go if the user named none.

    Another one is made while that is open elsewhere.

    Raises
    ------
    AnnotationError
        If it cannot be read.
    """
    folder = default_folder().parent / "projects" / date.today().isoformat()
    number = 1
    while True:
        place = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        try:
            return AnnotationProject.open(place, create=True)
        except ProjectInUse:
            number += 1


def known_projects() -> list[Path]:
    """Return the projects in the default place, the latest first."""
    root = default_folder().parent / "projects"
    found = [path.parent for path in root.glob(f"*/{INDEX}")] if root.is_dir() else []
    return sorted(found, key=lambda path: (path / INDEX).stat().st_mtime, reverse=True)


def fingerprint(pixels: np.ndarray) -> bytes:
    """Return what tells whether a chunk changed."""
    return hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()


def _write_thumbnail(path: Path, preview: np.ndarray) -> None:
    from skimage.io import imsave

    step = max(1, -(-max(preview.shape[:2]) // THUMBNAIL))
    with replacing(path) as scratch:
        imsave(scratch, np.ascontiguousarray(preview[::step, ::step]), check_contrast=False)
