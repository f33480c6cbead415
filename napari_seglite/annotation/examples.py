"""What a project holds, as something to learn from."""

from __future__ import annotations

from dataclasses import replace

from ..checkpoints.store import CheckpointInfo, CheckpointStore
from ..errors import AnnotationError
from ..images.spacing import micrometres
from ..images.training_image import TrainingImage
from ..training.defaults import read_colour, suggest_settings
from ..training.examples import corrected_examples
from ..training.request import FineTuneRequest, start_info
from .project import AnnotationProject


def prepare_project(
    project: AnnotationProject,
    request: FineTuneRequest,
    store: CheckpointStore,
    template: CheckpointInfo | None = None,
) -> tuple[FineTuneRequest, list[TrainingImage]]:
    """Return a project's corrected frames, and a request that suits them.

    More classes than one become those of the checkpoint, unless the request names others. The
    settings are `suggest_settings`; the time at most, the seed and the device stay.
    """
    if request.class_names is None:
        request = replace(request, class_names=project.about.given_names)
    sizes = {_pixel_size(project, key) for key in project.images}
    request = replace(request, spacing=sizes.pop() if len(sizes) == 1 else None)
    corrected = {key: i for key, i in project.images.items() if i.corrections.regions}
    if all("C" in image.axes.order and image.channels is None for image in corrected.values()):
        seen = [(i.axes, project.read_pixels(key).shape) for key, i in corrected.items()]
        request = read_colour(request, start_info(request, store, template), seen)
    info = start_info(request, store, template)
    images = project_examples(project, info)
    return suggest_settings(request, images, info), images


def _pixel_size(project: AnnotationProject, key: str) -> tuple[float, float] | None:
    image = project.images[key]
    if not image.spacing or image.unit == "pixel":
        return None
    where = [image.axes.labels.index(axis) for axis in "YX"]
    return micrometres([image.spacing[k] for k in where], image.unit)


def project_examples(project: AnnotationProject, info: CheckpointInfo) -> list[TrainingImage]:
    """Return every corrected frame of a project, prepared for a checkpoint.

    Parameters
    ----------
    project : AnnotationProject
        Images are read from their files.
    info : CheckpointInfo
        Says how many channels and which normalisation.

    Raises
    ------
    AnnotationError
        If nothing was corrected, or a file is missing.
    ImageError
        If a file cannot be read.
    """
    found: list[TrainingImage] = []
    known: set[tuple[str, int]] = set()
    for key in reversed(list(project.images)):
        image = project.images[key]
        # Of a frame that was corrected twice, what was said last counts.
        corrections = image.corrections.copy()
        for frame in corrections.frames:
            place = image.path or image.name, frame
            if place in known:
                corrections.forget(frame)
            known.add(place)
        if corrections.regions:
            found += corrected_examples(
                key,
                project.read_pixels(key),
                project.labels(key),
                image.axes,
                info,
                corrections,
                image.channels,
            )
    found.sort(key=lambda frame: frame.name)
    if not found:
        raise AnnotationError(
            f"Nothing was corrected in {project.folder} yet: paint into the labels of an image, or "
            "accept a slice as it is."
        )
    return found
