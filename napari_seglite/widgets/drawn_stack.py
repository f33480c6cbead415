"""A drawn stack of tissue, as an electron microscope shows it, for a sample without a licence.

Cells fill the space, as walls around points do; dark bodies in them look a little like membranes,
so that a network has something to learn. The same stack is drawn every time.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

SHAPE = (12, 256, 256)
# Pixels along Y and X that a slice is thick.
THICKNESS = 4.0
CELLS = 110
BODIES = 150


def draw() -> tuple[np.ndarray, np.ndarray]:
    """Draw the stack.

    Returns
    -------
    image : ndarray
        ``(12, 256, 256)`` uint8, membranes dark.
    membranes : ndarray
        ``(12, 256, 256)`` uint8, 1 on membranes.
    """
    rng = np.random.default_rng(7)
    places = _bent(rng)
    wall, cell = _walls(rng, places)
    membranes = wall < 2

    image = 142 + 10 * rng.standard_normal(CELLS)[cell] + 11 * _clouds(rng, 1.6)
    depth = _bodies(rng, places)
    body = (depth < 1.12) & (wall > 4)
    image = np.where(body, 108 + 14 * np.cos(11 * depth + 2 * _clouds(rng, 5)), image)
    image = np.where(body & (depth > 0.86), 78, image)
    image = np.where(membranes, 86 + 9 * _clouds(rng, 3), image)

    image = ndimage.gaussian_filter(image, (0, 1.1, 1.1)) + 8 * _clouds(rng, 30)
    image += 15 * rng.standard_normal(SHAPE)
    return np.clip(image, 0, 255).astype(np.uint8), membranes.astype(np.uint8)


def _clouds(rng: np.random.Generator, size: float) -> np.ndarray:
    """Return smooth noise of standard deviation 1; `size` in pixels is its sigma."""
    sigma = np.array((size / THICKNESS, size, size))
    step = np.maximum(1, sigma // 3)  # smooth noise needs few points
    noise = rng.standard_normal(np.ceil(SHAPE / step).astype(int), np.float32)
    noise = ndimage.gaussian_filter(noise, sigma / step)
    noise = ndimage.zoom(noise, np.divide(SHAPE, noise.shape), order=1)
    return np.asarray(noise / noise.std())


def _bent(rng: np.random.Generator) -> np.ndarray:
    """Return where each voxel lies in the bent space, ``(Z, Y, X, 3)`` in pixels."""
    places = np.moveaxis(np.indices(SHAPE, float), 0, -1)
    places[..., 0] *= THICKNESS
    places[..., 0] += 2 * _clouds(rng, 25)
    for axis in (1, 2):
        places[..., axis] += 6 * _clouds(rng, 18) + 1.4 * _clouds(rng, 6)
    return places


def _walls(rng: np.random.Generator, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how far each voxel is from a wall, in pixels, and the number of its cell."""
    size = np.array(SHAPE) * (THICKNESS, 1, 1)
    centres = rng.uniform(-0.1, 1.1, (CELLS, 3)) * size
    near, which = cKDTree(centres).query(places.reshape(-1, 3), k=2)
    apart = np.linalg.norm(centres[which[:, 0]] - centres[which[:, 1]], axis=1)
    wall = (near[:, 1] ** 2 - near[:, 0] ** 2) / (2 * apart)
    return wall.reshape(SHAPE), which[:, 0].reshape(SHAPE)


def _bodies(rng: np.random.Generator, places: np.ndarray) -> np.ndarray:
    """Return how deep each voxel lies in the nearest body: 0 at its centre, 1 at its border."""
    size = np.array(SHAPE) * (THICKNESS, 1, 1)
    centres = rng.uniform(0, 1, (BODIES, 3)) * size
    radii = rng.uniform(6, 13, BODIES)
    near, which = cKDTree(centres).query(places.reshape(-1, 3))
    return np.asarray((near / radii[which]).reshape(SHAPE))
