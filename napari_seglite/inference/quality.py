"""What a segmentation says of its own frames: their probabilities, and the Dice to expect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ..errors import Cancelled
from ..images import Block, Box, ImageAxes, blocks
from ..labels import Calibration, SoftDice, overlap
from ..runtime import Stop, never
from .result import Segmentation

# Side that frames are sampled to for their expected Dice.
SAMPLED = 1024


@dataclass(frozen=True)
class Evidence:
    """What the network says of a frame.

    Attributes
    ----------
    box : Box
        The segmented part of the frame.
    probability : ndarray
        ``(h, w)`` float32, of the foreground.
    interior : ndarray or None
        ``(h, w)`` float32, 0 at an object's border to 1 deep inside, if the network has a head for
        objects.
    """

    box: Box
    probability: np.ndarray
    interior: np.ndarray | None


def evidence(result: Segmentation, frame: int) -> Evidence | None:
    """Return what the network says of a frame, or None if it was not segmented.

    Parameters
    ----------
    result : Segmentation
        With its probabilities.
    frame : int
        Number of the frame.
    """
    if frame not in result.frames:
        return None
    position = result.frames.index(frame)
    whole = Box.whole(result.probabilities.shape[-2:])
    return Evidence(
        result.region.box(ImageAxes(result.request.axes).frame_shape(result.shape)),
        _foreground(result, position, whole.slices),
        result.interior(position, whole),
    )


def expected_dice(result: Segmentation, stop: Stop = never) -> float:
    """Return the Dice to expect of a result, from its probabilities alone, 0 to 1.

    Networks are surer than they should be: see `calibrate`.

    Parameters
    ----------
    result : Segmentation
        With its probabilities.
    stop : callable
        Once it returns True, `Cancelled` is raised.

    Raises
    ------
    Cancelled
        If `stop` returned True.
    """
    soft = SoftDice()
    for position in range(len(result.frames)):
        for block in blocks(result.probabilities.shape[-2:]):
            if stop():
                raise Cancelled
            probability = _foreground(result, position, block)
            soft.add(probability > _threshold(result), probability)
    return soft.value


def expected_dice_of_frames(result: Segmentation, stop: Stop = never) -> Iterator[dict[int, float]]:
    """Return the Dice to expect of every segmented frame, by its number; large ones are sampled.

    Parameters
    ----------
    result, stop : Segmentation, callable
        See `expected_dice`.

    Yields
    ------
    dict
        After every frame; the last one is complete.

    Raises
    ------
    Cancelled
        If `stop` returned True.
    """
    found: dict[int, float] = {}
    height, width = result.probabilities.shape[-2:]
    step = max(1, max(height, width) // SAMPLED)
    for position, frame in enumerate(result.frames):
        if stop():
            raise Cancelled
        probability = _foreground(result, position, (slice(0, height, step), slice(0, width, step)))
        soft = SoftDice()
        soft.add(probability > _threshold(result), probability)
        found[frame] = soft.value
        yield dict(found)


def calibrate(result: Segmentation, accepted: Iterable[tuple[int, np.ndarray]]) -> Calibration:
    """Return the calibration of a result by labels that a person accepted.

    Parameters
    ----------
    result : Segmentation
        With its probabilities.
    accepted : iterable of tuple
        Numbers of frames, and their accepted labels ``(H, W)``.
    """
    expected, measured = [], []
    for frame, labels in accepted:
        shown = evidence(result, frame)
        if shown is None:
            continue
        predicted = shown.probability > _threshold(result)
        true = labels[shown.box.slices] > 0
        soft = SoftDice()
        soft.add(predicted, shown.probability)
        expected.append(soft.value)
        measured.append(overlap(predicted, true).dice)
    return Calibration(tuple(expected), tuple(measured))


def _foreground(result: Segmentation, position: int, block: Block) -> np.ndarray:
    """Return the probability of any foreground, float32."""
    p = np.asarray(result.probabilities[position, :, *block], np.float32)
    return p[0] if len(p) == 1 else np.asarray(p[1:].sum(0))


def _threshold(result: Segmentation) -> float:
    return result.request.threshold if result.probabilities.shape[1] == 1 else 0.5
