"""Changed tiles of labels, appended to one file: what was written before stays as it is."""

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
_HEAD = struct.Struct("<4sIII")  # magic, length of the header, length of the pixels, CRC of both


@dataclass(frozen=True)
class Tile:
    """Labels of a part of an image.

    Attributes
    ----------
    image : str
        Key of the image.
    corner : tuple of int
        Where its first pixel lies.
    pixels : ndarray
        The labels.
    """

    image: str
    corner: tuple[int, ...]
    pixels: np.ndarray

    @property
    def where(self) -> tuple[slice, ...]:
        """Its place in the labels."""
        sizes = zip(self.corner, self.pixels.shape, strict=True)
        return tuple(slice(a, a + n) for a, n in sizes)


class Journal:
    """A file of tiles.

    A record that was cut off, because the program was killed while it was written, ends the
    journal: all before it are whole.

    Parameters
    ----------
    path : Path
        Of the file; made when the first tile is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self.path.stat().st_size if self.path.exists() else 0

    def append(self, tiles: Iterable[Tile]) -> int:
        """Write tiles at the end and wait until the disk has them; returns the bytes."""
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
            if self.size > before:  # half a record would hide all that follow
                os.truncate(self.path, before)
            raise
        return len(blob)

    def read(self) -> Iterator[Tile]:
        """Return all whole tiles in the order in which they were written."""
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
        """Forget everything: it was written elsewhere."""
        self.path.unlink(missing_ok=True)


def _pack(tile: Tile) -> bytes:
    about = {
        "image": tile.image,
        "corner": list(tile.corner),
        "shape": list(tile.pixels.shape),
        "dtype": tile.pixels.dtype.str,
    }
    header = json.dumps(about).encode()
    body = zlib.compress(np.ascontiguousarray(tile.pixels).tobytes(), 1)
    return _HEAD.pack(_MAGIC, len(header), len(body), zlib.crc32(header + body)) + header + body


def _unpack(header: bytes, body: bytes) -> Tile:
    about = json.loads(header)
    pixels = np.frombuffer(zlib.decompress(body), np.dtype(about["dtype"]))
    return Tile(about["image"], tuple(about["corner"]), pixels.reshape(about["shape"]))
