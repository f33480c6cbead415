"""Saving of painted labels in a thread of its own, soon after every stroke."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from threading import Event, Lock, Thread

import numpy as np

from ..errors import AnnotationError
from ..images import ArrayLike, ImageAxes, blocks
from .journal import Tile
from .lock import ProjectMoved
from .project import THUMBNAIL, AnnotationProject
from .project_image import ProjectImage

log = logging.getLogger(__name__)

# Seconds between a stroke and its saving, so that quick strokes are saved together.
DELAY = 0.5
# Seconds between two looks at the project's folder, and between two attempts to save.
CHECK, RETRY = 1.0, 5.0
# Number of chunks that are held in memory together.
TOGETHER = 256
# Number of recently changed chunks that are compared again after a redraw.
RECENT = 400

# The key of an image and the corner of a chunk of its labels.
Place = tuple[str, tuple[int, ...]]


class Autosave:
    """Saves the changes of labels in a thread of its own.

    The user interface tells which boxes of the labels changed and goes on; the thread reads them
    from the labels and saves them. Their order on disk is labels before index, so that the index
    never marks labels as corrected that are not saved yet.

    Parameters
    ----------
    project : AnnotationProject
        The project to save in. Close this object before the project.
    failed : callable
        Called with a sentence, in the thread, when saving begins to fail. It is tried again every
        few seconds.
    delay : float
        Seconds between a stroke and its saving.

    Attributes
    ----------
    saved : int
        Number of the last notification whose changes are on disk; `labels_changed`,
        `index_changed` and `recheck` return these numbers.
    written : int
        Number of bytes written to the journal so far.
    problem : str
        Why saving fails now, as a sentence for the user; empty if it does not.

    Notes
    -----
    ``_lock`` guards everything that notifications and the thread share: the number of the last
    notification, the new images, the waiting and the touched chunks. It is held only for moments,
    never while files are written, so that notifications do not block. ``_saving`` lets one thread
    save at a time; the fingerprints and `written` belong to the thread that holds it. The arrays
    are only ever added to.
    """

    def __init__(
        self,
        project: AnnotationProject,
        failed: Callable[[str], None] = lambda _: None,
        delay: float = DELAY,
    ) -> None:
        self.project, self.delay = project, delay
        self.saved = self.written = self._number = 0
        self.problem = ""
        self._failed, self._tried, self._moved = failed, 0.0, False
        self._new: list[tuple[ProjectImage, ArrayLike | None]] = []
        self._arrays: dict[str, Callable[[], ArrayLike | None]] = {}
        self._waiting: dict[Place, Tile] = {}
        self._touched: dict[Place, Tile] = {}  # the last changed at the end
        self._fingerprints: dict[Place, bytes] = {}
        self._index_changed = False
        self._lock, self._saving = Lock(), Lock()
        self._wake, self._closing = Event(), Event()
        self._thread = Thread(target=self._run, name="seglite-autosave", daemon=True)
        self._thread.start()

    def watch(
        self,
        image: ProjectImage,
        array: Callable[[], ArrayLike | None],
        pixels: ArrayLike | None = None,
    ) -> None:
        """Save changes of an image's labels from now on.

        Parameters
        ----------
        image : ProjectImage
            Added to the project if it is not in it.
        array : callable
            Returns the labels, or None once they are gone; called in the thread.
        pixels : ArrayLike, optional
            The pixels of an image without a file, of which the project then keeps a copy.
        """
        key = self.project.reserve(image)
        with self._lock:
            self._arrays[key] = array
            if key not in self.project.images:
                self._new.append((image, pixels))
                self._notify()

    def labels_changed(self, image: ProjectImage, corner: Sequence[int], end: Sequence[int]) -> int:
        """Notify that labels changed inside a box.

        Parameters
        ----------
        image : ProjectImage
            Whose labels changed.
        corner, end : sequence of int
            First index of the box along each axis of the labels, and the index after the last.

        Returns
        -------
        int
            Number of the notification, see `saved`.
        """
        with self._lock:
            for tile in image.chunks(corner, end):
                self._waiting[image.key, tile.corner] = tile
            return self._notify()

    def recheck(self, everything: bool = True) -> int:
        """Notify that labels may have changed anywhere, as after an undo.

        Parameters
        ----------
        everything : bool
            Whether all chunks that changed so far are compared again; else some hundred of them.

        Returns
        -------
        int
            Number of the notification, see `saved`.
        """
        with self._lock:
            first = 0 if everything else max(0, len(self._touched) - RECENT)
            self._waiting.update(islice(self._touched.items(), first, None))
            return self._notify()

    def index_changed(self) -> int:
        """Notify that corrected regions, channels or classes changed.

        Returns the number of the notification, see `saved`.
        """
        with self._lock:
            self._index_changed = True
            return self._notify()

    @property
    def behind(self) -> bool:
        """Whether any change is not on disk yet."""
        return self.saved != self._number

    @property
    def unsaved(self) -> list[str]:
        """Names of the images with changes that are not on disk; all if the folder is gone."""
        with self._lock:
            new = {image.key: image.name for image, _ in self._new}
            keys = {*new, *(key for key, _ in self._waiting)}
            index = self._index_changed
        if self._moved or (index and not keys):
            keys |= set(self._arrays)
        names = {key: image.name for key, image in self.project.images.items()} | new
        return sorted({names.get(key, key) for key in keys})

    def flush(self) -> None:
        """Save now, in the caller's thread."""
        self._save()

    def compare(self) -> list[str]:
        """Compare all labels with what is on disk, and save what differs.

        Returns
        -------
        list of str
            Names of the images of which something was not on disk.
        """
        self._save()
        with self._saving:
            different = self._unnoticed()
        self._save()
        return different

    def close(self) -> str:
        """Save the remaining changes, compare everything once more, and end the thread.

        Returns
        -------
        str
            A sentence if something could not be saved; else empty.
        """
        self.stop()
        if not self.problem:
            self.compare()
        else:
            self._save()
        return self.problem

    def stop(self) -> None:
        """End the thread without saving."""
        self._closing.set()
        self._wake.set()
        self._thread.join()

    def _notify(self) -> int:
        self._number += 1
        self._wake.set()
        return self._number

    def _run(self) -> None:
        while not self._closing.is_set():
            if self._wake.wait(CHECK):
                self._closing.wait(self.delay)
                self._wake.clear()
                if not self._closing.is_set():
                    self._save()
            elif self.problem:
                if time.monotonic() - self._tried > RETRY:
                    self._save()
            else:
                self._check_folder()

    def _check_folder(self) -> None:
        try:
            self.project.check()
        except (ProjectMoved, OSError) as error:
            self._report(error)

    def _save(self) -> None:
        with self._saving:
            self._save_waiting()

    def _save_waiting(self) -> None:
        with self._lock:
            number, waiting, index = self._number, self._waiting, self._index_changed
            self._waiting, self._index_changed = {}, False
        self._tried = time.monotonic()
        try:
            if self.problem:
                self.project.check()
            self._add_new()
            # Labels before index, which must not mark labels that are not saved.
            places = iter(waiting.items())
            while some := list(islice(places, TOGETHER)):
                tiles = self._changed(some)
                self.written += self.project.append(tiles)
                for tile in tiles:
                    self._fingerprints[tile.image, tile.corner] = _fingerprint(tile.pixels)
            self._remember(waiting)
            if index:
                self.project.save_index()
            self.saved, self.problem, self._moved = number, "", False
        except Exception as error:  # of any kind: the thread must go on and try again
            with self._lock:
                self._waiting = {**waiting, **self._waiting}
                self._index_changed |= index
            self._report(error)

    def _report(self, error: Exception) -> None:
        self._moved = isinstance(error, ProjectMoved)
        if self._moved:
            sentence = f"Your corrections are not saved. {error}"
        else:
            sentence = (
                f"Your corrections could not be saved in {self.project.folder}: {error}. Free some "
                "space or reconnect the disk; saving is tried again every few seconds."
            )
        if sentence != self.problem:
            expected = isinstance(error, OSError | AnnotationError)
            log.warning("%s", sentence, exc_info=None if expected else error)
            self.problem = sentence
            self._failed(sentence)

    def _remember(self, saved: dict[Place, Tile]) -> None:
        """Put chunks at the end of those that changed."""
        with self._lock:
            for place, tile in saved.items():
                self._touched.pop(place, None)
                self._touched[place] = tile

    def _unnoticed(self) -> list[str]:
        """Find chunks that changed without a notification; return the names of their images."""
        different = []
        for key, image in self.project.images.items():
            if key in self._arrays:
                found = self._changed(
                    ((key, tile.corner), tile)
                    for corner, end in self._differing_blocks(key)
                    for tile in image.chunks(corner, end)
                )
                with self._lock:
                    for tile in found:
                        self._waiting[key, tile.corner] = tile
                    if found:
                        self._notify()
                        different.append(image.name)
        return different

    def _differing_blocks(self, key: str) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
        """Yield first and last corners of blocks in which labels differ from the merged ones.

        Large blocks are read faster than chunks; those with strokes in the journal differ, too.
        """
        array, stored = self._arrays[key](), self._stored(key)
        if array is None or tuple(array.shape) != self.project.images[key].shape:
            return
        for plane in np.ndindex(array.shape[:-2]):
            for block in blocks(array.shape[-2:]):
                where = (*plane, *block)
                if stored is None or not np.array_equal(array[where], stored[where]):
                    corner = (*plane, *(side.start for side in block))
                    yield corner, (*(n + 1 for n in plane), *(side.stop for side in block))

    def _add_new(self) -> None:
        while self._new:
            image, pixels = self._new[0]
            labels = self._arrays[image.key]()
            if labels is not None:
                # An image that was removed and is added again may have other labels.
                for place in [place for place in self._fingerprints if place[0] == image.key]:
                    del self._fingerprints[place]
                self.project.add(image, labels, _preview(labels, image))
                if pixels is not None and not image.path:
                    self.project.store_pixels(image.key, pixels)
            self._new.pop(0)  # only now: after a failure it is added again

    def _changed(self, places: Iterable[tuple[Place, Tile]]) -> list[Tile]:
        """Return the chunks whose labels differ from those on disk, with their labels."""
        changed, stored = [], {}
        for (key, corner), tile in places:
            array = self._arrays[key]() if key in self._arrays else None
            if array is None or key not in self.project.images:
                continue
            pixels = np.array(array[tile.where])
            if pixels.shape != tile.pixels.shape:
                continue  # the labels were replaced by others of another shape
            known = self._fingerprints.get((key, corner))
            if known is None:
                if key not in stored:
                    stored[key] = self._stored(key)
                saved = stored[key]
                same = saved is not None and np.array_equal(pixels, saved[tile.where])
            else:
                same = known == _fingerprint(pixels)
            if not same:
                changed.append(Tile(key, corner, pixels))
        return changed

    def _stored(self, key: str) -> ArrayLike | None:
        try:
            return self.project.labels(key)
        except AnnotationError:  # damaged meanwhile: the journal keeps what is painted
            return None


def _fingerprint(pixels: np.ndarray) -> bytes:
    """Return a hash of a chunk's labels, which tells whether they changed."""
    return hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()


def _preview(labels: ArrayLike, image: ProjectImage) -> np.ndarray:
    """Return a thinned picture of the first corrected frame, every label a shade of grey."""
    corrections = image.corrections  # read once: the user interface may replace them
    frame = next(iter(corrections.frames), 0)
    every_nth = slice(None, None, max(1, max(corrections.plane) // THUMBNAIL))
    axes = ImageAxes(image.axes.labels)
    plane = axes.frame(labels, frame, (every_nth, every_nth))[0].astype(np.uint32)
    return np.where(plane > 0, 80 + plane * 61 % 176, 0).astype(np.uint8)
