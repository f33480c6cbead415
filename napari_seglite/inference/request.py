"""The request of a segmentation.

The panel, the shell and Python build the same frozen object. It holds every setting that changes
the result, so that the three entry points cannot disagree.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal, get_args

from ..checkpoints import CheckpointInfo
from ..errors import SegliteError
from ..images import ImageAxes, Region
from ..labels import OUTPUTS, STACK_OBJECTS, Output, StackObjects
from .guided import empty_problem
from .runtimes import PRECISIONS, RUNTIMES, PrecisionChoice, RuntimeName
from .settings import Setting, parse_channels, parse_numbers, settings_of
from .tiling import OVERLAP, TILE

Ensemble = Literal["none", "flips", "heads"]
ENSEMBLES: tuple[Ensemble, ...] = get_args(Ensemble)
RESCALE = (0.1, 10.0)
SLICE_SPACING = (0.01, 1000.0)
SMALLEST_TILE = 64
# Slices that are as many pixels apart are joined: distances between them say little about objects.
JOINED_FROM = 8.0
# The settings that need only the probabilities.
LABELLING = (
    "threshold",
    "smooth",
    "fill_holes",
    "min_size",
    "output",
    "split_depth",
    "least_probability",
    "stack_objects",
    "slice_spacing",
    "least_overlap",
    "largest_gap",
    "time_objects",
)


@dataclass(frozen=True)
class SegmentRequest:
    """All settings of a segmentation; the image itself is given separately.

    Attributes
    ----------
    checkpoint : str
        Id of a checkpoint, or the path of its folder.
    axes : str
        Axes of the image, see `ImageAxes`.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    threshold : float
        Probability above which a pixel is foreground, 0 to 1.
    min_size : int or None
        Smaller objects are removed; pixels (voxels in a stack). None for the smallest that the
        checkpoint learnt.
    output : str or None
        ``"semantic"``: one label per class. ``"instances"``: one label per object. None for
        objects if that is what the checkpoint finds.
    frames : tuple of int or None
        Frames of a stack to segment; None for all.
    tile, overlap : int
        Edge of a tile and the overlap of neighbouring tiles, in pixels.
    pruning_level : int or None
        Depth to which a network with pruning levels computes; None for all of it.
    channels : tuple of int or None
        Channels of the image in the order of the checkpoint's inputs; None for all but alpha. A
        checkpoint with one input sees their mean.
    region : str or None
        Part of every frame to segment, as `Region.parse` reads it; None for all of it.
    level : int
        Resolution level of a multiscale image; 0 is the finest.
    smooth : float
        Standard deviation in pixels of a Gaussian over the probabilities, 0 to 50; 0 for none.
    fill_holes : int
        Holes of up to this many pixels are filled, slice by slice; 0 for none.
    rescale : float
        Factor by which the image is enlarged (or, below 1, reduced) for the network, 0.1 to 10.
        The labels have the image's own pixels.
    ensemble : str
        Members whose mean is the result. ``"none"``: the network alone. ``"flips"``: the network
        on the image and its three mirror images. ``"heads"``: the row heads of a network that has
        several. Where the members disagree, the result is uncertain.
    split_depth : float or None
        With a checkpoint that has an object head: how much shallower than both of its sides the
        interior between two objects must be, 0 to 1; lower values split more. None for the
        checkpoint's own.
    least_probability : float or None
        Objects whose pixels have a lower mean probability are left out, 0 to 1; 0 keeps all. None
        for what suits the checkpoint.
    stack_objects : str or None
        Objects of a Z stack. ``"volume"``: split in 3-D. ``"joined"``: found slice by slice and
        joined where they overlap. ``"slices"``: of each slice by itself. None for ``"volume"``,
        unless slices are at least `JOINED_FROM` pixels apart.
    slice_spacing : float or None
        Distance between two slices, in pixels of a slice; None for what the file says, or 1.
    least_overlap : float
        Objects of two slices are joined if at least this share of the smaller one lies in the
        other, 0 to 1; also those of two time points.
    largest_gap : int
        Slices, or time points, that a joined object may miss in between.
    time_objects : bool
        Whether objects keep their ids over time where they overlap.
    keep_empty : bool
        Whether an image, or slice of a stack, in which the network sees no object at all is left
        without labels; for networks with guided modules. Its tiles are looked at first, until one
        holds an object. With a region, that part of the image decides; with a network that sees
        volumes, each volume as a whole.

    Raises
    ------
    SegliteError
        If a value is out of its range.

    Examples
    --------
    >>> request = SegmentRequest("nuclei-s-net", "ZYX", output="instances", min_size=20)
    >>> request.threshold
    0.5
    >>> "--min-size 20 --instances" in request.as_command(["cells.tif"], "results")
    True
    """

    checkpoint: str
    axes: str
    device: Annotated[str, Setting(help="auto, cpu, cuda or mps", always=True)] = "auto"
    threshold: Annotated[
        float, Setting(float, label="The threshold", low=0, high=1, always=True)
    ] = 0.5
    min_size: Annotated[
        int | None,
        Setting(
            int,
            "pixels; what the checkpoint learnt if not given",
            "The smallest object",
            low=0,
            unit="pixels",
        ),
    ] = None
    output: Annotated[
        Output | None,
        Setting(help="one label per {}", label="The output", choices=OUTPUTS, flags="kind"),
    ] = None
    frames: Annotated[
        tuple[int, ...] | None,
        Setting(parse_numbers, "slices of a stack, such as 0,3,5-9; all if not given"),
    ] = None
    tile: Annotated[int, Setting(int, "pixels", always=True)] = TILE
    overlap: Annotated[int, Setting(int, "pixels", always=True)] = OVERLAP
    pruning_level: Annotated[
        int | None, Setting(int, "compute less of a network that allows it", metavar="N")
    ] = None
    channels: Annotated[
        tuple[int, ...] | None,
        Setting(parse_channels, "channels of the image, such as 0,2; all if not given"),
    ] = None
    region: Annotated[
        str | None,
        Setting(
            help="part of the image: top,left,bottom,right in pixels, or a polygon as y,x y,x y,x"
        ),
    ] = None
    level: Annotated[int, Setting(int, "resolution level of a multiscale image, 0 the finest")] = 0
    smooth: Annotated[
        float,
        Setting(float, "width of a Gaussian, pixels", "Smoothing", low=0, high=50, unit="pixels"),
    ] = 0.0
    fill_holes: Annotated[
        int,
        Setting(
            int, "largest hole to fill, pixels", "The largest hole to fill", low=0, unit="pixels"
        ),
    ] = 0
    rescale: Annotated[
        float,
        Setting(
            float,
            "enlarge the images for the network; match: to the pixel size of its checkpoint; "
            "auto: so that objects have the size it learnt",
            "The rescaling factor",
            low=RESCALE[0],
            high=RESCALE[1],
            metavar="FACTOR",
        ),
    ] = 1.0
    ensemble: Annotated[
        Ensemble,
        Setting(
            help="average over mirrored images or a network's heads",
            label="The ensemble",
            choices=ENSEMBLES,
        ),
    ] = "none"
    split_depth: Annotated[
        float | None,
        Setting(
            float,
            "least depth of the dip between two objects, lower splits more; the checkpoint's own "
            "if not given",
            "The split depth",
            low=0,
            high=1,
        ),
    ] = None
    least_probability: Annotated[
        float | None,
        Setting(
            float,
            "least mean probability of an object's pixels; the checkpoint's own if not given",
            "The least probability",
            low=0,
            high=1,
        ),
    ] = None
    stack_objects: Annotated[
        StackObjects | None,
        Setting(
            help="objects of a Z stack: split in 3-D, joined slice by slice, or of each slice; by "
            "the spacing of the slices if not given",
            label="The way through a stack",
            choices=STACK_OBJECTS,
        ),
    ] = None
    slice_spacing: Annotated[
        float | None,
        Setting(
            float,
            "distance between slices, in pixels of a slice; read from the file if not given",
            "The slice spacing",
            low=SLICE_SPACING[0],
            high=SLICE_SPACING[1],
            metavar="PIXELS",
        ),
    ] = None
    least_overlap: Annotated[
        float,
        Setting(
            float,
            "least share of an object that must overlap for slices or time points to be joined",
            "The least overlap",
            low=0,
            high=1,
        ),
    ] = 0.25
    largest_gap: Annotated[
        int,
        Setting(
            int, "slices or time points that a joined object may miss", "The largest gap", 0, 10
        ),
    ] = 0
    time_objects: Annotated[
        bool, Setting(bool, "keep the ids of objects that overlap from one time point to the next")
    ] = False
    keep_empty: Annotated[
        bool,
        Setting(
            bool,
            "label nothing in images or slices in which the network sees no object at all; for "
            "checkpoints of unet-sharp",
        ),
    ] = False
    runtime: Annotated[
        RuntimeName,
        Setting(
            help="what computes the network; openvino is faster on a CPU; auto: openvino once the "
            "network is prepared for it",
            label="The runtime",
            choices=RUNTIMES,
        ),
    ] = "auto"
    precision: Annotated[
        PrecisionChoice,
        Setting(
            help="exact: float32; fast: bfloat16, where openvino and the processor can; auto: fast "
            "for networks whose labels it hardly changes",
            label="The precision",
            choices=PRECISIONS,
        ),
    ] = "auto"

    def __post_init__(self) -> None:
        ImageAxes(self.axes)
        for name, setting in SETTINGS.items():
            setting.check(getattr(self, name))
        if self.tile < SMALLEST_TILE or not 0 <= self.overlap <= self.tile // 2:
            raise SegliteError(
                f"Tiles must be at least {SMALLEST_TILE} pixels and overlap by at most half, "
                f"not {self.tile} and {self.overlap}."
            )
        if self.frames is not None and not self.frames:
            raise SegliteError("No frame was chosen.")
        if self.channels is not None and not self.channels:
            raise SegliteError("No channel was chosen.")
        if self.region is not None:
            Region.parse(self.region)

    def resolved(self, info: CheckpointInfo) -> SegmentRequest:
        """Return the request with the checkpoint's own choices where it makes none.

        Parameters
        ----------
        info : CheckpointInfo
            Card of the checkpoint.

        Raises
        ------
        SegliteError
            If a split depth is given to a checkpoint without an object head, or empty images are
            to be told by one that cannot.
        """
        if self.keep_empty and (problem := empty_problem(info)):
            raise SegliteError(f"Empty images cannot be kept empty: {problem}")
        if self.split_depth is not None and not info.head:
            raise SegliteError(
                f"A split depth acts on the object head of a checkpoint, and {info.id} has none. "
                "Leave it out, or add a head by fine-tuning."
            )
        own = replace(
            self,
            output=self.output_for(info),
            min_size=self.min_size_for(info),
            split_depth=self.split_depth_for(info) if info.head else None,
            least_probability=self.least_probability_for(info),
        )
        return own.with_stack()

    def with_stack(self) -> SegmentRequest:
        """Return the request with the usual way through a Z stack where it chooses none."""
        if "Z" not in self.axes:
            return self
        spacing = self.slice_spacing or 1.0
        way = self.stack_objects or stack_objects_for(spacing)
        return replace(self, slice_spacing=spacing, stack_objects=way)

    def output_for(self, info: CheckpointInfo) -> Output:
        """Return the kind of labels; objects of several classes would lose their class."""
        return self.output or ("instances" if info.objects and info.classes == 1 else "semantic")

    def min_size_for(self, info: CheckpointInfo) -> int:
        """Return the pixels of the smallest object in an image that is rescaled as requested."""
        if self.min_size is not None:
            return self.min_size
        return round(info.smallest_object / self.rescale**2)

    def split_depth_for(self, info: CheckpointInfo) -> float:
        """Return the depth at which objects are split, for a checkpoint with an object head."""
        return info.split_depth if self.split_depth is None else self.split_depth

    def least_probability_for(self, info: CheckpointInfo) -> float:
        """Return the least mean probability of an object."""
        own = self.least_probability
        return info.least_probability if own is None else own

    def as_dict(self) -> dict[str, Any]:
        """Return the request as plain JSON data."""
        data = asdict(self)
        for name in ("frames", "channels"):
            data[name] = None if data[name] is None else list(data[name])
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SegmentRequest:
        """Build a request from the data of `as_dict`; other keys are ignored."""
        values = {k: v for k, v in data.items() if k in cls.__dataclass_fields__}
        for name in ("frames", "channels"):
            if values.get(name) is not None:
                values[name] = tuple(values[name])
        return cls(**values)

    def as_command(self, images: Sequence[str], output: str) -> str:
        """Return the shell command that repeats this segmentation.

        Parameters
        ----------
        images : sequence of str
            Paths of the images.
        output : str
            Folder of the labels.
        """
        words = ["seglite", "segment", *images]
        words += ["--checkpoint", self.checkpoint, "--output", output, "--axes", self.axes]
        for name, setting in SETTINGS.items():
            words += setting.words(getattr(self, name))
        return shlex.join(words)

    def as_python(self, image: str) -> str:
        """Return a Python script that repeats this segmentation."""
        settings = ",\n".join(f"    {name}={value!r}" for name, value in vars(self).items())
        return (
            "from napari_seglite import SegmentRequest, read_image, segment\n\n"
            f"image = read_image({image!r})\n"
            f"request = SegmentRequest(\n{settings},\n)\n"
            "labels = segment(image.levels, request).labels\n"
        )


def stack_objects_for(spacing: float) -> StackObjects:
    """Return the usual way through a stack whose slices are some pixels apart.

    Parameters
    ----------
    spacing : float
        Distance between two slices, in pixels of a slice.
    """
    return "joined" if spacing >= JOINED_FROM else "volume"


# Every setting but checkpoint and axes, by the name of its field.
SETTINGS = settings_of(SegmentRequest)
