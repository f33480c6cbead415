"""The score of a checkpoint: one number for all lists and cards, and what it was measured on."""

from __future__ import annotations

from dataclasses import dataclass

from .card import CheckpointInfo

# Names of scores on a card, best evidence first: the score, that of the start, and where it was
# measured.
_KINDS = (
    ("test_dice", "", "test images"),
    ("validation_dice", "validation_dice_before", "held-out images"),
    ("stroke_dice", "stroke_dice_before", "strokes before they were learnt"),
    ("learnt_dice", "learnt_dice_before", "the stroke that it learnt"),
)


@dataclass(frozen=True)
class Score:
    """The Dice of a checkpoint.

    Attributes
    ----------
    value : float
        0 to 1.
    before : float or None
        The same of the checkpoint that it was trained from.
    measured_on : str
        Such as ``"held-out images"``.
    objects : str
        What was measured of objects there, such as ``"F1 0.812"``; else empty.
    """

    value: float
    before: float | None
    measured_on: str
    objects: str = ""

    def __str__(self) -> str:
        before = "" if self.before is None else f"{self.before:.3f} → "
        objects = f", {self.objects}" if self.objects else ""
        return f"Dice {before}{self.value:.3f}{objects} on {self.measured_on}"


def score_of(info: CheckpointInfo) -> Score | None:
    """Return the best known score of a checkpoint, or None."""
    for name, name_before, measured_on in _KINDS:
        if (value := info.score(name)) is not None:
            before = info.score(name_before) if info.parent else None
            return Score(value, before, measured_on, _of_objects(info, name))
    return None


def _of_objects(info: CheckpointInfo, name: str) -> str:
    """Return what was measured of objects beside a Dice."""
    for title, measure in (("F1", "f1"), ("AP50", "ap50")):
        if (value := info.score(name.replace("dice", measure))) is not None:
            return f"{title} {value:.3f}"
    return ""
