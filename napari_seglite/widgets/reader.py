"""The reader that napari offers for every format that SegLite knows.

It keeps what napari's own readers drop: which axis is which, the size of a pixel along each with
its unit, the place of the image, and labels as labels.

Where several readers are offered for a file, napari asks which to take, and can remember the answer
for all files of that ending; SegLite comes first in its list and is chosen unless the user clicks
another. A plugin could write such answers into napari's preferences itself, but they are the
user's. Whoever takes napari's reader loses nothing: `file_layers` reads the file again for what
that reader dropped.

An image of several channels is one layer with a slider for them, because networks read several
channels of one image, numbered in the panel as in the shell. napari's *Split Stack* makes a layer
of each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import SegliteError
from .file_layers import layer_of_file


def reader(path: str | list[str]) -> Callable[..., list[tuple[Any, dict[str, Any], str]]]:
    """Return a function that reads files as napari layer data."""
    paths = [path] if isinstance(path, str) else path
    return lambda _: [layer_data(each) for each in paths]


def layer_data(path: str) -> tuple[Any, dict[str, Any], str]:
    """Return a file's array or levels, and the arguments and kind of its layer.

    Raises
    ------
    OSError
        If the file cannot be read; napari shows the message.
    """
    try:
        layer = layer_of_file(path)
    except SegliteError as error:
        raise OSError(str(error)) from error
    if layer.notices:
        from napari.utils.notifications import show_info

        show_info(" ".join([f"{layer.settings['name']}:", *layer.notices]))
    return layer.as_tuple()
