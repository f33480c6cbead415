"""Merge the tiles of a journal into the labels of a project's images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import AnnotationError
from ..formats import sync
from ..images import WritableArray
from .journal import StoredTile, Tile
from .label_files import labels_folder, open_labels, widened, write_labels
from .project_image import ProjectImage


@dataclass
class Merged:
    """What could not be merged.

    Attributes
    ----------
    homeless : list of StoredTile
        The tiles that lie in no labels that can be written.
    broken : dict of str to str
        The reason why an image's labels cannot be written, by its key.
    """

    homeless: list[StoredTile] = field(default_factory=list)
    broken: dict[str, str] = field(default_factory=dict)


def merge(
    folder: Path,
    images: Mapping[str, ProjectImage],
    tiles: Sequence[StoredTile],
    save_index: Callable[[], None],
) -> Merged:
    """Write tiles into labels and wait until they are on disk.

    Parameters
    ----------
    folder : Path
        Of the project.
    images : mapping of str to ProjectImage
        By their keys.
    tiles : sequence of StoredTile
        Of several with the same place, the last one counts.
    save_index : callable
        Called when an image has labels of another name.

    Raises
    ------
    OSError
        If labels cannot be written.
    """
    merged = Merged()
    opened: dict[str, WritableArray] = {}
    for stored in {(tile.image, tile.corner): tile for tile in tiles}.values():
        key, image = stored.image, images.get(stored.image)
        if image is None or key in merged.broken or not stored.fits(image.shape):
            merged.homeless.append(stored)
            continue
        tile = stored.load()
        try:
            labels = opened[key] if key in opened else open_labels(folder, image)
            opened[key] = labels = _wide_enough(folder, image, labels, tile, save_index)
            labels[tile.where] = tile.pixels
        except AnnotationError as error:
            merged.broken[key] = str(error)
            merged.homeless.append(stored)
    for key in opened:
        if key not in merged.broken:
            sync(labels_folder(folder, images[key]))
    return merged


def _wide_enough(
    folder: Path,
    image: ProjectImage,
    labels: WritableArray,
    tile: Tile,
    save_index: Callable[[], None],
) -> WritableArray:
    """Return the labels of an image, rewritten if their dtype cannot hold a tile's labels."""
    wide = widened(labels, tile.pixels.dtype)
    if wide is None:
        return labels
    before, image.labels = image.labels, f"labels-{wide.dtype}.zarr"
    try:
        write_labels(folder, image, wide)
        # The index names the valid labels and changes in one step. The old ones are removed when
        # the project is opened next, because another thread may be reading them now.
        save_index()
    except BaseException:
        image.labels = before
        raise
    return open_labels(folder, image)
