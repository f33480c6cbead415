"""Drawn images of lines, cell walls and objects, in 2-D and as stacks of slices.

They show a network what no images under a free licence are at hand for. Everything follows from
the random generator that is passed.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

SIZE = 256
# Pixels by which a slice is shifted and bent against its neighbour, at most.
SHIFT = 4.0


def drawn(rng: np.random.Generator, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Draw an image.

    Parameters
    ----------
    rng : numpy.random.Generator
        Of every choice.
    kind : str
        ``"vessels"``, ``"membranes"`` or ``"objects"``.

    Returns
    -------
    pixels : ndarray
        ``(256, 256)`` float, of any range.
    mask : ndarray
        ``(256, 256)`` bool.
    """
    if kind == "objects":
        return objects(rng)
    mask, depth = membranes(rng) if kind == "membranes" else vessels(rng)
    return painted(rng, mask, depth), mask


def slices(rng: np.random.Generator, pixels: np.ndarray) -> np.ndarray:
    """Return an image between two made-up neighbours, as thick slices of a stack have them.

    A neighbour is the image bent by up to `SHIFT` pixels, brighter or darker, with noise of its
    own; now and then it is another part of the image, as after a lost slice.

    Parameters
    ----------
    rng : numpy.random.Generator
        Of every choice.
    pixels : ndarray
        ``(H, W)``, normalised.

    Returns
    -------
    ndarray
        ``(3, H, W)`` float32.
    """
    reach = rng.uniform(0, SHIFT)
    return np.stack(
        [_neighbour(rng, pixels, reach), pixels, _neighbour(rng, pixels, reach)]
    ).astype(np.float32)


def _neighbour(rng: np.random.Generator, pixels: np.ndarray, reach: float) -> np.ndarray:
    if rng.random() < 0.05:
        return np.roll(pixels, rng.integers(0, pixels.shape), (0, 1))
    sigma = rng.uniform(8, 30)
    places = np.mgrid[: pixels.shape[0], : pixels.shape[1]].astype(np.float32)
    for axis in range(2):
        bend = ndimage.gaussian_filter(rng.standard_normal(pixels.shape), sigma, mode="wrap")
        places[axis] += reach * bend / (2 * bend.std() + 1e-6) + rng.normal(0, reach / 4)
    moved = ndimage.map_coordinates(pixels, places, order=1, mode="mirror")
    moved = moved * rng.uniform(0.85, 1.15) + rng.normal(0, 0.05)
    return np.asarray(moved + rng.uniform(0, 0.05) * rng.standard_normal(pixels.shape))


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


# ---------------------------------------------------------------------- objects
def objects(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw objects that differ from their surroundings in brightness, texture or outline.

    Some touch, some lie alone; each image has one kind of object, and smaller things beside it
    that do not count. Returns pixels and mask as `drawn` does.
    """
    radius = np.exp(rng.uniform(np.log(6), np.log(80)))
    count = int(np.clip(rng.uniform(0.1, 0.7) * SIZE**2 / (3.6 * radius**2), 1, 120))
    ids = _shapes(rng, radius, count)
    mask = ids > 0
    inner, outer = (clouds(rng, rng.uniform(0.7, max(1.0, radius / 3))) for _ in range(2))
    contrast = rng.choice([-1, 1]) * rng.uniform(0.05, 1)
    # The weaker the contrast, the more texture and outline tell.
    rough = rng.uniform(0.05, 0.5) if abs(contrast) < 0.35 else rng.uniform(0, 0.25)
    each = rng.normal(1, 0.25, count + 1)[ids]
    inside = contrast * each + rough * inner * rng.choice([1, 1, 2])
    outside = rough * outer * rng.uniform(0.2, 1) + rng.uniform(0, 0.3) * clouds(rng, 50)
    pixels = np.where(mask, inside, outside)
    if rng.random() < 0.5 or abs(contrast) < 0.2:
        border = (ndimage.grey_dilation(ids, 3) != ndimage.grey_erosion(ids, 3)).astype(float)
        line = ndimage.gaussian_filter(border, rng.uniform(0.5, 2))
        pixels += rng.choice([-1, 1]) * rng.uniform(0.4, 1.5) * line / line.max()
    for _ in range(rng.integers(0, 12)):
        pixels += np.where(mask, 0.3, 1) * _ellipse(rng, rng.uniform(0.2, 0.8), radius / 3)
    pixels = ndimage.gaussian_filter(pixels, rng.uniform(0.4, 1.8))
    return pixels + rng.uniform(0.01, 0.15) * rng.standard_normal(pixels.shape), mask


def _shapes(rng: np.random.Generator, radius: float, count: int) -> np.ndarray:
    """Return bent ellipses that may touch but not overlap, numbered from 1, ``(256, 256)``."""
    y, x = np.mgrid[:SIZE, :SIZE].astype(float)
    bend = radius * rng.uniform(0, 0.4)
    y, x = (each + bend * clouds(rng, max(radius / 1.5, 2)) for each in (y, x))
    ids = np.zeros((SIZE, SIZE), np.int64)
    for number in range(1, count + 1):
        middle, angle = rng.uniform(0, SIZE, 2), rng.uniform(0, np.pi)
        radii = radius * np.exp(rng.normal(0, 0.25)) * np.exp(rng.normal(0, 0.2, 2))
        v, u = y - middle[0], x - middle[1]
        along, across = np.cos(angle) * v + np.sin(angle) * u, np.cos(angle) * u - np.sin(angle) * v
        inside = (along / radii[0]) ** 2 + (across / radii[1]) ** 2 < 1
        if (ids[inside] > 0).mean() < 0.3 if inside.any() else False:
            ids[inside & (ids == 0)] = number
    return ids


def _ellipse(rng: np.random.Generator, contrast: float, largest: float = 22) -> np.ndarray:
    """Return a filled or speckled ellipse, as a distractor."""
    y, x = np.mgrid[:SIZE, :SIZE] - rng.uniform(0, SIZE, (2, 1, 1))
    angle, radii = rng.uniform(0, np.pi), rng.uniform(min(3, largest), largest, 2)
    u, v = np.cos(angle) * y + np.sin(angle) * x, np.cos(angle) * x - np.sin(angle) * y
    inside = 1 / (1 + np.exp(np.clip(((u / radii[0]) ** 2 + (v / radii[1]) ** 2 - 1) * 6, -30, 30)))
    texture = 1 + rng.choice([0, 0.5]) * clouds(rng, rng.uniform(1, 3))
    return np.asarray(rng.uniform(-1, 1) * contrast * inside * texture)
