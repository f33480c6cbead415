"""The replay buffer of a checkpoint: some of its training data, stored beside its weights.

Fine-tuning mixes these frames with the new ones, so that the network does not forget its earlier
training.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

import numpy as np

from ..errors import CheckpointError
from ..formats import open_zip, read_member
from ..images import SlabObjects, TrainingImage
from .folder import LARGEST_REPLAY, REPLAY

FILE = REPLAY
# Number of frames in a buffer, and their largest side in pixels.
COUNT, SIDE = 24, 160
# The side of slabs, which have several slices.
SLAB_SIDE = 96
# Frames and sides that are read at most; buffers of other versions may be larger.
MOST, LARGEST_SIDE = 1000, 4096


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
        arrays[f"labels{number}"] = _as_uint16(image.labels)
        if image.weight is not None:
            arrays[f"weight{number}"] = image.weight > 0
        if (objects := image.objects) is not None:
            arrays[f"objects{number}"] = _as_uint16(objects.ids)
            arrays[f"known{number}"] = objects.known
            arrays[f"place{number}"] = np.array([objects.first, objects.spacing])
    blob = io.BytesIO()
    np.savez_compressed(blob, allow_pickle=False, **arrays)
    return blob.getvalue()


def _as_uint16(labels: np.ndarray) -> np.ndarray:
    """Return labels whose ids begin again at 1 above the largest number of 16 bits."""
    most = np.iinfo(np.uint16).max
    return np.where(labels > 0, (labels.astype(np.int64) - 1) % most + 1, 0).astype(np.uint16)


def read(checkpoint: Path) -> list[TrainingImage]:
    """Return the replay buffer in a checkpoint's folder; empty if it has none.

    Raises
    ------
    CheckpointError
        If the file is damaged or holds anything but frames with their labels.
    """
    path = checkpoint / REPLAY
    if not path.is_file():
        return []
    try:
        if path.stat().st_size > LARGEST_REPLAY:
            raise ValueError(f"it has more than {LARGEST_REPLAY:,} bytes")
        return _unpack(path, checkpoint.name)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"The replay buffer of checkpoint {checkpoint.name} cannot be read ({error}). Delete "
            f"{path} to train without it."
        ) from error


def check(blob: bytes) -> None:
    """Check that `read` can read a replay buffer, given the content of its file.

    Raises
    ------
    ValueError
        If not.
    """
    _unpack(io.BytesIO(blob), "")


def _unpack(source: Path | io.BytesIO, name: str) -> list[TrainingImage]:
    with open_zip(source) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > LARGEST_REPLAY:
            raise ValueError(f"it holds more than {LARGEST_REPLAY:,} bytes")
        numbers = [
            int(found[1])
            for member in archive.namelist()
            if (found := re.fullmatch(r"frame(\d{1,4})\.npy", member))
        ]
        if len(numbers) > MOST:
            raise ValueError(f"it holds {len(numbers)} frames")
        return [_frame(archive, number, f"{name}, replayed {number}") for number in sorted(numbers)]


def _frame(archive: ZipFile, number: int, name: str) -> TrainingImage:
    frame = _array(archive, f"frame{number}", "f")
    labels = _array(archive, f"labels{number}", "iub")
    weight = _array(archive, f"weight{number}", "iubf")
    if frame is None or labels is None:
        raise ValueError(f"frame {number} has no labels")
    shape = frame.shape
    flat = len(shape) in (3, 4) and labels.shape == shape[-2:]
    if not flat or not all(shape) or max(shape) > LARGEST_SIDE:
        raise ValueError(f"frame {number} has the shape {shape}, and its labels {labels.shape}")
    if weight is not None and weight.shape != labels.shape:
        raise ValueError(f"frame {number} has weights of the shape {weight.shape}")
    frame = frame.astype(np.float32)
    if not np.isfinite(frame).all() or labels.min() < 0:
        raise ValueError(f"frame {number} has pixels that are not finite, or labels below 0")
    weight = None if weight is None else weight.astype(np.float32)
    return TrainingImage(
        name, frame, labels, weight=weight, objects=_objects(archive, number, shape)
    )


def _objects(archive: ZipFile, number: int, shape: tuple[int, ...]) -> SlabObjects | None:
    """Return the objects around a slab of a shape, or None if they are not there."""
    ids, known = _array(archive, f"objects{number}", "u"), _array(archive, f"known{number}", "b")
    place = _array(archive, f"place{number}", "f")
    if ids is None or known is None or place is None:
        return None
    fits = len(shape) == 4 and ids.ndim == 3 and ids.shape == known.shape
    if not fits or ids.shape[1:] != shape[2:] or not 0 < len(ids) <= LARGEST_SIDE:
        raise ValueError(f"frame {number} has objects of the shape {ids.shape}")
    first, spacing = place.tolist() if place.shape == (2,) else (math.nan, 0.0)
    if not (first.is_integer() and -len(ids) < first < shape[1] and 0 < spacing < math.inf):
        raise ValueError(f"frame {number} has objects at the place {place.tolist()}")
    return SlabObjects(ids, known, int(first), spacing)


def _array(archive: ZipFile, name: str, kinds: str) -> np.ndarray | None:
    """Return an array of one of several kinds of dtype, or None if it is not there.

    Memory is taken only for what is in the file, whatever shape its header claims.
    """
    blob = read_member(archive, f"{name}.npy", LARGEST_REPLAY)
    if not blob:
        return None
    stream = io.BytesIO(blob)
    if np.lib.format.read_magic(stream) == (1, 0):
        shape, by_column, dtype = np.lib.format.read_array_header_1_0(stream)
    else:
        shape, by_column, dtype = np.lib.format.read_array_header_2_0(stream)
    values = blob[stream.tell() :]
    if dtype.kind not in kinds or len(values) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name} has the dtype {dtype}, the shape {shape}, {len(values)} bytes")
    return np.frombuffer(values, dtype).reshape(shape, order="F" if by_column else "C")


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
    squares = [cut(images[int(rng.integers(len(images)))], rng) for _ in range(COUNT // 2)]
    return [*inherited, *squares]


def cut(image: TrainingImage, rng: np.random.Generator) -> TrainingImage:
    """Cut a square around a random foreground pixel, or else around any annotated pixel.

    Parameters
    ----------
    image : TrainingImage
        The frame.
    rng : Generator
        Draws the pixel.

    Returns
    -------
    TrainingImage
        At most `SIDE` pixels high and wide, a slab `SLAB_SIDE`.
    """
    side = SIDE if image.frame.ndim == 3 else SLAB_SIDE
    candidates = np.flatnonzero(image.annotated)
    if not candidates.size and image.weight is not None:
        candidates = np.flatnonzero(image.weight)
    height, width = image.labels.shape
    centre = int(candidates[rng.integers(candidates.size)]) if candidates.size else 0
    y, x = divmod(centre, width)
    top = min(max(0, y - side // 2), max(0, height - side))
    left = min(max(0, x - side // 2), max(0, width - side))
    box = slice(top, top + side), slice(left, left + side)
    return TrainingImage(
        image.name,
        image.frame[..., *box],
        image.labels[box],
        weight=None if image.weight is None else image.weight[box],
        objects=image.objects and image.objects.cut(*box),
    )
