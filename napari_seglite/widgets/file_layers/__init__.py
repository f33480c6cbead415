"""Files as layers: what a file's layer holds, where it lies, and what its file says about it.

Nothing here needs Qt, so napari can read files without a window.
"""

from .adoption import adopt, untouched
from .facts import (
    KEY,
    READING,
    FileFacts,
    describe_file,
    facts_of,
    find_facts,
    first_level,
    has_pixels,
    is_being_read,
    is_quick,
    wants_facts,
)
from .placement import file_placement, layer_unit
from .reading import LayerOfFile, add_to_viewer, layer_of_file

__all__ = [
    "KEY",
    "READING",
    "FileFacts",
    "LayerOfFile",
    "add_to_viewer",
    "adopt",
    "describe_file",
    "facts_of",
    "file_placement",
    "find_facts",
    "first_level",
    "has_pixels",
    "is_being_read",
    "is_quick",
    "layer_of_file",
    "layer_unit",
    "untouched",
    "wants_facts",
]
