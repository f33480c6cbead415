"""Settings of the whole process: memory allocator, signals, output, collection, import guards.

Only applications call these functions: the ``seglite`` command and the napari dock. A library
call never does, so that segmenting in a notebook leaves the notebook's process as it was.
"""

from __future__ import annotations

import codecs
import ctypes
import gc
import getpass
import importlib.util
import io
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from src_models import Notice

# glibc's parameters (malloc.h), and their values while a network runs and afterwards.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -3, -4, -8
_LARGEST = 2**31 - 1
_KEEPING = {_ARENA_MAX: 1, _MMAP_MAX: 0, _TRIM_THRESHOLD: _LARGEST}
_USUAL = {_ARENA_MAX: 0, _MMAP_MAX: 65536, _TRIM_THRESHOLD: 2**26, _MMAP_THRESHOLD: 2**25}

_allocator_lock, _keepers = Lock(), 0
_import_lock, _imports = Lock(), 0


# ------------------------------------------------------------------ memory
def share_main_arena() -> None:
    """Let the next thread allocate from the main arena, where freed memory can be kept.

    Call it before the thread starts, and `unshare_main_arena` at its end. It has no effect on a
    thread that reuses the arena of one that ended, nor on systems without glibc.
    """
    library = _glibc()
    if library is not None:
        library.mallopt(_ARENA_MAX, 1)


@contextmanager
def keep_freed_memory() -> Iterator[None]:
    """Keep freed memory with the process while a network runs on the CPU, then return it.

    The feature maps of a tile take tens of megabytes. By default glibc asks the system for each
    of them and returns it at once, and the system clears every page again, which takes longer
    than the convolutions. The context may be entered from several threads; the last to leave
    restores glibc's defaults and returns what is free. A gap below memory still in use keeps its
    addresses: a later block that fits into it stays until the last has left again. Without glibc
    nothing changes, and in a thread with an arena of its own little does, see `share_main_arena`.

    Examples
    --------
    >>> with keep_freed_memory():  # doctest: +SKIP
    ...     segment(image, request)
    """
    global _keepers
    library = _glibc()
    if library is None:
        yield
        return
    with _allocator_lock:
        _keepers += 1
        if _keepers == 1:
            _set(library, _KEEPING)
    try:
        yield
    finally:
        with _allocator_lock:
            _keepers -= 1
            if _keepers == 0:
                _set(library, _USUAL)
                library.malloc_trim(0)


def unshare_main_arena() -> None:
    """Undo `share_main_arena`, at the end of its thread; `keep_freed_memory` does so by itself."""
    library = _glibc()
    if library is not None:
        with _allocator_lock:
            if _keepers == 0:
                library.mallopt(_ARENA_MAX, _USUAL[_ARENA_MAX])


def _set(library: Any, parameters: dict[int, int]) -> None:
    for name, value in parameters.items():
        library.mallopt(name, value)


def _glibc() -> Any:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None


# ------------------------------------------------------------------ the end
@contextmanager
def exit_when_terminated() -> Iterator[None]:
    """Let SIGTERM end the program as an exception does, so that it removes its temporary files.

    The exit code is 143, as after the signal itself. A second signal ends the program at once.
    Only the main thread can enter the context with effect, and only a signal that nobody handles
    is handled.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def end(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise SystemExit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


# ------------------------------------------------------------------ the account
def name_account() -> None:
    """Give the account a name if it has none, as in containers: MONAI asks on import, and fails."""
    try:
        getpass.getuser()
    except (KeyError, OSError, ImportError):
        os.environ["LOGNAME"] = f"uid{os.getuid()}" if hasattr(os, "getuid") else "user"


# ------------------------------------------------------------------ output
@contextmanager
def plain_messages() -> Iterator[None]:
    """Show what the program tells its user as sentences, and nothing of what its libraries tell.

    Notices (`src_models.Notice`), log records of the program and errors in threads go to standard
    error, without source lines or tracebacks. Python's own ``-W`` and ``PYTHONWARNINGS`` bring all
    warnings back.
    """
    nothing, sentences = logging.NullHandler(), _Sentences(logging.WARNING)
    root, own = logging.getLogger(), logging.getLogger(__package__.partition(".")[0])
    library = logging.getLogger("nibabel.global")  # the only one that prints by itself
    before = library.disabled, threading.excepthook, sys.unraisablehook
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
            warnings.simplefilter("default", Notice)
            warnings.showwarning = lambda message, *_, **__: say(str(message))
        root.addHandler(nothing)
        own.addHandler(sentences)
        library.disabled = True
        threading.excepthook = _say_error
        sys.unraisablehook = lambda _: None  # of an object that went; nothing depends on it
        try:
            yield
        finally:
            library.disabled, threading.excepthook, sys.unraisablehook = before
            own.removeHandler(sentences)
            root.removeHandler(nothing)


class _Sentences(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


def _say_error(error: threading.ExceptHookArgs) -> None:
    say(f"unexpected {error.exc_type.__name__} beside the work: {error.exc_value}")


def say(sentence: str) -> None:
    """Print a sentence on standard error, in place of a line of progress if there is one."""
    if sys.stderr is None:  # closed
        return
    start = "\r\x1b[K" if sys.stderr.isatty() else ""
    print(f"{start}seglite: {sentence}", file=sys.stderr)


@contextmanager
def any_name_printable() -> Iterator[None]:
    """Let standard output take every file name.

    Bytes of a name that are no text are printed as they are, so that other programs find the file;
    what the encoding of a terminal does not have is escaped. Standard error does so already.
    """
    stream = sys.stdout
    if not isinstance(stream, io.TextIOWrapper):
        yield
        return
    codecs.register_error("seglite", _as_bytes_or_escaped)
    before = stream.errors
    stream.reconfigure(errors="seglite")
    try:
        yield
    finally:
        stream.reconfigure(errors=before)


def _as_bytes_or_escaped(error: UnicodeError) -> tuple[str | bytes, int]:
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.backslashreplace_errors(error)


def discard_output() -> None:
    """Drop what standard output and error cannot take any more, as after the end of a pipe.

    Otherwise the interpreter tries to write it once more when it exits, and complains.
    """
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


# ------------------------------------------------------------------ imports
@contextmanager
def uncollected() -> Iterator[None]:
    """Import modules without garbage collection, and exempt their objects from later ones.

    An import creates some hundred thousand objects and so triggers full collections; once torch
    is loaded, each of them stops every thread for a quarter of a second.
    """
    global _imports
    with _import_lock:
        if _imports == 0:
            gc.disable()
        _imports += 1
    try:
        yield
    finally:
        with _import_lock:
            _imports -= 1
            if _imports == 0:
                gc.freeze()
                gc.enable()


def load_torch() -> None:
    """Import torch in the calling thread, and prepare for the import of MONAI."""
    name_account()
    warnings.filterwarnings("ignore", module=r"monai\b")  # napari would show them to the user
    if "torch" not in sys.modules:
        with uncollected():
            preload_torch()
            import torch  # noqa: F401


def load_training() -> None:
    """Import the modules that training needs in addition to torch."""
    if "monai.transforms" not in sys.modules:
        with uncollected():
            import monai.transforms  # noqa: F401
            import torch

            # The first step of an optimiser imports as much again.
            torch.optim.AdamW([torch.zeros(1, requires_grad=True)]).step()


def preload_torch() -> None:
    """Load torch's shared libraries before ``import torch``, in the calling thread.

    The import loads hundreds of megabytes while it holds Python's global lock, so the window
    freezes even when another thread imports. A foreign function called through ctypes does not
    hold the lock; the import then finds the libraries loaded. Where this does not work, only the
    smoothness is lost.
    """
    if "torch" in sys.modules or sys.platform == "win32":
        return
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return
    suffix = "dylib" if sys.platform == "darwin" else "so"
    library = Path(spec.origin).parent / "lib" / f"libtorch_python.{suffix}"
    try:
        dlopen = ctypes.CDLL(None).dlopen
    except (AttributeError, OSError):
        return
    dlopen.restype, dlopen.argtypes = ctypes.c_void_p, (ctypes.c_char_p, ctypes.c_int)
    dlopen(os.fsencode(library), os.RTLD_NOW)


def keep_triton_out() -> None:
    """Block the import of Triton in a window that is drawn with the help of LLVM.

    Mesa's OpenGL for AMD cards and for computers without a GPU brings an LLVM of its own, and
    Triton's, loaded after it, ends the process. Linux builds of torch bring Triton and import it
    when an optimiser makes its first step, even on the CPU.
    """
    if sys.platform != "linux" or "triton" in sys.modules:
        return
    if "libLLVM" in Path("/proc/self/maps").read_text():
        sys.modules["triton"] = None  # type: ignore[assignment]
