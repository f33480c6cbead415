"""Annotation projects on disk: images, their labels and corrected regions, and the classes."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from threading import Lock, RLock
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checkpoints import default_folder
from ..errors import AnnotationError
from ..formats import ome_zarr, read_image, replacing
from ..images import ArrayLike, WritableArray
from .journal import Journal, Tile
from .project_image import CHUNK, ClassList, ProjectImage

if TYPE_CHECKING:
    from filelock import BaseFileLock

INDEX, JOURNAL, LOCK, IMAGES = "project.json", "journal.bin", "lock", "images"
FORMAT = 1
# Bytes; a longer journal is merged into the labels at once.
LONG_JOURNAL = 64_000_000
# Largest side of a thumbnail in pixels.
THUMBNAIL = 96


class ProjectInUse(AnnotationError):
    """Another program has the project open."""


class AnnotationProject:
    """A folder with corrected labels; open it with `AnnotationProject.open`.

    Labels are OME-Zarr. While the user paints, changed chunks are appended to a journal, which
    grows with the strokes and not with the images; it is merged into the labels when it is long,
    and when the project is opened or closed. Only one program can have a project open.

    Parameters
    ----------
    folder : Path
        Of the project.
    lock : FileLock
        Held while the project is open; released by `close`.

    Attributes
    ----------
    images : mapping of str to ProjectImage
        By their keys.
    classes : ClassList
        Of all images.

    Notes
    -----
    The user interface, the thread of `Autosave` and background jobs use a project at the same
    time. `images` and `classes` are replaced as a whole, never changed in place: a thread that
    reads them once, or iterates over them, sees one state without holding a lock. Of a
    `ProjectImage`, read an attribute once as well. All methods that write files hold one lock, so
    the files on disk are consistent with each other.
    """

    def __init__(self, folder: Path, lock: BaseFileLock) -> None:
        self.folder, self._lock = folder, lock
        self.journal = Journal(folder / JOURNAL)
        self.classes = ClassList()
        self.images: Mapping[str, ProjectImage] = {}
        self._reserved: dict[str, ProjectImage] = {}
        self._writing = RLock()  # held while files are written, which may take seconds
        self._keys = Lock()  # of `_reserved`; held only for moments

    # ------------------------------------------------------------------ opening and closing
    @classmethod
    def open(cls, folder: Path, create: bool = False) -> AnnotationProject:
        """Open a project, merge its journal into the labels and lock it for other programs.

        Parameters
        ----------
        folder : Path
            Of the project.
        create : bool
            Whether to create the project in a missing or empty folder.

        Raises
        ------
        ProjectInUse
            If another program has it open.
        AnnotationError
            If there is no project, the folder holds other files, or the index cannot be read.
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
            if (folder / INDEX).is_file():
                project._read_index()
            else:
                project.save_index()
            project._remove_leftovers()
            project.compact()
        except BaseException:
            lock.release()
            raise
        return project

    def close(self) -> None:
        """Merge the journal into the labels and let other programs open the project."""
        with self._writing:
            self.compact()
            self._lock.release()

    def _remove_leftovers(self) -> None:
        """Remove unfinished files of an interrupted program, and labels that were replaced."""
        for folder in (self.folder, *self.folder.glob(f"{IMAGES}/*"), self.folder / IMAGES):
            for scratch in folder.glob(".writing-*"):
                shutil.rmtree(scratch, ignore_errors=True)
        for key, image in self.images.items():
            for labels in (self.folder / IMAGES / key).glob("labels*.zarr"):
                ours = re.fullmatch(r"labels(-u?int\d+)?\.zarr", labels.name)
                if ours and labels.name != image.labels:
                    shutil.rmtree(labels, ignore_errors=True)

    # ------------------------------------------------------------------ the index
    def _read_index(self) -> None:
        try:
            data = json.loads((self.folder / INDEX).read_text("utf-8"))
            if int(data["format"]) > FORMAT:
                raise AnnotationError(
                    f"The project {self.folder} was written by a newer version of SegLite. Update "
                    "SegLite to open it."
                )
            self.classes = ClassList(
                tuple(data["class_names"]), tuple(data["class_colours"]), data["created"]
            )
            images = [ProjectImage.from_dict(entry) for entry in data["images"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise AnnotationError(
                f"{self.folder / INDEX} cannot be read: {error}. The labels beside it are OME-Zarr "
                "and can still be opened."
            ) from error
        self.images = {image.key: image for image in images}

    def save_index(self) -> None:
        """Write the classes and the images, without their labels, to the index."""
        with self._writing, replacing(self.folder / INDEX) as scratch:
            classes = self.classes  # read once: the user interface may replace them
            data = {
                "format": FORMAT,
                "created": classes.created,
                "class_names": list(classes.class_names),
                "class_colours": list(classes.class_colours),
                "images": [image.as_dict() for image in self.images.values()],
            }
            with scratch.open("w", encoding="utf-8") as file:
                json.dump(data, file, indent=1)
                file.flush()
                os.fsync(file.fileno())

    # ------------------------------------------------------------------ images
    def add(self, image: ProjectImage, labels: ArrayLike, preview: np.ndarray | None = None) -> str:
        """Add an image with its labels to the project.

        Parameters
        ----------
        image : ProjectImage
            The new image; `reserve` gives it a key.
        labels : ArrayLike
            Its current labels, integer, of any size.
        preview : ndarray, optional
            ``(H, W)`` or ``(H, W, 3)`` uint8, for a thumbnail.

        Returns
        -------
        str
            The key.
        """
        with self._writing:
            # Tiles of an earlier image of the same key must not be merged into these labels.
            self.compact()
            self.reserve(image)
            image.shape = tuple(labels.shape)
            folder = self.folder / IMAGES / image.key
            spacing = image.spacing or (1.0,) * len(image.axes.labels)
            ome_zarr.write_editable(
                folder / image.labels, labels, spacing, image.unit, image.axes.labels, CHUNK
            )
            if preview is not None:
                _write_thumbnail(folder / "thumbnail.png", preview)
            self.images = {**self.images, image.key: image}
            self.save_index()
        return image.key

    def remove(self, key: str) -> None:
        """Remove an image and its labels from the project."""
        with self._writing:
            self.images = {k: image for k, image in self.images.items() if k != key}
            self.save_index()
            shutil.rmtree(self.folder / IMAGES / key, ignore_errors=True)

    def reserve(self, image: ProjectImage) -> str:
        """Give an image a key that no other image has, before it is added.

        An image that has one already, in this project, keeps it.

        Returns
        -------
        str
            The key, made from the image's earlier key or its name.
        """
        with self._keys:
            images = self.images
            if image is images.get(image.key) or image is self._reserved.get(image.key):
                return image.key
            wish = image.key or image.name
            base = re.sub(r"[^A-Za-z0-9._-]+", "-", wish).strip("-.")[:60] or "image"
            key, number = base, 1
            while key in images or key in self._reserved:
                number += 1
                key = f"{base}-{number}"
            self._reserved[key] = image
            image.key = key
            return key

    def store_pixels(self, key: str, pixels: np.ndarray) -> None:
        """Store a copy of an image that has no file, and make that its file.

        Parameters
        ----------
        key : str
            Of the image.
        pixels : ndarray
            The whole image.
        """
        import tifffile

        image = self.images[key]
        target = self.folder / IMAGES / key / "image.tif"
        with replacing(target) as scratch:
            # Without metadata about the axes, which the index states.
            tifffile.imwrite(scratch, pixels, compression="zlib", metadata=None)
        with self._writing:
            image.path = str(target.relative_to(self.folder))
            self.save_index()

    def has_copy(self, key: str) -> bool:
        """Whether the file of an image is a copy inside the project, see `store_pixels`."""
        return self._is_copy(self.images[key].path)

    def _is_copy(self, path: str) -> bool:
        # Joined to the folder, an absolute path stays as it is. Two annotations of an image may
        # share one copy.
        return bool(path) and (self.folder / path).is_relative_to(self.folder / IMAGES)

    def read_pixels(self, key: str) -> ArrayLike:
        """Return the pixels of an image, read from its file.

        Raises
        ------
        AnnotationError
            If the file is missing or has another size.
        ImageError
            If the file cannot be read.
        """
        image = self.images[key]
        file = image.path  # read once: the thread that saves may store a copy
        path = self.folder / file
        if not file or not path.exists():
            raise AnnotationError(
                f"The file of {image.name} is not there ({path if file else 'it had none'}). "
                "Put it back, or remove the image from the project."
            )
        pixels = read_image(path).array
        if self._is_copy(file):
            return pixels
        axes, size = image.axes, image.corrections.shape
        frames, height, width = size
        if (
            len(pixels.shape) != len(axes.order)
            or (axes.frame_count(pixels.shape), *axes.frame_shape(pixels.shape)) != size
        ):
            raise AnnotationError(
                f"{path} has the shape {pixels.shape}, which does not fit the {frames} frames of "
                f"{height} x {width} pixels that were corrected."
            )
        return pixels

    def labels(self, key: str) -> WritableArray:
        """Return the labels of an image as a Zarr array, without the changes in the journal.

        Later merges may change the chunks of the array, each as a whole. The array stays readable
        until the image is removed or the project is opened again.

        Raises
        ------
        AnnotationError
            If the labels are missing.
        """
        import zarr

        path = self.folder / IMAGES / key / self.images[key].labels / "0"
        try:
            return zarr.open_array(path, mode="r+")
        except (OSError, ValueError, KeyError) as error:
            raise AnnotationError(f"The labels of {key} in {self.folder} are missing.") from error

    # ------------------------------------------------------------------ saving
    def append(self, tiles: Sequence[Tile]) -> int:
        """Append changed chunks to the journal; returns the number of bytes written."""
        with self._writing:
            written = self.journal.append(tiles)
            if self.journal.size > LONG_JOURNAL:
                self.compact()
        return written

    def compact(self) -> None:
        """Merge the journal into the labels.

        If the program is killed meanwhile, the merge is repeated when the project is opened.
        """
        with self._writing:
            last = {(tile.image, tile.corner): tile for tile in self.journal.read()}
            for (key, _), tile in last.items():
                if key in self.images:
                    self._labels_for(key, tile.pixels.dtype)[tile.where] = tile.pixels
            self.journal.clear()

    def _labels_for(self, key: str, dtype: np.dtype[Any]) -> WritableArray:
        """Return the labels of an image, rewritten if their dtype cannot hold another one."""
        labels = self.labels(key)
        wanted = np.promote_types(labels.dtype, dtype)
        if wanted == labels.dtype:
            return labels
        import dask.array

        image = self.images[key]
        wide = dask.array.from_zarr(labels).astype(wanted)
        name = f"labels-{wanted}.zarr"
        spacing = image.spacing or (1.0,) * len(image.shape)
        ome_zarr.write_editable(
            self.folder / IMAGES / key / name, wide, spacing, image.unit, image.axes.labels, CHUNK
        )
        # The index names the valid labels and changes in one step. The old ones are removed when
        # the project is opened next, because another thread may be reading them now.
        image.labels = name
        self.save_index()
        return self.labels(key)


def open_default() -> AnnotationProject:
    """Open today's project, the default for corrections; create it if necessary.

    While another program has it open, a second one of today is opened, and so on.

    Raises
    ------
    AnnotationError
        If its index cannot be read.
    """
    today = default_folder().parent / "projects" / date.today().isoformat()
    number = 1
    while True:
        folder = today if number == 1 else today.with_name(f"{today.name}-{number}")
        try:
            return AnnotationProject.open(folder, create=True)
        except ProjectInUse:
            number += 1


def known_projects() -> list[Path]:
    """Return the folders of the projects in the default place, the last saved first."""
    root = default_folder().parent / "projects"
    folders = [path.parent for path in root.glob(f"*/{INDEX}")] if root.is_dir() else []
    return sorted(folders, key=lambda folder: (folder / INDEX).stat().st_mtime, reverse=True)


def fingerprint(pixels: np.ndarray) -> bytes:
    """Return a hash of a chunk's labels, which tells whether they changed."""
    return hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()


def _write_thumbnail(path: Path, preview: np.ndarray) -> None:
    from skimage.io import imsave

    step = max(1, -(-max(preview.shape[:2]) // THUMBNAIL))
    with replacing(path) as scratch:
        imsave(scratch, np.ascontiguousarray(preview[::step, ::step]), check_contrast=False)
