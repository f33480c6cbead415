"""``seglite fine-tune``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import src_models

from ..annotation import AnnotationProject, prepare_project
from ..checkpoints import CheckpointInfo, CheckpointStore
from ..errors import AnnotationError, SegliteError
from ..formats import list_images, read_image, read_labels
from ..images import PixelSize, TrainingImage, micrometres
from ..inference import parse_numbers
from ..training import (
    TRAINABLE,
    FineTuner,
    FineTuneRequest,
    Retention,
    StepDone,
    TrainingEvent,
    image_examples,
    start_info,
)
from .evaluate import stem

# Options with a value, the setting of the request that each is, and its type.
SETTINGS: dict[str, tuple[str, type]] = {
    "minutes": ("minutes", float),
    "steps": ("steps", int),
    "batch": ("batch", int),
    "patch": ("patch", int),
    "learning-rate": ("learning_rate", float),
    "replay": ("replay", float),
    "anchor": ("anchor", float),
    "reach": ("interpolation", float),
    "folds": ("folds", int),
    "in-channels": ("in_channels", int),
    "scale": ("scale", float),
    "invert": ("invert", float),
    "intensity": ("intensity", float),
    "seed": ("seed", int),
    "device": ("device", str),
}
_REQUEST = FineTuneRequest("start", "new")
_GROUPS = (
    _REQUEST,
    _REQUEST.schedule,
    _REQUEST.augmentation,
    _REQUEST.retention,
    _REQUEST.validation,
)
DEFAULTS = {
    option: next(getattr(group, name) for group in _GROUPS if hasattr(group, name))
    for option, (name, _) in SETTINGS.items()
}


def add_to(commands: Any) -> None:
    """Add the subcommand."""
    text = "Train a checkpoint on images and their labels; the result is a new checkpoint."
    parser = commands.add_parser("fine-tune", help=text, description=text)
    parser.add_argument("--images", type=Path, metavar="DIR")
    parser.add_argument("--labels", type=Path, metavar="DIR", help="matched by stem")
    parser.add_argument(
        "--project",
        type=Path,
        metavar="DIR",
        help="instead of images and labels: what was corrected in napari",
    )
    parser.add_argument(
        "--checkpoint",
        required=True,
        metavar="ID",
        help=f"where to start; a network ({', '.join(src_models.names())}) starts from scratch",
    )
    parser.add_argument("--name", required=True, metavar="NEW")
    for option, (_, kind) in SETTINGS.items():
        default = "as the start" if DEFAULTS[option] is None else DEFAULTS[option]
        parser.add_argument(
            f"--{option}", type=kind, help=f"default {default}; of a project, suited to it"
        )
    parser.add_argument(
        "--hold-on",
        action="store_true",
        help="replay what the start learnt from even where it is of no use for these images",
    )
    parser.add_argument(
        "--trainable", choices=TRAINABLE, default="all", help="which weights learn; default all"
    )
    parser.add_argument(
        "--classes",
        metavar="NAMES",
        help="of the new checkpoint, background first, such as background,cell,nucleus",
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="of a network that starts from scratch, such as preset=small; may be repeated",
    )
    parser.add_argument("--channels", help="of the images, such as 0,2; all if not given")
    parser.add_argument(
        "--frozen-norm",
        action="store_true",
        help="batch norms keep the statistics they start with",
    )
    parser.add_argument(
        "--bfloat16",
        action="store_true",
        help="compute in bfloat16, faster on processors that have it",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Fine-tune and print the news."""
    if (arguments.project is None) == (arguments.images is None or arguments.labels is None):
        raise SegliteError("Give either --project, or both --images and --labels.")
    given = {
        name: value
        for option, (name, _) in SETTINGS.items()
        if (value := getattr(arguments, option.replace("-", "_"))) is not None
    }
    request = FineTuneRequest(
        checkpoint=arguments.checkpoint,
        name=arguments.name,
        retention=Retention(keep_always=arguments.hold_on),
        trainable=arguments.trainable,
        class_names=tuple(arguments.classes.split(",")) if arguments.classes else None,
        frozen_norm=arguments.frozen_norm,
        precision="bfloat16" if arguments.bfloat16 else "float32",
    ).adjusted(**given)
    store = CheckpointStore()
    template = _template(arguments)
    if arguments.project is None:
        info = start_info(request, store, template)
        channels = parse_numbers(arguments.channels, "channels") if arguments.channels else None
        images, spacing = read_pairs(arguments.images, arguments.labels, info, channels)
        request = replace(request, spacing=spacing)
    else:
        with opened(arguments.project) as project:
            request, images = prepare_project(project, request, store, template)
        request = request.adjusted(**given)
    for event in FineTuner(request, images, store, template).run():
        _report(event)
    print(request.name)
    return 0


def _report(event: TrainingEvent) -> None:
    """Print an event; of a step only the last one, and only on a terminal."""
    show = sys.stderr.isatty()
    match event:
        case StepDone() if show:
            line = f"\r\x1b[K{event.text}, loss {event.loss:.4f}"
            print(line, end="", file=sys.stderr, flush=True)
        case StepDone():
            pass
        case _:
            print(("\r\x1b[K" if show else "") + event.text, file=sys.stderr)


@contextmanager
def opened(folder: Path) -> Iterator[AnnotationProject]:
    """Open a project for a while."""
    project = AnnotationProject.open(folder)
    try:
        yield project
    finally:
        project.close()


def _template(arguments: argparse.Namespace) -> CheckpointInfo | None:
    """Return the card of a network that starts from scratch with options."""
    if not arguments.option:
        return None
    if arguments.checkpoint not in src_models.names():
        raise SegliteError("Options can be given to a network that starts from scratch only.")
    options: dict[str, Any] = {}
    for text in arguments.option:
        key, separator, value = text.partition("=")
        if not separator:
            raise SegliteError(f"Write an option as KEY=VALUE, not {text!r}.")
        try:
            options[key] = json.loads(value)
        except ValueError:
            options[key] = value
    return CheckpointInfo(arguments.name, arguments.checkpoint, options=options)


def read_pairs(
    images: Path, labels: Path, info: CheckpointInfo, channels: tuple[int, ...] | None = None
) -> tuple[list[TrainingImage], PixelSize | None]:
    """Read the frames of all images that have labels, prepared for a checkpoint.

    Returns them with the size of their pixels, if all have the same.

    Raises
    ------
    AnnotationError
        If no image has labels or a pair does not fit.
    ImageError
        If a file cannot be read.
    """
    truths = {stem(path): path for path in list_images(labels)}
    pairs = [(path, truths[stem(path)]) for path in list_images(images) if stem(path) in truths]
    if not pairs:
        raise AnnotationError(f"No image in {images} has labels of the same name in {labels}.")
    found, sizes = [], set()
    for path, truth in pairs:
        image = read_image(path)
        sizes.add(micrometres(image.spacing, image.unit))
        truth_labels = read_labels(truth)
        found += image_examples(
            path.name, image.array, truth_labels, image.axes, info, channels=channels
        )
    return found, sizes.pop() if len(sizes) == 1 else None
