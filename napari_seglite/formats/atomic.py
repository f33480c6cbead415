"""Atomic writing: a file or folder appears whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; on success, move the result to `target`.

    The path has the target's name and suffix, and a file or a folder can be written there. After
    an exception nothing is left behind and an existing target is untouched.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".writing-") as scratch:
        temporary = Path(scratch) / target.name
        yield temporary
        if temporary.is_dir() and target.exists():
            # A folder cannot be replaced in one step: the old one waits in the scratch folder.
            old = Path(scratch) / "old"
            shutil.move(target, old)
        os.replace(temporary, target)
