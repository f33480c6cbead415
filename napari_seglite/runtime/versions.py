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

    packages = ("napari-seglite", "torch", "numpy", "monai", *more)
    return {"python": platform.python_version()} | {name: version(name) for name in packages}
