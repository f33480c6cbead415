"""Annotation projects on disk, their autosave, and suggestions for the next correction."""

from .archive import export_project, import_project
from .autosave import Autosave
from .doctor import Finding, examine
from .examples import annotated_images, pixel_size, prepare_project
from .lock import ProjectInUse, ProjectMoved
from .next_region import Candidate, candidates, ranked
from .places import known_projects, open_default
from .project import AnnotationProject
from .project_image import ClassList, ProjectImage

__all__ = [
    "AnnotationProject",
    "Autosave",
    "Candidate",
    "ClassList",
    "Finding",
    "ProjectImage",
    "ProjectInUse",
    "ProjectMoved",
    "annotated_images",
    "candidates",
    "examine",
    "export_project",
    "import_project",
    "known_projects",
    "open_default",
    "pixel_size",
    "prepare_project",
    "ranked",
]
