"""What can go wrong, in words for the person at the screen."""

from __future__ import annotations


class SegliteError(Exception):
    """Any failure the user can do something about; its message says what."""


class ImageError(SegliteError):
    """An image cannot be segmented: its axes, dtype, size or content."""


class CheckpointError(SegliteError):
    """A checkpoint is missing, corrupt, or does not fit the network or the image."""


class AnnotationError(SegliteError):
    """Labels cannot be learnt from: missing, empty, or not of the image's shape."""


class DeviceError(SegliteError):
    """There is no such device, or it has too little memory."""


class Cancelled(Exception):
    """The user stopped a job. Not a failure, so not a `SegliteError`."""
