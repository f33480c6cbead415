"""The calibration of TIFFs: of SegLite, OME, ImageJ, LSM, other microscopes, and plain ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..errors import ImageError
from ..images import Grid
from . import imagej
from .ome_xml import OmeImage
from .stated import Stated, interval

_CENTIMETRE = 3


def stated(tiff: Any, series: Any, image: OmeImage | None) -> Stated:
    """Return what the metadata of a TIFF state on a series.

    Parameters
    ----------
    tiff : tifffile.TiffFile
        An open file.
    series : tifffile.TiffPageSeries
        One of its images.
    image : OmeImage or None
        The same in its OME metadata.
    """
    own = _own(tiff)
    if own is not None:
        return own
    if image is not None:
        return image.stated
    if tiff.is_imagej:
        found = imagej.stated(tiff, series.shape)
        if {"X", "Y"} & set(found.sizes):
            return found
        plain = _plain(series)
        return replace(
            found, sizes={**found.sizes, **plain.sizes}, units={**found.units, **plain.units}
        )
    for kind, reader in _READERS.items():
        if getattr(tiff, f"is_{kind}", False):
            try:
                found = reader(tiff)
            except Exception:  # metadata of any content; the image is read without them
                break
            if found.sizes:
                return found
    return _plain(series)


def _own(tiff: Any) -> Stated | None:
    """Return what SegLite wrote into a TIFF that ImageJ cannot read."""
    said = (tiff.shaped_metadata or [{}])[0]
    if "seglite" not in said:
        return None
    if "grid" not in said:  # versions before 0.2
        return Stated(
            dict(zip(said["axes"], said["spacing"], strict=True)),
            dict.fromkeys("ZYX", said["unit"]),
        )
    try:
        return Stated.of(Grid.from_dict(said["grid"]))
    except (ImageError, ValueError, KeyError, TypeError) as error:
        return Stated(notices=(f"The calibration in the file is damaged ({error!r:.100}).",))


def _plain(series: Any) -> Stated:
    """Return the resolution in centimetres; that in inches is a printer's or a screen's."""
    tags = series.keyframe.tags
    unit = tags["ResolutionUnit"].value if "ResolutionUnit" in tags else 0
    if unit != _CENTIMETRE:
        return Stated()
    sizes = {}
    for axis, tag in (("X", "XResolution"), ("Y", "YResolution")):
        pixels, units = tags[tag].value if tag in tags else (0, 1)
        if pixels > 0 and units > 0:
            sizes[axis] = units / pixels * 1e4
    return Stated(sizes, dict.fromkeys(sizes, "um"))


def _lsm(tiff: Any) -> Stated:
    said = tiff.lsm_metadata
    sizes = {a: float(said[f"VoxelSize{a}"]) * 1e6 for a in "XYZ" if f"VoxelSize{a}" in said}
    units = dict.fromkeys("XYZ", "um")
    notices: tuple[str, ...] = ()
    step: float | None = float(said.get("TimeIntervall") or said.get("TimeInterval") or 0)
    times = said.get("TimeStamps")
    if not step and times is not None and len(times) > 1:
        step, notices = interval(times)
    if step:
        sizes["T"], units["T"] = step, "s"
    origin = {a: float(said.get(f"Origin{a}") or 0) * 1e6 for a in "XYZ"}
    names = (said.get("ChannelColors") or {}).get("ColorNames") or ()
    return Stated(sizes, units, origin, channels=tuple(map(str, names)), notices=notices)


def _stk(tiff: Any) -> Stated:
    said = tiff.stk_metadata
    unit = str(said.get("CalibrationUnits", "")) if said.get("SpatialCalibration", 1) else ""
    if not unit:
        return Stated()
    sizes = {axis: float(said.get(f"{axis}Calibration") or 0) for axis in "XY"}
    distances = said.get("ZDistance")
    if distances is not None and len(distances):
        sizes["Z"] = abs(float(distances[0]))
    return Stated(sizes, dict.fromkeys("XYZ", unit))


def _svs(tiff: Any) -> Stated:
    found = re.search(r"\bMPP\s*=\s*([\d.]+)", tiff.pages.first.description)
    size = float(found[1]) if found else 0.0
    return Stated({"X": size, "Y": size} if size else {}, dict.fromkeys("XY", "um"))


def _sis(tiff: Any) -> Stated:
    said = tiff.sis_metadata
    sizes = {a: float(said.get(f"pixelsize{a.lower()}", 0)) * 1e6 for a in "XY"}
    return Stated(sizes if all(sizes.values()) else {}, dict.fromkeys("XY", "um"))


def _fei(tiff: Any) -> Stated:
    said = tiff.fei_metadata["Scan"]
    sizes = {"X": float(said["PixelWidth"]) * 1e9, "Y": float(said["PixelHeight"]) * 1e9}
    return Stated(sizes, dict.fromkeys("XY", "nm"))


def _sem(tiff: Any) -> Stated:
    said: Mapping[str, Any] = tiff.sem_metadata
    _, size, unit = (said.get("ap_image_pixel_size") or said["ap_pixel_size"])[:3]
    return Stated({"X": float(size), "Y": float(size)}, dict.fromkeys("XY", str(unit)))


def _metaseries(tiff: Any) -> Stated:
    said = tiff.metaseries_metadata["PlaneInfo"]
    if not said.get("spatial-calibration-state", True):
        return Stated()
    sizes = {a: float(said[f"spatial-calibration-{a.lower()}"]) for a in "XY"}
    return Stated(sizes, dict.fromkeys("XY", str(said["spatial-calibration-units"])))


def _micromanager(tiff: Any) -> Stated:
    said = tiff.micromanager_metadata["Summary"]
    sizes = dict.fromkeys("XY", float(said.get("PixelSize_um") or 0))
    sizes["Z"] = abs(float(said.get("z-step_um") or 0))
    units = dict.fromkeys("XYZ", "um")
    if said.get("Interval_ms"):
        sizes["T"], units["T"] = float(said["Interval_ms"]), "ms"
    names = said.get("ChNames") or ()
    return Stated(
        {axis: size for axis, size in sizes.items() if size},
        units,
        channels=tuple(map(str, names)) if isinstance(names, list | tuple) else (),
    )


_READERS: dict[str, Callable[[Any], Stated]] = {
    "lsm": _lsm,
    "stk": _stk,
    "svs": _svs,
    "sis": _sis,
    "fei": _fei,
    "sem": _sem,
    "metaseries": _metaseries,
    "micromanager": _micromanager,
}
