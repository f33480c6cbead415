"""The Correct tab: its panel, the list of corrected slices, classes and mask tools."""

from .panel import CorrectPanel

__all__ = [
    "CorrectPanel",
]
