"""Repair of a folder of checkpoints. Nothing is deleted."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..errors import CheckpointError
from ..formats import safe_name, taken
from .card import NotUsableHereError, is_id
from .folder import (
    CARD,
    change_parents,
    checkpoint_folders,
    copy,
    is_file,
    read_card,
    remove,
    tidy,
    write_card,
)
from .lineage import circles

# Beside the folder of checkpoints; takes those whose cards cannot be read.
ASIDE = "damaged"


def repair(built_in: Path, own: Path) -> list[str]:
    """Repair the user's own checkpoints, see `CheckpointStore.repair`.

    Parameters
    ----------
    built_in, own : Path
        Folders of the built-in checkpoints and of the user's own.

    Returns
    -------
    list of str
        A sentence for each thing that was done.
    """
    tidy(own)
    done: list[str] = []
    for path in checkpoint_folders(own):
        try:
            info, data = read_card(path)
        except NotUsableHereError:
            continue
        except CheckpointError as error:
            if isinstance(error.__cause__, OSError):  # of the disk, and may pass
                continue
            done.append(_set_aside(path, str(error)))
            continue
        if path.is_symlink():
            continue
        if not is_id(path.name) or is_file(built_in / path.name / CARD):
            done.append(_rename(path, built_in))
        elif info.id != path.name:
            write_card(path, {**data, "id": path.name})
            _follow(own, info.id, path.name)
            done.append(f"The card of {path.name} said {info.id}; it has the folder's name now.")
    return [*done, *_open_circles(own)]


def _set_aside(path: Path, reason: str) -> str:
    folder = path.parent.parent / ASIDE
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / _free(path.name, (p.name for p in folder.iterdir()))
    path.rename(target)
    return f"{path.name} was moved to {target}. {reason}"


def _rename(path: Path, built_in: Path) -> str:
    """Give a checkpoint a name that can be an id and that no built-in checkpoint has."""
    names = [p.name for root in (built_in, path.parent) if root.is_dir() for p in root.iterdir()]
    new = _free(safe_name(path.name, "checkpoint"), names)
    before, _ = read_card(path)
    copy(path, path.with_name(new), id=new)
    if not is_file(built_in / before.id / CARD):
        _follow(path.parent, before.id, new)
    remove(path)
    return f"{path.name} is called {new} now."


def _follow(own: Path, name: str, new: str) -> None:
    """Let children of a checkpoint that is no longer there under a name follow it."""
    if not is_file(own / name / CARD):
        change_parents(own, lambda parent: new if parent == name else parent)


def _free(name: str, others: Iterable[str]) -> str:
    known, number, free = list(others), 1, name
    while taken(free, known):
        number += 1
        free = f"{name}-{number}"
    return free


def _open_circles(own: Path) -> list[str]:
    """Clear the parents of checkpoints that descend from themselves."""
    cards = {}
    for path in checkpoint_folders(own):
        with suppress(CheckpointError):
            cards[path] = read_card(path)[1]
    done = []
    for name, circle in circles({p.name: data.get("parent") for p, data in cards.items()}).items():
        write_card(own / name, {**cards[own / name], "parent": None})
        done.append(
            f"{name} was said to be trained from itself ({' from '.join(circle)}); its parent is "
            "forgotten."
        )
    return done
