"""One piece of work on the other computer, as an actor of a Dask worker.

The user's computer calls the methods; the work itself runs in a thread of its own. Nothing here
opens a connection, and no method raises: what goes wrong is a message.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import platform
import shutil
import time
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from queue import Empty, Full, Queue
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from ..checkpoints import CheckpointInfo, CheckpointStore
from ..errors import Cancelled, SegliteError
from ..images import TrainingImage, scratch_folder
from ..inference import Progress, Segmenter
from ..runtime import WithResult, devices
from ..training import FineTuner, Finished, RunCallbacks
from .messages import LAST, Controls, Ended, Failed, Message, PixelsAsked, WasCancelled, Yielded
from .pixels import AskedPixels

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from ..checkpoints import Intensities
    from ..inference import Segmentation, SegmentRequest
    from ..training import FineTuneRequest

log = logging.getLogger(__name__)

# Seconds without a word from the user's computer after which the work ends.
SILENCE = 60.0
# Seconds that an exchange waits for something to say, and between two looks.
WAIT, LOOK = 0.25, 0.01
# Messages that may wait, and bytes of an exchange after which the rest waits for the next one.
MOST_WAITING, MOST_BYTES = 64, 16_000_000

# The network of the last segmentation, by the digest of its card, for the next one.
_kept: tuple[str, Segmenter] | None = None
_kept_lock = Lock()


def digest(info: CheckpointInfo) -> str:
    """Return the SHA-256 of a card, which holds that of the weights."""
    return hashlib.sha256(json.dumps(info.as_dict(), sort_keys=True).encode()).hexdigest()


class Session:
    """Segments one image, or trains one checkpoint, for another computer.

    Parameters
    ----------
    silence : float
        Seconds without a word from there after which the work ends.
    """

    def __init__(self, silence: float = SILENCE) -> None:
        self._folder = scratch_folder()
        self._silence, self._heard = silence, time.monotonic()
        self._controls, self._out = Controls(), Queue[Message](MOST_WAITING)
        self._archive, self._result = self._folder / "start.zip", self._folder / "result.zip"
        self._images: list[TrainingImage] = []
        self._new_images: list[TrainingImage] | None = None
        self._preview: tuple[np.ndarray, int] | None = None
        self._pixels: AskedPixels | None = None
        self._segmenter: Segmenter | None = None
        self._thread: Thread | None = None
        self._closed = self._gone = False

    # ------------------------------------------------------------------ what is sent here
    def describe(self) -> tuple[str, str]:
        """Return the name of this computer, and of the device that is used for ``auto``."""
        device = devices.resolve("auto")
        if device.startswith("cuda"):
            import torch

            device = f"{device}, {torch.cuda.get_device_name(device)}"
        return platform.node(), device

    def take(self, card: str) -> bool:
        """Take the network of a card, if it is in memory; otherwise it has to be sent."""
        global _kept
        with _kept_lock:
            if _kept is not None and _kept[0] == card:
                self._segmenter, _kept = _kept[1], None
        return self._segmenter is not None

    def receive(self, piece: bytes) -> None:
        """Take the next piece of the zip file of the checkpoint to use."""
        self._hear()
        with self._archive.open("ab") as file:
            file.write(piece)

    def add_image(self, image: TrainingImage, first: bool) -> None:
        """Take an image to learn from; `first` begins a new list of them."""
        self._hear()
        self._images = [*([] if first else self._images), image]

    def renew_images(self) -> None:
        """Learn from the images that were added from now on."""
        self._new_images = self._images

    def preview(self, frame: np.ndarray, number: int) -> None:
        """Take the frame to predict while a network learns."""
        self._preview = frame, number

    def supply(self, number: int, pixels: np.ndarray) -> None:
        """Take a part of the image that was asked for."""
        self._hear()
        if self._pixels is not None:
            self._pixels.supply(number, pixels)

    # ------------------------------------------------------------------ the work
    def segment(
        self,
        card: str,
        request: SegmentRequest,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        known: Intensities,
        resume: Segmentation | None,
    ) -> None:
        """Begin to segment an image; see `Segmenter.predict`."""
        self._pixels = pixels = AskedPixels(
            shape, dtype, lambda *asked: self._say(PixelsAsked(*asked)), self._stopped
        )

        def work() -> Generator[Progress, None, Segmentation]:
            segmenter = self._segmenter or _new_segmenter(self._archive)
            arguments = request, self._stopped, resume, lambda: self._controls.view, known
            try:
                steps = WithResult(segmenter.predict(pixels, *arguments))
                for progress in steps:
                    yield _without_values(progress)
            finally:
                _keep(card, segmenter)
            return replace(steps.result, probabilities=None, head=None, disagreement=None)

        self._begin(work)

    def train(
        self,
        request: FineTuneRequest,
        template: CheckpointInfo | None,
        seconds: float,
        preview_every: float,
    ) -> None:
        """Begin to train on the images that were added; `seconds` of its time have passed."""

        def work() -> Iterator[Any]:
            begun, store = time.monotonic() - seconds, _store(self._folder, self._archive)
            callbacks = RunCallbacks(
                paused=lambda: self._controls.paused,
                preview_frame=lambda: self._preview,
                preview_every=preview_every,
                new_examples=self._take_new_images,
                begun=begun,
            )
            tuner = FineTuner(request, self._images, store, template)
            for event in tuner.run(self._stopped, lambda: self._controls.abort, callbacks):
                if isinstance(event, Finished) and event.checkpoint is not None:
                    store.export(event.checkpoint.id, self._result)
                yield event

        self._begin(work)

    def _take_new_images(self) -> list[TrainingImage] | None:
        images, self._new_images = self._new_images, None
        return images

    def _begin(self, work: Callable[[], Iterable[Any]]) -> None:
        self._hear()
        self._thread = Thread(target=self._run, args=(work,), name="seglite-session", daemon=True)
        self._thread.start()

    def _run(self, work: Callable[[], Iterable[Any]]) -> None:
        """Do the work and say how it ended."""
        last: Message
        try:
            steps: WithResult[Any, Any] = WithResult(work())  # type: ignore[arg-type]
            for value in steps:
                self._say(Yielded(value))
            last = Ended(steps.result)
        except Cancelled:
            last = WasCancelled()
        except SegliteError as error:
            last = Failed(type(error).__name__, str(error))
        except MemoryError:
            last = Failed("DeviceError", f"{platform.node()} has too little memory.")
        except BaseException as error:
            log.exception("Work for another computer failed")
            text = f"Something unexpected went wrong on {platform.node()}: {error!r:.500}."
            last = Failed("SegliteError", f"{text} Its worker's log has the details.")
        self._say(last)
        if self._closed or self._silent:
            self._remove()

    # ------------------------------------------------------------------ the conversation
    async def exchange(self, controls: Controls) -> list[Message]:
        """Hear what the user wants, and return what there is to say, after at most `WAIT`."""
        if self._silent:
            text = f"{platform.node()} heard nothing from here for {self._silence:.0f} s, and ended"
            return [Failed("RemoteError", f"{text} the work.")]
        self._hear()
        self._controls = controls
        end = time.monotonic() + WAIT
        while self._out.empty() and time.monotonic() < end:
            await asyncio.sleep(LOOK)
        told: list[Message] = []
        size = 0
        while size < MOST_BYTES:
            try:
                told.append(self._out.get_nowait())
            except Empty:
                break
            size += _bytes(told[-1])
            if isinstance(told[-1], LAST):
                break
        return told

    def read(self, start: int, size: int) -> bytes:
        """Return a piece of the zip file with the new checkpoint."""
        self._hear()
        with self._result.open("rb") as file:
            file.seek(start)
            return file.read(size)

    def close(self) -> None:
        """End the work, if it still runs, and forget everything."""
        self._closed = True
        self._controls = replace(self._controls, stop=True, abort=True)
        if self._thread is None or not self._thread.is_alive():
            self._remove()

    def _hear(self) -> None:
        self._heard = time.monotonic()

    @property
    def _silent(self) -> bool:
        """Whether the user's computer said nothing for too long; from then on it is."""
        silent = self._thread is not None and time.monotonic() - self._heard > self._silence
        self._gone = self._gone or silent
        return self._gone

    def _stopped(self) -> bool:
        """Whether to end: the user said so, or is not there any more."""
        return self._controls.stop or self._silent

    def _say(self, message: Message) -> None:
        """Leave a message for the next exchange; wait if too many do."""
        while not (self._closed or self._silent):
            with suppress(Full):
                self._out.put(message, timeout=0.1)
                return

    def _remove(self) -> None:
        self._images, self._new_images, self._preview = [], None, None
        shutil.rmtree(self._folder, ignore_errors=True)


def _new_segmenter(archive: Path) -> Segmenter:
    """Return a segmenter with the checkpoint that was sent."""
    folder = scratch_folder()
    segmenter = Segmenter(_store(folder, archive), tunes=False)
    weakref.finalize(segmenter, shutil.rmtree, folder, ignore_errors=True)
    return segmenter


def _keep(card: str, segmenter: Segmenter) -> None:
    """Keep a network in memory until another one was used."""
    global _kept
    with _kept_lock:
        _kept = card, segmenter


def _store(folder: Path, archive: Path) -> CheckpointStore:
    """Return a store in a folder, with the checkpoint that was sent, if any was."""
    store = CheckpointStore(folder / "checkpoints", folder / "none")
    if archive.exists():
        store.add(archive)
    return store


def _without_values(progress: Progress) -> Progress:
    """Return progress that holds every finished pixel once."""
    if progress.finished is None:
        return progress
    finished = replace(progress.finished, values=progress.finished.planes[:0])
    return replace(progress, finished=finished)


def _bytes(message: Message) -> int:
    """Return about how many bytes a message has, if it has many."""
    value = message.value if isinstance(message, Yielded) else None
    array = getattr(getattr(value, "finished", None), "planes", None)
    array = getattr(value, "probabilities", None) if array is None else array
    return 0 if array is None else int(array.nbytes)
