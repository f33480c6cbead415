"""What a file says about the pixels of a layer.

napari's own readers drop the names of axes, the size of a pixel and its unit. They are read again
from the file, so that panel and shell see one image.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import SegliteError
from ...formats import ImageFile, read_image, suffix
from ...images import PixelSize, micrometres
from .placement import file_placement, orientation

if TYPE_CHECKING:
    from napari.layers import Image, Labels

# The key in a layer's metadata.
KEY = "seglite_file"
# In place of the facts as long as the file is being read.
READING = "reading"
# Files of these formats and sizes are read within the blink of an eye.
QUICK = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp")
QUICK_FILE, QUICK_PIXELS = 1_000_000, 4_000_000  # bytes


@dataclass(frozen=True, eq=False)
class FileFacts:
    """What a file says about a layer.

    Attributes
    ----------
    path : str
        The file; with ``#`` and a number for one of several images.
    axes : str
        Of the image in the file.
    order : tuple of int or None
        For each axis of the layer's pixels, its number in the file; None for one of length 1 that
        the file does not count.
    shape : tuple of int
        Of the layer's pixels that all this holds for.
    placement : dict
        Where the layer lies, see `file_placement`.
    size : tuple of float or None
        Height and width of a pixel in micrometres.
    scenes, scene, channels
        As in `ImageFile`.
    text : str
        All of it for people, see `describe_file`.
    """

    path: str
    axes: str
    order: tuple[int | None, ...]
    shape: tuple[int, ...]
    placement: dict[str, Any] = field(repr=False)
    size: PixelSize | None
    scenes: tuple[str, ...]
    scene: int
    channels: tuple[str, ...]
    text: str

    @property
    def layer_axes(self) -> str:
        """Letters of the axes of the layer's pixels; axes of length 1 get some that are left."""
        spare = iter(letter for letter in "ZTC" if letter not in self.axes)
        return "".join(next(spare, "?") if k is None else self.axes[k] for k in self.order)

    def in_file(self, axes: str) -> str:
        """Return axes of the layer's pixels, maybe chosen by the user, in the file's order."""
        letters = {k: letter for k, letter in zip(self.order, axes, strict=True) if k is not None}
        return "".join(letters[k] for k in sorted(letters))


def facts_from(
    image: ImageFile,
    path: str,
    data: Any = None,
    order: tuple[int | None, ...] | None = None,
) -> FileFacts:
    """Return what a file says about a layer.

    Parameters
    ----------
    image : ImageFile
        As it is in the file.
    path : str
        See `FileFacts`.
    data : array, optional
        The layer's pixels, if they are not the image's.
    order : tuple of int or None, optional
        See `FileFacts`.
    """
    shape = tuple(image.array.shape if data is None else data.shape)
    facts = FileFacts(
        path,
        image.axes.order,
        tuple(range(len(shape))) if order is None else order,
        shape,
        {},
        micrometres(image.spacing, image.unit),
        image.scenes,
        image.scene,
        image.channels,
        describe_file(image),
    )
    facts.placement.update(file_placement(image, facts.layer_axes))
    return facts


def describe_file(image: ImageFile) -> str:
    """Return lines about what was understood of a file; guesses are marked as such."""
    sizes = zip(image.axes.order, image.array.shape, strict=True)
    guessed = " (guessed)" if "axes" in image.guesses else ""
    lines = [f"Axes: {', '.join(f'{axis} {n}' for axis, n in sizes)}{guessed}"]
    if len(image.scenes) > 1:
        number, count = image.scene + 1, len(image.scenes)
        lines.insert(0, f"Image {number} of {count}: {image.scenes[image.scene]}")
    if image.channels:
        lines.append(f"Channels: {', '.join(image.channels)}")
    elif image.rgb:
        lines.append("Channels: colours")
    grid = image.grid
    steps = zip(grid.axes, grid.spacing, grid.units, strict=True)
    known = [f"{axis} {step:.4g} {unit}" for axis, step, unit in steps if unit != "pixel"]
    guessed = " (guessed)" if "spacing" in image.guesses else ""
    lines.append(f"Pixel: {', '.join(known) or 'of unknown size'}{guessed if known else ''}")
    if grid.affine is not None:
        lines.append(f"Orientation: X, Y, Z lead to {', '.join(orientation(grid.affine))}")
    if len(image.levels) > 1:
        lines.append(f"Levels: {len(image.levels)}")
    lines.append(f"Type: {image.array.dtype}")
    return "\n".join([*lines, *image.notices])


def facts_of(layer: Image | Labels) -> FileFacts | None:
    """Return what the file of a layer says about its pixels, as far as that is known.

    A small file that napari itself opened is read here; what was found is kept in the layer.
    """
    if KEY not in layer.metadata and wants_facts(layer) and is_quick(layer):
        layer.metadata[KEY] = find_facts(layer.source.path, first_level(layer))
    facts = layer.metadata.get(KEY)
    if isinstance(facts, FileFacts) and facts.shape == tuple(first_level(layer).shape):
        return facts
    return None


def has_pixels(layer: Any) -> bool:
    """Whether a layer is an image or labels."""
    from napari.layers import Image, Labels

    return isinstance(layer, (Image, Labels))


def wants_facts(layer: Any) -> bool:
    """Whether napari itself opened the file of a layer, and it has not been read again yet."""
    source = layer.source
    return (
        KEY not in layer.metadata
        and bool(source.path)
        and source.reader_plugin == "napari"
        and has_pixels(layer)
    )


def is_being_read(layer: Image | Labels) -> bool:
    """Whether the file of a layer is being read, so that more will be known in a moment."""
    return bool(layer.metadata.get(KEY) == READING)


def is_quick(layer: Image | Labels) -> bool:
    """Whether the file of a layer can be read without the user noticing."""
    path = Path(layer.source.path or "")
    try:
        return (
            suffix(path) in QUICK
            and isinstance(layer.data, np.ndarray)
            and layer.data.nbytes <= QUICK_PIXELS
            and path.is_file()
            and path.stat().st_size <= QUICK_FILE
        )
    except OSError:
        return False


def first_level(layer: Image | Labels) -> Any:
    """Return the pixels of a layer; of a multiscale one, of its finest level."""
    return layer.data[0] if layer.multiscale else layer.data


def find_facts(path: str | Path, data: Any) -> FileFacts | None:
    """Read what a file says about pixels that came from it.

    Parameters
    ----------
    path : str or Path
        The file.
    data : array
        The pixels; only some are read.

    Returns
    -------
    FileFacts or None
        None if the file cannot be read or its pixels are others.
    """
    try:
        image = read_image(path)
        order = _arrangement(image.array, data)
    except SegliteError:
        return None
    return None if order is None else facts_from(image, str(path), data, order)


def _arrangement(stored: Any, shown: Any) -> tuple[int | None, ...] | None:
    """Return for each axis of an array the axis of another one that has the same pixels.

    None for an axis of length 1 that the other array lacks; None alone if the pixels differ.
    """
    if shown.ndim < len(stored.shape) or shown.ndim > 6:
        return None
    for axes in permutations(range(shown.ndim), len(stored.shape)):
        rest = [n for k, n in enumerate(shown.shape) if k not in axes]
        sizes = tuple(shown.shape[k] for k in axes)
        if sizes == tuple(stored.shape) and set(rest) <= {1} and _same_lines(stored, shown, axes):
            return tuple(axes.index(k) if k in axes else None for k in range(shown.ndim))
    return None


def _same_lines(stored: Any, shown: Any, axes: tuple[int, ...]) -> bool:
    """Whether some lines of pixels are the same in both arrays."""
    longest = int(np.argmax(stored.shape))
    for share in (0.0, 0.3, 0.5, 0.8, 1.0):
        where: list[Any] = [round(share * (n - 1)) for n in stored.shape]
        where[longest] = slice(None)
        there: list[Any] = [0] * shown.ndim
        for k, place in zip(axes, where, strict=True):
            there[k] = place
        pair = np.asarray(stored[tuple(where)]), np.asarray(shown[tuple(there)])
        if not np.array_equal(*pair, equal_nan=pair[0].dtype.kind in "fc"):
            return False
    return True
