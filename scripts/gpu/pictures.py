"""Generated images, and networks to look at."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn

import src_models
from napari_seglite import CheckpointStore

from .runs import Settings


@lru_cache(maxsize=16)
def cells(height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw bright cells of several sizes on an uneven background with noise; not to be changed.

    Parameters
    ----------
    height, width : int
        In pixels.
    seed : int
        Of every choice.

    Returns
    -------
    pixels : ndarray
        ``(height, width)`` uint8.
    mask : ndarray
        ``(height, width)`` bool.
    """
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), bool)
    for _ in range(max(3, height * width // 1500)):
        cy, cx, radius = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(4, 10)
        top, left = max(0, int(cy - radius)), max(0, int(cx - radius))
        y, x = np.ogrid[top : int(cy + radius) + 2, left : int(cx + radius) + 2]
        y, x = y[y[:, 0] < height], x[:, x[0] < width]
        inside = (y - cy) ** 2 + ((x - cx) * rng.uniform(1, 1.5)) ** 2 < radius**2
        mask[top : top + len(y), left : left + x.shape[1]] |= inside
    y, x = np.mgrid[:height, :width]
    uneven = 25 * np.sin(y / 90) * np.cos(x / 70)
    blurred = ndimage.gaussian_filter(mask * 110.0, 1)
    pixels = 60 + uneven + blurred + rng.normal(0, 12, mask.shape)
    return np.clip(pixels, 0, 255).astype(np.uint8), mask


class Subject(NamedTuple):
    """A network with a name for the report, and the input channels and slices that it reads."""

    name: str
    network: nn.Module
    channels: int
    slices: int

    def frames(self, batch: int, height: int, width: int, seed: int = 0) -> Tensor:
        """Return generated images, float32, as the network reads them."""
        count = batch * max(self.slices, 1) * self.channels
        kinds = [cells(height, width, seed + k)[0] for k in range(min(count, 3))]
        planes = np.stack([kinds[k % len(kinds)] for k in range(count)]).astype(np.float32)
        planes = (planes - planes.min()) / max(np.ptp(planes), 1)
        slices = [self.slices] if self.slices > 1 else []
        return torch.from_numpy(planes).reshape(batch, *slices, self.channels, height, width)


def fresh(name: str, seed: int = 0) -> Subject:
    """Return a network with fresh weights, of the size in its paper."""
    card = src_models.card(name)
    channels, classes = card.parameters_at
    torch.manual_seed(seed)
    network = src_models.create(name, channels, classes).eval()
    return Subject(name, network, channels, card.context_slices)


def subjects(settings: Settings) -> Iterator[Subject]:
    """Yield every network with fresh weights, then every built-in checkpoint."""
    for name in filter(settings.wants, src_models.names()):
        yield fresh(name, settings.seed)
    store = CheckpointStore(Path(settings.folder) / "checkpoints")
    for info in store.list():
        if not settings.wants(info.id):
            continue
        _, network = store.load(info.id)
        yield Subject(info.id, network.eval(), info.in_channels, info.context_slices)
