"""Many image files, one after the other: for the shell and the Batch tab."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import Cancelled, SegliteError
from .formats import ImageFile, read_image, stem, write_labels
from .images import ImageAxes, micrometres
from .inference import (
    Segmentation,
    Segmenter,
    SegmentRequest,
    matching_rescale,
    measure_uncertainty,
)

if TYPE_CHECKING:
    from .inference import Progress
    from .runtime import Stop

FORMATS = ("tif", "zarr")


@dataclass(frozen=True)
class BatchRequest:
    """What to do with every file.

    Attributes
    ----------
    segment : SegmentRequest
        For each of them; its axes are read from the file unless `axes` says what they are.
    output : Path
        Folder for ``<stem>_labels.tif`` or ``.zarr``.
    axes : str or None
        Of all images.
    format : str
        ``"tif"`` or ``"zarr"`` (OME-Zarr).
    uncertainty : bool
        Whether to write ``<stem>_uncertainty.tif``, too.
    match : bool
        Whether to rescale every image to the pixel size that the checkpoint learnt.
    """

    segment: SegmentRequest
    output: Path
    axes: str | None = None
    format: str = "tif"
    uncertainty: bool = False
    match: bool = False

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise SegliteError(f"Labels are written as {' or '.join(FORMATS)}, not {self.format}.")


@dataclass(frozen=True)
class BatchEvent:
    """News of a batch.

    Attributes
    ----------
    path : Path
        The file in work.
    position, count : int
        Which one it is, from 1, and of how many.
    progress : Progress or None
        How far it is.
    target : Path or None
        What was written; then it is done.
    error : str
        Why nothing was written; names the file.
    notices : tuple of str
        What the user should know about it.
    """

    path: Path
    position: int
    count: int
    progress: Progress | None = None
    target: Path | None = None
    error: str = ""
    notices: tuple[str, ...] = ()


def run_batch(
    paths: Sequence[Path],
    request: BatchRequest,
    segmenter: Segmenter,
    stop: Stop = lambda: False,
) -> Iterator[BatchEvent]:
    """Segment files; a bad one is reported and the rest go on.

    Parameters
    ----------
    paths : sequence of Path
        The images.
    request : BatchRequest
        What to do with them.
    segmenter : Segmenter
        Keeps the network between files.
    stop : callable
        Once it returns True, `Cancelled` is raised; files that are done stay.

    Yields
    ------
    BatchEvent
        While a file is in work, and once it is done or has failed.

    Raises
    ------
    CheckpointError
        If there is no such checkpoint.
    Cancelled
        If `stop` returned True.
    """
    segmenter.store.info(request.segment.checkpoint)  # a wrong name is one error, not one a file
    used: set[Path] = set()
    for position, path in enumerate(paths, start=1):
        event = BatchEvent(path, position, len(paths))
        try:
            target = request.output / f"{stem(path)}_labels.{request.format}"
            if target in used:
                raise SegliteError(f"{path}: another file of this batch wrote {target.name}.")
            image = read_image(path)
            steps = segmenter.run(image.levels, _request(image, request, segmenter), stop)
            result: Segmentation | None = None
            while result is None:
                try:
                    yield replace(event, progress=replace(next(steps), finished=None))
                except StopIteration as end:
                    result = end.value
            if not result.complete:
                raise Cancelled
            _write(target, result, image, request.uncertainty)
            used.add(target)
            yield replace(event, target=target, notices=result.notices)
        except SegliteError as error:
            if isinstance(error, Cancelled):
                raise
            text = str(error)
            yield replace(event, error=text if str(path) in text else f"{path}: {text}")


def _request(image: ImageFile, request: BatchRequest, segmenter: Segmenter) -> SegmentRequest:
    segment = replace(request.segment, axes=request.axes or image.axes.order)
    if not request.match:
        return segment
    info = segmenter.store.info(segment.checkpoint)
    factor = matching_rescale(info, micrometres(image.spacing_at(segment.level), image.unit))
    if factor is None:
        unknown = f"checkpoint {info.id}" if info.spacing is None else "image"
        raise SegliteError(
            f"Sizes cannot be matched: the pixel size of the {unknown} is unknown. Rescale by a "
            "number."
        )
    return replace(segment, rescale=factor)


def _write(target: Path, result: Segmentation, image: ImageFile, with_uncertainty: bool) -> None:
    request = result.request
    known = len(image.spacing) == result.labels.ndim
    place: dict[str, Any] = {
        "recipe": result.recipe(),
        "spacing": image.spacing_at(request.level) if known else None,
        "unit": image.unit,
        "axes": ImageAxes(request.axes).labels,
    }
    write_labels(target, result.labels, **place)
    if with_uncertainty:
        *_, found = measure_uncertainty(result)
        name = f"{target.stem.removesuffix('_labels')}_uncertainty.tif"
        write_labels(target.with_name(name), np.asarray(found.values[:], np.float32), **place)
