"""Run Python code in processes of its own, whose memory goes with them."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Lock

from .stopping import Stop

_processes: dict[tuple[str, str], subprocess.Popen[bytes]] = {}
_lock = Lock()


def start(code: str, argument: str = "", lowest: bool = False) -> subprocess.Popen[bytes]:
    """Start a process, unless this program started the same one before.

    Parameters
    ----------
    code : str
        Python code, which finds what this program can import.
    argument : str
        Its ``sys.argv[1]``.
    lowest : bool
        Whether it has the lowest priority; elsewhere than on Windows, the code sees to that.

    Returns
    -------
    Popen
        The process, which may have ended; it is ended with this program.

    Raises
    ------
    OSError
        If no process can be started.
    """
    if "python" not in Path(sys.executable or "").name.lower():
        raise OSError("this program brings no Python interpreter of its own")
    with _lock:
        if (code, argument) not in _processes:
            path = os.pathsep.join(filter(None, map(os.path.abspath, sys.path)))
            _processes[code, argument] = subprocess.Popen(
                [sys.executable, "-P", "-c", code, argument],
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                creationflags=_flags(lowest),
            )
        return _processes[code, argument]


def wait(process: subprocess.Popen[bytes], stop: Stop) -> bool:
    """Wait until a process ends, or `stop` returns True; return whether it ended.

    Parameters
    ----------
    process : Popen
        As `start` returns it; it goes on if the wait is stopped.
    stop : callable
        Asked several times a second.
    """
    while True:
        if stop():
            return False
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
            return True


@atexit.register
def _end_all() -> None:
    for process in _processes.values():
        process.kill()


def _flags(lowest: bool) -> int:
    """Return the flags that start a process without a window."""
    if sys.platform != "win32":
        return 0
    priority = subprocess.IDLE_PRIORITY_CLASS if lowest else 0
    return subprocess.CREATE_NO_WINDOW | priority
