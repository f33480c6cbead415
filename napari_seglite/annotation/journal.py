"""The journal of a project: changed tiles of labels, appended to one file."""

from __future__ import annotations

import json
import math
import os
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..formats import parse_json, sync_folder

# Its file in the project.
JOURNAL = "journal.bin"
_MAGIC = b"SEGL"
# Magic, length of the header, length of the pixels, CRC of both; header and pixels follow.
_HEAD = struct.Struct("<4sIII")
# Bytes; no header and no tile is larger, which is a chunk of 64-bit labels at most.
_LONGEST_HEADER, _LARGEST_TILE = 10_000, 8 * 256 * 256


@dataclass(frozen=True)
class Tile:
    """A block of an image's labels.

    Attributes
    ----------
    image : str
        Key of the image.
    corner : tuple of int
        Index of its first pixel in the labels.
    pixels : ndarray
        Its labels, with as many axes as the image's labels.
    """

    image: str
    corner: tuple[int, ...]
    pixels: np.ndarray

    @property
    def where(self) -> tuple[slice, ...]:
        """Its index in the labels of the image."""
        sizes = zip(self.corner, self.pixels.shape, strict=True)
        return tuple(slice(a, a + n) for a, n in sizes)


@dataclass(frozen=True)
class _Header:
    """The JSON data in front of a tile's pixels."""

    image: str
    corner: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[<>|][uib][1248]", self.dtype):
            raise ValueError(f"labels are no {self.dtype}")
        if len(self.corner) != len(self.shape) or min((*self.corner, *self.shape), default=0) < 0:
            raise ValueError("the tile lies nowhere")
        if not 0 < self.bytes <= _LARGEST_TILE:
            raise ValueError("the tile is empty or too large")

    @property
    def bytes(self) -> int:
        """Size of the pixels in bytes."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class StoredTile:
    """A tile in a journal, whose pixels are still compressed.

    Attributes
    ----------
    image, corner : str, tuple of int
        See `Tile`.
    shape, dtype : tuple of int, str
        Of the pixels.
    """

    image: str
    corner: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: str
    _body: bytes

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether it lies inside labels of a shape."""
        return len(shape) == len(self.shape) and all(
            a + k <= n for a, k, n in zip(self.corner, self.shape, shape, strict=True)
        )

    def load(self) -> Tile:
        """Return the tile."""
        dtype = np.dtype(self.dtype)
        pixels = _inflated(self._body, math.prod(self.shape) * dtype.itemsize)
        return Tile(self.image, self.corner, np.frombuffer(pixels, dtype).reshape(self.shape))


@dataclass(frozen=True)
class JournalContent:
    """What a journal holds.

    Attributes
    ----------
    tiles : tuple of StoredTile
        In the order in which they were written.
    damaged : int
        Number of places where records could not be read and were skipped.
    """

    tiles: tuple[StoredTile, ...] = ()
    damaged: int = 0


class Journal:
    """A file of tiles.

    A record that is incomplete at the end was being written when the program was killed. Any other
    record that cannot be read is damaged; reading goes on with the next whole one.

    Parameters
    ----------
    path : Path
        Of the file; created with the first tile.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return self.path.stat().st_size if self.path.exists() else 0

    def append(self, tiles: Iterable[Tile]) -> int:
        """Append tiles and wait until they are on disk; returns the number of bytes.

        Raises
        ------
        OSError
            If they cannot be written; the journal is then as before.
        """
        blob = b"".join(map(_pack, tiles))
        if not blob:
            return 0
        before = self.size
        try:
            with self.path.open("ab") as file:
                file.write(blob)
                file.flush()
                os.fsync(file.fileno())
            if not before:
                sync_folder(self.path.parent)
        except OSError:
            if self.size > before:  # an incomplete record would be taken for damage
                os.truncate(self.path, before)
            raise
        return len(blob)

    def read(self) -> JournalContent:
        """Return all tiles that can be read."""
        if not self.path.exists():
            return JournalContent()
        blob = self.path.read_bytes()
        tiles, damaged, at = [], 0, 0
        while at < len(blob):
            try:
                tile, at = _record(blob, at)
                tiles.append(tile)
            except ValueError:
                following = next(_whole_records(blob, at + 1), len(blob))
                if following < len(blob) or not _cut_off(blob[at:]):
                    damaged += 1
                at = following
        return JournalContent(tuple(tiles), damaged)

    def clear(self) -> None:
        """Remove all tiles, once they have been written elsewhere."""
        self.path.unlink(missing_ok=True)


def _pack(tile: Tile) -> bytes:
    description = {
        "image": tile.image,
        "corner": list(tile.corner),
        "shape": list(tile.pixels.shape),
        "dtype": tile.pixels.dtype.str,
    }
    header = json.dumps(description).encode()
    body = zlib.compress(np.ascontiguousarray(tile.pixels).tobytes(), 1)
    return _HEAD.pack(_MAGIC, len(header), len(body), zlib.crc32(header + body)) + header + body


def _record(blob: bytes, at: int) -> tuple[StoredTile, int]:
    """Return the tile at a place of the journal, and the place after it.

    Raises
    ------
    ValueError
        If there is no whole record of a tile.
    """
    if len(blob) - at < _HEAD.size:
        raise ValueError("the record is cut off")
    magic, header, body, check = _HEAD.unpack_from(blob, at)
    start, end = at + _HEAD.size, at + _HEAD.size + header + body
    if magic != _MAGIC or header > _LONGEST_HEADER or end > len(blob):
        raise ValueError("this is no whole record")
    if zlib.crc32(memoryview(blob)[start:end]) != check:
        raise ValueError("the record is damaged")
    description = parse_json(blob[start : start + header], _Header)
    packed = blob[start + header : end]
    _inflated(packed, description.bytes)
    about = description.image, description.corner, description.shape, description.dtype
    return StoredTile(*about, packed), end


def _inflated(body: bytes, size: int) -> bytes:
    """Decompress exactly so many bytes, and never more."""
    unpacker = zlib.decompressobj()
    try:
        pixels = unpacker.decompress(body, size + 1)
    except zlib.error as error:
        raise ValueError("the pixels are not compressed as they should be") from error
    if len(pixels) != size or not unpacker.eof:
        raise ValueError("the number of pixels does not fit")
    return pixels


def _whole_records(blob: bytes, at: int) -> Iterator[int]:
    """Yield the places of whole records from a place on."""
    while (at := blob.find(_MAGIC, at)) >= 0:
        try:
            _record(blob, at)
            yield at
        except ValueError:
            pass
        at += 1


def _cut_off(rest: bytes) -> bool:
    """Whether the end of a journal looks like a record whose writing was interrupted."""
    if len(rest) < _HEAD.size:
        return _MAGIC.startswith(rest[: len(_MAGIC)]) or rest.startswith(_MAGIC)
    magic, header, body, _ = _HEAD.unpack_from(rest)
    if magic != _MAGIC or header > _LONGEST_HEADER or _HEAD.size + header + body <= len(rest):
        return False
    description = rest[_HEAD.size : _HEAD.size + header]
    if len(description) < header:
        return description.startswith(b'{"image"'[: len(description)]) and b"}" not in description
    try:
        parse_json(description, _Header)
        unpacker = zlib.decompressobj()
        unpacker.decompress(rest[_HEAD.size + header :], _LARGEST_TILE)
    except (ValueError, zlib.error):
        return False
    return not unpacker.eof  # a complete stream means that the lengths are damaged
