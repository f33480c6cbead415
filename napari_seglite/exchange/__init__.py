"""Checkpoints as models of other programs, and their models as checkpoints."""

from .exporting import FORMATS, export_model
from .importing import UntrustedCodeError, import_model

__all__ = ["FORMATS", "UntrustedCodeError", "export_model", "import_model"]
