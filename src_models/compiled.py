"""Numba's compiler, with its cache in the first folder that can be written."""

from __future__ import annotations

import inspect
import os
import stat
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import platformdirs
from numba import config as _config
from numba import njit
from numba.core.caching import FunctionCache
from numba.core.runtime.nrt import rtsys

from .notices import Notice

# Numba's type hints do not know its settings.
config: Any = _config
# Of Numba's setting `CACHE_DIR`, which is the whole process's.
_lock = Lock()
# Bytes written to find out whether a folder takes any; a full disk still makes empty files.
_PAGE = 4096


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function for the CPU on its first call; it runs without the GIL.

    The machine code is kept for later processes in the folder that the environment variable
    ``NUMBA_CACHE_DIR`` names, else in ``__pycache__`` beside the function's file, else in the
    user's cache folder, else in a temporary folder that only the user can open. If none of them can
    be written, every process compiles anew, and one warning says so.

    Parameters
    ----------
    function : callable
        Of a module; its source must be within what Numba compiles.
    """
    dispatcher: Any = njit(nogil=True)(function)
    folder = cache_folder(Path(inspect.getfile(function)).parent)
    if not hasattr(dispatcher, "enable_caching"):  # with NUMBA_DISABLE_JIT
        return dispatcher
    if folder is None:
        _warn()
        return dispatcher
    with _lock:
        before, config.CACHE_DIR = config.CACHE_DIR, folder
        try:
            dispatcher._cache = _Cache(function)
        except (OSError, RuntimeError):  # gone since it was tried
            _warn()
        finally:
            config.CACHE_DIR = before
    return dispatcher


def is_compiled(kernel: Any) -> bool:
    """Whether this process or the cache on disk holds the code of a `compiled` function."""
    if kernel.signatures or kernel.stats.cache_path is None:
        return bool(kernel.signatures)
    module = kernel.__module__.rpartition(".")[2]
    return any(Path(kernel.stats.cache_path).glob(f"{module}.{kernel.__name__}-*.nbc"))


def stores() -> bool:
    """Whether compiled code can be kept for other processes."""
    return not config.DISABLE_JIT and cache_folder(Path(__file__).parent) is not None


class _Cache(FunctionCache):  # type: ignore[misc]
    """Numba's cache of a function; what goes wrong with its files costs only time."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            # Stored code needs Numba's runtime alone. Numba's own method loads all that it can
            # compile, too: 100 modules more, and SciPy's linear algebra.
            rtsys.initialize(target_context)
            return self._load_overload(sig, target_context)
        except Exception:  # a damaged pickle may raise any
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError:  # such as a full disk
            _warn()


@cache
def _warn() -> None:
    warnings.warn(
        "Compiled code cannot be stored: neither the program's folder nor your cache folder nor "
        "the temporary folder can be written. Every run compiles it again, for about 10 s. Set "
        "NUMBA_CACHE_DIR to a folder that can be written.",
        Notice,
        stacklevel=2,
    )


# ------------------------------------------------------------------ folders
@cache
def cache_folder(package: Path) -> str | None:
    """Return the folder for compiled code as Numba's `CACHE_DIR` takes it.

    Parameters
    ----------
    package : Path
        The folder of the functions' files.

    Returns
    -------
    str or None
        Empty for ``__pycache__`` in the package; None if no folder can be written.
    """
    if config.CACHE_DIR and _takes_files(Path(config.CACHE_DIR)):
        return str(config.CACHE_DIR)
    if _takes_files(package / "__pycache__"):
        return ""
    with suppress(RuntimeError):  # an account without a home, as in containers
        own = platformdirs.user_cache_path("seglite", False)
        if own.is_absolute() and _takes_files(own):
            return str(own)
    temporary = _private_folder()
    return str(temporary) if temporary and _takes_files(temporary) else None


def _takes_files(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            file.write(bytes(_PAGE))
    except OSError:
        return False
    return True


def _private_folder() -> Path | None:
    """Return a temporary folder that nobody else can write, the same for every process of a user.

    Compiled code is run as it is found, so a folder that somebody else put there is not used.
    """
    user = str(os.geteuid()) if hasattr(os, "geteuid") else "user"
    try:
        folder = Path(tempfile.gettempdir()) / f"seglite-compiled-{user}"
        folder.mkdir(mode=stat.S_IRWXU, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    others = stat.S_IMODE(found.st_mode) & (stat.S_IRWXG | stat.S_IRWXO)
    mine = not hasattr(os, "geteuid") or (found.st_uid == os.geteuid() and not others)
    return folder if mine and stat.S_ISDIR(found.st_mode) else None
