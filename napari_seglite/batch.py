"""Segment many image files one after the other, for the shell and the Batch tab."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

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
from .runtime import WithResult, never

if TYPE_CHECKING:
    from .inference import Progress
    from .runtime import Stop

LabelFormat = Literal["tif", "zarr"]
FORMATS: tuple[LabelFormat, ...] = get_args(LabelFormat)


@dataclass(frozen=True)
class BatchRequest:
    """Settings for all files of a batch.

    Attributes
    ----------
    segment : SegmentRequest
        Settings of every segmentation, but for the axes.
    output : Path
        Folder for ``<stem>_labels.tif`` or ``.zarr``.
    axes : str or None
        Axes of all images; None to read them from each file.
    format : str
        ``"tif"`` or ``"zarr"`` (OME-Zarr).
    uncertainty : bool
        Whether to write ``<stem>_uncertainty.tif``, too.
    match : bool
        Whether to rescale every image to the pixel size of the checkpoint.

    Raises
    ------
    SegliteError
        If there is no such format.
    """

    segment: SegmentRequest
    output: Path
    axes: str | None = None
    format: LabelFormat = "tif"
    uncertainty: bool = False
    match: bool = False

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise SegliteError(f"Labels are written as {' or '.join(FORMATS)}, not {self.format}.")


@dataclass(frozen=True)
class BatchEvent:
    """Progress or result of one file of a batch.

    Attributes
    ----------
    path : Path
        The current file.
    position, count : int
        Its position, from 1, and the number of files.
    progress : Progress or None
        Progress of its segmentation.
    target : Path or None
        The written file, once it is finished.
    error : str
        Reason why nothing was written; names the file.
    notices : tuple of str
        Messages for the user about the file.
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
    stop: Stop = never,
) -> Iterator[BatchEvent]:
    """Segment files; a file that fails is reported and the others continue.

    Parameters
    ----------
    paths : sequence of Path
        The images.
    request : BatchRequest
        Settings for all of them.
    segmenter : Segmenter
        Keeps the network in memory between files.
    stop : callable
        Once it returns True, `Cancelled` is raised; finished files stay.

    Yields
    ------
    BatchEvent
        During each file, and once it is finished or has failed.

    Raises
    ------
    CheckpointError
        If there is no such checkpoint.
    Cancelled
        If `stop` returned True.
    """
    segmenter.store.info(request.segment.checkpoint)  # a wrong name is one error, not one per file
    used: set[Path] = set()
    for position, path in enumerate(paths, start=1):
        event = BatchEvent(path, position, len(paths))
        try:
            target = request.output / f"{stem(path)}_labels.{request.format}"
            if target in used:
                raise SegliteError(f"{path}: another file of this batch wrote {target.name}.")
            image = read_image(path)
            settings = _request(image, request, segmenter)
            steps = WithResult(segmenter.run(image.levels, settings, stop))
            for progress in steps:
                yield replace(event, progress=replace(progress, finished=None))
            if not steps.result.complete:
                raise Cancelled
            _write(target, steps.result, image, request.uncertainty)
            used.add(target)
            yield replace(event, target=target, notices=steps.result.notices)
        except SegliteError as error:
            text = str(error)
            yield replace(event, error=text if str(path) in text else f"{path}: {text}")


def _request(image: ImageFile, request: BatchRequest, segmenter: Segmenter) -> SegmentRequest:
    """Return the request for an image: its axes and, if asked for, the rescaling to match."""
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
    """Write the labels and, if asked for, their uncertainty."""
    request = result.request
    has_spacing = len(image.spacing) == result.labels.ndim
    metadata: dict[str, Any] = {
        "recipe": result.recipe(),
        "spacing": image.spacing_at(request.level) if has_spacing else None,
        "unit": image.unit,
        "axes": ImageAxes(request.axes).labels,
    }
    write_labels(target, result.labels, **metadata)
    if with_uncertainty:
        *_, uncertainty = measure_uncertainty(result)
        name = f"{target.stem.removesuffix('_labels')}_uncertainty.tif"
        write_labels(
            target.with_name(name), np.asarray(uncertainty.values[:], np.float32), **metadata
        )
