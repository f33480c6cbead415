"""Some of what a checkpoint learnt from, kept beside its weights so that it is not forgotten."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..images import TrainingImage

FILE = "replay.npz"
# Frames that are kept, and their side in pixels.
COUNT, SIDE = 24, 160


def pack(images: Sequence[TrainingImage]) -> bytes:
    """Return frames of one number of channels as a compressed file; frames become float16."""
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
    """Return what was kept in a checkpoint's folder; empty if there is nothing readable."""
    path = checkpoint / FILE
    if not path.is_file():
        return []
    try:
        with np.load(path, allow_pickle=False) as found:
            numbers = sorted(int(name[5:]) for name in found.files if name.startswith("frame"))
            return [
                TrainingImage(
                    f"{checkpoint.name}, replayed {k}",
                    found[f"frame{k}"].astype(np.float32),
                    found[f"labels{k}"],
                    weight=found[f"weight{k}"].astype(np.float32)
                    if f"weight{k}" in found.files
                    else None,
                )
                for k in numbers
            ]
    except (OSError, ValueError, KeyError):
        return []


def choose(
    images: Sequence[TrainingImage], before: Sequence[TrainingImage], rng: np.random.Generator
) -> list[TrainingImage]:
    """Choose what a new checkpoint remembers: of what it learnt, and of what its parent knew.

    Each gets half of the places.
    """
    before = list(before)
    kept = [before[k] for k in rng.permutation(len(before))[: COUNT // 2]]
    return [*kept, *(_cut(images[int(rng.integers(len(images)))], rng) for _ in range(COUNT // 2))]


def _cut(image: TrainingImage, rng: np.random.Generator) -> TrainingImage:
    """Cut a square around a random object, or around any pixel that counts."""
    inside = np.flatnonzero(image.annotated)
    if not inside.size and image.weight is not None:
        inside = np.flatnonzero(image.weight)
    height, width = image.labels.shape
    place = int(inside[rng.integers(inside.size)]) if inside.size else 0
    y, x = divmod(place, width)
    top = min(max(0, y - SIDE // 2), max(0, height - SIDE))
    left = min(max(0, x - SIDE // 2), max(0, width - SIDE))
    box = slice(top, top + SIDE), slice(left, left + SIDE)
    weight = None if image.weight is None else image.weight[box]
    return TrainingImage(image.name, image.frame[:, *box], image.labels[box], weight=weight)
