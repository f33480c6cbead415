"""The journal of a project: changed tiles of labels, appended to one file."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_MAGIC = b"SEGL"
# Magic, length of the header, length of the pixels, CRC of both; header and pixels follow.
_HEAD = struct.Struct("<4sIII")


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


class Journal:
    """A file of tiles.

    The journal ends at the first incomplete record, which is left when the program is killed while
    writing; all records before it are whole.

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
        except OSError:
            if self.size > before:  # an incomplete record would hide all that follow
                os.truncate(self.path, before)
            raise
        return len(blob)

    def read(self) -> Iterator[Tile]:
        """Yield all whole tiles in the order in which they were written."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            while len(head := file.read(_HEAD.size)) == _HEAD.size:
                magic, header, body, check = _HEAD.unpack(head)
                blob = file.read(header + body) if magic == _MAGIC else b""
                if len(blob) < header + body or zlib.crc32(blob) != check:
                    return
                yield _unpack(blob[:header], blob[header:])

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


def _unpack(header: bytes, body: bytes) -> Tile:
    description = json.loads(header)
    pixels = np.frombuffer(zlib.decompress(body), np.dtype(description["dtype"]))
    return Tile(
        description["image"], tuple(description["corner"]), pixels.reshape(description["shape"])
    )
