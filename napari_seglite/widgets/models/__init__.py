"""The Models tab: the tree of checkpoints."""

from .panel import ModelsPanel

__all__ = [
    "ModelsPanel",
]
