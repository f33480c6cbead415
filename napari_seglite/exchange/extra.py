"""The packages of the extra ``exchange``, which not everybody has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import SegliteError


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
    except ImportError as error:
        package = (error.name or "a package").partition(".")[0]
        extra = "fast" if package == "openvino" else "exchange"
        raise SegliteError(
            f"{what} needs {package}, which is not installed. "
            f"pip install 'napari-seglite[{extra}]' installs it."
        ) from error
