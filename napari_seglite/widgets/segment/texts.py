"""What the panel says about runs and results."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...images import Corrections
    from ...inference import Progress, Segmentation


def summary(result: Segmentation) -> str:
    """Return a sentence about a segmentation: its objects, or the share of labelled pixels."""
    if not result.complete:
        again = "begins again" if result.tiles is None else "goes on from there"
        return f"Stopped: {_finished(result)} labelled. Segment {again}."
    whole = result.request.frames is None
    if result.request.output == "instances":
        count = result.counts.objects
        where = "" if whole else f" in slice {result.frames[0]}"
        return f"Found {count:,} {'object' if count == 1 else 'objects'}{where}."
    part = "the pixels" if whole else f"slice {result.frames[0]}"
    part = "the area" if result.request.region else part
    return f"Labelled {result.counts.pixels / max(1, result.size):.1%} of {part}."


def _finished(result: Segmentation) -> str:
    """Return what of a stopped segmentation is finished, with its verb."""
    count = len(result.frames)
    whole = 0 if result.coverage is None else int(result.coverage.whole.sum())
    if count > 1 and whole:
        return f"{whole} of {count} slices {'is' if whole == 1 else 'are'}"
    part = "the area" if result.request.region else "the stack" if count > 1 else "the image"
    return f"{result.share:.0%} of {part} is"


def progress_text(progress: Progress) -> str:
    """Return a line about a run: what it does, the time left, and its speed."""
    text = progress.text
    if progress.seconds_left is not None and progress.done < progress.total:
        text += f", {duration(progress.seconds_left)} left"
    if progress.pixels_per_second is not None:
        text += f" ({progress.pixels_per_second / 1e6:.2g} megapixels per second)"
    return text


def duration(seconds: float) -> str:
    """Return a time in seconds or minutes."""
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.0f} min"


def kept_text(kept: Corrections | None, result: Segmentation) -> list[str]:
    """Return a sentence about corrected slices that stayed as they are, or nothing."""
    frames = [] if kept is None else [k for k in kept.frames if k in result.frames]
    if not frames:
        return []
    if kept is not None and kept.shape[0] == 1:
        return ["What you corrected stayed as it is."]
    listed = ", ".join(map(str, frames[:8])) + (" …" if len(frames) > 8 else "")
    return [f"What you corrected stayed as it is: slice{'s' * (len(frames) > 1)} {listed}."]


def brush_text(result: Segmentation) -> list[str]:
    """Return a sentence about what the brush paints now, or nothing where it is a class."""
    if result.request.output != "instances" or not result.complete:
        return []
    return ["The brush paints a new object: M begins another, L picks one to go on with."]
