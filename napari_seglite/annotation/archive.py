"""A project as one zip file, to be opened elsewhere."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from ..errors import AnnotationError
from ..formats import open_zip, replacing, suffix
from . import index
from .index import IMAGES, INDEX
from .label_files import labels_folder
from .project import AnnotationProject

# Bytes of the index and of a file of labels, and number of files; more are a trick.
_LARGEST_INDEX, _LARGEST_CHUNK, _MOST = 200_000_000, 2_000_000, 2_000_000
# Files may be this much larger than the archive, and so many bytes more.
_DENSEST, _ALWAYS = 100, 1_000_000_000


def export_project(project: AnnotationProject, target: Path, images: bool = True) -> Path:
    """Write a project to a zip file, which `import_project` opens elsewhere.

    Neither paths of this computer nor names of people are in it.

    Parameters
    ----------
    project : AnnotationProject
        Open. Images that cannot be used are left out.
    target : Path
        Of the zip file; an existing one is replaced.
    images : bool
        Whether the image files go into it; else it names them alone, and they must be put beside
        the project elsewhere.

    Returns
    -------
    Path
        `target`.

    Raises
    ------
    AnnotationError
        If an image's file is missing, or something cannot be read or written.
    """
    project.compact()
    try:
        with replacing(target) as scratch, ZipFile(scratch, "w", ZIP_DEFLATED) as archive:
            entries = [_add_image(archive, project, key, images) for key in project.images]
            archive.writestr(INDEX, index.as_json(project.classes, entries))
    except OSError as error:
        raise AnnotationError(f"The project cannot be exported to {target}: {error}.") from error
    return target


def _add_image(
    archive: ZipFile, project: AnnotationProject, key: str, images: bool
) -> dict[str, Any]:
    """Write an image's labels, and perhaps its file; return its entry for the index."""
    image, path = project.images[key], ""
    inside = f"{IMAGES}/{key}"
    _add_tree(archive, labels_folder(project.folder, image), f"{inside}/{image.labels}")
    if image.path:
        source = project.folder / image.path
        if images or project.has_copy(key):
            if not source.exists():
                raise AnnotationError(f"The file of {image.name} is not there ({source}).")
            path = f"{inside}/image{suffix(source)}"
            _add_tree(archive, source, path)
        else:
            path = source.name
    corrections = image.corrections
    nameless = tuple(replace(region, by="") for region in corrections.regions)
    entry = replace(image, path=path, corrections=replace(corrections, regions=nameless))
    return entry.as_dict()


def _add_tree(archive: ZipFile, source: Path, name: str) -> None:
    if not source.is_dir():
        archive.write(source, name)
        return
    for path in sorted(source.rglob("*")):
        if path.is_file():
            archive.write(path, f"{name}/{path.relative_to(source).as_posix()}")


# ------------------------------------------------------------------ opening elsewhere
def import_project(source: Path, folder: Path) -> Path:
    """Unpack a project that `export_project` wrote.

    Parameters
    ----------
    source : Path
        The zip file.
    folder : Path
        Of the new project; must not exist, or be empty.

    Returns
    -------
    Path
        `folder`.

    Raises
    ------
    AnnotationError
        If the file is no such archive or is damaged, or the folder holds files.
    """
    if folder.exists() and any(folder.iterdir()):
        raise AnnotationError(f"{folder} holds other files. Choose an empty folder.")
    try:
        if folder.exists():
            folder.rmdir()
        with replacing(folder, new=True) as scratch, open_zip(source) as archive:
            members = _checked(archive.infolist(), shutil.disk_usage(scratch.parent).free)
            for member in members:
                _unpack(archive, member, scratch.joinpath(*PurePosixPath(member.filename).parts))
            index.read(scratch)  # nothing is kept of an archive without a valid index
    except FileExistsError as error:
        raise AnnotationError(f"{folder} holds other files. Choose an empty folder.") from error
    except (OSError, ValueError) as error:
        raise AnnotationError(f"{source} is no exported project: {error}.") from error
    return folder


def _checked(members: list[ZipInfo], free: int) -> list[ZipInfo]:
    """Check names and sizes before anything is unpacked.

    Raises
    ------
    ValueError
        If an archive of a project has no such member, or is a trick.
    """
    total = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    if len(members) > _MOST or total > _DENSEST * packed + _ALWAYS:
        raise ValueError(f"its files would take {total:,} bytes")
    if total > free:
        raise ValueError(f"its files take {total:,} bytes, and {free:,} are free")
    for member in members:
        if not _belongs(member):
            raise ValueError(f"{member.filename!r} does not belong into it")
    if len({member.filename.casefold() for member in members}) < len(members):
        raise ValueError("two files have the same name")
    return [member for member in members if not member.is_dir()]


def _belongs(member: ZipInfo) -> bool:
    """Whether a project may have a file of this name and size."""
    path = PurePosixPath(member.filename)
    if member.filename == INDEX:
        return member.file_size <= _LARGEST_INDEX
    if path.is_absolute() or len(path.parts) < 3 or path.parts[0] != IMAGES:
        return False
    if index.names_labels(path.parts[2]) and member.file_size > _LARGEST_CHUNK:
        return False
    return all(part != ".." and not set(part) & set("\\:") for part in path.parts)


def _unpack(archive: ZipFile, member: ZipInfo, target: Path) -> None:
    """Write a member of an archive to a file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as packed, target.open("wb") as file:
        shutil.copyfileobj(packed, file)  # which ends at the size that was checked
