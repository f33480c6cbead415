"""``seglite export-model`` and ``seglite import-model``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..checkpoints import CheckpointStore
from ..exchange import FORMATS, export_model, import_model
from .parsing import Commands


def add_to(commands: Commands) -> None:
    """Add both subcommands."""
    text = "Write a checkpoint as a model for other programs."
    parser = commands.add_parser("export-model", help=text, description=text)
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="id of a checkpoint")
    titles = "; ".join(f"{name}: {kind.title}, {kind.suffix}" for name, kind in FORMATS.items())
    parser.add_argument("--format", choices=FORMATS, required=True, help=titles)
    parser.add_argument("--output", "-o", type=Path, required=True, metavar="FILE")
    parser.add_argument(
        "--author",
        action="append",
        default=[],
        metavar="NAME",
        help="of a package: who trained the checkpoint; may be repeated",
    )
    parser.add_argument(
        "--licence",
        default="",
        metavar="SPDX",
        help="of a package: under which licence others may use it, such as CC-BY-4.0",
    )
    parser.set_defaults(run=run_export)

    text = "Add a model of another program: a BioImage.IO package or an ONNX file."
    parser = commands.add_parser("import-model", help=text, description=text)
    parser.add_argument("file", type=Path, metavar="FILE", help=".zip or .onnx")
    parser.add_argument(
        "--name", default="", metavar="NEW", help="of the checkpoint; default: that of the model"
    )
    parser.add_argument(
        "--trust-code",
        action="store_true",
        help="run code in the package, once, to make a graph of it; only if you trust its authors",
    )
    parser.set_defaults(run=run_import)


def run_export(arguments: argparse.Namespace) -> int:
    """Write the model and print the path of its file."""
    target = export_model(
        CheckpointStore(),
        arguments.checkpoint,
        arguments.format,
        arguments.output,
        authors=arguments.author,
        licence=arguments.licence,
    )
    print(target)
    return 0


def run_import(arguments: argparse.Namespace) -> int:
    """Add the model, say whether it can be fine-tuned, and print the id of the new checkpoint."""
    info = import_model(
        CheckpointStore(),
        arguments.file,
        name=arguments.name,
        trust_code=arguments.trust_code,
    )
    learns = f"cannot be fine-tuned: {info.obstacle}" if info.obstacle else "can be fine-tuned"
    print(f"{info.id} segments, and {learns}.", file=sys.stderr)
    print(info.id)
    return 0
