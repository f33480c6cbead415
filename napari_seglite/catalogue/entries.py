"""The catalogue: which checkpoints can be fetched, where they lie, and their hashes."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import urljoin

from ..checkpoints import printable
from ..errors import CheckpointError
from ..formats import name_problem, parse_json
from ..runtime import Stop, never
from .streaming import is_url, stream

SHIPPED = Path(__file__).parent / "catalogue.json"
ENVIRONMENT_VARIABLE = "SEGLITE_CATALOGUE"
FORMAT = 1
# Bytes above which a catalogue is not read.
LARGEST = 1_000_000


@dataclass(frozen=True)
class Entry:
    """A checkpoint that can be fetched.

    Attributes
    ----------
    id : str
        Name of the checkpoint.
    network : str
        Its network.
    size : int
        Bytes of its zip file, as `CheckpointStore.export` writes it.
    sha256 : str
        Hash of the zip file, in hexadecimal digits.
    url : str
        Where the zip file is: an ``http`` or ``https`` URL, or a path; a relative one begins at
        the catalogue.
    description, licence : str
        Sentences for the user.

    Raises
    ------
    CheckpointError
        If a value is not possible.
    """

    id: str
    network: str
    size: int
    sha256: str
    url: str
    description: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        if problem := name_problem(self.id):
            raise CheckpointError(f"{self.id[:120]!r} cannot name a checkpoint: {problem}.")
        if self.size < 1:
            raise CheckpointError(f"{self.id} has a size of {self.size} bytes.")
        if not re.fullmatch(r"[0-9a-fA-F]{64}", self.sha256):
            raise CheckpointError(f"{self.id} has no SHA-256 of 64 hexadecimal digits.")
        if not self.url:
            raise CheckpointError(f"{self.id} has no address.")


@dataclass(frozen=True)
class _File:
    """What the JSON file holds."""

    format: int
    checkpoints: tuple[Entry, ...]


@dataclass(frozen=True)
class Catalogue:
    """The checkpoints that can be fetched.

    Attributes
    ----------
    address : str
        URL or path of the catalogue.
    entries : tuple of Entry
        In the order of the file.
    """

    address: str
    entries: tuple[Entry, ...]

    def find(self, name: str) -> Entry:
        """Return the entry of a checkpoint.

        Raises
        ------
        CheckpointError
            If there is none; the message lists those with a similar name, or else all.
        """
        names = [entry.id for entry in self.entries]
        if name in names:
            return self.entries[names.index(name)]
        near = get_close_matches(name, names, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(names)}."
        if not names:
            hint = self.empty_text
        raise CheckpointError(f"No checkpoint {printable(name, 100)!r} can be fetched. {hint}")

    @property
    def empty_text(self) -> str:
        """A sentence on why nothing can be fetched, or nothing if something can."""
        if self.entries:
            return ""
        if self.address == str(SHIPPED):
            return (
                "This version of SegLite has no release with further checkpoints yet. "
                f"{ENVIRONMENT_VARIABLE} can name another catalogue, a file or a URL."
            )
        return f"The catalogue {self.address} is empty."

    def place(self, entry: Entry) -> str:
        """Return the URL of an entry's file, or its path.

        Raises
        ------
        CheckpointError
            If a catalogue from the web names a file of this computer.
        """
        if is_url(entry.url):
            return entry.url
        if not is_url(self.address):
            return str(Path(self.address).parent / entry.url)
        place = urljoin(self.address, entry.url)
        if not is_url(place):
            raise CheckpointError(f"{entry.id} has the address {place!r:.200}, not one of the web.")
        return place


def read_catalogue(address: str | Path | None = None, stop: Stop = never) -> Catalogue:
    """Read a catalogue.

    Parameters
    ----------
    address : str or Path, optional
        Of a file, or a URL; that of ``SEGLITE_CATALOGUE`` or else of the one that comes with the
        package if not given.
    stop : callable
        Once it returns True, `Cancelled` is raised.

    Raises
    ------
    CheckpointError
        If there is none at the address, or it is not valid.
    Cancelled
        If `stop` returned True.

    Examples
    --------
    >>> [entry.id for entry in read_catalogue().entries]  # doctest: +SKIP
    ['general-m2snet-full']
    """
    place = str(address or os.environ.get(ENVIRONMENT_VARIABLE) or SHIPPED)
    if not is_url(place):
        place = os.path.expanduser(place)
    blob = b""
    for piece in stream(place, stop):
        blob += piece
        if len(blob) > LARGEST:
            raise CheckpointError(f"{place} is too large for a catalogue.")
    return Catalogue(place, parse(blob, place))


def parse(blob: bytes, place: str) -> tuple[Entry, ...]:
    """Return the entries in the content of a catalogue; errors name its place."""
    try:
        found = parse_json(blob, _File)
    except ValueError as error:
        raise CheckpointError(f"{place} is no catalogue of checkpoints: {error}.") from error
    if found.format != FORMAT:
        raise CheckpointError(
            f"{place} was written by another version of SegLite. Update SegLite to use it."
        )
    names = [entry.id.lower() for entry in found.checkpoints]
    if twice := {name for name in names if names.count(name) > 1}:
        raise CheckpointError(f"{place} lists {', '.join(sorted(twice))} more than once.")
    return found.checkpoints


def as_json(entries: tuple[Entry, ...]) -> str:
    """Return entries as the text of a catalogue."""
    data = {"format": FORMAT, "checkpoints": [asdict(entry) for entry in entries]}
    return json.dumps(data, indent=2) + "\n"
