"""The frames of DICOM files in time and space: their order, sizes and place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import ImageError
from .dicom_frames import Frame
from .dicom_sizes import frame_time, plane_sizes, time_between

# What tells frames at one place apart, the surest first.
TIMES = (
    "TemporalPositionIndex", "TemporalPositionIdentifier", "TriggerTime",
    "NominalCardiacTriggerDelayTime", "FrameReferenceTime", "FrameAcquisitionDateTime",
)  # fmt: skip
OTHERS = (
    "AcquisitionNumber", "EchoTime", "EffectiveEchoTime", "DiffusionBValue",
    "AcquisitionDateTime", "AcquisitionTime", "ContentTime", "DimensionIndexValues",
    "InstanceNumber",
)  # fmt: skip
# Frames whose positions differ by less, in mm, are at one place.
_SAME = 1e-3
# Distances between slices may differ by this share, and slices lie this far from a line, in mm.
_EVEN, _STRAIGHT = 0.1, 0.5
# Places are rounded to so many mm by some programs.
_ROUNDED = 0.02
# Slices that are sheared by more degrees are said to be.
_TILT = 1.0
# From DICOM's directions to those of NIfTI.
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(eq=False)
class Layout:
    """Where frames belong.

    Attributes
    ----------
    frames : list of list of Frame
        By time, then by depth.
    sizes, units : dict
        By letter, see `Grid.of`.
    affine : ndarray or None
        See `Grid`.
    notices : list of str
        What a user should know.
    """

    frames: list[list[Frame]]
    sizes: dict[str, float] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    affine: np.ndarray | None = None
    notices: list[str] = field(default_factory=list)


def arrange(frames: Sequence[Frame]) -> Layout:
    """Arrange the frames of one image.

    Parameters
    ----------
    frames : sequence of Frame
        Of equal size and direction, in any order.

    Raises
    ------
    ImageError
        If some of the frames are missing.
    """
    frames, notices = _distinct(frames)
    turned = all(f.directions is not None for f in frames)
    if any(f.place is None for f in frames):
        frames, turned = _numbered(frames), False
    placed = all(f.place is not None for f in frames)
    if placed and not turned:
        frames = _with_directions(frames)
    layout = _by_place(frames) if placed else _by_number(frames)
    layout.notices[:0] = notices
    first = layout.frames[0][0]
    sizes, units, more = plane_sizes(first)
    layout.sizes |= sizes
    layout.units = units | layout.units
    layout.notices += more
    if "Z" not in layout.sizes and len(layout.frames[0]) > 1:
        thickness = first.find("SpacingBetweenSlices") or first.find("SliceThickness")
        if thickness:
            layout.sizes["Z"], layout.units["Z"] = abs(float(thickness)), "mm"
    if layout.affine is not None:
        layout.affine = _affine(layout) if turned else None
    return layout


def _distinct(frames: Sequence[Frame]) -> tuple[list[Frame], list[str]]:
    """Return frames without copies of the same file."""
    found = {(str(f.header.get("SOPInstanceUID", f.file)), f.number): f for f in reversed(frames)}
    copies = len(frames) - len(found)
    notices = [f"{copies} files are copies of others and were left out."] if copies else []
    return list(found.values())[::-1], notices


# ------------------------------------------------------------------ without places
def _by_number(frames: list[Frame]) -> Layout:
    """Arrange frames that have no place: a film, or pictures of one series."""
    frames = sorted(
        frames, key=lambda f: (int(f.header.get("InstanceNumber") or 0), f.file.name, f.number)
    )
    film = len({f.file for f in frames}) == 1
    if not film or _is_stack(frames[0]):
        notices = (
            ["The files say nothing about where the slices lie; they come in their order."]
            if len(frames) > 1
            else []
        )
        return Layout([frames], notices=notices)
    seconds, notices = frame_time(frames[0].header)
    if not seconds and frames[1:]:
        notices = ["The file does not say what its frames are; they are read as times (T)."]
    known = {"T": seconds} if seconds else {}
    return Layout([[f] for f in frames], known, {"T": "s"} if seconds else {}, notices=notices)


def _is_stack(frame: Frame) -> bool:
    """Whether the frames of a file without places are slices."""
    header = frame.header
    timed = any(word in header for word in ("FrameTime", "FrameTimeVector", "CineRate"))
    sliced = "SpacingBetweenSlices" in header or "SliceThickness" in header
    volumes = header.get("Modality") in ("CT", "MR", "PT", "NM", "OPT", "SEG")
    return not timed and (sliced or volumes)


# ------------------------------------------------------------------ with places
def _numbered(frames: list[Frame]) -> list[Frame]:
    """Return frames that state only their number in a stack at places in this order."""
    numbers = [frame.find("InStackPositionNumber") for frame in frames]
    if None in numbers:
        return frames
    first = frames[0]
    step = first.find("SpacingBetweenSlices") or first.find("SliceThickness") or 1
    axis = np.array([0.0, 0.0, abs(float(step))])
    return [
        replace(frame, place=axis * int(number), directions=None)
        for frame, number in zip(frames, numbers, strict=True)
    ]


def _with_directions(frames: list[Frame]) -> list[Frame]:
    """Return frames of unknown direction as lying across the direction in which they spread."""
    spread = np.ptp([frame.at for frame in frames], axis=0)
    normal = int(spread.argmax()) if spread.any() else 2
    directions = np.eye(3)[[(normal + 1) % 3, (normal + 2) % 3]]
    return [replace(frame, directions=directions) for frame in frames]


def _by_place(frames: list[Frame]) -> Layout:
    places = levels(frames)
    counts = Counter(len(level) for level in places)
    if len(counts) > 1:
        usual = counts.most_common(1)[0][0]
        odd = next(level for level in places if len(level) != usual)
        names = ", ".join(sorted({f.file.name for f in odd})[:4])
        raise ImageError(
            f"{len(odd)} frames lie at {odd[0].position:.4g} mm ({names}), and {usual} at most "
            "other places: some are missing or too many."
        )
    layout = Layout([], affine=np.eye(4))
    if counts[1] != len(places):
        places = _timed(places, layout)
    layout.frames = [list(volume) for volume in zip(*places, strict=True)]
    _check_places([level[0] for level in places], layout)
    return layout


def levels(frames: list[Frame]) -> list[list[Frame]]:
    """Return the frames at each place, from the first slice to the last."""
    frames = sorted(frames, key=lambda f: f.position)
    steps = np.diff([f.position for f in frames])
    apart = max(_SAME, 0.01 * float(steps.max(initial=0)))
    found = [[frames[0]]]
    for frame, step in zip(frames[1:], steps, strict=True):
        if step > apart:
            found.append([frame])
        else:
            found[-1].append(frame)
    return found


def _timed(places: list[list[Frame]], layout: Layout) -> list[list[Frame]]:
    """Sort the frames at each place by time, or else by what tells them apart."""
    for word in (*TIMES, *OTHERS):
        values = [[_sortable(frame.find(word)) for frame in level] for level in places]
        if all(None not in row and len({str(v) for v in row}) == len(row) for row in values):
            break
    else:
        word, values = "", [[f.number for f in level] for level in places]
    if word not in TIMES:
        what = f"differ in {word}" if word else "differ in nothing that the files say"
        layout.notices.append(f"Frames at the same place {what}; they are read as times (T).")
    seconds = time_between(places, word)
    if seconds:
        layout.sizes["T"], layout.units["T"] = seconds, "s"
    return [
        [frame for _, _, frame in sorted(zip(row, range(len(row)), level, strict=True),
                                         key=lambda each: each[:2])]
        for row, level in zip(values, places, strict=True)
    ]  # fmt: skip


def _sortable(value: Any) -> Any:
    """Return a value, or several as a tuple."""
    return tuple(value) if np.ndim(value) else value


def _check_places(slices: list[Frame], layout: Layout) -> None:
    """Note the distance of slices; if they are not evenly spaced on a line there is no affine."""
    if len(slices) < 2:
        return
    places = np.array([f.at for f in slices])
    positions = np.array([f.position for f in slices])
    gaps = np.diff(positions)
    step = float(gaps.mean())
    layout.units["Z"] = "mm"
    if np.abs(gaps - step).max() > max(_EVEN * step, _ROUNDED):
        step = _note_gaps(slices, gaps, layout)
        layout.affine = None
    layout.sizes["Z"] = step
    normal = slices[0].normal
    share = (positions - positions[0]) / (positions[-1] - positions[0])
    line = places[0] + share[:, None] * (places[-1] - places[0])
    if np.linalg.norm(places - line, axis=1).max() > _STRAIGHT:
        layout.affine = None
        layout.notices.append(
            "The slices do not lie on a straight line, so the stack has no place in the patient."
        )
        return
    along = places[-1] - places[0]
    tilt = np.degrees(np.arccos(np.clip(normal @ along / np.linalg.norm(along), -1, 1)))
    if tilt > _TILT:
        layout.notices.append(
            f"The slices are sheared by {tilt:.1f}°, as with a tilted gantry; the size along Z is "
            "the distance of their planes."
        )


def _note_gaps(slices: list[Frame], gaps: np.ndarray, layout: Layout) -> float:
    """Note where slices are missing and return the regular distance."""
    step = float(gaps.min())
    wide = int(gaps.argmax())
    before, after = slices[wide], slices[wide + 1]
    where = (
        f"between {before.position:.4g} mm ({before.file.name}) and {after.position:.4g} mm "
        f"({after.file.name})"
    )
    counts = np.rint(gaps / step)
    if np.abs(gaps - counts * step).max() <= _EVEN * step:
        missing = int((counts - 1).sum())
        what = f"{missing} slice{'s are' if missing > 1 else ' is'} missing, {where}"
    else:
        what = f"slices are {step:.4g} to {gaps.max():.4g} mm apart, the farthest {where}"
        step = float(np.median(gaps))
    layout.notices.append(
        f"Of this series, {what}. Sizes along Z are right for the regular distance of {step:.4g} "
        "mm only, and the stack has no place in the patient."
    )
    return step


def _affine(layout: Layout) -> np.ndarray | None:
    """Return the affine of slices that are evenly spaced; None if pixels have no size."""
    slices = layout.frames[0]
    first = slices[0]
    rows, columns = layout.sizes.get("Y"), layout.sizes.get("X")
    if not rows or not columns or layout.units.get("X") != "mm" or first.directions is None:
        return None
    affine = np.eye(4)
    affine[:3, 0] = first.directions[0] * columns
    affine[:3, 1] = first.directions[1] * rows
    if len(slices) > 1:
        affine[:3, 2] = (slices[-1].at - slices[0].at) / (len(slices) - 1)
    else:
        thickness = first.find("SliceThickness") or first.find("SpacingBetweenSlices") or 1
        affine[:3, 2] = first.normal * (abs(float(thickness)) or 1.0)
    affine[:3, 3] = first.at
    return np.asarray(TO_RAS @ affine)
