"""The predictions of two checkpoints for the same pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..checkpoints import CheckpointStore
from ..runtime import Stop, devices, interruptible
from .frame import classify, predict_frame


@dataclass(frozen=True)
class BeforeAfter:
    """The labels that two checkpoints predict.

    Attributes
    ----------
    pixels : ndarray
        ``(H, W, 3)`` float32, 0 to 1, the image they saw.
    before, after : ndarray
        ``(H, W)`` uint8 classes.
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
        Its id.
    frame : ndarray
        ``(C, H, W)`` or ``(S, C, H, W)`` float32, normalised for it.
    store : CheckpointStore
        Where it is.
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


def shown_pixels(frame: np.ndarray) -> np.ndarray:
    """Return a normalised frame as a picture ``(H, W, 3)`` float32, 0 to 1.

    Of several slices the middle one is shown; of three channels the colours, of others the mean.
    """
    if frame.ndim == 4:
        frame = frame[len(frame) // 2]
    picture = frame if len(frame) == 3 else frame.mean(0, keepdims=True).repeat(3, 0)
    return np.asarray(np.clip(np.moveaxis(picture, 0, -1), 0, 1), np.float32)
