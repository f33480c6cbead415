"""Make a release: the zip files of checkpoints, and the catalogue that describes them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..checkpoints import CheckpointStore
from ..errors import CheckpointError
from ..formats import replacing
from .entries import Entry, as_json, parse

NAME = "catalogue.json"


def release(
    store: CheckpointStore, name: str, folder: Path, *, licence: str, url: str = ""
) -> Entry:
    """Write a checkpoint's zip file into a folder, and its entry into the catalogue there.

    Parameters
    ----------
    store : CheckpointStore
        Holds the checkpoint.
    name : str
        Its id.
    folder : Path
        Is made if necessary. An entry of the same id in its ``catalogue.json`` is replaced.
    licence : str
        Under which the weights are passed on.
    url : str
        Of the folder that the file will be uploaded to; if empty, it lies beside the catalogue.

    Returns
    -------
    Entry
        The new entry, with size and SHA-256 of the file.

    Raises
    ------
    CheckpointError
        If the checkpoint is missing, or a file cannot be written or read.
    """
    info, catalogue = store.info(name), folder / NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        archive = store.export(name, folder / f"{info.id}.zip")
        with archive.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        entry = Entry(
            info.id,
            info.network,
            archive.stat().st_size,
            sha256,
            f"{url.rstrip('/')}/{archive.name}" if url else archive.name,
            info.description,
            licence,
        )
        before = parse(catalogue.read_bytes(), str(catalogue)) if catalogue.is_file() else ()
        with replacing(catalogue) as scratch:
            others = tuple(each for each in before if each.id != entry.id)
            scratch.write_text(as_json((*others, entry)), "utf-8")
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be written: {error.strerror or error}.") from error
    return entry
