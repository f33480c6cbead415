"""``seglite fine-tune``."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import src_models

from ..engine.dataset import TrainingImage, frames_of
from ..engine.fine_tuner import FineTuner
from ..engine.requests import parse_numbers
from ..engine.spacing import PixelSize, micrometres
from ..engine.training import FineTuneRequest, start_info
from ..errors import AnnotationError, SegliteError
from ..store.checkpoints import CheckpointInfo, CheckpointStore
from ..store.images import list_images, read_image, read_labels
from .evaluate import stem

DEFAULTS = FineTuneRequest("start", "new")


def add_to(commands: Any) -> None:
    """Add the subcommand."""
    text = "Train a checkpoint on images and their labels; the result is a new checkpoint."
    parser = commands.add_parser("fine-tune", help=text, description=text)
    parser.add_argument("--images", required=True, type=Path, metavar="DIR")
    parser.add_argument("--labels", required=True, type=Path, metavar="DIR", help="matched by stem")
    parser.add_argument(
        "--checkpoint",
        required=True,
        metavar="ID",
        help=f"where to start; a network ({', '.join(src_models.names())}) starts from scratch",
    )
    parser.add_argument("--name", required=True, metavar="NEW")
    for option, kind in (
        ("minutes", float),
        ("steps", int),
        ("batch", int),
        ("patch", int),
        ("learning-rate", float),
        ("scale", float),
        ("invert", float),
        ("intensity", float),
        ("seed", int),
        ("device", str),
    ):
        default = getattr(DEFAULTS, option.replace("-", "_"))
        parser.add_argument(f"--{option}", type=kind, default=default, help=f"default {default}")
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
    request = FineTuneRequest(
        checkpoint=arguments.checkpoint,
        name=arguments.name,
        steps=arguments.steps,
        minutes=arguments.minutes,
        batch=arguments.batch,
        patch=arguments.patch,
        learning_rate=arguments.learning_rate,
        scale=arguments.scale,
        invert=arguments.invert,
        intensity=arguments.intensity,
        frozen_norm=arguments.frozen_norm,
        bfloat16=arguments.bfloat16,
        seed=arguments.seed,
        device=arguments.device,
    )
    store = CheckpointStore()
    template = _template(arguments)
    info = start_info(request, store, template)
    channels = parse_numbers(arguments.channels, "channels") if arguments.channels else None
    images, spacing = read_pairs(arguments.images, arguments.labels, info, channels)
    request = replace(request, spacing=spacing)
    show = sys.stderr.isatty()
    for event in FineTuner(request, images, store, template).run():
        if event.kind == "step" and show:
            print(
                f"\r\x1b[K{event.text}, loss {event.loss:.4f}", end="", file=sys.stderr, flush=True
            )
        elif event.kind != "step":
            print(("\r\x1b[K" if show else "") + event.text, file=sys.stderr)
    print(request.name)
    return 0


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
        found += frames_of(
            path.name, image.array, truth_labels, image.axes, info, channels=channels
        )
    return found, sizes.pop() if len(sizes) == 1 else None
