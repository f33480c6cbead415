"""The Segment tab: its panel, its form, and the layers that show results."""

from .panel import SegmentPanel

__all__ = [
    "SegmentPanel",
]
