"""Addresses of stores elsewhere, such as ``s3://bucket/image.zarr``, and the files in a store."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from ..errors import ImageError
from .atomic import replacing

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
# The packages with which fsspec reads each kind of store.
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}
_PACKAGES |= {"http": "aiohttp", "https": "aiohttp", "az": "adlfs", "abfs": "adlfs"}


def is_remote(place: str | Path) -> bool:
    """Whether a place is the address of a store elsewhere, rather than a path."""
    return isinstance(place, str) and _ADDRESS.match(place) is not None


def file_system(address: str) -> tuple[Any, str]:
    """Return fsspec's file system of an address, and the path in it.

    Raises
    ------
    ImageError
        If a package is missing that reads such stores, or there is none.
    """
    kind = address.partition("://")[0].lower()
    try:
        from fsspec.core import url_to_fs

        system, path = url_to_fs(address)
    except ImportError as error:
        package = _PACKAGES.get(kind, "fsspec")
        extra = (
            "pip install 'napari-seglite[cluster]'"
            if package in ("s3fs", "fsspec")
            else f"pip install {package}"
        )
        raise ImageError(
            f"{address}: the package {package}, which reads {kind}:// stores, is not installed. "
            f"Install it with {extra}."
        ) from error
    except ValueError as error:
        raise ImageError(f"{address}: there are no {kind}:// stores.") from error
    return system, path


class Files(Protocol):
    """Small files beside each other, each of which appears whole or not at all."""

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, or None if there is none."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file, or replace it."""

    def names(self, folder: str) -> Iterator[str]:
        """Yield the names of all files in a folder, without the folders that they are in."""

    def remove(self, folder: str) -> None:
        """Remove a folder with everything in it."""


class LocalFiles:
    """Files in a folder, see `Files`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, or None if there is none."""
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Write a file, or replace it."""
        with replacing(self.root / name) as temporary:
            temporary.write_bytes(content)

    def names(self, folder: str) -> Iterator[str]:
        """Yield the names of all files in a folder, without the folders that they are in."""
        for _, folders, files in os.walk(self.root / folder):
            # Unfinished files come and go while other processes write.
            folders[:] = [name for name in folders if not name.startswith(".")]
            yield from files

    def remove(self, folder: str) -> None:
        """Remove a folder with everything in it."""
        import shutil

        shutil.rmtree(self.root / folder, ignore_errors=True)


class RemoteFiles:
    """Files in a store elsewhere, see `Files`; object stores put a file whole or not at all."""

    def __init__(self, address: str) -> None:
        self.system, self.root = file_system(address)

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, or None if there is none."""
        try:
            return bytes(self.system.cat_file(f"{self.root}/{name}"))
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        """Write a file, or replace it."""
        self.system.pipe_file(f"{self.root}/{name}", content)

    def names(self, folder: str) -> Iterator[str]:
        """Yield the names of all files in a folder, without the folders that they are in."""
        self.system.invalidate_cache()
        for path in self.system.find(f"{self.root}/{folder}"):
            yield path.rpartition("/")[2]

    def remove(self, folder: str) -> None:
        """Remove a folder with everything in it."""
        try:
            self.system.rm(f"{self.root}/{folder}", recursive=True)
        except FileNotFoundError:
            return


def open_files(place: str | Path) -> Files:
    """Return the files at a place, a folder or an address.

    Raises
    ------
    ImageError
        As `file_system`.
    """
    return RemoteFiles(str(place)) if is_remote(place) else LocalFiles(Path(place))
