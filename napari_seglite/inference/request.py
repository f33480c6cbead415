"""What a segmentation is asked to do.

The panel, the shell and Python build the same frozen object, and it holds every setting that
changes the result, so that the three doors cannot disagree.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import SegliteError
from ..images import ImageAxes, Region

OUTPUTS = ("semantic", "instances")
ENSEMBLES = ("none", "flips", "heads")
RESCALE = (0.1, 10.0)
SMALLEST_TILE = 64


@dataclass(frozen=True)
class SegmentRequest:
    """One segmentation, but for the image itself.

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
    min_size : int
        Smaller objects are removed; pixels (voxels in a stack).
    output : str
        ``"semantic"``: one label a class. ``"instances"``: one label an object.
    frames : tuple of int or None
        Frames of a stack to segment; None for all.
    tile, overlap : int
        Size of a tile and what neighbouring tiles share, in pixels.
    pruning_level : int or None
        Of a network whose card has pruning levels: how deep it computes; None for all of it.
    channels : tuple of int or None
        Channels of the image in the order of the checkpoint's inputs; None for all but alpha. A
        checkpoint of one input sees their mean.
    region : str or None
        Part of every frame, as `Region.parse` reads it; None for all of it.
    level : int
        Of a multiscale image, 0 for the finest.
    smooth : float
        Width (standard deviation) in pixels of a Gaussian over the probabilities; 0 for none.
    fill_holes : int
        Holes of up to so many pixels are filled, slice by slice; 0 for none.
    rescale : float
        How much larger (or, below 1, smaller) the network sees the image; the labels have the
        image's own pixels.
    ensemble : str
        Whose mean the probabilities are: ``"none"``, the network alone; ``"flips"``, four runs
        over the image and its mirror images; ``"heads"``, the row heads of a network that has
        some. Where they disagree, the result is uncertain.

    Raises
    ------
    SegliteError
        If a value is out of its range.
    """

    checkpoint: str
    axes: str
    device: str = "auto"
    threshold: float = 0.5
    min_size: int = 0
    output: str = "semantic"
    frames: tuple[int, ...] | None = None
    tile: int = 512
    overlap: int = 48
    pruning_level: int | None = None
    channels: tuple[int, ...] | None = None
    region: str | None = None
    level: int = 0
    smooth: float = 0.0
    fill_holes: int = 0
    rescale: float = 1.0
    ensemble: str = "none"

    def __post_init__(self) -> None:
        ImageAxes(self.axes)
        if not 0 <= self.threshold <= 1:
            raise SegliteError(f"The threshold must lie between 0 and 1, not {self.threshold}.")
        if self.min_size < 0:
            raise SegliteError(f"The smallest object cannot have {self.min_size} pixels.")
        if not 0 <= self.smooth <= 50:
            raise SegliteError(f"Smoothing must lie between 0 and 50 pixels, not {self.smooth}.")
        if self.fill_holes < 0:
            raise SegliteError(f"Holes of {self.fill_holes} pixels cannot be filled.")
        if self.output not in OUTPUTS:
            raise SegliteError(f"The output is one of {', '.join(OUTPUTS)}, not {self.output!r}.")
        if self.ensemble not in ENSEMBLES:
            offered = ", ".join(ENSEMBLES)
            raise SegliteError(f"The ensemble is one of {offered}, not {self.ensemble!r}.")
        if not RESCALE[0] <= self.rescale <= RESCALE[1]:
            raise SegliteError(
                f"Images can be rescaled by {RESCALE[0]} to {RESCALE[1]:g}, not {self.rescale}."
            )
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

    def as_dict(self) -> dict[str, Any]:
        """Return the request as plain JSON data."""
        data = asdict(self)
        for name in ("frames", "channels"):
            data[name] = None if data[name] is None else list(data[name])
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SegmentRequest:
        """Read what `as_dict` returned; anything else in the mapping is ignored."""
        known = {k: v for k, v in data.items() if k in cls.__dataclass_fields__}
        for name in ("frames", "channels"):
            if known.get(name) is not None:
                known[name] = tuple(known[name])
        return cls(**known)

    def as_command(self, images: Sequence[str], output: str) -> str:
        """Return the shell command that repeats this segmentation."""
        words = ["seglite", "segment", *images]
        words += ["--checkpoint", self.checkpoint, "--output", output, "--axes", self.axes]
        words += ["--device", self.device, "--threshold", str(self.threshold)]
        words += ["--min-size", str(self.min_size)]
        words += ["--tile", str(self.tile), "--overlap", str(self.overlap)]
        if self.frames is not None:
            words += ["--frames", ",".join(map(str, self.frames))]
        if self.channels is not None:
            words += ["--channels", ",".join(map(str, self.channels))]
        if self.region is not None:
            words += [f"--region={self.region}"]
        if self.smooth:
            words += ["--smooth", str(self.smooth)]
        if self.fill_holes:
            words += ["--fill-holes", str(self.fill_holes)]
        if self.level:
            words += ["--level", str(self.level)]
        if self.rescale != 1:
            words += ["--rescale", str(self.rescale)]
        if self.ensemble != "none":
            words += ["--ensemble", self.ensemble]
        if self.pruning_level is not None:
            words += ["--pruning-level", str(self.pruning_level)]
        if self.output == "instances":
            words.append("--instances")
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


def parse_numbers(text: str, what: str = "frames") -> tuple[int, ...]:
    """Read frames or channels written as ``0,3,5-9``.

    Raises
    ------
    SegliteError
        If the text is anything else.
    """
    numbers: list[int] = []
    try:
        for part in text.split(","):
            first, _, last = part.strip().partition("-")
            numbers += range(int(first), int(last or first) + 1)
    except ValueError:
        raise SegliteError(f"{text!r} names no {what}; write them like 0,3,5-9.") from None
    return tuple(numbers)
