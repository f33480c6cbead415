"""Synthetic images of lines: vessels, fibres and the membranes between cells.

They show thin structures to a network where no images under a free licence are at hand.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_seglite.images import Normalisation, TrainingImage

SIZE = 256


def images(count: int, seed: int, normalisation: Normalisation) -> list[TrainingImage]:
    """Return normalised images of vessels and of membranes in turn, with their masks.

    Parameters
    ----------
    count : int
        Number of images.
    seed : int
        Of the random numbers.
    normalisation : Normalisation
        Applied to every image.

    Returns
    -------
    list of TrainingImage
        Frames ``(1, 256, 256)`` float32, labels ``(256, 256)`` uint8.
    """
    rng = np.random.default_rng(seed)
    examples = []
    for number in range(count):
        mask, depth = membranes(rng) if number % 2 else vessels(rng)
        pixels = painted(rng, mask, depth)
        frame = normalisation.apply(pixels, normalisation.limits(pixels))
        examples.append(TrainingImage(f"lines {number}", frame[None], mask.astype(np.uint8)))
    return examples


def clouds(rng: np.random.Generator, size: float) -> np.ndarray:
    """Return smooth noise of mean 0 and standard deviation 1; `size` in pixels is its sigma."""
    noise = ndimage.gaussian_filter(rng.standard_normal((SIZE, SIZE)), size, mode="wrap")
    return np.asarray((noise - noise.mean()) / noise.std())


def vessels(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw trees whose branches become thinner.

    Returns
    -------
    mask : ndarray
        ``(256, 256)`` bool.
    depth : ndarray
        ``(256, 256)`` float, 0 to 1: the contrast of each pixel.
    """
    depth = np.zeros((SIZE, SIZE))
    mask = np.zeros((SIZE, SIZE), bool)
    widest = rng.uniform(3, 11)
    for _ in range(rng.integers(3, 9)):
        start = rng.uniform(0, SIZE, 2)
        _branch(rng, mask, depth, start, rng.uniform(0, 2 * np.pi), widest * rng.uniform(0.4, 1))
    return mask, depth


def _branch(
    rng: np.random.Generator,
    mask: np.ndarray,
    depth: np.ndarray,
    at: np.ndarray,
    angle: float,
    width: float,
) -> None:
    bend, length = rng.uniform(0.03, 0.25), int(rng.uniform(60, 300))
    turns = np.cumsum(rng.normal(0, bend, length)) * rng.uniform(0.3, 1) + angle
    points = at + np.cumsum(np.stack([np.sin(turns), np.cos(turns)], 1), 0)
    inside = ((points >= 0) & (points < SIZE - 1)).all(1)
    line = np.zeros((SIZE, SIZE), bool)
    rows, columns = points[inside].round().astype(int).T
    line[rows, columns] = True
    if line.any():
        away = ndimage.distance_transform_edt(~line)
        strength = rng.uniform(0.5, 1) * min(1.0, 0.5 + width / 8)
        profile = strength / (1 + np.exp(np.clip((away - width / 2) / 0.4, -30, 30)))
        np.maximum(depth, profile, out=depth)
        mask |= away <= max(width / 2, 0.5)
    if width > 1.8:
        for k in rng.integers(0, length, rng.integers(1, 5)):
            turn = turns[k] + rng.choice([-1, 1]) * rng.uniform(0.4, 1.2)
            _branch(rng, mask, depth, points[k], turn, width * rng.uniform(0.5, 0.8))


def membranes(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw the borders of touching cells; returns mask and depth as `vessels` does."""
    cell, width = rng.uniform(18, 80), rng.uniform(2, 7)
    points = rng.uniform(-60, SIZE + 60, (int((SIZE + 120) ** 2 / cell**2), 2))
    bend = rng.uniform(0, 0.35) * cell
    y, x = np.mgrid[:SIZE, :SIZE].astype(float)
    where = np.stack([y + bend * clouds(rng, cell / 3), x + bend * clouds(rng, cell / 3)], -1)
    _, nearest = cKDTree(points).query(where)
    border = np.zeros((SIZE, SIZE), bool)
    border[:, 1:] |= nearest[:, 1:] != nearest[:, :-1]
    border[1:] |= nearest[1:] != nearest[:-1]
    away = ndimage.distance_transform_edt(~border)
    thick = width * np.exp(rng.uniform(0, 0.3) * clouds(rng, 15)) / 2
    profile = 1 / (1 + np.exp(np.clip((away - thick) / 0.5, -30, 30)))
    return away <= thick, profile * np.clip(1 + 0.25 * clouds(rng, 8), 0.3, 1.2)


def painted(rng: np.random.Generator, mask: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Return an image ``(256, 256)`` of dark or bright lines on a textured background.

    Parameters
    ----------
    rng : numpy.random.Generator
        Draws contrast, texture, blur and noise.
    mask, depth : ndarray
        As `vessels` returns them.
    """
    contrast = rng.uniform(0.25, 1.0)
    ground = rng.uniform(0, 0.35) * clouds(rng, rng.uniform(30, 80))
    ground += rng.uniform(0, 0.3) * contrast * clouds(rng, rng.uniform(1, 6))
    for _ in range(rng.integers(0, 15)):
        ground += _ellipse(rng, contrast) * (1 - depth)
    sign = -1 if rng.random() < 0.65 else 1
    pixels = ground + sign * contrast * depth
    pixels = ndimage.gaussian_filter(pixels, rng.uniform(0.3, 1.2))
    return np.asarray(pixels + rng.uniform(0.01, 0.15) * rng.standard_normal(pixels.shape))


def _ellipse(rng: np.random.Generator, contrast: float) -> np.ndarray:
    """Return a filled or speckled ellipse, as a distractor."""
    y, x = np.mgrid[:SIZE, :SIZE] - rng.uniform(0, SIZE, (2, 1, 1))
    angle, radii = rng.uniform(0, np.pi), rng.uniform(3, 22, 2)
    u, v = np.cos(angle) * y + np.sin(angle) * x, np.cos(angle) * x - np.sin(angle) * y
    inside = 1 / (1 + np.exp(np.clip(((u / radii[0]) ** 2 + (v / radii[1]) ** 2 - 1) * 6, -30, 30)))
    texture = 1 + rng.choice([0, 0.5]) * clouds(rng, rng.uniform(1, 3))
    return np.asarray(rng.uniform(-1, 1) * contrast * inside * texture)
