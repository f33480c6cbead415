"""Zip files of others, read without trusting what they say about themselves."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

from ..errors import SegliteError

PIECE = 1_000_000


@contextmanager
def open_zip(source: Path | io.BytesIO) -> Iterator[ZipFile]:
    """Open a zip file, and turn whatever goes wrong in it into a `ValueError`.

    Raises
    ------
    ValueError
        If it is missing, not a zip file, or damaged. `SegliteError`s pass.
    """
    if isinstance(source, Path) and not source.is_file():
        raise ValueError("there is no such file")
    try:
        with ZipFile(source) as archive:
            yield archive
    except (SegliteError, ValueError):
        raise
    except MemoryError as error:
        raise ValueError("it does not fit into memory") from error
    except Exception as error:  # zipfile raises errors of many modules for damaged files
        raise ValueError(str(error) or type(error).__name__) from error


def read_member(archive: ZipFile, name: str, largest: int) -> bytes:
    """Return the content of a file in a zip file, or nothing if it is not there.

    Parameters
    ----------
    archive : ZipFile
        From `open_zip`.
    name : str
        Of the file.
    largest : int
        Number of bytes above which it is refused before they are unpacked.

    Raises
    ------
    ValueError
        If it is there twice, larger, or compressed in an unusual way.
    """
    found = [entry for entry in archive.infolist() if entry.filename == name]
    if not found:
        return b""
    entry = found[0]
    if len(found) > 1:
        raise ValueError(f"it holds {name} {len(found)} times")
    if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise ValueError(f"{name} is compressed in an unknown way")
    if entry.file_size > largest:
        raise ValueError(f"{name} has {entry.file_size:,} bytes, more than {largest:,}")
    with archive.open(entry) as stream:  # which ends at that size, whatever follows
        return b"".join(iter(lambda: stream.read(PIECE), b""))
