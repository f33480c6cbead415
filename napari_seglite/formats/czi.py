"""Zeiss CZI files, each scene an image."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ImageError
from ..images import ArrayLike
from .image_file import ImageFile
from .library import library
from .limits import check_in_memory
from .stated import Layout, Stated, lay_out, place

# Bytes; larger images are read piece by piece when they are indexed.
LAZY_BYTES = 500_000_000
_PIECE = 2048  # pixels along Y and X
_ADVICE = "Convert it to OME-TIFF in tiles: bfconvert -tilex 512 -tiley 512 in.czi out.ome.tif"
_LIBRARY = "pylibCZIrw.czi"


@dataclass
class _Scene:
    """A scene of a file.

    Attributes
    ----------
    number : int or None
        As the file counts the scenes; None if it has none.
    rectangle : tuple of int
        Left, top, width and height in pixels.
    axes : str
        Letters of the axes beside Y and X.
    planes : set
        Indices of the stored planes along `axes`, which need not start at 0.
    """

    number: int | None
    rectangle: tuple[int, int, int, int]
    axes: str
    planes: set[tuple[int, ...]] = field(default_factory=set)

    @property
    def starts(self) -> tuple[int, ...]:
        """First index along every axis."""
        return tuple(map(min, zip(*self.planes, strict=True)))

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of planes along every axis, then rows and columns."""
        ends = map(max, zip(*self.planes, strict=True))
        counts = (end - start + 1 for start, end in zip(self.starts, ends, strict=True))
        return (*counts, self.rectangle[3], self.rectangle[2])

    @property
    def layout(self) -> Layout:
        """How its axes are understood."""
        return lay_out(self.axes + "YX", self.shape, unsaid="")


@dataclass(frozen=True)
class _Planes:
    """The pixels of a scene, read from the file when they are indexed."""

    path: Path
    scene: _Scene
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __getitem__(self, where: tuple[slice | int, ...]) -> np.ndarray:
        slices = [part if isinstance(part, slice) else slice(part, part + 1) for part in where]
        single = tuple(k for k, part in enumerate(where) if not isinstance(part, slice))
        ranges = [range(n)[part] for n, part in zip(self.shape, slices, strict=True)]
        rows, columns = ranges[len(self.scene.axes) : len(self.scene.axes) + 2]
        left, top = self.scene.rectangle[:2]
        roi = (left + columns.start, top + rows.start, len(columns), len(rows))
        found = np.empty([len(r) for r in ranges], self.dtype)
        frames = ranges[: len(self.scene.axes)]
        with library(_LIBRARY).open_czi(str(self.path)) as file:
            for index in np.ndindex(*(len(r) for r in frames)):
                plane = {
                    axis: start + frames[k][index[k]]
                    for k, (axis, start) in enumerate(
                        zip(self.scene.axes, self.scene.starts, strict=True)
                    )
                }
                pixels = file.read(plane=plane, roi=roi, scene=self.scene.number)
                # Colours are stored blue first.
                found[index] = pixels[..., ::-1] if pixels.shape[-1] > 1 else pixels[..., 0]
        return found.squeeze(single)


def scenes(path: Path) -> tuple[str, ...]:
    """Return the names of the scenes in a CZI file."""
    with library(_LIBRARY).open_czi(str(path)) as file:
        return tuple(name for _, _, name in _images(file))


def read(path: Path, scene: int = 0, labels: bool = False) -> ImageFile:
    """Read a scene of a CZI file: its slices, time points and channels.

    Raises
    ------
    ImageError
        If planes of it are missing.
    """
    with library(_LIBRARY).open_czi(str(path)) as file:
        images = _images(file)
        one, where, _ = images[place(scene, (len(images),))[0]]
        _check_planes(one)
        metadata = file.metadata
        kinds = file.pixel_types
    colour = any("Bgr" in kind for kind in kinds.values())
    layout = one.layout
    letters = layout.letters + "S" * colour
    if colour and "C" in letters:
        raise ImageError("the file holds several channels of colours; extract one of them.")
    array = _read(_Planes(path, one, one.shape + (3,) * colour, _dtype(kinds)), letters, where)
    said = stated(metadata).along(layout.renamed)
    corner = zip("XY", one.rectangle, strict=False)
    names = tuple(name for _, _, name in images)
    return ImageFile.from_levels(
        [array],
        letters.replace("?", ""),
        said.sizes,
        said.units,
        origin={axis: n * said.sizes[axis] for axis, n in corner if axis in said.sizes},
        rgb=colour,
        channels=_channels(said.channels, one, layout),
        scenes=names if len(names) > 1 else (),
        scene=scene,
        notices=(*layout.notices, *said.notices),
        guesses=layout.guesses,
    )


def _read(planes: _Planes, letters: str, where: tuple[int, ...]) -> ArrayLike:
    """Return the pixels of an image, in memory if there are few."""
    index = iter(where)
    chosen = [k if (letter == "?") else None for k, letter in enumerate(letters)]
    slices = tuple(slice(n := next(index), n + 1) if k is not None else slice(None) for k in chosen)
    drop = tuple(k for k in chosen if k is not None)
    size = math.prod(n for k, n in enumerate(planes.shape) if k not in drop)
    if size * planes.dtype.itemsize <= LAZY_BYTES:
        check_in_memory((size,), planes.dtype, _ADVICE)
        return planes[slices].squeeze(drop)
    import dask.array

    frames = len(planes.scene.axes)
    chunks = (1,) * frames + (_PIECE, _PIECE) + planes.shape[frames + 2 :]
    lazy = dask.array.from_array(planes, chunks=chunks, lock=True, asarray=False)
    return lazy[slices].squeeze(drop)  # type: ignore[no-any-return]


def _dtype(kinds: Mapping[int, str]) -> np.dtype[Any]:
    """Return the type that holds the pixels of all channels."""
    types = {"8": np.uint8, "16": np.uint16, "32Float": np.float32, "24": np.uint8, "48": np.uint16}
    found = [types[kind.removeprefix("Gray").removeprefix("Bgr")] for kind in kinds.values()]
    return np.result_type(*found)


def _images(file: Any) -> list[tuple[_Scene, tuple[int, ...], str]]:
    """Return the images of a file: their scene, the place in it, and their names."""
    found = []
    all_scenes = _scenes(file)
    names = _scene_names(file.metadata)
    for number, scene in enumerate(all_scenes):
        letters = scene.layout.letters
        counts = tuple(n for n, a in zip(scene.shape, letters, strict=True) if a == "?")
        name = names.get(number if scene.number is None else scene.number) or f"scene {number + 1}"
        found += [
            (scene, place(k, counts), f"{name}, part {k + 1}" if counts else name)
            for k in range(math.prod(counts))
        ]
    return found


def _scenes(file: Any) -> list[_Scene]:
    """Return the scenes of an open file, with the planes that are stored."""
    entries: list[dict[str, int]] = []

    def note(_: int, info: Any) -> bool:
        entries.append(info.coordinate.to_dict())
        return True

    file.enumerate_subblocks_subset(note, only_layer0=True)
    if not entries:
        raise ImageError("the file holds no image.")
    axes = "".join(axis for axis in "HRIVBTZC" if any(axis in entry for entry in entries))
    boxes = dict(file.scenes_bounding_rectangle_no_pyramid)
    whole = file.total_bounding_rectangle_no_pyramid
    found: dict[int | None, _Scene] = {}
    for entry in entries:
        number = entry.get("S") if entry.get("S") in boxes else None
        if number not in found:
            found[number] = _Scene(number, tuple(boxes.get(number, whole)), axes)
        found[number].planes.add(tuple(entry.get(axis, 0) for axis in axes))
    return [found[number] for number in sorted(found, key=lambda n: -1 if n is None else n)]


def _check_planes(scene: _Scene) -> None:
    """Raise `ImageError` if planes of a scene are missing, which the library makes black."""
    count = math.prod(scene.shape[:-2])
    if len(scene.planes) == count:
        return
    first = next(
        plane
        for index in np.ndindex(*scene.shape[:-2])
        if (plane := tuple(i + s for i, s in zip(index, scene.starts, strict=True)))
        not in scene.planes
    )
    named = " ".join(f"{axis}{k}" for axis, k in zip(scene.axes, first, strict=True))
    raise ImageError(
        f"{count - len(scene.planes):,} of its {count:,} planes are not in the file, the first is "
        f"{named}: it is incomplete."
    )


def stated(metadata: Any) -> Stated:
    """Return the calibration and the channels that a file's metadata state.

    Parameters
    ----------
    metadata : dict
        The document, as the library gives it.
    """
    sizes: dict[str, float] = {}
    for entry in _list(_in(metadata, "Scaling", "Items", "Distance")):
        value = float(entry.get("Value") or 0) * 1e6  # it states metres
        if value:
            sizes[str(entry.get("@Id"))] = value
    units = dict.fromkeys("XYZ", "um")
    dimensions = ("Information", "Image", "Dimensions")
    step = _in(metadata, *dimensions, "T", "Positions", "Interval", "Increment")
    if step and float(step) > 0:
        sizes["T"], units["T"] = float(step), "s"
    channels = _list(_in(metadata, *dimensions, "Channels", "Channel"))
    names = tuple(str(channel.get("@Name") or channel.get("@Id", "")) for channel in channels)
    return Stated(sizes, units, channels=names)


def _scene_names(metadata: Any) -> dict[int, str]:
    """Return the names of the scenes by their numbers."""
    entries = _list(_in(metadata, "Information", "Image", "Dimensions", "S", "Scenes", "Scene"))
    return {
        int(entry.get("@Index", k)): str(entry.get("@Name", "")) for k, entry in enumerate(entries)
    }


def _in(metadata: Any, *names: str) -> Any:
    """Return what stands in a document under nested names; None if there is nothing."""
    found = metadata
    for name in ("ImageDocument", "Metadata", *names):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _list(entries: Any) -> list[dict[str, Any]]:
    """Return one entry or several as a list."""
    found = entries if isinstance(entries, list) else [entries]
    return [entry for entry in found if isinstance(entry, dict)]


def _channels(names: tuple[str, ...], scene: _Scene, layout: Layout) -> tuple[str, ...]:
    """Return the names of a scene's channels, which may be some of those of the file."""
    if "C" not in layout.letters or "C" not in scene.axes:
        return ()
    k = scene.axes.index("C")
    found = names[scene.starts[k] : scene.starts[k] + scene.shape[k]]
    return found if len(found) == scene.shape[k] else ()
