"""Examine a project that was damaged, and repair what can be repaired."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import AnnotationError, SegliteError
from ..formats import split_scene, stored_grid
from ..images import Corrections, ImageAxes
from . import index
from .folder import recover_all
from .index import BACKUPS, IMAGES, INDEX
from .journal import JOURNAL, Journal
from .label_files import image_folder, labels_folder, open_labels, write_labels
from .lock import ProjectLock, ProjectMoved
from .project import AnnotationProject
from .project_image import ClassList, ProjectImage


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a project.

    Attributes
    ----------
    text : str
        What is wrong.
    remedy : str
        What a repair does about it, or what the user can do.
    repaired : bool
        Whether it was repaired.
    """

    text: str
    remedy: str
    repaired: bool = False

    def __str__(self) -> str:
        """Say it in a line or two."""
        return f"{self.text}\n  {'Repaired: ' if self.repaired else 'Remedy: '}{self.remedy}"


def examine(folder: Path, repair: bool = False) -> list[Finding]:
    """Examine all files of a project, and repair them if that is wanted.

    A repair deletes nothing: damaged files get other names.

    Parameters
    ----------
    folder : Path
        Of the project.
    repair : bool
        Whether to repair what can be repaired.

    Returns
    -------
    list of Finding
        Empty if all is well.

    Raises
    ------
    ProjectInUse
        If a program has the project open.
    AnnotationError
        If there is no project at all.
    """
    if not _is_project(folder):
        raise AnnotationError(f"{folder} holds no SegLite project.")
    lock = ProjectLock(folder)
    try:
        lock.acquire()
        try:
            findings = list(_examine(folder, repair))
        finally:
            lock.release()
    except (OSError, ProjectMoved) as error:
        raise AnnotationError(f"The project {folder} cannot be examined: {error}.") from error
    if repair:
        AnnotationProject.open(folder).close()  # merges what was kept aside
    return findings


def _is_project(folder: Path) -> bool:
    return folder.is_dir() and any(
        (folder / name).exists() for name in (INDEX, *BACKUPS, IMAGES, JOURNAL)
    )


def _examine(folder: Path, repair: bool) -> Iterator[Finding]:
    if repair:
        recover_all(folder)
    try:
        classes, images = index.read(folder)
    except AnnotationError as error:
        finding, classes, images = _earlier_index(folder, str(error), repair)
        yield finding
    damaged = Journal(folder / JOURNAL).read().damaged
    if damaged:
        yield Finding(
            f"The journal is damaged in {damaged} places.",
            "all whole strokes are merged when the project is opened; the damaged journal is kept.",
            repair,
        )
    changed = False
    for image in images:
        for finding in _examine_image(folder, image, repair):
            yield finding
            changed = changed or finding.repaired
    if changed:
        index.write(folder, classes, images)


# ------------------------------------------------------------------ the index
def _earlier_index(
    folder: Path, problem: str, repair: bool
) -> tuple[Finding, ClassList, list[ProjectImage]]:
    """Return the newest index that can be read, or one made from the labels."""
    for name in BACKUPS:
        try:
            classes, images = index.read(folder, name)
        except AnnotationError:
            continue
        remedy = f"the index of an earlier day ({name}) is put in its place."
        break
    else:
        classes, images = ClassList(), list(_from_labels(folder))
        remedy = (
            f"a new index is made from the labels of {len(images)} images. Which regions were "
            "corrected is lost: accept or touch the slices again."
        )
    if repair:
        if (folder / INDEX).exists():
            os.replace(folder / INDEX, _free(folder, "project-damaged.json"))
        index.write(folder, classes, images)
    return Finding(problem, remedy, repair), classes, images


def _from_labels(folder: Path) -> Iterator[ProjectImage]:
    for labels in sorted(folder.glob(f"{IMAGES}/*/labels*.zarr")):
        if labels.is_symlink() or not index.names_labels(labels.name):
            continue
        try:
            grid, shape = stored_grid(labels)
            axes = ImageAxes(grid.axes)
            size = (axes.frame_count(shape), *axes.frame_shape(shape))
        except Exception:
            continue  # whatever the file holds, it is no image of a project
        copy = labels.parent / "image.tif"
        path = str(copy.relative_to(folder)) if copy.is_file() else ""
        key = labels.parent.name
        yield ProjectImage(
            key,
            key,
            path,
            axes,
            Corrections(size),
            shape,
            labels.name,
            spacing=grid.spacing,
            unit=grid.unit,
            units=grid.units,
            origin=grid.origin,
        )


# ------------------------------------------------------------------ an image
def _examine_image(folder: Path, image: ProjectImage, repair: bool) -> Iterator[Finding]:
    path = Path(image.path) if Path(image.path).is_absolute() else folder / image.path
    if image.path and not split_scene(path)[0].exists():
        yield Finding(f"The file of {image.name} is missing ({path}).", "put it back.")
    try:
        labels = open_labels(folder, image)
        lost = sum(1 for _ in _unreadable(labels, image))
        if not lost:
            return
        problem = f"{lost} parts of the labels of {image.name} cannot be read."
    except SegliteError as error:
        problem = str(error)
    if not repair:
        remedy = "the labels are made anew from all parts that can be read."
        yield Finding(problem, remedy)
        return
    left, lost_parts = _rebuild(folder, image)
    remedy = f"made anew from {left} parts; {len(lost_parts)} parts are empty now."
    before = len(image.corrections.regions)
    everything = replace(image.corrections, regions=())
    image.corrections = _without(image, lost_parts) if left else everything
    if dropped := before - len(image.corrections.regions):
        remedy += f" {dropped} corrected regions in them are not marked any more."
    yield Finding(problem, remedy, True)


def _unreadable(labels: Any, image: ProjectImage) -> Iterator[tuple[slice, ...]]:
    for tile in image.chunks((0,) * len(image.shape), image.shape):
        try:
            labels[tile.where]
        except Exception:  # of any kind, depending on what the file holds
            yield tile.where


def _rebuild(folder: Path, image: ProjectImage) -> tuple[int, list[tuple[slice, ...]]]:
    """Make labels anew from the chunks that can be read.

    Returns the number of chunks, and where those that cannot be read were.
    """
    target = labels_folder(folder, image)
    image_folder(folder, image.key).mkdir(parents=True, exist_ok=True)
    aside = _free(target.parent, f"damaged-{target.name}")
    if target.is_symlink() or target.exists():
        os.replace(target, aside)
    best: tuple[int, list[tuple[slice, ...]], np.dtype[Any]] | None = None
    for dtype in _possible_dtypes(image):
        left, lost = _take_over(folder, image, aside, dtype)
        if best is None or len(lost) < len(best[1]):
            best = left, lost, dtype
        if not lost:
            break
    assert best is not None
    left, lost, dtype = best
    if lost:
        _take_over(folder, image, aside, dtype)
        labels = open_labels(folder, image)
        for where in lost:
            labels[where] = np.zeros([s.stop - s.start for s in where], dtype)
    return left, lost


def _possible_dtypes(image: ProjectImage) -> list[np.dtype[Any]]:
    """Return the dtypes that damaged labels may have had, the likeliest first."""
    named = image.labels.removeprefix("labels").removesuffix(".zarr").strip("-")
    names = [named] if named else ["uint8", "uint16", "uint32", "int32", "int64", "uint64"]
    return [np.dtype(name) for name in names]


def _take_over(
    folder: Path, image: ProjectImage, source: Path, dtype: np.dtype[Any]
) -> tuple[int, list[tuple[slice, ...]]]:
    """Write empty labels and put the chunks of others into them."""
    target = labels_folder(folder, image)
    if target.exists():
        shutil.rmtree(target)
    write_labels(folder, image, np.broadcast_to(np.zeros((), dtype), image.shape))
    chunks = source / "0" / "c"
    copied = 0
    for parent, _, files in os.walk(chunks):
        for name in files:
            chunk = Path(parent, name)
            if not chunk.is_symlink() and all(p.isdigit() for p in chunk.relative_to(chunks).parts):
                there = target / "0" / "c" / chunk.relative_to(chunks)
                there.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(chunk, there)
                copied += 1
    lost = list(_unreadable(open_labels(folder, image), image))
    return copied - len(lost), lost


def _without(image: ProjectImage, lost: list[tuple[slice, ...]]) -> Corrections:
    """Return the corrections of an image without those in chunks that were lost."""
    axes, corrections = ImageAxes(image.axes.labels), image.corrections
    gone = set()
    for where in lost:
        at = dict(zip(axes.order, where, strict=True))
        places = [at[axis].start for axis in axes.stack]
        frame = int(np.ravel_multi_index(places, axes.stack_shape(image.shape))) if places else 0
        rows, columns = at["Y"], at["X"]
        gone |= {
            region
            for region in corrections.regions
            if region.frame == frame
            and region.box.top < rows.stop
            and rows.start < region.box.bottom
            and region.box.left < columns.stop
            and columns.start < region.box.right
        }
    left = tuple(region for region in corrections.regions if region not in gone)
    return replace(corrections, regions=left)


def _free(folder: Path, name: str) -> Path:
    """Return a path in a folder that nothing has."""
    path, number = folder / name, 1
    while path.exists() or path.is_symlink():
        number += 1
        path = folder / f"{number}-{name}"
    return path
