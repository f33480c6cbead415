"""Training, from a checkpoint or from scratch, as a generator of events."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

import src_models

from ..errors import AnnotationError, Cancelled, CheckpointError
from ..store.checkpoints import CheckpointInfo, CheckpointStore
from . import devices
from .dataset import PatchSampler, TrainingImage, digest, split
from .inference import (
    COMPILING,
    Predictor,
    Stop,
    interruptible,
    needs_compiling,
    never,
    warm_up,
)
from .learner import Learner, copy_weights
from .metrics import overlap, overlap_per_class
from .tiling import predict_tiled
from .versions import versions

if TYPE_CHECKING:
    import torch
    from torch import nn

TILE, OVERLAP = 512, 48


@dataclass(frozen=True)
class FineTuneRequest:
    """How to train.

    Attributes
    ----------
    checkpoint : str
        Where to start: a checkpoint's id, or a network's name to start from scratch.
    name : str
        Of the new checkpoint.
    steps : int
        Weight updates at most.
    minutes : float
        Time at most; whichever ends first.
    batch, patch : int
        Patches per step and their size in pixels.
    learning_rate, weight_decay : float
        Of AdamW; the rate rises over the first steps and falls along a cosine.
    validation : float
        Share of the frames to score on.
    validate_every, patience : int
        Steps between scores, and how many scores without progress end the training.
    scale, invert, intensity : float
        Augmentation, see `PatchSampler`.
    frozen_norm : bool
        Batch norms keep the statistics they start with. A small batch's statistics differ from
        the running ones that inference uses; a network trained on has to live with the latter.
    bfloat16 : bool
        Convolutions and products compute in bfloat16, weights and loss stay float32. Faster where
        the processor has instructions for it (AVX-512 BF16, AMX, recent GPUs), slower elsewhere.
    keep_best : bool
        Keep the weights of the best validation, as suits few and noisy annotations; otherwise the
        last ones, as suits a long run whose learning rate comes to rest.
    seed : int
        Of weights, split and patches.
    split_seed : int, optional
        Of the split, where runs that follow each other shall validate on the same frames.
    device : str
        As `devices.resolve` takes it.
    spacing : tuple of float, optional
        Height and width of the images' pixels in micrometres, for the new checkpoint's card.
    """

    checkpoint: str
    name: str
    steps: int = 200
    minutes: float = 10.0
    batch: int = 4
    patch: int = 128
    learning_rate: float = 5e-4
    weight_decay: float = 1e-3
    validation: float = 0.2
    validate_every: int = 20
    patience: int = 6
    scale: float = 1.25
    invert: float = 0.0
    intensity: float = 1.0
    frozen_norm: bool = False
    bfloat16: bool = False
    keep_best: bool = True
    seed: int = 0
    split_seed: int | None = None
    device: str = "auto"
    spacing: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for name in (
            "steps",
            "minutes",
            "batch",
            "patch",
            "learning_rate",
            "validate_every",
            "patience",
        ):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}.")
        if not 0 < self.validation < 1:
            raise ValueError(f"validation must lie between 0 and 1, not {self.validation}.")
        if self.scale < 1 or not 0 <= self.invert <= 1 or not 0 <= self.intensity <= 1:
            raise ValueError(
                "scale must be at least 1, and invert and intensity lie between 0 and 1."
            )


@dataclass(frozen=True)
class TrainingEvent:
    """News from a training run.

    Attributes
    ----------
    kind : str
        ``"message"``, ``"step"``, ``"validation"`` or ``"done"``.
    step, steps : int
        Where it is, and where it ends at the latest.
    progress : float
        Share of the steps or the time that is used up, 0 to 1.
    loss : float or None
        Of the last step.
    dice, best : float or None
        Of the last validation, and the best so far; 0 to 1.
    text : str
        For the status line.
    checkpoint : CheckpointInfo or None
        What was saved, with ``"done"``.
    """

    kind: str
    step: int
    steps: int
    progress: float
    loss: float | None = None
    dice: float | None = None
    best: float | None = None
    text: str = ""
    checkpoint: CheckpointInfo | None = None


class FineTuner:
    """Trains a checkpoint on annotated frames.

    Parameters
    ----------
    request : FineTuneRequest
        How to train.
    images : sequence of TrainingImage
        What to learn from, normalised as `start_info` says.
    store : CheckpointStore, optional
        Where checkpoints are read and written.
    template : CheckpointInfo, optional
        The card of a network that starts from scratch: its channels, classes and normalisation.

    Raises
    ------
    AnnotationError
        If there is nothing to learn from.
    CheckpointError
        If the starting point is missing or does not fit the frames, or the name is taken.
    """

    def __init__(
        self,
        request: FineTuneRequest,
        images: Sequence[TrainingImage],
        store: CheckpointStore | None = None,
        template: CheckpointInfo | None = None,
    ) -> None:
        self.request = request
        self.images = list(images)
        self.store = store or CheckpointStore()
        self.info = start_info(request, self.store, template)
        if self.info.id in {info.id for info in self.store.list()}:
            raise CheckpointError(
                f"There is a checkpoint {self.info.id} already. Choose another name."
            )
        if self.info.volumetric:
            raise CheckpointError(
                f"Checkpoint {self.info.id} sees volumes, and training learns from slices. Start "
                "from a checkpoint or an option of two dimensions."
            )
        if not self.images:
            raise AnnotationError("There is nothing to learn from: no annotated frame was given.")
        if not any(image.labels.any() for image in self.images):
            raise AnnotationError("There is nothing to learn from: all labels are background.")
        for image in self.images:
            channels = image.frame.shape[0] / self.info.context_slices
            if channels != self.info.in_channels:
                raise AnnotationError(
                    f"{image.name} has {channels:g} channels, but {self.info.network} "
                    f"was built for {self.info.in_channels}."
                )
            if self.info.classes > 1 and image.labels.max(initial=0) >= self.info.classes:
                raise AnnotationError(
                    f"{image.name} holds the label {image.labels.max()}, but the checkpoint knows "
                    f"only labels up to {self.info.classes - 1}."
                )

    def run(self, stop: Stop = never, abort: Stop = never) -> Iterator[TrainingEvent]:
        """Train until done or stopped; the best weights so far become the new checkpoint.

        Parameters
        ----------
        stop : callable
            Once it returns True, training ends after the current step, and what was learnt is
            scored and kept.
        abort : callable
            Once it returns True, `Cancelled` is raised and nothing is kept.

        Yields
        ------
        TrainingEvent
            The last one is ``"done"``.
        """
        import torch

        request = self.request
        device = devices.resolve(request.device)
        yield self._message("Reading the checkpoint …")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(request.seed)
            network = devices.place(self._network(), device)
            if needs_compiling(self.info.network, device, training=True):
                yield self._message(COMPILING)
            warm_up(self.info.network, device, training=True)
            split_seed = request.seed if request.split_seed is None else request.split_seed
            rng = np.random.default_rng(split_seed)
            train, validate = split(self.images, request.validation, rng)
            sampler = PatchSampler(
                train,
                request.patch,
                request.scale,
                request.invert,
                request.intensity,
                request.seed,
            )
            learner = Learner(network, self.info, request, device)
            yield from self._train(learner, sampler, validate, stop, abort)

    def _train(
        self,
        learner: Learner,
        sampler: PatchSampler,
        validate: Sequence[TrainingImage],
        stop: Stop,
        abort: Stop,
    ) -> Iterator[TrainingEvent]:
        request, steps = self.request, self.request.steps
        started = time.monotonic()
        yield self._message("Scoring the starting point …")
        best = start = self._score(learner, validate, lambda: stop() or abort())
        best_weights = copy_weights(learner.averaged)
        yield TrainingEvent(
            "validation", 0, steps, 0.0, None, best, best, f"Dice before: {best:.3f}"
        )

        since_best, step, progress, dice = 0, 0, 0.0, best
        while progress < 1 and since_best < request.patience and not stop():
            if abort():
                raise Cancelled
            loss = learner.step(*sampler.batch(request.batch), progress)
            step += 1
            elapsed = (time.monotonic() - started) / 60
            progress = min(1.0, max(step / steps, elapsed / request.minutes))
            text = f"Step {step} of {steps}"
            yield TrainingEvent("step", step, steps, progress, loss, dice, best, text)
            if step % request.validate_every == 0 or progress >= 1 or stop():
                dice = self._score(learner, validate, abort)
                since_best += 1
                if dice > best or not self.request.keep_best:
                    best, since_best, best_weights = dice, 0, copy_weights(learner.averaged)
                text = f"Step {step}: Dice {dice:.3f}, best {best:.3f}"
                yield TrainingEvent("validation", step, steps, progress, loss, dice, best, text)
        yield self._finish(best_weights, step, start, best, time.monotonic() - started)

    def _finish(
        self, weights: dict[str, torch.Tensor], step: int, start: float, best: float, seconds: float
    ) -> TrainingEvent:
        info = replace(
            self.info,
            data_digest=digest(self.images),
            settings={**asdict(self.request), "steps_done": step, "seconds": round(seconds, 1)},
            versions=versions(),
            scores={"validation_dice_before": start, "validation_dice": best},
        )
        info = self.store.save(info, weights)
        if best > start or not self.request.keep_best:
            text = f"Saved {info.id}: Dice {start:.3f} before, {best:.3f} now."
        else:
            text = (
                f"Training did not improve on Dice {start:.3f}, so {info.id} keeps the weights it "
                "started from. Correct more slices, or train longer."
            )
        return TrainingEvent(
            "done", step, self.request.steps, 1.0, None, best, best, text, checkpoint=info
        )

    def _network(self) -> nn.Module:
        if self.info.parent is None:
            return self.info.build()
        return self.store.load(self.info.parent)[1]

    def _score(self, learner: Learner, images: Sequence[TrainingImage], abort: Stop) -> float:
        """Mean Dice of the averaged weights over whole frames."""
        network, scores = learner.averaged.eval(), []
        predict = Predictor(network, learner.device)
        with interruptible(network, abort):
            for image in images:
                frame = image.frame
                if self.info.context_slices > 1:
                    frame = frame.reshape(self.info.context_slices, -1, *frame.shape[1:])
                predicted = predict_tiled(predict, frame, TILE, OVERLAP)
                if self.info.classes == 1:
                    scores.append(overlap(predicted[0] > 0.5, image.labels).dice)
                else:
                    scores.append(overlap_per_class(predicted.argmax(0), image.labels).dice)
        return float(np.mean(scores))

    def _message(self, text: str) -> TrainingEvent:
        return TrainingEvent("message", 0, self.request.steps, 0.0, text=text)


def start_info(
    request: FineTuneRequest, store: CheckpointStore, template: CheckpointInfo | None = None
) -> CheckpointInfo:
    """Return the card that the new checkpoint begins with.

    Raises
    ------
    CheckpointError
        If the starting point does not exist.
    """
    if request.checkpoint in src_models.names():
        blank = template or CheckpointInfo(request.name, request.checkpoint)
        spacing = request.spacing or blank.spacing
        return replace(
            blank, id=request.name, network=request.checkpoint, parent=None, spacing=spacing
        )
    parent = store.info(request.checkpoint)
    description = f"Fine-tuned from {parent.id}."
    return replace(
        parent,
        id=request.name,
        parent=request.checkpoint,
        description=description,
        spacing=request.spacing or parent.spacing,
    )
