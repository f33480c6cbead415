"""DICOM SEG: segmentations that lie on the frames of another DICOM image."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ImageError
from ..images import Grid
from .atomic import replacing
from .dicom_frames import Frame, count, frames_of, is_segmentation, read_header
from .dicom_layout import TO_RAS, arrange, levels
from .dicom_pixels import read_frames
from .dicom_scenes import find_scenes, is_dicom
from .dicom_sizes import plane_sizes
from .image_file import ImageFile
from .limits import check_in_memory

# More would make a file of thousands of frames, which viewers do not show.
MOST_SEGMENTS = 256
# SegLite keeps the recipe and the grid of labels in private elements of this group.
_GROUP, _CREATOR, _ELEMENT = 0x0071, "napari-seglite", 0x01
# Sources may lie this far from the grid of the labels, in mm.
_NEAR = 0.01
# Planes of a segmentation; more than a file can describe are damage.
_MOST_PLANES = 1_000_000
# What highdicom copies from a source, which old or anonymous files may lack.
_PATIENT = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID",
    "StudyDate", "StudyTime", "ReferringPhysicianName", "SeriesNumber", "InstanceNumber",
)  # fmt: skip


# ------------------------------------------------------------------ reading
def read(path: Path) -> ImageFile:
    """Read a segmentation as labels: the number of its segment for each voxel, else 0.

    Planes without any segment, which files leave out, are empty. Where segments overlap, the one
    with the highest number counts.

    Returns
    -------
    ImageFile
        uint16.

    Raises
    ------
    ImageError
        If the file is damaged.
    """
    header = read_header(path)
    frames = frames_of(path, header)
    grid, planes, depth = _planes(frames, _own(header))
    if not max(planes) < depth <= _MOST_PLANES:
        raise ImageError("its frames lie outside the labels that it describes.")
    pixels, _ = read_frames(frames, labels=True)
    check_in_memory((depth, *pixels.shape[1:]), np.uint16, "It cannot be opened here.")
    labels = np.zeros((depth, *pixels.shape[1:]), np.uint16)
    notices = _fill(labels, pixels, frames, planes)
    return ImageFile.from_levels(
        [labels if grid.axes != "YX" else labels[0]],
        grid.axes,
        dict(zip(grid.axes, grid.spacing, strict=True)),
        dict(zip(grid.axes, grid.units, strict=True)),
        affine=grid.affine,
        notices=tuple(notices),
    )


def leaves_out_planes(path: Path) -> bool:
    """Whether a file is a segmentation that may lack the planes without any segment."""
    if not path.is_file() or not is_dicom(path):
        return False
    header = read_header(path)
    return is_segmentation(header) and not _own(header)


def _fill(
    labels: np.ndarray, pixels: np.ndarray, frames: list[Frame], planes: list[int]
) -> list[str]:
    """Write the segments into the planes of labels, and return notices."""
    header, notices, overlap = frames[0].header, [], False
    kind = str(header.get("SegmentationType"))
    least = 1.0
    if kind == "FRACTIONAL":
        least = float(header.get("MaximumFractionalValue") or 1) / 2
        notices.append("Its segments are shares or probabilities; half and more counts.")
    numbers = [int(frame.find("ReferencedSegmentNumber") or 1) for frame in frames]
    for k in np.argsort(numbers, kind="stable"):
        plane = labels[planes[k]]
        if kind == "LABELMAP":
            plane[:] = pixels[k]
            continue
        inside = pixels[k] >= least
        overlap |= bool((plane[inside] > 0).any())
        plane[inside] = numbers[k]
    if overlap:
        notices.append("Some of its segments overlap; the one with the highest number counts.")
    return notices


def _planes(frames: list[Frame], own: dict[str, Any]) -> tuple[Grid, list[int], int]:
    """Return the grid of labels, the plane that each frame belongs to, and how many there are."""
    placed = all(f.place is not None and f.directions is not None for f in frames)
    if own:
        grid, known = Grid.from_dict(own["grid"]), own["planes"]
        if placed:
            places = np.array(known, float).reshape(-1, 3)
            found = [int(np.linalg.norm(places - f.at, axis=1).argmin()) for f in frames]
        else:
            order = {tuple(each): k for k, each in enumerate(known)}
            found = [order.get(_reference(f), 0) for f in frames]
        return grid, found, len(known)
    sizes, units, _ = plane_sizes(frames[0])
    if not placed:
        order = {key: k for k, key in enumerate(dict.fromkeys(map(_reference, frames)))}
        grid = Grid.of("ZYX" if len(order) > 1 else "YX", sizes, units)
        return grid, [order[_reference(f)] for f in frames], len(order)
    groups = levels(frames)
    positions = np.array([group[0].position for group in groups])
    step = _step(frames[0], np.diff(positions))
    numbers = np.rint((positions - positions[0]) / step).astype(int).tolist()
    affine = np.eye(4)
    first, last = groups[0][0], groups[-1][0]
    assert first.directions is not None
    affine[:3, 0] = first.directions[0] * sizes.get("X", 1.0)
    affine[:3, 1] = first.directions[1] * sizes.get("Y", 1.0)
    span = last.at - first.at
    affine[:3, 2] = span / numbers[-1] if numbers[-1] else first.normal * step
    affine[:3, 3] = first.at
    plane_of = {id(f): k for group, k in zip(groups, numbers, strict=True) for f in group}
    depth = numbers[-1] + 1
    grid = Grid.of(
        "ZYX" if depth > 1 else "YX", sizes | {"Z": step}, {"Z": "mm"} | units,
        affine=TO_RAS @ affine if sizes else None,
    )  # fmt: skip
    return grid, [plane_of[id(f)] for f in frames], depth


def _step(frame: Frame, gaps: np.ndarray) -> float:
    """Return the distance of planes, of which a segmentation leaves out those that are empty."""
    stated = abs(float(frame.find("SpacingBetweenSlices") or 0))
    if stated and np.allclose(gaps / stated, np.rint(gaps / stated), atol=0.05):
        return stated
    if gaps.size:
        return float(gaps.min())
    return stated or abs(float(frame.find("SliceThickness") or 0)) or 1.0


def _reference(frame: Frame) -> tuple[str, int]:
    """Return the source of a frame: the identifier of its file, and its number there, from 1."""
    images = frame.find("SourceImageSequence")
    if not images:
        derived = frame.find("DerivationImageSequence")
        images = derived[0].get("SourceImageSequence") if derived else None
    if not images:
        return "", frame.number + 1
    numbers = images[0].get("ReferencedFrameNumber")
    number = numbers[0] if np.ndim(numbers) else numbers
    return str(images[0].get("ReferencedSOPInstanceUID")), int(number or 1)


# ------------------------------------------------------------------ writing
def write(
    path: Path, labels: np.ndarray, recipe: dict[str, Any], grid: Grid, source: Path | None = None
) -> None:
    """Write labels as DICOM SEG, a segment for each class or object.

    The patient, the study and the frame of reference are those of the source.

    Parameters
    ----------
    path : Path
        Ending in ``.dcm``.
    labels : ndarray
        uint8, uint16 or uint32.
    recipe : dict
        Plain JSON data that `recipe_of` returns; kept in a private element.
    grid : Grid
        Where the labels lie.
    source : Path
        The DICOM file or folder that was segmented.

    Raises
    ------
    ImageError
        If highdicom is not installed, the source is not the DICOM image that the labels belong
        to, or there are too many objects or several times.
    """
    try:
        import highdicom
    except ImportError as error:
        raise ImageError(
            f"{path}: DICOM segmentations need highdicom: pip install 'napari-seglite[medical]'."
        ) from error
    frames = _source_frames(path, labels, grid, source)
    planes = _as_planes(labels, grid.axes)
    most = int(planes.max(initial=0))
    if labels.dtype.kind not in "ui" or most > MOST_SEGMENTS:
        raise ImageError(
            f"{path}: DICOM segmentations hold up to {MOST_SEGMENTS} objects, and there are "
            f"{most}. Write them as NIfTI or TIFF."
        )
    own = {"seglite": recipe, "grid": grid.as_dict(), "planes": _described(frames)}
    planes = planes.astype(np.uint8 if most < 256 else np.uint16)
    images = [frame.header for frame in frames]
    if count(images[0]) > 1:  # highdicom wants all frames of a file, as they are stored
        stored = np.zeros((count(images[0]), *planes.shape[1:]), planes.dtype)
        stored[[frame.number for frame in frames]] = planes
        planes, images = stored, images[:1]
    for image in images:
        for word in _PATIENT:
            if word not in image:
                setattr(image, word, None)
        if image.get("SliceThickness") is None:
            image.SliceThickness = round(grid.size("Z"), 6)
    try:
        result = highdicom.seg.Segmentation(
            source_images=images,
            pixel_array=planes,
            segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=_segments(max(most, 1), recipe),
            series_instance_uid=highdicom.UID(),
            series_number=1000 + int(images[0].SeriesNumber or 0),
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer="SegLite",
            manufacturer_model_name="napari-seglite",
            software_versions=version("napari-seglite"),
            device_serial_number="none",
            series_description=path.stem[:64],
            pixel_measures=_measures(frames, grid),
        )
    except Exception as error:  # highdicom wants much that old and anonymous files lack
        raise ImageError(
            f"{path}: no DICOM segmentation can lie on this image ({str(error)[:300]}). Write the "
            "labels as NIfTI or TIFF."
        ) from error
    block = result.private_block(_GROUP, _CREATOR, create=True)
    block.add_new(_ELEMENT, "UT", json.dumps(own))
    with replacing(path) as temporary:
        result.save_as(temporary)


def _source_frames(path: Path, labels: np.ndarray, grid: Grid, source: Path | None) -> list[Frame]:
    """Return the frames that were segmented, in the order of the planes of the labels."""
    try:
        scenes, _ = find_scenes(source) if source is not None else ([], [])
    except Exception as error:  # pydicom raises anything at all on what is no DICOM
        raise ImageError(
            f"{path}: DICOM segmentations lie on a DICOM image, which {source} is not."
        ) from error
    shape = _as_planes(labels, grid.axes).shape
    for scene in scenes:
        header = scene.frames[0].header
        if (int(header.Rows), int(header.Columns)) != shape[1:]:
            continue
        layout = arrange(scene.frames)
        frames = [frame for volume in layout.frames for frame in volume]
        if len(frames) != shape[0] or not _same_place(layout.affine, grid.affine):
            continue
        if len(layout.frames) > 1 and frames[0].place is not None:
            raise ImageError(
                f"{path}: a DICOM segmentation has no times. Write this series as NIfTI or TIFF."
            )
        return frames
    raise ImageError(
        f"{path}: DICOM segmentations lie on the DICOM image that was segmented; {source} holds "
        f"none of {' x '.join(map(str, shape))} pixels at this place."
    )


def _same_place(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    return a is None or b is None or np.allclose(a, b, atol=_NEAR)


def _as_planes(labels: np.ndarray, axes: str) -> np.ndarray:
    """Return labels as ``(N, H, W)``, by time, then by depth."""
    order = [axes.index(a) for a in "TZYX" if a in axes]
    planes = labels.transpose(order)
    return planes.reshape(-1, *planes.shape[-2:])


def _described(frames: list[Frame]) -> list[Any]:
    """Return what tells the plane of each frame: its place, or its file and number."""
    if frames[0].place is not None:
        return [frame.at.tolist() for frame in frames]
    return [[str(frame.header.get("SOPInstanceUID")), frame.number + 1] for frame in frames]


def _measures(frames: list[Frame], grid: Grid) -> Any:
    """Return the sizes of voxels; None if the source says nothing of them."""
    import highdicom

    first = frames[0]
    spacing = first.find("PixelSpacing")
    if spacing is None or first.place is None:
        return None
    distance = grid.size("Z") if "Z" in grid.axes else None
    thickness = first.find("SliceThickness") or distance or 1.0
    return highdicom.PixelMeasuresSequence([float(n) for n in spacing], float(thickness), distance)


def _segments(number: int, recipe: dict[str, Any]) -> list[Any]:
    """Return the descriptions of segments."""
    import highdicom
    from pydicom.sr.codedict import codes

    word = "object" if str(recipe.get("output", "")).startswith("instance") else "class"
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="SegLite",
        family=codes.DCM.ArtificialIntelligence,
        version=version("napari-seglite"),
    )
    return [
        highdicom.seg.SegmentDescription(
            segment_number=k,
            segment_label=f"{word} {k}",
            segmented_property_category=codes.SCT.Tissue,
            segmented_property_type=codes.SCT.Tissue,
            algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
        )
        for k in range(1, number + 1)
    ]


# ------------------------------------------------------------------ what SegLite adds
def recipe_of(path: Path) -> dict[str, Any]:
    """Return the recipe stored by `write`; empty if there is none."""
    try:
        return dict(_own(read_header(path))["seglite"])
    except Exception:  # pydicom raises anything at all on what is no DICOM
        return {}


def _own(header: Any) -> dict[str, Any]:
    """Return what `write` added to a segmentation; empty if another program wrote it."""
    try:
        data = json.loads(header.private_block(_GROUP, _CREATOR)[_ELEMENT].value)
        Grid.from_dict(data["grid"])
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}
    return data if isinstance(data.get("planes"), list) and data["planes"] else {}
