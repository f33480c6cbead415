"""Draw augmented training patches from annotated frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from src_models import object_heads

from ..images import Normalisation, SlabObjects, TrainingImage
from .whole_objects import object_ids, slab_targets

if TYPE_CHECKING:
    import torch

    Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor | None]

PERCENTILES = Normalisation()


class PatchSampler:
    """Draws augmented patches from annotated frames; the same seed gives the same patches.

    Parameters
    ----------
    images : sequence of TrainingImage
        Not copied.
    patch : int
        Height and width of a patch in pixels.
    scale : float
        Patches are enlarged or shrunk by up to this factor; 1 keeps the size.
    invert : float
        Probability that bright and dark change places.
    intensity : float
        Frequency of changes to contrast, brightness, sharpness and noise: 0 never, 1 as usual.
    seed : int
        Of every random choice.
    classes : int
        Output channels of the network. Several classes are drawn equally often, however rare
        some of them are.
    head : str
        Object head of the network, whose targets are computed from the objects' ids; an empty
        string for none.
    normalisation : Normalisation
        Of the frames, which decides what an inverted one looks like.
    rotation : float
        Largest angle in degrees by which patches are turned, and from 45 on also by right angles.
    """

    def __init__(
        self,
        images: Sequence[TrainingImage],
        patch: int,
        scale: float,
        invert: float,
        intensity: float,
        seed: int,
        classes: int = 1,
        head: str = "",
        normalisation: Normalisation = PERCENTILES,
        rotation: float = 45.0,
    ) -> None:
        self.images = list(images)
        self.patch = patch
        self.margin = int(np.ceil(patch * max(scale, 1.0) * 2**0.5))
        shares = np.array([image.share for image in self.images], float)
        self._shares = shares / shares.sum()
        self._rng = np.random.default_rng(seed)
        self._volumes = self.images[0].frame.ndim == 4
        # Of a slab, only the slices that were corrected count.
        self._weighted = self._volumes or any(image.weight is not None for image in self.images)
        self._members = slab_members(self.images)
        # Labels of pixels that do not count never reach the network.
        self._labels = [image.annotated for image in self.images]
        self._objects = [_object_pixels(labels, classes) for labels in self._labels]
        self._counting = [
            None if image.weight is None else np.flatnonzero(image.weight) for image in self.images
        ]
        # Objects reach beyond what counts, and so does the distance to their centre.
        learns_planes = head and not self._volumes
        self._ids = [object_ids(image.labels) for image in self.images] if learns_planes else []
        self._head = head
        inverted = partial(_invert, _inverted_sums(normalisation, self.images[0].frame))
        self._transform = _augmentation(
            patch,
            scale,
            (invert, inverted),
            intensity,
            seed,
            self._weighted,
            head,
            rotation,
            self.images[0].frame.shape[1] if self._volumes else 0,
        )

    def batch(self, size: int) -> Batch:
        """Draw a batch of patches.

        Parameters
        ----------
        size : int
            Number of patches.

        Returns
        -------
        frames : Tensor
            ``(size, C, patch, patch)`` float32; of volumes ``(size, C, D, patch, patch)``, and so
            on.
        labels : Tensor
            ``(size, patch, patch)`` int64.
        weight : Tensor or None
            ``(size, patch, patch)`` float32; None if all pixels of all frames count.
        wanted : Tensor or None
            ``(size, C, patch, patch)`` float32, what the object head should predict, NaN where it
            is not known; None without one.
        """
        import torch

        chosen = self._rng.choice(len(self.images), size, p=self._shares)
        patches = [self._transform(self._window(k)) for k in chosen]
        frames = torch.stack([p["frame"] for p in patches])
        labels = torch.stack([p["labels"] for p in patches])
        weight = torch.stack([p["weight"] for p in patches]) if self._weighted else None
        wanted = torch.stack([p["wanted"] for p in patches]) if self._head else None
        if self._volumes:
            depth = labels.shape[1]
            frames = frames.unflatten(1, (-1, depth))
            wanted = None if wanted is None else wanted.unflatten(1, (-1, depth))
        else:
            labels, weight = labels[:, 0], None if weight is None else weight[:, 0]
        return frames.float(), labels.round().long(), weight, wanted

    def state(self) -> dict[str, Any]:
        """Return the states of all random generators as JSON data, see `restore`."""
        return {
            "frames": self._rng.bit_generator.state,
            "augmentation": [_as_lists(source.get_state(legacy=False)) for source in self._sources],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Draw the patches that a sampler of the same frames would draw after `state`.

        Raises
        ------
        ValueError, KeyError, TypeError
            If the state is of another sampler or damaged.
        """
        for source, kept in zip(self._sources, state["augmentation"], strict=True):
            source.set_state(kept)
        self._rng.bit_generator.state = state["frames"]

    @property
    def _sources(self) -> list[np.random.RandomState]:
        return list(_random_sources(self._transform))

    def _window(self, number: int) -> dict[str, np.ndarray]:
        """Cut a window large enough to rotate and shrink, around a random pixel that counts.

        Half of the windows are centred on an object, so that rare objects are drawn, too.
        """
        image, counting = self.images[number], self._counting[number]
        height, width = image.labels.shape
        y, x = self._rng.integers(height), self._rng.integers(width)
        objects = self._objects[number]
        centres = counting
        if self._rng.random() < 0.5 and objects:
            centres = objects[self._rng.integers(len(objects))]
        if centres is not None and centres.size:
            y, x = np.divmod(centres[self._rng.integers(centres.size)], width)
        # The centre stays half a patch inside, where the frame is large enough for that.
        rows = _window_indices(int(y), height, self.patch, self.margin)
        columns = _window_indices(int(x), width, self.patch, self.margin)
        place = rows[:, None], columns
        frame, labels = image.frame[..., *place], self._planes(number, self._labels, place)
        window = {"frame": frame, "labels": labels}
        if self._weighted:
            window["weight"] = self._planes(number, [image.weight for image in self.images], place)
        if self._volumes:
            # All slices are turned and enlarged alike, as if they were channels.
            step = -1 if self._rng.random() < 0.5 else 1
            window = {name: planes[..., ::step, :, :] for name, planes in window.items()}
            window["frame"] = window["frame"].reshape(-1, *frame.shape[-2:])
            if self._head:
                window |= _objects_window(image, place, step)
        if self._ids:
            window["ids"] = self._ids[number][rows[:, None], columns][None].astype(np.float32)
        return window

    def _planes(
        self, number: int, arrays: Sequence[np.ndarray | None], place: tuple[np.ndarray, np.ndarray]
    ) -> np.ndarray:
        """Return some pixels of every slice; 0 where it is not annotated, 1 where it wholly is."""
        planes = []
        for member in self._members[number]:
            array = None if member is None else arrays[member]
            fill = np.full((1, 1), member is not None) if array is None else array
            planes.append(np.broadcast_to(fill, self.images[number].labels.shape)[place])
        return np.stack(planes).astype(np.float32)


def slab_members(images: Sequence[TrainingImage]) -> list[tuple[int | None, ...]]:
    """Return for every slice of every image which of the images annotates it, if any does.

    Slices that an end of the stack repeats count once.
    """

    def place(image: TrainingImage, number: int) -> tuple[Any, ...]:
        return image.source, number, image.corner, image.labels.shape

    known = {
        place(image, image.slices[len(image.slices) // 2]): k
        for k, image in enumerate(images)
        if image.slices
    }
    members: list[tuple[int | None, ...]] = []
    for k, image in enumerate(images):
        depth = image.frame.shape[1] if image.frame.ndim == 4 else 1
        found: list[int | None] = [None] * depth
        for z, number in enumerate(image.slices):
            nearer = image.slices[z + 1 : depth // 2 + 1] if z < depth // 2 else ()
            nearer = nearer or image.slices[depth // 2 : z]
            if number not in nearer:
                found[z] = known.get(place(image, number))
        found[depth // 2] = k
        members.append(tuple(found))
    return members


def _objects_window(
    image: TrainingImage, place: tuple[np.ndarray, np.ndarray], step: int
) -> dict[str, Any]:
    """Return the objects around a slab in a window, mirrored along Z if the step is -1."""
    objects, depth = image.objects, image.frame.shape[1]
    if objects is None:
        nothing = np.zeros((1, *image.labels.shape), np.uint8)
        objects = SlabObjects(nothing, nothing > 0, 0)
    first = objects.first if step > 0 else depth - objects.first - len(objects.ids)
    return {
        "ids": objects.ids[::step, *place].astype(np.float32),
        "known": objects.known[::step, *place].astype(np.float32),
        "first": first,
        "spacing": objects.spacing,
    }


def _object_pixels(labels: np.ndarray, classes: int) -> list[np.ndarray]:
    """Return the object pixels of a flattened frame, an array for each class that occurs."""
    masks = [labels > 0] if classes == 1 else [labels == k for k in range(1, classes)]
    return [pixels for mask in masks if (pixels := np.flatnonzero(mask)).size]


def _window_indices(centre: int, length: int, patch: int, size: int) -> np.ndarray:
    """Return the indices of `size` pixels around a centre, mirrored at the borders."""
    half = min(patch, length) // 2
    centre = min(max(centre, half), length - half)
    indices = np.arange(centre - size // 2, centre - size // 2 + size)
    period = max(2 * (length - 1), 1)
    folded = np.abs(indices) % period
    return np.asarray(np.where(folded >= length, period - folded, folded))


def _augmentation(
    patch: int,
    scale: float,
    invert: tuple[float, Callable[[Any], Any]],
    intensity: float,
    seed: int,
    weighted: bool,
    head: str,
    rotation: float,
    depth: int,
) -> Any:
    # The import takes over a second.
    from monai.transforms import (
        CenterSpatialCropd,
        Compose,
        EnsureTyped,
        RandAdjustContrastd,
        RandAffined,
        RandFlipd,
        RandGaussianNoised,
        RandGaussianSmoothd,
        RandLambdad,
        RandRotate90d,
        RandScaleIntensityd,
        RandShiftIntensityd,
    )

    both = ["frame", "labels", *(["weight"] if weighted else []), *(["ids"] if head else [])]
    both += ["known"] if head and depth else []
    # RandAffined adds these to 1 and scales the sampling grid: above 1 objects shrink.
    zoom = (1 / scale - 1, scale - 1)
    turned: list[Any] = [
        RandFlipd(both, prob=0.5, spatial_axis=0),
        RandFlipd(both, prob=0.5, spatial_axis=1),
        RandRotate90d(both, prob=0.5 if rotation >= 45 else 0.0),
    ]
    turned_and_cropped: list[Any] = [CenterSpatialCropd(both, roi_size=(patch, patch)), *turned]
    if head:  # before the crop, which cuts objects, and after the turns, which offsets follow
        crop = CenterSpatialCropd([*both, "wanted"], roi_size=(patch, patch))
        turned_and_cropped = [*turned, _Targets(head, depth), crop]
    transform = Compose(
        [
            RandAffined(
                both,
                prob=0.7 if scale > 1 else 0.3,
                rotate_range=np.radians(rotation),
                scale_range=(zoom, zoom),
                spatial_size=None,
                mode=("bilinear", *["nearest"] * (len(both) - 1)),
                padding_mode="reflection",
            ),
            *turned_and_cropped,
            RandLambdad("frame", prob=invert[0], func=invert[1]),
            RandAdjustContrastd("frame", prob=0.3 * intensity, gamma=(0.6, 1.6)),
            RandScaleIntensityd("frame", prob=0.5 * intensity, factors=0.4),
            RandShiftIntensityd("frame", prob=0.5 * intensity, offsets=0.15),
            RandGaussianSmoothd(
                "frame", prob=0.15 * intensity, sigma_x=(0.5, 1.5), sigma_y=(0.5, 1.5)
            ),
            RandGaussianNoised("frame", prob=0.3 * intensity, std=0.08),
            EnsureTyped([*both, *(["wanted"] if head else [])], track_meta=False),
        ]
    )
    return transform.set_random_state(seed=seed)


class _Targets:
    """Adds what an object head should predict to a window; of slabs, slices as channels."""

    def __init__(self, head: str, depth: int) -> None:
        self.head, self.depth = head, depth

    def __call__(self, window: dict[str, Any]) -> dict[str, Any]:
        import torch

        ids = np.asarray(window["ids"]).round().astype(np.int64)
        if self.depth:
            known = np.asarray(window["known"]) > 0.5
            objects = SlabObjects(ids, known, window["first"], window["spacing"])
            wanted = slab_targets(self.head, objects, self.depth)
            wanted = wanted.reshape(-1, *wanted.shape[-2:])
        else:
            wanted = object_heads.targets(self.head, object_ids(ids[0]))
        return {**window, "wanted": torch.from_numpy(wanted)}


def _random_sources(transform: Any) -> Iterator[np.random.RandomState]:
    """Yield the generators of a transform of MONAI and of those that it is made of."""
    from monai.transforms import Randomizable, Transform

    if isinstance(transform, Randomizable):
        yield transform.R
    for part in vars(transform).values():
        for each in part if isinstance(part, list | tuple) else [part]:
            if isinstance(each, Transform):
                yield from _random_sources(each)


def _as_lists(state: dict[str, Any]) -> dict[str, Any]:
    """Return the state of a generator of NumPy as JSON data."""
    inner = {name: np.asarray(value).tolist() for name, value in state["state"].items()}
    return {**state, "state": inner}


def _inverted_sums(normalisation: Normalisation, frame: np.ndarray) -> torch.Tensor:
    """Return `Normalisation.inverted_sums` for every plane of a frame, be they slices or a slab."""
    import torch

    sums = np.array(normalisation.inverted_sums, np.float32)
    if frame.ndim == 4:
        sums = np.repeat(sums, frame.shape[1])
    elif len(sums) > 1:
        sums = np.tile(sums, len(frame) // len(sums))
    return torch.from_numpy(sums[:, None, None])


def _invert(sums: torch.Tensor, frame: Any) -> Any:
    return sums - frame
