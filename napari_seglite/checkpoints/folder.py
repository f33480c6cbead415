"""A checkpoint as a folder: its card on disk, and what a folder of checkpoints holds."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from ..formats import read_json, recover, replacing
from .card import CheckpointInfo
from .lineage import circles

CARD, WEIGHTS, REPLAY = "card.json", "weights.safetensors", "replay.npz"
# Sizes in bytes above which a card and a replay buffer are not read.
LARGEST_CARD, LARGEST_REPLAY = 10_000_000, 200_000_000
# A folder with a checkpoint that is being deleted.
_DELETED = ".deleted-"


@dataclass(frozen=True)
class Scan:
    """What the folders of checkpoints hold.

    Attributes
    ----------
    infos : list of CheckpointInfo
        Cards of the usable checkpoints, built-in ones first.
    damaged : dict
        For each other folder, by name, the reason why its checkpoint cannot be used.
    """

    infos: list[CheckpointInfo]
    damaged: dict[str, str]


def scan(built_in: Path, own: Path) -> Scan:
    """Read all cards of the built-in checkpoints and of the user's own."""
    infos: list[CheckpointInfo] = []
    damaged: dict[str, str] = {}
    for root in (built_in, own):
        try:
            paths = checkpoint_folders(root)
        except OSError as error:
            damaged[str(root)] = f"The folder {root} cannot be read: {error.strerror}."
            continue
        for path in paths:
            try:
                if root != built_in and is_file(built_in / path.name / CARD):
                    raise CheckpointError(
                        f"{path} has the name of a checkpoint that comes with SegLite."
                    )
                infos.append(read_info(path))
            except CheckpointError as error:
                damaged[path.name] = str(error)
    round_trips = circles({info.id: info.parent for info in infos})
    for name, circle in round_trips.items():
        damaged[name] = (
            f"Checkpoint {name} is said to be trained from itself: {' from '.join(circle)}."
        )
    return Scan([info for info in infos if info.id not in round_trips], damaged)


def checkpoint_folders(root: Path) -> list[Path]:
    """Return the folders in a folder of checkpoints, without those of unfinished writing.

    Raises
    ------
    OSError
        If the folder cannot be read; a missing one is empty.
    """
    if not root.is_dir():
        return []
    return sorted(p for p in root.iterdir() if not p.name.startswith(".") and p.is_dir())


def is_file(path: Path) -> bool:
    """Whether there is such a file; False for a name that cannot be one."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long
        return False


# ------------------------------------------------------------------ cards
def read_card(path: Path, **changes: Any) -> tuple[CheckpointInfo, dict[str, Any]]:
    """Read the card in any folder.

    Parameters
    ----------
    path : Path
        The folder.
    **changes
        Fields of the card to change.

    Returns
    -------
    info : CheckpointInfo
        The card.
    data : dict
        Its content as JSON data, with fields that only later versions know.

    Raises
    ------
    CheckpointError
        If the card is missing, too large, damaged, or not usable here.
    """
    read: dict[str, Any] = read_json(path / CARD, dict[str, Any], LARGEST_CARD, CheckpointError)
    data = {**read, **changes}
    return parse(data, path / CARD), data


def parse(data: Mapping[str, Any], source: Path) -> CheckpointInfo:
    """Return the card that a file describes; errors name the file and keep their type."""
    try:
        return CheckpointInfo.from_dict(data)
    except CheckpointError as error:
        raise type(error)(f"{source}: {error}") from error


def read_info(path: Path) -> CheckpointInfo:
    """Return the card in a folder of a store, where the folder has the checkpoint's name.

    Raises
    ------
    CheckpointError
        As `read_card`, or if the card has another name.
    """
    info, _ = read_card(path)
    if info.id != path.name:
        raise CheckpointError(
            f"{path / CARD} belongs to checkpoint {info.id}, but its folder is called "
            f"{path.name}. Rename the folder."
        )
    return info


def write_card(path: Path, data: Mapping[str, Any]) -> None:
    """Write a card into a checkpoint's folder, in one step."""
    with replacing(path / CARD) as scratch:
        scratch.write_text(as_json(data), "utf-8")


def as_json(data: Mapping[str, Any]) -> str:
    """Return a card as the text of its file."""
    return json.dumps(data, indent=2) + "\n"


def change_parents(root: Path, change: Callable[[str], str | None]) -> list[str]:
    """Change the parents on the cards of a folder's checkpoints.

    Parameters
    ----------
    root : Path
        Folder of the user's own checkpoints. Links that lead out of it are left alone.
    change : callable
        Takes a parent's name and returns the new one, or None for no parent.

    Returns
    -------
    list of str
        Names of the changed checkpoints.
    """
    changed = []
    for path in checkpoint_folders(root):
        if path.is_symlink():
            continue
        try:
            info, data = read_card(path)
        except CheckpointError:
            continue
        if info.parent is not None and (after := change(info.parent)) != info.parent:
            write_card(path, {**data, "parent": after})
            changed.append(path.name)
    return changed


# ------------------------------------------------------------------ folders
def copy(path: Path, target: Path, **changes: Any) -> CheckpointInfo:
    """Copy a checkpoint to a new folder, which appears whole or not at all.

    Parameters
    ----------
    path, target : Path
        The folders; nothing may be at the second.
    **changes
        Fields of the card to change.

    Raises
    ------
    FileExistsError
        If there is something at `target`.
    CheckpointError
        If the card cannot be read.
    """
    info, data = read_card(path, **changes)
    with replacing(target, new=True) as scratch:
        shutil.copytree(path, scratch, symlinks=True)
        write_card(scratch, data)
    return info


def remove(path: Path) -> None:
    """Remove a checkpoint's folder, which disappears in one step; of a link, the link alone."""
    hidden = Path(tempfile.mkdtemp(prefix=_DELETED, dir=path.parent))
    path.rename(hidden / path.name)
    shutil.rmtree(hidden, ignore_errors=True)


def try_writing(root: Path) -> None:
    """Write and remove a file in a folder of checkpoints, which is made if necessary.

    Raises
    ------
    OSError
        If that fails.
    """
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=root, buffering=0) as file:
        file.write(b"\0")


def tidy(root: Path) -> None:
    """Finish what programs that were killed left behind in a folder of checkpoints."""
    recover(root)
    for path in root.glob(f"{_DELETED}*"):
        shutil.rmtree(path, ignore_errors=True)
