"""Checkpoints that are too large for the package, fetched by name from a release.

A catalogue is a JSON file that says where each of them lies and which SHA-256 its file has.
"""

from .entries import ENVIRONMENT_VARIABLE, Catalogue, Entry, read_catalogue
from .fetching import FetchProgress, fetch, fetching
from .releasing import release

__all__ = [
    "ENVIRONMENT_VARIABLE",
    "Catalogue",
    "Entry",
    "FetchProgress",
    "fetch",
    "fetching",
    "read_catalogue",
    "release",
]
