"""Sizes of pixels and times between frames, in all the places where DICOM states them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, time
from typing import Any

import numpy as np

from .dicom_frames import Frame

# Values that tell times apart, as seconds.
_SECONDS = {
    "TriggerTime": 1e-3, "NominalCardiacTriggerDelayTime": 1e-3, "FrameReferenceTime": 1e-3,
}  # fmt: skip
_CLOCKS = ("FrameAcquisitionDateTime", "AcquisitionDateTime", "AcquisitionTime", "ContentTime")
# Code of centimetres in a region of ultrasound.
_CM = 3


def plane_sizes(frame: Frame) -> tuple[dict[str, float], dict[str, str], list[str]]:
    """Return the sizes of a pixel along Y and X, their units, and notices."""
    for word in ("PixelSpacing", "NominalScannedPixelSpacing", "ImagerPixelSpacing"):
        sizes = _pair(frame.find(word))
        if sizes is None:
            continue
        notices = []
        if word == "ImagerPixelSpacing":
            notices.append(
                "The size of a pixel is that on the detector; what is farther from it is smaller."
            )
        return sizes, dict.fromkeys("YX", "mm"), notices
    regions = frame.header.get("SequenceOfUltrasoundRegions")
    if regions:
        return _ultrasound(regions)
    ratio = _pair(frame.find("PixelAspectRatio"))
    if ratio is not None and ratio["Y"] != ratio["X"]:
        return {"Y": ratio["Y"] / ratio["X"], "X": 1.0}, {}, []
    return {}, {}, []


def _pair(values: Any) -> dict[str, float] | None:
    """Return two positive numbers as sizes along Y and X, or None."""
    try:
        rows, columns = (float(n) for n in values)
    except (TypeError, ValueError):
        return None
    if not all(math.isfinite(n) and n > 0 for n in (rows, columns)):
        return None
    return {"Y": rows, "X": columns}


def _ultrasound(regions: Any) -> tuple[dict[str, float], dict[str, str], list[str]]:
    """Return the sizes in the largest region of an ultrasound image that has lengths."""
    known: list[tuple[int, int, dict[str, float]]] = []
    for region in regions:
        if {region.get("PhysicalUnitsXDirection"), region.get("PhysicalUnitsYDirection")} != {_CM}:
            continue
        sizes = _pair([abs(float(region.get(f"PhysicalDelta{a}") or 0)) for a in "YX"])
        if sizes is None:
            continue
        corners = [int(region.get(f"RegionLocation{name}") or 0)
                   for name in ("MinX0", "MaxX1", "MinY0", "MaxY1")]  # fmt: skip
        known.append(((corners[1] - corners[0]) * (corners[3] - corners[2]), len(known), sizes))
    if not known:
        return {}, {}, []
    sizes = {axis: 10 * n for axis, n in max(known)[2].items()}
    notices = []
    if any(each[2] != known[0][2] for each in known):
        notices.append("The regions of this ultrasound have several sizes; the largest counts.")
    return sizes, dict.fromkeys("YX", "mm"), notices


# ------------------------------------------------------------------ time
def frame_time(header: Any) -> tuple[float | None, list[str]]:
    """Return the seconds between two frames of a film, or None, and notices."""
    vector = header.get("FrameTimeVector")
    if vector is not None and np.size(vector) > 1:
        steps = np.array(vector, float)[1:]
        mean = float(steps.mean()) / 1000
        uneven = np.ptp(steps) > 0.1 * steps.mean()
        notices = ["The frames are not evenly spaced in time; the interval is their mean."]
        return (mean if mean > 0 else None), notices if uneven else []
    if header.get("FrameTime"):
        return float(header.FrameTime) / 1000, []
    for word in ("CineRate", "RecommendedDisplayFrameRate"):
        if header.get(word):
            return 1 / float(header[word].value), []
    return None, []


def time_between(levels: Sequence[Sequence[Frame]], word: str) -> float | None:
    """Return the seconds between two frames at one place, or None.

    Parameters
    ----------
    levels : sequence of sequence of Frame
        The frames at each place.
    word : str
        The value that tells them apart.
    """
    first = levels[0]
    resolution = first[0].find("TemporalResolution")
    if resolution:
        return float(resolution) / 1000
    for each in dict.fromkeys((word, *_SECONDS, *_CLOCKS)):
        if each not in _SECONDS and each not in _CLOCKS:
            continue
        times = sorted(t for f in first if (t := _seconds(f.find(each), each)) is not None)
        if len(times) == len(first):
            step = float(np.median(np.diff(times)))
            if step > 0:
                return step
    return None


def _seconds(value: Any, word: str) -> float | None:
    """Return a time as seconds, of a duration, a time of day, or a date with time."""
    if value is None or value == "":
        return None
    try:
        if word in _SECONDS:
            return float(value) * _SECONDS[word]
        from pydicom.valuerep import DT, TM

        moment = (DT if word.endswith("DateTime") else TM)(str(value))
    except (TypeError, ValueError):
        return None
    if isinstance(moment, datetime):
        return moment.timestamp()
    if isinstance(moment, time):
        return moment.hour * 3600 + moment.minute * 60 + moment.second + moment.microsecond / 1e6
    return None
