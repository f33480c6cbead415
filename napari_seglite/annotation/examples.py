"""The corrected images of a project, to learn from."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np

from ..checkpoints import CheckpointInfo, CheckpointStore
from ..errors import AnnotationError
from ..images import PixelSize, TrainingImage, micrometres
from ..inference import slice_spacing
from ..training import AnnotatedImage, FineTuneRequest, prepare_training
from .project import AnnotationProject
from .project_image import ProjectImage


def prepare_project(
    project: AnnotationProject,
    request: FineTuneRequest,
    store: CheckpointStore,
    template: CheckpointInfo | None = None,
) -> tuple[FineTuneRequest, list[TrainingImage]]:
    """Return a request that suits a project, and its corrected frames.

    Named classes become those of the checkpoint, unless the request names others. Time limit,
    seed and device stay, see `prepare_training`.

    Raises
    ------
    AnnotationError
        If nothing is corrected, or an image's file is missing.
    ImageError
        If a file cannot be read.
    """
    if request.class_names is None:
        request = replace(request, class_names=project.classes.given_names)
    return prepare_training(request, annotated_images(project), store, template)


def annotated_images(project: AnnotationProject) -> list[AnnotatedImage]:
    """Return the corrected images of a project, their pixels read from their files.

    Raises
    ------
    AnnotationError
        If nothing is corrected, or an image's file is missing.
    ImageError
        If a file cannot be read.
    """
    annotated = []
    for key, image in project.images.items():
        if image.corrections.regions:
            pixels = project.read_pixels(key)
            annotated.append(
                AnnotatedImage(
                    key,
                    pixels,
                    project.labels(key),
                    image.axes,
                    image.corrections,
                    image.channels,
                    pixel_size(image),
                    _digest(pixels) if project.has_copy(key) else image.path,
                    slice_spacing(image.grid),
                )
            )
    if not annotated:
        raise AnnotationError(
            f"Nothing was corrected in {project.folder} yet: paint into the labels of an image, or "
            "accept a slice as it is."
        )
    return annotated


def pixel_size(image: ProjectImage) -> PixelSize | None:
    """Return height and width of an image's pixels in micrometres, if they are known."""
    grid = image.grid
    return micrometres([grid.size("Y"), grid.size("X")], grid.unit)


def _digest(pixels: Any) -> str:
    """Recognise copies of one image, which was annotated twice."""
    return hashlib.blake2b(np.ascontiguousarray(pixels).tobytes(), digest_size=16).hexdigest()
