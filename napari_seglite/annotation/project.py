"""Annotation projects on disk: images, their labels and corrected regions, and the classes."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock, RLock

import numpy as np

from ..errors import AnnotationError
from ..formats import read_image, replacing, safe_name, split_scene, taken
from ..images import ArrayLike, WritableArray
from . import index
from .fitting_pixels import read_fitting
from .folder import check_folder, recover_all
from .index import INDEX
from .journal import JOURNAL, Journal, StoredTile, Tile
from .label_files import image_folder, open_labels, write_labels
from .lock import ProjectLock
from .merging import merge
from .project_image import ClassList, ProjectImage

log = logging.getLogger(__name__)

# Bytes; a longer journal is merged into the labels at once.
LONG_JOURNAL = 64_000_000
# Number of damaged journals that are kept.
DAMAGED = 3
# Largest side of a thumbnail in pixels.
THUMBNAIL = 96


class AnnotationProject:
    """A folder with corrected labels; open it with `AnnotationProject.open`.

    Labels are OME-Zarr. While the user paints, changed chunks are appended to a journal, which
    grows with the strokes and not with the images; it is merged into the labels when it is long,
    and when the project is opened or closed. Only one program can have a project open.

    Parameters
    ----------
    folder : Path
        Of the project.
    lock : ProjectLock
        Held while the project is open; released by `close`.

    Attributes
    ----------
    images : mapping of str to ProjectImage
        By their keys; those whose labels can be read.
    damaged : mapping of str to str
        The reason why an image cannot be used, by its key. What was painted into it is kept.
    notices : list of str
        Sentences for the user about what was found and mended when the project was opened.
    classes : ClassList
        Of all images.

    Notes
    -----
    The user interface, the thread of `Autosave` and background jobs use a project at the same
    time. `images` and `classes` are replaced as a whole, never changed in place: a thread that
    reads them once, or iterates over them, sees one state without holding a lock. Of a
    `ProjectImage`, read an attribute once as well. All methods that write files hold one lock, so
    the files on disk are consistent with each other, and check first that the folder is still the
    one that was opened.
    """

    def __init__(self, folder: Path, lock: ProjectLock) -> None:
        self.folder, self._lock = folder, lock
        self.journal = Journal(folder / JOURNAL)
        self.classes = ClassList()
        self.images: Mapping[str, ProjectImage] = {}
        self.damaged: Mapping[str, str] = {}
        self.notices: list[str] = []
        self._unusable: dict[str, ProjectImage] = {}  # the entries of the damaged images
        self._reserved: dict[str, ProjectImage] = {}
        self._writing = RLock()  # held while files are written, which may take seconds
        self._keys = Lock()  # of `_reserved`; held only for moments

    # ------------------------------------------------------------------ opening and closing
    @classmethod
    def open(cls, folder: Path, create: bool = False) -> AnnotationProject:
        """Open a project, merge its journal into the labels and lock it for other programs.

        An image whose labels are damaged is left out, see `damaged`.

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
        try:
            check_folder(folder, create)
            lock = ProjectLock(folder)
            lock.acquire()
            project = cls(folder, lock)
            try:
                project._load()
            except BaseException:
                lock.release()
                raise
        except OSError as error:
            raise AnnotationError(
                f"The project {folder} cannot be opened: {error.strerror or error}."
            ) from error
        return project

    def _load(self) -> None:
        recover_all(self.folder)
        if self._lock.taken_over:
            self.notices.append(self._lock.taken_over)
        if (self.folder / INDEX).is_file():
            self.classes, images = index.read(self.folder)
            index.back_up(self.folder)
            self._sort_out(images)
        else:
            self.save_index()
        self._merge_kept()
        self.compact()
        self._remove_outgrown()

    def _sort_out(self, images: Sequence[ProjectImage]) -> None:
        """Divide images into those with labels and damaged ones."""
        whole: dict[str, ProjectImage] = {}
        for image in images:
            try:
                open_labels(self.folder, image)
                whole[image.key] = image
            except AnnotationError as error:
                self._leave_out(image, str(error))
        self.images = whole

    def _leave_out(self, image: ProjectImage, reason: str) -> None:
        self._unusable[image.key] = image
        self.damaged = {**self.damaged, image.key: reason}
        self.images = {key: other for key, other in self.images.items() if other is not image}
        self.notices.append(
            f"{reason} What was painted into it is kept. To repair it: "
            f"seglite doctor --project {self.folder} --repair"
        )

    def close(self) -> None:
        """Merge the journal into the labels and let other programs open the project.

        If the labels cannot be written, the journal stays, and is merged at the next opening.
        """
        with self._writing:
            try:
                self._lock.check()
                self.compact()
            except (OSError, AnnotationError) as error:
                log.warning("The journal of %s is merged later: %s", self.folder, error)
            finally:
                self._lock.release()

    def abandon(self) -> None:
        """Let other programs open the project, and write nothing more."""
        self._lock.release()

    def check(self) -> None:
        """Check that the folder is still the one that was opened, and locked.

        Raises
        ------
        ProjectMoved
            If it was moved, deleted, or opened by another program.
        """
        self._lock.check()

    def _remove_outgrown(self) -> None:
        """Remove labels that were replaced by ones of a wider dtype."""
        for key, image in self.images.items():
            for labels in image_folder(self.folder, key).glob("labels*.zarr"):
                if index.names_labels(labels.name) and labels.name != image.labels:
                    shutil.rmtree(labels, ignore_errors=True)

    # ------------------------------------------------------------------ the index
    def save_index(self) -> None:
        """Write the classes and the images, without their labels, to the index."""
        with self._writing:
            self._lock.check()
            classes = self.classes  # read once: the user interface may replace them
            index.write(self.folder, classes, (*self.images.values(), *self._unusable.values()))

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
            self._lock.check()
            # Tiles of an earlier image of the same key must not be merged into these labels.
            self.compact()
            self.reserve(image)
            image.shape = tuple(labels.shape)
            write_labels(self.folder, image, labels)
            if preview is not None:
                _write_thumbnail(image_folder(self.folder, image.key) / "thumbnail.png", preview)
            self.images = {**self.images, image.key: image}
            self.save_index()
        return image.key

    def remove(self, key: str) -> None:
        """Remove an image and its labels from the project, also a damaged one."""
        with self._writing:
            self.compact()
            self.images = {k: image for k, image in self.images.items() if k != key}
            self._unusable.pop(key, None)
            self.damaged = {k: reason for k, reason in self.damaged.items() if k != key}
            self.save_index()
            shutil.rmtree(image_folder(self.folder, key), ignore_errors=True)
            self._kept(key).clear()

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
            base = safe_name(image.key or image.name, "image")
            key, number = base, 1
            while self._is_taken(key):
                number += 1
                key = f"{base}-{number}"
            self._reserved[key] = image
            image.key = key
            return key

    def _is_taken(self, key: str) -> bool:
        others = (*self.images, *self._unusable, *self._reserved)
        # A folder that the index does not name may hold labels of an interrupted program.
        return bool(taken(key, others)) or image_folder(self.folder, key).exists()

    def store_pixels(self, key: str, pixels: ArrayLike) -> None:
        """Store a copy of an image that has no file, and make that its file.

        Parameters
        ----------
        key : str
            Of the image.
        pixels : ArrayLike
            The whole image; read into memory.
        """
        import tifffile

        image = self.images[key]
        target = image_folder(self.folder, key) / "image.tif"
        self._lock.check()
        with replacing(target) as scratch:
            # Without metadata about the axes, which the index states; and with a meaning that no
            # stack of three or four slices is taken for colours by.
            tifffile.imwrite(
                scratch,
                np.asarray(pixels),
                compression="zlib",
                photometric="minisblack",
                metadata=None,
                planarconfig="contig" if image.axes.order.endswith("C") else None,
            )
        with self._writing:
            image.path = str(target.relative_to(self.folder))
            self.save_index()

    def has_copy(self, key: str) -> bool:
        """Whether the file of an image is a copy inside the project, see `store_pixels`."""
        return self._is_copy(self.images[key].path)

    def _is_copy(self, path: str) -> bool:
        # Two annotations of an image may share one copy.
        return bool(path) and not Path(path).is_absolute()

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
        if not file or not split_scene(path)[0].exists():
            raise AnnotationError(
                f"The file of {image.name} is not there ({path if file else 'it had none'}). "
                "Put it back, or remove the image from the project."
            )
        if self._is_copy(file):
            return read_image(path).array
        return read_fitting(path, image)

    def labels(self, key: str) -> WritableArray:
        """Return the labels of an image as a Zarr array, without the changes in the journal.

        Later merges may change the chunks of the array, each as a whole. The array stays readable
        until the image is removed or the project is opened again.

        Raises
        ------
        AnnotationError
            If the labels are missing or damaged.
        """
        return open_labels(self.folder, self.images[key])

    # ------------------------------------------------------------------ saving
    def append(self, tiles: Sequence[Tile]) -> int:
        """Append changed chunks to the journal; returns the number of bytes written.

        Raises
        ------
        OSError
            If they cannot be written.
        ProjectMoved
            If the folder is not there any more.
        """
        with self._writing:
            self._lock.check()
            written = self.journal.append(tiles)
            if self.journal.size > LONG_JOURNAL:
                try:
                    self.compact()
                except OSError as error:  # the tiles are in the journal
                    log.warning("The journal of %s is merged later: %s", self.folder, error)
        return written

    def compact(self) -> None:
        """Merge the journal into the labels.

        If the program is killed meanwhile, the merge is repeated when the project is opened. Tiles
        of images that cannot be used are kept aside.
        """
        with self._writing:
            content = self.journal.read()
            if content.damaged:
                self._keep_damaged(content.damaged)
            homeless = self._merge(content.tiles)
            for key in dict.fromkeys(tile.image for tile in homeless):
                kept = self._kept(key)
                kept.append(tile.load() for tile in homeless if tile.image == key)
                if key not in self.damaged:
                    self.notices.append(
                        f"Some strokes belong to no image of the project. They are kept as "
                        f"{kept.path}."
                    )
            self.journal.clear()

    def _merge(self, tiles: Sequence[StoredTile]) -> list[StoredTile]:
        """Write tiles into the labels; return those of images that cannot be used."""
        merged = merge(self.folder, self.images, tiles, self.save_index)
        for key, reason in merged.broken.items():
            self._leave_out(self.images[key], reason)
        return merged.homeless

    def _merge_kept(self) -> None:
        """Merge what was kept aside for images whose labels are there again."""
        for key in self.images:
            kept = self._kept(key)
            if kept.size and not self._merge(kept.read().tiles):
                kept.clear()

    def _kept(self, key: str) -> Journal:
        """Return the journal of what was painted into an image that cannot be used."""
        return Journal(self.folder / f"journal-{safe_name(key, 'image')}.bin")

    def _keep_damaged(self, places: int) -> None:
        copies = [self.folder / f"journal-damaged-{n}.bin" for n in range(1, DAMAGED + 1)]
        copy = next((path for path in copies if not path.exists()), copies[-1])
        with replacing(copy) as scratch:
            shutil.copyfile(self.journal.path, scratch)
        self.notices.append(
            f"The journal was damaged in {places} place{'s' if places > 1 else ''}: strokes may be "
            f"missing. All others were read, and the damaged file is kept as {copy}."
        )


def _write_thumbnail(path: Path, preview: np.ndarray) -> None:
    from skimage.io import imsave

    step = max(1, -(-max(preview.shape[:2]) // THUMBNAIL))
    with replacing(path) as scratch:
        imsave(scratch, np.ascontiguousarray(preview[::step, ::step]), check_contrast=False)
