"""Bytes at an address, piece by piece, without waiting longer than the user wants to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Full, Queue
from threading import Event, Thread
from urllib.parse import urlsplit

from ..errors import Cancelled, CheckpointError
from ..runtime import Stop

# Bytes of a piece, and pieces that may wait to be used.
PIECE, WAITING = 65_536, 16
# Seconds without a byte after which a server is given up, and between two looks at `stop`.
PATIENCE, LOOK = 30.0, 0.1

_Piece = bytes | Exception | None


def is_url(address: str) -> bool:
    """Whether an address is one of the web, and not a file."""
    return address.lower().startswith(("http://", "https://"))


def stream(address: str, stop: Stop) -> Iterator[bytes]:
    """Yield the bytes at an address as they come.

    Parameters
    ----------
    address : str
        An ``http`` or ``https`` URL, or the path of a file.
    stop : callable
        Asked every tenth of a second, however long the server is silent.

    Raises
    ------
    CheckpointError
        If there is no network or no such file, or the connection breaks.
    Cancelled
        If `stop` returned True.
    """
    pieces: Queue[_Piece] = Queue(WAITING)
    unwanted = Event()
    # A server that is silent can hold this thread for a while, so nothing waits for its end.
    reader = Thread(
        target=_read, args=(address, pieces, unwanted), name="seglite-fetch", daemon=True
    )
    reader.start()
    try:
        while not stop():
            try:
                piece = pieces.get(timeout=LOOK)
            except Empty:
                continue
            if piece is None:
                return
            if isinstance(piece, Exception):
                raise piece
            yield piece
        raise Cancelled
    finally:
        unwanted.set()


def _read(address: str, pieces: Queue[_Piece], unwanted: Event) -> None:
    """Put the bytes at an address into a queue, then None, or what went wrong."""
    end: Exception | None = None
    try:
        for piece in _from_web(address) if is_url(address) else _from_file(Path(address)):
            if not _put(pieces, piece, unwanted):
                return
    except Exception as error:
        end = error
    _put(pieces, end, unwanted)


def _put(pieces: Queue[_Piece], piece: _Piece, unwanted: Event) -> bool:
    """Put a piece into a queue once there is room; False if nobody wants it any more."""
    while not unwanted.is_set():
        try:
            pieces.put(piece, timeout=LOOK)
            return True
        except Full:
            pass
    return False


def _from_file(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from iter(lambda: file.read(PIECE), b"")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise CheckpointError(f"{path} cannot be read: {why}.") from error


def _from_web(url: str) -> Iterator[bytes]:
    import requests

    begun = False
    try:
        # As it is: sizes and hashes are those of the file.
        headers = {"Accept-Encoding": "identity"}
        with requests.get(url, headers=headers, stream=True, timeout=PATIENCE) as answer:
            if not answer.ok:
                raise CheckpointError(
                    f"{url} cannot be fetched: the server answers {answer.status_code} "
                    f"{answer.reason}."
                )
            begun = True
            yield from answer.iter_content(PIECE)
    except (requests.RequestException, OSError, ValueError) as error:
        host = urlsplit(url).hostname or url
        if begun:
            raise CheckpointError(f"The connection to {host} broke off. Try again.") from error
        raise CheckpointError(
            f"{host} cannot be reached. Check the connection to the network, a proxy, and the "
            f"address {url}."
        ) from error
