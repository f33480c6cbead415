"""Checkpoints as files of other programs, and models of other programs as checkpoints."""

from .exporting import FORMATS, export_model

__all__ = ["FORMATS", "export_model"]
