"""Frames of DICOM files and what their headers say about each, classic and enhanced alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ImageError
from .limits import check_claim

# How far compression may shrink a frame; a flat one needs only some bytes.
_RATIO = 100_000
# Of frames of bits, and of frames of label numbers.
_SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a file.

    Attributes
    ----------
    file : Path
        That holds it.
    header : pydicom.Dataset
        Of the file, without pixels.
    number : int
        Of the frame in the file, from 0.
    place : ndarray or None
        ``(3,)``, of the middle of its first pixel, in mm, in DICOM's directions (LPS).
    directions : ndarray or None
        ``(2, 3)``, along a row and along a column, in DICOM's directions.
    """

    file: Path
    header: Any
    number: int = 0
    place: np.ndarray | None = None
    directions: np.ndarray | None = None

    def find(self, keyword: str) -> Any:
        """Return a value that the header states for this frame, or for all; None if it does not."""
        for item in _groups(self.header, self.number):
            if keyword in item:
                return item[keyword].value
        return self.header.get(keyword)

    @property
    def normal(self) -> np.ndarray:
        """Direction ``(3,)`` in which slices follow each other."""
        return np.cross(*(self.directions if self.directions is not None else np.eye(3)[:2]))

    @property
    def at(self) -> np.ndarray:
        """Place ``(3,)``; zero where it is unknown."""
        return np.zeros(3) if self.place is None else self.place

    @property
    def position(self) -> float:
        """Place along `normal` in mm."""
        return float(self.normal @ self.at)

    @property
    def rescale(self) -> tuple[float, float]:
        """Slope and intercept from stored to physical values."""
        slope = self.find("RescaleSlope")
        if slope is None:
            slope = self.header.get("DoseGridScaling")
        intercept = self.find("RescaleIntercept")
        return (1.0 if slope is None else float(slope), float(intercept or 0))


def read_header(file: Path) -> Any:
    """Return the header of a DICOM file.

    Raises
    ------
    ImageError
        If it is no DICOM, or claims more pixels than the file can hold.
    """
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        header = pydicom.dcmread(file, stop_before_pixels=True)
    except InvalidDicomError:
        # Some programs leave out the preamble.
        header = pydicom.dcmread(file, stop_before_pixels=True, force=True)
        if "SOPClassUID" not in header:
            raise
    if "Rows" in header:
        _check(header, file)
    return header


def _check(header: Any, file: Path) -> None:
    frames, samples = count(header), int(header.get("SamplesPerPixel") or 1)
    bits = int(header.get("BitsAllocated") or 8)
    syntax = getattr(header, "file_meta", {}).get("TransferSyntaxUID")
    packed = syntax is not None and (syntax.is_compressed or syntax.is_deflated)
    # YBR_FULL_422 stores two of three samples.
    ratio = (_RATIO if packed else 1.5) * (8 if bits == 1 else 1)
    shape = (frames, samples, int(header.Rows), int(header.Columns))
    if min(shape) < 1:
        raise ImageError(f"it claims to hold {' x '.join(map(str, shape))} pixels.")
    check_claim(shape, f"V{max(bits // 8, 1)}", file.stat(), ratio)
    per_frame = header.get("PerFrameFunctionalGroupsSequence")
    if per_frame is not None and len(per_frame) != frames:
        raise ImageError(f"it has {frames} frames and describes {len(per_frame)}: it is damaged.")


def is_segmentation(header: Any) -> bool:
    """Whether a file holds a segmentation (DICOM SEG) of another image."""
    return header.get("SOPClassUID") in _SEGMENTATIONS


def count(header: Any) -> int:
    """Return the number of frames of a file."""
    return int(header.get("NumberOfFrames") or 1)


def frames_of(file: Path, header: Any) -> list[Frame]:
    """Return all frames of a file, in the order they are stored in."""
    number = count(header)
    if number == 1 or "PerFrameFunctionalGroupsSequence" in header:
        return [Frame(file, header, k, *_place(Frame(file, header, k))) for k in range(number)]
    first, directions = _place(Frame(file, header))
    offsets = _offsets(header)
    if offsets is None or first is None or directions is None or len(offsets) != number:
        # A film at one place: its frames follow each other in time.
        return [Frame(file, header, k, None, directions) for k in range(number)]
    steps = np.outer(offsets, np.cross(*directions))
    return [Frame(file, header, k, first + steps[k], directions) for k in range(number)]


def _offsets(header: Any) -> np.ndarray | None:
    """Return the distances of classic frames from the first, as doses and tomograms state them."""
    if "GridFrameOffsetVector" in header:
        offsets: np.ndarray = np.array(header.GridFrameOffsetVector, float)
        return np.asarray(offsets - offsets[0])
    if "SliceVector" in header and "SpacingBetweenSlices" in header:
        slices = np.array(header.SliceVector, float)
        return np.asarray((slices - slices[0]) * float(header.SpacingBetweenSlices))
    return None


def _place(frame: Frame) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return place and directions of a frame; None where they are missing or damaged."""
    place, directions = (
        _numbers(frame.find(word) or _detector(frame.header, word), size)
        for word, size in (("ImagePositionPatient", 3), ("ImageOrientationPatient", 6))
    )
    if directions is None:
        return place, None
    directions = directions.reshape(2, 3)
    lengths = np.linalg.norm(directions, axis=1)
    if not np.allclose(lengths, 1, atol=0.05) or abs(directions[0] @ directions[1]) > 0.05:
        return place, None
    return place, directions / lengths[:, None]


def _detector(header: Any, word: str) -> Any:
    """Return what a tomogram of nuclear medicine says of its detector."""
    detectors = header.get("DetectorInformationSequence")
    return detectors[0].get(word) if detectors else None


def _numbers(values: Any, size: int) -> np.ndarray | None:
    try:
        numbers = np.array(values, float).reshape(size)
    except (TypeError, ValueError):
        return None
    return numbers if np.isfinite(numbers).all() else None


def _groups(header: Any, number: int) -> Iterator[Any]:
    """Yield the functional groups of a frame, then those shared by all."""
    for name, k in (
        ("PerFrameFunctionalGroupsSequence", number),
        ("SharedFunctionalGroupsSequence", 0),
    ):
        groups = header.get(name)
        if not groups or k >= len(groups):
            continue
        for element in groups[k]:
            if element.VR == "SQ" and element.value:
                yield element.value[0]
