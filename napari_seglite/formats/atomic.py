"""Files appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Hand out a temporary name beside `target` and move what is written there into place.

    The name keeps the target's suffix. After an exception nothing is left and an older
    target is untouched. A folder may be written as well as a file.
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
