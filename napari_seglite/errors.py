"""Errors whose messages are meant for the user."""

from __future__ import annotations


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


class Cancelled(Exception):
    """The user stopped a job. This is not a failure, so it is not a `SegliteError`."""
