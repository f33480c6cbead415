"""Load the engine in a thread of its own while nobody waits for it."""

from __future__ import annotations

import logging
from threading import Lock, Thread, main_thread

from ...checkpoints import CheckpointStore
from ...inference import begin_compiling, preload
from ...runtime import process, wait_for_kernels

log = logging.getLogger(__name__)
_lock, _begun = Lock(), False


def preload_soon(store: CheckpointStore, checkpoint: str) -> None:
    """Load torch and what a checkpoint needs, once per program, so that the first job does not.

    A job that starts meanwhile waits for the rest of it, as it would for its own.

    Parameters
    ----------
    store : CheckpointStore
        Store of the checkpoint.
    checkpoint : str
        Id of the one that is chosen.
    """
    global _begun
    with _lock:
        if _begun:
            return
        _begun = True
    process.share_main_arena()
    Thread(target=_load, args=(store, checkpoint), name="seglite-preload").start()


def _load(store: CheckpointStore, checkpoint: str) -> None:
    try:
        process.keep_triton_out()
        process.load_torch()
        with process.uncollected():
            kernels = begin_compiling(store, checkpoint)
        for each in kernels:  # garbage is collected meanwhile
            wait_for_kernels(each, _ends)
        with process.uncollected():
            preload(store, checkpoint)
    except Exception:  # the first job meets it again, and tells the user
        log.debug("Preloading failed", exc_info=True)
    finally:
        process.unshare_main_arena()


def _ends() -> bool:
    """Whether the program ends, which waits for its threads."""
    return not main_thread().is_alive()
