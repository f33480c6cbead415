"""What a training job reads from the viewer, in its own thread."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from threading import Event
from typing import TYPE_CHECKING, Any

import numpy as np

from ...checkpoints.store import CheckpointInfo, CheckpointStore
from ...images.axes import ImageAxes
from ...images.corrections import Corrections
from ...runtime.process import load_training
from . import layers
from .colours import warm_colours, warm_colours_soon
from .jobs import Stop
from .viewed_patch import ViewedPatch, middle

if TYPE_CHECKING:
    from ...images.training_image import TrainingImage
    from ...inference.before_after import BeforeAfter
    from ...training.events import TrainingEvent
    from ...training.request import FineTuneRequest
    from .tracker import TrackedLayer

# Of what is compared in the end.
LARGEST_PAIR = 256


@dataclass(frozen=True)
class Source:
    """Corrected layers, as a job needs them.

    Attributes
    ----------
    name : str
        Key in the project, for the names of frames.
    pixels, labels : array
        Labels are read while they are painted on.
    axes : ImageAxes
        Of the image.
    corrections : Corrections
        Those of the layer; they grow meanwhile.
    channels : tuple of int or None
        As the user chose them.
    """

    name: str
    pixels: Any
    labels: Any
    axes: ImageAxes
    corrections: Corrections
    channels: tuple[int, ...] | None

    @classmethod
    def of(cls, tracked: TrackedLayer) -> Source:
        """Read what two layers are."""
        image, entry = tracked.image, tracked.entry
        pixels, channels = layers.pixels(image), layers.choice(image, "channels")
        return cls(entry.key, pixels, tracked.labels.data, entry.axes, entry.corrections, channels)


class TrainingInput:
    """Reads frames for a job; the GUI says what is corrected and looked at.

    Parameters
    ----------
    sources : sequence of Source
        What was corrected.
    look : ViewedPatch
        What is looked at; exchanged by the GUI as the user moves on.
    """

    def __init__(self, sources: Sequence[Source], look: ViewedPatch) -> None:
        self.sources, self.look = list(sources), look
        self.painted = Event()
        self.painted.set()
        self._limits: dict[tuple[Any, ...], tuple[float, float]] = {}
        self._images: list[TrainingImage] = []

    def images(self, info: CheckpointInfo) -> list[TrainingImage]:
        """Return every corrected frame; the same list as long as nothing was painted."""
        from ...training.examples import corrected_examples

        if not self.painted.is_set():
            return self._images
        self.painted.clear()
        found: list[TrainingImage] = []
        for s in sorted(self.sources, key=lambda source: source.name):
            corrections = s.corrections.copy()
            if corrections.regions:
                limits = self._limits_of(s.pixels, s.axes, s.channels, info)
                found += corrected_examples(
                    s.name, s.pixels, s.labels, s.axes, info, corrections, s.channels, limits
                )
        self._images = sorted(found, key=lambda frame: frame.name)
        return self._images

    def news(self, info: CheckpointInfo) -> list[TrainingImage] | None:
        """Return every corrected frame if something was painted since."""
        return self.images(info) if self.painted.is_set() else None

    def frame(
        self, info: CheckpointInfo, look: ViewedPatch | None = None
    ) -> tuple[np.ndarray, ViewedPatch]:
        """Return what is looked at, normalised; or another part of an image."""
        from ...checkpoints.inputs import prepare_slices

        look = look or self.look
        limits = self._limits_of(look.pixels, look.axes, look.channels, info)
        top, left, bottom, right = look.box
        box = slice(top, bottom), slice(left, right)
        frame = prepare_slices(look.pixels, look.axes, look.frame, info, limits, look.channels, box)
        return frame, look

    def _limits_of(
        self,
        pixels: Any,
        axes: ImageAxes,
        channels: tuple[int, ...] | None,
        info: CheckpointInfo,
    ) -> tuple[float, float]:
        from ...checkpoints.inputs import intensity_limits

        key = id(pixels), info.in_channels, info.normalisation
        if key not in self._limits:
            self._limits[key] = intensity_limits(pixels, axes, info, channels)
        return self._limits[key]


def suited(
    request: FineTuneRequest, given: TrainingInput, store: CheckpointStore
) -> tuple[FineTuneRequest, list[TrainingImage]]:
    """Return a request with settings that suit what was corrected, and that, prepared for it."""
    from ...training.defaults import read_colour, suggest_settings
    from ...training.request import start_info

    seen = [(s.axes, tuple(s.pixels.shape)) for s in given.sources if s.channels is None]
    if len(seen) == len(given.sources):
        request = read_colour(request, start_info(request, store), seen)
    info = start_info(request, store)
    images = given.images(info)
    return suggest_settings(request, images, info), images


def fine_tuned(
    request: FineTuneRequest,
    given: TrainingInput,
    store: CheckpointStore,
    automatic: bool,
    paused: Event,
    live: Event,
    stop: Stop,
    abort: Stop,
) -> Generator[TrainingEvent | BeforeAfter, None, None]:
    """Fine-tune on what was corrected; with `automatic`, with settings that suit it.

    In the end, what the new checkpoint makes of the view stands beside what the old one did.
    """
    load_training()
    import src_models

    from ...training.events import RunCallbacks
    from ...training.fine_tuner import FineTuner
    from ...training.request import start_info

    if automatic:
        request, images = suited(request, given, store)
        info = start_info(request, store)
    else:
        info = start_info(request, store)
        images = given.images(info)
    watch = RunCallbacks(
        paused.is_set,
        lambda: given.frame(info),
        news=lambda: given.news(info) if live.is_set() else None,
    )
    yield from _ready_to_show(FineTuner(request, images, store).run(stop, abort, watch))
    if request.checkpoint not in src_models.names():
        yield _compared(request, given, store, abort)


def _ready_to_show(events: Iterator[TrainingEvent]) -> Iterator[TrainingEvent]:
    """Pass events on, the first preview once the window can show it without standing still."""
    warm_colours_soon()
    for event in events:
        if event.kind == "preview":
            warm_colours()
        yield event


def _compared(
    request: FineTuneRequest, given: TrainingInput, store: CheckpointStore, abort: Stop
) -> BeforeAfter:
    """Predict the middle of what is looked at as before, and as now."""
    from ...inference.before_after import BeforeAfter, predict_classes, shown_pixels
    from ...runtime import devices

    look, device = given.look, devices.resolve(request.device)
    names = request.checkpoint, request.name
    found = []
    for name in names:
        frame, _ = given.frame(store.info(name), middle(look, LARGEST_PAIR))
        found.append(predict_classes(name, frame, store, device, abort))
    devices.release(device)
    return BeforeAfter(shown_pixels(frame), found[0], found[1], names)


def learnt_live(
    request: FineTuneRequest,
    given: TrainingInput,
    store: CheckpointStore,
    stop: Stop,
    abort: Stop,
) -> Generator[TrainingEvent, None, None]:
    """Learn after every stroke until stopped."""
    load_training()
    from ...runtime import devices
    from ...training.live import LiveInput, LiveSession

    fast = devices.fast_bfloat16(devices.resolve(request.device))
    session = LiveSession(replace(request, batch=2, bfloat16=fast), store)
    last: LiveInput | None = None

    def work() -> LiveInput | None:
        nonlocal last
        images = given.images(session.info)
        if not any(image.known.any() for image in images):
            return None
        if last is None or last.images is not images or last.token is not given.look:
            frame, look = given.frame(session.info)
            last = LiveInput(images, frame, look)
        return last

    yield from _ready_to_show(session.run(work, stop, abort))
