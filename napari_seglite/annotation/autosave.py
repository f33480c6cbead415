"""Saves painted labels in a thread of its own, soon after every stroke."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from threading import Event, Lock, Thread
from typing import Any

import numpy as np

from ..images import ImageAxes
from .journal import Tile
from .project import THUMBNAIL, AnnotationProject, fingerprint
from .project_image import ProjectImage

log = logging.getLogger(__name__)

# Seconds that a stroke waits for others before all are saved.
DELAY = 0.5
# Chunks looked at again when edits may have been undone.
RECENT = 400


class Autosave:
    """Watches arrays of labels and saves what changes.

    Parameters
    ----------
    project : AnnotationProject
        Where it is saved. It must not be closed before this.
    failed : callable
        Told in a sentence, in the thread, if saving fails; it is tried again.
    delay : float
        Seconds between a stroke and its saving.

    Attributes
    ----------
    saved : int
        The number of the last call of `changed` or `touched` whose changes are on disk.
    written : int
        Bytes, for the curious.
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
        self._new: list[tuple[ProjectImage, Any]] = []
        self._arrays: dict[str, Callable[[], Any]] = {}
        self._waiting: dict[tuple[str, tuple[int, ...]], Tile] = {}
        self._recent: dict[tuple[str, tuple[int, ...]], Tile] = {}
        self._fingerprints: dict[tuple[str, tuple[int, ...]], bytes] = {}
        self._index_changed = False
        self._lock, self._saving = Lock(), Lock()
        self._wake, self._closing = Event(), Event()
        self._thread = Thread(target=self._run, name="seglite-autosave", daemon=True)
        self._thread.start()

    def watch(self, image: ProjectImage, array: Callable[[], Any], pixels: Any = None) -> None:
        """Save changes of an image's labels from now on.

        Parameters
        ----------
        image : ProjectImage
            Added to the project if it is not in it.
        array : callable
            Returns the labels; None once they are gone.
        pixels : array, optional
            Of an image that has no file, to be kept in the project when it is added.
        """
        with self._lock:
            self._arrays[self.project.reserve(image)] = array
            if image.key not in self.project.images:
                self._new.append((image, pixels))
                self._ring()

    def changed(self, image: ProjectImage, corner: Sequence[int], end: Sequence[int]) -> int:
        """Say that labels changed inside a box; returns the number of this call."""
        with self._lock:
            for tile in image.chunks(corner, end):
                self._waiting[image.key, tile.corner] = tile
            return self._ring()

    def recheck(self) -> int:
        """Say that edits may have been undone: recently changed chunks are compared again."""
        with self._lock:
            self._waiting.update(self._recent)
            return self._ring()

    def touched(self) -> int:
        """Say that the index changed."""
        with self._lock:
            self._index_changed = True
            return self._ring()

    @property
    def behind(self) -> bool:
        """Whether something is not on disk yet."""
        return self.saved != self._number

    def flush(self) -> None:
        """Save now, in the caller's thread."""
        self._save()

    def close(self) -> None:
        """Save what is left and end the thread."""
        self._closing.set()
        self._wake.set()
        self._thread.join()
        self._save()

    def _ring(self) -> int:
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
            # Labels first: a mark on labels that are not there would be a lie.
            tiles = [tile for place in waiting if (tile := self._read(place, waiting[place]))]
            self.written += self.project.append(tiles)
            for tile in tiles:
                self._fingerprints[tile.image, tile.corner] = fingerprint(tile.pixels)
            for place, tile in waiting.items():
                self._recent.pop(place, None)
                self._recent[place] = tile
            while len(self._recent) > RECENT:
                self._recent.pop(next(iter(self._recent)))
            if index:
                self.project.save_index()
            self.saved = number
        except Exception as error:  # whatever it is, the thread must live on, and try again
            log.exception("Saving failed")
            with self._lock:
                self._waiting = {**waiting, **self._waiting}
                self._index_changed |= index
            self._failed(
                f"Your corrections could not be saved in {self.project.folder}: {error}. Free some "
                "space or reconnect the disk; saving is tried again with the next stroke."
            )

    def _add_new(self) -> None:
        while self._new:
            image, pixels = self._new[0]
            labels = self._arrays[image.key]()
            if labels is not None:
                self.project.add(image, labels, _preview(labels, image))
                if pixels is not None and not image.path:
                    self.project.store_pixels(image.key, pixels)
            self._new.pop(0)

    def _read(self, place: tuple[str, tuple[int, ...]], tile: Tile) -> Tile | None:
        """Return a chunk with its pixels, or None if it did not change."""
        key, corner = place
        array = self._arrays[key]() if key in self._arrays else None
        if array is None or key not in self.project.images:
            return None
        pixels = np.array(array[tile.where])
        if pixels.shape != tile.pixels.shape:
            return None  # labels of another size took their place
        if place in self._fingerprints:
            same = self._fingerprints[place] == fingerprint(pixels)
        else:
            same = np.array_equal(pixels, self.project.labels(key)[tile.where])
        return None if same else Tile(key, corner, pixels)


def _preview(labels: Any, image: ProjectImage) -> np.ndarray:
    """Return the frame that was corrected first, every label a shade of grey."""
    frames, sides = image.corrections.frames, image.corrections.shape[1:]
    thin = slice(None, None, max(1, max(sides) // THUMBNAIL))
    axes = ImageAxes(image.axes.labels)
    plane = axes.frame(labels, frames[0] if frames else 0, (thin, thin))[0].astype(np.uint32)
    return np.where(plane > 0, 80 + plane * 61 % 176, 0).astype(np.uint8)
