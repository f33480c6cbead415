"""How well live learning does: every new stroke is scored before it is learnt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING

import numpy as np

from ..images import TrainingImage
from ..runtime import Stop, never
from .scoring import AFTER_STOP, score_frames
from .trainer import Trainer, copy_weights

if TYPE_CHECKING:
    import torch
    from torch import nn

# Frames with new strokes that are scored at most, and their largest side in pixels.
MOST, LARGEST = 3, 256
# Pixels around a stroke in a region that was corrected before.
MARGIN = 32
# Strokes whose mean counts, and a fall in Dice that is more than chance.
LATEST, FALL = 3, 0.02


@dataclass(frozen=True)
class StrokeScore:
    """Dice on a stroke before it was learnt: of the weights then, of the start and of the best.

    `counts` tells whether the weights then were more than the untouched start.
    """

    now: float
    start: float
    best: float
    counts: bool = True


class Strokes:
    """Scores of a live session, and the weights to go back to.

    A stroke that was not learnt yet is held out, so its Dice is that of unseen data
    (prequential evaluation; Dawid, 1984). The start is scored on the same stroke: strokes differ in
    difficulty.

    Parameters
    ----------
    trainer : Trainer
        With the starting weights.

    Attributes
    ----------
    scores : list of StrokeScore
        One per stroke or group of strokes.
    learnt : float
        Dice on the latest stroke since it was learnt; NaN as long as it was not.
    best_step : int
        The step of the weights to go back to; 0 for the start.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._start = self.best_weights = copy_weights(trainer.averaged)
        self._spare: nn.Module = deepcopy(trainer.averaged)
        self._fresh: list[TrainingImage] = []
        self.scores: list[StrokeScore] = []
        self.learnt, self.best_step = math.nan, 0

    def score(
        self,
        before: Sequence[TrainingImage],
        now: Sequence[TrainingImage],
        step: int,
        stop: Stop = never,
    ) -> StrokeScore | None:
        """Score what is new among frames, before it is learnt; None if nothing can be scored.

        Parameters
        ----------
        before, now : sequence of TrainingImage
            Everything corrected before the stroke, and with it.
        step : int
            Steps made so far.
        stop : callable
            Once it returns True, `Cancelled` is raised.
        """
        self.learnt, self._fresh = math.nan, fresh_parts(before, now)
        if not self._fresh:
            return None
        current = self._dice(self._trainer.averaged, stop)
        start = self._dice_of(self._start, stop) if step else current
        best = self._dice_of(self.best_weights, stop) if self.best_step else start
        self.scores.append(StrokeScore(current, start, best, step > 0))
        if current >= best and step:
            self.best_weights, self.best_step = copy_weights(self._trainer.averaged), step
        return self.scores[-1]

    def keep_up(self) -> None:
        """Follow a network that got a readout, see `Trainer.read_pixels`."""
        averaged = self._trainer.averaged
        added = {k: v for k, v in copy_weights(averaged).items() if k not in self._start}
        if added:
            self._start = {**self._start, **added}
            self.best_weights, self._spare = {**self.best_weights, **added}, deepcopy(averaged)

    def score_learnt(self, stop: Stop = never, in_haste: bool = False) -> None:
        """Score the latest stroke again, now learnt; in haste, as far as there is time."""
        if self._fresh:
            late = (lambda: True) if in_haste else never
            self.learnt = self._dice(self._trainer.averaged, stop, late)

    @property
    def falling(self) -> bool:
        """Whether learning made it worse: on strokes it had not seen, or even on the latest one."""
        if not self.scores:
            return False
        latest = self.scores[-LATEST:]
        unseen = fmean(score.now - max(score.start, score.best) for score in latest)
        return unseen < -FALL or self.learnt < self.scores[-1].now - FALL

    def go_back(self) -> int:
        """Restore the best weights, or those of the start, and return their step."""
        self._trainer.go_back(self.best_weights)
        self.learnt = math.nan
        self.scores = [replace(score, now=score.best, counts=True) for score in self.scores[-1:]]
        return self.best_step

    @property
    def unscored(self) -> bool:
        """Whether the weights have no score that a card could hold."""
        return not self.for_card

    @property
    def for_card(self) -> dict[str, float]:
        """Scores of the last weights: on strokes before they were learnt, if there were several."""
        unseen = [score for score in self.scores if score.counts][-LATEST:]
        if unseen:
            return {
                "stroke_dice_before": fmean(score.start for score in unseen),
                "stroke_dice": fmean(score.now for score in unseen),
            }
        if self.scores and not math.isnan(self.learnt):
            return {"learnt_dice_before": self.scores[0].start, "learnt_dice": self.learnt}
        return {}

    def text(self) -> str:
        """Return a sentence about the latest stroke."""
        if not self.scores:
            return ""
        score, parts = self.scores[-1], []
        if len(self.scores) == 1:
            parts.append(f"Dice on your corrections: {score.now:.2f} before they were learnt")
        else:
            parts.append(f"Dice on the new stroke: {score.now:.2f} before it was learnt")
            parts.append(f"the start {score.start:.2f}")
        if not math.isnan(self.learnt):
            parts.append(f"{self.learnt:.2f} now")
        text = ", ".join(parts) + "."
        return f"{text} It gets worse: go back, or correct more." if self.falling else text

    # ------------------------------------------------------------------ Dice
    def _dice(self, network: nn.Module, stop: Stop, late: Stop = never) -> float:
        info, device = self._trainer.info, self._trainer.device
        network, frames = network.eval(), self._fresh
        scores = score_frames(network, info, frames, device, late, stop, AFTER_STOP)
        return fmean(scores) if scores else math.nan

    def _dice_of(self, weights: dict[str, torch.Tensor], stop: Stop) -> float:
        self._spare.load_state_dict(weights)
        return self._dice(self._spare, stop)


def fresh_parts(
    before: Sequence[TrainingImage], now: Sequence[TrainingImage]
) -> list[TrainingImage]:
    """Return the parts of frames that were corrected since, with weights for what is new there."""
    known = {image.name: image for image in before}
    parts = [_fresh_part(known.get(image.name), image) for image in now]
    return [part for part in parts if part is not None][:MOST]


def _fresh_part(before: TrainingImage | None, now: TrainingImage) -> TrainingImage | None:
    counts = np.ones(now.labels.shape, bool) if now.weight is None else now.weight > 0
    fresh = counts
    if before is not None:
        labels, known = _aligned(before, now)
        changed = counts & known & (labels != now.labels)
        fresh = counts & ~known
        if fresh.any():
            fresh |= changed
        elif changed.any():
            fresh = counts & _around(changed, MARGIN)
    if not fresh.any():
        return None
    rows, columns = (_middle(np.flatnonzero(fresh.any(axis))) for axis in (1, 0))
    weight = fresh[rows, columns].astype(np.float32)
    if not weight.any():
        return None
    frame, labels = now.frame[:, rows, columns], now.labels[rows, columns]
    return replace(now, frame=frame, labels=labels, weight=weight)


def _aligned(before: TrainingImage, now: TrainingImage) -> tuple[np.ndarray, np.ndarray]:
    """Return labels before, and where they counted, in the pixels of the frame as it is cut now."""
    labels, known = np.zeros_like(now.labels), np.zeros(now.labels.shape, bool)
    down, right = (a - b for a, b in zip(before.corner, now.corner, strict=True))
    height, width = before.labels.shape
    target = (
        slice(max(0, down), max(0, down + height)),
        slice(max(0, right), max(0, right + width)),
    )
    source = (slice(max(0, -down), None), slice(max(0, -right), None))
    shape = labels[target].shape
    cut = (slice(shape[0]), slice(shape[1]))
    labels[target] = before.labels[source][cut]
    counts = np.ones(before.labels.shape, bool) if before.weight is None else before.weight > 0
    known[target] = counts[source][cut]
    return labels, known


def _around(mask: np.ndarray, margin: int) -> np.ndarray:
    """Return the box around a mask with a margin, as a mask."""
    box = np.zeros_like(mask)
    places = [np.flatnonzero(mask.any(axis)) for axis in (1, 0)]
    rows, columns = (slice(max(0, p[0] - margin), p[-1] + margin + 1) for p in places)
    box[rows, columns] = True
    return box


def _middle(places: np.ndarray) -> slice:
    """Return the stretch from the first to the last place, cut to its middle if it is long."""
    first, last = int(places[0]), int(places[-1]) + 1
    cut = max(0, last - first - LARGEST)
    return slice(first + cut // 2, last - (cut - cut // 2))
