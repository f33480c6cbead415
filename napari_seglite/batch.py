"""Segment many image files one after the other, for the shell and the Batch tab."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from .errors import Cancelled, SegliteError, reason
from .formats import (
    ImageFile,
    check_folder,
    check_target,
    is_zarr,
    list_scenes,
    read_image,
    safe_name,
    split_scene,
    stem,
    suffix,
    write_into,
    write_labels,
)
from .images import Grid, ImageAxes, micrometres
from .inference import (
    Segmentation,
    Segmenter,
    SegmentRequest,
    expected_dice,
    fitting_rescale,
    matching_rescale,
    measure_uncertainty,
    slice_spacing,
)
from .runtime import WithResult, never

if TYPE_CHECKING:
    from .inference import Progress
    from .runtime import Stop

LabelFormat = Literal["auto", "tif", "zarr", "nifti", "dicom-seg", "nrrd", "inside"]
FORMATS: tuple[LabelFormat, ...] = get_args(LabelFormat)
_ENDINGS = {
    "tif": ".tif",
    "zarr": ".zarr",
    "nifti": ".nii.gz",
    "dicom-seg": ".dcm",
    "nrrd": ".nrrd",
}
ALL = "all"
# Bytes; nobody draws or edits these labels, so larger ones wait in a temporary folder for the file.
IN_MEMORY = 32_000_000


@dataclass(frozen=True)
class BatchRequest:
    """Settings for all files of a batch.

    Attributes
    ----------
    segment : SegmentRequest
        Settings of every segmentation, but for the axes.
    output : Path or None
        Folder for ``<stem>_labels`` and the ending of the format; None for each image's own.
    axes : str or None
        Axes of all images; None to read them from each file.
    format : str
        ``"tif"``, ``"zarr"`` (OME-Zarr), ``"nifti"``, ``"dicom-seg"``, ``"nrrd"``; ``"inside"`` for
        labels in the OME-Zarr image itself; or ``"auto"``: NIfTI for NIfTI images, else TIFF.
    uncertainty : bool
        Whether to write ``<stem>_uncertainty.tif``, too.
    match : bool
        Whether to rescale every image to the pixel size of the checkpoint.
    auto : bool
        Whether to rescale every image so that its objects have the size that the checkpoint
        learnt: by the pixel sizes where both are known, else by an estimate.
    scene : str or None
        Which image of files that hold several: its number from 1 or its name, or ``"all"``. None
        for the first, unless the file's name ends in ``#`` and a choice.

    Raises
    ------
    SegliteError
        If there is no such format.
    """

    segment: SegmentRequest
    output: Path | None
    axes: str | None = None
    format: LabelFormat = "auto"
    uncertainty: bool = False
    match: bool = False
    auto: bool = False
    scene: str | None = None

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise SegliteError(f"Labels are written as {', '.join(FORMATS)}, not {self.format}.")

    def target(self, path: Path, scene: str = "") -> Path:
        """Return the file for the labels of an image.

        Parameters
        ----------
        path : Path
            Of the image.
        scene : str
            Which of several images in the file, if one was chosen.
        """
        path, chosen = split_scene(path)
        scene = scene or chosen or ""
        kind = self.format
        if kind == "auto":
            kind = "nifti" if suffix(path) in (".nii", ".nii.gz") else "tif"
        name = stem(path) + (f"_{safe_name(scene, 'image')}" if scene else "")
        if kind == "inside":
            return path / "labels" / "seglite"
        return self.folder(path) / f"{name}_labels{_ENDINGS[kind]}"

    def folder(self, path: Path) -> Path:
        """Return the folder for the results of an image."""
        return split_scene(path)[0].parent if self.output is None else self.output


@dataclass(frozen=True)
class BatchEvent:
    """Progress or result of one file of a batch, or of one of the images in it.

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
    scene : str
        Number of the image that failed among those of the file, if there are several.
    quality : float or None
        Once it is finished, the Dice that its probabilities let expect, 0 to 1.
    """

    path: Path
    position: int
    count: int
    progress: Progress | None = None
    target: Path | None = None
    error: str = ""
    notices: tuple[str, ...] = ()
    scene: str = ""
    quality: float | None = None


def labelled_already(paths: Sequence[Path], request: BatchRequest) -> dict[Path, Path]:
    """Return the labels that a batch would replace, by image; a person may have corrected them.

    Parameters
    ----------
    paths : sequence of Path
        The images.
    request : BatchRequest
        Says where their labels go.
    """
    targets = {path: request.target(path) for path in paths}
    return {path: target for path, target in targets.items() if target.exists()}


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
    ImageError
        If nothing can be written into the folder for the labels.
    Cancelled
        If `stop` returned True.
    """
    segmenter.store.info(request.segment.checkpoint)  # a wrong name is one error, not one per file
    if request.output is not None:
        check_folder(request.output)
    used: set[Path] = set()
    for position, path in enumerate(paths, start=1):
        event = BatchEvent(path, position, len(paths))
        for scene in _scenes(path, request.scene):
            try:
                if isinstance(scene, Exception):
                    raise scene
                yield from _segmented(event, scene, request, segmenter, used, stop)
            except Cancelled:
                raise
            except Exception as error:  # whatever it is, the other files go on
                yield replace(event, scene=str(scene or ""), error=reason(error, path))


def _scenes(path: Path, scene: str | None) -> list[str | Exception | None]:
    """Return the images to segment of a file, by number; None for the only or first one."""
    if scene != ALL or split_scene(path)[1] is not None:
        return [scene]
    try:
        names = list_scenes(path)
    except SegliteError as error:
        return [error]
    return [*map(str, range(1, len(names) + 1))] if len(names) > 1 else [None]


def _segmented(
    event: BatchEvent,
    scene: str | None,
    request: BatchRequest,
    segmenter: Segmenter,
    used: set[Path],
    stop: Stop,
) -> Iterator[BatchEvent]:
    """Segment an image of a file and write its labels."""
    path = event.path
    target = request.target(path, scene or "")
    place = target if request.format != "inside" else target / (scene or "")
    if place in used:
        raise SegliteError(f"{path}: another file of this batch wrote {target.name}.")
    if request.output is None:
        check_folder(request.folder(path))
    if request.format != "inside":
        check_target(target, _plain(path.name))
    elif not is_zarr(split_scene(path)[0]):
        raise SegliteError(f"{path}: only OME-Zarr images hold labels. Choose another format.")
    image = read_image(path, scene)
    settings = request_for(image, request, segmenter, stop)
    steps = WithResult(segmenter.run(image.levels, settings, stop))
    for progress in steps:
        yield replace(event, progress=replace(progress, finished=None))
    if not steps.result.complete:
        raise Cancelled if stop() else SegliteError(" ".join(steps.result.notices))
    target = _write(target, steps.result, image, request, path)
    used.add(place)
    notices = (*image.notices, *steps.result.notices)
    quality = expected_dice(steps.result, stop)
    yield replace(event, target=target, notices=notices, quality=quality)


def request_for(
    image: ImageFile, request: BatchRequest, segmenter: Segmenter, stop: Stop
) -> SegmentRequest:
    """Return the request for an image: its axes, its slices and, if asked for, the rescaling.

    Parameters
    ----------
    image : ImageFile
        The image.
    request : BatchRequest
        Settings for all images.
    segmenter : Segmenter
        Estimates the size of objects, if it is asked for.
    stop : callable
        Once it returns True, `Cancelled` is raised.

    Raises
    ------
    SegliteError
        If sizes are to be matched and are not known.
    """
    segment = replace(request.segment, axes=request.axes or image.axes.order)
    if segment.slice_spacing is None and segment.axes == image.axes.order:
        segment = replace(segment, slice_spacing=slice_spacing(image.grid_at(segment.level)))
    pixel = micrometres(image.spacing_at(segment.level), image.unit)
    if request.auto:
        fitting = fitting_rescale(image.levels, segment, segmenter, pixel, stop)
        return replace(segment, rescale=fitting)
    if not request.match:
        return segment
    info = segmenter.store.info(segment.checkpoint)
    factor = matching_rescale(info, pixel)
    if factor is None:
        unknown = f"checkpoint {info.id}" if info.spacing is None else "image"
        raise SegliteError(
            f"Sizes cannot be matched: the pixel size of the {unknown} is unknown. Rescale by a "
            "number."
        )
    return replace(segment, rescale=factor)


def _plain(name: str) -> str:
    """Return a file's name with question marks for bytes that are no text."""
    return name.encode("utf-8", "replace").decode()


def _write(
    target: Path, result: Segmentation, image: ImageFile, batch: BatchRequest, source: Path
) -> Path:
    """Write the labels and, if asked for, their uncertainty; return where the labels are."""
    request = result.request
    axes = ImageAxes(request.axes).labels
    # Axes that the user named differ from the file's: what it says of others does not apply.
    grid = image.grid_at(request.level) if axes == image.axes.labels else Grid(axes)
    recipe = {**result.recipe(), "image": _plain(source.name)}
    if batch.format == "inside":
        target = write_into(source, target.name, result.labels, recipe, grid, image.scene + 1)
    else:
        write_labels(target, result.labels, recipe=recipe, grid=grid, source=split_scene(source)[0])
    if batch.uncertainty:
        *_, uncertainty = measure_uncertainty(result)
        plain = stem(split_scene(source)[0]) if batch.format == "inside" else stem(target)
        name = f"{plain.removesuffix('_labels')}_uncertainty.tif"
        values = np.asarray(uncertainty.values[:], np.float32)
        write_labels(batch.folder(source) / name, values, recipe=recipe, grid=grid)
    return target
