"""Errors whose messages are meant for the user."""

from __future__ import annotations

from pathlib import Path


class SegliteError(Exception):
    """An error that the user can resolve; its message says how."""


class ImageError(SegliteError):
    """An image cannot be segmented: its axes, dtype, size or content."""


class CheckpointError(SegliteError):
    """A checkpoint is missing, corrupt, or does not fit the network or the image."""


class AnnotationError(SegliteError):
    """Labels cannot be used: missing, empty, or of another shape than the image."""


class DeviceError(SegliteError):
    """There is no such device, or it has too little memory."""


class RemoteError(SegliteError):
    """Another computer cannot be reached, does not fit, or was lost during the work."""


class Cancelled(Exception):
    """The user stopped a job. This is not a failure, so it is not a `SegliteError`."""


def reason(error: Exception, *paths: Path) -> str:
    """Return a sentence on why a file failed, which names it.

    Parameters
    ----------
    error : Exception
        Whatever was raised.
    *paths : Path
        The file, or all files that were used together; the first is named if the message names
        none.
    """
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror} ({error.filename})" if error.filename else error.strerror
    elif isinstance(error, MemoryError):
        text = "there is not enough memory."
    elif not isinstance(error, SegliteError | ValueError):
        text = f"{type(error).__name__}: {text}"[:1000]
    return text if any(str(path) in text for path in paths) else f"{paths[0]}: {text}"
