"""Annotation projects on disk, their autosave, and suggestions for the next correction."""

from .autosave import Autosave
from .examples import annotated_images, pixel_size, prepare_project
from .next_region import Candidate, candidates, ranked
from .project import AnnotationProject, known_projects, open_default
from .project_image import ClassList, ProjectImage

__all__ = [
    "AnnotationProject",
    "Autosave",
    "Candidate",
    "ClassList",
    "ProjectImage",
    "annotated_images",
    "candidates",
    "known_projects",
    "open_default",
    "pixel_size",
    "prepare_project",
    "ranked",
]
