"""``seglite demo``: segment a sample image in a napari window."""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from ..errors import SegliteError
from .parsing import Commands


def add_to(commands: Commands) -> None:
    """Add the subcommand."""
    text = "Open napari with a sample image and segment it."
    parser = commands.add_parser("demo", help=text, description=text)
    parser.add_argument("--output", type=Path, default=Path("demo"), metavar="DIR")
    parser.add_argument(
        "--size", default="1600x1000", help="size of the window if there is no display"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Open the demo in a window; without a display, save pictures of a virtual one.

    The window runs in a separate process, because the command imports neither Qt nor napari.
    """
    _check_installed()
    command = [sys.executable, "-m", "napari_seglite.widgets.demo"]
    if _has_display():
        return subprocess.call(command)
    xvfb = shutil.which("xvfb-run")
    if xvfb is None:
        raise SegliteError(
            "There is no display, and no xvfb-run to make a virtual one. "
            "On Debian and Ubuntu: apt-get install xvfb xauth"
        )
    command += ["--output", str(arguments.output), "--size", arguments.size]
    return subprocess.call([xvfb, "-a", "-s", f"-screen 0 {arguments.size}x24", *command])


def _check_installed() -> None:
    bindings = ("PyQt6", "PySide6", "PyQt5", "PySide2")
    missing = [name for name in ("napari", "qtpy", "magicgui", "superqt") if not _found(name)]
    if not any(map(_found, bindings)):
        missing.append("a Qt binding")
    if missing:
        raise SegliteError(
            f"The demo's window needs {', '.join(missing)}, which pip install "
            "'napari-seglite[all]' brings."
        )


def _found(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _has_display() -> bool:
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
