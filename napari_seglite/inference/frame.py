"""Predict single frames in memory, outside a pass over an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .mosaic import predict_tiled
from .predictor import Predictor
from .tiling import OVERLAP, TILE

if TYPE_CHECKING:
    from torch import nn

    from ..checkpoints import CheckpointInfo


def predict_frame(
    network: nn.Module, info: CheckpointInfo, frame: np.ndarray, device: str
) -> np.ndarray:
    """Predict a normalised frame, tile by tile.

    Parameters
    ----------
    network : Module
        On `device`, in evaluation mode.
    info : CheckpointInfo
        Card of its checkpoint.
    frame : ndarray
        ``(C, H, W)`` float32; for a network that reads S slices ``(S, C, H, W)`` or, slice by
        slice, ``(S * C, H, W)``; for one that sees volumes ``(C, D, H, W)``, whose slice in the
        middle is predicted.
    device : str
        As `devices.resolve` returns it.

    Returns
    -------
    ndarray
        ``(K, H, W)`` float32: the foreground probability, or one per class that sum to 1.
    """
    return predict_with_head(network, info, frame, device)[: info.classes]


def predict_with_head(
    network: nn.Module, info: CheckpointInfo, frame: np.ndarray, device: str
) -> np.ndarray:
    """Return what `predict_frame` does and, behind it, the channels of the object head."""
    if info.context_slices > 1 and frame.ndim == 3:
        frame = frame.reshape(info.context_slices, -1, *frame.shape[1:])
    predictor = Predictor(network, device, info=info)
    if not info.volumetric:
        return predict_tiled(predictor, frame, TILE, OVERLAP)
    middle = frame.shape[1] // 2
    return predict_tiled(lambda tile, k: predictor(tile, k)[:, middle], frame, TILE // 2, OVERLAP)


def predict_slab(
    network: nn.Module, info: CheckpointInfo, slab: np.ndarray, device: str
) -> np.ndarray:
    """Return all slices of what `predict_with_head` returns of a slab, ``(K, D, H, W)``."""
    predictor = Predictor(network, device, info=info)

    def as_planes(tile: np.ndarray, number: int) -> np.ndarray:
        values = predictor(tile, number)
        return values.reshape(-1, *values.shape[-2:])

    planes = predict_tiled(as_planes, slab, TILE // 2, OVERLAP)
    return planes.reshape(-1, *slab.shape[1:])


def classify(probabilities: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Return the class of every pixel.

    Parameters
    ----------
    probabilities : ndarray
        ``(K, ...)``: the foreground probability, or with K > 1 one per class.
    threshold : float
        With K = 1, pixels are foreground above it.

    Returns
    -------
    ndarray
        ``(...)`` uint8; 0 is background.
    """
    if len(probabilities) == 1:
        return np.asarray(probabilities[0] > threshold, np.uint8)
    return np.asarray(probabilities.argmax(0), np.uint8)
