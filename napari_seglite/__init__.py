"""Lightweight segmentation networks in napari, from Python and from a shell."""

__version__ = "0.1.0"
