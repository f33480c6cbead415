"""The Fine-tune tab: its panel, its form, and the previews of a run."""

from .panel import FineTunePanel

__all__ = [
    "FineTunePanel",
]
