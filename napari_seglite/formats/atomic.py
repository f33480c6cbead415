"""Atomic and durable writing: a file or folder appears whole or not at all, and then stays."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

# A folder of unfinished files, with the id of the process that writes them, and an old folder that
# waits to be removed, with its name.
_SCRATCH, _OLD = ".writing-", ".replaced-"
# Folders of more files than this are brought to the disk with all others in one call.
_MANY = 64


@contextmanager
def replacing(target: Path, *, new: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `target`; on success, move the result to `target`.

    The path has the target's name and suffix, and a file or a folder can be written there. The
    result is on disk before it gets its name. After an exception nothing is left behind and an
    existing target is untouched. If the program is killed, the old or the new one is there, except
    between two renames of a folder; `recover` brings the old one back then.

    Parameters
    ----------
    target : Path
        Of the file or folder.
    new : bool
        Whether the target is a folder that must not exist yet. Of two programs that create it at
        once, one succeeds.

    Raises
    ------
    FileExistsError
        If `new` and the target exists.
    """
    if new and target.exists():
        raise FileExistsError(f"{target} exists already.")
    with scratch_folder(target.parent) as scratch:
        temporary = scratch / target.name
        yield temporary
        sync(temporary)
        if new:
            _create(temporary, target)
        elif temporary.is_dir() and target.exists():
            _exchange(temporary, target)
        else:
            os.replace(temporary, target)
        sync_folder(target.parent)


@contextmanager
def scratch_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder for unfinished files inside another one, and remove it in the end.

    If the program is killed, `recover` removes it.

    Parameters
    ----------
    folder : Path
        Is made if necessary.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        dir=folder, prefix=f"{_SCRATCH}{os.getpid()}-", ignore_cleanup_errors=True
    ) as scratch:
        yield Path(scratch)


def _create(temporary: Path, target: Path) -> None:
    try:
        os.rename(temporary, target)  # fails if there is a folder with files
    except OSError as error:
        if target.exists():
            raise FileExistsError(f"{target} exists already.") from error
        raise


def _exchange(temporary: Path, target: Path) -> None:
    """Put a folder in the place of another, which takes two renames."""
    old = target.with_name(_OLD + target.name)
    _remove(old)
    os.rename(target, old)
    try:
        os.rename(temporary, target)
    except OSError:
        os.rename(old, target)
        raise
    sync_folder(target.parent)
    _remove(old)


def recover(folder: Path, *, alone: bool = False) -> None:
    """Tidy up after a program that was killed while it wrote into a folder.

    Old folders whose replacement never arrived get their names back; unfinished files go.

    Parameters
    ----------
    folder : Path
        Whose files and folders were written with `replacing`; may be missing.
    alone : bool
        Whether no other program writes there now. Otherwise files of running processes stay.
    """
    for old in folder.glob(f"{_OLD}*"):
        target = old.with_name(old.name.removeprefix(_OLD))
        with suppress(OSError):
            if target.exists():
                _remove(old)
            elif not _unfinished(folder, target.name, alone):
                os.rename(old, target)
    for scratch in folder.glob(f"{_SCRATCH}*"):
        if alone or not _running(scratch.name):
            _remove(scratch)


def is_unfinished(path: Path) -> bool:
    """Whether `replacing` made a file or folder that is not complete or not needed any more."""
    return path.name.startswith((_SCRATCH, _OLD))


def _unfinished(folder: Path, name: str, alone: bool) -> bool:
    """Whether a running process is about to write a target of this name."""
    scratches = [path for path in folder.glob(f"{_SCRATCH}*") if (path / name).exists()]
    return not alone and any(_running(path.name) for path in scratches)


def _running(scratch: str) -> bool:
    process = re.match(rf"{re.escape(_SCRATCH)}(\d+)-", scratch)
    return process is not None and psutil.pid_exists(int(process[1]))


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        with suppress(OSError):
            path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)


# ------------------------------------------------------------------ durability
def sync(path: Path) -> None:
    """Wait until a file, or a folder with everything in it, is on disk."""
    if not path.is_dir():
        _sync_file(path)
        return
    inside = list(path.rglob("*"))
    if len(inside) > _MANY and hasattr(os, "sync"):
        os.sync()
        return
    for each in inside:
        if each.is_file():
            _sync_file(each)
        elif each.is_dir():
            sync_folder(each)
    sync_folder(path)


def _sync_file(path: Path) -> None:
    # Windows flushes only what is open for writing.
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on disk; Windows has no such call."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:  # network folders that cannot
        pass
    finally:
        os.close(descriptor)
