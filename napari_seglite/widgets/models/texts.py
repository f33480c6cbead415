"""What the Models tab says about a checkpoint, whatever its card holds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from qtpy.QtWidgets import QTreeWidget

from ...checkpoints import CheckpointInfo, printable, score_of
from ..common import describe_checkpoint

# Points of a curve that are drawn at most, and the largest number.
POINTS, LARGEST = 2000, 1e9
# What a card says about published weights, and how it is called.
ORIGIN = (("file", "From the file"), ("citation", "Published in"), ("licence", "Licence"))


def dice(info: CheckpointInfo) -> str:
    """Return a checkpoint's Dice for the list, or nothing."""
    score = score_of(info)
    return "" if score is None else f"{score.value:.3f}"


def measured(info: CheckpointInfo) -> str:
    """Return a sentence about a checkpoint's Dice and date."""
    score = score_of(info)
    known = "No Dice was measured" if score is None else str(score)
    return printable(f"{known}. Made {info.created or 'at an unknown time'}.")


def explain_columns(tree: QTreeWidget) -> None:
    """Explain the columns of the list of checkpoints in their tooltips."""
    head = tree.headerItem()
    assert head is not None
    for column, text in enumerate(
        (
            "Checkpoints: trained weights, each under the one that it was fine-tuned from",
            "Dice: overlap of prediction and truth, 0 none to 1 perfect. On held-out images, which "
            "it did not learn from; the tooltip of a row says on which. Only scores on the same "
            "images can be compared",
            "Month and day when it was made",
        )
    ):
        head.setToolTip(column, text)


def summary(info: CheckpointInfo) -> str:
    """Return a few lines about a checkpoint, its training and its note."""
    lines = [describe_checkpoint(info)]
    frames = info.settings.get("frames")
    if isinstance(frames, list):
        steps, seconds, seed = (_number(info, key) for key in ("steps_done", "seconds", "seed"))
        text = f"Trained on {len(frames)} frames in {steps} steps, {seconds} s, seed {seed}"
        if isinstance(computer := info.settings.get("computer"), str):
            text += f", on {printable(computer, longest=100)}"
        text += "."
        lines.append(text)
    if info.origin:
        known = (f"{title}: {info.origin[key]}" for key, title in ORIGIN if key in info.origin)
        lines.append(printable(". ".join(known), longest=1000))
    if info.obstacle:
        lines.append(printable(f"Cannot be fine-tuned: {info.obstacle}.", longest=500))
    if info.note:
        lines.append(printable(info.note, longest=2000, lines=True))
    return "\n".join(lines)


def _number(info: CheckpointInfo, key: str) -> str:
    value: Any = info.settings.get(key, 0)
    known = isinstance(value, (int, float)) and math.isfinite(value)
    return f"{value:.0f}" if known and abs(value) < 1e15 else "?"


def drawable(curves: Mapping[str, Sequence[Sequence[float]]]) -> dict[str, list[Sequence[float]]]:
    """Return curves without points that cannot be drawn, and not more than a screen shows."""
    return {
        name: [
            point
            for point in curve[:: max(1, -(-len(curve) // POINTS))]
            if all(math.isfinite(value) and abs(value) < LARGEST for value in point)
        ]
        for name, curve in curves.items()
    }
