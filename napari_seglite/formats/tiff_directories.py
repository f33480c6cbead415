"""The list of a TIFF's pages, walked before a library follows it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ..errors import ImageError

# Bytes of a value, by TIFF's number of its type; 1 for others.
_SIZES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_SHORT = 3
# Tags that say the size and the kind of a page's pixels.
_SHAPE = (256, 257, 259, 277)
_NDPI = 65420
_IMAGEJ = (50838, 50839)
_MOST_TAGS = 4096

Entry = tuple[int, int, int, int]  # a tag's code, type, number of values, and value or its place


class Directories(NamedTuple):
    """What the list of a TIFF's pages tells.

    Attributes
    ----------
    ndpi : bool
        Whether the file is one of Hamamatsu's, whose places are wider.
    mixed : bool
        Whether there are pages of different size or kind.
    """

    ndpi: bool = False
    mixed: bool = False


@dataclass(frozen=True)
class _Form:
    """How a TIFF stores numbers: its byte order, and whether it is a BigTIFF."""

    order: str
    big: bool

    @property
    def count(self) -> str:
        return self.order + ("Q" if self.big else "H")

    @property
    def entry(self) -> str:
        return self.order + ("HHQQ" if self.big else "HHII")

    @property
    def place(self) -> str:
        return self.order + ("Q" if self.big else "I")

    @property
    def value_size(self) -> int:
        return 8 if self.big else 4


def check_directories(path: Path) -> Directories:
    """Raise `ImageError` if the list of a TIFF's pages is broken or a circle.

    Raises
    ------
    ImageError
        Or if the file is no TIFF at all.
    """
    size = path.stat().st_size
    shapes = set()
    with path.open("rb") as file:
        form = _form(file)
        for number, entries in enumerate(_directories(file, form, size)):
            if number == 0:
                if any(code == _NDPI for code, *_ in entries):
                    return Directories(ndpi=True)
                _check_values(entries, form, size)
            shapes.add(_shape(entries, form))
    return Directories(mixed=len(shapes) > 1)


def _form(file: BinaryIO) -> _Form:
    """Return how a file stores numbers; it is left where the place of its first page stands."""
    start = file.read(4)
    order = {b"II": "<", b"MM": ">"}.get(start[:2], "")
    version = struct.unpack(f"{order}H", start[2:])[0] if order and len(start) == 4 else 0
    if version not in (42, 43):
        raise ImageError("the file is damaged or not an image (it is no TIFF).")
    file.seek(8 if version == 43 else 4)
    return _Form(order, version == 43)


def _directories(file: BinaryIO, form: _Form, size: int) -> Iterator[list[Entry]]:
    """Yield the entries of every page's directory."""
    seen: set[int] = set()
    while (offset := _number(file, form.place)) != 0:
        if offset in seen:
            raise ImageError(
                f"the file is damaged: its list of pages is a circle after page {len(seen)}."
            )
        if offset is None or offset >= size:
            if offset is not None and not form.big and size >= 2**32:
                return  # places of 32 bits do not reach so far
            raise ImageError(_broken(len(seen)))
        file.seek(offset)
        count = _number(file, form.count)
        length = struct.calcsize(form.entry) * min(count or 0, _MOST_TAGS + 1)
        data = file.read(length)
        if count is None or count > _MOST_TAGS or len(data) < length:
            raise ImageError(_broken(len(seen)))
        seen.add(offset)
        after = file.tell()
        yield list(struct.iter_unpack(form.entry, data))  # type: ignore[arg-type]
        file.seek(after)
    if not seen:
        raise ImageError(_broken(0))


def _number(file: BinaryIO, form: str) -> int | None:
    data = file.read(struct.calcsize(form))
    return int(struct.unpack(form, data)[0]) if len(data) == struct.calcsize(form) else None


def _broken(pages: int) -> str:
    if not pages:
        return "the file is damaged or not an image (it has no first page)."
    return f"the file is incomplete: it ends after page {pages}, and its list of pages goes on."


def _check_values(entries: list[Entry], form: _Form, size: int) -> None:
    """Check that the values of a directory's tags are in a file of a size."""
    for code, kind, count, place in entries:
        length = count * _SIZES.get(kind, 1)
        public = code < 2**15 or code in _IMAGEJ
        if public and length > form.value_size and place + length > size:
            raise ImageError(
                f"tag {code} of its first page should reach to byte {place + length:,}, and the "
                f"file has {size:,}: it is incomplete."
            )


def _shape(entries: list[Entry], form: _Form) -> tuple[Any, ...]:
    """Return the size and the kind of a page's pixels."""
    found = {}
    for code, kind, count, value in entries:
        if code in _SHAPE and count == 1:
            short = form.order == ">" and kind == _SHORT  # it stands at the left of the field
            found[code] = value >> 8 * (form.value_size - 2) if short else value
    return tuple(found.get(code) for code in _SHAPE)
