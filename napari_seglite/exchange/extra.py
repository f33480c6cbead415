"""The packages of the extra ``exchange``, which not everybody has."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

from ..errors import SegliteError

# Versions of bioimageio.spec that pass on what pydantic 2.14 refuses.
_BROKEN = ("0.5.11", "0.5.12.0")


@contextmanager
def needed(what: str) -> Iterator[None]:
    """Say how to install what is missing for a purpose.

    Parameters
    ----------
    what : str
        What the packages are needed for, such as ``"Writing ONNX"``.

    Raises
    ------
    SegliteError
        If an import fails.
    """
    try:
        yield
        _check_pydantic(what)
    except ImportError as error:
        package = (error.name or "a package").partition(".")[0]
        extra = "fast" if package == "openvino" else "exchange"
        raise SegliteError(
            f"{what} needs {package}, which is not installed. "
            f"pip install 'napari-seglite[{extra}]' installs it."
        ) from error


def _check_pydantic(what: str) -> None:
    """Refuse a pydantic with which the installed bioimageio.spec cannot describe anything."""
    if "bioimageio.spec" not in sys.modules:
        return
    pydantic = tuple(map(int, version("pydantic").split(".")[:2]))
    if pydantic >= (2, 14) and version("bioimageio.spec").startswith(_BROKEN):
        raise SegliteError(
            f"{what} needs a later bioimageio.spec, which works with pydantic 2.14. "
            "pip install --upgrade bioimageio.spec installs it."
        )
