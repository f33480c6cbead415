"""Zarr folders and zip files of others, opened so that nothing outside of them is read.

Zarr takes a moment to import: import this module where it is needed.
"""

from __future__ import annotations

import json
import math
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import FsspecStore, LocalStore, ZipStore

from ..errors import ImageError
from .limits import check_claim, check_in_memory
from .remote import file_system, is_remote

# Bytes of one file of metadata; the largest are consolidated ones of whole plates.
LARGEST_METADATA = 64_000_000
_METADATA = ("zarr.json", ".zattrs", ".zgroup", ".zarray", ".zmetadata")
# Chunks that are missing are empty, so that there is no ratio that an array cannot reach. Above
# this size, with this ratio, it would still take days to segment nothing.
_HUGE, _HUGE_RATIO = 10**11, 10**6


class Folder(LocalStore):
    """A Zarr folder, of which links lead nowhere else and only files are read."""

    def __init__(self, root: Path | str, *, read_only: bool = False) -> None:
        super().__init__(root, read_only=read_only)
        self._real = os.path.realpath(root)

    def check(self, key: str) -> Path | None:
        """Return the file of a key, or None if there is none.

        Raises
        ------
        ImageError
            If it lies elsewhere, or is no file or a too large one.
        """
        path = self.root / key
        try:
            info = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise ImageError(f"{path} cannot be read ({error.strerror}).") from error
        if not Path(os.path.realpath(path)).is_relative_to(self._real):
            raise ImageError(
                f"{path} is not read: a link leads out of the image. Put the file itself there."
            )
        if stat.S_ISDIR(info.st_mode):
            return None
        if not stat.S_ISREG(info.st_mode):
            raise ImageError(f"{path} is not a file.")
        if path.name in _METADATA and info.st_size > LARGEST_METADATA:
            raise ImageError(f"{path} is too large for metadata: {info.st_size:,} bytes.")
        return path

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Return the content of a file, as Zarr asks for it."""
        return await super().get(key, prototype, byte_range) if self.check(key) else None

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Return parts of files, as Zarr asks for them."""
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    def content(self, key: str) -> bytes | None:
        """Return the content of a file of metadata, or None if there is none."""
        path = self.check(key)
        return None if path is None else path.read_bytes()

    def sizes(self, group: str) -> Iterator[int]:
        """Yield the sizes in bytes of the files of a group or array, except metadata."""
        waiting = [self.root / group]
        while waiting:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
                    elif entry.name not in _METADATA:
                        yield entry.stat(follow_symlinks=False).st_size


class Archive(ZipStore):
    """A zip file with a Zarr folder in it, read without unpacking."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, mode="r")
        self._sync_open()
        for entry in self._zf.infolist():
            small = entry.filename.rpartition("/")[2] in _METADATA
            if small and entry.file_size > LARGEST_METADATA:
                raise ImageError(f"{entry.filename} in it is too large for metadata.")
            check_in_memory([entry.file_size], np.uint8, f"It is {entry.filename} in the zip file.")

    def content(self, key: str) -> bytes | None:
        """Return the content of a file of metadata, or None if there is none."""
        with self._lock:
            return self._zf.read(key) if key in self._zf.NameToInfo else None

    def sizes(self, group: str) -> Iterator[int]:
        """Yield the sizes in bytes of the files of a group or array, except metadata."""
        for entry in self._zf.infolist():
            name = entry.filename
            if name.startswith(f"{group}/" if group else "") and not name.endswith(_METADATA):
                yield entry.compress_size

    def top(self) -> str:
        """Return the name of the folder in which everything lies, or nothing."""
        names = self._zf.namelist()
        first = names[0].partition("/")[0] if names else ""
        return first if all(name.startswith(f"{first}/") for name in names) else ""


class Remote(FsspecStore):
    """A Zarr folder in a store elsewhere, such as ``s3://bucket/image.zarr``."""

    _address = ""

    @classmethod
    def at(cls, address: str, *, read_only: bool) -> Remote:
        """Return the store at an address.

        Raises
        ------
        ImageError
            As `file_system`.
        """
        file_system(address)
        store = FsspecStore.from_url(address, read_only=read_only)
        remote = cls(fs=store.fs, read_only=read_only, path=store.path)
        remote._address = address
        return remote

    def content(self, key: str) -> bytes | None:
        """Return the content of a file of metadata, or None if there is none."""
        system, path = file_system(self._address)
        try:
            return bytes(system.cat_file(f"{path}/{key}"))
        except FileNotFoundError:
            return None
        except Exception as error:  # stores raise anything at all
            raise ImageError(
                f"{self._address} cannot be read ({type(error).__name__}: {str(error)[:200]})."
            ) from error

    def sizes(self, group: str) -> Iterator[int]:
        """Yield the sizes in bytes of the files of a group or array, except metadata."""
        system, path = file_system(self._address)
        try:
            for _, _, files in system.walk(f"{path}/{group}", detail=True):
                for name, info in files.items():
                    if name not in _METADATA:
                        yield int(info.get("size") or 1)
        except Exception:  # servers that list nothing hold the pixels all the same
            yield sys.maxsize


Store = Folder | Archive | Remote


def open_store(path: Path | str) -> tuple[Store, str]:
    """Open a folder, a zip file or a store elsewhere.

    Returns
    -------
    store : Folder, Archive or Remote
        Read-only.
    group : str
        The group in it to begin with.
    """
    if is_remote(path):
        return Remote.at(str(path), read_only=True), ""
    path = Path(path)
    if path.is_dir():
        return Folder(path, read_only=True), ""
    archive = Archive(path)
    return archive, archive.top()


@dataclass(frozen=True)
class Node:
    """A Zarr group or array.

    Attributes
    ----------
    path : str
        In the store.
    kind : str
        ``"group"`` or ``"array"``.
    zarr_format : int
        2 or 3.
    attributes : dict
        What it says about itself.
    dimensions : list of str or None
        Names of an array's axes, if it gives them.
    """

    path: str
    kind: str
    zarr_format: Literal[2, 3]
    attributes: dict[str, Any]
    dimensions: list[Any] | None = None


def inside(group: str, name: str) -> str:
    """Return the path of something that metadata name in a group.

    Raises
    ------
    ImageError
        If it is not inside of the group.
    """
    parts = name.strip("/").split("/")
    if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
        raise ImageError(f"the metadata name {name!r}, which is no folder inside of the image.")
    return "/".join([group, *parts] if group else parts)


def find(store: Store, path: str) -> Node | None:
    """Return a group or array, or None if there is none.

    Raises
    ------
    ImageError
        If its metadata cannot be read.
    """
    prefix = f"{path}/" if path else ""
    new = _json(store, f"{prefix}zarr.json")
    if new is not None:
        attributes, names = new.get("attributes"), new.get("dimension_names")
        kind = "array" if new.get("node_type") == "array" else "group"
    else:
        array, group = (_json(store, f"{prefix}{name}") for name in (".zarray", ".zgroup"))
        attributes = _json(store, f"{prefix}.zattrs")
        if array is None and group is None and attributes is None:
            return None
        kind = "group" if array is None else "array"
        names = attributes.get("_ARRAY_DIMENSIONS") if attributes else None
    if not isinstance(attributes, dict):
        attributes = {}
    names = names or attributes.get("_ARRAY_DIMENSIONS")
    return Node(
        path, kind, 2 if new is None else 3, attributes, names if isinstance(names, list) else None
    )


def _json(store: Store, key: str) -> dict[str, Any] | None:
    content = store.content(key)
    if content is None:
        return None
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ImageError(f"{key} in it is not JSON ({error}).") from error
    if not isinstance(data, dict):
        raise ImageError(f"{key} in it holds no metadata.")
    return data


class Pixels(zarr.Array):  # type: ignore[type-arg]
    """A Zarr array of which every error names the file."""

    where = ""

    def __getitem__(self, selection: Any) -> Any:
        """Read pixels."""
        try:
            return super().__getitem__(selection)
        except (ImageError, IndexError, MemoryError):
            raise
        except Exception as error:  # codecs raise anything at all on a damaged chunk
            reason = str(error) or type(error).__name__
            raise ImageError(
                f"{self.where}: pixels cannot be read, the file is damaged ({reason[:300]})."
            ) from error


def open_pixels(store: Store, node: Node, where: Path | str) -> Pixels:
    """Open an array of pixels, once it is known that it can be read.

    Parameters
    ----------
    store : Folder, Archive or Remote
        With the array.
    node : Node
        The array.
    where : Path or str
        Of the image, for messages.

    Raises
    ------
    ImageError
        If its chunks or type are impossible.
    """
    array = zarr.open_array(store=store, path=node.path, mode="r", zarr_format=node.zarr_format)
    pixels = Pixels(array.async_array)
    pixels.where = f"{where}/{node.path}" if node.path else str(where)
    if pixels.dtype.kind not in "uifb":
        raise ImageError(f"its array {node.path!r} holds {pixels.dtype}, which are no pixels.")
    if min(pixels.chunks, default=1) < 1 or min(pixels.shape, default=1) < 0:
        raise ImageError(f"its array {node.path!r} has chunks of the shape {pixels.chunks}.")
    check_in_memory(
        [min(sizes) for sizes in zip(pixels.chunks, pixels.shape, strict=True)],
        pixels.dtype,
        "One chunk of it is that large: save it in smaller chunks.",
    )
    return pixels


def is_empty(store: Store, node: Node, pixels: Pixels) -> bool:
    """Whether an array has no chunk at all, so that all its pixels have the fill value.

    Raises
    ------
    ImageError
        If it is far larger than what is stored could be.
    """
    size = math.prod(pixels.shape) * pixels.dtype.itemsize
    enough = size // _HUGE_RATIO if size > _HUGE else 1
    stored = 0
    for length in store.sizes(node.path):
        stored += length
        if stored >= enough:
            return False
    if size > _HUGE:
        check_claim(pixels.shape, pixels.dtype, stored, _HUGE_RATIO)
    return not stored
