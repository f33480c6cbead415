"""A layer below the file API that fails, tears or delays one operation of a program.

Counts what changes files inside one folder: writes, renames, removals, new folders, fsync.
"""

import builtins
import io
import os
import time
from contextlib import ExitStack, contextmanager
from unittest.mock import patch


class Died(BaseException):
    """The program ends here: whatever it still tries, nothing reaches the disk."""


class Faults:
    """Does something to the n-th operation.

    Parameters
    ----------
    root : Path
        Operations on paths inside count, and those relative to an open folder.
    at : int
        Number of the operation, from 1; 0 for none.
    how : str
        ``"die"``: nothing happens from then on, a write being half done. ``"fail"``: the disk is
        full, once. ``"delay"``: it takes a while.
    """

    def __init__(self, root, at=0, how="die"):
        self.root, self.at, self.how = str(root), at, how
        self.count, self.dead, self.log = 0, False, []

    def happens(self, name, path, half=lambda: None):
        """Count an operation, and let it fail if it is its turn."""
        if self.dead:
            raise Died
        if not self._inside(path):
            return
        self.count += 1
        self.log.append((name, os.path.basename(str(path))))
        if self.count != self.at:
            return
        if self.how == "delay":
            time.sleep(0.02)
            return
        half()
        if self.how == "fail":
            raise OSError(28, "No space left on device")
        self.dead = True
        raise Died

    def _inside(self, path):
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        path = os.fspath(path)
        return not os.path.isabs(path) or path.startswith(self.root)

    @contextmanager
    def active(self):
        """Stand between the program and its files."""
        with ExitStack() as stack:
            for name in ("replace", "rename", "unlink", "rmdir", "mkdir", "truncate", "fsync"):
                real = getattr(os, name)

                def wrapped(path, *arguments, real=real, name=name, **options):
                    self.happens(name, path)
                    return real(path, *arguments, **options)

                stack.enter_context(patch.object(os, name, wrapped))
            real_open = io.open

            def opened(path, mode="r", *arguments, **options):
                writes = any(letter in mode for letter in "wax+")
                if not writes or isinstance(path, int) or not self._inside(path):
                    return real_open(path, mode, *arguments, **options)
                self.happens("open", path)
                return _File(real_open(path, mode, *arguments, **options), path, self)

            stack.enter_context(patch.object(io, "open", opened))
            stack.enter_context(patch.object(builtins, "open", opened))
            yield self


class _File:
    """A file that is written through `Faults`."""

    def __init__(self, file, path, faults):
        self._file, self._path, self._faults = file, path, faults

    def write(self, data):
        def half():
            self._file.write(data[: len(data) // 2])
            self._file.flush()

        self._faults.happens("write", self._path, half)
        written = self._file.write(data)
        self._file.flush()
        return written

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    def __iter__(self):
        return iter(self._file)
