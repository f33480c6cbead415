"""Labels for other programs: COCO annotations, tables, and regions of ImageJ."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .atomic import replacing
from .planes import planes
from .rois import write_rois

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CocoAnnotations", "coco", "write_rois", "write_table"]


class CocoAnnotations:
    """Annotations in the form of COCO, with run-length masks, which keep holes and parts.

    Parameters
    ----------
    category : str
        Name of the objects' category.
    categories : tuple of str, optional
        For semantic labels: the names of labels 1, 2, ... Each label is then a category with one
        annotation per frame.

    Attributes
    ----------
    data : dict
        Plain JSON data.
    """

    def __init__(self, category: str = "object", categories: tuple[str, ...] = ()) -> None:
        self._semantic = bool(categories)
        names = categories or (category,)
        self.data: dict[str, Any] = {
            "images": [],
            "annotations": [],
            "categories": [{"id": k, "name": name} for k, name in enumerate(names, start=1)],
        }

    def add(self, name: str, labels: np.ndarray, axes: str = "") -> None:
        """Add the objects of an image; each frame of a stack is an entry of its own.

        Parameters
        ----------
        name : str
            File name of the image. Entries of frames have it in common; they tell their frame by
            ``frame``, and by ``t`` and ``z``, all from 0.
        labels : ndarray
            Integer, one number per object, which becomes ``label`` of its annotations; 0 is
            background, and so are negative numbers, which mean unlabelled. True is an object.
        axes : str
            Letters of the axes, in any order; the last ones of TZYX if not given.

        Raises
        ------
        ImageError
            If labels cannot have these axes, or are empty.
        """
        images, annotations = self.data["images"], self.data["annotations"]
        axes = axes or "TZYX"[-labels.ndim :]
        for frame, (place, plane) in enumerate(planes(labels, axes)):
            height, width = plane.shape
            image: dict[str, Any] = {"id": len(images) + 1, "file_name": name}
            image |= {"height": height, "width": width}
            if place:
                image |= {"frame": frame, **{axis.lower(): k for axis, k in place.items()}}
            images.append(image)
            for number, mask in _masks(plane):
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": image["id"],
                        "category_id": number if self._semantic else 1,
                        "label": number,
                        "iscrowd": 0,
                        **mask,
                    }
                )

    def write(self, path: str | Path) -> None:
        """Write all annotations as JSON."""
        text = json.dumps(self.data)
        with replacing(Path(path)) as temporary:
            temporary.write_text(text, "utf-8")


def _masks(plane: np.ndarray) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the number of every object, with its area, box and run-length mask."""
    height, width = plane.shape
    flat = plane.ravel(order="F")  # COCO's runs go down the columns
    begins = np.flatnonzero(np.r_[True, flat[1:] != flat[:-1]])
    ends = np.append(begins[1:], flat.size)
    order = np.argsort(flat[begins], kind="stable")
    numbers, first = np.unique(flat[begins][order], return_index=True)
    for number, runs in zip(numbers, np.split(order, first[1:]), strict=True):
        if number <= 0:
            continue
        begin, end = begins[runs], ends[runs]
        gaps = begin - np.append(0, end[:-1])
        counts = np.stack([gaps, end - begin], 1).ravel()
        if end[-1] < flat.size:
            counts = np.append(counts, flat.size - end[-1])
        left, right = int(begin[0]) // height, int(end[-1] - 1) // height
        whole = begin // height != (end - 1) // height  # from one column into the next
        top = int(np.where(whole, 0, begin % height).min())
        bottom = int(np.where(whole, height - 1, (end - 1) % height).max())
        yield (
            int(number),
            {
                "area": int((end - begin).sum()),
                "bbox": [left, top, right - left + 1, bottom - top + 1],
                "segmentation": {"size": [height, width], "counts": counts.tolist()},
            },
        )


def coco(
    images: dict[str, np.ndarray], category: str = "object", categories: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return COCO annotations of several images, see `CocoAnnotations`.

    Parameters
    ----------
    images : dict
        File names of images and their labels, integer, one number per object.
    category : str
        Name of the objects' category.
    categories : tuple of str, optional
        For semantic labels: the names of labels 1, 2, ...

    Returns
    -------
    dict
        Plain JSON data.

    Raises
    ------
    ImageError
        If labels have more than four axes, or are empty.
    """
    annotations = CocoAnnotations(category, categories)
    for name, labels in images.items():
        annotations.add(name, labels)
    return annotations.data


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
