"""Segment and fine-tune on another computer, through a client of its Dask scheduler.

`RemoteSegmenter` and `RemoteFineTuner` take the place of `Segmenter` and `FineTuner`: the same
arguments, progress, events and results. One image, or one run, is on one worker; for one image on
many workers see `blocks`. Start reading at `Session`, which is what runs there.
"""

from .address import RemoteAddress, read_address
from .connection import Connection
from .fine_tuning import RemoteFineTuner
from .segmenting import RemoteSegmenter

__all__ = [
    "Connection",
    "RemoteAddress",
    "RemoteFineTuner",
    "RemoteSegmenter",
    "read_address",
]
