"""Annotations that change while a run learns from them, and the patch that the user looks at."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..checkpoints import CheckpointInfo, CheckpointStore, prepare_slices
from ..errors import Cancelled, CheckpointError, DeviceError
from ..images import Box, ImageAxes, TrainingImage
from ..inference import BeforeAfter, predict_classes, shown_pixels
from ..runtime import Stop, delayed, devices
from .events import Finished, RunCallbacks, TrainingEvent
from .examples import AnnotatedImage, IntensityLimits, annotated_examples, prepare_training
from .fine_tuner import FineTuner
from .live import LiveInput, LiveSession
from .request import FineTuneRequest
from .start import start_info
from .volumes import read_slabs

if TYPE_CHECKING:
    import numpy as np

# Side of the patch that is compared before and after, in pixels.
COMPARED = 256
# Side of the patch that a network for volumes predicts, whose slab has many slices.
COMPARED_IN_SLAB = 128
# Seconds for the comparison once the run was stopped.
AFTER_STOP = 0.3


@dataclass(frozen=True, eq=False)
class ViewedPatch:
    """The part of an image that the user looks at.

    Attributes
    ----------
    pixels : array
        The whole image.
    axes : ImageAxes
        Of the image.
    channels : tuple of int or None
        Channels that the checkpoint sees.
    frame : int
        Number of the frame.
    box : Box
        The part of it.
    """

    pixels: Any
    axes: ImageAxes
    channels: tuple[int, ...] | None
    frame: int
    box: Box

    def __eq__(self, other: object) -> bool:
        """Whether both show the same pixels of the same array, which are not compared."""
        if not isinstance(other, ViewedPatch):
            return NotImplemented
        return self.pixels is other.pixels and self._place == other._place

    def __hash__(self) -> int:
        return hash(self._place)

    @property
    def _place(self) -> tuple[Any, ...]:
        return self.axes, self.channels, self.frame, self.box


class AnnotationFeed:
    """Hands annotations to a run in another thread.

    The program assigns `images` and `patch`, immutable values, whenever they change; the run's
    thread reads them when it needs them.

    Parameters
    ----------
    images : sequence of AnnotatedImage
        What is annotated so far.
    patch : ViewedPatch
        What the user looks at.
    """

    def __init__(self, images: Sequence[AnnotatedImage], patch: ViewedPatch) -> None:
        self.images, self.patch = tuple(images), patch
        self._limits = IntensityLimits()
        self._read: tuple[AnnotatedImage, ...] | None = None
        self._examples: list[TrainingImage] = []

    def prepare(
        self, request: FineTuneRequest, store: CheckpointStore, suggest: bool
    ) -> tuple[FineTuneRequest, list[TrainingImage]]:
        """Do what `prepare_training` does with the current annotations."""
        self._read = self.images
        prepared = prepare_training(request, self._read, store, None, suggest, self._limits)
        self._examples = prepared[1]
        return prepared

    def examples(self, info: CheckpointInfo) -> list[TrainingImage]:
        """Return every corrected frame; the same list as long as nothing was painted."""
        images = self.images
        if images is not self._read:
            self._read = images
            self._examples = annotated_examples(images, info, self._limits)
        return self._examples

    def new_examples(self, info: CheckpointInfo) -> list[TrainingImage] | None:
        """Return every corrected frame if something was painted since they were read."""
        return None if self.images is self._read else self.examples(info)

    def frame(
        self, info: CheckpointInfo, patch: ViewedPatch | None = None
    ) -> tuple[np.ndarray, ViewedPatch]:
        """Return the viewed patch, or another one, normalised, and which one it is.

        For a network that sees volumes, the slab around its middle part.
        """
        patch = patch or self.patch
        limits = self._limits.of(patch.pixels, patch.axes, info, patch.channels)
        if info.volumetric:
            patch = replace(patch, box=patch.box.middle(COMPARED_IN_SLAB))
            ((slab, _),) = read_slabs(
                "The image",
                patch.pixels,
                patch.axes,
                [patch.frame],
                info,
                limits,
                patch.channels,
                patch.box,
            )
            return slab, patch
        frame = prepare_slices(
            patch.pixels, patch.axes, patch.frame, info, limits, patch.channels, patch.box
        )
        return frame, patch


def fine_tune(
    request: FineTuneRequest,
    feed: AnnotationFeed,
    store: CheckpointStore,
    suggest: bool,
    paused: Callable[[], bool],
    learns_meanwhile: Callable[[], bool],
    stop: Stop,
    abort: Stop,
    begun: float | None = None,
    tuner: Callable[..., FineTuner] = FineTuner,
) -> Generator[TrainingEvent | BeforeAfter, None, None]:
    """Fine-tune on a feed; in the end compare the viewed patch before and after.

    Parameters
    ----------
    request : FineTuneRequest
        How to train.
    feed : AnnotationFeed
        What to learn from, and the patch to preview.
    store : CheckpointStore
        Where checkpoints are read and written.
    suggest : bool
        Whether to choose settings that suit the annotations.
    paused, learns_meanwhile : callable
        Whether to pause, and whether to learn what is painted during the run.
    stop, abort : callable
        As `FineTuner.run` takes them.
    begun : float or None
        See `RunCallbacks`.
    tuner : callable
        Makes the `FineTuner`, of a request, frames and a store; another one trains elsewhere.
    """
    request, examples = feed.prepare(request, store, suggest)
    info = start_info(request, store)
    callbacks = RunCallbacks(
        paused,
        lambda: feed.frame(info),
        new_examples=lambda: feed.new_examples(info) if learns_meanwhile() else None,
        begun=begun,
    )
    saved: CheckpointInfo | None = None
    for event in tuner(request, examples, store).run(stop, abort, callbacks):
        if isinstance(event, Finished):
            saved = event.checkpoint
        yield event
    if saved is not None and saved.parent is not None:
        # Whoever stopped the run may look at the pair, but does not wait for it.
        late = delayed(stop, AFTER_STOP)
        try:
            yield _before_after(request, saved, feed, store, lambda: abort() or late())
        except (Cancelled, CheckpointError):  # perhaps the parent was deleted meanwhile
            if abort():
                raise


def _before_after(
    request: FineTuneRequest,
    saved: CheckpointInfo,
    feed: AnnotationFeed,
    store: CheckpointStore,
    stop: Stop,
) -> BeforeAfter:
    try:
        device = devices.resolve(request.device)
    except DeviceError:  # it is one of another computer
        device = devices.resolve("auto")
    patch = replace(feed.patch, box=feed.patch.box.middle(COMPARED))
    names, predicted = (request.checkpoint, saved.id), []
    try:
        for name in names:
            frame, _ = feed.frame(store.info(name), patch)
            predicted.append(predict_classes(name, frame, store, device, stop))
    finally:
        devices.release(device)
    info = store.info(saved.id)
    shown = frame[:, frame.shape[1] // 2] if info.volumetric else frame
    return BeforeAfter(shown_pixels(shown, info.normalisation), predicted[0], predicted[1], names)


def learn_live(
    request: FineTuneRequest,
    feed: AnnotationFeed,
    store: CheckpointStore,
    stop: Stop,
    abort: Stop,
    go_back: Callable[[], bool] = lambda: False,
) -> Iterator[TrainingEvent]:
    """Learn from a feed after every stroke until stopped, see `LiveSession`."""
    fast = devices.fast_bfloat16(devices.resolve(request.device))
    precision = "bfloat16" if fast else "float32"
    session = LiveSession(request.adjusted(batch=2, precision=precision), store)
    last: LiveInput | None = None

    def live_input() -> LiveInput | None:
        nonlocal last
        examples = feed.examples(session.info)
        if not any(example.annotated.any() for example in examples):
            return None
        if last is None or last.images is not examples or last.patch is not feed.patch:
            frame, patch = feed.frame(session.info)
            last = LiveInput(examples, frame, patch)
        return last

    yield from session.run(live_input, stop, abort, go_back)
