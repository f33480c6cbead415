"""Whether a folder holds a project, or can become one."""

from __future__ import annotations

from pathlib import Path

from ..errors import AnnotationError
from ..formats import is_unfinished, recover
from .index import BACKUPS, IMAGES, INDEX
from .journal import JOURNAL
from .lock import LOCK, OWNER


def check_folder(folder: Path, create: bool) -> None:
    """Check that a folder holds a project, or can become one, and make it then.

    Raises
    ------
    AnnotationError
        If it holds other files, links that may lead out of it, or no project.
    """
    for name in (INDEX, JOURNAL, LOCK, OWNER, IMAGES):
        if (folder / name).is_symlink():
            raise AnnotationError(
                f"{folder / name} is a link, which may lead out of the project. Put the file "
                "itself there."
            )
    if not (folder / INDEX).is_file():
        recover(folder)
    if (folder / INDEX).is_file():
        return
    if not create:
        raise AnnotationError(f"{folder} holds no SegLite project ({INDEX} is missing).")
    folder.mkdir(parents=True, exist_ok=True)
    ours = (LOCK, OWNER, IMAGES)
    others = [p for p in folder.iterdir() if p.name not in ours and not is_unfinished(p)]
    if any((folder / name).exists() for name in BACKUPS):
        raise AnnotationError(
            f"The index of the project {folder} is missing. To restore an earlier one: "
            f"seglite doctor --project {folder} --repair"
        )
    if others:
        raise AnnotationError(f"{folder} holds other files. Choose an empty folder.")


def recover_all(folder: Path) -> None:
    """Tidy up all folders of a project that no other program writes, see `formats.recover`."""
    for place in (folder, folder / IMAGES, *folder.glob(f"{IMAGES}/*")):
        recover(place, alone=True)
