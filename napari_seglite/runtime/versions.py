"""Versions of the software that computes a result."""

from __future__ import annotations

import platform


def versions(*more: str) -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on, by name.

    Parameters
    ----------
    *more : str
        Names of further packages that took part.
    """
    from importlib.metadata import version

    from .. import __version__

    own = {"python": platform.python_version(), "napari-seglite": __version__}
    return own | {name: version(name) for name in ("torch", "numpy", "monai", *more)}
