"""Saving of painted labels in a thread of its own, soon after every stroke."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from threading import Event, Lock, Thread

import numpy as np

from ..images import ArrayLike, ImageAxes
from .journal import Tile
from .project import THUMBNAIL, AnnotationProject, fingerprint
from .project_image import ProjectImage

log = logging.getLogger(__name__)

# Seconds between a stroke and its saving, so that quick strokes are saved together.
DELAY = 0.5
# Number of recently changed chunks that are compared again after an undo.
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
        Called with a sentence, in the thread, if saving fails; it is tried again.
    delay : float
        Seconds between a stroke and its saving.

    Attributes
    ----------
    saved : int
        Number of the last notification whose changes are on disk; `labels_changed`,
        `index_changed` and `recheck_recent` return these numbers.
    written : int
        Number of bytes written to the journal so far.

    Notes
    -----
    ``_lock`` guards everything that notifications and the thread share: the number of the last
    notification, the new images, the waiting and the recent chunks. It is held only for moments,
    never while files are written, so that notifications do not block. ``_saving`` lets one thread
    save at a time; the fingerprints and `written` belong to the thread that holds it. The arrays
    are only ever added to.
    """

    def __init__(
        self,
        project: AnnotationProject,
        failed: Callable[[str], None] = log.error,
        delay: float = DELAY,
    ) -> None:
        self.project, self.delay = project, delay
        self.saved = self.written = self._number = 0
        self._failed = failed
        self._new: list[tuple[ProjectImage, np.ndarray | None]] = []
        self._arrays: dict[str, Callable[[], ArrayLike | None]] = {}
        self._waiting: dict[Place, Tile] = {}
        self._recent: dict[Place, Tile] = {}
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
        pixels: np.ndarray | None = None,
    ) -> None:
        """Save changes of an image's labels from now on.

        Parameters
        ----------
        image : ProjectImage
            Added to the project if it is not in it.
        array : callable
            Returns the labels, or None once they are gone; called in the thread.
        pixels : ndarray, optional
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

    def recheck_recent(self) -> int:
        """Notify that edits may have been undone: the recently changed chunks are compared again.

        Returns the number of the notification, see `saved`.
        """
        with self._lock:
            self._waiting.update(self._recent)
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

    def flush(self) -> None:
        """Save now, in the caller's thread."""
        self._save()

    def close(self) -> None:
        """Save the remaining changes and end the thread."""
        self._closing.set()
        self._wake.set()
        self._thread.join()
        self._save()

    def _notify(self) -> int:
        self._number += 1
        self._wake.set()
        return self._number

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._closing.wait(self.delay)
            self._wake.clear()
            self._save()

    def _save(self) -> None:
        with self._saving:
            self._save_waiting()

    def _save_waiting(self) -> None:
        with self._lock:
            number, waiting, index = self._number, self._waiting, self._index_changed
            self._waiting, self._index_changed = {}, False
        try:
            self._add_new()
            # Labels before index, which must not mark labels that are not saved.
            tiles = [tile for place in waiting if (tile := self._changed(place, waiting[place]))]
            self.written += self.project.append(tiles)
            for tile in tiles:
                self._fingerprints[tile.image, tile.corner] = fingerprint(tile.pixels)
            self._remember(waiting)
            if index:
                self.project.save_index()
            self.saved = number
        except Exception as error:  # of any kind: the thread must go on and try again
            log.exception("Saving failed")
            with self._lock:
                self._waiting = {**waiting, **self._waiting}
                self._index_changed |= index
            self._failed(
                f"Your corrections could not be saved in {self.project.folder}: {error}. Free some "
                "space or reconnect the disk; saving is tried again with the next stroke."
            )

    def _remember(self, saved: dict[Place, Tile]) -> None:
        """Put chunks at the end of the recent ones, and drop the oldest."""
        with self._lock:
            for place, tile in saved.items():
                self._recent.pop(place, None)
                self._recent[place] = tile
            while len(self._recent) > RECENT:
                self._recent.pop(next(iter(self._recent)))

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

    def _changed(self, place: Place, tile: Tile) -> Tile | None:
        """Return a chunk with its labels, or None if they are saved already."""
        key, corner = place
        array = self._arrays[key]() if key in self._arrays else None
        if array is None or key not in self.project.images:
            return None
        pixels = np.array(array[tile.where])
        if pixels.shape != tile.pixels.shape:
            return None  # the labels were replaced by others of another shape
        if place in self._fingerprints:
            saved = self._fingerprints[place] == fingerprint(pixels)
        else:
            saved = np.array_equal(pixels, self.project.labels(key)[tile.where])
        return None if saved else Tile(key, corner, pixels)


def _preview(labels: ArrayLike, image: ProjectImage) -> np.ndarray:
    """Return a thinned picture of the first corrected frame, every label a shade of grey."""
    corrections = image.corrections  # read once: the user interface may replace them
    frame = next(iter(corrections.frames), 0)
    every_nth = slice(None, None, max(1, max(corrections.plane) // THUMBNAIL))
    axes = ImageAxes(image.axes.labels)
    plane = axes.frame(labels, frame, (every_nth, every_nth))[0].astype(np.uint32)
    return np.where(plane > 0, 80 + plane * 61 % 176, 0).astype(np.uint8)
