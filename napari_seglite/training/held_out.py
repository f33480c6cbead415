"""The held-out frames of a run and their scores, for which there is not always much time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from ..images import TrainingImage
from ..runtime import Stop, never
from .examples import digest
from .scoring import AFTER_STOP, patches_of, score_frames

if TYPE_CHECKING:
    from torch import nn

    from .trainer import Trainer


class HeldOut:
    """Frames that score a run, and patches of them that are scored in less time.

    Parameters
    ----------
    frames : sequence of TrainingImage
        May be empty.
    seed : int
        Chooses the patches.
    trainer : Trainer
        Knows network and device.

    Attributes
    ----------
    frames, patches : list of TrainingImage
        What is scored, and what is scored after a stop, see `patches_of`.
    names, digest : list of str, str
        Of all held-out frames.
    start, best : list of float
        Dice of the starting and of the best weights on the patches.
    f1 : float or None
        Mean F1 of objects at IoU 0.5 of the weights that were scored last, if the network has an
        object head.
    scored : int or None
        Number of frames that are scored if time is too short for all, 0 for patches of them; else
        None.
    """

    def __init__(self, frames: Sequence[TrainingImage], seed: int, trainer: Trainer) -> None:
        self.frames, self._trainer = list(frames), trainer
        self.patches = patches_of(self.frames, seed)
        self.names, self.digest = [frame.name for frame in frames], digest(frames)
        self.start: list[float] = []
        self.best: list[float] = []
        self.scored: int | None = None
        self.f1: float | None = None
        self._hasty: list[float] = []  # of the best weights, if only patches were scored

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def _small(self) -> bool:
        """Whether the frames are so small that they are their own patches."""
        return all(a is b for a, b in zip(self.patches, self.frames, strict=False))

    # ------------------------------------------------------------------ scores
    def score_start(self, network: nn.Module, late: Stop, stop: Stop) -> list[float]:
        """Return the Dice of the start on every frame, or on fewer if it takes too long.

        Parameters
        ----------
        network : Module
            With the starting weights.
        late : callable
            Whether this took enough of the time.
        stop : callable
            Once it returns True, `Cancelled` is raised.
        """
        scores = self._scores(network, self.frames, late, stop)
        if len(scores) < len(self.frames):
            self.score_less(len(scores))
            scores = scores or self._scores(network, self.frames, never, stop)
        self.start = self.best = self._on_patches(network, scores, stop)
        return scores

    def score_less(self, count: int) -> None:
        """Score this many frames from now on, or patches of them."""
        if count:
            self.frames = self.frames[:count]
            self.patches = self.patches[:count]
        else:
            self.frames = self.patches
        self.scored = count

    def score(self, network: nn.Module, stop: Stop, abort: Stop) -> list[float] | None:
        """Return the Dice of every frame, or None if a stop left no time for all of them."""
        patience = AFTER_STOP if self._small else 0.0
        scores = self._scores(network, self.frames, stop, abort, patience)
        if len(scores) == len(self.frames):
            return scores
        if not self._small:
            scores = self._scores(network, self.patches, stop, abort, AFTER_STOP)
        self._hasty = scores
        return None

    def improved(self, network: nn.Module, scores: list[float], abort: Stop) -> None:
        """Keep the scores of weights that are the best ones now."""
        self.best = self._on_patches(network, scores, abort)

    @property
    def in_haste(self) -> tuple[int, float, float]:
        """Number of patches that a stop left time for, and Dice of the start and now on them."""
        count = len(self._hasty)
        return (count, fmean(self.start[:count]), fmean(self._hasty)) if count else NOTHING

    @property
    def best_in_haste(self) -> float:
        """Dice of the best weights before on the patches that a stop left time for."""
        return fmean(self.best[: len(self._hasty)]) if self._hasty else math.nan

    def _scores(
        self,
        network: nn.Module,
        frames: Sequence[TrainingImage],
        stop: Stop,
        abort: Stop,
        patience: float = 0.0,
    ) -> list[float]:
        info, device = self._trainer.info, self._trainer.device
        f1: list[float] = []
        with self._trainer.autocast():
            scores = score_frames(network, info, frames, device, stop, abort, patience, f1)
        self.f1 = fmean(f1) if f1 else None
        return scores

    def _on_patches(self, network: nn.Module, scores: list[float], abort: Stop) -> list[float]:
        """Return the Dice on the patches, given that on the frames."""
        return scores if self._small else self._scores(network, self.patches, never, abort)

    # ------------------------------------------------------------------ interrupted runs
    def state(self) -> dict[str, Any]:
        """Return the scores, to be saved."""
        return {"scores": [self.start, self.best], "scored": self.scored}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue with saved scores."""
        self.start, self.best = ([float(value) for value in each] for each in state["scores"])
        if (scored := state["scored"]) is not None:
            self.score_less(int(scored))


NOTHING = (0, math.nan, math.nan)
