"""Fetch a checkpoint: download, compare the hash, check and import it."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import src_models

from ..checkpoints import CheckpointInfo, CheckpointStore, Packed, read_archive
from ..errors import CheckpointError
from ..formats import scratch_folder
from ..runtime import Stop, drain, never, wait_for
from .entries import Catalogue, Entry, read_catalogue
from .streaming import stream

# Progress is told whenever this share of a file has come.
STEP = 0.005


@dataclass(frozen=True)
class FetchProgress:
    """Progress of a download.

    Attributes
    ----------
    text : str
        Text for the status line.
    done, total : int
        Bytes that have come, and all; `total` is 0 until it is known.
    """

    text: str
    done: int = 0
    total: int = 0


def fetch(
    store: CheckpointStore,
    name: str,
    catalogue: Catalogue | str | Path | None = None,
    stop: Stop = never,
) -> CheckpointInfo:
    """Fetch a checkpoint by its name; see `fetching` for parameters and errors.

    Examples
    --------
    >>> fetch(CheckpointStore(), "general-m2snet-full").network  # doctest: +SKIP
    'm2snet'
    """
    return drain(fetching(store, name, catalogue, stop))


def fetching(
    store: CheckpointStore,
    name: str,
    catalogue: Catalogue | str | Path | None = None,
    stop: Stop = never,
) -> Generator[FetchProgress, None, CheckpointInfo]:
    """Fetch a checkpoint by its name, and tell the progress.

    What comes is compared with the size and SHA-256 of the catalogue, then checked like any zip
    file that is imported. Nothing stays of a download that fails or is cancelled.

    Parameters
    ----------
    store : CheckpointStore
        Gets the checkpoint.
    name : str
        Of the checkpoint.
    catalogue : Catalogue, str or Path, optional
        Lists it; as `read_catalogue` takes it.
    stop : callable
        Once it returns True, `Cancelled` is raised within a fraction of a second, unless the
        checkpoint is there already.

    Yields
    ------
    FetchProgress
        As bytes come.

    Returns
    -------
    CheckpointInfo
        The card of the new checkpoint, as the value of the generator.

    Raises
    ------
    CheckpointError
        If the catalogue does not list it or cannot be read, a checkpoint has its name, there is
        no network, what comes is not what the catalogue describes, or it cannot be written.
    Cancelled
        If `stop` returned True.
    """
    if not isinstance(catalogue, Catalogue):
        yield FetchProgress("Reading the catalogue …")
        catalogue = read_catalogue(catalogue, stop)
    entry = catalogue.find(name)
    place = catalogue.place(entry)
    _check_usable(store, entry)
    try:
        with scratch_folder(store.folder) as folder:
            archive = folder / f"{entry.id}.zip"
            yield from _download(entry, place, archive, stop)
            yield FetchProgress("Checking the checkpoint …", entry.size, entry.size)
            packed = wait_for(lambda: _read(archive, entry, place), stop)
    except OSError as error:
        raise CheckpointError(
            f"{entry.id} cannot be fetched into {store.folder}: {error.strerror or error}. Check "
            "the free space and the permissions there."
        ) from error
    return store.put(packed)


def _check_usable(store: CheckpointStore, entry: Entry) -> None:
    """Check before a long download that the checkpoint could be kept and used."""
    if store.is_built_in(entry.id):
        raise CheckpointError(f"Checkpoint {entry.id} comes with SegLite: nothing is to fetch.")
    if store.is_taken(entry.id):
        raise CheckpointError(
            f"There is a checkpoint {entry.id} already. Rename or delete it to fetch it again."
        )
    if entry.network not in src_models.names():
        raise CheckpointError(
            f"{entry.id} is for the network {entry.network[:100]!r}, which is not installed. "
            "Update SegLite, or install the package that brings this network."
        )
    store.check_writable(entry.id)
    needed, free = 2 * entry.size, shutil.disk_usage(store.folder).free  # packed and unpacked
    if free < needed:
        raise CheckpointError(
            f"{entry.id} needs {needed / 1e6:,.0f} MB in {store.folder}, and {free / 1e6:,.0f} MB "
            "are free."
        )


def _download(
    entry: Entry, place: str, target: Path, stop: Stop
) -> Generator[FetchProgress, None, None]:
    """Write the file of an entry, if it is the one that the catalogue describes."""
    total, done, told = entry.size, 0, 0
    digest = hashlib.sha256()
    yield FetchProgress(f"Connecting to fetch {entry.id} …", 0, total)
    with target.open("wb") as file:
        for piece in stream(place, stop):
            file.write(piece)
            digest.update(piece)
            done += len(piece)
            if done > total:
                break
            if done - told >= STEP * total:
                told = done
                text = f"Fetching {entry.id}: {done / 1e6:.1f} of {total / 1e6:.1f} MB"
                yield FetchProgress(text, done, total)
    if done < total:
        raise CheckpointError(
            f"{place} ended after {done:,} of {total:,} bytes. Nothing was kept; try again."
        )
    if done > total or digest.hexdigest() != entry.sha256.lower():
        raise CheckpointError(
            f"{place} is not the file that the catalogue describes: its SHA-256 is another one. "
            "Nothing was kept. Try again, or tell those who made the release."
        )


def _read(archive: Path, entry: Entry, place: str) -> Packed:
    """Read and check a file that was fetched; errors name the place that it is from."""
    try:
        packed = read_archive(archive)
    except CheckpointError as error:
        raise CheckpointError(str(error).replace(str(archive), place)) from error
    if packed.info.id != entry.id:
        raise CheckpointError(f"{place} holds the checkpoint {packed.info.id}, not {entry.id}.")
    return packed
