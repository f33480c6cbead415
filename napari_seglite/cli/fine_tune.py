"""``seglite fine-tune``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import src_models
from src_models import object_heads

from ..annotation import AnnotationProject, prepare_project
from ..checkpoints import CheckpointInfo, CheckpointStore
from ..errors import AnnotationError, SegliteError
from ..formats import pair_files, read_image, read_labels_for
from ..images import PixelSize, TrainingImage, micrometres
from ..inference import parse_channels, slice_spacing
from ..remote import RemoteFineTuner
from ..training import (
    RECIPES,
    TRAINABLE,
    FineTuner,
    FineTuneRequest,
    Finished,
    Retention,
    RunCallbacks,
    StepDone,
    Team,
    TrainingEvent,
    follow,
    image_examples,
    joined_team,
    start_info,
    under_torchrun,
    volume_options,
    volume_patches,
    with_authors_recipe,
)
from .parsing import Commands, add_vgg16, choose_vgg16, option_help, read_options
from .remotes import add_remote, connection_to

# Options with a value: the setting of the request and its type.
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


def add_to(commands: Commands) -> None:
    """Add the subcommand."""
    text = "Train a checkpoint on images and their labels; the result is a new checkpoint."
    parser = commands.add_parser("fine-tune", help=text, description=text)
    parser.add_argument("--images", type=Path, metavar="DIR")
    parser.add_argument("--labels", type=Path, metavar="DIR", help="labels, matched by stem")
    parser.add_argument(
        "--project",
        type=Path,
        metavar="DIR",
        help="corrections made in napari, instead of images and labels",
    )
    parser.add_argument(
        "--checkpoint",
        required=True,
        metavar="ID",
        help=f"checkpoint to start from; a network ({', '.join(src_models.names())}) starts from "
        "scratch",
    )
    parser.add_argument("--name", required=True, metavar="NEW")
    for option, (_, kind) in SETTINGS.items():
        default = "that of the checkpoint" if DEFAULTS[option] is None else DEFAULTS[option]
        parser.add_argument(
            f"--{option}", type=kind, help=f"default {default}; with a project, chosen for it"
        )
    parser.add_argument(
        "--hold-on",
        action="store_true",
        help="replay the checkpoint's training images even if unrelated to these images",
    )
    parser.add_argument(
        "--keep-unimproved",
        action="store_true",
        help="save a checkpoint even if the held-out Dice did not improve",
    )
    parser.add_argument(
        "--recipe",
        choices=RECIPES,
        default="ours",
        help="train as this program does, or with the optimiser, batch and image sizes of the "
        "network's authors, if its card has them (m2snet)",
    )
    parser.add_argument(
        "--trainable", choices=TRAINABLE, default="all", help="weights to train; default all"
    )
    parser.add_argument(
        "--classes",
        metavar="NAMES",
        help="the new checkpoint's classes, background first, such as background,cell,nucleus",
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="option of a network that starts from scratch, such as preset=small; repeatable. "
        + option_help(),
    )
    add_vgg16(parser)
    parser.add_argument(
        "--head",
        choices=("none", *object_heads.NAMES),
        help="object head that learns to separate touching objects; that of the checkpoint if "
        "not given",
    )
    parser.add_argument("--channels", help="channels of the images, such as 0,2; all if not given")
    parser.add_argument(
        "--frozen-norm",
        action="store_true",
        help="keep the statistics of batch norms fixed",
    )
    parser.add_argument(
        "--devices",
        type=int,
        default=1,
        metavar="N",
        help="GPUs that compute each step together, each its share of the batch; with --device "
        "cpu processes. Under torchrun it is not needed",
    )
    parser.add_argument(
        "--bfloat16",
        action="store_true",
        help="compute in bfloat16, which is faster on processors that support it",
    )
    add_remote(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Fine-tune, print the progress, and print the id of the new checkpoint if there is one."""
    begun = time.monotonic()
    if (arguments.project is None) == (arguments.images is None or arguments.labels is None):
        raise SegliteError("Give either --project, or both --images and --labels.")
    if arguments.remote is not None and (arguments.devices != 1 or under_torchrun()):
        raise SegliteError("--remote trains on one device; give no --devices.")
    if arguments.devices == 1 and not under_torchrun():
        _fine_tune(arguments, begun)
        return 0
    if arguments.devices < 1:
        raise SegliteError("--devices is at least 1.")
    with joined_team(arguments.devices, arguments.device or "auto") as team:
        if not team.leads:
            return follow(team)
        arguments.device = team.device
        _fine_tune(arguments, begun, team)
    return 0


def _fine_tune(arguments: argparse.Namespace, begun: float, team: Team | None = None) -> None:
    connection = connection_to(arguments)
    store, template = CheckpointStore(), _template(arguments)
    choose_vgg16(arguments)
    request, images = _prepared(arguments, store, template)
    callbacks = RunCallbacks(begun=begun)
    tuner = (
        FineTuner(request, images, store, template, team)
        if connection is None
        else RemoteFineTuner(connection, request, images, store, template)
    )
    for event in tuner.run(callbacks=callbacks):
        _report(event)
        if isinstance(event, Finished) and event.checkpoint is not None:
            print(event.checkpoint.id)


def _prepared(
    arguments: argparse.Namespace, store: CheckpointStore, template: CheckpointInfo | None
) -> tuple[FineTuneRequest, list[TrainingImage]]:
    """Return the request, with what was chosen for the images, and the images."""
    chosen = {
        name: value
        for option, (name, _) in SETTINGS.items()
        if (value := getattr(arguments, option.replace("-", "_"))) is not None
    }
    request = FineTuneRequest(
        checkpoint=arguments.checkpoint,
        name=arguments.name,
        retention=Retention(keep_always=arguments.hold_on),
        recipe=arguments.recipe,
        trainable=arguments.trainable,
        class_names=tuple(arguments.classes.split(",")) if arguments.classes else None,
        frozen_norm=arguments.frozen_norm,
        head="" if arguments.head == "none" else arguments.head,
        precision="bfloat16" if arguments.bfloat16 else "float32",
    ).adjusted(**chosen, keep_unimproved=arguments.keep_unimproved)
    if arguments.project is not None:
        with opened(arguments.project) as project:
            request, images = prepare_project(project, request, store, template)
        return request.adjusted(**chosen), images
    info = start_info(request, store, template)
    if info.volumetric:
        spacings = [first_spacing(arguments.images, arguments.labels)]
        request = volume_options(request, info, spacings)
        info = start_info(request, store, template)
        request = volume_patches(request, info).adjusted(**chosen)
    channels = parse_channels(arguments.channels) if arguments.channels else None
    images, spacing = read_pairs(arguments.images, arguments.labels, info, channels)
    request = replace(request, spacing=spacing)
    if request.recipe == "authors":
        request = with_authors_recipe(request, info.network).adjusted(**chosen)
    return request, images


def _report(event: TrainingEvent) -> None:
    """Print an event; steps only on a terminal, each over the one before."""
    show = sys.stderr.isatty()
    match event:
        case StepDone() if show:
            line = f"\r\x1b[K{event.status.share:4.0%} {event.text}, loss {event.loss:.4f}"
            print(line, end="", file=sys.stderr, flush=True)
        case StepDone():
            pass
        case _:
            print(("\r\x1b[K" if show else "") + event.text, file=sys.stderr)


@contextmanager
def opened(folder: Path) -> Iterator[AnnotationProject]:
    """Open a project within the context."""
    project = AnnotationProject.open(folder)
    try:
        yield project
    finally:
        project.close()


def _template(arguments: argparse.Namespace) -> CheckpointInfo | None:
    """Return the card of a network that starts from scratch with options, or None."""
    if not arguments.option:
        return None
    if arguments.checkpoint not in src_models.names():
        raise SegliteError("Only a network that starts from scratch takes options.")
    options = src_models.card(arguments.checkpoint).first_options
    options |= read_options(arguments.checkpoint, arguments.option)
    return CheckpointInfo(arguments.name, arguments.checkpoint, options=options)


def first_spacing(images: Path, labels: Path) -> float | None:
    """Return the distance of slices in the first image that has labels, see `slice_spacing`."""
    paths = [path for path, _ in pair_files(images, labels).pairs.values()]
    return slice_spacing(read_image(paths[0]).grid_at(0)) if paths else None


def read_pairs(
    images: Path, labels: Path, info: CheckpointInfo, channels: tuple[int, ...] | None = None
) -> tuple[list[TrainingImage], PixelSize | None]:
    """Read the frames of all images that have labels, prepared for a checkpoint.

    Parameters
    ----------
    images, labels : Path
        Folders whose files are paired by stem.
    info : CheckpointInfo
        Card of the checkpoint.
    channels : tuple of int, optional
        Channels of the images; all if not given.

    Returns
    -------
    list of TrainingImage
        One per labelled frame.
    tuple of float or None
        Size of the pixels in micrometres, if all images have the same.

    Raises
    ------
    AnnotationError
        If no image has labels or a pair does not fit.
    ImageError
        If a file cannot be read, two files of a folder have the same stem, or labels lie elsewhere
        than their image.
    """
    found = pair_files(images, labels)
    if not found.pairs:
        raise AnnotationError(
            f"No image in {images} has labels of the same name in {labels}. {found.hint}"
        )
    for path in found.unpaired:
        print(f"seglite: {path}: no file of that name on the other side, left out", file=sys.stderr)
    examples, sizes = [], set()
    for image_path, labels_path in found.pairs.values():
        image = read_image(image_path)
        sizes.add(micrometres(image.spacing, image.unit))
        examples += image_examples(
            image_path.name,
            image.array,
            read_labels_for(image, labels_path).array,
            image.axes,
            info,
            channels=channels,
        )
    return examples, sizes.pop() if len(sizes) == 1 else None
