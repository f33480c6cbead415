"""``seglite doctor`` and ``seglite project``."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..annotation import AnnotationProject, examine, export_project, import_project
from ..checkpoints import CheckpointStore
from .parsing import Commands


def add_to(commands: Commands) -> None:
    """Add both subcommands."""
    text = "Examine projects and checkpoints, and repair what is damaged. Nothing is deleted."
    parser = commands.add_parser("doctor", help=text, description=text)
    parser.add_argument(
        "--project", type=Path, action="append", default=[], metavar="DIR", help="a project"
    )
    parser.add_argument("--checkpoints", action="store_true", help="your checkpoints")
    parser.add_argument("--repair", action="store_true", help="repair what can be repaired")
    parser.set_defaults(run=doctor)

    text = "Write a project to a zip file, or unpack one."
    parser = commands.add_parser("project", help=text, description=text)
    parser.add_argument("action", choices=("export", "import"))
    parser.add_argument("source", type=Path, help="the project's folder, or the zip file")
    parser.add_argument("target", type=Path, help="the zip file, or the new project's folder")
    parser.add_argument(
        "--without-images",
        action="store_true",
        help="name the image files alone, which then have to be put into the unpacked project",
    )
    parser.set_defaults(run=project)


def doctor(arguments: argparse.Namespace) -> int:
    """Print what is wrong; return 1 if something still is."""
    wrong = False
    for folder in arguments.project:
        findings = examine(folder, arguments.repair)
        for finding in findings:
            print(f"{folder}: {finding}")
            wrong = wrong or not finding.repaired
        if not findings:
            print(f"{folder}: all is well.")
    if arguments.checkpoints or not arguments.project:
        wrong = _checkpoints(CheckpointStore(), arguments.repair) or wrong
    return int(wrong)


def _checkpoints(store: CheckpointStore, repair: bool) -> bool:
    for sentence in store.repair() if repair else ():
        print(sentence)
    damaged = store.damaged()
    for name, reason in damaged.items():
        print(f"{store.folder / name}: {reason}")
    if not damaged:
        print(f"{store.folder}: all is well.")
    return bool(damaged)


def project(arguments: argparse.Namespace) -> int:
    """Export or import a project."""
    if arguments.action == "import":
        print(import_project(arguments.source, arguments.target))
        return 0
    opened = AnnotationProject.open(arguments.source)
    try:
        print(export_project(opened, arguments.target, not arguments.without_images))
    finally:
        opened.close()
    return 0
