"""Predictions of two checkpoints for the same pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..checkpoints import CheckpointStore
from ..images import Normalisation
from ..runtime import Stop, devices, interruptible
from .frame import classify, predict_frame


@dataclass(frozen=True)
class BeforeAfter:
    """Labels that two checkpoints predict.

    Attributes
    ----------
    pixels : ndarray
        ``(H, W, 3)`` float32, 0 to 1: the image, for display.
    before, after : ndarray
        ``(H, W)`` uint8, the class of every pixel.
    names : tuple of str
        Ids of the two checkpoints.
    """

    pixels: np.ndarray
    before: np.ndarray
    after: np.ndarray
    names: tuple[str, str]


def predict_classes(
    checkpoint: str, frame: np.ndarray, store: CheckpointStore, device: str, stop: Stop
) -> np.ndarray:
    """Return the class of every pixel, ``(H, W)`` uint8.

    Parameters
    ----------
    checkpoint : str
        Id of the checkpoint.
    frame : ndarray
        ``(C, H, W)`` or ``(S, C, H, W)`` float32, normalised for the checkpoint.
    store : CheckpointStore
        Store that holds it.
    device : str
        As `devices.resolve` returns it.
    stop : callable
        Once it returns True, `Cancelled` is raised.

    Raises
    ------
    CheckpointError
        If the checkpoint is missing or damaged.
    Cancelled
        If `stop` returned True.
    """
    info, network = store.load(checkpoint)
    network = devices.place(network, device).eval()
    with interruptible(network, stop):
        return classify(predict_frame(network, info, frame, device))


def shown_pixels(frame: np.ndarray, normalisation: Normalisation) -> np.ndarray:
    """Return a frame for display, ``(H, W, 3)`` float32, 0 to 1, given how it was normalised.

    Three channels are shown as colours, any other number as their mean. Of several slices the
    middle one is shown.
    """
    if frame.ndim == 4:
        frame = frame[len(frame) // 2]
    frame = normalisation.undo(frame)
    colours = frame if len(frame) == 3 else frame.mean(0, keepdims=True).repeat(3, 0)
    return np.asarray(np.clip(np.moveaxis(colours, 0, -1), 0, 1), np.float32)
