"""Libraries of microscope manufacturers' formats, which only their files need."""

from __future__ import annotations

import importlib
from typing import Any

from ..errors import ImageError


def library(name: str) -> Any:
    """Return a library of the extra ``microscopes``.

    Raises
    ------
    ImageError
        If it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ImageError(
            "such files need another library: pip install 'napari-seglite[microscopes]'."
        ) from None
