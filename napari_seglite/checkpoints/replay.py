"""The replay buffer of a checkpoint: some of its training data, stored beside its weights.

Fine-tuning mixes these frames with the new ones, so that the network does not forget its earlier
training.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..images import TrainingImage

FILE = "replay.npz"
# Number of frames in a buffer, and their largest side in pixels.
COUNT, SIDE = 24, 160


def pack(images: Sequence[TrainingImage]) -> bytes:
    """Return a replay buffer as the content of a compressed ``.npz`` file.

    Parameters
    ----------
    images : sequence of TrainingImage
        With equal numbers of channels. Frames are stored as float16, labels as uint16.
    """
    arrays: dict[str, np.ndarray] = {}
    for number, image in enumerate(images):
        arrays[f"frame{number}"] = image.frame.astype(np.float16)
        arrays[f"labels{number}"] = image.labels.astype(np.uint16)
        if image.weight is not None:
            arrays[f"weight{number}"] = image.weight > 0
    blob = io.BytesIO()
    np.savez_compressed(blob, allow_pickle=False, **arrays)
    return blob.getvalue()


def read(checkpoint: Path) -> list[TrainingImage]:
    """Return the replay buffer in a checkpoint's folder; empty if it is missing or unreadable."""
    path = checkpoint / FILE
    if not path.is_file():
        return []
    try:
        with np.load(path, allow_pickle=False) as arrays:
            numbers = sorted(int(name[5:]) for name in arrays.files if name.startswith("frame"))
            return [
                TrainingImage(
                    f"{checkpoint.name}, replayed {k}",
                    arrays[f"frame{k}"].astype(np.float32),
                    arrays[f"labels{k}"],
                    weight=arrays[f"weight{k}"].astype(np.float32)
                    if f"weight{k}" in arrays.files
                    else None,
                )
                for k in numbers
            ]
    except (OSError, ValueError, KeyError):
        return []


def choose(
    images: Sequence[TrainingImage], earlier: Sequence[TrainingImage], rng: np.random.Generator
) -> list[TrainingImage]:
    """Choose the replay buffer of a new checkpoint.

    Parameters
    ----------
    images : sequence of TrainingImage
        Its training data; squares of `SIDE` pixels from them fill half of the buffer.
    earlier : sequence of TrainingImage
        The replay buffer of its parent, from which the other half is drawn; may be empty.
    rng : Generator
        Draws the frames and the squares.

    Returns
    -------
    list of TrainingImage
        At most `COUNT`, the parent's first.
    """
    inherited = [earlier[k] for k in rng.permutation(len(earlier))[: COUNT // 2]]
    squares = [_cut(images[int(rng.integers(len(images)))], rng) for _ in range(COUNT // 2)]
    return [*inherited, *squares]


def _cut(image: TrainingImage, rng: np.random.Generator) -> TrainingImage:
    """Cut a square around a random foreground pixel, or else around any annotated pixel."""
    candidates = np.flatnonzero(image.annotated)
    if not candidates.size and image.weight is not None:
        candidates = np.flatnonzero(image.weight)
    height, width = image.labels.shape
    centre = int(candidates[rng.integers(candidates.size)]) if candidates.size else 0
    y, x = divmod(centre, width)
    top = min(max(0, y - SIDE // 2), max(0, height - SIDE))
    left = min(max(0, x - SIDE // 2), max(0, width - SIDE))
    box = slice(top, top + SIDE), slice(left, left + SIDE)
    weight = None if image.weight is None else image.weight[box]
    return TrainingImage(image.name, image.frame[:, *box], image.labels[box], weight=weight)
