"""The software a result was made with."""

from __future__ import annotations

import platform


def versions() -> dict[str, str]:
    """Return the software a result is made with."""
    from importlib.metadata import version

    packages = ("napari-seglite", "torch", "numpy", "monai")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}
