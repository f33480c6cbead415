"""Fine-tune on generated images, and learn live from strokes."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

import numpy as np

from napari_seglite import CheckpointStore, FineTuner, FineTuneRequest
from napari_seglite.checkpoints import intensity_limits
from napari_seglite.images import Box, Corrections, ImageAxes, TrainingImage
from napari_seglite.training import (
    AnnotatedImage,
    Finished,
    LiveInput,
    LiveSession,
    Previewed,
    StepDone,
    corrected_examples,
)
from napari_seglite.training.live import READY

from .memory import watched
from .pictures import cells
from .report import Rows
from .runs import Settings

START = "general-unet-sharp"
IMAGES, SIDE = {True: 10, False: 5}, {True: 256, False: 96}
MINUTES = 1.0
# A GPU learns until the time is over, a CPU makes a few steps.
STEPS = {True: 1_000_000, False: 6}
BATCH, PATCH = {True: 8, False: 2}, {True: 128, False: 64}
STROKES, VIEW = {True: 6, False: 2}, {True: 512, False: 96}
# Held-out Dice of cells that are easy to see, and seconds from a stroke to its prediction, of which
# 1.2 are spent on learning.
DICE, SECONDS = 0.85, 3.0


def run(settings: Settings, rows: Rows) -> None:
    """Fine-tune, then learn live."""
    store = CheckpointStore(Path(settings.folder) / "checkpoints")
    with rows.attempt("fine-tuning"):
        fine_tune(store, settings, rows)
    if rows.enough_time("live learning", 10):
        with rows.attempt("live learning"):
            live(store, settings, rows)


def fine_tune(store: CheckpointStore, settings: Settings, rows: Rows) -> None:
    """Train for a minute; a run of two steps before it loads and compiles what is needed."""
    on_gpu = settings.on_gpu
    request = FineTuneRequest(
        START, "first", device=settings.device, precision="bfloat16" if on_gpu else "float32"
    ).adjusted(
        steps=2, minutes=MINUTES, batch=BATCH[on_gpu], patch=PATCH[on_gpu],
        patience=1_000_000, validate_every=100 if on_gpu else 3, keep_unimproved=True,
    )  # fmt: skip
    info, side = store.info(START), SIDE[on_gpu]
    images = []
    for number in range(IMAGES[on_gpu]):
        pixels, mask = cells(side, side, settings.seed + number)
        limits = info.normalisation.limits(pixels)
        frame = np.asarray(info.normalisation.apply(pixels, limits), np.float32)[None]
        images.append(TrainingImage(f"image {number}", frame, mask.astype(np.uint8)))
    for _ in FineTuner(request, images, store).run():
        pass
    seconds = min(60 * MINUTES, rows.seconds_left - 25)
    request = request.adjusted(name="second", steps=STEPS[on_gpu], minutes=max(seconds, 10) / 60)
    moments, losses, finished = [], [], None
    with watched("fine-tuning", settings.device, rows):
        for event in FineTuner(request, images, store).run():
            if isinstance(event, StepDone):
                moments.append(time.perf_counter())
                losses.append(event.loss)
            finished = event if isinstance(event, Finished) else finished
    assert finished is not None
    speed = (len(moments) - 1) / (moments[-1] - moments[0])
    note = f"{len(moments)} steps of {BATCH[on_gpu]} patches"
    rows.measured("fine-tuning, speed", speed, "steps a second", note)
    bad = float(np.mean(~np.isfinite(losses)))
    rows.measured("fine-tuning, losses that are no numbers", bad, "of all", at_most=0)
    note = f"{finished.before or 0:.3f} before"
    dice = float("nan") if finished.after is None else finished.after
    rows.measured("fine-tuning, held-out Dice", dice, "", note, at_least=DICE if on_gpu else None)


class Strokes:
    """A user who scribbles on a generated image.

    Parameters
    ----------
    session : LiveSession
        That learns from the strokes.
    side : int
        Height and width of the image.
    seed : int
        Of image and strokes.
    """

    def __init__(self, session: LiveSession, side: int, seed: int) -> None:
        self.info, self.axes = session.info, ImageAxes("YX")
        self.image, self.bright = cells(side, side, seed)
        self.limits = intensity_limits(self.image, self.axes, self.info)
        normalised = self.info.normalisation.apply(self.image, self.limits)
        self.frame = np.asarray(normalised, np.float32)[None]
        self.labels = np.zeros(self.image.shape, np.uint8)
        self.corrections = Corrections((1, side, side), "scribble")
        self.rng = np.random.default_rng(seed)
        self.examples: list[TrainingImage] = []
        self.count, self.begun = 0, 0.0

    def paint(self) -> None:
        """Make a stroke on the background and one on a cell."""
        for value, mask in ((1, ~self.bright), (2, self.bright)):
            y, x = self.rng.permutation(np.argwhere(mask))[0]
            near = np.s_[max(0, y - 4) : y + 4, max(0, x - 4) : x + 4]
            self.labels[near] = np.where(mask[near], value, self.labels[near])
        self.corrections = self.corrections.touch(0, Box(0, 0, 1, 1))
        self.count, self.begun = self.count + 1, time.perf_counter()
        annotated = AnnotatedImage("a", self.image, self.labels, self.axes, self.corrections)
        self.examples = corrected_examples(annotated, self.info, self.limits)


def live(store: CheckpointStore, settings: Settings, rows: Rows) -> None:
    """Measure the seconds from strokes to the predictions that have learnt from them."""
    on_gpu, wanted = settings.on_gpu, STROKES[settings.on_gpu]
    request = FineTuneRequest(
        START, "live", device=settings.device, precision="bfloat16" if on_gpu else "float32"
    ).adjusted(batch=2, patch=PATCH[on_gpu])
    session = LiveSession(request, store)
    strokes = Strokes(session, VIEW[on_gpu], settings.seed)
    times: list[float] = []
    strokes.paint()
    running = session.run(
        lambda: LiveInput(strokes.examples, strokes.frame, strokes.count),
        lambda: len(times) >= wanted or rows.seconds_left < 0,
    )
    for event in running:
        if event.text == READY:
            strokes.begun = time.perf_counter()
        if isinstance(event, Previewed) and event.patch == strokes.count:
            times.append(time.perf_counter() - strokes.begun)
            strokes.paint()
    if not times:
        rows.failed("live learning", "no prediction came in time")
        return
    note = f"first {times[0]:.2f} s, longest {max(times):.2f} s, {len(times)} strokes"
    bound = SECONDS if on_gpu else None
    rows.measured("live learning, stroke to prediction", median(times), "s", note, at_most=bound)
