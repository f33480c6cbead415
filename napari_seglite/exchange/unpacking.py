"""A package of a model, unpacked without trusting it: names, sizes, hashes."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import CheckpointError
from ..formats import open_zip, read_member

DESCRIPTIONS = ("rdf.yaml", "bioimageio.yaml")
# Bytes of a file in a package, and of its description, above which they are not unpacked.
LARGEST, LARGEST_TEXT = 2_000_000_000, 5_000_000


def unpack(source: Path, folder: Path) -> dict[str, Any]:
    """Unpack a package into an empty folder, and check the hashes of its files.

    Parameters
    ----------
    source : Path
        The zip file.
    folder : Path
        Gets its files; names that lead out of it are refused.

    Returns
    -------
    dict
        The content of its description.

    Raises
    ------
    CheckpointError
        If it is no such package, or a file in it is missing, too large or damaged.
    """
    try:
        with open_zip(source) as archive:
            names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
            name = next((name for name in DESCRIPTIONS if name in names), "")
            if not name:
                raise ValueError(f"it holds neither {' nor '.join(DESCRIPTIONS)}")
            raw = _parse(read_member(archive, name, LARGEST_TEXT))
            for member in names:
                path = PurePosixPath(member.replace("\\", "/"))
                if path.is_absolute() or ".." in path.parts or ":" in member:
                    raise ValueError(f"the name {member[:100]!r} leads out of the package")
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(read_member(archive, member, LARGEST))
        for entry in _sources(raw):
            _check(entry, folder)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{source} is no BioImage.IO package: {error}.") from error
    if raw.get("type") != "model":
        raise CheckpointError(f"{source} describes no model, but: {str(raw.get('type'))[:100]}.")
    return raw


def _parse(content: bytes) -> dict[str, Any]:
    from ruyaml import YAML

    try:
        raw = YAML(typ="safe", pure=True).load(content.decode())
    except Exception as error:  # of many classes
        raise ValueError("its description is not YAML") from error
    if not isinstance(raw, dict):
        raise ValueError("its description is empty")
    return raw


def _sources(value: Any) -> list[dict[str, Any]]:
    """Return every entry of a description that names a file."""
    if isinstance(value, list):
        return [entry for each in value for entry in _sources(each)]
    if not isinstance(value, dict):
        return []
    own = [value] if isinstance(value.get("source"), str) else []
    return own + [entry for each in value.values() for entry in _sources(each)]


def _check(entry: dict[str, Any], folder: Path) -> None:
    """Check that a file is there and has the hash that the description states."""
    name, wanted = entry["source"], entry.get("sha256")
    if "://" in name:
        return  # nothing is fetched; whoever needs it asks for it
    file = folder / name
    if not file.is_file() or folder.resolve() not in file.resolve().parents:
        raise ValueError(f"the file {name} is missing")
    if wanted and hashlib.sha256(file.read_bytes()).hexdigest() != str(wanted).lower():
        raise ValueError(f"the file {name} is damaged: its SHA-256 is not the stated one")
