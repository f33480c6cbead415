"""Small images under File > Open Sample > SegLite.

Nuclei from the 2018 Data Science Bowl, stage 1 (Broad Bioimage Benchmark Collection
BBBC038), released as CC0. They are test images: no shipped checkpoint was trained on them.
The stack of membranes is drawn, and its membranes are therefore known.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from . import drawn_stack

FOLDER = Path(__file__).parent.parent / "samples"
SAMPLES = {
    "fluorescence": "nuclei-fluorescence.png",
    "histology": "nuclei-histology.png",
    "touching": "nuclei-touching.png",
}


def load(name: str) -> tuple[np.ndarray, Path]:
    """Return a sample image, uint8 ``(H, W)`` or ``(H, W, 3)``, and its file."""
    from skimage.io import imread

    path = FOLDER / SAMPLES[name]
    return np.asarray(imread(path)), path


def fluorescence() -> list[tuple[Any, ...]]:
    """Nuclei in fluorescence, grey, as napari layer data."""
    return [(load("fluorescence")[0], {"name": "nuclei"}, "image")]


def histology() -> list[tuple[Any, ...]]:
    """Nuclei in a stained tissue section, RGB, as napari layer data."""
    return [(load("histology")[0], {"name": "tissue"}, "image")]


def touching() -> list[tuple[Any, ...]]:
    """Nuclei in fluorescence that touch and overlap, grey, as napari layer data."""
    return [(load("touching")[0], {"name": "touching nuclei"}, "image")]


def membranes() -> list[tuple[Any, ...]]:
    """Membranes in a drawn stack ``(Z, Y, X)``, as napari layer data."""
    return [(drawn_stack.draw()[0], {"name": "membranes", "axis_labels": ("z", "y", "x")}, "image")]


def true_membranes() -> list[tuple[Any, ...]]:
    """Membranes of the drawn stack as a hidden Labels layer, as napari layer data."""
    about = {"name": "true membranes", "axis_labels": ("z", "y", "x"), "visible": False}
    return [(drawn_stack.draw()[1], about, "labels")]
