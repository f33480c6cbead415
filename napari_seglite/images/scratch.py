"""Temporary folders that outlive neither their array nor, for long, their process."""

from __future__ import annotations

import atexit
import hashlib
import os
import platform
import re
import shutil
import tempfile
from pathlib import Path
from threading import Lock

import psutil

# Folders are named after the process and the computer, since several computers may share them.
_COMPUTER = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
_NAME = re.compile(rf"seglite-(\d+)-{_COMPUTER}-\w+")
# Seconds by which clocks of files and of processes may differ.
_TOLERANCE = 2.0

_lock, _swept_by = Lock(), 0


def scratch_folder() -> Path:
    """Return a new temporary folder, which is removed when the process exits at the latest.

    The first call of a process also removes the folders of processes that were killed.
    """
    global _swept_by
    with _lock:
        if _swept_by != os.getpid():
            _swept_by = os.getpid()
            atexit.register(_remove_own, os.getpid())
            sweep()
    return Path(tempfile.mkdtemp(prefix=f"seglite-{os.getpid()}-{_COMPUTER}-"))


def sweep() -> None:
    """Remove this user's temporary folders of processes of this computer that ended."""
    with os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            name = _NAME.fullmatch(entry.name)
            try:
                if name and _is_own_folder(entry) and _ended(int(name[1]), entry.stat().st_mtime):
                    shutil.rmtree(entry.path, ignore_errors=True)
            except OSError:
                continue  # another process removed it


def _remove_own(process: int) -> None:
    """Remove the folders of this process, unless it is a fork of the one that made them."""
    if process == os.getpid():
        for folder in Path(tempfile.gettempdir()).glob(f"seglite-{process}-{_COMPUTER}-*"):
            shutil.rmtree(folder, ignore_errors=True)


def _is_own_folder(entry: os.DirEntry[str]) -> bool:
    own = not hasattr(os, "getuid") or entry.stat(follow_symlinks=False).st_uid == os.getuid()
    return own and entry.is_dir(follow_symlinks=False)


def _ended(process: int, written: float) -> bool:
    """Whether a process ended; a later one may have its id, and then began after `written`."""
    try:
        began = float(psutil.Process(process).create_time())
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False
    return began > written + _TOLERANCE
