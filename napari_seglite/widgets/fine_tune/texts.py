"""Sentences about a training run."""

from __future__ import annotations

from ...training import Finished

NOTHING_LEARNT = "Stopped before anything was learnt."


def is_better(event: Finished) -> bool:
    """Whether a checkpoint was saved that is better than its start, or that nothing compares."""
    if event.checkpoint is None:
        return False
    return event.before is None or (event.after or 0) > event.before


def outcome(event: Finished, start: str, strokes: int) -> str:
    """Return sentences about the outcome of a run.

    Parameters
    ----------
    event : Finished
        The last event of the run.
    start : str
        Id of the checkpoint that it started from.
    strokes : int
        Number of strokes that it learnt from; 0 if unknown.
    """
    if event.before is None or event.status.step == 0:
        return event.text
    seconds = event.status.seconds
    effort = f"{strokes} strokes, {seconds:.0f} s" if strokes else f"{seconds:.0f} s"
    if event.checkpoint is not None and is_better(event):
        text = (
            f"{effort}: held-out Dice from {event.before:.3f} to {event.after:.3f}. "
            f"Saved as {event.checkpoint.id}."
        )
    else:
        what = f"The copy is {event.checkpoint.id}. " if event.checkpoint else ""
        text = (
            f"{effort}: held-out Dice is not better than {event.before:.3f}, so {start} stays "
            f"selected. {what}Correct more slices, or train longer."
        )
    return f"{text} {event.note}".strip()
