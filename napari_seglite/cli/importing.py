"""``seglite import``."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..checkpoints import PUBLISHED_KINDS, CheckpointStore, import_published
from ..errors import SegliteError
from ..formats import safe_name
from .parsing import Commands


def add_to(commands: Commands) -> None:
    """Add the subcommand."""
    text = (
        "Add a checkpoint from a file: a .zip that the Models tab exported, or weights that the "
        "authors of a network published."
    )
    parser = commands.add_parser("import", help=text, description=text)
    parser.add_argument("file", type=Path, metavar="FILE", help=".zip, .pth, .pt or .safetensors")
    kinds = "; ".join(f"{name}: {kind.title}" for name, kind in PUBLISHED_KINDS.items())
    parser.add_argument(
        "--kind", choices=PUBLISHED_KINDS, help=f"whose weights the authors' file holds. {kinds}"
    )
    parser.add_argument(
        "--name", metavar="NEW", help="of the new checkpoint; default: that of the file"
    )
    parser.add_argument(
        "--classes",
        metavar="NAMES",
        help="names of the classes, background first, such as background,polyp",
    )
    for option, what in (("mean", "mean"), ("std", "standard deviation")):
        parser.add_argument(
            f"--{option}",
            metavar="NUMBERS",
            help=f"{what} of each channel with which the weights were trained, for pixels from 0 "
            "to 1, such as 0.5,0.5,0.5; default: that of ImageNet",
        )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Import the file and print the id of the new checkpoint."""
    store, file = CheckpointStore(), arguments.file
    given = [
        f"--{option}"
        for option in ("kind", "name", "classes", "mean", "std")
        if getattr(arguments, option) is not None
    ]
    if file.suffix.lower() == ".zip":
        if given:
            raise SegliteError(f"{file} has a card of its own, so leave out {', '.join(given)}.")
        info = store.add(file)
    elif arguments.kind is None:
        raise SegliteError(
            f"Say whose weights {file} holds: --kind, one of {', '.join(PUBLISHED_KINDS)}."
        )
    else:
        info = import_published(
            store,
            file,
            arguments.kind,
            arguments.name or safe_name(file.stem, arguments.kind),
            class_names=arguments.classes.split(",") if arguments.classes else (),
            mean=_numbers("--mean", arguments.mean),
            std=_numbers("--std", arguments.std),
        )
    print(info.id)
    return 0


def _numbers(option: str, text: str | None) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise SegliteError(
            f"Write {option} as numbers with commas between them, such as 0.5,0.5,0.5, not {text}."
        ) from None
