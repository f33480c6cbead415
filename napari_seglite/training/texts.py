"""Sentences about the progress and the end of a training run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from .events import RunStatus
from .progress import Ending

# Share of the planned steps below which a run that ended for time got too few.
FEW_STEPS = 0.25


def progress_text(status: RunStatus) -> str:
    """Return a line about the progress of a run: steps, speed, time left, score and memory."""
    parts = [f"Step {status.step}" + (f" of {status.steps}" if status.steps else "")]
    if status.part:
        parts[0] += f" ({status.part})"
    if rate := status.steps_per_second:
        parts.append(f"{rate:.1f} per second" if rate >= 1 else f"{1 / rate:.1f} s each")
    if (left := status.seconds_left) is not None:
        parts.append(f"{left:.0f} s left" if left < 90 else f"{left / 60:.0f} min left")
    if status.best is not None:
        parts.append(f"best Dice {status.best:.3f}")
    if status.memory:
        parts.append(f"{status.memory / 1e9:.1f} GB on {status.device}")
    return ", ".join(parts)


def ended_text(endings: Sequence[Ending | None], made: int, planned: int, minutes: float) -> str:
    """Return a sentence about a run that made fewer steps than planned; else nothing.

    Parameters
    ----------
    endings : sequence
        Why each run was over; None if the user stopped it.
    made, planned : int
        Steps of all runs.
    minutes : float
        The time limit.
    """
    if None in endings or made >= planned:
        return ""
    where = f"Training ended at step {made} of {planned}"
    if "time" in endings:
        if not made:
            return f"Loading and scoring took all of the {minutes:g} min: allow more time."
        return f"{where}, since the time limit of {minutes:g} min was reached."
    if "loss" in endings:
        return f"{where}, since the loss was not a number again and again."
    return f"{where}, since the held-out Dice no longer improved (early stopping)."


def too_few(endings: Sequence[Ending | None], made: int, planned: int) -> bool:
    """Whether the time limit left a run, described as in `ended_text`, too few steps."""
    return None not in endings and "time" in endings and made < FEW_STEPS * planned


def few_text(saved: bool) -> str:
    """Return a sentence about a run that got too few steps, whether or not something is saved."""
    if saved:
        return "These were few: fine-tune the new checkpoint to go on, or allow more time."
    return "These were few: allow more time."


def haste_text(step: int, count: int, patches: int, dice: float, best: float, whose: str) -> str:
    """Return a sentence about weights that a stop left little time to score.

    Parameters
    ----------
    step : int
        Their step.
    count, patches : int
        How many patches were scored, of how many.
    dice, best : float
        Their Dice there, and the best one before.
    whose : str
        Which weights are kept.
    """
    if not count:
        return f"There was no time to score step {step}, so {whose} are kept."
    return (
        f"There was time to score step {step} on {count} of {patches} held-out patches: "
        f"Dice {dice:.3f} there, {best:.3f} before, so {whose} are kept."
    )


def saved_text(name: str, before: float, after: float, seconds: float, copied: bool) -> str:
    """Return sentences about a checkpoint that was saved.

    Parameters
    ----------
    name : str
        Its id.
    before, after : float
        Held-out Dice; NaN if nothing was scored.
    seconds : float
        Duration of the whole.
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
