"""Where VGG-16's weights are, which LossNet needs; readable without importing torch."""

from __future__ import annotations

import os
from pathlib import Path

ENVIRONMENT_VARIABLE = "SEGLITE_VGG16"
# The published file; its SHA-256 begins with these digits.
PUBLISHED = "vgg16-397923af.pth"
_chosen: Path | None = None


def choose(path: str | Path | None) -> None:
    """Choose the file for this process; None leaves it to ``SEGLITE_VGG16``."""
    global _chosen
    _chosen = Path(path).expanduser() if path else None


def chosen() -> Path | None:
    """Return the file that was chosen, or else the one that ``SEGLITE_VGG16`` names, or None."""
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    return _chosen or (Path(named).expanduser() if named else None)
