"""Where projects lie by default."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from ..checkpoints import default_folder
from .index import INDEX
from .lock import ProjectInUse
from .project import AnnotationProject


def open_default() -> AnnotationProject:
    """Open today's project, the default for corrections; create it if necessary.

    While another program has it open, a second one of today is opened, and so on.

    Raises
    ------
    AnnotationError
        If its index cannot be read.
    """
    today = default_folder().parent / "projects" / date.today().isoformat()
    number = 1
    while True:
        folder = today if number == 1 else today.with_name(f"{today.name}-{number}")
        try:
            return AnnotationProject.open(folder, create=True)
        except ProjectInUse:
            number += 1


def known_projects() -> list[Path]:
    """Return the folders of the projects in the default place, the last saved first."""
    root = default_folder().parent / "projects"
    folders = [path.parent for path in root.glob(f"*/{INDEX}")] if root.is_dir() else []
    return sorted(folders, key=lambda folder: (folder / INDEX).stat().st_mtime, reverse=True)
