"""The Tools tab: evaluate, measure, batch and compare, a panel each."""

from .batch import BatchPanel
from .compare import ComparePanel
from .evaluate import EvaluatePanel
from .measure import MeasurePanel

__all__ = [
    "BatchPanel",
    "ComparePanel",
    "EvaluatePanel",
    "MeasurePanel",
]
