"""Checkpoints in zip files, to take to another computer."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from ..errors import CheckpointError
from ..formats import open_zip, parse_json, read_member, replacing
from . import replay
from .card import CheckpointInfo
from .folder import CARD, LARGEST_CARD, LARGEST_REPLAY, REPLAY, WEIGHTS, as_json, parse
from .weights import fill_network, largest

# The beginning of a path that names folders of this computer.
_ROOT = r"(?:[A-Za-z]:[\\/]|\\\\|~[\w.-]*[\\/]|file:/+|\.{1,2}[\\/]|/)"


@dataclass(frozen=True)
class Packed:
    """The content of a zip file: card, weights and replay buffer (empty if there is none)."""

    info: CheckpointInfo
    data: dict[str, Any]
    weights: bytes
    replay: bytes

    def write(self, folder: Path) -> None:
        """Write the checkpoint to a new folder."""
        folder.mkdir()
        (folder / WEIGHTS).write_bytes(self.weights)
        (folder / CARD).write_text(as_json(self.data), "utf-8")
        if self.replay:
            (folder / REPLAY).write_bytes(self.replay)


def write_archive(folder: Path, data: Mapping[str, Any], target: Path) -> None:
    """Write a checkpoint to a zip file, without paths of this computer on its card.

    Parameters
    ----------
    folder : Path
        Of the checkpoint.
    data : mapping
        Its card.
    target : Path
        Of the zip file; an existing one is replaced.

    Raises
    ------
    CheckpointError
        If the weights are missing or the file cannot be written.
    """
    if not (folder / WEIGHTS).is_file():
        raise CheckpointError(f"The weights of checkpoint {folder.name} are missing.")
    try:
        with (
            replacing(target) as scratch,
            ZipFile(scratch, "w", ZIP_DEFLATED, strict_timestamps=False) as archive,
        ):
            archive.writestr(CARD, as_json(without_paths(data)))
            for name in (WEIGHTS, REPLAY):
                if (folder / name).is_file():
                    archive.write(folder / name, name)
    except OSError as error:
        raise CheckpointError(f"{target} cannot be written: {error.strerror}.") from error


def read_archive(source: Path) -> Packed:
    """Read and check the checkpoint in a zip file.

    Sizes are limited before anything is unpacked: of the weights, to what the network needs.

    Raises
    ------
    CheckpointError
        If the file is not such a zip file or anything in it is damaged or too large.
    """
    try:
        with open_zip(source) as archive:
            card = read_member(archive, CARD, LARGEST_CARD)
            if not card:
                raise ValueError(f"it holds no {CARD}")
            data: dict[str, Any] = parse_json(card, dict[str, Any])
            if data.get("parent") == data.get("id"):
                data["parent"] = None
            info = parse(data, source)
            weights = read_member(archive, WEIGHTS, largest(info))
            if not weights:
                raise ValueError(f"it holds no {WEIGHTS}")
            kept = read_member(archive, REPLAY, LARGEST_REPLAY)
        fill_network(info, weights, source)
        if kept:
            replay.check(kept)
    except CheckpointError as error:
        if str(source) in str(error):
            raise
        raise CheckpointError(f"{source}: {error}") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{source} does not contain a checkpoint: {error}.") from error
    return Packed(info, data, weights, kept)


# ------------------------------------------------------------------ privacy
def without_paths(value: Any) -> Any:
    r"""Return JSON data in which every path of this computer is cut to the name of its file.

    Examples
    --------
    >>> without_paths({"frames": ["/home/ada/cells.tif, slice 2"], "note": "see C:\\me\\a.txt"})
    {'frames': ['cells.tif, slice 2'], 'note': 'see a.txt'}
    """
    if isinstance(value, str):
        return _without_path(value)
    if isinstance(value, Mapping):
        return {without_paths(key): without_paths(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_paths(each) for each in value]
    return value


def _without_path(text: str) -> str:
    home = os.path.expanduser("~")  # unchanged for an account without a home
    if len(home) > 1:  # folders can have spaces in their names
        text = text.replace(home, "/~").replace(home.replace("\\", "/"), "/~")
    if re.match(_ROOT, text):  # a path as a whole, which can have spaces
        return re.split(r"[\\/]", text.rstrip("\\/"))[-1]
    return re.sub(rf"(?<![\w.:/\\]){_ROOT}(?:[^\s\\/\"'<>|]+[\\/])+", "", text)
