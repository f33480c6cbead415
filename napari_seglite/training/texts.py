"""Sentences about the end of a training run."""

from __future__ import annotations

import math
from pathlib import Path


def saved_text(name: str, before: float, after: float, seconds: float, copied: bool) -> str:
    """Return sentences about a checkpoint that was saved.

    Parameters
    ----------
    name : str
        Its id.
    before, after : float
        Held-out Dice; NaN if nothing was scored.
    seconds : float
        Duration of the training.
    copied : bool
        Whether it has the weights of its start.
    """
    if copied:
        return (
            f"Training did not improve on Dice {before:.3f}, so {name} keeps the weights it "
            "started from. Correct more slices, or train longer."
        )
    if math.isnan(after):
        return f"Saved {name}, not scored, in {seconds:.0f} s."
    return f"Saved {name}: Dice {before:.3f} before, {after:.3f} now, in {seconds:.0f} s."


def unsaved_text(before: float, steps: int) -> str:
    """Return sentences about a run that has nothing to save."""
    if not steps:
        return "Training ended before its first step, so no checkpoint was saved."
    return (
        f"Training did not improve on Dice {before:.3f}, so no checkpoint was saved. Correct more "
        "slices, or train longer."
    )


def unwritten_text(name: str, folder: Path, error: Exception, continues: bool) -> str:
    """Return sentences about a checkpoint that could not be written.

    Parameters
    ----------
    name : str
        Its id.
    folder : Path
        Where it would be.
    error : Exception
        Why it is not there.
    continues : bool
        Whether the state of its training is saved.
    """
    text = f"Checkpoint {name} cannot be written to {folder} ({error}). Free some space and start "
    if continues:
        return text + "the same training again: it goes on from where it ended."
    return text + "the training again. Its state could not be saved either, so it begins anew."
