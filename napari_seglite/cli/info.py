"""``seglite info``."""

from __future__ import annotations

import argparse
import json
import sys

from ..errors import SegliteError
from ..formats import describe, description, list_scenes, read_image
from .parsing import Commands


def add_to(commands: Commands) -> None:
    """Add the subcommand."""
    text = "Print how files are understood: axes, pixel size, channels, images in the file."
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
    failed = False
    described = []
    for name in arguments.files:
        try:
            for scene in _scenes(name, arguments.scene):
                image = read_image(name, scene)
                described.append({"path": name, **describe(image)})
                if not arguments.json:
                    print(name)
                    for title, text in description(image):
                        print(f"  {title + ':':13}{text}")
        except SegliteError as error:
            failed = True
            print(f"seglite: {error}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(described, indent=2))
    return int(failed)


def _scenes(name: str, scene: str | None) -> list[str | None]:
    if scene != "all":
        return [scene]
    return [str(k) for k in range(1, len(list_scenes(name)) + 1)]
