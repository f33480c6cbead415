"""Begin or resume a job: cut the image, write the ledger and the metadata of the labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ..checkpoints import CheckpointInfo, CheckpointStore, measure_intensities
from ..errors import SegliteError
from ..formats import ImageFile, check_free, create_labels, is_remote, read_image
from ..images import Grid, ImageAxes, at_level
from ..inference import SegmentRequest
from ..labels import label_dtype
from ..runtime import versions
from .cut import Cut
from .ledger import Job, Ledger

# Pixels along Y and X, and slices of a volume, of blocks that are not chosen.
PLANE, VOLUME, DEPTH = 4096, 1024, 64
# How far objects are segmented beyond a block, along Y and X in pixels and along Z in slices.
OVERLAP, DEPTH_OVERLAP = 64, 8


@dataclass(frozen=True)
class Blocks:
    """How to cut an image into blocks.

    Attributes
    ----------
    size : int or None
        Edge along Y and X in pixels: a multiple of 512, or 32, 64, 128 or 256. None for 4096, or
        1024 where objects reach through the slices of a volume.
    depth : int or None
        Edge along Z in slices. None for 1, or 64 for volumes.
    overlap : int
        How far objects are segmented beyond the border of a block, along Y and X in pixels.
    depth_overlap : int
        The same along Z, in slices.
    """

    size: int | None = None
    depth: int | None = None
    overlap: int = OVERLAP
    depth_overlap: int = DEPTH_OVERLAP

    def __post_init__(self) -> None:
        if min(self.size or 1, self.depth or 1) < 1 or min(self.overlap, self.depth_overlap) < 1:
            raise SegliteError("The sizes of blocks and their overlaps must be at least 1.")


def prepare(
    source: str | Path,
    request: SegmentRequest,
    output: str | Path,
    blocks: Blocks | None = None,
    store: CheckpointStore | None = None,
) -> Ledger:
    """Begin a job, or find one that began with the same request.

    Parameters
    ----------
    source : str or Path
        The image: a file that `read_image` reads, or an address.
    request : SegmentRequest
        With the image's axes.
    output : str or Path
        Of the labels, ending in ``.zarr``; a path or an address.
    blocks : Blocks, optional
        How to cut the image.
    store : CheckpointStore, optional
        Store of the checkpoints; the user's if not given.

    Returns
    -------
    Ledger
        With a job and the metadata of the labels; no pixel is written.

    Raises
    ------
    SegliteError
        If a setting cannot be used block by block, or there is a job of another request.
    """
    image = read_image(source)
    if Path(request.checkpoint).is_dir():  # workers may have another working folder
        request = replace(request, checkpoint=str(Path(request.checkpoint).absolute()))
    info = (store or CheckpointStore()).info(request.checkpoint)
    request = _settled(request, info)
    level = at_level(list(image.levels), request.level)
    cut = _cut(request, tuple(level.shape), blocks or Blocks())
    ledger = Ledger(str(output))
    before = ledger.find()
    if before is None:
        check_free(ledger.place)
        axes = ImageAxes(request.axes)
        limits = measure_intensities(level, axes, info, request.channels).limits
    else:
        limits = before.limits
    shape = tuple(map(int, level.shape))
    job = Job(_absolute(source), request, info.weights_sha256, limits, shape, cut)
    if before is None:
        ledger.write_job(job)
    elif different := before.difference(job):
        raise SegliteError(
            f"{ledger.place}: these labels began with another request, which differs in: "
            f"{different}. Give the same settings to go on, choose another output, or remove the "
            f"labels and {ledger.where}."
        )
    if not ledger.created:
        _create(ledger, image, info)
    return ledger


def _absolute(source: str | Path) -> str:
    return str(source) if is_remote(source) else str(Path(source).absolute())


def _settled(request: SegmentRequest, info: CheckpointInfo) -> SegmentRequest:
    """Return the request without open choices.

    Raises
    ------
    SegliteError
        If it has a setting that needs the whole image at once.
    """
    request = request.resolved(info)
    objects = request.output == "instances"
    problems = {
        "some frames (--frames)": request.frames is not None,
        "a region (--region)": request.region is not None,
        "empty images that stay empty (--keep-empty)": request.keep_empty,
        "ids over time (--time-objects)": objects and request.time_objects,
        "objects joined slice by slice (choose --stack-objects volume or slices)": objects
        and "Z" in request.axes
        and request.stack_objects == "joined",
    }
    found = [name for name, there in problems.items() if there]
    if found:
        raise SegliteError(f"An image is segmented whole, not in blocks, for {', '.join(found)}.")
    runtime = "torch" if request.runtime == "auto" else request.runtime
    if objects and "Z" not in request.axes:
        request = replace(request, stack_objects="slices")
    return replace(request, runtime=runtime)


def _cut(request: SegmentRequest, shape: tuple[int, ...], blocks: Blocks) -> Cut:
    """Return how to cut an image of a shape."""
    axes = ImageAxes(request.axes)
    axes.check(shape)
    volumes = axes.volumes(shape)
    objects = request.output == "instances"
    planar = request.stack_objects == "slices" if objects else "Z" not in request.axes
    depth, size = (1, PLANE) if planar or not objects else (DEPTH, VOLUME)
    edge = blocks.size or size
    if objects:
        margins = (0 if planar else blocks.depth_overlap, blocks.overlap, blocks.overlap)
    else:  # parts of a mask touch or do not; without a smallest size, nobody asks
        margin = int((request.min_size or 0) > 1)
        margins = (margin, margin, margin)
    return Cut(
        len(volumes),
        (len(volumes[0]), *axes.frame_shape(shape)),
        (min(blocks.depth or depth, len(volumes[0])), edge, edge),
        margins,
    )


def _create(ledger: Ledger, image: ImageFile, info: CheckpointInfo) -> None:
    """Write the metadata of the labels."""
    job, request = ledger.job, ledger.job.request
    axes = ImageAxes(request.axes).labels
    grid = image.grid_at(request.level) if axes == image.axes.labels else Grid(axes)
    name = job.source.replace("\\", "/").rstrip("/").rpartition("/")[2]
    recipe = {
        **request.as_dict(),
        "weights_sha256": job.weights,
        "versions": versions(),
        "image": name.encode("utf-8", "replace").decode(),
    }
    dtype = label_dtype("semantic", 0) if request.output == "semantic" else "uint32"
    shape = ImageAxes(request.axes).label_shape(job.shape)
    create_labels(ledger.place, shape, dtype, grid, job.cut.edges, recipe)
    ledger.mark_created()
