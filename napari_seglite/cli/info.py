"""``seglite info``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ..checkpoints import CheckpointStore, ImageFacts, Recommendation, recommend_from
from ..errors import SegliteError
from ..formats import ImageFile, describe, description, list_scenes, read_image
from ..images import micrometres
from .parsing import Commands


def add_to(commands: Commands) -> None:
    """Add the subcommand."""
    text = (
        "Print how files are understood: axes, pixel size, channels, images in the file, and "
        "which checkpoint is suggested."
    )
    parser = commands.add_parser("info", help=text, description=text)
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument(
        "--scene",
        metavar="WHICH",
        help="image of files that hold several: its number from 1, its name, or all",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what was understood of every file; one that cannot be read is named."""
    failed, store = False, CheckpointStore()
    described = []
    for name in arguments.files:
        try:
            for scene in _scenes(name, arguments.scene):
                image = read_image(name, scene)
                first = suggested(image, name, store)
                described.append({"path": name, **describe(image), "suggested": _plain(first)})
                if not arguments.json:
                    print(name)
                    for title, text in description(image):
                        print(f"  {title + ':':13}{text}")
                    if first is not None:
                        print(f"  Suggested checkpoint: {first.checkpoint} ({first.reason})")
        except SegliteError as error:
            failed = True
            print(f"seglite: {error}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(described, indent=2))
    return int(failed)


def suggested(image: ImageFile, name: str, store: CheckpointStore) -> Recommendation | None:
    """Return the checkpoint to try first on an image; no pixel is read.

    Parameters
    ----------
    image : ImageFile
        The image.
    name : str
        Path of its file.
    store : CheckpointStore
        Holds the checkpoints.
    """
    facts = ImageFacts(
        image.axes,
        tuple(image.array.shape),
        image.rgb,
        pixel_size=micrometres(image.spacing, image.unit),
        names=frozenset({Path(name).name, Path(name).stem}),
    )
    return next((each for each in recommend_from(store, facts) if each.fits), None)


def _plain(first: Recommendation | None) -> dict[str, str] | None:
    return None if first is None else {"checkpoint": first.checkpoint, "reason": first.reason}


def _scenes(name: str, scene: str | None) -> list[str | None]:
    if scene != "all":
        return [scene]
    return [str(k) for k in range(1, len(list_scenes(name)) + 1)]
