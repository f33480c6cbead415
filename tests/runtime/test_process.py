"""Freed memory stays while a network runs, and goes back afterwards."""

import os
import subprocess
import sys

import pytest

from napari_seglite.runtime import process

ALONE = """
import sys, threading
import psutil, torch
from napari_seglite.runtime import process
SIZE = 400_000_000

def held():
    return psutil.Process().memory_info().rss

def use(size=SIZE):  # takes and frees a large block, as a layer does with a feature map
    torch.ones(size // 4).sum()

def work():
    with process.keep_freed_memory():
        before = held()
        use()
        kept.append(held() - before)
        with process.keep_freed_memory():  # another job beside it
            use()
        kept.append(held() - before)

kept = []
before = held()
if sys.argv[1] == "True":
    process.share_main_arena()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
else:
    work()
# More than once the size, where a block of the same size does not fit into the gap exactly.
assert all(more > 0.8 * SIZE for more in kept), kept
assert held() - before < 0.2 * SIZE
use(4 * SIZE)  # as before: back at once, where it fits into no gap that the job left
assert held() - before < 0.2 * SIZE
"""

SETTINGS = """
import ctypes
from napari_seglite.runtime import process

class Info(ctypes.Structure):  # mallinfo2 of malloc.h
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

library = process._glibc()
library.mallinfo2.restype, library.malloc.restype = Info, ctypes.c_void_p
library.malloc.argtypes, library.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]

def mapped(size=80_000_000):  # whether a block is one of the system's own, which goes back at once
    before = library.mallinfo2().hblks
    block = library.malloc(size)
    found = library.mallinfo2().hblks > before
    library.free(block)
    return found

before = mapped()
with process.keep_freed_memory():
    during = mapped()
assert (before, during, mapped()) == (True, False, True), (before, during)
assert library.mallinfo2().fordblks < 40_000_000  # nothing of the job is left
"""

LIBRARY = """
import gc, sys
import numpy as np
import torch
from napari_seglite import FineTuneRequest, FineTuner, SegmentRequest, segment
from napari_seglite.images import TrainingImage
from napari_seglite.runtime import process

def forbidden(*_):
    raise AssertionError("the process was changed")

process._set = forbidden
gc.freeze = gc.disable = forbidden
frame = np.random.default_rng(0).random((1, 64, 64), np.float32)
torch.set_num_threads(2)
state, threads, threshold = torch.get_rng_state(), torch.get_num_threads(), gc.get_threshold()
segment(frame[0], SegmentRequest("nuclei-s-net", "YX", device="cpu"))
images = [TrainingImage(str(k), frame, (frame[0] > 0.5).astype(np.uint8)) for k in range(2)]
request = FineTuneRequest("nuclei-s-net", "new", device="cpu").adjusted(steps=2, batch=1, patch=32)
for _ in FineTuner(request, images).run():
    assert torch.equal(state, torch.get_rng_state())
assert torch.get_num_threads() == threads
assert gc.get_threshold() == threshold
assert sys.modules.get("triton", forbidden) is not None
gc.disable = lambda: None  # called at exit
"""


@pytest.mark.skipif(process._glibc() is None, reason="only glibc is told what to keep")
@pytest.mark.parametrize("in_thread", [False, True])
def test_it_stays_and_goes(in_thread):
    """In a program of its own: threads that ran before leave glibc arenas of another kind."""
    # With all threads, as users have them: a single one lays memory out in another way.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OMP_")}
    command = [sys.executable, "-c", ALONE, str(in_thread)]
    subprocess.run(command, check=True, env=environment)


@pytest.mark.skipif(
    not hasattr(process._glibc(), "mallinfo2"), reason="glibc tells this since version 2.33"
)
def test_settings_end_with_the_job():
    subprocess.run([sys.executable, "-c", SETTINGS], check=True)


def test_systems_without_glibc_are_left_alone(monkeypatch):
    called = []
    monkeypatch.setattr(process, "_set", lambda *arguments: called.append(arguments))
    monkeypatch.setattr(sys, "platform", "darwin")
    with process.keep_freed_memory():
        pass
    assert not called


def test_only_applications_change_the_process():
    """Segmenting and training as a library call sets nothing for the whole process."""
    subprocess.run([sys.executable, "-c", LIBRARY], check=True)
