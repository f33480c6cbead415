"""Nikon ND2 files, each position of the stage an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ImageError
from ..images import ArrayLike
from .image_file import ImageFile
from .library import library
from .stated import Layout, Stated, interval, lay_out, place

# Bytes; larger images are read frame by frame when they are indexed.
LAZY_BYTES = 500_000_000


def scenes(path: Path) -> tuple[str, ...]:
    """Return the names of the positions in an ND2 file."""
    with library("nd2").ND2File(path) as file:
        return _names(file, _layout(file))


def read(path: Path, scene: int = 0, labels: bool = False) -> ImageFile:
    """Read one position of an ND2 file.

    Raises
    ------
    ImageError
        If frames of it are missing.
    """
    with library("nd2").ND2File(path) as file:
        layout = _layout(file)
        sizes = tuple(file.sizes.values())
        counts = tuple(n for n, letter in zip(sizes, layout.letters, strict=True) if letter == "?")
        index = iter(place(scene, counts))
        where = tuple(next(index) if letter == "?" else slice(None) for letter in layout.letters)
        _check_frames(file, where)
        array: ArrayLike = file.to_dask(wrapper=False)[where]
        if np.dtype(array.dtype).itemsize * int(np.prod(array.shape)) <= LAZY_BYTES:
            array = np.asarray(array)
        said = stated(file).along(layout.renamed)
        names = _names(file, layout)
        rgb = bool(file.sizes.get("S", 1) == 3)
    letters = layout.letters.replace("?", "")
    return ImageFile.from_levels(
        [array],
        letters,
        said.sizes,
        said.units,
        rgb=rgb,
        channels=said.channels if "C" in letters and not rgb else (),
        scenes=names,
        scene=scene,
        notices=(*layout.notices, *said.notices),
        guesses=layout.guesses,
    )


def _layout(file: Any) -> Layout:
    letters, shape = "".join(file.sizes), tuple(file.sizes.values())
    if len(letters) != len(shape) or shape != tuple(file.shape):
        raise ImageError(
            f"its loops {letters} do not fit its shape {tuple(file.shape)}. Convert it to OME-TIFF "
            "with Bio-Formats: bfconvert in.nd2 out.ome.tif"
        )
    return lay_out(letters, shape, "P", unsaid="")


def _names(file: Any, layout: Layout) -> tuple[str, ...]:
    """Return the names of the positions; empty if there is only one."""
    shape = file.sizes.values()
    counts = [n for n, letter in zip(shape, layout.letters, strict=True) if letter == "?"]
    if not counts:
        return ()
    points = [
        point.name
        for loop in file.experiment
        if loop.type == "XYPosLoop"
        for point in loop.parameters.points
    ]
    count = int(np.prod(counts))
    named = points if len(counts) == 1 and len(points) == count else [None] * count
    return tuple(name or f"position {k}" for k, name in enumerate(named, start=1))


def _check_frames(file: Any, where: tuple[Any, ...]) -> None:
    """Raise `ImageError` if frames of an image are missing, which the library makes black."""
    offsets = getattr(getattr(file, "_rdr", None), "_frame_offsets", None)
    if offsets is None:  # an older kind of file, or another version of the library
        return
    loops = [n for letter, n in file.sizes.items() if letter not in "CSYX"]
    numbers = np.arange(int(np.prod(loops))).reshape(loops)[where[: len(loops)]]
    missing = [int(k) for k in np.ravel(numbers) if int(k) not in offsets]
    if missing:
        raise ImageError(
            f"{len(missing):,} of its {np.size(numbers):,} frames are not in the file, the first "
            f"is number {missing[0] + 1:,}: the file is incomplete."
        )


def stated(file: Any) -> Stated:
    """Return the calibration and the channels of an ND2 file.

    Parameters
    ----------
    file : nd2.ND2File
        An open file.
    """
    notices: tuple[str, ...] = ()
    try:
        channels = getattr(file.metadata, "channels", None) or []
    except Exception:  # the library fails on metadata that it does not know
        channels = []
        notices = ("The size of its pixels and its channels' names cannot be read.",)
    sizes: dict[str, float] = {}
    if channels:
        volume = channels[0].volume
        calibrated = zip(
            "XYZ", volume.axesCalibration, volume.axesCalibrated or (True,) * 3, strict=False
        )
        sizes = {axis: float(size) for axis, size, known in calibrated if known and size}
    units = dict.fromkeys("XYZ", "um")
    for loop in file.experiment:
        if loop.type == "ZStackLoop" and loop.parameters.stepUm:
            sizes["Z"] = abs(float(loop.parameters.stepUm))
        elif loop.type in ("TimeLoop", "NETimeLoop"):
            step, irregular = _interval(loop.parameters)
            notices += irregular
            if step:
                sizes["T"], units["T"] = step, "ms"
    names = tuple(str(channel.channel.name) for channel in channels)
    return Stated(sizes, units, channels=names, notices=notices)


def _interval(parameters: Any) -> tuple[float | None, tuple[str, ...]]:
    """Return the milliseconds between frames, or None with a notice if there is no one number."""
    phases = getattr(parameters, "periods", None) or [parameters]
    steps = []
    for phase in phases:
        measured = getattr(getattr(phase, "periodDiff", None), "avg", 0)
        steps.append(float(phase.periodMs or measured or 0))
    if len(steps) == 1:
        return steps[0] or None, ()
    return interval(np.cumsum([0.0, *steps]).tolist())
