"""Labels for other programs: ImageJ regions and COCO annotations; tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ImageError
from .atomic import replacing

if TYPE_CHECKING:
    import pandas as pd


def write_rois(path: str | Path, labels: np.ndarray) -> int:
    """Write the outlines of all objects as a zip of ImageJ regions.

    Objects of several components give several regions. Holes are left out, because ImageJ
    polygons cannot have any.

    Parameters
    ----------
    path : str or Path
        Ending in ``.zip``.
    labels : ndarray
        ``(H, W)`` or ``(frames, H, W)`` integer, one number per object.

    Returns
    -------
    int
        Number of regions written.

    Raises
    ------
    ImageError
        If there is no object.
    """
    import roifile

    regions = []
    for position, frame in enumerate(labels if labels.ndim == 3 else labels[None], start=1):
        for number, component, outline in _outlines(frame):
            name = f"{number:05d}" if component == 0 else f"{number:05d}-{component + 1}"
            region = roifile.ImagejRoi.frompoints(outline, name=name)
            if labels.ndim == 3:
                region.position = position
                region.name = f"{position:04d}-{name}"
            regions.append(region)
    if not regions:
        raise ImageError(f"{path}: there is no object to write.")
    with replacing(Path(path)) as temporary:
        roifile.roiwrite(temporary, regions, mode="w")
    return len(regions)


def _outlines(frame: np.ndarray) -> list[tuple[int, int, np.ndarray]]:
    """Return number, component and outline ``(N, 2)`` as x, y along the edges of pixels."""
    from skimage.measure import find_contours, regionprops

    outlines = []
    for region in regionprops(frame):
        top, left = region.bbox[:2]
        # Of enlarged pixels the contour runs along the edges, where ImageJ's coordinates are whole.
        mask = np.pad(np.kron(region.image_filled, np.ones((4, 4))), 1)
        for component, contour in enumerate(find_contours(mask, 0.5)):
            edges = np.round((contour - 0.5) / 4) + np.array([top, left])
            corners = edges[np.r_[True, (np.diff(edges, axis=0) != 0).any(1)]]
            outlines.append((int(region.label), component, _straightened(corners[:, ::-1])))
    return outlines


def _straightened(points: np.ndarray) -> np.ndarray:
    """Drop points in the middle of straight edges, and the last if it repeats the first."""
    if len(points) > 1 and (points[0] == points[-1]).all():
        points = points[:-1]
    before, after = points - np.roll(points, 1, 0), np.roll(points, -1, 0) - points
    turns = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    return np.asarray(points[turns != 0])


def coco(
    images: dict[str, np.ndarray], category: str = "object", categories: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return COCO annotations, with run-length masks, which keep holes and components.

    Parameters
    ----------
    images : dict
        File names and their labels ``(H, W)`` integer, one number per object.
    category : str
        Name of the objects' category.
    categories : tuple of str, optional
        For semantic labels: the names of labels 1, 2, ... Each label is then a category with one
        annotation per image.

    Returns
    -------
    dict
        Plain JSON data.

    Raises
    ------
    ImageError
        If labels are not 2-D.
    """
    names = categories or (category,)
    entries: dict[str, Any] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": k, "name": name} for k, name in enumerate(names, start=1)],
    }
    for image_id, (name, labels) in enumerate(images.items(), start=1):
        if labels.ndim != 2:
            raise ImageError(f"{name}: COCO holds flat images, not labels of {labels.shape}.")
        height, width = labels.shape
        entries["images"].append(
            {"id": image_id, "file_name": name, "height": height, "width": width}
        )
        for number in np.unique(labels[labels > 0]).tolist():
            mask = labels == number
            rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
            box = [columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1]
            entries["annotations"].append(
                {
                    "id": len(entries["annotations"]) + 1,
                    "image_id": image_id,
                    "category_id": number if categories else 1,
                    "bbox": [int(v) for v in box],
                    "area": int(mask.sum()),
                    "iscrowd": 0,
                    "segmentation": {"size": [height, width], "counts": _run_lengths(mask)},
                }
            )
    return entries


def _run_lengths(mask: np.ndarray) -> list[int]:
    """Return the lengths of alternating runs of 0 and 1 down the columns, beginning with 0."""
    flat = mask.ravel(order="F").astype(np.int8)
    edges = np.flatnonzero(np.diff(flat, prepend=0, append=2))
    return [int(length) for length in np.diff(edges, prepend=0)]


def write_coco(path: str | Path, images: dict[str, np.ndarray], category: str = "object") -> None:
    """Write the annotations of `coco` as JSON.

    Parameters
    ----------
    path : str or Path
        Of the JSON file.
    images : dict
        File names and their labels ``(H, W)`` integer, one number per object.
    category : str
        Name of the objects' category.

    Raises
    ------
    ImageError
        If labels are not 2-D.
    """
    text = json.dumps(coco(images, category))
    with replacing(Path(path)) as temporary:
        temporary.write_text(text, "utf-8")


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table as comma-separated values.

    Parameters
    ----------
    path : str or Path
        Of the file.
    table : DataFrame
        Its index is not written.
    """
    with replacing(Path(path)) as temporary:
        table.to_csv(temporary, index=False)
