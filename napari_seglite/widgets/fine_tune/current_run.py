"""A training run of the panel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...training import AnnotationFeed
    from .preview_layer import TrainingPreview


@dataclass
class CurrentRun:
    """A training run; its thread reads `paused` and `learns_meanwhile`.

    Attributes
    ----------
    start : str
        Id of the checkpoint that it starts from.
    feed : AnnotationFeed
        Hands corrections and the viewed patch to it.
    preview : TrainingPreview
        Shows its predictions.
    strokes : int
        Number of strokes corrected at its start.
    paused, learns_meanwhile : bool
        Whether it pauses, and whether it learns from strokes made during the run.
    live_text : str
        How well live learning did on the latest stroke.
    goes_back : bool
        Whether the user asked for the best weights of a live session.
    finished : bool
        Whether it came to its end, with or without a checkpoint.
    """

    start: str
    feed: AnnotationFeed
    preview: TrainingPreview
    strokes: int
    paused: bool
    learns_meanwhile: bool
    live_text: str = ""
    goes_back: bool = False
    finished: bool = False

    def asks_back(self) -> bool:
        """Whether the user asked for the best weights since this was called last."""
        asked, self.goes_back = self.goes_back, False
        return asked
