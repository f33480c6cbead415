"""What the object head of a network for volumes can learn from slices that were corrected.

An object is known as a whole where it ends in annotated slices, or at the end of the stack. One
that touches a pixel that is not annotated may go on there: it teaches the mask, but not the head.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from src_models import object_heads

from ..checkpoints import CheckpointInfo
from ..errors import CheckpointError
from ..images import SlabObjects, TrainingImage

# Slices that an object may reach beyond a slab, so that patches and replay buffers stay small.
REACH = 64


def object_ids(labels: np.ndarray) -> np.ndarray:
    """Return an id for every object: pixels of one label that touch."""
    from skimage.measure import label

    return np.asarray(label(labels.astype(np.int64), connectivity=1), np.int32)


# ---------------------------------------------------------------------- of a stack
def with_objects(
    images: Sequence[TrainingImage], info: CheckpointInfo, spacing: float | None = None
) -> list[TrainingImage]:
    """Return the slabs of an image with their objects, if the network learns these in 3-D.

    Parameters
    ----------
    images : sequence of TrainingImage
        All slabs of one image, cut to the same box; its sides are as good as ends of the image,
        because all that is annotated lies well inside.
    info : CheckpointInfo
        Of the new checkpoint.
    spacing : float, optional
        Distance between two slices in pixels of a slice; that of the network if not given.
    """
    if not (info.volumetric and info.head):
        return list(images)
    voxel = info.options.get("spacing") or (1.0, 1.0, 1.0)
    spacing = spacing or float(voxel[0]) / min(voxel[1:])
    found: dict[int, SlabObjects] = {}
    for run in _runs(images):
        labels = np.stack([image.annotated for image in run])
        annotated = np.stack(
            [np.ones(i.labels.shape, bool) if i.weight is None else i.weight > 0 for i in run]
        )
        ends = _middle(run[0], -1) == _middle(run[0]), _middle(run[-1], 1) == _middle(run[-1])
        ids = object_ids(labels)
        known = known_pixels(info.head, ids, annotated, ends)
        boxes = _extents(ids, known)
        for place, image in enumerate(run):
            found[id(image)] = _around(image, place, ids, known, boxes, spacing)
    return [replace(image, objects=found[id(image)]) for image in images]


def known_pixels(
    head: str, ids: np.ndarray, annotated: np.ndarray, ends: tuple[bool, bool]
) -> np.ndarray:
    """Return where it is known what an object head should predict.

    Of distances and offsets, in whole objects and in the background, where they are 0 whatever is
    near. Of borders, wherever all pixels are annotated that a border may reach from.

    Parameters
    ----------
    head : str
        One of `object_heads.NAMES`.
    ids : ndarray
        ``(Z, H, W)``, consecutive slices with an id per object.
    annotated : ndarray
        ``(Z, H, W)`` boolean.
    ends : tuple of bool
        Whether the stack begins with the first of the slices, and ends with the last.

    Returns
    -------
    ndarray
        ``(Z, H, W)`` boolean.
    """
    import scipy.ndimage as ndi

    unknown = np.pad(~annotated, ((1, 1), (0, 0), (0, 0)))
    unknown[0], unknown[-1] = not ends[0], not ends[1]
    if head == object_heads.BORDER:
        reached = np.ones((2 * object_heads.BORDER_REACH + 1,) * 3, bool)
        return np.asarray(~ndi.binary_dilation(unknown, reached)[1:-1])
    whole = np.ones(int(ids.max(initial=0)) + 1, bool)
    whole[ids[ndi.binary_dilation(unknown)[1:-1]]] = False
    whole[0] = True
    return np.asarray(annotated & whole[ids])


def _runs(images: Sequence[TrainingImage]) -> Iterator[list[TrainingImage]]:
    """Yield the slabs of slices that follow one another without a gap."""
    known = {_middle(image): image for image in images}
    for image in images:
        if (before := _middle(image, -1)) in known and before != _middle(image):
            continue
        run = [image]
        while (after := _middle(run[-1], 1)) in known and after != _middle(run[-1]):
            run.append(known[after])
        yield run


def _middle(image: TrainingImage, step: int = 0) -> int:
    """Return the number of the slice in the middle of a slab, or of one beside it."""
    return image.slices[len(image.slices) // 2 + step]


def _extents(ids: np.ndarray, known: np.ndarray) -> dict[int, tuple[int, int]]:
    """Return the slices that decide about the objects that are known: theirs, and one beyond."""
    import scipy.ndimage as ndi

    boxes = ndi.find_objects(np.where(known, ids, 0))
    last = len(ids)
    return {
        k: (max(box[0].start - 1, 0), min(box[0].stop + 1, last))
        for k, box in enumerate(boxes, start=1)
        if box
    }


def _around(
    image: TrainingImage,
    place: int,
    ids: np.ndarray,
    known: np.ndarray,
    extents: dict[int, tuple[int, int]],
    spacing: float,
) -> SlabObjects:
    """Return the objects of a slab, whose slice in the middle has this place in a run.

    Those that are whole are so also where they reach beyond the slab.
    """
    half = len(image.slices) // 2
    low, high = max(place - half, 0), min(place + half + 1, len(ids))
    seen = {k: extents[k] for k in np.unique(ids[low:high]).tolist() if k in extents}
    near = {k: e for k, e in seen.items() if low - REACH <= e[0] and e[1] <= high + REACH}
    low, high = (
        min([low, *(begin for begin, _ in near.values())]),
        max([high, *(end for _, end in near.values())]),
    )
    own, certain = ids[low:high], known[low:high]
    if far := list(seen.keys() - near.keys()):
        certain = certain & ~np.isin(own, far)
    return SlabObjects(own, certain, low - (place - half), spacing)


def check_whole_objects(images: Sequence[TrainingImage], info: CheckpointInfo) -> None:
    """Check that the object head of a network for volumes has anything to learn from.

    Raises
    ------
    CheckpointError
        If no object is whole.
    """
    if not (info.volumetric and info.head):
        return
    if not any(image.objects is not None and image.objects.teach for image in images):
        raise CheckpointError(
            f"The object head of {info.id} learns from objects that lie wholly within corrected "
            "slices, and there is none. Correct neighbouring slices one after the other, from "
            "above an object to below it, or train without the head."
        )


# ---------------------------------------------------------------------- of a patch
def slab_targets(head: str, objects: SlabObjects, depth: int) -> np.ndarray:
    """Return what a head should predict for a slab.

    Parameters
    ----------
    head : str
        One of `object_heads.NAMES`.
    objects : SlabObjects
        Around the slab.
    depth : int
        Number of the slab's slices.

    Returns
    -------
    ndarray
        ``(channels, depth, H, W)`` float32; NaN where it is not known.
    """
    ids, first = objects.ids, objects.first
    wanted = np.full((object_heads.channels(head, 3), depth, *ids.shape[1:]), np.nan, np.float32)
    begin, end = max(first, 0), min(first + len(ids), depth)
    found = object_heads.targets(head, object_ids(ids), (objects.spacing, 1.0, 1.0))
    found = np.where(objects.known, found, np.float32(np.nan))
    wanted[:, begin:end] = found[:, begin - first : end - first]
    return wanted
