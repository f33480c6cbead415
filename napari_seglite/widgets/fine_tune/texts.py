"""Sentences about a training run."""

from __future__ import annotations

from ...training import Finished, RunStatus

NOTHING_LEARNT = "Stopped before anything was learnt."


def progress(status: RunStatus) -> str:
    """Return a line about the progress of a run."""
    parts = [f"Step {status.step}" + (f" of {status.steps}" if status.steps else "")]
    if rate := status.steps_per_second:
        parts.append(f"{rate:.1f} per second" if rate >= 1 else f"{1 / rate:.1f} s each")
    if (left := status.seconds_left) is not None:
        parts.append(f"{left:.0f} s left" if left < 90 else f"{left / 60:.0f} min left")
    if status.best is not None:
        parts.append(f"best Dice {status.best:.3f}")
    if status.memory:
        parts.append(f"{status.memory / 1e9:.1f} GB on {status.device}")
    return ", ".join(parts)


def is_better(event: Finished) -> bool:
    """Whether a checkpoint was saved that is better than its start, or that nothing compares."""
    if event.checkpoint is None:
        return False
    return event.before is None or (event.after or 0) > event.before


def outcome(event: Finished, start: str, strokes: int, seconds: float) -> str:
    """Return sentences about the outcome of a run.

    Parameters
    ----------
    event : Finished
        The last event of the run.
    start : str
        Id of the checkpoint that it started from.
    strokes : int
        Number of strokes that it learnt from; 0 if unknown.
    seconds : float
        Its duration.
    """
    if event.before is None or event.status.step == 0:
        return event.text
    effort = f"{strokes} strokes, {seconds:.0f} s" if strokes else f"{seconds:.0f} s"
    if event.checkpoint is not None and is_better(event):
        text = (
            f"{effort}: held-out Dice from {event.before:.2f} to {event.after:.2f}. "
            f"Saved as {event.checkpoint.id}."
        )
    else:
        what = f"The copy is {event.checkpoint.id}. " if event.checkpoint else ""
        text = (
            f"{effort}: held-out Dice is not better than {event.before:.2f}, so {start} stays "
            f"selected. {what}Correct more slices, or train longer."
        )
    return f"{text} {event.note}".strip()
