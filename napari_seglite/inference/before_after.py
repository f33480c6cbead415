"""What two checkpoints make of the same pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..checkpoints.store import CheckpointStore
from ..runtime import devices
from ..runtime.stopping import Stop, interruptible
from .predictor import Predictor
from .tiling import predict_tiled

TILE, OVERLAP = 512, 48


@dataclass(frozen=True)
class BeforeAfter:
    """The labels that two checkpoints give.

    Attributes
    ----------
    pixels : ndarray
        ``(H, W, 3)`` float32, 0 to 1, what they were shown.
    before, after : ndarray
        ``(H, W)`` uint8 classes.
    names : tuple of str
        The ids of the two.
    """

    pixels: np.ndarray
    before: np.ndarray
    after: np.ndarray
    names: tuple[str, str]


def predict_classes(
    checkpoint: str, frame: np.ndarray, store: CheckpointStore, device: str, stop: Stop
) -> np.ndarray:
    """Return the likeliest class of every pixel, ``(H, W)`` uint8.

    Parameters
    ----------
    checkpoint : str
        Its id.
    frame : ndarray
        ``(C, H, W)`` or ``(S, C, H, W)``, normalised for it.
    store : CheckpointStore
        Where it is.
    device : str
        As `devices.resolve` returns it.
    stop : callable
        Once it returns True, `Cancelled` is raised.
    """
    _, network = store.load(checkpoint)
    network = devices.place(network, device).eval()
    with interruptible(network, stop):
        found = predict_tiled(Predictor(network, device), frame, TILE, OVERLAP)
    return (found[0] > 0.5 if len(found) == 1 else found.argmax(0)).astype(np.uint8)


def shown_pixels(frame: np.ndarray) -> np.ndarray:
    """Return the pixels of a normalised frame as a picture ``(H, W, 3)`` float32.

    Of several slices the middle one; of three channels the colours, of others the mean.
    """
    if frame.ndim == 4:
        frame = frame[len(frame) // 2]
    picture = frame if len(frame) == 3 else frame.mean(0, keepdims=True).repeat(3, 0)
    return np.asarray(np.clip(np.moveaxis(picture, 0, -1), 0, 1), np.float32)
